/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/slots.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "seal/counter.h"
#include "seal/recovery.h"

#define HEADER_SIZE 178 /* docs/formats/slots.md */

static const uint8_t master[MASTER_SIZE] = {'m', 'a', 's', 't', 'e', 'r'};
static const uint8_t machine[SLOTS_MACHINE_SIZE] = {5};
static const char credential[] = "0123456789abcdef";
static const uint8_t code[RECOVERY_ENTROPY] = {6};
static const uint8_t unsealed[SLOT_TPM_SECRET_SIZE] = {7};
static const uint8_t salt[SLOT_SALT_SIZE] = {8};

static uint32_t add(Slots *s, SlotKind kind, const char *label, Bytes secret)
{
        SlotParams params = {.kind = kind, .label = label, .created = 1000, .secret = secret};
        uint32_t id;

        if (kind == SLOT_PASSPHRASE) {
                params.memory = SLOT_MEMORY_MIN;
                params.passes = 1;
        }
        assert_int_equal(slots_add(s, &params, master, &id), 0);
        return id;
}

static void make(Slots *s)
{
        Uuid id;

        uuid_generate(&id);
        slots_init(s, &id, machine);
        add(s, SLOT_CREDENTIAL, "device", bytes_str(credential));
        add(s, SLOT_RECOVERY, "recovery", BYTES_ARRAY(code));
}

/* As a TPM's answer and the operator's wishes would make it. */
static SlotTpm sealed(bool pin)
{
        static uint8_t number[64] = {9};
        SlotTpm t = {
                .blob = {.parent = {0, 11, 1}, .public = bytes_str("public part"), .private = bytes_str("private part")},
                .pcrs = {.bank = TPM_BANK_SHA256, .mask = 1u << 7 | 1u << 11, .has_values = true},
                .pin = pin,
                .policy = {.algorithm = TPM_P256, .number = BYTES_ARRAY(number)},
        };

        t.pcrs.values[11][31] = 3;
        return t;
}

static int add_tpm(Slots *s, SlotKind kind, const SlotTpm *t, const char *label, uint32_t *ret_id)
{
        SlotParams params = {.kind = kind, .label = label, .created = 1000, .secret = BYTES_ARRAY(unsealed), .tpm = t,
                .salt = t->pin ? salt : NULL};

        return slots_add(s, &params, master, ret_id);
}

static Bytes secret_of(const Slot *slot)
{
        return slot->kind == SLOT_RECOVERY ? BYTES_ARRAY(code) : bytes_str(credential);
}

static void test_every_slot_opens_the_same_master_after_reading_back(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX);
        uint8_t out[MASTER_SIZE];
        Slots s, back;

        (void)state;
        make(&s);
        add(&s, SLOT_PASSPHRASE, "admin", bytes_str("pass"));
        assert_int_equal(slots_encode(&s, &b), 0);
        assert_int_equal(slots_parse(buffer_bytes(&b), &back), 0);
        assert_int_equal(back.n, 3);
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(slot_open(&back, &back.slots[i], secret_of(&back.slots[i]), out), 0);
                assert_memory_equal(out, master, sizeof(out));
        }
        assert_int_equal(slot_open(&back, &back.slots[2], bytes_str("pass"), out), 0);
        assert_memory_equal(out, master, sizeof(out));
        buffer_deinit(&b);
}

static void test_a_wrong_secret_does_not_open(void **state)
{
        uint8_t out[MASTER_SIZE] = {1}, other[RECOVERY_ENTROPY] = {7};
        Slots s;

        (void)state;
        make(&s);
        assert_int_equal(slot_open(&s, &s.slots[0], bytes_str("0123456789abcdeF"), out), HF_E_UNLOCK_FAILED);
        assert_int_equal(slot_open(&s, &s.slots[0], bytes_str("short"), out), HF_E_UNLOCK_FAILED);
        assert_int_equal(slot_open(&s, &s.slots[0], BYTES_NULL, out), HF_E_UNLOCK_FAILED);
        assert_int_equal(slot_open(&s, &s.slots[1], BYTES_ARRAY(other), out), HF_E_UNLOCK_FAILED);
        assert_int_equal(slot_open(&s, &s.slots[1], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
        assert_int_equal(out[0], 1);
}

/* Never another master, never another answer: a flip is an error of the file, or the slot's own, or of no
 * effect. */
static void test_every_flipped_bit_is_noticed(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX);
        uint8_t out[MASTER_SIZE];
        Slots s, back;
        size_t opened, refused = 0, damaged = 0;

        (void)state;
        make(&s);
        assert_int_equal(slots_encode(&s, &b), 0);
        for (size_t bit = 0; bit < b.len * 8; bit++) {
                b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                opened = 0;
                if (slots_parse(buffer_bytes(&b), &back)) {
                        refused++;
                } else {
                        assert_memory_equal(&back.store_id, &s.store_id, sizeof(s.store_id));
                        assert_memory_equal(back.machine, s.machine, sizeof(s.machine));
                        assert_int_equal(back.next_id, s.next_id);
                        for (size_t i = 0; i < back.n; i++) {
                                damaged += back.slots[i].damaged;
                                if (slot_open(&back, &back.slots[i], secret_of(&s.slots[i]), out))
                                        continue;
                                opened++;
                                assert_memory_equal(out, master, sizeof(out));
                        }
                        assert_int_equal(opened, 1); /* the other slot, and only that */
                }
                b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_true(refused > 0 && damaged > 0);
        buffer_deinit(&b);
}

static void test_every_shorter_and_longer_file_is_damaged(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 1);
        Slots s, back;

        (void)state;
        make(&s);
        assert_int_equal(slots_encode(&s, &b), 0);
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(slots_parse(BYTES(b.data, len), &back), HF_E_STORE_DAMAGED);
        assert_int_equal(buffer_append(&b, "x", 1), 0);
        assert_int_equal(slots_parse(buffer_bytes(&b), &back), HF_E_STORE_DAMAGED);
        buffer_deinit(&b);
}

static void test_a_damaged_slot_is_kept_and_stays_damaged(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX), again = BUFFER_INIT(SLOTS_FILE_MAX);
        Slots s, back;
        SlotList list;

        (void)state;
        make(&s);
        assert_int_equal(slots_encode(&s, &b), 0);
        b.data[b.len - 20] ^= 1; /* the wrapped master of the second slot */
        assert_int_equal(slots_parse(buffer_bytes(&b), &back), 0);
        assert_true(back.slots[1].damaged);
        assert_int_equal(slots_remove(&back, 1), HF_E_LAST_SLOT); /* a damaged one is no way in */
        assert_int_equal(slots_encode(&back, &again), 0);
        assert_true(bytes_equal(buffer_bytes(&b), buffer_bytes(&again)));
        slots_list(&back, machine, &list);
        assert_int_equal(list.n, 1);
        buffer_deinit(&b);
        buffer_deinit(&again);
}

/* The AEAD vouches for all that a slot says: two sound slots with something exchanged do not open. */
static void test_slots_cannot_be_mixed(void **state)
{
        uint8_t out[MASTER_SIZE];
        Slots s, other, mixed;

        (void)state;
        make(&s);
        make(&other);
        mixed = s;
        mixed.slots[0] = other.slots[0]; /* of another store */
        assert_int_equal(slot_open(&mixed, &mixed.slots[0], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
        mixed = s;
        strcpy(mixed.slots[0].label, "other");
        assert_int_equal(slot_open(&mixed, &mixed.slots[0], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
        mixed = s;
        mixed.slots[0].created++;
        assert_int_equal(slot_open(&mixed, &mixed.slots[0], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
        mixed = s;
        mixed.slots[0].id++;
        assert_int_equal(slot_open(&mixed, &mixed.slots[0], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
}

static int parse_with(const Slots *s)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX);
        Slots back;
        int r;

        assert_int_equal(slots_encode(s, &b), 0);
        r = slots_parse(buffer_bytes(&b), &back);
        buffer_deinit(&b);
        return r;
}

/* Sound check values, hostile content: what an attacker with the disk would write. */
static void test_hostile_fields_are_refused(void **state)
{
        Slots s, bad;

        (void)state;
        make(&s);
        add(&s, SLOT_PASSPHRASE, "admin", bytes_str("pass"));
        assert_int_equal(parse_with(&s), 0);
#define BAD(change)                                                                                          \
        bad = s;                                                                                             \
        change;                                                                                              \
        assert_int_equal(parse_with(&bad), HF_E_STORE_DAMAGED)
        BAD(bad.slots[2].memory = SLOT_MEMORY_MAX + 1);
        BAD(bad.slots[2].memory = UINT32_MAX);
        BAD(bad.slots[2].memory = SLOT_MEMORY_MIN - 1);
        BAD(bad.slots[2].passes = SLOT_PASSES_MAX + 1);
        BAD(bad.slots[2].passes = 0);
        BAD(bad.slots[0].memory = 1);
        BAD(bad.slots[0].kind = 0);
        BAD(bad.slots[0].kind = _SLOT_KIND_MAX);
        BAD(bad.slots[0].id = 0);
        BAD(bad.slots[0].id = 2);
        BAD(bad.slots[0].id = 4);
        BAD(bad.next_id = 3);
        BAD(strcpy(bad.slots[0].label, "admin"));
        BAD(strcpy(bad.slots[0].label, "../x"));
        BAD(bad.slots[0].label[0] = '\0');
        BAD(bad.n = 0);
}

static void test_limits_and_names(void **state)
{
        SlotParams params = {.kind = SLOT_CREDENTIAL, .label = "device", .secret = bytes_str(credential)};
        char label[16];
        uint32_t id;
        Slots s;

        (void)state;
        make(&s);
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_SLOT_EXISTS);
        params.label = "a b";
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_INVALID_NAME);
        params.label = "short";
        params.secret.len = SLOT_CREDENTIAL_MIN - 1;
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_INVALID_ARGS);
        params.kind = SLOT_TPM2; /* without what it keeps */
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_INVALID_ARGS);
        params = (SlotParams){.kind = SLOT_PASSPHRASE, .label = "p"};
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_INVALID_ARGS);
        assert_int_equal(s.n, 2);
        assert_int_equal(slots_remove(&s, 1), 0);
        assert_int_equal(slots_remove(&s, 1), HF_E_NO_SUCH_SLOT);
        assert_int_equal(slots_remove(&s, 2), HF_E_LAST_SLOT);
        for (size_t i = s.n; i < SLOTS_MAX; i++) {
                snprintf(label, sizeof(label), "slot%zu", i);
                assert_int_equal(add(&s, SLOT_CREDENTIAL, label, bytes_str(credential)), i + 2);
        }
        params = (SlotParams){.kind = SLOT_CREDENTIAL, .label = "more", .secret = bytes_str(credential)};
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(parse_with(&s), 0);
}

static void test_a_changed_slot_opens_by_the_new_secret_alone(void **state)
{
        uint8_t out[MASTER_SIZE];
        SlotParams params = {.secret = bytes_str("fedcba9876543210")};
        Slots s;

        (void)state;
        make(&s);
        assert_int_equal(slots_change(&s, 1, &params, master), 0);
        assert_int_equal(slots_change(&s, 9, &params, master), HF_E_NO_SUCH_SLOT);
        assert_int_equal(slot_open(&s, &s.slots[0], bytes_str(credential), out), HF_E_UNLOCK_FAILED);
        assert_int_equal(slot_open(&s, &s.slots[0], bytes_str("fedcba9876543210"), out), 0);
}

static void test_machines_are_told_apart(void **state)
{
        uint8_t a[SLOTS_MACHINE_SIZE], b[SLOTS_MACHINE_SIZE];
        Slots s;

        (void)state;
        slots_machine(bytes_str("11111111222222223333333344444444\n"), a);
        slots_machine(bytes_str("11111111222222223333333344444444"), b);
        assert_memory_equal(a, b, sizeof(a));
        slots_machine(bytes_str("11111111222222223333333344444445"), b);
        assert_memory_not_equal(a, b, sizeof(a));
        make(&s);
        assert_true(slots_machine_matches(&s, machine));
        assert_false(slots_machine_matches(&s, a));
}

static void test_a_newer_format_is_named(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX);
        uint8_t hash[32];
        Slots s, back;

        (void)state;
        make(&s);
        assert_int_equal(slots_encode(&s, &b), 0);
        b.data[8] = SLOTS_FORMAT + 1; /* behind the magic, with the header's check made anew */
        crypto_generichash(hash, sizeof(hash), b.data, HEADER_SIZE, NULL, 0);
        memcpy(b.data + HEADER_SIZE, hash, 8);
        assert_int_equal(slots_parse(buffer_bytes(&b), &back), HF_E_STORE_TOO_NEW);
        buffer_deinit(&b);
}

static void test_a_slot_of_the_tpm_keeps_what_opens_it(void **state)
{
        Buffer b = BUFFER_INIT(SLOTS_FILE_MAX);
        SlotTpm t = sealed(true), derived = {.blob = t.blob, .device_key = {4}}, out;
        uint8_t opened[MASTER_SIZE], again[TPM_AUTH_SIZE], pin[TPM_AUTH_SIZE];
        uint32_t id, other;
        SlotList list;
        Slots s, back;

        (void)state;
        make(&s);
        assert_int_equal(add_tpm(&s, SLOT_TPM2, &t, "tpm", &id), 0);
        assert_int_equal(add_tpm(&s, SLOT_TPM2_DERIVED, &derived, "derived", &other), 0);
        assert_int_equal(slots_encode(&s, &b), 0);
        assert_int_equal(slots_parse(buffer_bytes(&b), &back), 0);
        for (uint32_t i = id; i <= other; i++) {
                assert_int_equal(slot_open(&back, slots_find(&back, i), BYTES_ARRAY(unsealed), opened), 0);
                assert_memory_equal(opened, master, sizeof(master));
                assert_int_equal(slot_open(&back, slots_find(&back, i), BYTES_ARRAY(master), opened), HF_E_UNLOCK_FAILED);
        }
        assert_int_equal(slot_tpm_decode(SLOT_TPM2, slot_extra(slots_find(&back, id)), &out), 0);
        assert_true(bytes_equal(out.blob.private, t.blob.private));
        assert_memory_equal(&out.pcrs, &t.pcrs, sizeof(t.pcrs));
        assert_true(bytes_equal(out.policy.number, t.policy.number));

        slots_list(&back, machine, &list);
        assert_string_equal(list.slots[2].pcrs, "sha256:7+11");
        assert_true(list.slots[2].pin && list.slots[2].signed_policy && !list.slots[2].unattended);
        assert_true(list.slots[3].unattended && !list.slots[3].pin);
        assert_int_equal(list.slots[3].device_key[0], 4);

        /* The PIN of a new slot and of the one read back are the same to the TPM. */
        assert_int_equal(slot_pin(NULL, salt, bytes_str("1234"), pin), 0);
        assert_int_equal(slot_pin(slots_find(&back, id), slots_find(&back, id)->salt, bytes_str("1234"), again), 0);
        assert_memory_equal(pin, again, sizeof(pin));
        assert_int_equal(slot_pin(NULL, salt, BYTES_NULL, pin), HF_E_INVALID_ARGS);
        buffer_deinit(&b);
}

/* Else somebody could have a slot opened in a weaker way than it was made for. */
static void test_what_a_slot_of_the_tpm_keeps_is_vouched_for(void **state)
{
        SlotTpm t = sealed(false);
        uint8_t opened[MASTER_SIZE];
        uint32_t id;
        Slots s;

        (void)state;
        make(&s);
        assert_int_equal(add_tpm(&s, SLOT_TPM2, &t, "tpm", &id), 0);
        for (size_t i = 0; i < s.slots[2].extra_len; i++) {
                s.slots[2].extra[i] ^= 1;
                assert_int_equal(slot_open(&s, &s.slots[2], BYTES_ARRAY(unsealed), opened), HF_E_UNLOCK_FAILED);
                s.slots[2].extra[i] ^= 1;
        }
        s.slots[2].kind = SLOT_TPM2_DERIVED;
        assert_int_equal(slot_open(&s, &s.slots[2], BYTES_ARRAY(unsealed), opened), HF_E_UNLOCK_FAILED);
}

static void test_hostile_slots_of_the_tpm_are_refused(void **state)
{
        SlotTpm t = sealed(true), big = t;
        static const uint8_t part[TPM_PART_MAX];
        uint32_t id;
        Slots s, bad;

        (void)state;
        make(&s);
        assert_int_equal(add_tpm(&s, SLOT_TPM2, &t, "tpm", &id), 0);
        assert_int_equal(parse_with(&s), 0);
        BAD(bad.slots[2].extra_len--);
        BAD(bad.slots[2].extra_len = 0);
        BAD(bad.slots[2].kind = SLOT_TPM2_DERIVED);
        BAD(bad.slots[2].kind = SLOT_CREDENTIAL);
        BAD(bad.slots[2].memory = 0);
        BAD(bad.slots[2].passes = SLOT_PASSES_MAX + 1);
        BAD(bad.slots[0].extra_len = 1);
        BAD(bad.counter = 1);
        BAD(bad.counter = TPM_COUNTER_LAST + 1);
        big.blob.public = big.blob.private = BYTES_ARRAY(part);
        assert_int_equal(add_tpm(&s, SLOT_TPM2, &big, "big", &id), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(s.n, 3);
}

/* A key that goes must not take the last way in with it. */
static void test_a_derived_slot_is_never_the_only_one(void **state)
{
        SlotTpm derived = {.blob = {.public = bytes_str("p"), .private = bytes_str("q")}, .device_key = {4}};
        uint32_t id;
        Slots s, empty;

        (void)state;
        make(&s);
        slots_init(&empty, &s.store_id, machine);
        assert_int_equal(add_tpm(&empty, SLOT_TPM2_DERIVED, &derived, "derived", &id), HF_E_LAST_SLOT);
        assert_int_equal(add_tpm(&s, SLOT_TPM2_DERIVED, &derived, "derived", &id), 0);
        assert_int_equal(slots_remove(&s, 1), 0);
        assert_int_equal(slots_remove(&s, 2), HF_E_LAST_SLOT);
        assert_int_equal(slots_remove(&s, id), 0);
        assert_int_equal(s.n, 1);
}

static void test_a_full_file_of_the_largest_slots_fits(void **state)
{
        static const uint8_t part[800];
        SlotTpm t = sealed(true);
        char label[16];
        uint32_t id;
        Slots s;

        (void)state;
        t.blob.public = BYTES_ARRAY(part);
        t.blob.private = BYTES_ARRAY(part);
        make(&s);
        for (size_t i = s.n; i < SLOTS_MAX; i++) {
                snprintf(label, sizeof(label), "slot%zu", i);
                assert_int_equal(add_tpm(&s, SLOT_TPM2, &t, label, &id), 0);
        }
        assert_int_equal(parse_with(&s), 0);
}

static void test_the_counters_authorisation_is_for_this_master_store_and_tpm(void **state)
{
        uint8_t auth[COUNTER_AUTH_SIZE] = {5}, out[COUNTER_AUTH_SIZE], other_master[MASTER_SIZE] = {1};
        SealKeys keys, others;
        Slots s, bad;

        (void)state;
        make(&s);
        seal_keys_derive(master, &keys);
        seal_keys_derive(other_master, &others);
        assert_int_equal(slots_counter_auth(&s, &keys, out), HF_E_KEY_MISMATCH);
        s.tpm[1] = 11;
        slots_set_counter(&s, counter_index(&s.store_id, 0), auth, &keys);
        assert_int_equal(parse_with(&s), 0);
        assert_int_equal(slots_counter_auth(&s, &keys, out), 0);
        assert_memory_equal(out, auth, sizeof(auth));
        assert_int_equal(slots_counter_auth(&s, &others, out), HF_E_KEY_MISMATCH);
        bad = s;
        bad.tpm[5] ^= 1;
        assert_int_equal(slots_counter_auth(&bad, &keys, out), HF_E_KEY_MISMATCH);
        bad = s;
        bad.counter++;
        assert_int_equal(slots_counter_auth(&bad, &keys, out), HF_E_KEY_MISMATCH);
        bad = s;
        bad.store_id.b[3] ^= 1;
        assert_int_equal(slots_counter_auth(&bad, &keys, out), HF_E_KEY_MISMATCH);
        slots_set_counter(&s, 0, auth, &keys); /* where there is no TPM for a while the authorisation is kept */
        memset(out, 0, sizeof(out));
        assert_int_equal(slots_counter_auth(&s, &keys, out), 0);
        assert_memory_equal(out, auth, sizeof(auth));
}

static void test_counters_stay_in_their_range_and_step_on(void **state)
{
        Uuid id = {};

        (void)state;
        memset(&id, 0xff, sizeof(id));
        for (unsigned i = 0; i < 16; i++) {
                uint32_t index = counter_index(&id, i);

                assert_true(index >= TPM_COUNTER_FIRST && index <= TPM_COUNTER_LAST);
                assert_true(i == 0 || index != counter_index(&id, i - 1));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_slot_opens_the_same_master_after_reading_back),
                        cmocka_unit_test(test_a_wrong_secret_does_not_open),
                        cmocka_unit_test(test_every_flipped_bit_is_noticed),
                        cmocka_unit_test(test_every_shorter_and_longer_file_is_damaged),
                        cmocka_unit_test(test_a_damaged_slot_is_kept_and_stays_damaged),
                        cmocka_unit_test(test_slots_cannot_be_mixed),
                        cmocka_unit_test(test_hostile_fields_are_refused),
                        cmocka_unit_test(test_limits_and_names),
                        cmocka_unit_test(test_a_changed_slot_opens_by_the_new_secret_alone),
                        cmocka_unit_test(test_machines_are_told_apart),
                        cmocka_unit_test(test_a_newer_format_is_named),
                        cmocka_unit_test(test_a_slot_of_the_tpm_keeps_what_opens_it),
                        cmocka_unit_test(test_what_a_slot_of_the_tpm_keeps_is_vouched_for),
                        cmocka_unit_test(test_hostile_slots_of_the_tpm_are_refused),
                        cmocka_unit_test(test_a_derived_slot_is_never_the_only_one),
                        cmocka_unit_test(test_a_full_file_of_the_largest_slots_fits),
                        cmocka_unit_test(test_the_counters_authorisation_is_for_this_master_store_and_tpm),
                        cmocka_unit_test(test_counters_stay_in_their_range_and_step_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
