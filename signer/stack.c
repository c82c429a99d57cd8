/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/stack.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#include "base/secret.h"

/* At the upper end of the secret memory, so that a stack that grows too deep meets the guard page below it.
 */
typedef struct Contexts {
        ucontext_t template, inside, outside;
        void (*f)(void *argument);
        void *argument;
} Contexts;

struct SecretStack {
        uint8_t *memory;
        size_t size; /* of the stack; Contexts come behind it */
        Contexts *contexts;
};

#define CONTEXTS_SPACE ((sizeof(Contexts) + 63) / 64 * 64)

int secret_stack_new(SecretStack **ret)
{
        SecretStack *s = malloc(sizeof(*s));
        void *p;
        int r;

        if (!s)
                return -ENOMEM;
        r = secret_map(SECRET_STACK_SIZE, &p);
        if (r) {
                free(s);
                return r;
        }
        s->memory = p;
        s->size = SECRET_STACK_SIZE - CONTEXTS_SPACE;
        s->contexts = (Contexts *)(s->memory + s->size);
        getcontext(&s->contexts->template);
        *ret = s;
        return 0;
}

SecretStack *secret_stack_free(SecretStack *s)
{
        if (!s)
                return NULL;
        secret_unmap(s->memory, SECRET_STACK_SIZE);
        free(s);
        return NULL;
}

/* makecontext() passes ints, so the pointer comes in halves. */
static void enter(unsigned high, unsigned low)
{
        Contexts *c = (Contexts *)((uintptr_t)high << 32 | low);

        c->f(c->argument);
}

void secret_stack_run(SecretStack *s, void (*f)(void *argument), void *argument)
{
        Contexts *c = s->contexts;
        uintptr_t p = (uintptr_t)c;

        c->f = f;
        c->argument = argument;
        c->inside = c->template;
        c->inside.uc_stack.ss_sp = s->memory;
        c->inside.uc_stack.ss_size = s->size;
        c->inside.uc_link = &c->outside;
#ifdef __x86_64__
        /* The copy must find its own floating-point area, not the template's. */
        c->inside.uc_mcontext.fpregs = &c->inside.__fpregs_mem;
#endif
        makecontext(&c->inside, (void (*)(void))enter, 2, (unsigned)((uint64_t)p >> 32), (unsigned)p);
        swapcontext(&c->outside, &c->inside);
}

void secret_stack_scrub(SecretStack *s)
{
        secret_erase(s->memory, s->size);
}
