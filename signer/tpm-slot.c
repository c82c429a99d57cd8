/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/tpm-slot.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/secret.h"
#include "crypto/random.h"
#include "seal/counter.h"

#define COUNTER_ATTEMPTS 16

void tpm_slot_erase(TpmSlot *s)
{
        tpm_end(&s->exchange);
        secret_erase(s->secret, sizeof(s->secret));
}

static int seal(TpmLink *l, const TpmSealing *sealing, TpmSlot *ret)
{
        WireReader reader;
        int r;

        tpm_begin(&ret->exchange, TPM_SEAL);
        r = tpm_sealing_encode(sealing, &ret->exchange.request);
        if (!r)
                r = tpm_call(l, &ret->exchange, TPM_TIMEOUT_MS);
        if (r)
                return r;
        reader = wire_reader(ret->exchange.reply);
        tpm_blob_get(&reader, &ret->tpm.blob);
        tpm_pcrs_get(&reader, &ret->tpm.pcrs);
        /* It is bound to what was asked for, or nobody could say later what has changed. */
        if (wire_done(&reader) || ret->tpm.pcrs.mask != sealing->pcrs.mask ||
                        (sealing->pcrs.mask && (ret->tpm.pcrs.bank != sealing->pcrs.bank || !ret->tpm.pcrs.has_values)))
                return HF_E_TPM_FAILED;
        return 0;
}

static int make_sealed(TpmLink *l, const SignerSlotTpm *asked, Bytes pin, const uint8_t *parent, TpmSlot *ret)
{
        TpmSealing sealing = {.pcrs = asked->pcrs, .policy = asked->policy, .has_pin = asked->pin};
        int r = 0;

        if (asked->policy.algorithm && asked->pcrs.mask == 0)
                return HF_E_INVALID_ARGS;
        sealing.pcrs.has_values = false;
        memcpy(sealing.parent, parent, sizeof(sealing.parent));
        random_bytes(ret->secret, sizeof(ret->secret));
        random_bytes(ret->salt, sizeof(ret->salt));
        sealing.secret = BYTES_ARRAY(ret->secret);
        if (asked->pin)
                r = slot_pin(NULL, ret->salt, pin, sealing.pin);
        if (!r)
                r = seal(l, &sealing, ret);
        ret->tpm.pin = asked->pin;
        ret->tpm.policy = asked->policy;
        secret_erase(&sealing, sizeof(sealing));
        return r;
}

/* The key's authorisation is the fingerprint: whoever has the file could read another one there as well. */
static int derive(TpmLink *l, const SlotTpm *tpm, TpmExchange *x, uint8_t ret[static SLOT_TPM_SECRET_SIZE])
{
        static const char domain[] = "holdfast device key";
        uint8_t message[sizeof(domain) - 1 + 32];
        TpmOperation o = {.blob = tpm->blob, .op = TPM_OP_HMAC, .data = BYTES_ARRAY(message)};
        WireReader reader;
        Bytes result;
        int r;

        memcpy(message, domain, sizeof(domain) - 1);
        memcpy(message + sizeof(domain) - 1, tpm->device_key, 32);
        memcpy(o.auth, tpm->device_key, sizeof(o.auth));
        tpm_begin(x, TPM_OPERATE);
        r = tpm_operation_encode(&o, &x->request);
        if (!r)
                r = tpm_call(l, x, TPM_TIMEOUT_MS);
        if (r)
                return r;
        reader = wire_reader(x->reply);
        result = wire_get_block(&reader, SLOT_TPM_SECRET_SIZE);
        if (wire_done(&reader) || result.len != SLOT_TPM_SECRET_SIZE)
                return HF_E_TPM_FAILED;
        memcpy(ret, result.data, SLOT_TPM_SECRET_SIZE);
        return 0;
}

static int make_derived(TpmLink *l, const SignerSlotTpm *asked, const uint8_t *parent, TpmSlot *ret)
{
        static const uint8_t any[TPM_NAME_SIZE];
        TpmExchange *x = &ret->exchange;
        WireReader reader;
        TpmExchange use;
        int r;

        if (memcmp(asked->device_key, any, sizeof(asked->device_key)) == 0)
                return HF_E_INVALID_ARGS;
        tpm_begin(x, TPM_CREATE);
        if ((r = wire_put_u8(&x->request, TPM_HMAC256)) || (r = wire_put_u8(&x->request, TPM_USE_MAC)) ||
                        (r = wire_put_raw(&x->request, asked->device_key, sizeof(asked->device_key))) ||
                        (r = wire_put_block(&x->request, BYTES(parent, memcmp(parent, any, sizeof(any)) ? TPM_NAME_SIZE : 0))))
                return r;
        r = tpm_call(l, x, TPM_TIMEOUT_CREATE_MS);
        if (r)
                return r;
        reader = wire_reader(x->reply);
        tpm_blob_get(&reader, &ret->tpm.blob);
        if (wire_get_block(&reader, 0).len || wire_done(&reader))
                return HF_E_TPM_FAILED;
        memcpy(ret->tpm.device_key, asked->device_key, sizeof(ret->tpm.device_key));
        r = derive(l, &ret->tpm, &use, ret->secret);
        tpm_end(&use);
        return r;
}

int tpm_slot_make(
        TpmLink *l, SlotKind kind, const SignerSlotTpm *asked, Bytes pin, const uint8_t parent[static TPM_NAME_SIZE],
        TpmSlot *ret)
{
        ret->tpm = (SlotTpm){};
        return kind == SLOT_TPM2 ? make_sealed(l, asked, pin, parent, ret) : make_derived(l, asked, parent, ret);
}

/* Those made for these PCRs by this slot's policy key, whatever else the file they come from has. */
static int choose_signatures(const SlotTpm *tpm, const TpmAttempt *attempt, TpmUnsealing *u)
{
        uint8_t fingerprint[32];
        int r = slot_tpm_policy_key(tpm, fingerprint);

        for (size_t i = 0; !r && i < attempt->n_signatures && u->n_signatures < TPM_POLICY_SIGNATURES_MAX; i++) {
                const SignerSignature *s = &attempt->signatures[i];

                if (s->bank == tpm->pcrs.bank && s->mask == tpm->pcrs.mask &&
                                memcmp(s->key_fingerprint, fingerprint, sizeof(fingerprint)) == 0)
                        u->signatures[u->n_signatures++] = s->approval;
        }
        return r;
}

static int unseal(TpmLink *l, const Slot *slot, const SlotTpm *tpm, const TpmAttempt *attempt, TpmExchange *x, uint8_t *ret)
{
        TpmUnsealing u = {.blob = tpm->blob, .pcrs = tpm->pcrs, .policy = tpm->policy, .has_pin = tpm->pin};
        WireReader reader;
        Bytes secret;
        int r = 0;

        if (tpm->policy.algorithm)
                r = choose_signatures(tpm, attempt, &u);
        if (!r && tpm->pin)
                r = slot_pin(slot, slot->salt, attempt->pin, u.pin);
        tpm_begin(x, TPM_UNSEAL);
        if (!r)
                r = tpm_unsealing_encode(&u, &x->request);
        if (!r)
                r = tpm_call(l, x, TPM_TIMEOUT_MS);
        secret_erase(u.pin, sizeof(u.pin));
        if (r)
                return r;
        reader = wire_reader(x->reply);
        secret = wire_get_block(&reader, SLOT_TPM_SECRET_SIZE);
        if (wire_done(&reader) || secret.len != SLOT_TPM_SECRET_SIZE)
                return HF_E_TPM_FAILED;
        memcpy(ret, secret.data, secret.len);
        return 0;
}

int tpm_slot_open(
        TpmLink *l, const Slot *slot, const TpmAttempt *attempt, uint8_t ret[static SLOT_TPM_SECRET_SIZE],
        char ret_detail[static TPM_DETAIL_MAX])
{
        TpmExchange x = {};
        SlotTpm tpm;
        int r;

        r = slot_tpm_decode(slot->kind, slot_extra(slot), &tpm);
        if (!r && slot->kind == SLOT_TPM2)
                r = unseal(l, slot, &tpm, attempt, &x, ret);
        else if (!r)
                r = derive(l, &tpm, &x, ret);
        snprintf(ret_detail, TPM_DETAIL_MAX, "%s", x.detail);
        tpm_end(&x);
        return r;
}

int tpm_counter(TpmLink *l, TpmCounterAction action, const TpmCounter *c, uint64_t *ret)
{
        WireReader reader;
        TpmExchange x;
        uint64_t value;
        int r;

        tpm_begin(&x, TPM_COUNTER);
        if (!(r = wire_put_u8(&x.request, (uint8_t)action)) && !(r = wire_put_u32(&x.request, c->index)) &&
                        !(r = wire_put_raw(&x.request, c->auth, sizeof(c->auth))) &&
                        !(r = wire_put_raw(&x.request, c->tpm, sizeof(c->tpm))))
                r = tpm_call(l, &x, TPM_TIMEOUT_MS);
        if (!r) {
                reader = wire_reader(x.reply);
                value = wire_get_u64(&reader);
                if (wire_done(&reader) || (action != TPM_COUNTER_REMOVE && value > INT64_MAX))
                        r = HF_E_TPM_FAILED;
                else
                        *ret = value;
        }
        tpm_end(&x);
        return r;
}

static int define_at(TpmLink *l, const TpmCounter *c)
{
        uint64_t value;
        int r = tpm_counter(l, TPM_COUNTER_DEFINE, c, &value);

        if (r != HF_E_KEY_EXISTS || tpm_counter(l, TPM_COUNTER_READ, c, &value))
                return r; /* there, or another's */
        r = tpm_counter(l, TPM_COUNTER_REMOVE, c, &value);
        return r ? r : tpm_counter(l, TPM_COUNTER_DEFINE, c, &value);
}

int tpm_counter_define(TpmLink *l, const Uuid *store_id, TpmCounter *c)
{
        int r = HF_E_KEY_EXISTS;

        for (unsigned i = 0; i < COUNTER_ATTEMPTS && r == HF_E_KEY_EXISTS; i++) {
                c->index = counter_index(store_id, i);
                r = define_at(l, c);
        }
        if (r)
                c->index = 0;
        return r == HF_E_KEY_EXISTS ? HF_E_TPM_FULL : r;
}
