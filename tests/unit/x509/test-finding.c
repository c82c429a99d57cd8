/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/finding.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/x509/support.h"

static void test_each_finding_has_a_word_of_its_own_a_sentence_and_a_remedy(void **state)
{
        char text[FINDING_TEXT_SIZE];

        (void)state;
        for (FindingKind k = 0; k < _FINDING_MAX; k++) {
                assert_int_equal(strspn(finding_word(k), "abcdefghijklmnopqrstuvwxyz-"), strlen(finding_word(k)));
                for (FindingKind other = 0; other < k; other++)
                        assert_string_not_equal(finding_word(k), finding_word(other));
                for (FindingWhose w = FINDING_OF_FILE; w <= FINDING_OF_PEER; w++) {
                        Finding f = {.kind = k, .whose = w, .depth = w, .time = 1, .other = 2, .detail = "detail"};

                        finding_sentence(&f, text);
                        assert_true(strlen(text) > 10 && text[strlen(text) - 1] == '.' && !strpbrk(text, "{}"));
                        assert_true(text[0] >= 'A' && text[0] <= 'Z');
                        finding_remedy(&f, text);
                        assert_true(strlen(text) > 10 && text[strlen(text) - 1] == '.' && !strpbrk(text, "{}"));
                }
        }
}

static void test_a_sentence_says_whose_and_when(void **state)
{
        Finding f = {.kind = FINDING_EXPIRED, .whose = FINDING_OF_PEER, .time = 1000000, .other = 86400000000};
        char text[FINDING_TEXT_SIZE];

        (void)state;
        assert_string_equal(finding_sentence(&f, text),
                        "The peer's certificate expired at 1970-01-01T00:00:01Z; the time here is 1970-01-02T00:00:00Z.");
        f.depth = 2;
        f.time = 0;
        assert_non_null(strstr(finding_sentence(&f, text), "Issuer 2 in the peer's chain expired at an unknown time"));
        f.whose = FINDING_OF_OURS;
        assert_non_null(strstr(finding_remedy(&f, text), "holdfast cert set"));
}

static void test_strangers_text_cannot_break_out_of_a_line(void **state)
{
        char text[FINDING_TEXT_SIZE], long_one[4 * FINDING_TEXT_SIZE];
        FindingList list = {.n = 0};

        (void)state;
        memset(long_one, '{', sizeof(long_one) - 1);
        long_one[sizeof(long_one) - 1] = '\0';
        findings_add(&list, FINDING_HOST_MISMATCH, FINDING_OF_PEER, 0, "a\nMESSAGE=b\x1b[2J");
        assert_null(strpbrk(finding_sentence(&list.items[0], text), "\n\x1b"));
        assert_null(strpbrk(finding_journal(&list.items[0], "id\nfinding=none", "peer\n", text), "\n\x1b"));
        findings_add(&list, FINDING_WEAK_KEY, FINDING_OF_PEER, 0, long_one);
        assert_true(strlen(finding_sentence(&list.items[1], text)) < FINDING_TEXT_SIZE);
}

static void test_the_journal_gets_identity_word_and_peer_only(void **state)
{
        Finding f = {.kind = FINDING_UNTRUSTED, .detail = "CN=secret name", .time = 1000000};
        char text[FINDING_TEXT_SIZE];

        (void)state;
        assert_string_equal(finding_journal(&f, "telemetry", "a.test:443", text), "identity=telemetry finding=untrusted peer=a.test:443");
        assert_string_equal(finding_journal(&f, "telemetry", NULL, text), "identity=telemetry finding=untrusted");
}

static void test_a_sentence_ends_behind_a_word_and_not_in_a_name(void **state)
{
        (void)state;
        assert_int_equal(finding_first_sentence("Policy says no to 'web.1.x'. Nothing was done."), 27);
        assert_int_equal(finding_first_sentence("The key is disabled."), 19);
        assert_int_equal(finding_first_sentence("no stop at all, but a.name"), 26);
        assert_int_equal(finding_first_sentence("a.b."), 3);
        assert_int_equal(finding_first_sentence("."), 0);
        assert_int_equal(finding_first_sentence(""), 0);
}

static void test_what_is_found_twice_is_told_once_and_too_much_is_dropped(void **state)
{
        FindingList list = {.n = 0};

        (void)state;
        findings_add(&list, FINDING_EXPIRED, FINDING_OF_PEER, 1, NULL)->time = 5;
        findings_add(&list, FINDING_EXPIRED, FINDING_OF_PEER, 1, NULL)->time = 6;
        assert_int_equal(list.n, 1);
        assert_int_equal(list.items[0].time, 5);
        for (unsigned i = 0; i < 3 * FINDINGS_MAX; i++)
                findings_add(&list, FINDING_REVOKED, FINDING_OF_PEER, i, NULL)->time = i;
        assert_int_equal(list.n, FINDINGS_MAX);
        assert_non_null(findings_find(&list, FINDING_REVOKED));
        assert_null(findings_find(&list, FINDING_ALTERED));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_each_finding_has_a_word_of_its_own_a_sentence_and_a_remedy),
                        cmocka_unit_test(test_a_sentence_says_whose_and_when),
                        cmocka_unit_test(test_strangers_text_cannot_break_out_of_a_line),
                        cmocka_unit_test(test_the_journal_gets_identity_word_and_peer_only),
                        cmocka_unit_test(test_a_sentence_ends_behind_a_word_and_not_in_a_name),
                        cmocka_unit_test(test_what_is_found_twice_is_told_once_and_too_much_is_dropped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
