/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TPM, and what it does for this store, in plain sentences. */
#include "daemon/daemon.h"

#define TPM_WORDS_MAX 1024

/* "the TPM answers", "no TPM answers: ...", ...; "none" where nothing needs one and none is there. */
void tpm_words(const Daemon *d, char ret[static TPM_WORDS_MAX]);
/* Maker, version and how near it is to a lockout; "" while it does not answer. */
void tpm_maker_words(const Daemon *d, char ret[static TPM_WORDS_MAX]);
/* The algorithms it makes keys of, as `key create` calls them, blanks between; "" while it does not answer. */
void tpm_algorithm_words(const Daemon *d, char *ret, size_t size);
/* What keeps the keys of this machine, one sentence a line. */
void protection_words(const Daemon *d, char ret[static TPM_WORDS_MAX]);
/* Which older copies are noticed, and which are not. */
void rollback_words(const Daemon *d, char ret[static TPM_WORDS_MAX]);

/* Does anything of this store need a TPM? */
bool tpm_is_needed(const Daemon *d);
