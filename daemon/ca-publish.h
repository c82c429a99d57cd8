/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a CA publishes
 *
 *        TLS/ca@NAME/ca.pem       the root its certificates lead to, and those in the line of that
 *                    chain.pem    the CA itself and those above it but the root
 *                    own.crl.pem  its own revocation list
 *                    crl.pem      that, and the lists of all above it, and of others below that root, that are known here: what
 *                                 servers are given
 *                    highest      number of the last list that was begun to be written
 *                    number       of the last list that was written everywhere
 *        TLS/crl@ID/own.crl.pem   the list that was handed in of a CA elsewhere (daemon/ca-put.h)
 *
 * Files are replaced whole. A list with a lower number never takes the place of one with a higher. All of it is made from the
 * store when that opens, where it is not there: after a move, with no key asked.
 */
#include "daemon/ca.h"
#include "daemon/vault-open.h"

#define CA_OWN_LIST "own.crl.pem"
#define CA_PLACE "ca@" /* and a name: the directory of a CA here */

typedef struct CaPublication CaPublication;

/* Appends all these certificates, DER one behind the other, as PEM. */
int ca_pem_append_all(Bytes certificates, Buffer *ret);
/* Appends a PEM block. */
int ca_pem_append(const char *kind, Bytes der, Buffer *ret);
/* Appends the CA's certificate and those above it but the root, and the cross certificates of that: who trusts the root that
 * follows it, or the one before it, comes there too. */
int ca_pem_chain(const Registry *registry, const AuthorityEntry *a, Buffer *ret);

/* Is this CA, or one above it, or a root in the line of the one above all, to which cross certificates lead, among these anchors?
 * They are PEM as ca_pem_append() writes it. -ENOMEM. */
int ca_is_trusted(const Registry *registry, const AuthorityEntry *a, Bytes anchors, bool *ret);

/* What there is, in the loop or at an opening. */
typedef struct CaScene {
        const char *directory; /* "": there is none */
        const Registry *registry;
        const Lists *lists;
} CaScene;
CaScene ca_scene(const Daemon *d);

/* What has to be known in the worker: which CAs are above which. `number` is 0 for the list of a CA elsewhere. */
int ca_publication_new(const CaScene *scene, const char *place, uint64_t number, CaPublication **ret);
CaPublication *ca_publication_free(CaPublication *p);
DEFINE_CLEANUP(CaPublication, ca_publication_free)
/* In the worker. HF_E_NOTHING_TO_DO: there is no directory, or a later list is there. -errno. */
int ca_publish(CaPublication *p, Bytes crl);
/* In the worker: appends the list that is in this place. -ENOENT. */
int ca_read_published(const char *directory, const char *place, Buffer *ret);
/* In the worker, at an opening: what the store has and is not there. Failures are told. */
void vault_job_settle_lists(VaultJob *j);
/* The highest number that servers may have been given; 0 where that is not known. */
uint64_t ca_published_number(const Daemon *d, const AuthorityEntry *a);
/* Is this CA's last list, or a later one, where servers read it? */
bool ca_is_published(const Daemon *d, const AuthorityEntry *a);
