/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* References as bytes from outside: the canonical form is read, all else is refused, nothing is read beyond its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "provider/reference.h"

#define UUID "d5ac72a9-e16a-4464-ba0b-bd5945c7635b"
#define DESCRIPTION "Holdfast Key Reference v1"

static Provider provider;

static void put(uint8_t **at, uint8_t tag, const void *data, size_t len)
{
        *(*at)++ = tag;
        *(*at)++ = (uint8_t)len;
        memcpy(*at, data, len);
        *at += len;
}

/* A reference to a key of a type whose SPKI is short, so that all lengths are one byte. */
static size_t build(const char *type, const char *description, const char *uuid, const char *behind, uint8_t ret[256])
{
        EVP_PKEY *pkey = strcmp(type, "EC") == 0 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, type);
        uint8_t body[256], *at = body, *spki = NULL;
        int len = i2d_PUBKEY(pkey, &spki);
        size_t body_len;

        EVP_PKEY_free(pkey);
        put(&at, 0x1a, description, strlen(description));
        put(&at, 0x0c, uuid, strlen(uuid));
        put(&at, 0x04, spki, (size_t)len);
        memcpy(at, behind, strlen(behind));
        at += strlen(behind);
        OPENSSL_free(spki);
        body_len = (size_t)(at - body);
        at = ret;
        *at++ = 0x30;
        if (body_len >= 128)
                *at++ = 0x81;
        *at++ = (uint8_t)body_len;
        memcpy(at, body, body_len);
        return (size_t)(at - ret) + body_len;
}

static Key *parse(const uint8_t *der, size_t len)
{
        uint8_t *exact = malloc(len ? len : 1); /* so that a checker of the heap sees what is read behind it */
        Key *k;

        if (len > 0)
                memcpy(exact, der, len);
        k = reference_parse(&provider, exact, len);
        free(exact);
        return k;
}

static void refuse(const char *type, const char *description, const char *uuid, const char *behind)
{
        uint8_t der[256];

        assert_null(parse(der, build(type, description, uuid, behind, der)));
}

static void test_a_reference_is_a_key_with_its_uuid_that_says_it_is_private(void **state)
{
        static const char *const types[] = {"EC", "ED25519"};
        uint8_t der[256];

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                Key *k = parse(der, build(types[i], DESCRIPTION, UUID, "", der));

                assert_non_null(k);
                assert_string_equal(k->type, types[i]);
                assert_string_equal(k->uuid, UUID);
                assert_true(k->ours && k->has_public && k->has_private && !k->digest);
                key_unref(k);
        }
}

static void test_another_description_uuid_type_or_tail_is_no_reference(void **state)
{
        (void)state;
        refuse("EC", "Holdfast Key Reference v2", UUID, "");
        refuse("EC", "", UUID, "");
        refuse("EC", DESCRIPTION, "", "");
        refuse("EC", DESCRIPTION, "d5ac72a9-e16a-4464-ba0b-bd5945c7635", "");
        refuse("EC", DESCRIPTION, "d5ac72a9-e16a-4464-ba0b-bd5945c7635/", "");
        refuse("EC", DESCRIPTION, "D5AC72A9-E16A-4464-BA0B-BD5945C7635B", "");
        refuse("EC", DESCRIPTION, "d5ac72a9e16a4464ba0bbd5945c7635b", "");
        refuse("EC", DESCRIPTION, "d5ac72a9e16a4464ba0bbd5945c7635b0123", "");
        refuse("EC", DESCRIPTION, "------------------------------------", "");
        refuse("EC", DESCRIPTION, "d5ac72a-9e16a-4464-ba0b-bd5945c7635b", "");
        refuse("EC", DESCRIPTION, UUID, "\x05");
        refuse("X25519", DESCRIPTION, UUID, "");
}

static void test_a_shortened_or_lengthened_reference_is_none(void **state)
{
        uint8_t der[256] = {0};
        size_t len = build("EC", DESCRIPTION, UUID, "", der);

        (void)state;
        for (size_t n = 0; n < len; n++)
                assert_null(parse(der, n));
        assert_null(parse(der, len + 1));
}

static void test_a_reference_with_any_bit_turned_is_refused_or_still_one(void **state)
{
        uint8_t der[256];
        size_t len = build("ED25519", DESCRIPTION, UUID, "", der), taken = 0;

        (void)state;
        for (size_t bit = 0; bit < 8 * len; bit++) {
                Key *k;

                der[bit / 8] ^= (uint8_t)(1u << bit % 8);
                k = parse(der, len);
                if (k) {
                        assert_int_equal(strspn(k->uuid, "0123456789abcdef-"), 36);
                        assert_true(k->uuid[8] == '-' && k->uuid[13] == '-' && k->uuid[18] == '-' && k->uuid[23] == '-');
                        taken++;
                }
                key_unref(k);
                der[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        /* another UUID or another public key may come out of it, and no more than those have bits */
        assert_in_range(taken, 1, 8 * (36 + 32));
        assert_int_equal(ERR_peek_error(), 0);
}

static void test_reading_pem_takes_one_block_and_leaves_the_next(void **state)
{
        static const char text[] = "words for people\n-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n"
                                   "-----BEGIN HOLDFAST KEY REFERENCE-----\nAQID\n-----END HOLDFAST KEY REFERENCE-----\n";
        BIO *in = BIO_new_mem_buf(text, -1);
        uint8_t *der = NULL;
        size_t len;

        (void)state;
        assert_false(reference_read_pem(in, &der, &len));
        assert_null(der);
        assert_true(reference_read_pem(in, &der, &len));
        assert_int_equal(len, 3);
        assert_memory_equal(der, "\1\2\3", 3);
        OPENSSL_free(der);
        assert_false(reference_read_pem(in, &der, &len));
        BIO_free(in);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_reference_is_a_key_with_its_uuid_that_says_it_is_private),
                        cmocka_unit_test(test_another_description_uuid_type_or_tail_is_no_reference),
                        cmocka_unit_test(test_a_shortened_or_lengthened_reference_is_none),
                        cmocka_unit_test(test_a_reference_with_any_bit_turned_is_refused_or_still_one),
                        cmocka_unit_test(test_reading_pem_takes_one_block_and_leaves_the_next),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
