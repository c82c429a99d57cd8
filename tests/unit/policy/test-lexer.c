/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a file may not contain, below the meaning of its words. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/lexer.h"

/* All words of a text as NAME[ITEM|ITEM], a rule's end as ";". */
static int lex(const char *text, size_t len, PolicyProblem *problem, char *ret, size_t size)
{
        Lexer *lexer = malloc(sizeof(*lexer));
        LexerKind kind = LEXER_RULE_END;
        size_t n = 0;
        int r;

        assert_non_null(lexer);
        ret[0] = '\0';
        lexer_init(lexer, "f", BYTES(text, len), problem);
        do {
                r = lexer_next(lexer, &kind);
                if (r || kind == LEXER_FILE_END)
                        continue;
                n += (size_t)snprintf(ret + n, size - n, "%s", kind == LEXER_WORD ? lexer->name : ";");
                for (size_t i = 0; kind == LEXER_WORD && i < lexer->n_items; i++)
                        n += (size_t)snprintf(ret + n, size - n, "%c%s", i ? '|' : '[', lexer->items[i].text);
                if (kind == LEXER_WORD)
                        n += (size_t)snprintf(ret + n, size - n, "%s", lexer->has_value ? "]" : " ");
        } while (!r && kind != LEXER_FILE_END);
        free(lexer);
        return r;
}

static void test_words_values_comments_and_continued_lines_are_told_apart(void **state)
{
        static const struct {
                const char *text, *want;
        } table[] = {
                        {"", ""},
                        {"\n\n", ";;"},
                        {"# c\n#\n", ";;"},
                        {"#c", ""},
                        {"a b=c,d\n", "a b[c|d];"},
                        {"a\tb=c", "a b[c]"},
                        {"a \\\n b=c\nd", "a b[c];d "},
                        {"a \\\n # rest\nb", "a ;b "},
                        {"a #b \\\nc", "a ;c "},
                        {"a\\\nb=c\\\nd=\"e\"\\\nf", "a b[c]d[e]f "},
                        {"a b=\"x y,#=\",z", "a b[x y,#=|z]"},
                        {"b=\"\\\"\\\\\"", "b[\"\\]"},
                        {"b=x # \xc3\xa4\n", "b[x];"},
                        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", "abcdefghijklmnopqrstuvwxyzabcde "},
        };
        PolicyProblem problem;
        char got[256];

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                assert_int_equal(lex(table[i].text, strlen(table[i].text), &problem, got, sizeof(got)), 0);
                assert_string_equal(got, table[i].want);
        }
}

static void test_what_cannot_be_read_is_refused_at_its_place(void **state)
{
        static const struct {
                const char *text;
                unsigned line, column;
                const char *says;
        } table[] = {
                        {"a\r\n", 1, 2, "Unix line ends"},
                        {"a b=c\r\n", 1, 6, "Unix line ends"},
                        {"a\x01", 1, 2, "0x01"},
                        {"a b=\x7f", 1, 5, "0x7f"},
                        {"a\n b=\xc3\xa4", 2, 4, "0xc3"},
                        {"\xef\xbb\xbf"
                         "a",
                                        1, 1, "0xef"},
                        {"a b=\"\xc3\"", 1, 6, "0xc3"},
                        {"a b=\"\t\"", 1, 6, "0x09"},
                        {"A", 1, 1, "not with 'A'"},
                        {"a =b", 1, 3, "not with '='"},
                        {"a,b", 1, 2, "',' within the name"},
                        {"a1", 1, 2, "'1' within the name"},
                        {"a b=", 1, 5, "b= has an empty value"},
                        {"a b= c", 1, 5, "b= has an empty value"},
                        {"a b=c,", 1, 7, "empty value"},
                        {"a b=,c", 1, 5, "empty value"},
                        {"a b=\"\"", 1, 5, "empty value"},
                        {"a b=\"c", 1, 5, "not closed"},
                        {"a b=\"c\nd\"", 1, 5, "not closed"},
                        {"a b=\"c\\", 1, 8, "before a double quote"},
                        {"a b=\"c\\n\"", 1, 8, "before a double quote"},
                        {"a b=\"c\"d", 1, 8, "after the closing quote"},
                        {"a b=c\"d\"", 1, 6, "'\"' within a value"},
                        {"a b=c\\d", 1, 6, "'\\' within a value"},
                        {"a b=c#d", 1, 6, "'#' within a value"},
                        {"a b=c=d", 1, 6, "'=' within a value"},
                        {"a \\ b", 1, 3, "very end of a line"},
                        {"a \\", 1, 3, "very end of a line"},
        };
        unsigned failed = 0;
        char got[256];

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                PolicyProblem problem = {};
                int r = lex(table[i].text, strlen(table[i].text), &problem, got, sizeof(got));

                if (r == HF_E_POLICY_INVALID && problem.line == table[i].line &&
                                problem.column == table[i].column && strstr(problem.sentence, table[i].says))
                        continue;
                print_error("%s\n  gave %d, %u:%u: %s\n", table[i].text, r, problem.line, problem.column,
                                problem.sentence);
                failed++;
        }
        assert_int_equal(failed, 0);
}

static void test_a_nul_byte_is_refused_in_a_word_and_in_a_comment(void **state)
{
        PolicyProblem problem;
        char got[256];

        (void)state;
        assert_int_equal(lex("a \0b", 4, &problem, got, sizeof(got)), HF_E_POLICY_INVALID);
        assert_int_equal(problem.column, 3);
        assert_int_equal(lex("a # \0b", 6, &problem, got, sizeof(got)), HF_E_POLICY_INVALID);
        assert_int_equal(problem.column, 5);
}

static void test_a_word_has_a_longest_length_and_a_largest_number_of_values(void **state)
{
        static char text[4 * LEXER_WORD_MAX], got[4 * LEXER_WORD_MAX];
        PolicyProblem problem;
        size_t n;

        (void)state;
        for (int more = 0; more < 2; more++) {
                n = (size_t)snprintf(text, sizeof(text), "a b=%0*d", (int)LEXER_WORD_MAX - 1 + more, 0);
                assert_int_equal(lex(text, n, &problem, got, sizeof(got)), more ? HF_E_POLICY_INVALID : 0);
                n = (size_t)snprintf(text, sizeof(text), "a b=\"%0*d\"", (int)LEXER_WORD_MAX - 1 + more, 0);
                assert_int_equal(lex(text, n, &problem, got, sizeof(got)), more ? HF_E_POLICY_INVALID : 0);

                n = (size_t)snprintf(text, sizeof(text), "a b=x");
                for (unsigned i = 1; i < LEXER_ITEMS_MAX + (unsigned)more; i++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, ",x");
                assert_int_equal(lex(text, n, &problem, got, sizeof(got)), more ? HF_E_POLICY_INVALID : 0);
        }
        assert_non_null(strstr(problem.sentence, "too large"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_words_values_comments_and_continued_lines_are_told_apart),
                        cmocka_unit_test(test_what_cannot_be_read_is_refused_at_its_place),
                        cmocka_unit_test(test_a_nul_byte_is_refused_in_a_word_and_in_a_comment),
                        cmocka_unit_test(test_a_word_has_a_longest_length_and_a_largest_number_of_values),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
