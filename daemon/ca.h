/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Private CAs in the daemon
 *
 * What a CA signs is built by the room ca/, signed by the signer as any use of a key, and kept by the registry. Each
 * certificate goes through two changes and a use between them:
 *
 *        ca.issue   its row with serial and all that is to be signed   (so no signature is without its record)
 *        ca.sign    the use of the CA's key
 *        ca.issued  the certificate in that row
 *
 * and is answered after the last. Who asks again, in the same words, gets the same certificate: finished if it was not yet,
 * read from the store if it was. A revocation list has a number that the store has before it is signed. Numbers are at least the
 * time in microseconds, so they do not go back with a store that was restored either.
 */
#include "ca/crl.h"
#include "daemon/change.h"

#define CA_METADATA_MAX STORE_METADATA_MAX
#define CA_CRL_LIFE (48 * 3600 * USEC_PER_SEC)       /* of an intermediate's list ... */
#define CA_CRL_AGAIN (24 * 3600 * USEC_PER_SEC)      /* ... which is made anew when it is so old */
#define CA_ROOT_CRL_LIFE (400 * 86400 * USEC_PER_SEC)
#define CA_CRL_LIFE_LONG (3650 * 86400 * USEC_PER_SEC) /* of each, where servers are not to notice a stale one */
#define CA_CRL_SOON (12 * 3600 * USEC_PER_SEC)       /* what is left when an intermediate's list is a trouble ... */
#define CA_ROOT_CRL_SOON (30 * 86400 * USEC_PER_SEC) /* ... and a root's */

typedef enum CaKind { CA_ROOT = 1, CA_INTERMEDIATE = 2 } CaKind;

typedef struct CaTask CaTask;
typedef struct CaAnew CaAnew;

/* Everything that one call to a CA carries from step to step; it is op->data. */
struct CaTask {
        Operation *op;
        Change change;
        char authority[NAME_SIZE]; /* that signs */
        Uuid by;                   /* its key, for which t->tbs was made; null: what was begun by another call */
        RegistryChange registry;
        ListChange list;
        uint8_t digest[64];        /* what the signer has in hand */
        Buffer tbs, der;           /* to be signed, and signed */

        /* issuing */
        StoreCertificateRow row;   /* its texts are the buffers below */
        char name[STORE_TEXT_MAX + 1], domain[STORE_TEXT_MAX + 1], metadata[STORE_METADATA_MAX + 1];
        char text[STORE_TEXT_MAX + 1];
        uint8_t public[32];
        bool renews;
        uint8_t before[CA_SERIAL_SIZE]; /* what the new one supersedes */
        int (*reply)(CaTask *t, sd_bus_message *reply); /* appends the answer */

        /* a new authority: its key comes with the first change, its certificate with the second */
        bool newcomer;
        bool waits; /* its root is elsewhere: the key comes, the certificate is handed in later */
        char child[NAME_SIZE];
        CaKind kind;
        KeyAttributes attributes;
        Buffer wrapped;
        uint8_t keys_hash[32];
        KeystoreChange key, gone;
        CaAnew *anew; /* it takes the place of the one of its name; NULL: there is none */

        /* a revocation list */
        CaIssuer *issuer;
        CaRevoked *revoked;
        size_t n_revoked;
        uint64_t number, this_update, next_update;
        Scheme scheme;
        uint64_t until; /* ca.enable */
        struct CaPublication *publication;
        struct CaRollover *rollover;
        void (*then)(CaTask *t, int result); /* ca_issue_read() */
        uint32_t days;                       /* of a renewal */
        KeyEntry *holder;                    /* the key here that it is for; NULL: that of the request, or the one before */
        int (*extra)(CaTask *t, StoreAuthorityRow *row, AuditLine *line); /* what else the change does */
};

/* op->data from then on. */
int ca_task_new(Operation *op, const char *authority, CaTask **ret);

/* ---- ca.c ---- */

/* Reads NAME.conf from the first directory that has it. HF_E_INVALID_ARGS with the sentence. */
int ca_profile_load(const Daemon *d, const char *name, CaProblem *problem, CaProfile *ret);
/* The certificate of an authority, for signing under it. HF_E_CA_NOT_INITIALISED while it has none. */
int ca_authority_issuer(const AuthorityEntry *a, CaIssuer **ret);
/* The same, borrowed until the next call: the last one is kept, because reading it takes as long as signing. */
int ca_authority_issuer_kept(Daemon *d, const AuthorityEntry *a, const CaIssuer **ret);
bool ca_is_awake(const AuthorityEntry *a, uint64_t now);
/* May it sign now? 0, HF_E_CA_NOT_INITIALISED (no such CA, or it has no certificate yet), HF_E_CA_AT_REST. */
int ca_check_signer(const AuthorityEntry *a);
/* May it issue now? As above, or with the sentence: HF_E_CA_NOT_INITIALISED, its certificate was not handed in yet;
 * HF_E_REQUEST_REFUSED, its certificate, or one above it, is revoked; HF_E_CA_REPLACED, one above it was made anew. It goes on
 * signing its revocation lists. */
int ca_check_issuer(const Registry *registry, const AuthorityEntry *a, CaProblem *problem);
/* Its certificate comes from elsewhere. */
bool ca_is_outside(const AuthorityEntry *a);
/* As t->reply: the description of t->child. */
int ca_reply_child(CaTask *t, sd_bus_message *reply);
/* a{sv} */
int ca_append_authority(const Daemon *d, sd_bus_message *m, const AuthorityEntry *a);
/* a{sv}; `der` NULL: without the certificate and its chain. */
int ca_append_certificate(const Daemon *d, sd_bus_message *m, const StoreCertificateRow *row, const Buffer *der);
/* Has the key of an authority sign t->tbs; `then` gets the signature in op->items[0]. */
int ca_sign(CaTask *t, const char *authority, const char *what, int (*then)(Operation *op, sd_bus_message *reply));

/* ---- ca-issue.c ---- */

/* t->tbs, t->row and t->public are there, and t->before where it renews. Answers. */
void ca_issue_begin(CaTask *t);
/* What was asked for in these words, if the answer is still good: then they get it again. NULL: nothing. */
CertificateEntry *ca_find_repeated(const Registry *registry, const uint8_t request[static 32]);
/* The DER of a certificate into t->der, then `then`. */
void ca_issue_read(CaTask *t, const CertificateEntry *e, void (*then)(CaTask *t, int result));
/* A certificate that is being issued (then it is finished) or was (then it is read), for t->reply. */
void ca_issue_resume(CaTask *t, const CertificateEntry *e);

/* ---- ca-init.c ---- */

/* t->child, t->kind, t->attributes, t->row are there: makes the key, and then issues. */
typedef struct CaInit {
        CaTask *task;
        char **set, **names[_CA_NAME_KIND_MAX];
        uint32_t days;
        int path_length;
} CaInit;
int ca_init_begin(const CaInit *init);

/* Appends the chain of what this CA signs: its certificate and those above it, DER. */
int ca_chain_below(const AuthorityEntry *by, Buffer *ret);

/* ---- ca-line.c ---- */

typedef enum CaLinePart { CA_LINE_NEW, CA_LINE_OLD_WITH_NEW, CA_LINE_NEW_WITH_OLD } CaLinePart;

/* What a certificate of the roll-over of this CA is asked for as. */
void ca_line_request(const char *name, CaLinePart part, uint8_t ret[static 32]);
/* The CA that follows this one or will, when it has its certificate; NULL: none. */
AuthorityEntry *ca_follower(const Registry *registry, const char *name);
/* The CA that followed this one; NULL: none did. */
AuthorityEntry *ca_successor(const Registry *registry, const char *name);
/* The one that all in its line followed, or the CA itself. */
const AuthorityEntry *ca_first(const Registry *registry, const AuthorityEntry *a);
/* The last of those that followed, or the CA itself; it is what issues where this one is asked to. NULL: there is no such CA. */
AuthorityEntry *ca_newest(const Registry *registry, const char *name);
/* Is the other one this CA, or did it follow it? Who may ask the one about certificates may ask for those of the other. */
bool ca_covers(const Registry *registry, const char *name, const char *other);
/* The CA here that signed it; NULL: that is elsewhere, is nobody, or was made anew since. */
const AuthorityEntry *ca_parent(const Registry *registry, const AuthorityEntry *a);
/* The CA here that is above all above it; itself where there is none. */
const AuthorityEntry *ca_top(const Registry *registry, const AuthorityEntry *a);
/* Was a CA above it made anew since? It revokes and has its list, and issues nothing more. */
bool ca_is_orphaned(const Registry *registry, const AuthorityEntry *a);
/* Is it this CA, or does it lead to it? */
bool ca_is_below(const Registry *registry, const AuthorityEntry *a, const char *name);
/* certificate_status(), or "orphaned": active, but its CA or one above that was made anew since. */
const char *ca_status(const Registry *registry, const StoreCertificateRow *row);

/* ---- ca-rollover.c ---- */

int ca_handle_rollover(Operation *op);
struct CaRollover *ca_rollover_free(struct CaRollover *r);

/* ---- ca-anew.c ---- */

struct CaAnew {
        uint32_t orphans;    /* as the caller was told */
        bool without_backup; /* he says that none is needed */
        /* The last list of the one that goes, for those below it, and where it goes. */
        char place[STORE_PLACE_SIZE];
        Buffer list;
        void (*then)(CaTask *t);
};

int ca_anew_new(CaTask *t, uint32_t orphans, bool without_backup);
CaAnew *ca_anew_free(CaAnew *a);

/* How many live certificates lose their CA with this one, whether of its own or of one below it; the CAs below among them. */
uint32_t ca_count_orphans(const Registry *registry, const AuthorityEntry *a);
/* Before the key is made: may this one take its place? With the sentence, or without. */
int ca_anew_check(const CaTask *t, const AuthorityEntry *a, CaProblem *problem);
/* In the change that makes the new one: all of that again, and the backup; the old key goes, its place is the row's. */
int ca_anew_write(CaTask *t, StoreAuthorityRow *row, AuditLine *line);
/* After it: publishes that list. */
void ca_anew_publish(CaTask *t, void (*then)(CaTask *t));
int ca_handle_orphans(Operation *op);

/* ---- ca-outside.c ---- */

int ca_handle_csr(Operation *op);
int ca_handle_import(Operation *op);

/* ---- ca-crl.c ---- */

/* A change with the next number of the authority's list, and what t->extra does; then the list is signed and published,
 * then `t->reply` answers. */
void ca_crl_begin(CaTask *t, const char *event);
/* Has its certificate run out, and with it all that it issued, more than a week ago? Then its list says nothing any more. */
bool ca_is_over(const AuthorityEntry *a, uint64_t now);
/* What is wrong with an authority's list, in words behind "the revocation list of NAME": lost, over, soon over. False: none. */
#define CA_CRL_WORDS_SIZE 128
bool ca_crl_trouble(const StoreAuthorityRow *row, bool published, uint64_t now, char ret[static CA_CRL_WORDS_SIZE]);
/* Lists that are due, now and from then on each ten minutes. */
void ca_consider(Daemon *d);
