/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A hash table of entries
 *
 * Open addressing with linear probing, at most three quarters full; what is removed leaves no gap behind. The
 * caller gives the hash (of a random key) and says how to compare.
 */
#include "keystore/catalogue.h"

typedef struct Table {
        KeyEntry **cells;
        size_t size; /* a power of two, or 0 */
        size_t used;
        uint64_t (*hash)(const Catalogue *c, const KeyEntry *e);
} Table;

void table_deinit(Table *t);
/* Room for `n` entries in all. -ENOMEM. */
int table_reserve(Table *t, const Catalogue *c, size_t n);
/* The first cell from the hash on that `matches`, or the empty one that ends the search; NULL in a table of
 * size 0. */
KeyEntry **table_find(const Table *t, uint64_t hash, bool (*matches)(const KeyEntry *e, const void *what),
                const void *what);
/* There is room. */
void table_add(Table *t, const Catalogue *c, KeyEntry *e);
/* `cell` is one that table_find() gave and is not empty. */
void table_remove(Table *t, const Catalogue *c, KeyEntry **cell);
