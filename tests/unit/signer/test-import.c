/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one-shot importer and the signer, as holdfastd puts them together. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
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

static int file_of(const void *data, size_t len)
{
        int fd = memfd_create("pkcs8", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, len), (ssize_t)len);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static int pkcs8_of(EVP_PKEY *pkey)
{
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
        unsigned char *der = NULL;
        int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der), fd;

        assert_true(len > 0);
        fd = file_of(der, (size_t)len);
        OPENSSL_free(der);
        PKCS8_PRIV_KEY_INFO_free(info);
        return fd;
}

static void test_an_imported_key_signs_as_the_original(void **state)
{
        Bytes message = bytes_str("m"), signature;
        EVP_PKEY *pkey = EVP_EC_gen("P-256");
        unsigned char *spki = NULL;
        SignerOperation op;
        Peer *p = *state;
        int file, len;
        PeerKey k;

        file = pkcs8_of(pkey);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        assert_int_equal(peer_import(p, file, &k, 0), 0);
        close(file);
        len = i2d_PUBKEY(pkey, &spki);
        assert_true(bytes_equal(BYTES(spki, len), key_attributes_public(&k.attributes)));
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, message);
        assert_int_equal(peer_operate(p, &op, &signature), 0);
        assert_int_equal(pubkey_verify(BYTES(spki, len), SCHEME_ES256, message, signature), 0);
        OPENSSL_free(spki);
        EVP_PKEY_free(pkey);
}

static void test_an_rsa_key_comes_in_whole(void **state)
{
        EVP_PKEY *pkey = EVP_RSA_gen(3072);
        Bytes message = bytes_str("m"), signature;
        SignerOperation op;
        Peer *p = *state;
        PeerKey k;
        int file;

        file = pkcs8_of(pkey);
        peer_key_init(&k, KEY_RSA3072, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        assert_int_equal(peer_import(p, file, &k, 0), 0);
        close(file);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_PS256, message);
        assert_int_equal(peer_operate(p, &op, &signature), 0);
        assert_int_equal(
                        pubkey_verify(key_attributes_public(&k.attributes), SCHEME_PS256, message, signature),
                        0);
        EVP_PKEY_free(pkey);
}

static void test_the_kind_of_a_key_is_what_its_file_says(void **state)
{
        EVP_PKEY *pkey = EVP_EC_gen("P-384");
        Peer *p = *state;
        PeerKey k;
        int file;

        file = pkcs8_of(pkey);
        peer_key_init(&k, KEY_X25519, PURPOSE_AGREE, KEY_FLAG_IMPORTED);
        assert_int_equal(peer_import(p, file, &k, 1), 0);
        assert_int_equal(k.attributes.algorithm, KEY_P384);
        assert_int_equal(k.attributes.purpose, PURPOSE_SIGN);
        close(file);
        EVP_PKEY_free(pkey);
}

static void test_what_may_not_come_in_is_refused_by_name(void **state)
{
        static uint8_t much[70000];
        EVP_PKEY *weak = EVP_RSA_gen(1024), *agree = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
        Peer *p = *state;
        PeerKey k;
        int file;

        peer_key_init(&k, KEY_RSA2048, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        file = pkcs8_of(weak);
        assert_int_equal(peer_import(p, file, &k, 0), HF_E_WEAK_KEY);
        close(file);
        k.attributes.flags |= KEY_FLAG_DIGEST;
        peer_key_encode(&k);
        file = pkcs8_of(agree); /* agrees, and can neither sign nor be for digests */
        assert_int_equal(peer_import(p, file, &k, 0), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(lseek(file, 0, SEEK_SET), 0);
        assert_int_equal(peer_import(p, file, &k, 1), HF_E_INVALID_ARGS);
        close(file);
        peer_key_init(&k, KEY_RSA2048, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        file = file_of("not a key", 9);
        assert_true(peer_import(p, file, &k, 0) > 0);
        close(file);
        file = file_of(much, sizeof(much));
        assert_int_equal(peer_import(p, file, &k, 0), HF_E_MESSAGE_TOO_LARGE);
        close(file);
        file = open("/tmp", O_RDONLY | O_CLOEXEC);
        assert_true(peer_import(p, file, &k, 0) > 0);
        close(file);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0); /* without the mark */
        {
                _cleanup_buffer_ Buffer b = BUFFER_INIT(2048);
                int pair[2];
                Bytes reply;

                assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
                assert_int_equal(wire_put_block(&b, BYTES(k.encoded, k.encoded_len)), 0);
                assert_int_equal(wire_put_u8(&b, 0), 0);
                assert_int_equal(peer_call(p, SIGNER_IMPORT, buffer_bytes(&b), &pair[0], 1, &reply),
                                HF_E_INVALID_ARGS);
                close(pair[0]);
                close(pair[1]);
        }
        EVP_PKEY_free(weak);
        EVP_PKEY_free(agree);
}

static void test_a_packet_that_is_no_key_is_refused_by_the_signer(void **state)
{
        static const uint8_t garbage[] = {0, 0, 0, 0, KEY_P256, 4, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2048);
        Peer *p = *state;
        Bytes reply;
        PeerKey k;
        int pair[2], r;

        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, KEY_FLAG_IMPORTED);
        assert_int_equal(wire_put_block(&b, BYTES(k.encoded, k.encoded_len)), 0);
        assert_int_equal(wire_put_u8(&b, 0), 0);
        for (size_t len = 0; len <= sizeof(garbage); len++) {
                assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
                assert_int_equal(send(pair[1], garbage, len, 0), (ssize_t)len);
                r = peer_call(p, SIGNER_IMPORT, buffer_bytes(&b), &pair[0], 1, &reply);
                if (r != HF_E_INVALID_FD && r != HF_E_KEY_MISMATCH && r != HF_E_INVALID_ARGS)
                        fail_msg("%zu bytes: %s", len, hf_error_name(r));
                close(pair[0]);
                close(pair[1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
                        TEST(test_an_imported_key_signs_as_the_original),
                        TEST(test_an_rsa_key_comes_in_whole),
                        TEST(test_the_kind_of_a_key_is_what_its_file_says),
                        TEST(test_what_may_not_come_in_is_refused_by_name),
                        TEST(test_a_packet_that_is_no_key_is_refused_by_the_signer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
