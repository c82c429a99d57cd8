/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One function a word; a word that the rule does not have matches. The operation is compared first, because
 * one AND settles most rules.
 */
#include "policy/match.h"

#include <string.h>

#include "base/name.h"

static bool has_id(const RuleIds *ids, uint32_t id)
{
        size_t low = 0, high = ids->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (ids->ids[middle] == id)
                        return true;
                if (ids->ids[middle] < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return false;
}

static bool match_user(const PolicyRule *rule, const PolicyRequest *request)
{
        return rule->users.any || has_id(&rule->users, request->uid);
}

static bool match_group(const PolicyRule *rule, const PolicyRequest *request)
{
        if (has_id(&rule->groups, request->gid))
                return true;
        for (size_t i = 0; i < request->n_groups; i++)
                if (has_id(&rule->groups, request->groups[i]))
                        return true;
        return false;
}

static bool has_string(const RuleStrings *strings, const char *text)
{
        for (size_t i = 0; text && i < strings->n; i++)
                if (strcmp(strings->items[i], text) == 0)
                        return true;
        return false;
}

static bool match_unit(const PolicyRule *rule, const PolicyRequest *request)
{
        for (size_t i = 0; request->unit && i < rule->units.n; i++)
                if (name_matches(rule->units.items[i], request->unit))
                        return true;
        return false;
}

static bool match_label(const PolicyRule *rule, const PolicyRequest *request)
{
        return has_string(&rule->labels, request->label);
}

static bool match_socket(const PolicyRule *rule, const PolicyRequest *request)
{
        return request->socket && strcmp(rule->socket, request->socket) == 0;
}

/* Asked as a whole, without a key, an operation over many keys needs no rule for each: what it shows is
 * decided key by key. A deny rule for some keys does not forbid the rest. */
static bool spans_keys(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        return !request->key && op->key == POLICY_KEY_MANY && !rule->deny;
}

static bool match_key(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        if (rule->any_key || spans_keys(rule, request, op))
                return true;
        for (size_t i = 0; request->key && i < rule->n_keys; i++) {
                const RuleKey *key = &rule->keys[i];

                if (key->is_uuid ? request->uuid && uuid_equal(&key->uuid, request->uuid)
                                 : name_matches(key->pattern, request->key))
                        return true;
        }
        return false;
}

static bool match_algorithm(
                const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        return spans_keys(rule, request, op) || has_string(&rule->algorithms, request->algorithm);
}

static bool match_scheme(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        return rule_implies(rule, request->operation) ||
               (op->scheme && has_string(&rule->schemes, request->scheme));
}

static bool match_profile(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        return op->profile && has_string(&rule->profiles, request->profile);
}

bool rule_implies(const PolicyRule *rule, PolicyOperation op)
{
        const uint64_t seen = POLICY_OP_BIT(POLICY_OP_DESCRIBE) | POLICY_OP_BIT(POLICY_OP_PUBLIC);

        return rule->implies && (POLICY_OP_BIT(op) & seen);
}

uint32_t rule_misses(
                const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op, bool all)
{
        uint32_t misses = 0;

        if (!(rule->reach & POLICY_OP_BIT(request->operation)))
                misses |= WORD_BIT(WORD_OP);
#define TEST(word, ...)                                                                                      \
        if ((all || !misses) && (rule->words & WORD_BIT(word)) && !(__VA_ARGS__))                            \
        misses |= WORD_BIT(word)
        TEST(WORD_USER, match_user(rule, request));
        TEST(WORD_GROUP, match_group(rule, request));
        TEST(WORD_KEY, match_key(rule, request, op));
        TEST(WORD_ALGORITHM, match_algorithm(rule, request, op));
        TEST(WORD_SCHEME, match_scheme(rule, request, op));
        TEST(WORD_PROFILE, match_profile(rule, request, op));
        TEST(WORD_SOCKET, match_socket(rule, request));
        TEST(WORD_UNIT, match_unit(rule, request));
        TEST(WORD_LABEL, match_label(rule, request));
#undef TEST
        return misses;
}
