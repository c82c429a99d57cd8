/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Resumption, a server's
 *
 * A resumed session is one whose client was judged before. So that a client who is not trusted any more does not come in with
 * it, a ticket carries the digest of what clients were judged by when it was given. Where that is another now, the ticket is
 * passed over and a full handshake follows. Sessions are in tickets only, none is kept here.
 */
#include "libclient-ssl/peer.h"

void ticket_bind(SSL_CTX *ctx, Role *role);
