/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

void uuid_generate(Uuid *ret)
{
        if (getrandom(ret->b, sizeof(ret->b), 0) != sizeof(ret->b))
                abort();
        ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x40);
        ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
}

void uuid_format(const Uuid *u, char ret[static UUID_TEXT_SIZE])
{
        static const uint8_t groups[] = {4, 2, 2, 2, 6};
        const uint8_t *p = u->b;

        for (size_t g = 0; g < sizeof(groups); g++) {
                if (g)
                        *ret++ = '-';
                hex_encode(p, groups[g], ret);
                p += groups[g];
                ret += 2 * groups[g];
        }
}

bool uuid_parse(const char *text, Uuid *ret)
{
        static const uint8_t groups[] = {4, 2, 2, 2, 6};
        Uuid u;
        uint8_t *p = u.b;

        if (strlen(text) != UUID_TEXT_SIZE - 1)
                return false;
        for (size_t g = 0; g < sizeof(groups); g++) {
                if (g && *text++ != '-')
                        return false;
                if (hex_decode(text, 2 * (size_t)groups[g], p, groups[g]))
                        return false;
                p += groups[g];
                text += 2 * groups[g];
        }
        *ret = u;
        return true;
}

bool uuid_equal(const Uuid *a, const Uuid *b)
{
        return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool uuid_is_null(const Uuid *u)
{
        static const Uuid null;

        return uuid_equal(u, &null);
}
