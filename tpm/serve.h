/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The loop: one connection, one request at a time
 *
 * Connects to the signer, answers what it asks, and connects again when that ends, with growing pauses. A TPM that does
 * not come back from a command ends the process, which is started anew: nothing else helps, and nothing is lost.
 */
#include <sys/types.h>

#include "base/harden.h"
#include "tpm/call.h"

typedef struct ServeParams {
        const char *socket;
        uid_t peer;
        Notify notify;
        Tpm *tpm;
} ServeParams;

/* Takes SIGTERM and SIGALRM over; before the filter. */
void serve_prepare(void);
/* Until SIGTERM. */
void serve(ServeParams *p);
