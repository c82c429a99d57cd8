/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BUCKETS 2048u

struct CacheEntry {
        CacheEntry *bucket_next;
        CacheEntry *newer, *older;
        Uuid uuid;
        bool dead;     /* out of the table; freed by the last release */
        uint32_t busy; /* bit per copy */
        unsigned n;
        PrivKey *copies[CACHE_COPIES_MAX];
        size_t attributes_len, wrapped_len;
        uint8_t record[]; /* attributes, then the envelope */
};

struct Cache {
        pthread_mutex_t lock;
        size_t n, max;
        bool (*is_tight)(void *userdata);
        void *userdata;
        CacheEntry *newest, *oldest;
        CacheEntry *buckets[BUCKETS];
};

int cache_new(size_t max, bool (*is_tight)(void *userdata), void *userdata, Cache **ret)
{
        Cache *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        pthread_mutex_init(&c->lock, NULL);
        c->max = max;
        c->is_tight = is_tight;
        c->userdata = userdata;
        *ret = c;
        return 0;
}

/* A UUID's bytes are random: two of them are hash enough. */
static CacheEntry **bucket_of(Cache *c, const Uuid *uuid)
{
        return &c->buckets[((unsigned)uuid->b[0] << 8 | uuid->b[1]) % BUCKETS];
}

static void entry_free(CacheEntry *e)
{
        for (unsigned i = 0; i < e->n; i++)
                privkey_free(e->copies[i]);
        free(e);
}

static void lru_unlink(Cache *c, CacheEntry *e)
{
        *(e->newer ? &e->newer->older : &c->newest) = e->older;
        *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void lru_push(Cache *c, CacheEntry *e)
{
        e->newer = NULL;
        e->older = c->newest;
        *(c->newest ? &c->newest->newer : &c->oldest) = e;
        c->newest = e;
}

static void entry_remove(Cache *c, CacheEntry *e)
{
        CacheEntry **p = bucket_of(c, &e->uuid);

        while (*p != e)
                p = &(*p)->bucket_next;
        *p = e->bucket_next;
        lru_unlink(c, e);
        c->n--;
        e->dead = true;
        if (!e->busy)
                entry_free(e);
}

static CacheEntry *entry_find(Cache *c, const Uuid *uuid)
{
        for (CacheEntry *e = *bucket_of(c, uuid); e; e = e->bucket_next)
                if (uuid_equal(&e->uuid, uuid))
                        return e;
        return NULL;
}

static bool entry_matches(const CacheEntry *e, const CacheRecord *record)
{
        return bytes_equal(BYTES(e->record, e->attributes_len), record->attributes) &&
               bytes_equal(BYTES(e->record + e->attributes_len, e->wrapped_len), record->wrapped);
}

/* An idle copy, or one more. */
static int entry_lease(CacheEntry *e, CacheLease *ret)
{
        unsigned i = 0;
        int r;

        while (i < e->n && e->busy & 1u << i)
                i++;
        if (i == CACHE_COPIES_MAX)
                return HF_E_BUSY;
        if (i == e->n) {
                r = privkey_dup(e->copies[0], &e->copies[i]);
                if (r)
                        return r;
                e->n++;
        }
        e->busy |= 1u << i;
        *ret = (CacheLease){.entry = e, .copy = i, .key = e->copies[i]};
        return 0;
}

int cache_take(Cache *c, const CacheRecord *record, CacheLease *ret)
{
        CacheEntry *e;
        int r = HF_E_NO_SUCH_KEY;

        pthread_mutex_lock(&c->lock);
        e = entry_find(c, &record->uuid);
        if (e && entry_matches(e, record))
                r = entry_lease(e, ret);
        if (!r && c->newest != e) {
                lru_unlink(c, e);
                lru_push(c, e);
        }
        pthread_mutex_unlock(&c->lock);
        return r;
}

static CacheEntry *entry_new(const CacheRecord *record, PrivKey *key)
{
        CacheEntry *e = calloc(1, sizeof(*e) + record->attributes.len + record->wrapped.len);

        if (!e)
                return NULL;
        e->uuid = record->uuid;
        e->attributes_len = record->attributes.len;
        e->wrapped_len = record->wrapped.len;
        memcpy(e->record, record->attributes.data, record->attributes.len);
        memcpy(e->record + record->attributes.len, record->wrapped.data, record->wrapped.len);
        e->copies[0] = key;
        e->n = 1;
        return e;
}

int cache_add(Cache *c, const CacheRecord *record, PrivKey *key, CacheLease *ret)
{
        CacheEntry *e = entry_new(record, key), *former;
        CacheEntry **bucket = bucket_of(c, &record->uuid);

        if (!e)
                return -ENOMEM;
        pthread_mutex_lock(&c->lock);
        former = entry_find(c, &record->uuid);
        if (former)
                entry_remove(c, former);
        while (c->oldest && (c->n >= c->max || (c->is_tight && c->is_tight(c->userdata))))
                entry_remove(c, c->oldest);
        e->bucket_next = *bucket;
        *bucket = e;
        lru_push(c, e);
        c->n++;
        (void)entry_lease(e, ret); /* its one copy is idle */
        pthread_mutex_unlock(&c->lock);
        return 0;
}

void cache_release(Cache *c, CacheLease *lease)
{
        CacheEntry *e = lease->entry;

        if (!e)
                return;
        pthread_mutex_lock(&c->lock);
        e->busy &= ~(1u << lease->copy);
        if (e->dead && !e->busy)
                entry_free(e);
        pthread_mutex_unlock(&c->lock);
        *lease = (CacheLease){};
}

void cache_clear(Cache *c)
{
        pthread_mutex_lock(&c->lock);
        while (c->newest)
                entry_remove(c, c->newest);
        pthread_mutex_unlock(&c->lock);
}

size_t cache_size(Cache *c)
{
        size_t n;

        pthread_mutex_lock(&c->lock);
        n = c->n;
        pthread_mutex_unlock(&c->lock);
        return n;
}

Cache *cache_free(Cache *c)
{
        if (!c)
                return NULL;
        cache_clear(c);
        free(c);
        return NULL;
}
