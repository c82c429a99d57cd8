/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

#define DAY (24 * 3600 * USEC_PER_SEC)

const char *verify_question(VerifyQuestion question)
{
        static const char *const names[_VERIFY_QUESTION_MAX] = {
                [VERIFY_SIGNATURE] = "Signature", [VERIFY_EXPIRY] = "Expiry", [VERIFY_DAYS_LEFT] = "Days left",
                [VERIFY_REVOCATION] = "Revocation", [VERIFY_USAGE] = "Key usage", [VERIFY_FINGERPRINT] = "Fingerprint"};

        return names[question];
}

const char *verify_state(VerifyState state)
{
        static const char *const names[] = {[VERIFY_PASS] = "PASS", [VERIFY_WARN] = "WARN", [VERIFY_FAIL] = "FAIL"};

        return names[state];
}

/* Which question a finding answers. */
static VerifyQuestion question_of(FindingKind kind)
{
        switch (kind) {
        case FINDING_EXPIRED:
        case FINDING_NOT_YET_VALID:
                return VERIFY_EXPIRY;
        case FINDING_REVOKED:
        case FINDING_NO_CRL:
        case FINDING_CRL_STALE:
        case FINDING_CRL_INVALID:
                return VERIFY_REVOCATION;
        case FINDING_WRONG_USAGE:
        case FINDING_TOO_BROAD:
                return VERIFY_USAGE;
        default:
                return VERIFY_SIGNATURE;
        }
}

__attribute__((format(printf, 4, 5))) static void set_line(
                VerifyReport *report, VerifyQuestion question, VerifyState state, const char *format, ...)
{
        va_list ap;

        report->lines[question].state = state;
        va_start(ap, format);
        vsnprintf(report->lines[question].text, FINDING_TEXT_SIZE, format, ap);
        va_end(ap);
}

static void days_line(VerifyReport *report)
{
        uint64_t left = report->not_after > report->time ? (report->not_after - report->time) / DAY : 0;

        if (left > VERIFY_DAYS_WANTED)
                set_line(report, VERIFY_DAYS_LEFT, VERIFY_PASS, "%" PRIu64 " days left.", left);
        else
                set_line(report, VERIFY_DAYS_LEFT, VERIFY_WARN, "%" PRIu64 " days left; renew it before %d days are.", left,
                                VERIFY_DAYS_WANTED);
}

/* As if all were well. */
static void fill_lines(const CertCheck *check, VerifyReport *report)
{
        char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];

        set_line(report, VERIFY_SIGNATURE, VERIFY_PASS, "The chain is signed up to a trusted root.");
        clock_format(report->not_before, from);
        clock_format(report->not_after, to);
        set_line(report, VERIFY_EXPIRY, VERIFY_PASS, "Valid from %.19sZ to %.19sZ.", from, to);
        days_line(report);
        if (check->crls)
                set_line(report, VERIFY_REVOCATION, VERIFY_PASS, "Nothing in the chain is revoked.");
        else
                set_line(report, VERIFY_REVOCATION, VERIFY_WARN, "Not looked at: no revocation lists were given.");
        if (check->usage == CERT_USAGE_ANY)
                set_line(report, VERIFY_USAGE, VERIFY_PASS, "Not asked for one.");
        else
                set_line(report, VERIFY_USAGE, VERIFY_PASS, "May be used as %s.", cert_usage_to_string(check->usage));
        set_line(report, VERIFY_FINGERPRINT, VERIFY_PASS, "SHA-256 %s", report->fingerprint);
}

/* The last is written first, so that a line has the first finding of its kind. */
static void mark_failures(VerifyReport *report)
{
        char text[FINDING_TEXT_SIZE];

        for (size_t i = report->findings.n; i-- > 0;) {
                const Finding *f = &report->findings.items[i];

                set_line(report, question_of(f->kind), VERIFY_FAIL, "%s", finding_sentence(f, text));
        }
}

/* Nothing can be said about a certificate that cannot be read. */
static void mark_unread(VerifyReport *report)
{
        for (VerifyQuestion q = 0; q < _VERIFY_QUESTION_MAX; q++)
                set_line(report, q, VERIFY_FAIL, "There is no certificate to look at.");
}

int verify_certificate(const CertCheck *check, const FindingList *before, VerifyReport *ret)
{
        VerifyReport report = {.time = check->time ? check->time : clock_wall()};
        CertCheck strict = *check;
        int r = 0;

        if (before)
                report.findings = *before;
        strict.strict = true;
        strict.time = report.time;
        if (strict.chain) {
                report.not_before = cert_chain_not_before(strict.chain);
                report.not_after = cert_chain_not_after(strict.chain);
                cert_chain_fingerprint(strict.chain, report.fingerprint);
                r = cert_check(&strict, &report.findings);
                fill_lines(&strict, &report);
        } else {
                mark_unread(&report);
        }
        if (r)
                return r;
        mark_failures(&report);
        *ret = report;
        return 0;
}
