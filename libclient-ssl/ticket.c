/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libclient-ssl/ticket.h"

#include <openssl/err.h>
#include <string.h>

#include "base/cleanup.h"

static int on_given(SSL *ssl, void *userdata)
{
        const Role *role = userdata;
        _cleanup_(snapshot_unrefp) Snapshot *s = NULL;

        return role_snapshot(role, ssl, &s) == 0 &&
               SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), s->digest, sizeof(s->digest)) == 1;
}

static bool is_of_present(const Role *role, const SSL *ssl, SSL_SESSION *session)
{
        _cleanup_(snapshot_unrefp) Snapshot *s = NULL;
        void *digest = NULL;
        size_t len = 0;

        return role_snapshot(role, ssl, &s) == 0 && SSL_SESSION_get0_ticket_appdata(session, &digest, &len) == 1 &&
               len == sizeof(s->digest) && memcmp(digest, s->digest, len) == 0;
}

static SSL_TICKET_RETURN on_shown(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                SSL_TICKET_STATUS status, void *userdata)
{
        (void)name, (void)name_len;
        if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
                return SSL_TICKET_RETURN_IGNORE_RENEW;
        if (!is_of_present(userdata, ssl, session))
                return SSL_TICKET_RETURN_IGNORE_RENEW;
        return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void ticket_bind(SSL_CTX *ctx, Role *role)
{
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_session_ticket_cb(ctx, on_given, on_shown, role);
}
