/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/text.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that begins here; 0: none does. The NUL at the end is no continuation. */
static size_t character_size(const uint8_t *p)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
        uint32_t c = n > 1 ? p[0] & (0x7fu >> n) : 0;

        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        return n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) ? 0 : n;
}

bool text_is_valid(const char *text)
{
        for (const uint8_t *p = (const uint8_t *)text; *p;) {
                size_t n = character_size(p);

                if (n == 0)
                        return false;
                p += n;
        }
        return true;
}

char *text_make_valid(char *text)
{
        for (uint8_t *p = (uint8_t *)text; *p;) {
                size_t n = character_size(p);

                if (n == 0)
                        *p = '?';
                p += n ? n : 1;
        }
        return text;
}
