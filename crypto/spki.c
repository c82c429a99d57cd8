/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/spki.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/fetched.h"
#include "crypto/number.h"

typedef struct SpkiForm {
        const char *type;  /* OpenSSL's key type */
        const char *group; /* and curve, for EC */
        size_t head_len, body_len, tail_len;
        uint8_t head[36], tail[5];
} SpkiForm;

#define RSA_OID 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01
#define EXPONENT {0x02, 0x03, 0x01, 0x00, 0x01}

static const SpkiForm forms[_KEY_ALGORITHM_MAX] = {
        [KEY_P256] = {"EC", "P-256", 27, 64, 0,
                {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                        0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
        [KEY_P384] = {"EC", "P-384", 24, 96, 0,
                {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                        0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04}},
        [KEY_ED25519] = {"ED25519", NULL, 12, 32, 0,
                {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}},
        [KEY_X25519] = {"X25519", NULL, 12, 32, 0,
                {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00}},
        [KEY_RSA2048] = {"RSA", NULL, 33, 256, 5,
                {0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, RSA_OID, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82,
                        0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00}, EXPONENT},
        [KEY_RSA3072] = {"RSA", NULL, 33, 384, 5,
                {0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, RSA_OID, 0x05, 0x00, 0x03, 0x82, 0x01, 0x8f, 0x00, 0x30, 0x82,
                        0x01, 0x8a, 0x02, 0x82, 0x01, 0x81, 0x00}, EXPONENT},
        [KEY_RSA4096] = {"RSA", NULL, 33, 512, 5,
                {0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, RSA_OID, 0x05, 0x00, 0x03, 0x82, 0x02, 0x0f, 0x00, 0x30, 0x82,
                        0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00}, EXPONENT},
};

static bool form_matches(const SpkiForm *f, Bytes spki)
{
        const uint8_t *body = spki.data + f->head_len;

        if (!f->type || spki.len != f->head_len + f->body_len + f->tail_len)
                return false;
        if (memcmp(spki.data, f->head, f->head_len) != 0 || memcmp(body + f->body_len, f->tail, f->tail_len) != 0)
                return false;
        /* A modulus has all its bits and is odd. */
        return f->tail_len == 0 || ((body[0] & 0x80) && (body[f->body_len - 1] & 1));
}

int spki_parse(Bytes spki, KeyAlgorithm *ret, Bytes *ret_body)
{
        for (KeyAlgorithm a = 1; a < _KEY_ALGORITHM_MAX; a++)
                if (form_matches(&forms[a], spki)) {
                        *ret = a;
                        *ret_body = BYTES(spki.data + forms[a].head_len, forms[a].body_len);
                        return 0;
                }
        return HF_E_INVALID_ARGS;
}

int spki_bits(Bytes spki, Bytes *ret)
{
        KeyAlgorithm a;
        size_t before;
        Bytes body;
        int r = spki_parse(spki, &a, &body);

        if (r)
                return r;
        /* The point's form; or the heads of a sequence and of n, and the zero that keeps n positive. */
        before = forms[a].group ? 1 : forms[a].tail_len ? 9 : 0;
        *ret = BYTES(body.data - before, spki.len - (size_t)(body.data - spki.data) + before);
        return 0;
}

int spki_build(KeyAlgorithm algorithm, Bytes body, uint8_t *ret, size_t size, size_t *ret_len)
{
        const SpkiForm *f = key_algorithm_info(algorithm) ? &forms[algorithm] : NULL;

        if (!f || !f->type || body.len != f->body_len || size < f->head_len + f->body_len + f->tail_len)
                return HF_E_INVALID_ARGS;
        memcpy(ret, f->head, f->head_len);
        memcpy(ret + f->head_len, body.data, body.len);
        memcpy(ret + f->head_len + body.len, f->tail, f->tail_len);
        *ret_len = f->head_len + body.len + f->tail_len;
        return 0;
}

static int load_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        int ok;

        ok = ctx && EVP_PKEY_fromdata_init(ctx) > 0 && EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) > 0;
        EVP_PKEY_CTX_free(ctx);
        return ok ? 0 : openssl_failed(HF_E_INVALID_ARGS);
}

static int load_ec(const SpkiForm *f, Bytes body, EVP_PKEY **ret)
{
        OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)f->group, strlen(f->group)),
                /* The uncompressed point with its 04 in front, as it stands at the end of the SPKI. */
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(body.data - 1), body.len + 1),
                OSSL_PARAM_END,
        };

        return load_params(f->type, params, ret);
}

static int load_rsa(const SpkiForm *f, Bytes body, EVP_PKEY **ret)
{
        uint8_t n[512];
        unsigned e = 65537;
        OSSL_PARAM params[] = {
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, n, body.len),
                OSSL_PARAM_uint(OSSL_PKEY_PARAM_RSA_E, &e),
                OSSL_PARAM_END,
        };

        number_native(body, n);
        return load_params(f->type, params, ret);
}

int spki_load(Bytes spki, KeyAlgorithm *ret_algorithm, EVP_PKEY **ret)
{
        EVP_PKEY *pkey = NULL;
        KeyAlgorithm a;
        Bytes body;
        int r;

        r = spki_parse(spki, &a, &body);
        if (r)
                return r;
        if (forms[a].group) {
                r = load_ec(&forms[a], body, &pkey);
        } else if (forms[a].tail_len) {
                r = load_rsa(&forms[a], body, &pkey);
        } else {
                pkey = EVP_PKEY_new_raw_public_key_ex(NULL, forms[a].type, NULL, body.data, body.len);
                r = pkey ? 0 : openssl_failed(HF_E_INVALID_ARGS);
        }
        if (r)
                return r;
        *ret_algorithm = a;
        *ret = pkey;
        return 0;
}
