/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys that tpm2-tools made, as other programs' key files hold them, become ours. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "rig.h"
#include "tpm/kept.h"

#define OWNER 0x40000001u
#define SRK "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda"

static const uint8_t digest[32] = "what is signed";

static void run(Rig *rig, const char *format, ...)
{
        char command[1024];
        va_list ap;

        va_start(ap, format);
        vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        if (!rig_tool(rig, command))
                fail_msg("%s", command);
}

static void take_part(Rig *rig, const char *name, uint8_t ret[static TPM_PART_MAX], size_t *ret_len)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(TPM_PART_MAX);
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
        assert_int_equal(io_read_file(AT_FDCWD, path, &b), 0);
        memcpy(ret, b.data, b.len);
        *ret_len = b.len;
}

/* As somebody else made it: under the primary, or under what is persistent at `handle`. */
static void make(Rig *rig, const char *primary, const char *key, RigKey *ret)
{
        *ret = (RigKey){};
        run(rig, "tpm2_createprimary -C o -c %s/primary %s", rig->dir, primary);
        run(rig, "tpm2_create -C %s/primary -u %s/public -r %s/private %s", rig->dir, rig->dir, rig->dir, key);
        run(rig, "tpm2_flushcontext -t");
        take_part(rig, "public", ret->public, &ret->public_len);
        take_part(rig, "private", ret->private, &ret->private_len);
}

static int adopt(Rig *rig, uint32_t handle, const char *auth, const uint8_t *parent, RigKey *key)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);
        WireReader r;
        Bytes number;
        int q;

        memset(key->auth, 0x5a, sizeof(key->auth));
        wire_put_u32(&b, handle);
        wire_put_block(&b, BYTES(key->public, key->public_len));
        wire_put_block(&b, BYTES(key->private, key->private_len));
        wire_put_block(&b, bytes_str(auth));
        wire_put_raw(&b, key->auth, TPM_AUTH_SIZE);
        assert_int_equal(wire_put_block(&b, BYTES(parent, parent ? TPM_NAME_SIZE : 0)), 0);
        q = rig_ask(rig, TPM_ADOPT, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        rig_take_blob(&r, key);
        key->algorithm = wire_get_u8(&r);
        key->use = wire_get_u8(&r);
        number = wire_get_block(&r, TPM_NUMBER_MAX);
        assert_int_equal(wire_done(&r), 0);
        memcpy(key->number, number.data, number.len);
        key->number_len = number.len;
        return 0;
}

static void test_an_ecc_key_under_the_usual_primary_signs_for_us(void **state)
{
        uint8_t out[1024];
        RigKey key;
        size_t n;

        make(*state, "-G ecc -a " SRK, "-G ecc -p secret", &key);
        assert_int_equal(adopt(*state, OWNER, "secret", NULL, &key), 0);
        assert_int_equal(key.algorithm, TPM_P256);
        assert_int_equal(key.use, TPM_USE_SIGN);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        assert_true(judge_ecdsa(&key, BYTES_ARRAY(digest), BYTES(out, n)));
        rig_kill_swtpm(*state);
        rig_start_swtpm(*state);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        memset(key.auth, 0, sizeof(key.auth));
        memcpy(key.auth, "secret", 6);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), HF_E_TPM_FAILED);
}

/* go-tpm and others fill the primary's unique field with zeros. */
static void test_a_key_under_the_other_usual_primary_is_found_too(void **state)
{
        uint8_t zeros[164] = {[0] = 32, [130] = 32}, out[1024]; /* a TPMS_ECC_POINT as it lies in memory */
        Rig *rig = *state;
        char path[128], primary[256];
        RigKey key;
        size_t n;
        int fd;

        snprintf(path, sizeof(path), "%s/unique", rig->dir);
        snprintf(primary, sizeof(primary), "-G ecc -a " SRK " -u %s", path);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(io_write_full(fd, zeros, sizeof(zeros)), 0);
        close(fd);
        make(rig, primary, "-G ecc384", &key);
        assert_int_equal(adopt(rig, OWNER, "", NULL, &key), 0);
        assert_int_equal(key.algorithm, TPM_P384);
        assert_int_equal(rig_operate(rig, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        assert_true(judge_ecdsa(&key, BYTES_ARRAY(digest), BYTES(out, n)));
}

static void test_an_rsa_key_under_a_persistent_rsa_parent_signs_for_us(void **state)
{
        uint8_t out[1024];
        Rig *rig = *state;
        RigKey key;
        size_t n;

        make(rig, "-G rsa", "-G rsa2048 -p rsakey", &key);
        run(rig, "tpm2_evictcontrol -C o -c %s/primary 0x81000042", rig->dir);
        run(rig, "tpm2_flushcontext -t");
        assert_int_equal(adopt(rig, 0x81000042, "wrong", NULL, &key), HF_E_UNLOCK_FAILED);
        assert_string_equal(rig->detail, "2 tries left, then locked for 1000 s");
        assert_int_equal(adopt(rig, 0x81000042, "wrong", NULL, &key), HF_E_UNLOCK_FAILED);
        assert_string_equal(rig->detail, "1 try left, then locked for 1000 s");
        assert_int_equal(adopt(rig, 0x81000042, "rsakey", NULL, &key), 0);
        assert_int_equal(rig_operate(rig, &key, TPM_OP_RSASSA, BYTES_ARRAY(digest), out, &n), 0);
        assert_true(judge_rsa(&key, RSA_PKCS1_PADDING, BYTES_ARRAY(digest), BYTES(out, n)));
}

static void test_keys_under_more_parents_than_there_are_places_for_are_all_found(void **state)
{
        Rig *rig = *state;
        _cleanup_close_ int dir = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        RigKey keys[PARENTS_MAX + 1];
        uint8_t out[1024];
        size_t n;

        for (unsigned i = 0; i < ELEMENTSOF(keys); i++) {
                uint8_t unique[2 * (2 + 32)] = {32, 0, [34] = 32, [36] = (uint8_t)i}; /* x and y as tpm2-tools want them */
                char primary[256];

                (void)unlinkat(dir, "unique", 0);
                assert_int_equal(io_write_file(dir, "unique", BYTES_ARRAY(unique), 0600), 0);
                snprintf(primary, sizeof(primary), "-G ecc -a " SRK " -u %s/unique", rig->dir);
                make(rig, primary, "-G ecc -a sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda", &keys[i]);
                run(rig, "tpm2_evictcontrol -C o -c %s/primary 0x%08x", rig->dir, 0x81000100 + i);
                run(rig, "tpm2_flushcontext -t");
                assert_int_equal(adopt(rig, 0x81000100 + i, "", NULL, &keys[i]), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                assert_int_equal(rig_operate(rig, &keys[i], TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
                assert_true(judge_ecdsa(&keys[i], BYTES_ARRAY(digest), BYTES(out, n)));
        }
        rig_handles_come_to(rig, "handles-transient", 0);
}

static void test_what_the_key_can_is_what_it_is_for(void **state)
{
        static const struct {
                const char *attributes;
                TpmAlgorithm algorithm;
                TpmUse use;
        } cases[] = {
                        {"-G rsa2048 -a sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda", TPM_RSA2048, TPM_USE_SIGN},
                        {"-G rsa2048 -a decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth", TPM_RSA2048, TPM_USE_DECRYPT},
                        {"-G ecc -a decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth", TPM_P256, TPM_USE_AGREE},
                        {"-G ecc384 -a decrypt|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth", TPM_P384, TPM_USE_SIGN},
                        {"-G hmac", TPM_HMAC256, TPM_USE_MAC},
        };
        RigKey key;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                make(*state, "-G ecc", cases[i].attributes, &key);
                assert_int_equal(adopt(*state, OWNER, "", NULL, &key), 0);
                assert_int_equal(key.algorithm, cases[i].algorithm);
                assert_int_equal(key.use, cases[i].use);
        }
}

static void test_what_we_have_no_word_for_is_refused(void **state)
{
        static const char *const cases[] = {
                        "-G ecc521", "-G rsa1024", "-G aes", "-i /etc/hostname",
                        "-G ecc -a decrypt|restricted|fixedtpm|fixedparent|sensitivedataorigin|userwithauth",
                        "-G ecc -a sign|fixedtpm|fixedparent|sensitivedataorigin",
        };
        RigKey key;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                make(*state, "-G ecc", cases[i], &key);
                assert_int_equal(adopt(*state, OWNER, "", NULL, &key), HF_E_ALGORITHM_NOT_SUPPORTED);
        }
}

static void test_a_wrong_authorisation_or_parent_is_refused(void **state)
{
        Rig *rig = *state;
        uint8_t name[TPM_NAME_SIZE];
        TpmState s;
        RigKey key, copy;

        make(rig, "-G ecc -a " SRK, "-G ecc -p secret -a sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda", &key);
        copy = key;
        assert_int_equal(adopt(rig, OWNER, "other", NULL, &key), HF_E_UNLOCK_FAILED);
        rig_state(rig, true, &s);
        memcpy(name, s.parent, sizeof(name));
        name[20] ^= 1;
        assert_int_equal(adopt(rig, OWNER, "secret", name, &key), HF_E_KEY_MISMATCH);
        assert_int_equal(adopt(rig, 0x81000001, "secret", NULL, &key), HF_E_KEY_MISMATCH);
        assert_int_equal(adopt(rig, 0x40000007, "secret", NULL, &key), HF_E_INVALID_ARGS);
        assert_int_equal(adopt(rig, 0x80000000, "secret", NULL, &key), HF_E_INVALID_ARGS);
        key.private[33] ^= 1;
        assert_int_equal(adopt(rig, OWNER, "secret", NULL, &key), HF_E_KEY_MISMATCH);
        assert_int_equal(adopt(rig, OWNER, "secret", s.parent, &copy), 0);
        rig_handles_come_to(rig, "handles-transient", 0);
}

static void test_a_key_of_another_tpm_is_refused(void **state)
{
        RigKey key;

        make(*state, "-G ecc", "-G ecc", &key);
        rig_replace_tpm(*state);
        assert_int_equal(adopt(*state, OWNER, "", NULL, &key), HF_E_KEY_MISMATCH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_an_ecc_key_under_the_usual_primary_signs_for_us),
                        TEST(test_a_key_under_the_other_usual_primary_is_found_too),
                        TEST(test_an_rsa_key_under_a_persistent_rsa_parent_signs_for_us),
                        TEST(test_keys_under_more_parents_than_there_are_places_for_are_all_found),
                        TEST(test_what_the_key_can_is_what_it_is_for),
                        TEST(test_what_we_have_no_word_for_is_refused),
                        TEST(test_a_wrong_authorisation_or_parent_is_refused),
                        TEST(test_a_key_of_another_tpm_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
