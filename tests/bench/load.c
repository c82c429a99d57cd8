/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * load: signs with Holdfast as fast as it goes, through libholdfast as any program would
 *
 *   load [-s SOCKET] [-b] [-t SECONDS] [-c CALLS] [-p PID,...] [-k FIRST] [-n KEYS] one|flight N|many N|callers N|create N
 *
 * one: one call after the other. flight: N calls under way at any time, on one connection. many: SignMany of N.
 * callers: N threads, each on a connection of its own, one call after the other. create: makes KEYS keys on N connections. Keys are called device-NUMBER, from FIRST on; calls go round them.
 * -b takes the system bus instead of the socket. Every signature counted here has come back; run.py holds that number
 * against the audit log.
 */
#include <err.h>
#include <holdfast-admin.h>
#include <holdfast.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

#define MESSAGE_SIZE 32
#define KEYS_MAX 4096

typedef struct Load {
        Measure measure;
        const char *socket;
        bool bus;
        unsigned first, n_keys, n;
        HfConnection *connection;
        HfKey *keys[KEYS_MAX];
        uint64_t serial;
        unsigned under_way;
} Load;

typedef struct Call {
        Load *load;
        double begin;
        bool free;
} Call;

static void check(int r, const char *what)
{
        if (r)
                errx(1, "%s: %s (%s)", what, hf_error_sentence(), hf_error_to_name(r));
}

static HfConnection *connect_to(const Load *l)
{
        HfConnection *c;

        check(l->bus ? hf_connect_bus(&c) : hf_connect_to(l->socket, &c), "connect");
        return c;
}

static void key_name(unsigned number, char ret[static 32])
{
        snprintf(ret, 32, "device-%u", number);
}

static void open_keys(Load *l)
{
        char name[32];

        if (l->n_keys > KEYS_MAX)
                errx(2, "at most %u keys", KEYS_MAX);
        for (unsigned i = 0; i < l->n_keys; i++) {
                key_name(l->first + i, name);
                check(hf_key_open(l->connection, name, &l->keys[i]), name);
        }
}

static HfKey *next_key(Load *l)
{
        return l->keys[l->serial % l->n_keys];
}

/* No two messages are the same. */
static void next_message(Load *l, uint8_t ret[static MESSAGE_SIZE])
{
        l->serial++;
        memset(ret, 'm', MESSAGE_SIZE);
        memcpy(ret, &l->serial, sizeof(l->serial));
}

static void one(Load *l)
{
        uint8_t message[MESSAGE_SIZE], sig[HF_SIGNATURE_MAX];
        size_t len = 0;

        measure_begin(&l->measure);
        while (measure_goes_on(&l->measure)) {
                HfKey *key = next_key(l);
                double begin = measure_now();

                next_message(l, message);
                len = sizeof(sig);
                check(hf_sign(key, HF_ES256, message, sizeof(message), sig, &len), "sign");
                measure_call(&l->measure, begin, 1);
        }
}

static void many(Load *l)
{
        uint8_t *messages = calloc(l->n, MESSAGE_SIZE);
        HfSpan *spans = calloc(l->n, sizeof(*spans));
        HfSignature *sigs = calloc(l->n, sizeof(*sigs));

        if (!messages || !spans || !sigs)
                err(1, NULL);
        measure_begin(&l->measure);
        while (measure_goes_on(&l->measure)) {
                double begin = measure_now();

                for (unsigned i = 0; i < l->n; i++) {
                        next_message(l, messages + i * MESSAGE_SIZE);
                        spans[i] = (HfSpan){messages + i * MESSAGE_SIZE, MESSAGE_SIZE};
                }
                check(hf_sign_many(next_key(l), HF_ES256, spans, l->n, sigs), "sign many");
                measure_call(&l->measure, begin, l->n);
        }
        free(messages);
        free(spans);
        free(sigs);
}

/* Many in flight */

static void on_signed(int result, const uint8_t *sig, size_t sig_len, void *userdata)
{
        Call *call = userdata;
        Load *l = call->load;

        (void)sig;
        check(result, "sign");
        if (sig_len == 0)
                errx(1, "an empty signature");
        measure_call(&l->measure, call->begin, 1);
        call->free = true;
        l->under_way--;
}

static void begin_call(Load *l, Call *call)
{
        uint8_t message[MESSAGE_SIZE];
        HfKey *key = next_key(l);

        *call = (Call){.load = l, .begin = measure_now()};
        next_message(l, message);
        check(hf_sign_async(key, HF_ES256, message, sizeof(message), on_signed, call), "sign");
        l->under_way++;
}

static void wait_for_io(Load *l)
{
        struct pollfd p = {0};

        check(hf_connection_fd(l->connection, &p.fd), "descriptor");
        check(hf_connection_events(l->connection, &p.events), "events");
        if (poll(&p, 1, 10000) <= 0)
                errx(1, "no answer in 10 s");
}

static void flight(Load *l)
{
        Call *calls = calloc(l->n, sizeof(*calls));

        if (!calls)
                err(1, NULL);
        for (unsigned i = 0; i < l->n; i++)
                calls[i].free = true;
        measure_begin(&l->measure);
        do {
                bool more = measure_goes_on(&l->measure);

                for (unsigned i = 0; more && i < l->n; i++)
                        if (calls[i].free)
                                begin_call(l, &calls[i]);
                if (l->under_way == 0)
                        break;
                wait_for_io(l);
                check(hf_connection_dispatch(l->connection), "dispatch");
        } while (true);
        free(calls);
}

/* Many callers */

typedef struct Caller {
        Load *load;
        unsigned number;
        pthread_t thread;
} Caller;

static pthread_mutex_t measure_lock = PTHREAD_MUTEX_INITIALIZER;

static void *call_on(void *userdata)
{
        Caller *caller = userdata;
        Load *l = caller->load;
        HfConnection *c = connect_to(l);
        uint8_t message[MESSAGE_SIZE] = {0}, sig[HF_SIGNATURE_MAX];
        char name[32];
        HfKey *key;

        hf_connection_set_timeout(c, 120 * 1000000ULL);
        key_name(l->first + caller->number % l->n_keys, name);
        check(hf_key_open(c, name, &key), name);
        for (bool more = true; more;) {
                double begin = measure_now();
                size_t len = sizeof(sig);

                memcpy(message, &begin, sizeof(begin));
                check(hf_sign(key, HF_ES256, message, sizeof(message), sig, &len), "sign");
                pthread_mutex_lock(&measure_lock);
                measure_call(&l->measure, begin, 1);
                more = measure_goes_on(&l->measure);
                pthread_mutex_unlock(&measure_lock);
        }
        hf_key_close(key);
        hf_disconnect(c);
        return NULL;
}

static void callers(Load *l)
{
        Caller *all = calloc(l->n, sizeof(*all));

        if (!all)
                err(1, NULL);
        measure_begin(&l->measure);
        for (unsigned i = 0; i < l->n; i++) {
                all[i] = (Caller){.load = l, .number = i};
                if (pthread_create(&all[i].thread, NULL, call_on, &all[i]))
                        errx(1, "no thread");
        }
        for (unsigned i = 0; i < l->n; i++)
                pthread_join(all[i].thread, NULL);
        free(all);
}

/* Making keys */

typedef struct Maker {
        Load *load;
        unsigned offset;
        pthread_t thread;
        double *times;
} Maker;

static void *make_keys(void *userdata)
{
        Maker *m = userdata;
        Load *l = m->load;
        HfConnection *c = connect_to(l);
        char name[32];

        hf_connection_set_timeout(c, 120 * 1000000ULL);
        for (unsigned i = m->offset; i < l->n_keys; i += l->n) {
                double begin = measure_now();

                const HfArg args[] = {{.type = HF_ARG_STRING, .string = name}, {.type = HF_ARG_STRING, .string = "p256"}};

                key_name(l->first + i, name);
                check(hf_call(c, &(HfCall){.path = HF_ADMIN_MANAGER, .member = "CreateKey", .args = args, .n_args = 2}, NULL),
                        name);
                m->times[i] = begin;
        }
        hf_disconnect(c);
        return NULL;
}

static void create(Load *l)
{
        Maker *makers = calloc(l->n, sizeof(*makers));
        double *times = calloc(l->n_keys, sizeof(*times));

        if (!makers || !times)
                err(1, NULL);
        measure_begin(&l->measure);
        for (unsigned i = 0; i < l->n; i++) {
                makers[i] = (Maker){.load = l, .offset = i, .times = times};
                if (pthread_create(&makers[i].thread, NULL, make_keys, &makers[i]))
                        errx(1, "no thread");
        }
        for (unsigned i = 0; i < l->n; i++)
                pthread_join(makers[i].thread, NULL);
        for (unsigned i = 0; i < l->n_keys; i++)
                measure_call(&l->measure, times[i], 1);
        free(makers);
        free(times);
}

int main(int argc, char **argv)
{
        Load l = {.measure.seconds = 1, .n_keys = 1, .n = 1, .socket = getenv("HOLDFAST_SOCKET")};
        const char *mode;

        for (int c; (c = getopt(argc, argv, "s:bt:c:p:k:n:w")) != -1;)
                switch (c) {
                case 's': l.socket = optarg; break;
                case 'b': l.bus = true; break;
                case 't': l.measure.seconds = atof(optarg); break;
                case 'c': l.measure.calls_max = strtoull(optarg, NULL, 10); break;
                case 'p': measure_pids(&l.measure, optarg); break;
                case 'k': l.first = (unsigned)atoi(optarg); break;
                case 'n': l.n_keys = (unsigned)atoi(optarg); break;
                case 'w': l.measure.wait = true; break;
                default: return 2;
                }
        mode = optind < argc ? argv[optind] : "";
        if (optind + 1 < argc)
                l.n = (unsigned)atoi(argv[optind + 1]);
        if (l.n < 1 || l.n_keys < 1)
                errx(2, "a number must be 1 or more");
        if (strcmp(mode, "create") == 0) {
                create(&l);
        } else if (strcmp(mode, "callers") == 0) {
                callers(&l);
        } else {
                l.connection = connect_to(&l);
                open_keys(&l);
                if (strcmp(mode, "one") == 0)
                        one(&l);
                else if (strcmp(mode, "flight") == 0)
                        flight(&l);
                else if (strcmp(mode, "many") == 0)
                        many(&l);
                else
                        errx(2, "one, flight, many, callers or create?");
                for (unsigned i = 0; i < l.n_keys; i++)
                        hf_key_close(l.keys[i]);
                hf_disconnect(l.connection);
        }
        measure_end(&l.measure);
        return 0;
}
