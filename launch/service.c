/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/service.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"

#define PAUSE_FIRST (USEC_PER_SEC / 10)
#define LIFE_GOOD (10 * USEC_PER_SEC)
#define STOP_PATIENCE (10 * USEC_PER_SEC)

static void forget_timer(Service *s)
{
        s->timer = sd_event_source_disable_unref(s->timer);
}

static int set_timer(Service *s, uint64_t usec, sd_event_time_handler_t handler)
{
        forget_timer(s);
        /* An accuracy of 0 would mean a quarter of a second, twice the first pause. */
        return sd_event_add_time_relative(s->event, &s->timer, CLOCK_MONOTONIC, usec, USEC_PER_SEC / 1000, handler, s);
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = userdata;

        (void)source;
        (void)usec;
        log_warning("%s has not said for %llu ms that it is alive; killed", s->name,
                        (unsigned long long)(s->spec.watchdog / 1000));
        service_signal(s, SIGKILL);
        return 0;
}

/* From READY=1 on; each sign of life begins the time anew. */
void service_notify_alive(Service *s)
{
        s->watchdog = sd_event_source_disable_unref(s->watchdog);
        if (s->spec.watchdog == 0 || s->state != SERVICE_READY)
                return;
        if (sd_event_add_time_relative(s->event, &s->watchdog, CLOCK_MONOTONIC, s->spec.watchdog, 0, on_silence, s) < 0)
                log_warning("%s is not watched: no memory", s->name);
}

static void describe_end(const Service *s, const siginfo_t *si)
{
        if (si->si_code == CLD_EXITED)
                log_notice("%s ended with status %d", s->name, si->si_status);
        else
                log_notice("%s was ended by signal %d", s->name, si->si_status);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = userdata;
        int r;

        (void)source;
        (void)usec;
        forget_timer(s);
        r = service_start(s);
        if (r)
                log_error("%s: %s", s->name, strerror(-r));
        return r;
}

static int pause_then_start(Service *s)
{
        uint64_t pause;

        if (clock_monotonic() - s->started >= LIFE_GOOD)
                s->pause = 0;
        pause = s->pause == 0 ? PAUSE_FIRST : s->pause * 2;
        s->pause = pause < s->pause_max ? pause : s->pause_max;
        s->state = SERVICE_PAUSED;
        return set_timer(s, s->pause, on_pause_over);
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
        Service *s = userdata;

        (void)source;
        s->child = sd_event_source_disable_unref(s->child);
        s->watchdog = sd_event_source_disable_unref(s->watchdog);
        s->pid = 0;
        forget_timer(s);
        if (s->state == SERVICE_STOPPING) {
                s->state = SERVICE_STOPPED;
                s->events->stopped(s, s->events->userdata);
                return 0;
        }
        describe_end(s, si);
        if (!s->optional && !s->was_ready && ++s->deaths_before_ready >= SERVICE_TRIES_MAX) {
                s->state = SERVICE_STOPPED;
                s->events->hopeless(s, s->events->userdata);
                return 0;
        }
        return pause_then_start(s);
}

int service_start(Service *s)
{
        int r = child_spawn(&s->spec, &s->pid);

        if (r)
                return r;
        s->started = clock_monotonic();
        s->state = SERVICE_STARTING;
        return child_watch(s->event, s->pid, on_child, s, &s->child);
}

void service_notify_ready(Service *s)
{
        if (s->state != SERVICE_STARTING)
                return;
        s->state = SERVICE_READY;
        s->was_ready = true;
        service_notify_alive(s);
        s->events->ready(s, s->events->userdata);
}

void service_signal(Service *s, int signal)
{
        if (s->pid > 0)
                (void)kill(s->pid, signal);
}

static int on_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = userdata;

        (void)source;
        (void)usec;
        forget_timer(s);
        log_warning("%s does not end by itself; killed", s->name);
        service_signal(s, SIGKILL);
        return 0;
}

void service_stop(Service *s)
{
        if (s->state == SERVICE_STOPPING)
                return;
        forget_timer(s);
        if (s->pid == 0) {
                s->state = SERVICE_STOPPED;
                s->events->stopped(s, s->events->userdata);
                return;
        }
        s->state = SERVICE_STOPPING;
        s->watchdog = sd_event_source_disable_unref(s->watchdog);
        service_signal(s, SIGTERM);
        if (set_timer(s, STOP_PATIENCE, on_patience_over) < 0)
                service_signal(s, SIGKILL);
}

void service_deinit(Service *s)
{
        forget_timer(s);
        s->watchdog = sd_event_source_disable_unref(s->watchdog);
        s->child = sd_event_source_disable_unref(s->child);
        if (s->pid > 0) {
                service_signal(s, SIGKILL);
                (void)waitpid(s->pid, NULL, 0);
        }
        s->pid = 0;
}
