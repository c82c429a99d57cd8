/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

struct QueueUid {
        QueueUid *bucket_next;
        QueueUid *before, *after; /* ring of those with work */
        uint32_t uid;
        size_t n;
        QueueItem *first, **last;
};

static QueueUid **bucket_of(Queue *q, uint32_t uid)
{
        return &q->buckets[(uid ^ uid >> 8 ^ uid >> 16) % 256];
}

static QueueUid *uid_find(Queue *q, uint32_t uid)
{
        for (QueueUid *u = *bucket_of(q, uid); u; u = u->bucket_next)
                if (u->uid == uid)
                        return u;
        return NULL;
}

/* A newcomer's turn comes after everybody else's. */
static QueueUid *uid_new(Queue *q, uint32_t uid)
{
        QueueUid **bucket = bucket_of(q, uid), *u = calloc(1, sizeof(*u));

        if (!u)
                return NULL;
        u->uid = uid;
        u->last = &u->first;
        u->bucket_next = *bucket;
        *bucket = u;
        if (q->turn) {
                u->after = q->turn;
                u->before = q->turn->before;
                u->before->after = u;
                u->after->before = u;
        } else {
                u->before = u->after = u;
                q->turn = u;
        }
        return u;
}

static void uid_free(Queue *q, QueueUid *u)
{
        QueueUid **p = bucket_of(q, u->uid);

        while (*p != u)
                p = &(*p)->bucket_next;
        *p = u->bucket_next;
        if (q->turn == u)
                q->turn = u->after == u ? NULL : u->after;
        u->before->after = u->after;
        u->after->before = u->before;
        free(u);
}

int queue_push(Queue *q, QueueItem *item)
{
        QueueUid *u;

        if (q->n >= QUEUE_ALL_MAX)
                return HF_E_BUSY;
        u = uid_find(q, item->uid);
        if (!u)
                u = uid_new(q, item->uid);
        if (!u)
                return -ENOMEM;
        if (u->n >= QUEUE_UID_MAX)
                return HF_E_LIMIT_EXCEEDED;
        item->next = NULL;
        *u->last = item;
        u->last = &item->next;
        u->n++;
        q->n++;
        return 0;
}

QueueItem *queue_pop(Queue *q)
{
        QueueUid *u = q->turn;
        QueueItem *item;

        if (!u)
                return NULL;
        item = u->first;
        u->first = item->next;
        if (!u->first)
                u->last = &u->first;
        u->n--;
        q->n--;
        q->turn = u->after;
        if (u->n == 0)
                uid_free(q, u);
        item->next = NULL;
        return item;
}
