/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options: the table, and getopt_long(3) over the rows that a verb names. */
#include "cli/options.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define ROW(n, l, k, member, arg, text)                                                                      \
        {                                                                                                    \
                .name = n, .letter = l, .kind = k, .offset = offsetof(Options, member), .argument = arg,     \
                .help = text                                                                                 \
        }
#define FLAG(n, l, member, text) ROW(n, l, OPTION_FLAG, member, NULL, text)
#define TEXT(n, l, member, arg, text) ROW(n, l, OPTION_TEXT, member, arg, text)
#define MANY(n, member, arg, text) ROW(n, 0, OPTION_MANY, member, arg, text)

const char options_common[] = "help json no-legend quiet yes bus";

static const OptionRow rows[] = {
                FLAG("help", 'h', help, "Show this help"),
                FLAG("version", 0, version, "Show the version"),
                FLAG("json", 0, json, "Print JSON instead of tables and raw bytes"),
                FLAG("no-legend", 0, no_legend, "Print tables without their first line"),
                FLAG("quiet", 'q', quiet, "Say nothing but results and errors"),
                FLAG("yes", 'y', yes, "Do not ask before what cannot be undone"),
                FLAG("bus", 0, bus, "Use the system bus instead of the direct socket"),
                TEXT("algorithm", 'a', algorithm, "ALGORITHM",
                                "p256 p384 ed25519 rsa2048 rsa3072 rsa4096 x25519 hmac-sha256 aes256"),
                TEXT("purpose", 'p', purpose, "PURPOSE",
                                "sign decrypt agree mac seal; default: the algorithm's usual one; "
                                "verify: any client client-only server client-server code-signing ocsp"),
                TEXT("protection", 0, protection, "WHERE", "Where the key lives: software (default) or tpm"),
                TEXT("for", 0, for_user, "USER",
                                "Print the rule that lets USER use it; as root, write it and reload"),
                TEXT("format", 'f', format, "FORMAT", "pem (default) spki jwk ssh"),
                TEXT("scheme", 's', scheme, "SCHEME",
                                "ES256 ES384 EdDSA RS256 RS384 RS512 PS256 PS384 PS512 ECDSA-SHA256 ECDSA-SHA384 ECDSA-SHA512"),
                TEXT("encoding", 'e', encoding, "ENCODING", "ECDSA signatures as der (default) or p1363"),
                TEXT("output", 'o', output, "FILE", "Write the result there instead of to standard output"),
                FLAG("digest", 'd', digest,
                                "sign: the input is a digest; key create: allow this for the key"),
                FLAG("retired", 0, retired, "Retired keys too"),
                FLAG("base64", 0, base64, "Print the result in base64"),
                TEXT("connect", 0, connect, "HOST[:PORT]", "Make a handshake with this peer (port 443)"),
                TEXT("timeout", 0, timeout, "SECONDS", "Give the peer so long, 1 to 600 (default 15)"),
                TEXT("at", 0, at, "TIME", "As of then instead of now: 2026-11-21, 2026-11-21T10:00:00Z, or 7d ago"),
                TEXT("crl", 0, crl, "FILE", "Revocation lists (PEM, or one in DER) of all CAs in the chain"),
                TEXT("cms", 0, cms, "FILE", "sign: the file to sign, detached; verify: the signature"),
                TEXT("aad", 0, aad, "TEXT", "Associated data, or @FILE"),
                TEXT("salt", 0, salt, "TEXT", "HKDF salt, or @FILE"),
                TEXT("info", 0, info, "TEXT", "HKDF info, or @FILE"),
                TEXT("length", 0, length, "N", "Bytes to derive, 1 to 256 (default 32)"),
                TEXT("oaep-label", 0, oaep_label, "TEXT", "OAEP label, or @FILE"),
                MANY("dns", dns, "NAME", "DNS name; may be repeated"),
                MANY("ip", ip, "ADDRESS", "IP address; may be repeated"),
                MANY("uri", uri, "URI", "URI; may be repeated"),
                MANY("email", email, "ADDRESS", "E-mail address; may be repeated"),
                TEXT("slot", 0, slot, "KIND", "credential, passphrase (default) or tpm2"),
                TEXT("label", 0, label, "TEXT", "A name for the slot"),
                TEXT("passphrase-file", 0, passphrase_file, "FILE",
                                "Read the secret from FILE (one line; - is standard input)"),
                TEXT("passphrase-fd", 0, passphrase_fd, "N", "Read the secret from descriptor N"),
                TEXT("recovery-file", 0, recovery_file, "FILE",
                                "Write the recovery code to a new FILE instead of asking it back"),
                TEXT("pcr", 0, pcr, "PCRS", "Open only while these PCRs are as they are now: 7, 7+11, sha384:7"),
                FLAG("pin", 0, pin, "The slot needs a PIN besides; asked, or read like a passphrase"),
                TEXT("signed-policy", 0, signed_policy, "FILE",
                                "Public key (PEM): open to what it signs for the PCRs, not to their values now"),
                FLAG("unattended", 0, unattended, "No recovery code and no questions"),
                FLAG("accept-accounts", 0, accept_accounts, "Users and groups that are other accounts now are meant"),
                FLAG("accept-rollback", 0, accept_rollback,
                                "Go on with an older store; what is newer is lost"),
                TEXT("user", 'u', user, "USER", "Ask for this user instead of yourself"),
                TEXT("unit", 0, unit, "UNIT", "Ask as if the caller were this systemd unit"),
                TEXT("socket", 0, socket, "PATH", "Ask as if the call came in there; system-bus is the bus"),
                TEXT("uses", 0, uses, "N", "So many uses; default: as many as the rule has"),
                TEXT("from", 0, from, "SEQ", "Begin at this record"),
                TEXT("limit", 'n', limit, "N", "At most N records"),
                TEXT("event", 0, event, "PATTERN", "Only events like this, such as 'key.*'"),
                TEXT("caller", 0, caller, "USER", "Only records of this user"),
                TEXT("since", 0, since, "TIME",
                                "Only later records: 2026-11-21, 2026-11-21T10:00:00Z, or 90s 15min 2h 7d "
                                "ago"),
                TEXT("key", 'k', key, "KEY", "audit: checkpoint key or a file with it; slot: device key; attest: its file"),
                TEXT("chain", 0, chain, "FILE", "The certificate, then its intermediates (PEM)"),
                TEXT("trust", 0, trust, "FILE", "Certificates (PEM) of those whom peers' certificates must lead to"),
                {.noun = "cert",
                                .name = "pin",
                                .kind = OPTION_MANY,
                                .offset = offsetof(Options, pins),
                                .argument = "PIN",
                                .help = "sha256//BASE64 of a peer's public key, as curl has it; may be repeated"},
                {.noun = "cert",
                                .name = "key",
                                .letter = 'k',
                                .kind = OPTION_TEXT,
                                .offset = offsetof(Options, key),
                                .argument = "KEY",
                                .help = "The key by name or UUID; default: the one of this NAME"},
                {.noun = "ca",
                                .name = "key",
                                .letter = 'k',
                                .kind = OPTION_TEXT,
                                .offset = offsetof(Options, key),
                                .argument = "KEY",
                                .help = "Issue for this key, by name or UUID, instead of a request"},
                TEXT("ca", 0, ca, "NAME", "The CA; default: intermediate"),
                TEXT("name", 0, name, "NAME",
                                "init: the CA's name, default its kind; issue: the client's, default device id or CN"),
                TEXT("parent", 0, parent, "NAME", "The CA that signs the new one; default: root"),
                TEXT("csr", 0, csr, "FILE", "Its root is elsewhere: write the request for that to FILE (- is stdout)"),
                TEXT("profile", 0, profile, "PROFILE",
                                "device (default) server client-server code-signing ocsp, or one of your own"),
                {.noun = "policy",
                                .name = "profile",
                                .kind = OPTION_TEXT,
                                .offset = offsetof(Options, profile),
                                .argument = "PROFILE",
                                .help = "Ask for certificates of this profile (ca-issue)"},
                TEXT("days", 0, days, "N", "Life of the certificate; default: the profile's"),
                TEXT("path-length", 0, path_length, "N", "So many CAs may be below the new one"),
                MANY("set", set, "PART=VALUE", "Part of the subject: C ST L O OU CN serialNumber; may be repeated"),
                TEXT("device-id", 0, device_id, "ID", "The device's id, a UUID or any text"),
                TEXT("device-label", 0, device_label, "TEXT", "The device's label"),
                TEXT("device-type", 0, device_type, "TEXT", "The device's type"),
                TEXT("hardware", 0, hardware, "TEXT", "The device's hardware revision"),
                TEXT("firmware", 0, firmware, "TEXT", "The device's firmware version"),
                TEXT("metadata", 0, metadata, "TEXT", "Kept in the registry beside the certificate"),
                TEXT("reason", 0, reason, "REASON", "As RFC 5280 names them: keyCompromise superseded certificateHold ..."),
                TEXT("text", 0, text, "TEXT", "Why, in words, for the registry and the log"),
                MANY("signer", signers, "NAME",
                                "The identity that signs the answer; its certificate is of profile ocsp; may be repeated"),
                TEXT("hours", 0, hours, "N", "The answer holds for so long, 1 to 720 (default 24)"),
                FLAG("csv", 0, csv, "Print CSV (RFC 4180) instead of a table"),
                FLAG("pem", 0, pem, "Print the certificate and those above it as PEM"),
                FLAG("der", 0, der, "Print the certificate as DER"),
                {.noun = "ca",
                                .verb = "show",
                                .name = "text",
                                .kind = OPTION_FLAG,
                                .offset = offsetof(Options, as_text),
                                .help = "Print all that is in the certificate, as `openssl x509 -text` does"},
                FLAG("anew", 0, anew, "In the place of the CA of that name, whose key is destroyed: what it issued is orphaned"),
                FLAG("without-backup", 0, without_backup, "anew: no backup has to have the CA that goes"),
                FLAG("rekey", 0, rekey, "With a new key here, under the name of the one before"),
                TEXT("layout", 0, layout, "LAYOUT", "Files for programs: pem (default), local or named"),
                TEXT("nonce", 0, nonce, "HEX", "What the statement must answer, 1 to 64 bytes"),
                TEXT("nonce-file", 0, nonce_file, "FILE", "The same, raw bytes in a file"),
                TEXT("ak-fingerprint", 0, ak_fingerprint, "HEX", "The attestation key that must have signed it"),
                TEXT("ek-root", 0, ek_root, "FILE", "Certificates (PEM) that the endorsement certificate must lead to"),
                TEXT("expect", 0, expect, "FILE", "A note the log must reach"),
                TEXT("before", 0, before, "SEQ", "Remove whole segments before this record"),
                TEXT("archived", 0, archived, "FILE",
                                "The note of the checkpoint up to which the log is archived"),
                FLAG("follow", 'f', follow, "Go on with new records as they come"),
                FLAG("write", 0, write, "Write what is shown: units and the rule, as root"),
                TEXT("config", 0, config, "FILE", "The program's configuration, where it is in no usual place"),
                FLAG("once", 0, once, "Look once instead of waiting for changes"),
                TEXT("seen", 0, seen, "FILE", "Keep there for which certificate the command ran last"),
                FLAG("list", 0, list, "One line per verb, for programs"),
};

#define LONG_BASE 256
#define ROWS_MAX 128
_Static_assert(ELEMENTSOF(rows) <= ROWS_MAX, "tables of options_parse() have room for all rows");

/* How closely a row is meant for a verb; 0: not at all. */
static int closeness(const OptionRow *row, const char *noun, const char *verb)
{
        if (!row->noun)
                return 1;
        if (!noun || strcmp(row->noun, noun))
                return 0;
        if (!row->verb)
                return 2;
        return verb && strcmp(row->verb, verb) == 0 ? 3 : 0;
}

const OptionRow *options_find(const char *noun, const char *verb, const char *name, size_t len)
{
        const OptionRow *found = NULL;
        int best = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int close = closeness(&rows[i], noun, verb);

                if (close > best && strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0) {
                        found = &rows[i];
                        best = close;
                }
        }
        return found;
}

typedef struct Getopt {
        struct option longs[ROWS_MAX + 1];
        char letters[2 * ROWS_MAX + 3];
        size_t n, n_letters;
} Getopt;

static void add_names(Getopt *g, const char *noun, const char *verb, const char *names)
{
        while (*names) {
                size_t len = strcspn(names, " ");
                const OptionRow *row = options_find(noun, verb, names, len);

                if (row && g->n < ROWS_MAX) {
                        g->longs[g->n++] = (struct option){.name = row->name,
                                        .has_arg = row->kind == OPTION_FLAG ? no_argument : required_argument,
                                        .val = LONG_BASE + (int)(row - rows)};
                        if (row->letter) {
                                g->letters[g->n_letters++] = row->letter;
                                if (row->kind != OPTION_FLAG)
                                        g->letters[g->n_letters++] = ':';
                        }
                }
                names += len;
                names += strspn(names, " ");
        }
}

/* A letter means another option for another verb (-f), so it is looked up among those that the verb takes. */
static const OptionRow *row_of(const Getopt *g, int c)
{
        if (c >= LONG_BASE)
                return &rows[c - LONG_BASE];
        for (size_t i = 0; i < g->n; i++)
                if (rows[g->longs[i].val - LONG_BASE].letter == c)
                        return &rows[g->longs[i].val - LONG_BASE];
        return NULL;
}

static bool set_value(Options *o, const OptionRow *row, const char *prefix)
{
        void *at = (uint8_t *)o + row->offset;
        OptionList *list = at;

        switch (row->kind) {
        case OPTION_FLAG:
                *(bool *)at = true;
                return true;
        case OPTION_TEXT:
                *(const char **)at = optarg;
                return true;
        case OPTION_MANY:
                if (list->n == OPTION_LIST_MAX) {
                        fprintf(stderr, "%s: --%s is given more than %d times.\n", prefix, row->name,
                                        OPTION_LIST_MAX);
                        return false;
                }
                list->items[list->n++] = optarg;
                return true;
        }
        return false;
}

bool options_parse(int argc, char **argv, const char *noun, const char *verb, const char *names, bool only_front, Options *o,
                int *ret_first)
{
        Getopt g = {0};
        int c;

        if (only_front)
                g.letters[g.n_letters++] = '+';
        add_names(&g, noun, verb, options_common);
        add_names(&g, noun, verb, names);
        optind = 0; /* glibc: start anew, with the modes of this string */
        while ((c = getopt_long(argc, argv, g.letters, g.longs, NULL)) != -1) {
                const OptionRow *row = c == '?' ? NULL : row_of(&g, c);

                if (!row || !set_value(o, row, argv[0]))
                        return false;
        }
        *ret_first = optind;
        return true;
}
