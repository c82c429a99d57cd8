/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * handshake: full TLS 1.3 handshakes with a server on this machine; nothing is resumed
 *
 *   handshake [-t SECONDS] [-c CALLS] [-p PID,...] PORT CA THREADS     one after the other in each thread
 *   handshake -1 PORT CA THREADS                                       each thread one, all at the same moment
 *
 * A call is from connect() to the end of the handshake and the first byte of the answer to "GET /". A failure ends it with 1.
 */
#include <err.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

#define THREADS_MAX 1024
#define STACK_SIZE (256 * 1024)

static const char request[] = "GET / HTTP/1.0\r\n\r\n";
static SSL_CTX *context;
static struct sockaddr_in address;
static Measure measure;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t together;

static void fail(const char *what)
{
        ERR_print_errors_fp(stderr);
        err(1, "%s", what);
}

static void visit(void)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *ssl = SSL_new(context);
        char byte;

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                fail("connect");
        if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
                fail("handshake");
        if (SSL_write(ssl, request, sizeof(request) - 1) <= 0 || SSL_read(ssl, &byte, 1) != 1)
                fail("answer");
        SSL_free(ssl);
        close(fd);
}

static bool goes_on(void)
{
        bool on;

        pthread_mutex_lock(&lock);
        on = measure_goes_on(&measure);
        pthread_mutex_unlock(&lock);
        return on;
}

static void visit_measured(void)
{
        double begin = measure_now();

        visit();
        pthread_mutex_lock(&lock);
        measure_call(&measure, begin, 1);
        pthread_mutex_unlock(&lock);
}

static void *run_long(void *arg)
{
        while (goes_on())
                visit_measured();
        return arg;
}

static void *run_once(void *arg)
{
        pthread_barrier_wait(&together);
        visit_measured();
        return arg;
}

static void run_all(unsigned n, void *(*run)(void *))
{
        static pthread_t threads[THREADS_MAX];
        pthread_attr_t attributes;

        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_SIZE);
        pthread_barrier_init(&together, NULL, n);
        for (unsigned i = 0; i < n; i++)
                if (pthread_create(&threads[i], &attributes, run, NULL))
                        errx(1, "a thread was not made");
        for (unsigned i = 0; i < n; i++)
                pthread_join(threads[i], NULL);
}

static void make_context(const char *ca)
{
        context = SSL_CTX_new(TLS_client_method());
        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
                        SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
                fail(ca);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

int main(int argc, char **argv)
{
        void *(*run)(void *) = run_long;
        unsigned n;
        int option;

        measure.seconds = 1;
        while ((option = getopt(argc, argv, "t:c:p:1")) >= 0)
                if (option == 't')
                        measure.seconds = atof(optarg);
                else if (option == 'c')
                        measure.calls_max = strtoull(optarg, NULL, 10);
                else if (option == 'p')
                        measure_pids(&measure, optarg);
                else if (option == '1')
                        run = run_once;
                else
                        return 2;
        n = argc == optind + 3 ? (unsigned)atoi(argv[optind + 2]) : 0;
        if (n < 1 || n > THREADS_MAX)
                return 2;
        address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[optind])),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        make_context(argv[optind + 1]);
        measure_begin(&measure);
        run_all(n, run);
        measure_end(&measure);
        SSL_CTX_free(context);
        return 0;
}
