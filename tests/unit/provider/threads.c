/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program with many threads that share the keys of some references, and that forks while they sign. It knows nothing of
 * Holdfast: OPENSSL_CONF brings the provider. Every signature is verified. Says how many there were and how many
 * a second; ends with 1 at the first failure.
 *
 *         provider-threads THREADS SIGNATURES FORKS REFERENCE...
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS_MAX 8
#define THREADS_MAX 256
#define CHILDREN_AT_ONCE 16
#define CHILD_PATIENCE 60 /* seconds until a child that hangs is killed */

static EVP_PKEY *keys[KEYS_MAX];
static size_t n_keys;
static int per_thread;
static atomic_uint n_signed;

static void fail(const char *what)
{
        fprintf(stderr, "%s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
}

static EVP_PKEY *load(const char *path)
{
        FILE *f = fopen(path, "r");
        EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

        if (!key)
                fail(path);
        fclose(f);
        return key;
}

static void sign(EVP_PKEY *key, unsigned number)
{
        uint8_t signature[512], message[64] = {number & 0xff, number >> 8 & 0xff};
        size_t len = sizeof(signature);
        const char *digest = EVP_PKEY_is_a(key, "ED25519") ? NULL : "SHA256";
        EVP_MD_CTX *c = EVP_MD_CTX_new();

        if (EVP_DigestSignInit_ex(c, NULL, digest, NULL, NULL, key, NULL) != 1 ||
                        EVP_DigestSign(c, signature, &len, message, sizeof(message)) != 1)
                fail("did not sign");
        EVP_MD_CTX_free(c);
        c = EVP_MD_CTX_new();
        if (EVP_DigestVerifyInit_ex(c, NULL, digest, NULL, NULL, key, NULL) != 1 ||
                        EVP_DigestVerify(c, signature, len, message, sizeof(message)) != 1)
                fail("the signature is wrong");
        EVP_MD_CTX_free(c);
        atomic_fetch_add(&n_signed, 1);
}

static void *run(void *arg)
{
        size_t number = (size_t)arg;
        EVP_PKEY *own = EVP_PKEY_dup(keys[number % n_keys]);

        if (!own || EVP_PKEY_eq(own, keys[number % n_keys]) != 1)
                fail("a duplicate is not the key");
        for (int i = 0; i < per_thread; i++)
                sign(i % 2 ? keys[(number + (size_t)i) % n_keys] : own, (unsigned)i);
        EVP_PKEY_free(own);
        return NULL;
}

/* A child signs, once by itself and once in a thread of its own. */
static void be_child(int number)
{
        pthread_t t;

        alarm(CHILD_PATIENCE);
        sign(keys[(size_t)number % n_keys], (unsigned)number);
        per_thread = 1;
        if (pthread_create(&t, NULL, run, (void *)(size_t)number) || pthread_join(t, NULL))
                _exit(1);
        _exit(0);
}

static void reap(void)
{
        int status;

        if (wait(&status) < 0 || status)
                fail("a child failed");
}

static void fork_many(int n)
{
        int running = 0;

        for (int i = 0; i < n; i++) {
                pid_t pid;

                if (running == CHILDREN_AT_ONCE) {
                        reap();
                        running--;
                }
                pid = fork();
                if (pid < 0)
                        fail("fork");
                if (pid == 0)
                        be_child(i);
                running++;
        }
        while (running-- > 0)
                reap();
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
        pthread_t threads[THREADS_MAX];
        int n_threads = argc > 4 ? atoi(argv[1]) : 0;
        double begun;

        if (argc < 5 || argc - 4 > KEYS_MAX || n_threads < 0 || n_threads > THREADS_MAX)
                return 2;
        per_thread = atoi(argv[2]);
        for (int i = 4; i < argc; i++)
                keys[n_keys++] = load(argv[i]);
        /* libcrypto looks algorithms up at first use, under locks that a child of a fork would never get; without forks it is
         * the threads that come first */
        for (size_t i = 0; i < n_keys && atoi(argv[3]) > 0; i++)
                sign(keys[i], 0);
        begun = now();
        for (int i = 0; i < n_threads; i++)
                if (pthread_create(&threads[i], NULL, run, (void *)(size_t)i))
                        fail("pthread_create");
        fork_many(atoi(argv[3]));
        for (int i = 0; i < n_threads; i++)
                pthread_join(threads[i], NULL);
        printf("%u signatures, %.0f a second\n", atomic_load(&n_signed), atomic_load(&n_signed) / (now() - begun));
        for (size_t i = 0; i < n_keys; i++)
                EVP_PKEY_free(keys[i]);
        return 0;
}
