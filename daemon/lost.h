/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keys that are gone with their TPM
 *
 * A TPM that is cleared or replaced takes its keys with it. Nothing of them is deleted: when an operator takes the store
 * over, the change says that it happened, when and why (a row of the store), and each key made before that is marked as
 * lost, one audited change a key. What a stop interrupts goes on at the next opening.
 */
#include "daemon/daemon.h"

#define LOST_REASON_SIZE 128
#define LOST_MAX 8 /* occasions; the oldest are forgotten first */

typedef struct LostOccasion {
        uint64_t when; /* microseconds since 1970 */
        char reason[LOST_REASON_SIZE];
} LostOccasion;

/* The clock of a board that was just changed is often wrong, so neither of these is before what it must come after: an
 * occasion not before any key there is (outside a transaction), a new key not before any occasion. */
int lost_moment(Store *store, uint64_t now, uint64_t *ret);
uint64_t lost_later(const LostOccasion *occasions, size_t n, uint64_t now);
/* In a transaction: one more occasion. */
int lost_put(Store *store, uint64_t when, const char *reason);
/* All of them, oldest first. */
int lost_get(Store *store, LostOccasion ret[static LOST_MAX], size_t *ret_n);
/* The one that took a key of this age; NULL: not known any more. */
const LostOccasion *lost_find(const LostOccasion *occasions, size_t n, uint64_t created);

/* The store is open: marks, one after the other, the keys that should be and are not; `done` is told when there is no more,
 * or it does not get on, perhaps at once. One at a time. */
void lost_mark(Daemon *d, void (*done)(void *userdata), void *userdata);
