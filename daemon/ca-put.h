/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Revocation lists of CAs elsewhere
 *
 * A list is taken when a CA signed it that is trusted by an identity here, or stands above a CA here, and when servers can use it
 * (x509/crl.h). It is kept in the store and published with those of the CAs here, and its number never goes back.
 */
#include "daemon/daemon.h"
#include "keystore/lists.h"

#define CA_PUT_SOON (24 * 3600 * USEC_PER_SEC) /* what is left when a list is a trouble, if it holds for long enough */

/* What is wrong with it, in words behind "the revocation list of NAME"; it is some identity's or CA's here. False: nothing. */
#define CA_PUT_NAME_SIZE 160
#define CA_PUT_WORDS_SIZE 128
bool ca_put_trouble(const Daemon *d, const ListEntry *e, uint64_t now, char ret_name[static CA_PUT_NAME_SIZE],
                char ret[static CA_PUT_WORDS_SIZE]);
/* Where the list goes of the first of these (PEM). -ENOMEM. */
int ca_put_place(Bytes chain, char ret[static STORE_PLACE_SIZE]);
