/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/arena.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/secret.h"

#define BLOCK_MIN 32
#define CLASSES 34 /* 32, 48, 64, 96, ... 4 MiB: two for each power of two */
#define ALIGNMENT 16
#define MAGAZINE_CLASSES 12u /* up to 1.5 KiB */
#define MAGAZINE_MAX 16u     /* blocks of a size that one thread keeps: 100 KiB at most in all */

typedef struct Header {
        uint32_t class;
        uint32_t size; /* as asked for */
        uint64_t guard;
} Header;

typedef struct FreeBlock {
        struct FreeBlock *next;
} FreeBlock;

typedef struct Magazine {
        FreeBlock *free;
        unsigned n;
} Magazine;

typedef struct Class {
        pthread_mutex_t lock;
        FreeBlock *free;
} Class;

/* Locks and lists' heads are ordinary memory: a futex works there in any case. */
struct Arena {
        uint8_t *memory;
        size_t size;
        pthread_mutex_t lock; /* of next */
        size_t next;          /* never handed out yet, from here on */
        size_t used;          /* atomic */
        Class classes[CLASSES];
};

#define GUARD 0x486f6c6466617374ULL

_Static_assert(sizeof(Header) == ALIGNMENT, "user memory stays aligned");

static size_t class_size(uint32_t class)
{
        return (size_t)(class % 2 ? 48 : 32) << class / 2;
}

static uint32_t class_of(size_t size)
{
        uint32_t class = 0;

        while (class < CLASSES && class_size(class) < size)
                class ++;
        return class;
}

int arena_new(size_t size, Arena **ret)
{
        Arena *a = calloc(1, sizeof(*a));
        void *p;
        int r;

        if (!a)
                return -ENOMEM;
        r = secret_map(size, &p);
        if (r) {
                free(a);
                return r;
        }
        a->memory = p;
        a->size = size;
        pthread_mutex_init(&a->lock, NULL);
        for (size_t i = 0; i < CLASSES; i++)
                pthread_mutex_init(&a->classes[i].lock, NULL);
        *ret = a;
        return 0;
}

Arena *arena_free(Arena *a)
{
        if (!a)
                return NULL;
        secret_unmap(a->memory, a->size);
        free(a);
        return NULL;
}

/* OpenSSL's callbacks carry no context, so this one pointer is a global. Set once before there are threads. */
static Arena *installed;

/*
 * A signature is some fifty small blocks, taken and given back. Each thread keeps a few of the sizes it uses, erased
 * as all free ones are, so that workers do not meet at the locks. Threads of a signer live as long as it does.
 */
static _Thread_local Magazine magazines[MAGAZINE_CLASSES];

static Magazine *magazine_of(const Arena *a, uint32_t class)
{
        return a == installed && class < MAGAZINE_CLASSES ? &magazines[class] : NULL;
}

static void *take_kept(const Arena *a, uint32_t class)
{
        Magazine *m = magazine_of(a, class);
        FreeBlock *b = m ? m->free : NULL;

        if (b) {
                m->free = b->next;
                m->n--;
        }
        return b;
}

static bool keep(const Arena *a, uint32_t class, FreeBlock *b)
{
        Magazine *m = magazine_of(a, class);

        if (!m || m->n == MAGAZINE_MAX)
                return false;
        b->next = m->free;
        m->free = b;
        m->n++;
        return true;
}

static void *take_free(Class *c)
{
        FreeBlock *b;

        pthread_mutex_lock(&c->lock);
        b = c->free;
        if (b)
                c->free = b->next;
        pthread_mutex_unlock(&c->lock);
        return b;
}

static void *take_new(Arena *a, size_t size)
{
        void *p = NULL;

        pthread_mutex_lock(&a->lock);
        if (a->size - a->next >= size) {
                p = a->memory + a->next;
                a->next += size;
        }
        pthread_mutex_unlock(&a->lock);
        return p;
}

void *arena_alloc(Arena *a, size_t size)
{
        uint32_t class;
        Header *h;

        if (size == 0 || size > class_size(CLASSES - 1) - sizeof(Header))
                return NULL;
        class = class_of(size + sizeof(Header));
        h = take_kept(a, class);
        if (!h)
                h = take_free(&a->classes[class]);
        if (!h)
                h = take_new(a, class_size(class));
        if (!h)
                return NULL;
        __atomic_add_fetch(&a->used, class_size(class), __ATOMIC_RELAXED);
        *h = (Header){.class = class, .size = (uint32_t)size, .guard = GUARD ^ class};
        return h + 1;
}

/* A block that is not ours, or was written over: going on would be worse. */
static Header *header_of(void *p)
{
        Header *h = (Header *)p - 1;

        if (h->class >= CLASSES || h->guard != (GUARD ^ h->class))
                abort();
        return h;
}

void arena_release(Arena *a, void *p)
{
        uint32_t class;
        FreeBlock *b;
        Header *h;
        Class *c;

        if (!p)
                return;
        h = header_of(p);
        class = h->class;
        __atomic_sub_fetch(&a->used, class_size(class), __ATOMIC_RELAXED);
        secret_erase(h, sizeof(*h) + h->size);
        b = (FreeBlock *)h;
        if (keep(a, class, b))
                return;
        c = &a->classes[class];
        pthread_mutex_lock(&c->lock);
        b->next = c->free;
        c->free = b;
        pthread_mutex_unlock(&c->lock);
}

void *arena_realloc(Arena *a, void *p, size_t size)
{
        Header *h;
        void *q;

        if (!p)
                return arena_alloc(a, size);
        if (size == 0) {
                arena_release(a, p);
                return NULL;
        }
        h = header_of(p);
        if (size <= class_size(h->class) - sizeof(Header)) {
                if (size < h->size)
                        secret_erase((uint8_t *)p + size, h->size - size);
                h->size = (uint32_t)size;
                return p;
        }
        q = arena_alloc(a, size);
        if (!q)
                return NULL;
        memcpy(q, p, h->size);
        arena_release(a, p);
        return q;
}

void arena_usage(Arena *a, size_t *ret_used, size_t *ret_size)
{
        *ret_used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);
        *ret_size = a->size;
}

bool arena_is_tight(Arena *a)
{
        size_t used, size;

        arena_usage(a, &used, &size);
        return used > size - size / 4;
}

static void *hook_malloc(size_t size, const char *file, int line)
{
        (void)file;
        (void)line;
        return arena_alloc(installed, size);
}

static void *hook_realloc(void *p, size_t size, const char *file, int line)
{
        (void)file;
        (void)line;
        return arena_realloc(installed, p, size);
}

static void hook_free(void *p, const char *file, int line)
{
        (void)file;
        (void)line;
        arena_release(installed, p);
}

int arena_install(Arena *a)
{
        installed = a;
        return CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) == 1 ? 0 : HF_E_INTERNAL;
}
