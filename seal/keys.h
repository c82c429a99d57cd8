/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keys out of the master
 *
 * The master opens no record itself; five keys derived from it do, each for one purpose (libsodium
 * crypto_kdf, contexts in keys.c). Which process may see which is said in docs/architecture.md, section 5.
 */
#include <stdint.h>

#define MASTER_SIZE 32

typedef struct SealKeys {
        uint8_t database[32];   /* to holdfastd: raw key of the store */
        uint8_t log[32];        /* to holdfastd: log lines, row tags, state */
        uint8_t wrapping[32];   /* the signer only: envelopes */
        uint8_t checkpoint[32]; /* the signer only: Ed25519 seed */
        uint8_t checkpoint_public[32];
        uint8_t counter[32];    /* the signer only: wraps the authorisation of the counter in the TPM */
} SealKeys;

/* `ret` lies in secret memory; nothing is left on the stack. */
void seal_keys_derive(const uint8_t master[static MASTER_SIZE], SealKeys *ret);
void seal_keys_erase(SealKeys *k);
