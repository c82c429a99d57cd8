/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/algorithm.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define P(purpose) (1u << PURPOSE_##purpose)
#define A(algorithm) (1u << KEY_##algorithm)
#define RSA_ALL (A(RSA2048) | A(RSA3072) | A(RSA4096))

static const KeyAlgorithmInfo algorithms[_KEY_ALGORITHM_MAX] = {
        [KEY_P256] = {"p256", true, P(SIGN) | P(AGREE) | P(ISSUE), PURPOSE_SIGN, 256, "ECDSA P-256"},
        [KEY_P384] = {"p384", true, P(SIGN) | P(AGREE) | P(ISSUE), PURPOSE_SIGN, 384, "ECDSA P-384"},
        [KEY_ED25519] = {"ed25519", true, P(SIGN) | P(ISSUE), PURPOSE_SIGN, 256, "Ed25519"},
        [KEY_RSA2048] = {"rsa2048", true, P(SIGN) | P(DECRYPT) | P(ISSUE), PURPOSE_SIGN, 2048, "RSA-2048"},
        [KEY_RSA3072] = {"rsa3072", true, P(SIGN) | P(DECRYPT) | P(ISSUE), PURPOSE_SIGN, 3072, "RSA-3072"},
        [KEY_RSA4096] = {"rsa4096", true, P(SIGN) | P(DECRYPT) | P(ISSUE), PURPOSE_SIGN, 4096, "RSA-4096"},
        [KEY_X25519] = {"x25519", true, P(AGREE), PURPOSE_AGREE, 256, "X25519"},
        [KEY_HMAC256] = {"hmac-sha256", false, P(MAC), PURPOSE_MAC, 256, "HMAC-SHA256"},
        [KEY_AES256] = {"aes256", false, P(SEAL), PURPOSE_SEAL, 256, "AES-256-GCM"},
};

/* Where several schemes fit a key, the first is its usual one. */
static const SchemeInfo schemes[_SCHEME_MAX] = {
        [SCHEME_ES256] = {"ES256", PURPOSE_SIGN, A(P256), 32, "SHA2-256"},
        [SCHEME_ES384] = {"ES384", PURPOSE_SIGN, A(P384), 48, "SHA2-384"},
        [SCHEME_EDDSA] = {"EdDSA", PURPOSE_SIGN, A(ED25519), 0, NULL},
        [SCHEME_RS256] = {"RS256", PURPOSE_SIGN, RSA_ALL, 32, "SHA2-256"},
        [SCHEME_RS384] = {"RS384", PURPOSE_SIGN, RSA_ALL, 48, "SHA2-384"},
        [SCHEME_RS512] = {"RS512", PURPOSE_SIGN, RSA_ALL, 64, "SHA2-512"},
        [SCHEME_PS256] = {"PS256", PURPOSE_SIGN, RSA_ALL, 32, "SHA2-256"},
        [SCHEME_PS384] = {"PS384", PURPOSE_SIGN, RSA_ALL, 48, "SHA2-384"},
        [SCHEME_PS512] = {"PS512", PURPOSE_SIGN, RSA_ALL, 64, "SHA2-512"},
        [SCHEME_RSA_OAEP_256] = {"RSA-OAEP-256", PURPOSE_DECRYPT, RSA_ALL, 0, "SHA2-256"},
        [SCHEME_ECDH_HKDF_256] = {"ECDH-HKDF-256", PURPOSE_AGREE, A(P256) | A(P384) | A(X25519), 0, "SHA2-256"},
        [SCHEME_HS256] = {"HS256", PURPOSE_MAC, A(HMAC256), 0, "SHA2-256"},
        [SCHEME_A256GCM] = {"A256GCM", PURPOSE_SEAL, A(AES256), 0, NULL},
        [SCHEME_ECDSA_SHA256] = {"ECDSA-SHA256", PURPOSE_SIGN, A(P384), 32, "SHA2-256"},
        [SCHEME_ECDSA_SHA384] = {"ECDSA-SHA384", PURPOSE_SIGN, A(P256), 48, "SHA2-384"},
        [SCHEME_ECDSA_SHA512] = {"ECDSA-SHA512", PURPOSE_SIGN, A(P256) | A(P384), 64, "SHA2-512"},
};

static const char *const purposes[_KEY_PURPOSE_MAX] = {
        [PURPOSE_SIGN] = "sign", [PURPOSE_DECRYPT] = "decrypt", [PURPOSE_AGREE] = "agree",
        [PURPOSE_MAC] = "mac",   [PURPOSE_SEAL] = "seal",       [PURPOSE_ISSUE] = "issue",
};

const KeyAlgorithmInfo *key_algorithm_info(KeyAlgorithm a)
{
        return a > _KEY_ALGORITHM_INVALID && a < _KEY_ALGORITHM_MAX ? &algorithms[a] : NULL;
}

const SchemeInfo *scheme_info(Scheme s)
{
        return s > _SCHEME_INVALID && s < _SCHEME_MAX ? &schemes[s] : NULL;
}

KeyAlgorithm key_algorithm_from_string(const char *name)
{
        for (KeyAlgorithm a = 1; a < _KEY_ALGORITHM_MAX; a++)
                if (strcmp(algorithms[a].name, name) == 0)
                        return a;
        return _KEY_ALGORITHM_INVALID;
}

KeyPurpose key_purpose_from_string(const char *name)
{
        for (KeyPurpose p = 1; p < _KEY_PURPOSE_MAX; p++)
                if (strcmp(purposes[p], name) == 0)
                        return p;
        return _KEY_PURPOSE_INVALID;
}

const char *key_purpose_to_string(KeyPurpose p)
{
        return p > _KEY_PURPOSE_INVALID && p < _KEY_PURPOSE_MAX ? purposes[p] : NULL;
}

Scheme scheme_from_string(const char *name)
{
        for (Scheme s = 1; s < _SCHEME_MAX; s++)
                if (strcmp(schemes[s].name, name) == 0)
                        return s;
        return _SCHEME_INVALID;
}

/* A CA's key signs as others do; what differs is who may ask. */
static KeyPurpose scheme_purpose_for(KeyPurpose p)
{
        return p == PURPOSE_ISSUE ? PURPOSE_SIGN : p;
}

Scheme scheme_usual(KeyAlgorithm a, KeyPurpose p)
{
        for (Scheme s = 1; s < _SCHEME_MAX; s++)
                if (scheme_check(s, a, p) == 0)
                        return s;
        return _SCHEME_INVALID;
}

int scheme_check(Scheme s, KeyAlgorithm a, KeyPurpose p)
{
        const SchemeInfo *scheme = scheme_info(s);
        const KeyAlgorithmInfo *algorithm = key_algorithm_info(a);

        if (!scheme || !algorithm || !(scheme->algorithms & (1u << a)))
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (!key_purpose_to_string(p) || !(algorithm->purposes & (1u << p)) || scheme->purpose != scheme_purpose_for(p))
                return HF_E_PURPOSE_NOT_PERMITTED;
        return 0;
}
