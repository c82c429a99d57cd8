/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decision. Every condition here is held by a case in tests/unit/policy/test-decide.c that fails without
 * it.
 */
#include "policy/decide.h"

#include "base/error.h"
#include "policy/match.h"
#include "policy/snapshot.h"

static uint32_t count_of(const PolicyRequest *request)
{
        return request->count ? request->count : 1;
}

static PolicyBucketKey bucket_key(const PolicyRule *rule, const PolicyRequest *request)
{
        return (PolicyBucketKey){
                        .rule = rule->hash,
                        .uuid = request->uuid ? *request->uuid : (Uuid){},
                        .uid = request->uid,
        };
}

static bool has_uses(const PolicyRule *rule, const PolicyRequest *request)
{
        return request->uses_available && request->uses_available(request->uses_userdata, rule->name,
                                                          request->uuid, rule->uses, count_of(request));
}

/* What a deny rule does to a request: no more than that it is meant, now. */
static bool forbids(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        return rule_misses(rule, request, op, false) == 0 &&
               policy_window_is_open(&rule->window, request->now_wall);
}

/* What a matching allow rule says, its limits included. */
static PolicyDecision consult(
                const PolicyRule *rule, const PolicyLimits *limits, const PolicyRequest *request)
{
        PolicyDecision d = {.reason = POLICY_REASON_ALLOWED, .rule = rule};
        PolicyBucketKey key = bucket_key(rule, request);
        uint64_t wait;

        if (rule_implies(rule, request->operation))
                return d;
        if (!policy_window_is_open(&rule->window, request->now_wall)) {
                d.reason = POLICY_REASON_OUTSIDE_WINDOW;
                return d;
        }
        if (rule->uses && !has_uses(rule, request)) {
                d.reason = request->uses_unknown ? POLICY_REASON_USES_UNKNOWN : POLICY_REASON_USES;
                return d;
        }
        wait = policy_limits_wait(limits, &key, &rule->rate, count_of(request), request->now_monotonic);
        if (wait == UINT64_MAX) {
                d.reason = POLICY_REASON_BURST;
        } else if (wait > 0) {
                d.reason = POLICY_REASON_RATE;
                d.retry_after = wait;
        } else {
                d.uses = rule->uses;
        }
        return d;
}

/* Of two refusals the one that is nearer to a yes: the reasons are listed in that order. */
static bool is_nearer(const PolicyDecision *a, const PolicyDecision *b)
{
        return a->reason > b->reason || (a->reason == b->reason && a->retry_after < b->retry_after);
}

static int result_of(PolicyReason reason)
{
        switch (reason) {
        case POLICY_REASON_ALLOWED:
                return 0;
        case POLICY_REASON_USES:
        case POLICY_REASON_USES_UNKNOWN:
                return HF_E_USES_EXHAUSTED;
        case POLICY_REASON_BURST:
        case POLICY_REASON_RATE:
                return HF_E_RATE_LIMITED;
        case _POLICY_REASON_INVALID:
        case POLICY_REASON_DENIED:
        case POLICY_REASON_NO_RULE:
        case POLICY_REASON_OUTSIDE_WINDOW:
        case _POLICY_REASON_MAX:
                break;
        }
        return HF_E_POLICY_DENIED;
}

static const PolicyRule *forbidding_rule(
                const Policy *p, const PolicyRequest *request, const PolicyOperationInfo *op)
{
        for (size_t i = 0; i < p->denies.n; i++)
                if (forbids(p->denies.items[i], request, op))
                        return p->denies.items[i];
        return NULL;
}

static PolicyDecision decide(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request)
{
        const PolicyOperationInfo *op = policy_operation_info(request->operation);
        PolicyDecision best = {.reason = POLICY_REASON_NO_RULE};
        const PolicyRule *rule;

        if (!op || (op->key == POLICY_KEY_ONE && !request->key))
                return best;
        rule = forbidding_rule(p, request, op);
        if (rule)
                return (PolicyDecision){.reason = POLICY_REASON_DENIED, .rule = rule};

        for (size_t i = 0; i < p->allows.n; i++) {
                PolicyDecision d;

                if (rule_misses(p->allows.items[i], request, op, false))
                        continue;
                d = consult(p->allows.items[i], limits, request);
                if (d.reason == POLICY_REASON_ALLOWED)
                        return d;
                if (is_nearer(&d, &best))
                        best = d;
        }
        return best;
}

void policy_peek(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request,
                PolicyDecision *ret)
{
        *ret = decide(p, limits, request);
        ret->result = result_of(ret->reason);
}

void policy_decide(const Policy *p, PolicyLimits *limits, const PolicyRequest *request, PolicyDecision *ret)
{
        PolicyBucketKey key;

        policy_peek(p, limits, request, ret);
        if (ret->result || !limits || !ret->rule->rate.interval ||
                        rule_implies(ret->rule, request->operation))
                return;
        key = bucket_key(ret->rule, request);
        policy_limits_take(limits, &key, &ret->rule->rate, count_of(request), request->now_monotonic);
}

bool policy_may_describe(const Policy *p, const PolicyRequest *request)
{
        PolicyRequest describe = *request;
        const PolicyOperationInfo *op = policy_operation_info(POLICY_OP_DESCRIBE);

        describe.operation = POLICY_OP_DESCRIBE;
        if (!describe.key || forbidding_rule(p, &describe, op))
                return false;
        for (size_t i = 0; i < p->allows.n; i++)
                if (!rule_misses(p->allows.items[i], &describe, op, false))
                        return true;
        return false;
}

const char *policy_reason_to_string(PolicyReason reason)
{
        static const char *const names[_POLICY_REASON_MAX] = {
                        [_POLICY_REASON_INVALID] = "invalid",
                        [POLICY_REASON_ALLOWED] = "allowed",
                        [POLICY_REASON_DENIED] = "denied-by-rule",
                        [POLICY_REASON_NO_RULE] = "no-rule",
                        [POLICY_REASON_OUTSIDE_WINDOW] = "outside-window",
                        [POLICY_REASON_USES] = "uses-exhausted",
                        [POLICY_REASON_USES_UNKNOWN] = "uses-unknown",
                        [POLICY_REASON_BURST] = "above-burst",
                        [POLICY_REASON_RATE] = "rate-limited",
        };

        return (unsigned)reason < _POLICY_REASON_MAX ? names[reason] : names[0];
}
