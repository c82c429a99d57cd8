/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory runs out at a moment that a test chooses
 *
 * Linked into test builds of holdfastd and holdfast-signer, whose own objects are those that are shipped: the
 * allocators of the C library, mmap(2) and, in the signer, the arena that OpenSSL allocates from are taken over,
 * numbered, and fail where allocation.h says. Everything else is done by those who did it before.
 */
#include "allocation.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAKEN_OVER __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

/* ours, and what daemon/guard.c calls from its own realloc() */
void *__libc_realloc(void *p, size_t size);

static AllocationControl none; /* before the file is there, and if there is none */
static AllocationControl *control = &none;
static void *(*next_realloc)(void *, size_t);

static void *map_file(const char *path)
{
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *p = fd < 0 ? MAP_FAILED
                         : (void *)syscall(SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (fd >= 0)
                (void)close(fd);
        return p;
}

__attribute__((constructor)) static void find_control(void)
{
        static const char suffix[] = ".allocations";
        char path[4096];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(suffix));
        void *p;

        if (n <= 0)
                return;
        (void)snprintf(path + n, sizeof(suffix), "%s", suffix);
        p = map_file(path);
        if (p == MAP_FAILED)
                return;
        control = p;
        atomic_store(&control->live, 0);
}

/* libseccomp 2.5 does not survive it: it crashes, loops, or loads a filter that refuses everything. It runs once, before
 * anybody is served, so it is left out. */
static bool is_libseccomp(const void *caller)
{
        const char *name;
        Dl_info info;

        name = dladdr(caller, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
        return name && strncmp(name, "/libseccomp.", 12) == 0;
}

static bool fails(const void *caller)
{
        uint64_t n, first, length;

        if (!atomic_load(&control->armed) || is_libseccomp(caller))
                return false;
        n = atomic_fetch_add(&control->count, 1) + 1;
        first = atomic_load(&control->first);
        length = atomic_load(&control->length);
        if (first == 0 || n < first || n - first >= length)
                return false;
        atomic_fetch_add(&control->failed, 1);
        errno = ENOMEM;
        return true;
}

static void *counted(void *p)
{
        if (p)
                atomic_fetch_add(&control->live, 1);
        return p;
}

/* ---- the C library ---- */

TAKEN_OVER void *malloc(size_t size)
{
        return fails(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(size));
}

TAKEN_OVER void *calloc(size_t n, size_t size)
{
        return fails(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(n, size));
}

TAKEN_OVER void *aligned_alloc(size_t alignment, size_t size)
{
        return fails(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, size));
}

TAKEN_OVER void *memalign(size_t alignment, size_t size)
{
        return aligned_alloc(alignment, size);
}

TAKEN_OVER int posix_memalign(void **ret, size_t alignment, size_t size)
{
        void *p = aligned_alloc(alignment, size);

        if (!p)
                return ENOMEM;
        *ret = p;
        return 0;
}

TAKEN_OVER void *__libc_realloc(void *p, size_t size)
{
        void *q;

        if (!next_realloc)
                next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
        if (fails(__builtin_return_address(0)))
                return NULL;
        q = next_realloc(p, size);
        if (!p)
                return counted(q);
        if (size == 0)
                atomic_fetch_sub(&control->live, 1);
        return q;
}

/* holdfastd has one of its own. */
__attribute__((weak)) TAKEN_OVER void *realloc(void *p, size_t size)
{
        return __libc_realloc(p, size);
}

TAKEN_OVER void free(void *p)
{
        if (!p)
                return;
        atomic_fetch_sub(&control->live, 1);
        __libc_free(p);
}

TAKEN_OVER void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
        return fails(__builtin_return_address(0)) ? MAP_FAILED : (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

/* ---- OpenSSL, where it was given a heap of its own ---- */

#ifdef OWN_HEAP_OF_OPENSSL

#include <openssl/crypto.h>

static CRYPTO_malloc_fn given_malloc;
static CRYPTO_realloc_fn given_realloc;

static void *openssl_malloc(size_t size, const char *file, int line)
{
        return fails(__builtin_return_address(0)) ? NULL : given_malloc(size, file, line);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
        return size && fails(__builtin_return_address(0)) ? NULL : given_realloc(p, size, file, line);
}

TAKEN_OVER int CRYPTO_set_mem_functions(CRYPTO_malloc_fn m, CRYPTO_realloc_fn r, CRYPTO_free_fn f)
{
        int (*next)(CRYPTO_malloc_fn, CRYPTO_realloc_fn, CRYPTO_free_fn) =
                        (int (*)(CRYPTO_malloc_fn, CRYPTO_realloc_fn, CRYPTO_free_fn))dlsym(
                                        RTLD_NEXT, "CRYPTO_set_mem_functions");

        given_malloc = m;
        given_realloc = r;
        return next(openssl_malloc, openssl_realloc, f);
}

#endif
