/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "audit/segment.h"
#include "base/error.h"
#include "base/io.h"

static int switch_segment(Writer *w, unsigned number)
{
        int fd, r;

        if (w->fd >= 0 && w->fd_segment == number)
                return 0;
        r = segment_open(w->dir_fd, number, true, &fd, NULL);
        if (r)
                return r < 0 ? r : -EIO;
        safe_close(w->fd);
        w->fd = fd;
        w->fd_segment = number;
        return 0;
}

/* A segment is synced before the next one gets its first line: what is readable there vouches for all before
 * it. */
static int write_queue(Writer *w, const WriterQueue *q)
{
        size_t begin = 0;
        int r;

        for (unsigned i = 0; i < q->n_chunks; i++) {
                const WriterChunk *chunk = &q->chunks[i];

                r = switch_segment(w, chunk->segment);
                if (r)
                        return r;
                r = io_pwrite_full(w->fd, q->data + begin, chunk->end - begin, (off_t)chunk->offset);
                if (r)
                        return r;
                if (fdatasync(w->fd) < 0)
                        return -errno;
                begin = chunk->end;
        }
        return 0;
}

/* With the lock held and work there: swaps the queues, writes without the lock, tells. */
static void run_batch(Writer *w)
{
        WriterQueue *q = &w->queues[w->filling];
        uint64_t one = 1;
        int r;

        w->filling ^= 1;
        w->busy = true;
        pthread_mutex_unlock(&w->lock);
        r = atomic_load(&w->failed);
        if (!r)
                r = write_queue(w, q);
        if (r)
                atomic_store(&w->failed, r);
        else
                atomic_store(&w->durable, q->last);
        q->len = 0;
        q->n_chunks = 0;
        if (write(w->event_fd, &one, sizeof(one)) < 0)
                (void)errno; /* EAGAIN: it is readable already */
        pthread_mutex_lock(&w->lock);
        w->busy = false;
        pthread_cond_broadcast(&w->progress);
}

static bool pending(const Writer *w)
{
        return w->queues[w->filling].len > 0;
}

static void *work(void *userdata)
{
        Writer *w = userdata;

        pthread_mutex_lock(&w->lock);
        for (;;) {
                if (!w->busy && pending(w))
                        run_batch(w);
                else if (w->stop && !w->busy)
                        break;
                else
                        pthread_cond_wait(w->busy ? &w->progress : &w->work, &w->lock);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

static int start_thread(Writer *w)
{
        sigset_t all, before;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, NULL, work, w);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        w->running = r == 0;
        return -r;
}

int writer_init(Writer *w, int dir_fd, uint64_t durable)
{
        *w = (Writer){.dir_fd = dir_fd, .event_fd = -EBADF, .fd = -EBADF};
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->work, NULL);
        pthread_cond_init(&w->progress, NULL);
        atomic_init(&w->durable, durable);
        w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->event_fd < 0)
                return -errno;
        for (int i = 0; i < 2; i++) {
                w->queues[i].data = malloc(WRITER_QUEUE_MAX);
                if (!w->queues[i].data)
                        return -ENOMEM;
        }
        return start_thread(w);
}

void writer_deinit(Writer *w)
{
        if (w->running) {
                pthread_mutex_lock(&w->lock);
                w->stop = true;
                pthread_cond_signal(&w->work);
                pthread_mutex_unlock(&w->lock);
                pthread_join(w->thread, NULL);
                w->running = false;
        }
        for (int i = 0; i < 2; i++) {
                free(w->queues[i].data);
                w->queues[i].data = NULL;
        }
        w->fd = safe_close(w->fd);
        w->event_fd = safe_close(w->event_fd);
        pthread_cond_destroy(&w->progress);
        pthread_cond_destroy(&w->work);
        pthread_mutex_destroy(&w->lock);
}

bool writer_has_room(Writer *w, size_t len)
{
        const WriterQueue *q;
        bool yes;

        pthread_mutex_lock(&w->lock);
        q = &w->queues[w->filling];
        yes = len <= WRITER_QUEUE_MAX - q->len && q->n_chunks < WRITER_CHUNKS_MAX;
        pthread_mutex_unlock(&w->lock);
        return yes;
}

void writer_push(Writer *w, unsigned segment, uint64_t offset, Bytes line, uint64_t seq, bool wake)
{
        WriterChunk *last;
        WriterQueue *q;
        bool tell;

        pthread_mutex_lock(&w->lock);
        q = &w->queues[w->filling];
        last = q->n_chunks > 0 ? &q->chunks[q->n_chunks - 1] : NULL;
        if (!last || last->segment != segment) {
                last = &q->chunks[q->n_chunks++];
                *last = (WriterChunk){.segment = segment, .offset = offset};
        }
        memcpy(q->data + q->len, line.data, line.len);
        q->len += line.len;
        last->end = q->len;
        q->last = seq;
        tell = wake && !w->busy;
        pthread_mutex_unlock(&w->lock);
        /* Behind the lock, or the thread would wake up to wait for it. */
        if (tell)
                pthread_cond_signal(&w->work);
}

void writer_wake(Writer *w)
{
        bool tell;

        pthread_mutex_lock(&w->lock);
        tell = pending(w) && !w->busy;
        pthread_mutex_unlock(&w->lock);
        if (tell)
                pthread_cond_signal(&w->work);
}

int writer_flush(Writer *w)
{
        pthread_mutex_lock(&w->lock);
        if (!w->busy && pending(w))
                run_batch(w);
        pthread_mutex_unlock(&w->lock);
        return atomic_load(&w->failed);
}

int writer_sync(Writer *w)
{
        pthread_mutex_lock(&w->lock);
        while (pending(w) || w->busy)
                if (w->busy)
                        pthread_cond_wait(&w->progress, &w->lock);
                else
                        run_batch(w);
        pthread_mutex_unlock(&w->lock);
        return atomic_load(&w->failed);
}
