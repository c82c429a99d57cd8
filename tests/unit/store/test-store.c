/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Opening, closing, changing: what the store promises when nobody tampers with it. */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "store/store.h"

typedef struct Seen {
        unsigned live, destroyed, uses, meta, identities;
        KeyAttributes last;
        uint8_t wrapped[256];
        size_t wrapped_len;
        StoreUsesRow last_uses;
        StoreIdentityRow last_identity; /* its spans are gone */
        char chain[64], plan[64];
} Seen;

static int see_key(void *userdata, const StoreKeyRow *row)
{
        Seen *seen = userdata;

        seen->live += row->state == STORE_KEY_LIVE;
        seen->destroyed += row->state == STORE_KEY_DESTROYED;
        seen->last = *row->attributes;
        seen->wrapped_len = row->wrapped.len;
        if (row->wrapped.len)
                memcpy(seen->wrapped, row->wrapped.data, row->wrapped.len);
        return 0;
}

static int see_uses(void *userdata, const StoreUsesRow *row)
{
        Seen *seen = userdata;

        seen->uses++;
        seen->last_uses = *row;
        return 0;
}

static int see_meta(void *userdata, const char *key, Bytes value)
{
        Seen *seen = userdata;

        assert_true(strlen(key) > 0 && value.len > 0);
        seen->meta++;
        return 0;
}

static int see_identity(void *userdata, const StoreIdentityRow *row)
{
        Seen *seen = userdata;

        seen->identities++;
        seen->last_identity = *row;
        (void)snprintf(seen->chain, sizeof(seen->chain), "%.*s", (int)row->chain.len, (const char *)row->chain.data);
        (void)snprintf(seen->plan, sizeof(seen->plan), "%.*s", (int)row->plan.len, (const char *)row->plan.data);
        return 0;
}

static const StoreVisitor see = {.meta = see_meta, .key = see_key, .uses = see_uses, .identity = see_identity};

static int open_result(Place *p)
{
        const StoreParams params = place_params(p);
        Store *s = NULL;
        int r = store_open(p->fd, &params, &p->reason, &s);

        store_close(s);
        return r;
}

static void test_what_was_committed_is_there_after_reopening(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        uint8_t digest[32], again[32];
        KeyAttributes a = sample_key(7);
        StoreUsesRow uses = {.key = a.uuid, .rule = "daily", .spent = 17, .version = 1};
        Buffer value = BUFFER_INIT(100);
        Seen seen = {};

        assert_int_equal(store_begin(s), 0);
        put_sample(s, &a, STORE_KEY_LIVE);
        assert_int_equal(store_put_uses(s, &uses), 0);
        assert_int_equal(store_put_meta(s, "slots.hash", bytes_str("abc")), 0);
        assert_int_equal(store_set_seq(s, 41), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        store_digest(s, digest);
        s = store_close(s);

        const StoreParams params = place_params(p);
        assert_int_equal(store_open(p->fd, &params, &p->reason, &s), 0);
        assert_int_equal(store_scan(s, &see, &seen), 0);
        store_digest(s, again);
        assert_memory_equal(digest, again, 32);
        assert_int_equal(store_seq(s), 41);
        assert_true(uuid_equal(store_id(s), &p->id));
        assert_int_equal(seen.live, 1);
        assert_int_equal(seen.uses, 1);
        assert_int_equal(seen.meta, 3);
        assert_int_equal(seen.last_uses.spent, 17);
        assert_string_equal(seen.last_uses.rule, "daily");
        assert_string_equal(seen.last.name, a.name);
        assert_true(uuid_equal(&seen.last.uuid, &a.uuid));
        assert_int_equal(seen.last.created, a.created);
        assert_memory_equal(seen.last.public, a.public, a.public_len);
        assert_int_equal(seen.wrapped_len, 120);
        assert_int_equal(store_get_meta(s, "slots.hash", &value), 0);
        assert_true(bytes_equal(buffer_bytes(&value), bytes_str("abc")));
        assert_int_equal(store_get_meta(s, "nothing", &value), HF_E_NOTHING_TO_DO);
        assert_int_equal(store_check(s), 0);
        buffer_deinit(&value);
        store_close(s);
}

static StoreIdentityRow identity(const char *name, uint32_t version, const char *chain)
{
        StoreIdentityRow row = {
                        .version = version,
                        .key = sample_key(3).uuid,
                        .issuer = "manual",
                        .layout = "named",
                        .created = 1,
                        .changed = 2,
                        .not_before = 3,
                        .not_after = INT64_MAX,
                        .chain = bytes_str(chain),
                        .trust = bytes_str("anchor"),
                        .plan = bytes_str("later"),
        };

        (void)snprintf(row.name, sizeof(row.name), "%s", name);
        return row;
}

static int put_identity(Store *s, const StoreIdentityRow *row)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_put_identity(s, row);
        if (r)
                store_rollback(s);
        else
                assert_int_equal(store_commit(s), STORE_COMMITTED);
        return r;
}

static void test_an_identity_is_put_changed_and_deleted(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        StoreIdentityRow row = identity("web", 1, "first");
        uint8_t before[32], after[32];
        Seen seen = {};

        store_digest(s, before);
        assert_int_equal(put_identity(s, &row), 0);
        row = identity("web", 2, "second");
        assert_int_equal(put_identity(s, &row), 0);
        s = store_close(s);
        s = place_open(p);
        assert_int_equal(store_scan(s, &see, &seen), 0);
        assert_int_equal(seen.identities, 1);
        assert_string_equal(seen.last_identity.name, "web");
        assert_string_equal(seen.last_identity.layout, "named");
        assert_string_equal(seen.last_identity.state, "");
        assert_int_equal(seen.last_identity.version, 2);
        assert_int_equal(seen.last_identity.not_after, INT64_MAX);
        assert_true(uuid_equal(&seen.last_identity.key, &row.key));
        assert_string_equal(seen.chain, "second");
        assert_string_equal(seen.plan, "later");
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_delete_identity(s, "web"), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        store_digest(s, after);
        assert_memory_equal(before, after, 32);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_delete_identity(s, "web"), HF_E_NOTHING_TO_DO);
        store_rollback(s);
        store_close(s);
}

static void test_an_identity_beyond_its_bounds_is_refused(void **state)
{
        static uint8_t large[STORE_CHAIN_MAX + 1], pins[(STORE_PINS_MAX + 1) * STORE_PIN_SIZE];
        StoreIdentityRow rows[8];
        Place *p = *state;
        Store *s = place_create(p);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                rows[i] = identity("web", 1, "chain");
        rows[0].chain = BYTES_ARRAY(large);
        rows[1].trust = BYTES_ARRAY(large);
        rows[2].pins = BYTES_ARRAY(pins);
        rows[3].pins = BYTES(pins, STORE_PIN_SIZE + 1);
        rows[4].plan = BYTES(large, STORE_PLAN_MAX + 1);
        rows[5].not_after = (uint64_t)INT64_MAX + 1;
        rows[6].issuer[0] = 0;
        strcpy(rows[7].name, "../web");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(put_identity(s, &rows[i]), HF_E_INVALID_ARGS);
        rows[0].chain = rows[1].trust = BYTES(large, STORE_CHAIN_MAX);
        rows[0].trust = rows[1].trust;
        rows[0].pins = BYTES(pins, STORE_PINS_MAX * STORE_PIN_SIZE);
        assert_int_equal(put_identity(s, &rows[0]), 0); /* the largest there can be */
        rows[0].version = 3;
        assert_int_equal(put_identity(s, &rows[0]), HF_E_STORE_DAMAGED); /* there was never a second */
        store_close(s);
}

static void test_rollback_brings_rows_sum_and_seq_back(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        uint8_t before[32], during[32], after[32];
        KeyAttributes a = sample_key(1);
        Seen seen = {};

        store_digest(s, before);
        assert_int_equal(store_begin(s), 0);
        put_sample(s, &a, STORE_KEY_LIVE);
        assert_int_equal(store_set_seq(s, 5), 0);
        store_digest(s, during);
        store_rollback(s);
        store_digest(s, after);
        assert_memory_not_equal(before, during, 32);
        assert_memory_equal(before, after, 32);
        assert_int_equal(store_seq(s), 0);
        assert_int_equal(store_scan(s, &see, &seen), 0);
        assert_int_equal(seen.live, 0);
        store_close(s);
}

static void test_sum_does_not_depend_on_the_road(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        uint8_t before[32], after[32], slots[32] = {1}, other[32] = {2}, one[32], two[32];

        store_digest(s, before);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_meta(s, "x", bytes_str("1")), 0);
        assert_int_equal(store_put_meta(s, "x", bytes_str("2")), 0);
        assert_int_equal(store_delete_meta(s, "x"), 0);
        assert_int_equal(store_delete_meta(s, "x"), HF_E_NOTHING_TO_DO);
        store_digest(s, after);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        assert_memory_equal(before, after, 32);
        store_state(s, slots, one);
        store_state(s, other, two);
        assert_memory_not_equal(one, two, 32);
        assert_memory_not_equal(one, after, 32); /* published states say nothing about S */
        assert_int_equal(store_check(s), 0);
        store_close(s);
}

static void test_destroyed_key_keeps_its_uuid_and_loses_its_blob(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        KeyAttributes a = sample_key(3);
        StoreKeyRow again = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = bytes_str("blob")};
        StoreUsesRow uses = {.key = a.uuid, .rule = "r", .spent = 1, .version = 1};
        Seen seen = {};

        assert_int_equal(store_begin(s), 0);
        put_sample(s, &a, STORE_KEY_LIVE);
        assert_int_equal(store_put_uses(s, &uses), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        assert_int_equal(store_begin(s), 0);
        a.version = 2;
        put_sample(s, &a, STORE_KEY_DESTROYED);
        assert_int_equal(store_delete_uses(s, &a.uuid), 0);
        assert_int_equal(store_delete_uses(s, &a.uuid), HF_E_NOTHING_TO_DO);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        assert_int_equal(store_begin(s), 0);
        a.version = 3;
        assert_int_equal(store_put_key(s, &again), HF_E_KEY_EXISTS);
        assert_int_equal(store_commit(s), STORE_COMMITTED); /* the refusal did not spoil the transaction */
        assert_int_equal(store_scan(s, &see, &seen), 0);
        assert_int_equal(seen.live, 0);
        assert_int_equal(seen.destroyed, 1);
        assert_int_equal(seen.uses, 0);
        assert_int_equal(seen.wrapped_len, 0);
        store_close(s);
}

static void test_version_must_be_the_next_one(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        KeyAttributes a = sample_key(3);
        StoreKeyRow row = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = bytes_str("blob")};

        add_samples(s, 5);
        assert_int_equal(store_begin(s), 0);
        a.version = 3;
        assert_int_equal(store_put_key(s, &row), HF_E_STORE_DAMAGED);
        assert_non_null(strstr(store_reason(s), "key-000003"));
        assert_int_equal(store_commit(s), STORE_ROLLED_BACK); /* after a damaged row nothing is committed */
        assert_int_equal(store_check(s), 0);
        store_close(s);
}

static void test_inputs_beyond_their_bounds_are_refused(void **state)
{
        static const uint8_t big[STORE_META_VALUE_MAX + 1];
        Place *p = *state;
        Store *s = place_create(p);
        KeyAttributes a = sample_key(1);
        StoreKeyRow row = {.attributes = &a,
                        .state = STORE_KEY_LIVE,
                        .wrapped = BYTES(big, KEY_WRAPPED_MAX + 1)};
        StoreUsesRow uses = {.key = a.uuid, .rule = "bad rule", .spent = 1, .version = 1};

        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_key(s, &row), HF_E_INVALID_ARGS);
        row.wrapped = BYTES_NULL;
        assert_int_equal(store_put_key(s, &row), HF_E_INVALID_ARGS);
        assert_int_equal(store_put_uses(s, &uses), HF_E_INVALID_ARGS);
        assert_int_equal(store_put_meta(s, "a b", bytes_str("x")), HF_E_INVALID_ARGS);
        assert_int_equal(store_put_meta(s, "a", BYTES_ARRAY(big)), HF_E_INVALID_ARGS);
        store_rollback(s);
        store_close(s);
}

static void test_largest_key_comes_back_whole(void **state)
{
        static uint8_t big[KEY_WRAPPED_MAX];
        Place *p = *state;
        Store *s = place_create(p);
        KeyAttributes a = sample_key(1);
        StoreKeyRow row = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = BYTES_ARRAY(big)};

        memset(big, 0xab, sizeof(big));
        a.public_len = KEY_PUBLIC_MAX;
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_key(s, &row), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        s = store_close(s);
        s = place_open(p);
        assert_int_equal(store_check(s), 0);
        store_close(s);
}

static void test_file_is_private_and_says_nothing(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        struct stat st;

        add_samples(s, 20);
        s = store_close(s);
        assert_int_equal(fstatat(p->fd, STORE_FILE, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_not_equal(fstatat(p->fd, "store.db-wal", &st, 0), 0);
        Buffer b = file_read(p->fd, STORE_FILE);
        assert_null(memmem(b.data, b.len, "SQLite format", 13));
        assert_null(memmem(b.data, b.len, "key-0000", 8));
        assert_null(memmem(b.data, b.len, "CREATE TABLE", 12));
        buffer_deinit(&b);
}

static void test_wal_says_nothing_either(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);

        add_samples(s, 20);
        Buffer b = file_read(p->fd, "store.db-wal");
        assert_true(b.len > 4096);
        assert_null(memmem(b.data, b.len, "key-0000", 8));
        buffer_deinit(&b);
        store_close(s);
}

static void test_second_opener_is_told_who_has_it(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        char pid[32];

        (void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
        assert_int_equal(open_result(p), HF_E_STORE_IN_USE);
        assert_non_null(strstr(p->reason.text, pid));
        store_close(s);
        assert_int_equal(open_result(p), 0);
}

static void test_second_process_is_refused_even_past_the_lock(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        StoreParams params = place_params(p);
        int status;
        pid_t pid;

        assert_int_equal(store_scan(s, NULL, NULL), 0);
        pid = fork();
        if (pid == 0) {
                Store *second = NULL;

                params.lock_held = true;
                _exit(store_open(p->fd, &params, &p->reason, &second) == HF_E_STORE_IN_USE ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        store_close(s);
}

static void test_create_leaves_an_existing_store_alone(void **state)
{
        Place *p = *state;
        const StoreParams params = place_params(p);
        uint8_t before[32], after[32];
        Store *s = place_create(p);

        store_close(s);
        file_hash(p->fd, STORE_FILE, before);
        assert_int_equal(store_create(p->fd, &params, &p->reason, &s), HF_E_STORE_INITIALISED);
        file_hash(p->fd, STORE_FILE, after);
        assert_memory_equal(before, after, 32);
}

static void test_another_id_is_foreign(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);

        store_close(s);
        p->id.b[15] ^= 1;
        assert_int_equal(open_result(p), HF_E_STORE_FOREIGN);
        p->id = (Uuid){};
        assert_int_equal(open_result(p), 0);
}

static void test_missing_store_is_uninitialised(void **state)
{
        Place *p = *state;

        assert_int_equal(open_result(p), HF_E_STORE_UNINITIALISED);
}

static void test_store_follows_its_directory(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        char moved[80];

        (void)snprintf(moved, sizeof(moved), "%s.moved", p->path);
        assert_int_equal(rename(p->path, moved), 0);
        add_samples(s, 3);
        store_close(s);
        (void)snprintf(p->path, sizeof(p->path), "%.40s", moved);
        s = place_open(p);
        store_close(s);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_what_was_committed_is_there_after_reopening),
                        WITH_PLACE(test_an_identity_is_put_changed_and_deleted),
                        WITH_PLACE(test_an_identity_beyond_its_bounds_is_refused),
                        WITH_PLACE(test_rollback_brings_rows_sum_and_seq_back),
                        WITH_PLACE(test_sum_does_not_depend_on_the_road),
                        WITH_PLACE(test_destroyed_key_keeps_its_uuid_and_loses_its_blob),
                        WITH_PLACE(test_version_must_be_the_next_one),
                        WITH_PLACE(test_inputs_beyond_their_bounds_are_refused),
                        WITH_PLACE(test_largest_key_comes_back_whole),
                        WITH_PLACE(test_file_is_private_and_says_nothing),
                        WITH_PLACE(test_wal_says_nothing_either),
                        WITH_PLACE(test_second_opener_is_told_who_has_it),
                        WITH_PLACE(test_second_process_is_refused_even_past_the_lock),
                        WITH_PLACE(test_create_leaves_an_existing_store_alone),
                        WITH_PLACE(test_another_id_is_foreign),
                        WITH_PLACE(test_missing_store_is_uninitialised),
                        WITH_PLACE(test_store_follows_its_directory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
