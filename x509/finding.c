/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table of findings, and how a row of it becomes a sentence. */
#include "x509/finding.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/*
 * In sentences and remedies {whose} stands for the certificate meant, {time} and {other} for the two times and {detail} for the
 * detail. A remedy has two forms: for what is ours (or lies in a file in our hands), and for what is the peer's; NULL: the
 * same.
 */
typedef struct Row {
        const char *word;
        FindingClass class;
        const char *sentence, *remedy, *remedy_peer;
} Row;

#define SET "`holdfast cert set`"

static const Row rows[_FINDING_MAX] = {
        [FINDING_NONE] = {"none", FINDING_CLASS_CERTIFICATE, "Nothing was found.", "Nothing is to be done.", NULL},
        [FINDING_FILES_MISSING] = {"files-missing", FINDING_CLASS_CERTIFICATE, "There is no {detail}.",
                        "Put a certificate in with " SET ", or check the name and that holdfastd has run; files that somebody "
                        "removed come back with `holdfast lock` and `holdfast unlock`.",
                        "The peer has to send its certificate: ask whoever runs it."},
        [FINDING_MALFORMED] = {"malformed", FINDING_CLASS_CERTIFICATE, "{Whose} cannot be read: {detail}.",
                        "Get the file anew from whoever issued it; it has to be PEM with certificates only.",
                        "The peer has to send a well-formed certificate: ask whoever runs it."},
        [FINDING_EXPIRED] = {"expired", FINDING_CLASS_CERTIFICATE, "{Whose} expired at {time}; the time here is {other}.",
                        "Renew it and put the new one in with " SET ".", "Whoever runs the peer has to renew it."},
        [FINDING_NOT_YET_VALID] = {"not-yet-valid", FINDING_CLASS_CERTIFICATE,
                        "{Whose} is valid only from {time} on; the time here is {other}.",
                        "Check that the clock of this machine is synchronised; if it is right, wait.",
                        "Check that the clock of this machine is synchronised; else the peer uses its certificate too early."},
        [FINDING_WEAK_KEY] = {"weak-key", FINDING_CLASS_CERTIFICATE,
                        "{Whose} has a key that is not accepted: {detail}.",
                        "Have it issued for a key of P-256, P-384, Ed25519 or RSA with 2048 bits or more.",
                        "Whoever runs the peer needs a certificate for a stronger key."},
        [FINDING_WEAK_SIGNATURE] = {"weak-signature", FINDING_CLASS_CERTIFICATE,
                        "{Whose} is signed with a digest that is not accepted: {detail}.",
                        "Have it issued anew with SHA-256 or better.",
                        "Whoever runs the peer needs one signed with SHA-256 or better."},
        [FINDING_KEY_MISMATCH] = {"key-mismatch", FINDING_CLASS_CERTIFICATE,
                        "{Whose} is for another key than the one it is to be used with.",
                        "Issue it for the present key (`holdfast key csr`), or name the key it was issued for.",
                        "The peer's certificate and key do not belong together: ask whoever runs it."},
        [FINDING_WRONG_USAGE] = {"wrong-usage", FINDING_CLASS_CERTIFICATE, "{Whose} may not be used as {detail}.",
                        "Have it issued with the key usage for this, or use it for what it was issued for.",
                        "Whoever runs the peer needs a certificate with the key usage for this."},
        [FINDING_TOO_BROAD] = {"too-broad", FINDING_CLASS_CERTIFICATE, "{Whose} permits more than {detail}.",
                        "Have it issued with exactly that extended key usage.",
                        "Whoever runs the peer needs a certificate with exactly that extended key usage."},
        [FINDING_HOST_MISMATCH] = {"host-mismatch", FINDING_CLASS_CERTIFICATE,
                        "{Whose} is not for {detail}; only its subject alternative names count.",
                        "Have it issued with this name as a subject alternative name.",
                        "Connect by a name that is in the peer's certificate, or have it issued with this one."},
        [FINDING_PIN_MISMATCH] = {"pin-mismatch", FINDING_CLASS_TRUST, "{Whose} is for none of the pinned keys.",
                        "Correct the pins with " SET " --pin.",
                        "Find out whether the peer changed its key; only then correct the pins with " SET " --pin."},
        [FINDING_UNTRUSTED] = {"untrusted", FINDING_CLASS_TRUST, "{Whose} is not signed by a trusted CA: {detail}.",
                        "Give the issuing CA's root as trust, and all intermediates in the chain.",
                        "Trust the CA of the peer (" SET " --trust) if it is the right one, or have it send its whole chain."},
        [FINDING_BAD_SIGNATURE] = {"bad-signature", FINDING_CLASS_TRUST,
                        "{Whose} is damaged or forged: its signature is not its issuer's.",
                        "Get it anew from whoever issued it.", "Do not use this peer until whoever runs it has explained this."},
        [FINDING_BAD_CHAIN] = {"bad-chain", FINDING_CLASS_TRUST, "{Whose} breaks a rule of RFC 5280: {detail}.",
                        "Whoever issued it has to issue it correctly.",
                        "Whoever issued the peer's certificate has to issue it correctly."},
        [FINDING_REVOKED] = {"revoked", FINDING_CLASS_CERTIFICATE, "{Whose} was revoked at {time}.",
                        "Have a new one issued and put it in with " SET ".", "Whoever runs the peer needs a new certificate."},
        [FINDING_NO_CRL] = {"no-crl", FINDING_CLASS_CERTIFICATE,
                        "Whether {whose} was revoked cannot be told: there is no revocation list of its issuer.",
                        "Give the revocation lists of all CAs in the chain, the root's as well.",
                        "Give the revocation lists of all CAs in the peer's chain, the root's as well."},
        [FINDING_CRL_STALE] = {"crl-stale", FINDING_CLASS_CERTIFICATE,
                        "Whether {whose} was revoked cannot be told: the next revocation list was due at {time}.",
                        "Fetch the present revocation list; the CA has to publish one before the last has ended.", NULL},
        [FINDING_CRL_INVALID] = {"crl-invalid", FINDING_CLASS_TRUST,
                        "Whether {whose} was revoked cannot be told: the revocation list is not one: {detail}.",
                        "Fetch the revocation list anew from the CA that issued the certificate.", NULL},
        [FINDING_UNREACHABLE] = {"unreachable", FINDING_CLASS_CONNECTION, "The peer could not be reached: {detail}.",
                        "Check host, port and network, and that the peer runs.", NULL},
        [FINDING_TIMED_OUT] = {"timed-out", FINDING_CLASS_CONNECTION, "The peer did not finish the handshake in time.",
                        "Check the network and the load of the peer.", NULL},
        [FINDING_NOT_TLS] = {"not-tls", FINDING_CLASS_CONNECTION, "The peer does not speak TLS here: {detail}.",
                        "Check the port.", NULL},
        [FINDING_NO_COMMON_VERSION] = {"no-common-version", FINDING_CLASS_CONNECTION,
                        "The peer and we have no version of TLS in common; TLS 1.2 is the lowest here.",
                        "Switch TLS 1.2 or 1.3 on.", "Switch TLS 1.2 or 1.3 on at the peer."},
        [FINDING_NO_COMMON_CIPHER] = {"no-common-cipher", FINDING_CLASS_CONNECTION,
                        "The peer and we have no cipher suite or group in common.",
                        "Allow the usual suites (ECDHE with AES-GCM or ChaCha20) and groups (X25519, P-256).",
                        "Allow the usual suites (ECDHE with AES-GCM or ChaCha20) and groups (X25519, P-256) at the peer."},
        [FINDING_NO_COMMON_SIGNATURE] = {"no-common-signature-algorithm", FINDING_CLASS_CONNECTION,
                        "The peer and we have no signature algorithm in common for the keys of the certificates.",
                        "Use a key of a kind that the peer takes (P-256 mostly is).",
                        "Allow the signature algorithms of both keys at the peer, or use a key that it takes (P-256 mostly is)."},
        [FINDING_REFUSED] = {"refused-by-peer", FINDING_CLASS_CONNECTION, "The peer refused us with the alert {detail}.",
                        "Look into the log of the peer for why; whoever runs it has to trust our CA.", NULL},
        [FINDING_CLOCK_SKEW] = {"clock-skew", FINDING_CLASS_CERTIFICATE,
                        "The clocks differ, so nobody can judge validity: the peer's time is {time}, the time here is {other}.",
                        "Synchronise the clock of this machine, or of the peer if that one is wrong.", NULL},
        [FINDING_KEY_UNUSABLE] = {"key-unusable", FINDING_CLASS_CONNECTION, "The own key could not be used: {detail}.",
                        "See `holdfast status`, `holdfast policy explain` for what this user may do with the key, and `holdfast "
                        "doctor` for whether OpenSSL has its module.",
                        NULL},
        [FINDING_ALTERED] = {"altered", FINDING_CLASS_TRUST, "The file is not what was signed: {detail}.",
                        "Get file and signature anew from whoever made them.", NULL},
};

Finding *findings_add(FindingList *list, FindingKind kind, FindingWhose whose, unsigned depth, const char *detail)
{
        static _Thread_local Finding nobody;
        Finding *f = &nobody;

        for (size_t i = 0; i < list->n; i++)
                if (list->items[i].kind == kind && list->items[i].whose == whose && list->items[i].depth == depth)
                        return f;
        if (list->n < FINDINGS_MAX)
                f = &list->items[list->n++];
        *f = (Finding){.kind = kind, .whose = whose, .depth = depth};
        log_escape(detail ? detail : "", f->detail, sizeof(f->detail));
        return f;
}

size_t finding_first_sentence(const char *text)
{
        size_t n = strcspn(text, ".");

        while (text[n] && text[n + 1] && text[n + 1] != ' ')
                n += 1 + strcspn(text + n + 1, ".");
        return n;
}

const Finding *findings_find(const FindingList *list, FindingKind kind)
{
        for (size_t i = 0; i < list->n; i++)
                if (list->items[i].kind == kind)
                        return &list->items[i];
        return NULL;
}

const char *finding_word(FindingKind kind)
{
        return kind < _FINDING_MAX ? rows[kind].word : rows[FINDING_NONE].word;
}

FindingClass finding_class(FindingKind kind)
{
        return rows[kind].class;
}

/* "The peer's certificate"; an issuer is named by how far up it is. */
static void whose_text(const Finding *f, bool capital, char ret[static 64])
{
        static const char *const names[] = {
                [FINDING_OF_FILE] = "the certificate", [FINDING_OF_OURS] = "our certificate",
                [FINDING_OF_PEER] = "the peer's certificate"};
        static const char *const chains[] = {
                [FINDING_OF_FILE] = "the chain", [FINDING_OF_OURS] = "our chain", [FINDING_OF_PEER] = "the peer's chain"};

        if (f->depth == 0)
                snprintf(ret, 64, "%s", names[f->whose]);
        else
                snprintf(ret, 64, "issuer %u in %s", f->depth, chains[f->whose]);
        if (capital)
                ret[0] = (char)(ret[0] - 'a' + 'A');
}

/* Seconds are enough for people. */
static void time_text(uint64_t usec, char ret[static 64])
{
        char full[CLOCK_TEXT_SIZE];

        if (usec == 0) {
                strcpy(ret, "an unknown time");
                return;
        }
        clock_format(usec, full);
        snprintf(ret, 64, "%.19sZ", full);
}

static void word_text(const Finding *f, const char *word, size_t len, char *ret, size_t size)
{
        char text[64] = "";

        if (strncmp(word, "whose", len) == 0 || strncmp(word, "Whose", len) == 0)
                whose_text(f, word[0] == 'W', text);
        else if (strncmp(word, "time", len) == 0)
                time_text(f->time, text);
        else if (strncmp(word, "other", len) == 0)
                time_text(f->other, text);
        snprintf(ret, size, "%s", strncmp(word, "detail", len) == 0 ? f->detail : text);
}

static char *expand(const Finding *f, const char *template, char ret[static FINDING_TEXT_SIZE])
{
        size_t n = 0;

        while (*template && n < FINDING_TEXT_SIZE - 1) {
                const char *end = *template == '{' ? strchr(template, '}') : NULL;

                if (!end) {
                        ret[n++] = *template++;
                        continue;
                }
                word_text(f, template + 1, (size_t)(end - template - 1), ret + n, FINDING_TEXT_SIZE - n);
                n += strlen(ret + n);
                template = end + 1;
        }
        ret[n] = '\0';
        return ret;
}

char *finding_sentence(const Finding *finding, char ret[static FINDING_TEXT_SIZE])
{
        return expand(finding, rows[finding->kind].sentence, ret);
}

char *finding_remedy(const Finding *finding, char ret[static FINDING_TEXT_SIZE])
{
        const Row *row = &rows[finding->kind];

        return expand(finding, finding->whose == FINDING_OF_PEER && row->remedy_peer ? row->remedy_peer : row->remedy, ret);
}

char *finding_journal(const Finding *finding, const char *identity, const char *peer, char ret[static FINDING_TEXT_SIZE])
{
        char name[160], host[FINDING_DETAIL_SIZE];

        snprintf(ret, FINDING_TEXT_SIZE, "identity=%s finding=%s%s%s", log_escape(identity, name, sizeof(name)),
                        finding_word(finding->kind), peer ? " peer=" : "", peer ? log_escape(peer, host, sizeof(host)) : "");
        return ret;
}
