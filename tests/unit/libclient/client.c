/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that uses the library against a running Holdfast: one scenario per argument, 0 if it went as
 * promised. test_client.py starts it and does to the daemon what the scenario is about; "ready" and a line on
 * standard input are how the two wait for each other.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <holdfast-admin.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable()
#endif

#define CHECK(expr)                                                                                          \
        do {                                                                                                 \
                if (!(expr)) {                                                                               \
                        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expr, hf_error_sentence());  \
                        exit(1);                                                                             \
                }                                                                                            \
        } while (0)

static const char message[] = "a message";

static int sign_once(HfConnection *c, HfSignature *sig)
{
        HfKey *key;
        int r;

        CHECK(hf_key_open(c, "device-p256", &key) == 0);
        sig->len = sizeof(sig->data);
        r = hf_sign(key, HF_ES256, message, sizeof(message), sig->data, &sig->len);
        hf_key_close(key);
        return r;
}

static void tell_and_wait(const char *word)
{
        char line[16];

        puts(word);
        fflush(stdout);
        CHECK(fgets(line, sizeof(line), stdin));
}

static void run_operations(void)
{
        HfConnection *c;
        HfKey *key;
        HfDescription *d;
        HfSpan many[3] = {{"a", 1}, {"bc", 2}, {"", 0}}, public;
        HfSignature sigs[3];
        uint8_t small[4], mac[HF_MAC_SIZE], sealed[256], opened[256], raw[64], jwk[1024], bytes[32] = {0};
        size_t len;

        CHECK(hf_connect(&c) == 0);
        CHECK(strcmp(hf_connection_road(c), "direct") == 0);
        CHECK(hf_key_open(c, "device-p256", &key) == 0);
        CHECK(hf_key_describe(key, &d) == 0);
        CHECK(strcmp(hf_description_string(d, "algorithm"), "p256") == 0);
        CHECK(hf_description_number(d, "frozen", 7) == 0 && hf_description_number(d, "no-such", 7) == 7);
        CHECK(strcmp(hf_description_item(d, "schemes", 0), "ES256") == 0 &&
                        !hf_description_item(d, "schemes", 99));
        public = hf_description_bytes(d, "public");
        CHECK(public.len > 80);
        CHECK(hf_sign_many(key, HF_SCHEME_USUAL, many, 3, sigs) == 0 && sigs[2].len > 60);
        len = sizeof(raw);
        CHECK(hf_sign(key, HF_ES256 | HF_ENCODING_P1363, message, 3, raw, &len) == 0 && len == 64);
        len = sizeof(small);
        CHECK(hf_key_public(key, "spki", small, &len) == HF_ERROR_INVALID_ARGS && len == public.len);
        len = sizeof(jwk);
        CHECK(hf_key_public(key, "jwk", jwk, &len) == 0 && jwk[0] == '{');
        CHECK(hf_sign(key, HF_RS256, message, 3, raw, &len) == HF_ERROR_SCHEME_NOT_SUPPORTED);
        CHECK(hf_mac(key, message, 3, mac) == HF_ERROR_PURPOSE_NOT_PERMITTED);
        hf_description_free(d);
        hf_key_close(key);

        CHECK(hf_key_open(c, "data", &key) == 0);
        len = sizeof(sealed);
        CHECK(hf_seal(key, message, sizeof(message), &(HfSpan){"aad", 3}, sealed, &len) == 0);
        CHECK(len == sizeof(message) + 28);
        size_t sealed_len = len;
        len = sizeof(opened);
        CHECK(hf_unseal(key, sealed, sealed_len, NULL, opened, &len) == HF_ERROR_DECRYPT_FAILED);
        len = sizeof(opened);
        CHECK(hf_unseal(key, sealed, sealed_len, &(HfSpan){"aad", 3}, opened, &len) == 0);
        CHECK(len == sizeof(message) && memcmp(opened, message, len) == 0);
        hf_key_close(key);

        CHECK(hf_key_open(c, "mac", &key) == 0);
        CHECK(hf_mac(key, message, 3, mac) == 0);
        hf_key_close(key);
        CHECK(hf_random(c, bytes, sizeof(bytes)) == 0 && memcmp(bytes, (uint8_t[32]){0}, 32) != 0);
        CHECK(hf_key_open(c, "no-such", &key) == 0);
        CHECK(hf_key_describe(key, &d) == HF_ERROR_NO_SUCH_KEY);
        hf_key_close(key);
        CHECK(!hf_disconnect(c));
}

static void run_fork(void)
{
        HfSignature sig;
        HfConnection *c;
        struct stat before, after;
        int fd, child_fd, status;
        pid_t pid;

        CHECK(hf_connect(&c) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(hf_connection_fd(c, &fd) == 0 && fstat(fd, &before) == 0);
        pid = fork();
        if (pid == 0) {
                CHECK(sign_once(c, &sig) == 0);
                CHECK(hf_connection_fd(c, &child_fd) == 0 && child_fd != fd);
                CHECK(fstat(fd, &after) == 0 && after.st_ino == before.st_ino);
                hf_disconnect(c);
                CHECK(fstat(fd, &after) == 0 && after.st_ino == before.st_ino);
                _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(hf_connection_fd(c, &child_fd) == 0 && child_fd == fd);
        hf_disconnect(c);
}

static void *sign_for_ever(void *userdata)
{
        HfSignature sig;

        while (!*(_Atomic bool *)userdata)
                CHECK(sign_once(NULL, &sig) == 0);
        return NULL;
}

/* Threads hold the lock at the moment of the fork; the child must not wait for them. */
static void run_fork_threads(void)
{
        _Atomic bool stop = false;
        pthread_t threads[3];
        HfSignature sig;
        int status;

        for (int i = 0; i < 3; i++)
                CHECK(pthread_create(&threads[i], NULL, sign_for_ever, (void *)&stop) == 0);
        CHECK(sign_once(NULL, &sig) == 0);
        for (int i = 0; i < 10; i++) {
                pid_t pid = fork();

                if (pid == 0) {
                        alarm(20);
                        _exit(sign_once(NULL, &sig) != 0);
                }
                CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        stop = true;
        for (int i = 0; i < 3; i++)
                pthread_join(threads[i], NULL);
}

/* A program that closes all descriptors and opens its own: the number is not the socket any more. */
static void run_closed(void)
{
        HfSignature sig;
        HfConnection *c;
        int fd, again, pipes[2];
        char byte;

        __lsan_disable(); /* to give the connection's memory back would close a number that is somebody else's */
        CHECK(hf_connect(&c) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(hf_connection_fd(c, &fd) == 0);
        CHECK(pipe(pipes) == 0 && dup2(pipes[1], fd) == fd);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(hf_connection_fd(c, &again) == 0 && again != fd);
        hf_disconnect(c);
        CHECK(write(fd, "x", 1) == 1 && read(pipes[0], &byte, 1) == 1 && byte == 'x');
}

/* Who gives up being root is not root for a connection of before, and not for good where it was only for a while. */
static void run_user(void)
{
        HfSignature sig;
        HfConnection *c;

        CHECK(hf_connect(&c) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(seteuid(65534) == 0);
        CHECK(sign_once(c, &sig) == HF_ERROR_NO_SUCH_KEY);
        CHECK(seteuid(0) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(setegid(65534) == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        CHECK(sign_once(c, &sig) == HF_ERROR_NO_SUCH_KEY);
        hf_disconnect(c);
}

static void *sign_twenty(void *userdata)
{
        HfSignature sig;

        for (int i = 0; i < 20; i++)
                CHECK(hf_sign_with("device-p256", HF_ES256, message, 5, &sig) == 0);
        return userdata;
}

static void run_threads(void)
{
        pthread_t threads[8];

        for (int i = 0; i < 8; i++)
                CHECK(pthread_create(&threads[i], NULL, sign_twenty, NULL) == 0);
        for (int i = 0; i < 8; i++)
                pthread_join(threads[i], NULL);
}

static void run_restart(void)
{
        HfSignature sig;
        HfKey *key;
        HfDescription *d;

        CHECK(sign_once(NULL, &sig) == 0);
        tell_and_wait("ready");
        CHECK(sign_once(NULL, &sig) == 0);
        CHECK(hf_key_open(NULL, "device-p256", &key) == 0);
        tell_and_wait("ready");
        CHECK(hf_key_describe(key, &d) == 0);
        hf_description_free(d);
        hf_key_close(key);
}

typedef struct Count {
        int good, bad, result;
} Count;

static void on_signed(int result, const uint8_t *sig, size_t len, void *userdata)
{
        Count *n = userdata;

        if (result == 0) {
                CHECK(sig && len > 60);
                n->good++;
        } else {
                CHECK(!sig && len == 0);
                n->bad++;
                n->result = result;
        }
}

static uint64_t now_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* As a foreign loop would: three questions, one wait, one dispatch. */
static int loop_once(HfConnection *c)
{
        uint64_t timeout;
        struct pollfd p;
        int wait = -1;

        CHECK(hf_connection_fd(c, &p.fd) == 0);
        CHECK(hf_connection_events(c, &p.events) == 0);
        CHECK(hf_connection_timeout(c, &timeout) == 0);
        if (timeout != UINT64_MAX)
                wait = timeout < now_usec() ? 0 : (int)((timeout - now_usec()) / 1000) + 1;
        CHECK(poll(&p, 1, wait) >= 0 || errno == EINTR);
        return hf_connection_dispatch(c);
}

static void run_async(void)
{
        Count n = {0};
        HfConnection *c;
        HfSignature sig;
        HfKey *key, *none;

        CHECK(hf_connect(&c) == 0);
        CHECK(hf_key_open(c, "device-p256", &key) == 0);
        CHECK(hf_key_open(c, "no-such", &none) == 0);
        for (int i = 0; i < 48; i++)
                CHECK(hf_sign_async(i == 7 ? none : key, HF_ES256, message, 5, on_signed, &n) == 0);
        CHECK(sign_once(c, &sig) == 0); /* a synchronous one in between */
        while (n.good + n.bad < 48)
                CHECK(loop_once(c) == 0);
        CHECK(n.good == 47 && n.bad == 1 && n.result == HF_ERROR_NO_SUCH_KEY);

        n = (Count){0};
        for (int i = 0; i < 5; i++)
                CHECK(hf_sign_async(key, HF_ES256, message, 5, on_signed, &n) == 0);
        hf_key_close(key);
        hf_key_close(none);
        hf_disconnect(c);
        CHECK(n.good + n.bad == 5);
}

/* The daemon is stopped, so nothing is answered; then it is killed: each callback comes once, with an error.
 */
static void run_async_lost(void)
{
        Count n = {0};
        HfConnection *c;
        HfSignature sig;
        HfKey *key;

        CHECK(hf_connect(&c) == 0);
        CHECK(hf_key_open(c, "device-p256", &key) == 0);
        CHECK(sign_once(c, &sig) == 0);
        tell_and_wait("stop");
        for (int i = 0; i < 8; i++)
                CHECK(hf_sign_async(key, HF_ES256, message, 5, on_signed, &n) == 0);
        tell_and_wait("kill");
        while (n.good + n.bad < 8)
                (void)loop_once(c);
        CHECK(n.bad == 8 && n.result == HF_ERROR_DAEMON_UNAVAILABLE);
        tell_and_wait("again");
        CHECK(hf_sign_async(key, HF_ES256, message, 5, on_signed, &n) == 0);
        while (n.good < 1)
                CHECK(loop_once(c) == 0);
        hf_key_close(key);
        hf_disconnect(c);
}

/* Synchronous, killed under way: a signature is not asked for twice, a description is. */
static void run_sync_lost(void)
{
        HfSignature sig;
        HfKey *key;
        HfDescription *d = NULL;
        int r;

        CHECK(hf_key_open(NULL, "device-p256", &key) == 0);
        CHECK(sign_once(NULL, &sig) == 0);
        tell_and_wait("stop");
        CHECK(sign_once(NULL, &sig) == HF_ERROR_DAEMON_UNAVAILABLE);
        CHECK(strstr(hf_error_sentence(), "not known"));
        tell_and_wait("stop");
        /* an answer of the new daemon, be it that it is still opening its store */
        r = hf_key_describe(key, &d);
        CHECK(r == 0 || r == HF_ERROR_SIGNER_UNAVAILABLE || r == HF_ERROR_STORE_LOCKED);
        hf_description_free(d);
        hf_key_close(key);
}

/* The daemon hangs and has not even taken the connection: the time a call may take is over all the same. */
static void run_hung(void)
{
        HfSignature sig;
        HfConnection *c;

        tell_and_wait("stop");
        CHECK(hf_connect(&c) == 0);
        hf_connection_set_timeout(c, 100000);
        CHECK(sign_once(c, &sig) == HF_ERROR_TIMED_OUT);
        tell_and_wait("continue");
        hf_connection_set_timeout(c, 30000000);
        CHECK(sign_once(c, &sig) == 0);
        /* and if it is replaced before it has taken it, the next one is asked: nothing was sent */
        hf_disconnect(c);
        tell_and_wait("stop");
        CHECK(hf_connect(&c) == 0);
        CHECK(sign_once(c, &sig) == 0);
        hf_disconnect(c);
}

static void run_bus(void)
{
        uint8_t buf[64];
        size_t len = sizeof(buf);
        HfSignature sig;
        HfConnection *c;
        HfKey *key;

        CHECK(hf_connect_bus(&c) == 0);
        CHECK(strcmp(hf_connection_road(c), "bus") == 0);
        CHECK(sign_once(c, &sig) == 0);
        CHECK(hf_key_open(c, "data", &key) == 0);
        CHECK(hf_unseal(key, message, sizeof(message), NULL, buf, &len) == HF_ERROR_USE_DIRECT_SOCKET);
        hf_key_close(key);
        hf_disconnect(c);
        /* no socket there: the default road is the bus */
        setenv("HOLDFAST_SOCKET", "/nonexistent/holdfast", 1);
        CHECK(hf_connect(&c) == 0);
        CHECK(strcmp(hf_connection_road(c), "bus") == 0);
        hf_disconnect(c);
}

static const struct {
        const char *name;
        void (*run)(void);
} scenarios[] = {
                {"operations", run_operations},
                {"fork", run_fork},
                {"fork-threads", run_fork_threads},
                {"closed", run_closed},
                {"user", run_user},
                {"threads", run_threads},
                {"restart", run_restart},
                {"async", run_async},
                {"async-lost", run_async_lost},
                {"sync-lost", run_sync_lost},
                {"hung", run_hung},
                {"bus", run_bus},
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc == 2 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
                if (strcmp(scenarios[i].name, argv[1]) == 0) {
                        alarm(60);
                        scenarios[i].run();
                        puts("done");
                        return 0;
                }
        fprintf(stderr, "no such scenario\n");
        return 2;
}
