/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "link/signer.h"

static Ledger fresh(void)
{
        Uuid id = {{1}};
        Ledger l;

        ledger_begin(&l, &id);
        return l;
}

static void test_numbers_rise_strictly(void **state)
{
        Ledger l = fresh();

        (void)state;
        assert_int_equal(ledger_accept(&l, 10), 0);
        assert_int_equal(ledger_accept(&l, 10), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_accept(&l, 9), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_accept(&l, 12), 0);
        assert_int_equal(l.ops, 2);
        assert_int_equal(l.served, 12);
}

static void test_a_life_may_begin_at_zero(void **state)
{
        Ledger l = fresh();

        (void)state;
        assert_true(ledger_is_sealed(&l));
        assert_int_equal(ledger_accept(&l, 0), 0);
        assert_false(ledger_is_sealed(&l));
        assert_int_equal(ledger_accept(&l, 0), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_checkpoint(&l, 0), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_checkpoint(&l, 1), 0);
        assert_true(ledger_is_sealed(&l));
}

static void test_uses_end_where_checkpoints_stay_away(void **state)
{
        Ledger l = fresh();
        uint64_t first = 500, n = 0;

        (void)state;
        while (ledger_accept(&l, first + n) == 0)
                n++;
        assert_int_equal(n, SIGNER_UNSEALED_MAX);
        assert_int_equal(ledger_checkpoint(&l, first + n), 0);
        assert_int_equal(ledger_accept(&l, first + n), 0);
        assert_int_equal(ledger_accept(&l, first + 2 * n), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_accept(&l, UINT64_MAX), HF_E_SIGNER_FAILED);
}

static void test_a_checkpoint_covers_all_and_never_shrinks(void **state)
{
        Ledger l = fresh();

        (void)state;
        assert_int_equal(ledger_checkpoint(&l, 100), 0);
        assert_int_equal(ledger_checkpoint(&l, 100), 0);
        assert_int_equal(ledger_checkpoint(&l, 99), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_accept(&l, 99), HF_E_SIGNER_FAILED); /* lies under the note already */
        assert_int_equal(ledger_accept(&l, 100), 0);
        assert_int_equal(ledger_checkpoint(&l, 100), HF_E_SIGNER_FAILED);
        assert_int_equal(ledger_checkpoint(&l, 101), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_numbers_rise_strictly),
                        cmocka_unit_test(test_a_life_may_begin_at_zero),
                        cmocka_unit_test(test_uses_end_where_checkpoints_stay_away),
                        cmocka_unit_test(test_a_checkpoint_covers_all_and_never_shrinks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
