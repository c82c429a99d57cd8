/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts: what is set once for an SSL_CTX, and what each handshake takes from the identity as it is then. Nothing of the
 * context changes after that, so threads may use it as they like.
 */
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "libclient-ssl/failure.h"
#include "libclient-ssl/holdfast-ssl.h"
#include "libclient-ssl/identity.h"
#include "libclient-ssl/peer.h"
#include "libclient-ssl/ticket.h"

#define ROLE_MASK 0xffu

static int index_of_role = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_role(void *parent, void *role, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
        (void)parent, (void)data, (void)index, (void)argl, (void)argp;
        free(role);
}

static void begin(void)
{
        index_of_role = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_role);
}

/* Before our certificate is sent. The context has the one of its own first day, which mostly is still the one. */
static int on_certificate(SSL *ssl, void *userdata)
{
        const Role *role = userdata;
        _cleanup_(snapshot_unrefp) Snapshot *s = NULL;

        if (role_snapshot(role, ssl, &s) != 0)
                return 0;
        if (SSL_get_certificate(ssl) != cert_chain_at(s->files.chain, 0)) {
                SSL_certs_clear(ssl); /* another kind of key would leave the old one beside it */
                if (SSL_use_cert_and_key(ssl, cert_chain_at(s->files.chain, 0), s->key, s->intermediates, 1) != 1)
                        return 0;
        }
        if (role->server && role->anchors)
                SSL_set0_CA_list(ssl, SSL_dup_CA_list(s->anchor_names));
        return 1;
}

static bool set_lowest_version(SSL_CTX *ctx)
{
        int now = SSL_CTX_get_min_proto_version(ctx);

        if (now == TLS1_2_VERSION || now == TLS1_3_VERSION || now == DTLS1_2_VERSION)
                return true;
        return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 ||
               SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) == 1;
}

/* A server's sessions are those of its identity; without a name for them OpenSSL resumes none that has a peer's certificate. */
static bool set_session_id(SSL_CTX *ctx, const char *name)
{
        uint8_t id[EVP_MAX_MD_SIZE];
        unsigned len = 0;

        return EVP_Digest(name, strlen(name), id, &len, EVP_sha256(), NULL) == 1 &&
               SSL_CTX_set_session_id_context(ctx, id, len) == 1;
}

static int verify_mode(const Role *role)
{
        if (!role->server)
                return SSL_VERIFY_PEER;
        return role->anchors ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE;
}

/* The certificate comes first: what OpenSSL may refuse is refused before anything else is changed. */
static int equip(SSL_CTX *ctx, Role *role, const Snapshot *s)
{
        Role *before;

        pthread_once(&once, begin);
        if (SSL_CTX_use_cert_and_key(ctx, cert_chain_at(s->files.chain, 0), s->key, s->intermediates, 1) != 1)
                return failure_set(HF_ERROR_INTERNAL, "OpenSSL does not take this identity for the context; its error queue says "
                                                      "why. Nothing was changed.");
        before = SSL_CTX_get_ex_data(ctx, index_of_role);
        if (!set_lowest_version(ctx) || (role->server && !set_session_id(ctx, identity_name(role->identity))) ||
                        SSL_CTX_set_ex_data(ctx, index_of_role, role) != 1)
                return failure_from(-ENOMEM);
        free(before);
        SSL_CTX_set_cert_cb(ctx, on_certificate, role);
        SSL_CTX_set_verify(ctx, verify_mode(role), NULL);
        SSL_CTX_set_cert_verify_callback(ctx, peer_verify, role);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
        if (role->server)
                ticket_bind(ctx, role);
        return 0;
}

static int role_of(const char *name, unsigned flags, Role *ret)
{
        unsigned role = flags & ROLE_MASK, rest = flags & ~ROLE_MASK;

        if (role < HF_TLS_CLIENT || role > HF_TLS_SERVER_MUTUAL || rest & ~HF_TLS_OWN_HOST_CHECK ||
                        (rest && role != HF_TLS_CLIENT))
                return failure_set(HF_ERROR_INVALID_ARGS, "The flags are exactly one of HF_TLS_CLIENT, HF_TLS_SERVER and "
                                                          "HF_TLS_SERVER_MUTUAL; with the first HF_TLS_OWN_HOST_CHECK as well. "
                                                          "Nothing was done.");
        ret->server = role != HF_TLS_CLIENT;
        ret->own_host_check = rest != 0;
        return identity_get(name, ret->server ? CERT_USAGE_SERVER : CERT_USAGE_CLIENT, &ret->identity);
}

static int use(SSL_CTX *ctx, const char *name, unsigned flags, bool *ret_anchors)
{
        _cleanup_free_ Role *role = calloc(1, sizeof(*role));
        _cleanup_(snapshot_unrefp) Snapshot *s = NULL;
        int r;

        if (!role)
                return failure_from(-ENOMEM);
        role->anchors = (flags & ROLE_MASK) == HF_TLS_SERVER_MUTUAL;
        r = role_of(name, flags, role);
        if (r == 0)
                r = role_snapshot(role, NULL, &s);
        if (r)
                return r;
        *ret_anchors = role->anchors = s->files.anchors != NULL;
        r = equip(ctx, role, s);
        if (r == 0)
                role = NULL; /* the context's now */
        return r;
}

int hf_ssl_ctx_use(SSL_CTX *ctx, const char *name, unsigned flags)
{
        bool anchors;

        return use(ctx, name, flags, &anchors);
}

/* The system's anchors are many and take their time, so they are read only where they are needed. A server lets nobody in for
 * them. */
SSL_CTX *hf_ssl_ctx_new(const char *name, unsigned flags)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_method());
        bool anchors = false;

        if (!ctx) {
                failure_from(-ENOMEM);
                return NULL;
        }
        if (use(ctx, name, flags, &anchors) != 0 ||
                        (!anchors && (flags & ROLE_MASK) == HF_TLS_CLIENT && SSL_CTX_set_default_verify_paths(ctx) != 1)) {
                SSL_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}
