/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/recovery.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"

static void test_a_code_reads_back(void **state)
{
        uint8_t code[RECOVERY_ENTROPY], back[RECOVERY_ENTROPY];
        char text[RECOVERY_TEXT_LEN + 1];

        (void)state;
        for (int i = 0; i < 200; i++) {
                recovery_generate(code);
                recovery_format(code, text);
                assert_int_equal(strlen(text), RECOVERY_TEXT_LEN);
                assert_int_equal(recovery_parse(bytes_str(text), back), 0);
                assert_memory_equal(code, back, sizeof(code));
        }
}

static void test_it_is_read_as_people_write(void **state)
{
        uint8_t code[RECOVERY_ENTROPY] = {}, back[RECOVERY_ENTROPY];
        char text[RECOVERY_TEXT_LEN + 1], written[128];
        size_t n = 0;

        (void)state;
        code[0] = 0x08; /* "10000..." */
        recovery_format(code, text);
        assert_memory_equal(text, "10000-00000-", 12);
        for (size_t i = 0; text[i]; i++) {
                if (text[i] == '-')
                        continue;
                written[n++] = (char)(text[i] == '0' ? 'o' : text[i] == '1' ? 'l' : tolower(text[i]));
                if (i % 4 == 0)
                        written[n++] = ' ';
        }
        written[n++] = '\n';
        assert_int_equal(recovery_parse(BYTES(written, n), back), 0);
        assert_memory_equal(code, back, sizeof(code));
}

static void test_one_wrong_letter_is_noticed(void **state)
{
        static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        uint8_t code[RECOVERY_ENTROPY], back[RECOVERY_ENTROPY];
        char text[RECOVERY_TEXT_LEN + 1];
        unsigned missed = 0;

        (void)state;
        for (size_t i = 0; i < sizeof(code); i++)
                code[i] = (uint8_t)(37 * i + 11); /* the same each time: chance has no say in a test */
        recovery_format(code, text);
        for (size_t i = 0; i < RECOVERY_TEXT_LEN; i++) {
                char was = text[i];

                for (size_t k = 0; was != '-' && k < 32; k++) {
                        text[i] = alphabet[k];
                        if (alphabet[k] != was && recovery_parse(bytes_str(text), back) != HF_E_INVALID_ARGS)
                                missed++;
                }
                text[i] = was;
        }
        assert_int_equal(missed, 0);
}

static void test_what_is_no_code_is_refused(void **state)
{
        static const char *const cases[] = {
                        "",
                        "-",
                        "correct horse battery staple",
                        "00000-00000-00000-00000-00000-00000-0000",
                        "00000-00000-00000-00000-00000-00000-000000",
                        "UUUUU-00000-00000-00000-00000-00000-00000",
                        "\xff\xff\xff\xff",
        };
        uint8_t back[RECOVERY_ENTROPY];

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(recovery_parse(bytes_str(cases[i]), back), HF_E_INVALID_ARGS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_code_reads_back),
                        cmocka_unit_test(test_it_is_read_as_people_write),
                        cmocka_unit_test(test_one_wrong_letter_is_noticed),
                        cmocka_unit_test(test_what_is_no_code_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
