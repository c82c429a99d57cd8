/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/der.h"

#include <stdlib.h>

#include "tests/unit/x509/support.h"

static const char *complain(const char *hex)
{
        uint8_t bytes[256];
        size_t len = strlen(hex) / 2;

        assert_int_equal(hex_decode(hex, strlen(hex), bytes, len), 0);
        return der_complaint(BYTES(bytes, len));
}

static void test_what_is_canonical_is_let_in(void **state)
{
        static const char *const good[] = {"0500", "3000", "020100", "02020080", "0201ff", "0101ff", "010100", "06032a0304", "30050201000500",
                        "310302010a", "0400", "a003020102", "800101", "3080" /* not: length follows */};

        (void)state;
        for (size_t i = 0; i + 1 < sizeof(good) / sizeof(good[0]); i++)
                assert_null(complain(good[i]));
}

static void test_what_is_not_is_refused_by_name(void **state)
{
        static const struct {
                const char *hex, *complaint;
        } rows[] = {
                        {"30", "it ends inside a value"},
                        {"3003020100ff", "there is something behind its end"},
                        {"3080020100", "a length is indefinite"},
                        {"308103020100", "a length is not the shortest"},
                        {"30820003020100", "a length is not the shortest"},
                        {"3085000000000302", "a length is out of bounds"},
                        {"30030201", "it ends inside a value"},
                        {"30020201", "it ends inside a value"},
                        {"02020001", "an INTEGER is not the shortest"},
                        {"0202ff80", "an INTEGER is not the shortest"},
                        {"0200", "an INTEGER is not the shortest"},
                        {"010101", "a BOOLEAN is neither true nor false"},
                        {"05020000", "a NULL has contents"},
                        {"06022a80", "an OBJECT IDENTIFIER is not well-formed"},
                        {"06032a8001", "an OBJECT IDENTIFIER is not well-formed"},
                        {"0600", "an OBJECT IDENTIFIER is not well-formed"},
                        {"2403040100", "a string is in pieces"},
                        {"1000", "a SEQUENCE is not one"},
                        {"1f810100", "a tag is of a kind that certificates do not have"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_string_equal(complain(rows[i].hex) ?: "nothing", rows[i].complaint);
        assert_non_null(der_complaint(BYTES_NULL));
}

/* 30 80.. nested: a hundred thousand levels in 400 KiB. */
static void test_nesting_has_an_end(void **state)
{
        enum { LEVELS = 100000 };
        uint8_t *bytes = malloc(4 * LEVELS);
        size_t inner = 0, at = 4 * LEVELS;

        (void)state;
        while (at >= 4 && inner < 60000) { /* from the inside out, lengths in two bytes */
                at -= inner < 128 ? 2 : 4;
                bytes[at] = 0x30;
                if (inner < 128) {
                        bytes[at + 1] = (uint8_t)inner;
                } else {
                        bytes[at + 1] = 0x82;
                        bytes[at + 2] = (uint8_t)(inner >> 8);
                        bytes[at + 3] = (uint8_t)inner;
                        if (inner < 256)
                                break;
                }
                inner = 4 * LEVELS - at;
        }
        assert_non_null(der_complaint(BYTES(bytes + at, 4 * LEVELS - at)));
        free(bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_what_is_canonical_is_let_in),
                        cmocka_unit_test(test_what_is_not_is_refused_by_name),
                        cmocka_unit_test(test_nesting_has_an_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
