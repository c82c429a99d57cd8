/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/signed.h"

#include "base/error.h"

#define SHA(n) 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n
#define PKCS1(n) 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, n
#define ECDSA_WITH(n) {12, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, n}}
#define RSA_WITH(n) {15, {0x30, 0x0d, PKCS1(n), 0x05, 0x00}}
/* RFC 4055 section 3.1: hash, MGF1 with the same hash, length of the salt. */
#define PSS_WITH(n, salt)                                                                                    \
        {67, {0x30, 0x41, PKCS1(0x0a), 0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, SHA(n), 0x05, 0x00, 0xa1, 0x1c,   \
                0x30, 0x1a, PKCS1(0x08), 0x30, 0x0d, SHA(n), 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, salt}}

#define SIGNATURE_BYTES_MAX 512

static const struct {
        size_t len;
        uint8_t der[67];
} identifiers[_SCHEME_MAX] = {
        [SCHEME_ES256] = ECDSA_WITH(0x02),
        [SCHEME_ES384] = ECDSA_WITH(0x03),
        [SCHEME_EDDSA] = {7, {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}},
        [SCHEME_RS256] = RSA_WITH(0x0b),
        [SCHEME_RS384] = RSA_WITH(0x0c),
        [SCHEME_RS512] = RSA_WITH(0x0d),
        [SCHEME_PS256] = PSS_WITH(0x01, 32),
        [SCHEME_PS384] = PSS_WITH(0x02, 48),
        [SCHEME_PS512] = PSS_WITH(0x03, 64),
        [SCHEME_ECDSA_SHA256] = ECDSA_WITH(0x02),
        [SCHEME_ECDSA_SHA384] = ECDSA_WITH(0x03),
        [SCHEME_ECDSA_SHA512] = ECDSA_WITH(0x04),
};

Bytes signed_identifier(Scheme scheme)
{
        return scheme_info(scheme) ? BYTES(identifiers[scheme].der, identifiers[scheme].len) : BYTES_NULL;
}

static int put_header(Buffer *b, uint8_t tag, size_t len)
{
        uint8_t header[6] = {tag};
        size_t n = 1, bytes = 0;

        while (bytes < 4 && len >> 8 * bytes)
                bytes++;
        if (len < 0x80) {
                header[n++] = (uint8_t)len;
        } else {
                header[n++] = (uint8_t)(0x80 | bytes);
                while (bytes-- > 0)
                        header[n++] = (uint8_t)(len >> 8 * bytes);
        }
        return buffer_append(b, header, n);
}

static size_t header_size(size_t len)
{
        return len < 0x80 ? 2 : len < 0x100 ? 3 : len < 0x10000 ? 4 : len < 0x1000000 ? 5 : 6;
}

int signed_assemble(Bytes tbs, Scheme scheme, Bytes signature, Buffer *ret)
{
        Bytes id = signed_identifier(scheme);
        size_t start = ret->len, bits = signature.len + 1;
        int r;

        if (!id.len)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (tbs.len == 0 || tbs.len > UINT32_MAX / 2 || signature.len == 0 || signature.len > SIGNATURE_BYTES_MAX)
                return HF_E_INVALID_ARGS;
        if ((r = put_header(ret, 0x30, tbs.len + id.len + header_size(bits) + bits)) ||
                        (r = buffer_append(ret, tbs.data, tbs.len)) || (r = buffer_append(ret, id.data, id.len)) ||
                        (r = put_header(ret, 0x03, bits)) || (r = buffer_append(ret, "", 1)) ||
                        (r = buffer_append(ret, signature.data, signature.len)))
                ret->len = start;
        return r;
}
