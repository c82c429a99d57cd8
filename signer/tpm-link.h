/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The line to holdfast-tpm (link/tpm.h)
 *
 * holdfast-tpm connects to a socket of the signer's; the newest connection of the right uid is the one. A request is
 * straight code that waits: one at a time, never for longer than it says. Whoever does not answer, answers nonsense
 * or hangs up loses the connection, and the caller hears HF_E_TPM_UNAVAILABLE. A peer that has just gone, or has not
 * come yet after our own start, is given TPM_LINK_RETURN_MS to come back.
 *
 * Requests and answers carry secrets, so an exchange lies on a secret stack and is erased at its end. Only workers of
 * COST_TPM and attempts to unlock may wait here (signer/serve.h), and none while it holds a lock.
 */
#include <sys/types.h>

#include "link/tpm.h"

#define TPM_LINK_RETURN_MS 2000
#define TPM_LINK_HELLO_MS 5000
#define TPM_EXCHANGE_MAX 16384 /* an unsealing with all its signatures, or a certificate */

typedef struct TpmLink TpmLink;

typedef struct TpmExchange {
        Buffer request; /* begun; the body is appended */
        Bytes tail;     /* borrowed: what follows behind it, if anything */
        Bytes reply;    /* the body behind result and detail */
        bool asked;     /* somebody was there to ask */
        char detail[TPM_DETAIL_MAX];
        uint8_t request_space[TPM_EXCHANGE_MAX];
        uint8_t reply_space[TPM_EXCHANGE_MAX];
} TpmExchange;

/* `listen_fd` stays open for good. Before the arena takes what is left of secret memory. 0 or -errno. */
int tpm_link_new(int listen_fd, uid_t peer, TpmLink **ret);
TpmLink *tpm_link_free(TpmLink *l);

void tpm_begin(TpmExchange *x, TpmRequest type);
/* Erases what the exchange holds. */
void tpm_end(TpmExchange *x);
/* 0 and x->reply, valid until tpm_end(); HF_E_TPM_UNAVAILABLE (no link, nobody there, no answer in time); or what
 * holdfast-tpm says, which is one of the results named in link/tpm.h. x->detail is printable, and logged. */
int tpm_call(TpmLink *l, TpmExchange *x, unsigned timeout_ms);
/* Whether a TPM is there, and which one; `fresh`: asks the TPM itself; `parent`: the store's, or zeros. `ret` is always filled
 * in, with TPM_PRESENCE_NONE where nobody answers. HF_E_TPM_UNAVAILABLE: somebody is there and does not. */
int tpm_state(TpmLink *l, bool fresh, const uint8_t parent[static TPM_NAME_SIZE], TpmState *ret);
