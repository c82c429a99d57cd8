/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/cms.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h> /* before cms.h, which looks whether it is there */

#include <openssl/cms.h>
#include <unistd.h>

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

static int refuse(FindingList *findings, FindingKind kind, const char *detail)
{
        findings_add(findings, kind, FINDING_OF_FILE, 0, detail);
        return HF_E_INVALID_ARGS;
}

int cms_at_end(int fd)
{
        uint8_t more;
        ssize_t n;

        do
                n = read(fd, &more, sizeof(more));
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
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
                return refuse(findings, FINDING_MALFORMED, "the signer's certificate is not in the signature");
        return refuse(findings, FINDING_ALTERED, "its digest or the signature over it does not match");
}

static int take_chain(CMS_ContentInfo *cms, FindingList *findings, CertChain **ret)
{
        _cleanup_(certificates_freep) STACK_OF(X509) *others = CMS_get1_certs(cms);
        _cleanup_(stack_freep) STACK_OF(X509) *signers = CMS_get0_signers(cms);

        if (sk_X509_num(signers) != 1)
                return refuse(findings, FINDING_MALFORMED, "the signer's certificate is not in the signature");
        return cert_chain_take(sk_X509_value(signers, 0), others, FINDING_OF_FILE, findings, ret);
}

static int verify(Bytes cms, int fd, FindingList *findings, CertChain **ret)
{
        _cleanup_(cms_freep) CMS_ContentInfo *c = NULL;
        _cleanup_(bio_freep) BIO *in = BIO_new_fd(fd, BIO_NOCLOSE);
        STACK_OF(CMS_SignerInfo) *signers;
        int verified, r;

        if (!in)
                return -ENOMEM;
        if (cms.len > CMS_FILE_MAX)
                return refuse(findings, FINDING_MALFORMED, "the signature is larger than 256 KiB");
        c = read_cms(cms);
        if (!c || OBJ_obj2nid(CMS_get0_type(c)) != NID_pkcs7_signed)
                return refuse(findings, FINDING_MALFORMED, "the signature is not CMS signed data");
        if (CMS_is_detached(c) != 1)
                return refuse(findings, FINDING_MALFORMED, "the signature is not detached");
        signers = CMS_get0_SignerInfos(c);
        if (sk_CMS_SignerInfo_num(signers) != 1)
                return refuse(findings, FINDING_MALFORMED, "it has not exactly one signer");
        if (!digest_is_strong(sk_CMS_SignerInfo_value(signers, 0)))
                return refuse(findings, FINDING_WEAK_SIGNATURE, "the file's own");
        verified = CMS_verify(c, NULL, NULL, in, NULL, CMS_BINARY | CMS_DETACHED | CMS_NO_SIGNER_CERT_VERIFY);
        r = cms_at_end(fd);
        if (r < 0)
                return r;
        return verified == 1 && r == 0 ? take_chain(c, findings, ret) : refuse_altered(findings);
}

int cms_verify(Bytes cms, int fd, FindingList *findings, CertChain **ret)
{
        int r;

        ERR_set_mark();
        r = verify(cms, fd, findings, ret);
        ERR_pop_to_mark();
        return r;
}
