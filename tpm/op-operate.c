/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A key is used: TpmOperation -> {block result}
 *
 * The authorisation enters the session's HMACs and never crosses the bus; what is secret in a result or a message is
 * encrypted by the session. One function for each operation.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/template.h"

typedef struct Use {
        Call *call;
        Device *device;
        const TpmOperation *operation;
        TPMT_PUBLIC area;
        size_t size; /* of a coordinate, or of the modulus */
        ESYS_TR key, session;
} Use;

static TPM2_ALG_ID hash_of(size_t len)
{
        return len == 32 ? TPM2_ALG_SHA256 : len == 48 ? TPM2_ALG_SHA384 : len == 64 ? TPM2_ALG_SHA512 : TPM2_ALG_ERROR;
}

static int sign(Use *u, TPM2_ALG_ID scheme, TPMT_SIGNATURE **ret)
{
        const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
        TPMT_SIG_SCHEME how = {.scheme = scheme, .details.any.hashAlg = hash_of(u->operation->data.len)};
        TPM2B_DIGEST digest = {.size = (UINT16)u->operation->data.len};
        int r;

        if (how.details.any.hashAlg == TPM2_ALG_ERROR)
                return HF_E_INVALID_ARGS;
        memcpy(digest.buffer, u->operation->data.data, digest.size);
        r = device_result(u->device, Esys_Sign(u->device->esys, u->key, ONE_SESSION(u->session), &digest, &how,
                                             &no_ticket, ret));
        if (!r && (*ret)->sigAlg != scheme)
                r = device_nonsense(u->device, "signature of another kind");
        return r;
}

static int ecdsa(Use *u)
{
        _cleanup_esys_ TPMT_SIGNATURE *s = NULL;
        uint8_t both[2 * TPM2_MAX_ECC_KEY_BYTES];
        int r;

        if (u->area.type != TPM2_ALG_ECC)
                return HF_E_INVALID_ARGS;
        r = sign(u, TPM2_ALG_ECDSA, &s);
        if (r)
                return r;
        if (number_pad(s->signature.ecdsa.signatureR.buffer, s->signature.ecdsa.signatureR.size, both, u->size) ||
                        number_pad(s->signature.ecdsa.signatureS.buffer, s->signature.ecdsa.signatureS.size, both + u->size,
                                        u->size))
                return device_nonsense(u->device, "size of a signature");
        return wire_put_block(u->call->reply, BYTES(both, 2 * u->size));
}

static int rsassa(Use *u)
{
        _cleanup_esys_ TPMT_SIGNATURE *s = NULL;
        int r;

        if (u->area.type != TPM2_ALG_RSA)
                return HF_E_INVALID_ARGS;
        r = sign(u, TPM2_ALG_RSASSA, &s);
        if (r)
                return r;
        if (s->signature.rsassa.sig.size != u->size)
                return device_nonsense(u->device, "size of a signature");
        return wire_put_block(u->call->reply, BYTES(s->signature.rsassa.sig.buffer, u->size));
}

static int put_secret(Use *u, const uint8_t *data, size_t len)
{
        return wire_put_block(u->call->reply, BYTES(data, len));
}

static int rsa_raw(Use *u)
{
        _cleanup_esys_ TPM2B_PUBLIC_KEY_RSA *out = NULL;
        TPM2B_PUBLIC_KEY_RSA in = {.size = (UINT16)u->size};
        const TPMT_RSA_DECRYPT scheme = {.scheme = TPM2_ALG_NULL};
        const TPM2B_DATA label = {};
        int r;

        /* libtpms 0.9.2 goes into failure mode over a block that is not below the modulus. */
        if (u->area.type != TPM2_ALG_RSA || u->operation->data.len != u->size || u->area.unique.rsa.size != u->size ||
                        memcmp(u->operation->data.data, u->area.unique.rsa.buffer, u->size) >= 0)
                return HF_E_INVALID_ARGS;
        memcpy(in.buffer, u->operation->data.data, u->size);
        r = device_result(u->device, Esys_RSA_Decrypt(u->device->esys, u->key, ONE_SESSION(u->session), &in, &scheme,
                                             &label, &out));
        if (r)
                return r;
        if (out->size > u->size)
                return device_nonsense(u->device, "size of a block");
        (void)number_pad(out->buffer, out->size, in.buffer, u->size);
        r = put_secret(u, in.buffer, u->size);
        secret_erase(&in, sizeof(in));
        secret_erase(out, sizeof(*out));
        return r;
}

static int ecdh(Use *u)
{
        _cleanup_esys_ TPM2B_ECC_POINT *out = NULL;
        TPM2B_ECC_POINT in = {.point.x.size = (UINT16)u->size, .point.y.size = (UINT16)u->size};
        uint8_t x[TPM2_MAX_ECC_KEY_BYTES];
        int r;

        if (u->area.type != TPM2_ALG_ECC || u->operation->data.len != 2 * u->size)
                return HF_E_INVALID_ARGS;
        memcpy(in.point.x.buffer, u->operation->data.data, u->size);
        memcpy(in.point.y.buffer, u->operation->data.data + u->size, u->size);
        r = device_result(u->device, Esys_ECDH_ZGen(u->device->esys, u->key, ONE_SESSION(u->session), &in, &out));
        if (r)
                return error_base(u->device->last) == TPM2_RC_ECC_POINT ? device_handled(u->device, HF_E_INVALID_ARGS) : r;
        if (number_pad(out->point.x.buffer, out->point.x.size, x, u->size))
                return device_nonsense(u->device, "size of a point");
        r = put_secret(u, x, u->size);
        secret_erase(x, sizeof(x));
        secret_erase(out, sizeof(*out));
        return r;
}

static int put_mac(Use *u, TPM2B_DIGEST *mac)
{
        int r = mac->size == 32 ? put_secret(u, mac->buffer, mac->size) : device_nonsense(u->device, "size of a MAC");

        secret_erase(mac, sizeof(*mac));
        return r;
}

/* More than a command takes goes into a sequence, an object of its own, which has the key's authorisation. */
static int hmac_long(Use *u)
{
        const Bytes message = u->operation->data;
        _cleanup_loaded_ Loaded sequence = {.device = u->device, .tr = ESYS_TR_NONE};
        _cleanup_esys_ TPM2B_DIGEST *out = NULL;
        TPM2B_AUTH auth = {.size = TPM_AUTH_SIZE};
        TPM2B_MAX_BUFFER in;
        size_t at = 0;
        int r;

        memcpy(auth.buffer, u->operation->auth, TPM_AUTH_SIZE);
        r = device_result(u->device, Esys_HMAC_Start(u->device->esys, u->key, ONE_SESSION(u->session), &auth, TPM2_ALG_SHA256,
                                             &sequence.tr));
        secret_erase(&auth, sizeof(auth));
        if (!r)
                r = device_authorise(u->device, sequence.tr, u->operation->auth, TPM_AUTH_SIZE);
        for (; !r && message.len - at > sizeof(in.buffer); at += in.size) {
                in.size = sizeof(in.buffer);
                memcpy(in.buffer, message.data + at, in.size);
                r = device_result(u->device, Esys_SequenceUpdate(u->device->esys, sequence.tr, ONE_SESSION(u->session), &in));
        }
        if (!r) {
                in.size = (UINT16)(message.len - at);
                memcpy(in.buffer, message.data + at, in.size);
                r = device_result(u->device, Esys_SequenceComplete(u->device->esys, sequence.tr, ONE_SESSION(u->session), &in,
                                                     ESYS_TR_RH_NULL, &out, NULL));
                if (!r)
                        sequence.tr = ESYS_TR_NONE; /* its end is the sequence's */
        }
        secret_erase(&in, sizeof(in));
        return r ? r : put_mac(u, out);
}

static int hmac(Use *u)
{
        _cleanup_esys_ TPM2B_DIGEST *out = NULL;
        TPM2B_MAX_BUFFER in = {.size = (UINT16)u->operation->data.len};
        int r;

        if (u->area.type != TPM2_ALG_KEYEDHASH)
                return HF_E_INVALID_ARGS;
        if (u->operation->data.len > sizeof(in.buffer))
                return hmac_long(u);
        if (in.size)
                memcpy(in.buffer, u->operation->data.data, in.size);
        r = device_result(u->device, Esys_HMAC(u->device->esys, u->key, ONE_SESSION(u->session), &in, TPM2_ALG_SHA256,
                                             &out));
        secret_erase(&in, sizeof(in));
        return r ? r : put_mac(u, out);
}

typedef struct Operation {
        int (*run)(Use *u);
        TPMA_SESSION attributes;
} Operation;

static const Operation operations[_TPM_OP_MAX] = {
                [TPM_OP_ECDSA] = {ecdsa, 0},
                [TPM_OP_RSASSA] = {rsassa, 0},
                [TPM_OP_RSA_RAW] = {rsa_raw, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT},
                [TPM_OP_ECDH] = {ecdh, TPMA_SESSION_ENCRYPT},
                [TPM_OP_HMAC] = {hmac, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT},
};

/* A key of another program may have been made for less than we ask of ours. */
static int explain(Device *d, int r)
{
        TSS2_RC base = error_base(d->last);

        if (r == HF_E_TPM_FAILED && (base == TPM2_RC_SCHEME || base == TPM2_RC_ATTRIBUTES || base == TPM2_RC_KEY)) {
                d->reaction = REACTION_NONE;
                return HF_E_SCHEME_NOT_SUPPORTED;
        }
        return r;
}

static int use(Call *call, const TpmOperation *o)
{
        _cleanup_loaded_ Loaded key = LOADED_NONE;
        const Operation *op = &operations[o->op];
        Use u = {.call = call, .device = &call->tpm->device, .operation = o};
        TPM2B_PUBLIC public;
        const Parent *p;
        int r = public_unmarshal(o->blob.public, &public);

        if (r)
                return r;
        u.area = public.publicArea;
        u.size = template_size(&u.area);
        r = object_load(&call->tpm->kept, &o->blob, o->auth, &key);
        if (!r)
                r = parent_find(&call->tpm->kept, o->blob.parent, &p);
        if (!r)
                r = session_get(&call->tpm->kept, p, op->attributes, &u.session);
        if (r)
                return r;
        u.key = key.tr;
        r = op->run(&u);
        if (r)
                return explain(u.device, r);
        object_later(&call->tpm->kept, &o->blob, &key);
        return 0;
}

int op_operate(Call *call)
{
        TpmOperation o;
        int r = tpm_operation_decode(call->body, &o);

        traces_add(call->traces, o.auth, sizeof(o.auth));
        if (!r)
                r = use(call, &o);
        secret_erase(o.auth, sizeof(o.auth));
        return r;
}
