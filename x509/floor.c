/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/floor.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define RSA_EXPONENT_BITS_MAX 64
#define EC_BITS_MIN 256

static bool number_is_odd(const EVP_PKEY *pkey, const char *param, int bits_max)
{
        BIGNUM *n = NULL;
        bool fine = EVP_PKEY_get_bn_param(pkey, param, &n) == 1 && BN_is_odd(n) && !BN_is_one(n) && BN_num_bits(n) <= bits_max;

        BN_free(n);
        return fine;
}

static bool rsa_accepts(const EVP_PKEY *pkey, char *ret_detail)
{
        int bits = EVP_PKEY_get_bits(pkey);

        snprintf(ret_detail, FINDING_DETAIL_SIZE, "RSA with %d bits", bits);
        if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
                return false;
        snprintf(ret_detail, FINDING_DETAIL_SIZE, "RSA with an odd choice of modulus or exponent");
        return number_is_odd(pkey, OSSL_PKEY_PARAM_RSA_N, RSA_BITS_MAX) &&
               number_is_odd(pkey, OSSL_PKEY_PARAM_RSA_E, RSA_EXPONENT_BITS_MAX);
}

static bool ec_accepts(const EVP_PKEY *pkey, char *ret_detail)
{
        int is_explicit = 0;

        (void)EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit);
        snprintf(ret_detail, FINDING_DETAIL_SIZE, is_explicit ? "EC with explicit parameters" : "EC with %d bits",
                        EVP_PKEY_get_bits(pkey));
        return !is_explicit && EVP_PKEY_get_bits(pkey) >= EC_BITS_MIN;
}

bool floor_accepts(EVP_PKEY *pkey, char ret_detail[static FINDING_DETAIL_SIZE])
{
        const char *name;

        if (!pkey) {
                snprintf(ret_detail, FINDING_DETAIL_SIZE, "one that cannot be read");
                return false;
        }
        if (EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_is_a(pkey, "RSA-PSS"))
                return rsa_accepts(pkey, ret_detail);
        if (EVP_PKEY_is_a(pkey, "EC"))
                return ec_accepts(pkey, ret_detail);
        name = EVP_PKEY_get0_type_name(pkey);
        snprintf(ret_detail, FINDING_DETAIL_SIZE, "%s", name ? name : "one of an unknown kind");
        return EVP_PKEY_is_a(pkey, "ED25519") || EVP_PKEY_is_a(pkey, "ED448");
}
