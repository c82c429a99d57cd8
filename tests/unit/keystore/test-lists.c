/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Revocation lists over a real store: memory and disk in step. */
#include "common.h"

#include <fcntl.h>
#include <unistd.h>

#include "keystore/lists.h"

typedef struct Bench {
        char path[64];
        int fd;
        Store *store;
        Lists *all;
} Bench;

static const uint8_t database_key[32] = {1}, log_key[32] = {2};
static const StoreParams params = {.database_key = database_key, .log_key = log_key, .id = {{9}}};

static int setup(void **state)
{
        Bench *b = calloc(1, sizeof(*b));

        (void)snprintf(b->path, sizeof(b->path), "/tmp/holdfast-lists-XXXXXX");
        assert_non_null(mkdtemp(b->path));
        b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_create(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(lists_new(&b->all), 0);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        static const char *const names[] = {"store.db", "store.db-wal", "lock"};
        Bench *b = *state;

        store_close(b->store);
        lists_free(b->all);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void)unlinkat(b->fd, names[i], 0);
        close(b->fd);
        (void)rmdir(b->path);
        free(b);
        return 0;
}

/* As after a crash: what was in memory is gone. */
static void reopen(Bench *b)
{
        b->store = store_close(b->store);
        lists_free(b->all);
        assert_int_equal(store_open(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(lists_new(&b->all), 0);
        assert_int_equal(keystore_load(b->store, NULL, NULL, NULL, NULL, b->all), 0);
}

/* NULL: nothing goes, nothing comes. */
static int change(Bench *b, const char *goes, const char *comes, uint64_t now, bool commit)
{
        StoreListRow row = {.number = BYTES("\7", 1), .this_update = now, .next_update = now + 1, .list = bytes_str("der")};
        ListChange change = {0};
        int r = 0;

        assert_int_equal(store_begin(b->store), 0);
        if (goes)
                r = lists_remove(b->store, b->all, goes, &change);
        if (!r && comes) {
                strcpy(row.place, comes);
                r = lists_put(b->store, b->all, &row, &change);
        }
        if (r || !commit) {
                store_rollback(b->store);
        } else {
                assert_int_equal(store_commit(b->store), STORE_COMMITTED);
                lists_apply(b->all, &change);
        }
        list_change_deinit(&change);
        return r;
}

static const char *elsewhere(unsigned n)
{
        static char places[128][STORE_PLACE_SIZE];

        assert_true(n < ELEMENTSOF(places));
        (void)snprintf(places[n], sizeof(places[n]), "crl@%032x", n);
        return places[n];
}

static void test_what_is_put_is_there_after_a_restart_in_order_of_place(void **state)
{
        Bench *b = *state;

        assert_int_equal(change(b, NULL, elsewhere(1), 10, true), 0);
        assert_int_equal(change(b, NULL, "ca@root", 20, true), 0);
        assert_int_equal(change(b, NULL, "ca@root", 30, true), 0);
        for (int i = 0; i < 2; i++, reopen(b)) {
                assert_int_equal(lists_count(b->all), 2);
                assert_string_equal(lists_at(b->all, 0)->row.place, "ca@root");
                assert_int_equal(lists_at(b->all, 0)->row.version, 2);
                assert_int_equal(lists_at(b->all, 0)->row.this_update, 30);
                assert_true(list_is_elsewhere(lists_at(b->all, 1)) && !list_is_elsewhere(lists_at(b->all, 0)));
                assert_true(bytes_equal(lists_find(b->all, elsewhere(1))->row.number, BYTES("\7", 1)));
        }
}

static void test_a_change_that_is_taken_back_leaves_memory_as_it_was(void **state)
{
        Bench *b = *state;

        assert_int_equal(change(b, NULL, "ca@root", 20, true), 0);
        assert_int_equal(change(b, "ca@root", "ca@other", 30, false), 0);
        assert_int_equal(change(b, "ca@none", NULL, 30, true), HF_E_NOTHING_TO_DO);
        assert_int_equal(lists_count(b->all), 1);
        assert_int_equal(lists_find(b->all, "ca@root")->row.this_update, 20);
        assert_null(lists_find(b->all, "ca@other"));
}

static void test_there_are_64_lists_of_others_and_one_more_takes_the_place_of_another(void **state)
{
        Bench *b = *state;

        for (unsigned i = 0; i < LISTS_ELSEWHERE_MAX; i++)
                assert_int_equal(change(b, NULL, elsewhere(i), 10, true), 0);
        assert_int_equal(change(b, NULL, elsewhere(100), 10, true), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(change(b, NULL, elsewhere(5), 11, true), 0);
        assert_int_equal(change(b, NULL, "ca@root", 10, true), 0);
        assert_int_equal(change(b, elsewhere(5), elsewhere(100), 12, true), 0);
        assert_null(lists_find(b->all, elsewhere(5)));
        reopen(b);
        assert_int_equal(lists_count(b->all), LISTS_ELSEWHERE_MAX + 1);
        assert_null(lists_find(b->all, elsewhere(5)));
        assert_non_null(lists_find(b->all, elsewhere(100)));
}

#define WITH_BENCH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_BENCH(test_what_is_put_is_there_after_a_restart_in_order_of_place),
                        WITH_BENCH(test_a_change_that_is_taken_back_leaves_memory_as_it_was),
                        WITH_BENCH(test_there_are_64_lists_of_others_and_one_more_takes_the_place_of_another),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
