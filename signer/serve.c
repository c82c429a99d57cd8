/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/serve.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slice.h"
#include "signer/queue.h"
#include "signer/stack.h"

#define WORKERS_MAX CACHE_COPIES_MAX
#define TPM_WORKERS 2u                   /* one asks the TPM while the other prepares or pads */
#define TPM_QUEUED_BYTES_MAX (16u << 20) /* above it jobs for the TPM are refused: others must not wait for it */
#define QUEUED_BYTES_MAX (48u << 20) /* above it the peer waits: nothing more is read */
#define DRAIN_MAX 64u                /* packets read before one is worked on */
#define SEND_WAIT_MS 1000            /* a peer that does not read for so long loses its connection */
#define CONTROL_UID UINT32_MAX       /* requests that are for no caller */

typedef struct Connection {
        int fd;
        unsigned users; /* jobs, the leader, and the server while it is the current one */
} Connection;

typedef struct Job {
        QueueItem item; /* first */
        Connection *connection;
        LinkHeader header;
        const RequestInfo *info;
        CallCost cost;
        int fds[LINK_FDS_MAX];
        size_t n_fds;
        int accepted;
        size_t *account; /* of the bytes it keeps */
        Ledger ledger;
        bool has_attributes;
        SignerOperation operation;
        KeyAttributes attributes;
        size_t size; /* of the body */
        uint8_t body[];
} Job;

typedef struct Worker {
        Server *server;
        pthread_t thread;
        SecretStack *stack;
        bool running; /* a job is on the stack */
        bool scrub;   /* erase the stack when it is done */
        Buffer reply; /* secret memory, LINK_MESSAGE_MAX bytes */
} Worker;

struct Server {
        Signer *signer;
        int listen_fd;
        uid_t peer;
        Notify notify;

        pthread_mutex_t lock; /* of all below */
        pthread_cond_t wake;
        bool gate;        /* open: work may begin */
        unsigned arrived; /* workers that wait at it */
        pthread_cond_t arrival;
        bool leading;
        unsigned idle;
        unsigned heavy; /* workers in COST_HEAVY and COST_ARGON */
        bool argon;
        Queue quick_jobs, heavy_jobs, argon_jobs, tpm_jobs;
        pthread_cond_t tpm_wake;
        size_t queued_bytes, tpm_queued_bytes;
        Connection *connection;

        uint8_t *packet; /* what is being read */
        unsigned n_workers, n_tpm_workers;
        Worker workers[WORKERS_MAX + TPM_WORKERS]; /* those for the TPM behind all others */
};

/* Connections */

static void connection_unref(Connection *c)
{
        if (--c->users > 0)
                return;
        close(c->fd);
        free(c);
}

static void drop_connection(Server *s, Connection *c)
{
        if (s->connection != c)
                return;
        s->connection = NULL;
        (void)shutdown(c->fd, SHUT_RDWR); /* the peer hears of it now, and so does a leader that polls it */
        connection_unref(c);
}

/* The newest connection of the right uid is the one: holdfastd has been restarted, and its old end may
 * linger. */
static void accept_peer(Server *s)
{
        _cleanup_close_ int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct ucred peer;
        socklen_t size = sizeof(peer);
        Connection *c;

        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return;
        if (peer.uid != s->peer) {
                log_warning("refused a connection of uid %u", (unsigned)peer.uid);
                return;
        }
        c = calloc(1, sizeof(*c));
        if (!c)
                return;
        *c = (Connection){.fd = TAKE_FD(fd), .users = 1};
        pthread_mutex_lock(&s->lock);
        if (s->connection)
                drop_connection(s, s->connection);
        s->connection = c;
        pthread_mutex_unlock(&s->lock);
}

/* Sends, and waits a little for a peer that is slow; one that stays so is given up. */
static int send_reply(const Connection *c, Bytes message)
{
        uint64_t deadline = clock_monotonic() + SEND_WAIT_MS * 1000ULL;
        int r;

        for (;;) {
                struct pollfd p = {.fd = c->fd, .events = POLLOUT};
                uint64_t now;

                r = link_send(c->fd, message, NULL, 0);
                now = clock_monotonic();
                if (r != -EAGAIN || now >= deadline)
                        return r;
                (void)poll(&p, 1, (int)((deadline - now) / 1000 + 1));
        }
}

/* Jobs */

static void job_charge(Job *j, size_t *account)
{
        size_t n = sizeof(*j) + j->size;

        if (j->account)
                *j->account -= n;
        if (account)
                *account += n;
        j->account = account;
}

static void job_free(Job *j)
{
        for (size_t i = 0; i < j->n_fds; i++)
                safe_close(j->fds[i]);
        job_charge(j, NULL);
        connection_unref(j->connection);
        free(j);
}

static Job *job_new(Server *s, Connection *c, const LinkMessage *m)
{
        Job *j = malloc(sizeof(*j) + m->body.len);

        if (!j)
                return NULL;
        *j = (Job){.connection = c, .header = m->header, .n_fds = m->n_fds, .size = m->body.len};
        j->item.uid = CONTROL_UID;
        if (m->body.len)
                memcpy(j->body, m->body.data, m->body.len);
        memcpy(j->fds, m->fds, sizeof(j->fds));
        c->users++;
        job_charge(j, &s->queued_bytes);
        return j;
}

/* What must be judged in the order of arrival. -EPROTO for a body that is not what it should be. */
static int job_judge(Server *s, Job *j)
{
        Bytes body = BYTES(j->body, j->size);
        SignerCheckpoint checkpoint;
        int r = 0;

        j->info = request_find(j->header.type);
        if (!j->info)
                return -EPROTO;
        if (j->info->type == SIGNER_OPERATE) {
                if (signer_operation_decode(body, &j->operation))
                        return -EPROTO;
                j->item.uid = j->operation.uid;
                j->has_attributes = key_attributes_decode(j->operation.attributes, &j->attributes) == 0;
        } else if (j->info->type == SIGNER_CHECKPOINT && signer_checkpoint_decode(body, &checkpoint)) {
                return -EPROTO;
        }
        j->cost = request_cost(j->info, j->has_attributes ? &j->attributes : NULL, body, j->n_fds);
        if (j->cost == COST_TPM && s->n_tpm_workers == 0)
                j->cost = j->info->cost; /* it will hear at once that there is none */

        pthread_mutex_lock(&s->signer->ledger_lock);
        if (j->info->type == SIGNER_OPERATE)
                r = ledger_accept(&s->signer->ledger, j->operation.seq);
        else if (j->info->type == SIGNER_CHECKPOINT)
                r = ledger_checkpoint(&s->signer->ledger, checkpoint.size);
        j->ledger = s->signer->ledger;
        pthread_mutex_unlock(&s->signer->ledger_lock);
        j->accepted = r;
        return 0;
}

static Queue *queue_of(Server *s, CallCost cost)
{
        switch (cost) {
        case COST_HEAVY:
                return &s->heavy_jobs;
        case COST_ARGON:
                return &s->argon_jobs;
        case COST_TPM:
                return &s->tpm_jobs;
        case COST_QUICK:
        case COST_MEDIUM:
                break;
        }
        return &s->quick_jobs;
}

static void refuse(const Connection *c, const Job *j, int result)
{
        uint8_t space[64];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};

        (void)link_begin(&b, SIGNER_REPLY, j->header.job);
        (void)wire_put_u32(&b, (uint32_t)(result > 0 ? result : HF_E_SIGNER_FAILED));
        (void)send_reply(c, buffer_bytes(&b));
}

static int job_push(Server *s, Job *j)
{
        int r;

        if (j->cost == COST_TPM) {
                if (s->tpm_queued_bytes >= TPM_QUEUED_BYTES_MAX)
                        return HF_E_BUSY;
                job_charge(j, &s->tpm_queued_bytes);
        }
        r = queue_push(queue_of(s, j->cost), &j->item);
        if (!r && j->cost == COST_TPM)
                pthread_cond_signal(&s->tpm_wake);
        return r;
}

/* -EPROTO: the connection has to go. The lock is held. */
static int enqueue(Server *s, Connection *c, LinkMessage *m)
{
        Job *j = job_new(s, c, m);
        int r;

        if (!j) {
                link_message_close(m);
                return -ENOMEM;
        }
        r = job_judge(s, j);
        if (r) {
                job_free(j);
                return r;
        }
        r = job_push(s, j);
        if (r) {
                refuse(c, j, r);
                job_free(j);
        }
        return 0;
}

/* A job this worker may take now; quick ones first, but one long one is always under way if any waits. */
static Job *take_job(Server *s)
{
        bool may = s->heavy + 1 < s->n_workers, want = s->heavy == 0 || s->quick_jobs.n == 0;
        QueueItem *item = NULL;

        if (may && want && !s->argon)
                item = queue_pop(&s->argon_jobs);
        if (!item && may && want)
                item = queue_pop(&s->heavy_jobs);
        if (!item)
                item = queue_pop(&s->quick_jobs);
        return (Job *)item;
}

static bool job_is_heavy(const Job *j)
{
        return j->cost == COST_HEAVY || j->cost == COST_ARGON;
}

/* Running one */

typedef struct Run {
        Worker *worker;
        Job *job;
        Call call;
        int result;
} Run;

static int handle(Call *call, const RequestInfo *info)
{
        Vault *v = &call->signer->vault;
        int r;

        if (info->lock == CALL_FREE)
                return info->handle(call);
        if (info->lock == CALL_ALONE)
                pthread_rwlock_wrlock(&v->lock);
        else
                pthread_rwlock_rdlock(&v->lock);
        r = info->needs_open && !v->open ? HF_E_STORE_LOCKED : info->handle(call);
        pthread_rwlock_unlock(&v->lock);
        return r;
}

/* On the secret stack. */
static void run_inside(void *argument)
{
        Run *run = argument;
        Job *j = run->job;

        run->result = handle(&run->call, j->info);
}

/* Turns the result into the reply: 0 and the body, or the result alone, or with the reasons of a failed
 * unlock. */
static void finish_reply(Run *run)
{
        Buffer *b = &run->worker->reply;

        if (run->result == 0)
                return;
        if (run->result < 0) {
                log_error("%s: %s", run->job->info->name, hf_error_name(run->result));
                run->result = HF_E_SIGNER_FAILED;
        }
        secret_erase(b->data, b->len);
        (void)link_begin(b, SIGNER_REPLY, run->job->header.job);
        (void)wire_put_u32(b, (uint32_t)run->result);
        if (run->result == HF_E_UNLOCK_FAILED)
                (void)wire_put_string(b, run->call.reasons);
}

static int run_job(Worker *w, Job *j)
{
        Run run = {.worker = w, .job = j};
        int r;

        run.call = (Call){
                        .signer = w->server->signer,
                        .body = BYTES(j->body, j->size),
                        .fds = j->fds,
                        .n_fds = j->n_fds,
                        .ledger = j->ledger,
                        .accepted = j->accepted,
                        .operation = &j->operation,
                        .attributes = j->has_attributes ? &j->attributes : NULL,
                        .reply = &w->reply,
        };
        (void)link_begin(&w->reply, SIGNER_REPLY, j->header.job);
        (void)wire_put_u32(&w->reply, 0);
        secret_stack_run(w->stack, run_inside, &run);
        if (run.result == -EPROTO)
                return -EPROTO;
        finish_reply(&run);
        r = send_reply(j->connection, buffer_bytes(&w->reply));
        secret_erase(w->reply.data, w->reply.len);
        return r;
}

/* Leading */

/* So that a newer holdfastd can say what is wrong: a packet of our version answers one of another. The socket of a new
 * connection has room for it, and whoever does not take it has lost nothing. */
static void tell_version(const Connection *c)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64);

        if (!link_begin(&b, SIGNER_REPLY, 0) && !wire_put_u32(&b, HF_E_VERSION_MISMATCH))
                (void)link_send(c->fd, buffer_bytes(&b), NULL, 0);
}

/* Reads what is there, up to a limit. The lock is held, so that it is enqueued in the order in which it came. */
static void drain(Server *s, Connection *c)
{
        LinkMessage m;
        int r = 0;

        for (unsigned i = 0; i < DRAIN_MAX && !r && s->queued_bytes < QUEUED_BYTES_MAX; i++) {
                r = link_receive(c->fd, MSG_DONTWAIT, s->packet, &m);
                if (r == -EPROTONOSUPPORT)
                        tell_version(c);
                if (!r)
                        r = enqueue(s, c, &m);
                if (r && r != -EAGAIN)
                        drop_connection(s, c);
        }
}

/* One round: waits for something, reads it. Called and left with the lock held. */
static void lead(Server *s)
{
        Connection *c = s->connection;
        struct pollfd p[2] = {
                        {.fd = s->listen_fd, .events = POLLIN},
                        {.fd = c ? c->fd : -1, .events = POLLIN},
        };
        int n;

        s->leading = true;
        if (c)
                c->users++;
        pthread_mutex_unlock(&s->lock);
        n = poll(p, 2, notify_tick(&s->notify));
        if (n > 0 && p[0].revents)
                accept_peer(s);
        pthread_mutex_lock(&s->lock);
        s->leading = false;
        if (n > 0 && p[1].revents && s->connection == c)
                drain(s, c);
        if (c)
                connection_unref(c);
}

/* With jobs at hand: takes in what has come since, so that the next turn is given among all users who wait and not
 * only among those who were first. Not left to the leader: he may be waiting for the core that this worker has. Does
 * not wait. The lock is held. */
static void glance(Server *s)
{
        Connection *c = s->connection;

        c->users++;
        drain(s, c);
        connection_unref(c);
}

/* The lock is held before and after. */
static void work_on(Worker *w, Job *j)
{
        Server *s = w->server;
        bool heavy = job_is_heavy(j);
        int r;

        s->heavy += heavy;
        s->argon |= j->cost == COST_ARGON;
        w->running = true;
        /* A quick job that is alone is over before another worker is awake. */
        if (!s->leading && s->idle > 0 && (j->cost != COST_QUICK || s->quick_jobs.n > 0))
                pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        slice_set(heavy ? SLICE_LONG : SLICE_SHORT);
        r = run_job(w, j);
        pthread_mutex_lock(&s->lock);
        w->running = false;
        if (w->scrub)
                secret_stack_scrub(w->stack);
        w->scrub = false;
        s->heavy -= heavy;
        if (j->cost == COST_ARGON)
                s->argon = false;
        if (r)
                drop_connection(s, j->connection);
        job_free(j);
}

static void work(Worker *w)
{
        Server *s = w->server;
        Job *j;

        pthread_mutex_lock(&s->lock);
        s->arrived++;
        pthread_cond_signal(&s->arrival);
        for (;;) {
                if (s->gate && !s->leading)
                        (void)notify_tick(&s->notify); /* where there is always work nobody comes to wait */
                if (s->gate && s->connection && s->queued_bytes > 0)
                        glance(s);
                if (s->gate && (j = take_job(s))) {
                        work_on(w, j);
                } else if (s->gate && !s->leading && s->queued_bytes < QUEUED_BYTES_MAX) {
                        lead(s);
                } else {
                        s->idle++;
                        pthread_cond_wait(&s->wake, &s->lock);
                        s->idle--;
                }
        }
}

/* Starting */

static void *worker_main(void *argument)
{
        work(argument);
        return NULL;
}

/* For the TPM alone: never leads, and what waits for the TPM waits here. */
static void *tpm_worker_main(void *argument)
{
        Worker *w = argument;
        Server *s = w->server;
        Job *j;

        pthread_mutex_lock(&s->lock);
        s->arrived++;
        pthread_cond_signal(&s->arrival);
        for (;;) {
                j = s->gate ? (Job *)queue_pop(&s->tpm_jobs) : NULL;
                if (j)
                        work_on(w, j);
                else
                        pthread_cond_wait(&s->tpm_wake, &s->lock);
        }
        return NULL;
}

static unsigned all_workers(const Server *s)
{
        return s->n_workers + s->n_tpm_workers;
}

static int worker_init(Worker *w, Server *s)
{
        void *p;
        int r;

        w->server = s;
        r = secret_stack_new(&w->stack);
        if (!r)
                r = secret_map(LINK_MESSAGE_MAX, &p);
        if (r)
                return r;
        w->reply = (Buffer){.data = p, .allocated = LINK_MESSAGE_MAX, .limit = LINK_MESSAGE_MAX};
        return 0;
}

/* What lies still is erased now, what is running (the caller itself, for one) when it is done. */
static void scrub_all(void *userdata)
{
        Server *s = userdata;

        pthread_mutex_lock(&s->lock);
        for (unsigned i = 0; i < all_workers(s); i++)
                if (s->workers[i].running)
                        s->workers[i].scrub = true;
                else
                        secret_stack_scrub(s->workers[i].stack);
        pthread_mutex_unlock(&s->lock);
}

int server_new(const ServerParams *params, Server **ret)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        Server *s = calloc(1, sizeof(*s));
        int r = 0;

        if (!s || !(s->packet = malloc(LINK_MESSAGE_MAX)))
                return -ENOMEM;
        s->signer = params->signer;
        s->listen_fd = params->listen_fd;
        s->peer = params->peer;
        s->notify = params->notify;
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->wake, NULL);
        pthread_cond_init(&s->tpm_wake, NULL);
        pthread_cond_init(&s->arrival, NULL);
        s->n_workers = params->workers ? params->workers : cores > 2 ? (unsigned)cores : 2;
        if (s->n_workers > WORKERS_MAX)
                s->n_workers = WORKERS_MAX;
        s->n_tpm_workers = s->signer->tpm ? TPM_WORKERS : 0;
        for (unsigned i = 0; !r && i < all_workers(s); i++)
                r = worker_init(&s->workers[i], s);
        if (r)
                return r;
        s->signer->scrub = scrub_all;
        s->signer->scrub_userdata = s;
        *ret = s;
        return 0;
}

int server_start(Server *s)
{
        int r;

        s->workers[0].thread = pthread_self();
        for (unsigned i = 1; i < all_workers(s); i++) {
                r = pthread_create(&s->workers[i].thread, NULL, i < s->n_workers ? worker_main : tpm_worker_main,
                                &s->workers[i]);
                if (r)
                        return -r;
        }
        /* A thread's first steps are system calls that the filter will not allow. */
        pthread_mutex_lock(&s->lock);
        while (s->arrived + 1 < all_workers(s))
                pthread_cond_wait(&s->arrival, &s->lock);
        pthread_mutex_unlock(&s->lock);
        return 0;
}

void server_run(Server *s)
{
        pthread_mutex_lock(&s->lock);
        s->gate = true;
        pthread_cond_broadcast(&s->wake);
        pthread_cond_broadcast(&s->tpm_wake);
        pthread_mutex_unlock(&s->lock);
        work(&s->workers[0]);
        abort(); /* work() does not end */
}

void server_run_secretly(Server *s, void (*f)(void *argument), void *argument)
{
        secret_stack_run(s->workers[0].stack, f, argument);
}

unsigned server_workers(const Server *s)
{
        return s->n_workers;
}
