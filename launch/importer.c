/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/importer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define IMPORT_TIME_MAX (60 * USEC_PER_SEC)

static ImporterJob *find_free(Importer *i)
{
        for (size_t k = 0; k < IMPORTERS_MAX; k++)
                if (i->jobs[k].pid == 0)
                        return &i->jobs[k];
        return NULL;
}

static void job_forget(ImporterJob *job)
{
        job->child = sd_event_source_disable_unref(job->child);
        job->timer = sd_event_source_disable_unref(job->timer);
        job->pid = 0;
}

static int on_end(sd_event_source *source, const siginfo_t *si, void *userdata)
{
        ImporterJob *job = userdata;

        (void)source;
        (void)si;
        job_forget(job);
        return sd_event_source_set_enabled(job->owner->socket, SD_EVENT_ON);
}

static int on_time_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        ImporterJob *job = userdata;

        (void)source;
        (void)usec;
        log_warning("import: took over a minute; killed");
        (void)kill(job->pid, SIGKILL);
        return 0;
}

static int job_begin(Importer *i, ImporterJob *job, int connection)
{
        ChildSpec spec = i->spec;
        int r;

        spec.sockets[0] = connection;
        job->owner = i;
        r = child_spawn(&spec, &job->pid);
        if (r) {
                job->pid = 0;
                log_warning("import: %s", strerror(-r));
                return 0; /* the peer sees its connection closed and says so */
        }
        r = child_watch(i->event, job->pid, on_end, job, &job->child);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(i->event, &job->timer, CLOCK_MONOTONIC, IMPORT_TIME_MAX, 0, on_time_over,
                        job);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Importer *i = userdata;
        ImporterJob *job = find_free(i);
        _cleanup_close_ int connection = -EBADF;

        (void)events;
        if (!job)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
                return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR ? 0 : -errno;
        return job_begin(i, job, connection);
}

int importer_start(Importer *i, int fd)
{
        return sd_event_add_io(i->event, &i->socket, fd, EPOLLIN, on_connection, i);
}

void importer_deinit(Importer *i)
{
        i->socket = sd_event_source_disable_unref(i->socket);
        for (size_t k = 0; k < IMPORTERS_MAX; k++) {
                pid_t pid = i->jobs[k].pid;

                job_forget(&i->jobs[k]);
                if (pid > 0) {
                        (void)kill(pid, SIGKILL);
                        (void)waitpid(pid, NULL, 0);
                }
        }
}
