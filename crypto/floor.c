/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/floor.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/fetched.h"

#define WEAKEST_EC 256
#define WEAKEST_RSA 2048

static int floor_ec(const EVP_PKEY *pkey, KeyAlgorithm *ret)
{
        char group[64] = "", encoding[32] = "";

        /* Explicit parameters can describe a curve of the attacker's with a known generator (CVE-2020-0601). */
        if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), NULL) <= 0 ||
                        strcmp(encoding, OSSL_PKEY_EC_ENCODING_EXPLICIT) == 0)
                return HF_E_WEAK_KEY;
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) <= 0)
                return HF_E_WEAK_KEY;
        if (EVP_PKEY_get_bits(pkey) < WEAKEST_EC)
                return HF_E_WEAK_KEY;
        if (strcmp(group, "prime256v1") == 0)
                *ret = KEY_P256;
        else if (strcmp(group, "secp384r1") == 0)
                *ret = KEY_P384;
        else
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        return 0;
}

static int floor_rsa(const EVP_PKEY *pkey, KeyAlgorithm *ret)
{
        BIGNUM *n = NULL, *e = NULL;
        int r = 0;

        if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) <= 0 ||
                        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) <= 0 || !BN_is_odd(n) ||
                        BN_num_bits(n) < WEAKEST_RSA || !BN_is_word(e, 65537))
                r = HF_E_WEAK_KEY;
        else if (BN_num_bits(n) == 2048)
                *ret = KEY_RSA2048;
        else if (BN_num_bits(n) == 3072)
                *ret = KEY_RSA3072;
        else if (BN_num_bits(n) == 4096)
                *ret = KEY_RSA4096;
        else
                r = HF_E_ALGORITHM_NOT_SUPPORTED;
        BN_free(n);
        BN_free(e);
        return r;
}

int floor_algorithm(const EVP_PKEY *pkey, KeyAlgorithm *ret)
{
        int r = 0;

        if (EVP_PKEY_is_a(pkey, "EC"))
                r = floor_ec(pkey, ret);
        else if (EVP_PKEY_is_a(pkey, "RSA"))
                r = floor_rsa(pkey, ret);
        else if (EVP_PKEY_is_a(pkey, "ED25519"))
                *ret = KEY_ED25519;
        else if (EVP_PKEY_is_a(pkey, "X25519"))
                *ret = KEY_X25519;
        else
                r = HF_E_ALGORITHM_NOT_SUPPORTED;
        return openssl_failed(r);
}
