/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The TLS directory: identities as files that any program can read
 *
 *        DIR/NAME -> .NAME.GENERATION        switched by one rename
 *        DIR/.NAME.GENERATION/cert.pem       the leaf
 *                             chain.pem      its intermediates; may be empty
 *                             fullchain.pem  both
 *                             key.pem        the key reference; no secret
 *                             bundle.pem     fullchain.pem and key.pem: the one pair that cannot be torn
 *                             ca.pem         trust anchors, where there are any
 *                             crl.pem        the revocation lists of the CAs under them, where there are any
 *                             pins.txt       a line sha256//BASE64 a pin, where there are any
 *
 * Layout `local` has local.crt, local.key and ca.crt besides, layout `named` NAME.crt, NAME.key, ca.crt and
 * fingerprint.txt. The files are there from boot on and stay while the store is locked; nobody but us writes them. A
 * generation is whole and durable before it is pointed to, and the one before it stays for those who are just reading it.
 * Lists come and go more often than what is in the store: only tls_files_refresh() looks at them, the others leave them out.
 * What a stop leaves half-made is removed with the next switch or opening.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/name.h"
#include "base/uuid.h"

#define TLS_GENERATION_SIZE (NAME_SIZE + 24) /* ".NAME.", a number */
#define TLS_LAYOUT_USUAL "pem"

/* Everything borrowed. */
typedef struct TlsContent {
        const char *name, *layout;
        Bytes chain, trust; /* canonical PEM, the leaf first */
        Bytes pins;         /* 32 bytes each */
        const char *key_name;
        Uuid key;
        bool digest; /* the key was made for digests */
        Bytes spki;
        Bytes lists; /* PEM; empty: no crl.pem */
} TlsContent;

bool tls_layout_is_known(const char *layout);
/* Known, and no two files of this identity would have one name. */
bool tls_layout_fits(const char *layout, const char *name);

/* The directory itself: ours, and nobody else's to write in. HF_E_STORE_UNSAFE, -errno. */
int tls_files_open(const char *path, int *ret_fd);

/* Writes a generation that nothing points to yet; durable on return. HF_E_INVALID_ARGS (chain or layout), -errno. */
int tls_files_write(int dir_fd, const TlsContent *content, char ret_generation[static TLS_GENERATION_SIZE]);
/* Points NAME to it, durable on return, and removes what is older than the one before. A directory that somebody else made
 * there becomes NAME.replaced-NUMBER. -errno. */
int tls_files_switch(int dir_fd, const char *name, const char *generation);
/* NAME and all its generations, but no directory NAME. What is not there is no failure. -errno. */
int tls_files_remove(int dir_fd, const char *name);

/* A new generation if crl.pem is not content->lists. 0, HF_E_NOTHING_TO_DO: it is, and all was left as it was; -errno. */
int tls_files_refresh(int dir_fd, const TlsContent *content);

/* Are the files as they should be, crl.pem aside? 0, HF_E_NOTHING_TO_DO: there are none, HF_E_CERTIFICATE_UNUSABLE: others,
 * -errno. */
int tls_files_compare(int dir_fd, const TlsContent *content);

typedef enum TlsDifference {
        TLS_MISSING, /* were not there, and are now */
        TLS_CHANGED, /* were not as they should be, and are now */
        TLS_REMOVED, /* belonged to no identity */
        TLS_FAILED,  /* could not be put right: `result` */
} TlsDifference;

typedef void (*TlsDifferenceFunc)(void *userdata, const char *name, TlsDifference difference, int result);
/* Makes the directory what it should be: these, in order of name, and no others of ours. What is no identity's is left
 * alone. 0, -errno: the directory cannot be read. */
int tls_files_settle(int dir_fd, const TlsContent *items, size_t n, TlsDifferenceFunc found, void *userdata);
