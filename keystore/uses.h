/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Use counts
 *
 * A rule with a use limit counts per (key UUID, rule name). Uses are reserved from the store in blocks of
 * max(1, min(256, remaining / 16)), each an ordinary change; the unspent rest of a block is in memory, and a
 * crash forfeits it: never more is granted than the limit says. The limit itself is the rule's: only what was
 * spent is stored, so the count survives edits and reloads of the policy.
 *
 *         uses_take -> NEEDS_RESERVE -> store_begin, uses_reserve, ... store_commit, uses_apply -> uses_take
 */
#include "store/store.h"

typedef struct Uses Uses;

typedef enum UsesVerdict {
        USES_ALLOWED = 0,   /* one use was taken */
        USES_NEEDS_RESERVE, /* some are left, but none is reserved: reserve and ask again */
        USES_EXHAUSTED,
} UsesVerdict;

typedef struct UsesChange {
        StoreUsesRow row; /* as written */
        uint64_t reserved;
        bool granted;
} UsesChange;

int uses_new(Uses **ret);
Uses *uses_free(Uses *u);
DEFINE_CLEANUP(Uses, uses_free)

/* At start. HF_E_STORE_DAMAGED if the pair is there already. */
int uses_load(Uses *u, const StoreUsesRow *row);
/* Keys created at or before this time have no uses left, whatever the rule, until granted again (microseconds;
 * 0: none). It is the meta row USES_META_FORFEIT, 8 bytes little-endian; keystore_load() reads it. */
#define USES_META_FORFEIT "uses.forfeit"
void uses_set_forfeit(Uses *u, uint64_t created_until);

/* A store that may be older than what was done with it (restored, or a rollback that was accepted): no key in it
 * has uses left until granted again, those with a stored count either. Read before the transaction, written in it. */
typedef struct UsesForfeiture {
        Buffer rows;    /* StoreUsesRow, as they are */
        uint64_t until; /* `now`, or when the newest key was created: however wrong the clock is */
} UsesForfeiture;

int uses_forfeiture_read(Store *store, uint64_t now, UsesForfeiture *ret);
int uses_forfeiture_write(Store *store, const UsesForfeiture *forfeiture);
void uses_forfeiture_deinit(UsesForfeiture *forfeiture);

/* `created` is the key's. Takes one use if the verdict is USES_ALLOWED. */
UsesVerdict uses_take(Uses *u, const Uuid *key, uint64_t created, const char *rule, uint64_t limit);
/* Gives one back that was taken but not used (the operation never started). */
void uses_give_back(Uses *u, const Uuid *key, const char *rule);
/* How many more uses would be allowed now, reserved ones included. */
uint64_t uses_remaining(const Uses *u, const Uuid *key, uint64_t created, const char *rule, uint64_t limit);

/* Inside a transaction: writes the row with the next block reserved. HF_E_USES_EXHAUSTED, HF_E_INVALID_ARGS
 * (rule name), -ENOMEM, and what store_put_uses() returns. */
int uses_reserve(Uses *u, Store *store, const Uuid *key, uint64_t created, const char *rule, uint64_t limit,
                UsesChange *ret);
/* Inside a transaction: so much of the limit counts as spent from now on, 0 for the whole limit anew. */
int uses_grant(Uses *u, Store *store, const Uuid *key, const char *rule, uint64_t spent, UsesChange *ret);
/* After COMMIT; cannot fail. */
void uses_apply(Uses *u, const UsesChange *change);
/* Forgets a destroyed key. */
void uses_forget(Uses *u, const Uuid *key);
