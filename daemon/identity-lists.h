/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The revocation lists of identities: crl.pem beside ca.pem
 *
 * An identity gets the lists of all CAs that lead to one of its anchors, those here and those elsewhere whose list was handed in,
 * so that its programs know who of their peers was revoked. They come out of their directories (daemon/ca-publish.h), and
 * whenever one of them is another every identity that has it gets a new generation of files: who watches the identity reloads
 * its programs.
 */
#include "daemon/daemon.h"
#include "keystore/identity.h"
#include "keystore/lists.h"
#include "keystore/registry.h"

/* The directories with the lists, below the TLS directory. Which of those elsewhere belong to it is asked in the worker. */
typedef struct ListPlaces {
        char (*names)[STORE_PLACE_SIZE];
        size_t n;
        ListEntry **elsewhere;
        size_t n_elsewhere;
} ListPlaces;

void list_places_deinit(ListPlaces *p);
#define _cleanup_list_places_ __attribute__((cleanup(list_places_deinit)))

/* Those of an identity. -ENOMEM. */
int identity_lists_find(const Registry *registry, const Lists *lists, const StoreIdentityRow *row, ListPlaces *ret);
bool list_places_are_none(const ListPlaces *p);
/* In the worker: appends what is in them; one that is not there adds nothing. -errno. */
int identity_lists_read(int tls_fd, const ListPlaces *places, Bytes anchors, Buffer *ret);
/* In the worker: the files of this identity, if its lists are others. HF_E_NOTHING_TO_DO: they are not. -errno. */
int identity_lists_write(int tls_fd, const IdentityEntry *e, const KeyEntry *key, const ListPlaces *places);
#define IDENTITY_LISTS_BUFFER BUFFER_INIT(512 * 1024 * 1024)

/* Looks at all identities and writes what is not as it should be, in the turn of a change. `then` gets 0, -errno of the last
 * that could not be written, HF_E_STORE_LOCKED. It is called exactly once, perhaps before this returns, and may be NULL. */
void identity_lists_refresh(Daemon *d, void (*then)(void *userdata, int result), void *userdata);
