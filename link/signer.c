/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link/signer.h"

#include "base/cleanup.h"
#include "base/error.h"

/* Runs the puts in order and stops at the first that fails. */
#define PUT(expr)                                                                                            \
        do {                                                                                                 \
                int put_ = (expr);                                                                           \
                if (put_)                                                                                    \
                        return put_;                                                                         \
        } while (0)

int signer_hello_encode(const SignerHello *h, Buffer *b)
{
        PUT(wire_put_u32(b, h->version));
        PUT(wire_put_raw(b, h->life, sizeof(h->life)));
        PUT(wire_put_u64(b, h->served));
        PUT(wire_put_u64(b, h->ops));
        PUT(wire_put_u8(b, h->open));
        PUT(wire_put_u8(b, h->memory));
        return wire_put_u8(b, h->machine_known);
}

int signer_hello_decode(WireReader *r, SignerHello *ret)
{
        *ret = (SignerHello){.version = wire_get_u32(r)};
        wire_get_raw(r, ret->life, sizeof(ret->life));
        ret->served = wire_get_u64(r);
        ret->ops = wire_get_u64(r);
        ret->open = wire_get_u8(r) == 1;
        ret->memory = wire_get_u8(r);
        ret->machine_known = wire_get_u8(r) == 1;
        return r->failed ? HF_E_INVALID_ARGS : 0;
}

int signer_opened_encode(const SignerOpened *o, Buffer *b)
{
        PUT(wire_put_u32(b, o->slot));
        PUT(wire_put_raw(b, o->database_key, sizeof(o->database_key)));
        PUT(wire_put_raw(b, o->log_key, sizeof(o->log_key)));
        PUT(wire_put_raw(b, o->checkpoint_public, sizeof(o->checkpoint_public)));
        return wire_put_raw(b, o->store_id.b, sizeof(o->store_id.b));
}

int signer_opened_decode(WireReader *r, SignerOpened *ret)
{
        ret->slot = wire_get_u32(r);
        wire_get_raw(r, ret->database_key, sizeof(ret->database_key));
        wire_get_raw(r, ret->log_key, sizeof(ret->log_key));
        wire_get_raw(r, ret->checkpoint_public, sizeof(ret->checkpoint_public));
        wire_get_raw(r, ret->store_id.b, sizeof(ret->store_id.b));
        return r->failed ? HF_E_INVALID_ARGS : 0;
}

int signer_operation_encode(const SignerOperation *o, Buffer *b)
{
        PUT(wire_put_u64(b, o->seq));
        PUT(wire_put_u32(b, o->uid));
        PUT(wire_put_u8(b, o->op));
        PUT(wire_put_u8(b, o->scheme));
        PUT(wire_put_u32(b, o->flags));
        PUT(wire_put_u32(b, o->length));
        PUT(wire_put_block(b, o->attributes));
        PUT(wire_put_block(b, o->wrapped));
        PUT(wire_put_block(b, o->payload));
        PUT(wire_put_block(b, o->aux));
        return wire_put_block(b, o->salt);
}

int signer_operation_decode(Bytes body, SignerOperation *ret)
{
        WireReader r = wire_reader(body);

        ret->seq = wire_get_u64(&r);
        ret->uid = wire_get_u32(&r);
        ret->op = wire_get_u8(&r);
        ret->scheme = wire_get_u8(&r);
        ret->flags = wire_get_u32(&r);
        ret->length = wire_get_u32(&r);
        ret->attributes = wire_get_block(&r, LINK_MESSAGE_MAX);
        ret->wrapped = wire_get_block(&r, LINK_MESSAGE_MAX);
        ret->payload = wire_get_block(&r, LINK_MESSAGE_MAX);
        ret->aux = wire_get_block(&r, LINK_MESSAGE_MAX);
        ret->salt = wire_get_block(&r, LINK_MESSAGE_MAX);
        if (ret->op == _SIGNER_OP_INVALID || ret->op >= _SIGNER_OP_MAX)
                return HF_E_INVALID_ARGS;
        return wire_done(&r);
}

static int put_slot_tpm(Buffer *b, const SignerSlotTpm *t)
{
        PUT(tpm_pcrs_put(b, &t->pcrs));
        PUT(wire_put_u8(b, t->pin));
        PUT(tpm_policy_key_put(b, &t->policy));
        return wire_put_raw(b, t->device_key, sizeof(t->device_key));
}

static void get_slot_tpm(WireReader *r, SignerSlotTpm *ret)
{
        tpm_pcrs_get(r, &ret->pcrs);
        ret->pin = wire_get_u8(r) == 1;
        tpm_policy_key_get(r, &ret->policy);
        wire_get_raw(r, ret->device_key, sizeof(ret->device_key));
}

int signer_slot_tpm_encode(const SignerSlotTpm *t, Buffer *b)
{
        return put_slot_tpm(b, t);
}

int signer_slot_tpm_decode(Bytes body, SignerSlotTpm *ret)
{
        WireReader r = wire_reader(body);

        get_slot_tpm(&r, ret);
        return wire_done(&r);
}

int signer_signatures_encode(const SignerSignature *s, size_t n, Buffer *b)
{
        PUT(wire_put_u32(b, (uint32_t)n));
        for (size_t i = 0; i < n; i++) {
                PUT(wire_put_u8(b, s[i].bank));
                PUT(wire_put_u32(b, s[i].mask));
                PUT(wire_put_raw(b, s[i].key_fingerprint, sizeof(s[i].key_fingerprint)));
                PUT(wire_put_raw(b, s[i].approval.digest, sizeof(s[i].approval.digest)));
                PUT(wire_put_block(b, s[i].approval.signature));
        }
        return 0;
}

int signer_signatures_decode(Bytes body, SignerSignature ret[static SIGNER_SIGNATURES], size_t *ret_n)
{
        WireReader r = wire_reader(body);
        size_t n = body.len ? wire_get_u32(&r) : 0;

        if (n > SIGNER_SIGNATURES)
                return HF_E_INVALID_ARGS;
        for (size_t i = 0; i < n; i++) {
                ret[i].bank = wire_get_u8(&r);
                ret[i].mask = wire_get_u32(&r);
                wire_get_raw(&r, ret[i].key_fingerprint, sizeof(ret[i].key_fingerprint));
                wire_get_raw(&r, ret[i].approval.digest, sizeof(ret[i].approval.digest));
                ret[i].approval.signature = wire_get_block(&r, TPM_NUMBER_MAX);
        }
        *ret_n = n;
        return wire_done(&r);
}

int signer_init_encode(const SignerInit *i, Buffer *b)
{
        PUT(wire_put_raw(b, i->store_id.b, sizeof(i->store_id.b)));
        PUT(wire_put_u8(b, i->kind));
        PUT(wire_put_u8(b, i->unattended));
        PUT(wire_put_string(b, i->label));
        return put_slot_tpm(b, &i->tpm);
}

int signer_init_decode(Bytes body, SignerInit *ret)
{
        WireReader r = wire_reader(body);

        wire_get_raw(&r, ret->store_id.b, sizeof(ret->store_id.b));
        ret->kind = wire_get_u8(&r);
        ret->unattended = wire_get_u8(&r) == 1;
        wire_get_string(&r, ret->label, sizeof(ret->label));
        get_slot_tpm(&r, &ret->tpm);
        if (ret->kind == _SLOT_KIND_INVALID || ret->kind >= _SLOT_KIND_MAX)
                return HF_E_INVALID_ARGS;
        return wire_done(&r);
}

int signer_checkpoint_encode(const SignerCheckpoint *c, Buffer *b)
{
        PUT(wire_put_u64(b, c->size));
        PUT(wire_put_raw(b, c->head, sizeof(c->head)));
        PUT(wire_put_raw(b, c->state, sizeof(c->state)));
        PUT(wire_put_u64(b, (uint64_t)c->counter));
        PUT(wire_put_u64(b, c->epoch));
        return wire_put_u8(b, c->succession);
}

int signer_checkpoint_decode(Bytes body, SignerCheckpoint *ret)
{
        WireReader r = wire_reader(body);

        ret->size = wire_get_u64(&r);
        wire_get_raw(&r, ret->head, sizeof(ret->head));
        wire_get_raw(&r, ret->state, sizeof(ret->state));
        ret->counter = (int64_t)wire_get_u64(&r);
        ret->epoch = wire_get_u64(&r);
        ret->succession = wire_get_u8(&r) == 1;
        return wire_done(&r);
}

int slot_list_encode(const SlotList *l, Buffer *b)
{
        PUT(wire_put_raw(b, l->store_id.b, sizeof(l->store_id.b)));
        PUT(wire_put_u8(b, l->machine_matches));
        PUT(wire_put_u32(b, (uint32_t)l->n));
        for (size_t i = 0; i < l->n; i++) {
                const SlotEntry *e = &l->slots[i];

                PUT(wire_put_u32(b, e->id));
                PUT(wire_put_u8(b, e->kind));
                PUT(wire_put_u8(b, e->unattended));
                PUT(wire_put_string(b, e->label));
                PUT(wire_put_u64(b, e->created));
                PUT(wire_put_string(b, e->pcrs));
                PUT(wire_put_u8(b, e->pin));
                PUT(wire_put_u8(b, e->signed_policy));
                PUT(wire_put_raw(b, e->policy_key, sizeof(e->policy_key)));
                PUT(wire_put_raw(b, e->device_key, sizeof(e->device_key)));
        }
        return 0;
}

int slot_list_decode(WireReader *r, SlotList *ret)
{
        *ret = (SlotList){0};
        wire_get_raw(r, ret->store_id.b, sizeof(ret->store_id.b));
        ret->machine_matches = wire_get_u8(r) == 1;
        ret->n = wire_get_u32(r);
        if (ret->n > SLOTS_MAX)
                r->failed = true;
        for (size_t i = 0; !r->failed && i < ret->n; i++) {
                SlotEntry *e = &ret->slots[i];

                e->id = wire_get_u32(r);
                e->kind = wire_get_u8(r);
                e->unattended = wire_get_u8(r) == 1;
                wire_get_string(r, e->label, sizeof(e->label));
                e->created = wire_get_u64(r);
                wire_get_string(r, e->pcrs, sizeof(e->pcrs));
                e->pin = wire_get_u8(r) == 1;
                e->signed_policy = wire_get_u8(r) == 1;
                wire_get_raw(r, e->policy_key, sizeof(e->policy_key));
                wire_get_raw(r, e->device_key, sizeof(e->device_key));
                if (e->kind == _SLOT_KIND_INVALID || e->kind >= _SLOT_KIND_MAX)
                        r->failed = true;
        }
        if (r->failed)
                ret->n = 0;
        return r->failed ? HF_E_INVALID_ARGS : 0;
}

static const char *const slot_kinds[_SLOT_KIND_MAX] = {
        [SLOT_CREDENTIAL] = "credential",
        [SLOT_PASSPHRASE] = "passphrase",
        [SLOT_RECOVERY] = "recovery",
        [SLOT_TPM2] = "tpm2",
        [SLOT_TPM2_DERIVED] = "tpm2-derived",
};

const char *slot_kind_to_string(SlotKind k)
{
        return k > _SLOT_KIND_INVALID && k < _SLOT_KIND_MAX ? slot_kinds[k] : NULL;
}

SlotKind slot_kind_from_string(const char *name)
{
        for (SlotKind k = _SLOT_KIND_INVALID + 1; k < _SLOT_KIND_MAX; k++)
                if (strcmp(slot_kinds[k], name) == 0)
                        return k;
        return _SLOT_KIND_INVALID;
}
