/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/table.h"

#include <assert.h>
#include <stdlib.h>

#define TABLE_SIZE_MIN 64

void table_deinit(Table *t)
{
        free(t->cells);
        t->cells = NULL;
        t->size = t->used = 0;
}

static void place(Table *t, const Catalogue *c, KeyEntry *e)
{
        size_t i = t->hash(c, e) & (t->size - 1);

        while (t->cells[i])
                i = (i + 1) & (t->size - 1);
        t->cells[i] = e;
}

int table_reserve(Table *t, const Catalogue *c, size_t n)
{
        Table larger = {.size = t->size ? t->size : TABLE_SIZE_MIN, .used = t->used, .hash = t->hash};

        while (larger.size - larger.size / 4 < n)
                larger.size *= 2;
        if (larger.size == t->size)
                return 0;
        larger.cells = calloc(larger.size, sizeof(*larger.cells));
        if (!larger.cells)
                return -ENOMEM;
        for (size_t i = 0; i < t->size; i++)
                if (t->cells[i])
                        place(&larger, c, t->cells[i]);
        free(t->cells);
        *t = larger;
        return 0;
}

KeyEntry **table_find(const Table *t, uint64_t hash, bool (*matches)(const KeyEntry *e, const void *what),
                const void *what)
{
        size_t i;

        if (t->size == 0)
                return NULL;
        i = hash & (t->size - 1);
        while (t->cells[i] && !matches(t->cells[i], what))
                i = (i + 1) & (t->size - 1);
        return &t->cells[i];
}

void table_add(Table *t, const Catalogue *c, KeyEntry *e)
{
        assert(t->used < t->size - t->size / 4);
        place(t, c, e);
        t->used++;
}

/* Knuth, volume 3, section 6.4, algorithm R: what follows moves up unless it would pass its own place. */
void table_remove(Table *t, const Catalogue *c, KeyEntry **cell)
{
        size_t mask = t->size - 1, gap = (size_t)(cell - t->cells);

        assert(*cell);
        for (size_t i = (gap + 1) & mask; t->cells[i]; i = (i + 1) & mask) {
                size_t home = t->hash(c, t->cells[i]) & mask;

                if (((i - home) & mask) >= ((i - gap) & mask)) {
                        t->cells[gap] = t->cells[i];
                        gap = i;
                }
        }
        t->cells[gap] = NULL;
        t->used--;
}
