/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The writer
 *
 * Takes finished lines from one thread and brings them to the disk from another: whatever has come together
 * while the last sync ran is one write and one sync (group commit). Two queues take turns, so neither side
 * waits for the other. The first failed write or sync ends it for good: after a failed fdatasync nobody knows
 * what the disk has.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

#define WRITER_QUEUE_MAX (4u << 20)
#define WRITER_CHUNKS_MAX 64

typedef struct WriterChunk {
        unsigned segment;
        uint64_t offset; /* in the segment */
        size_t end;      /* in the queue's data */
} WriterChunk;

typedef struct WriterQueue {
        char *data; /* WRITER_QUEUE_MAX; pages are only touched when they are needed */
        size_t len;
        WriterChunk chunks[WRITER_CHUNKS_MAX];
        unsigned n_chunks;
        uint64_t last; /* sequence number of the last line in it */
} WriterQueue;

typedef struct Writer {
        pthread_t thread;
        bool running;
        pthread_mutex_t lock;
        pthread_cond_t work;     /* lines have come, or stop */
        pthread_cond_t progress; /* a batch is on the disk, or has failed */
        int dir_fd;              /* borrowed */
        int event_fd;
        int fd; /* of fd_segment */
        unsigned fd_segment;
        WriterQueue queues[2];
        unsigned filling; /* which of them the caller fills */
        bool busy;        /* the other one is being written */
        bool stop;
        _Atomic uint64_t durable;
        _Atomic int failed; /* 0 or -errno */
} Writer;

int writer_init(Writer *w, int dir_fd, uint64_t durable);
/* Writes what is pending, ends the thread. */
void writer_deinit(Writer *w);
/* Room for one more line of at most `len` bytes? Stays true until the line is pushed. */
bool writer_has_room(Writer *w, size_t len);
/* Hands a line over. `wake` false: somebody calls writer_wake() or writer_flush() afterwards. */
void writer_push(Writer *w, unsigned segment, uint64_t offset, Bytes line, uint64_t seq, bool wake);
void writer_wake(Writer *w);
/* Writes and syncs in this thread what the other has not taken yet. 0 or -errno. */
int writer_flush(Writer *w);
/* Waits until all that was pushed is durable. 0 or -errno. */
int writer_sync(Writer *w);
