/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of private CAs: authorities, the certificates they issued, and revocation lists. */
#include "common.h"

#include "base/error.h"
#include "store/internal.h"

static StoreAuthorityRow authority(uint32_t version)
{
        return (StoreAuthorityRow){.name = "root", .version = version, .key = sample_key(1).uuid, .kind = 1, .crl_number = version,
                        .follows = "root-0", .awake = STORE_AWAKE_ALWAYS, .certificate = bytes_str("der")};
}

static StoreCertificateRow certificate(uint8_t serial, uint32_t version, const char *der)
{
        return (StoreCertificateRow){.serial = {serial}, .version = version, .authority = "root",
                        .status = version == 1 ? STORE_CERTIFICATE_PENDING : STORE_CERTIFICATE_ACTIVE, .name = "pump 7",
                        .profile = "device", .domain = "", .metadata = "", .text = "", .issued = 5, .expires = 6,
                        .certificate = bytes_str(der)};
}

static int put(Store *s, const StoreAuthorityRow *a, const StoreCertificateRow *c)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = a ? store_put_authority(s, a) : store_put_certificate(s, c);
        if (r)
                store_rollback(s);
        else
                assert_int_equal(store_commit(s), STORE_COMMITTED);
        return r;
}

typedef struct Seen {
        unsigned authorities, certificates;
        uint8_t serials[8];
        uint64_t number;
} Seen;

static int see_authority(void *userdata, const StoreAuthorityRow *row)
{
        Seen *seen = userdata;

        seen->authorities++;
        seen->number = row->crl_number;
        assert_string_equal(row->follows, "root-0");
        return 0;
}

static int see_certificate(void *userdata, const StoreCertificateRow *row)
{
        Seen *seen = userdata;

        seen->serials[seen->certificates++] = row->serial[0];
        return 0;
}

static const StoreVisitor see = {.authority = see_authority, .certificate = see_certificate};

static void test_rows_come_back_in_the_order_in_which_they_came(void **state)
{
        StoreAuthorityRow first = authority(1), second = authority(2);
        StoreCertificateRow rows[] = {certificate(9, 1, "a"), certificate(3, 1, "b"), certificate(5, 1, "c"), certificate(9, 2, "d")};
        Place *p = *state;
        Store *s = place_create(p);
        Buffer der = BUFFER_INIT(64);
        Seen seen = {};

        assert_int_equal(put(s, &first, NULL), 0);
        assert_int_equal(put(s, &second, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(put(s, NULL, &rows[i]), 0);
        s = store_close(s);
        s = place_open(p);
        assert_int_equal(store_scan(s, &see, &seen), 0);
        assert_int_equal(seen.authorities, 1);
        assert_int_equal(seen.number, 2);
        assert_int_equal(seen.certificates, 3);
        assert_memory_equal(seen.serials, ((uint8_t[]){9, 3, 5}), 3);
        assert_int_equal(store_get_certificate(s, rows[0].serial, &der), 0);
        assert_true(bytes_equal(buffer_bytes(&der), bytes_str("d")));
        assert_int_equal(store_get_certificate(s, (uint8_t[16]){77}, &der), HF_E_NOTHING_TO_DO);
        buffer_deinit(&der);
        store_close(s);
}

static void test_rows_beyond_their_bounds_are_refused(void **state)
{
        static char text[STORE_METADATA_MAX + 2];
        static uint8_t large[STORE_CERTIFICATE_MAX + 1];
        StoreCertificateRow rows[8];
        StoreAuthorityRow bad = authority(1);
        Place *p = *state;
        Store *s = place_create(p);

        memset(text, 'x', sizeof(text) - 1);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                rows[i] = certificate(1, 1, "der");
        rows[0].name = text;
        rows[1].metadata = text;
        rows[2].certificate = BYTES_ARRAY(large);
        rows[3].certificate = BYTES_NULL;
        rows[4].status = _STORE_CERTIFICATE_MAX;
        rows[5].expires = UINT64_MAX;
        strcpy(rows[6].authority, "../x");
        rows[7].text = text;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(put(s, NULL, &rows[i]), HF_E_INVALID_ARGS);
        bad.kind = 3;
        assert_int_equal(put(s, &bad, NULL), HF_E_INVALID_ARGS);
        bad = authority(1);
        strcpy(bad.follows, "../x");
        assert_int_equal(put(s, &bad, NULL), HF_E_INVALID_ARGS);
        store_close(s);
}

static StoreListRow list(const char *place, uint32_t version, const char *der)
{
        StoreListRow row = {.version = version, .number = BYTES_ARRAY("\7"), .this_update = 5, .next_update = 6, .taken = 7,
                        .list = bytes_str(der)};

        strcpy(row.place, place);
        return row;
}

static int put_list(Store *s, const StoreListRow *row)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_put_list(s, row);
        if (r)
                store_rollback(s);
        else
                assert_int_equal(store_commit(s), STORE_COMMITTED);
        return r;
}

#define ELSEWHERE "crl@00112233445566778899aabbccddeeff"

static void test_the_last_list_of_a_ca_is_the_one_there_is(void **state)
{
        StoreListRow rows[] = {list("ca@root", 1, "a"), list(ELSEWHERE, 1, "b"), list("ca@root", 2, "c")};
        Place *p = *state;
        Store *s = place_create(p);
        Buffer der = BUFFER_INIT(64);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(put_list(s, &rows[i]), 0);
        assert_int_equal(put_list(s, &rows[0]), HF_E_STORE_DAMAGED); /* an older row over a newer one */
        store_close(s);
        s = place_open(p);
        assert_int_equal(store_get_list(s, "ca@root", &der), 0);
        assert_int_equal(store_get_list(s, ELSEWHERE, &der), 0);
        assert_true(bytes_equal(buffer_bytes(&der), bytes_str("cb")));
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_delete_list(s, ELSEWHERE), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
        assert_int_equal(store_get_list(s, ELSEWHERE, &der), HF_E_NOTHING_TO_DO);
        buffer_deinit(&der);
        store_close(s);
}

static void test_a_list_of_many_megabytes_is_kept_and_none_larger(void **state)
{
        size_t size = 16 * 1024 * 1024;
        StoreListRow row = list("ca@root", 1, "");
        uint8_t *large = malloc(size);
        Buffer der = BUFFER_INIT(size);
        Place *p = *state;
        Store *s = place_create(p);

        assert_non_null(large);
        for (size_t i = 0; i < size; i++)
                large[i] = (uint8_t)(i * 2654435761u >> 24);
        row.list = BYTES(large, size);
        assert_int_equal(put_list(s, &row), 0);
        store_close(s);
        s = place_open(p);
        assert_int_equal(store_check(s), 0);
        assert_int_equal(store_get_list(s, "ca@root", &der), 0);
        assert_true(bytes_equal(buffer_bytes(&der), row.list));
        row.version = 2;
        row.list.len = STORE_LIST_MAX + 1; /* not looked at */
        assert_int_equal(put_list(s, &row), HF_E_INVALID_ARGS);
        buffer_deinit(&der);
        free(large);
        store_close(s);
}

static void test_lists_in_places_that_are_none_are_refused(void **state)
{
        static const char *const places[] = {"", "root", "ca@", "ca@../x", "ca@a/b", "crl@", "crl@00112233445566778899aabbccddeef",
                        "crl@00112233445566778899aabbccddeeff0", "crl@../2233445566778899aabbccddeeff", "crl@zz112233445566778899aabbccddeeff"};
        StoreListRow rows[3];
        Place *p = *state;
        Store *s = place_create(p);

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                rows[0] = list(places[i], 1, "der");
                assert_int_equal(put_list(s, &rows[0]), HF_E_INVALID_ARGS);
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                rows[i] = list("ca@root", 1, "der");
        rows[0].number = BYTES_ARRAY("123456789012345678901");
        rows[1].next_update = UINT64_MAX;
        rows[2].list = BYTES_NULL;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(put_list(s, &rows[i]), HF_E_INVALID_ARGS);
        store_close(s);
}

/* The hashes are SHA-256 of "ca.rollover plant" and "ca.rollover plant-2"; one of them is still being signed. */
#define AUTHORITY(name) "INSERT INTO authorities VALUES ('" name "', 1, x'01', 2, 'root', 5, 6, 7, 8, x'09', x'0a', x'0b');"
#define CERTIFICATE(serial, name, request, status)                                                                       \
        "INSERT INTO certificates VALUES (x'" serial "', 1, 'root', " status ", '" name "', 'intermediate', '', '', x'" request \
        "', 1, 2, 0, 0, '', x'', x'00', x'0b');"
static const char schema_3_rows[] =
                AUTHORITY("plant") AUTHORITY("plant-2") AUTHORITY("plant-3") AUTHORITY("other") AUTHORITY("plant-4")
                CERTIFICATE("01", "plant-2", "3d11b82ac999c37defd446c43ebac0afa5a3baae9eaff4cf4c716a1555e5f93e", "2")
                CERTIFICATE("02", "plant-3", "bb81c3f1b1de0ffbac7911bb14a849755d0a983b0bf2354c9da6ad670f49198b", "1")
                CERTIFICATE("03", "other", "00", "2") CERTIFICATE("04", "plant-4", "", "2");

static void test_schema_5_finds_in_a_store_before_it_who_followed_whom(void **state)
{
        sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;

        (void)state;
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(layout_apply(db, 0, 3), SQLITE_OK);
        if (sqlite3_exec(db, schema_3_rows, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s", sqlite3_errmsg(db));
        assert_int_equal(layout_apply(db, 3, 5), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT group_concat(name || '<' || follows || '<' || parent, ' '), sum(created), sum(awake),"
                                                "hex(max(tag)) FROM (SELECT * FROM authorities ORDER BY name)",
                                         -1, &statement, NULL),
                        SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(statement, 0),
                        "other<<root plant<<root plant-2<plant<root plant-3<plant-2<root plant-4<<root");
        assert_int_equal(sqlite3_column_int(statement, 1), 25);
        assert_int_equal(sqlite3_column_int(statement, 2), 40);
        assert_string_equal((const char *)sqlite3_column_text(statement, 3), "0B");
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
        /* Nothing of the making is left to be used. */
        assert_int_not_equal(sqlite3_exec(db, "SELECT holdfast_sha256('x')", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_rows_come_back_in_the_order_in_which_they_came),
                        WITH_PLACE(test_rows_beyond_their_bounds_are_refused),
                        WITH_PLACE(test_the_last_list_of_a_ca_is_the_one_there_is),
                        WITH_PLACE(test_a_list_of_many_megabytes_is_kept_and_none_larger),
                        WITH_PLACE(test_lists_in_places_that_are_none_are_refused),
                        cmocka_unit_test(test_schema_5_finds_in_a_store_before_it_who_followed_whom),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
