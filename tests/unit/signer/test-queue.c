/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"

static int push(Queue *q, QueueItem *item, uint32_t uid)
{
        item->uid = uid;
        return queue_push(q, item);
}

static void test_uids_take_turns(void **state)
{
        static QueueItem a[100], b[2], c;
        Queue q = {};

        (void)state;
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(push(&q, &a[i], 1), 0);
        assert_int_equal(push(&q, &b[0], 2), 0);
        assert_int_equal(push(&q, &b[1], 2), 0);
        assert_int_equal(push(&q, &c, 3), 0);
        assert_ptr_equal(queue_pop(&q), &a[0]);
        assert_ptr_equal(queue_pop(&q), &b[0]);
        assert_ptr_equal(queue_pop(&q), &c);
        assert_ptr_equal(queue_pop(&q), &a[1]);
        assert_ptr_equal(queue_pop(&q), &b[1]);
        for (size_t i = 2; i < 100; i++)
                assert_ptr_equal(queue_pop(&q), &a[i]); /* its own in order */
        assert_null(queue_pop(&q));
        assert_int_equal(q.n, 0);
}

static void test_one_uid_cannot_fill_the_queue(void **state)
{
        static QueueItem items[QUEUE_UID_MAX + 1], other;
        Queue q = {};

        (void)state;
        for (size_t i = 0; i < QUEUE_UID_MAX; i++)
                assert_int_equal(push(&q, &items[i], 7), 0);
        assert_int_equal(push(&q, &items[QUEUE_UID_MAX], 7), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(push(&q, &other, 8), 0);
        assert_ptr_equal(queue_pop(&q), &items[0]);
        assert_ptr_equal(queue_pop(&q), &other);
        while (queue_pop(&q))
                ;
}

static void test_the_whole_is_bounded(void **state)
{
        QueueItem *items = calloc(QUEUE_ALL_MAX + 1, sizeof(*items));
        Queue q = {};

        (void)state;
        assert_non_null(items);
        for (uint32_t i = 0; i < QUEUE_ALL_MAX; i++)
                assert_int_equal(push(&q, &items[i], i), 0);
        assert_int_equal(push(&q, &items[QUEUE_ALL_MAX], 5), HF_E_BUSY);
        for (uint32_t i = 0; i < QUEUE_ALL_MAX; i++)
                assert_ptr_equal(queue_pop(&q), &items[i]);
        assert_null(queue_pop(&q));
        free(items);
}

/* Against a model that is obviously right: no item is lost, doubled or overtaken by one of its own uid. */
static void test_random_use_loses_nothing(void **state)
{
        static QueueItem items[20000];
        uint32_t seed = 1, pushed = 0, popped = 0;
        size_t last[16] = {};
        Queue q = {};

        (void)state;
        while (popped < 20000) {
                seed = seed * 1103515245 + 12345;
                if (pushed < 20000 && (q.n == 0 || seed >> 16 & 1)) {
                        assert_int_equal(push(&q, &items[pushed++], seed >> 20 & 15), 0);
                } else {
                        QueueItem *item = queue_pop(&q);
                        size_t at;

                        assert_non_null(item);
                        at = (size_t)(item - items) + 1;
                        assert_true(at > last[item->uid]);
                        last[item->uid] = at;
                        popped++;
                }
        }
        assert_null(queue_pop(&q));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_uids_take_turns),
                        cmocka_unit_test(test_one_uid_cannot_fill_the_queue),
                        cmocka_unit_test(test_the_whole_is_bounded),
                        cmocka_unit_test(test_random_use_loses_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
