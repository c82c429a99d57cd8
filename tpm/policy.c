/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/policy.h"

#include <endian.h>
#include <tss2/tss2_mu.h>

#include "base/error.h"
#include "tpm/template.h"

/* Not from a TPM: somebody's public key, to check signatures with. */
static int key_template(const TpmPolicyKey *k, TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH}};
        if (k->algorithm == TPM_P256 && k->number.len == 64) {
                p->type = TPM2_ALG_ECC;
                p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
                        .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL};
                p->unique.ecc.x.size = p->unique.ecc.y.size = 32;
                memcpy(p->unique.ecc.x.buffer, k->number.data, 32);
                memcpy(p->unique.ecc.y.buffer, k->number.data + 32, 32);
                return 0;
        }
        if (k->algorithm != TPM_RSA2048 && k->algorithm != TPM_RSA3072)
                return HF_E_INVALID_ARGS;
        p->type = TPM2_ALG_RSA;
        p->parameters.rsaDetail = (TPMS_RSA_PARMS){.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
                .keyBits = (UINT16)(8 * k->number.len)};
        p->unique.rsa.size = (UINT16)k->number.len;
        memcpy(p->unique.rsa.buffer, k->number.data, k->number.len);
        return 0;
}

static int key_name(const TpmPolicyKey *k, uint8_t ret[static TPM_NAME_SIZE])
{
        uint8_t area[TPM_PART_MAX];
        TPM2B_PUBLIC public;
        size_t n;
        int r = key_template(k, &public);

        if (!r)
                r = area_marshal(&public.publicArea, area, &n);
        if (!r)
                r = ossl_sha256(&BYTES(area, n), 1, ret + 2);
        if (!r) {
                ret[0] = TPM2_ALG_SHA256 >> 8;
                ret[1] = TPM2_ALG_SHA256 & 0xff;
        }
        return r;
}

/* digest = H(digest || command || parts): how each policy command moves a policy on. */
static int extend(uint8_t digest[static DIGEST_SIZE], TPM2_CC command, Bytes a, Bytes b)
{
        uint32_t code = htobe32(command);
        const Bytes parts[] = {BYTES(digest, DIGEST_SIZE), BYTES(&code, sizeof(code)), a, b};

        return ossl_sha256(parts, 4, digest);
}

static int values_digest(const TpmPcrs *p, uint8_t ret[static DIGEST_SIZE])
{
        Bytes parts[TPM_PCRS];
        size_t n = 0;

        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (p->mask & 1u << i)
                        parts[n++] = BYTES(p->values[i], tpm_bank_size(p->bank));
        return ossl_sha256(parts, n, ret);
}

static int extend_pcr(uint8_t digest[static DIGEST_SIZE], const TpmPcrs *p)
{
        uint8_t values[DIGEST_SIZE], selection[16];
        TPML_PCR_SELECTION which;
        size_t n = 0;
        int r = values_digest(p, values);

        pcr_select(p->bank, p->mask, &which);
        if (!r && Tss2_MU_TPML_PCR_SELECTION_Marshal(&which, selection, sizeof(selection), &n))
                r = HF_E_INTERNAL;
        return r ? r : extend(digest, TPM2_CC_PolicyPCR, BYTES(selection, n), BYTES_ARRAY(values));
}

int policy_pcr_digest(const TpmPcrs *pcrs, uint8_t ret[static DIGEST_SIZE])
{
        memset(ret, 0, DIGEST_SIZE);
        return extend_pcr(ret, pcrs);
}

/* An approval replaces what came before it by the name of who approves. */
static int extend_authorize(uint8_t digest[static DIGEST_SIZE], const TpmPolicyKey *k)
{
        uint8_t name[TPM_NAME_SIZE];
        int r = key_name(k, name);

        memset(digest, 0, DIGEST_SIZE);
        if (!r)
                r = extend(digest, TPM2_CC_PolicyAuthorize, BYTES_ARRAY(name), BYTES_NULL);
        return r ? r : ossl_sha256(&BYTES(digest, DIGEST_SIZE), 1, digest); /* and no policyRef */
}

int policy_digest(const PolicyTerms *t, uint8_t ret[static DIGEST_SIZE])
{
        int r = 0;

        memset(ret, 0, DIGEST_SIZE);
        if (t->key->algorithm != _TPM_ALGORITHM_INVALID)
                r = extend_authorize(ret, t->key);
        else if (t->pcrs->mask)
                r = extend_pcr(ret, t->pcrs);
        if (!r && t->has_pin)
                r = extend(ret, TPM2_CC_PolicyAuthValue, BYTES_NULL, BYTES_NULL);
        return r;
}

static int signature_of(const TpmPolicyKey *k, Bytes s, TPMT_SIGNATURE *ret)
{
        if (k->algorithm == TPM_P256) {
                TPMS_SIGNATURE_ECC *e = &ret->signature.ecdsa;

                if (s.len != 64)
                        return HF_E_INVALID_ARGS;
                *ret = (TPMT_SIGNATURE){.sigAlg = TPM2_ALG_ECDSA};
                e->hash = TPM2_ALG_SHA256;
                e->signatureR.size = e->signatureS.size = 32;
                memcpy(e->signatureR.buffer, s.data, 32);
                memcpy(e->signatureS.buffer, s.data + 32, 32);
                return 0;
        }
        if (s.len != k->number.len)
                return HF_E_INVALID_ARGS;
        *ret = (TPMT_SIGNATURE){.sigAlg = TPM2_ALG_RSASSA};
        ret->signature.rsassa.hash = TPM2_ALG_SHA256;
        ret->signature.rsassa.sig.size = (UINT16)s.len;
        memcpy(ret->signature.rsassa.sig.buffer, s.data, s.len);
        return 0;
}

/* HF_E_PCR_CHANGED: the key did not sign this. */
static int verify(Device *d, const TpmPolicyKey *k, const TpmPolicySignature *s, TPMT_TK_VERIFIED **ret_ticket,
                TPM2B_NAME **ret_name)
{
        _cleanup_loaded_ Loaded key = {.device = d, .tr = ESYS_TR_NONE};
        TPM2B_DIGEST hash = {.size = DIGEST_SIZE};
        TPMT_SIGNATURE signature;
        TPM2B_PUBLIC public;
        int r = key_template(k, &public);

        if (!r && signature_of(k, s->signature, &signature))
                r = HF_E_PCR_CHANGED;
        if (!r)
                r = ossl_sha256(&BYTES_ARRAY(s->digest), 1, hash.buffer);
        if (!r)
                r = device_result(d, Esys_LoadExternal(d->esys, NO_SESSION, NULL, &public, ESYS_TR_RH_OWNER, &key.tr));
        if (!r)
                r = device_result(d, Esys_TR_GetName(d->esys, key.tr, ret_name));
        if (r)
                return r;
        r = device_result(d, Esys_VerifySignature(d->esys, key.tr, NO_SESSION, &hash, &signature, ret_ticket));
        return r && error_is_parameter(d->last) ? device_handled(d, HF_E_PCR_CHANGED) : r;
}

static int authorize(Device *d, ESYS_TR session, const uint8_t approved[static DIGEST_SIZE], const TpmUnsealing *u)
{
        int r = HF_E_PCR_CHANGED;

        for (size_t i = 0; i < u->n_signatures && r == HF_E_PCR_CHANGED; i++) {
                _cleanup_esys_ TPMT_TK_VERIFIED *ticket = NULL;
                _cleanup_esys_ TPM2B_NAME *name = NULL;
                const TPM2B_NONCE no_reference = {};
                TPM2B_DIGEST policy = {.size = DIGEST_SIZE};

                if (memcmp(u->signatures[i].digest, approved, DIGEST_SIZE) != 0)
                        continue;
                memcpy(policy.buffer, approved, DIGEST_SIZE);
                r = verify(d, &u->policy, &u->signatures[i], &ticket, &name);
                if (!r)
                        r = device_result(d, Esys_PolicyAuthorize(d->esys, session, NO_SESSION, &policy,
                                                             &no_reference, name, ticket));
        }
        if (r == HF_E_PCR_CHANGED)
                device_detail(d, "the signature that approves of these PCRs is not the policy key's");
        return r;
}

static int satisfy_pcr(Device *d, ESYS_TR session, const TpmPcrs *p)
{
        TPM2B_DIGEST values = {.size = DIGEST_SIZE};
        TPML_PCR_SELECTION which;
        int r = values_digest(p, values.buffer);

        pcr_select(p->bank, p->mask, &which);
        if (!r)
                r = device_result(d, Esys_PolicyPCR(d->esys, session, NO_SESSION, &values, &which));
        return r && error_base(d->last) == TPM2_RC_VALUE ? device_handled(d, HF_E_PCR_CHANGED) : r;
}

int policy_satisfy(Device *d, ESYS_TR session, const PolicyTerms *t, const TpmUnsealing *u)
{
        uint8_t approved[DIGEST_SIZE];
        int r = 0;

        if (t->pcrs->mask)
                r = satisfy_pcr(d, session, t->pcrs);
        if (!r && t->key->algorithm != _TPM_ALGORITHM_INVALID) {
                r = policy_pcr_digest(t->pcrs, approved);
                if (!r)
                        r = authorize(d, session, approved, u);
        }
        if (!r && t->has_pin)
                r = device_result(d, Esys_PolicyAuthValue(d->esys, session, NO_SESSION));
        return r;
}
