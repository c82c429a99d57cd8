/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libclient/error.c through the public functions; that the enums are equal is held by the compiler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <holdfast-admin.h>
#include <holdfast.h>
#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "dbus/errors.h"
#include "libclient/connection.h"
#include "libclient/error.h"
#include "link/tpm.h"

static void test_the_service_says_what_is_the_matter_with_a_tpm_before_we_give_up(void **state)
{
        (void)state;
        assert_true(HF_TIMEOUT_USUAL >= TPM_TIMEOUT_MS * 1000ULL * 3 / 2);
}

static void test_every_result_has_the_name_of_the_bus_error(void **state)
{
        (void)state;
#define X(sym, bus) assert_string_equal(hf_error_to_name(HF_ERROR_##sym), #bus);
        HF_ERROR_LIST(X)
#undef X
        assert_string_equal(hf_error_to_name(HF_OK), "Ok");
}

static void test_a_number_that_is_no_result_is_internal(void **state)
{
        (void)state;
        assert_string_equal(hf_error_to_name(-5), "Internal");
        assert_string_equal(hf_error_to_name(100000), "Internal");
        assert_non_null(hf_strerror(-1));
}

static void test_the_daemons_own_sentence_is_kept(void **state)
{
        const sd_bus_error error = {
                        .name = "org.holdfast.Keystore1.Error.KeyExists", .message = "Key door exists."};

        (void)state;
        assert_int_equal(error_from_bus(-EIO, &error), HF_ERROR_KEY_EXISTS);
        assert_string_equal(hf_error_sentence(), "Key door exists.");
}

static void test_an_error_of_the_bus_gets_our_sentence(void **state)
{
        const sd_bus_error error = {
                        .name = "org.freedesktop.DBus.Error.ServiceUnknown", .message = "not provided"};

        (void)state;
        assert_int_equal(error_from_bus(-EHOSTUNREACH, &error), HF_ERROR_DAEMON_UNAVAILABLE);
        assert_string_equal(hf_error_sentence(), errors_sentence(HF_E_DAEMON_UNAVAILABLE));
}

static void test_a_missing_socket_is_an_unavailable_daemon(void **state)
{
        HfConnection *c = NULL;

        (void)state;
        assert_int_equal(hf_connect_to("/nonexistent/holdfast", &c), HF_ERROR_DAEMON_UNAVAILABLE);
        assert_null(c);
}

static void test_names_that_are_none_are_refused_at_once(void **state)
{
        HfKey *key = NULL;

        (void)state;
        assert_int_equal(hf_key_open(NULL, "", &key), HF_ERROR_INVALID_NAME);
        assert_int_equal(hf_key_open(NULL, NULL, &key), HF_ERROR_INVALID_NAME);
        assert_int_equal(hf_key_open(NULL, "../door", &key), HF_ERROR_INVALID_NAME);
        assert_null(key);
        assert_int_equal(hf_key_open(NULL, "0a1b2c3d-0000-4000-8000-000000000001", &key), HF_OK);
        assert_null(hf_key_close(key));
}

static void test_the_last_result_stays_with_its_sentence(void **state)
{
        (void)state;
        assert_int_equal(hf_error_set(HF_ERROR_KEY_DISABLED, NULL), HF_ERROR_KEY_DISABLED);
        assert_int_equal(hf_error(), HF_ERROR_KEY_DISABLED);
        assert_string_equal(hf_error_sentence(), hf_strerror(HF_ERROR_KEY_DISABLED));
        assert_int_equal(hf_error_set(HF_ERROR_BUSY, "Not now."), HF_ERROR_BUSY);
        assert_int_equal(hf_error(), HF_ERROR_BUSY);
        assert_string_equal(hf_error_sentence(), "Not now.");
}

static void test_what_is_too_large_is_refused_before_it_is_sent(void **state)
{
        static uint8_t message[HF_MESSAGE_LIMIT + 1];
        HfSignature sig;
        HfSpan many[3] = {{message, 65536}, {message, 65536}, {message, 65536}};
        HfSignature sigs[3];
        HfKey *key = NULL;

        (void)state;
        assert_int_equal(hf_sign_with("k", HF_ES256, message, sizeof(message), &sig),
                        HF_ERROR_MESSAGE_TOO_LARGE);
        assert_int_equal(hf_key_open(NULL, "k", &key), HF_OK);
        assert_int_equal(hf_sign_many(key, HF_ES256, many, 0, sigs), HF_ERROR_INVALID_ARGS);
        assert_int_equal(hf_sign_many(key, 99, many, 1, sigs), HF_ERROR_SCHEME_NOT_SUPPORTED);
        assert_int_equal(hf_random(NULL, message, 4097), HF_ERROR_INVALID_ARGS);
        hf_key_close(key);
}

static void *fail_here(void *userdata)
{
        HfKey *key;

        (void)userdata;
        (void)hf_key_open(NULL, "?", &key);
        return NULL;
}

static void test_the_sentence_belongs_to_the_thread(void **state)
{
        pthread_t thread;

        (void)state;
        error_set(HF_ERROR_STORE_LOCKED, "mine");
        assert_int_equal(pthread_create(&thread, NULL, fail_here, NULL), 0);
        pthread_join(thread, NULL);
        assert_string_equal(hf_error_sentence(), "mine");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_the_service_says_what_is_the_matter_with_a_tpm_before_we_give_up),
                        cmocka_unit_test(test_every_result_has_the_name_of_the_bus_error),
                        cmocka_unit_test(test_a_number_that_is_no_result_is_internal),
                        cmocka_unit_test(test_the_daemons_own_sentence_is_kept),
                        cmocka_unit_test(test_an_error_of_the_bus_gets_our_sentence),
                        cmocka_unit_test(test_a_missing_socket_is_an_unavailable_daemon),
                        cmocka_unit_test(test_names_that_are_none_are_refused_at_once),
                        cmocka_unit_test(test_the_last_result_stays_with_its_sentence),
                        cmocka_unit_test(test_what_is_too_large_is_refused_before_it_is_sent),
                        cmocka_unit_test(test_the_sentence_belongs_to_the_thread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
