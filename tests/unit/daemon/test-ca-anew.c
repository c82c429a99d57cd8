/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who is an orphan of whom, how many there are, and which CAs the last backup has as they are: a registry in a store of its own. */
#include "support.h"

#include <fcntl.h>

#include "base/clock.h"
#include "crypto/digest.h"
#include "daemon/ca-backup.h"
#include "daemon/ca.h"
#include "keystore/keystore.h"

#define NOW (1800000000 * USEC_PER_SEC)

typedef struct Box {
        char path[64];
        int fd;
        Store *store;
        Registry *all;
        uint32_t n; /* certificates so far */
        uint8_t keys;
} Box;

static const uint8_t keys[2][32] = {{1}, {2}};
static const StoreParams params = {.id = {{1}}, .database_key = keys[0], .log_key = keys[1]};

static void commit(Box *b, RegistryChange *change)
{
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        registry_apply(b->all, change);
        registry_change_deinit(change);
}

static void put_row(Box *b, const StoreCertificateRow *row)
{
        RegistryChange change = {};

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_certificate(b->store, b->all, row, &change), 0);
        commit(b, &change);
}

/* One more, under this CA. `der` NULL: any. */
static StoreCertificateRow issue(Box *b, const char *authority, const char *name, const char *der)
{
        StoreCertificateRow row = {.status = STORE_CERTIFICATE_ACTIVE, .name = name, .profile = "device", .domain = "", .metadata = "",
                        .text = "", .expires = NOW + 1, .serial = {1}};

        b->n++;
        memcpy(row.serial + 8, &b->n, sizeof(b->n));
        strcpy(row.authority, authority);
        row.certificate = bytes_str(der ? der : "leaf");
        digest_sha256(der ? row.certificate : BYTES_ARRAY(row.serial), row.fingerprint);
        put_row(b, &row);
        return row;
}

/* A CA with a certificate that its parent (or it itself) issued, of which the registry knows. */
static void make(Box *b, const char *name, const char *parent, bool anew)
{
        char der[64];
        StoreAuthorityRow row = {.kind = parent ? CA_INTERMEDIATE : CA_ROOT, .key = {{++b->keys}}, .awake = STORE_AWAKE_ALWAYS};
        RegistryChange change = {};

        snprintf(der, sizeof(der), "%s %u", name, b->keys);
        strcpy(row.name, name);
        strcpy(row.parent, parent ? parent : "");
        row.certificate = bytes_str(der);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal((anew ? registry_put_replacement : registry_put_authority)(b->store, b->all, &row, &change), 0);
        commit(b, &change);
        (void)issue(b, parent ? parent : name, name, der);
}

static int setup(void **state)
{
        Box *b = calloc(1, sizeof(*b));
        StoreReason reason;

        strcpy(b->path, "/tmp/holdfast-test-XXXXXX");
        assert_non_null(mkdtemp(b->path));
        b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_create(b->fd, &params, &reason, &b->store), 0);
        assert_int_equal(registry_new(&b->all), 0);
        clock_set_wall(NOW);
        make(b, "root", NULL, false);
        make(b, "inter", "root", false);
        make(b, "site", "inter", false);
        make(b, "other", NULL, false);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        Box *b = *state;
        char command[128];

        clock_set_wall(0);
        registry_free(b->all);
        store_close(b->store);
        close(b->fd);
        snprintf(command, sizeof(command), "rm -rf '%s'", b->path);
        free(b);
        return system(command);
}

static uint32_t orphans(const Box *b, const char *name)
{
        return ca_count_orphans(b->all, registry_authority(b->all, name));
}

static const char *status(const Box *b, const StoreCertificateRow *row)
{
        return ca_status(b->all, &registry_find_serial(b->all, row->serial)->row);
}

static bool is_orphaned(const Box *b, const char *name)
{
        return ca_is_orphaned(b->all, registry_authority(b->all, name));
}

static void test_live_ones_of_all_levels_are_counted_and_the_cas_below_but_not_its_own(void **state)
{
        Box *b = *state;
        StoreCertificateRow row;

        assert_int_equal(orphans(b, "root"), 2);
        assert_int_equal(orphans(b, "inter"), 1);
        assert_int_equal(orphans(b, "site"), 0);
        assert_int_equal(orphans(b, "other"), 0);
        row = issue(b, "site", "a", NULL);
        (void)issue(b, "inter", "b", NULL);
        (void)issue(b, "other", "c", NULL);
        assert_int_equal(orphans(b, "root"), 4);
        assert_int_equal(orphans(b, "inter"), 3);
        assert_int_equal(orphans(b, "site"), 1);
        assert_int_equal(orphans(b, "other"), 1);
        for (StoreCertificateStatus s = STORE_CERTIFICATE_PENDING; s < _STORE_CERTIFICATE_MAX; s++) {
                row.status = s;
                put_row(b, &row);
                assert_int_equal(orphans(b, "root"), s == STORE_CERTIFICATE_ACTIVE ? 4 : 3);
        }
        clock_set_wall(NOW + 1); /* and then all have run out */
        assert_int_equal(orphans(b, "root"), 0);
}

static void test_below_a_ca_made_anew_all_are_orphans_and_none_is_counted_twice(void **state)
{
        Box *b = *state;
        StoreCertificateRow at_site = issue(b, "site", "a", NULL), at_inter = issue(b, "inter", "b", NULL), fresh;

        make(b, "root", NULL, true);
        assert_int_equal(orphans(b, "root"), 0);
        assert_true(is_orphaned(b, "inter"));
        assert_true(is_orphaned(b, "site"));
        assert_false(is_orphaned(b, "root"));
        assert_false(is_orphaned(b, "other"));
        assert_string_equal(status(b, &at_site), "orphaned");
        assert_null(ca_parent(b->all, registry_authority(b->all, "inter")));
        assert_ptr_equal(ca_top(b->all, registry_authority(b->all, "site")), registry_authority(b->all, "inter"));
        assert_int_equal(orphans(b, "inter"), 3); /* which they would lose as well */
        make(b, "inter", "root", true);
        assert_false(is_orphaned(b, "inter"));
        assert_true(is_orphaned(b, "site"));
        assert_string_equal(status(b, &at_inter), "orphaned");
        fresh = issue(b, "inter", "b", NULL);
        assert_string_equal(status(b, &fresh), "active");
        assert_int_equal(orphans(b, "inter"), 1);
        assert_int_equal(orphans(b, "root"), 2);
}

static void test_only_what_would_be_active_is_called_orphaned(void **state)
{
        Box *b = *state;
        StoreCertificateRow row = issue(b, "inter", "a", NULL);

        make(b, "inter", "root", true);
        assert_string_equal(status(b, &row), "orphaned");
        row.status = STORE_CERTIFICATE_REVOKED;
        put_row(b, &row);
        assert_string_equal(status(b, &row), "revoked");
        row.status = STORE_CERTIFICATE_ACTIVE;
        put_row(b, &row);
        clock_set_wall(NOW + 1);
        assert_string_equal(status(b, &row), "expired");
}

static bool is_backed_up(Box *b, const char *name)
{
        bool there = false;

        assert_int_equal(ca_is_backed_up(b->store, b->all, name, &there), 0);
        return there;
}

static void back_up(Box *b)
{
        CaMark *marks = NULL;
        size_t n = 0;

        assert_int_equal(ca_marks_new(b->all, &marks, &n), 0);
        assert_int_equal(n, 4);
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(ca_marks_put(b->store, marks, n), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        free(marks);
}

static void test_a_backup_has_a_ca_until_something_under_it_changes(void **state)
{
        Box *b = *state;
        StoreCertificateRow row;

        assert_false(is_backed_up(b, "root"));
        back_up(b);
        assert_true(is_backed_up(b, "root"));
        row = issue(b, "site", "a", NULL);
        assert_false(is_backed_up(b, "root"));
        assert_false(is_backed_up(b, "inter"));
        assert_false(is_backed_up(b, "site"));
        assert_true(is_backed_up(b, "other"));
        back_up(b);
        row.status = STORE_CERTIFICATE_REVOKED;
        put_row(b, &row);
        assert_false(is_backed_up(b, "site"));
        row.status = STORE_CERTIFICATE_ACTIVE; /* as it was, which is another change */
        put_row(b, &row);
        assert_false(is_backed_up(b, "site"));
        back_up(b);
        assert_true(is_backed_up(b, "site"));
        clock_set_wall(1); /* no clock is asked */
        assert_true(is_backed_up(b, "site"));
        make(b, "site", "inter", true);
        assert_false(is_backed_up(b, "site"));
        assert_false(is_backed_up(b, "root"));
}

static void test_marks_that_a_list_or_an_hour_changes_are_the_same(void **state)
{
        Box *b = *state;
        StoreAuthorityRow row = registry_authority(b->all, "root")->row;
        RegistryChange change = {};

        back_up(b);
        row.crl_number += 7;
        row.awake = 0;
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_authority(b->store, b->all, &row, &change), 0);
        commit(b, &change);
        assert_true(is_backed_up(b, "root"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_live_ones_of_all_levels_are_counted_and_the_cas_below_but_not_its_own, setup, teardown),
                cmocka_unit_test_setup_teardown(test_below_a_ca_made_anew_all_are_orphans_and_none_is_counted_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_what_would_be_active_is_called_orphaned, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_backup_has_a_ca_until_something_under_it_changes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_marks_that_a_list_or_an_hour_changes_are_the_same, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
