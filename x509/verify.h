/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Verification, for people and programs that want a verdict
 *
 * cert_check() to the letter of RFC 5280 (strict), with the verdict taken apart: a line for each question one asks about a
 * certificate. Needs neither network nor daemon, and agrees with `openssl verify -x509_strict -auth_level 2 -crl_check_all`.
 */
#include "x509/check.h"

typedef enum VerifyState {
        VERIFY_PASS,
        VERIFY_WARN, /* does not make it invalid */
        VERIFY_FAIL,
} VerifyState;

typedef enum VerifyQuestion {
        VERIFY_SIGNATURE,
        VERIFY_EXPIRY,
        VERIFY_DAYS_LEFT, /* more than 30 */
        VERIFY_REVOCATION,
        VERIFY_USAGE,
        VERIFY_FINGERPRINT,
        _VERIFY_QUESTION_MAX,
} VerifyQuestion;

#define VERIFY_DAYS_WANTED 30

typedef struct VerifyLine {
        VerifyState state;
        char text[FINDING_TEXT_SIZE];
} VerifyLine;

typedef struct VerifyReport {
        FindingList findings; /* none: VALID */
        VerifyLine lines[_VERIFY_QUESTION_MAX];
        char fingerprint[CERT_FINGERPRINT_SIZE]; /* empty: there is no certificate */
        uint64_t not_before, not_after, time;
} VerifyReport;

/* `check` as for cert_check(); strict is set. `before` are findings from reading: with a malformed chain, check->chain is NULL.
 * 0 or -ENOMEM. */
int verify_certificate(const CertCheck *check, const FindingList *before, VerifyReport *ret);
/* "Signature", "Expiry", ...: what a line is about. */
const char *verify_question(VerifyQuestion question);
/* "PASS", "WARN", "FAIL". */
const char *verify_state(VerifyState state);
