/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ca ocsp: one request in, one answer out, so that any HTTP server can carry both. What the registry says of each certificate
 * is asked of holdfastd, and so is the signature; nothing is kept between two requests. An answer is signed by whom the CA
 * named that issued the certificate (RFC 6960 section 4.2.2.2): where CAs follow each other, of several signers the one of that
 * CA.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "ca/ocsp.h"
#include "cli/ca.h"
#include "cli/findings.h"
#include "dbus/names.h"
#include "x509/identity.h"
#include "x509/pkey.h"

#define HOURS_USUAL 24
#define HOURS_MAX 720
#define USEC_PER_HOUR (3600 * USEC_PER_SEC)
#define SERIAL_TEXT (2 * CA_SERIAL_SIZE + 1)

typedef struct Responder {
        Cli *cli;
        const char *signer; /* its name */
        char *path;         /* the CA's object */
        CertChain *ca;      /* its certificate */
        json_t *row;        /* what the registry has of the signer's certificate */
        CertChain *chain;   /* that, and those above it */
        X509 *issuer;       /* whose certificates the signer answers for, borrowed from either */
        CertIdentity identity;
        CaOcspRequest *request;
        uint64_t hours;
} Responder;

static void signer_clear(Responder *r)
{
        json_decref(r->row);
        cert_chain_unref(r->chain);
        cert_identity_clear(&r->identity);
        r->row = NULL;
        r->chain = NULL;
        r->issuer = NULL;
        r->identity = (CertIdentity){.chain = NULL};
}

static void responder_clear(Responder *r)
{
        free(r->path);
        cert_chain_unref(r->ca);
        signer_clear(r);
        ca_ocsp_request_free(r->request);
}

static int call(const Responder *r, const char *member, const CallArgs *args, json_t **ret)
{
        return cli_try(r->cli, &(HfCall){.path = r->path, .interface = HF_IFACE_AUTHORITY, .member = member, .args = args->items,
                                               .n_args = args->n}, ret);
}

/* What the registry has under this serial number; NULL: nothing. A name that looks like one is none. */
static int look_up(const Responder *r, const uint8_t serial[static CA_SERIAL_SIZE], json_t **ret)
{
        _cleanup_json_ json_t *reply = NULL;
        char text[SERIAL_TEXT];
        const char *found;
        CallArgs args = {0};
        int e;

        hex_encode(serial, CA_SERIAL_SIZE, text);
        args_string(&args, NULL, text);
        e = call(r, "Show", &args, &reply);
        if (e && e != HF_ERROR_NO_SUCH_CERTIFICATE)
                return cli_end(r->cli, e);
        found = e ? NULL : json_string_value(json_object_get(json_array_get(reply, 0), "serial"));
        *ret = found && strcmp(found, text) == 0 ? json_incref(json_array_get(reply, 0)) : NULL;
        return 0;
}

static const char *member(const json_t *row, const char *name)
{
        const char *text = json_string_value(json_object_get(row, name));

        return text ? text : "";
}

/* ---- who answers ---- */

static int read_ca(Responder *r)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        _cleanup_json_ json_t *reply = NULL;
        FindingList findings = {.n = 0};
        CallArgs args = {0};
        int e = cli_end(r->cli, call(r, "Describe", &args, &reply));

        if (e)
                return e;
        if (!json_object_get(json_array_get(reply, 0), "certificate"))
                return cli_fail_with(r->cli, EXIT_CODE_FAILED, "CaNotInitialised", "The CA has no certificate yet.");
        if (ca_take_bytes(json_array_get(reply, 0), "certificate", &der) ||
                        cert_chain_parse(buffer_bytes(&der), FINDING_OF_OURS, &findings, &r->ca))
                return cli_fail(r->cli, HF_ERROR_INTERNAL);
        return 0;
}

/* Who issued it is next in its chain: of a root that is its own key under the root before or after it. Nothing is there if that
 * root stands alone, and then it is the CA itself. */
static int read_issuer(Responder *r)
{
        int e = ca_take_chain(r->cli, r->row, &r->chain);

        if (!e)
                r->issuer = cert_chain_count(r->chain) > 1 ? cert_chain_at(r->chain, 1) : cert_chain_at(r->ca, 0);
        return e;
}

static int refuse_signer(const Responder *r, const char *why)
{
        return cli_fail_with(r->cli, EXIT_CODE_CERTIFICATE, "not-an-ocsp-signer", "%s does not answer for this CA: %s.",
                        r->signer, why);
}

static int read_signer(Responder *r)
{
        FindingList findings = {.n = 0};
        uint8_t serial[CA_SERIAL_SIZE];
        int e = cert_identity_load(cert_directory(), r->signer, &findings, &r->identity);

        if (e == HF_E_INVALID_NAME)
                return cli_usage(r->cli, "'%s' is not the name of an identity.", r->signer);
        if (e < 0)
                return cli_fail_file(r->cli, cert_directory(), e);
        if (findings.n > 0)
                return findings_fail(r->cli, &findings);
        if (!ca_ocsp_serial(cert_chain_at(r->identity.chain, 0), serial))
                return refuse_signer(r, "its certificate was not issued by this CA");
        e = look_up(r, serial, &r->row);
        if (e)
                return e;
        return r->row ? read_issuer(r) : refuse_signer(r, "its certificate was not issued by this CA");
}

/* Is it fit, has the CA named it, and not taken that back? Nobody but us would ask whether it is revoked. */
static int check_signer(const Responder *r)
{
        const char *status = member(r->row, "status");
        FindingList findings = {.n = 0};
        CaProblem problem = {.text = ""};
        int e = cert_identity_check(&r->identity, CERT_USAGE_ANY, 0, &findings);

        if (e < 0)
                return cli_fail_file(r->cli, cert_directory(), e);
        if (findings.n > 0)
                return findings_fail(r->cli, &findings);
        if (ca_ocsp_check_signer(cert_chain_at(r->identity.chain, 0), r->issuer, &problem))
                return refuse_signer(r, problem.text);
        if (strcmp(status, "active") == 0 || strcmp(status, "superseded") == 0)
                return 0;
        snprintf(problem.text, sizeof(problem.text), "its certificate is %s", status);
        return refuse_signer(r, problem.text);
}

static bool is_asked(const Responder *r)
{
        uint8_t serial[CA_SERIAL_SIZE];

        for (size_t i = 0; i < ca_ocsp_request_count(r->request); i++)
                if (ca_ocsp_request_serial(r->request, i, r->issuer, serial))
                        return true;
        return false;
}

/* The first one whose CA is asked; *ret false: none is. */
static int choose_signer(Responder *r, bool *ret)
{
        const OptionList *signers = &r->cli->options.signers;
        int e = 0;

        *ret = false;
        for (size_t i = 0; !e && !*ret && i < signers->n; i++) {
                signer_clear(r);
                r->signer = signers->items[i];
                e = read_signer(r);
                *ret = !e && is_asked(r);
        }
        return e;
}

/* ---- what is answered ---- */

static CaOcspAnswer answer_of(const json_t *row)
{
        const char *status = member(row, "status");
        CaOcspAnswer a = {.status = CA_OCSP_UNKNOWN};

        if (strcmp(status, "revoked") == 0) {
                a = (CaOcspAnswer){.status = CA_OCSP_REVOKED,
                                .when = (uint64_t)json_integer_value(json_object_get(row, "revoked"))};
                if (!ca_reason_from_string(member(row, "reason"), &a.reason))
                        a.reason = CA_REASON_UNSPECIFIED;
        } else if (strcmp(status, "active") == 0 || strcmp(status, "superseded") == 0 || strcmp(status, "expired") == 0) {
                a.status = CA_OCSP_GOOD; /* RFC 6960 section 2.2: not revoked; no more is said */
        }
        return a;
}

/* A certificate of another CA is unknown here: its own signer answers for it. */
static int ask_registry(const Responder *r, CaOcspAnswer ret[static CA_OCSP_CERTIFICATES_MAX])
{
        for (size_t i = 0; i < ca_ocsp_request_count(r->request); i++) {
                _cleanup_json_ json_t *row = NULL;
                uint8_t serial[CA_SERIAL_SIZE];
                int e;

                ret[i] = (CaOcspAnswer){.status = CA_OCSP_UNKNOWN};
                if (!ca_ocsp_request_serial(r->request, i, r->issuer, serial))
                        continue;
                e = look_up(r, serial, &row);
                if (e)
                        return e;
                if (row && strcmp(member(row, "authority"), member(r->row, "authority")) == 0)
                        ret[i] = answer_of(row);
        }
        return 0;
}

static int show(Cli *cli, int e, const Buffer *response)
{
        return e ? cli_fail_file(cli, "answer", e < 0 ? -e : EIO)
                 : show_bytes(cli, BYTES_BINARY, "response", (HfSpan){response->data, response->len});
}

/* The asker is told; there is nothing to sign. */
static int refuse(Cli *cli, CaOcspError error, const char *why)
{
        _cleanup_buffer_ Buffer response = BUFFER_INIT(CA_OCSP_RESPONSE_MAX);

        cli_talk(cli, "%s", why);
        return show(cli, ca_ocsp_error(error, &response), &response);
}

static int sign(const Responder *r, const CaOcspAnswer *answers)
{
        _cleanup_buffer_ Buffer response = BUFFER_INIT(CA_OCSP_RESPONSE_MAX);
        _cleanup_cert_key_ CertKey key = {.pkey = NULL};
        FindingList findings = {.n = 0};
        uint64_t now = clock_wall();
        int e = cert_key_load(buffer_bytes(&r->identity.reference), &findings, &key);

        if (e == 0)
                e = ca_ocsp_respond(&(CaOcspParams){.request = r->request, .answers = answers,
                                                   .signer = cert_chain_at(r->identity.chain, 0), .key = key.pkey,
                                                   .context = key.context, .properties = CERT_KEY_PROPERTIES, .this_update = now,
                                                   .next_update = now + r->hours * USEC_PER_HOUR}, &response);
        if (e > 0) {
                cert_key_findings(&findings);
                if (!findings.n)
                        findings_add(&findings, FINDING_KEY_UNUSABLE, FINDING_OF_OURS, 0, "the signature could not be made");
                return findings_fail(r->cli, &findings);
        }
        return show(r->cli, e, &response);
}

static int respond(Responder *r)
{
        CaOcspAnswer answers[CA_OCSP_CERTIFICATES_MAX];
        bool asked;
        int e = choose_signer(r, &asked);

        if (e)
                return e;
        if (!asked)
                return refuse(r->cli, CA_OCSP_UNAUTHORIZED,
                                "No certificate in the request is of a CA that a signer here answers for; the answer is "
                                "`unauthorized`.");
        e = check_signer(r);
        if (!e)
                e = ask_registry(r, answers);
        return e ? e : sign(r, answers);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%2F" is a slash; what is no such escape stays. In place. */
static size_t unescape(char *text, size_t len)
{
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                bool escape = text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;

                text[n++] = escape ? (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])) : text[i];
                i += escape ? 2 : 0;
        }
        return n;
}

/* The path of a GET (RFC 6960 appendix A.1), with the slash before it or without: base64, whose characters may be escaped. DER of
 * a request begins with '0', its base64 with 'M'. What is neither is left for the parser to refuse. */
static int decode_get(Buffer *request)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_OCSP_REQUEST_MAX);
        char *text = (char *)request->data;
        size_t len = request->len, skip = len && text[0] == '/', n = 0;
        int r;

        if (len == skip || text[skip] != 'M')
                return 0;
        len = unescape(text + skip, len - skip);
        r = buffer_reserve(&der, len);
        if (r || base64_decode(text + skip, len, der.data, der.allocated, &n))
                return r;
        memcpy(request->data, der.data, n);
        request->len = n;
        return 0;
}

int ca_ocsp_run(Cli *cli)
{
        _cleanup_(responder_clear) Responder r = {.cli = cli, .hours = HOURS_USUAL};
        _cleanup_buffer_ Buffer request = BUFFER_INIT(CA_OCSP_REQUEST_MAX);
        int e;

        if (!cli->options.signers.n)
                return cli_usage(cli, "--signer NAME is the identity that answers; its certificate is of profile ocsp.");
        if (cli->options.hours && !cli_number(cli, "--hours", cli->options.hours, 1, HOURS_MAX, &r.hours))
                return EXIT_CODE_USAGE;
        e = ca_path(cli, NULL, &r.path);
        if (!e)
                e = input_read(cli, cli->args[0], CA_OCSP_REQUEST_MAX, &request);
        if (!e)
                e = read_ca(&r);
        if (e)
                return e;
        e = decode_get(&request);
        if (!e)
                e = ca_ocsp_request_read(buffer_bytes(&request), &r.request);
        if (e == HF_E_LIMIT_EXCEEDED)
                return refuse(cli, CA_OCSP_UNAUTHORIZED,
                                "The request asks for more than 32 certificates; the answer is `unauthorized`.");
        if (e > 0)
                return refuse(cli, CA_OCSP_MALFORMED_REQUEST, "That is no request; the answer is `malformedRequest`.");
        return e ? cli_fail_file(cli, "request", e) : respond(&r);
}
