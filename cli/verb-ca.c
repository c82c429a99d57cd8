/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ca: private CAs, and what they issue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ca.h"

#define REQUEST_MAX 32768
#define PAGE 1000

static const Column authority_fields[] = {
                {"name", "Name", COLUMN_TEXT},
                {"kind", "Kind", COLUMN_TEXT},
                {"parent", "Issued by", COLUMN_TEXT},
                {"state", "State", COLUMN_TEXT},
                {"follows", "Follows", COLUMN_TEXT},
                {"successor", "Followed by", COLUMN_TEXT},
                {"awake-until", "Awake until", COLUMN_TIME},
                {"algorithm", "Algorithm", COLUMN_TEXT},
                {"protection", "Protection", COLUMN_TEXT},
                {"path-length", "Path length", COLUMN_TEXT},
                {"not-before", "Not before", COLUMN_TIME},
                {"not-after", "Not after", COLUMN_TIME},
                {"crl-number", "Last list", COLUMN_TEXT},
                {"crl-due", "Next list by", COLUMN_TIME},
                {"directory", "Directory", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static const Column authority_columns[] = {
                {"name", "NAME", COLUMN_TEXT},
                {"kind", "KIND", COLUMN_TEXT},
                {"state", "STATE", COLUMN_TEXT},
                {"algorithm", "ALGORITHM", COLUMN_TEXT},
                {"protection", "PROTECTION", COLUMN_TEXT},
                {"not-after", "NOT AFTER", COLUMN_TIME},
                {"crl-due", "NEXT LIST BY", COLUMN_TIME},
                {NULL, NULL, COLUMN_TEXT},
};

static const Column certificate_fields[] = {
                {"name", "Name", COLUMN_TEXT},
                {"status", "Status", COLUMN_TEXT},
                {"serial", "Serial", COLUMN_TEXT},
                {"fingerprint", "SHA-256", COLUMN_TEXT},
                {"authority", "Issued by", COLUMN_TEXT},
                {"profile", "Profile", COLUMN_TEXT},
                {"domain", "Domain", COLUMN_TEXT},
                {"metadata", "Metadata", COLUMN_TEXT},
                {"issued", "Issued", COLUMN_TIME},
                {"expires", "Expires", COLUMN_TIME},
                {"revoked", "Revoked", COLUMN_TIME},
                {"superseded", "Superseded", COLUMN_TIME},
                {"reason", "Reason", COLUMN_TEXT},
                {"text", "Text", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static const Column certificate_columns[] = {
                {"name", "NAME", COLUMN_TEXT},
                {"status", "STATUS", COLUMN_TEXT},
                {"profile", "PROFILE", COLUMN_TEXT},
                {"issued", "ISSUED", COLUMN_TIME},
                {"expires", "EXPIRES", COLUMN_TIME},
                {"reason", "REASON", COLUMN_TEXT},
                {"serial", "SERIAL", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* Programs get what it was done to. */
static int tell_name(Cli *cli, const char *name)
{
        _cleanup_json_ json_t *j = cli->options.json ? json_pack("{s:s}", "name", name) : NULL;

        if (!cli->options.json)
                return 0;
        return j ? show_json(cli, j) : EXIT_CODE_FAILED;
}

/* ---- making ---- */

static void add_names(const Options *o, CallArgs *args)
{
        args_strings(args, "set", &o->set);
        args_strings(args, "dns", &o->dns);
        args_strings(args, "ip", &o->ip);
        args_strings(args, "uri", &o->uri);
        args_strings(args, "email", &o->email);
}

static int write_request(Cli *cli, const char *name)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(REQUEST_MAX), der = BUFFER_INIT(REQUEST_MAX);
        _cleanup_json_ json_t *reply = NULL, *whole = NULL;
        const Options *o = &cli->options;
        CallArgs args = {0};
        int r;

        add_names(o, &args);
        r = ca_call(cli, name, "CreateCsr", &args, &reply);
        if (r)
                return r;
        whole = json_pack("{s:O}", "csr", json_array_get(reply, 0));
        if (!whole || ca_take_bytes(whole, "csr", &der) ||
                        pem_encode("CERTIFICATE REQUEST", (HfSpan){der.data, der.len}, &pem) < 0)
                return cli_fail(cli, HF_ERROR_INTERNAL);
        cli->options.output = strcmp(o->csr, "-") ? o->csr : NULL;
        r = show_bytes(cli, BYTES_TEXT, "csr", (HfSpan){pem.data, pem.len});
        if (!r)
                cli_talk(cli, "%s waits for its certificate. When the CA above has signed the request: `holdfast ca import %s "
                              "CHAIN.pem`, with the certificates of all CAs above it.", name, name);
        return r;
}

/* Of a key in the TPM nobody need have known which it would be. */
static void tell_algorithm(Cli *cli, const json_t *authority)
{
        const char *algorithm = json_string_value(json_object_get(authority, "algorithm"));

        if (!cli->options.algorithm && algorithm && strcmp(algorithm, "p256") == 0)
                cli_talk(cli, "Its key is a P-256 one: the TPM of this machine makes no P-384 keys.");
}

/* What is lost is counted and said before it is asked; the service counts again, and refuses where it is another number. */
static int ask_anew(Cli *cli, const char *name, CallArgs *args)
{
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        unsigned orphans, below;
        CallArgs none = {0};
        char words[384];
        const json_t *found;
        int r;

        if (!o->anew)
                return o->without_backup ? cli_usage(cli, "--without-backup goes with --anew.") : 0;
        r = ca_call(cli, name, "Orphans", &none, &reply);
        if (r)
                return r;
        found = json_array_get(reply, 0);
        orphans = (unsigned)json_integer_value(json_object_get(found, "orphans"));
        below = (unsigned)json_integer_value(json_object_get(found, "authorities"));
        if (!o->without_backup && !json_is_true(json_object_get(found, "backed-up")))
                return cli_fail(cli, HF_ERROR_BACKUP_NEEDED);
        snprintf(words, sizeof(words),
                        "This destroys the key of the CA %s, which cannot be undone: %u live %s would have no CA, those of %u "
                        "CAs below it too. `holdfast ca rollover %s` orphans none.",
                        name, orphans, orphans == 1 ? "certificate" : "certificates", below, name);
        if (o->yes)
                cli_talk(cli, "%s", words);
        r = cli_confirm_name(cli, name, "%s", words);
        args_flag(args, "anew", true);
        args_number(args, "orphans", HF_ARG_U32, orphans);
        args_flag(args, "without-backup", o->without_backup);
        return r;
}

/* The key is made once; the request is signed as often as it is asked for. */
static int run_init_outside(Cli *cli, const char *name)
{
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        CallArgs args = {0};
        int r;

        if (o->parent || o->days || o->path_length)
                return cli_usage(cli, "Who signs a request says --days and --path-length, and is the --parent.");
        args_string(&args, NULL, name);
        args_string(&args, NULL, "intermediate");
        args_flag(&args, "outside", true);
        args_string(&args, "algorithm", o->algorithm);
        args_string(&args, "protection", o->protection);
        r = ask_anew(cli, name, &args);
        if (r)
                return r;
        r = cli_call(cli, CALL_MANAGER("CreateAuthority", &args, .timeout = CALL_LONG), &reply);
        if (r)
                return r;
        tell_algorithm(cli, json_array_get(reply, 0));
        return write_request(cli, name);
}

static int run_init(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        const char *kind = cli->args[0];
        const Options *o = &cli->options;
        const char *name = o->name ? o->name : kind;
        CallArgs args = {0};
        int r;

        if (strcmp(kind, "root") && strcmp(kind, "intermediate"))
                return cli_usage(cli, "'%s' is no kind of CA: root or intermediate.", kind);
        if (o->csr && strcmp(kind, "root") == 0)
                return cli_usage(cli, "A root signs itself: --csr is for an intermediate.");
        if (o->csr)
                return run_init_outside(cli, name);
        args_string(&args, NULL, name);
        args_string(&args, NULL, kind);
        args_string(&args, "parent", strcmp(kind, "root") ? o->parent : NULL);
        args_string(&args, "algorithm", o->algorithm);
        args_string(&args, "protection", o->protection);
        add_names(o, &args);
        if (!ca_add_number(cli, &args, "days", o->days, 1, 36500) ||
                        !ca_add_number(cli, &args, "path-length", o->path_length, 0, 8))
                return EXIT_CODE_USAGE;
        r = ask_anew(cli, name, &args);
        if (r)
                return r;
        cli->hint = "--protection is software or tpm. Nothing was made.";
        r = cli_call(cli, CALL_MANAGER("CreateAuthority", &args, .timeout = CALL_LONG), &reply);
        if (r)
                return r;
        cli_talk(cli, strcmp(kind, "root") ? "The CA is made; it issues with `holdfast ca issue`."
                                           : "The root is made. It goes to rest when it has signed its first intermediate.");
        tell_algorithm(cli, json_array_get(reply, 0));
        return show_object(cli, json_array_get(reply, 0), authority_fields);
}

static int run_import(Cli *cli)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(CERT_FILE_MAX);
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r = input_read(cli, cli->args[1], CERT_FILE_MAX, &pem);

        if (r)
                return r;
        args_bytes(&args, NULL, (HfSpan){pem.data, pem.len});
        r = ca_call(cli, cli->args[0], "Import", &args, &reply);
        if (r)
                return r;
        cli_talk(cli, "The certificate is taken; %s issues with `holdfast ca issue`.", cli->args[0]);
        return show_object(cli, json_array_get(reply, 0), authority_fields);
}

static int run_rollover(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        CallArgs args = {0};
        const char *name;
        int r;

        if (!ca_add_number(cli, &args, "days", o->days, 1, 36500))
                return EXIT_CODE_USAGE;
        if (o->csr)
                args_flag(&args, "outside", true);
        r = ca_call(cli, cli->args[0], "Rollover", &args, &reply);
        if (r)
                return r;
        name = json_string_value(json_object_get(json_array_get(reply, 0), "name"));
        if (o->csr)
                return write_request(cli, name);
        cli_talk(cli, "%s issues from now on where %s is asked to; both publish their lists.", name, cli->args[0]);
        return show_object(cli, json_array_get(reply, 0), authority_fields);
}

static int run_enable(Cli *cli)
{
        const char *name = cli->n_args ? cli->args[0] : "root";
        CallArgs args = {0};
        int r = ca_call(cli, name, "Enable", &args, NULL);

        if (r)
                return r;
        cli_talk(cli, "%s signs for an hour.", name);
        return tell_name(cli, name);
}

/* ---- issuing ---- */

static int show_chain(Cli *cli, json_t *certificate)
{
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(1 << 20);

        if (cli->options.json)
                return show_json(cli, certificate);
        if (ca_take_bytes(certificate, "chain", &chain))
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return show_bytes(cli, BYTES_TEXT, "chain", (HfSpan){chain.data, chain.len});
}

static int add_issue_options(Cli *cli, CallArgs *args)
{
        const Options *o = &cli->options;

        args_string(args, "key", o->key);
        args_string(args, "name", o->name);
        add_names(o, args);
        args_string(args, "device-id", o->device_id);
        args_string(args, "device-label", o->device_label);
        args_string(args, "device-type", o->device_type);
        args_string(args, "hardware", o->hardware);
        args_string(args, "firmware", o->firmware);
        args_string(args, "metadata", o->metadata);
        return ca_add_number(cli, args, "days", o->days, 1, 36500) ? 0 : EXIT_CODE_USAGE;
}

static int run_issue(Cli *cli)
{
        _cleanup_buffer_ Buffer request = BUFFER_INIT(REQUEST_MAX);
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        CallArgs args = {0};
        int r = 0;

        if (!cli->n_args == !o->key)
                return cli_usage(cli, "Give the file of a request, or --key NAME for a key in this Holdfast.");
        if (cli->n_args)
                r = input_read(cli, cli->args[0], REQUEST_MAX, &request);
        if (r)
                return r;
        args_bytes(&args, NULL, (HfSpan){request.data, request.len});
        args_string(&args, NULL, o->profile ? o->profile : "device");
        r = add_issue_options(cli, &args);
        if (!r)
                r = ca_call(cli, NULL, "Issue", &args, &reply);
        return r ? r : show_chain(cli, json_array_get(reply, 0));
}

static int run_renew(Cli *cli)
{
        _cleanup_buffer_ Buffer request = BUFFER_INIT(REQUEST_MAX);
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        if ((cli->n_args > 1) + !!cli->options.key + cli->options.rekey > 1)
                return cli_usage(cli, "Give a REQUEST, --key NAME or --rekey, one of them.");
        if (cli->options.rekey) {
                r = ca_rekey(cli, cli->args[0], &reply);
                return r ? r : show_chain(cli, json_array_get(reply, 0));
        }
        r = cli->n_args > 1 ? input_read(cli, cli->args[1], REQUEST_MAX, &request) : 0;
        if (r)
                return r;
        args_string(&args, NULL, cli->args[0]);
        args_bytes(&args, NULL, (HfSpan){request.data, request.len});
        args_string(&args, "key", cli->options.key);
        if (!ca_add_number(cli, &args, "days", cli->options.days, 1, 36500))
                return EXIT_CODE_USAGE;
        r = ca_call(cli, NULL, "Renew", &args, &reply);
        return r ? r : show_chain(cli, json_array_get(reply, 0));
}

/* ---- looking ---- */

static char *quoted(const char *text)
{
        char *copy = malloc(2 * strlen(text) + 3), *p = copy;

        if (!copy)
                return NULL;
        *p++ = '"';
        for (; *text; text++) {
                if (*text == '"')
                        *p++ = '"';
                *p++ = *text;
        }
        strcpy(p, "\"");
        return copy;
}

/* RFC 4180; every text in quotes, times as they are in JSON. */
static int print_csv(const json_t *list)
{
        static const char *const members[] = {"serial", "fingerprint", "name", "domain", "metadata", "profile", "status",
                        "issued", "expires", "revoked", "superseded", "reason", "text"};

        for (size_t k = 0; k < ELEMENTSOF(members); k++)
                printf("%s%s", k ? "," : "", members[k]);
        printf("\r\n");
        for (size_t i = 0; i < json_array_size(list); i++) {
                for (size_t k = 0; k < ELEMENTSOF(members); k++) {
                        const json_t *v = json_object_get(json_array_get(list, i), members[k]);
                        _cleanup_free_ char *text = json_is_string(v) ? quoted(json_string_value(v)) : NULL;

                        printf("%s", k ? "," : "");
                        if (text)
                                printf("%s", text);
                        else if (json_is_integer(v))
                                printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
                }
                printf("\r\n");
        }
        return fflush(stdout) ? EXIT_CODE_FAILED : 0;
}

static int run_list(Cli *cli)
{
        const char *status = cli->n_args && strcmp(cli->args[0], "all") ? cli->args[0] : NULL;
        _cleanup_json_ json_t *all = json_array();
        _cleanup_free_ char *after = NULL;

        cli->hint = "List all, active, revoked, superseded, expired, expiring or orphaned.";
        do {
                _cleanup_json_ json_t *reply = NULL;
                CallArgs args = {0};
                int r;

                args_string(&args, "status", status);
                args_string(&args, "after", after);
                args_number(&args, "limit", HF_ARG_U32, PAGE);
                r = ca_call(cli, NULL, "List", &args, &reply);
                if (r)
                        return r;
                json_array_extend(all, json_array_get(reply, 0));
                free(after);
                after = strdup(json_string_value(json_array_get(reply, 1)));
        } while (after && *after);
        return cli->options.csv && !cli->options.json ? print_csv(all) : show_list(cli, all, certificate_columns);
}

/* After a move to another machine, say: the store has a root's list only as a number, and the root is at rest. */
static void tell_unpublished(Cli *cli, const json_t *authority)
{
        const char *name = json_string_value(json_object_get(authority, "name"));
        const char *state = json_string_value(json_object_get(authority, "state"));
        bool rests = state && strcmp(state, "at-rest") == 0;

        if (name && state && (rests || strcmp(state, "active") == 0) && json_is_false(json_object_get(authority, "published")))
                cli_talk(cli, "The revocation list of %s is not where servers read it; they refuse everybody. %s%s", name,
                                rests ? "Have it made: holdfast ca enable " : "Holdfast tries to write it every ten minutes.",
                                rests ? name : "");
}

/* CAs: all of them, or the one of --ca. */
static int show_authorities(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        if (cli->options.ca) {
                r = ca_call(cli, NULL, "Describe", &args, &reply);
                if (r)
                        return r;
                tell_unpublished(cli, json_array_get(reply, 0));
                return show_object(cli, json_array_get(reply, 0), authority_fields);
        }
        r = cli_call(cli, CALL_MANAGER("ListAuthorities", &args, .idempotent = true), &reply);
        for (size_t i = 0; !r && i < json_array_size(json_array_get(reply, 0)); i++)
                tell_unpublished(cli, json_array_get(json_array_get(reply, 0), i));
        return r ? r : show_list(cli, json_array_get(reply, 0), authority_columns);
}

static int show_text(Cli *cli, const json_t *certificate)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
        int r = ca_take_chain(cli, certificate, &chain);

        if (r)
                return r;
        if (cert_chain_print(chain, 0, &text))
                return cli_fail_file(cli, "the certificate", ENOMEM);
        return show_bytes(cli, BYTES_TEXT, "text", (HfSpan){text.data, text.len});
}

static int run_show(Cli *cli)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(1 << 16);
        _cleanup_json_ json_t *reply = NULL;
        json_t *certificate;
        int r;

        if (!cli->n_args)
                return show_authorities(cli);
        r = ca_find(cli, cli->args[0], &reply);
        if (r)
                return r;
        certificate = json_array_get(reply, 0);
        if (cli->options.pem && !cli->options.json)
                return show_chain(cli, certificate);
        if (cli->options.as_text && !cli->options.json)
                return show_text(cli, certificate);
        if (!cli->options.der || cli->options.json)
                return show_object(cli, certificate, certificate_fields);
        if (ca_take_bytes(certificate, "certificate", &der))
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return show_bytes(cli, BYTES_BINARY, "certificate", (HfSpan){der.data, der.len});
}

/* The exit code is the answer: a server asks for the certificate that a client has shown. */
static int run_status(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        const char *status;
        int r = ca_find(cli, cli->args[0], &reply);

        if (r)
                return r;
        status = json_string_value(json_object_get(json_array_get(reply, 0), "status"));
        if (cli->options.json)
                r = show_json(cli, json_array_get(reply, 0));
        else
                printf("%s\n", status ? status : "unknown");
        if (status && strcmp(status, "orphaned") == 0)
                cli_talk(cli, "Its CA, or one above that, was made anew since. Have another one issued: `holdfast ca issue`, or "
                              "`holdfast ca renew` where its CA was rolled over under the new one.");
        return r ? r : status && strcmp(status, "active") == 0 ? 0 : EXIT_CODE_CERTIFICATE;
}

/* ---- revoking ---- */

static int run_revoke(Cli *cli)
{
        const char *reason = cli->options.reason ? cli->options.reason : "unspecified";
        CallArgs args = {0};
        int r;

        r = strcmp(reason, "removeFromCRL") && strcmp(reason, "certificateHold")
                            ? cli_confirm(cli, "Revoke %s? That cannot be taken back.", cli->args[0])
                            : 0;
        if (r)
                return r;
        args_string(&args, NULL, cli->args[0]);
        args_string(&args, NULL, reason);
        args_string(&args, "text", cli->options.text);
        cli->hint = "--reason is one of RFC 5280: keyCompromise, cACompromise, affiliationChanged, superseded, "
                    "cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise, unspecified; removeFromCRL lifts a "
                    "hold. Nothing was revoked.";
        r = ca_call(cli, NULL, "Revoke", &args, NULL);
        if (r)
                return r;
        cli_talk(cli, strcmp(reason, "removeFromCRL") ? "%s is revoked, and the new list is published."
                                                      : "%s is no longer held, and the new list is published.",
                        cli->args[0]);
        return tell_name(cli, cli->args[0]);
}

const Verb verbs_ca[] = {
                {"ca", "init", "KIND", 1, 1,
                                "name parent algorithm protection set dns ip uri email days path-length csr anew without-backup",
                                "Make a CA: root or intermediate", run_init},
                {"ca", "import", "NAME CHAIN", 2, 2, "", "Take the certificate of a CA whose root is elsewhere", run_import},
                {"ca", "rollover", "NAME", 1, 1, "days csr", "Another CA in the place of one, beside it", run_rollover},
                {"ca", "enable", "[NAME]", 0, 1, "", "Let a root that is at rest sign for an hour", run_enable},
                {"ca", "issue", "[REQUEST]", 0, 1,
                                "ca profile key name set dns ip uri email device-id device-label device-type hardware firmware "
                                "metadata days output",
                                "Issue a certificate for a request, or for a key here", run_issue},
                {"ca", "renew", "WHICH [REQUEST]", 1, 2, "ca key rekey days output",
                                "Issue what follows a certificate, for the same key or another", run_renew},
                {"ca", "list", "[STATUS]", 0, 1, "ca csv",
                                "List what was issued: all, active, revoked, expired, expiring, orphaned", run_list},
                {"ca", "show", "[WHICH]", 0, 1, "ca pem der text output",
                                "Show a certificate by name, serial or fingerprint; or the CAs", run_show},
                {"ca", "status", "WHICH", 1, 1, "ca", "Tell whether a certificate is active; the exit code too", run_status},
                {"ca", "package", "WHICH DIR", 2, 2, "ca", "What the holder of a certificate is handed, in a new directory",
                                ca_package_run},
                {"ca", "diagnose", "NAME", 1, 1, "ca connect chain timeout",
                                "Why does a server reject a certificate? Six questions", ca_diagnose_run},
                {"ca", "crl", "put FILE|list", 1, 2, "chain",
                                "Hand in the revocation list of a CA elsewhere; or list them", ca_crl_run},
                {"ca", "ocsp", "REQUEST", 1, 1, "ca signer hours output",
                                "Answer a request for the status of certificates (RFC 6960)", ca_ocsp_run},
                {"ca", "revoke", "WHICH", 1, 1, "ca reason text", "Revoke a certificate and publish the list", run_revoke},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
