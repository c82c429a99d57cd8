/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Explain: asks holdfastd what its policy says of a request that somebody might make. */
#include "cli/cli.h"

typedef struct ExplainQuestion {
        const char *operation, *key;
        const char *user; /* a name, whose groups are looked up, or a number; NULL: who asks */
        const char *unit, *algorithm, *scheme, *profile, *socket; /* NULL: as it is for who asks */
} ExplainQuestion;

/* The explanation as an object: verdict, rule, source, text, suggestion. 0 or an exit code, told. */
int explain_ask(Cli *cli, const ExplainQuestion *question, json_t **ret);
