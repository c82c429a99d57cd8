/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The readers of TPMT_PUBLIC and TPMS_ATTEST: what they give lies within what they were given. */
#include <stdlib.h>

#include "base/error.h"
#include "crypto/attest-read.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void check_span(Bytes part, const uint8_t *data, size_t size)
{
        must(part.len == 0 || (part.data >= data && part.len <= size && part.data <= data + size - part.len));
}

static void read_public(const uint8_t *data, size_t size)
{
        TpmtPublic p = {0};
        int r = tpmt_public_read(BYTES(data, size), &p);

        must(r == 0 || r == HF_E_INVALID_ARGS);
        if (r)
                return;
        must(p.type == TPMT_RSA || p.type == TPMT_KEYEDHASH || p.type == TPMT_ECC);
        check_span(p.n, data, size);
        check_span(p.x, data, size);
        check_span(p.y, data, size);
}

static void read_attest(const uint8_t *data, size_t size)
{
        TpmsAttest a = {0};
        int r = tpms_attest_read(BYTES(data, size), &a);

        must(r == 0 || r == HF_E_INVALID_ARGS);
        if (r)
                return;
        check_span(a.extra, data, size);
        check_span(a.name, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        read_public(data, size);
        read_attest(data, size);
        return 0;
}
