/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store somebody has been at
 *
 * With the database key (rows), with the file (pages, WAL, whole files), with the file system (links, modes).
 * Each time either the opening or the scan names it, or S is another than before, which the log holds against
 * it.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "store/internal.h"
#include "store/schema.h"

#define PAGE 4096

static int open_and_scan(Place *p, uint8_t ret_digest[static 32])
{
        const StoreParams params = place_params(p);
        Store *s = NULL;
        int r = store_open(p->fd, &params, &p->reason, &s);

        if (r)
                return r;
        r = store_scan(s, NULL, NULL);
        if (r)
                (void)snprintf(p->reason.text, sizeof(p->reason.text), "%.500s", store_reason(s));
        else
                store_digest(s, ret_digest);
        store_abandon(s);
        return r;
}

/* Opening must fail so and leave file and WAL byte for byte. */
static void refused(Place *p, int expected, const char *word)
{
        uint8_t before[32], after[32], digest[32];

        file_hash(p->fd, STORE_FILE, before);
        assert_int_equal(open_and_scan(p, digest), expected);
        if (!strstr(p->reason.text, word))
                fail_msg("\"%s\" does not say \"%s\"", p->reason.text, word);
        file_hash(p->fd, STORE_FILE, after);
        assert_memory_equal(before, after, 32);
}

static void closed_store(Place *p, unsigned keys, uint8_t ret_digest[static 32])
{
        Store *s = place_create(p);

        add_samples(s, keys);
        store_digest(s, ret_digest);
        store_close(s);
}

static void edit(Place *p, const char *sql)
{
        sqlite3 *db = place_sql(p, STORE_FILE);

        sql_run(db, sql);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- rows, by somebody who has the database key ---- */

static void test_edited_row_is_named(void **state)
{
        static const char *const edits[] = {
                        "UPDATE keys SET flags=0, version=version+1 WHERE name='key-000003'",
                        "UPDATE keys SET flags=1 WHERE name='key-000003'",
                        "UPDATE keys SET purpose=6 WHERE name='key-000003'",
                        "UPDATE keys SET state=2 WHERE name='key-000003'",
                        "UPDATE keys SET flags='0' || flags WHERE name='key-000003'",
                        "UPDATE keys SET wrapped=NULL WHERE name='key-000003'",
                        "UPDATE keys SET wrapped=wrapped || x'00' WHERE name='key-000003'",
                        "UPDATE keys SET public=CAST(public AS TEXT) WHERE name='key-000003'",
                        "UPDATE keys SET created=created + 0.5 WHERE name='key-000003'",
                        "UPDATE keys SET tag=x'' WHERE name='key-000003'",
                        "UPDATE keys SET tag=zeroblob(32) WHERE name='key-000003'",
                        "UPDATE keys SET wrapped=zeroblob(1000000) WHERE name='key-000003'",
        };
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 8, digest);
        Buffer whole = file_read(p->fd, STORE_FILE);
        for (size_t i = 0; i < ELEMENTSOF(edits); i++) {
                file_write(p->fd, STORE_FILE, whole.data, whole.len, 0600);
                edit(p, edits[i]);
                if (strcmp(edits[i], "UPDATE keys SET flags='0' || flags WHERE name='key-000003'") == 0)
                        continue; /* SQLite turns it back into the number it was */
                refused(p, HF_E_STORE_DAMAGED, "key-000003");
        }
        buffer_deinit(&whole);
}

/* Certificates are public, but whose key they stand on and whom their owner trusts is not for others to choose. */
static void test_edited_identity_is_named(void **state)
{
        static const char *const edits[] = {
                        "UPDATE identities SET chain=x'41'", "UPDATE identities SET trust=chain, chain=trust",
                        "UPDATE identities SET key=x'00112233445546778899aabbccddeeff'",
                        "UPDATE identities SET not_after=not_after + 1", "UPDATE identities SET pins=x''",
                        "UPDATE identities SET layout='local'", "UPDATE identities SET issuer='acme'",
        };
        static const uint8_t pin[STORE_PIN_SIZE] = {1};
        const StoreIdentityRow row = {.name = "web", .version = 1, .issuer = "manual", .layout = "pem",
                        .chain = bytes_str("leaf"), .trust = bytes_str("anchor"), .pins = BYTES_ARRAY(pin)};
        Place *p = *state;
        Store *s = place_create(p);

        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_identity(s, &row), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        store_close(s);
        Buffer whole = file_read(p->fd, STORE_FILE);
        for (size_t i = 0; i < ELEMENTSOF(edits); i++) {
                file_write(p->fd, STORE_FILE, whole.data, whole.len, 0600);
                edit(p, edits[i]);
                refused(p, HF_E_STORE_DAMAGED, "table identities, row web");
        }
        buffer_deinit(&whole);
}

static void test_swapped_rows_are_named(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 8, digest);
        edit(p, "CREATE TEMP TABLE t AS SELECT * FROM keys;"
                "UPDATE keys SET wrapped=(SELECT wrapped FROM t WHERE t.name='key-000002'),"
                " tag=(SELECT tag FROM t WHERE t.name='key-000002') WHERE name='key-000005'");
        refused(p, HF_E_STORE_DAMAGED, "key-000005");
}

static void test_row_moved_to_another_table_or_id_is_named(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 8, digest);
        edit(p, "UPDATE keys SET uuid=x'00112233445546778899aabbccddeeff' WHERE name='key-000005'");
        refused(p, HF_E_STORE_DAMAGED, "00112233-4455-4677-8899-aabbccddeeff");
}

static void test_removed_and_copied_rows_change_the_sum(void **state)
{
        Place *p = *state;
        uint8_t before[32], after[32];

        closed_store(p, 8, before);
        edit(p, "DELETE FROM keys WHERE name='key-000005'");
        assert_int_equal(open_and_scan(p, after), 0);
        assert_memory_not_equal(before, after, 32);
}

static void test_meta_row_edited_is_named(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 2, digest);
        edit(p, "UPDATE meta SET value=x'0900000000000000' WHERE key='seq'");
        refused(p, HF_E_STORE_DAMAGED, "seq");
        edit(p, "DELETE FROM meta WHERE key='seq'");
        refused(p, HF_E_STORE_DAMAGED, "seq");
}

static void test_foreign_trigger_view_table_are_refused(void **state)
{
        static const char *const edits[] = {
                        "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN UPDATE keys SET flags=0; END",
                        "CREATE VIEW v AS SELECT 1",
                        "CREATE TABLE more (a, tag)",
                        "DROP INDEX keys_current",
        };
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 2, digest);
        Buffer whole = file_read(p->fd, STORE_FILE);
        for (size_t i = 0; i < ELEMENTSOF(edits); i++) {
                file_write(p->fd, STORE_FILE, whole.data, whole.len, 0600);
                edit(p, edits[i]);
                refused(p, HF_E_STORE_DAMAGED, "tables of the store");
        }
        buffer_deinit(&whole);
}

/* The handle inside of the store stands for whatever changes the file under a running program. */
static void test_row_edited_under_a_running_store_is_not_built_upon(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        KeyAttributes a = sample_key(3);
        StoreKeyRow row = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = bytes_str("w")};

        add_samples(s, 8);
        sql_run(s->db, "UPDATE keys SET flags=1 WHERE name='key-000003'");
        a.version = 2;
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_key(s, &row), HF_E_STORE_DAMAGED);
        assert_non_null(strstr(store_reason(s), "key-000003"));
        assert_int_equal(store_commit(s), STORE_ROLLED_BACK);
        sql_run(s->db, "UPDATE keys SET flags=0 WHERE name='key-000003'");
        assert_int_equal(store_check(s), 0);
        sql_run(s->db, "DELETE FROM keys WHERE name='key-000004'");
        assert_int_equal(store_check(s), HF_E_STORE_DAMAGED);
        store_abandon(s);
}

/* ---- pages and files, by somebody who has the disk ---- */

static void test_old_page_spliced_back_changes_the_sum(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        uint8_t now[32], got[32];
        KeyAttributes a = sample_key(3);
        unsigned caught = 0;

        add_samples(s, 40);
        store_close(s);
        Buffer old = file_read(p->fd, STORE_FILE);
        s = place_open(p);
        assert_int_equal(store_begin(s), 0);
        a.version = 2;
        a.flags = KEY_FLAG_DISABLED;
        put_sample(s, &a, STORE_KEY_LIVE);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        store_digest(s, now);
        store_close(s);
        Buffer new = file_read(p->fd, STORE_FILE);
        assert_int_equal(old.len, new.len);
        for (size_t at = PAGE; at + PAGE <= new.len; at += PAGE) {
                if (memcmp(old.data + at, new.data + at, PAGE) == 0)
                        continue;
                Buffer mixed = file_read(p->fd, STORE_FILE);
                memcpy(mixed.data, new.data, new.len);
                memcpy(mixed.data + at, old.data + at, PAGE);
                file_write(p->fd, STORE_FILE, mixed.data, mixed.len, 0600);
                buffer_deinit(&mixed);
                int r = open_and_scan(p, got);
                if (r)
                        assert_int_equal(r, HF_E_STORE_DAMAGED);
                /* The same sum is the same rows: an index page may have been written anew without a change.
                 */
                caught += r != 0 || memcmp(now, got, 32) != 0;
        }
        assert_true(caught > 0);
        buffer_deinit(&old);
        buffer_deinit(&new);
}

static void test_old_file_changes_the_sum(void **state)
{
        Place *p = *state;
        Store *s = place_create(p);
        uint8_t now[32], got[32];

        add_samples(s, 5);
        store_close(s);
        Buffer old = file_read(p->fd, STORE_FILE);
        s = place_open(p);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_set_seq(s, 6), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        store_digest(s, now);
        store_close(s);
        file_write(p->fd, STORE_FILE, old.data, old.len, 0600);
        assert_int_equal(open_and_scan(p, got), 0);
        assert_memory_not_equal(now, got, 32);
        buffer_deinit(&old);
}

/* Leaves a store with a WAL full of commits, as kill -9 does. */
static void store_with_wal(Place *p, uint8_t ret_digest[static 32])
{
        Store *s = place_create(p);

        s = store_close(s);
        s = place_open(p);
        add_samples(s, 6);
        store_digest(s, ret_digest);
        store_abandon(s);
}

static void test_wal_left_behind_is_read(void **state)
{
        Place *p = *state;
        uint8_t now[32], got[32];

        store_with_wal(p, now);
        assert_int_equal(open_and_scan(p, got), 0);
        assert_memory_equal(now, got, 32);
        assert_int_equal(open_and_scan(p, got), 0); /* and was not used up */
        assert_memory_equal(now, got, 32);
}

static void test_lost_wal_changes_the_sum(void **state)
{
        Place *p = *state;
        uint8_t now[32], got[32];

        store_with_wal(p, now);
        assert_int_equal(unlinkat(p->fd, "store.db-wal", 0), 0);
        assert_int_equal(open_and_scan(p, got), 0);
        assert_memory_not_equal(now, got, 32);
}

static void test_cut_wal_changes_the_sum(void **state)
{
        Place *p = *state;
        uint8_t now[32], got[32];

        store_with_wal(p, now);
        Buffer db = file_read(p->fd, STORE_FILE), wal = file_read(p->fd, "store.db-wal");
        for (size_t len = 0; len < wal.len; len += 211) {
                file_write(p->fd, STORE_FILE, db.data, db.len, 0600);
                file_write(p->fd, "store.db-wal", wal.data, len, 0600);
                int r = open_and_scan(p, got);
                if (r == 0)
                        assert_memory_not_equal(now, got, 32);
                else
                        assert_int_equal(r, HF_E_STORE_DAMAGED);
        }
        buffer_deinit(&db);
        buffer_deinit(&wal);
}

static void test_wal_of_another_store_changes_the_sum(void **state)
{
        Place *p = *state, *other = NULL;
        uint8_t now[32], foreign[32], got[32];

        assert_int_equal(place_setup((void **)&other), 0);
        store_with_wal(p, now);
        store_with_wal(other, foreign);
        Buffer wal = file_read(other->fd, "store.db-wal");
        file_write(p->fd, "store.db-wal", wal.data, wal.len, 0600);
        int r = open_and_scan(p, got);
        if (r == 0)
                assert_memory_not_equal(now, got, 32);
        else
                assert_int_equal(r, HF_E_STORE_DAMAGED);
        buffer_deinit(&wal);
        place_teardown((void **)&other);
}

static void test_wrong_keys_are_refused_and_nothing_changes(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        store_with_wal(p, digest);
        p->database_key[5] ^= 1;
        refused(p, HF_E_STORE_DAMAGED, "with this key");
        p->database_key[5] ^= 1;
        p->log_key[5] ^= 1;
        refused(p, HF_E_STORE_DAMAGED, "tag does not fit");
}

static void test_what_is_no_store_is_refused_untouched(void **state)
{
        static uint8_t noise[1 << 20];
        Place *p = *state;
        char path[80];
        sqlite3 *db;

        file_write(p->fd, STORE_FILE, "", 0, 0600);
        refused(p, HF_E_STORE_DAMAGED, "empty");
        file_write(p->fd, STORE_FILE, "short", 5, 0600);
        refused(p, HF_E_STORE_DAMAGED, "too short");
        for (size_t i = 0; i < sizeof(noise); i++)
                noise[i] = (uint8_t)(i * 2654435761u >> 13);
        file_write(p->fd, STORE_FILE, noise, sizeof(noise), 0600);
        refused(p, HF_E_STORE_DAMAGED, "with this key");

        (void)snprintf(path, sizeof(path), "%s/%s", p->path, STORE_FILE);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        sql_run(db, "CREATE TABLE keys (a); INSERT INTO keys VALUES (1)");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(chmod(path, 0600), 0);
        refused(p, HF_E_STORE_DAMAGED, "unencrypted");

        assert_int_equal(unlink(path), 0);
        db = place_sql(p, STORE_FILE);
        sql_run(db, "CREATE TABLE keys (a); INSERT INTO keys VALUES (1)");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(chmod(path, 0600), 0);
        refused(p, HF_E_STORE_DAMAGED, "no store");
}

static void test_newer_schema_is_left_untouched(void **state)
{
        Place *p = *state;
        char newer[40], newest[80], word[16];
        uint8_t digest[32];
        sqlite3 *db;

        (void)snprintf(newer, sizeof(newer), "PRAGMA user_version=%u", schema_newest() + 1);
        (void)snprintf(newest, sizeof(newest), "PRAGMA user_version=%u; CREATE TABLE novelty (a, tag)", schema_newest() + 2);
        closed_store(p, 3, digest);
        edit(p, newer);
        (void)snprintf(word, sizeof(word), "schema %u", schema_newest() + 1);
        refused(p, HF_E_STORE_TOO_NEW, word);

        /* The same while the newer program's last changes are still in the WAL. */
        db = place_sql(p, STORE_FILE);
        sql_run(db, newest);
        Buffer file = file_read(p->fd, STORE_FILE), wal = file_read(p->fd, "store.db-wal");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        file_write(p->fd, STORE_FILE, file.data, file.len, 0600);
        file_write(p->fd, "store.db-wal", wal.data, wal.len, 0600);
        (void)snprintf(word, sizeof(word), "schema %u", schema_newest() + 2);
        refused(p, HF_E_STORE_TOO_NEW, word);
        buffer_deinit(&file);
        buffer_deinit(&wal);
}

/* ---- the file system ---- */

static void unsafe(Place *p, const char *word)
{
        const StoreParams params = place_params(p);
        Store *s = NULL;

        assert_int_equal(store_open(p->fd, &params, &p->reason, &s), HF_E_STORE_UNSAFE);
        if (!strstr(p->reason.text, word))
                fail_msg("\"%s\" does not say \"%s\"", p->reason.text, word);
}

static void test_no_regular_private_file_is_refused(void **state)
{
        static const char *const names[] = {"store.db", "store.db-wal"};
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 1, digest);
        assert_int_equal(renameat(p->fd, STORE_FILE, p->fd, "real"), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(symlinkat(i ? "elsewhere" : "real", p->fd, names[i]), 0);
                unsafe(p, "symbolic link");
                assert_int_equal(unlinkat(p->fd, names[i], 0), 0);
                assert_int_equal(mkfifoat(p->fd, names[i], 0600), 0);
                unsafe(p, "FIFO");
                assert_int_equal(unlinkat(p->fd, names[i], 0), 0);
                assert_int_equal(mkdirat(p->fd, names[i], 0700), 0);
                unsafe(p, "directory");
                assert_int_equal(unlinkat(p->fd, names[i], AT_REMOVEDIR), 0);
                file_write(p->fd, names[i], "x", 1, 0644);
                unsafe(p, "mode 0644");
                file_write(p->fd, names[i], "x", 1, 0620);
                unsafe(p, "mode 0620");
                if (geteuid() == 0) {
                        file_write(p->fd, names[i], "x", 1, 0600);
                        assert_int_equal(fchownat(p->fd, names[i], 12345, 0, 0), 0);
                        unsafe(p, "uid 12345");
                }
                assert_int_equal(unlinkat(p->fd, names[i], 0), 0);
                if (i == 0)
                        assert_int_equal(renameat(p->fd, "real", p->fd, STORE_FILE), 0);
        }
        file_write(p->fd, "store.db-journal", "x", 1, 0600);
        unsafe(p, "journal");
}

static void test_directory_others_can_write_in_is_refused(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 1, digest);
        assert_int_equal(fchmod(p->fd, 0770), 0);
        unsafe(p, "0770");
        assert_int_equal(fchmod(p->fd, 0700), 0);
        assert_int_equal(open_and_scan(p, digest), 0);
}

static void test_lock_that_is_a_link_is_refused(void **state)
{
        Place *p = *state;
        uint8_t digest[32];

        closed_store(p, 1, digest);
        assert_int_equal(unlinkat(p->fd, STORE_LOCK_FILE, 0), 0);
        assert_int_equal(symlinkat("target", p->fd, STORE_LOCK_FILE), 0);
        unsafe(p, "lock");
        assert_int_not_equal(faccessat(p->fd, "target", F_OK, 0), 0);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_edited_row_is_named),
                        WITH_PLACE(test_edited_identity_is_named),
                        WITH_PLACE(test_swapped_rows_are_named),
                        WITH_PLACE(test_row_moved_to_another_table_or_id_is_named),
                        WITH_PLACE(test_removed_and_copied_rows_change_the_sum),
                        WITH_PLACE(test_meta_row_edited_is_named),
                        WITH_PLACE(test_foreign_trigger_view_table_are_refused),
                        WITH_PLACE(test_row_edited_under_a_running_store_is_not_built_upon),
                        WITH_PLACE(test_old_page_spliced_back_changes_the_sum),
                        WITH_PLACE(test_old_file_changes_the_sum),
                        WITH_PLACE(test_wal_left_behind_is_read),
                        WITH_PLACE(test_lost_wal_changes_the_sum),
                        WITH_PLACE(test_cut_wal_changes_the_sum),
                        WITH_PLACE(test_wal_of_another_store_changes_the_sum),
                        WITH_PLACE(test_wrong_keys_are_refused_and_nothing_changes),
                        WITH_PLACE(test_what_is_no_store_is_refused_untouched),
                        WITH_PLACE(test_newer_schema_is_left_untouched),
                        WITH_PLACE(test_no_regular_private_file_is_refused),
                        WITH_PLACE(test_directory_others_can_write_in_is_refused),
                        WITH_PLACE(test_lock_that_is_a_link_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
