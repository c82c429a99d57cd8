/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Identities over a real store: memory and disk in step. */
#include "common.h"

#include <fcntl.h>
#include <unistd.h>

#include "keystore/identity.h"

typedef struct Bench {
        char path[64];
        int fd;
        Store *store;
        Identities *all;
} Bench;

static const uint8_t database_key[32] = {1}, log_key[32] = {2};
static const StoreParams params = {.database_key = database_key, .log_key = log_key, .id = {{9}}};

static int setup(void **state)
{
        Bench *b = calloc(1, sizeof(*b));

        (void)snprintf(b->path, sizeof(b->path), "/tmp/holdfast-identity-XXXXXX");
        assert_non_null(mkdtemp(b->path));
        b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_create(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(identities_new(&b->all), 0);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        static const char *const names[] = {"store.db", "store.db-wal", "lock"};
        Bench *b = *state;

        store_close(b->store);
        identities_free(b->all);
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
        identities_free(b->all);
        assert_int_equal(store_open(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(identities_new(&b->all), 0);
        assert_int_equal(keystore_load(b->store, NULL, NULL, b->all, NULL, NULL), 0);
}

static StoreIdentityRow make_row(const char *name, uint64_t changed, const char *chain)
{
        StoreIdentityRow row = {
                        .key = make_key((unsigned)strlen(name), "k").uuid,
                        .issuer = "manual",
                        .layout = "pem",
                        .changed = changed,
                        .chain = bytes_str(chain),
                        .trust = bytes_str("anchor"),
        };

        (void)snprintf(row.name, sizeof(row.name), "%s", name);
        return row;
}

static int put_until_commit(Bench *b, const StoreIdentityRow *row, IdentityChange *ret)
{
        int r;

        assert_int_equal(store_begin(b->store), 0);
        r = identity_put(b->store, b->all, row, ret);
        if (r)
                store_rollback(b->store);
        return r;
}

static int put(Bench *b, const char *name, uint64_t changed, const char *chain)
{
        _cleanup_identity_change_ IdentityChange change = {0};
        StoreIdentityRow row = make_row(name, changed, chain);
        int r = put_until_commit(b, &row, &change);

        if (r)
                return r;
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        identity_apply(b->all, &change);
        return 0;
}

static int remove_one(Bench *b, const char *name)
{
        _cleanup_identity_change_ IdentityChange change = {0};
        int r;

        assert_int_equal(store_begin(b->store), 0);
        r = identity_remove(b->store, b->all, name, &change);
        if (r) {
                store_rollback(b->store);
                return r;
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        identity_apply(b->all, &change);
        return 0;
}

static void test_identities_are_in_order_of_name_also_after_reopening(void **state)
{
        static const char *const names[] = {"web", "a", "m.1", "m", "zz", "M"}, *const sorted[] = {"M", "a", "m", "m.1", "web", "zz"};
        Bench *b = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(put(b, names[i], 5, names[i]), 0);
        for (int round = 0; round < 2; round++) {
                const char *after = "";

                assert_int_equal(identities_count(b->all), ELEMENTSOF(names));
                for (size_t i = 0; i < ELEMENTSOF(sorted); i++) {
                        IdentityEntry *e = identities_after(b->all, after);

                        assert_ptr_equal(e, identities_at(b->all, i));
                        assert_string_equal(e->row.name, sorted[i]);
                        assert_true(bytes_equal(e->row.chain, bytes_str(sorted[i])));
                        assert_true(bytes_equal(e->row.trust, bytes_str("anchor")));
                        assert_ptr_equal(identities_find(b->all, sorted[i]), e);
                        after = e->row.name;
                }
                assert_null(identities_after(b->all, after));
                assert_null(identities_find(b->all, "b"));
                assert_string_equal(identities_after(b->all, "b")->row.name, "m");
                reopen(b);
        }
}

static void test_a_change_keeps_when_it_was_made_and_what_others_still_hold(void **state)
{
        _cleanup_(identity_unrefp) IdentityEntry *held = NULL;
        Bench *b = *state;

        assert_int_equal(put(b, "web", 5, "first"), 0);
        held = identity_ref(identities_find(b->all, "web"));
        assert_int_equal(put(b, "web", 9, "second"), 0);
        assert_true(bytes_equal(held->row.chain, bytes_str("first")));
        reopen(b);
        assert_int_equal(identities_find(b->all, "web")->row.created, 5);
        assert_int_equal(identities_find(b->all, "web")->row.changed, 9);
        assert_int_equal(identities_find(b->all, "web")->row.version, 2);
        assert_int_equal(identities_count(b->all), 1);
}

static void test_memory_does_not_run_ahead_of_the_disk(void **state)
{
        _cleanup_identity_change_ IdentityChange change = {0};
        Bench *b = *state;
        StoreIdentityRow row = make_row("web", 5, "chain");

        assert_int_equal(put_until_commit(b, &row, &change), 0);
        assert_int_equal(identities_count(b->all), 0);
        store_rollback(b->store);
        assert_null(identities_find(b->all, "web"));
        reopen(b);
        assert_int_equal(identities_count(b->all), 0);
}

static void test_a_removed_one_is_gone_and_its_name_free(void **state)
{
        Bench *b = *state;
        Uuid key = make_row("web", 0, "").key;

        assert_int_equal(put(b, "web", 5, "first"), 0);
        assert_non_null(identities_find_key(b->all, &key));
        assert_int_equal(remove_one(b, "web"), 0);
        assert_null(identities_find_key(b->all, &key));
        assert_int_equal(remove_one(b, "web"), HF_E_NO_SUCH_IDENTITY);
        reopen(b);
        assert_int_equal(identities_count(b->all), 0);
        assert_int_equal(put(b, "web", 7, "again"), 0);
        assert_int_equal(identities_find(b->all, "web")->row.created, 7);
}

static void test_there_are_never_more_than_the_limit(void **state)
{
        Bench *b = *state;
        StoreIdentityRow row;
        char name[32];

        for (unsigned i = 0; i < IDENTITIES_MAX; i++) {
                (void)snprintf(name, sizeof(name), "i%u", i);
                row = make_row(name, 1, "c");
                row.version = 1;
                assert_int_equal(identities_load(b->all, &row), 0);
        }
        assert_int_equal(identities_load(b->all, &row), HF_E_STORE_DAMAGED); /* two rows of one name */
        assert_int_equal(put(b, "one-more", 5, "chain"), HF_E_LIMIT_EXCEEDED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_identities_are_in_order_of_name_also_after_reopening),
                        T(test_a_change_keeps_when_it_was_made_and_what_others_still_hold),
                        T(test_memory_does_not_run_ahead_of_the_disk),
                        T(test_a_removed_one_is_gone_and_its_name_free),
                        T(test_there_are_never_more_than_the_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
