/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Parser of rules
 *
 * From words to rules. Strict on purpose: a typing error must not weaken a policy, so whatever is not
 * understood fails the load, with the place and a sentence. What only the machine can make wrong (a user who
 * does not exist) is a warning.
 */
#include "policy/names.h"
#include "policy/rule.h"

typedef struct Parser {
        const PolicyParams *params;
        Arena *arena; /* where rules go */
        NameTable *names;
        RuleList *rules; /* and where they are listed */
        PolicyProblem *problem;
} Parser;

/* Adds the rules of one file. `path` and `text` must live as long as the arena. 0, HF_E_POLICY_INVALID,
 * -ENOMEM. */
int parser_run(Parser *parser, const char *path, Bytes text);
