/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The order of all entries by (name, UUID)
 *
 * A list of sorted chunks: finding is two binary searches, inserting moves at most one chunk, and a full
 * chunk is halved. So 100,000 keys put in one by one in any order cost no more than sorting them would.
 */
#include "keystore/catalogue.h"

#define ORDER_CHUNK 512

typedef struct OrderChunk {
        size_t n;
        KeyEntry *entries[ORDER_CHUNK];
} OrderChunk;

typedef struct Order {
        OrderChunk **chunks; /* none is empty */
        size_t n, allocated;
        OrderChunk **spare; /* reserved, so that inserting cannot fail */
        size_t n_spare, allocated_spare;
} Order;

void order_deinit(Order *o);
/* So that `n` insertions cannot fail. -ENOMEM. */
int order_reserve(Order *o, size_t n);
void order_insert(Order *o, KeyEntry *e);
/* The entry is in there. */
void order_remove(Order *o, const KeyEntry *e);
/* Up to `max` entries behind the cursor. */
size_t order_list(const Order *o, const CatalogueCursor *after, KeyEntry **ret, size_t max);
