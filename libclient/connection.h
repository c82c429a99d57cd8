/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Connection
 *
 * One sd-bus connection behind a mutex, made at first use and made again where it was lost. It lives in
 * foreign processes, so it takes nothing for granted there: before each use it checks that this is still the
 * process that connected (fork) and that the descriptor is still the socket it was (programs that close all
 * descriptors). Where it is not, the old sd-bus object is left behind as it is: not a byte is sent through it
 * and nothing of it is closed. Of a process that has become another user it is closed, and made again as that one.
 */
#include <holdfast-admin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "libclient/road.h"

/* Above what the service gives a TPM (link/tpm.h) and its watchdog a daemon that hangs: who calls hears from it. */
#define HF_TIMEOUT_USUAL (90 * 1000000ULL)

/* A call whose answer goes to a callback. */
typedef struct Pending Pending;
struct Pending {
        Pending *next;
        HfConnection *connection;
        HfSignCallback callback;
        void *userdata;
        int result;
        size_t sig_len;
        uint8_t sig[HF_SIGNATURE_MAX];
};

struct HfConnection {
        pthread_mutex_t mutex;
        _Atomic pid_t pid; /* of the process that may use what follows; 0 while a forked child takes over */
        RoadKind wanted;
        char *path;
        uint64_t timeout;
        sd_bus *bus;   /* NULL: not connected */
        RoadKind road; /* of bus */
        int fd;        /* of bus, with what it was when it was made */
        uid_t uid;     /* who connected: effective user and group */
        gid_t gid;
        dev_t dev;
        ino_t ino;
        Pending *pending; /* sent */
        Pending *done;    /* answered or failed, not called back yet; the newest first */
};

int connection_new(RoadKind wanted, const char *path, HfConnection **ret);

/* The connection meant by a public argument: NULL is the default one. Out of memory: NULL. */
HfConnection *connection_or_default(HfConnection *c);

/* Every use stands between these two. */
void connection_lock(HfConnection *c);
void connection_unlock(HfConnection *c);

/* Locked: the functions below. */

/* Connects if it is not connected or the other side is gone. 0 or -errno. */
int connection_ensure(HfConnection *c);
/* The connection broke: closes it and fails what is pending. */
void connection_drop(HfConnection *c);
bool connection_is_broken(int r);
/* Moves a pending call to those done. */
void connection_finish(HfConnection *c, Pending *p, int result);

/* Reads the answer under the lock; returns 0 or a result that was set. */
typedef int (*ReplyReader)(sd_bus_message *reply, void *userdata);

/* The road of every synchronous call: lock, connect, send, wait, read. 0 or a result that was set. */
int connection_call(HfConnection *c, const HfCall *call, ReplyReader read, void *userdata);
/* Makes the message; the connection is there. 0, or a result that was set. */
int call_build(HfConnection *c, const HfCall *call, sd_bus_message **ret);

static inline void connection_unlockp(HfConnection **c)
{
        if (*c)
                connection_unlock(*c);
}

static inline void message_unrefp(sd_bus_message **m)
{
        sd_bus_message_unref(*m);
}

#define _cleanup_message_ _cleanup_(message_unrefp)
