/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secret stacks
 *
 * Whatever touches a secret runs on a stack of secret memory, since functions leave copies behind on the
 * stack they ran on. A pthread cannot have such a stack (its descriptor would lie there too, and a shared
 * futex on secret memory fails), so each worker keeps its ordinary one and switches with ucontext for the
 * time of a job. Guard pages on both sides come from secret_map().
 */
#include <stddef.h>

#define SECRET_STACK_SIZE (256u << 10)

typedef struct SecretStack SecretStack;

int secret_stack_new(SecretStack **ret);
SecretStack *secret_stack_free(SecretStack *s);
/* Runs f(argument) on the stack and comes back when it returns. One at a time, from any one thread. */
void secret_stack_run(SecretStack *s, void (*f)(void *argument), void *argument);
/* Erases what former runs left behind. Not while one is running. */
void secret_stack_scrub(SecretStack *s);
