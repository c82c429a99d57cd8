/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rate buckets, kept as one number each: the time at which the bucket will be full again (the "generic cell
 * rate algorithm" of ITU-T I.371). A full bucket is a time that has passed, so it need not be kept at all,
 * and a place whose time has passed is free. A table of sets of eight ways: no lists, no allocation while
 * deciding.
 */
#include "policy/limits.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8U
#define NSEC_PER_USEC 1000U

typedef struct Bucket {
        PolicyBucketKey key;
        uint64_t full_at; /* monotonic, nanoseconds; 0: never used */
} Bucket;

struct PolicyLimits {
        size_t n_sets; /* a power of two */
        Bucket buckets[];
};

int policy_limits_new(size_t n, PolicyLimits **ret)
{
        PolicyLimits *limits;
        size_t sets = 1;

        while (sets * WAYS < n && sets < SIZE_MAX / 2 / WAYS / sizeof(Bucket))
                sets *= 2;
        limits = calloc(1, sizeof(*limits) + sets * WAYS * sizeof(Bucket));
        if (!limits)
                return -ENOMEM;
        limits->n_sets = sets;
        *ret = limits;
        return 0;
}

PolicyLimits *policy_limits_free(PolicyLimits *limits)
{
        free(limits);
        return NULL;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
        h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
        return h ^ h >> 32;
}

static size_t set_of(const PolicyLimits *limits, const PolicyBucketKey *key)
{
        uint64_t halves[2];

        memcpy(halves, key->uuid.b, sizeof(halves));
        return (size_t)(mix(mix(mix(mix(0, key->rule), key->uid), halves[0]), halves[1]) &
                               (limits->n_sets - 1)) *
               WAYS;
}

static bool same_key(const PolicyBucketKey *a, const PolicyBucketKey *b)
{
        return a->rule == b->rule && a->uid == b->uid && uuid_equal(&a->uuid, &b->uuid);
}

/* When this bucket is full, seen from now: never before now. */
static uint64_t full_at(const PolicyLimits *limits, const PolicyBucketKey *key, uint64_t now_ns)
{
        const Bucket *b = limits->buckets + set_of(limits, key);

        for (size_t i = 0; i < WAYS; i++)
                if (same_key(&b[i].key, key) && b[i].full_at > now_ns)
                        return b[i].full_at;
        return now_ns;
}

uint64_t policy_limits_wait(const PolicyLimits *limits, const PolicyBucketKey *key, const PolicyRate *rate,
                uint32_t count, uint64_t now)
{
        uint64_t now_ns = now * NSEC_PER_USEC, debt;

        if (rate->interval == 0)
                return 0;
        if (count > rate->burst)
                return UINT64_MAX;
        if (!limits)
                return 0;
        debt = full_at(limits, key, now_ns) - now_ns + count * rate->interval;
        if (debt <= rate->burst * rate->interval)
                return 0;
        return (debt - rate->burst * rate->interval + NSEC_PER_USEC - 1) / NSEC_PER_USEC;
}

void policy_limits_take(PolicyLimits *limits, const PolicyBucketKey *key, const PolicyRate *rate,
                uint32_t count, uint64_t now)
{
        uint64_t now_ns = now * NSEC_PER_USEC, at = full_at(limits, key, now_ns) + count * rate->interval;
        Bucket *b = limits->buckets + set_of(limits, key), *place = b;

        /* Its own place if it has one; else the place that is full soonest, a long full one above all. */
        for (size_t i = 0; i < WAYS; i++) {
                if (same_key(&b[i].key, key)) {
                        place = &b[i];
                        break;
                }
                if (b[i].full_at < place->full_at)
                        place = &b[i];
        }
        *place = (Bucket){.key = *key, .full_at = at};
}
