/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks are chained from the newest to the oldest; what does not fit into the rest of the newest starts a
 * new one, and what is larger than a block gets a block of its own size.
 */
#include "policy/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)64 * 1024)

struct ArenaBlock {
        ArenaBlock *older;
        size_t size;
        max_align_t data[];
};

static int add_block(Arena *a, size_t size)
{
        ArenaBlock *block = calloc(1, sizeof(ArenaBlock) + size);

        if (!block)
                return -1;
        *block = (ArenaBlock){.older = a->newest, .size = size};
        a->newest = block;
        a->used = 0;
        return 0;
}

void *arena_alloc(Arena *a, size_t size)
{
        void *p;

        if (size > SIZE_MAX / 2)
                return NULL;
        size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
        if ((!a->newest || a->newest->size - a->used < size) &&
                        add_block(a, size > BLOCK_SIZE ? size : BLOCK_SIZE) < 0)
                return NULL;
        p = (char *)a->newest->data + a->used;
        a->used += size;
        return p;
}

char *arena_strndup(Arena *a, const char *text, size_t len)
{
        char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

        return p ? memcpy(p, text, len) : NULL;
}

void arena_deinit(Arena *a)
{
        while (a->newest) {
                ArenaBlock *older = a->newest->older;

                free(a->newest);
                a->newest = older;
        }
        a->used = 0;
}
