/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A name is who it was when it was first seen, until somebody says otherwise. Root is 0 on every machine. */
#include "daemon/accounts.h"

#include "tests/unit/daemon/support.h"

static int setup(void **state)
{
        Sandbox *box = calloc(1, sizeof(*box));

        sandbox_make(box);
        *state = box;
        return 0;
}

static int teardown(void **state)
{
        sandbox_remove(*state);
        free(*state);
        return 0;
}

static void write_file(const Sandbox *box, const char *text)
{
        assert_int_equal(io_write_file(box->fd, "accounts", bytes_str(text), 0600), 0);
}

static void expect_file(const Sandbox *box, const char *text)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);

        assert_int_equal(io_read_file(box->fd, "accounts", &b), 0);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_string_equal((char *)b.data, text);
}

static void test_who_is_seen_first_is_kept(void **state)
{
        _cleanup_(accounts_freep) Accounts *a = NULL, *again = NULL;
        const Sandbox *box = *state;
        uid_t uid = 1;
        gid_t gid = 1;

        assert_int_equal(accounts_read(box->fd, &a), 0);
        accounts_begin(a, false);
        assert_int_equal(accounts_user(a, "root", &uid), 0);
        assert_int_equal(accounts_group(a, "root", &gid), 0);
        assert_int_equal(uid, 0);
        assert_int_equal(gid, 0);
        assert_int_equal(accounts_keep(a, box->fd), 0);
        expect_file(box, "user root 0\ngroup root 0\n");
        assert_int_equal(accounts_read(box->fd, &again), 0);
        accounts_begin(again, false);
        assert_int_equal(accounts_user(again, "root", &uid), 0);
        assert_int_equal(accounts_changed(again), 0);
}

static void test_another_number_is_refused_until_it_is_accepted(void **state)
{
        _cleanup_(accounts_freep) Accounts *a = NULL;
        const Sandbox *box = *state;
        uid_t uid = 1;

        write_file(box, "user root 4711\n");
        assert_int_equal(accounts_read(box->fd, &a), 0);
        for (int i = 0; i < 2; i++) { /* asking again does not help */
                accounts_begin(a, false);
                assert_int_equal(accounts_user(a, "root", &uid), HF_E_POLICY_DENIED);
                assert_int_equal(uid, 0); /* for deny rules */
                assert_int_equal(accounts_changed(a), 1);
                assert_int_equal(accounts_keep(a, box->fd), 0);
        }
        expect_file(box, "user root 4711\n");
        accounts_begin(a, true);
        assert_int_equal(accounts_user(a, "root", &uid), 0);
        assert_int_equal(accounts_changed(a), 0);
        assert_int_equal(accounts_keep(a, box->fd), 0);
        expect_file(box, "user root 0\n");
        accounts_begin(a, false);
        assert_int_equal(accounts_user(a, "root", &uid), 0);
}

static void test_a_user_and_a_group_of_one_name_are_two(void **state)
{
        _cleanup_(accounts_freep) Accounts *a = NULL;
        const Sandbox *box = *state;
        uid_t id;

        write_file(box, "group root 4711\n");
        assert_int_equal(accounts_read(box->fd, &a), 0);
        accounts_begin(a, false);
        assert_int_equal(accounts_user(a, "root", &id), 0);
        assert_int_equal(accounts_group(a, "root", &id), HF_E_POLICY_DENIED);
}

static void test_nobody_is_not_remembered_and_the_absent_are_not_forgotten(void **state)
{
        _cleanup_(accounts_freep) Accounts *a = NULL;
        const Sandbox *box = *state;
        uid_t uid;

        write_file(box, "user there-was-one 4711\n");
        assert_int_equal(accounts_read(box->fd, &a), 0);
        accounts_begin(a, true);
        assert_int_equal(accounts_user(a, "there-is-none", &uid), HF_E_INVALID_NAME);
        assert_int_equal(accounts_user(a, "there-was-one", &uid), HF_E_INVALID_NAME);
        assert_int_equal(accounts_user(a, "root", &uid), 0);
        assert_int_equal(accounts_keep(a, box->fd), 0);
        expect_file(box, "user root 0\nuser there-was-one 4711\n");
}

static void test_a_damaged_file_is_not_guessed_at(void **state)
{
        static const char *const damaged[] = {"user root\n", "user root 0 0\n", "root 0\n", "user root x\n", "user\n"};
        const Sandbox *box = *state;
        Accounts *a = NULL;

        for (size_t i = 0; i < ELEMENTSOF(damaged); i++) {
                write_file(box, damaged[i]);
                assert_int_equal(accounts_read(box->fd, &a), -EBADMSG);
                assert_null(a);
        }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_who_is_seen_first_is_kept),
                        T(test_another_number_is_refused_until_it_is_accepted),
                        T(test_a_user_and_a_group_of_one_name_are_two),
                        T(test_nobody_is_not_remembered_and_the_absent_are_not_forgotten),
                        T(test_a_damaged_file_is_not_guessed_at),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
