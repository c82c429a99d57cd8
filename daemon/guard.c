/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guard.h"

#include <errno.h>
#include <stdlib.h>

static __thread size_t guard_limit;

extern void *__libc_realloc(void *p, size_t size);

void guard_set(size_t limit)
{
        guard_limit = limit;
}

/* Takes the place of the C library's for the whole process; the allocation itself is still the C library's.
 */
__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
        if (guard_limit && size > guard_limit) {
                errno = ENOMEM;
                return NULL;
        }
        return __libc_realloc(p, size);
}
