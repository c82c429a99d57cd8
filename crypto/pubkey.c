/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/pubkey.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/fetched.h"
#include "crypto/floor.h"
#include "crypto/spki.h"

#define SPKI_INPUT_MAX 4096 /* of strangers, to be named before it is refused */
#define COMMENT_MAX 256

static void pkey_freep(EVP_PKEY **p)
{
        EVP_PKEY_free(*p);
}

static void md_ctx_freep(EVP_MD_CTX **p)
{
        EVP_MD_CTX_free(*p);
}

int pubkey_algorithm(Bytes spki, KeyAlgorithm *ret)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        const uint8_t *p = spki.data;
        KeyAlgorithm a;
        Bytes body;
        int r;

        if (spki_parse(spki, &a, &body) == 0) {
                r = spki_load(spki, &a, &pkey);
                if (!r)
                        *ret = a;
                return r;
        }
        /* Not one of ours: only to say why is OpenSSL asked. */
        if (spki.len == 0 || spki.len > SPKI_INPUT_MAX)
                return HF_E_INVALID_ARGS;
        pkey = d2i_PUBKEY_ex(NULL, &p, (long)spki.len, NULL, NULL);
        if (!pkey || p != spki.data + spki.len)
                return openssl_failed(HF_E_INVALID_ARGS);
        r = floor_algorithm(pkey, &a);
        /* Ours, but in another form (compressed point): there is one form only. */
        return openssl_failed(r ? r : HF_E_INVALID_ARGS);
}

int pubkey_build(KeyAlgorithm algorithm, Bytes number, uint8_t *ret, size_t size, size_t *ret_len)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        uint8_t spki[640];
        KeyAlgorithm a;
        size_t len;
        int r;

        r = spki_build(algorithm, number, spki, sizeof(spki), &len);
        if (!r)
                r = spki_load(BYTES(spki, len), &a, &pkey);
        if (!r && (a != algorithm || len > size))
                r = HF_E_INVALID_ARGS;
        if (r)
                return r;
        memcpy(ret, spki, len);
        *ret_len = len;
        return 0;
}

static int append_base64url(Buffer *b, Bytes v)
{
        char text[512 / 3 * 4 + 8];

        base64url_encode(v.data, v.len, text);
        return buffer_append(b, text, strlen(text));
}

static int export_spki(KeyAlgorithm a, Bytes spki, Bytes body, const char *comment, Buffer *ret)
{
        (void)a, (void)body, (void)comment;
        return buffer_append(ret, spki.data, spki.len);
}

static int export_pem(KeyAlgorithm a, Bytes spki, Bytes body, const char *comment, Buffer *ret)
{
        char text[1024];
        size_t len;
        int r;

        (void)a, (void)body, (void)comment;
        base64_encode(spki.data, spki.len, text);
        len = strlen(text);
        r = buffer_append(ret, "-----BEGIN PUBLIC KEY-----\n", 27);
        for (size_t i = 0; !r && i < len; i += 64) {
                r = buffer_append(ret, text + i, len - i < 64 ? len - i : 64);
                if (!r)
                        r = buffer_append(ret, "\n", 1);
        }
        return r ? r : buffer_append(ret, "-----END PUBLIC KEY-----\n", 25);
}

static int export_jwk(KeyAlgorithm a, Bytes spki, Bytes body, const char *comment, Buffer *ret)
{
        const char *before, *middle = NULL, *after = "\"}";
        Bytes first = body, second = BYTES_NULL;
        int r;

        (void)spki, (void)comment;
        if (a == KEY_P256 || a == KEY_P384) {
                before = a == KEY_P256 ? "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\""
                                       : "{\"crv\":\"P-384\",\"kty\":\"EC\",\"x\":\"";
                middle = "\",\"y\":\"";
                first = BYTES(body.data, body.len / 2);
                second = BYTES(body.data + body.len / 2, body.len / 2);
        } else if (a == KEY_ED25519) {
                before = "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"";
        } else if (a == KEY_X25519) {
                before = "{\"crv\":\"X25519\",\"kty\":\"OKP\",\"x\":\"";
        } else {
                before = "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"";
        }
        r = buffer_append(ret, before, strlen(before));
        if (!r)
                r = append_base64url(ret, first);
        if (!r && middle)
                r = buffer_append(ret, middle, strlen(middle));
        if (!r && middle)
                r = append_base64url(ret, second);
        return r ? r : buffer_append(ret, after, strlen(after));
}

static int ssh_string(Buffer *b, Bytes v)
{
        uint8_t size[4] = {(uint8_t)(v.len >> 24), (uint8_t)(v.len >> 16), (uint8_t)(v.len >> 8), (uint8_t)v.len};
        int r = buffer_append(b, size, sizeof(size));

        return r ? r : buffer_append(b, v.data, v.len);
}

/* The key blob of RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4; ret_type names it. */
static int ssh_blob(KeyAlgorithm a, Bytes body, const char **ret_type, Buffer *ret)
{
        const char *curve = a == KEY_P256 ? "nistp256" : "nistp384";
        bool ec = a == KEY_P256 || a == KEY_P384;
        uint8_t number[1 + 512] = {ec ? 0x04 : 0x00}; /* form of the point, or sign of n */
        int r;

        memcpy(number + 1, body.data, body.len);
        *ret_type = a == KEY_P256 ? "ecdsa-sha2-nistp256"
                : a == KEY_P384   ? "ecdsa-sha2-nistp384"
                : a == KEY_ED25519 ? "ssh-ed25519"
                                   : "ssh-rsa";
        r = ssh_string(ret, bytes_str(*ret_type));
        if (r)
                return r;
        if (a == KEY_ED25519)
                return ssh_string(ret, body);
        r = ssh_string(ret, ec ? bytes_str(curve) : BYTES("\x01\x00\x01", 3));
        return r ? r : ssh_string(ret, BYTES(number, 1 + body.len));
}

/* The comment is the rest of the line: it must not be able to begin another one. */
static bool comment_is_valid(const char *comment)
{
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *)comment; *p; p++, n++)
                if (*p < 0x20 || *p == 0x7f || n >= COMMENT_MAX)
                        return false;
        return true;
}

static int export_ssh(KeyAlgorithm a, Bytes spki, Bytes body, const char *comment, Buffer *ret)
{
        _cleanup_buffer_ Buffer blob = BUFFER_INIT(1024);
        char text[1024];
        const char *type;
        int r;

        (void)spki;
        if (a == KEY_X25519)
                return HF_E_NOT_SUPPORTED;
        if (!comment_is_valid(comment))
                return HF_E_INVALID_ARGS;
        r = ssh_blob(a, body, &type, &blob);
        if (r)
                return r;
        base64_encode(blob.data, blob.len, text);
        return buffer_printf(ret, "%s %s%s%s\n", type, text, *comment ? " " : "", comment);
}

int pubkey_export(Bytes spki, const char *format, const char *comment, Buffer *ret)
{
        static const struct {
                const char *name;
                int (*export)(KeyAlgorithm a, Bytes spki, Bytes body, const char *comment, Buffer *ret);
        } formats[] = {{"spki", export_spki}, {"pem", export_pem}, {"jwk", export_jwk}, {"ssh", export_ssh}};
        size_t start = ret->len;
        KeyAlgorithm a;
        Bytes body;
        int r;

        r = spki_parse(spki, &a, &body);
        if (r)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(formats); i++)
                if (strcmp(formats[i].name, format) == 0) {
                        r = formats[i].export(a, spki, body, comment, ret);
                        if (r)
                                ret->len = start;
                        return r;
                }
        return HF_E_INVALID_ARGS;
}

void pubkey_fingerprint(Bytes spki, uint8_t ret[static 32])
{
        digest_sha256(spki, ret);
}

int pubkey_inner_fingerprint(Bytes spki, uint8_t ret[static 32])
{
        Bytes bits;
        int r = spki_bits(spki, &bits);

        if (!r)
                digest_sha256(bits, ret);
        return r;
}

static bool scheme_is_pss(Scheme s)
{
        return s == SCHEME_PS256 || s == SCHEME_PS384 || s == SCHEME_PS512;
}

int pubkey_verify(Bytes spki, Scheme scheme, Bytes message, Bytes signature)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = NULL;
        EVP_PKEY_CTX *pctx;
        KeyAlgorithm a;
        int r;

        r = spki_load(spki, &a, &pkey);
        if (r)
                return r;
        if (scheme_check(scheme, a, PURPOSE_SIGN))
                return HF_E_SCHEME_NOT_SUPPORTED;
        ctx = EVP_MD_CTX_new();
        if (!ctx)
                return -ENOMEM;
        if (EVP_DigestVerifyInit_ex(ctx, &pctx, scheme_info(scheme)->digest, NULL, NULL, pkey, NULL) <= 0)
                return openssl_failed(HF_E_INTERNAL);
        if (scheme_is_pss(scheme) && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
                                                     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) <= 0))
                return openssl_failed(HF_E_INTERNAL);
        if (EVP_DigestVerify(ctx, signature.data, signature.len, message.data, message.len) != 1)
                return openssl_failed(HF_E_KEY_MISMATCH);
        return 0;
}

/* One INTEGER of DER: positive, minimal, at most `size` bytes; written right-aligned. Moves *p behind it. */
static bool take_integer(const uint8_t **p, const uint8_t *end, size_t size, uint8_t *ret)
{
        const uint8_t *v;
        size_t n;

        if (end - *p < 3 || (*p)[0] != 0x02 || (*p)[1] == 0 || (*p)[1] > end - *p - 2)
                return false;
        n = (*p)[1];
        v = *p + 2;
        *p = v + n;
        if ((v[0] & 0x80) || (n > 1 && v[0] == 0 && !(v[1] & 0x80)))
                return false;
        if (v[0] == 0) {
                v++;
                n--;
        }
        if (n > size)
                return false;
        memset(ret, 0, size - n);
        memcpy(ret + size - n, v, n);
        return true;
}

int ecdsa_der_to_p1363(Bytes der, size_t scalar_size, uint8_t *ret)
{
        const uint8_t *p = der.data, *end = der.data + der.len;
        uint8_t flat[2 * 48];

        if (scalar_size > 48 || der.len < 2 || p[0] != 0x30 || p[1] >= 0x80 || p[1] != der.len - 2)
                return HF_E_INVALID_ARGS;
        p += 2;
        if (!take_integer(&p, end, scalar_size, flat) || !take_integer(&p, end, scalar_size, flat + scalar_size) ||
                        p != end)
                return HF_E_INVALID_ARGS;
        memcpy(ret, flat, 2 * scalar_size);
        return 0;
}

static size_t put_integer(const uint8_t *v, size_t n, uint8_t *ret)
{
        bool pad;

        while (n > 1 && v[0] == 0) {
                v++;
                n--;
        }
        pad = v[0] & 0x80;
        ret[0] = 0x02;
        ret[1] = (uint8_t)(n + pad);
        ret[2] = 0;
        memcpy(ret + 2 + pad, v, n);
        return 2 + pad + n;
}

int ecdsa_p1363_to_der(Bytes p1363, uint8_t *ret, size_t size, size_t *ret_len)
{
        uint8_t der[2 + 2 * (2 + 1 + 48)];
        size_t half = p1363.len / 2, n = 2;

        if (p1363.len % 2 || half == 0 || half > 48)
                return HF_E_INVALID_ARGS;
        n += put_integer(p1363.data, half, der + n);
        n += put_integer(p1363.data + half, half, der + n);
        if (size < n)
                return HF_E_INVALID_ARGS;
        der[0] = 0x30;
        der[1] = (uint8_t)(n - 2);
        memcpy(ret, der, n);
        *ret_len = n;
        return 0;
}
