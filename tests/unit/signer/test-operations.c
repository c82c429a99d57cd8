/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real process over its socket: keys, uses, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "crypto/pubkey.h"
#include "peer.h"

static int setup(void **state)
{
        static Peer p;
        SignerOpened opened;

        peer_setup(&p);
        peer_start(&p);
        peer_init(&p, &opened);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        peer_teardown(*state);
        return 0;
}

static void expect_alive(Peer *p)
{
        SignerHello hello;

        assert_true(peer_alive(p));
        assert_int_equal(peer_hello(p, &hello), 0);
}

static void sign_and_verify(Peer *p, KeyAlgorithm algorithm, Scheme scheme)
{
        Bytes message = bytes_str("a message"), signature;
        SignerOperation op;
        PeerKey k;

        peer_key_init(&k, algorithm, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, scheme, message);
        assert_int_equal(peer_operate(p, &op, &signature), 0);
        assert_int_equal(pubkey_verify(key_attributes_public(&k.attributes), scheme, message, signature), 0);
        assert_int_not_equal(pubkey_verify(key_attributes_public(&k.attributes), scheme, bytes_str("another"),
                                             signature),
                        0);
}

static void test_signatures_verify_with_the_public_half(void **state)
{
        sign_and_verify(*state, KEY_P256, SCHEME_ES256);
        sign_and_verify(*state, KEY_P384, SCHEME_ES384);
        sign_and_verify(*state, KEY_ED25519, SCHEME_EDDSA);
        sign_and_verify(*state, KEY_RSA2048, SCHEME_RS256);
        sign_and_verify(*state, KEY_RSA2048, SCHEME_PS512);
}

static void test_every_algorithm_can_be_generated_and_used_under_the_filter(void **state)
{
        sign_and_verify(*state, KEY_RSA3072, SCHEME_PS384);
        sign_and_verify(*state, KEY_RSA4096, SCHEME_RS512);
}

static void test_mac_seal_and_agree_work(void **state)
{
        Peer *p = *state;
        PeerKey mac, aes, x, y;
        SignerOperation op;
        uint8_t sealed[256], secret[32];
        size_t len;
        Bytes out;

        peer_key_init(&mac, KEY_HMAC256, PURPOSE_MAC, 0);
        assert_int_equal(peer_generate(p, &mac), 0);
        assert_int_equal(mac.attributes.public_len, 0);
        op = peer_operation(p, &mac, SIGNER_OP_MAC, SCHEME_HS256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(out.len, 32);

        peer_key_init(&aes, KEY_AES256, PURPOSE_SEAL, 0);
        assert_int_equal(peer_generate(p, &aes), 0);
        op = peer_operation(p, &aes, SIGNER_OP_SEAL, SCHEME_A256GCM, bytes_str("plain"));
        op.aux = bytes_str("aad");
        assert_int_equal(peer_operate(p, &op, &out), 0);
        len = out.len;
        memcpy(sealed, out.data, len);
        op = peer_operation(p, &aes, SIGNER_OP_UNSEAL, SCHEME_A256GCM, BYTES(sealed, len));
        op.aux = bytes_str("aad");
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_true(bytes_equal(out, bytes_str("plain")));
        sealed[len - 1] ^= 1;
        op.seq = p->seq++;
        assert_int_equal(peer_operate(p, &op, &out), HF_E_DECRYPT_FAILED);

        peer_key_init(&x, KEY_X25519, PURPOSE_AGREE, 0);
        peer_key_init(&y, KEY_X25519, PURPOSE_AGREE, 0);
        assert_int_equal(peer_generate(p, &x), 0);
        assert_int_equal(peer_generate(p, &y), 0);
        op = peer_operation(
                        p, &x, SIGNER_OP_AGREE, SCHEME_ECDH_HKDF_256, key_attributes_public(&y.attributes));
        op.length = 32;
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(out.len, 32);
        memcpy(secret, out.data, 32);
        op = peer_operation(
                        p, &y, SIGNER_OP_AGREE, SCHEME_ECDH_HKDF_256, key_attributes_public(&x.attributes));
        op.length = 32;
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_memory_equal(out.data, secret, 32);
        op.seq = p->seq++;
        op.length = 0;
        assert_int_equal(peer_operate(p, &op, &out), HF_E_INVALID_ARGS);
        op.seq = p->seq++;
        op.length = 255 * 32 + 1;
        assert_int_equal(peer_operate(p, &op, &out), HF_E_INVALID_ARGS);
}

/* Each attribute that somebody edits in the database makes the key refuse, also when it is in the cache. */
static void test_edited_attributes_are_a_mismatch(void **state)
{
        Peer *p = *state;
        PeerKey k, edited;
        SignerOperation op;
        Bytes out;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        for (int warm = 0; warm < 2; warm++) {
                for (size_t bit = 0; bit < k.encoded_len * 8; bit++) {
                        edited = k;
                        edited.encoded[bit / 8] ^= (uint8_t)(1 << bit % 8);
                        op = peer_operation(p, &edited, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
                        assert_int_equal(peer_operate(p, &op, &out), HF_E_KEY_MISMATCH);
                        if (bit % 512 == 0)
                                assert_int_equal(peer_checkpoint(p, p->seq, &out), 0);
                }
                op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
                assert_int_equal(peer_operate(p, &op, &out), 0);
                assert_int_equal(peer_checkpoint(p, p->seq, &out), 0);
        }
}

static void test_edited_envelope_is_a_mismatch(void **state)
{
        Peer *p = *state;
        PeerKey k, edited;
        SignerOperation op;
        Bytes out;

        peer_key_init(&k, KEY_ED25519, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        for (size_t bit = 0; bit < k.wrapped_len * 8; bit++) {
                edited = k;
                edited.wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
                op = peer_operation(p, &edited, SIGNER_OP_SIGN, SCHEME_EDDSA, bytes_str("m"));
                assert_int_equal(peer_operate(p, &op, &out), HF_E_KEY_MISMATCH);
        }
        k.wrapped_len = 0;
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_EDDSA, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), HF_E_KEY_MISMATCH);
}

static int try_use(Peer *p, const PeerKey *k, SignerOp what, Scheme scheme, uint32_t flags, size_t len)
{
        static const uint8_t payload[64];
        SignerOperation op = peer_operation(p, k, what, scheme, BYTES(payload, len));
        Bytes out;

        op.flags = flags;
        return peer_operate(p, &op, &out);
}

static void test_a_key_does_only_what_it_was_made_for(void **state)
{
        Peer *p = *state;
        PeerKey sign, digest, agree;

        peer_key_init(&sign, KEY_P256, PURPOSE_SIGN, 0);
        peer_key_init(&digest, KEY_P256, PURPOSE_SIGN, KEY_FLAG_DIGEST);
        peer_key_init(&agree, KEY_P256, PURPOSE_AGREE, 0);
        assert_int_equal(peer_generate(p, &sign), 0);
        assert_int_equal(peer_generate(p, &digest), 0);
        assert_int_equal(peer_generate(p, &agree), 0);

        assert_int_equal(try_use(p, &sign, SIGNER_OP_SIGN, SCHEME_ES256, 0, 32), 0);
        assert_int_equal(try_use(p, &digest, SIGNER_OP_SIGN, SCHEME_ES256, SIGNER_FLAG_DIGEST, 32), 0);
        assert_int_equal(try_use(p, &sign, SIGNER_OP_SIGN, SCHEME_ES256, SIGNER_FLAG_DIGEST, 32),
                        HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(
                        try_use(p, &digest, SIGNER_OP_SIGN, SCHEME_ES256, 0, 32), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(try_use(p, &digest, SIGNER_OP_SIGN, SCHEME_ES256, SIGNER_FLAG_DIGEST, 31),
                        HF_E_INVALID_ARGS);
        assert_int_equal(try_use(p, &agree, SIGNER_OP_SIGN, SCHEME_ES256, 0, 32), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(try_use(p, &sign, SIGNER_OP_AGREE, SCHEME_ECDH_HKDF_256, 0, 32),
                        HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(try_use(p, &agree, SIGNER_OP_MAC, SCHEME_ECDH_HKDF_256, 0, 32),
                        HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(try_use(p, &sign, SIGNER_OP_SIGN, SCHEME_ES384, 0, 32), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(try_use(p, &sign, SIGNER_OP_SIGN, 200, 0, 32), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(try_use(p, &sign, SIGNER_OP_SIGN, SCHEME_ES256, 1u << 9, 32), HF_E_INVALID_ARGS);
}

static int rewrap(Peer *p, const PeerKey *old, uint32_t version, uint32_t flags, PeerKey *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        WireReader reader;
        Bytes reply, wrapped;
        int r;

        *ret = *old;
        ret->attributes.version = version;
        ret->attributes.flags = flags;
        peer_key_encode(ret);
        assert_int_equal(wire_put_block(&b, BYTES(old->encoded, old->encoded_len)), 0);
        assert_int_equal(wire_put_block(&b, BYTES(old->wrapped, old->wrapped_len)), 0);
        assert_int_equal(wire_put_block(&b, BYTES(ret->encoded, ret->encoded_len)), 0);
        r = peer_call(p, SIGNER_REWRAP, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        wrapped = wire_get_block(&reader, sizeof(ret->wrapped));
        assert_int_equal(wire_done(&reader), 0);
        memcpy(ret->wrapped, wrapped.data, wrapped.len);
        ret->wrapped_len = wrapped.len;
        return 0;
}

static void test_state_changes_go_only_where_they_may(void **state)
{
        Peer *p = *state;
        PeerKey k, off, on, retired, frozen, other;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        assert_int_equal(rewrap(p, &k, 2, KEY_FLAG_DISABLED, &off), 0);
        assert_int_equal(try_use(p, &off, SIGNER_OP_SIGN, SCHEME_ES256, 0, 8), HF_E_KEY_DISABLED);
        assert_int_equal(rewrap(p, &off, 3, 0, &on), 0);
        assert_int_equal(try_use(p, &on, SIGNER_OP_SIGN, SCHEME_ES256, 0, 8), 0);
        assert_int_equal(rewrap(p, &on, 4, KEY_FLAG_RETIRED, &retired), 0);
        assert_int_equal(rewrap(p, &retired, 5, 0, &other), HF_E_INVALID_ARGS);
        assert_int_equal(rewrap(p, &retired, 5, KEY_FLAG_RETIRED | KEY_FLAG_FROZEN, &frozen), 0);
        assert_int_equal(
                        rewrap(p, &frozen, 6, KEY_FLAG_RETIRED | KEY_FLAG_FROZEN | KEY_FLAG_DISABLED, &other),
                        HF_E_KEY_FROZEN);
        assert_int_equal(try_use(p, &frozen, SIGNER_OP_SIGN, SCHEME_ES256, 0, 8), 0);

        assert_int_equal(rewrap(p, &k, 1, KEY_FLAG_DISABLED, &other), HF_E_INVALID_ARGS);
        assert_int_equal(rewrap(p, &k, 3, KEY_FLAG_DISABLED, &other), HF_E_INVALID_ARGS);
        assert_int_equal(rewrap(p, &k, 2, KEY_FLAG_DIGEST, &other), HF_E_INVALID_ARGS);
        assert_int_equal(rewrap(p, &k, 2, KEY_FLAG_IMPORTED, &other), HF_E_INVALID_ARGS);
}

static void test_rewrap_changes_nothing_but_state(void **state)
{
        Peer *p = *state;
        PeerKey k, other, renamed;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        /* An edited old record does not open, whatever the new one says. */
        other = k;
        strcpy(other.attributes.name, "payments");
        peer_key_encode(&other);
        assert_int_equal(rewrap(p, &other, 2, 0, &renamed), HF_E_KEY_MISMATCH);
        other = k;
        other.attributes.flags = KEY_FLAG_DIGEST;
        peer_key_encode(&other);
        assert_int_equal(rewrap(p, &other, 2, KEY_FLAG_DIGEST, &renamed), HF_E_KEY_MISMATCH);
}

static void test_a_new_key_has_no_history(void **state)
{
        Peer *p = *state;
        PeerKey k;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        assert_int_equal(peer_generate(p, &k), HF_E_INVALID_ARGS);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, KEY_FLAG_FROZEN);
        assert_int_equal(peer_generate(p, &k), HF_E_INVALID_ARGS);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        k.attributes.version = 2;
        peer_key_encode(&k);
        assert_int_equal(peer_generate(p, &k), HF_E_INVALID_ARGS);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        k.attributes.protection = PROTECTION_TPM;
        peer_key_encode(&k);
        assert_int_equal(peer_generate(p, &k), HF_E_TPM_UNAVAILABLE); /* and never one of software instead */
}

static void test_a_sequence_number_is_served_once(void **state)
{
        Peer *p = *state;
        SignerOperation op;
        SignerHello hello;
        PeerKey k;
        Bytes out;

        p->seq = 100;
        peer_key_init(&k, KEY_ED25519, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_EDDSA, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(peer_operate(p, &op, &out), HF_E_SIGNER_FAILED);
        op.seq = 99;
        assert_int_equal(peer_operate(p, &op, &out), HF_E_SIGNER_FAILED);
        op.seq = 105;
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(peer_hello(p, &hello), 0);
        assert_int_equal(hello.served, 105);
        assert_int_equal(hello.ops, 2);

        /* No more than 2,048 lines past the first one, or the last checkpoint. */
        op.seq = 100 + SIGNER_UNSEALED_MAX;
        assert_int_equal(peer_operate(p, &op, &out), HF_E_SIGNER_FAILED);
        op.seq = 100 + SIGNER_UNSEALED_MAX - 1;
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(peer_checkpoint(p, op.seq, &out), HF_E_SIGNER_FAILED);
        assert_int_equal(peer_checkpoint(p, op.seq + 1, &out), 0);
        assert_int_equal(peer_checkpoint(p, op.seq, &out), HF_E_SIGNER_FAILED);
        op.seq++;
        assert_int_equal(peer_operate(p, &op, &out), 0);
}

static void test_a_packet_of_another_version_is_told_ours_before_the_connection_ends(void **state)
{
        Peer *p = *state;
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64);
        uint64_t job;
        Bytes out;

        assert_int_equal(link_begin(&b, SIGNER_HELLO, 7), 0);
        b.data[2]++;
        assert_int_equal(link_send(p->fd, buffer_bytes(&b), NULL, 0), 0);
        assert_int_equal(peer_receive(p, &job, &out), HF_E_VERSION_MISMATCH);
        assert_int_equal(job, 0);
        assert_int_equal(peer_receive(p, &job, &out), -ECONNRESET);
        peer_connect(p);
        expect_alive(p);
}

static void test_a_malformed_packet_costs_the_connection_and_nothing_else(void **state)
{
        Peer *p = *state;
        static const struct {
                uint16_t type;
                const char *body;
                size_t len;
        } cases[] = {
                        {0, "", 0},
                        {99, "", 0},
                        {SIGNER_REPLY, "", 0},
                        {SIGNER_HELLO, "", 0},
                        {SIGNER_HELLO, "\1\0\0\0\0", 5},
                        {SIGNER_INIT, "x", 1},
                        {SIGNER_UNLOCK, "\377\377\377\377", 4},
                        {SIGNER_LOCK, "", 0},
                        {SIGNER_LOCK, "\1x", 2},
                        {SIGNER_SLOTS, "\0\0\0\0x", 5},
                        {SIGNER_GENERATE, "\1\0", 2},
                        {SIGNER_REWRAP, "\0\0\0\0\0\0\0\0", 8},
                        {SIGNER_OPERATE, "\0", 1},
                        {SIGNER_CHECKPOINT, "\0", 1},
                        {SIGNER_RANDOM, "\1\0\0\0\0", 5},
                        {SIGNER_REKEY, "", 0},
        };
        Bytes out;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(peer_call(p, cases[i].type, BYTES(cases[i].body, cases[i].len), NULL, 0,
                                                 &out),
                                -ECONNRESET);
                peer_connect(p);
                expect_alive(p);
        }
        /* Not even a header. */
        assert_int_equal(write(p->fd, "KH", 2), 2);
        peer_connect(p);
        expect_alive(p);
}

static void test_descriptors_that_nobody_asked_for_are_closed(void **state)
{
        Peer *p = *state;
        uint8_t version[4] = {LINK_VERSION};
        int fds[2];
        char c;
        Bytes out;

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(peer_call(p, SIGNER_HELLO, BYTES_ARRAY(version), &fds[1], 1, &out), 0);
        close(fds[1]);
        assert_int_equal(read(fds[0], &c, 1), 0); /* the other end is gone everywhere */
        close(fds[0]);
}

static void test_a_new_connection_replaces_the_old_one(void **state)
{
        Peer *p = *state;
        int old = p->fd;
        char c;

        p->fd = -EBADF;
        peer_connect(p);
        expect_alive(p);
        assert_int_equal(read(old, &c, 1), 0);
        close(old);
}

static void test_random_is_bounded_and_not_twice_the_same(void **state)
{
        Peer *p = *state;
        uint8_t n[4] = {32}, first[36], much[4] = {1, 0, 1, 0}, none[4] = {};
        Bytes out;

        assert_int_equal(peer_call(p, SIGNER_RANDOM, BYTES_ARRAY(n), NULL, 0, &out), 0);
        assert_int_equal(out.len, 36);
        memcpy(first, out.data, 36);
        assert_int_equal(peer_call(p, SIGNER_RANDOM, BYTES_ARRAY(n), NULL, 0, &out), 0);
        assert_memory_not_equal(first, out.data, 36);
        assert_int_equal(peer_call(p, SIGNER_RANDOM, BYTES_ARRAY(much), NULL, 0, &out), HF_E_INVALID_ARGS);
        assert_int_equal(peer_call(p, SIGNER_RANDOM, BYTES_ARRAY(none), NULL, 0, &out), HF_E_INVALID_ARGS);
}

/* While RSA-4096 keys are made, another caller's signatures go on. */
static void test_slow_jobs_leave_a_worker_for_quick_ones(void **state)
{
        Peer *p = *state;
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2048);
        unsigned slow = 0, quick = 0;
        uint64_t slow_jobs[3], job;
        PeerKey k, rsa;
        Bytes out;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        peer_key_init(&rsa, KEY_RSA4096, PURPOSE_SIGN, 0);
        assert_int_equal(wire_put_block(&b, BYTES(rsa.encoded, rsa.encoded_len)), 0);
        for (int i = 0; i < 3; i++)
                slow_jobs[i] = peer_send(p, SIGNER_GENERATE, buffer_bytes(&b), NULL, 0);
        for (int i = 0; i < 20; i++) {
                SignerOperation op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));

                (void)peer_send_operation(p, &op);
        }
        while (quick < 20) {
                assert_int_equal(peer_receive(p, &job, &out), 0);
                if (job >= slow_jobs[0] && job <= slow_jobs[2])
                        slow++;
                else
                        quick++;
        }
        assert_true(slow < 3);
        for (; slow < 3; slow++)
                assert_int_equal(peer_receive(p, &job, &out), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
                        TEST(test_signatures_verify_with_the_public_half),
                        TEST(test_every_algorithm_can_be_generated_and_used_under_the_filter),
                        TEST(test_mac_seal_and_agree_work),
                        TEST(test_edited_attributes_are_a_mismatch),
                        TEST(test_edited_envelope_is_a_mismatch),
                        TEST(test_a_key_does_only_what_it_was_made_for),
                        TEST(test_state_changes_go_only_where_they_may),
                        TEST(test_rewrap_changes_nothing_but_state),
                        TEST(test_a_new_key_has_no_history),
                        TEST(test_a_sequence_number_is_served_once),
                        TEST(test_a_packet_of_another_version_is_told_ours_before_the_connection_ends),
                        TEST(test_a_malformed_packet_costs_the_connection_and_nothing_else),
                        TEST(test_descriptors_that_nobody_asked_for_are_closed),
                        TEST(test_a_new_connection_replaces_the_old_one),
                        TEST(test_random_is_bounded_and_not_twice_the_same),
                        TEST(test_slow_jobs_leave_a_worker_for_quick_ones),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
