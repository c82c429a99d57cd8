/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

typedef struct Job Job;
struct Job {
        Job *next;
        int (*work)(void *userdata);
        void (*done)(void *userdata, int result);
        void *userdata;
        int result;
};

typedef struct JobList {
        Job *first, **last;
} JobList;

struct Worker {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stop;
        JobList todo, finished;
        int event_fd;
        sd_event_source *source;
};

static void list_init(JobList *l)
{
        l->first = NULL;
        l->last = &l->first;
}

static void list_push(JobList *l, Job *j)
{
        j->next = NULL;
        *l->last = j;
        l->last = &j->next;
}

static Job *list_pop(JobList *l)
{
        Job *j = l->first;

        if (j) {
                l->first = j->next;
                if (!l->first)
                        l->last = &l->first;
        }
        return j;
}

static void *run(void *userdata)
{
        Worker *w = userdata;
        Job *j;

        pthread_mutex_lock(&w->lock);
        for (;;) {
                while (!(j = list_pop(&w->todo)) && !w->stop)
                        pthread_cond_wait(&w->wake, &w->lock);
                if (!j)
                        break;
                pthread_mutex_unlock(&w->lock);
                j->result = j->work(j->userdata);
                pthread_mutex_lock(&w->lock);
                list_push(&w->finished, j);
                (void)eventfd_write(w->event_fd, 1);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

static int on_finished(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Worker *w = userdata;
        eventfd_t n;
        Job *j;

        (void)source;
        (void)events;
        (void)eventfd_read(fd, &n);
        for (;;) {
                pthread_mutex_lock(&w->lock);
                j = list_pop(&w->finished);
                pthread_mutex_unlock(&w->lock);
                if (!j)
                        return 0;
                j->done(j->userdata, j->result);
                free(j);
        }
}

int worker_new(sd_event *event, Worker **ret)
{
        Worker *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->wake, NULL);
        list_init(&w->todo);
        list_init(&w->finished);
        w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = w->event_fd < 0 ? -errno
                            : sd_event_add_io(event, &w->source, w->event_fd, EPOLLIN, on_finished, w);
        if (r >= 0)
                r = -pthread_create(&w->thread, NULL, run, w);
        if (r < 0) {
                sd_event_source_unref(w->source);
                safe_close(w->event_fd);
                free(w);
                return r;
        }
        *ret = w;
        return 0;
}

Worker *worker_free(Worker *w)
{
        if (!w)
                return NULL;
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
        on_finished(NULL, w->event_fd, 0, w);
        sd_event_source_disable_unref(w->source);
        safe_close(w->event_fd);
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

int worker_post(Worker *w, int (*work)(void *userdata), void (*done)(void *userdata, int result),
                void *userdata)
{
        Job *j = w ? calloc(1, sizeof(*j)) : NULL;

        if (!w)
                return -ESHUTDOWN; /* holdfastd is about to end */
        if (!j)
                return -ENOMEM;
        *j = (Job){.work = work, .done = done, .userdata = userdata};
        pthread_mutex_lock(&w->lock);
        list_push(&w->todo, j);
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
        return 0;
}
