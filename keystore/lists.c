/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "keystore/registry.h"

#define ALL_MAX (AUTHORITIES_MAX + LISTS_ELSEWHERE_MAX)

struct Lists {
        ListEntry *items[ALL_MAX];
        size_t n;
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

static int list_new(const StoreListRow *row, ListEntry **ret)
{
        ListEntry *e = malloc(sizeof(*e) + row->number.len + row->chain.len);
        uint8_t *at;

        if (!e)
                return -ENOMEM;
        e->refs = 1;
        e->row = *row;
        at = e->data;
        e->row.number = keep(&at, row->number);
        e->row.chain = keep(&at, row->chain);
        e->row.list = BYTES_NULL;
        *ret = e;
        return 0;
}

ListEntry *list_ref(ListEntry *e)
{
        if (e)
                __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
        return e;
}

ListEntry *list_unref(ListEntry *e)
{
        if (e && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0)
                free(e);
        return NULL;
}

bool list_is_elsewhere(const ListEntry *e)
{
        return strncmp(e->row.place, LISTS_ELSEWHERE, strlen(LISTS_ELSEWHERE)) == 0;
}

/* ---- all ---- */

int lists_new(Lists **ret)
{
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

Lists *lists_free(Lists *all)
{
        if (!all)
                return NULL;
        for (size_t i = 0; i < all->n; i++)
                list_unref(all->items[i]);
        free(all);
        return NULL;
}

size_t lists_count(const Lists *all)
{
        return all->n;
}

ListEntry *lists_at(const Lists *all, size_t i)
{
        return i < all->n ? all->items[i] : NULL;
}

static size_t find_place(const Lists *all, const char *place)
{
        size_t at = 0;

        while (at < all->n && strcmp(all->items[at]->row.place, place) < 0)
                at++;
        return at;
}

ListEntry *lists_find(const Lists *all, const char *place)
{
        ListEntry *e = lists_at(all, find_place(all, place));

        return e && strcmp(e->row.place, place) == 0 ? e : NULL;
}

/* Takes the reference, over the one of its place. */
static void insert(Lists *all, ListEntry *e)
{
        size_t at = find_place(all, e->row.place);

        if (lists_find(all, e->row.place)) {
                list_unref(all->items[at]);
        } else {
                memmove(all->items + at + 1, all->items + at, (all->n - at) * sizeof(*all->items));
                all->n++;
        }
        all->items[at] = e;
}

static bool has_room(const Lists *all, const ListEntry *e)
{
        size_t elsewhere = 0;

        for (size_t i = 0; i < all->n; i++)
                elsewhere += list_is_elsewhere(all->items[i]);
        return all->n < ALL_MAX && (!list_is_elsewhere(e) || elsewhere < LISTS_ELSEWHERE_MAX);
}

int lists_load(Lists *all, const StoreListRow *row)
{
        ListEntry *e;
        int r;

        if (lists_find(all, row->place) || all->n == ALL_MAX)
                return HF_E_STORE_DAMAGED;
        r = list_new(row, &e);
        if (!r)
                insert(all, e);
        return r;
}

/* ---- changes ---- */

void list_change_deinit(ListChange *change)
{
        change->removed = list_unref(change->removed);
        change->put = list_unref(change->put);
}

int lists_put(Store *store, Lists *all, const StoreListRow *row, ListChange *change)
{
        const ListEntry *before = lists_find(all, row->place);
        _cleanup_(list_unrefp) ListEntry *after = NULL;
        StoreListRow next = *row;
        int r;

        if (before && before->row.version == UINT32_MAX)
                return HF_E_LIMIT_EXCEEDED;
        next.version = before ? before->row.version + 1 : 1;
        r = list_new(&next, &after);
        if (!r && !before && !change->removed && !has_room(all, after))
                r = HF_E_LIMIT_EXCEEDED;
        if (!r)
                r = store_put_list(store, &next);
        if (!r)
                change->put = TAKE_PTR(after);
        return r;
}

int lists_remove(Store *store, Lists *all, const char *place, ListChange *change)
{
        ListEntry *before = lists_find(all, place);
        int r = before ? store_delete_list(store, place) : HF_E_NOTHING_TO_DO;

        if (!r)
                change->removed = list_ref(before);
        return r;
}

void lists_apply(Lists *all, const ListChange *change)
{
        if (change->removed) {
                size_t at = find_place(all, change->removed->row.place);

                list_unref(all->items[at]);
                memmove(all->items + at, all->items + at + 1, (all->n - at - 1) * sizeof(*all->items));
                all->n--;
        }
        if (change->put)
                insert(all, list_ref(change->put));
}
