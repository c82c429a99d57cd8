/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/traces.h"

#include <malloc.h>
#include <stdlib.h>
#include <tss2/tss2_sys.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sanitizer.h"
#include "base/secret.h"

#define SHORTEST 16
#define KINDS_MIN 8 /* different bytes among them: fewer are counters and flags, which stand everywhere */
#define PLACES_MAX 16
#define STACK_BELOW (32u << 10)

static uint8_t *heap;

static struct {
        uint64_t life;
        uint8_t *at[PLACES_MAX];
        size_t n;
} places;

#if !SANITIZED
extern void __libc_free(void *p);

__attribute__((visibility("default"))) void free(void *p)
{
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        __libc_free(p);
}
#endif

void traces_begin(void)
{
        heap = sbrk(0);
}

/* A secret that looks like anything else in the heap cannot be searched for: erasing would hit what is not it. */
static bool is_telling(const uint8_t *secret, size_t len)
{
        bool seen[256] = {};
        size_t kinds = 0;

        for (size_t i = 0; i < len; i++) {
                kinds += !seen[secret[i]];
                seen[secret[i]] = true;
        }
        return len >= SHORTEST && kinds >= KINDS_MIN;
}

void traces_add(Traces *t, const uint8_t *secret, size_t len)
{
        if (len > TRACE_SIZE || t->n == TRACES_MAX || !is_telling(secret, len))
                return;
        memcpy(t->secrets[t->n].bytes, secret, len);
        t->secrets[t->n++].len = len;
}

__attribute__((noinline)) static void erase_stack(void)
{
        uint8_t below[STACK_BELOW];

        secret_erase(below, sizeof(below));
}

/* The buffer in which the library builds commands and takes answers apart is the end of its context. */
static void erase_command(Device *d)
{
        TSS2_SYS_CONTEXT *sys = NULL;
        size_t size = Tss2_Sys_GetContextSize(0);

        if (d->esys && Esys_GetSysContext(d->esys, &sys) == 0 && size > TPM2_MAX_COMMAND_SIZE)
                secret_erase((uint8_t *)sys + size - TPM2_MAX_COMMAND_SIZE, TPM2_MAX_COMMAND_SIZE);
}

static void remember(uint8_t *at)
{
        if (places.n < PLACES_MAX)
                places.at[places.n++] = at;
}

/* Only ever erases what is the secret itself. */
static void erase_known(const uint8_t *secret, size_t len)
{
        for (size_t i = 0; i < places.n; i++)
                if (places.at[i] + len <= (uint8_t *)sbrk(0) && memcmp(places.at[i], secret, len) == 0)
                        secret_erase(places.at[i], len);
}

static void erase_everywhere(const uint8_t *secret, size_t len)
{
        uint8_t *end = sbrk(0), *p = heap;

        while (p && p < end && (p = memmem(p, (size_t)(end - p), secret, len))) {
                remember(p);
                secret_erase(p, len);
                p += len;
        }
}

void traces_erase(Traces *t, Device *d, uint64_t life, bool known)
{
        bool search = !known || places.life != life;

        if (SANITIZED)
                return;
        if (places.life != life)
                places.n = 0;
        if (known)
                places.life = life;
        erase_command(d);
        erase_stack();
        for (size_t i = 0; i < t->n; i++) {
                erase_known(t->secrets[i].bytes, t->secrets[i].len);
                if (search)
                        erase_everywhere(t->secrets[i].bytes, t->secrets[i].len);
        }
        secret_erase(t, sizeof(*t));
}
