/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/cms.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h> /* before cms.h, which looks whether it is there */

#include <openssl/cms.h>

#include "base/error.h"

static void cms_freep(CMS_ContentInfo **cms)
{
        CMS_ContentInfo_free(*cms);
}

static void bio_freep(BIO **bio)
{
        BIO_free_all(*bio);
}

static void stack_freep(STACK_OF(X509) **stack)
{
        sk_X509_free(*stack);
}

static void certificates_freep(STACK_OF(X509) **stack)
{
        sk_X509_pop_free(*stack, X509_free);
}

static int refuse(FindingList *findings, FindingKind kind, FindingWhose whose, const char *detail)
{
        ERR_clear_error();
        findings_add(findings, kind, whose, 0, detail);
        return HF_E_INVALID_ARGS;
}

/* The digest that is as strong as the key. */
static const EVP_MD *digest_for(const EVP_PKEY *pkey)
{
        if (EVP_PKEY_is_a(pkey, "ED25519"))
                return EVP_sha512(); /* RFC 8419 section 3 */
        return EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_bits(pkey) > 256 ? EVP_sha384() : EVP_sha256();
}

static int finish(CMS_ContentInfo *cms, BIO *in, FindingList *findings, Buffer *ret)
{
        uint8_t *der = NULL;
        int len, r;

        if (CMS_final(cms, in, NULL, CMS_BINARY | CMS_DETACHED) != 1) {
                cert_key_findings(findings);
                if (findings->n > 0)
                        return HF_E_INVALID_ARGS;
                return refuse(findings, FINDING_KEY_UNUSABLE, FINDING_OF_OURS, "the signature could not be made");
        }
        len = i2d_CMS_ContentInfo(cms, &der);
        if (len < 0)
                return -ENOMEM;
        r = buffer_append(ret, der, (size_t)len);
        OPENSSL_free(der);
        return r;
}

int cms_sign(const CertChain *chain, const CertKey *key, int fd, FindingList *findings, Buffer *ret)
{
        const unsigned flags = CMS_BINARY | CMS_DETACHED | CMS_PARTIAL | CMS_NOSMIMECAP;
        _cleanup_(stack_freep) STACK_OF(X509) *others = sk_X509_new_null();
        _cleanup_(bio_freep) BIO *in = BIO_new_fd(fd, BIO_NOCLOSE);
        _cleanup_(cms_freep) CMS_ContentInfo *cms = NULL;

        if (!others || !in)
                return -ENOMEM;
        for (size_t i = 1; i < cert_chain_count(chain); i++)
                if (sk_X509_push(others, cert_chain_at(chain, i)) <= 0)
                        return -ENOMEM;
        ERR_clear_error();
        cms = CMS_sign_ex(NULL, NULL, others, NULL, flags, key->context, CERT_KEY_PROPERTIES);
        if (!cms)
                return -ENOMEM;
        if (!CMS_add1_signer(cms, cert_chain_at(chain, 0), key->pkey, digest_for(key->pkey), flags)) {
                bool differs = ERR_GET_REASON(ERR_peek_last_error()) == CMS_R_PRIVATE_KEY_DOES_NOT_MATCH_CERTIFICATE;

                return refuse(findings, differs ? FINDING_KEY_MISMATCH : FINDING_KEY_UNUSABLE, FINDING_OF_OURS,
                                differs ? NULL : "OpenSSL makes no CMS signatures with this kind of key");
        }
        return finish(cms, in, findings, ret);
}

static CMS_ContentInfo *read_cms(Bytes bytes)
{
        _cleanup_(bio_freep) BIO *in = BIO_new_mem_buf(bytes.data, (int)bytes.len);
        const uint8_t *at = bytes.data;

        if (!in)
                return NULL;
        return bytes.len > 0 && bytes.data[0] == '-' ? PEM_read_bio_CMS(in, NULL, NULL, NULL)
                                                     : d2i_CMS_ContentInfo(NULL, &at, (long)bytes.len);
}

static bool digest_is_strong(CMS_SignerInfo *signer)
{
        X509_ALGOR *digest = NULL;
        const ASN1_OBJECT *oid = NULL;
        const EVP_MD *md;

        CMS_SignerInfo_get0_algs(signer, NULL, NULL, &digest, NULL);
        X509_ALGOR_get0(&oid, NULL, NULL, digest);
        md = EVP_get_digestbyobj(oid);
        return md && EVP_MD_get_size(md) >= 28;
}

/* Why OpenSSL refused, in our words. */
static int refuse_altered(FindingList *findings)
{
        int reason = ERR_GET_REASON(ERR_peek_last_error());

        if (reason == CMS_R_SIGNER_CERTIFICATE_NOT_FOUND)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "the signer's certificate is not in the signature");
        return refuse(findings, FINDING_ALTERED, FINDING_OF_FILE, "its digest or the signature over it does not match");
}

static int take_chain(CMS_ContentInfo *cms, FindingList *findings, CertChain **ret)
{
        _cleanup_(certificates_freep) STACK_OF(X509) *others = CMS_get1_certs(cms);
        _cleanup_(stack_freep) STACK_OF(X509) *signers = CMS_get0_signers(cms);

        if (sk_X509_num(signers) != 1)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "the signer's certificate is not in the signature");
        return cert_chain_take(sk_X509_value(signers, 0), others, FINDING_OF_FILE, findings, ret);
}

int cms_verify(Bytes cms, int fd, FindingList *findings, CertChain **ret)
{
        _cleanup_(cms_freep) CMS_ContentInfo *c = NULL;
        _cleanup_(bio_freep) BIO *in = BIO_new_fd(fd, BIO_NOCLOSE);
        STACK_OF(CMS_SignerInfo) *signers;

        if (!in)
                return -ENOMEM;
        if (cms.len > CMS_FILE_MAX)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "the signature is larger than 256 KiB");
        ERR_clear_error();
        c = read_cms(cms);
        if (!c || OBJ_obj2nid(CMS_get0_type(c)) != NID_pkcs7_signed)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "the signature is not CMS signed data");
        if (CMS_is_detached(c) != 1)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "the signature is not detached");
        signers = CMS_get0_SignerInfos(c);
        if (sk_CMS_SignerInfo_num(signers) != 1)
                return refuse(findings, FINDING_MALFORMED, FINDING_OF_FILE, "it has not exactly one signer");
        if (!digest_is_strong(sk_CMS_SignerInfo_value(signers, 0)))
                return refuse(findings, FINDING_WEAK_SIGNATURE, FINDING_OF_FILE, "the file's own");
        if (CMS_verify(c, NULL, NULL, in, NULL, CMS_BINARY | CMS_DETACHED | CMS_NO_SIGNER_CERT_VERIFY) != 1)
                return refuse_altered(findings);
        return take_chain(c, findings, ret);
}
