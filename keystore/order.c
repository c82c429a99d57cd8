/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void order_deinit(Order *o)
{
        for (size_t i = 0; i < o->n; i++)
                free(o->chunks[i]);
        for (size_t i = 0; i < o->n_spare; i++)
                free(o->spare[i]);
        free(o->chunks);
        free(o->spare);
        *o = (Order){};
}

static int grow(OrderChunk ***list, size_t *allocated, size_t n)
{
        size_t want = *allocated ? *allocated : 16;
        OrderChunk **larger;

        while (want < n)
                want *= 2;
        if (want == *allocated)
                return 0;
        larger = reallocarray(*list, want, sizeof(*larger));
        if (!larger)
                return -ENOMEM;
        *list = larger;
        *allocated = want;
        return 0;
}

/* In the worst case each insertion meets another full chunk. */
int order_reserve(Order *o, size_t n)
{
        int r = grow(&o->chunks, &o->allocated, o->n + n);

        if (!r)
                r = grow(&o->spare, &o->allocated_spare, n);
        while (!r && o->n_spare < n) {
                o->spare[o->n_spare] = malloc(sizeof(OrderChunk));
                if (!o->spare[o->n_spare])
                        return -ENOMEM;
                o->n_spare++;
        }
        return r;
}

static int compare(const char *name, const Uuid *uuid, const KeyEntry *e)
{
        int order = strcmp(name, key_entry_name(e));

        return order ? order : memcmp(uuid->b, e->uuid.b, sizeof(uuid->b));
}

/* The last chunk whose first entry is not behind (name, uuid); 0 if all are. */
static size_t find_chunk(const Order *o, const char *name, const Uuid *uuid)
{
        size_t low = 0, high = o->n;

        while (high - low > 1) {
                size_t middle = (low + high) / 2;

                if (compare(name, uuid, o->chunks[middle]->entries[0]) < 0)
                        high = middle;
                else
                        low = middle;
        }
        return low;
}

/* How many entries of the chunk are before (name, uuid), or before or at it. */
static size_t find_place(const OrderChunk *chunk, const char *name, const Uuid *uuid, bool at_too)
{
        size_t low = 0, high = chunk->n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                int order = compare(name, uuid, chunk->entries[middle]);

                if (order > 0 || (at_too && order == 0))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void add_chunk(Order *o, size_t at)
{
        assert(o->n_spare > 0 && o->n < o->allocated);
        memmove(o->chunks + at + 1, o->chunks + at, (o->n - at) * sizeof(*o->chunks));
        o->chunks[at] = o->spare[--o->n_spare];
        o->chunks[at]->n = 0;
        o->n++;
}

static void halve(Order *o, size_t i)
{
        OrderChunk *full = o->chunks[i], *half;

        add_chunk(o, i + 1);
        half = o->chunks[i + 1];
        half->n = full->n / 2;
        full->n -= half->n;
        memcpy(half->entries, full->entries + full->n, half->n * sizeof(*half->entries));
}

void order_insert(Order *o, KeyEntry *e)
{
        const char *name = key_entry_name(e);
        OrderChunk *chunk;
        size_t i, at;

        if (o->n == 0)
                add_chunk(o, 0);
        i = find_chunk(o, name, &e->uuid);
        if (o->chunks[i]->n == ORDER_CHUNK) {
                halve(o, i);
                i = find_chunk(o, name, &e->uuid);
        }
        chunk = o->chunks[i];
        at = find_place(chunk, name, &e->uuid, false);
        memmove(chunk->entries + at + 1, chunk->entries + at, (chunk->n - at) * sizeof(*chunk->entries));
        chunk->entries[at] = e;
        chunk->n++;
}

void order_remove(Order *o, const KeyEntry *e)
{
        size_t i = find_chunk(o, key_entry_name(e), &e->uuid);
        OrderChunk *chunk = o->chunks[i];
        size_t at = find_place(chunk, key_entry_name(e), &e->uuid, false);

        assert(at < chunk->n && chunk->entries[at] == e);
        memmove(chunk->entries + at, chunk->entries + at + 1, (chunk->n - at - 1) * sizeof(*chunk->entries));
        if (--chunk->n > 0)
                return;
        free(chunk);
        memmove(o->chunks + i, o->chunks + i + 1, (o->n - i - 1) * sizeof(*o->chunks));
        o->n--;
}

size_t order_list(const Order *o, const CatalogueCursor *after, KeyEntry **ret, size_t max)
{
        size_t n = 0, i, at;

        if (o->n == 0)
                return 0;
        i = find_chunk(o, after->name, &after->uuid);
        at = find_place(o->chunks[i], after->name, &after->uuid, true);
        for (; i < o->n && n < max; i++, at = 0)
                for (; at < o->chunks[i]->n && n < max; at++)
                        ret[n++] = o->chunks[i]->entries[at];
        return n;
}
