/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/slots.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "seal/recovery.h"

#define HEADER_SIZE 68 /* docs/formats/slots.md */

static const uint8_t master[MASTER_SIZE] = {'m', 'a', 's', 't', 'e', 'r'};
static const uint8_t machine[SLOTS_MACHINE_SIZE] = {5};
static const char credential[] = "0123456789abcdef";
static const uint8_t code[RECOVERY_ENTROPY] = {6};

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
        params.kind = SLOT_TPM2;
        assert_int_equal(slots_add(&s, &params, master, &id), HF_E_NOT_SUPPORTED);
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
        Slots s;

        (void)state;
        make(&s);
        assert_int_equal(slots_change(&s, 1, bytes_str("fedcba9876543210"), master), 0);
        assert_int_equal(slots_change(&s, 9, bytes_str("fedcba9876543210"), master), HF_E_NO_SUCH_SLOT);
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
