/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The builder, the table it obeys, the chain around it, and the parser that takes it apart again. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "audit/chain.h"
#include "audit/record.h"
#include "base/error.h"
#include "crypto/digest.h"

static const uint8_t zeros[32];

static void test_events_are_sorted_and_their_fields_unique(void **state)
{
        size_t n;
        const AuditEvent *events = audit_events(&n);

        (void)state;
        assert_true(n > 30);
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        assert_true(strcmp(events[i - 1].name, events[i].name) < 0);
                assert_ptr_equal(audit_event_find(events[i].name), &events[i]);
                assert_true(strlen(events[i].name) <= AUDIT_EVENT_NAME_MAX);
                for (unsigned a = 0; a < AUDIT_FIELDS_MAX && events[i].fields[a].name; a++)
                        for (unsigned b = 0; b < a; b++)
                                assert_string_not_equal(events[i].fields[a].name, events[i].fields[b].name);
        }
        assert_null(audit_event_find("key.steal"));
        assert_null(audit_event_find(""));
}

static void test_event_outside_the_table_is_refused(void **state)
{
        AuditLine line;

        (void)state;
        audit_line_init(&line, "key.steal");
        audit_line_u64(&line, "uid", 1);
        assert_int_equal(audit_line_check(&line), HF_E_INTERNAL);
}

static void test_field_outside_the_table_is_refused(void **state)
{
        AuditLine line;

        (void)state;
        use_line(&line, 1);
        assert_int_equal(audit_line_check(&line), 0);
        audit_line_str(&line, "password", "x");
        assert_int_equal(audit_line_check(&line), HF_E_INTERNAL);
}

static void test_field_of_another_type_twice_or_missing_is_refused(void **state)
{
        AuditLine line;

        (void)state;
        audit_line_init(&line, "done");
        assert_int_equal(audit_line_check(&line), HF_E_INTERNAL);
        audit_line_str(&line, "ref", "7");
        assert_int_equal(audit_line_check(&line), HF_E_INTERNAL);
        audit_line_init(&line, "done");
        audit_line_u64(&line, "ref", 7);
        assert_int_equal(audit_line_check(&line), 0);
        audit_line_u64(&line, "ref", 8);
        assert_int_equal(audit_line_check(&line), HF_E_INTERNAL);
}

static void test_line_that_does_not_fit_is_refused_and_never_overflows(void **state)
{
        char text[2 * AUDIT_LINE_MAX];
        AuditLine line;

        (void)state;
        memset(text, '\x01', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        for (size_t n = 0; n < sizeof(text); n += 7) {
                audit_line_init(&line, "locked.copy");
                audit_line_strn(&line, "text", text, n);
                assert_true(line.len <= sizeof(line.text));
                assert_int_equal(audit_line_check(&line),
                                6 * n + 40 < AUDIT_BODY_MAX ? 0 : audit_line_check(&line));
                if (6 * n > AUDIT_BODY_MAX)
                        assert_int_equal(audit_line_check(&line), HF_E_MESSAGE_TOO_LARGE);
        }
}

static void seal(const AuditLine *line, char ret[static AUDIT_LINE_MAX], AuditRecord *ret_record)
{
        size_t len;
        Chain c;

        chain_init(&c, log_key, 0, zeros);
        assert_int_equal(chain_seal(&c, line, 1795233600123456, 0, ret, &len), 0);
        assert_int_equal(ret[len - 1], '\n');
        assert_int_equal(audit_record_parse(BYTES(ret, len - 1), ret_record), 0);
}

static void test_strings_of_strangers_become_printable_ascii(void **state)
{
        static const struct {
                const char *in, *out, *back;
        } cases[] = {
                        {"plain", "plain", "plain"},
                        {"a\"b\\c", "a\\\"b\\\\c", "a\"b\\c"},
                        {"line\nbreak\x1b[31m\x7f", "line\\u000abreak\\u001b[31m\\u007f",
                                        "line\nbreak\x1b[31m\x7f"},
                        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x91", "\\u00e4 \\u20ac \\ud83d\\udd11",
                                        "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x91"},
                        /* not UTF-8: a stray byte, overlong NUL, a surrogate, beyond U+10FFFF, cut short */
                        {"\xff", "\\\\xff", "\\xff"},
                        {"\xc0\x80", "\\\\xc0\\\\x80", "\\xc0\\x80"},
                        {"\xed\xa0\x80", "\\\\xed\\\\xa0\\\\x80", "\\xed\\xa0\\x80"},
                        {"\xf4\x90\x80\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80", "\\xf4\\x90\\x80\\x80"},
                        {"\xe2\x82", "\\\\xe2\\\\x82", "\\xe2\\x82"},
                        {"\",\"uid\":0,\"x\":\"", "\\\",\\\"uid\\\":0,\\\"x\\\":\\\"",
                                        "\",\"uid\":0,\"x\":\""},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[AUDIT_LINE_MAX], back[256];
                AuditRecord record;
                AuditLine line;
                Bytes value;

                audit_line_init(&line, "locked.copy");
                audit_line_str(&line, "text", cases[i].in);
                seal(&line, text, &record);
                assert_true(audit_record_field(&record, "text", &value));
                assert_int_equal(value.len, strlen(cases[i].out));
                assert_memory_equal(value.data, cases[i].out, value.len);
                assert_int_equal(audit_record_string(&record, "text", back, sizeof(back)), 0);
                assert_string_equal(back, cases[i].back);
        }
}

static void test_random_bytes_always_parse_back(void **state)
{
        (void)state;
        srandom(7);
        for (int i = 0; i < 20000; i++) {
                char text[AUDIT_LINE_MAX], in[100];
                AuditRecord record;
                AuditLine line;
                size_t n = (size_t)random() % sizeof(in);

                for (size_t k = 0; k < n; k++)
                        in[k] = (char)random();
                audit_line_init(&line, "denied");
                audit_line_strn(&line, "wanted", in, n);
                audit_line_str(&line, "reason", "r");
                audit_line_u64(&line, "uid", (uint64_t)random());
                seal(&line, text, &record);
                assert_true(audit_record_is(&record, "denied"));
        }
}

static void test_line_has_the_form_of_the_document(void **state)
{
        static const char begin[] =
                        "{\"seq\":0,\"prev\":"
                        "\"0000000000000000000000000000000000000000000000000000000000000000"
                        "\",\"t\":\"2026-11-21T04:00:00.123456Z\",\"dur\":0,\"event\":\"done\",\"ref\":7,"
                        "\"mac\":\"";
        char text[AUDIT_LINE_MAX];
        uint8_t mac[32];
        char hex[65];
        AuditRecord record;
        AuditLine line;

        (void)state;
        audit_line_init(&line, "done");
        audit_line_u64(&line, "ref", 7);
        seal(&line, text, &record);
        assert_memory_equal(text, begin, sizeof(begin) - 1);
        mac_blake2b(log_key, BYTES(begin, sizeof(begin) - 1 - 7), mac);
        hex_encode(mac, 32, hex);
        assert_memory_equal(text + sizeof(begin) - 1, hex, 64);
        assert_string_equal(text + sizeof(begin) - 1 + 64, "\"}\n");
}

static void test_prev_is_the_hash_of_the_line_before(void **state)
{
        char text[AUDIT_LINE_MAX], hex[65];
        uint8_t hash[32];
        AuditRecord record;
        AuditLine line;
        size_t len;
        Chain c;

        (void)state;
        chain_init(&c, log_key, 41, zeros);
        use_line(&line, 1);
        assert_int_equal(chain_seal(&c, &line, 0, 40, text, &len), 0);
        digest_sha256(BYTES(text, len - 1), hash);
        assert_memory_equal(c.head, hash, 32);
        assert_int_equal(chain_seal(&c, &line, 0, 40, text, &len), 0);
        assert_int_equal(audit_record_parse(BYTES(text, len - 1), &record), 0);
        hex_encode(hash, 32, hex);
        assert_memory_equal(record.prev.data, hex, 64);
        assert_int_equal(record.seq, 42);
        assert_int_equal(c.size, 43);
        assert_true(audit_record_authentic(&record, log_key));
        assert_false(audit_record_authentic(&record, zeros));
}

static void test_refused_line_leaves_the_chain_where_it_was(void **state)
{
        char text[AUDIT_LINE_MAX];
        AuditLine line;
        size_t len;
        Chain c;

        (void)state;
        chain_init(&c, log_key, 5, zeros);
        audit_line_init(&line, "done");
        assert_int_equal(chain_seal(&c, &line, 0, 0, text, &len), HF_E_INTERNAL);
        assert_int_equal(c.size, 5);
        assert_memory_equal(c.head, zeros, 32);
}

static void test_parser_refuses_what_the_chain_would_not_write(void **state)
{
        char good[AUDIT_LINE_MAX], text[AUDIT_LINE_MAX + 8];
        AuditRecord record;
        AuditLine line;
        size_t len;

        (void)state;
        use_line(&line, 1);
        seal(&line, good, &record);
        len = record.line.len;
        for (size_t cut = 0; cut < len; cut++)
                assert_int_equal(audit_record_parse(BYTES(good, cut), &record), HF_E_INVALID_ARGS);
        memcpy(text, good, len);
        memcpy(text + len, " ", 1);
        assert_int_equal(audit_record_parse(BYTES(text, len + 1), &record), HF_E_INVALID_ARGS);
        /* every byte, made a control character, a high one, or a quote in the wrong place */
        for (size_t i = 0; i < len; i++) {
                memcpy(text, good, len);
                text[i] = '\x1f';
                assert_int_equal(audit_record_parse(BYTES(text, len), &record), HF_E_INVALID_ARGS);
                text[i] = '\x80';
                assert_int_equal(audit_record_parse(BYTES(text, len), &record), HF_E_INVALID_ARGS);
        }
        memcpy(text, good, len);
        memcpy(text + 7, "00", 1);
        text[7] = '0';
        assert_int_equal(audit_record_parse(BYTES(text, len), &record), 0);
        memmove(text + 8, good + 7, len - 7);
        assert_int_equal(audit_record_parse(BYTES(text, len + 1), &record), HF_E_INVALID_ARGS); /* 00 */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_events_are_sorted_and_their_fields_unique),
                        cmocka_unit_test(test_event_outside_the_table_is_refused),
                        cmocka_unit_test(test_field_outside_the_table_is_refused),
                        cmocka_unit_test(test_field_of_another_type_twice_or_missing_is_refused),
                        cmocka_unit_test(test_line_that_does_not_fit_is_refused_and_never_overflows),
                        cmocka_unit_test(test_strings_of_strangers_become_printable_ascii),
                        cmocka_unit_test(test_random_bytes_always_parse_back),
                        cmocka_unit_test(test_line_has_the_form_of_the_document),
                        cmocka_unit_test(test_prev_is_the_hash_of_the_line_before),
                        cmocka_unit_test(test_refused_line_leaves_the_chain_where_it_was),
                        cmocka_unit_test(test_parser_refuses_what_the_chain_would_not_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
