/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/errors.h"

#include <stdio.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/cleanup.h"
#include "base/error.h"

#define FORMAT_ONE 0x080u      /* TCG TPM 2.0 Part 2, section 6.6.2 */
#define FORMAT_ONE_BASE 0x0bfu /* without the P bit and the number */
#define LAYER(code) ((code) & TSS2_RC_LAYER_MASK)

static const ErrorRow rows[] = {
                {TPM2_RC_INITIALIZE, HF_E_TPM_UNAVAILABLE, REACTION_STARTUP},
                {TPM2_RC_FAILURE, HF_E_TPM_FAILURE_MODE, REACTION_NONE},
                {TPM2_RC_LOCKOUT, HF_E_TPM_LOCKOUT, REACTION_NONE},
                {TPM2_RC_NV_SPACE, HF_E_TPM_FULL, REACTION_NONE},

                {TPM2_RC_RETRY, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},
                {TPM2_RC_YIELDED, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},
                {TPM2_RC_CANCELED, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},
                {TPM2_RC_TESTING, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},
                {TPM2_RC_NV_RATE, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},
                {TPM2_RC_NV_UNAVAILABLE, HF_E_TPM_UNAVAILABLE, REACTION_AGAIN},

                {TPM2_RC_OBJECT_MEMORY, HF_E_TPM_FULL, REACTION_WAIT},
                {TPM2_RC_SESSION_MEMORY, HF_E_TPM_FULL, REACTION_WAIT},
                {TPM2_RC_MEMORY, HF_E_TPM_FULL, REACTION_WAIT},
                {TPM2_RC_SESSION_HANDLES, HF_E_TPM_FULL, REACTION_WAIT},
                {TPM2_RC_OBJECT_HANDLES, HF_E_TPM_FULL, REACTION_WAIT},
                {TPM2_RC_CONTEXT_GAP, HF_E_TPM_FULL, REACTION_WAIT},

                /* A handle or a saved context that was good is not any more, or a session's key is not the one we know. */
                {TPM2_RC_REFERENCE_H0, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_REFERENCE_H1, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_REFERENCE_H2, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_REFERENCE_S0, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_REFERENCE_S1, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_REFERENCE_S2, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_HANDLE, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_AUTH_FAIL, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_BAD_AUTH, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_NONCE, HF_E_TPM_FAILED, REACTION_RENEW},
                {TPM2_RC_INTEGRITY, HF_E_KEY_MISMATCH, REACTION_RENEW},
                {TPM2_RC_BINDING, HF_E_KEY_MISMATCH, REACTION_NONE},

                {TSS2_ESYS_RC_IO_ERROR, HF_E_TPM_UNAVAILABLE, REACTION_REOPEN},
};

static const ErrorRow no_row = {.result = HF_E_TPM_FAILED};
static const ErrorRow road = {.result = HF_E_TPM_UNAVAILABLE, .reaction = REACTION_REOPEN};
/* The library found an answer that is none. */
static const ErrorRow broken = {.result = HF_E_TPM_FAILED, .reaction = REACTION_REOPEN};

/* A resource manager's own words are those of a TPM, one layer up. */
static TSS2_RC from_tpm(TSS2_RC code)
{
        if (LAYER(code) == TSS2_RESMGR_TPM_RC_LAYER || LAYER(code) == TSS2_RESMGR_RC_LAYER)
                return code & ~TSS2_RC_LAYER_MASK;
        return code;
}

TSS2_RC error_base(TSS2_RC code)
{
        code = from_tpm(code);
        if (LAYER(code) == TSS2_TPM_RC_LAYER && code & FORMAT_ONE)
                return code & FORMAT_ONE_BASE;
        return code;
}

const ErrorRow *error_find(TSS2_RC code)
{
        TSS2_RC base = error_base(code);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].code == base)
                        return &rows[i];
        if (LAYER(base) == TSS2_TCTI_RC_LAYER)
                return &road;
        return LAYER(base) == TSS2_TPM_RC_LAYER ? &no_row : &broken;
}

bool error_is_refusal(TSS2_RC code)
{
        return code != TSS2_RC_SUCCESS && LAYER(from_tpm(code)) == TSS2_TPM_RC_LAYER;
}

bool error_is_parameter(TSS2_RC code)
{
        code = from_tpm(code);
        return LAYER(code) == TSS2_TPM_RC_LAYER && code & FORMAT_ONE && code & TPM2_RC_P;
}

void error_text(TSS2_RC code, char *ret, size_t size)
{
        snprintf(ret, size, "0x%x: %s", (unsigned)code, Tss2_RC_Decode(code));
}
