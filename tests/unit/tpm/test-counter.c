/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The counter rises, survives, is nobody else's, and is removed only with its authorisation. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "rig.h"

#define INDEX 0x01800042u

static const uint8_t auth[TPM_AUTH_SIZE] = "whoever has this counts", other[TPM_AUTH_SIZE] = "who has that does not";

static int count_under(Rig *rig, const uint8_t parent[static TPM_NAME_SIZE], TpmCounterAction action, uint32_t index,
                const uint8_t *with, uint64_t *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(128);
        WireReader r;
        int q;

        wire_put_u8(&b, action);
        wire_put_u32(&b, index);
        wire_put_raw(&b, with, TPM_AUTH_SIZE);
        assert_int_equal(wire_put_raw(&b, parent, TPM_NAME_SIZE), 0);
        q = rig_ask(rig, TPM_COUNTER, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        *ret = wire_get_u64(&r);
        assert_int_equal(wire_done(&r), 0);
        return 0;
}

/* Under the parent that is there. */
static int count(Rig *rig, TpmCounterAction action, uint32_t index, const uint8_t *with, uint64_t *ret)
{
        TpmState s;

        rig_state(rig, true, &s);
        return count_under(rig, s.parent, action, index, with, ret);
}

/* Or somebody in the TPM's place would learn the authorisation under a key of his own. */
static void test_another_salt_key_is_another_tpm(void **state)
{
        static const uint8_t none[TPM_NAME_SIZE];
        uint64_t first, v;
        TpmState s;

        rig_state(*state, true, &s);
        assert_int_equal(count_under(*state, s.parent, TPM_COUNTER_DEFINE, INDEX, auth, &first), 0);
        assert_int_equal(count_under(*state, none, TPM_COUNTER_READ, INDEX, auth, &v), HF_E_INVALID_ARGS);
        rig_replace_tpm(*state);
        for (TpmCounterAction a = TPM_COUNTER_DEFINE; a < _TPM_COUNTER_MAX; a++)
                assert_int_equal(count_under(*state, s.parent, a, INDEX, auth, &v), HF_E_TPM_IDENTITY_CHANGED);
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), HF_E_NO_SUCH_KEY); /* nothing was made there */
}

static void test_a_counter_rises_by_one_and_survives_a_power_cut(void **state)
{
        uint64_t first, v;

        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &first), 0);
        assert_true(first > 0);
        for (uint64_t i = 1; i <= 5; i++) {
                assert_int_equal(count(*state, TPM_COUNTER_INCREMENT, INDEX, auth, &v), 0);
                assert_int_equal(v, first + i);
        }
        rig_kill_swtpm(*state);
        rig_start_swtpm(*state);
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), 0);
        assert_int_equal(v, first + 5);
}

static void test_what_is_not_there_is_not_there(void **state)
{
        uint64_t v;

        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), HF_E_NO_SUCH_KEY);
        assert_int_equal(count(*state, TPM_COUNTER_INCREMENT, INDEX, auth, &v), HF_E_NO_SUCH_KEY);
        assert_int_equal(count(*state, TPM_COUNTER_REMOVE, INDEX, auth, &v), HF_E_NO_SUCH_KEY);
}

static void test_another_authorisation_does_nothing(void **state)
{
        uint64_t first, v;
        TpmState s;

        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &first), 0);
        for (int i = 0; i < 4; i++) {
                assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, other, &v), HF_E_KEY_MISMATCH);
                assert_int_equal(count(*state, TPM_COUNTER_INCREMENT, INDEX, other, &v), HF_E_KEY_MISMATCH);
                assert_int_equal(count(*state, TPM_COUNTER_REMOVE, INDEX, other, &v), HF_E_KEY_MISMATCH);
                assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, other, &v), HF_E_KEY_EXISTS);
        }
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &v), HF_E_KEY_EXISTS);
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), 0);
        assert_int_equal(v, first);
        rig_state(*state, true, &s);
        assert_int_equal(s.lockout_counter, 0);
}

static void test_a_counter_made_anew_goes_on_above_the_old_one(void **state)
{
        uint64_t first, v;

        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &first), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(count(*state, TPM_COUNTER_INCREMENT, INDEX, auth, &v), 0);
        assert_int_equal(count(*state, TPM_COUNTER_REMOVE, INDEX, auth, &v), 0);
        assert_int_equal(v, 0);
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &v), 0);
        assert_true(v > first + 3);
}

static void test_what_others_keep_there_is_left_alone(void **state)
{
        uint64_t v;

        assert_true(rig_tool(*state, "tpm2_nvdefine 0x01800042 -C o -s 8 -a ownerread|ownerwrite"));
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &v), HF_E_KEY_EXISTS);
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), HF_E_KEY_MISMATCH);
        assert_int_equal(count(*state, TPM_COUNTER_INCREMENT, INDEX, auth, &v), HF_E_KEY_MISMATCH);
        assert_int_equal(count(*state, TPM_COUNTER_REMOVE, INDEX, auth, &v), HF_E_KEY_MISMATCH);
        assert_true(rig_tool(*state, "tpm2_nvundefine 0x01800042 -C o"));
}

static void test_a_definition_that_was_interrupted_is_finished(void **state)
{
        uint64_t v;

        assert_true(rig_tool(*state, "tpm2_nvdefine 0x01800042 -C o -s 8 -a authread|authwrite|no_da|nt=counter "
                                     "-p hex:77686f65766572206861732074686973"
                                     "20636f756e7473"));
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), HF_E_NO_SUCH_KEY);
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, other, &v), HF_E_KEY_EXISTS);
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, INDEX, auth, &v), 0);
        assert_int_equal(count(*state, TPM_COUNTER_READ, INDEX, auth, &v), 0);
}

static void test_indices_of_others_and_actions_there_are_none_of_are_refused(void **state)
{
        uint64_t v;

        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, 0x01c00002, auth, &v), HF_E_INVALID_ARGS);
        assert_int_equal(count(*state, TPM_COUNTER_DEFINE, TPM_COUNTER_LAST + 1, auth, &v), HF_E_INVALID_ARGS);
        assert_int_equal(count(*state, _TPM_COUNTER_MAX, INDEX, auth, &v), HF_E_INVALID_ARGS);
        assert_int_equal(count(*state, _TPM_COUNTER_INVALID, INDEX, auth, &v), HF_E_INVALID_ARGS);
}

static void test_a_tpm_without_room_says_that_it_is_full(void **state)
{
        uint64_t v;
        int r = 0;

        for (uint32_t i = 0; i < 2000 && !r; i++)
                r = count(*state, TPM_COUNTER_DEFINE, TPM_COUNTER_FIRST + i, auth, &v);
        assert_int_equal(r, HF_E_TPM_FULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_another_salt_key_is_another_tpm),
                        TEST(test_a_counter_rises_by_one_and_survives_a_power_cut),
                        TEST(test_what_is_not_there_is_not_there),
                        TEST(test_another_authorisation_does_nothing),
                        TEST(test_a_counter_made_anew_goes_on_above_the_old_one),
                        TEST(test_what_others_keep_there_is_left_alone),
                        TEST(test_a_definition_that_was_interrupted_is_finished),
                        TEST(test_indices_of_others_and_actions_there_are_none_of_are_refused),
                        TEST(test_a_tpm_without_room_says_that_it_is_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
