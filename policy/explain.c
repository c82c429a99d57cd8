/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decision in sentences. Rules that came near are those of which one word does not match, then those of
 * which two do not; a rule that misses more speaks of something else.
 */
#include "policy/explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/name.h"
#include "policy/match.h"
#include "policy/snapshot.h"

#define QUOTE_SIZE 300U
#define DISTANCE_MAX 2
#define EXPLAIN_TEXT_MAX 1000U /* of one rule; a longer one is cut */

#define quote(text) log_escape((text), (char[QUOTE_SIZE]){}, QUOTE_SIZE)

#define SUBJECT_SIZE 300U

static int put_rule(const PolicyRule *rule, Buffer *ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_FILE_MAX);
        int r = policy_rule_text(rule, &text);

        if (r)
                return r;
        return buffer_printf(ret, "%s:%u: %.*s%s\n", rule->path, rule->line,
                        (int)(text.len < EXPLAIN_TEXT_MAX ? text.len : EXPLAIN_TEXT_MAX),
                        (const char *)text.data, text.len > EXPLAIN_TEXT_MAX ? " ..." : "");
}

static int put_verdict(const PolicyRequest *request, const PolicyDecision *d, Buffer *ret)
{
        const PolicyOperationInfo *op = policy_operation_info(request->operation);
        char user[SUBJECT_SIZE];
        int r = buffer_printf(ret, "%s: ", d->result ? "refused" : "allowed");

        if (!r && request->user)
                r = buffer_printf(ret, "user %s (uid %u)", log_escape(request->user, user, sizeof(user)),
                                request->uid);
        else if (!r)
                r = buffer_printf(ret, "uid %u", request->uid);
        if (!r)
                r = buffer_printf(ret, ", op %s", policy_operation_to_string(request->operation));
        if (!r && request->key)
                r = buffer_printf(ret, ", key %s", quote(request->key));
        if (!r && op && op->scheme && request->scheme && *request->scheme)
                r = buffer_printf(ret, ", scheme %s", quote(request->scheme));
        if (!r && request->profile)
                r = buffer_printf(ret, ", profile %s", quote(request->profile));
        return r ? r : buffer_printf(ret, "\n");
}

static int put_reason(const PolicyDecision *d, Buffer *ret)
{
        switch (d->reason) {
        case POLICY_REASON_ALLOWED:
                return buffer_printf(ret, "decided by ");
        case POLICY_REASON_DENIED:
                return buffer_printf(ret, "forbidden by ");
        case POLICY_REASON_OUTSIDE_WINDOW:
                return buffer_printf(ret, "not at this time (UTC) by ");
        case POLICY_REASON_USES:
                return buffer_printf(ret, "the uses of this key are spent by ");
        case POLICY_REASON_USES_UNKNOWN:
                return buffer_printf(ret, "the store is closed, so whether uses are left is not known, by ");
        case POLICY_REASON_BURST:
                return buffer_printf(ret, "more at once than the burst of ");
        case POLICY_REASON_RATE:
                return buffer_printf(ret, "too often, again in %" PRIu64 ".%03u s, by ",
                                (uint64_t)(d->retry_after / USEC_PER_SEC),
                                (unsigned)(d->retry_after % USEC_PER_SEC / 1000));
        case _POLICY_REASON_INVALID:
        case POLICY_REASON_NO_RULE:
        case _POLICY_REASON_MAX:
                break;
        }
        return buffer_printf(ret, "no rule allows it\n");
}

static int put_unproven(const char *word, const char *value, Buffer *ret)
{
        if (value)
                return buffer_printf(ret, "        %s=: the caller's is %s\n", word, quote(value));
        return buffer_printf(ret,
                        "        %s=: the caller's is not proven (that takes the direct socket and kernel "
                        "6.5), "
                        "so the rule cannot match\n",
                        word);
}

static int put_ids(const char *word, const RuleIds *ids, uint32_t id, const char *what, Buffer *ret)
{
        if (ids->unresolved)
                return buffer_printf(ret,
                                "        %s=: %s did not exist when the rules were loaded; reload the policy "
                                "once it does\n",
                                word, ids->unresolved);
        return buffer_printf(ret, "        %s=: the caller %s %u\n", word, what, id);
}

static int put_value(const char *word, const char *value, Buffer *ret)
{
        if (!value)
                return buffer_printf(ret, "        %s=: the request has none\n", word);
        return buffer_printf(ret, "        %s=: the request has %s\n", word, quote(value));
}

/* Why this word of the rule does not match. */
static int put_miss(RuleWord word, const PolicyRule *rule, const PolicyRequest *request, Buffer *ret)
{
        switch (word) {
        case WORD_OP:
                return buffer_printf(ret, "        op=: does not contain %s\n",
                                policy_operation_to_string(request->operation));
        case WORD_USER:
                return put_ids("user", &rule->users, request->uid, "is uid", ret);
        case WORD_GROUP:
                return put_ids("group", &rule->groups, request->gid, "is not in it; its primary group is",
                                ret);
        case WORD_UNIT:
                return put_unproven("unit", request->unit, ret);
        case WORD_LABEL:
                return put_unproven("label", request->label, ret);
        case WORD_KEY:
                return put_value("key", request->key, ret);
        case WORD_ALGORITHM:
                return put_value("algorithm", request->algorithm, ret);
        case WORD_SCHEME:
                return put_value("scheme", request->scheme, ret);
        case WORD_PROFILE:
                return put_value("profile", request->profile, ret);
        case WORD_SOCKET:
                return put_value("socket", request->socket, ret);
        case WORD_RATE:
        case WORD_BURST:
        case WORD_BETWEEN:
        case WORD_DAYS:
        case WORD_USES:
        case WORD_NAME:
        case _WORD_MAX:
                break;
        }
        return 0;
}

static int put_near_rule(const PolicyRule *rule, const PolicyRequest *request, uint32_t misses, Buffer *ret)
{
        int r = buffer_printf(ret, "    ");

        if (!r)
                r = put_rule(rule, ret);
        for (unsigned w = 0; !r && w < _WORD_MAX; w++)
                if (misses & WORD_BIT(w))
                        r = put_miss((RuleWord)w, rule, request, ret);
        return r;
}

/* Who may not read the policy is not told which keys others have. */
static bool is_shown(const PolicyRequest *request, uint32_t misses, int distance)
{
        if (request->own_rules_only && misses & (WORD_BIT(WORD_USER) | WORD_BIT(WORD_GROUP)))
                return false;
        return __builtin_popcount(misses) == distance;
}

static int put_near(const Policy *p, const PolicyRequest *request, const PolicyOperationInfo *op, Buffer *ret)
{
        size_t shown = 0, more = 0;
        int r = 0;

        for (int distance = 1; distance <= DISTANCE_MAX; distance++)
                for (size_t i = 0; !r && i < p->rules.n; i++) {
                        const PolicyRule *rule = p->rules.items[i];
                        uint32_t misses = rule_misses(rule, request, op, true);

                        if (!is_shown(request, misses, distance))
                                continue;
                        if (shown == POLICY_EXPLAIN_RULES_MAX) {
                                more++;
                                continue;
                        }
                        if (shown++ == 0)
                                r = buffer_printf(ret, "rules that came near:\n");
                        if (!r)
                                r = put_near_rule(rule, request, misses, ret);
                }
        if (!r && more)
                r = buffer_printf(ret, "    and %zu more\n", more);
        return r;
}

static int put_remedy(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request,
                const PolicyDecision *d, Buffer *ret)
{
        char line[POLICY_SUGGEST_SIZE];

        if (d->reason == POLICY_REASON_DENIED)
                return buffer_printf(ret, "no rule can outweigh a deny rule: change or remove %s:%u\n",
                                d->rule->path, d->rule->line);
        if (d->reason == POLICY_REASON_USES && request->key)
                return buffer_printf(ret,
                                "they are spent by use, by a restore and by a recovery; to give it uses anew: holdfast policy "
                                "grant %s %s\n",
                                quote(request->key), d->rule->name);
        if (policy_suggest(p, limits, request, line) == 0)
                return buffer_printf(ret, "this line in a file of policy.d would allow it:\n    %s\n", line);
        return 0;
}

int policy_explain(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request, Buffer *ret)
{
        const PolicyOperationInfo *op = policy_operation_info(request->operation);
        PolicyDecision d;
        int r;

        policy_peek(p, limits, request, &d);
        r = put_verdict(request, &d, ret);
        if (!r)
                r = put_reason(&d, ret);
        if (!r && d.rule)
                r = put_rule(d.rule, ret);
        if (!r && op && d.reason != POLICY_REASON_DENIED)
                r = put_near(p, request, op, ret);
        return r ? r : put_remedy(p, limits, request, &d, ret);
}

/* Who a line for this caller names: by name only if no rule could read it as anything else than that one
 * name. */
static const char *rule_subject(const PolicyRequest *request, char ret[static SUBJECT_SIZE])
{
        const char *user = request->user;

        if (user && name_is_valid(user) && strspn(user, "0123456789") < strlen(user))
                return user;
        (void)snprintf(ret, SUBJECT_SIZE, "%u", request->uid);
        return ret;
}

int policy_suggest(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request,
                char ret[static POLICY_SUGGEST_SIZE])
{
        const PolicyOperationInfo *op = policy_operation_info(request->operation);
        char user[SUBJECT_SIZE];
        PolicyDecision d;
        bool has_key, has_profile;

        policy_peek(p, limits, request, &d);
        if (d.reason != POLICY_REASON_NO_RULE || !op)
                return HF_E_NOTHING_TO_DO;
        has_key = op->key != POLICY_KEY_NONE && request->key && name_is_valid(request->key);
        if (op->key == POLICY_KEY_ONE && !has_key)
                return HF_E_NOTHING_TO_DO;
        has_profile = op->profile && request->profile && name_is_valid(request->profile);
        (void)snprintf(ret, POLICY_SUGGEST_SIZE, "allow user=%s%s%s op=%s%s%s", rule_subject(request, user),
                        has_key ? " key=" : "", has_key ? request->key : "", op->name, has_profile ? " profile=" : "",
                        has_profile ? request->profile : "");
        return 0;
}
