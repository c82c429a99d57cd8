/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signatures. Beneath each context is one of the default provider: for a foreign key it does everything. For a key of
 * ours it is one that verifies, with the public half: it takes and checks all parameters and says the algorithm's
 * identifier; only signing itself goes to Holdfast. What goes there is the message, because a key signs messages; it
 * waits here up to 64 KiB. A key that was made for digests gets the digest, so its messages have no limit.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/ask.h"
#include "provider/generate.h"

#define DIGEST_NAME_SIZE 32

typedef struct Signature {
        Provider *provider;
        Key *key;
        bool asks;            /* signing goes to Holdfast */
        EVP_PKEY_CTX *single; /* beneath: of sign and verify */
        EVP_MD_CTX *stream;   /* beneath: of digest_sign and digest_verify */
        EVP_MD_CTX *hash;     /* asks, key made for digests */
        uint8_t *message;     /* asks, other keys */
        size_t len, allocated;
        bool later;             /* nobody has asked for stream yet, and it is made when somebody does */
        char digest[DIGEST_NAME_SIZE]; /* later: of that name; "": none */
} Signature;

typedef int Begin(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *, EVP_PKEY *, const OSSL_PARAM *);

static bool begin_stream(Signature *s, Begin *init, const char *digest, const OSSL_PARAM params[])
{
        const char *name = digest && digest[0] ? digest : NULL; /* Ed25519 has none */

        s->stream = EVP_MD_CTX_new();
        return s->stream && init(s->stream, NULL, name, s->provider->libctx, NULL, s->key->pkey, params) == 1;
}

static void clear(Signature *s)
{
        EVP_PKEY_CTX_free(s->single);
        EVP_MD_CTX_free(s->stream);
        EVP_MD_CTX_free(s->hash);
        free(s->message);
        *s = (Signature){.provider = s->provider, .key = s->key};
}

static void *signature_new(void *provctx, const char *properties)
{
        Signature *s = calloc(1, sizeof(*s));

        (void)properties;
        if (s)
                s->provider = provctx;
        return s;
}

static void signature_free(void *ctx)
{
        Signature *s = ctx;

        clear(s);
        key_unref(s->key);
        free(s);
}

static void signature_freep(Signature **s)
{
        if (*s)
                signature_free(*s);
}

static bool copy_stream(EVP_MD_CTX **to, const EVP_MD_CTX *from)
{
        if (!from)
                return true;
        *to = EVP_MD_CTX_new();
        return *to && EVP_MD_CTX_copy_ex(*to, from) == 1;
}

static void *signature_dup(void *ctx)
{
        const Signature *from = ctx;
        _cleanup_(signature_freep) Signature *s = signature_new(from->provider, NULL);

        if (!s)
                return NULL;
        s->key = from->key ? key_ref(from->key) : NULL;
        s->asks = from->asks;
        s->later = from->later;
        memcpy(s->digest, from->digest, sizeof(s->digest));
        if (!copy_stream(&s->stream, from->stream) || !copy_stream(&s->hash, from->hash))
                return NULL;
        if (from->single && !(s->single = EVP_PKEY_CTX_dup(from->single)))
                return NULL;
        if (from->len > 0) {
                s->message = malloc(from->len);
                if (!s->message)
                        return NULL;
                memcpy(s->message, from->message, from->len);
                s->len = s->allocated = from->len;
        }
        return TAKE_PTR(s);
}

/* The parameters' home. NULL: there is none, or no memory for it. */
static EVP_PKEY_CTX *beneath(Signature *s)
{
        if (s->later) {
                s->later = false;
                if (!begin_stream(s, EVP_DigestVerifyInit_ex, s->digest, NULL))
                        return NULL;
        }
        return s->stream ? EVP_MD_CTX_get_pkey_ctx(s->stream) : s->single;
}

/* A new beginning, with another key or the one there was. */
static bool begin(Signature *s, Key *k, bool signs)
{
        clear(s);
        if (k) {
                key_ref(k);
                key_unref(s->key);
                s->key = k;
        }
        if (!s->key || !s->key->pkey)
                return false;
        s->asks = signs && s->key->ours;
        return !signs || !s->key->passing || generate_refuse(s->provider);
}

static bool begin_single(Signature *s, Key *k, bool signs)
{
        if (!begin(s, k, signs))
                return false;
        s->single = EVP_PKEY_CTX_new_from_pkey(s->provider->libctx, s->key->pkey, NULL);
        return s->single != NULL;
}

static bool get_int(Signature *s, const char *name, int *ret)
{
        OSSL_PARAM params[] = {OSSL_PARAM_construct_int(name, ret), OSSL_PARAM_construct_end()};

        return EVP_PKEY_CTX_get_params(beneath(s), params) == 1 && OSSL_PARAM_modified(params);
}

/* The digest that this parameter names; NID_undef: none is set. */
static int get_digest(Signature *s, const char *name)
{
        char text[DIGEST_NAME_SIZE] = "";
        OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, text, sizeof(text)), OSSL_PARAM_construct_end()};
        const EVP_MD *md;

        if (s->later)
                md = EVP_get_digestbyname(s->digest);
        else
                md = beneath(s) && EVP_PKEY_CTX_get_params(beneath(s), params) == 1 ? EVP_get_digestbyname(text) : NULL;
        return md ? EVP_MD_get_type(md) : NID_undef;
}

/* Holdfast salts PSS with as many bytes as the digest has; "as many as possible" is that, here. */
static int settle_salt(Signature *s)
{
        int padding, salt;

        if (!s->asks || !key_is_rsa(s->key))
                return 1;
        if (!get_int(s, OSSL_SIGNATURE_PARAM_PAD_MODE, &padding) || padding != RSA_PKCS1_PSS_PADDING)
                return 1;
        if (!get_int(s, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt))
                return 0;
        return salt >= RSA_PSS_SALTLEN_DIGEST || EVP_PKEY_CTX_set_rsa_pss_saltlen(beneath(s), RSA_PSS_SALTLEN_DIGEST) == 1;
}

static int set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
        Signature *s = ctx;

        if (!params)
                return 1;
        return beneath(s) && EVP_PKEY_CTX_set_params(beneath(s), params) == 1 && settle_salt(s);
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
        Signature *s = ctx;

        return beneath(s) && EVP_PKEY_CTX_get_params(beneath(s), params) == 1;
}

static const OSSL_PARAM *settable_ctx_params(void *ctx, void *provctx)
{
        (void)provctx;
        return ctx && beneath(ctx) ? EVP_PKEY_CTX_settable_params(beneath(ctx)) : NULL;
}

static const OSSL_PARAM *gettable_ctx_params(void *ctx, void *provctx)
{
        (void)provctx;
        return ctx && beneath(ctx) ? EVP_PKEY_CTX_gettable_params(beneath(ctx)) : NULL;
}

/* Signing with Holdfast */

/* Message keys: what EVP is told to do, and what that is called in Holdfast. */
static const struct {
        const char *type;
        int how; /* RSA: padding; EC: bits */
        int digest;
        unsigned scheme;
} schemes[] = {
                {"EC", 256, NID_sha256, HF_ES256},
                {"EC", 256, NID_sha384, HF_ECDSA_SHA384},
                {"EC", 256, NID_sha512, HF_ECDSA_SHA512},
                {"EC", 384, NID_sha256, HF_ECDSA_SHA256},
                {"EC", 384, NID_sha384, HF_ES384},
                {"EC", 384, NID_sha512, HF_ECDSA_SHA512},
                {"RSA", RSA_PKCS1_PADDING, NID_sha256, HF_RS256},
                {"RSA", RSA_PKCS1_PADDING, NID_sha384, HF_RS384},
                {"RSA", RSA_PKCS1_PADDING, NID_sha512, HF_RS512},
                {"RSA", RSA_PKCS1_PSS_PADDING, NID_sha256, HF_PS256},
                {"RSA", RSA_PKCS1_PSS_PADDING, NID_sha384, HF_PS384},
                {"RSA", RSA_PKCS1_PSS_PADDING, NID_sha512, HF_PS512},
};

/* Salt as long as the digest, and the same digest in the mask. */
static bool pss_is_usual(Signature *s, int digest)
{
        int salt = RSA_PSS_SALTLEN_DIGEST;

        return get_int(s, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt) &&
                        (salt == RSA_PSS_SALTLEN_DIGEST || salt == EVP_MD_get_size(EVP_get_digestbynid(digest))) &&
                        get_digest(s, OSSL_SIGNATURE_PARAM_MGF1_DIGEST) == digest;
}

/* 0: none. */
static unsigned find_scheme(const char *type, int how, int digest)
{
        for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
                if (schemes[i].how == how && schemes[i].digest == digest && strcmp(schemes[i].type, type) == 0)
                        return schemes[i].scheme;
        return 0;
}

static unsigned rsa_scheme(Signature *s)
{
        int padding = 0, digest = get_digest(s, OSSL_SIGNATURE_PARAM_DIGEST);

        if (!get_int(s, OSSL_SIGNATURE_PARAM_PAD_MODE, &padding))
                return 0;
        if (padding == RSA_PKCS1_PSS_PADDING && digest != NID_undef && !pss_is_usual(s, digest))
                return 0;
        return find_scheme("RSA", padding, digest);
}

/* 0: none. A digest for ECDSA is made to fit the curve's own scheme. */
static unsigned scheme_of(Signature *s, bool is_digest)
{
        int bits = EVP_PKEY_get_bits(s->key->pkey);

        if (strcmp(s->key->type, "ED25519") == 0)
                return is_digest ? 0 : HF_EDDSA;
        if (key_is_rsa(s->key))
                return rsa_scheme(s);
        if (is_digest)
                return bits == 256 ? HF_ES256 : bits == 384 ? HF_ES384 : 0;
        return find_scheme("EC", bits, get_digest(s, OSSL_SIGNATURE_PARAM_DIGEST));
}

/* ECDSA takes a digest as a number and cuts it to the size of the group: leading zeros, and less at the end, make no
 * difference (SEC 1 section 4.1.3). */
static size_t fit_digest(unsigned scheme, const uint8_t *digest, size_t len, uint8_t ret[EVP_MAX_MD_SIZE])
{
        size_t want = scheme == HF_ES256 ? 32 : scheme == HF_ES384 ? 48 : len;

        if (len >= want) {
                memcpy(ret, digest, want);
        } else {
                memset(ret, 0, want - len);
                memcpy(ret + want - len, digest, len);
        }
        return want;
}

static int ask(Signature *s, bool is_digest, const uint8_t *data, size_t len, uint8_t *sig, size_t *sig_len, size_t room)
{
        unsigned scheme = scheme_of(s, is_digest);
        uint8_t digest[EVP_MAX_MD_SIZE];

        if (scheme == 0 || (is_digest && len > sizeof(digest)))
                return provider_fail(s->provider, HF_ERROR_SCHEME_NOT_SUPPORTED, NULL);
        if (is_digest) {
                len = fit_digest(scheme, data, len, digest);
                data = digest;
                scheme |= HF_INPUT_DIGEST;
        }
        return ask_sign(s->key, scheme, (HfSpan){data, len}, sig, sig_len, room);
}

static int say_size(const Signature *s, size_t *ret_len)
{
        *ret_len = (size_t)EVP_PKEY_get_size(s->key->pkey);
        return 1;
}

/* sign, verify, verify_recover: what comes in is a digest. Holdfast refuses it for keys that sign messages. */

static int sign_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Signature *s = ctx;
        int r;

        if (!begin_single(s, key, true))
                return 0;
        r = s->asks ? EVP_PKEY_verify_init_ex(s->single, params) : EVP_PKEY_sign_init_ex(s->single, params);
        return r == 1 && settle_salt(s);
}

static int sign(void *ctx, uint8_t *sig, size_t *sig_len, size_t room, const uint8_t *tbs, size_t tbs_len)
{
        Signature *s = ctx;

        if (s->asks)
                return sig ? ask(s, true, tbs, tbs_len, sig, sig_len, room) : say_size(s, sig_len);
        *sig_len = room;
        return EVP_PKEY_sign(s->single, sig, sig_len, tbs, tbs_len) == 1;
}

static int verify_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Signature *s = ctx;

        return begin_single(s, key, false) && EVP_PKEY_verify_init_ex(s->single, params) == 1;
}

static int verify(void *ctx, const uint8_t *sig, size_t sig_len, const uint8_t *tbs, size_t tbs_len)
{
        return EVP_PKEY_verify(((Signature *)ctx)->single, sig, sig_len, tbs, tbs_len);
}

static int recover_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Signature *s = ctx;

        return begin_single(s, key, false) && EVP_PKEY_verify_recover_init_ex(s->single, params) == 1;
}

static int recover(void *ctx, uint8_t *out, size_t *out_len, size_t room, const uint8_t *sig, size_t sig_len)
{
        *out_len = room;
        return EVP_PKEY_verify_recover(((Signature *)ctx)->single, out, out_len, sig, sig_len);
}

/* digest_sign, digest_verify: what comes in is the message */

/* TLS signs with EC and Ed25519 keys without a word about parameters, so the context for them can wait. */
static bool can_wait(Signature *s, const char *digest, const OSSL_PARAM params[])
{
        bool ec = strcmp(s->key->type, "EC") == 0;

        if (!s->asks || s->key->digest || key_is_rsa(s->key) || (params && params[0].key))
                return false;
        if (ec ? !digest || !EVP_get_digestbyname(digest) : digest && digest[0])
                return false;
        return !digest || (size_t)snprintf(s->digest, sizeof(s->digest), "%s", digest) < sizeof(s->digest);
}

static int digest_sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
        Signature *s = ctx;

        if (!begin(s, key, true))
                return 0;
        s->later = can_wait(s, digest, params);
        if (s->later)
                return 1;
        if (!begin_stream(s, s->asks ? EVP_DigestVerifyInit_ex : EVP_DigestSignInit_ex, digest, params) || !settle_salt(s))
                return 0;
        if (!s->asks || !s->key->digest)
                return 1;
        s->hash = EVP_MD_CTX_new();
        return s->hash && EVP_DigestInit_ex2(s->hash, EVP_MD_CTX_get0_md(s->stream), NULL) == 1;
}

static int digest_verify_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
        Signature *s = ctx;

        return begin(s, key, false) && begin_stream(s, EVP_DigestVerifyInit_ex, digest, params);
}

static int keep_message(Signature *s, const uint8_t *data, size_t len)
{
        if (len > HF_MESSAGE_LIMIT - s->len)
                return provider_fail(s->provider, HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        if (s->len + len > s->allocated) {
                size_t want = s->len + len > HF_MESSAGE_LIMIT / 2 ? HF_MESSAGE_LIMIT : 2 * (s->len + len);
                uint8_t *more = realloc(s->message, want);

                if (!more)
                        return 0;
                s->message = more;
                s->allocated = want;
        }
        if (len > 0)
                memcpy(s->message + s->len, data, len);
        s->len += len;
        return 1;
}

static int digest_sign_update(void *ctx, const uint8_t *data, size_t len)
{
        Signature *s = ctx;

        if (!s->asks)
                return EVP_DigestSignUpdate(s->stream, data, len) == 1;
        return s->hash ? EVP_DigestUpdate(s->hash, data, len) == 1 : keep_message(s, data, len);
}

static int digest_sign_final(void *ctx, uint8_t *sig, size_t *sig_len, size_t room)
{
        Signature *s = ctx;
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned len;

        if (!s->asks) {
                *sig_len = room;
                return EVP_DigestSignFinal(s->stream, sig, sig_len) == 1;
        }
        if (!sig)
                return say_size(s, sig_len);
        if (!s->hash)
                return ask(s, false, s->message, s->len, sig, sig_len, room);
        return EVP_DigestFinal_ex(s->hash, digest, &len) == 1 && ask(s, true, digest, len, sig, sig_len, room);
}

/* In one go, as Ed25519 wants it and TLS does it. */
static int digest_sign(void *ctx, uint8_t *sig, size_t *sig_len, size_t room, const uint8_t *tbs, size_t tbs_len)
{
        Signature *s = ctx;

        if (!s->asks) {
                *sig_len = room;
                return EVP_DigestSign(s->stream, sig, sig_len, tbs, tbs_len) == 1;
        }
        if (!sig)
                return say_size(s, sig_len);
        if (s->hash || s->len > 0)
                return digest_sign_update(s, tbs, tbs_len) && digest_sign_final(s, sig, sig_len, room);
        if (tbs_len > HF_MESSAGE_LIMIT)
                return provider_fail(s->provider, HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        return ask(s, false, tbs, tbs_len, sig, sig_len, room);
}

static int digest_verify_update(void *ctx, const uint8_t *data, size_t len)
{
        return EVP_DigestVerifyUpdate(((Signature *)ctx)->stream, data, len) == 1;
}

static int digest_verify_final(void *ctx, const uint8_t *sig, size_t len)
{
        return EVP_DigestVerifyFinal(((Signature *)ctx)->stream, sig, len);
}

static int digest_verify(void *ctx, const uint8_t *sig, size_t sig_len, const uint8_t *tbs, size_t tbs_len)
{
        return EVP_DigestVerify(((Signature *)ctx)->stream, sig, sig_len, tbs, tbs_len);
}

#define COMMON_ROWS                                                                                                          \
        DISPATCH(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new), DISPATCH(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),          \
                        DISPATCH(OSSL_FUNC_SIGNATURE_DUPCTX, signature_dup),                                                 \
                        DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, digest_sign_init),                                    \
                        DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, digest_sign),                                              \
                        DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, digest_verify_init),                                \
                        DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, digest_verify),                                          \
                        DISPATCH(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, get_ctx_params),                                        \
                        DISPATCH(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, gettable_ctx_params),                              \
                        DISPATCH(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_ctx_params),                                        \
                        DISPATCH(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable_ctx_params)

static const OSSL_DISPATCH dispatch_digest[] = {
                COMMON_ROWS,
                DISPATCH(OSSL_FUNC_SIGNATURE_SIGN_INIT, sign_init),
                DISPATCH(OSSL_FUNC_SIGNATURE_SIGN, sign),
                DISPATCH(OSSL_FUNC_SIGNATURE_VERIFY_INIT, verify_init),
                DISPATCH(OSSL_FUNC_SIGNATURE_VERIFY, verify),
                DISPATCH(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, recover_init),
                DISPATCH(OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, recover),
                DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, digest_sign_update),
                DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, digest_sign_final),
                DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, digest_verify_update),
                DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, digest_verify_final),
                DISPATCH_END,
};

static const OSSL_DISPATCH dispatch_whole[] = {COMMON_ROWS, DISPATCH_END};

const OSSL_ALGORITHM provider_signature[] = {
                {"ECDSA", "provider=holdfast", dispatch_digest, "ECDSA with a key in Holdfast"},
                {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=holdfast", dispatch_digest, "RSA with a key in Holdfast"},
                {"ED25519:1.3.101.112", "provider=holdfast", dispatch_whole, "Ed25519 with a key in Holdfast"},
                {NULL, NULL, NULL, NULL},
};
