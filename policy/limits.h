/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Rate buckets
 *
 * For each rule with rate=, caller and key one bucket of `burst` tokens that refills with time. They live in
 * memory and are full after a restart; they survive a reload of the policy where the rule's text is the same.
 * The memory is fixed at creation: where more buckets are in use than fit, the fullest of a group of eight is
 * forgotten, which gives its owner at most one burst again and never takes anything from anybody.
 */
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/uuid.h"

typedef struct PolicyLimits PolicyLimits;

/* What a rule's rate= and burst= say. */
typedef struct PolicyRate {
        uint64_t interval; /* nanoseconds in which one token comes back; 0: no rate */
        uint32_t burst;    /* tokens a full bucket has */
} PolicyRate;

typedef struct PolicyBucketKey {
        uint64_t rule; /* hash of the rule's text */
        Uuid uuid;     /* all zero where no key is concerned */
        uid_t uid;
} PolicyBucketKey;

#define POLICY_LIMITS_USUAL 32768U /* buckets; 40 bytes each, touched only when used */

/* `n` is rounded up to a power of two, at least 8. 0, -ENOMEM. */
int policy_limits_new(size_t n, PolicyLimits **ret);
PolicyLimits *policy_limits_free(PolicyLimits *limits);
DEFINE_CLEANUP(PolicyLimits, policy_limits_free)

/* Microseconds until `count` tokens are there at `now` (monotonic, microseconds): 0 now, UINT64_MAX never,
 * because count is above the burst. */
uint64_t policy_limits_wait(const PolicyLimits *limits, const PolicyBucketKey *key, const PolicyRate *rate,
                uint32_t count, uint64_t now);
/* Takes them; only after policy_limits_wait() gave 0 for the same arguments. */
void policy_limits_take(PolicyLimits *limits, const PolicyBucketKey *key, const PolicyRate *rate,
                uint32_t count, uint64_t now);
