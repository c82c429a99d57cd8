/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret.h"

#define REPLY_MAX (16u << 10) /* a certificate and five public parts */
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS 1000
#define LINGER_MS 2 /* a key stays loaded: who signs one thing after the other is back in less, and spared two commands */

static volatile sig_atomic_t stopping;
static sigset_t while_waiting;

static void on_term(int number)
{
        (void)number;
        stopping = 1;
}

static void on_alarm(int number)
{
        static const char text[] = "the TPM does not come back from a command; starting anew\n";

        (void)number;
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
                _exit(4);
        _exit(3);
}

/* SIGTERM is let in only while waiting, so that none is missed and no command of the TPM is torn. */
void serve_prepare(void)
{
        struct sigaction term = {.sa_handler = on_term}, alarmed = {.sa_handler = on_alarm}, ignore = {.sa_handler = SIG_IGN};
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigprocmask(SIG_BLOCK, &mask, &while_waiting);
        sigdelset(&while_waiting, SIGTERM);
        sigdelset(&while_waiting, SIGINT);
        sigaction(SIGTERM, &term, NULL);
        sigaction(SIGINT, &term, NULL);
        sigaction(SIGALRM, &alarmed, NULL);
        sigaction(SIGPIPE, &ignore, NULL);
}

static void limit(unsigned seconds)
{
        struct itimerval t = {.it_value.tv_sec = seconds};

        (void)setitimer(ITIMER_REAL, &t, NULL);
}

/* Where init opened the signer's socket, the kernel names init as the one who listens. */
static bool is_signer(int fd, uid_t uid)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == uid || peer.uid == 0);
}

static int connect_signer(const ServeParams *p)
{
        _cleanup_close_ int fd = -EBADF;
        int r = link_connect(p->socket, &fd);

        if (r)
                return r;
        if (!is_signer(fd, p->peer)) {
                log_error("somebody else than the signer listens on %s", p->socket);
                return -EPERM;
        }
        return TAKE_FD(fd);
}

/* Not the heap: what was in it is erased where it stood. */
typedef struct Room {
        uint8_t request[LINK_MESSAGE_MAX];
        uint8_t body[REPLY_MAX];
        uint8_t packet[REPLY_MAX + LINK_HEADER_SIZE + TPM_DETAIL_MAX + 16];
} Room;

static int reply(int fd, const LinkMessage *m, int result, const char *detail, const Buffer *body, Buffer *packet)
{
        int r = link_begin(packet, TPM_REPLY, m->header.job);

        if (!r)
                r = wire_put_u32(packet, (uint32_t)result);
        if (!r)
                r = wire_put_string(packet, detail);
        if (!r && result == 0)
                r = wire_put_raw(packet, body->data, body->len);
        return r ? r : link_send(fd, buffer_bytes(packet), NULL, 0);
}

static int run(Tpm *t, const LinkMessage *m, Buffer *body, Traces *traces)
{
        Call call = {.tpm = t, .body = m->body, .reply = body, .traces = traces};
        const RequestInfo *info = request_find(m->header.type);
        uint64_t began = clock_monotonic();
        int r;

        t->device.detail[0] = '\0';
        if (!info || m->n_fds > 0)
                return HF_E_INVALID_ARGS;
        limit(info->seconds);
        r = request_run(info, &call);
        if (r < 0)
                r = HF_E_INTERNAL;
        if (info->needs_tpm) {
                tpm_learn(t, r);
                t->known.failed += r != 0;
                t->known.answered += r == 0;
        }
        log_debug("%s: %s, %llu us %s", info->name, r ? hf_error_name(r) : "done",
                        (unsigned long long)(clock_monotonic() - began), r ? t->device.detail : "");
        return r;
}

static void look_after(Tpm *t)
{
        if (t->device.doubtful)
                leftovers_doubt(&t->leftovers, &t->kept);
        t->device.doubtful = false;
        leftovers_look(&t->leftovers, &t->kept);
}

/* 0, or the connection is over. */
static int answer(Tpm *t, int fd)
{
        static Room room;
        static Traces traces;
        Buffer body = {.data = room.body, .allocated = sizeof(room.body), .limit = sizeof(room.body)};
        Buffer packet = {.data = room.packet, .allocated = sizeof(room.packet), .limit = sizeof(room.packet)};
        LinkMessage m;
        int r = link_receive(fd, MSG_DONTWAIT, room.request, &m);

        if (r)
                return r == -EAGAIN ? 0 : r;
        r = run(t, &m, &body, &traces);
        r = reply(fd, &m, r, r ? t->device.detail : "", &body, &packet);
        look_after(t);
        limit(0);
        traces_erase(&traces, &t->device, t->kept.sessions, m.header.type == TPM_OPERATE);
        secret_erase(room.request, m.body.len + LINK_HEADER_SIZE);
        secret_erase(body.data, body.len);
        secret_erase(packet.data, packet.len);
        link_message_close(&m);
        return r;
}

/* Nothing came for a moment. */
static void idle(Tpm *t)
{
        limit(TPM_TIMEOUT_MS / 1000);
        device_tidy(&t->device);
        look_after(t);
        limit(0);
}

static int lingering(const Tpm *t)
{
        return t->device.later == ESYS_TR_NONE ? -1 : LINGER_MS;
}

static int longer(int pause)
{
        return pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
}

static int sooner(int a, int b)
{
        return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* A pause while not connected, else until something comes. */
static bool wait_for(int fd, int ms)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

        return ppoll(&p, 1, ms < 0 ? NULL : &t, &while_waiting) > 0;
}

void serve(ServeParams *p)
{
        _cleanup_close_ int fd = -EBADF;
        int pause = PAUSE_FIRST_MS, ms, r;

        while (!stopping) {
                if (fd < 0) {
                        r = connect_signer(p);
                        if (r >= 0)
                                fd = r;
                        else
                                pause = longer(pause);
                }
                ms = sooner(fd < 0 ? pause : -1, notify_tick(&p->notify));
                ms = sooner(ms, sooner(lingering(p->tpm), leftovers_due(&p->tpm->leftovers)));
                if (!wait_for(fd, ms)) {
                        idle(p->tpm);
                        continue;
                }
                r = answer(p->tpm, fd);
                if (r == 0) {
                        pause = PAUSE_FIRST_MS;
                        continue;
                }
                log_info("the signer's connection ended: %s", hf_error_name(r));
                fd = safe_close(fd);
                (void)wait_for(-1, pause);
                pause = longer(pause);
        }
}
