/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secret memory
 *
 * Bytes that must not be read by anybody else, swapped or dumped. The memory is memfd_secret(2) where the kernel
 * has it (even root cannot read it through /proc/PID/mem), else anonymous memory that is locked, left out of
 * dumps and not inherited over fork. Each mapping has a guard page on either side. secret_memory_kind() says
 * which of the two this process got, so that `status` can tell.
 *
 * A Secret is not a Bytes on purpose: it does not fit where rows, log lines and messages are made. Whoever needs
 * the bytes says so by `s->data`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef enum SecretMemoryKind {
        SECRET_MEMORY_NONE,   /* nothing allocated yet */
        SECRET_MEMORY_SECRET, /* memfd_secret */
        SECRET_MEMORY_LOCKED, /* mlock, MADV_DONTDUMP, MADV_WIPEONFORK */
} SecretMemoryKind;

typedef struct Secret {
        size_t len;
        uint8_t data[];
} Secret;

/* Maps `size` bytes (rounded up to pages) of secret memory, zeroed. 0, -ENOMEM, -EPERM (RLIMIT_MEMLOCK). */
int secret_map(size_t size, void **ret);
/* Erases and unmaps what secret_map() gave for this size. NULL is fine. */
void secret_unmap(void *p, size_t size);
/* The weakest kind that secret_map() has used in this process so far. */
SecretMemoryKind secret_memory_kind(void);

/* A page or more for each secret: for a few long-lived keys, not for many small ones. */
int secret_new(size_t len, Secret **ret);
Secret *secret_free(Secret *s);
DEFINE_CLEANUP(Secret, secret_free)

/* Cannot be optimised away. */
void secret_erase(void *p, size_t len);
/* Constant time for equal lengths. */
bool secret_equal(const void *a, const void *b, size_t len);

/*
 * A secret passed by descriptor: a memfd sealed against write, shrink and grow, at most SECRET_FD_MAX bytes and at
 * least one. Type, seals and size are checked before a byte is read; anything else is HF_E_INVALID_FD.
 */
#define SECRET_FD_MAX 1024
int secret_fd_new(const void *data, size_t len, int *ret_fd);
int secret_fd_check(int fd, size_t *ret_len);
/* Reads straight into secret memory. 0, HF_E_INVALID_FD, -ENOMEM. */
int secret_fd_read(int fd, Secret **ret);
