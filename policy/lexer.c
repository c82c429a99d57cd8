/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is read once from front to back. A word is NAME or NAME=ITEM,ITEM; an item may be put in double
 * quotes, within which blank, comma and # are ordinary and only \" and \\ are escapes. Outside of comments a
 * file is printable ASCII, so that what a reader sees is what is meant: no look-alike letters, no hidden
 * characters.
 */
#include "policy/lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

void lexer_init(Lexer *lexer, const char *path, Bytes text, PolicyProblem *problem)
{
        const char *start = text.len ? (const char *)text.data : "";

        memset(lexer, 0, sizeof(*lexer));
        lexer->path = path;
        lexer->p = lexer->line_start = start;
        lexer->end = start + text.len;
        lexer->line = 1;
        lexer->problem = problem;
}

int lexer_fail(const Lexer *lexer, unsigned line, unsigned column, const char *format, ...)
{
        PolicyProblem *problem = lexer->problem;
        va_list ap;

        *problem = (PolicyProblem){.line = line, .column = column};
        (void)snprintf(problem->path, sizeof(problem->path), "%s", lexer->path);
        va_start(ap, format);
        (void)vsnprintf(problem->sentence, sizeof(problem->sentence), format, ap);
        va_end(ap);
        return HF_E_POLICY_INVALID;
}

static unsigned column(const Lexer *lexer)
{
        return (unsigned)(lexer->p - lexer->line_start) + 1;
}

static int fail_here(const Lexer *lexer, const char *sentence)
{
        return lexer_fail(lexer, lexer->line, column(lexer), "%s", sentence);
}

static bool at(const Lexer *lexer, char c)
{
        return lexer->p < lexer->end && *lexer->p == c;
}

static bool at_blank(const Lexer *lexer)
{
        return at(lexer, ' ') || at(lexer, '\t');
}

static bool at_continuation(const Lexer *lexer)
{
        return lexer->end - lexer->p >= 2 && lexer->p[0] == '\\' && lexer->p[1] == '\n';
}

static void next_line(Lexer *lexer)
{
        lexer->p++;
        lexer->line++;
        lexer->line_start = lexer->p;
}

static int skip_comment(Lexer *lexer)
{
        for (; lexer->p < lexer->end && *lexer->p != '\n'; lexer->p++)
                if (*lexer->p == '\0')
                        return fail_here(lexer, "the file contains a NUL byte");
        return 0;
}

/* Blanks, continued lines and comments: all that can stand between two words. */
static int skip_blank(Lexer *lexer)
{
        for (;;) {
                while (at_blank(lexer))
                        lexer->p++;
                if (at(lexer, '#'))
                        return skip_comment(lexer);
                if (!at(lexer, '\\'))
                        return 0;
                if (!at_continuation(lexer))
                        return fail_here(lexer, "a backslash stands only at the very end of a line; "
                                                "put values that contain one in double quotes");
                lexer->p++;
                next_line(lexer);
        }
}

static int check_character(const Lexer *lexer)
{
        unsigned char c = (unsigned char)*lexer->p;

        if (c == '\r')
                return fail_here(lexer, "carriage return: save the file with Unix line ends");
        if (c < 0x20 || c >= 0x7f)
                return lexer_fail(lexer, lexer->line, column(lexer),
                                "byte 0x%02x: outside of comments only printable ASCII characters may stand",
                                c);
        return 0;
}

static int put(Lexer *lexer, char c)
{
        if (lexer->buffer_used >= sizeof(lexer->buffer))
                return lexer_fail(lexer, lexer->word_line, lexer->word_column,
                                "too large: the word is longer than %u characters", LEXER_WORD_MAX);
        lexer->buffer[lexer->buffer_used++] = c;
        return 0;
}

static int read_quoted(Lexer *lexer)
{
        unsigned opened = column(lexer);
        int r;

        for (lexer->p++; !at(lexer, '"'); lexer->p++) {
                if (lexer->p >= lexer->end || *lexer->p == '\n')
                        return lexer_fail(lexer, lexer->line, opened,
                                        "the double quote is not closed in its line");
                if (*lexer->p == '\\') {
                        lexer->p++;
                        if (!at(lexer, '"') && !at(lexer, '\\'))
                                return fail_here(lexer, "within double quotes a backslash stands only before "
                                                        "a double quote or a backslash");
                }
                r = check_character(lexer);
                if (!r)
                        r = put(lexer, *lexer->p);
                if (r)
                        return r;
        }
        lexer->p++;
        return 0;
}

static bool at_item_end(const Lexer *lexer)
{
        return lexer->p >= lexer->end || at_blank(lexer) || at(lexer, '\n') || at(lexer, ',') ||
               at_continuation(lexer);
}

static int read_bare(Lexer *lexer)
{
        for (; !at_item_end(lexer); lexer->p++) {
                int r = check_character(lexer);

                if (r)
                        return r;
                if (*lexer->p == '"' || *lexer->p == '\\' || *lexer->p == '#' || *lexer->p == '=')
                        return lexer_fail(lexer, lexer->line, column(lexer),
                                        "'%c' within a value: put the value in double quotes", *lexer->p);
                r = put(lexer, *lexer->p);
                if (r)
                        return r;
        }
        return 0;
}

static int read_item(Lexer *lexer)
{
        LexerItem item = {.text = lexer->buffer + lexer->buffer_used,
                        .line = lexer->line,
                        .column = column(lexer)};
        int r;

        if (lexer->n_items >= LEXER_ITEMS_MAX)
                return lexer_fail(lexer, lexer->word_line, lexer->word_column,
                                "too large: %s= has more than %u values", lexer->name, LEXER_ITEMS_MAX);
        r = at(lexer, '"') ? read_quoted(lexer) : read_bare(lexer);
        if (r)
                return r;
        if (item.text == lexer->buffer + lexer->buffer_used)
                return lexer_fail(lexer, item.line, item.column, "%s= has an empty value", lexer->name);
        if (!at_item_end(lexer))
                return fail_here(lexer,
                                "after the closing quote a comma, a blank or the end of the line belongs");
        lexer->items[lexer->n_items++] = item;
        return put(lexer, '\0');
}

static int read_values(Lexer *lexer)
{
        int r;

        lexer->has_value = true;
        do {
                lexer->p++; /* the '=' or ',' */
                r = read_item(lexer);
        } while (!r && at(lexer, ','));
        return r;
}

static int read_word(Lexer *lexer)
{
        size_t n = 0;
        int r = check_character(lexer);

        if (r)
                return r;
        lexer->word_start = lexer->p;
        lexer->word_line = lexer->line;
        lexer->word_column = column(lexer);
        lexer->has_value = false;
        lexer->n_items = lexer->buffer_used = 0;

        for (; lexer->p < lexer->end && ((*lexer->p >= 'a' && *lexer->p <= 'z') || *lexer->p == '-');
                        lexer->p++)
                if (n < sizeof(lexer->name) - 1)
                        lexer->name[n++] = *lexer->p;
        lexer->name[n] = '\0';
        if (n == 0)
                return lexer_fail(lexer, lexer->line, column(lexer),
                                "a word begins with a letter a-z, not with '%c'", *lexer->p);
        if (at(lexer, '='))
                r = read_values(lexer);
        else if (!at_item_end(lexer) || at(lexer, ','))
                r = check_character(lexer)
                                    ?: lexer_fail(lexer, lexer->line, column(lexer),
                                                       "'%c' within the name of a word", *lexer->p);
        lexer->word_end = lexer->p;
        return r;
}

int lexer_next(Lexer *lexer, LexerKind *ret)
{
        int r = skip_blank(lexer);

        if (r)
                return r;
        if (lexer->p >= lexer->end) {
                *ret = LEXER_FILE_END;
                return 0;
        }
        if (*lexer->p == '\n') {
                next_line(lexer);
                *ret = LEXER_RULE_END;
                return 0;
        }
        r = read_word(lexer);
        if (r)
                return r;
        *ret = LEXER_WORD;
        return 0;
}
