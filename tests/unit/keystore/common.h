/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys to fill a catalogue with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* stands on the four before */

#include "base/error.h"
#include "keystore/keystore.h"

static inline KeyAttributes make_key(unsigned number, const char *name)
{
        KeyAttributes a = {
                        .version = 1,
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 1000 + number,
                        .public_len = 91,
        };

        memset(a.uuid.b, 0x41, sizeof(a.uuid.b));
        memcpy(a.uuid.b + 4, &number, sizeof(number));
        (void)snprintf(a.name, sizeof(a.name), "%s", name);
        for (unsigned i = 0; i < a.public_len; i++)
                a.public[i] = (uint8_t)(number + i);
        return a;
}

static inline KeyEntry *make_entry(unsigned number, const char *name, uint32_t flags)
{
        static const uint8_t wrapped[104] = {7};
        KeyAttributes a = make_key(number, name);
        KeyEntry *e = NULL;

        a.flags = flags;
        assert_int_equal(key_entry_new(&a, BYTES_ARRAY(wrapped), &e), 0);
        return e;
}
