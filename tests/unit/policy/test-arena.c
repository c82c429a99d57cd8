/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "policy/arena.h"

static void test_each_piece_is_zeroed_aligned_and_its_own(void **state)
{
        Arena a = {};
        unsigned char *pieces[300];

        (void)state;
        for (size_t i = 0; i < 300; i++) {
                size_t size = i * 7 % 1000 + 1;

                pieces[i] = arena_alloc(&a, size);
                assert_non_null(pieces[i]);
                assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
                for (size_t k = 0; k < size; k++)
                        assert_int_equal(pieces[i][k], 0);
                memset(pieces[i], (int)(i % 255) + 1, size);
        }
        for (size_t i = 0; i < 300; i++)
                for (size_t k = 0; k < i * 7 % 1000 + 1; k++)
                        assert_int_equal(pieces[i][k], i % 255 + 1);
        arena_deinit(&a);
}

static void test_a_piece_larger_than_a_block_is_given_whole(void **state)
{
        Arena a = {};
        char *small = arena_strndup(&a, "abcdef", 3), *large = arena_alloc(&a, 1000000);

        (void)state;
        assert_string_equal(small, "abc");
        assert_non_null(large);
        memset(large, 1, 1000000);
        assert_string_equal(small, "abc");
        arena_deinit(&a);
}

static void test_an_impossible_size_is_refused(void **state)
{
        Arena a = {};

        (void)state;
        assert_null(arena_alloc(&a, SIZE_MAX));
        assert_null(arena_strndup(&a, "", SIZE_MAX));
        arena_deinit(&a);
        arena_deinit(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_each_piece_is_zeroed_aligned_and_its_own),
                        cmocka_unit_test(test_a_piece_larger_than_a_block_is_given_whole),
                        cmocka_unit_test(test_an_impossible_size_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
