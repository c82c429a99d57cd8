/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The peer's certificate, judged inside the handshake. */
#include <openssl/ssl.h>
#include <stdbool.h>

#include "libclient-ssl/identity.h"

/* What a context is for; made once and never changed. */
typedef struct Role {
        Identity *identity;
        bool server, own_host_check;
        bool anchors; /* peers are judged by the identity's own, and it may not lose them */
} Role;

/* The identity as it is now, or why it cannot be used; told to ssl (which may be NULL). */
int role_snapshot(const Role *role, const SSL *ssl, Snapshot **ret);
/* For SSL_CTX_set_cert_verify_callback(); userdata is a Role. */
int peer_verify(X509_STORE_CTX *ctx, void *userdata);
