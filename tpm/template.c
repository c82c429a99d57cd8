/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/template.h"

#include <tss2/tss2_mu.h>

#include "base/cleanup.h"
#include "base/error.h"

#define OURS (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | \
              TPMA_OBJECT_NODA)
#define SIGN TPMA_OBJECT_SIGN_ENCRYPT
#define DECRYPT TPMA_OBJECT_DECRYPT
#define SRK_UNIQUE 32

typedef struct Row {
        TpmAlgorithm algorithm;
        TpmUse use;
        TPMI_ALG_PUBLIC type;
        uint16_t size; /* curve or bits */
        TPMA_OBJECT attributes;
} Row;

/* RSA for signing may decrypt too: that is the raw operation, for the PSS that the signer pads. */
static const Row rows[] = {
                {TPM_P256, TPM_USE_SIGN, TPM2_ALG_ECC, TPM2_ECC_NIST_P256, SIGN},
                {TPM_P384, TPM_USE_SIGN, TPM2_ALG_ECC, TPM2_ECC_NIST_P384, SIGN},
                {TPM_P256, TPM_USE_AGREE, TPM2_ALG_ECC, TPM2_ECC_NIST_P256, DECRYPT},
                {TPM_P384, TPM_USE_AGREE, TPM2_ALG_ECC, TPM2_ECC_NIST_P384, DECRYPT},
                {TPM_RSA2048, TPM_USE_SIGN, TPM2_ALG_RSA, 2048, SIGN | DECRYPT},
                {TPM_RSA3072, TPM_USE_SIGN, TPM2_ALG_RSA, 3072, SIGN | DECRYPT},
                {TPM_RSA2048, TPM_USE_DECRYPT, TPM2_ALG_RSA, 2048, DECRYPT},
                {TPM_RSA3072, TPM_USE_DECRYPT, TPM2_ALG_RSA, 3072, DECRYPT},
                {TPM_HMAC256, TPM_USE_MAC, TPM2_ALG_KEYEDHASH, 256, SIGN},
};

static void storage_symmetric(TPMT_SYM_DEF_OBJECT *ret)
{
        *ret = (TPMT_SYM_DEF_OBJECT){.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
}

/* The key files' own words leave `unique` empty and count no attempts. Some programs fill it with zeros, and tpm2-tools count:
 * those are other keys. */
void template_parent(size_t i, TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = OURS | TPMA_OBJECT_RESTRICTED | DECRYPT}};
        p->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
        p->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
        p->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
        storage_symmetric(&p->parameters.eccDetail.symmetric);
        if (i == 2)
                p->objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_NODA;
        if (i == 1)
                p->unique.ecc.x.size = p->unique.ecc.y.size = SRK_UNIQUE;
}

bool template_is_parent(const TPMT_PUBLIC *p)
{
        TPMA_OBJECT must = TPMA_OBJECT_RESTRICTED | DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                        TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH;

        return p->nameAlg == TPM2_ALG_SHA256 && (p->type == TPM2_ALG_ECC || p->type == TPM2_ALG_RSA) &&
               (p->objectAttributes & must) == must && !(p->objectAttributes & SIGN);
}

static void fill(const Row *row, TPMT_PUBLIC *p)
{
        p->type = row->type;
        p->nameAlg = TPM2_ALG_SHA256;
        p->objectAttributes = OURS | row->attributes;
        if (row->type == TPM2_ALG_ECC) {
                p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
                        .curveID = row->size, .kdf.scheme = TPM2_ALG_NULL};
        } else if (row->type == TPM2_ALG_RSA) {
                p->parameters.rsaDetail = (TPMS_RSA_PARMS){.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
                        .keyBits = row->size};
        } else {
                p->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_HMAC;
                p->parameters.keyedHashDetail.scheme.details.hmac.hashAlg = TPM2_ALG_SHA256;
        }
}

int template_key(TpmAlgorithm algorithm, TpmUse use, TPM2B_PUBLIC *ret)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].algorithm != algorithm || rows[i].use != use)
                        continue;
                *ret = (TPM2B_PUBLIC){};
                fill(&rows[i], &ret->publicArea);
                return 0;
        }
        return HF_E_INVALID_ARGS;
}

static bool same_kind(const TPMT_PUBLIC *p, const Row *row)
{
        if (p->type != row->type)
                return false;
        if (p->type == TPM2_ALG_ECC)
                return p->parameters.eccDetail.curveID == row->size;
        if (p->type == TPM2_ALG_RSA)
                return p->parameters.rsaDetail.keyBits == row->size &&
                       (p->parameters.rsaDetail.exponent == 0 || p->parameters.rsaDetail.exponent == 65537);
        return p->parameters.keyedHashDetail.scheme.scheme == TPM2_ALG_HMAC &&
               p->parameters.keyedHashDetail.scheme.details.hmac.hashAlg == TPM2_ALG_SHA256;
}

/* A key that can sign is for signing, whatever else it can. */
int template_recognise(const TPMT_PUBLIC *p, TpmAlgorithm *ret_algorithm, TpmUse *ret_use)
{
        TPMA_OBJECT wanted = p->objectAttributes & SIGN ? SIGN : DECRYPT;

        if (p->objectAttributes & TPMA_OBJECT_RESTRICTED || !(p->objectAttributes & wanted) ||
                        !(p->objectAttributes & TPMA_OBJECT_USERWITHAUTH))
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (!same_kind(p, &rows[i]) || !(rows[i].attributes & wanted) || (wanted == DECRYPT && rows[i].attributes & SIGN))
                        continue;
                *ret_algorithm = rows[i].algorithm;
                *ret_use = rows[i].use;
                return 0;
        }
        return HF_E_ALGORITHM_NOT_SUPPORTED;
}

size_t template_size(const TPMT_PUBLIC *p)
{
        if (p->type == TPM2_ALG_ECC)
                return p->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256   ? 32
                       : p->parameters.eccDetail.curveID == TPM2_ECC_NIST_P384 ? 48
                                                                               : 0;
        if (p->type == TPM2_ALG_RSA)
                return p->parameters.rsaDetail.keyBits / 8u <= TPM_NUMBER_MAX ? p->parameters.rsaDetail.keyBits / 8u : 0;
        return 0;
}

int number_pad(const uint8_t *data, size_t len, uint8_t *ret, size_t size)
{
        if (len > size)
                return HF_E_TPM_FAILED;
        memset(ret, 0, size - len);
        memcpy(ret + size - len, data, len);
        return 0;
}

int template_number(const TPMT_PUBLIC *p, uint8_t ret[static TPM_NUMBER_MAX], size_t *ret_len)
{
        size_t size = template_size(p);
        int r = 0;

        if (p->type == TPM2_ALG_KEYEDHASH) {
                *ret_len = 0;
                return 0;
        }
        if (size == 0)
                return HF_E_TPM_FAILED;
        if (p->type == TPM2_ALG_RSA) {
                if (p->unique.rsa.size != size)
                        return HF_E_TPM_FAILED;
                memcpy(ret, p->unique.rsa.buffer, size);
        } else {
                r = number_pad(p->unique.ecc.x.buffer, p->unique.ecc.x.size, ret, size);
                if (!r)
                        r = number_pad(p->unique.ecc.y.buffer, p->unique.ecc.y.size, ret + size, size);
                size *= 2;
        }
        if (!r)
                *ret_len = size;
        return r;
}

/* The library looks over some wrong lengths: only what it would write itself is good. */
int public_unmarshal(Bytes b, TPM2B_PUBLIC *ret)
{
        uint8_t again[TPM_PART_MAX];
        size_t at = 0, n;

        *ret = (TPM2B_PUBLIC){};
        if (b.len == 0 || Tss2_MU_TPM2B_PUBLIC_Unmarshal(b.data, b.len, &at, ret) || public_marshal(ret, again, &n))
                return HF_E_KEY_MISMATCH;
        return bytes_equal(b, BYTES(again, n)) ? 0 : HF_E_KEY_MISMATCH;
}

int private_unmarshal(Bytes b, TPM2B_PRIVATE *ret)
{
        size_t at = 0;

        *ret = (TPM2B_PRIVATE){};
        if (b.len == 0 || Tss2_MU_TPM2B_PRIVATE_Unmarshal(b.data, b.len, &at, ret) || at != b.len)
                return HF_E_KEY_MISMATCH;
        return 0;
}

int public_marshal(const TPM2B_PUBLIC *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len)
{
        size_t at = 0;

        if (Tss2_MU_TPM2B_PUBLIC_Marshal(p, ret, TPM_PART_MAX, &at))
                return HF_E_TPM_FAILED;
        *ret_len = at;
        return 0;
}

int private_marshal(const TPM2B_PRIVATE *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len)
{
        size_t at = 0;

        if (p->size > sizeof(p->buffer) || Tss2_MU_TPM2B_PRIVATE_Marshal(p, ret, TPM_PART_MAX, &at))
                return HF_E_TPM_FAILED;
        *ret_len = at;
        return 0;
}

int area_marshal(const TPMT_PUBLIC *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len)
{
        size_t at = 0;

        if (Tss2_MU_TPMT_PUBLIC_Marshal(p, ret, TPM_PART_MAX, &at))
                return HF_E_TPM_FAILED;
        *ret_len = at;
        return 0;
}
