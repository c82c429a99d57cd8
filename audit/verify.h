/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The verifier
 *
 * Checks an exported log by itself: no daemon, no database, no root, and nothing but the checkpoint public
 * key noted at `init`. Feed it the bytes in pieces of any size; it holds one line and the last
 * AUDIT_NOTE_WINDOW heads, so its memory does not grow with the log. The rules, and which kind is told when,
 * are in docs/formats/audit.md, from which a second verifier was written that must agree
 * (tests/peers/verify_log.py).
 */
#include "audit/note.h"
#include "base/cleanup.h"
#include "base/clock.h"

typedef enum AuditVerdict {
        _AUDIT_VERDICT_INVALID = 0,
        AUDIT_GOOD,
        AUDIT_CHANGED,     /* "changed" */
        AUDIT_MISSING,     /* "missing" */
        AUDIT_REORDERED,   /* "reordered": also a record that is there twice */
        AUDIT_FOREIGN,     /* "foreign": of another log, or sealed by another key */
        AUDIT_USES_HIDDEN, /* "uses-hidden": the signer counted more operations than there are lines */
        AUDIT_TRUNCATED,   /* "truncated": ends inside a line, or lacks the expected note */
        AUDIT_NOT_A_LOG,   /* "not-a-log" */
        _AUDIT_VERDICT_MAX,
} AuditVerdict;

const char *audit_verdict_to_string(AuditVerdict v); /* "good", "changed", ... */

typedef struct AuditVerifyOptions {
        const AuditVkey *key;   /* checkpoint key; NULL: consistent in itself, signer unknown. An empty name
                                 * takes   the origin from the log. */
        const char *expect;     /* text of a note the log must reach, or NULL */
        const uint8_t *log_key; /* checks MACs too; only the daemon has it. NULL else */
} AuditVerifyOptions;

typedef struct AuditReport {
        AuditVerdict verdict;
        uint64_t bad_seq; /* first bad record; with bad_last > bad_seq it is one of that range */
        uint64_t bad_last;
        uint64_t bad_line;  /* number of the line in the file, from 1 */
        bool signer_known;  /* signatures were checked */
        uint64_t first_seq; /* where the file begins; > 0: earlier records were pruned or not exported */
        uint64_t records;   /* good ones read */
        uint64_t uses;      /* among them */
        uint64_t checkpoints;
        uint64_t sealed;                   /* size of the last good checkpoint; 0: none */
        char sealed_time[CLOCK_TEXT_SIZE]; /* of its line */
        int64_t counter;   /* of the last good checkpoint; -1: no TPM */
        uint64_t anchored; /* size of the last one with which the counter rose; 0: none */
        char anchored_time[CLOCK_TEXT_SIZE];
        uint64_t unsealed;                 /* records behind it, the checkpoint's own line not counted */
        char log_id[AUDIT_NAME_MAX + 1];
        AuditVkey key; /* in force at the end: another one after a rekey */
} AuditReport;

typedef struct AuditVerifier AuditVerifier;

/* HF_E_INVALID_ARGS: the expected note is none. (One that no key of the log has signed is a verdict:
 * foreign.) */
int audit_verifier_new(const AuditVerifyOptions *options, AuditVerifier **ret);
AuditVerifier *audit_verifier_free(AuditVerifier *v);
DEFINE_CLEANUP(AuditVerifier, audit_verifier_free)
/* Any number of bytes. Never fails: what is wrong with the log is in the report. */
void audit_verifier_feed(AuditVerifier *v, const void *data, size_t len);
/* The end of the input. */
void audit_verifier_finish(AuditVerifier *v, AuditReport *ret);

/* All of it for a descriptor, read to its end. 0 whatever the verdict, -errno if reading failed. */
int audit_verify_fd(int fd, const AuditVerifyOptions *options, AuditReport *ret);
