/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connection: lock, process and descriptor checks, connect and drop; see connection.h for why. */
#include "libclient/connection.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/names.h"
#include "libclient/error.h"


int connection_new(RoadKind wanted, const char *path, HfConnection **ret)
{
        HfConnection *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->fd = -EBADF;
        c->wanted = wanted;
        c->timeout = HF_TIMEOUT_USUAL;
        c->path = path ? strdup(path) : NULL;
        if (path && !c->path) {
                free(c);
                return -ENOMEM;
        }
        pthread_mutex_init(&c->mutex, NULL);
        atomic_store(&c->pid, getpid());
        *ret = c;
        return 0;
}

/* What belongs to the parent stays as it is: its memory is a copy nobody uses, its descriptor is shared. */
static void leave_behind(HfConnection *c)
{
        c->bus = NULL;
        c->fd = -EBADF;
}

/*
 * In a forked child the mutex may have been held by a thread that does not exist here. The first thread to
 * come makes it anew, others wait for that; the callbacks of the parent's calls are the parent's.
 */
static void take_over(HfConnection *c, pid_t was, pid_t me)
{
        if (was != 0 && atomic_compare_exchange_strong(&c->pid, &was, 0)) {
                leave_behind(c);
                c->pending = NULL;
                c->done = NULL;
                pthread_mutex_init(&c->mutex, NULL);
                atomic_store(&c->pid, me);
                return;
        }
        while (atomic_load(&c->pid) != me)
                sched_yield();
}

void connection_lock(HfConnection *c)
{
        pid_t me = getpid(), was = atomic_load(&c->pid);

        if (was != me)
                take_over(c, was, me);
        pthread_mutex_lock(&c->mutex);
}

void connection_unlock(HfConnection *c)
{
        pthread_mutex_unlock(&c->mutex);
}

bool connection_is_broken(int r)
{
        return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN || r == -ESHUTDOWN || r == -EBADF;
}

static bool descriptor_is_ours(const HfConnection *c)
{
        struct stat st;

        return fstat(c->fd, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino;
}

void connection_finish(HfConnection *c, Pending *p, int result)
{
        for (Pending **at = &c->pending; *at; at = &(*at)->next)
                if (*at == p) {
                        *at = p->next;
                        break;
                }
        p->result = result;
        p->next = c->done;
        c->done = p;
}

void connection_drop(HfConnection *c)
{
        /* -ENOTCONN: sd-bus has met the end and closed its descriptor already */
        if (c->bus && (sd_bus_get_fd(c->bus) == -ENOTCONN || descriptor_is_ours(c)))
                sd_bus_close_unref(c->bus);
        leave_behind(c);
        while (c->pending)
                connection_finish(c, c->pending, HF_ERROR_DAEMON_UNAVAILABLE);
}

/* The kernel told the daemon who connected, for as long as the connection lasts. Who has become another user since, for good
 * or for a while, is to be judged as that one. */
static bool caller_is_same(const HfConnection *c)
{
        return c->uid == geteuid() && c->gid == getegid();
}

/* Has the other side closed? Asked before a call is sent, because afterwards nobody could tell whether it
 * arrived. */
static bool is_hung_up(const HfConnection *c)
{
        struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

        return poll(&p, 1, 0) > 0;
}

static int connect_now(HfConnection *c)
{
        struct stat st;
        int r, fd;

        r = road_open(c->wanted, c->path, &c->bus, &c->road);
        if (r < 0)
                return r;
        fd = sd_bus_get_fd(c->bus);
        if (fd < 0 || fstat(fd, &st) < 0) {
                r = fd < 0 ? fd : -errno;
                sd_bus_close_unref(c->bus);
                leave_behind(c);
                return r;
        }
        c->fd = fd;
        c->uid = geteuid();
        c->gid = getegid();
        c->dev = st.st_dev;
        c->ino = st.st_ino;
        return 0;
}

int connection_ensure(HfConnection *c)
{
        if (c->bus && (!descriptor_is_ours(c) || !caller_is_same(c) || sd_bus_is_open(c->bus) <= 0))
                connection_drop(c);
        if (c->bus && is_hung_up(c)) {
                while (sd_bus_process(c->bus, NULL) > 0) {
                        /* answers that came before the end are still good */
                }
                connection_drop(c);
        }
        return c->bus ? 0 : connect_now(c);
}

static int connect_kind(RoadKind wanted, const char *path, HfConnection **ret)
{
        HfConnection *c = NULL;
        int r;

        r = connection_new(wanted, path, &c);
        if (r == 0) {
                connection_lock(c);
                r = connection_ensure(c);
                connection_unlock(c);
        }
        if (r < 0) {
                hf_disconnect(c);
                return error_from_errno(r);
        }
        *ret = c;
        return HF_OK;
}

int hf_connect(HfConnection **ret)
{
        return connect_kind(ROAD_ANY, NULL, ret);
}

int hf_connect_to(const char *socket_path, HfConnection **ret)
{
        return connect_kind(socket_path ? ROAD_DIRECT : ROAD_ANY, socket_path, ret);
}

int hf_connect_bus(HfConnection **ret)
{
        return connect_kind(ROAD_BUS, NULL, ret);
}

HfConnection *hf_disconnect(HfConnection *c)
{
        if (!c)
                return NULL;
        connection_lock(c);
        connection_drop(c);
        connection_unlock(c);
        hf_connection_dispatch(c);
        pthread_mutex_destroy(&c->mutex);
        free(c->path);
        free(c);
        return NULL;
}

void hf_connection_set_timeout(HfConnection *c, uint64_t usec)
{
        c = connection_or_default(c);
        if (!c)
                return;
        connection_lock(c);
        c->timeout = usec;
        connection_unlock(c);
}

const char *hf_connection_road(HfConnection *c)
{
        const char *road = "none";

        c = connection_or_default(c);
        if (!c)
                return road;
        connection_lock(c);
        if (c->bus)
                road = c->road == ROAD_BUS ? "bus" : "direct";
        connection_unlock(c);
        return road;
}
