/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct Identities {
        IdentityEntry **items;
        size_t n, allocated;
};

/* ---- one ---- */

static Bytes keep(uint8_t **at, Bytes from)
{
        Bytes kept = BYTES(*at, from.len);

        if (from.len)
                memcpy(*at, from.data, from.len);
        *at += from.len;
        return kept;
}

int identity_new(const StoreIdentityRow *row, IdentityEntry **ret)
{
        IdentityEntry *e = malloc(sizeof(*e) + row->chain.len + row->trust.len + row->pins.len + row->plan.len);
        uint8_t *at;

        if (!e)
                return -ENOMEM;
        e->refs = 1;
        e->row = *row;
        at = e->data;
        e->row.chain = keep(&at, row->chain);
        e->row.trust = keep(&at, row->trust);
        e->row.pins = keep(&at, row->pins);
        e->row.plan = keep(&at, row->plan);
        *ret = e;
        return 0;
}

IdentityEntry *identity_ref(IdentityEntry *e)
{
        if (e)
                __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
        return e;
}

IdentityEntry *identity_unref(IdentityEntry *e)
{
        if (e && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0)
                free(e);
        return NULL;
}

/* ---- all ---- */

int identities_new(Identities **ret)
{
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

Identities *identities_free(Identities *all)
{
        if (!all)
                return NULL;
        for (size_t i = 0; i < all->n; i++)
                identity_unref(all->items[i]);
        free(all->items);
        free(all);
        return NULL;
}

size_t identities_count(const Identities *all)
{
        return all->n;
}

IdentityEntry *identities_at(const Identities *all, size_t i)
{
        return i < all->n ? all->items[i] : NULL;
}

/* How many are before this name. */
static size_t find_place(const Identities *all, const char *name)
{
        size_t low = 0, high = all->n;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (strcmp(all->items[middle]->row.name, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

IdentityEntry *identities_find(const Identities *all, const char *name)
{
        IdentityEntry *e = identities_at(all, find_place(all, name));

        return e && strcmp(e->row.name, name) == 0 ? e : NULL;
}

IdentityEntry *identities_after(const Identities *all, const char *name)
{
        size_t at = find_place(all, name);
        const IdentityEntry *e = identities_at(all, at);

        return identities_at(all, e && strcmp(e->row.name, name) == 0 ? at + 1 : at);
}

IdentityEntry *identities_find_key(const Identities *all, const Uuid *key)
{
        for (size_t i = 0; i < all->n; i++)
                if (uuid_equal(&all->items[i]->row.key, key))
                        return all->items[i];
        return NULL;
}

static int reserve(Identities *all)
{
        size_t want = all->allocated ? 2 * all->allocated : 16;
        IdentityEntry **larger;

        if (all->n < all->allocated)
                return 0;
        larger = reallocarray(all->items, want, sizeof(*larger));
        if (!larger)
                return -ENOMEM;
        all->items = larger;
        all->allocated = want;
        return 0;
}

static void insert(Identities *all, IdentityEntry *e)
{
        size_t at = find_place(all, e->row.name);

        assert(all->n < all->allocated);
        memmove(all->items + at + 1, all->items + at, (all->n - at) * sizeof(*all->items));
        all->items[at] = e;
        all->n++;
}

int identities_load(Identities *all, const StoreIdentityRow *row)
{
        IdentityEntry *e;
        int r;

        if (identities_find(all, row->name))
                return HF_E_STORE_DAMAGED;
        r = reserve(all);
        if (!r)
                r = identity_new(row, &e);
        if (!r)
                insert(all, e);
        return r;
}

/* ---- changes ---- */

void identity_change_deinit(IdentityChange *change)
{
        change->before = identity_unref(change->before);
        change->after = identity_unref(change->after);
}

int identity_put(Store *store, Identities *all, const StoreIdentityRow *row, IdentityChange *ret)
{
        IdentityEntry *before = identities_find(all, row->name);
        _cleanup_(identity_unrefp) IdentityEntry *after = NULL;
        StoreIdentityRow next = *row;
        int r;

        if (!before && all->n >= IDENTITIES_MAX)
                return HF_E_LIMIT_EXCEEDED;
        if (before && before->row.version == UINT32_MAX)
                return HF_E_LIMIT_EXCEEDED;
        next.version = before ? before->row.version + 1 : 1;
        next.created = before ? before->row.created : row->changed;
        r = reserve(all);
        if (!r)
                r = identity_new(&next, &after);
        if (!r)
                r = store_put_identity(store, &after->row);
        if (r)
                return r;
        *ret = (IdentityChange){.before = identity_ref(before), .after = TAKE_PTR(after)};
        return 0;
}

int identity_remove(Store *store, Identities *all, const char *name, IdentityChange *ret)
{
        IdentityEntry *before = identities_find(all, name);
        int r;

        if (!before)
                return HF_E_NO_SUCH_IDENTITY;
        r = store_delete_identity(store, name);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? HF_E_STORE_DAMAGED : r; /* memory has what the store has not */
        *ret = (IdentityChange){.before = identity_ref(before)};
        return 0;
}

void identity_apply(Identities *all, IdentityChange *change)
{
        const IdentityEntry *any = change->after ? change->after : change->before;
        size_t at = find_place(all, any->row.name);

        if (change->before) {
                assert(at < all->n && all->items[at] == change->before);
                identity_unref(all->items[at]);
                memmove(all->items + at, all->items + at + 1, (all->n - at - 1) * sizeof(*all->items));
                all->n--;
        }
        if (change->after)
                insert(all, identity_ref(change->after));
}
