/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of this room share: cmocka's own includes, and a directory of one's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"

static inline void assert_bytes(Bytes got, Bytes want)
{
        assert_int_equal(got.len, want.len);
        if (want.len)
                assert_memory_equal(got.data, want.data, want.len);
}
