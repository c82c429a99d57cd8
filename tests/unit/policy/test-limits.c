/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "policy/limits.h"

static const PolicyRate five_a_second = {.interval = 200000000, .burst = 5};

static void test_a_bucket_holds_its_burst_and_refills_one_by_one(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        PolicyBucketKey key = {.rule = 1, .uid = 2};
        uint64_t now = 1000;

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, now), 0);
                policy_limits_take(limits, &key, &five_a_second, 1, now);
        }
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, now), 200000);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 5, now), 1000000);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 6, now), UINT64_MAX);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, now + 199999), 1);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, now + 200000), 0);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 5, now + 1000000), 0);
}

static void test_a_full_bucket_does_not_grow_beyond_its_burst(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        PolicyBucketKey key = {.rule = 1};

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        policy_limits_take(limits, &key, &five_a_second, 1, 10);
        policy_limits_take(limits, &key, &five_a_second, 5, 100 * USEC);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, 100 * USEC), 200000);
}

static void test_no_rate_waits_never_and_no_table_is_always_full(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        const PolicyRate none = {};
        PolicyBucketKey key = {};

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        assert_int_equal(policy_limits_wait(limits, &key, &none, 1000, 1), 0);
        assert_int_equal(policy_limits_wait(NULL, &key, &five_a_second, 5, 1), 0);
        assert_int_equal(policy_limits_wait(NULL, &key, &five_a_second, 6, 1), UINT64_MAX);
}

static void test_rule_caller_and_key_each_make_another_bucket(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        PolicyBucketKey key = {.rule = 1, .uid = 2, .uuid = {.b = {[0] = 3, [15] = 4}}}, other;

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        policy_limits_take(limits, &key, &five_a_second, 5, 7);
        assert_int_equal(policy_limits_wait(limits, &key, &five_a_second, 1, 7), 200000);
        other = key, other.rule++;
        assert_int_equal(policy_limits_wait(limits, &other, &five_a_second, 1, 7), 0);
        other = key, other.uid++;
        assert_int_equal(policy_limits_wait(limits, &other, &five_a_second, 1, 7), 0);
        other = key, other.uuid.b[0]++;
        assert_int_equal(policy_limits_wait(limits, &other, &five_a_second, 1, 7), 0);
        other = key, other.uuid.b[15]++;
        assert_int_equal(policy_limits_wait(limits, &other, &five_a_second, 1, 7), 0);
}

/* One set of eight: the ninth takes the place of the fullest, and of one that is full again before that. */
static void test_where_more_buckets_are_used_than_fit_the_fullest_is_forgotten(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        PolicyBucketKey ninth = {.rule = 9};

        (void)state;
        assert_int_equal(policy_limits_new(1, &limits), 0);
        for (uint64_t i = 1; i <= 8; i++)
                policy_limits_take(limits, &(PolicyBucketKey){.rule = i}, &five_a_second, i == 5 ? 2 : 5, 7);
        policy_limits_take(limits, &ninth, &five_a_second, 5, 7);
        assert_int_equal(policy_limits_wait(limits, &ninth, &five_a_second, 1, 7), 200000);
        for (uint64_t i = 1; i <= 8; i++)
                assert_int_equal(policy_limits_wait(limits, &(PolicyBucketKey){.rule = i}, &five_a_second, 5,
                                                 7) == 0,
                                i == 5);
}

static void test_taking_again_stays_in_its_own_place(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        for (uint64_t i = 1; i <= 8; i++)
                policy_limits_take(limits, &(PolicyBucketKey){.rule = i}, &five_a_second, 1, 7);
        for (int n = 0; n < 4; n++)
                policy_limits_take(limits, &(PolicyBucketKey){.rule = 8}, &five_a_second, 1, 7);
        for (uint64_t i = 1; i <= 8; i++)
                assert_int_equal(policy_limits_wait(
                                                 limits, &(PolicyBucketKey){.rule = i}, &five_a_second, 5, 7),
                                i == 8 ? 1000000 : 200000);
}

static void test_a_thousand_buckets_in_use_are_all_kept(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        unsigned lost = 0;

        (void)state;
        assert_int_equal(policy_limits_new(POLICY_LIMITS_USUAL, &limits), 0);
        for (uint32_t i = 0; i < 1000; i++)
                policy_limits_take(limits, &(PolicyBucketKey){.rule = 77, .uid = i}, &five_a_second, 5, 7);
        for (uint32_t i = 0; i < 1000; i++)
                lost += policy_limits_wait(limits, &(PolicyBucketKey){.rule = 77, .uid = i}, &five_a_second,
                                        1, 7) == 0;
        assert_int_equal(lost, 0);
}

static void test_the_slowest_rate_with_the_largest_burst_does_not_overflow(void **state)
{
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        const PolicyRate rate = {.interval = 3600000000000ULL, .burst = 1000000};
        PolicyBucketKey key = {.rule = 1};
        const uint64_t now = 10ULL * 365 * 86400 * USEC;

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        assert_int_equal(policy_limits_wait(limits, &key, &rate, 1000000, now), 0);
        policy_limits_take(limits, &key, &rate, 1000000, now);
        assert_int_equal(policy_limits_wait(limits, &key, &rate, 1000000, now), 3600000000ULL * 1000000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_bucket_holds_its_burst_and_refills_one_by_one),
                        cmocka_unit_test(test_a_full_bucket_does_not_grow_beyond_its_burst),
                        cmocka_unit_test(test_no_rate_waits_never_and_no_table_is_always_full),
                        cmocka_unit_test(test_rule_caller_and_key_each_make_another_bucket),
                        cmocka_unit_test(test_where_more_buckets_are_used_than_fit_the_fullest_is_forgotten),
                        cmocka_unit_test(test_taking_again_stays_in_its_own_place),
                        cmocka_unit_test(test_a_thousand_buckets_in_use_are_all_kept),
                        cmocka_unit_test(test_the_slowest_rate_with_the_largest_burst_does_not_overflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
