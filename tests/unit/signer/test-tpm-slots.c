/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Slots, the store's TPM and its counter, with a TPM that works: swtpm behind the real holdfast-tpm. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "chip.h"
#include "crypto/digest.h"
#include "crypto/privkey.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"
#include "seal/counter.h"

static const ChipSlot credential = {.kind = SLOT_CREDENTIAL, .label = "device"};
static const ChipSlot sealed = {.kind = SLOT_TPM2, .label = "tpm", .pcrs = "7+11"};
static const ChipSlot by_pin = {.kind = SLOT_TPM2, .label = "pin", .secret = "1234"};
static const ChipSlot passphrase = {.kind = SLOT_PASSPHRASE, .label = "admin", .secret = "correct horse"};

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* Slots */

static void test_a_sealed_slot_opens_by_itself_until_a_pcr_changes(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        SlotList list;
        uint32_t id;
        TpmState s;

        assert_int_equal(chip_init(c, &sealed, &opened), 0);
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        chip_slots(c, &list);
        assert_string_equal(list.slots[0].pcrs, "sha256:7+11");
        assert_true(list.slots[0].unattended);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);

        chip_reboot(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME); /* it is up */
        chip_tool(c, "tpm2_pcrextend 7:sha256=" ZEROS);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "2 passphrase: needs-secret; 1 tpm2: pcr-changed sha256:7");
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);

        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 2, BYTES_NULL, NULL), HF_E_NOTHING_TO_DO);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 9, BYTES_NULL, NULL), HF_E_NO_SUCH_SLOT);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 1, BYTES_NULL, NULL), 0);
        peer_kill(&c->peer);
        peer_start(&c->peer);
        chip_end_program(c, SIGTERM);
        chip_start_program(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        chip_slots(c, &list);
        assert_string_equal(list.slots[0].pcrs, "sha256:7+11");
}

static void test_a_pin_opens_and_a_wrong_one_tells_how_many_tries_are_left(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        uint32_t id;

        assert_int_equal(chip_init(c, &by_pin, &opened), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "1 tpm2: needs-secret");
        assert_int_equal(chip_unlock(c, true, "4321", reasons), HF_E_UNLOCK_FAILED);
        print_message("%s\n", reasons);
        assert_int_equal(strncmp(reasons, "1 tpm2: wrong, ", 15), 0);
        assert_non_null(strstr(reasons, "left"));
        assert_int_equal(chip_unlock(c, true, "1234", reasons), 0);

        /* A passphrase beside it is tried first, and costs no try. */
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);

        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_CHANGE, 1, BYTES_NULL, "7777"), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, true, "1234", reasons), HF_E_UNLOCK_FAILED);
        assert_int_equal(chip_unlock(c, true, "7777", reasons), 0);
}

/* As who announces an update would: TPM2_PolicyPCR over these values, signed (TCG TPM 2.0 Part 3, PolicyPCR). */
static void approve(PrivKey *key, const TpmPcrs *p, SignerSignature *ret, uint8_t space[static SIGNATURE_MAX])
{
        uint8_t spki[640];
        uint8_t text[32 + 4 + 10 + 32] = {[32] = 0, 0, 1, 0x7f, 0, 0, 0, 1, 0, 11, 3}, values[TPM_PCRS * 32], *at = values;
        SignParams params = {.scheme = SCHEME_RS256};
        size_t len;

        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (p->mask & 1u << i) {
                        memcpy(at, p->values[i], 32);
                        at += 32;
                        text[43 + i / 8] |= (uint8_t)(1 << i % 8);
                }
        digest_sha256(BYTES(values, (size_t)(at - values)), text + 46);
        *ret = (SignerSignature){.bank = p->bank, .mask = p->mask};
        digest_sha256(BYTES_ARRAY(text), ret->approval.digest);
        assert_int_equal(privkey_sign(key, &params, BYTES_ARRAY(ret->approval.digest), space, &len), 0);
        ret->approval.signature = BYTES(space, len);
        assert_int_equal(privkey_public(key, spki, sizeof(spki), &len), 0);
        assert_int_equal(pubkey_inner_fingerprint(BYTES(spki, len), ret->key_fingerprint), 0);
}

static void test_a_slot_under_a_policy_key_survives_the_update_that_was_announced(void **state)
{
        _cleanup_(privkey_freep) PrivKey *vendor = NULL;
        ChipSlot announced = {.kind = SLOT_TPM2, .label = "announced", .pcrs = "11"};
        uint8_t spki[640], space[2][SIGNATURE_MAX], extended[64] = {};
        SignerSignature signatures[SIGNER_SIGNATURES];
        SignerOpened opened;
        char reasons[1024];
        KeyAlgorithm a;
        Chip *c = *state;
        SlotList list;
        SlotTpm tpm;
        TpmState s;
        uint32_t id;
        Slots slots;
        size_t len;

        assert_int_equal(privkey_generate(KEY_RSA2048, &vendor), 0);
        assert_int_equal(privkey_public(vendor, spki, sizeof(spki), &len), 0);
        announced.policy.algorithm = TPM_RSA2048;
        assert_int_equal(spki_parse(BYTES(spki, len), &a, &announced.policy.number), 0);
        assert_int_equal(chip_init(c, &passphrase, &opened), 0);
        assert_int_equal(chip_slot_add(c, &announced, &id), 0);
        assert_int_equal(slots_parse(buffer_bytes(&c->peer.slots), &slots), 0);
        assert_int_equal(slot_tpm_decode(SLOT_TPM2, slot_extra(slots_find(&slots, id)), &tpm), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, id, BYTES_NULL, NULL), HF_E_NOTHING_TO_DO);

        approve(vendor, &tpm.pcrs, &signatures[0], space[0]);
        chip_slots(c, &list);
        assert_true(list.slots[1].signed_policy);
        assert_memory_equal(list.slots[1].policy_key, signatures[0].key_fingerprint, 32);
        chip_reboot(c);
        assert_int_equal(chip_unlock_signed(c, NULL, 0, reasons), HF_E_UNLOCK_FAILED);
        assert_int_equal(chip_unlock_signed(c, signatures, 1, reasons), 0);

        chip_reboot(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        chip_tool(c, "tpm2_pcrextend 11:sha256=" ZEROS);
        assert_int_equal(chip_unlock_signed(c, signatures, 1, reasons), HF_E_UNLOCK_FAILED);
        assert_non_null(strstr(reasons, "tpm2: pcr-changed sha256:11"));
        memcpy(extended, tpm.pcrs.values[11], 32);
        digest_sha256(BYTES_ARRAY(extended), tpm.pcrs.values[11]);
        approve(vendor, &tpm.pcrs, &signatures[1], space[1]);
        assert_int_equal(chip_unlock_signed(c, signatures, 2, reasons), 0);

        /* What is for others hides nothing: other PCRs, another bank, another key. */
        signatures[SIGNER_SIGNATURES - 1] = signatures[1];
        for (size_t i = 0; i < SIGNER_SIGNATURES - 1; i++) {
                signatures[i] = signatures[SIGNER_SIGNATURES - 1];
                signatures[i].bank = i % 3 ? TPM_BANK_SHA256 : TPM_BANK_SHA384;
                signatures[i].mask = i % 3 == 1 ? 1u << 7 : 1u << 11;
                signatures[i].key_fingerprint[0] ^= i % 3 == 2;
                signatures[i].approval.signature = BYTES(space[1], 3);
        }
        chip_reboot(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        chip_tool(c, "tpm2_pcrextend 11:sha256=" ZEROS);
        assert_int_equal(chip_unlock_signed(c, signatures, SIGNER_SIGNATURES - 1, reasons), HF_E_UNLOCK_FAILED);
        assert_int_equal(chip_unlock_signed(c, signatures, SIGNER_SIGNATURES, reasons), 0);
}

static void test_a_derived_slot_stands_on_the_device_key_and_never_alone(void **state)
{
        static const uint8_t keys[2][32] = {{1}, {2}};
        ChipSlot derived = {.kind = SLOT_TPM2_DERIVED, .label = "derived", .device_key = keys[0]};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024), block = BUFFER_INIT(1024);
        SignerSlotTpm other = {};
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        SlotList list;
        uint32_t id;

        assert_int_equal(chip_init(c, &derived, &opened), HF_E_INVALID_ARGS);
        assert_int_equal(chip_init(c, &passphrase, &opened), 0);
        assert_int_equal(chip_slot_add(c, &derived, &id), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, 1, BYTES_NULL, NULL), HF_E_LAST_SLOT);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);

        memcpy(other.device_key, keys[1], 32);
        assert_int_equal(signer_slot_tpm_encode(&other, &b), 0);
        assert_int_equal(wire_put_block(&block, buffer_bytes(&b)), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_CHANGE, id, buffer_bytes(&block), NULL), 0);
        chip_slots(c, &list);
        assert_memory_equal(list.slots[1].device_key, keys[1], 32);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, id, BYTES_NULL, NULL), 0);
}

static void test_slots_of_the_tpm_beside_one_that_needs_none(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        uint32_t id;

        assert_int_equal(chip_init(c, &sealed, &opened), 0);
        assert_int_equal(chip_slot_add(c, &credential, &id), 0);
        chip_reboot(c);
        rig_kill_swtpm(&c->rig);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0); /* by the credential */
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, id, BYTES_NULL, NULL), 0);
        peer_kill(&c->peer);
        peer_start(&c->peer);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "1 tpm2: no-tpm");
}

/* The TPM's part in a store */

static void test_a_store_knows_its_tpm_and_another_gets_a_counter_of_its_own(void **state)
{
        bool other;
        uint64_t first, second, third;
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        TpmState s;
        PeerKey k;
        uint32_t id;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(s.presence, TPM_PRESENCE_READY);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &first), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &second), 0);
        assert_int_equal(second, first + 1);
        /* The same TPM keeps it. */
        assert_int_equal(chip_adopt(c, &other), 0);
        assert_false(other);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &third), 0);
        assert_int_equal(third, second);

        chip_end_program(c, SIGTERM);
        peer_kill(&c->peer);
        rig_replace_tpm(&c->rig);
        peer_start(&c->peer);
        chip_start_program(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_OTHER);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_STORE_FOREIGN);
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &third), HF_E_TPM_IDENTITY_CHANGED);
        assert_true(chip_sign(c, &k, SCHEME_ES256) != 0);
        assert_int_equal(chip_adopt(c, &other), 0);
        assert_true(other);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &third), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
}

static void wait_for_tpm(Chip *c)
{
        TpmState s;

        for (int i = 0; chip_state(c, &s) == SIGNER_TPM_UNKNOWN && i < 1000; i++)
                (void)poll(NULL, 0, 5);
}

static void test_a_store_that_comes_back_leaves_no_counter_behind(void **state)
{
        SignerOpened opened;
        uint64_t before, value;
        Chip *c = *state;
        TpmState s;
        bool other;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &before), 0);
                chip_end_program(c, SIGTERM); /* a board without a TPM */
                assert_int_equal(chip_adopt(c, &other), 0);
                chip_start_program(c);
                wait_for_tpm(c);
                assert_int_equal(chip_state(c, &s), SIGNER_TPM_UNBOUND);
                assert_int_equal(chip_adopt(c, &other), 0);
                assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
                assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), 0);
                assert_true(value > before); /* or an old copy would look like the newest */
                assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 1);
        }
}

static void test_the_first_slot_of_a_tpm_gives_a_store_its_counter(void **state)
{
        static const ChipSlot twice = {.kind = SLOT_TPM2, .label = "device"};
        SignerOpened opened;
        uint64_t value;
        Chip *c = *state;
        TpmState s;
        uint32_t id;

        chip_end_program(c, SIGTERM);
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_slot_add(c, &sealed, &id), HF_E_TPM_UNAVAILABLE);
        chip_start_program(c);
        wait_for_tpm(c);
        assert_int_equal(chip_slot_add(c, &twice, &id), HF_E_SLOT_EXISTS);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 0);
        assert_int_equal(chip_slot_add(c, &sealed, &id), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 1);
}

static void test_a_store_made_twice_leaves_one_counter(void **state)
{
        SignerOpened opened;
        Chip *c = *state;

        for (int i = 0; i < 3; i++) {
                uuid_generate(&c->peer.store_id);
                assert_int_equal(chip_init(c, &credential, &opened), 0);
                assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 1);
        }
        assert_int_equal(chip_counter(c, TPM_COUNTER_REMOVE, buffer_bytes(&c->peer.slots), &(uint64_t){0}), 0);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 0);
}

static void test_an_index_that_is_taken_is_stepped_over(void **state)
{
        SignerOpened opened;
        char command[128];
        uint64_t value;
        Chip *c = *state;

        snprintf(command, sizeof(command), "tpm2_nvdefine 0x%x -s 8 -C o", (unsigned)counter_index(&c->peer.store_id, 0));
        chip_tool(c, command);
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 2);
}

static void test_a_rekey_keeps_the_counter(void **state)
{
        _cleanup_buffer_ Buffer slots = BUFFER_INIT(SLOTS_FILE_MAX);
        SignerOpened opened;
        uint64_t before, value;
        uint8_t keep = 1;
        char reasons[1024];
        Chip *c = *state;
        Bytes reply;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &before), 0);
        assert_int_equal(chip_rekey(c, &sealed, &slots), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);
        assert_int_equal(value, before + 1);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&slots), &value), 0);
        assert_int_equal(value, before + 1);
        assert_int_equal(peer_call(&c->peer, SIGNER_REKEY_COMMIT, BYTES(&keep, 1), NULL, 0, &reply), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&slots), &value), 0);
        assert_int_equal(value, before + 2);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_KEY_MISMATCH);
        buffer_clear(&c->peer.slots);
        assert_int_equal(buffer_append(&c->peer.slots, slots.data, slots.len), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
}

static void test_a_store_made_without_a_tpm_is_bound_to_none(void **state)
{
        bool other;
        SignerOpened opened;
        uint64_t value;
        Chip *c = *state;
        TpmState s;

        chip_end_program(c, SIGTERM);
        assert_int_equal(chip_init(c, &sealed, &opened), HF_E_TPM_UNAVAILABLE);
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_UNKNOWN);
        assert_int_equal(s.presence, TPM_PRESENCE_NONE);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_NOT_SUPPORTED);
        chip_start_program(c);
        wait_for_tpm(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_UNBOUND);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_NOT_SUPPORTED);
        /* Until somebody says that it belongs here. */
        assert_int_equal(chip_adopt(c, &other), 0);
        assert_false(other);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), 0);
}

static void test_nothing_of_the_tpm_is_for_a_store_that_is_locked_or_foreign(void **state)
{
        bool other;
        SignerOpened opened;
        uint64_t value;
        Chip *c = *state;
        uint32_t id;
        Bytes reply;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_DEFINE, buffer_bytes(&c->peer.slots), &value), HF_E_INVALID_ARGS);
        assert_int_equal(peer_call(&c->peer, SIGNER_LOCK, BYTES("\1", 1), NULL, 0, &reply), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_STORE_LOCKED);
        assert_int_equal(chip_adopt(c, &other), HF_E_STORE_LOCKED);
        assert_int_equal(chip_slot_add(c, &sealed, &id), HF_E_STORE_LOCKED);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 1, BYTES_NULL, NULL), HF_E_STORE_LOCKED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, chip_setup, chip_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_a_sealed_slot_opens_by_itself_until_a_pcr_changes),
                TEST(test_a_pin_opens_and_a_wrong_one_tells_how_many_tries_are_left),
                TEST(test_a_slot_under_a_policy_key_survives_the_update_that_was_announced),
                TEST(test_a_derived_slot_stands_on_the_device_key_and_never_alone),
                TEST(test_slots_of_the_tpm_beside_one_that_needs_none),
                TEST(test_a_store_knows_its_tpm_and_another_gets_a_counter_of_its_own),
                TEST(test_a_store_that_comes_back_leaves_no_counter_behind),
                        TEST(test_the_first_slot_of_a_tpm_gives_a_store_its_counter),
                        TEST(test_a_store_made_twice_leaves_one_counter),
                TEST(test_an_index_that_is_taken_is_stepped_over),
                TEST(test_a_rekey_keeps_the_counter),
                TEST(test_a_store_made_without_a_tpm_is_bound_to_none),
                TEST(test_nothing_of_the_tpm_is_for_a_store_that_is_locked_or_foreign),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
