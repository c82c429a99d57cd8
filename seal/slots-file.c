/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The slots file's bytes: one reader and one writer, side by side, so that what one puts the other gets.
 */
#include <errno.h>
#include <sodium.h>

#include "base/error.h"
#include "seal/slots.h"

static const uint8_t magic[8] = {'H', 'F', 'S', 'L', 'O', 'T', 'S', '\n'};

#define CHECK_SIZE 8
#define HEADER_SIZE (8 + 4 + 16 + 32 + TPM_NAME_SIZE + 4 + SLOTS_COUNTER_AUTH_SIZE + 4 + 4)
#define SLOT_SPACE (SLOT_EXTRA_MAX + 512)

_Static_assert(HEADER_SIZE + CHECK_SIZE + SLOTS_MAX * SLOT_SPACE <= SLOTS_FILE_MAX,
                "a full file fits its limit");

/* The first 64 bits of BLAKE2b-256: against bit rot, not against people. */
static void check_value(Bytes b, uint8_t ret[static CHECK_SIZE])
{
        uint8_t hash[32];

        crypto_generichash(hash, sizeof(hash), b.data, b.len, NULL, 0);
        memcpy(ret, hash, CHECK_SIZE);
}

static int put_slot(const Slot *s, Buffer *b)
{
        int r;

        if ((r = wire_put_u32(b, s->id)) || (r = wire_put_u8(b, (uint8_t)s->kind)) ||
                        (r = wire_put_string(b, s->label)) || (r = wire_put_u64(b, s->created)) ||
                        (r = wire_put_u32(b, s->memory)) || (r = wire_put_u32(b, s->passes)) ||
                        (r = wire_put_block(b, slot_extra(s))) || (r = wire_put_raw(b, s->salt, sizeof(s->salt))) ||
                        (r = wire_put_raw(b, s->nonce, sizeof(s->nonce))))
                return r;
        return wire_put_raw(b, s->wrapped, sizeof(s->wrapped));
}

static int put_header(const Slots *s, Buffer *b)
{
        int r;

        if ((r = wire_put_raw(b, magic, sizeof(magic))) || (r = wire_put_u32(b, SLOTS_FORMAT)) ||
                        (r = wire_put_raw(b, s->store_id.b, 16)) ||
                        (r = wire_put_raw(b, s->machine, sizeof(s->machine))) ||
                        (r = wire_put_raw(b, s->tpm, sizeof(s->tpm))) || (r = wire_put_u32(b, s->counter)) ||
                        (r = wire_put_raw(b, s->counter_auth, sizeof(s->counter_auth))) ||
                        (r = wire_put_u32(b, s->next_id)))
                return r;
        return wire_put_u32(b, (uint32_t)s->n);
}

/* A damaged slot keeps the check value it came with: writing it anew must not make it look sound. */
int slots_encode(const Slots *s, Buffer *ret)
{
        size_t start = ret->len;
        uint8_t check[CHECK_SIZE];
        int r;

        r = put_header(s, ret);
        if (r)
                return r;
        check_value(BYTES(ret->data + start, ret->len - start), check);
        r = wire_put_raw(ret, check, sizeof(check));
        for (size_t i = 0; !r && i < s->n; i++) {
                start = ret->len;
                r = put_slot(&s->slots[i], ret);
                if (r)
                        return r;
                check_value(BYTES(ret->data + start, ret->len - start), check);
                r = wire_put_raw(ret, s->slots[i].damaged ? s->slots[i].check : check, sizeof(check));
        }
        return r;
}

static bool parameters_fit(const Slot *s)
{
        SlotTpm tpm;

        if (slot_tpm_decode(s->kind, slot_extra(s), &tpm))
                return false;
        if (s->kind == SLOT_PASSPHRASE || tpm.pin)
                return s->memory >= SLOT_MEMORY_MIN && s->memory <= SLOT_MEMORY_MAX && s->passes >= 1 &&
                       s->passes <= SLOT_PASSES_MAX;
        return s->memory == 0 && s->passes == 0;
}

/* What stands in a damaged slot is not worth an opinion, as long as its length can be believed. */
static void get_slot(WireReader *r, Slot *ret)
{
        const uint8_t *start = r->p;
        uint8_t check[CHECK_SIZE];
        Bytes extra;

        ret->id = wire_get_u32(r);
        ret->kind = wire_get_u8(r);
        wire_get_string(r, ret->label, sizeof(ret->label));
        ret->created = wire_get_u64(r);
        ret->memory = wire_get_u32(r);
        ret->passes = wire_get_u32(r);
        extra = wire_get_block(r, sizeof(ret->extra));
        ret->extra_len = (uint16_t)extra.len;
        if (extra.len)
                memcpy(ret->extra, extra.data, extra.len);
        wire_get_raw(r, ret->salt, sizeof(ret->salt));
        wire_get_raw(r, ret->nonce, sizeof(ret->nonce));
        wire_get_raw(r, ret->wrapped, sizeof(ret->wrapped));
        if (r->failed)
                return;
        check_value(BYTES(start, (size_t)(r->p - start)), check);
        wire_get_raw(r, ret->check, sizeof(ret->check));
        ret->damaged = memcmp(check, ret->check, sizeof(check)) != 0;
}

static bool slot_is_valid(const Slots *s, size_t at)
{
        const Slot *slot = &s->slots[at];

        if (slot->damaged)
                return true;
        if (slot->kind == _SLOT_KIND_INVALID || slot->kind >= _SLOT_KIND_MAX || !name_is_valid(slot->label))
                return false;
        if (slot->id == 0 || slot->id >= s->next_id || !parameters_fit(slot))
                return false;
        for (size_t i = 0; i < at; i++)
                if (!s->slots[i].damaged &&
                                (s->slots[i].id == slot->id || strcmp(s->slots[i].label, slot->label) == 0))
                        return false;
        return true;
}

static int get_header(WireReader *r, Slots *ret)
{
        const uint8_t *start = r->p;
        uint8_t seen[sizeof(magic)], check[CHECK_SIZE], want[CHECK_SIZE];
        uint32_t format;

        wire_get_raw(r, seen, sizeof(seen));
        format = wire_get_u32(r);
        wire_get_raw(r, ret->store_id.b, 16);
        wire_get_raw(r, ret->machine, sizeof(ret->machine));
        wire_get_raw(r, ret->tpm, sizeof(ret->tpm));
        ret->counter = wire_get_u32(r);
        wire_get_raw(r, ret->counter_auth, sizeof(ret->counter_auth));
        ret->next_id = wire_get_u32(r);
        ret->n = wire_get_u32(r);
        if (r->failed || memcmp(seen, magic, sizeof(magic)) != 0)
                return HF_E_STORE_DAMAGED;
        check_value(BYTES(start, (size_t)(r->p - start)), want);
        wire_get_raw(r, check, sizeof(check));
        if (r->failed || memcmp(check, want, sizeof(check)) != 0)
                return HF_E_STORE_DAMAGED;
        if (format > SLOTS_FORMAT)
                return HF_E_STORE_TOO_NEW;
        if (format != SLOTS_FORMAT || ret->n == 0 || ret->n > SLOTS_MAX)
                return HF_E_STORE_DAMAGED;
        if (ret->counter && (ret->counter < TPM_COUNTER_FIRST || ret->counter > TPM_COUNTER_LAST))
                return HF_E_STORE_DAMAGED;
        return 0;
}

int slots_parse(Bytes file, Slots *ret)
{
        WireReader r = wire_reader(file);
        Slots s = {};
        int e;

        if (file.len > SLOTS_FILE_MAX)
                return HF_E_STORE_DAMAGED;
        e = get_header(&r, &s);
        if (e)
                return e;
        for (size_t i = 0; i < s.n; i++) {
                get_slot(&r, &s.slots[i]);
                if (r.failed || !slot_is_valid(&s, i))
                        return HF_E_STORE_DAMAGED;
        }
        if (wire_done(&r))
                return HF_E_STORE_DAMAGED;
        *ret = s;
        return 0;
}
