/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link/tpm.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"

#define SECRET_MAX 128
#define SIGNATURE_MAX TPM_NUMBER_MAX

/* Runs the puts in order and stops at the first that fails. */
#define PUT(expr)                                                                                            \
        do {                                                                                                 \
                int put_ = (expr);                                                                           \
                if (put_)                                                                                    \
                        return put_;                                                                         \
        } while (0)

int tpm_blob_put(Buffer *b, const TpmBlob *blob)
{
        PUT(wire_put_raw(b, blob->parent, sizeof(blob->parent)));
        PUT(wire_put_block(b, blob->public));
        return wire_put_block(b, blob->private);
}

void tpm_blob_get(WireReader *r, TpmBlob *ret)
{
        wire_get_raw(r, ret->parent, sizeof(ret->parent));
        ret->public = wire_get_block(r, TPM_PART_MAX);
        ret->private = wire_get_block(r, TPM_PART_MAX);
}

size_t tpm_bank_size(TpmBank bank)
{
        return bank == TPM_BANK_SHA256 ? 32 : bank == TPM_BANK_SHA384 ? 48 : 0;
}

int tpm_pcrs_put(Buffer *b, const TpmPcrs *p)
{
        PUT(wire_put_u8(b, p->bank));
        PUT(wire_put_u32(b, p->mask));
        PUT(wire_put_u8(b, p->has_values));
        for (unsigned i = 0; p->has_values && i < TPM_PCRS; i++)
                if (p->mask & 1u << i)
                        PUT(wire_put_raw(b, p->values[i], tpm_bank_size(p->bank)));
        return 0;
}

void tpm_pcrs_get(WireReader *r, TpmPcrs *ret)
{
        *ret = (TpmPcrs){.bank = wire_get_u8(r), .mask = wire_get_u32(r), .has_values = wire_get_u8(r) == 1};
        if (ret->mask >> TPM_PCRS || (ret->mask && tpm_bank_size(ret->bank) == 0) || ret->bank >= _TPM_BANK_MAX)
                r->failed = true;
        for (unsigned i = 0; !r->failed && ret->has_values && i < TPM_PCRS; i++)
                if (ret->mask & 1u << i)
                        wire_get_raw(r, ret->values[i], tpm_bank_size(ret->bank));
}

int tpm_policy_key_put(Buffer *b, const TpmPolicyKey *k)
{
        PUT(wire_put_u8(b, k->algorithm));
        return wire_put_block(b, k->number);
}

void tpm_policy_key_get(WireReader *r, TpmPolicyKey *ret)
{
        size_t size = 0;

        ret->algorithm = wire_get_u8(r);
        ret->number = wire_get_block(r, TPM_NUMBER_MAX);
        if (ret->algorithm == TPM_P256)
                size = 64;
        else if (ret->algorithm == TPM_RSA2048)
                size = 256;
        else if (ret->algorithm == TPM_RSA3072)
                size = 384;
        else if (ret->algorithm != _TPM_ALGORITHM_INVALID)
                r->failed = true;
        if (ret->number.len != size)
                r->failed = true;
}

int tpm_operation_encode_head(const TpmOperation *o, Buffer *b)
{
        PUT(tpm_blob_put(b, &o->blob));
        PUT(wire_put_raw(b, o->auth, sizeof(o->auth)));
        PUT(wire_put_u8(b, o->op));
        return wire_put_u32(b, (uint32_t)o->data.len);
}

int tpm_operation_encode(const TpmOperation *o, Buffer *b)
{
        PUT(tpm_operation_encode_head(o, b));
        return wire_put_raw(b, o->data.data, o->data.len);
}

int tpm_operation_decode(Bytes body, TpmOperation *ret)
{
        WireReader r = wire_reader(body);

        tpm_blob_get(&r, &ret->blob);
        wire_get_raw(&r, ret->auth, sizeof(ret->auth));
        ret->op = wire_get_u8(&r);
        ret->data = wire_get_block(&r, TPM_MESSAGE_MAX);
        if (ret->op == _TPM_OP_INVALID || ret->op >= _TPM_OP_MAX)
                return HF_E_INVALID_ARGS;
        return wire_done(&r);
}

static int put_pin(Buffer *b, bool has_pin, const uint8_t pin[static TPM_AUTH_SIZE])
{
        PUT(wire_put_u8(b, has_pin));
        return wire_put_raw(b, pin, TPM_AUTH_SIZE);
}

int tpm_sealing_encode(const TpmSealing *s, Buffer *b)
{
        PUT(wire_put_block(b, s->secret));
        PUT(tpm_pcrs_put(b, &s->pcrs));
        PUT(tpm_policy_key_put(b, &s->policy));
        PUT(put_pin(b, s->has_pin, s->pin));
        return wire_put_raw(b, s->parent, sizeof(s->parent));
}

int tpm_sealing_decode(Bytes body, TpmSealing *ret)
{
        WireReader r = wire_reader(body);

        ret->secret = wire_get_block(&r, SECRET_MAX);
        tpm_pcrs_get(&r, &ret->pcrs);
        tpm_policy_key_get(&r, &ret->policy);
        ret->has_pin = wire_get_u8(&r) == 1;
        wire_get_raw(&r, ret->pin, sizeof(ret->pin));
        wire_get_raw(&r, ret->parent, sizeof(ret->parent));
        if (ret->secret.len == 0 || (ret->policy.algorithm && ret->pcrs.mask == 0))
                return HF_E_INVALID_ARGS;
        return wire_done(&r);
}

int tpm_unsealing_encode(const TpmUnsealing *u, Buffer *b)
{
        PUT(tpm_blob_put(b, &u->blob));
        PUT(tpm_pcrs_put(b, &u->pcrs));
        PUT(tpm_policy_key_put(b, &u->policy));
        PUT(wire_put_u32(b, (uint32_t)u->n_signatures));
        for (size_t i = 0; i < u->n_signatures; i++) {
                PUT(wire_put_raw(b, u->signatures[i].digest, sizeof(u->signatures[i].digest)));
                PUT(wire_put_block(b, u->signatures[i].signature));
        }
        return put_pin(b, u->has_pin, u->pin);
}

int tpm_unsealing_decode(Bytes body, TpmUnsealing *ret)
{
        WireReader r = wire_reader(body);

        tpm_blob_get(&r, &ret->blob);
        tpm_pcrs_get(&r, &ret->pcrs);
        tpm_policy_key_get(&r, &ret->policy);
        ret->n_signatures = wire_get_u32(&r);
        if (ret->n_signatures > TPM_POLICY_SIGNATURES_MAX)
                return HF_E_INVALID_ARGS;
        for (size_t i = 0; i < ret->n_signatures; i++) {
                wire_get_raw(&r, ret->signatures[i].digest, sizeof(ret->signatures[i].digest));
                ret->signatures[i].signature = wire_get_block(&r, SIGNATURE_MAX);
        }
        ret->has_pin = wire_get_u8(&r) == 1;
        wire_get_raw(&r, ret->pin, sizeof(ret->pin));
        return wire_done(&r);
}

int tpm_state_put(Buffer *b, const TpmState *s)
{
        PUT(wire_put_u8(b, s->presence));
        PUT(wire_put_string(b, s->detail));
        PUT(wire_put_raw(b, s->parent, sizeof(s->parent)));
        PUT(wire_put_string(b, s->manufacturer));
        PUT(wire_put_string(b, s->vendor));
        PUT(wire_put_u64(b, s->firmware));
        PUT(wire_put_u32(b, s->algorithms));
        PUT(wire_put_u32(b, s->banks));
        PUT(wire_put_u8(b, s->ek_certificate));
        PUT(wire_put_u8(b, s->locked_out));
        PUT(wire_put_u32(b, s->lockout_counter));
        PUT(wire_put_u32(b, s->lockout_max));
        PUT(wire_put_u32(b, s->lockout_interval));
        PUT(wire_put_u32(b, s->reset_count));
        PUT(wire_put_u32(b, s->restart_count));
        PUT(wire_put_u64(b, s->answered));
        return wire_put_u64(b, s->failed);
}

void tpm_state_get(WireReader *r, TpmState *ret)
{
        *ret = (TpmState){.presence = wire_get_u8(r)};
        wire_get_string(r, ret->detail, sizeof(ret->detail));
        wire_get_raw(r, ret->parent, sizeof(ret->parent));
        wire_get_string(r, ret->manufacturer, sizeof(ret->manufacturer));
        wire_get_string(r, ret->vendor, sizeof(ret->vendor));
        ret->firmware = wire_get_u64(r);
        ret->algorithms = wire_get_u32(r);
        ret->banks = wire_get_u32(r);
        ret->ek_certificate = wire_get_u8(r) == 1;
        ret->locked_out = wire_get_u8(r) == 1;
        ret->lockout_counter = wire_get_u32(r);
        ret->lockout_max = wire_get_u32(r);
        ret->lockout_interval = wire_get_u32(r);
        ret->reset_count = wire_get_u32(r);
        ret->restart_count = wire_get_u32(r);
        ret->answered = wire_get_u64(r);
        ret->failed = wire_get_u64(r);
        if (ret->presence >= _TPM_PRESENCE_MAX)
                r->failed = true;
}

int tpm_certificate_encode(const TpmCertificate *c, Buffer *b)
{
        PUT(wire_put_block(b, c->attest));
        PUT(wire_put_block(b, c->signature));
        PUT(wire_put_block(b, c->ak_public));
        PUT(wire_put_block(b, c->key_public));
        PUT(wire_put_block(b, c->ek_certificate));
        return wire_put_block(b, c->ek_public);
}

int tpm_certificate_decode(Bytes body, TpmCertificate *ret)
{
        WireReader r = wire_reader(body);

        ret->attest = wire_get_block(&r, TPM_PART_MAX);
        ret->signature = wire_get_block(&r, TPM_NUMBER_MAX);
        ret->ak_public = wire_get_block(&r, TPM_PART_MAX);
        ret->key_public = wire_get_block(&r, TPM_PART_MAX);
        ret->ek_certificate = wire_get_block(&r, TPM_EK_CERTIFICATE_MAX);
        ret->ek_public = wire_get_block(&r, TPM_PART_MAX);
        return wire_done(&r);
}

/* A decimal number below TPM_PCRS without a leading zero; moves on behind it. */
static bool take_pcr(const char **p, unsigned *ret)
{
        unsigned v = 0;
        const char *start = *p;

        while (**p >= '0' && **p <= '9' && v < TPM_PCRS)
                v = v * 10 + (unsigned)(*(*p)++ - '0');
        *ret = v;
        return *p > start && v < TPM_PCRS && (*start != '0' || *p == start + 1);
}

int tpm_pcrs_parse(const char *text, TpmPcrs *ret)
{
        TpmPcrs pcrs = {.bank = TPM_BANK_SHA256};
        unsigned pcr;

        if (strncmp(text, "sha256:", 7) == 0) {
                text += 7;
        } else if (strncmp(text, "sha384:", 7) == 0) {
                pcrs.bank = TPM_BANK_SHA384;
                text += 7;
        }
        for (const char *p = text; *p; p++) {
                if (!take_pcr(&p, &pcr) || pcrs.mask & 1u << pcr)
                        return HF_E_INVALID_ARGS;
                pcrs.mask |= 1u << pcr;
                if (*p == '\0')
                        break;
                if (*p != '+' || p[1] == '\0')
                        return HF_E_INVALID_ARGS;
        }
        *ret = pcrs;
        return 0;
}

void tpm_pcrs_format(const TpmPcrs *p, char ret[static TPM_PCRS_TEXT_SIZE])
{
        size_t at = 0;

        ret[0] = '\0';
        if (p->mask)
                at = (size_t)snprintf(ret, TPM_PCRS_TEXT_SIZE, "%s:", p->bank == TPM_BANK_SHA384 ? "sha384" : "sha256");
        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (p->mask & 1u << i)
                        at += (size_t)snprintf(ret + at, TPM_PCRS_TEXT_SIZE - at, "%s%u", ret[at - 1] == ':' ? "" : "+", i);
}
