/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/attest.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/attest-read.h"
#include "crypto/digest.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

#define ROOTS_MAX 32

static const struct {
        const char *name, *sentence;
} faults[_ATTEST_FAULT_MAX] = {
        [ATTEST_GOOD] = {"good", "The statement is good."},
        [ATTEST_MALFORMED] = {"malformed", "The statement does not hold the structures of a TPM."},
        [ATTEST_NOT_TPM] = {"not-a-tpm", "The statement was not made by a TPM."},
        [ATTEST_NOT_CERTIFY] = {"other-statement", "The TPM states something else than what a key is."},
        [ATTEST_NONCE] = {"wrong-nonce", "The statement answers another nonce: it may be an old one."},
        [ATTEST_AK] = {"attestation-key", "The attestation key is not one that signs only what its TPM states."},
        [ATTEST_SIGNATURE] = {"signature", "The attestation key did not sign this statement."},
        [ATTEST_NAME] = {"other-key", "The statement is about another key."},
        [ATTEST_SPKI] = {"public-key", "The key that the TPM states something about is not this public key."},
        [ATTEST_KEY_LEAVES] = {"key-may-leave", "The key may leave its TPM."},
        [ATTEST_KEY_CAME] = {"key-from-outside", "The key was not made in the TPM."},
        [ATTEST_EK_CERTIFICATE] = {"endorsement", "The endorsement certificate does not lead to a given root, or is of "
                                                  "another key."},
};

const char *attest_fault_to_string(AttestFault f)
{
        return f >= 0 && f < _ATTEST_FAULT_MAX ? faults[f].name : "invalid";
}

const char *attest_fault_to_sentence(AttestFault f)
{
        return f >= 0 && f < _ATTEST_FAULT_MAX ? faults[f].sentence : "The statement is not good.";
}

/* ---- public keys ---- */

/* Numbers come without leading zeros from some TPMs. */
static bool pad(Bytes number, uint8_t *ret, size_t size)
{
        if (number.len > size)
                return false;
        memset(ret, 0, size - number.len);
        if (number.len)
                memcpy(ret + size - number.len, number.data, number.len);
        return true;
}

/* HF_E_INVALID_ARGS also for what has no SPKI of ours. */
static int to_spki(const TpmtPublic *p, uint8_t *ret, size_t size, size_t *ret_len)
{
        size_t half = p->curve == TPMT_P256 ? 32 : 48;
        uint8_t point[96];

        if (p->type == TPMT_RSA && (p->exponent == 0 || p->exponent == 65537) && p->n.len == p->bits / 8)
                return spki_build(p->bits == 2048   ? KEY_RSA2048
                                  : p->bits == 3072 ? KEY_RSA3072
                                                    : KEY_RSA4096,
                                p->n, ret, size, ret_len);
        if (p->type != TPMT_ECC || (p->curve != TPMT_P256 && p->curve != TPMT_P384))
                return HF_E_INVALID_ARGS;
        if (!pad(p->x, point, half) || !pad(p->y, point + half, half))
                return HF_E_INVALID_ARGS;
        return spki_build(p->curve == TPMT_P256 ? KEY_P256 : KEY_P384, BYTES(point, 2 * half), ret, size, ret_len);
}

/* TPM2B_NAME: the algorithm, and the digest of the public area. Part 1, section 16. */
static bool name_is(Bytes name, Bytes public)
{
        uint8_t expected[2 + 32] = {TPMT_SHA256 >> 8, TPMT_SHA256 & 0xff};

        digest_sha256(public, expected + 2);
        return bytes_equal(name, BYTES_ARRAY(expected));
}

/* ---- the attestation key ---- */

static bool stays(const TpmtPublic *p)
{
        return (p->attributes & TPMA_FIXED_TPM) && (p->attributes & TPMA_FIXED_PARENT);
}

static bool is_attestation_key(const TpmtPublic *p)
{
        return p->type == TPMT_ECC && p->curve == TPMT_P256 && p->scheme == TPMT_ECDSA && p->scheme_hash == TPMT_SHA256 &&
               stays(p) && (p->attributes & TPMA_SENSITIVE_DATA_ORIGIN) && (p->attributes & TPMA_RESTRICTED) &&
               (p->attributes & TPMA_SIGN) && !(p->attributes & TPMA_DECRYPT);
}

static AttestFault check_signature(const AttestStatement *s, const TpmtPublic *ak)
{
        uint8_t spki[128], der[80];
        size_t spki_len, der_len;

        if (s->signature.len != 64 || ecdsa_p1363_to_der(s->signature, der, sizeof(der), &der_len) ||
                        to_spki(ak, spki, sizeof(spki), &spki_len))
                return ATTEST_SIGNATURE;
        return pubkey_verify(BYTES(spki, spki_len), SCHEME_ES256, s->attest, BYTES(der, der_len)) ? ATTEST_SIGNATURE
                                                                                                  : ATTEST_GOOD;
}

/* ---- the key ---- */

static AttestFault check_key(const AttestStatement *s, const TpmtPublic *key)
{
        uint8_t spki[640];
        size_t len = 0;

        if (key->type == TPMT_KEYEDHASH) {
                if (s->spki.len)
                        return ATTEST_SPKI;
        } else if (to_spki(key, spki, sizeof(spki), &len) || !bytes_equal(s->spki, BYTES(spki, len))) {
                return ATTEST_SPKI;
        }
        if (!stays(key))
                return ATTEST_KEY_LEAVES;
        return key->attributes & TPMA_SENSITIVE_DATA_ORIGIN ? ATTEST_GOOD : ATTEST_KEY_CAME;
}

/* ---- the endorsement certificate ---- */

DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(X509_STORE, X509_STORE_free)
DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)
DEFINE_CLEANUP(BIO, BIO_free)

static X509_STORE *read_roots(Bytes pem)
{
        _cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
        _cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
        X509 *root;
        int n = 0;

        if (!bio || !store)
                return NULL;
        while (n < ROOTS_MAX && (root = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                n += X509_STORE_add_cert(store, root);
                X509_free(root);
        }
        /* A maker's intermediate is as good a place to begin trusting as its root, and a chip outlives its maker's
         * certificates: what was endorsed stays so. */
        (void)X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
        return n > 0 ? TAKE_PTR(store) : NULL;
}

static bool is_key_of(X509 *certificate, Bytes ek_public)
{
        uint8_t spki[640], *der = NULL;
        TpmtPublic ek;
        size_t len;
        bool same;
        int n;

        if (tpmt_public_read(ek_public, &ek) || to_spki(&ek, spki, sizeof(spki), &len))
                return false;
        n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        same = n > 0 && bytes_equal(BYTES(der, (size_t)n), BYTES(spki, len));
        OPENSSL_free(der);
        return same;
}

static bool ek_is_endorsed(const AttestStatement *s, Bytes roots)
{
        const uint8_t *p = s->ek_certificate.data;
        _cleanup_(X509_freep) X509 *ek = NULL;
        _cleanup_(X509_STORE_freep) X509_STORE *store = NULL;
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = NULL;

        if (s->ek_certificate.len == 0 || s->ek_certificate.len > ATTEST_CERTIFICATE_MAX)
                return false;
        ek = d2i_X509(NULL, &p, (long)s->ek_certificate.len);
        store = read_roots(roots);
        ctx = X509_STORE_CTX_new();
        if (!ek || !store || !ctx || !is_key_of(ek, s->ek_public))
                return false;
        return X509_STORE_CTX_init(ctx, store, ek, NULL) == 1 && X509_verify_cert(ctx) == 1;
}

/* So that two statements can be told to come from one TPM, or not. */
static void fingerprint_ek(const AttestStatement *s, uint8_t ret[static 32])
{
        uint8_t both[64];

        digest_sha256(s->ek_public, both);
        digest_sha256(s->ek_certificate, both + 32);
        digest_sha256(BYTES_ARRAY(both), ret);
}

/* ---- all of it ---- */

AttestFault attest_verify(const AttestStatement *s, Bytes nonce, Bytes ek_roots, AttestReport *ret)
{
        TpmtPublic ak, key;
        AttestReport report = {0};
        TpmsAttest attest;
        AttestFault fault;

        if (s->attest.len > ATTEST_PART_MAX || s->ak_public.len > ATTEST_PART_MAX || s->key_public.len > ATTEST_PART_MAX ||
                        s->ek_public.len > ATTEST_PART_MAX || tpms_attest_read(s->attest, &attest) ||
                        tpmt_public_read(s->ak_public, &ak) || tpmt_public_read(s->key_public, &key))
                return ATTEST_MALFORMED;
        if (attest.magic != TPMS_ATTEST_MAGIC)
                return ATTEST_NOT_TPM;
        if (attest.type != TPMS_ATTEST_CERTIFY)
                return ATTEST_NOT_CERTIFY;
        if (!is_attestation_key(&ak))
                return ATTEST_AK;
        fault = check_signature(s, &ak);
        if (fault)
                return fault;
        if (!bytes_equal(attest.extra, nonce))
                return ATTEST_NONCE;
        if (key.name_alg != TPMT_SHA256 || !name_is(attest.name, s->key_public))
                return ATTEST_NAME;
        fault = check_key(s, &key);
        if (fault)
                return fault;
        if (ek_roots.len) {
                report.ek_checked = ek_is_endorsed(s, ek_roots);
                ERR_clear_error();
                if (!report.ek_checked)
                        return ATTEST_EK_CERTIFICATE;
        }
        digest_sha256(s->ak_public, report.ak_fingerprint);
        fingerprint_ek(s, report.ek_fingerprint);
        report.has_public = s->spki.len > 0;
        if (report.has_public)
                pubkey_fingerprint(s->spki, report.key_fingerprint);
        report.firmware = attest.firmware;
        report.reset_count = attest.reset_count;
        report.restart_count = attest.restart_count;
        *ret = report;
        return ATTEST_GOOD;
}
