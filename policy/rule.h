/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A rule as this room keeps it
 *
 * Private to policy/. What a line says, in the form in which it is compared: names are numbers, lists of
 * numbers are sorted, operations are bits. Strings and arrays lie in the arena of the policy.
 */
#include <stdbool.h>

#include "base/uuid.h"
#include "policy/limits.h"
#include "policy/policy.h"
#include "policy/window.h"

/* The words a rule may have besides allow or deny; each at most once. */
typedef enum RuleWord {
        WORD_USER,
        WORD_GROUP,
        WORD_UNIT,
        WORD_LABEL,
        WORD_KEY,
        WORD_OP,
        WORD_ALGORITHM,
        WORD_SCHEME,
        WORD_PROFILE,
        WORD_SOCKET,
        WORD_RATE,
        WORD_BURST,
        WORD_BETWEEN,
        WORD_DAYS,
        WORD_USES,
        WORD_NAME,
        _WORD_MAX,
} RuleWord;

#define WORD_BIT(w) (1U << (w))

typedef struct RuleStrings {
        const char **items;
        size_t n;
} RuleStrings;

typedef struct RuleIds {
        uint32_t *ids; /* sorted */
        size_t n;
        bool any;               /* named as * */
        const char *unresolved; /* the first name that nobody had at load, or NULL */
} RuleIds;

typedef struct RuleKey {
        const char *pattern;
        bool is_uuid; /* then it is compared with the key's UUID, not with its name */
        Uuid uuid;
} RuleKey;

struct PolicyRule {
        uint64_t ops;   /* as written */
        uint64_t reach; /* and what they imply */
        uint32_t words; /* WORD_BIT of each word it has */
        bool deny;
        bool implies; /* an allow rule that grants a use, so describe and public come with it */
        RuleIds users, groups;
        RuleKey *keys;
        size_t n_keys;
        bool any_key; /* one of the patterns is * */
        RuleStrings units, labels, algorithms, schemes, profiles;
        const char *socket;
        PolicyRate rate;
        PolicyWindow window;
        uint64_t uses;
        const char *name;

        uint64_t hash; /* of its text */
        const char *path;
        Bytes text; /* in the source of the policy, first word to last */
        unsigned line;
};

typedef struct RuleList {
        const PolicyRule **items;
        size_t n, allocated;
} RuleList;

int rule_list_add(RuleList *list, const PolicyRule *rule);
