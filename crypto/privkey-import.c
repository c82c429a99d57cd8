/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Import of PKCS#8 (RFC 5208). OpenSSL parses; what it accepted is then taken apart into raw values, which go through
 * the floor and through privkey_from_raw(), so that an imported key meets the same checks as one of ours and more.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/floor.h"
#include "crypto/pem.h"
#include "crypto/rsa-check.h"

#define INPUT_MAX 16384

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
                r = pem_decode(input, "PRIVATE KEY", &der);
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
