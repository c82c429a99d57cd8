/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "policy/operation.h"

static void test_every_operation_has_a_name_of_its_own_that_leads_back(void **state)
{
        (void)state;
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++) {
                const PolicyOperationInfo *info = policy_operation_info(op);

                assert_non_null(info);
                assert_non_null(info->name);
                assert_non_null(info->summary);
                assert_int_equal(policy_operation_from_string(info->name), op);
                assert_string_equal(policy_operation_to_string(op), info->name);
                assert_true(policy_operation_mask(info->name) == POLICY_OP_BIT(op));
        }
}

static void test_what_is_no_operation_has_no_row(void **state)
{
        (void)state;
        assert_null(policy_operation_info(_POLICY_OP_INVALID));
        assert_null(policy_operation_info(_POLICY_OP_MAX));
        assert_null(policy_operation_info(-1));
        assert_string_equal(policy_operation_to_string(_POLICY_OP_MAX), "invalid");
        assert_int_equal(policy_operation_from_string("use"), _POLICY_OP_INVALID);
        assert_int_equal(policy_operation_from_string(""), _POLICY_OP_INVALID);
        assert_true(policy_operation_mask("SIGN") == 0);
        assert_true(policy_operation_mask("") == 0);
}

/* The groups as holdfast-policy(5) promises them, spelt out once more. */
static void test_groups_contain_what_the_manual_says(void **state)
{
        static const struct {
                const char *group, *members[16];
        } table[] = {
                        {"use", {"describe", "public", "sign", "sign-digest", "decrypt", "agree", "mac",
                                                "seal", "unseal", "csr"}},
                        {"manage", {"create", "import", "enable", "disable", "freeze", "destroy", "list",
                                                   "describe", "public", "csr", "cert-set", "cert-remove"}},
                        {"operate", {"unlock", "lock", "init", "slot-list", "slot-add", "slot-remove",
                                                    "slot-change", "backup", "restore", "recover", "rekey",
                                                    "check", "policy-read", "policy-reload", "policy-grant"}},
                        {"ca", {"ca-init", "ca-read", "ca-issue", "ca-revoke", "ca-enable", "crl-put"}},
                        {"audit", {"audit-read", "audit-export", "audit-prune"}},
        };
        uint64_t all = 0, mask;
        const char *name;
        size_t n = 0;

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                uint64_t want = 0;

                for (size_t k = 0; table[i].members[k]; k++)
                        want |= POLICY_OP_BIT(policy_operation_from_string(table[i].members[k]));
                assert_true(policy_operation_mask(table[i].group) == want);
                all |= want;
        }
        /* only this one is in no group but all */
        assert_true(policy_operation_mask("all") == (all | POLICY_OP_BIT(POLICY_OP_RANDOM)));
        while (policy_operation_group(n, &name, &mask)) {
                assert_true(policy_operation_mask(name) == mask);
                n++;
        }
        assert_int_equal(n, 6);
}

static void test_secret_results_schemes_and_keys_are_marked(void **state)
{
        (void)state;
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++) {
                const PolicyOperationInfo *info = policy_operation_info(op);
                bool use = policy_operation_mask("use") & POLICY_OP_BIT(op);
                bool seen = op == POLICY_OP_DESCRIBE || op == POLICY_OP_PUBLIC;

                assert_int_equal(info->secret,
                                op == POLICY_OP_DECRYPT || op == POLICY_OP_AGREE || op == POLICY_OP_UNSEAL);
                assert_int_equal(info->scheme, use && !seen);
                assert_true(!use || (info->key == POLICY_KEY_ONE && !info->mutates));
                assert_int_equal(info->key == POLICY_KEY_MANY, op == POLICY_OP_LIST);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_operation_has_a_name_of_its_own_that_leads_back),
                        cmocka_unit_test(test_what_is_no_operation_has_no_row),
                        cmocka_unit_test(test_groups_contain_what_the_manual_says),
                        cmocka_unit_test(test_secret_results_schemes_and_keys_are_marked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
