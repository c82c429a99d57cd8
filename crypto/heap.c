/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/heap.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

static void *or_end(void *p)
{
        if (p)
                return p;
        log_error("no memory for cryptography; ending, so that nothing is half written");
        _exit(EXIT_FAILURE);
}

/* OpenSSL asks for no block of no bytes. */
static void *take(size_t size, const char *file, int line)
{
        (void)file;
        (void)line;
        return size ? or_end(malloc(size)) : NULL;
}

static void *resize(void *p, size_t size, const char *file, int line)
{
        (void)file;
        (void)line;
        if (size)
                return or_end(realloc(p, size));
        free(p);
        return NULL;
}

static void give_back(void *p, const char *file, int line)
{
        (void)file;
        (void)line;
        free(p);
}

int crypto_heap_must_not_fail(void)
{
        return CRYPTO_set_mem_functions(take, resize, give_back) == 1 ? 0 : HF_E_INTERNAL;
}
