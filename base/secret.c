/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Nothing of ours is near it; it keeps the sums below from wrapping around. */
#define SECRET_MAP_MAX ((size_t)1 << 30)
#define SECRET_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static SecretMemoryKind weakest = SECRET_MEMORY_NONE;

static size_t page_round(size_t size)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        return (size + page - 1) / page * page;
}

static int map_secret(void *at, size_t size)
{
        _cleanup_close_ int fd = -EBADF;
        void *p;

        fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return -errno;
        p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        (void)madvise(p, size, MADV_DONTFORK);
        return 0;
}

static int map_locked(void *at, size_t size)
{
        void *p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

        if (p == MAP_FAILED)
                return -errno;
        if (syscall(SYS_mlock, p, size) < 0) /* an address sanitizer's mlock(3) locks nothing */
                return -errno;
        (void)madvise(p, size, MADV_DONTDUMP);
        (void)madvise(p, size, MADV_WIPEONFORK);
        return 0;
}

int secret_map(size_t size, void **ret)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), body = page_round(size);
        SecretMemoryKind kind = SECRET_MEMORY_SECRET;
        uint8_t *guard;
        int r;

        if (size == 0 || size > SECRET_MAP_MAX)
                return -ENOMEM;

        /* One inaccessible range; its middle is replaced, so a guard page stays on either side. */
        guard = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (guard == MAP_FAILED)
                return -errno;
        r = map_secret(guard + page, body);
        if (r) {
                kind = SECRET_MEMORY_LOCKED;
                r = map_locked(guard + page, body);
        }
        if (r) {
                munmap(guard, body + 2 * page);
                return r;
        }
        if (kind > weakest)
                weakest = kind;
        *ret = guard + page;
        return 0;
}

void secret_unmap(void *p, size_t size)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), body = page_round(size);

        if (!p)
                return;
        secret_erase(p, body);
        munmap((uint8_t *)p - page, body + 2 * page);
}

SecretMemoryKind secret_memory_kind(void)
{
        return weakest;
}

int secret_new(size_t len, Secret **ret)
{
        void *p;
        int r;

        if (len > SECRET_MAP_MAX)
                return -ENOMEM;
        r = secret_map(sizeof(Secret) + len, &p);
        if (r)
                return r;
        *ret = p;
        (*ret)->len = len;
        return 0;
}

Secret *secret_free(Secret *s)
{
        if (s)
                secret_unmap(s, sizeof(Secret) + s->len);
        return NULL;
}

void secret_erase(void *p, size_t len)
{
        explicit_bzero(p, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
        const volatile uint8_t *x = a, *y = b;
        uint8_t d = 0;

        for (size_t i = 0; i < len; i++)
                d |= x[i] ^ y[i];
        return d == 0;
}

int secret_fd_new(const void *data, size_t len, int *ret_fd)
{
        _cleanup_close_ int fd = -EBADF;

        if (len == 0 || len > SECRET_FD_MAX)
                return HF_E_INVALID_ARGS;
        fd = memfd_create("holdfast-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (pwrite(fd, data, len, 0) != (ssize_t)len || fcntl(fd, F_ADD_SEALS, SECRET_SEALS | F_SEAL_SEAL) < 0)
                return errno ? -errno : -EIO;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int secret_fd_check(int fd, size_t *ret_len)
{
        struct stat st;
        int seals;

        seals = fcntl(fd, F_GET_SEALS); /* EINVAL for anything but a memfd, an O_PATH descriptor included */
        if (seals < 0 || (seals & SECRET_SEALS) != SECRET_SEALS || fstat(fd, &st) < 0)
                return HF_E_INVALID_FD;
        if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > SECRET_FD_MAX)
                return HF_E_INVALID_FD;
        *ret_len = (size_t)st.st_size;
        return 0;
}

int secret_fd_read(int fd, Secret **ret)
{
        _cleanup_(secret_freep) Secret *s = NULL;
        size_t len;
        int r;

        r = secret_fd_check(fd, &len);
        if (r)
                return r;
        r = secret_new(len, &s);
        if (r)
                return r;
        if (pread(fd, s->data, len, 0) != (ssize_t)len)
                return HF_E_INVALID_FD;
        *ret = TAKE_PTR(s);
        return 0;
}
