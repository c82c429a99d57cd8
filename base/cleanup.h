/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Scoped cleanup
 *
 * A variable marked `_cleanup_(f)` has f(&variable) called when it leaves its scope; TAKE_PTR and TAKE_FD hand
 * ownership over and leave the empty value behind. With these, goto is hardly ever needed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define DEFINE_CLEANUP(type, func)                                                                           \
        static inline void func##p(type **p)                                                                 \
        {                                                                                                    \
                if (*p)                                                                                      \
                        func(*p);                                                                            \
        }

#define TAKE_PTR(ptr)                                                                                        \
        ({                                                                                                   \
                __typeof__(ptr) *pp_ = &(ptr);                                                               \
                __typeof__(ptr) p_ = *pp_;                                                                   \
                *pp_ = NULL;                                                                                 \
                p_;                                                                                          \
        })

#define TAKE_FD(fd)                                                                                          \
        ({                                                                                                   \
                int *fdp_ = &(fd);                                                                           \
                int fd_ = *fdp_;                                                                             \
                *fdp_ = -EBADF;                                                                              \
                fd_;                                                                                         \
        })

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

static inline void freep(void *p)
{
        free(*(void **)p);
}

/* Closes fd if it is one and returns the empty value; errno is kept. */
static inline int safe_close(int fd)
{
        if (fd >= 0) {
                int e = errno;

                close(fd);
                errno = e;
        }
        return -EBADF;
}

static inline void closep(int *fd)
{
        safe_close(*fd);
}

static inline void fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
