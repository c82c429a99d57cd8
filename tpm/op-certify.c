/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The TPM says that a key is its own: {TpmBlob, authorisation, nonce} -> TpmCertificate
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/endorsement.h"
#include "tpm/template.h"

#define HALF 32 /* of a P-256 signature */

typedef struct Wish {
        TpmBlob blob;
        uint8_t auth[TPM_AUTH_SIZE];
        Bytes nonce;
} Wish;

static int decode(Bytes body, Wish *ret)
{
        WireReader r = wire_reader(body);

        tpm_blob_get(&r, &ret->blob);
        wire_get_raw(&r, ret->auth, sizeof(ret->auth));
        ret->nonce = wire_get_block(&r, TPM_NONCE_MAX);
        return wire_done(&r);
}

static int certify(Call *call, const Wish *w, const Endorsement *e, TPM2B_ATTEST **ret_attest, TPMT_SIGNATURE **ret_signature)
{
        Kept *k = &call->tpm->kept;
        Device *d = k->device;
        _cleanup_loaded_ Loaded key = LOADED_NONE, ak = LOADED_NONE;
        const TPMT_SIG_SCHEME its_own = {.scheme = TPM2_ALG_NULL};
        TPM2B_DATA nonce = {.size = (UINT16)w->nonce.len};
        const Parent *p;
        ESYS_TR session;
        int r = object_load(k, &w->blob, w->auth, &key);

        if (!r)
                r = parent_find(k, w->blob.parent, &p);
        if (!r)
                r = session_get(k, p, 0, &session);
        if (!r)
                r = device_result(d, Esys_ContextLoad(d->esys, e->ak_saved, &ak.tr));
        if (r)
                return r;
        ak.device = d;
        if (nonce.size)
                memcpy(nonce.buffer, w->nonce.data, nonce.size);
        return device_result(d, Esys_Certify(d->esys, key.tr, ak.tr, session, ESYS_TR_PASSWORD, ESYS_TR_NONE, &nonce, &its_own,
                                             ret_attest, ret_signature));
}

static int put(Call *call, const Wish *w, const Endorsement *e, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *s)
{
        Device *d = &call->tpm->device;
        const TPMS_SIGNATURE_ECC *rs = &s->signature.ecdsa;
        uint8_t both[2 * HALF], ak[TPM_PART_MAX], ek[TPM_PART_MAX], key[TPM_PART_MAX];
        TpmCertificate c = {.attest = BYTES(attest->attestationData, attest->size), .signature = BYTES_ARRAY(both),
                        .ak_public.data = ak, .ek_public.data = ek, .key_public.data = key,
                        .ek_certificate = BYTES(e->certificate, e->certificate_len)};
        TPM2B_PUBLIC public;
        int r = public_unmarshal(w->blob.public, &public);

        if (r)
                return r;
        if (attest->size > TPM_PART_MAX || s->sigAlg != TPM2_ALG_ECDSA ||
                        number_pad(rs->signatureR.buffer, rs->signatureR.size, both, HALF) ||
                        number_pad(rs->signatureS.buffer, rs->signatureS.size, both + HALF, HALF))
                return device_nonsense(d, "size of a statement or its signature");
        r = area_marshal(&e->ak.publicArea, ak, &c.ak_public.len);
        if (!r)
                r = area_marshal(&e->ek.publicArea, ek, &c.ek_public.len);
        if (!r)
                r = area_marshal(&public.publicArea, key, &c.key_public.len);
        return r ? r : tpm_certificate_encode(&c, call->reply);
}

int op_certify(Call *call)
{
        _cleanup_esys_ TPM2B_ATTEST *attest = NULL;
        _cleanup_esys_ TPMT_SIGNATURE *signature = NULL;
        const Endorsement *e;
        Wish w;
        int r = decode(call->body, &w);

        traces_add(call->traces, w.auth, sizeof(w.auth));
        if (!r)
                r = endorsement_know(&call->tpm->kept, &e);
        if (!r)
                r = certify(call, &w, e, &attest, &signature);
        if (!r)
                r = put(call, &w, e, attest, signature);
        secret_erase(w.auth, sizeof(w.auth));
        return r;
}
