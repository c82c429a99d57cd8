/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/text.h"

#include <string.h>

/* U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F; U+FEFF. */
static bool is_invisible(const unsigned char *p)
{
        if (p[0] == 0xe2 && p[1] == 0x80)
                return (p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae);
        if (p[0] == 0xe2 && p[1] == 0x81)
                return p[2] >= 0xa0 && p[2] <= 0xaf;
        return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf;
}

bool ca_text_is_plain(const char *text)
{
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) || is_invisible(p))
                        return false;
        return true;
}
