/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/tpm-link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret.h"

#define STATE_KNOWN_MS 5000
#define STATE_FRESH_MS 15000
#define ACCEPT_MAX 64

struct TpmLink {
        int listen_fd;
        uid_t peer;

        pthread_mutex_t lock; /* of all below; held for the time of an exchange */
        int fd;               /* connection, or -EBADF */
        uint64_t lost;        /* when it went; at first, when we began */
        uint64_t job;
        int said;        /* the last result that was logged: trouble is news once */
        uint8_t *packet; /* LINK_MESSAGE_MAX bytes of secret memory */
};

int tpm_link_new(int listen_fd, uid_t peer, TpmLink **ret)
{
        TpmLink *l = calloc(1, sizeof(*l));
        void *p;
        int r;

        if (!l)
                return -ENOMEM;
        r = secret_map(LINK_MESSAGE_MAX, &p);
        if (r) {
                free(l);
                return r;
        }
        if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0) {
                r = -errno;
                secret_unmap(p, LINK_MESSAGE_MAX);
                free(l);
                return r;
        }
        *l = (TpmLink){.listen_fd = listen_fd, .peer = peer, .fd = -EBADF, .lost = clock_monotonic(), .packet = p};
        pthread_mutex_init(&l->lock, NULL);
        *ret = l;
        return 0;
}

TpmLink *tpm_link_free(TpmLink *l)
{
        if (!l)
                return NULL;
        safe_close(l->fd);
        secret_unmap(l->packet, LINK_MESSAGE_MAX);
        free(l);
        return NULL;
}

void tpm_begin(TpmExchange *x, TpmRequest type)
{
        x->request = (Buffer){
                .data = x->request_space, .allocated = sizeof(x->request_space), .limit = sizeof(x->request_space)};
        x->reply = x->tail = BYTES_NULL;
        x->asked = false;
        x->detail[0] = '\0';
        (void)link_begin(&x->request, (uint16_t)type, 0); /* fits; the number comes when it is sent */
}

void tpm_end(TpmExchange *x)
{
        secret_erase(x->request_space, x->request.len);
        secret_erase(x->reply_space, x->reply.len);
}

/* The peer */

static void drop(TpmLink *l)
{
        l->fd = safe_close(l->fd);
        l->lost = clock_monotonic();
}

/* Takes in who waits to be taken in; the last one stays. */
static void accept_waiting(TpmLink *l)
{
        for (int i = 0; i < ACCEPT_MAX; i++) {
                _cleanup_close_ int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct ucred peer;
                socklen_t size = sizeof(peer);

                if (fd < 0)
                        return;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                        continue;
                if (peer.uid != l->peer) {
                        log_warning("tpm: refused a connection of uid %u", (unsigned)peer.uid);
                        continue;
                }
                safe_close(l->fd);
                l->fd = TAKE_FD(fd);
        }
}

/* Until `fd` has something, or the time is over. */
static int wait_for(int fd, uint64_t deadline)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now;
        int n;

        do {
                now = clock_monotonic();
                if (now >= deadline)
                        return HF_E_TPM_UNAVAILABLE;
                n = poll(&p, 1, (int)((deadline - now) / 1000 + 1));
        } while (n == 0 || (n < 0 && errno == EINTR));
        return n < 0 ? HF_E_TPM_UNAVAILABLE : 0;
}

/* Messages */

static int receive(TpmLink *l, uint64_t deadline, LinkMessage *ret)
{
        int r = wait_for(l->fd, deadline);

        if (!r && link_receive(l->fd, MSG_DONTWAIT, l->packet, ret))
                r = HF_E_TPM_UNAVAILABLE;
        if (r)
                return r;
        if (ret->header.type != TPM_REPLY || ret->header.job != l->job || ret->n_fds > 0)
                r = HF_E_TPM_UNAVAILABLE;
        link_message_close(ret);
        return r;
}

/* What holdfast-tpm may say; anything else is no answer of the TPM's. */
static bool result_is_named(uint32_t result)
{
        static const uint8_t named[] = {0, HF_E_INVALID_ARGS, HF_E_TPM_UNAVAILABLE, HF_E_TPM_FAILED, HF_E_TPM_FAILURE_MODE,
                HF_E_TPM_LOCKOUT, HF_E_TPM_FULL, HF_E_TPM_IDENTITY_CHANGED, HF_E_ALGORITHM_NOT_SUPPORTED,
                HF_E_SCHEME_NOT_SUPPORTED, HF_E_UNLOCK_FAILED, HF_E_KEY_MISMATCH, HF_E_PCR_CHANGED, HF_E_KEY_EXISTS,
                HF_E_NO_SUCH_KEY};

        for (size_t i = 0; i < ELEMENTSOF(named); i++)
                if (named[i] == result)
                        return true;
        return false;
}

/* It ends up in a log and between other reasons. */
static void make_printable(char *text)
{
        for (; *text; text++)
                if (*text < 0x20 || *text > 0x7e || *text == ';')
                        *text = '?';
}

/* Result, detail and a body that fits its place; the packet is free again afterwards. */
static int take_reply(Bytes body, TpmExchange *x, uint32_t *ret_result)
{
        WireReader r = wire_reader(body);
        size_t left;

        *ret_result = wire_get_u32(&r);
        wire_get_string(&r, x->detail, sizeof(x->detail));
        left = (size_t)(r.end - r.p);
        if (r.failed || left > sizeof(x->reply_space) || !result_is_named(*ret_result) || (*ret_result && left)) {
                x->detail[0] = '\0';
                return HF_E_TPM_UNAVAILABLE;
        }
        make_printable(x->detail);
        memcpy(x->reply_space, r.p, left);
        x->reply = BYTES(x->reply_space, left);
        return 0;
}

/* One message out. Nothing was sent where it fails. */
static int send_request(TpmLink *l, TpmExchange *x)
{
        Buffer head = {.data = x->request_space, .allocated = LINK_HEADER_SIZE, .limit = LINK_HEADER_SIZE};
        uint16_t type = (uint16_t)(x->request_space[4] | x->request_space[5] << 8);

        (void)link_begin(&head, type, ++l->job);
        return link_send_with(l->fd, buffer_bytes(&x->request), x->tail) ? HF_E_TPM_UNAVAILABLE : 0;
}

static int receive_reply(TpmLink *l, TpmExchange *x, uint64_t deadline)
{
        uint32_t result = 0;
        LinkMessage m = {};
        int r;

        r = receive(l, deadline, &m);
        if (!r)
                r = take_reply(m.body, x, &result);
        secret_erase(l->packet, m.body.len + LINK_HEADER_SIZE);
        if (r)
                drop(l);
        return r ? r : (int)result;
}

/* Says which words we use, on a connection that is new. */
static int greet(TpmLink *l, uint64_t deadline)
{
        uint64_t limit = clock_monotonic() + TPM_LINK_HELLO_MS * 1000ULL;
        uint8_t space[64];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        WireReader reader;
        LinkMessage m;
        uint32_t result, version;
        char detail[TPM_DETAIL_MAX];
        int r;

        (void)link_begin(&b, TPM_HELLO, ++l->job);
        (void)wire_put_u32(&b, TPM_LINK_VERSION);
        r = link_send(l->fd, buffer_bytes(&b), NULL, 0) ? HF_E_TPM_UNAVAILABLE : 0;
        if (!r)
                r = receive(l, limit < deadline ? limit : deadline, &m);
        if (!r) {
                reader = wire_reader(m.body);
                result = wire_get_u32(&reader);
                wire_get_string(&reader, detail, sizeof(detail));
                version = result ? 0 : wire_get_u32(&reader);
                r = wire_done(&reader) || version != TPM_LINK_VERSION ? HF_E_TPM_UNAVAILABLE : 0;
        }
        if (r) {
                log_warning("tpm: whoever connected does not speak version %u", TPM_LINK_VERSION);
                drop(l);
        }
        return r;
}

/* A connection that was greeted; waits a little for one that is to come back. */
static int take_peer(TpmLink *l, uint64_t deadline)
{
        uint64_t back = l->lost + TPM_LINK_RETURN_MS * 1000ULL;
        int former = l->fd, r;

        for (;;) {
                accept_waiting(l);
                if (l->fd >= 0 && l->fd == former)
                        return 0;
                if (l->fd >= 0)
                        return greet(l, deadline);
                r = wait_for(l->listen_fd, back < deadline ? back : deadline);
                if (r)
                        return r;
        }
}

/* A peer that was gone before it was asked is no reason to fail: the next one is asked, once. */
static int exchange(TpmLink *l, TpmExchange *x, uint64_t deadline)
{
        int r = HF_E_TPM_UNAVAILABLE;

        for (int i = 0; i < 2 && r; i++) {
                r = take_peer(l, deadline);
                if (!r)
                        r = send_request(l, x);
                if (r && l->fd >= 0)
                        drop(l);
        }
        x->asked = !r;
        return r ? r : receive_reply(l, x, deadline);
}

static int lock_until(TpmLink *l, uint64_t deadline)
{
        struct timespec ts = {.tv_sec = (time_t)(deadline / 1000000), .tv_nsec = (long)(deadline % 1000000 * 1000)};

        return pthread_mutex_clocklock(&l->lock, CLOCK_MONOTONIC, &ts) ? HF_E_TPM_UNAVAILABLE : 0;
}

int tpm_call(TpmLink *l, TpmExchange *x, unsigned timeout_ms)
{
        uint64_t deadline = clock_monotonic() + timeout_ms * 1000ULL;
        int r;

        if (!l)
                return HF_E_TPM_UNAVAILABLE;
        r = lock_until(l, deadline);
        if (r)
                return r;
        r = exchange(l, x, deadline);
        if (r && r != l->said)
                log_warning("tpm: %s%s%s", hf_error_name(r), x->detail[0] ? ": " : "", x->detail);
        l->said = r;
        pthread_mutex_unlock(&l->lock);
        return r;
}

int tpm_state(TpmLink *l, bool fresh, const uint8_t parent[static TPM_NAME_SIZE], TpmState *ret)
{
        TpmState state = {};
        WireReader reader;
        TpmExchange x;
        int r;

        tpm_begin(&x, TPM_STATE);
        r = wire_put_u8(&x.request, fresh);
        if (!r)
                r = wire_put_block(&x.request, BYTES(parent, TPM_NAME_SIZE));
        if (!r)
                r = tpm_call(l, &x, fresh ? STATE_FRESH_MS : STATE_KNOWN_MS);
        if (!r) {
                reader = wire_reader(x.reply);
                tpm_state_get(&reader, &state);
                r = wire_done(&reader);
        }
        if (r) {
                state = (TpmState){.presence = TPM_PRESENCE_NONE};
                snprintf(state.detail, sizeof(state.detail), x.asked ? "holdfast-tpm does not answer" : "no holdfast-tpm");
        }
        make_printable(state.detail);
        tpm_end(&x);
        *ret = state;
        return r && x.asked ? HF_E_TPM_UNAVAILABLE : 0;
}
