/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Fair queue
 *
 * Jobs wait by the uid they are for, and the uids take turns: one that sends a thousand delays another by one
 * job, not by a thousand. Bounded per uid and in all. No lock of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_UID_MAX 1024u /* jobs waiting for one uid */
#define QUEUE_ALL_MAX 8192u

/* First member of what is queued. */
typedef struct QueueItem {
        struct QueueItem *next;
        uint32_t uid;
} QueueItem;

typedef struct QueueUid QueueUid;

typedef struct Queue {
        size_t n;
        QueueUid *turn; /* whose turn it is; the waiting uids are a ring */
        QueueUid *buckets[256];
} Queue;

/* 0, HF_E_LIMIT_EXCEEDED (this uid's), HF_E_BUSY (all), -ENOMEM. */
int queue_push(Queue *q, QueueItem *item);
/* NULL when it is empty. */
QueueItem *queue_pop(Queue *q);
