/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The registry of a private CA
 *
 * Its authorities, and every certificate they ever issued, without their bytes: about 400 bytes a certificate in memory, the DER
 * stays in the store. Certificates are found by serial, by fingerprint, by what was asked for and by name, and are listed in
 * the order in which they were issued. A CA that was put in the place of another has its name, and its certificates begin where
 * the other's end: that place is a row of `meta`. Room is made before a row is written, so that applying a change after COMMIT
 * cannot fail:
 *
 *         store_begin, registry_put_..., store_set_seq, ... log line ..., store_commit, registry_apply
 */
#include "base/clock.h"
#include "store/store.h"

#define AUTHORITIES_MAX 1024
#define REGISTRY_CERTIFICATES_MAX 1000000
#define REGISTRY_TOGETHER_MAX 64 /* changes that may be written before the first of them is applied */
#define AUTHORITY_AWAKE_USEC (3600 * USEC_PER_SEC) /* so long does an enabled root sign */
#define SUPERSEDED_STAYS_USEC (90 * 86400 * USEC_PER_SEC)

typedef struct Registry Registry;

/* Immutable and counted; the row's spans and texts lie behind it, but a certificate's bytes do not. */
typedef struct AuthorityEntry {
        unsigned refs;
        /* Of clock_monotonic(): an hour that was granted ends then, whatever becomes of the wall clock. 0: it was granted before
         * this start of the machine, or in another one. */
        uint64_t deadline;
        size_t since;      /* what is before that place in the order of issue is of another CA, in whose place this one was put */
        uint8_t fingerprint[32]; /* of its certificate */
        StoreAuthorityRow row;
        uint8_t data[];
} AuthorityEntry;

typedef struct CertificateEntry {
        unsigned refs;
        size_t at; /* place in the order of issue */
        StoreCertificateRow row;
        char data[];
} CertificateEntry;

AuthorityEntry *authority_ref(AuthorityEntry *e);
AuthorityEntry *authority_unref(AuthorityEntry *e); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(AuthorityEntry, authority_unref)
CertificateEntry *certificate_ref(CertificateEntry *e);
CertificateEntry *certificate_unref(CertificateEntry *e);
DEFINE_CLEANUP(CertificateEntry, certificate_unref)

/* The rows of `meta` about the CA with this key. */
#define REGISTRY_META_SIZE (16 + UUID_TEXT_SIZE)
#define REGISTRY_META_SINCE "ca.since"   /* u64 little-endian: AuthorityEntry.since; none: 0 */
#define REGISTRY_META_BACKUP "ca.backup" /* SHA-256: what the last backup has of it (daemon/ca-backup.h) */
void registry_meta_key(const char *kind, const Uuid *key, char ret[static REGISTRY_META_SIZE]);

int registry_new(Registry **ret);
Registry *registry_free(Registry *r);
DEFINE_CLEANUP(Registry, registry_free)
/* At load, before the authorities: when the hour of a key ends (the meta row META_HOUR and its UUID). HF_E_STORE_DAMAGED. */
#define META_HOUR "awake."
int registry_load_hour(Registry *r, const char *uuid, Bytes value);
/* At load. HF_E_STORE_DAMAGED if it is there already. */
int registry_load_authority(Registry *r, const StoreAuthorityRow *row);
int registry_load_certificate(Registry *r, const StoreCertificateRow *row);
/* When all rows are loaded: which of the CAs took the place of others. HF_E_STORE_DAMAGED, and what store_get_meta() returns. */
int registry_load_places(Registry *r, Store *store);

/* Borrowed until the next change; NULL behind the last, or where there is none. In order of name. */
AuthorityEntry *registry_authority_at(const Registry *r, size_t i);
AuthorityEntry *registry_authority(const Registry *r, const char *name);
/* Was this certificate issued by the CA that has its issuer's name now, and by none whose place that took? */
bool registry_is_current(const Registry *r, const CertificateEntry *e);
/* The one whose key this is. */
AuthorityEntry *registry_find_key(const Registry *r, const Uuid *key);
/* In the order of issue. */
size_t registry_count(const Registry *r);
CertificateEntry *registry_at(const Registry *r, size_t i);
CertificateEntry *registry_find_serial(const Registry *r, const uint8_t serial[static STORE_SERIAL_SIZE]);
CertificateEntry *registry_find_fingerprint(const Registry *r, const uint8_t fingerprint[static 32]);
/* The last one that was asked for in these words. */
CertificateEntry *registry_find_request(const Registry *r, const uint8_t request[static 32]);
/* A serial or fingerprint in hex (either case, with colons or without), or a name: then the last one issued under it. */
CertificateEntry *registry_find(const Registry *r, const char *text);

/* What one change does. */
typedef struct RegistryChange {
        AuthorityEntry *authorities[2];
        CertificateEntry *certificates[3];
        size_t n_authorities, n_certificates;
} RegistryChange;

void registry_change_deinit(RegistryChange *c);
#define _cleanup_registry_change_ __attribute__((cleanup(registry_change_deinit)))

/* In a transaction, each adds to *change: writes the row, new or over the one there is; its version is seen to here. Changes
 * written together are of different rows.
 * HF_E_LIMIT_EXCEEDED, HF_E_INVALID_ARGS, -ENOMEM, and what store_put_...() returns. */
int registry_put_authority(Store *store, Registry *r, const StoreAuthorityRow *row, RegistryChange *change);
int registry_put_certificate(Store *store, Registry *r, const StoreCertificateRow *row, RegistryChange *change);
/* The same for a CA with a new key in the place of the one of its name: what was issued until now is not its own. */
int registry_put_replacement(Store *store, Registry *r, const StoreAuthorityRow *row, RegistryChange *change);
/* After COMMIT; cannot fail. Does not free the change. */
void registry_apply(Registry *r, RegistryChange *change);

/* Is it in lists? A superseded one for 90 days; then by its serial and fingerprint only, and in the log. One that is being issued
 * is not. */
bool certificate_is_listed(const StoreCertificateRow *row, uint64_t now);
/* "active", "expired" (by the time given), ... */
const char *certificate_status(const StoreCertificateRow *row, uint64_t now);
