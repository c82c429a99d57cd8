/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/attest-read.h"

#include "base/error.h"

/* The TPM writes big-endian. As wire readers do, this one remembers that something did not fit. */
typedef struct Reader {
        const uint8_t *p, *end;
        bool failed;
} Reader;

static uint64_t get(Reader *r, size_t n)
{
        uint64_t v = 0;

        if (r->failed || (size_t)(r->end - r->p) < n) {
                r->failed = true;
                return 0;
        }
        for (; n > 0; n--)
                v = v << 8 | *r->p++;
        return v;
}

/* TPM2B_...: a 16-bit length and its bytes. */
static Bytes get_sized(Reader *r, size_t max)
{
        size_t n = get(r, 2);
        Bytes b = BYTES(r->p, n);

        if (r->failed || n > max || (size_t)(r->end - r->p) < n) {
                r->failed = true;
                return BYTES_NULL;
        }
        r->p += n;
        return b;
}

#define SIZED_MAX 512 /* an RSA-4096 number; names, digests and policies are shorter */

static void get_symmetric(Reader *r)
{
        if (get(r, 2) != TPMT_NULL)
                (void)get(r, 4); /* bits, mode */
}

/* A scheme and its hash; RSAES (0x0015) has none, ECDAA (0x001a) a count besides. */
static uint16_t get_scheme(Reader *r, uint16_t *ret_hash)
{
        uint16_t scheme = (uint16_t)get(r, 2);

        *ret_hash = 0;
        if (scheme != TPMT_NULL && scheme != 0x0015)
                *ret_hash = (uint16_t)get(r, 2);
        if (scheme == 0x001a)
                (void)get(r, 2);
        return scheme;
}

static void get_rsa(Reader *r, TpmtPublic *p)
{
        get_symmetric(r);
        p->scheme = get_scheme(r, &p->scheme_hash);
        p->bits = (uint16_t)get(r, 2);
        p->exponent = (uint32_t)get(r, 4);
        p->n = get_sized(r, SIZED_MAX);
}

static void get_ecc(Reader *r, TpmtPublic *p)
{
        uint16_t kdf_hash;

        get_symmetric(r);
        p->scheme = get_scheme(r, &p->scheme_hash);
        p->curve = (uint16_t)get(r, 2);
        (void)get_scheme(r, &kdf_hash);
        p->x = get_sized(r, SIZED_MAX);
        p->y = get_sized(r, SIZED_MAX);
}

static void get_keyedhash(Reader *r, TpmtPublic *p)
{
        p->scheme = get_scheme(r, &p->scheme_hash);
        if (p->scheme == 0x000a) /* XOR: a key derivation besides */
                (void)get(r, 2);
        (void)get_sized(r, SIZED_MAX);
}

int tpmt_public_read(Bytes b, TpmtPublic *ret)
{
        Reader r = {.p = b.data, .end = b.data + b.len};
        TpmtPublic p = {0};

        p.type = (TpmtType)get(&r, 2);
        p.name_alg = (uint16_t)get(&r, 2);
        p.attributes = (uint32_t)get(&r, 4);
        (void)get_sized(&r, SIZED_MAX); /* policy */
        switch (p.type) {
        case TPMT_RSA:
                get_rsa(&r, &p);
                break;
        case TPMT_ECC:
                get_ecc(&r, &p);
                break;
        case TPMT_KEYEDHASH:
                get_keyedhash(&r, &p);
                break;
        default:
                return HF_E_INVALID_ARGS;
        }
        if (r.failed || r.p != r.end)
                return HF_E_INVALID_ARGS;
        *ret = p;
        return 0;
}

int tpms_attest_read(Bytes b, TpmsAttest *ret)
{
        Reader r = {.p = b.data, .end = b.data + b.len};
        TpmsAttest a = {0};

        a.magic = (uint32_t)get(&r, 4);
        a.type = (uint16_t)get(&r, 2);
        (void)get_sized(&r, SIZED_MAX); /* qualified signer */
        a.extra = get_sized(&r, SIZED_MAX);
        (void)get(&r, 8); /* clock */
        a.reset_count = (uint32_t)get(&r, 4);
        a.restart_count = (uint32_t)get(&r, 4);
        (void)get(&r, 1); /* safe */
        a.firmware = get(&r, 8);
        if (a.type == TPMS_ATTEST_CERTIFY) {
                a.name = get_sized(&r, SIZED_MAX);
                (void)get_sized(&r, SIZED_MAX); /* qualified name */
        }
        if (r.failed || (a.type == TPMS_ATTEST_CERTIFY && r.p != r.end))
                return HF_E_INVALID_ARGS;
        *ret = a;
        return 0;
}
