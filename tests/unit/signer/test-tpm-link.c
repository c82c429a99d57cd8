/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The signer's end of the line to holdfast-tpm, with somebody at the other end who hangs, lies, talks nonsense or goes
 * away. Nothing here plays a TPM that works; see test-tpm.c for that.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "crypto/pubkey.h"
#include "peer.h"

#define WAIT_MS 20000

typedef struct Fixture {
        Peer peer;
        int fd; /* the other end */
        uint8_t *packet;
        PeerKey key;    /* of the TPM, not made yet */
        PeerKey nearby; /* of the signer */
} Fixture;

static int setup(void **state)
{
        static Fixture f;
        SignerOpened opened;

        f = (Fixture){.fd = -EBADF, .packet = malloc(LINK_MESSAGE_MAX)};
        peer_setup(&f.peer);
        f.peer.has_tpm_socket = 1;
        peer_start(&f.peer);
        *state = &f;
        assert_int_equal(link_connect(f.peer.tpm_path, &f.fd), 0);
        f.fd = safe_close(f.fd); /* came and went: nobody waits for it to make the store */
        peer_init(&f.peer, &opened);
        peer_key_init(&f.key, KEY_P256, PURPOSE_SIGN, 0);
        f.key.attributes.protection = PROTECTION_TPM;
        peer_key_encode(&f.key);
        peer_key_init(&f.nearby, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(&f.peer, &f.nearby), 0);
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        safe_close(f->fd);
        free(f->packet);
        peer_teardown(&f->peer);
        return 0;
}

static void receive(Fixture *f, LinkMessage *ret)
{
        struct pollfd p = {.fd = f->fd, .events = POLLIN};

        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_int_equal(link_receive(f->fd, 0, f->packet, ret), 0);
}

static void reply(Fixture *f, uint16_t type, uint64_t job, uint32_t result, const char *detail, Bytes body)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);

        assert_int_equal(link_begin(&b, type, job), 0);
        assert_int_equal(wire_put_u32(&b, result), 0);
        assert_int_equal(wire_put_string(&b, detail), 0);
        assert_int_equal(buffer_append(&b, body.data, body.len), 0);
        assert_int_equal(link_send(f->fd, buffer_bytes(&b), NULL, 0), 0);
}

/* Connects; the greeting comes with the first request. */
static void join(Fixture *f)
{
        safe_close(f->fd);
        assert_int_equal(link_connect(f->peer.tpm_path, &f->fd), 0);
}

static void greet(Fixture *f)
{
        uint8_t version[4] = {TPM_LINK_VERSION};
        LinkMessage m;

        receive(f, &m);
        assert_int_equal(m.header.type, TPM_HELLO);
        assert_memory_equal(m.body.data, version, 4);
        reply(f, TPM_REPLY, m.header.job, 0, "", BYTES_ARRAY(version));
}

/* A key is asked for, and the question has arrived here. */
static uint64_t ask(Fixture *f, uint64_t *ret_job)
{
        uint64_t job = peer_send_generate(&f->peer, &f->key);
        LinkMessage m;

        greet(f);
        receive(f, &m);
        assert_int_equal(m.header.type, TPM_CREATE);
        *ret_job = m.header.job;
        return job;
}

static int answer_to(Fixture *f, uint64_t job)
{
        uint64_t answered;
        Bytes body;
        int r = peer_receive(&f->peer, &answered, &body);

        assert_int_equal(answered, job);
        return r;
}

static bool was_hung_up(const Fixture *f)
{
        struct pollfd p = {.fd = f->fd, .events = POLLIN};

        return poll(&p, 1, WAIT_MS) == 1 && p.revents & POLLHUP;
}

static void sign_nearby(Fixture *f)
{
        SignerOperation op = peer_operation(&f->peer, &f->nearby, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        Bytes out;

        assert_int_equal(peer_operate(&f->peer, &op, &out), 0);
}

static void test_without_anybody_there_a_key_of_the_tpm_is_refused_by_name(void **state)
{
        Fixture *f = *state;

        assert_int_equal(answer_to(f, peer_send_generate(&f->peer, &f->key)), HF_E_TPM_UNAVAILABLE);
        f->key.attributes.algorithm = KEY_ED25519;
        peer_key_encode(&f->key);
        assert_int_equal(answer_to(f, peer_send_generate(&f->peer, &f->key)), HF_E_ALGORITHM_NOT_SUPPORTED);
        sign_nearby(f);
}

static int unlock_by(Fixture *f, const char *passphrase)
{
        SignerOpened opened;
        int fd, r;

        assert_int_equal(secret_fd_new(passphrase, strlen(passphrase), &fd), 0);
        r = peer_unlock(&f->peer, 1, fd, &opened);
        close(fd);
        return r;
}

static void add_passphrase(Fixture *f, const char *passphrase)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 128);
        WireReader reader;
        Bytes body, file;
        int fd;

        assert_int_equal(secret_fd_new(passphrase, strlen(passphrase), &fd), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&f->peer.slots)), 0);
        assert_int_equal(wire_put_u8(&b, SLOT_PASSPHRASE), 0);
        assert_int_equal(wire_put_string(&b, "admin"), 0);
        assert_int_equal(wire_put_block(&b, BYTES_NULL), 0);
        assert_int_equal(peer_call(&f->peer, SIGNER_SLOT_ADD, buffer_bytes(&b), &fd, 1, &body), 0);
        close(fd);
        reader = wire_reader(body);
        (void)wire_get_u32(&reader);
        file = wire_get_block(&reader, SLOTS_FILE_MAX);
        buffer_clear(&f->peer.slots);
        assert_int_equal(buffer_append(&f->peer.slots, file.data, file.len), 0);
}

/* More jobs than there are workers for the TPM; none of them is answered before all the rest is done. */
static void test_while_the_tpm_hangs_software_keys_and_passphrases_go_on(void **state)
{
        Fixture *f = *state;
        uint64_t jobs[5], ignored, body_job, start, before, during;
        Bytes body;

        add_passphrase(f, "correct horse");
        sign_nearby(f);
        start = clock_monotonic();
        for (int i = 0; i < 1000; i++)
                sign_nearby(f);
        before = clock_monotonic() - start;

        join(f);
        jobs[0] = ask(f, &ignored);
        for (int i = 1; i < 5; i++)
                jobs[i] = peer_send_generate(&f->peer, &f->key);
        start = clock_monotonic();
        for (int i = 0; i < 1000; i++)
                sign_nearby(f);
        during = clock_monotonic() - start;
        print_message("1000 signatures: %u us before, %u us while the TPM hangs\n", (unsigned)before, (unsigned)during);
        assert_int_equal(unlock_by(f, "correct horse"), 0);
        assert_int_equal(unlock_by(f, "wrong horse"), HF_E_UNLOCK_FAILED);

        f->fd = safe_close(f->fd);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(peer_receive(&f->peer, &body_job, &body), HF_E_TPM_UNAVAILABLE);
                assert_true(body_job >= jobs[0] && body_job <= jobs[4]);
        }
}

typedef struct Lie {
        const char *name;
        uint16_t type;
        int job; /* added to the right one */
        uint32_t result;
        const char *detail;
        const char *body;
        size_t len;
} Lie;

/* Each costs the connection, and the caller hears that there is no TPM. */
static const Lie lies[] = {
        {"another type", TPM_CREATE, 0, 0, "", NULL, 0},
        {"another job", TPM_REPLY, 1, 0, "", NULL, 0},
        {"the job before", TPM_REPLY, -1, 0, "", NULL, 0},
        {"a result that is not the TPM's to give", TPM_REPLY, 0, HF_E_STORE_LOCKED, "", NULL, 0},
        {"a result that does not exist", TPM_REPLY, 0, 1000000, "", NULL, 0},
        {"a failure with a body", TPM_REPLY, 0, HF_E_TPM_FAILED, "", "x", 1},
        {"a body longer than any", TPM_REPLY, 0, 0, "", NULL, 20000},
};

static void test_whoever_talks_nonsense_loses_the_connection(void **state)
{
        static const uint8_t zeros[20000];
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(lies); i++) {
                const Lie *lie = &lies[i];
                uint64_t job, mine;

                join(f);
                job = ask(f, &mine);
                reply(f, lie->type, mine + (uint64_t)(int64_t)lie->job, lie->result, lie->detail,
                        lie->body ? BYTES(lie->body, lie->len) : BYTES(zeros, lie->len));
                if (answer_to(f, job) != HF_E_TPM_UNAVAILABLE || !was_hung_up(f))
                        fail_msg("%s", lie->name);
        }
        sign_nearby(f);
}

static void test_garbage_instead_of_a_message_loses_the_connection(void **state)
{
        Fixture *f = *state;
        uint64_t job, mine;

        join(f);
        job = ask(f, &mine);
        assert_int_equal(send(f->fd, "this is no message", 18, MSG_NOSIGNAL), 18);
        assert_int_equal(answer_to(f, job), HF_E_TPM_UNAVAILABLE);
        assert_true(was_hung_up(f));
}

static void test_a_descriptor_with_an_answer_loses_the_connection(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        Fixture *f = *state;
        uint64_t job, mine;
        int fd;

        join(f);
        job = ask(f, &mine);
        assert_int_equal(link_begin(&b, TPM_REPLY, mine), 0);
        assert_int_equal(wire_put_u32(&b, HF_E_TPM_FAILED), 0);
        assert_int_equal(wire_put_string(&b, ""), 0);
        fd = dup(f->fd);
        assert_int_equal(link_send(f->fd, buffer_bytes(&b), &fd, 1), 0);
        close(fd);
        assert_int_equal(answer_to(f, job), HF_E_TPM_UNAVAILABLE);
        assert_true(was_hung_up(f));
}

static void test_hanging_up_half_way_is_heard_at_once_and_not_asked_again(void **state)
{
        Fixture *f = *state;
        uint64_t job, mine, start = clock_monotonic();

        join(f);
        job = ask(f, &mine);
        f->fd = safe_close(f->fd);
        assert_int_equal(answer_to(f, job), HF_E_TPM_UNAVAILABLE);
        assert_true(clock_monotonic() - start < 10 * USEC_PER_SEC);
}

static void test_what_the_tpm_says_is_what_the_caller_hears(void **state)
{
        static const int results[] = {HF_E_TPM_FAILED, HF_E_TPM_LOCKOUT, HF_E_TPM_FULL, HF_E_TPM_IDENTITY_CHANGED,
                HF_E_TPM_FAILURE_MODE, HF_E_ALGORITHM_NOT_SUPPORTED};
        Fixture *f = *state;
        uint64_t job, mine;
        LinkMessage m;

        join(f);
        job = ask(f, &mine);
        for (size_t i = 0; i < ELEMENTSOF(results); i++) {
                reply(f, TPM_REPLY, mine, (uint32_t)results[i], "why\n; not", BYTES_NULL);
                assert_int_equal(answer_to(f, job), results[i]);
                job = peer_send_generate(&f->peer, &f->key);
                receive(f, &m); /* the same connection, and no second greeting */
                assert_int_equal(m.header.type, TPM_CREATE);
                mine = m.header.job;
        }
        /* One use of a key knows no PIN. */
        reply(f, TPM_REPLY, mine, HF_E_UNLOCK_FAILED, "", BYTES_NULL);
        assert_int_equal(answer_to(f, job), HF_E_TPM_FAILED);
}

/* {name of the parent, public, private, number}. */
static void put_created(Buffer *b, Bytes public, Bytes private, Bytes number)
{
        TpmBlob blob = {.parent = {0, 11}, .public = public, .private = private};

        assert_int_equal(tpm_blob_put(b, &blob), 0);
        assert_int_equal(wire_put_block(b, number), 0);
}

static void test_a_public_half_that_is_none_makes_no_key(void **state)
{
        _cleanup_buffer_ Buffer off = BUFFER_INIT(1024), other = BUFFER_INIT(1024), rest = BUFFER_INIT(1024);
        Fixture *f = *state;
        const uint8_t *point = f->nearby.attributes.public + f->nearby.attributes.public_len - 64;
        uint8_t wrong[64] = {1}, unique[80] = {};
        uint64_t job, mine;
        LinkMessage m;

        put_created(&off, BYTES_ARRAY(unique), bytes_str("private"), BYTES_ARRAY(wrong));
        put_created(&other, BYTES_ARRAY(unique), bytes_str("private"), BYTES(point, 64));
        put_created(&rest, BYTES_ARRAY(unique), bytes_str("private"), BYTES(point, 64));
        assert_int_equal(wire_put_u8(&rest, 0), 0);
        join(f);
        job = ask(f, &mine);
        for (int i = 0; i < 3; i++) {
                const Buffer *b = i == 0 ? &off : i == 1 ? &other : &rest;

                reply(f, TPM_REPLY, mine, 0, "", buffer_bytes(b));
                assert_int_equal(answer_to(f, job), HF_E_TPM_FAILED);
                job = peer_send_generate(&f->peer, &f->key);
                receive(f, &m);
                mine = m.header.job;
        }
}

static void test_another_version_is_not_spoken_to(void **state)
{
        uint8_t version[4] = {TPM_LINK_VERSION + 1};
        Fixture *f = *state;
        LinkMessage m;
        uint64_t job;

        join(f);
        job = peer_send_generate(&f->peer, &f->key);
        receive(f, &m);
        assert_int_equal(m.header.type, TPM_HELLO);
        reply(f, TPM_REPLY, m.header.job, 0, "", BYTES_ARRAY(version));
        assert_true(was_hung_up(f));
        /* The one that follows at once is asked for the same job. */
        join(f);
        greet(f);
        receive(f, &m);
        assert_int_equal(m.header.type, TPM_CREATE);
        reply(f, TPM_REPLY, m.header.job, HF_E_TPM_FULL, "", BYTES_NULL);
        assert_int_equal(answer_to(f, job), HF_E_TPM_FULL);
}

static void test_the_one_that_came_last_is_asked(void **state)
{
        Fixture *f = *state;
        uint64_t job, mine;
        int former;

        join(f);
        job = ask(f, &mine);
        reply(f, TPM_REPLY, mine, HF_E_TPM_FULL, "", BYTES_NULL);
        assert_int_equal(answer_to(f, job), HF_E_TPM_FULL);

        former = f->fd; /* lingers, as that of a process that is about to end */
        f->fd = -EBADF;
        join(f);
        job = ask(f, &mine);
        reply(f, TPM_REPLY, mine, HF_E_TPM_LOCKOUT, "", BYTES_NULL);
        assert_int_equal(answer_to(f, job), HF_E_TPM_LOCKOUT);
        close(former);
}

static void test_one_that_was_gone_before_it_was_asked_costs_nothing(void **state)
{
        Fixture *f = *state;
        uint64_t job, mine;

        join(f);
        job = ask(f, &mine);
        reply(f, TPM_REPLY, mine, HF_E_TPM_FULL, "", BYTES_NULL);
        assert_int_equal(answer_to(f, job), HF_E_TPM_FULL);
        f->fd = safe_close(f->fd);
        job = peer_send_generate(&f->peer, &f->key);
        join(f);
        greet(f);
        {
                LinkMessage m;

                receive(f, &m);
                reply(f, TPM_REPLY, m.header.job, HF_E_TPM_LOCKOUT, "", BYTES_NULL);
        }
        assert_int_equal(answer_to(f, job), HF_E_TPM_LOCKOUT);
}

static void test_nobody_else_may_connect(void **state)
{
        Fixture *f = *state;
        pid_t pid;
        int status;

        if (getuid() != 0)
                skip();
        pid = fork();
        if (pid == 0) {
                struct pollfd p = {.events = POLLIN};
                int fd;

                if (setresuid(65534, 65534, 65534) || link_connect(f->peer.tpm_path, &fd))
                        _exit(1);
                p.fd = fd;
                _exit(poll(&p, 1, WAIT_MS) == 1 && p.revents & POLLHUP ? 0 : 2);
        }
        assert_int_equal(answer_to(f, peer_send_generate(&f->peer, &f->key)), HF_E_TPM_UNAVAILABLE);
        /* It is looked at when there is something to ask. */
        while (waitpid(pid, &status, WNOHANG) == 0)
                assert_int_equal(answer_to(f, peer_send_generate(&f->peer, &f->key)), HF_E_TPM_UNAVAILABLE);
        assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_without_anybody_there_a_key_of_the_tpm_is_refused_by_name),
                TEST(test_while_the_tpm_hangs_software_keys_and_passphrases_go_on),
                TEST(test_whoever_talks_nonsense_loses_the_connection),
                TEST(test_garbage_instead_of_a_message_loses_the_connection),
                TEST(test_a_descriptor_with_an_answer_loses_the_connection),
                TEST(test_hanging_up_half_way_is_heard_at_once_and_not_asked_again),
                TEST(test_what_the_tpm_says_is_what_the_caller_hears),
                TEST(test_a_public_half_that_is_none_makes_no_key),
                TEST(test_another_version_is_not_spoken_to),
                TEST(test_the_one_that_came_last_is_asked),
                TEST(test_one_that_was_gone_before_it_was_asked_costs_nothing),
                TEST(test_nobody_else_may_connect),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
