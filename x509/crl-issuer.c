/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose a revocation list is, and who trusts that CA. */
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/error.h"
#include "x509/check.h"
#include "x509/crl.h"
#include "x509/order.h"

/* What was wrong with the last CA that might have signed it tells more than that none did. */
static void note(CrlFault fault, CrlFault *ret)
{
        if (fault != CRL_UNKNOWN_ISSUER)
                *ret = fault;
}

static int count(const CertAnchors *all)
{
        return sk_X509_num(cert_anchors_stack(all));
}

static X509 *at(const CertAnchors *all, int i)
{
        return sk_X509_value(cert_anchors_stack(all), i);
}

int cert_crl_find_issuer(const CertCrl *crl, Bytes certificates, bool path, CrlFault *fault, Buffer *ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *all = NULL;
        FindingList findings = {.n = 0};
        int r = cert_anchors_parse(certificates, &findings, &all);

        if (r)
                return r < 0 ? r : 0;
        for (int i = 0; i < count(all); i++) {
                CrlFault found = cert_crl_check_issuer(crl, at(all, i));

                note(found, fault);
                if (found != CRL_GOOD)
                        continue;
                for (int k = i; !r && k < (path ? count(all) : i + 1); k++)
                        r = cert_anchors_write(all, (size_t)k, ret);
                return r;
        }
        return 0;
}

/* Who trusts the anchor that the path ends at is given the list. */
static int append_anchor(const CertAnchors *anchors, X509 *top, Buffer *ret)
{
        for (int i = 0; i < count(anchors); i++)
                if (X509_check_issued(at(anchors, i), top) == X509_V_OK)
                        return cert_anchors_write(anchors, (size_t)i, ret);
        return 0;
}

int cert_crl_find_path(const CertCrl *crl, Bytes chain, Bytes known, CrlFault *fault, Buffer *ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = NULL;
        _cleanup_(cert_chain_unrefp) CertChain *path = NULL;
        FindingList findings = {.n = 0};
        size_t order[CERT_CHAIN_MAX], n;
        CrlFault found;
        int r = cert_anchors_parse(known, &findings, &anchors);

        if (!r)
                r = cert_chain_parse(chain, FINDING_OF_FILE, &findings, &path);
        if (!r)
                r = cert_check(&(CertCheck){.chain = path, .whose = FINDING_OF_FILE, .anchors = anchors}, &findings);
        if (r || findings.n)
                return r < 0 ? r : 0;
        found = cert_crl_check_issuer(crl, cert_chain_at(path, 0));
        note(found, fault);
        if (found != CRL_GOOD)
                return 0;
        n = cert_chain_count(path);
        cert_chain_order(path, order);
        for (size_t i = 0; !r && i < n; i++)
                r = cert_chain_write(path, order[i], ret);
        return r ? r : append_anchor(anchors, cert_chain_at(path, order[n - 1]), ret);
}

int cert_crl_id(Bytes chain, uint8_t ret[static CERT_CRL_ID_SIZE])
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *above = NULL;
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        uint8_t hash[EVP_MAX_MD_SIZE], *spki = NULL;
        FindingList findings = {.n = 0};
        const uint8_t *name;
        size_t len;
        int n = cert_anchors_parse(chain, &findings, &above) ? 0 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(at(above, 0)), &spki);
        bool done;

        done = ctx && n > 0 && X509_NAME_get0_der(X509_get_subject_name(at(above, 0)), &name, &len) == 1 &&
               EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(ctx, name, len) == 1 &&
               EVP_DigestUpdate(ctx, spki, (size_t)n) == 1 && EVP_DigestFinal_ex(ctx, hash, NULL) == 1;
        EVP_MD_CTX_free(ctx);
        OPENSSL_free(spki);
        if (!done)
                return -ENOMEM;
        memcpy(ret, hash, CERT_CRL_ID_SIZE);
        return 0;
}

static bool is_same_ca(X509 *a, X509 *b)
{
        return X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0 &&
               EVP_PKEY_eq(X509_get0_pubkey(a), X509_get0_pubkey(b)) == 1;
}

bool cert_crl_leads_to(Bytes chain, const CertAnchors *trusted)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *above = NULL;
        FindingList findings = {.n = 0};
        bool leads = false;

        if (!trusted || !chain.len || cert_anchors_parse(chain, &findings, &above))
                return false;
        for (int i = 0; !leads && i < count(above); i++)
                for (int k = 0; !leads && k < count(trusted); k++)
                        leads = is_same_ca(at(above, i), at(trusted, k));
        return leads;
}

CertAnchors *cert_crl_trusted(Bytes anchors)
{
        CertAnchors *trusted = NULL;
        FindingList findings = {.n = 0};

        return anchors.len && cert_anchors_parse(anchors, &findings, &trusted) == 0 ? trusted : NULL;
}

char *cert_crl_name(Bytes chain, char *ret, size_t size)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *above = NULL;
        FindingList findings = {.n = 0};
        char *text = NULL;
        long n = 0;
        BIO *out;

        *ret = '\0';
        out = cert_anchors_parse(chain, &findings, &above) == 0 ? BIO_new(BIO_s_mem()) : NULL;
        if (out && X509_NAME_print_ex(out, X509_get_subject_name(at(above, 0)), 0,
                                   XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) > 0)
                n = BIO_get_mem_data(out, &text);
        if (n > 0) {
                n = n < (long)size ? n : (long)size - 1;
                memcpy(ret, text, (size_t)n);
                ret[n] = '\0';
        }
        BIO_free(out);
        return ret;
}
