/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The segment after this one
 *
 * Filling 16 MiB with zeros takes a moment, and nobody should wait for it: a thread of its own makes the next
 * segment as soon as the current one is taken, and sleeps otherwise.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Spare {
        pthread_t thread;
        bool running;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int dir_fd; /* borrowed */
        uint64_t size;
        unsigned wanted; /* make this one */
        unsigned ready;  /* this one is there */
        int error;       /* of the last try for `wanted`; 0 while it is under way or done */
        bool stop;
} Spare;

/* `ready` is a segment that exists already. */
int spare_init(Spare *s, int dir_fd, uint64_t size, unsigned ready);
void spare_deinit(Spare *s);
/* Make this one, or try again after an error. */
void spare_want(Spare *s, unsigned number);
/* Waits while it is under way. 0: it is there; else what became of the last try (HF_E_LOG_FULL, -errno). */
int spare_wait(Spare *s, unsigned number);
