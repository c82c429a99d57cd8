/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/endorsement.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "tpm/template.h"

#define CERTIFICATES_FIRST 0x01c00002u
#define NV_CHUNK 512 /* every TPM gives as much at a time */
#define HANDLES_MAX 64

/* Where a certificate lies and where its key may. The one that is cheapest to make is the one without a certificate. */
typedef struct Row {
        TPM2_HANDLE certificate, key;
        void (*template)(TPM2B_PUBLIC *ret);
} Row;

#define EK_ATTRIBUTES (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
                       TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

/* PolicySecret of the endorsement hierarchy: PolicyA in SHA-256, PolicyB in SHA-384 is its OR with the other. */
static const uint8_t policy_a[32] = {
                0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
                0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
};
static const uint8_t policy_b[48] = {
                0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
                0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
                0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
};

static TPMT_SYM_DEF_OBJECT aes(uint16_t bits)
{
        return (TPMT_SYM_DEF_OBJECT){.algorithm = TPM2_ALG_AES, .keyBits.aes = bits, .mode.aes = TPM2_ALG_CFB};
}

static void policy(TPMT_PUBLIC *p, const uint8_t *bytes, size_t len)
{
        p->authPolicy.size = (UINT16)len;
        memcpy(p->authPolicy.buffer, bytes, len);
}

/* L-1 */
static void rsa2048(TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = EK_ATTRIBUTES}};
        policy(p, policy_a, sizeof(policy_a));
        p->parameters.rsaDetail = (TPMS_RSA_PARMS){.symmetric = aes(128), .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048};
        p->unique.rsa.size = 256;
}

/* L-2 */
static void ecc256(TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = EK_ATTRIBUTES}};
        policy(p, policy_a, sizeof(policy_a));
        p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric = aes(128), .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL};
        p->unique.ecc.x.size = p->unique.ecc.y.size = 32;
}

/* H-3 */
static void ecc384(TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA384,
                                              .objectAttributes = EK_ATTRIBUTES | TPMA_OBJECT_USERWITHAUTH}};
        policy(p, policy_b, sizeof(policy_b));
        p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric = aes(256), .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P384, .kdf.scheme = TPM2_ALG_NULL};
}

static const Row rows[] = {
                {0x01c00002, 0x81010001, rsa2048},
                {0x01c00016, 0x81010016, ecc384},
                {0x01c0000a, 0x81010002, ecc256},
};

/* Ours: restricted, so that it signs nothing but what the TPM says of itself. `unique` makes it another key than everybody
 * else's of this kind. */
static void attestation(TPM2B_PUBLIC *ret)
{
        static const char unique[] = "holdfast attestation key 1";
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                                  TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                                                  TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                                                                  TPMA_OBJECT_SIGN_ENCRYPT}};
        p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_ECDSA,
                .scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256, .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL};
        p->unique.ecc.x.size = p->unique.ecc.y.size = 32;
        memcpy(p->unique.ecc.x.buffer, unique, sizeof(unique) - 1);
}

/* NULL: none of them. */
static int find_row(Device *d, const Row **ret)
{
        _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
        const TPML_HANDLE *list;
        TPMI_YES_NO more;
        int r = device_result(d, Esys_GetCapability(d->esys, NO_SESSION, TPM2_CAP_HANDLES, CERTIFICATES_FIRST, HANDLES_MAX, &more,
                                                &data));

        if (r)
                return r;
        list = &data->data.handles;
        if (data->capability != TPM2_CAP_HANDLES || list->count > ELEMENTSOF(list->handle))
                return device_nonsense(d, "list of NV indices");
        *ret = NULL;
        for (size_t i = 0; i < ELEMENTSOF(rows) && !*ret; i++)
                for (size_t j = 0; j < list->count; j++)
                        if (list->handle[j] == rows[i].certificate)
                                *ret = &rows[i];
        return 0;
}

int endorsement_has_certificate(Device *d, bool *ret)
{
        const Row *row;
        int r = find_row(d, &row);

        if (!r)
                *ret = row;
        return r;
}

static int make(Device *d, const TPM2B_PUBLIC *template, TPM2B_PUBLIC *ret, TPMS_CONTEXT **ret_saved)
{
        _cleanup_loaded_ Loaded l = {.device = d, .tr = ESYS_TR_NONE};
        _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        int r = device_result(d, Esys_CreatePrimary(d->esys, ESYS_TR_RH_ENDORSEMENT, ONE_SESSION(ESYS_TR_PASSWORD), &sensitive,
                                                template, &outside, &pcrs, &l.tr, &public, NULL, NULL, NULL));

        if (!r && ret_saved)
                r = device_result(d, Esys_ContextSave(d->esys, l.tr, ret_saved));
        if (!r)
                *ret = *public;
        return r;
}

/* HF_E_NO_SUCH_KEY: nothing there. */
static int read_persistent(Device *d, TPM2_HANDLE handle, TPM2B_PUBLIC *ret)
{
        _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
        ESYS_TR tr;
        int r = device_take_up(d, handle, &tr);

        if (r)
                return r;
        r = device_result(d, Esys_ReadPublic(d->esys, tr, NO_SESSION, &public, NULL, NULL));
        (void)Esys_TR_Close(d->esys, &tr);
        if (!r)
                *ret = *public;
        return r;
}

static int read_nv(Device *d, ESYS_TR index, ESYS_TR by, size_t size, Endorsement *e)
{
        for (size_t at = 0; at < size;) {
                _cleanup_esys_ TPM2B_MAX_NV_BUFFER *part = NULL;
                uint16_t n = (uint16_t)(size - at < NV_CHUNK ? size - at : NV_CHUNK);
                int r = device_result(d, Esys_NV_Read(d->esys, by, index, ONE_SESSION(ESYS_TR_PASSWORD), n, (UINT16)at, &part));

                if (r)
                        return r;
                if (part->size != n)
                        return device_nonsense(d, "size of a certificate's part");
                memcpy(e->certificate + at, part->buffer, n);
                at += n;
        }
        e->certificate_len = size;
        return 0;
}

static int read_certificate(Device *d, TPM2_HANDLE handle, Endorsement *e)
{
        _cleanup_esys_ TPM2B_NV_PUBLIC *public = NULL;
        ESYS_TR tr;
        bool by_index;
        int r = device_result(d, Esys_TR_FromTPMPublic(d->esys, handle, NO_SESSION, &tr));

        if (r)
                return r;
        r = device_result(d, Esys_NV_ReadPublic(d->esys, tr, NO_SESSION, &public, NULL));
        if (!r && public->nvPublic.dataSize > sizeof(e->certificate))
                r = device_nonsense(d, "size of a certificate");
        if (!r) {
                by_index = public->nvPublic.attributes & TPMA_NV_AUTHREAD;
                r = read_nv(d, tr, by_index ? tr : ESYS_TR_RH_OWNER, public->nvPublic.dataSize, e);
        }
        (void)Esys_TR_Close(d->esys, &tr);
        return r;
}

static int know_endorsement_key(Device *d, Endorsement *e)
{
        const Row *row;
        TPM2B_PUBLIC template;
        int r = find_row(d, &row);

        if (r)
                return r;
        if (row)
                r = read_certificate(d, row->certificate, e);
        else
                row = &rows[ELEMENTSOF(rows) - 1];
        if (!r)
                r = read_persistent(d, row->key, &e->ek);
        if (r != HF_E_NO_SUCH_KEY)
                return r;
        row->template(&template);
        return make(d, &template, &e->ek, NULL);
}

int endorsement_know(Kept *k, const Endorsement **ret)
{
        Endorsement *e = &k->endorsement;
        TPM2B_PUBLIC template;
        int r = 0;

        if (!e->ak_saved) {
                attestation(&template);
                r = know_endorsement_key(k->device, e);
                if (!r)
                        r = make(k->device, &template, &e->ak, &e->ak_saved);
        }
        if (!r)
                *ret = e;
        return r;
}

void endorsement_forget(Endorsement *e)
{
        Esys_Free(e->ak_saved);
        *e = (Endorsement){};
}
