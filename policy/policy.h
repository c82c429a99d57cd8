/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Policy
 *
 * Who may do what with which key: the rules of all policy files, read and checked as a whole. A Policy never
 * changes after it was loaded; whoever decides by it holds a reference, so a reload in between does not
 * matter to a request that has begun (one snapshot a request). A load either gives a complete policy or says
 * in one sentence what is wrong and where; half a policy does not exist.
 *
 * The language is described in holdfast-policy(5).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "policy/operation.h"

#define POLICY_FILE_MAX (1024U * 1024U)         /* bytes of one file */
#define POLICY_FILES_MAX 256U                   /* files, masked ones not counted */
#define POLICY_SOURCE_MAX (16U * 1024U * 1024U) /* bytes of all files */
#define POLICY_RULES_MAX 100000U

typedef struct Policy Policy;         /* counted, not for use from several threads */
typedef struct PolicyRule PolicyRule; /* borrowed from its Policy */

/* What is wrong, where. `line` and `column` count from 1 and are 0 where the file as a whole is meant. */
typedef struct PolicyProblem {
        char path[512];
        unsigned line, column;
        char sentence[512]; /* without full stop; printable ASCII */
} PolicyProblem;
#define POLICY_PROBLEM_TEXT_SIZE (sizeof(PolicyProblem) + 32)

/* "PATH:LINE:COLUMN: SENTENCE", cut at size. Returns ret. */
char *policy_problem_format(const PolicyProblem *problem, char *ret, size_t size);

/*
 * What the loader must ask others. user() and group() return 0, HF_E_INVALID_NAME (nobody of that name),
 * HF_E_POLICY_DENIED (the name is there, but was somebody else's: only deny rules match by it) or -errno (could
 * not be asked); each failure is a warning and the rule cannot match by that name until the next load. They are
 * called once per name and load. algorithm() and scheme() say whether a word is one; where they are NULL, any
 * well-formed word is taken.
 */
typedef struct PolicyNames {
        int (*user)(void *userdata, const char *name, uid_t *ret);
        int (*group)(void *userdata, const char *name, gid_t *ret);
        bool (*algorithm)(void *userdata, const char *name);
        bool (*scheme)(void *userdata, const char *name);
        void *userdata;
} PolicyNames;

/* PolicyNames.user and .group over getpwnam_r(3) and getgrnam_r(3). They may wait for a name service. */
int policy_names_system_user(void *userdata, const char *name, uid_t *ret);
int policy_names_system_group(void *userdata, const char *name, gid_t *ret);

typedef struct PolicyParams {
        const char *const
                        *dirs; /* NULL-terminated, first one masks the later ones; a missing one is skipped */
        uid_t owner;           /* besides root, who may own files and directories: 0, or the tests' own uid */
        PolicyNames names;
        void (*warn)(void *userdata, const PolicyProblem *warning); /* or NULL */
        void *warn_userdata;
} PolicyParams;

/*
 * Reads the *.conf files of all directories in the order of their names. 0; HF_E_POLICY_INVALID with
 * *ret_problem set (a rule is wrong, a file is too large or too many, a file or directory is not safe: then
 * the sentence has its mode and the command that mends it); -ENOMEM or another -errno of the machine. No
 * rules at all is no error but a warning: everything is refused then.
 */
int policy_load(const PolicyParams *params, PolicyProblem *ret_problem, Policy **ret);
/* The same from memory, as if it were one file called `path`. params->dirs and owner are not looked at. */
int policy_load_text(const PolicyParams *params, const char *path, Bytes text, PolicyProblem *ret_problem,
                Policy **ret);

Policy *policy_ref(Policy *p);
Policy *policy_unref(Policy *p); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(Policy, policy_unref)

/* What was read: for each file a line "== PATH SIZE" and then its bytes. Hash this to name the policy in the
 * log. Two policies with the same source and the same answers of PolicyNames decide alike. */
Bytes policy_source(const Policy *p);
size_t policy_n_rules(const Policy *p);
size_t policy_n_files(const Policy *p);
/* In the order in which they were read; NULL behind the last. */
const PolicyRule *policy_rule_at(const Policy *p, size_t i);
/* The one rule with this name=, or NULL. */
const PolicyRule *policy_rule_find(const Policy *p, const char *name);
/* Is there an allow rule that gives `op` to somebody who exists? After a load that says no for unlock or
 * create, nobody administers this machine any more. */
bool policy_grants(const Policy *p, PolicyOperation op);

const char *policy_rule_path(const PolicyRule *rule);
unsigned policy_rule_line(const PolicyRule *rule);
/* Value of name=, or NULL. */
const char *policy_rule_name(const PolicyRule *rule);
/* Value of uses=, or 0. */
uint64_t policy_rule_uses(const PolicyRule *rule);
/* As written, continuation lines joined by one blank, without comment. Appended to ret. 0, -ENOMEM,
 * -EMSGSIZE. */
int policy_rule_text(const PolicyRule *rule, Buffer *ret);

/* One line that is to become a rule file: exactly one rule, no comment, no line break. `names` may be NULL.
 * 0, HF_E_POLICY_INVALID with *ret_problem set (path "rule", line 1), -ENOMEM. */
int policy_rule_line_check(const PolicyNames *names, const char *text, PolicyProblem *ret_problem);
