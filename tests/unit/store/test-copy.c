/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Copies: backups, migrations, and the stores that earlier releases made. */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/internal.h"
#include "store/migrate.h"

/* A table more, and one made anew with its rows, as a later release may do. */
#define NEXT_SCHEMA                                                                                          \
        "CREATE TABLE novelties (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, tag BLOB NOT NULL);"   \
        "INSERT INTO novelties VALUES (1, 1, x'00');"                                                     \
        "ALTER TABLE uses RENAME TO uses_old; CREATE TABLE uses (key BLOB NOT NULL, rule TEXT NOT NULL,"     \
        " version INTEGER NOT NULL, spent INTEGER NOT NULL CHECK (spent >= 0), tag BLOB NOT NULL,"           \
        " PRIMARY KEY (key, rule)); INSERT INTO uses SELECT * FROM uses_old; DROP TABLE uses_old;"

static StoreIdentityRow sample_identity(uint32_t version)
{
        static const uint8_t pins[2 * STORE_PIN_SIZE] = {1};

        return (StoreIdentityRow){
                        .name = "web",
                        .version = version,
                        .key = sample_key(1).uuid,
                        .issuer = "manual",
                        .layout = "pem",
                        .created = 1700000000000000ULL,
                        .changed = 1700000000000000ULL + version,
                        .not_before = 1700000000000000ULL,
                        .not_after = 1800000000000000ULL,
                        .chain = bytes_str("-----BEGIN CERTIFICATE-----\n"),
                        .pins = BYTES_ARRAY(pins),
        };
}

static StoreAuthorityRow sample_authority(void)
{
        return (StoreAuthorityRow){
                        .name = "root",
                        .version = 1,
                        .key = sample_key(2).uuid,
                        .kind = 1,
                        .created = 1700000000000000ULL,
                        .crl_number = 7,
                        .crl_due = 1800000000000000ULL,
                        .awake = STORE_AWAKE_ALWAYS,
                        .certificate = bytes_str("certificate"),
        };
}

static StoreCertificateRow sample_certificate(void)
{
        return (StoreCertificateRow){
                        .serial = {1, 2, 3},
                        .version = 1,
                        .authority = "root",
                        .status = STORE_CERTIFICATE_REVOKED,
                        .name = "pump 7",
                        .profile = "device",
                        .domain = "shop.example",
                        .metadata = "",
                        .request = {9},
                        .issued = 1700000000000000ULL,
                        .expires = 1800000000000000ULL,
                        .revoked = 1700000000000001ULL,
                        .reason = 1,
                        .text = "lost",
                        .fingerprint = {8},
                        .certificate = bytes_str("der"),
        };
}

static StoreListRow sample_list(void)
{
        return (StoreListRow){
                        .place = "crl@00112233445566778899aabbccddeeff",
                        .version = 1,
                        .number = BYTES_ARRAY("\1\2"),
                        .this_update = 1700000000000000ULL,
                        .next_update = 1800000000000000ULL,
                        .taken = 1700000000000001ULL,
                        .chain = bytes_str("-----BEGIN CERTIFICATE-----\n"),
                        .list = bytes_str("list"),
        };
}

static Store *filled(Place *p, unsigned keys)
{
        StoreAuthorityRow authority = sample_authority();
        StoreCertificateRow certificate = sample_certificate();
        StoreIdentityRow identity = sample_identity(1);
        StoreListRow list = sample_list();
        StoreUsesRow uses = {.key = sample_key(1).uuid, .rule = "r", .spent = 5, .version = 1};
        Store *s = place_create(p);

        add_samples(s, keys);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_uses(s, &uses), 0);
        assert_int_equal(store_put_identity(s, &identity), 0);
        assert_int_equal(store_put_authority(s, &authority), 0);
        assert_int_equal(store_put_certificate(s, &certificate), 0);
        assert_int_equal(store_put_list(s, &list), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        return s;
}

static int check(Place *p, const char *name, StoreCopyInfo *ret)
{
        StoreParams params = place_params(p);

        params.name = name;
        return store_check_copy(p->fd, &params, &p->reason, ret);
}

static void test_backup_is_equal_encrypted_and_opens(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 50);
        StoreCopyInfo info;
        uint8_t digest[32];

        assert_int_equal(store_backup(s, p->fd, "copy.db"), 0);
        store_digest(s, digest);
        assert_int_equal(check(p, "copy.db", &info), 0);
        assert_memory_equal(info.digest, digest, 32);
        assert_int_equal(info.keys, 50);
        assert_int_equal(info.seq, 50);
        assert_true(uuid_equal(&info.id, &p->id));
        Buffer b = file_read(p->fd, "copy.db");
        assert_null(memmem(b.data, b.len, "SQLite format", 13));
        assert_null(memmem(b.data, b.len, "key-0000", 8));
        buffer_deinit(&b);
        assert_int_equal(store_backup(s, p->fd, "copy.db"), HF_E_STORE_INITIALISED);
        store_close(s);
}

static void test_backup_goes_on_while_the_store_changes(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 200);
        StoreBackup *b;
        StoreCopyInfo info;
        uint8_t digest[32];
        bool done = false;
        unsigned steps = 0;

        assert_int_equal(store_backup_begin(s, p->fd, "copy.db", &b), 0);
        while (!done) {
                assert_int_equal(store_backup_step(b, 2, &done), 0);
                if (!done && steps++ < 8) {
                        KeyAttributes a = sample_key(1000 + steps);

                        assert_int_equal(store_begin(s), 0);
                        put_sample(s, &a, STORE_KEY_LIVE);
                        assert_int_equal(store_backup_step(b, 2, &done), HF_E_BUSY);
                        assert_int_equal(store_commit(s), STORE_COMMITTED);
                }
        }
        assert_true(steps >= 8);
        store_backup_free(b);
        store_digest(s, digest);
        assert_int_equal(check(p, "copy.db", &info), 0);
        assert_memory_equal(info.digest, digest, 32);
        assert_int_equal(info.keys, 208);
        store_close(s);
}

static void test_unfinished_backup_leaves_nothing(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 200);
        StoreBackup *b;
        bool done = false;

        assert_int_equal(store_backup_begin(s, p->fd, "copy.db", &b), 0);
        assert_int_equal(store_backup_step(b, 2, &done), 0);
        assert_false(done);
        store_backup_free(b);
        assert_int_not_equal(faccessat(p->fd, "copy.db", F_OK, 0), 0);
        store_close(s);
}

static void test_damaged_copy_is_named(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 50);
        StoreCopyInfo info;

        assert_int_equal(store_backup(s, p->fd, "copy.db"), 0);
        store_close(s);
        Buffer b = file_read(p->fd, "copy.db");
        b.data[b.len / 2] ^= 1;
        file_write(p->fd, "copy.db", b.data, b.len, 0600);
        assert_int_equal(check(p, "copy.db", &info), HF_E_STORE_DAMAGED);
        assert_true(p->reason.text[0] != 0);
        buffer_deinit(&b);
}

/* ---- migration ---- */

static void migrate(Store **s, uint64_t seq)
{
        StoreMigration *m;
        int r;

        assert_true(store_needs_migration(*s));
        r = store_migration_prepare(*s, seq, &m);
        if (r)
                fail_msg("prepare: %d, %s", r, store_reason(*s));
        assert_int_equal(store_seq(store_migration_copy(m)), seq);
        assert_int_equal(store_migration_commit(m, s), 0);
        store_migration_free(m);
}

static void test_old_store_migrates_and_the_previous_one_stays(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 20);
        StoreCopyInfo info;
        uint8_t old[32], new[32];
        KeyAttributes a = sample_key(500);

        store_digest(s, old);
        store_close(s);
        store_migration_set_extra(NEXT_SCHEMA);
        s = place_open(p);
        assert_int_equal(store_schema(s), STORE_SCHEMA);
        migrate(&s, 99);
        assert_int_equal(store_schema(s), STORE_SCHEMA + 1);
        assert_false(store_needs_migration(s));
        store_digest(s, new);
        assert_memory_not_equal(old, new, 32);
        assert_int_equal(store_begin(s), 0);
        put_sample(s, &a, STORE_KEY_LIVE);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        assert_int_equal(store_check(s), 0);
        s = store_close(s);
        s = place_open(p);
        assert_int_equal(store_seq(s), 99);
        store_close(s);

        /* Going back: this release again, with the copy it left. */
        store_migration_set_extra(NULL);
        assert_int_equal(check(p, "store.db", &info), HF_E_STORE_TOO_NEW);
        assert_int_equal(check(p, "store.db.5", &info), 0);
        assert_memory_equal(info.digest, old, 32);
        assert_int_equal(info.keys, 20);
}

static void test_migration_not_committed_changes_nothing(void **state)
{
        Place *p = *state;
        Store *s = filled(p, 20);
        StoreMigration *m;
        uint8_t before[32], after[32];

        store_close(s);
        file_hash(p->fd, STORE_FILE, before);
        store_migration_set_extra(NEXT_SCHEMA);
        s = place_open(p);
        assert_int_equal(store_migration_prepare(s, 77, &m), 0);
        store_migration_free(m);
        store_abandon(s);
        store_migration_set_extra(NULL);
        file_hash(p->fd, STORE_FILE, after);
        assert_memory_equal(before, after, 32);
        assert_int_not_equal(faccessat(p->fd, "store.db.new", F_OK, 0), 0);
}

static void test_migration_that_fails_changes_nothing(void **state)
{
        static const char *const bad[] = {
                        "CREATE TABLE nonsense (",
                        "ALTER TABLE uses ADD COLUMN behind_the_tag INTEGER",
                        "DELETE FROM keys WHERE name='key-000003'",
                        "CREATE TRIGGER t AFTER DELETE ON keys BEGIN SELECT 1; END;"
                        "DELETE FROM keys",
        };
        Place *p = *state;
        Store *s = filled(p, 20);
        StoreMigration *m;
        uint8_t before[32], after[32];

        store_close(s);
        file_hash(p->fd, STORE_FILE, before);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                store_migration_set_extra(bad[i]);
                /* SQL that does not even run in an empty database is noticed later than one that does. */
                s = place_open(p);
                assert_int_not_equal(store_migration_prepare(s, 77, &m), 0);
                store_abandon(s);
                file_hash(p->fd, STORE_FILE, after);
                assert_memory_equal(before, after, 32);
                assert_int_not_equal(faccessat(p->fd, "store.db.new", F_OK, 0), 0);
        }
        store_migration_set_extra(NULL);
}

/* ---- what earlier releases made ---- */

static int count(void *userdata, const StoreKeyRow *row)
{
        unsigned *counts = userdata;

        counts[row->state]++;
        counts[3] += row->state == STORE_KEY_LIVE && row->attributes->flags == KEY_FLAG_FROZEN;
        return 0;
}

static int count_identity(void *userdata, const StoreIdentityRow *row)
{
        const StoreIdentityRow expected = sample_identity(1);
        unsigned *counts = userdata;

        counts[4]++;
        assert_string_equal(row->name, expected.name);
        assert_true(bytes_equal(row->chain, expected.chain) && bytes_equal(row->pins, expected.pins));
        return 0;
}

static int count_authority(void *userdata, const StoreAuthorityRow *row)
{
        const StoreAuthorityRow expected = sample_authority();
        unsigned *counts = userdata;

        counts[5]++;
        assert_string_equal(row->name, expected.name);
        assert_int_equal(row->crl_number, expected.crl_number);
        assert_true(row->awake == expected.awake && bytes_equal(row->certificate, expected.certificate));
        return 0;
}

static int count_certificate(void *userdata, const StoreCertificateRow *row)
{
        const StoreCertificateRow expected = sample_certificate();
        unsigned *counts = userdata;

        counts[5]++;
        assert_memory_equal(row->serial, expected.serial, sizeof(row->serial));
        assert_string_equal(row->name, expected.name);
        assert_string_equal(row->text, expected.text);
        assert_int_equal(row->status, expected.status);
        assert_int_equal(row->revoked, expected.revoked);
        return 0;
}

static int count_list(void *userdata, const StoreListRow *row)
{
        const StoreListRow expected = sample_list();
        unsigned *counts = userdata;

        counts[6]++;
        assert_string_equal(row->place, expected.place);
        assert_true(bytes_equal(row->number, expected.number) && bytes_equal(row->list, expected.list));
        assert_true(row->next_update == expected.next_update && bytes_equal(row->chain, expected.chain));
        return 0;
}

/* `authorities`: rows of the CA there are. */
static void expect_fixture(Store *s, unsigned identities, unsigned authorities, unsigned lists)
{
        static const StoreVisitor visitor = {.key = count, .identity = count_identity, .authority = count_authority,
                        .certificate = count_certificate, .list = count_list};
        unsigned counts[7] = {};

        assert_int_equal(store_scan(s, &visitor, counts), 0);
        assert_int_equal(store_check(s), 0);
        assert_int_equal(counts[STORE_KEY_LIVE], 5);
        assert_int_equal(counts[STORE_KEY_DESTROYED], 1);
        assert_int_equal(counts[3], 1);
        assert_int_equal(counts[4], identities);
        assert_int_equal(counts[5], authorities);
        assert_int_equal(counts[6], lists);
}

/* The store that a release of that schema made opens as it is, and migrates to the next schema there is. A table that has other
 * columns since, as authorities before schema 5, is not read before. */
static void expect_old_store(Place *p, const char *file, uint32_t schema, unsigned identities, unsigned authorities,
                unsigned lists)
{
        const StoreParams params = place_params(p);
        int vectors = open(VECTORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Store *s;

        assert_true(vectors >= 0);
        Buffer b = file_read(vectors, file);
        close(vectors);
        file_write(p->fd, STORE_FILE, b.data, b.len, 0600);
        buffer_deinit(&b);
        assert_int_equal(store_open(p->fd, &params, &p->reason, &s), 0);
        assert_int_equal(store_schema(s), schema);
        expect_fixture(s, identities, schema < 5 && authorities ? authorities - 1 : authorities, lists);
        assert_int_equal(store_seq(s), 5);
        store_close(s);

        store_migration_set_extra(schema == STORE_SCHEMA ? NEXT_SCHEMA : NULL);
        s = place_open(p);
        migrate(&s, 6);
        assert_int_equal(store_schema(s), schema == STORE_SCHEMA ? STORE_SCHEMA + 1 : STORE_SCHEMA);
        expect_fixture(s, identities, authorities, lists);
        store_close(s);
        store_migration_set_extra(NULL);
}

static void test_store_of_schema_1_still_opens_and_migrates(void **state)
{
        expect_old_store(*state, "schema-1.db", 1, 0, 0, 0);
}

static void test_store_of_schema_2_still_opens_and_migrates(void **state)
{
        expect_old_store(*state, "schema-2.db", 2, 1, 0, 0);
}

static void test_store_of_schema_3_still_opens_and_migrates(void **state)
{
        expect_old_store(*state, "schema-3.db", 3, 1, 2, 0);
}

static void test_store_of_schema_4_still_opens_and_migrates(void **state)
{
        expect_old_store(*state, "schema-4.db", 4, 1, 2, 1);
}

static void test_store_of_schema_5_still_opens_and_migrates(void **state)
{
        expect_old_store(*state, "schema-5.db", 5, 1, 2, 1);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

/* `test-store-copy --make-fixture DIR` writes schema-N.db there, once for each released schema. */
static int make_fixture(const char *dir)
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        KeyAttributes frozen = sample_key(50), gone = sample_key(4);
        Place *p = NULL;
        char name[32];
        Store *s;

        place_setup((void **)&p);
        s = filled(p, 5);
        frozen.flags = KEY_FLAG_FROZEN;
        gone.version = 2;
        if (store_begin(s))
                return 1;
        put_sample(s, &frozen, STORE_KEY_LIVE);
        gone.flags = 0;
        put_sample(s, &gone, STORE_KEY_DESTROYED);
        gone = sample_key(3);
        gone.version = 2;
        put_sample(s, &gone, STORE_KEY_LIVE);
        if (store_commit(s) != STORE_COMMITTED)
                return 1;
        (void)snprintf(name, sizeof(name), "schema-%u.db", store_schema(s));
        store_close(s);
        Buffer b = file_read(p->fd, STORE_FILE);
        file_write(fd, name, b.data, b.len, 0644);
        buffer_deinit(&b);
        place_teardown((void **)&p);
        return 0;
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_backup_is_equal_encrypted_and_opens),
                        WITH_PLACE(test_backup_goes_on_while_the_store_changes),
                        WITH_PLACE(test_unfinished_backup_leaves_nothing),
                        WITH_PLACE(test_damaged_copy_is_named),
                        WITH_PLACE(test_old_store_migrates_and_the_previous_one_stays),
                        WITH_PLACE(test_migration_not_committed_changes_nothing),
                        WITH_PLACE(test_migration_that_fails_changes_nothing),
                        WITH_PLACE(test_store_of_schema_1_still_opens_and_migrates),
                        WITH_PLACE(test_store_of_schema_2_still_opens_and_migrates),
                        WITH_PLACE(test_store_of_schema_3_still_opens_and_migrates),
                        WITH_PLACE(test_store_of_schema_4_still_opens_and_migrates),
                        WITH_PLACE(test_store_of_schema_5_still_opens_and_migrates),
        };

        if (argc == 3 && strcmp(argv[1], "--make-fixture") == 0)
                return make_fixture(argv[2]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
