/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify: is this certificate, or this signed file, good? Neither daemon nor network. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/findings.h"
#include "x509/cms.h"
#include "x509/identity.h"
#include "x509/verify.h"

typedef struct Subject {
        CertIdentity identity; /* of a NAME; else only its chain is there */
        CertAnchors *anchors;
        CertCrls *crls;
        FindingList findings; /* of reading */
} Subject;

static void subject_clear(Subject *s)
{
        cert_identity_clear(&s->identity);
        cert_anchors_unref(s->anchors);
        cert_crls_free(s->crls);
}

/* What --trust, the identity or the system trusts. 0 or an exit code, told. */
static int read_trust(Cli *cli, Subject *s)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_ANCHORS_FILE_MAX);
        FindingList findings = {.n = 0};
        int r;

        if (!cli->options.trust && s->identity.anchors) {
                s->anchors = cert_anchors_ref(s->identity.anchors);
                return 0;
        }
        if (!cli->options.trust)
                return cert_anchors_system(&s->anchors) ? cli_fail_file(cli, "the system's certificates", ENOMEM) : 0;
        r = input_read(cli, cli->options.trust, CERT_ANCHORS_FILE_MAX, &b);
        if (r)
                return r;
        r = cert_anchors_parse(buffer_bytes(&b), &findings, &s->anchors);
        return r ? cli_usage(cli, "--trust: %s holds no certificates (PEM or DER), or not only those.", cli->options.trust) : 0;
}

static int read_crls(Cli *cli, Subject *s)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_CRL_FILE_MAX);
        int r;

        if (!cli->options.crl)
                return 0;
        r = input_read(cli, cli->options.crl, CERT_CRL_FILE_MAX, &b);
        if (r)
                return r;
        r = cert_crls_parse(buffer_bytes(&b), &s->findings, &s->crls);
        return r < 0 ? cli_fail_file(cli, cli->options.crl, r) : 0;
}

static int read_chain(Cli *cli, const char *path, Subject *s)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_FILE_MAX);
        int r = input_read(cli, path, CERT_FILE_MAX, &b);

        if (r)
                return r;
        r = cert_chain_parse(buffer_bytes(&b), FINDING_OF_FILE, &s->findings, &s->identity.chain);
        return r < 0 ? cli_fail_file(cli, path, r) : 0;
}

/* A name means the identity of that name if there is one; ./NAME is always a file. */
static int read_name_or_file(Cli *cli, const char *what, Subject *s)
{
        FindingList findings = {.n = 0};
        int r = cert_identity_load(cert_directory(), what, &findings, &s->identity);

        if (r == HF_E_INVALID_NAME || (r == HF_E_INVALID_ARGS && access(what, F_OK) == 0))
                return read_chain(cli, what, s);
        if (r < 0)
                return cli_fail_file(cli, cert_directory(), r);
        s->findings = findings;
        return 0;
}

/* The file is what was signed, the certificates are in the signature. */
static int read_signed(Cli *cli, const char *path, Subject *s)
{
        _cleanup_buffer_ Buffer cms = BUFFER_INIT(CMS_FILE_MAX);
        _cleanup_close_ int fd = -EBADF;
        int r = input_read(cli, cli->options.cms, CMS_FILE_MAX, &cms);

        if (r)
                return r;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return cli_fail_file(cli, path, errno);
        r = cms_verify(buffer_bytes(&cms), fd, &s->findings, &s->identity.chain);
        return r < 0 ? cli_fail_file(cli, path, r) : 0;
}

static int show_json_report(Cli *cli, const VerifyReport *report)
{
        _cleanup_json_ json_t *lines = json_array(), *j = NULL;

        for (VerifyQuestion q = 0; lines && q < _VERIFY_QUESTION_MAX; q++)
                json_array_append_new(lines, json_pack("{s:s, s:s, s:s}", "state", verify_state(report->lines[q].state),
                                                             "question", verify_question(q), "text", report->lines[q].text));
        j = json_pack("{s:b, s:O, s:o, s:s, s:I, s:I, s:I}", "valid", report->findings.n == 0, "lines", lines, "findings",
                        findings_json(&report->findings), "fingerprint", report->fingerprint, "not-before",
                        (json_int_t)report->not_before, "not-after", (json_int_t)report->not_after, "time",
                        (json_int_t)report->time);
        return j ? show_json(cli, j) : EXIT_CODE_FAILED;
}

static int show(Cli *cli, const VerifyReport *report)
{
        bool valid = report->findings.n == 0;
        int r = 0;

        if (cli->options.json) {
                r = show_json_report(cli, report);
                cli->options.json = false; /* the report is the result; what is wrong is told on stderr besides */
        } else {
                puts(valid ? "[PASS] Certificate is VALID" : "[FAIL] Certificate is INVALID");
                for (VerifyQuestion q = 0; q < _VERIFY_QUESTION_MAX; q++)
                        printf("[%s] %s: %s\n", verify_state(report->lines[q].state), verify_question(q), report->lines[q].text);
                fflush(stdout);
        }
        return r || valid ? r : findings_fail(cli, &report->findings);
}

static int run_verify(Cli *cli)
{
        __attribute__((cleanup(subject_clear))) Subject s = {.anchors = NULL};
        CertCheck check = {.usage = CERT_USAGE_ANY};
        const Options *o = &cli->options;
        VerifyReport report;
        int r;

        if (o->purpose && !cert_usage_from_string(o->purpose, &check.usage))
                return cli_usage(cli, "--purpose is any, client, client-only, server, client-server, code-signing or ocsp.");
        if (o->at && !input_time(o->at, clock_wall(), &check.time))
                return cli_usage(cli, "--at is a time as 2026-11-21 or 2026-11-21T10:00:00Z, not '%s'.", o->at);
        r = o->cms ? read_signed(cli, cli->args[0], &s) : read_name_or_file(cli, cli->args[0], &s);
        if (r == 0)
                r = read_trust(cli, &s);
        if (r == 0)
                r = read_crls(cli, &s);
        if (r)
                return r;
        check.chain = s.identity.chain;
        check.anchors = s.anchors;
        check.crls = s.crls ? s.crls : s.identity.crls;
        check.public_key = buffer_bytes(&s.identity.public_key);
        r = verify_certificate(&check, &s.findings, &report);
        return r ? cli_fail_file(cli, cli->args[0], r) : show(cli, &report);
}

const Verb verbs_verify[] = {
                {NULL, "verify", "NAME|FILE", 1, 1, "trust crl at purpose cms",
                                "Is a certificate good, or a file signed by one? Needs no daemon", run_verify},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
