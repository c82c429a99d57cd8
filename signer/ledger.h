/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ledger: what this signer has done, counted where nobody else can
 *
 * Each use of a key cites the sequence number of the log line that records it. The ledger takes them in the
 * order of arrival: they rise, and go no further than SIGNER_UNSEALED_MAX lines past the last checkpoint. A
 * checkpoint covers all that was accepted before it, so a holdfastd that somebody has taken over can neither
 * leave out lines of uses it has had nor go on for long without a checkpoint. Pure arithmetic; the one lock
 * around it is the caller's.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"

typedef struct Ledger {
        uint8_t life[16];
        Uuid store_id;   /* whose log is counted; null: none yet */
        bool any;        /* a use was accepted */
        uint64_t served; /* highest seq accepted */
        uint64_t ops;    /* uses accepted */
        bool based;
        uint64_t base;   /* size of the last checkpoint; before the first, the first seq seen */
        uint64_t sealed; /* size of the last checkpoint, 0 if there was none */
} Ledger;

/* A new life: random, nothing counted. */
void ledger_begin(Ledger *l, const Uuid *store_id);
/* 0 and one more use, or HF_E_SIGNER_FAILED: seq does not rise, lies within a checkpoint, or too far past it.
 */
int ledger_accept(Ledger *l, uint64_t seq);
/* 0, or HF_E_SIGNER_FAILED: smaller than the last one, or without a use that was accepted. */
int ledger_checkpoint(Ledger *l, uint64_t size);
/* Every use accepted lies under a checkpoint. */
bool ledger_is_sealed(const Ledger *l);
