/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/listen.h"
#include "base/log.h"
#include "daemon/bus.h"
#include "daemon/guard.h"
#include "daemon/user.h"
#include "dbus/names.h"

#define QUEUED_REPLIES_MAX 64
#define MESSAGES_A_TURN 8
#define MESSAGES_A_SHARED_TURN 2
#define STOP_USEC USEC_PER_SEC /* at a stop, for all replies that are still queued */
#define GUARD_SLACK 4096 /* sd-bus rounds its buffers up */

struct Listener {
        Daemon *daemon;
        int fd;
        char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
        sd_event_source *source;
};

struct Connection {
        Daemon *daemon;
        unsigned refs;
        Connection *prev, *next;
        Caller *caller;
        User *user;
        int fd; /* sd-bus owns it once there is a bus */
        sd_bus *bus;
        sd_event_source *source, *again;
        GuardOwner received;
        Connection *stalled_next; /* of the user's connections that wait for a job to end */
        bool stalled, closed, parked;
};

static void start(Connection *c);

Connection *connection_ref(Connection *c)
{
        c->refs++;
        return c;
}

Connection *connection_unref(Connection *c)
{
        if (!c || --c->refs > 0)
                return NULL;
        guard_release(&c->received); /* the last message is gone, so these are the ones sd-bus has forgotten */
        caller_unref(c->caller);
        free(c);
        return NULL;
}

static void list_add(Connection **list, Connection *c)
{
        c->prev = NULL;
        c->next = *list;
        if (*list)
                (*list)->prev = c;
        *list = c;
}

static void list_remove(Connection **list, Connection *c)
{
        if (c->next)
                c->next->prev = c->prev;
        *(c->prev ? &c->prev->next : list) = c->next;
        c->prev = c->next = NULL;
}

static bool has_place(const Daemon *d, const User *u)
{
        return d->n_connections < d->config.max_connections &&
               u->n_connections < d->config.max_connections_per_user;
}

/* Somebody left: the one that waits longest and now may come in does. */
static void admit_parked(Daemon *d)
{
        Connection *oldest = NULL;

        for (Connection *c = d->waiting_connections; c; c = c->next)
                if (has_place(d, c->user))
                        oldest = c;
        if (oldest) {
                list_remove(&d->waiting_connections, oldest);
                oldest->parked = false;
                oldest->user->n_parked--;
                start(oldest);
        }
}

static bool has_job_room(const Connection *c)
{
        return c->user->n_jobs < c->daemon->config.max_jobs_per_user;
}

static bool is_paused(const User *u)
{
        return u->pause_until && clock_monotonic() < u->pause_until;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        connection_resume(userdata);
        return 0;
}

/* Without the timer he would wait for ever: then rather no pause. */
static void await_pause(Daemon *d, User *u)
{
        int r;

        if (!u->pause) {
                r = sd_event_add_time(d->event, &u->pause, CLOCK_MONOTONIC, u->pause_until, 1, on_pause_over, u);
        } else {
                r = sd_event_source_set_time(u->pause, u->pause_until);
                if (r >= 0)
                        r = sd_event_source_set_enabled(u->pause, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                u->pause_until = 0;
}

/* In the order in which they came to a stop, so that each of a user's connections has its turn. */
static void stall(Connection *c)
{
        User *u = c->user;

        if (c->stalled)
                return;
        if (is_paused(u))
                await_pause(c->daemon, u);
        c->stalled = true;
        c->stalled_next = NULL;
        *(u->stalled_last ? &u->stalled_last->stalled_next : &u->stalled_first) = c;
        u->stalled_last = c;
}

static void unstall(Connection *c)
{
        User *u = c->user;
        Connection *before = NULL;

        if (!c->stalled)
                return;
        for (Connection *p = u->stalled_first; p != c; p = p->stalled_next)
                before = p;
        *(before ? &before->stalled_next : &u->stalled_first) = c->stalled_next;
        if (u->stalled_last == c)
                u->stalled_last = before;
        c->stalled = false;
}

static void close_connection(Connection *c)
{
        Daemon *d = c->daemon;

        if (c->closed)
                return;
        c->closed = true;
        c->source = sd_event_source_disable_unref(c->source);
        c->again = sd_event_source_disable_unref(c->again);
        if (c->parked) {
                list_remove(&d->waiting_connections, c);
                c->user->n_parked--;
        }
        unstall(c);
        if (c->bus) {
                list_remove(&d->connections, c);
                d->n_connections--;
                c->user->n_connections--;
                sd_bus_close(c->bus);
                c->bus = sd_bus_unref(c->bus);
        } else {
                safe_close(c->fd);
        }
        if (has_job_room(c))
                connection_resume(c->user); /* it may have been its turn */
        c->user = user_unref(d, c->user);
        connection_unref(c);
        admit_parked(d);
        for (size_t i = 0; i < d->n_listeners; i++)
                (void)sd_event_source_set_enabled(d->listeners[i]->source, SD_EVENT_ON);
}

static bool has_reply_room(const Connection *c)
{
        uint64_t queued = 0;

        (void)sd_bus_get_n_queued_write(c->bus, &queued);
        return queued < QUEUED_REPLIES_MAX;
}

static bool may_read(const Connection *c)
{
        return has_job_room(c) && !is_paused(c->user) && has_reply_room(c);
}

static int on_again(sd_event_source *source, void *userdata);

/* Without this turn a message that sd-bus holds would lie there until the peer sends another one. sd-event serves who is
 * ready longest, and takes a deferred source for ready since it was made: an old one, enabled again and again, would come
 * before every connection made after it. */
static void take_turn(Connection *c)
{
        if (c->again && sd_event_source_get_enabled(c->again, NULL) > 0)
                return;
        c->again = sd_event_source_disable_unref(c->again);
        if (sd_event_add_defer(c->daemon->event, &c->again, on_again, c) < 0)
                close_connection(c);
}

static void update_events(Connection *c)
{
        int events = sd_bus_get_events(c->bus);
        uint32_t wanted = 0;

        if (events < 0) {
                close_connection(c);
                return;
        }
        if (!has_job_room(c))
                stall(c);
        if ((events & EPOLLIN) && !c->stalled && has_reply_room(c))
                wanted |= EPOLLIN;
        if (events & EPOLLOUT)
                wanted |= EPOLLOUT;
        (void)sd_event_source_set_io_events(c->source, wanted);
}

static int process_messages(Connection *c)
{
        Daemon *d = c->daemon;
        uint64_t began = clock_monotonic(), now;
        int r = 1, max;

        sharing_note(&d->calls, c->user, began);
        max = sharing_is_on(&d->calls) ? MESSAGES_A_SHARED_TURN : MESSAGES_A_TURN;
        for (int n = 0; r > 0 && n < max && !c->closed; n++) {
                guard_set(HF_BUS_MESSAGE_MAX + GUARD_SLACK, &c->received);
                r = sd_bus_process(c->bus, NULL);
                guard_set(0, NULL);
                if (!c->closed && !may_read(c))
                        break;
        }
        now = clock_monotonic();
        if (!c->closed && sharing_is_on(&d->calls))
                c->user->pause_until = now + (now - began);
        return r;
}

/* sd-bus may hold messages it has read already, which no poll would tell of. While others call too, a user's turn is
 * followed by as long a pause, whatever the number of his connections: there is time and a core for theirs. */
static void process(Connection *c)
{
        int r = 1;

        connection_ref(c);
        if (may_read(c))
                r = process_messages(c);
        if (!c->closed) {
                if (r < 0)
                        close_connection(c);
                else if (r > 0 && is_paused(c->user))
                        stall(c);
                else if (r > 0 && may_read(c))
                        take_turn(c);
                if (!c->closed)
                        update_events(c);
        }
        if (!c->closed && has_job_room(c))
                connection_resume(c->user);
        connection_unref(c);
}

static int on_again(sd_event_source *source, void *userdata)
{
        (void)source;
        process(userdata);
        return 0;
}

/* sd-bus writes what is queued before it takes in, at most, one message: so the queue does not grow by this.
 */
static int flush_replies(Connection *c)
{
        int r;

        guard_set(HF_BUS_MESSAGE_MAX + GUARD_SLACK, &c->received);
        r = sd_bus_process(c->bus, NULL);
        guard_set(0, NULL);
        return r;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Connection *c = userdata;

        (void)source;
        (void)fd;
        if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) {
                close_connection(c);
                return 0;
        }
        if ((events & EPOLLOUT) && !may_read(c) && flush_replies(c) < 0) {
                close_connection(c);
                return 0;
        }
        process(c);
        return 0;
}

void connection_hang_up(Connection *c)
{
        close_connection(c);
}

void connection_wrote(Connection *c)
{
        if (!c->closed && c->bus)
                update_events(c);
}

/* One connection may go on, and passes the turn on if it does not need it. */
void connection_resume(User *user)
{
        Connection *c = user->stalled_first;

        if (!c)
                return;
        if (is_paused(user)) {
                await_pause(c->daemon, user);
                return;
        }
        unstall(c);
        take_turn(c);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Connection *c = userdata;

        (void)error;
        guard_set(0, NULL); /* it is all here; an answer may be longer than a call */
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", "Disconnected"))
                return 0;
        if (atomic_load(&c->daemon->stopping))
                return 1; /* too late: only replies are written */
        return bus_dispatch(c->daemon, m, c->caller, c->user, c);
}

static int open_bus(Connection *c)
{
        sd_id128_t id;
        int r;

        r = sd_bus_new(&c->bus);
        if (r >= 0)
                r = sd_bus_set_fd(c->bus, c->fd, c->fd);
        if (r >= 0)
                r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(c->bus, 1, id);
        if (r >= 0)
                r = sd_bus_negotiate_fds(c->bus, 1);
        if (r >= 0)
                r = sd_bus_add_filter(c->bus, NULL, on_message, c);
        if (r >= 0)
                r = sd_bus_start(c->bus);
        return r < 0 ? r : 0;
}

static void start(Connection *c)
{
        Daemon *d = c->daemon;
        int r;

        r = open_bus(c);
        if (r >= 0)
                r = sd_event_add_io(d->event, &c->source, c->fd, EPOLLIN, on_connection, c);
        if (r < 0) {
                log_error("cannot serve a connection: %s", strerror(-r));
                if (c->bus)
                        c->fd = -EBADF;
                c->bus = sd_bus_unref(c->bus);
                close_connection(c);
                return;
        }
        list_add(&d->connections, c);
        d->n_connections++;
        c->user->n_connections++;
        connection_ref(c);
        update_events(c);
        if (!c->closed)
                take_turn(c);
        connection_unref(c);
}

static int accept_one(Listener *l)
{
        Connection *c = calloc(1, sizeof(*c));
        Daemon *d = l->daemon;
        int r;

        if (!c)
                return -ENOMEM;
        c->refs = 1;
        c->daemon = d;
        c->fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        r = c->fd < 0 ? -errno : caller_from_socket(c->fd, l->path, &c->caller);
        if (r == 0)
                r = user_get(d, c->caller->uid, &c->user);
        if (r) {
                safe_close(c->fd);
                connection_unref(c);
                return r;
        }
        if (has_place(d, c->user)) {
                start(c);
        } else if (c->user->n_parked < d->config.max_connections_per_user) {
                c->parked = true;
                c->user->n_parked++;
                list_add(&d->waiting_connections, c);
        } else {
                close_connection(c); /* or one uid could take all descriptors we may have */
        }
        return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Listener *l = userdata;
        int r;

        (void)fd;
        (void)events;
        r = accept_one(l);
        if (r == -EMFILE || r == -ENFILE)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* until somebody leaves */
        if (r && r != -EAGAIN && r != -ECONNABORTED && r != -EINTR)
                log_warning("cannot accept a connection on %s: %s", l->path, strerror(-r));
        return 0;
}

int listener_new(Daemon *d, int fd)
{
        struct sockaddr_un sa = {0};
        socklen_t len = sizeof(sa);
        Listener *l;
        int r;

        if (d->n_listeners == DAEMON_LISTENERS_MAX)
                return HF_E_LIMIT_EXCEEDED;
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->daemon = d;
        l->fd = fd;
        if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.sun_family == AF_UNIX)
                memcpy(l->path, sa.sun_path, sizeof(sa.sun_path));
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        r = sd_event_add_io(d->event, &l->source, fd, EPOLLIN, on_listener, l);
        if (r < 0) {
                free(l);
                return r;
        }
        d->listeners[d->n_listeners++] = l;
        return 0;
}

int listener_new_path(Daemon *d, const char *path)
{
        _cleanup_close_ int fd = -EBADF;
        int r = listen_prepare(path);

        if (r == -EPERM)
                log_error("%s: the directories it lies in must be root's or uid %u's, with nobody else able to write them, and "
                          "no symlinks",
                                path, (unsigned)geteuid());
        if (!r)
                r = listen_at(path, &fd);
        if (!r)
                r = listener_new(d, fd);
        if (r == 0)
                TAKE_FD(fd);
        return r;
}

/* Whoever does not take his replies must not hold up the stop. */
static void flush_until(Connection *c, uint64_t end)
{
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        uint64_t queued = 0, now;

        while (sd_bus_get_n_queued_write(c->bus, &queued) >= 0 && queued > 0 && (now = clock_monotonic()) < end &&
                        poll(&p, 1, (int)((end - now) / 1000) + 1) > 0)
                if (flush_replies(c) < 0)
                        return;
}

int listener_fd(const Listener *l)
{
        return l->fd;
}

void connection_close_all(Daemon *d)
{
        uint64_t end = clock_monotonic() + STOP_USEC;

        for (size_t i = 0; i < d->n_listeners; i++) {
                sd_event_source_disable_unref(d->listeners[i]->source);
                safe_close(d->listeners[i]->fd);
                free(d->listeners[i]);
        }
        d->n_listeners = 0;
        while (d->waiting_connections)
                close_connection(d->waiting_connections);
        while (d->connections) {
                flush_until(d->connections, end);
                close_connection(d->connections);
        }
}
