/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys made and used inside a real software TPM, judged by OpenSSL. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* padding by hand, as the signer does it */
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "rig.h"

static uint8_t digest[64] = "a digest of the message";

static void sign_and_judge(Rig *rig, const RigKey *key)
{
        uint8_t out[1024];
        size_t n;

        for (size_t len = 32; len <= 64; len += 16) {
                assert_int_equal(rig_operate(rig, key, TPM_OP_ECDSA, BYTES(digest, len), out, &n), 0);
                assert_true(judge_ecdsa(key, BYTES(digest, len), BYTES(out, n)));
        }
}

static void test_a_p256_key_signs_what_openssl_accepts(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        for (int i = 0; i < 20; i++)
                sign_and_judge(*state, &key);
}

static void test_a_p384_key_signs_what_openssl_accepts(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P384, TPM_USE_SIGN, NULL, &key), 0);
        sign_and_judge(*state, &key);
}

static void test_the_state_names_the_tpm(void **state)
{
        TpmState s;
        RigKey key;

        rig_state(*state, true, &s);
        assert_int_equal(s.presence, TPM_PRESENCE_READY);
        assert_string_equal(s.manufacturer, "IBM");
        assert_int_equal(s.algorithms, 1u << TPM_P256 | 1u << TPM_P384 | 1u << TPM_RSA2048 | 1u << TPM_RSA3072 | 1u << TPM_HMAC256);
        assert_true(s.banks & 1u << TPM_BANK_SHA256);
        assert_false(s.locked_out);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_memory_equal(s.parent, key.parent, TPM_NAME_SIZE);
        rig_state(*state, false, &s);
        assert_int_equal(s.answered, 1);
}


static void test_rsa_keys_sign_pkcs1_with_each_hash(void **state)
{
        const TpmAlgorithm algorithms[] = {TPM_RSA2048, TPM_RSA3072};
        uint8_t out[1024];
        RigKey key;
        size_t n;

        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(rig_create(*state, algorithms[i], TPM_USE_SIGN, NULL, &key), 0);
                assert_int_equal(key.number_len, i ? 384 : 256);
                for (size_t len = 32; len <= 64; len += 16) {
                        assert_int_equal(rig_operate(*state, &key, TPM_OP_RSASSA, BYTES(digest, len), out, &n), 0);
                        assert_true(judge_rsa(&key, RSA_PKCS1_PADDING, BYTES(digest, len), BYTES(out, n)));
                }
        }
}

/* The signer pads; salt as long as the hash. */
static void test_a_block_padded_outside_becomes_a_pss_signature(void **state)
{
        uint8_t block[256], out[1024];
        EVP_PKEY *public;
        RigKey key;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_RSA2048, TPM_USE_SIGN, NULL, &key), 0);
        public = judge_key(&key);
        assert_int_equal(RSA_padding_add_PKCS1_PSS((RSA *)EVP_PKEY_get0_RSA(public), block, digest, EVP_sha256(), 32), 1);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_RSA_RAW, BYTES_ARRAY(block), out, &n), 0);
        assert_true(judge_rsa(&key, RSA_PKCS1_PSS_PADDING, BYTES(digest, 32), BYTES(out, n)));
        memset(block, 0xff, sizeof(block));
        assert_int_equal(rig_operate(*state, &key, TPM_OP_RSA_RAW, BYTES_ARRAY(block), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_RSA_RAW, BYTES(block, 255), out, &n), HF_E_INVALID_ARGS);
        EVP_PKEY_free(public);
}

/* Small results too: each comes back as long as the modulus. */
static void test_what_openssl_encrypts_a_decryption_key_opens(void **state)
{
        uint8_t sealed[384], out[1024], plain[384] = {};
        EVP_PKEY *public;
        EVP_PKEY_CTX *c;
        RigKey key;
        size_t n = sizeof(sealed);

        assert_int_equal(rig_create(*state, TPM_RSA3072, TPM_USE_DECRYPT, NULL, &key), 0);
        public = judge_key(&key);
        c = EVP_PKEY_CTX_new(public, NULL);
        plain[383] = 42;
        assert_int_equal(EVP_PKEY_encrypt_init(c), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING), 1);
        assert_int_equal(EVP_PKEY_encrypt(c, sealed, &n, plain, sizeof(plain)), 1);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_RSA_RAW, BYTES(sealed, n), out, &n), 0);
        assert_int_equal(n, sizeof(plain));
        assert_memory_equal(out, plain, n);
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(public);
}

static void agree(Rig *rig, TpmAlgorithm algorithm, const char *curve, size_t size)
{
        EVP_PKEY *peer = EVP_EC_gen(curve), *public;
        uint8_t point[128], out[1024], ours[128];
        EVP_PKEY_CTX *c;
        RigKey key;
        size_t n, len = sizeof(ours);

        assert_int_equal(rig_create(rig, algorithm, TPM_USE_AGREE, NULL, &key), 0);
        assert_int_equal(EVP_PKEY_get_octet_string_param(peer, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n), 1);
        assert_int_equal(n, 2 * size + 1);
        assert_int_equal(rig_operate(rig, &key, TPM_OP_ECDH, BYTES(point + 1, 2 * size), out, &n), 0);
        public = judge_key(&key);
        c = EVP_PKEY_CTX_new(peer, NULL);
        assert_int_equal(EVP_PKEY_derive_init(c), 1);
        assert_int_equal(EVP_PKEY_derive_set_peer(c, public), 1);
        assert_int_equal(EVP_PKEY_derive(c, ours, &len), 1);
        assert_int_equal(n, size);
        assert_memory_equal(out, ours, size);
        point[2 * size] ^= 1;
        assert_int_equal(rig_operate(rig, &key, TPM_OP_ECDH, BYTES(point + 1, 2 * size), out, &n), HF_E_INVALID_ARGS);
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(public);
        EVP_PKEY_free(peer);
}

static void test_both_sides_agree_and_a_point_off_the_curve_is_refused(void **state)
{
        for (int i = 0; i < 8; i++)
                agree(*state, TPM_P256, "P-256", 32);
        agree(*state, TPM_P384, "P-384", 48);
}

static void test_a_mac_key_macs_alike_each_time_and_nobody_elses_way(void **state)
{
        uint8_t data[1024] = "some bytes", one[1024], two[1024];
        RigKey key, another;
        size_t n, m;

        assert_int_equal(rig_create(*state, TPM_HMAC256, TPM_USE_MAC, NULL, &key), 0);
        assert_int_equal(rig_create(*state, TPM_HMAC256, TPM_USE_MAC, NULL, &another), 0);
        assert_int_equal(key.number_len, 0);
        for (size_t len = 0; len <= 1024; len += 512) {
                assert_int_equal(rig_operate(*state, &key, TPM_OP_HMAC, BYTES(data, len), one, &n), 0);
                assert_int_equal(n, 32);
                rig_kill_swtpm(*state);
                rig_start_swtpm(*state);
                assert_int_equal(rig_operate(*state, &key, TPM_OP_HMAC, BYTES(data, len), two, &m), 0);
                assert_memory_equal(one, two, 32);
                assert_int_equal(rig_operate(*state, &another, TPM_OP_HMAC, BYTES(data, len), two, &m), 0);
                assert_memory_not_equal(one, two, 32);
        }
}

static void put_file(const Rig *rig, const char *name, Bytes content)
{
        char path[128];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(content.data, 1, content.len, f), content.len);
        assert_int_equal(fclose(f), 0);
}

/* By tpm2-tools with the same blob, under the same primary. */
static void judge_mac(Rig *rig, const RigKey *key, Bytes data, uint8_t ret[static 32])
{
        char command[1024], hex[2 * TPM_AUTH_SIZE + 1], path[128];
        FILE *f;

        hex_encode(key->auth, TPM_AUTH_SIZE, hex);
        put_file(rig, "public", BYTES(key->public, key->public_len));
        put_file(rig, "private", BYTES(key->private, key->private_len));
        put_file(rig, "message", data);
        snprintf(command, sizeof(command),
                        "tpm2_createprimary -Q -C o -g sha256 -G ecc:null:aes128cfb -c %s/primary -a "
                        "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda", rig->dir);
        assert_true(rig_tool(rig, command));
        assert_true(rig_tool(rig, strcpy(command, "tpm2_flushcontext -t")));
        snprintf(command, sizeof(command), "tpm2_load -Q -C %s/primary -u %s/public -r %s/private -c %s/key", rig->dir,
                        rig->dir, rig->dir, rig->dir);
        assert_true(rig_tool(rig, command));
        assert_true(rig_tool(rig, strcpy(command, "tpm2_flushcontext -t")));
        snprintf(command, sizeof(command), "tpm2_hmac -c %s/key -p hex:%s -g sha256 -o %s/mac %s/message", rig->dir, hex,
                        rig->dir, rig->dir);
        assert_true(rig_tool(rig, command));
        assert_true(rig_tool(rig, strcpy(command, "tpm2_flushcontext -t")));
        snprintf(path, sizeof(path), "%s/mac", rig->dir);
        f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(fread(ret, 1, 32, f), 32);
        fclose(f);
}

static void test_long_messages_are_macced_as_tpm2_tools_do(void **state)
{
        static const size_t lengths[] = {1024, 1025, 2048, 2049, TPM_MESSAGE_MAX};
        static uint8_t data[TPM_MESSAGE_MAX + 1];
        uint8_t mac[1024], same[32];
        RigKey key;
        size_t n;

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i * 7 >> 3);
        assert_int_equal(rig_create(*state, TPM_HMAC256, TPM_USE_MAC, NULL, &key), 0);
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                assert_int_equal(rig_operate(*state, &key, TPM_OP_HMAC, BYTES(data, lengths[i]), mac, &n), 0);
                assert_int_equal(n, 32);
                rig_end_program(*state, SIGTERM); /* so that its places are free */
                judge_mac(*state, &key, BYTES(data, lengths[i]), same);
                rig_start_program(*state);
                assert_memory_equal(mac, same, 32);
        }
        assert_int_equal(rig_operate(*state, &key, TPM_OP_HMAC, BYTES_ARRAY(data), mac, &n), HF_E_INVALID_ARGS);
        assert_true(rig_handles(*state, "handles-transient") <= 1);
}

static void test_an_operation_that_is_not_the_keys_is_refused(void **state)
{
        uint8_t out[1024], block[256] = {};
        RigKey ec, rsa, mac, ecdh;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &ec), 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_AGREE, NULL, &ecdh), 0);
        assert_int_equal(rig_create(*state, TPM_RSA2048, TPM_USE_DECRYPT, NULL, &rsa), 0);
        assert_int_equal(rig_create(*state, TPM_HMAC256, TPM_USE_MAC, NULL, &mac), 0);
        assert_int_equal(rig_operate(*state, &ec, TPM_OP_RSASSA, BYTES(digest, 32), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(rig_operate(*state, &ec, TPM_OP_HMAC, BYTES(digest, 32), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(rig_operate(*state, &ec, TPM_OP_ECDSA, BYTES(digest, 31), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(rig_operate(*state, &ec, TPM_OP_ECDH, BYTES(ecdh.number, 64), out, &n), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(rig_operate(*state, &ecdh, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(rig_operate(*state, &rsa, TPM_OP_RSASSA, BYTES(digest, 32), out, &n), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(rig_operate(*state, &rsa, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(rig_operate(*state, &mac, TPM_OP_RSA_RAW, BYTES_ARRAY(block), out, &n), HF_E_INVALID_ARGS);
}

static void test_what_no_key_is_made_for_is_refused(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_DECRYPT, NULL, &key), HF_E_INVALID_ARGS);
        assert_int_equal(rig_create(*state, TPM_RSA2048, TPM_USE_AGREE, NULL, &key), HF_E_INVALID_ARGS);
        assert_int_equal(rig_create(*state, _TPM_ALGORITHM_MAX, TPM_USE_SIGN, NULL, &key), HF_E_INVALID_ARGS);
        assert_int_equal(rig_create(*state, TPM_HMAC256, _TPM_USE_MAX, NULL, &key), HF_E_INVALID_ARGS);
}

static void test_a_wrong_authorisation_is_refused_and_counted_by_nobody(void **state)
{
        uint8_t out[1024];
        TpmState s;
        RigKey key;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        key.auth[7] ^= 1;
        for (int i = 0; i < 10; i++)
                assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_TPM_FAILED);
        key.auth[7] ^= 1;
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), 0);
        rig_state(*state, true, &s);
        assert_int_equal(s.lockout_counter, 0);
        assert_int_equal(s.failed, 10);
}

/* The last use's authorisation is not in the kept session for the next. */
static void test_no_authorisation_is_not_the_last_one(void **state)
{
        uint8_t out[1024];
        RigKey key;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), 0);
        memset(key.auth, 0, sizeof(key.auth));
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_TPM_FAILED);
}

static void test_a_flipped_bit_in_either_part_is_refused(void **state)
{
        uint8_t out[1024];
        RigKey key, bad;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        for (size_t i = 0; i < 8 * key.public_len; i += 7) {
                bad = key;
                bad.public[i / 8] ^= (uint8_t)(1 << i % 8);
                assert_int_equal(rig_operate(*state, &bad, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_KEY_MISMATCH);
        }
        for (size_t i = 0; i < 8 * key.private_len; i += 7) {
                bad = key;
                bad.private[i / 8] ^= (uint8_t)(1 << i % 8);
                assert_int_equal(rig_operate(*state, &bad, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_KEY_MISMATCH);
        }
        sign_and_judge(*state, &key);
}

static void test_the_public_part_of_another_key_is_refused(void **state)
{
        uint8_t out[1024];
        RigKey key, another;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &another), 0);
        sign_and_judge(*state, &key);
        memcpy(key.public, another.public, another.public_len);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES(digest, 32), out, &n), HF_E_KEY_MISMATCH);
}

static void test_keys_survive_a_cold_boot_and_a_new_process(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        rig_end_program(*state, SIGTERM);
        rig_kill_swtpm(*state);
        rig_start_swtpm(*state);
        rig_start_program(*state);
        sign_and_judge(*state, &key);
}

/* More keys than contexts are kept, in an order that never finds the one it wants. */
static void test_more_keys_than_are_kept_all_sign(void **state)
{
        enum { KEYS = 70 };
        RigKey *keys = calloc(KEYS, sizeof(*keys));
        uint8_t out[1024];
        size_t n;

        assert_non_null(keys);
        for (int i = 0; i < KEYS; i++)
                assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &keys[i]), 0);
        for (int i = 0; i < 3 * KEYS; i++) {
                assert_int_equal(rig_operate(*state, &keys[i % KEYS], TPM_OP_ECDSA, BYTES(digest, 32), out, &n), 0);
                assert_true(judge_ecdsa(&keys[i % KEYS], BYTES(digest, 32), BYTES(out, n)));
        }
        free(keys);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_a_p256_key_signs_what_openssl_accepts),
                        TEST(test_a_p384_key_signs_what_openssl_accepts),
                        TEST(test_the_state_names_the_tpm),
                        TEST(test_rsa_keys_sign_pkcs1_with_each_hash),
                        TEST(test_a_block_padded_outside_becomes_a_pss_signature),
                        TEST(test_what_openssl_encrypts_a_decryption_key_opens),
                        TEST(test_both_sides_agree_and_a_point_off_the_curve_is_refused),
                        TEST(test_a_mac_key_macs_alike_each_time_and_nobody_elses_way),
                        TEST(test_long_messages_are_macced_as_tpm2_tools_do),
                        TEST(test_an_operation_that_is_not_the_keys_is_refused),
                        TEST(test_what_no_key_is_made_for_is_refused),
                        TEST(test_a_wrong_authorisation_is_refused_and_counted_by_nobody),
                        TEST(test_no_authorisation_is_not_the_last_one),
                        TEST(test_a_flipped_bit_in_either_part_is_refused),
                        TEST(test_the_public_part_of_another_key_is_refused),
                        TEST(test_keys_survive_a_cold_boot_and_a_new_process),
                        TEST(test_more_keys_than_are_kept_all_sign),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
