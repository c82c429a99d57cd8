/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading: PEM blocks one after the other, each judged before OpenSSL parses it and once more after. */
#include "x509/chain.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "x509/der.h"
#include "x509/read.h"

#define REFERENCE_LABEL "HOLDFAST KEY REFERENCE"
#define SERIAL_MAX 20 /* RFC 5280 section 4.1.2.2 */

struct CertChain {
        atomic_uint refs;
        X509 *certificates[CERT_CHAIN_MAX];
        size_t n;
        uint8_t *public_key;
        size_t public_key_len;
};

struct CertAnchors {
        atomic_uint refs;
        X509_STORE *store;
        STACK_OF(X509) *certificates;
};

struct CertCrls {
        STACK_OF(X509_CRL) *crls;
};

int read_malformed(const Reading *reading, unsigned depth, const char *detail)
{
        findings_add(reading->findings, FINDING_MALFORMED, reading->whose, depth, detail);
        return HF_E_INVALID_ARGS;
}

/* The next block, to be freed with OPENSSL_clear_free(). False at the end of the text, or with *ret_r set where it is no PEM. */
static bool next_block(BIO *in, const Reading *reading, char **ret_label, uint8_t **ret_der, long *ret_len, int *ret_r)
{
        char *header = NULL;
        bool read;

        ERR_set_mark();
        read = PEM_read_bio(in, ret_label, &header, ret_der, ret_len) == 1;
        if (!read && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                *ret_r = read_malformed(reading, 0, "a block between BEGIN and END is not base64");
        ERR_pop_to_mark();
        OPENSSL_free(header);
        return read;
}

static int take_block(const Reading *reading, const char *label, Bytes der)
{
        static const char key[] = "PRIVATE KEY";
        size_t len = strlen(label);

        for (size_t i = 0; reading->labels[i]; i++)
                if (strcmp(label, reading->labels[i]) == 0)
                        return reading->take(reading->userdata, reading, der);
        if (len >= strlen(key) && strcmp(label + len - strlen(key), key) == 0)
                return read_malformed(reading, 0, "there is a private key in the file, which is to stay elsewhere");
        if (reading->passes_references && strcmp(label, REFERENCE_LABEL) == 0)
                return 0;
        return read_malformed(reading, 0, "there is a block of another kind in the file");
}

int read_pem(Bytes text, const Reading *reading)
{
        BIO *in = text.len > 0 ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
        int r = 0;

        if (text.len > 0 && !in)
                return -ENOMEM;
        while (in && r == 0) {
                char *label = NULL;
                uint8_t *der = NULL;
                long len = 0;

                if (!next_block(in, reading, &label, &der, &len, &r))
                        break;
                r = take_block(reading, label, BYTES(der, len));
                OPENSSL_clear_free(der, (size_t)len); /* it may be somebody's key */
                OPENSSL_free(label);
        }
        BIO_free(in);
        return r;
}

int read_either(Bytes bytes, const Reading *reading)
{
        static const char begin[] = "-----BEGIN ";

        return bytes.len > 0 && !memmem(bytes.data, bytes.len, begin, strlen(begin)) && bytes.data[0] == 0x30
                               ? reading->take(reading->userdata, reading, bytes)
                               : read_pem(bytes, reading);
}

static bool extensions_are_single(const X509 *x)
{
        for (int i = 0; i < X509_get_ext_count(x); i++)
                if (X509_get_ext_by_OBJ(x, X509_EXTENSION_get_object(X509_get_ext(x, i)), i) >= 0)
                        return false;
        return true;
}

/* What OpenSSL would let through or say without a reason. NULL: nothing. */
static const char *certificate_complaint(X509 *x)
{
        bool read = X509_check_purpose(x, -1, 0) == 1; /* reads the extensions, once */

        if (!extensions_are_single(x))
                return "an extension is there twice";
        if (!read || X509_get_extension_flags(x) & EXFLAG_INVALID)
                return "an extension is not well-formed";
        if (X509_get_version(x) != X509_VERSION_3 && X509_get_ext_count(x) > 0)
                return "it has extensions but not version 3";
        if (X509_get_signature_nid(x) == NID_undef)
                return "its signature algorithm is unknown";
        return NULL;
}

int read_certificate(const Reading *reading, unsigned depth, Bytes der, X509 **ret)
{
        const uint8_t *at = der.data;
        const char *complaint = der_complaint(der);
        X509 *x;

        if (complaint)
                return read_malformed(reading, depth, complaint);
        ERR_set_mark();
        x = d2i_X509(NULL, &at, (long)der.len);
        complaint = x ? certificate_complaint(x) : "it is not a certificate";
        ERR_pop_to_mark();
        if (complaint) {
                X509_free(x);
                return read_malformed(reading, depth, complaint);
        }
        *ret = x;
        return 0;
}

/* Roots made long ago have serial number 0; what is issued today has not. */
static const char *serial_complaint(const X509 *x)
{
        const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
        int len = ASN1_STRING_length(serial);

        if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
                return "its serial number is negative";
        if (len > SERIAL_MAX)
                return "its serial number is longer than 20 bytes";
        return len == 0 || (len == 1 && ASN1_STRING_get0_data(serial)[0] == 0) ? "its serial number is zero" : NULL;
}

/* Takes the certificate over. */
static int chain_append(CertChain *c, const Reading *reading, X509 *x)
{
        const char *complaint = serial_complaint(x);

        if (c->n == CERT_CHAIN_MAX)
                complaint = "there are more than 16 certificates in the chain";
        if (complaint) {
                X509_free(x);
                return read_malformed(reading, (unsigned)c->n, complaint);
        }
        c->certificates[c->n++] = x;
        return 0;
}

static int chain_take_der(void *userdata, const Reading *reading, Bytes der)
{
        CertChain *c = userdata;
        X509 *x = NULL;
        int r = read_certificate(reading, (unsigned)c->n, der, &x);

        return r ? r : chain_append(c, reading, x);
}

static int chain_new(CertChain **ret)
{
        CertChain *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        atomic_init(&c->refs, 1);
        *ret = c;
        return 0;
}

static int chain_finish(CertChain *c, const Reading *reading)
{
        int len;

        if (c->n == 0)
                return read_malformed(reading, 0, "there is no certificate in the file");
        len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->certificates[0]), &c->public_key);
        if (len < 0)
                return -ENOMEM;
        c->public_key_len = (size_t)len;
        return 0;
}

int cert_chain_parse(Bytes pem, FindingWhose whose, FindingList *findings, CertChain **ret)
{
        return cert_chain_parse_parts(pem, BYTES_NULL, whose, findings, ret);
}

int cert_chain_parse_parts(Bytes leaf_pem, Bytes chain_pem, FindingWhose whose, FindingList *findings, CertChain **ret)
{
        _cleanup_(cert_chain_unrefp) CertChain *c = NULL;
        Reading reading = {.findings = findings, .whose = whose, .labels = {"CERTIFICATE", "X509 CERTIFICATE"},
                        .passes_references = true, .take = chain_take_der};
        int r;

        if (leaf_pem.len > CERT_FILE_MAX || chain_pem.len > CERT_FILE_MAX)
                return read_malformed(&reading, 0, "the file is larger than 256 KiB");
        r = chain_new(&c);
        reading.userdata = c;
        if (r == 0)
                r = read_either(leaf_pem, &reading);
        if (r == 0 && c->n == 0)
                r = chain_finish(c, &reading);
        if (r == 0)
                r = read_pem(chain_pem, &reading);
        if (r == 0)
                r = chain_finish(c, &reading);
        if (r == 0)
                *ret = TAKE_PTR(c);
        return r;
}

static int chain_take_x509(CertChain *c, const Reading *reading, X509 *x)
{
        uint8_t *der = NULL;
        int len = i2d_X509(x, &der), r;

        if (len < 0)
                return -ENOMEM;
        r = chain_take_der(c, reading, BYTES(der, len));
        OPENSSL_free(der);
        return r;
}

int cert_chain_take(X509 *leaf, const STACK_OF(X509) *others, FindingWhose whose, FindingList *findings, CertChain **ret)
{
        _cleanup_(cert_chain_unrefp) CertChain *c = NULL;
        const Reading reading = {.findings = findings, .whose = whose};
        int r;

        r = chain_new(&c);
        if (r == 0)
                r = chain_take_x509(c, &reading, leaf);
        for (int i = 0; r == 0 && i < sk_X509_num(others); i++)
                if (X509_cmp(sk_X509_value(others, i), leaf) != 0)
                        r = chain_take_x509(c, &reading, sk_X509_value(others, i));
        if (r == 0)
                r = chain_finish(c, &reading);
        if (r == 0)
                *ret = TAKE_PTR(c);
        return r;
}

CertChain *cert_chain_ref(CertChain *chain)
{
        if (chain)
                atomic_fetch_add(&chain->refs, 1);
        return chain;
}

CertChain *cert_chain_unref(CertChain *chain)
{
        if (!chain || atomic_fetch_sub(&chain->refs, 1) > 1)
                return NULL;
        for (size_t i = 0; i < chain->n; i++)
                X509_free(chain->certificates[i]);
        OPENSSL_free(chain->public_key);
        free(chain);
        return NULL;
}

size_t cert_chain_count(const CertChain *chain)
{
        return chain->n;
}

X509 *cert_chain_at(const CertChain *chain, size_t i)
{
        return i < chain->n ? chain->certificates[i] : NULL;
}

uint64_t read_time(const ASN1_TIME *time)
{
        struct tm tm;
        time_t seconds;

        if (ASN1_TIME_to_tm(time, &tm) != 1)
                return 0;
        seconds = timegm(&tm);
        return seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC;
}

uint64_t cert_chain_not_before(const CertChain *chain)
{
        return read_time(X509_get0_notBefore(chain->certificates[0]));
}

uint64_t cert_chain_not_after(const CertChain *chain)
{
        return read_time(X509_get0_notAfter(chain->certificates[0]));
}

void cert_chain_window(const CertChain *chain, uint64_t now, uint64_t *ret_from, uint64_t *ret_until)
{
        uint64_t from = 0, until = UINT64_MAX;

        for (size_t i = 0; i < chain->n; i++) {
                const uint64_t ends[] = {read_time(X509_get0_notBefore(chain->certificates[i])),
                                read_time(X509_get0_notAfter(chain->certificates[i]))};

                for (size_t k = 0; k < ELEMENTSOF(ends); k++) {
                        if (ends[k] <= now && ends[k] > from)
                                from = ends[k];
                        if (ends[k] > now && ends[k] < until)
                                until = ends[k];
                }
        }
        *ret_from = from;
        *ret_until = until;
}

void cert_chain_fingerprint(const CertChain *chain, char ret[static CERT_FINGERPRINT_SIZE])
{
        uint8_t hash[EVP_MAX_MD_SIZE] = {0};
        unsigned len = 0;

        (void)X509_digest(chain->certificates[0], EVP_sha256(), hash, &len);
        hex_encode(hash, (CERT_FINGERPRINT_SIZE - 1) / 2, ret);
}

Bytes cert_chain_public_key(const CertChain *chain)
{
        return BYTES(chain->public_key, chain->public_key_len);
}

static int print_text(BIO *out, const X509 *x)
{
        return X509_print_ex(out, (X509 *)x, XN_FLAG_ONELINE, X509_FLAG_COMPAT);
}

static int write_certificate(X509 *x, int (*write)(BIO *out, const X509 *x), Buffer *ret)
{
        BIO *out = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = -ENOMEM;

        if (out && write(out, x) == 1) {
                long len = BIO_get_mem_data(out, &text);

                r = buffer_append(ret, text, (size_t)len);
        }
        BIO_free(out);
        return r;
}

int cert_chain_write(const CertChain *chain, size_t i, Buffer *ret)
{
        return write_certificate(chain->certificates[i], PEM_write_bio_X509, ret);
}

int cert_chain_print(const CertChain *chain, size_t i, Buffer *ret)
{
        return write_certificate(chain->certificates[i], print_text, ret);
}

int cert_chain_write_der(const CertChain *chain, size_t i, Buffer *ret)
{
        uint8_t *der = NULL;
        int n = i2d_X509(chain->certificates[i], &der), r;

        if (n <= 0)
                return -ENOMEM;
        r = buffer_append(ret, der, (size_t)n);
        OPENSSL_free(der);
        return r;
}

static int anchors_take_der(void *userdata, const Reading *reading, Bytes der)
{
        CertAnchors *a = userdata;
        X509 *x = NULL;
        int n = sk_X509_num(a->certificates), r;

        r = n < CERT_ANCHORS_MAX ? read_certificate(reading, (unsigned)n, der, &x)
                                 : read_malformed(reading, 0, "there are more than 1,024 trusted certificates in the file");
        if (r)
                return r;
        if (sk_X509_push(a->certificates, x) > 0)
                return X509_STORE_add_cert(a->store, x) == 1 ? 0 : -ENOMEM;
        X509_free(x);
        return -ENOMEM;
}

static int anchors_new(CertAnchors **ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        atomic_init(&a->refs, 1);
        a->store = X509_STORE_new();
        a->certificates = sk_X509_new_null();
        if (!a->store || !a->certificates)
                return -ENOMEM;
        *ret = TAKE_PTR(a);
        return 0;
}

int cert_anchors_system(CertAnchors **ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *a = NULL;
        int r = anchors_new(&a);

        if (r)
                return r;
        if (X509_STORE_set_default_paths(a->store) != 1)
                return -ENOMEM;
        *ret = TAKE_PTR(a);
        return 0;
}

int cert_anchors_parse(Bytes bytes, FindingList *findings, CertAnchors **ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *a = NULL;
        int r = anchors_new(&a);
        const Reading reading = {.findings = findings, .labels = {"CERTIFICATE", "X509 CERTIFICATE"}, .take = anchors_take_der,
                        .userdata = a};

        if (r)
                return r;
        r = bytes.len > CERT_ANCHORS_FILE_MAX ? read_malformed(&reading, 0, "the file is larger than 2 MiB")
                                              : read_either(bytes, &reading);
        if (r == 0 && sk_X509_num(a->certificates) == 0)
                r = read_malformed(&reading, 0, "there is no trusted certificate in the file");
        if (r == 0)
                *ret = TAKE_PTR(a);
        return r;
}

CertAnchors *cert_anchors_ref(CertAnchors *anchors)
{
        if (anchors)
                atomic_fetch_add(&anchors->refs, 1);
        return anchors;
}

CertAnchors *cert_anchors_unref(CertAnchors *anchors)
{
        if (!anchors || atomic_fetch_sub(&anchors->refs, 1) > 1)
                return NULL;
        X509_STORE_free(anchors->store);
        sk_X509_pop_free(anchors->certificates, X509_free);
        free(anchors);
        return NULL;
}

size_t cert_anchors_count(const CertAnchors *anchors)
{
        return (size_t)sk_X509_num(anchors->certificates);
}

X509_STORE *cert_anchors_store(const CertAnchors *anchors)
{
        return anchors->store;
}

STACK_OF(X509) *cert_anchors_stack(const CertAnchors *anchors)
{
        return anchors->certificates;
}

int cert_anchors_write(const CertAnchors *anchors, size_t i, Buffer *ret)
{
        return write_certificate(sk_X509_value(anchors->certificates, (int)i), PEM_write_bio_X509, ret);
}

static int crls_take_der(void *userdata, const Reading *reading, Bytes der)
{
        CertCrls *c = userdata;
        const uint8_t *at = der.data;
        const char *complaint = der_complaint(der);
        X509_CRL *crl = NULL;

        if (!complaint && sk_X509_CRL_num(c->crls) >= CERT_CRLS_MAX)
                complaint = "there are more than 1,024 revocation lists in the file";
        ERR_set_mark();
        if (!complaint)
                crl = d2i_X509_CRL(NULL, &at, (long)der.len);
        ERR_pop_to_mark();
        if (!crl) {
                complaint = complaint ? complaint : "it cannot be read";
                findings_add(reading->findings, FINDING_CRL_INVALID, reading->whose, 0, complaint);
                return HF_E_INVALID_ARGS;
        }
        if (sk_X509_CRL_push(c->crls, crl) > 0)
                return 0;
        X509_CRL_free(crl);
        return -ENOMEM;
}

int cert_crls_parse(Bytes bytes, FindingList *findings, CertCrls **ret)
{
        _cleanup_(cert_crls_freep) CertCrls *c = calloc(1, sizeof(*c));
        const Reading reading = {.findings = findings, .labels = {"X509 CRL"}, .take = crls_take_der, .userdata = c};
        int r;

        if (!c)
                return -ENOMEM;
        c->crls = sk_X509_CRL_new_null();
        if (!c->crls)
                return -ENOMEM;
        r = bytes.len > CERT_CRL_FILE_MAX ? read_malformed(&reading, 0, "the file is larger than 64 MiB")
                                          : read_either(bytes, &reading);
        if (r == 0 && sk_X509_CRL_num(c->crls) == 0) {
                findings_add(findings, FINDING_CRL_INVALID, FINDING_OF_FILE, 0, "there is none in the file");
                r = HF_E_INVALID_ARGS;
        }
        if (r == 0)
                *ret = TAKE_PTR(c);
        return r;
}

CertCrls *cert_crls_free(CertCrls *crls)
{
        if (!crls)
                return NULL;
        sk_X509_CRL_pop_free(crls->crls, X509_CRL_free);
        free(crls);
        return NULL;
}

STACK_OF(X509_CRL) *cert_crls_stack(const CertCrls *crls)
{
        return crls->crls;
}
