/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/arena.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (1u << 20)

static size_t used(Arena *a)
{
        size_t u, size;

        arena_usage(a, &u, &size);
        return u;
}

static void test_blocks_are_aligned_and_do_not_overlap(void **state)
{
        uint8_t *blocks[200];
        Arena *a;

        (void)state;
        assert_int_equal(arena_new(SIZE, &a), 0);
        for (size_t i = 0; i < 200; i++) {
                blocks[i] = arena_alloc(a, i * 7 + 1);
                assert_non_null(blocks[i]);
                assert_int_equal((uintptr_t)blocks[i] % 16, 0);
                memset(blocks[i], (int)i, i * 7 + 1);
        }
        for (size_t i = 0; i < 200; i++)
                for (size_t k = 0; k < i * 7 + 1; k++)
                        assert_int_equal(blocks[i][k], (uint8_t)i);
        for (size_t i = 0; i < 200; i++)
                arena_release(a, blocks[i]);
        assert_int_equal(used(a), 0);
        arena_free(a);
}

static void test_a_freed_block_is_erased_and_used_again(void **state)
{
        uint8_t *p, *q;
        Arena *a;

        (void)state;
        assert_int_equal(arena_new(SIZE, &a), 0);
        p = arena_alloc(a, 100);
        memset(p, 0xaa, 100);
        arena_release(a, p);
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(p[i], 0);
        q = arena_alloc(a, 101);
        assert_ptr_equal(p, q);
        arena_free(a);
}

static void test_realloc_keeps_the_content_and_erases_what_it_leaves(void **state)
{
        uint8_t *p, *q;
        Arena *a;

        (void)state;
        assert_int_equal(arena_new(SIZE, &a), 0);
        p = arena_realloc(a, NULL, 20);
        memset(p, 0x55, 20);
        q = arena_realloc(a, p, 5000);
        assert_ptr_not_equal(p, q);
        for (size_t i = 0; i < 20; i++) {
                assert_int_equal(q[i], 0x55);
                assert_int_equal(p[i], 0);
        }
        memset(q, 0x66, 5000);
        assert_ptr_equal(arena_realloc(a, q, 10), q);
        for (size_t i = 10; i < 5000; i++)
                assert_int_equal(q[i], 0);
        assert_null(arena_realloc(a, q, 0));
        assert_int_equal(used(a), 0);
        arena_free(a);
}

static void test_a_full_arena_says_no_and_recovers(void **state)
{
        void *blocks[64];
        size_t n = 0;
        Arena *a;

        (void)state;
        assert_int_equal(arena_new(SIZE, &a), 0);
        assert_null(arena_alloc(a, 0));
        assert_null(arena_alloc(a, SIZE));
        assert_null(arena_alloc(a, SIZE_MAX));
        assert_false(arena_is_tight(a));
        while (n < 64 && (blocks[n] = arena_alloc(a, 60000)))
                n++;
        assert_true(n > 8 && n < 64);
        assert_true(arena_is_tight(a));
        while (n > 0)
                arena_release(a, blocks[--n]);
        assert_false(arena_is_tight(a));
        assert_non_null(arena_alloc(a, 60000));
        arena_free(a);
}

typedef struct Hammer {
        Arena *arena;
        uint8_t mark;
        unsigned broken;
} Hammer;

static void *hammer(void *argument)
{
        Hammer *h = argument;
        uint8_t *blocks[32] = {};

        for (unsigned i = 0; i < 20000; i++) {
                size_t at = i * 7 % 32, size = i * 13 % 900 + 1;

                if (blocks[at]) {
                        h->broken += blocks[at][0] != h->mark;
                        arena_release(h->arena, blocks[at]);
                }
                blocks[at] = arena_alloc(h->arena, size);
                if (blocks[at])
                        memset(blocks[at], h->mark, size);
        }
        for (size_t i = 0; i < 32; i++)
                arena_release(h->arena, blocks[i]);
        return NULL;
}

static void test_threads_do_not_step_on_each_other(void **state)
{
        pthread_t threads[4];
        Hammer h[4];
        Arena *a;

        (void)state;
        assert_int_equal(arena_new(SIZE, &a), 0);
        for (size_t i = 0; i < 4; i++) {
                h[i] = (Hammer){.arena = a, .mark = (uint8_t)(i + 1)};
                assert_int_equal(pthread_create(&threads[i], NULL, hammer, &h[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(h[i].broken, 0);
        }
        assert_int_equal(used(a), 0);
        arena_free(a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_blocks_are_aligned_and_do_not_overlap),
                        cmocka_unit_test(test_a_freed_block_is_erased_and_used_again),
                        cmocka_unit_test(test_realloc_keeps_the_content_and_erases_what_it_leaves),
                        cmocka_unit_test(test_a_full_arena_says_no_and_recovers),
                        cmocka_unit_test(test_threads_do_not_step_on_each_other),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
