/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Freshness: is this store the newest one there was?
 *
 * A counter in the TPM only goes up. A checkpoint that is to be anchored says the counter's next value, becomes durable,
 * and only then the counter is incremented (daemon/anchor.h); one that is not to be anchored says the value as it is.
 * So at an opening the counter stands at what the last note says, or one below it, when a stop came between note and
 * increment. Anything else is an older copy, of the store or of the TPM's own state.
 *
 * Here is only the judgement, without any I/O.
 */
#include "audit/note.h"
#include "link/signer.h"

typedef enum FreshnessVerdict {
        FRESHNESS_NONE,      /* there is no counter: nothing to hold the store against */
        FRESHNESS_GOOD,
        FRESHNESS_BEHIND,    /* the increment for the last note is still to come */
        FRESHNESS_UNCHECKED, /* the TPM did not answer */
        FRESHNESS_OLDER,     /* HF_E_STORE_ROLLED_BACK */
        FRESHNESS_FOREIGN,   /* HF_E_TPM_IDENTITY_CHANGED: another TPM, or this one was cleared */
} FreshnessVerdict;

typedef struct Freshness {
        SignerTpmMatch match;
        int result;        /* of reading the counter; HF_E_NOT_SUPPORTED: the slots file names none */
        uint64_t counter;  /* if result is 0 */
        int64_t noted;     /* freshness_noted() */
} Freshness;

#define FRESHNESS_REASON_SIZE 320

/* What the counter should stand at: the last note's value, or where that note is of an earlier epoch, or says none, the
 * value `begun` that the store was made or taken over with. Negative: nothing is known. `note` may be NULL. */
int64_t freshness_noted(const AuditNote *note, uint64_t epoch, int64_t begun);

/* The reason is a sentence without its full stop where the verdict is OLDER or FOREIGN, else why nothing was checked,
 * or "". */
FreshnessVerdict freshness_judge(const Freshness *f, char reason[static FRESHNESS_REASON_SIZE]);

/* Did the TPM, or somebody on the way to it, fail to answer, so that it is worth asking again? */
bool freshness_may_return(int result);
