/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/x509/support.h"

#include <openssl/pem.h>
#include <string.h>

EVP_PKEY *make_key(const char *kind)
{
        if (!kind)
                kind = "P-256";
        if (strncmp(kind, "RSA", 3) == 0)
                return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(kind + 3));
        return strncmp(kind, "P-", 2) == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind) : EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
        X509_EXTENSION *e;
        X509V3_CTX ctx;

        if (!value)
                return;
        X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
        e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        assert_non_null(e);
        assert_int_equal(X509_add_ext(x, e, -1), 1);
        X509_EXTENSION_free(e);
}

Made make_certificate(const Making *how)
{
        Made m = {.x = X509_new(), .key = how->key ? how->key : make_key(how->kind)};
        EVP_PKEY *signer = how->issuer_key ? how->issuer_key : m.key;
        X509 *issuer = how->issuer ? how->issuer : m.x;
        X509_NAME *name = X509_get_subject_name(m.x);

        assert_non_null(m.key);
        if (how->key)
                EVP_PKEY_up_ref(m.key);
        X509_set_version(m.x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(m.x), how->serial_zero ? 0 : how->serial ? how->serial : 7);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)how->name, -1, -1, 0);
        X509_set_issuer_name(m.x, X509_get_subject_name(issuer));
        X509_gmtime_adj(X509_getm_notBefore(m.x), how->since * 86400L - 60);
        X509_gmtime_adj(X509_getm_notAfter(m.x), (how->until ? how->until : 30) * 86400L);
        X509_set_pubkey(m.x, m.key);
        extend(m.x, issuer, NID_basic_constraints, how->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
        extend(m.x, issuer, NID_key_usage, how->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
        extend(m.x, issuer, NID_subject_key_identifier, "hash");
        extend(m.x, issuer, NID_authority_key_identifier, "keyid");
        extend(m.x, issuer, NID_ext_key_usage, how->usage);
        extend(m.x, issuer, NID_subject_alt_name, how->names);
        assert_true(X509_sign(m.x, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256()) > 0);
        return m;
}

void made_clear(Made *m)
{
        X509_free(m->x);
        EVP_PKEY_free(m->key);
}

void append_pem(Buffer *b, X509 *x)
{
        BIO *out = BIO_new(BIO_s_mem());
        char *text;
        long len;

        assert_int_equal(PEM_write_bio_X509(out, x), 1);
        len = BIO_get_mem_data(out, &text);
        assert_int_equal(buffer_append(b, text, (size_t)len), 0);
        BIO_free(out);
}

CertChain *chain_of(X509 *leaf, X509 *other)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_FILE_MAX);
        FindingList findings = {.n = 0};
        CertChain *chain = NULL;

        append_pem(&b, leaf);
        if (other)
                append_pem(&b, other);
        assert_int_equal(cert_chain_parse(buffer_bytes(&b), FINDING_OF_OURS, &findings, &chain), 0);
        assert_int_equal(findings.n, 0);
        return chain;
}

CertAnchors *anchors_of(X509 *root)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_FILE_MAX);
        FindingList findings = {.n = 0};
        CertAnchors *anchors = NULL;

        append_pem(&b, root);
        assert_int_equal(cert_anchors_parse(buffer_bytes(&b), &findings, &anchors), 0);
        return anchors;
}
