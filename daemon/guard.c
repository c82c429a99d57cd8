/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sanitizer.h"

#define FDS_MAX 65536     /* numbers above are not taken */
#define FDS_OF_OWNER_MAX 16 /* messages of ours carry two at most */

static __thread size_t guard_limit;
static __thread GuardOwner *guard_owner;
static _Atomic(GuardOwner *) owners[FDS_MAX]; /* by number; only the main thread has a guard, any may close */

#if SANITIZED
#define realloc_below __interceptor_realloc
#else
#define realloc_below __libc_realloc
#endif
extern void *realloc_below(void *p, size_t size);

void guard_set(size_t limit, GuardOwner *owner)
{
        guard_limit = limit;
        guard_owner = owner;
}

/* These take the place of the C library's (or of an address sanitizer's) for the whole process; the work is still done
 * by it or by the kernel. */
__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
        if (guard_limit && size > guard_limit) {
                errno = ENOMEM;
                return NULL;
        }
        return realloc_below(p, size);
}

__attribute__((visibility("default"))) int close(int fd)
{
        GuardOwner *owner = fd >= 0 && fd < FDS_MAX ? atomic_exchange(&owners[fd], NULL) : NULL;

        if (owner)
                owner->n_open--;
        return (int)syscall(SYS_close, fd);
}

static void note(int fd, GuardOwner *owner)
{
        if (fd >= FDS_MAX) {
                owner->n_open = FDS_OF_OWNER_MAX + 1;
                return;
        }
        atomic_store(&owners[fd], owner);
        owner->n_open++;
}

static void note_or_close(const struct cmsghdr *c, GuardOwner *owner, int shut)
{
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < n; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
                if (shut)
                        (void)close(fd);
                else
                        note(fd, owner);
        }
}

static void each_descriptor(struct msghdr *m, GuardOwner *owner, int shut)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        note_or_close(c, owner, shut);
}

__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
        ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

        if (n < 0 || !guard_owner)
                return n;
        each_descriptor(m, guard_owner, 0);
        if (guard_owner->n_open <= FDS_OF_OWNER_MAX)
                return n;
        each_descriptor(m, guard_owner, 1);
        errno = EMFILE;
        return -1;
}

void guard_release(GuardOwner *owner)
{
        for (int fd = 0; owner->n_open > 0 && fd < FDS_MAX; fd++)
                if (atomic_load(&owners[fd]) == owner)
                        (void)close(fd);
}
