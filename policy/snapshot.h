/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of a Policy; private to policy/. Filled once by its loader and never changed afterwards. */
#include "policy/arena.h"
#include "policy/rule.h"

struct Policy {
        unsigned references;
        Arena arena;
        Buffer source;
        size_t n_files;
        RuleList rules;          /* all, in reading order */
        RuleList denies, allows; /* the same ones, apart */
};

typedef struct PolicyFile {
        const char *path; /* in the arena */
        size_t at, len;   /* in the source */
} PolicyFile;

int policy_new(Policy **ret);
/* Appends one file. -EMSGSIZE above POLICY_SOURCE_MAX. */
int policy_add_source(Policy *p, const char *path, Bytes text, PolicyFile *ret);
/* Makes rules out of the source, which must not move any more. 0, HF_E_POLICY_INVALID, -ENOMEM. */
int policy_build(Policy *p, const PolicyParams *params, const PolicyFile *files, size_t n,
                PolicyProblem *ret_problem);
