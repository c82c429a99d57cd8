/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The TPM is away, reset, replaced, full, broken or shared; the process is killed; nothing is left behind. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "rig.h"

static const uint8_t digest[32] = "what is signed";

static int sign(Rig *rig, const RigKey *key)
{
        uint8_t out[1024];
        size_t n;
        int r = rig_operate(rig, key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n);

        if (!r)
                assert_true(judge_ecdsa(key, BYTES_ARRAY(digest), BYTES(out, n)));
        return r;
}

static void make(Rig *rig, RigKey *ret)
{
        assert_int_equal(rig_create(rig, TPM_P256, TPM_USE_SIGN, NULL, ret), 0);
}

static void test_a_tpm_that_is_away_is_unavailable_and_comes_back(void **state)
{
        Rig *rig = *state;
        TpmState s;
        RigKey key;

        make(rig, &key);
        for (int i = 0; i < 3; i++) {
                rig_kill_swtpm(rig);
                assert_int_equal(sign(rig, &key), HF_E_TPM_UNAVAILABLE);
                assert_int_equal(sign(rig, &key), HF_E_TPM_UNAVAILABLE);
                rig_state(rig, true, &s);
                assert_int_equal(s.presence, TPM_PRESENCE_ABSENT);
                assert_true(s.detail[0] != '\0');
                rig_start_swtpm(rig);
                assert_int_equal(sign(rig, &key), 0);
                rig_state(rig, false, &s);
                assert_int_equal(s.presence, TPM_PRESENCE_READY);
        }
}

static void test_the_process_starts_without_a_tpm(void **state)
{
        Rig *rig = *state;
        TpmState s;
        RigKey key;

        rig_end_program(rig, SIGTERM);
        rig_kill_swtpm(rig);
        rig_start_program(rig);
        rig_state(rig, false, &s);
        assert_int_equal(s.presence, TPM_PRESENCE_ABSENT);
        assert_int_equal(rig_create(rig, TPM_P256, TPM_USE_SIGN, NULL, &key), HF_E_TPM_UNAVAILABLE);
        rig_start_swtpm(rig);
        make(rig, &key);
        assert_int_equal(sign(rig, &key), 0);
}

static void test_a_reset_between_two_commands_goes_unnoticed(void **state)
{
        TpmState before, after;
        RigKey key;

        make(*state, &key);
        rig_state(*state, true, &before);
        for (int i = 0; i < 5; i++) {
                rig_reset_tpm(*state);
                assert_int_equal(sign(*state, &key), 0);
        }
        rig_state(*state, true, &after);
        assert_int_equal(after.reset_count - before.reset_count, 5);
}

static void test_a_replaced_or_cleared_tpm_is_another_one(void **state)
{
        Rig *rig = *state;
        RigKey key, new;

        make(rig, &key);
        assert_int_equal(sign(rig, &key), 0);
        rig_replace_tpm(rig);
        assert_int_equal(sign(rig, &key), HF_E_TPM_IDENTITY_CHANGED);
        assert_int_equal(rig_create(rig, TPM_P256, TPM_USE_SIGN, key.parent, &new), HF_E_TPM_IDENTITY_CHANGED);
        make(rig, &key);
        assert_int_equal(sign(rig, &key), 0);
        assert_true(rig_tool(rig, "tpm2_clear -c p"));
        assert_int_equal(sign(rig, &key), HF_E_TPM_IDENTITY_CHANGED);
        make(rig, &key);
        assert_int_equal(sign(rig, &key), 0);
}

/* A name that is pinned is found behind a persistent handle that came later, and after that is gone. */
static void test_a_parent_made_persistent_later_does_not_hide_the_old_one(void **state)
{
        Rig *rig = *state;
        char command[256];
        RigKey key, other;
        TpmState s;

        make(rig, &key);
        snprintf(command, sizeof(command), "tpm2_createprimary -C o -G rsa2048 -c %s/primary", rig->dir);
        assert_true(rig_tool(rig, command));
        snprintf(command, sizeof(command), "tpm2_evictcontrol -C o -c %s/primary 0x81000001", rig->dir);
        assert_true(rig_tool(rig, command));
        assert_true(rig_tool(rig, "tpm2_flushcontext -t"));
        rig_end_program(rig, SIGTERM);
        rig_start_program(rig);
        make(rig, &other);
        assert_memory_not_equal(key.parent, other.parent, TPM_NAME_SIZE);
        rig_state_of(rig, false, BYTES(key.parent, TPM_NAME_SIZE), &s);
        assert_memory_equal(s.parent, key.parent, TPM_NAME_SIZE);
        rig_state(rig, false, &s);
        assert_memory_equal(s.parent, other.parent, TPM_NAME_SIZE);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(sign(rig, &key), 0);
                assert_int_equal(sign(rig, &other), 0);
        }
        assert_true(rig_tool(rig, "tpm2_evictcontrol -C o -c 0x81000001"));
        assert_int_equal(sign(rig, &key), 0);
}

static void test_something_else_at_the_usual_place_is_no_parent(void **state)
{
        Rig *rig = *state;
        char command[256];
        RigKey key;

        snprintf(command, sizeof(command), "tpm2_createprimary -C o -G ecc256:ecdsa -c %s/primary -a "
                                           "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth", rig->dir);
        assert_true(rig_tool(rig, command));
        snprintf(command, sizeof(command), "tpm2_evictcontrol -C o -c %s/primary 0x81000001", rig->dir);
        assert_true(rig_tool(rig, command));
        assert_true(rig_tool(rig, "tpm2_flushcontext -t"));
        make(rig, &key);
        assert_int_equal(sign(rig, &key), 0);
}

static void test_failure_mode_is_named_and_ends_with_the_tpms_restart(void **state)
{
        Rig *rig = *state;
        char path[128];
        TpmState s;
        RigKey key;

        if (getuid() == 0) {
                /* Root writes everywhere: a directory in the way of the state's temporary file it is. */
                snprintf(path, sizeof(path), "%s/TMP2-00.permall", rig->state);
        } else {
                snprintf(path, sizeof(path), "%s", rig->state);
        }
        make(rig, &key);
        rig_kill_swtpm(rig);
        assert_int_equal(getuid() == 0 ? mkdir(path, 0700) : chmod(path, 0500), 0);
        rig_start_swtpm(rig);
        assert_int_equal(rig_create(rig, TPM_P256, TPM_USE_SIGN, NULL, &key), HF_E_TPM_FAILURE_MODE);
        rig_state(rig, true, &s);
        assert_int_equal(s.presence, TPM_PRESENCE_FAILURE);
        rig_kill_swtpm(rig);
        assert_int_equal(getuid() == 0 ? rmdir(path) : chmod(path, 0700), 0);
        rig_start_swtpm(rig);
        make(rig, &key);
}

static void many_of_each(Rig *rig)
{
        uint8_t out[1024], auth[TPM_AUTH_SIZE] = {};
        RigKey ec, bad, ecdh, mac;
        size_t n;

        make(rig, &ec);
        bad = ec;
        bad.auth[0] ^= 1;
        assert_int_equal(sign(rig, &ec), 0);
        assert_int_equal(sign(rig, &bad), HF_E_TPM_FAILED);
        bad = ec;
        bad.private[40] ^= 1;
        assert_int_equal(sign(rig, &bad), HF_E_KEY_MISMATCH);
        bad = ec;
        bad.parent[12] ^= 1;
        assert_int_equal(sign(rig, &bad), HF_E_TPM_IDENTITY_CHANGED);
        assert_int_equal(rig_create(rig, TPM_P256, TPM_USE_AGREE, NULL, &ecdh), 0);
        assert_int_equal(rig_operate(rig, &ecdh, TPM_OP_ECDH, BYTES(ec.number, 64), out, &n), 0);
        ec.number[63] ^= 1;
        assert_int_equal(rig_operate(rig, &ecdh, TPM_OP_ECDH, BYTES(ec.number, 64), out, &n), HF_E_INVALID_ARGS);
        assert_int_equal(sign(rig, &ecdh), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(rig_create(rig, TPM_HMAC256, TPM_USE_MAC, NULL, &mac), 0);
        assert_int_equal(rig_operate(rig, &mac, TPM_OP_HMAC, BYTES_ARRAY(auth), out, &n), 0);
}

static void test_nothing_is_left_in_the_tpm_but_one_session(void **state)
{
        for (int i = 0; i < 20; i++)
                many_of_each(*state);
        rig_handles_come_to(*state, "handles-transient", 0);
        assert_int_equal(rig_handles(*state, "handles-loaded-session"), 1);
        assert_int_equal(rig_handles(*state, "handles-saved-session"), 0);
        rig_end_program(*state, SIGTERM);
        assert_int_equal(rig_handles(*state, "handles-loaded-session"), 0);
        assert_int_equal(rig_handles(*state, "handles-persistent"), 0);
}

static void test_processes_killed_one_after_the_other_do_not_fill_the_tpm(void **state)
{
        Rig *rig = *state;
        RigKey key;
        TpmState s;

        make(rig, &key);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(sign(rig, &key), 0);
                rig_end_program(rig, SIGKILL);
                rig_start_program(rig);
        }
        assert_int_equal(sign(rig, &key), 0);
        rig_state(rig, true, &s);
        assert_false(s.locked_out);
        assert_int_equal(s.lockout_counter, 0);
}

static void test_power_cuts_do_not_lock_the_tpm(void **state)
{
        Rig *rig = *state;
        RigKey key;
        TpmState s;

        make(rig, &key);
        for (int i = 0; i < 4; i++) {
                assert_int_equal(sign(rig, &key), 0);
                rig_kill_swtpm(rig);
                rig_end_program(rig, SIGKILL);
                rig_start_swtpm(rig);
                rig_start_program(rig);
        }
        assert_int_equal(sign(rig, &key), 0);
        rig_state(rig, true, &s);
        assert_false(s.locked_out);
        assert_int_equal(s.lockout_counter, 0);
}

/* Idle, it looks after what a killed one left behind, and then sleeps. */
static void test_what_was_left_behind_goes_while_nobody_asks(void **state)
{
        Rig *rig = *state;
        RigKey key;

        make(rig, &key);
        rig_end_program(rig, SIGKILL);
        assert_int_equal(rig_handles(rig, "handles-loaded-session"), 1);
        rig_start_program(rig);
        assert_int_equal(sign(rig, &key), 0);
        rig_handles_come_to(rig, "handles-loaded-session", 1);
        assert_int_equal(sign(rig, &key), 0);
        assert_int_equal(rig_handles(rig, "handles-loaded-session"), 1);
}

/* Nor is it taken for what somebody left behind: it looks as if nobody moved it. */
static void test_a_key_stays_loaded_only_while_its_user_is_back_at_once(void **state)
{
        Rig *rig = *state;
        RigKey key;
        uint64_t until;

        make(rig, &key);
        rig_end_program(rig, SIGKILL);
        rig_start_program(rig); /* looks after what was left behind for a while */
        until = clock_monotonic() + 3 * USEC_PER_SEC;
        while (clock_monotonic() < until)
                assert_int_equal(sign(rig, &key), 0);
        rig_handles_come_to(rig, "handles-transient", 0);
}

/* It was there when we came to make our key in no parent's place, which is no trouble. */
static void test_a_key_that_another_keeps_loaded_is_its_own_affair(void **state)
{
        Rig *rig = *state;
        char command[256];
        uint64_t until;
        RigKey key;

        make(rig, &key);
        snprintf(command, sizeof(command), "tpm2_createprimary -C n -G ecc -c %s/primary", rig->dir);
        assert_true(rig_tool(rig, command));
        until = clock_monotonic() + 4 * USEC_PER_SEC;
        while (clock_monotonic() < until)
                assert_int_equal(sign(rig, &key), 0);
        rig_handles_come_to(rig, "handles-transient", 1);
        assert_true(rig_tool(rig, "tpm2_flushcontext 0x80000000") || rig_tool(rig, "tpm2_flushcontext 0x80000001"));
        rig_handles_come_to(rig, "handles-transient", 0);
}

static void test_objects_others_left_behind_do_not_keep_us_out(void **state)
{
        Rig *rig = *state;
        char command[256];
        RigKey key;

        make(rig, &key);
        for (int i = 0; i < 3; i++) {
                snprintf(command, sizeof(command), "tpm2_createprimary -C n -G ecc -c %s/primary", rig->dir);
                assert_true(rig_tool(rig, command));
        }
        assert_int_equal(rig_handles(rig, "handles-transient"), 3);
        assert_int_equal(sign(rig, &key), 0);
        assert_int_equal(sign(rig, &key), 0);
}

/* Another program uses the TPM all the time, as they do: some objects and sessions, and gone. */
static void test_two_users_of_a_tpm_do_not_get_in_each_others_way(void **state)
{
        Rig *rig = *state;
        char primary[256], key_command[256];
        RigKey key;

        make(rig, &key);
        snprintf(primary, sizeof(primary), "tpm2_createprimary -C o -G ecc -c %s/primary", rig->dir);
        snprintf(key_command, sizeof(key_command), "tpm2_create -C %s/primary -G ecc -u %s/pub -r %s/priv", rig->dir, rig->dir,
                        rig->dir);
        for (int i = 0; i < 10; i++) {
                assert_true(rig_tool(rig, primary));
                assert_int_equal(sign(rig, &key), 0);
                assert_true(rig_tool(rig, key_command));
                assert_int_equal(sign(rig, &key), 0);
                assert_true(rig_tool(rig, "tpm2_flushcontext -t"));
                make(rig, &key);
                assert_true(rig_tool(rig, "tpm2_getrandom 8"));
        }
}

static void test_the_signer_may_come_and_go(void **state)
{
        Rig *rig = *state;
        RigKey key;

        make(rig, &key);
        for (int i = 0; i < 5; i++) {
                rig_accept(rig);
                assert_int_equal(sign(rig, &key), 0);
        }
}

static void test_what_is_no_request_is_refused_and_what_is_no_message_ends_the_connection(void **state)
{
        Rig *rig = *state;
        uint8_t noise[64];
        RigKey key;

        memset(noise, 0xfe, sizeof(noise));
        make(rig, &key);
        assert_int_equal(rig_ask(rig, 77, BYTES_NULL), HF_E_INVALID_ARGS);
        for (uint16_t type = TPM_STATE; type <= TPM_CERTIFY; type++)
                for (size_t n = 3; n < sizeof(noise); n += 7)
                        assert_int_equal(rig_ask(rig, type, BYTES(noise, n)), HF_E_INVALID_ARGS);
        assert_int_equal(sign(rig, &key), 0);
        assert_int_equal(link_send(rig->fd, BYTES_ARRAY(noise), NULL, 0), 0);
        rig_accept(rig);
        assert_int_equal(sign(rig, &key), 0);
}

static void test_it_says_its_version(void **state)
{
        uint8_t version[4] = {TPM_LINK_VERSION};

        assert_int_equal(rig_ask(*state, TPM_HELLO, BYTES_ARRAY(version)), 0);
        assert_true(bytes_equal(((Rig *)*state)->body, BYTES_ARRAY(version)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_a_tpm_that_is_away_is_unavailable_and_comes_back),
                        TEST(test_the_process_starts_without_a_tpm),
                        TEST(test_a_reset_between_two_commands_goes_unnoticed),
                        TEST(test_a_replaced_or_cleared_tpm_is_another_one),
                        TEST(test_a_parent_made_persistent_later_does_not_hide_the_old_one),
                        TEST(test_something_else_at_the_usual_place_is_no_parent),
                        TEST(test_failure_mode_is_named_and_ends_with_the_tpms_restart),
                        TEST(test_nothing_is_left_in_the_tpm_but_one_session),
                        TEST(test_processes_killed_one_after_the_other_do_not_fill_the_tpm),
                        TEST(test_power_cuts_do_not_lock_the_tpm),
                        TEST(test_what_was_left_behind_goes_while_nobody_asks),
                        TEST(test_a_key_stays_loaded_only_while_its_user_is_back_at_once),
                        TEST(test_a_key_that_another_keeps_loaded_is_its_own_affair),
                        TEST(test_objects_others_left_behind_do_not_keep_us_out),
                        TEST(test_two_users_of_a_tpm_do_not_get_in_each_others_way),
                        TEST(test_the_signer_may_come_and_go),
                        TEST(test_what_is_no_request_is_refused_and_what_is_no_message_ends_the_connection),
                        TEST(test_it_says_its_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
