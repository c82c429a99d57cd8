/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Arena: OpenSSL's heap in secret memory
 *
 * OpenSSL copies key material into dozens of small allocations, so all of its heap lies in one piece of
 * secret memory (base/secret.h), mapped before the system-call filter closes. Blocks come in size classes
 * with a free list each; a block is erased when it is freed. There is no coalescing: what a signer allocates
 * is the same few sizes again and again. Thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>

typedef struct Arena Arena;

/* 0, -ENOMEM, -EPERM. */
int arena_new(size_t size, Arena **ret);
Arena *arena_free(Arena *a);
/* NULL when it is full. Zero bytes are NULL as well. */
void *arena_alloc(Arena *a, size_t size);
void *arena_realloc(Arena *a, void *p, size_t size);
void arena_release(Arena *a, void *p);
/* Bytes in blocks that are not free, and of the whole. */
void arena_usage(Arena *a, size_t *ret_used, size_t *ret_size);
/* Less than a quarter is left: a cache should let go. */
bool arena_is_tight(Arena *a);

/* Makes the arena the heap of OpenSSL. Before any other call of OpenSSL; once per process, for ever.
 * HF_E_INTERNAL: OpenSSL has allocated already. */
int arena_install(Arena *a);
