/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/cms-sign.h"

#include <errno.h>
#include <openssl/cms.h>
#include <openssl/err.h>

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

static int refuse(FindingList *findings, FindingKind kind, const char *detail)
{
        ERR_clear_error();
        findings_add(findings, kind, FINDING_OF_OURS, 0, detail);
        return HF_E_INVALID_ARGS;
}

/* RFC 8419 has Ed25519 in CMS, OpenSSL 3.0 has not. */
static const char no_cms[] = "OpenSSL makes no CMS signatures with this kind of key; P-256, P-384 and RSA do";

/* The digest that is as strong as the key. */
static const EVP_MD *digest_for(const EVP_PKEY *pkey)
{
        return EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_bits(pkey) > 256 ? EVP_sha384() : EVP_sha256();
}

static int finish(CMS_ContentInfo *cms, BIO *in, int fd, FindingList *findings, Buffer *ret)
{
        uint8_t *der = NULL;
        int len, done, r;

        done = CMS_final(cms, in, NULL, CMS_BINARY | CMS_DETACHED);
        r = cms_at_end(fd);
        if (r < 0 || (r && done == 1))
                return r < 0 ? r : -EIO;
        if (done != 1) {
                cert_key_findings(findings);
                if (findings->n > 0)
                        return HF_E_INVALID_ARGS;
                return refuse(findings, FINDING_KEY_UNUSABLE, "the signature could not be made");
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

        if (EVP_PKEY_is_a(key->pkey, "ED25519"))
                return refuse(findings, FINDING_KEY_UNUSABLE, no_cms);
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

                return refuse(findings, differs ? FINDING_KEY_MISMATCH : FINDING_KEY_UNUSABLE, differs ? NULL : no_cms);
        }
        return finish(cms, in, fd, findings, ret);
}
