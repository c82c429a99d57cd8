/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link/signer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"

static void test_an_operation_reads_back(void **state)
{
        SignerOperation op = {
                        .seq = UINT64_MAX,
                        .uid = 1000,
                        .op = SIGNER_OP_AGREE,
                        .scheme = 11,
                        .flags = 3,
                        .length = 32,
                        .attributes = bytes_str("attributes"),
                        .wrapped = bytes_str("wrapped"),
                        .payload = bytes_str("payload"),
                        .aux = bytes_str("aux"),
        };
        Buffer b = BUFFER_INIT(1024);
        SignerOperation back;

        (void)state;
        assert_int_equal(signer_operation_encode(&op, &b), 0);
        assert_int_equal(signer_operation_decode(buffer_bytes(&b), &back), 0);
        assert_int_equal(back.seq, op.seq);
        assert_int_equal(back.uid, 1000);
        assert_int_equal(back.op, op.op);
        assert_int_equal(back.scheme, 11);
        assert_int_equal(back.flags, 3);
        assert_int_equal(back.length, 32);
        assert_true(bytes_equal(back.attributes, op.attributes));
        assert_true(bytes_equal(back.wrapped, op.wrapped));
        assert_true(bytes_equal(back.payload, op.payload));
        assert_true(bytes_equal(back.aux, op.aux));
        assert_int_equal(back.salt.len, 0);
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(signer_operation_decode(BYTES(b.data, len), &back), HF_E_INVALID_ARGS);
        assert_int_equal(wire_put_u8(&b, 0), 0);
        assert_int_equal(signer_operation_decode(buffer_bytes(&b), &back), HF_E_INVALID_ARGS);
        buffer_deinit(&b);
}

static void test_an_unknown_operation_is_refused(void **state)
{
        SignerOperation op = {.op = _SIGNER_OP_MAX}, back;
        Buffer b = BUFFER_INIT(1024);

        (void)state;
        assert_int_equal(signer_operation_encode(&op, &b), 0);
        assert_int_equal(signer_operation_decode(buffer_bytes(&b), &back), HF_E_INVALID_ARGS);
        buffer_clear(&b);
        op.op = 0;
        assert_int_equal(signer_operation_encode(&op, &b), 0);
        assert_int_equal(signer_operation_decode(buffer_bytes(&b), &back), HF_E_INVALID_ARGS);
        buffer_deinit(&b);
}

static void test_a_checkpoint_and_an_init_read_back(void **state)
{
        SignerCheckpoint c = {.size = 5,
                                         .head = {1},
                                         .state = {2},
                                         .counter = -1,
                                         .epoch = 3,
                                         .succession = true},
                         c2;
        SignerInit i = {.store_id = {{4}}, .kind = SLOT_PASSPHRASE, .unattended = true, .label = "admin"}, i2;
        Buffer b = BUFFER_INIT(1024);

        (void)state;
        assert_int_equal(signer_checkpoint_encode(&c, &b), 0);
        assert_int_equal(signer_checkpoint_decode(buffer_bytes(&b), &c2), 0);
        assert_int_equal(c2.counter, -1);
        assert_true(c2.succession);
        assert_int_equal(c2.epoch, 3);
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(signer_checkpoint_decode(BYTES(b.data, len), &c2), HF_E_INVALID_ARGS);
        buffer_clear(&b);
        assert_int_equal(signer_init_encode(&i, &b), 0);
        assert_int_equal(signer_init_decode(buffer_bytes(&b), &i2), 0);
        assert_memory_equal(&i.store_id, &i2.store_id, sizeof(i.store_id));
        assert_string_equal(i2.label, "admin");
        b.data[16] = _SLOT_KIND_MAX;
        assert_int_equal(signer_init_decode(buffer_bytes(&b), &i2), HF_E_INVALID_ARGS);
        buffer_deinit(&b);
}

static void test_a_slot_list_is_bounded(void **state)
{
        SlotList l = {.machine_matches = true, .n = SLOTS_MAX}, back;
        Buffer b = BUFFER_INIT(8192);
        WireReader r;

        (void)state;
        for (size_t i = 0; i < SLOTS_MAX; i++)
                l.slots[i] = (SlotEntry){
                                .id = (uint32_t)i + 1, .kind = SLOT_RECOVERY, .label = "x", .created = i};
        assert_int_equal(slot_list_encode(&l, &b), 0);
        r = wire_reader(buffer_bytes(&b));
        assert_int_equal(slot_list_decode(&r, &back), 0);
        assert_int_equal(wire_done(&r), 0);
        assert_int_equal(back.n, SLOTS_MAX);
        assert_int_equal(back.slots[15].id, 16);
        assert_true(back.machine_matches);
        b.data[17] = SLOTS_MAX + 1;
        r = wire_reader(buffer_bytes(&b));
        assert_int_equal(slot_list_decode(&r, &back), HF_E_INVALID_ARGS);
        assert_int_equal(back.n, 0);
        buffer_deinit(&b);
}

static void test_signatures_of_policies_read_back_and_are_bounded(void **state)
{
        static const uint8_t signature[TPM_NUMBER_MAX] = {9};
        static SignerSignature given[SIGNER_SIGNATURES], back[SIGNER_SIGNATURES];
        Buffer b = BUFFER_INIT(2 * SIGNER_SIGNATURES_MAX);
        size_t n = 7;

        (void)state;
        assert_int_equal(signer_signatures_decode(BYTES_NULL, back, &n), 0);
        assert_int_equal(n, 0);
        for (size_t i = 0; i < SIGNER_SIGNATURES; i++)
                given[i] = (SignerSignature){.bank = TPM_BANK_SHA384, .mask = 1u << i % 24, .key_fingerprint = {(uint8_t)i},
                        .approval = {.digest = {2}, .signature = BYTES(signature, 1 + i % 256)}};
        assert_int_equal(signer_signatures_encode(given, SIGNER_SIGNATURES, &b), 0);
        assert_int_equal(signer_signatures_decode(buffer_bytes(&b), back, &n), 0);
        assert_int_equal(n, SIGNER_SIGNATURES);
        assert_int_equal(back[3].mask, 1u << 3);
        assert_int_equal(back[3].key_fingerprint[0], 3);
        assert_true(bytes_equal(back[255].approval.signature, given[255].approval.signature));
        for (size_t cut = 1; cut < 400; cut++)
                assert_int_equal(signer_signatures_decode(BYTES(b.data, b.len - cut), back, &n), HF_E_INVALID_ARGS);
        b.data[0]++, b.data[1] = 1;
        assert_int_equal(signer_signatures_decode(buffer_bytes(&b), back, &n), HF_E_INVALID_ARGS);
        buffer_deinit(&b);
}

static void test_kinds_have_names(void **state)
{
        (void)state;
        for (SlotKind k = 1; k < _SLOT_KIND_MAX; k++)
                assert_int_equal(slot_kind_from_string(slot_kind_to_string(k)), k);
        assert_null(slot_kind_to_string(0));
        assert_null(slot_kind_to_string(_SLOT_KIND_MAX));
        assert_int_equal(slot_kind_from_string("yubikey"), _SLOT_KIND_INVALID);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_an_operation_reads_back),
                        cmocka_unit_test(test_an_unknown_operation_is_refused),
                        cmocka_unit_test(test_a_checkpoint_and_an_init_read_back),
                        cmocka_unit_test(test_a_slot_list_is_bounded),
                        cmocka_unit_test(test_signatures_of_policies_read_back_and_are_bounded),
                        cmocka_unit_test(test_kinds_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
