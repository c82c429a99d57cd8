/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Findings
 *
 * What can be wrong with a certificate, its files or a connection, in one list: `cert set`, `cert check`, `verify`, `doctor`,
 * hf_ssl_ctx_new() and the journal say the same word, the same sentence and the same remedy for the same trouble. A finding is
 * a value: it owns nothing and can be copied.
 *
 * Words are stable, scripts may rely on them. Sentences may name times, hosts and files. The journal gets identity, word and
 * peer, and never what a certificate contains.
 */
#include <stddef.h>
#include <stdint.h>

typedef enum FindingKind {
        FINDING_NONE,

        /* files */
        FINDING_FILES_MISSING, /* detail: which file */
        FINDING_MALFORMED,     /* detail: what is not as it has to be */

        /* one certificate of a chain */
        FINDING_EXPIRED,       /* time: not after; other: the time it was checked at */
        FINDING_NOT_YET_VALID, /* time: not before; other: the time it was checked at */
        FINDING_WEAK_KEY,      /* detail: the kind of key */
        FINDING_WEAK_SIGNATURE,
        FINDING_KEY_MISMATCH,
        FINDING_WRONG_USAGE, /* detail: the usage that was asked for */
        FINDING_TOO_BROAD,   /* detail: the usage that was asked for */
        FINDING_HOST_MISMATCH, /* detail: the host */
        FINDING_PIN_MISMATCH,

        /* the chain */
        FINDING_UNTRUSTED,
        FINDING_BAD_SIGNATURE,
        FINDING_BAD_CHAIN, /* detail: the rule of RFC 5280 that is broken */
        FINDING_REVOKED,   /* time: when; 0 if the list does not say */
        FINDING_NO_CRL,
        FINDING_CRL_STALE,   /* time: when the next one was due */
        FINDING_CRL_INVALID, /* detail: why */

        /* a connection */
        FINDING_UNREACHABLE, /* detail: why */
        FINDING_TIMED_OUT,
        FINDING_NOT_TLS,
        FINDING_NO_COMMON_VERSION,
        FINDING_NO_COMMON_CIPHER,
        FINDING_NO_COMMON_SIGNATURE,
        FINDING_REFUSED,    /* detail: the alert */
        FINDING_CLOCK_SKEW, /* time: the peer's; other: ours */
        FINDING_KEY_UNUSABLE, /* detail: the first sentence of holdfastd, or what OpenSSL lacks */

        /* a signed file */
        FINDING_ALTERED,
        _FINDING_MAX,
} FindingKind;

/* Whose certificate it is about; for FINDING_REFUSED: who refused whom. */
typedef enum FindingWhose {
        FINDING_OF_FILE, /* one that was handed in to be looked at */
        FINDING_OF_OURS, /* our own identity's */
        FINDING_OF_PEER,
} FindingWhose;

/* What kind of trouble it is: decides an exit code. */
typedef enum FindingClass {
        FINDING_CLASS_TRUST,       /* nobody trusted vouches for it, or it was altered */
        FINDING_CLASS_CERTIFICATE, /* genuine as far as one can tell, but not to be used like this */
        FINDING_CLASS_CONNECTION,
} FindingClass;

#define FINDING_DETAIL_SIZE 160
#define FINDING_TEXT_SIZE 512
#define FINDINGS_MAX 16

typedef struct Finding {
        FindingKind kind;
        FindingWhose whose;
        unsigned depth;       /* 0: the certificate itself, 1 its issuer, ... */
        uint64_t time, other; /* microseconds since 1970 */
        char detail[FINDING_DETAIL_SIZE]; /* printable ASCII */
} Finding;

/* In the order in which they were found; the first is the one to tell if only one can be told. What is there already (the same
 * kind about the same certificate) and what does not fit is dropped. */
typedef struct FindingList {
        Finding items[FINDINGS_MAX];
        size_t n;
} FindingList;

/* Appends; the detail is escaped and cut. Returns the new one to fill in times, or one that nobody will see. */
Finding *findings_add(FindingList *list, FindingKind kind, FindingWhose whose, unsigned depth, const char *detail);
/* Of a sentence that has more behind it, how many bytes a detail takes: up to its full stop, which is not one inside a word. */
size_t finding_first_sentence(const char *text);
/* NULL: there is none of this kind. */
const Finding *findings_find(const FindingList *list, FindingKind kind);

/* "expired"; "none" for FINDING_NONE. Never NULL. */
const char *finding_word(FindingKind kind);
FindingClass finding_class(FindingKind kind);
/* One sentence that says what is wrong with what, with times in UTC where they matter. Both return ret. */
char *finding_sentence(const Finding *finding, char ret[static FINDING_TEXT_SIZE]);
/* One sentence that says what to do, and who has to. */
char *finding_remedy(const Finding *finding, char ret[static FINDING_TEXT_SIZE]);
/* "identity=NAME finding=WORD peer=HOST:PORT" for the journal; peer NULL: left out. Strangers' text is escaped. Returns ret. */
char *finding_journal(const Finding *finding, const char *identity, const char *peer, char ret[static FINDING_TEXT_SIZE]);
