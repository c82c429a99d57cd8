/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Service: a program that is to be running
 *
 * Started once, then again whenever it ends, after a pause of 100 ms that doubles each time up to a limit and
 * goes back to 100 ms once the program has lived for ten seconds. One that is to say now and then that it is alive, and
 * does not, is killed. Nothing waits: pauses are timers of the loop.
 */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "launch/child.h"

typedef enum ServiceState {
        _SERVICE_STATE_INVALID = 0,
        SERVICE_STARTING, /* runs, has not said READY=1 */
        SERVICE_READY,    /* runs and has said so */
        SERVICE_PAUSED,   /* ended, will be started again */
        SERVICE_STOPPING, /* told to end */
        SERVICE_STOPPED,  /* ended and stays so */
} ServiceState;

typedef struct Service Service;

typedef struct ServiceEvents {
        void (*ready)(Service *s, void *userdata);   /* each time it becomes ready */
        void (*stopped)(Service *s, void *userdata); /* after service_stop() */
        void (*hopeless)(Service *s, void *userdata); /* SERVICE_TRIES_MAX deaths before it was ever ready */
        void *userdata;
} ServiceEvents;

#define SERVICE_TRIES_MAX 5

struct Service {
        const char *name;
        ChildSpec spec;
        const ServiceEvents *events;
        sd_event *event;
        sd_event_source *child, *timer, *watchdog;
        pid_t pid; /* 0: does not run */
        ServiceState state;
        bool optional; /* the others go on without it, so it is never given up */
        bool was_ready;
        unsigned deaths_before_ready;
        uint64_t started; /* monotonic, microseconds */
        uint64_t pause, pause_max;
};

/* Starts it. All other fields are set by the caller with an initialiser before. 0 or -errno. */
int service_start(Service *s);
/* It said READY=1. */
void service_notify_ready(Service *s);
/* It said WATCHDOG=1. */
void service_notify_alive(Service *s);
/* SIGTERM, SIGKILL after ten seconds; events->stopped follows, at once if it does not run. */
void service_stop(Service *s);
void service_signal(Service *s, int signal);
/* Forgets timers; kills what still runs. */
void service_deinit(Service *s);
#define _cleanup_service_ __attribute__((cleanup(service_deinit)))
