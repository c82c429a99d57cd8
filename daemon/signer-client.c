/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/signer-client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret.h"

#define PENDING_MAX 4096
#define RETRY_FIRST (20 * 1000ULL)
#define RETRY_LAST (1000 * 1000ULL)

typedef struct Pending {
        uint64_t job; /* 0: free */
        SignerReplyFunc reply;
        void *userdata;
} Pending;

/* A message that the socket did not take at once. */
typedef struct Outgoing Outgoing;
struct Outgoing {
        Outgoing *next;
        size_t n_fds;
        int fds[LINK_FDS_MAX];
        size_t len;
        uint8_t data[];
};

struct SignerClient {
        SignerClientParams params;
        char *path;
        sd_event *event;
        sd_event_source *io, *retry;
        uint64_t retry_after;
        int fd;
        SignerState state;
        SignerHello hello;
        Buffer message;
        uint64_t serial;
        size_t n_pending;
        Pending pending[PENDING_MAX];
        Outgoing *out_first, **out_last;
        uint8_t receive[LINK_MESSAGE_MAX];
};

static void schedule_retry(SignerClient *c);

static void outgoing_free(Outgoing *o)
{
        for (size_t i = 0; i < o->n_fds; i++)
                safe_close(o->fds[i]);
        secret_erase(o->data, o->len);
        free(o);
}

/* Everyone who waits is told before anybody may connect anew. */
static void lose(SignerClient *c, SignerState to)
{
        SignerState was = c->state;

        c->io = sd_event_source_disable_unref(c->io);
        c->fd = safe_close(c->fd);
        c->state = to;
        if (to == SIGNER_OTHER_VERSION && was != to)
                log_error("holdfast-signer speaks another version than holdfastd: restart both");
        while (c->out_first) {
                Outgoing *o = c->out_first;

                c->out_first = o->next;
                outgoing_free(o);
        }
        c->out_last = &c->out_first;
        for (size_t i = 0; i < PENDING_MAX && c->n_pending; i++) {
                Pending p = c->pending[i];

                if (!p.job)
                        continue;
                c->pending[i].job = 0;
                c->n_pending--;
                p.reply(p.userdata, HF_E_SIGNER_UNAVAILABLE, BYTES_NULL);
        }
        if (was == SIGNER_UP)
                c->params.down(c->params.userdata);
        schedule_retry(c);
}

static void on_reply(SignerClient *c, const LinkMessage *m)
{
        WireReader r = wire_reader(m->body);
        uint32_t result = wire_get_u32(&r);
        Pending *slot = &c->pending[m->header.job % PENDING_MAX], p = *slot;

        if (r.failed || m->header.type != SIGNER_REPLY || !p.job || p.job != m->header.job) {
                log_error("the signer sent something that is no answer; closing the connection");
                lose(c, SIGNER_AWAY);
                return;
        }
        slot->job = 0;
        c->n_pending--;
        p.reply(p.userdata, result < _HF_E_MAX ? (int)result : HF_E_SIGNER_FAILED,
                        BYTES(r.p, (size_t)(r.end - r.p)));
}

static int flush(SignerClient *c)
{
        int r = 0;

        while (c->out_first && !r) {
                Outgoing *o = c->out_first;

                r = link_send(c->fd, BYTES(o->data, o->len), o->fds, o->n_fds);
                if (r)
                        break;
                c->out_first = o->next;
                outgoing_free(o);
        }
        if (!c->out_first)
                c->out_last = &c->out_first;
        (void)sd_event_source_set_io_events(c->io, c->out_first ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return r == -EAGAIN ? 0 : r;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        SignerClient *c = userdata;
        LinkMessage m;
        int r = 0;

        (void)source;
        (void)fd;
        if (events & EPOLLOUT)
                r = flush(c);
        for (int i = 0; !r && i < SIGNER_IN_FLIGHT_MAX; i++) {
                r = link_receive(c->fd, MSG_DONTWAIT, c->receive, &m);
                if (r)
                        break;
                link_message_close(&m);
                on_reply(c, &m);
                secret_erase((uint8_t *)m.body.data, m.body.len); /* may have been a key or a plaintext */
                if (c->fd < 0)
                        return 0;
        }
        if (r && r != -EAGAIN)
                lose(c, r == -EPROTONOSUPPORT ? SIGNER_OTHER_VERSION : SIGNER_AWAY);
        else if (c->state == SIGNER_UP)
                c->params.room(c->params.userdata);
        return 0;
}

static void on_hello(void *userdata, int result, Bytes body)
{
        SignerClient *c = userdata;
        WireReader r = wire_reader(body);

        if (result == HF_E_SIGNER_UNAVAILABLE)
                return; /* lost already */
        if (result || signer_hello_decode(&r, &c->hello) || c->hello.version != LINK_VERSION) {
                lose(c, SIGNER_OTHER_VERSION);
                return;
        }
        c->state = SIGNER_UP;
        c->retry_after = RETRY_FIRST;
        c->params.up(c->params.userdata, &c->hello);
}

static int try_connect(SignerClient *c)
{
        Buffer *b;
        int r;

        r = link_connect(c->path, &c->fd);
        if (r)
                return r;
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(c->event, &c->io, c->fd, EPOLLIN, on_io, c);
        if (r >= 0) /* what is finished leaves before more is taken in */
                r = sd_event_source_set_priority(c->io, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;
        b = signer_begin(c, SIGNER_HELLO);
        r = wire_put_u32(b, LINK_VERSION);
        return r ? r : signer_call(c, NULL, 0, on_hello, c);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        SignerClient *c = userdata;

        (void)usec;
        (void)source;
        if (try_connect(c)) {
                c->state = SIGNER_AWAY;
                c->io = sd_event_source_disable_unref(c->io);
                c->fd = safe_close(c->fd);
                schedule_retry(c);
        }
        return 0;
}

/* The timer is there from the start: that it is set again needs no memory. */
static void schedule_retry(SignerClient *c)
{
        (void)sd_event_source_set_time_relative(c->retry, c->retry_after);
        (void)sd_event_source_set_enabled(c->retry, SD_EVENT_ONESHOT);
        c->retry_after = c->retry_after * 2 > RETRY_LAST ? RETRY_LAST : c->retry_after * 2;
}

int signer_client_new(sd_event *event, const SignerClientParams *params, SignerClient **ret)
{
        _cleanup_(signer_client_freep) SignerClient *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->fd = -EBADF;
        c->out_last = &c->out_first;
        c->message = BUFFER_INIT(LINK_MESSAGE_MAX);
        r = buffer_reserve(&c->message, LINK_MESSAGE_MAX); /* so that a request is never begun without memory */
        if (r)
                return r;
        c->retry_after = RETRY_FIRST;
        c->params = *params;
        c->event = event;
        c->path = strdup(params->path);
        if (!c->path)
                return -ENOMEM;
        r = sd_event_add_time_relative(event, &c->retry, CLOCK_MONOTONIC, 0, 0, on_retry, c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

SignerClient *signer_client_free(SignerClient *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->retry);
        safe_close(c->fd);
        while (c->out_first) {
                Outgoing *o = c->out_first;

                c->out_first = o->next;
                outgoing_free(o);
        }
        secret_erase(c->receive, sizeof(c->receive));
        buffer_deinit(&c->message);
        free(c->path);
        free(c);
        return NULL;
}

SignerState signer_client_state(const SignerClient *c)
{
        return c->state;
}

bool signer_client_is_up(const SignerClient *c)
{
        return c->state == SIGNER_UP;
}

bool signer_client_is_there(const SignerClient *c)
{
        struct pollfd p = {.fd = c->fd};

        return c->state == SIGNER_UP && poll(&p, 1, 0) == 0;
}

const char *signer_state_to_string(SignerState s)
{
        switch (s) {
        case SIGNER_AWAY:
                break;
        case SIGNER_OTHER_VERSION:
                return "other-version";
        case SIGNER_UP:
                return "connected";
        }
        return "absent";
}

bool signer_client_has_room_besides(const SignerClient *c, size_t others)
{
        return c->state == SIGNER_UP && !c->out_first && c->n_pending < SIGNER_IN_FLIGHT_MAX + others;
}

bool signer_client_has_room(const SignerClient *c)
{
        return signer_client_has_room_besides(c, 0);
}

const SignerHello *signer_client_hello(const SignerClient *c)
{
        return &c->hello;
}

/* A job number says its place in the table and is not used again. */
static uint64_t next_job(SignerClient *c)
{
        while (c->pending[++c->serial % PENDING_MAX].job)
                ;
        return c->serial;
}

Buffer *signer_begin(SignerClient *c, SignerRequest type)
{
        uint64_t job = c->n_pending < PENDING_MAX - 1 ? next_job(c) : 0;

        if (link_begin(&c->message, type, job))
                buffer_clear(&c->message);
        return &c->message;
}

static int queue(SignerClient *c, const int *fds, size_t n_fds)
{
        Outgoing *o = calloc(1, sizeof(*o) + c->message.len);

        if (!o)
                return -ENOMEM;
        memcpy(o->data, c->message.data, c->message.len);
        o->len = c->message.len;
        for (; o->n_fds < n_fds; o->n_fds++) {
                o->fds[o->n_fds] = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);
                if (o->fds[o->n_fds] < 0) {
                        outgoing_free(o);
                        return -errno;
                }
        }
        *c->out_last = o;
        c->out_last = &o->next;
        return sd_event_source_set_io_events(c->io, EPOLLIN | EPOLLOUT);
}

int signer_call(SignerClient *c, const int *fds, size_t n_fds, SignerReplyFunc reply, void *userdata)
{
        Pending *p = &c->pending[c->serial % PENDING_MAX];
        int r;

        if (c->fd < 0 || (c->state != SIGNER_UP && reply != on_hello))
                return HF_E_SIGNER_UNAVAILABLE;
        if (c->message.len < LINK_HEADER_SIZE || p->job || c->n_pending >= PENDING_MAX - 1)
                return HF_E_BUSY;
        r = c->out_first ? -EAGAIN : link_send(c->fd, buffer_bytes(&c->message), fds, n_fds);
        if (r == -EAGAIN)
                r = queue(c, fds, n_fds);
        secret_erase(c->message.data, c->message.len);
        if (r < 0)
                return r == -ENOMEM ? r : HF_E_SIGNER_UNAVAILABLE;
        *p = (Pending){.job = c->serial, .reply = reply, .userdata = userdata};
        c->n_pending++;
        return 0;
}
