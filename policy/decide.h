/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Decision
 *
 * May this caller do this now? One function answers, from a snapshot of the rules and what the request says:
 * no clock, no name service, no file. Deny rules are asked first and win; then the first allow rule in
 * reading order that matches and has no exhausted limit decides; otherwise the answer is no. The only thing a
 * decision changes is the rate buckets in PolicyLimits, and those only when it allows.
 */
#include "base/uuid.h"
#include "policy/limits.h"
#include "policy/policy.h"

typedef struct PolicyRequest {
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* supplementary groups, any order */
        size_t n_groups;
        const char *user;   /* name of uid, only for texts; NULL: the number is shown */
        const char *unit;   /* systemd unit, NULL unless proven by a pidfd */
        const char *label;  /* LSM label, NULL unless proven by a pidfd */
        const char *socket; /* path of the listening socket, or "system-bus" */
        PolicyOperation operation;
        const char *key;  /* name, also of a key that is to be created; NULL if the operation concerns none */
        const Uuid *uuid; /* NULL where there is none (yet) */
        const char *algorithm;  /* of the key, NULL as above */
        const char *scheme;     /* the one that will run, never NULL for an operation that has schemes */
        const char *profile;    /* under which a CA shall issue; NULL for all else */
        uint64_t now_wall;      /* microseconds since 1970, UTC */
        uint64_t now_monotonic; /* microseconds */
        uint32_t count;         /* how many at once: items of a SignMany; 0 counts as 1 */
        /* Are `count` uses left under the rule of this name for this key? Asked, never taken: whoever
         * performs the operation takes them. NULL: none are left. */
        bool (*uses_available)(void *userdata, const char *rule_name, const Uuid *uuid, uint64_t limit,
                        uint32_t count);
        void *uses_userdata;
        bool uses_unknown; /* explain: nobody can be asked, the store is closed */
        bool own_rules_only; /* explain: rules for other users and groups are not shown as near */
} PolicyRequest;

typedef enum PolicyReason {
        _POLICY_REASON_INVALID = 0,
        POLICY_REASON_ALLOWED,        /* by `rule` */
        POLICY_REASON_DENIED,         /* by the deny rule `rule` */
        POLICY_REASON_NO_RULE,        /* nothing allows it; `rule` is NULL */
        POLICY_REASON_OUTSIDE_WINDOW, /* `rule` would, at another time (between=, days=) */
        POLICY_REASON_USES,           /* `rule` would, but its uses=N are spent for this key */
        POLICY_REASON_USES_UNKNOWN,   /* `rule` would if uses are left; request.uses_unknown */
        POLICY_REASON_BURST,          /* `rule` would, but never this many at once */
        POLICY_REASON_RATE,           /* `rule` would, in `retry_after` */
        _POLICY_REASON_MAX,
} PolicyReason;

typedef struct PolicyDecision {
        /* 0: allowed. HF_E_POLICY_DENIED, HF_E_RATE_LIMITED (RATE, BURST), HF_E_USES_EXHAUSTED. */
        int result;
        PolicyReason reason;
        const PolicyRule *rule; /* borrowed from the policy: hold a reference as long as this is used; or NULL
                                 */
        uint64_t uses; /* allowed: take request.count uses from policy_rule_name(rule); 0: not counted */
        uint64_t retry_after; /* RATE: microseconds until it would be allowed; else 0 */
} PolicyDecision;

/* Never fails: a request that makes no sense (unknown operation, no key where one is needed) is refused.
 * `limits` NULL: every bucket is full and stays so. */
void policy_decide(const Policy *p, PolicyLimits *limits, const PolicyRequest *request, PolicyDecision *ret);
/* The same answer without taking anything from a bucket. */
void policy_peek(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request,
                PolicyDecision *ret);
/* May the caller know that this key exists? Says whether a refusal is named or is "no such key";
 * request.operation is not looked at, nor are limits and times of allow rules. */
bool policy_may_describe(const Policy *p, const PolicyRequest *request);

/* "denied-by-rule", as the audit field `reason` has it. Never NULL. */
const char *policy_reason_to_string(PolicyReason reason);
