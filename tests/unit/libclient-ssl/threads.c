/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads, one context for clients and one for servers, while somebody switches generations
 *
 *         threads NAME HANDSHAKES           each of the threads makes so many, both ends in memory; says "step" now and then, at the
 *                                           end "done" and how many different certificates were seen
 *         threads NAME HANDSHAKES fork      and forks between them; each child makes a handshake of its own
 *
 * Built twice: as it is, and with the library's own sources under ThreadSanitizer.
 */
#include <err.h>
#include <holdfast-ssl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define CHILDREN 24
#define SERIALS 4096

static SSL_CTX *client_ctx, *server_ctx;
static const char *name;
static unsigned handshakes;
static bool forks;
/* Between handshakes only: a child whose siblings were inside OpenSSL may find the lock of its random generator held. */
static pthread_rwlock_t forking = PTHREAD_RWLOCK_INITIALIZER;
static atomic_uint seen[SERIALS], different, made;

static void note_certificate(SSL *ssl)
{
        X509 *peer = SSL_get0_peer_certificate(ssl);
        unsigned long serial = peer ? X509_issuer_and_serial_hash(peer) : 0;

        if (peer && atomic_exchange(&seen[serial % SERIALS], 1) == 0)
                atomic_fetch_add(&different, 1);
        atomic_fetch_add(&made, 1);
}

static void fail(const SSL *client, const SSL *server)
{
        const char *a = hf_ssl_finding(client), *b = hf_ssl_finding(server);

        fprintf(stderr, "client %s, server %s: %s\n", a, b, hf_error_sentence());
        ERR_print_errors_fp(stderr);
        _exit(1);
}

static void shake(void)
{
        SSL *client = SSL_new(client_ctx), *server = SSL_new(server_ctx);
        BIO *one, *other;
        int done_client = 0, done_server = 0;

        if (!client || !server || BIO_new_bio_pair(&one, 0, &other, 0) != 1 || hf_ssl_set_host(client, "localhost") != 0)
                errx(1, "memory");
        SSL_set_bio(client, one, one);
        SSL_set_bio(server, other, other);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        for (unsigned step = 0; step < 8 && (done_client != 1 || done_server != 1); step++) {
                ERR_clear_error();
                done_client = SSL_do_handshake(client);
                if (done_client != 1 && SSL_get_error(client, done_client) != SSL_ERROR_WANT_READ)
                        fail(client, server);
                ERR_clear_error();
                done_server = SSL_do_handshake(server);
                if (done_server != 1 && SSL_get_error(server, done_server) != SSL_ERROR_WANT_READ)
                        fail(client, server);
        }
        if (done_client != 1 || done_server != 1)
                fail(client, server);
        note_certificate(client);
        note_certificate(server);
        SSL_free(client);
        SSL_free(server);
}

static void say(const char *word)
{
        puts(word);
        fflush(stdout);
}

static void *work(void *arg)
{
        (void)arg;
        for (unsigned i = 0; i < handshakes; i++) {
                pthread_rwlock_rdlock(&forking);
                shake();
                pthread_rwlock_unlock(&forking);
                if (i % 4 == 0)
                        say("step");
                if (i % 16 == 0 && !forks) {
                        SSL_CTX *ctx = hf_ssl_ctx_new(name, HF_TLS_CLIENT);

                        if (!ctx)
                                errx(1, "%s", hf_error_sentence());
                        SSL_CTX_free(ctx);
                }
        }
        return NULL;
}

static unsigned fork_meanwhile(void)
{
        unsigned failed = 0;
        pid_t children[CHILDREN];
        int status;

        for (unsigned i = 0; i < CHILDREN; i++) {
                pthread_rwlock_wrlock(&forking);
                children[i] = fork();
                if (children[i] == 0) {
                        shake();
                        _exit(0);
                }
                pthread_rwlock_unlock(&forking);
        }
        for (unsigned i = 0; i < CHILDREN; i++)
                failed += waitpid(children[i], &status, 0) < 0 || status != 0;
        return failed;
}

int main(int argc, char **argv)
{
        pthread_t threads[THREADS];
        unsigned failed = 0;

        if (argc < 3)
                return 2;
        name = argv[1];
        handshakes = (unsigned)atoi(argv[2]);
        forks = argc > 3;
        client_ctx = hf_ssl_ctx_new(name, HF_TLS_CLIENT);
        server_ctx = hf_ssl_ctx_new(name, HF_TLS_SERVER_MUTUAL);
        if (!client_ctx || !server_ctx)
                errx(1, "%s", hf_error_sentence());
        shake();
        for (unsigned i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, work, NULL);
        if (forks)
                failed = fork_meanwhile();
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        printf("done %u %u\n", atomic_load(&made), atomic_load(&different));
        return failed > 0;
}
