/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A generation: read in one go, its key loaded, everything that can be judged beforehand judged. */
#include "libclient-ssl/snapshot.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "libclient-ssl/failure.h"
#include "libclient-ssl/module.h"

static void digest_freep(EVP_MD_CTX **c)
{
        EVP_MD_CTX_free(*c);
}

Snapshot *snapshot_unref(Snapshot *s)
{
        if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
                return NULL;
        sk_X509_free(s->intermediates);
        sk_X509_NAME_pop_free(s->anchor_names, X509_NAME_free);
        EVP_PKEY_free(s->key);
        cert_identity_clear(&s->files);
        free(s); /* the generation it begins */
        return NULL;
}

static STACK_OF(X509) *intermediates_of(const CertChain *chain)
{
        STACK_OF(X509) *stack = sk_X509_new_null();

        for (size_t i = 1; stack && i < cert_chain_count(chain); i++)
                if (sk_X509_push(stack, cert_chain_at(chain, i)) <= 0) {
                        sk_X509_free(stack);
                        return NULL;
                }
        return stack;
}

static STACK_OF(X509_NAME) *names_of(const CertAnchors *anchors)
{
        STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
        STACK_OF(X509) *from = cert_anchors_stack(anchors);

        for (int i = 0; names && i < sk_X509_num(from); i++) {
                X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(from, i)));

                if (!name || sk_X509_NAME_push(names, name) <= 0) {
                        X509_NAME_free(name);
                        sk_X509_NAME_pop_free(names, X509_NAME_free);
                        return NULL;
                }
        }
        return names;
}

static bool add_certificate(EVP_MD_CTX *c, X509 *x)
{
        uint8_t hash[EVP_MAX_MD_SIZE];
        unsigned len = 0;

        return X509_digest(x, EVP_sha256(), hash, &len) == 1 && EVP_DigestUpdate(c, hash, len) == 1;
}

static bool add_list(EVP_MD_CTX *c, X509_CRL *crl)
{
        uint8_t hash[EVP_MAX_MD_SIZE];
        unsigned len = 0;

        return X509_CRL_digest(crl, EVP_sha256(), hash, &len) == 1 && EVP_DigestUpdate(c, hash, len) == 1;
}

static bool make_digest(Snapshot *s)
{
        _cleanup_(digest_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
        STACK_OF(X509) *anchors = s->files.anchors ? cert_anchors_stack(s->files.anchors) : NULL;
        STACK_OF(X509_CRL) *crls = s->files.crls ? cert_crls_stack(s->files.crls) : NULL;
        const CertPins *pins = &s->files.pins;
        bool made = c && EVP_DigestInit_ex2(c, EVP_sha256(), NULL) == 1;

        for (int i = 0; made && i < sk_X509_num(anchors); i++)
                made = add_certificate(c, sk_X509_value(anchors, i));
        for (int i = 0; made && i < sk_X509_CRL_num(crls); i++)
                made = add_list(c, sk_X509_CRL_value(crls, i));
        return made && EVP_DigestUpdate(c, pins->hashes, pins->n * sizeof(pins->hashes[0])) == 1 &&
               EVP_DigestFinal_ex(c, s->digest, NULL) == 1;
}

static int judge(Generation *g, CertUsage usage, uint64_t now)
{
        Snapshot *s = &g->snapshot;
        int r = cert_identity_check(&s->files, usage, now, &g->findings);

        cert_chain_window(s->files.chain, now, &g->from, &g->until);
        if (r || g->findings.n > 0)
                return r ? failure_from(r) : 0;
        r = module_load_key(buffer_bytes(&s->files.reference), &s->key);
        if (r)
                return r;
        s->intermediates = intermediates_of(s->files.chain);
        if (s->files.anchors)
                s->anchor_names = names_of(s->files.anchors);
        return s->intermediates && (s->anchor_names || !s->files.anchors) && make_digest(s) ? 0 : failure_from(-ENOMEM);
}

int generation_load(const char *directory, const char *name, CertUsage usage, const Stamp *stamp, Generation **ret)
{
        Generation *g = calloc(1, sizeof(*g));
        _cleanup_(snapshot_unrefp) Snapshot *s = g ? &g->snapshot : NULL;
        int r;

        if (!g)
                return failure_from(-ENOMEM);
        atomic_init(&s->refs, 1);
        g->stamp = *stamp;
        g->until = UINT64_MAX;
        r = cert_identity_load(directory, name, &g->findings, &s->files);
        if (r == 0)
                r = judge(g, usage, clock_wall());
        else if (r != HF_E_INVALID_ARGS || g->findings.n == 0)
                r = failure_from(r);
        else
                r = 0;
        if (r)
                return r;
        s = NULL;
        *ret = g;
        return 0;
}
