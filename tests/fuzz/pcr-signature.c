/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of tpm2-pcr-signature.json: whatever the file says, what is taken from it fits a message to the signer. */
#include <stdlib.h>

#include "base/error.h"
#include "daemon/pcr-signature.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void check(const PcrSignatures *s)
{
        static SignerSignature back[SIGNER_SIGNATURES];
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2 * SIGNER_SIGNATURES_MAX);
        size_t n;

        must(s->n <= SIGNER_SIGNATURES);
        must(signer_signatures_encode(s->items, s->n, &b) == 0);
        must(signer_signatures_decode(buffer_bytes(&b), back, &n) == 0 && n == s->n);
        for (size_t i = 0; i < n; i++) {
                must(s->items[i].bank > _TPM_BANK_INVALID && s->items[i].bank < _TPM_BANK_MAX);
                must(s->items[i].mask != 0 && s->items[i].mask >> TPM_PCRS == 0);
                must(s->items[i].approval.signature.data == s->space[i] && s->items[i].approval.signature.len > 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static PcrSignatures s;
        int r = pcr_signatures_parse(BYTES(data, size), &s);

        must(r == 0 || r == HF_E_INVALID_ARGS || r == HF_E_LIMIT_EXCEEDED);
        must(r == 0 || s.n == 0);
        check(&s);
        return 0;
}
