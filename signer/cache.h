/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opened keys
 *
 * Opening an envelope costs as much as three signatures, so the last keys used stay open. An entry answers
 * only to the very attributes and the very envelope it was opened with: a record that differs by a bit is
 * opened anew, and then refused. A PrivKey is used by one worker at a time, so an entry keeps as many as were
 * ever busy at once. Thread-safe.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/uuid.h"
#include "crypto/privkey.h"

#define CACHE_KEYS_MAX 1024u
#define CACHE_COPIES_MAX 16u /* of one key: no more workers than this */

typedef struct Cache Cache;
typedef struct CacheEntry CacheEntry;

/* What of a record must be equal. */
typedef struct CacheRecord {
        Uuid uuid;
        Bytes attributes, wrapped;
} CacheRecord;

typedef struct CacheLease {
        CacheEntry *entry;
        unsigned copy;
        PrivKey *key;
} CacheLease;

/* `is_tight` may be NULL; it is asked whether the least recently used key should go before another comes. */
int cache_new(size_t max, bool (*is_tight)(void *userdata), void *userdata, Cache **ret);
Cache *cache_free(Cache *c);
/* 0, or HF_E_NO_SUCH_KEY: not here. */
int cache_take(Cache *c, const CacheRecord *record, CacheLease *ret);
/* Hands `key` over and takes it. On failure the key stays the caller's. */
int cache_add(Cache *c, const CacheRecord *record, PrivKey *key, CacheLease *ret);
void cache_release(Cache *c, CacheLease *lease);
/* Forgets all; those on lease go when they come back. */
void cache_clear(Cache *c);
size_t cache_size(Cache *c);
