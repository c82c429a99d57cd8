/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lexer of rule files
 *
 * Cuts the text of a file into words and the values of a word into items; knows blanks, comments, continued
 * lines and quotes, and nothing of what words mean. Everything a file can do wrong below that is refused
 * here.
 */
#include "policy/policy.h"

#define LEXER_WORD_MAX 8192U /* bytes of one word */
#define LEXER_ITEMS_MAX 256U /* values of one word */

typedef struct LexerItem {
        const char *text;
        unsigned line, column;
} LexerItem;

typedef enum LexerKind {
        LEXER_WORD,
        LEXER_RULE_END, /* the logical line is over */
        LEXER_FILE_END,
} LexerKind;

typedef struct Lexer {
        const char *path;
        const char *p, *end;
        const char *line_start;
        unsigned line;
        const char *word_start, *word_end; /* of the last word, in the text */

        /* The last word: NAME or NAME=ITEM,... Overwritten by the next one. */
        char name[32];
        unsigned word_line, word_column;
        bool has_value;
        LexerItem items[LEXER_ITEMS_MAX];
        size_t n_items;
        char buffer[LEXER_WORD_MAX];
        size_t buffer_used;
        PolicyProblem *problem;
} Lexer;

void lexer_init(Lexer *lexer, const char *path, Bytes text, PolicyProblem *problem);
/* 0, HF_E_POLICY_INVALID with the problem set. */
int lexer_next(Lexer *lexer, LexerKind *ret);
/* Sets the problem and returns HF_E_POLICY_INVALID. */
int lexer_fail(const Lexer *lexer, unsigned line, unsigned column, const char *format, ...)
                __attribute__((format(printf, 4, 5)));
