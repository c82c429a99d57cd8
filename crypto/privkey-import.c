/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Import of PKCS#8 (RFC 5208). OpenSSL parses; what it accepted is then taken apart into raw values, which go through
 * the floor and through privkey_from_raw(), so that an imported key meets the same checks as one of ours and more.
 * The text form is read by hand, because exactly one object of one kind is wanted: no password callback, no second
 * object behind the first, no kind guessed.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/floor.h"
#include "crypto/rsa-check.h"

#define INPUT_MAX 16384
#define PEM_BEGIN "-----BEGIN PRIVATE KEY-----"
#define PEM_END "-----END PRIVATE KEY-----"

/* DER in memory of OpenSSL's, erased with it. */
typedef struct Der {
        uint8_t *data;
        size_t len, allocated;
} Der;

static void der_deinit(Der *d)
{
        OPENSSL_clear_free(d->data, d->allocated);
}

static bool is_space(uint8_t c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static Bytes trim(Bytes b)
{
        while (b.len > 0 && is_space(b.data[0])) {
                b.data++;
                b.len--;
        }
        while (b.len > 0 && is_space(b.data[b.len - 1]))
                b.len--;
        return b;
}

/* Base64 between the two lines, which must be the first and the last thing in the text. */
static int decode_pem(Bytes text, Der *ret)
{
        size_t begin = strlen(PEM_BEGIN), end = strlen(PEM_END), n = 0;
        char *stripped;
        int r;

        text = trim(text);
        if (text.len < begin + end || memcmp(text.data, PEM_BEGIN, begin) != 0 ||
                        memcmp(text.data + text.len - end, PEM_END, end) != 0)
                return HF_E_INVALID_ARGS;
        stripped = OPENSSL_malloc(text.len);
        ret->data = OPENSSL_malloc(text.len);
        ret->allocated = text.len;
        if (!stripped || !ret->data) {
                OPENSSL_free(stripped);
                return -ENOMEM;
        }
        for (size_t i = begin; i < text.len - end; i++)
                if (!is_space(text.data[i]))
                        stripped[n++] = (char)text.data[i];
        r = base64_decode(stripped, n, ret->data, ret->allocated, &ret->len);
        OPENSSL_clear_free(stripped, text.len);
        return r;
}

static int parse_der(Bytes der, EVP_PKEY **ret)
{
        const uint8_t *p = der.data;
        PKCS8_PRIV_KEY_INFO *info;
        EVP_PKEY *pkey = NULL;

        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
        if (info && p == der.data + der.len)
                pkey = EVP_PKCS82PKEY_ex(info, NULL, NULL);
        PKCS8_PRIV_KEY_INFO_free(info);
        if (!pkey)
                return HF_E_INVALID_ARGS;
        *ret = pkey;
        return 0;
}

/* Through the raw form and back in, with all checks. */
static int adopt(PrivKey *k, uint8_t raw[static PRIVKEY_RAW_MAX], PrivKey **ret)
{
        Bytes parts[RSA_PARTS];
        size_t len;
        int r;

        r = k->family->to_raw(k, raw, &len);
        if (r)
                /* A part that is longer than a well-made key has it. */
                return k->family == &family_rsa ? HF_E_WEAK_KEY : HF_E_INVALID_ARGS;
        if (k->family == &family_rsa) {
                r = rsa_parse_raw(k, BYTES(raw, len), parts);
                if (!r)
                        r = rsa_check_strong(parts);
                if (r)
                        return r;
        }
        r = privkey_from_raw(k->algorithm, BYTES(raw, len), BYTES(k->spki, k->spki_len), ret);
        return r > 0 ? HF_E_INVALID_ARGS : r;
}

static int import_pkey(EVP_PKEY *pkey, PrivKey **ret)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        KeyAlgorithm a;
        uint8_t *raw;
        int r;

        r = floor_algorithm(pkey, &a);
        if (!r)
                r = privkey_new(a, &k);
        if (r)
                return r;
        if (!EVP_PKEY_up_ref(pkey))
                return HF_E_INTERNAL;
        k->pkey = pkey;
        /* The public half of an EC key may have come compressed; we know it in one form. */
        if (k->family == &family_ec && EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                                       OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) <= 0)
                return HF_E_INTERNAL;
        if (k->family->set_public(k))
                return HF_E_INVALID_ARGS;
        raw = OPENSSL_malloc(PRIVKEY_RAW_MAX);
        if (!raw)
                return -ENOMEM;
        r = adopt(k, raw, ret);
        OPENSSL_clear_free(raw, PRIVKEY_RAW_MAX);
        return r;
}

int privkey_from_pkcs8(Bytes input, PrivKey **ret)
{
        _cleanup_(der_deinit) Der der = {};
        EVP_PKEY *pkey = NULL;
        Bytes b = input;
        int r;

        if (input.len == 0 || input.len > INPUT_MAX)
                return HF_E_INVALID_ARGS;
        if (input.data[0] != 0x30) { /* SEQUENCE; no text form begins with the digit 0 */
                r = decode_pem(input, &der);
                if (r)
                        return r;
                b = BYTES(der.data, der.len);
        }
        r = parse_der(b, &pkey);
        if (!r)
                r = import_pkey(pkey, ret);
        EVP_PKEY_free(pkey);
        return r ? openssl_failed(r) : 0;
}
