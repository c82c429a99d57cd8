/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Arena
 *
 * Memory of one owner that is all given back at once. A policy of 100,000 rules is some 500,000 small strings
 * and arrays that live and die together; so they are cut from a few large blocks.
 */
#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
        ArenaBlock *newest;
        size_t used; /* of the newest block */
} Arena;

/* Zeroed and aligned for any type; NULL when there is no memory. */
void *arena_alloc(Arena *a, size_t size);
/* A copy of len bytes and a NUL. */
char *arena_strndup(Arena *a, const char *text, size_t len);
void arena_deinit(Arena *a);
