/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a code of the TPM or of its library means to us
 *
 * One table: code, our result, and what to do before the request is tried once more. A code without a row is
 * HF_E_TPM_FAILED and is not tried again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <tss2/tss2_common.h>

typedef enum Reaction {
        REACTION_NONE = 0, /* it is the answer */
        REACTION_AGAIN,    /* the TPM is busy with itself: a little later */
        REACTION_WAIT,     /* others fill it: until they are done */
        REACTION_RENEW,    /* what we kept may be gone: once more with nothing kept */
        REACTION_STARTUP,  /* it was reset: TPM2_Startup, and nothing kept */
        REACTION_REOPEN,   /* the road to it broke: once more on a new one */
} Reaction;

typedef struct ErrorRow {
        TSS2_RC code;
        int result; /* HF_E_... */
        Reaction reaction;
} ErrorRow;

/* Never NULL; not for TSS2_RC_SUCCESS. */
const ErrorRow *error_find(TSS2_RC code);
/* The code without the number of the parameter, handle or session it complains about. */
TSS2_RC error_base(TSS2_RC code);
/* The TPM itself refused; anything else may have happened after it was done. */
bool error_is_refusal(TSS2_RC code);
/* It complains about a parameter: what was sent, not who sent it or where to. */
bool error_is_parameter(TSS2_RC code);
/* "0x98e: tpm:session(1):..." for people. */
void error_text(TSS2_RC code, char *ret, size_t size);
