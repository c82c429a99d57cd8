/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/digest.h"

static void test_the_same_master_gives_the_same_keys_and_all_differ(void **state)
{
        static const uint8_t master[MASTER_SIZE] = {9};
        SealKeys a, b;

        (void)state;
        seal_keys_derive(master, &a);
        seal_keys_derive(master, &b);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_memory_not_equal(a.database, a.log, 32);
        assert_memory_not_equal(a.log, a.wrapping, 32);
        assert_memory_not_equal(a.wrapping, a.checkpoint, 32);
        assert_memory_not_equal(a.database, master, 32);
}

static void test_the_checkpoint_key_signs(void **state)
{
        static const uint8_t master[MASTER_SIZE] = {9};
        uint8_t signature[64];
        SealKeys k;

        (void)state;
        seal_keys_derive(master, &k);
        ed25519_sign(k.checkpoint, bytes_str("note"), signature);
        assert_int_equal(ed25519_verify(k.checkpoint_public, bytes_str("note"), signature), 0);
}

/* Frozen: another derivation would lose every store there is. */
static void test_derivation_is_the_documented_one(void **state)
{
        static const uint8_t master[MASTER_SIZE] = {0};
        uint8_t want[32];
        SealKeys k;

        (void)state;
        seal_keys_derive(master, &k);
        kdf_derive(master, "hf-db   ", 1, want);
        assert_memory_equal(k.database, want, 32);
        kdf_derive(master, "hf-log  ", 1, want);
        assert_memory_equal(k.log, want, 32);
        kdf_derive(master, "hf-wrap ", 1, want);
        assert_memory_equal(k.wrapping, want, 32);
        kdf_derive(master, "hf-check", 1, want);
        assert_memory_equal(k.checkpoint, want, 32);
        seal_keys_erase(&k);
        memset(want, 0, sizeof(want));
        assert_memory_equal(k.wrapping, want, 32);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_the_same_master_gives_the_same_keys_and_all_differ),
                        cmocka_unit_test(test_the_checkpoint_key_signs),
                        cmocka_unit_test(test_derivation_is_the_documented_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
