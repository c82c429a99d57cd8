/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ca diagnose: why does a server reject this certificate?
 *
 * Six questions in the order in which they are worth asking: the clock and the revocation list over what the client presents, the
 * CA it leads to, the registry, and a real handshake with the server. The handshake is the client's own where its key is in this
 * Holdfast and may be used; otherwise a server that names the CAs it trusts answers as well, and one that does not leaves the
 * last question open.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/ca.h"
#include "cli/findings.h"
#include "cli/tls-files.h"
#include "x509/handshake.h"

#define SECONDS_DEFAULT "15"
#define SECONDS_MAX 600

typedef enum Question {
        QUESTION_EXPIRED,
        QUESTION_REVOKED,
        QUESTION_CA,
        QUESTION_REGISTERED,
        QUESTION_STATUS,
        QUESTION_SERVER,
        _QUESTION_MAX,
} Question;

/* The state of the good answer. */
static const struct {
        const char *word, *title;
        int exit_code;
} questions[_QUESTION_MAX] = {
        [QUESTION_EXPIRED] = {"expired", "Not expired", EXIT_CODE_CERTIFICATE},
        [QUESTION_REVOKED] = {"revoked", "Not revoked", EXIT_CODE_CERTIFICATE},
        [QUESTION_CA] = {"wrong-ca", "Of this CA", EXIT_CODE_VERIFICATION},
        [QUESTION_REGISTERED] = {"fingerprint-registered", "Fingerprint registered", EXIT_CODE_VERIFICATION},
        [QUESTION_STATUS] = {"status-active", "Status active", EXIT_CODE_CERTIFICATE},
        [QUESTION_SERVER] = {"server-trusts-ca", "Server trusts the CA", EXIT_CODE_VERIFICATION},
};

typedef enum Verdict {
        VERDICT_UNKNOWN, /* cannot be told */
        VERDICT_OK,
        VERDICT_FAIL,
} Verdict;

static const char *const verdict_marks[] = {[VERDICT_UNKNOWN] = " -- ", [VERDICT_OK] = " OK ", [VERDICT_FAIL] = "FAIL"};
static const char *const verdict_words[] = {[VERDICT_UNKNOWN] = "unknown", [VERDICT_OK] = "ok", [VERDICT_FAIL] = "fail"};

typedef struct Answer {
        Verdict verdict;
        int exit_code;
        const char *finding; /* of VERDICT_FAIL */
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];
} Answer;

typedef struct Diagnosis {
        CertIdentity identity; /* what the client presents; of a certificate that is no identity here only chain and reference */
        CertAnchors *anchors;
        CertCrls *crls;
        char fingerprint[CERT_FINGERPRINT_SIZE];
        json_t *registered;  /* what the CA answered; NULL: it does not know it */
        FindingList ours, theirs;
        Handshake handshake;
        bool as_itself; /* the handshake was the client's own */
        Answer answers[_QUESTION_MAX];
} Diagnosis;

static void diagnosis_clear(Diagnosis *d)
{
        cert_identity_clear(&d->identity);
        cert_anchors_unref(d->anchors);
        cert_crls_free(d->crls);
        json_decref(d->registered);
}

/* ---- what the client presents, and what the CA has ---- */

static int read_file(Cli *cli, const char *path, Diagnosis *d)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_FILE_MAX);
        int r = input_read(cli, path, CERT_FILE_MAX, &b);

        if (r)
                return r;
        r = cert_chain_parse(buffer_bytes(&b), FINDING_OF_OURS, &d->ours, &d->identity.chain);
        return r < 0 ? cli_fail_file(cli, path, r) : r ? findings_fail(cli, &d->ours) : 0;
}

static int read_identity(Cli *cli, Diagnosis *d)
{
        int r = cert_identity_load(cert_directory(), cli->args[0], &d->ours, &d->identity);

        return r < 0 ? cli_fail_file(cli, cert_directory(), r) : d->ours.n > 0 ? findings_fail(cli, &d->ours) : 0;
}

static int read_registered(Cli *cli, Diagnosis *d)
{
        _cleanup_json_ json_t *reply = NULL;
        int r = ca_find(cli, cli->args[0], &reply);

        return r ? r : ca_take_chain(cli, json_array_get(reply, 0), &d->identity.chain);
}

/* The file of --chain, the identity of that name, or what the CA issued last under it. */
static int read_subject(Cli *cli, Diagnosis *d)
{
        int r = cli->options.chain                 ? read_file(cli, cli->options.chain, d)
                : tls_is_there(cli->args[0])       ? read_identity(cli, d)
                                                   : read_registered(cli, d);

        if (r)
                return r;
        cert_chain_fingerprint(d->identity.chain, d->fingerprint);
        return d->identity.reference.len > 0 ? 0 : ca_reference(cli, d->identity.chain, &d->identity.reference);
}

static int read_ca(Cli *cli, Diagnosis *d)
{
        _cleanup_buffer_ Buffer anchors = BUFFER_INIT(CERT_ANCHORS_FILE_MAX), crls = BUFFER_INIT(CERT_CRL_FILE_MAX);
        int r = ca_read_published(cli, "ca.pem", CERT_ANCHORS_FILE_MAX, &anchors);

        if (!r)
                r = ca_read_published(cli, "crl.pem", CERT_CRL_FILE_MAX, &crls);
        if (r)
                return r;
        r = cert_anchors_parse(buffer_bytes(&anchors), &d->ours, &d->anchors);
        if (!r)
                r = cert_crls_parse(buffer_bytes(&crls), &d->ours, &d->crls);
        return r < 0 ? cli_fail_file(cli, "what the CA publishes", r) : r ? findings_fail(cli, &d->ours) : 0;
}

static int ask_registry(Cli *cli, Diagnosis *d)
{
        _cleanup_free_ char *path = NULL;
        CallArgs args = {0};
        int r = ca_path(cli, NULL, &path);

        if (r)
                return r;
        args_string(&args, NULL, d->fingerprint);
        r = ca_try(cli, path, "Show", &args, &d->registered);
        return r == HF_ERROR_NO_SUCH_CERTIFICATE ? 0 : cli_end(cli, r);
}

/* ---- the handshake ---- */

static int as_itself(const HandshakeParams *peer, Diagnosis *d)
{
        _cleanup_cert_key_ CertKey key = {.pkey = NULL};
        HandshakeParams params = *peer;
        int r = cert_key_load(buffer_bytes(&d->identity.reference), &d->theirs, &key);

        params.identity = &d->identity;
        params.key = &key;
        return r ? r : handshake_run(&params, &d->theirs, &d->handshake);
}

/* 0 or -errno. A key that is not here, or that is not for us to use, leaves a handshake as nobody. */
static int meet_server(const HandshakeParams *peer, Diagnosis *d)
{
        int r = 0;

        handshake_look_at_clocks(peer, &d->ours);
        d->as_itself = d->identity.reference.len > 0;
        if (d->as_itself)
                r = as_itself(peer, d);
        if (r < 0 || (d->as_itself && !findings_find(&d->theirs, FINDING_KEY_UNUSABLE)))
                return r < 0 ? r : 0;
        d->as_itself = false;
        d->theirs = (FindingList){.n = 0};
        return handshake_run(peer, &d->theirs, &d->handshake);
}

/* ---- answers ---- */

static void say(Diagnosis *d, Question q, Verdict verdict, const char *finding, const char *sentence, const char *remedy)
{
        Answer *a = &d->answers[q];

        a->verdict = verdict;
        a->exit_code = questions[q].exit_code;
        a->finding = finding;
        snprintf(a->sentence, sizeof(a->sentence), "%s", sentence);
        snprintf(a->remedy, sizeof(a->remedy), "%s", remedy ? remedy : "");
}

static void say_finding(Diagnosis *d, Question q, const Finding *f)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];

        say(d, q, VERDICT_FAIL, finding_word(f->kind), finding_sentence(f, sentence), finding_remedy(f, remedy));
        if (f->whose == FINDING_OF_PEER && f->kind != FINDING_REFUSED) /* it is not about the certificate in question */
                d->answers[q].exit_code = findings_exit_code(&(FindingList){.items = {*f}, .n = 1});
}

static Question question_of(FindingKind kind)
{
        switch (kind) {
        case FINDING_EXPIRED:
        case FINDING_NOT_YET_VALID:
        case FINDING_CLOCK_SKEW:
                return QUESTION_EXPIRED;
        case FINDING_REVOKED:
        case FINDING_NO_CRL:
        case FINDING_CRL_STALE:
        case FINDING_CRL_INVALID:
                return QUESTION_REVOKED;
        case FINDING_UNTRUSTED:
        case FINDING_BAD_SIGNATURE:
        case FINDING_BAD_CHAIN:
                return QUESTION_CA;
        default: /* what makes any server refuse it */
                return QUESTION_SERVER;
        }
}

static void answer_from_bytes(Diagnosis *d)
{
        bool elsewhere = findings_find(&d->ours, FINDING_UNTRUSTED) ||
                         (!d->registered && findings_find(&d->ours, FINDING_NO_CRL));
        char until[CLOCK_TEXT_SIZE], text[64];

        clock_format(cert_chain_not_after(d->identity.chain), until);
        snprintf(text, sizeof(text), "It is valid until %.19sZ.", until);
        say(d, QUESTION_EXPIRED, VERDICT_OK, NULL, text, NULL);
        say(d, QUESTION_REVOKED, VERDICT_OK, NULL, "It is on no list of this CA or of one above it.", NULL);
        say(d, QUESTION_CA, VERDICT_OK, NULL, "It leads to the root of this CA.", NULL);
        for (size_t i = d->ours.n; i-- > 0;) /* the first has the last word */
                say_finding(d, question_of(d->ours.items[i].kind), &d->ours.items[i]);
        if (elsewhere && !findings_find(&d->ours, FINDING_REVOKED))
                say(d, QUESTION_REVOKED, VERDICT_UNKNOWN, NULL, "It was issued by another CA, whose list is not here.", NULL);
}

static void answer_from_registry(Diagnosis *d)
{
        const json_t *row = json_array_get(d->registered, 0);
        const char *status = json_string_value(json_object_get(row, "status"));
        const char *name = json_string_value(json_object_get(row, "name"));
        char text[FINDING_TEXT_SIZE], escaped[FINDING_DETAIL_SIZE];

        if (!row || !status || !name) {
                say(d, QUESTION_REGISTERED, VERDICT_FAIL, "not-registered",
                                "This CA has not issued a certificate of this fingerprint.",
                                "Name the CA that issued it with --ca, or have it issued here.");
                say(d, QUESTION_STATUS, VERDICT_UNKNOWN, NULL, "It has none here.", NULL);
                return;
        }
        snprintf(text, sizeof(text), "It is that of %s.", log_escape(name, escaped, sizeof(escaped)));
        say(d, QUESTION_REGISTERED, VERDICT_OK, NULL, text, NULL);
        snprintf(text, sizeof(text), "The registry has it as %s.", status);
        if (strcmp(status, "active") == 0)
                say(d, QUESTION_STATUS, VERDICT_OK, NULL, text, NULL);
        else
                say(d, QUESTION_STATUS, VERDICT_FAIL, "not-active", text,
                                strcmp(status, "superseded") == 0
                                                ? "Use the one that followed it: `holdfast ca show NAME --pem`."
                                                : "Have another one issued: `holdfast ca issue`, `holdfast ca renew`.");
}

static bool all_well_before(const Diagnosis *d, Question end)
{
        for (Question q = 0; q < end; q++)
                if (d->answers[q].verdict != VERDICT_OK)
                        return false;
        return true;
}

/* What the server says of whom it trusts, where it does not say it by taking the certificate. */
static void answer_from_request(Diagnosis *d)
{
        switch (d->handshake.asks) {
        case HANDSHAKE_ASKS_OURS:
                say(d, QUESTION_SERVER, VERDICT_OK, NULL, "It asks for certificates of this CA.", NULL);
                break;
        case HANDSHAKE_ASKS_OTHERS:
                say(d, QUESTION_SERVER, VERDICT_FAIL, "server-trusts-others",
                                "The server asks for certificates of other CAs only.",
                                "Whoever runs it has to trust the root in ca.pem of this CA (nginx: ssl_client_certificate).");
                break;
        case HANDSHAKE_ASKS_ANYBODY:
                say(d, QUESTION_SERVER, VERDICT_UNKNOWN, NULL,
                                d->as_itself ? "It refuses this certificate, and does not say whom it trusts."
                                             : "It does not say whom it trusts, and there is no key to try it with.",
                                NULL);
                break;
        case HANDSHAKE_ASKS_NOBODY:
                say(d, QUESTION_SERVER, VERDICT_UNKNOWN, NULL, "It asks for no certificate.", NULL);
                break;
        }
}

static void answer_from_handshake(Diagnosis *d)
{
        const Finding *first = d->theirs.n > 0 ? &d->theirs.items[0] : NULL;
        bool refused = findings_find(&d->theirs, FINDING_REFUSED) != NULL;

        if (d->answers[QUESTION_SERVER].verdict == VERDICT_FAIL)
                return; /* a fault of ours that no server lets pass */
        if (d->as_itself && !first)
                say(d, QUESTION_SERVER, VERDICT_OK, NULL,
                                d->handshake.asks == HANDSHAKE_ASKS_NOBODY ? "It asks for no certificate, and talks to everybody."
                                                                           : "It takes the certificate.",
                                NULL);
        else if (first && !refused)
                say_finding(d, QUESTION_SERVER, first);
        else if (d->as_itself && d->handshake.asks != HANDSHAKE_ASKS_OTHERS && all_well_before(d, QUESTION_SERVER))
                say_finding(d, QUESTION_SERVER, findings_find(&d->theirs, FINDING_REFUSED));
        else
                answer_from_request(d);
}

/* ---- telling ---- */

static json_t *report(const Cli *cli, const Diagnosis *d)
{
        json_t *list = json_array();

        for (Question q = 0; list && q < _QUESTION_MAX; q++) {
                const Answer *a = &d->answers[q];

                json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "question", questions[q].word, "answer",
                                                            verdict_words[a->verdict], "sentence", a->sentence, "remedy",
                                                            a->remedy, "finding", a->finding));
        }
        return json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", cli->args[0], "fingerprint", d->fingerprint, "peer",
                        cli->options.connect, "as-itself", d->as_itself, "questions", list);
}

static int show(Cli *cli, const Diagnosis *d)
{
        int r = 0;

        if (cli->options.json) {
                _cleanup_json_ json_t *j = report(cli, d);

                r = j ? show_json(cli, j) : EXIT_CODE_FAILED;
                cli->options.json = false; /* the report is the result; what is wrong is told on stderr besides */
        } else {
                for (Question q = 0; q < _QUESTION_MAX; q++)
                        printf("[%s] %s: %s%s%s\n", verdict_marks[d->answers[q].verdict], questions[q].title,
                                        d->answers[q].sentence, d->answers[q].remedy[0] ? " " : "", d->answers[q].remedy);
                fflush(stdout);
        }
        for (Question q = 0; !r && q < _QUESTION_MAX; q++)
                if (d->answers[q].verdict == VERDICT_FAIL)
                        r = cli_fail_with(cli, d->answers[q].exit_code, d->answers[q].finding, "%s", d->answers[q].sentence);
        return r;
}

static int examine(Cli *cli, const HandshakeParams *peer, Diagnosis *d)
{
        HandshakeParams params = *peer;
        int r = ask_registry(cli, d);

        if (r)
                return r;
        r = cert_check(&(CertCheck){.chain = d->identity.chain, .whose = FINDING_OF_OURS, .anchors = d->anchors, .crls = d->crls,
                                       .usage = CERT_USAGE_CLIENT},
                        &d->ours);
        params.chain = d->identity.chain;
        params.anchors = d->identity.anchors ? d->identity.anchors : d->anchors;
        if (!r)
                r = meet_server(&params, d);
        if (r)
                return cli_fail_file(cli, cli->options.connect, r);
        answer_from_bytes(d);
        answer_from_registry(d);
        answer_from_handshake(d);
        return show(cli, d);
}

int ca_diagnose_run(Cli *cli)
{
        __attribute__((cleanup(diagnosis_clear))) Diagnosis d = {.anchors = NULL};
        const char *seconds = cli->options.timeout ? cli->options.timeout : SECONDS_DEFAULT;
        char host[HANDSHAKE_HOST_SIZE], port[HANDSHAKE_PORT_SIZE];
        uint64_t timeout;
        int r;

        if (!cli->options.connect || handshake_address(cli->options.connect, host, port))
                return cli_usage(cli, "Say which server rejects it: --connect HOST or HOST:PORT.");
        if (!cli_number(cli, "--timeout", seconds, 1, SECONDS_MAX, &timeout))
                return EXIT_CODE_USAGE;
        r = read_ca(cli, &d);
        if (!r)
                r = read_subject(cli, &d);
        return r ? r : examine(cli, &(HandshakeParams){.host = host, .port = port, .timeout = timeout * USEC_PER_SEC}, &d);
}
