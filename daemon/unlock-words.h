/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The signer's reasons why no slot opened ("1 tpm2: pcr-changed sha256:7; 2 passphrase: needs-secret") as a sentence for
 * people, without its full stop. What it does not know it passes on as it is. */
#include <stdbool.h>
#include <stddef.h>

void unlock_words(const char *reasons, char *ret, size_t size);
#define UNLOCK_WORDS_MAX 640
void unlock_words_in_place(char *reasons, size_t size); /* at most UNLOCK_WORDS_MAX */

/* What a caller gets: where no secret was given, what a slot of the TPM was kept shut by (HF_E_PCR_CHANGED,
 * HF_E_TPM_UNAVAILABLE, ...); HF_E_TPM_LOCKOUT, which keeps the right PIN out too; else HF_E_UNLOCK_FAILED. */
int unlock_error(const char *reasons, bool given);
