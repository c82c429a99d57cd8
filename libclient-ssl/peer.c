/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Peers: whom a client means, and whether it is him. */
#include "libclient-ssl/peer.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "libclient-ssl/failure.h"
#include "libclient-ssl/holdfast-ssl.h"

int role_snapshot(const Role *role, const SSL *ssl, Snapshot **ret)
{
        Snapshot *s = NULL;
        FindingList findings = {.n = 0};
        int r = identity_snapshot(role->identity, ssl, &s);

        if (r)
                return r;
        if (role->anchors && !s->files.anchors) {
                snapshot_unref(s);
                findings_add(&findings, FINDING_FILES_MISSING, FINDING_OF_OURS, 0, "ca.pem, and peers are to be judged by it");
                return failure_findings(ssl, identity_name(role->identity), &findings);
        }
        *ret = s;
        return 0;
}

static bool is_address(const char *host)
{
        ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

        ASN1_OCTET_STRING_free(address);
        return address != NULL;
}

int hf_ssl_set_host(SSL *ssl, const char *host)
{
        X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

        if (!host || !*host)
                return failure_on(ssl, HF_ERROR_INVALID_ARGS, "A host is a DNS name or an IP address. Nothing was changed.");
        if (is_address(host))
                return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : failure_from(-ENOMEM);
        if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1)
                return failure_on(ssl, HF_ERROR_INVALID_ARGS, "A host is a DNS name or an IP address. Nothing was changed.");
        return 0;
}

typedef struct Expected {
        const char *host;
        bool known;
} Expected;

/* What the program said last: a name or address for the check, or at least whom it asks for by SNI. */
static Expected expected_host(const Role *role, const SSL *ssl, X509_STORE_CTX *ctx)
{
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        const char *name = X509_VERIFY_PARAM_get0_host(param, 0);
        char *address = X509_VERIFY_PARAM_get1_ip_asc(param);
        Expected e = {.known = role->server || role->own_host_check || name || address};

        OPENSSL_free(address);
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (role->server)
                return e;
        if (name && !X509_VERIFY_PARAM_get0_host(param, 1))
                e.host = name;
        else if (!name && !address)
                e.host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        e.known = e.known || e.host;
        return e;
}

/* crl.pem has the lists of the CAs here. Another CA's is as good as without it, unless the program wants a list of each. */
static bool wants_all_lists(X509_STORE_CTX *ctx)
{
        return X509_VERIFY_PARAM_get_flags(X509_STORE_CTX_get0_param(ctx)) & X509_V_FLAG_CRL_CHECK;
}

static int check(const Role *role, const SSL *ssl, X509_STORE_CTX *ctx, const Snapshot *s)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        FindingList findings = {.n = 0};
        Expected expected = expected_host(role, ssl, ctx);
        int r;

        if (!expected.known)
                return failure_on(ssl, HF_ERROR_INVALID_ARGS,
                                "The server's certificate cannot be judged, because this program has not said which host it "
                                "means. Say it with hf_ssl_set_host() before the handshake.");
        r = cert_chain_take(X509_STORE_CTX_get0_cert(ctx), X509_STORE_CTX_get0_untrusted(ctx), FINDING_OF_PEER, &findings,
                        &chain);
        if (r == 0)
                r = cert_check_peer(&(CertCheck){.chain = chain, .whose = FINDING_OF_PEER,
                                                    .anchors = s->files.anchors, .pins = &s->files.pins,
                                                    .crls = s->files.crls, .ignore_missing_crl = !wants_all_lists(ctx),
                                                    .usage = role->server ? CERT_USAGE_CLIENT : CERT_USAGE_SERVER,
                                                    .host = expected.host},
                                ctx, &findings);
        if (findings.n > 0)
                return failure_findings(ssl, identity_name(role->identity), &findings);
        return r ? failure_from(r) : 0;
}

int peer_verify(X509_STORE_CTX *ctx, void *userdata)
{
        const Role *role = userdata;
        SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
        _cleanup_(snapshot_unrefp) Snapshot *s = NULL;

        failure_forget(ssl);
        if (!role->server)
                SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL); /* a program that switched it off would not hear our verdict */
        if (role_snapshot(role, ssl, &s) == 0 && check(role, ssl, ctx, s) == 0)
                return 1;
        if (X509_STORE_CTX_get_error(ctx) == X509_V_OK)
                X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
}
