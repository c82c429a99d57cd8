/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys and use counts over a real store: memory and disk in step. */
#include "common.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/wire.h"
#include "keystore/keystore.h"
#include "keystore/lifecycle.h"

typedef struct Bench {
        char path[64];
        int fd;
        Store *store;
        Catalogue *catalogue;
        Uses *uses;
} Bench;

static const uint8_t database_key[32] = {1}, log_key[32] = {2};
static const StoreParams params = {.database_key = database_key, .log_key = log_key, .id = {{9}}};

static int setup(void **state)
{
        Bench *b = calloc(1, sizeof(*b));

        (void)snprintf(b->path, sizeof(b->path), "/tmp/holdfast-keystore-XXXXXX");
        assert_non_null(mkdtemp(b->path));
        b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_create(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(catalogue_new(0, &b->catalogue), 0);
        assert_int_equal(uses_new(&b->uses), 0);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        static const char *const names[] = {"store.db", "store.db-wal", "lock"};
        Bench *b = *state;

        store_close(b->store);
        catalogue_free(b->catalogue);
        uses_free(b->uses);
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
        catalogue_free(b->catalogue);
        uses_free(b->uses);
        assert_int_equal(store_open(b->fd, &params, NULL, &b->store), 0);
        assert_int_equal(catalogue_new(0, &b->catalogue), 0);
        assert_int_equal(uses_new(&b->uses), 0);
        assert_int_equal(keystore_load(b->store, b->catalogue, b->uses, NULL, NULL, NULL), 0);
}

static int put(Bench *b, const KeyAttributes *a)
{
        _cleanup_keystore_change_ KeystoreChange change = {};
        int r;

        assert_int_equal(store_begin(b->store), 0);
        r = keystore_put(b->store, b->catalogue, a, bytes_str("wrapped"), &change);
        if (r) {
                store_rollback(b->store);
                return r;
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        keystore_apply(b->catalogue, b->uses, &change);
        return 0;
}

static int destroy(Bench *b, const Uuid *uuid)
{
        _cleanup_keystore_change_ KeystoreChange change = {};
        int r;

        assert_int_equal(store_begin(b->store), 0);
        r = keystore_destroy(b->store, b->catalogue, uuid, &change);
        if (r) {
                store_rollback(b->store);
                return r;
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        keystore_apply(b->catalogue, b->uses, &change);
        return 0;
}

static void test_key_lives_and_dies(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls"), next;

        assert_int_equal(put(b, &a), 0);
        assert_int_equal(lifecycle_next(catalogue_find(b->catalogue, "tls"), KEY_ACTION_DISABLE, &next), 0);
        assert_int_equal(put(b, &next), 0);
        reopen(b);
        assert_int_equal(lifecycle_check(catalogue_find(b->catalogue, "tls"), KEY_ACTION_USE),
                        HF_E_KEY_DISABLED);
        assert_int_equal(destroy(b, &a.uuid), 0);
        assert_null(catalogue_find(b->catalogue, "tls"));
        assert_int_equal(destroy(b, &a.uuid), HF_E_NO_SUCH_KEY);
        reopen(b);
        assert_int_equal(catalogue_count(b->catalogue), 0);
        assert_int_equal(put(b, &a), HF_E_KEY_EXISTS); /* the UUID is spent */
        KeyAttributes other = make_key(2, "tls");
        assert_int_equal(put(b, &other), 0); /* the name is free */
}

static void test_memory_does_not_run_ahead_of_a_rollback(void **state)
{
        Bench *b = *state;
        _cleanup_keystore_change_ KeystoreChange change = {};
        KeyAttributes a = make_key(1, "tls");

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(keystore_put(b->store, b->catalogue, &a, bytes_str("w"), &change), 0);
        assert_null(catalogue_find(b->catalogue, "tls"));
        store_rollback(b->store);
        assert_int_equal(store_check(b->store), 0);
        assert_int_equal(put(b, &a), 0);
}

static void test_second_key_of_a_name_is_refused(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls"), c = make_key(2, "tls");

        assert_int_equal(put(b, &a), 0);
        assert_int_equal(put(b, &c), HF_E_KEY_EXISTS);
        assert_int_equal(store_check(b->store), 0);
        assert_int_equal(catalogue_find(b->catalogue, "tls")->created, a.created);
}

static void test_retire_and_successor_fit_in_one_transaction(void **state)
{
        Bench *b = *state;
        _cleanup_keystore_change_ KeystoreChange one = {}, two = {}, three = {};
        KeyAttributes a = make_key(1, "tls"), retired, successor = make_key(2, "tls"),
                      third = make_key(3, "tls");

        assert_int_equal(put(b, &a), 0);
        assert_int_equal(lifecycle_next(catalogue_find(b->catalogue, "tls"), KEY_ACTION_RETIRE, &retired), 0);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(keystore_put(b->store, b->catalogue, &retired, bytes_str("w"), &one), 0);
        assert_int_equal(keystore_put(b->store, b->catalogue, &successor, bytes_str("w"), &two), 0);
        assert_int_equal(keystore_put(b->store, b->catalogue, &third, bytes_str("w"), &three),
                        HF_E_KEY_EXISTS);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        keystore_apply(b->catalogue, b->uses, &one);
        keystore_apply(b->catalogue, b->uses, &two);
        assert_int_equal(catalogue_find(b->catalogue, "tls")->created, successor.created);
        assert_int_equal(catalogue_find_uuid(b->catalogue, &a.uuid)->created, a.created);
        reopen(b);
        assert_int_equal(catalogue_find(b->catalogue, "tls")->created, successor.created);
        assert_int_equal(catalogue_count(b->catalogue), 2);
}

static void test_many_new_keys_fit_in_one_transaction(void **state)
{
        Bench *b = *state;
        KeystoreChange changes[KEYSTORE_CHANGES_MAX] = {};
        char name[NAME_SIZE];

        catalogue_set_keys_max(b->catalogue, 1);
        assert_int_equal(store_begin(b->store), 0);
        for (unsigned i = 0; i < KEYSTORE_CHANGES_MAX; i++) {
                (void)snprintf(name, sizeof(name), "k%u", i);
                KeyAttributes a = make_key(i, name);
                assert_int_equal(keystore_put(b->store, b->catalogue, &a, bytes_str("w"), &changes[i]), 0);
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        for (unsigned i = 0; i < KEYSTORE_CHANGES_MAX; i++) {
                keystore_apply(b->catalogue, b->uses, &changes[i]);
                keystore_change_deinit(&changes[i]);
        }
        KeyAttributes more = make_key(1000, "more");
        assert_int_equal(put(b, &more), HF_E_LIMIT_EXCEEDED);
        reopen(b);
        assert_int_equal(catalogue_count(b->catalogue), KEYSTORE_CHANGES_MAX);
}

static void test_frozen_key_neither_changes_nor_dies(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");

        a.flags = KEY_FLAG_FROZEN;
        assert_int_equal(put(b, &a), 0);
        assert_int_equal(destroy(b, &a.uuid), HF_E_KEY_FROZEN);
        a.version = 2;
        a.flags = 0;
        assert_int_equal(put(b, &a), HF_E_KEY_FROZEN);
}

static void test_later_version_is_the_same_key(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls"), other;

        assert_int_equal(put(b, &a), 0);
        a.version = 3;
        assert_int_equal(put(b, &a), HF_E_INVALID_ARGS);
        a.version = 2;
        other = a;
        other.public[3] ^= 1;
        assert_int_equal(put(b, &other), HF_E_INVALID_ARGS);
        other = a;
        other.protection = PROTECTION_TPM;
        assert_int_equal(put(b, &other), HF_E_INVALID_ARGS);
        assert_int_equal(put(b, &a), 0);
}

/* ---- uses ---- */

static int reserve(Bench *b, const KeyAttributes *a, const char *rule, uint64_t limit)
{
        UsesChange change;
        int r;

        assert_int_equal(store_begin(b->store), 0);
        r = uses_reserve(b->uses, b->store, &a->uuid, a->created, rule, limit, &change);
        if (r) {
                store_rollback(b->store);
                return r;
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        uses_apply(b->uses, &change);
        return 0;
}

static unsigned take_all(Bench *b, const KeyAttributes *a, const char *rule, uint64_t limit)
{
        UsesVerdict verdict;
        unsigned taken = 0;

        while ((verdict = uses_take(b->uses, &a->uuid, a->created, rule, limit)) != USES_EXHAUSTED) {
                if (verdict == USES_NEEDS_RESERVE)
                        assert_int_equal(reserve(b, a, rule, limit), 0);
                else
                        taken++;
        }
        return taken;
}

static void test_limit_grants_exactly_so_many(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");

        assert_int_equal(take_all(b, &a, "r1", 1), 1);
        assert_int_equal(take_all(b, &a, "r1000", 1000), 1000);
        assert_int_equal(take_all(b, &a, "r0", 0), 0);
        assert_int_equal(reserve(b, &a, "r1", 1), HF_E_USES_EXHAUSTED);
        reopen(b);
        assert_int_equal(take_all(b, &a, "r1", 1), 0);
        assert_int_equal(take_all(b, &a, "r1000", 1000), 0);
        assert_int_equal(take_all(b, &a, "r1000", 1010), 10); /* the rule was edited */
}

static void test_crash_forfeits_and_never_grants_more(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");
        unsigned taken = 0;

        for (int crash = 0; crash < 20; crash++) {
                assert_int_equal(uses_take(b->uses, &a.uuid, a.created, "r", 160), USES_NEEDS_RESERVE);
                assert_int_equal(reserve(b, &a, "r", 160), 0);
                assert_int_equal(uses_take(b->uses, &a.uuid, a.created, "r", 160), USES_ALLOWED);
                taken++;
                reopen(b);
        }
        taken += take_all(b, &a, "r", 160);
        assert_true(taken > 20 && taken <= 160);
        assert_int_equal(uses_remaining(b->uses, &a.uuid, a.created, "r", 160), 0);
}

static void test_block_is_a_sixteenth_of_the_rest(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");
        UsesChange change;

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(uses_reserve(b->uses, b->store, &a.uuid, 1, "a", 1000000, &change), 0);
        assert_int_equal(change.reserved, 256);
        assert_int_equal(uses_reserve(b->uses, b->store, &a.uuid, 1, "b", 1600, &change), 0);
        assert_int_equal(change.reserved, 100);
        assert_int_equal(uses_reserve(b->uses, b->store, &a.uuid, 1, "c", 15, &change), 0);
        assert_int_equal(change.reserved, 1);
        store_rollback(b->store);
        assert_int_equal(uses_remaining(b->uses, &a.uuid, 1, "a", 1000), 1000); /* not applied */
        assert_int_equal(take_all(b, &a, "a", 20), 20);
}

static void test_lowered_limit_cuts_reserved_uses_short(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");

        assert_int_equal(reserve(b, &a, "r", 1600), 0);
        for (int i = 0; i < 10; i++)
                assert_int_equal(uses_take(b->uses, &a.uuid, a.created, "r", 1600), USES_ALLOWED);
        assert_int_equal(uses_remaining(b->uses, &a.uuid, a.created, "r", 12), 2);
        assert_int_equal(take_all(b, &a, "r", 12), 2);
}

static void test_restore_leaves_no_uses_until_granted(void **state)
{
        Bench *b = *state;
        KeyAttributes old = make_key(1, "old"), new = make_key(500, "new");
        Buffer until = BUFFER_INIT(8);
        UsesChange change;

        assert_int_equal(wire_put_u64(&until, old.created), 0);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(store_put_meta(b->store, USES_META_FORFEIT, buffer_bytes(&until)), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        buffer_deinit(&until);
        reopen(b);
        assert_int_equal(take_all(b, &old, "r", 10), 0);
        assert_int_equal(take_all(b, &new, "r", 10), 10);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(uses_grant(b->uses, b->store, &old.uuid, "r", 0, &change), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        uses_apply(b->uses, &change);
        assert_int_equal(take_all(b, &old, "r", 10), 10);
        reopen(b);
        assert_int_equal(take_all(b, &old, "r", 10), 0);
}

static uint64_t forfeit(Bench *b, uint64_t now)
{
        UsesForfeiture f;
        uint64_t until;

        assert_int_equal(uses_forfeiture_read(b->store, now, &f), 0);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(uses_forfeiture_write(b->store, &f), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        until = f.until;
        uses_forfeiture_deinit(&f);
        return until;
}

static void test_restore_leaves_nothing_of_counts_that_are_stored(void **state)
{
        Bench *b = *state;
        KeyAttributes old = make_key(1, "old"), newest = make_key(500, "newest");
        UsesChange change;

        assert_int_equal(forfeit(b, 3), 3);
        assert_int_equal(put(b, &old), 0);
        assert_int_equal(put(b, &newest), 0);
        assert_int_equal(take_all(b, &old, "one", 3), 3);
        assert_int_equal(reserve(b, &old, "two", 1600), 0);
        for (int i = 0; i < 2; i++) { /* a second time changes nothing */
                assert_int_equal(forfeit(b, 3), newest.created);
                assert_int_equal(store_check(b->store), 0);
                reopen(b);
                assert_int_equal(take_all(b, &old, "one", STORE_USES_FORFEITED), 0);
                assert_int_equal(take_all(b, &old, "two", STORE_USES_FORFEITED), 0);
        }
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(uses_grant(b->uses, b->store, &old.uuid, "one", 3, &change), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        uses_apply(b->uses, &change);
        assert_int_equal(take_all(b, &old, "one", 10), 7);
}

static void test_destroyed_key_takes_its_counts_along(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");

        assert_int_equal(put(b, &a), 0);
        assert_int_equal(take_all(b, &a, "one", 3), 3);
        assert_int_equal(take_all(b, &a, "two", 3), 3);
        assert_int_equal(destroy(b, &a.uuid), 0);
        assert_int_equal(uses_remaining(b->uses, &a.uuid, a.created, "one", 3), 3);
        assert_int_equal(store_check(b->store), 0);
        reopen(b);
        assert_int_equal(uses_remaining(b->uses, &a.uuid, a.created, "two", 3), 3);
}

static void test_rule_without_a_name_is_refused(void **state)
{
        Bench *b = *state;
        KeyAttributes a = make_key(1, "tls");

        assert_int_equal(reserve(b, &a, "", 3), HF_E_INVALID_ARGS);
        assert_int_equal(reserve(b, &a, "a rule", 3), HF_E_INVALID_ARGS);
}

#define WITH_BENCH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_BENCH(test_key_lives_and_dies),
                        WITH_BENCH(test_memory_does_not_run_ahead_of_a_rollback),
                        WITH_BENCH(test_second_key_of_a_name_is_refused),
                        WITH_BENCH(test_retire_and_successor_fit_in_one_transaction),
                        WITH_BENCH(test_many_new_keys_fit_in_one_transaction),
                        WITH_BENCH(test_frozen_key_neither_changes_nor_dies),
                        WITH_BENCH(test_later_version_is_the_same_key),
                        WITH_BENCH(test_limit_grants_exactly_so_many),
                        WITH_BENCH(test_crash_forfeits_and_never_grants_more),
                        WITH_BENCH(test_block_is_a_sixteenth_of_the_rest),
                        WITH_BENCH(test_lowered_limit_cuts_reserved_uses_short),
                        WITH_BENCH(test_restore_leaves_no_uses_until_granted),
                        WITH_BENCH(test_restore_leaves_nothing_of_counts_that_are_stored),
                        WITH_BENCH(test_destroyed_key_takes_its_counts_along),
                        WITH_BENCH(test_rule_without_a_name_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
