/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The registry: what is found by serial, fingerprint, request and name, also after it was changed and loaded again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "keystore/keystore.h"

typedef struct Box {
        char path[64];
        int fd;
        Store *store;
        Registry *all;
} Box;

static const uint8_t keys[2][32] = {{1}, {2}};
static const StoreParams params = {.id = {{1}}, .database_key = keys[0], .log_key = keys[1]};

static int setup(void **state)
{
        Box *b = calloc(1, sizeof(*b));
        StoreReason reason;

        strcpy(b->path, "/tmp/holdfast-test-XXXXXX");
        assert_non_null(mkdtemp(b->path));
        b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_create(b->fd, &params, &reason, &b->store), 0);
        assert_int_equal(registry_new(&b->all), 0);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        Box *b = *state;
        char command[128];

        registry_free(b->all);
        store_close(b->store);
        close(b->fd);
        snprintf(command, sizeof(command), "rm -rf '%s'", b->path);
        free(b);
        return system(command);
}

static StoreCertificateRow row(uint32_t n, const char *name)
{
        StoreCertificateRow r = {.authority = "ca", .status = STORE_CERTIFICATE_PENDING, .name = name, .profile = "device",
                        .domain = "d", .metadata = "", .text = "", .expires = 100, .certificate = bytes_str("tbs")};

        r.serial[0] = 1;
        memcpy(r.serial + 8, &n, sizeof(n));
        memcpy(r.request, &n, sizeof(n));
        r.request[31] = 1;
        return r;
}

static void put(Box *b, const StoreCertificateRow *r)
{
        _cleanup_registry_change_ RegistryChange change = {};

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_certificate(b->store, b->all, r, &change), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        registry_apply(b->all, &change);
}

static void load_again(Box *b)
{
        StoreReason reason;

        b->store = store_close(b->store);
        b->all = registry_free(b->all);
        assert_int_equal(store_open(b->fd, &params, &reason, &b->store), 0);
        assert_int_equal(registry_new(&b->all), 0);
        assert_int_equal(keystore_load(b->store, NULL, NULL, NULL, b->all, NULL), 0);
}

static void expect(Box *b, uint32_t n)
{
        assert_int_equal(registry_count(b->all), n);
        for (uint32_t i = 0; i < n; i++) {
                char name[16];
                StoreCertificateRow r = row(i, "");
                CertificateEntry *e = registry_find_serial(b->all, r.serial);
                uint8_t fingerprint[32] = {7};

                snprintf(name, sizeof(name), "n%u", i);
                memcpy(fingerprint + 1, &i, sizeof(i));
                assert_non_null(e);
                assert_ptr_equal(e, registry_at(b->all, i));
                assert_string_equal(e->row.name, name);
                assert_ptr_equal(e, registry_find_request(b->all, r.request));
                assert_ptr_equal(e, registry_find_fingerprint(b->all, fingerprint));
                assert_ptr_equal(e, registry_find(b->all, name));
                assert_int_equal(e->row.version, 2);
        }
}

static void test_thousands_are_found_by_all_their_names_and_in_their_order(void **state)
{
        const uint32_t n = 3000;
        Box *b = *state;

        for (uint32_t i = 0; i < n; i++) {
                char name[16];
                StoreCertificateRow r;

                snprintf(name, sizeof(name), "n%u", i);
                r = row(i, name);
                put(b, &r);
                r.status = STORE_CERTIFICATE_ACTIVE;
                r.fingerprint[0] = 7;
                memcpy(r.fingerprint + 1, &i, sizeof(i));
                put(b, &r);
        }
        expect(b, n);
        load_again(b);
        expect(b, n);
        assert_null(registry_at(b->all, n));
        assert_null(registry_find(b->all, "n3000"));
        assert_null(registry_find_fingerprint(b->all, (uint8_t[32]){0}));
}

static void test_serial_and_fingerprint_are_found_however_they_are_written(void **state)
{
        static const char *const good[] = {"0100000000000000ab00000000000000", "0100000000000000AB00000000000000",
                        "01:00:00:00:00:00:00:00:ab:00:00:00:00:00:00:00", "01:00:00:00:00:00:00:00:AB:00:00:00:00:00:00:00",
                        "0700000000000000000000000000000000000000000000000000000000ABCDEF",
                        "07:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:AB:cd:EF"};
        static const char *const bad[] = {"", "01", "0100000000000000ab000000000000", "0100000000000000ab0000000000000",
                        "01:00:00:00:00:00:00:00:ab:00:00:00:00:00:00:0", "01:00:00:00:00:00:00:00:ab:00:00:00:00:00:00:00:",
                        "01:00:00:00:00:00:00:00ab:00:00:00:00:00:00:00", "01:000000:00:00:00:ab:00:00:00:00:00:00:00:00:0",
                        ":1:00:00:00:00:00:00:00:ab:00:00:00:00:00:00:00", "01-00-00-00-00-00-00-00-ab-00-00-00-00-00-00-00"};
        StoreCertificateRow r = row(0xab, "pump"), named = row(2, "ab:cd");
        Box *b = *state;

        r.status = named.status = STORE_CERTIFICATE_ACTIVE;
        memcpy(r.fingerprint, (uint8_t[32]){7, [29] = 0xab, 0xcd, 0xef}, 32);
        named.fingerprint[0] = 8;
        put(b, &r);
        put(b, &named);
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_ptr_equal(registry_find(b->all, good[i]), registry_at(b->all, 0));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_null(registry_find(b->all, bad[i]));
        assert_ptr_equal(registry_find(b->all, "ab:cd"), registry_at(b->all, 1));
}

static void test_a_superseded_one_is_listed_for_90_days(void **state)
{
        const uint64_t now = 1800000000 * USEC_PER_SEC, day = 86400 * USEC_PER_SEC;
        StoreCertificateRow r = row(1, "pump");

        (void)state;
        assert_false(certificate_is_listed(&r, now));
        for (StoreCertificateStatus s = STORE_CERTIFICATE_ACTIVE; s < _STORE_CERTIFICATE_MAX; s++) {
                r.status = s;
                r.revoked = now - 90 * day + 1;
                assert_true(certificate_is_listed(&r, now));
                r.revoked = now - 90 * day;
                assert_int_equal(certificate_is_listed(&r, now), s != STORE_CERTIFICATE_SUPERSEDED);
                r.revoked = now + day; /* the clock was put back */
                assert_true(certificate_is_listed(&r, now));
        }
}

static void test_of_one_name_the_last_one_issued_is_found(void **state)
{
        StoreCertificateRow rows[] = {row(1, "pump"), row(2, "pump"), row(3, "other")};
        char serial[33];
        Box *b = *state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                put(b, &rows[i]);
        assert_memory_equal(registry_find(b->all, "pump")->row.serial, rows[1].serial, 16);
        rows[0].status = STORE_CERTIFICATE_SUPERSEDED;
        put(b, &rows[0]);
        assert_memory_equal(registry_find(b->all, "pump")->row.serial, rows[1].serial, 16);
        hex_encode(rows[0].serial, 16, serial);
        assert_int_equal(registry_find(b->all, serial)->row.status, STORE_CERTIFICATE_SUPERSEDED);
        load_again(b);
        assert_memory_equal(registry_find(b->all, "pump")->row.serial, rows[1].serial, 16);
}

static void test_an_authority_is_put_and_changed(void **state)
{
        StoreAuthorityRow root = {.name = "root", .kind = 1, .crl_number = 1, .certificate = bytes_str("der"), .chain = bytes_str("x")};
        _cleanup_registry_change_ RegistryChange first = {}, second = {};
        Box *b = *state;

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_authority(b->store, b->all, &root, &first), 0);
        assert_null(registry_authority(b->all, "root"));
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        registry_apply(b->all, &first);
        root.crl_number = 9;
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_authority(b->store, b->all, &root, &second), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        registry_apply(b->all, &second);
        load_again(b);
        assert_int_equal(registry_authority(b->all, "root")->row.crl_number, 9);
        assert_true(bytes_equal(registry_authority(b->all, "root")->row.chain, bytes_str("x")));
        assert_null(registry_authority_at(b->all, 1));
}

static void change_authority(Box *b, const StoreAuthorityRow *row, int (*how)(Store *, Registry *, const StoreAuthorityRow *, RegistryChange *),
                bool commit)
{
        _cleanup_registry_change_ RegistryChange change = {};

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(how(b->store, b->all, row, &change), 0);
        if (!commit) {
                assert_int_equal(store_rollback(b->store), 0);
                return;
        }
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
        registry_apply(b->all, &change);
}

static void expect_current(Box *b, bool first, bool second, bool third)
{
        for (int again = 0; again < 2; again++) {
                assert_int_equal(registry_is_current(b->all, registry_at(b->all, 0)), first);
                assert_int_equal(registry_is_current(b->all, registry_at(b->all, 1)), second);
                assert_int_equal(registry_is_current(b->all, registry_at(b->all, 2)), third);
                load_again(b);
        }
}

static void test_what_was_issued_before_a_ca_was_replaced_is_not_its_own(void **state)
{
        StoreAuthorityRow ca = {.name = "ca", .key = {{1}}, .kind = 2, .certificate = bytes_str("one")};
        StoreCertificateRow first = row(1, "a"), second = row(2, "b"), other = row(3, "c");
        Box *b = *state;

        strcpy(other.authority, "none");
        change_authority(b, &ca, registry_put_authority, true);
        put(b, &first);
        put(b, &second);
        put(b, &other);
        expect_current(b, true, true, false);
        ca.key.b[0] = 2;
        change_authority(b, &ca, registry_put_replacement, false);
        expect_current(b, true, true, false);
        change_authority(b, &ca, registry_put_replacement, true);
        expect_current(b, false, false, false);
        strcpy(other.authority, "ca");
        put(b, &other); /* a place is of when it came, not of when it was changed */
        first.status = STORE_CERTIFICATE_REVOKED;
        put(b, &first);
        change_authority(b, &ca, registry_put_authority, true);
        expect_current(b, false, false, false);
        other = row(4, "d");
        put(b, &other);
        load_again(b);
        assert_true(registry_is_current(b->all, registry_at(b->all, 3)));
        ca.key.b[0] = 3;
        change_authority(b, &ca, registry_put_replacement, true);
        assert_false(registry_is_current(b->all, registry_at(b->all, 3)));
}

static void put_since(Box *b, const char *key, Bytes value)
{
        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(store_put_meta(b->store, key, value), 0);
        assert_int_equal(store_commit(b->store), STORE_COMMITTED);
}

static void test_a_place_that_is_none_is_a_damaged_store(void **state)
{
        const StoreAuthorityRow ca = {.name = "ca", .key = {{1}}, .kind = 1};
        const uint8_t bad[][9] = {{1}, {[7] = 0x80}, {255, 255, 255, 255, 255, 255, 255, 255}, {0}};
        char key[REGISTRY_META_SIZE];
        Box *b = *state;

        change_authority(b, &ca, registry_put_authority, true);
        registry_meta_key(REGISTRY_META_SINCE, &ca.key, key);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                put_since(b, key, BYTES(bad[i], i + 1 == ELEMENTSOF(bad) ? 9 : 8));
                assert_int_equal(registry_load_places(b->all, b->store), HF_E_STORE_DAMAGED);
        }
        put_since(b, key, BYTES((uint8_t[8]){0}, 8));
        assert_int_equal(registry_load_places(b->all, b->store), 0);
}

static void test_nothing_is_replaced_where_nothing_is(void **state)
{
        const StoreAuthorityRow ca = {.name = "ca", .key = {{1}}, .kind = 1};
        _cleanup_registry_change_ RegistryChange change = {};
        Box *b = *state;

        assert_int_equal(store_begin(b->store), 0);
        assert_int_equal(registry_put_replacement(b->store, b->all, &ca, &change), HF_E_INVALID_ARGS);
        assert_int_equal(store_rollback(b->store), 0);
}

static void test_the_hour_of_a_root_is_measured_once(void **state)
{
        const uint64_t now = 1800000000 * USEC_PER_SEC, up = 7200 * USEC_PER_SEC;
        StoreAuthorityRow a = {.name = "root", .kind = 1, .awake = now + AUTHORITY_AWAKE_USEC};
        Box *b = *state;

        for (int i = 0; i < 3; i++) {
                _cleanup_registry_change_ RegistryChange change = {};

                clock_set_wall(i == 2 ? 0 : now); /* put back, while its list was made anew */
                clock_set_monotonic(up + (uint64_t)i * 60 * USEC_PER_SEC);
                a.crl_number++;
                a.awake += i == 2;
                assert_int_equal(store_begin(b->store), 0);
                assert_int_equal(registry_put_authority(b->store, b->all, &a, &change), 0);
                assert_int_equal(store_commit(b->store), STORE_COMMITTED);
                registry_apply(b->all, &change);
                assert_int_equal(registry_authority(b->all, "root")->deadline,
                                up + AUTHORITY_AWAKE_USEC + (i == 2 ? 120 * USEC_PER_SEC : 0));
        }
        clock_set_wall(0);
        clock_set_monotonic(0);
}

static void test_a_status_follows_the_clock(void **state)
{
        StoreCertificateRow r = row(1, "x");

        (void)state;
        assert_string_equal(certificate_status(&r, 0), "pending");
        r.status = STORE_CERTIFICATE_ACTIVE;
        assert_string_equal(certificate_status(&r, 99), "active");
        assert_string_equal(certificate_status(&r, 100), "expired");
        r.status = STORE_CERTIFICATE_REVOKED;
        assert_string_equal(certificate_status(&r, 100), "revoked");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_thousands_are_found_by_all_their_names_and_in_their_order, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_of_one_name_the_last_one_issued_is_found, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_an_authority_is_put_and_changed, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_serial_and_fingerprint_are_found_however_they_are_written, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_what_was_issued_before_a_ca_was_replaced_is_not_its_own, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_place_that_is_none_is_a_damaged_store, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_nothing_is_replaced_where_nothing_is, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_the_hour_of_a_root_is_measured_once, setup, teardown),
                        cmocka_unit_test(test_a_superseded_one_is_listed_for_90_days),
                        cmocka_unit_test(test_a_status_follows_the_clock),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
