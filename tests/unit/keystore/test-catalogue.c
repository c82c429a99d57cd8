/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common.h"

#include "keystore/catalogue.h"

static int setup(void **state)
{
        Catalogue *c = NULL;

        assert_int_equal(catalogue_new(0, &c), 0);
        *state = c;
        return 0;
}

static int teardown(void **state)
{
        catalogue_free(*state);
        return 0;
}

static int add(Catalogue *c, unsigned number, const char *name, uint32_t flags)
{
        _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(number, name, flags);

        return catalogue_add(c, e);
}

static void test_entry_gives_back_what_it_was_made_of(void **state)
{
        KeyAttributes a = make_key(5, "tls"), b;
        KeyEntry *e;

        (void)state;
        assert_int_equal(key_entry_new(&a, bytes_str("wrapped"), &e), 0);
        assert_string_equal(key_entry_name(e), "tls");
        assert_true(bytes_equal(key_entry_wrapped(e), bytes_str("wrapped")));
        assert_true(bytes_equal(key_entry_public(e), key_attributes_public(&a)));
        assert_int_equal(key_entry_decode(e, &b), 0);
        assert_int_equal(b.created, a.created);
        assert_true(uuid_equal(&b.uuid, &a.uuid));
        key_entry_unref(e);
}

static void test_entry_refuses_what_is_not_in_order(void **state)
{
        KeyAttributes a = make_key(5, "tls");
        KeyEntry *e;

        (void)state;
        assert_int_equal(key_entry_new(&a, BYTES_NULL, &e), HF_E_INVALID_ARGS);
        assert_int_equal(key_entry_new(&a, BYTES("x", KEY_WRAPPED_MAX + 1), &e), HF_E_INVALID_ARGS);
        a.purpose = PURPOSE_DECRYPT; /* P-256 cannot */
        assert_int_equal(key_entry_new(&a, bytes_str("w"), &e), HF_E_INVALID_ARGS);
}

static void test_name_finds_the_current_key_and_uuid_any(void **state)
{
        Catalogue *c = *state;
        char text[UUID_TEXT_SIZE];
        KeyAttributes old = make_key(1, "tls");

        assert_int_equal(add(c, 1, "tls", KEY_FLAG_RETIRED), 0);
        assert_null(catalogue_find(c, "tls"));
        assert_int_equal(add(c, 2, "tls", 0), 0);
        assert_int_equal(add(c, 3, "tls", 0), HF_E_KEY_EXISTS);
        assert_int_equal(add(c, 2, "other", 0), HF_E_KEY_EXISTS);
        assert_int_equal(catalogue_find(c, "tls")->created, 1002);
        uuid_format(&old.uuid, text);
        assert_int_equal(catalogue_find(c, text)->created, 1001);
        assert_null(catalogue_find(c, "nothing"));
        assert_null(catalogue_find(c, ""));
        assert_int_equal(catalogue_count(c), 2);
}

static void test_running_job_keeps_its_snapshot(void **state)
{
        Catalogue *c = *state;
        KeyEntry *held, *next = make_entry(1, "tls", KEY_FLAG_DISABLED);

        assert_int_equal(add(c, 1, "tls", 0), 0);
        held = key_entry_ref(catalogue_find(c, "tls"));
        assert_int_equal(catalogue_replace(c, next), 0);
        assert_int_equal(catalogue_find(c, "tls")->flags, KEY_FLAG_DISABLED);
        assert_int_equal(held->flags, 0);
        assert_int_equal(catalogue_remove(c, &next->uuid), 0);
        assert_int_equal(catalogue_remove(c, &next->uuid), HF_E_NO_SUCH_KEY);
        assert_string_equal(key_entry_name(held), "tls");
        key_entry_unref(held);
        key_entry_unref(next);
        assert_int_equal(catalogue_count(c), 0);
}

static void test_retiring_frees_the_name(void **state)
{
        Catalogue *c = *state;
        _cleanup_(key_entry_unrefp) KeyEntry *retired = make_entry(1, "tls", KEY_FLAG_RETIRED);
        _cleanup_(key_entry_unrefp) KeyEntry *back = make_entry(1, "tls", 0);

        assert_int_equal(add(c, 1, "tls", 0), 0);
        assert_int_equal(catalogue_replace(c, retired), 0);
        assert_null(catalogue_find(c, "tls"));
        assert_int_equal(add(c, 2, "tls", 0), 0);
        assert_int_equal(catalogue_replace(c, back), HF_E_KEY_EXISTS);
        assert_int_equal(catalogue_find(c, "tls")->created, 1002);
}

static void test_listing_is_sorted_complete_and_paged(void **state)
{
        enum { N = 5000 };
        Catalogue *c = *state;
        KeyEntry *page[CATALOGUE_PAGE_MAX + 1];
        CatalogueCursor cursor = {};
        char name[NAME_SIZE], last[NAME_SIZE] = "";
        size_t n, total = 0;

        for (unsigned i = 0; i < N; i++) {
                (void)snprintf(name, sizeof(name), "k%05u", i * 7919 % N);
                assert_int_equal(add(c, i, name, 0), 0);
        }
        while ((n = catalogue_list(c, &cursor, page, 100000)) > 0) {
                assert_true(n <= CATALOGUE_PAGE_MAX);
                for (size_t i = 0; i < n; i++) {
                        assert_true(strcmp(last, key_entry_name(page[i])) < 0);
                        (void)snprintf(last, sizeof(last), "%s", key_entry_name(page[i]));
                }
                total += n;
        }
        assert_int_equal(total, N);
}

static void test_cursor_outlives_its_key(void **state)
{
        Catalogue *c = *state;
        KeyEntry *page[4];
        CatalogueCursor cursor = {}, again;
        char text[CATALOGUE_CURSOR_SIZE];

        assert_int_equal(add(c, 1, "a", 0), 0);
        assert_int_equal(add(c, 2, "b", KEY_FLAG_RETIRED), 0);
        assert_int_equal(add(c, 3, "b", 0), 0);
        assert_int_equal(add(c, 4, "c", 0), 0);
        assert_int_equal(catalogue_list(c, &cursor, page, 2), 2);
        catalogue_cursor_format(&cursor, text);
        Uuid gone = page[1]->uuid;
        assert_int_equal(catalogue_remove(c, &gone), 0);
        assert_int_equal(catalogue_cursor_parse(text, &again), 0);
        assert_int_equal(catalogue_list(c, &again, page, 4), 2);
        assert_string_equal(key_entry_name(page[0]), "b");
        assert_string_equal(key_entry_name(page[1]), "c");
        assert_int_equal(catalogue_cursor_parse("b", &again), 0);
        assert_int_equal(catalogue_list(c, &again, page, 4), 1);
        assert_int_equal(catalogue_cursor_parse("", &again), 0);
        assert_int_equal(catalogue_list(c, &again, page, 4), 3);
        assert_int_equal(catalogue_cursor_parse("b/", &again), HF_E_INVALID_ARGS);
        assert_int_equal(catalogue_cursor_parse("/x", &again), HF_E_INVALID_ARGS);
        assert_int_equal(catalogue_cursor_parse("b/nonsense", &again), HF_E_INVALID_ARGS);
}

static void test_limit_refuses_new_keys_only(void **state)
{
        Catalogue *c = *state;

        assert_int_equal(add(c, 1, "a", 0), 0);
        assert_int_equal(add(c, 2, "b", 0), 0);
        catalogue_set_keys_max(c, 2);
        assert_int_equal(catalogue_reserve(c, 1), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(catalogue_reserve_replace(c, 1), 0);
        catalogue_set_keys_max(c, 3);
        assert_int_equal(catalogue_reserve(c, 1), 0);
}

/* Against a model: 20,000 random changes, every answer compared with a plain array. */
static void test_random_changes_agree_with_a_model(void **state)
{
        enum { KEYS = 700, NAMES = 150 };
        struct {
                bool there;
                unsigned name;
                bool retired;
        } model[KEYS] = {};
        Catalogue *c = *state;
        unsigned seed = 4711, count = 0;

        for (unsigned step = 0; step < 20000; step++) {
                unsigned i = (unsigned)rand_r(&seed) % KEYS, n = (unsigned)rand_r(&seed) % NAMES;
                bool retired = rand_r(&seed) % 3 > 0, taken = false;
                KeyAttributes a = make_key(i, "x");
                char name[NAME_SIZE];
                int r;

                (void)snprintf(name, sizeof(name), "n%u", n);
                for (unsigned k = 0; k < KEYS; k++)
                        taken |= !retired && k != i && model[k].there && !model[k].retired &&
                                 model[k].name == n;
                if (rand_r(&seed) % 3 == 0) {
                        r = catalogue_remove(c, &a.uuid);
                        assert_int_equal(r, model[i].there ? 0 : HF_E_NO_SUCH_KEY);
                        count -= r == 0;
                        model[i].there = false;
                        continue;
                }
                _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(i, name, retired ? KEY_FLAG_RETIRED : 0);
                if (model[i].there)
                        r = catalogue_replace(c, e);
                else
                        r = catalogue_add(c, e);
                assert_int_equal(r, taken ? HF_E_KEY_EXISTS : 0);
                if (r)
                        continue;
                count += !model[i].there;
                model[i].there = true;
                model[i].name = n;
                model[i].retired = retired;
                assert_ptr_equal(catalogue_find_uuid(c, &a.uuid), e);
                assert_int_equal(catalogue_count(c), count);
        }
        CatalogueCursor cursor = {};
        KeyEntry *page[64];
        size_t n, listed = 0;
        while ((n = catalogue_list(c, &cursor, page, 64)) > 0)
                listed += n;
        assert_int_equal(listed, count);
        for (unsigned k = 0; k < KEYS; k++) {
                char name[NAME_SIZE];

                (void)snprintf(name, sizeof(name), "n%u", model[k].name);
                if (model[k].there && !model[k].retired)
                        assert_int_equal(catalogue_find_name(c, name)->created, 1000 + k);
        }
}

#define WITH_CATALOGUE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_entry_gives_back_what_it_was_made_of),
                        cmocka_unit_test(test_entry_refuses_what_is_not_in_order),
                        WITH_CATALOGUE(test_name_finds_the_current_key_and_uuid_any),
                        WITH_CATALOGUE(test_running_job_keeps_its_snapshot),
                        WITH_CATALOGUE(test_retiring_frees_the_name),
                        WITH_CATALOGUE(test_listing_is_sorted_complete_and_paged),
                        WITH_CATALOGUE(test_cursor_outlives_its_key),
                        WITH_CATALOGUE(test_limit_refuses_new_keys_only),
                        WITH_CATALOGUE(test_random_changes_agree_with_a_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
