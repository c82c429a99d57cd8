/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What root finds when it reads all of holdfast-tpm's memory between two requests: nothing secret of the last ones, in any
 * of the places where the TPM's library leaves what it was given. That the scan finds what is there is shown by the public
 * half of a key, which is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/sanitizer.h"
#include "rig.h"

#define NEEDLE_LEN 16 /* less than what is left where a copy is cut */

static size_t count_in(const uint8_t *hay, size_t len, const uint8_t *needle)
{
        size_t n = 0;

        for (const uint8_t *p = hay; (p = memmem(p, len - (size_t)(p - hay), needle, NEEDLE_LEN)); p++)
                n++;
        return n;
}

/* How often the bytes lie in what the process may write. */
static size_t found(Rig *rig, const uint8_t *needle)
{
        char path[64], line[512];
        _cleanup_fclose_ FILE *maps = NULL;
        _cleanup_close_ int mem = -EBADF;
        size_t n = 0;

        snprintf(path, sizeof(path), "/proc/%d/maps", rig->program);
        maps = fopen(path, "re");
        snprintf(path, sizeof(path), "/proc/%d/mem", rig->program);
        mem = open(path, O_RDONLY | O_CLOEXEC);
        assert_non_null(maps);
        assert_true(mem >= 0);
        while (fgets(line, sizeof(line), maps)) {
                unsigned long from, to;
                char rights[5];
                _cleanup_free_ uint8_t *copy = NULL;
                ssize_t got;

                if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w')
                        continue;
                copy = malloc(to - from);
                assert_non_null(copy);
                got = pread(mem, copy, to - from, (off_t)from);
                if (got > 0)
                        n += count_in(copy, (size_t)got, needle);
        }
        return n;
}

/* Each half: a copy may be overwritten in part. */
static void assert_gone(Rig *rig, const char *what, const uint8_t secret[static 2 * NEEDLE_LEN])
{
        for (size_t half = 0; half < 2; half++)
                if (found(rig, secret + half * NEEDLE_LEN))
                        fail_msg("%s is still there", what);
}

static void fill(uint8_t *ret, size_t len)
{
        for (size_t i = 0; i < len; i++)
                ret[i] = (uint8_t)(rand() >> 7);
}

/* The TPM's answer to anything is behind us, and the process is waiting again. */
static void settle(Rig *rig)
{
        TpmState s;

        rig_state(rig, false, &s);
}

static void test_the_scan_finds_what_is_there(void **state)
{
        RigKey key;
        uint8_t digest[32], out[1024];
        size_t n;

        fill(digest, sizeof(digest));
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        assert_true(found(*state, key.number) > 0);
}

static void test_no_sealed_secret_and_no_pin_stays(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmUnsealing u = {.has_pin = true};
        TpmSealing s = {.has_pin = true};
        uint8_t secret[32], out[64];
        WireReader r;
        RigKey key;

        if (SANITIZED)
                skip();
        fill(secret, sizeof(secret));
        fill(s.pin, sizeof(s.pin));
        s.secret = BYTES_ARRAY(secret);
        assert_int_equal(tpm_pcrs_parse("7", &s.pcrs), 0);
        assert_int_equal(tpm_sealing_encode(&s, &b), 0);
        assert_int_equal(rig_ask(*state, TPM_SEAL, buffer_bytes(&b)), 0);
        r = wire_reader(((Rig *)*state)->body);
        rig_take_blob(&r, &key);
        tpm_pcrs_get(&r, &u.pcrs);
        settle(*state);
        assert_gone(*state, "the secret that was sealed", secret);
        assert_gone(*state, "the PIN it was sealed with", s.pin);

        u.blob = rig_blob(&key);
        memcpy(u.pin, s.pin, sizeof(u.pin));
        buffer_clear(&b);
        assert_int_equal(tpm_unsealing_encode(&u, &b), 0);
        assert_int_equal(rig_ask(*state, TPM_UNSEAL, buffer_bytes(&b)), 0);
        memcpy(out, ((Rig *)*state)->body.data + 4, 32);
        assert_memory_equal(out, secret, 32);
        settle(*state);
        assert_gone(*state, "the secret that came out", secret);
        assert_gone(*state, "the PIN it came out with", s.pin);
}

static void test_no_result_of_a_key_stays(void **state)
{
        uint8_t data[1024], mac[1024], shared[1024];
        RigKey ecdh, peer, hmac;
        size_t n;

        if (SANITIZED)
                skip();
        fill(data, sizeof(data));
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_AGREE, NULL, &ecdh), 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_AGREE, NULL, &peer), 0);
        assert_int_equal(rig_create(*state, TPM_HMAC256, TPM_USE_MAC, NULL, &hmac), 0);
        assert_int_equal(rig_operate(*state, &hmac, TPM_OP_HMAC, BYTES_ARRAY(data), mac, &n), 0);
        settle(*state);
        assert_gone(*state, "what was MACed", data);
        assert_gone(*state, "the MAC", mac);
        assert_int_equal(rig_operate(*state, &ecdh, TPM_OP_ECDH, BYTES(peer.number, 64), shared, &n), 0);
        settle(*state);
        assert_gone(*state, "what was agreed", shared);
}

static void test_no_authorisation_stays(void **state)
{
        uint8_t digest[32], out[1024];
        RigKey key;
        size_t n;

        if (SANITIZED)
                skip();
        fill(digest, sizeof(digest));
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        settle(*state);
        assert_gone(*state, "the authorisation of a new key", key.auth);
        for (int i = 0; i < 3; i++)
                assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        settle(*state);
        assert_gone(*state, "the authorisation of a key in use", key.auth);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_the_scan_finds_what_is_there),
                        TEST(test_no_sealed_secret_and_no_pin_stays),
                        TEST(test_no_result_of_a_key_stays),
                        TEST(test_no_authorisation_stays),
        };

        if (getuid() != 0)
                return 77;
        srand((unsigned)getpid());
        return cmocka_run_group_tests(tests, NULL, NULL);
}
