/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows of private CAs: authorities, and the certificates they issued. */
#include "common.h"

#include "base/error.h"

static StoreAuthorityRow authority(uint32_t version)
{
        return (StoreAuthorityRow){.name = "root", .version = version, .key = sample_key(1).uuid, .kind = 1, .crl_number = version,
                        .awake = STORE_AWAKE_ALWAYS, .certificate = bytes_str("der")};
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
        store_close(s);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_rows_come_back_in_the_order_in_which_they_came),
                        WITH_PLACE(test_rows_beyond_their_bounds_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
