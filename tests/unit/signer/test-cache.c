/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"

static CacheRecord record(uint8_t n, const char *attributes, const char *wrapped)
{
        return (CacheRecord){
                        .uuid = {{n}}, .attributes = bytes_str(attributes), .wrapped = bytes_str(wrapped)};
}

static void add(Cache *c, CacheRecord r, CacheLease *ret)
{
        PrivKey *key;

        assert_int_equal(privkey_generate(KEY_P256, &key), 0);
        assert_int_equal(cache_add(c, &r, key, ret), 0);
        assert_ptr_equal(ret->key, key);
}

static int find(Cache *c, CacheRecord r)
{
        CacheLease lease;
        int e = cache_take(c, &r, &lease);

        if (!e)
                cache_release(c, &lease);
        return e;
}

static void test_only_the_very_same_record_is_a_hit(void **state)
{
        CacheLease lease;
        Cache *c;

        (void)state;
        assert_int_equal(cache_new(8, NULL, NULL, &c), 0);
        add(c, record(1, "attributes", "wrapped"), &lease);
        cache_release(c, &lease);
        assert_int_equal(find(c, record(1, "attributes", "wrapped")), 0);
        assert_int_equal(find(c, record(1, "attributeS", "wrapped")), HF_E_NO_SUCH_KEY);
        assert_int_equal(find(c, record(1, "attributes", "wrappeD")), HF_E_NO_SUCH_KEY);
        assert_int_equal(find(c, record(1, "attribute", "swrapped")), HF_E_NO_SUCH_KEY);
        assert_int_equal(find(c, record(2, "attributes", "wrapped")), HF_E_NO_SUCH_KEY);
        cache_free(c);
}

static void test_two_workers_do_not_share_a_key(void **state)
{
        CacheRecord r = record(1, "a", "w");
        CacheLease lease[CACHE_COPIES_MAX], more;
        Cache *c;

        (void)state;
        assert_int_equal(cache_new(8, NULL, NULL, &c), 0);
        add(c, r, &lease[0]);
        for (size_t i = 1; i < CACHE_COPIES_MAX; i++) {
                assert_int_equal(cache_take(c, &r, &lease[i]), 0);
                for (size_t k = 0; k < i; k++)
                        assert_ptr_not_equal(lease[i].key, lease[k].key);
        }
        assert_int_equal(cache_take(c, &r, &more), HF_E_BUSY);
        more = lease[3];
        cache_release(c, &lease[3]);
        assert_int_equal(cache_take(c, &r, &lease[3]), 0);
        assert_ptr_equal(lease[3].key, more.key);
        for (size_t i = 0; i < CACHE_COPIES_MAX; i++)
                cache_release(c, &lease[i]);
        cache_free(c);
}

static void test_the_least_recently_used_goes_first(void **state)
{
        CacheLease lease;
        Cache *c;

        (void)state;
        assert_int_equal(cache_new(3, NULL, NULL, &c), 0);
        for (uint8_t i = 1; i <= 3; i++) {
                add(c, record(i, "a", "w"), &lease);
                cache_release(c, &lease);
        }
        assert_int_equal(find(c, record(1, "a", "w")), 0);
        add(c, record(4, "a", "w"), &lease);
        cache_release(c, &lease);
        assert_int_equal(cache_size(c), 3);
        assert_int_equal(find(c, record(2, "a", "w")), HF_E_NO_SUCH_KEY);
        assert_int_equal(find(c, record(1, "a", "w")), 0);
        assert_int_equal(find(c, record(3, "a", "w")), 0);
        cache_free(c);
}

static void test_a_key_on_lease_outlives_its_entry(void **state)
{
        SignParams params = {.scheme = SCHEME_ES256};
        uint8_t signature[SIGNATURE_MAX];
        CacheLease old, new;
        size_t len;
        Cache *c;

        (void)state;
        assert_int_equal(cache_new(8, NULL, NULL, &c), 0);
        add(c, record(1, "a", "version 1"), &old);
        add(c, record(1, "a", "version 2"), &new);
        assert_int_equal(cache_size(c), 1);
        assert_int_equal(find(c, record(1, "a", "version 1")), HF_E_NO_SUCH_KEY);
        cache_clear(c);
        assert_int_equal(cache_size(c), 0);
        assert_int_equal(privkey_sign(old.key, &params, bytes_str("m"), signature, &len), 0);
        assert_int_equal(privkey_sign(new.key, &params, bytes_str("m"), signature, &len), 0);
        cache_release(c, &old);
        cache_release(c, &new);
        cache_free(c);
}

static bool always_tight(void *userdata)
{
        (void)userdata;
        return true;
}

static void test_a_tight_heap_keeps_one_key(void **state)
{
        CacheLease lease;
        Cache *c;

        (void)state;
        assert_int_equal(cache_new(8, always_tight, NULL, &c), 0);
        for (uint8_t i = 1; i <= 3; i++) {
                add(c, record(i, "a", "w"), &lease);
                cache_release(c, &lease);
                assert_int_equal(cache_size(c), 1);
        }
        cache_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_only_the_very_same_record_is_a_hit),
                        cmocka_unit_test(test_two_workers_do_not_share_a_key),
                        cmocka_unit_test(test_the_least_recently_used_goes_first),
                        cmocka_unit_test(test_a_key_on_lease_outlives_its_entry),
                        cmocka_unit_test(test_a_tight_heap_keeps_one_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
