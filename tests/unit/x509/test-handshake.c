/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be told of a handshake without a peer; the rest is tests/integration/cert_check.py. */
#include "x509/handshake.h"

#include <string.h>

#include "tests/unit/x509/support.h"
#include "x509/http.h"

static void test_addresses_are_read_as_people_write_them(void **state)
{
        static const struct {
                const char *text, *host, *port;
        } good[] = {{"a.test", "a.test", "443"}, {"a.test:8443", "a.test", "8443"}, {"10.0.0.1:1", "10.0.0.1", "1"},
                        {"[::1]:65535", "::1", "65535"}, {"[::1]", "::1", "443"}};
        static const char *const bad[] = {"", ":443", "a:", "a:0", "a:65536", "a:x", "a:1x", "[::1", "[]:1", "[::1]x", "a:1:2", "a: 1"};
        char host[HANDSHAKE_HOST_SIZE], port[HANDSHAKE_PORT_SIZE], long_one[HANDSHAKE_HOST_SIZE + 1];

        (void)state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                assert_int_equal(handshake_address(good[i].text, host, port), 0);
                assert_string_equal(host, good[i].host);
                assert_string_equal(port, good[i].port);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(handshake_address(bad[i], host, port), HF_E_INVALID_ARGS);
        memset(long_one, 'a', sizeof(long_one) - 1);
        long_one[sizeof(long_one) - 1] = '\0';
        assert_int_equal(handshake_address(long_one, host, port), HF_E_INVALID_ARGS);
}

static void test_the_date_is_the_heads_and_well_formed(void **state)
{
        static const char *const none[] = {"", "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                        "HTTP/1.1 200 OK\r\n\r\n\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
                        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 CET\r\n\r\n", "SSH\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"};

        (void)state;
        assert_true(http_date(bytes_str("HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\n\r\n")) ==
                    784111777000000);
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_true(http_date(bytes_str(none[i])) == 0);
}

static void test_a_page_that_refuses_a_certificate_is_known(void **state)
{
        char detail[FINDING_DETAIL_SIZE];

        (void)state;
        assert_true(http_refusal(bytes_str("HTTP/1.1 400 Bad Request\r\n\r\n<h1>400 The SSL certificate error</h1>"), detail));
        assert_string_equal(detail, "HTTP 400 (The SSL certificate error)");
        assert_false(http_refusal(bytes_str("HTTP/1.1 200 OK\r\n\r\nThe SSL certificate error"), detail));
        assert_false(http_refusal(bytes_str("HTTP/1.1 400 Bad Request\r\n\r\n"), detail));
        assert_false(http_refusal(BYTES_NULL, detail));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_addresses_are_read_as_people_write_them),
                        cmocka_unit_test(test_the_date_is_the_heads_and_well_formed),
                        cmocka_unit_test(test_a_page_that_refuses_a_certificate_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
