/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attest: what a TPM states about a key, checked anywhere: neither daemon nor TPM. docs/formats/attestation.md */
#include "crypto/attest.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/nonce.h"
#include "crypto/spki.h"

#define STATEMENT_MAX 65536
#define ROOTS_MAX (256 * 1024)
#define SPKI_MAX 1024

/* ---- the statement ---- */

typedef struct Statement {
        AttestStatement parts;
        uint8_t space[7][ATTEST_CERTIFICATE_MAX];
} Statement;

static const struct {
        const char *name;
        size_t offset, max;
} members[] = {
                {"attest", offsetof(AttestStatement, attest), ATTEST_PART_MAX},
                {"signature", offsetof(AttestStatement, signature), ATTEST_PART_MAX},
                {"ak_public", offsetof(AttestStatement, ak_public), ATTEST_PART_MAX},
                {"key_public", offsetof(AttestStatement, key_public), ATTEST_PART_MAX},
                {"ek_certificate", offsetof(AttestStatement, ek_certificate), ATTEST_CERTIFICATE_MAX},
                {"ek_public", offsetof(AttestStatement, ek_public), ATTEST_PART_MAX},
                {"spki", offsetof(AttestStatement, spki), SPKI_MAX},
};

static int read_member(const json_t *j, size_t i, Statement *s)
{
        const char *text = json_string_value(json_object_get(j, members[i].name));
        size_t len = 0;

        if (!text || (*text && base64_decode(text, strlen(text), s->space[i], members[i].max, &len)))
                return HF_E_INVALID_ARGS;
        *(Bytes *)((uint8_t *)&s->parts + members[i].offset) = BYTES(s->space[i], len);
        return 0;
}

static int read_statement(Cli *cli, const char *path, Statement *ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(STATEMENT_MAX);
        _cleanup_json_ json_t *j = NULL;
        const char *format;
        int r;

        r = input_read(cli, path, STATEMENT_MAX, &text);
        if (r)
                return r;
        j = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
        format = json_string_value(json_object_get(j, "format"));
        if (!format || strcmp(format, "holdfast-attestation-1") != 0)
                r = HF_E_INVALID_ARGS;
        for (size_t i = 0; !r && i < ELEMENTSOF(members); i++)
                r = read_member(j, i, ret);
        return r ? cli_fail_with(cli, EXIT_CODE_VERIFICATION, "malformed", "%s is no attestation statement.", path) : 0;
}

/* ---- what it is held against ---- */

/* The caller's own copy of the public key, PEM or DER. */
static int check_key(Cli *cli, const AttestStatement *s)
{
        _cleanup_buffer_ Buffer spki = BUFFER_INIT(STATEMENT_MAX);
        KeyAlgorithm algorithm;
        Bytes body;
        int r;

        if (!cli->options.key)
                return 0;
        r = input_read(cli, cli->options.key, STATEMENT_MAX, &spki);
        if (r)
                return r;
        (void)pem_decode("PUBLIC KEY", &spki);
        if (spki_parse(buffer_bytes(&spki), &algorithm, &body))
                return cli_usage(cli, "%s is not a public key (PEM or DER).", cli->options.key);
        if (!bytes_equal(buffer_bytes(&spki), s->spki))
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, "public-key",
                                "The statement is about another key than %s.", cli->options.key);
        return 0;
}

/* Hex, with or without "SHA256:" and colons as other tools print it. */
static int read_fingerprint(Cli *cli, uint8_t ret[static 32])
{
        const char *p = cli->options.ak_fingerprint;
        char hex[65];
        size_t n = 0;

        if (strncmp(p, "SHA256:", 7) == 0)
                p += 7;
        for (; *p && n < 64; p++)
                if (*p != ':')
                        hex[n++] = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
        if (*p || n != 64 || hex_decode(hex, n, ret, 32))
                return cli_usage(cli, "--ak-fingerprint is a SHA-256 in hex, 64 digits.");
        return 0;
}

static int check_ak(Cli *cli, const AttestReport *report)
{
        uint8_t expected[32];
        int r;

        if (!cli->options.ak_fingerprint)
                return 0;
        r = read_fingerprint(cli, expected);
        if (!r && memcmp(expected, report->ak_fingerprint, 32) != 0)
                r = cli_fail_with(cli, EXIT_CODE_VERIFICATION, "attestation-key",
                                "The statement is signed by another attestation key than the one given.");
        return r;
}

/* ---- the result ---- */

static int show_report(Cli *cli, const AttestReport *report)
{
        char ak[65], key[65], ek[65], firmware[20];
        bool known = cli->options.ak_fingerprint != NULL;

        hex_encode(report->ak_fingerprint, 32, ak);
        hex_encode(report->key_fingerprint, 32, key);
        hex_encode(report->ek_fingerprint, 32, ek);
        snprintf(firmware, sizeof(firmware), "%016llx", (unsigned long long)report->firmware);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s, s:b, s:s, s:s, s:s, s:b, s:s, s:I, s:I}", "verdict", "good",
                                "attestation-key-known", known, "attestation-key", ak, "key", key, "endorsement", ek,
                                "endorsement-checked", report->ek_checked, "firmware", firmware, "resets",
                                (json_int_t)report->reset_count, "restarts", (json_int_t)report->restart_count);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        printf("The key was made in a TPM, never leaves it, and the TPM said so for this nonce.\n"
               "key: %s\nattestation key: %s%s\n",
                        report->has_public ? key : "has no public half", ak,
                        known ? "" : " (unknown: note it when the device is made, --ak-fingerprint)");
        printf("endorsement: %s, certificate %s\n", ek,
                        report->ek_checked ? "leads to the given root" : "not checked (--ek-root)");
        printf("firmware %s, %u resets, %u restarts\n", firmware, report->reset_count, report->restart_count);
        if (!known)
                printf("consistent in itself, attestation key unknown\n");
        return 0;
}

static int run_verify(Cli *cli)
{
        _cleanup_buffer_ Buffer roots = BUFFER_INIT(ROOTS_MAX);
        uint8_t nonce[ATTEST_NONCE_MAX];
        AttestReport report;
        Statement s = {0};
        AttestFault fault;
        size_t nonce_len;
        int r;

        r = nonce_read(cli, nonce, &nonce_len);
        if (!r)
                r = read_statement(cli, cli->args[0], &s);
        if (!r && cli->options.ek_root)
                r = input_read(cli, cli->options.ek_root, ROOTS_MAX, &roots);
        if (r)
                return r;
        fault = attest_verify(&s.parts, BYTES(nonce, nonce_len), buffer_bytes(&roots), &report);
        if (fault)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, attest_fault_to_string(fault), "%s",
                                attest_fault_to_sentence(fault));
        r = check_key(cli, &s.parts);
        if (!r)
                r = check_ak(cli, &report);
        if (!r)
                r = show_report(cli, &report);
        return r == 0 && !cli->options.ak_fingerprint ? EXIT_CODE_UNKNOWN_SIGNER : r;
}

const Verb verbs_attest[] = {
                {"attest", "verify", "FILE", 1, 1, "nonce nonce-file key ak-fingerprint ek-root",
                                "Check what a TPM states about a key", run_verify},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
