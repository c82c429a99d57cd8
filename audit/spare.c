/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/spare.h"

#include <signal.h>

#include "audit/segment.h"

static void *work(void *userdata)
{
        Spare *s = userdata;
        unsigned number;
        int r;

        pthread_mutex_lock(&s->lock);
        for (;;) {
                while (!s->stop && (s->wanted == s->ready || s->error))
                        pthread_cond_wait(&s->changed, &s->lock);
                if (s->stop)
                        break;
                number = s->wanted;
                pthread_mutex_unlock(&s->lock);
                r = segment_make(s->dir_fd, number, s->size);
                pthread_mutex_lock(&s->lock);
                if (r)
                        s->error = r;
                else
                        s->ready = number;
                pthread_cond_broadcast(&s->changed);
        }
        pthread_mutex_unlock(&s->lock);
        return NULL;
}

int spare_init(Spare *s, int dir_fd, uint64_t size, unsigned ready)
{
        sigset_t all, before;
        int r;

        *s = (Spare){.dir_fd = dir_fd, .size = size, .wanted = ready, .ready = ready};
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&s->thread, NULL, work, s);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        s->running = r == 0;
        return -r;
}

void spare_deinit(Spare *s)
{
        if (!s->running)
                return;
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        s->running = false;
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
}

void spare_want(Spare *s, unsigned number)
{
        pthread_mutex_lock(&s->lock);
        if (s->ready < number) {
                s->wanted = number;
                s->error = 0;
                pthread_cond_broadcast(&s->changed);
        }
        pthread_mutex_unlock(&s->lock);
}

int spare_wait(Spare *s, unsigned number)
{
        int r;

        pthread_mutex_lock(&s->lock);
        while (s->ready < number && s->wanted == number && !s->error)
                pthread_cond_wait(&s->changed, &s->lock);
        r = s->ready >= number ? 0 : s->error;
        pthread_mutex_unlock(&s->lock);
        return r;
}
