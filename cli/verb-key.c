/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* key: create, list, show, public, import, csr, and the states of a key. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/grant.h"
#include "cli/nonce.h"

static const Column description_columns[] = {
                {"name", "Name", COLUMN_TEXT},
                {"uuid", "UUID", COLUMN_TEXT},
                {"algorithm", "Algorithm", COLUMN_TEXT},
                {"purpose", "Purpose", COLUMN_TEXT},
                {"protection", "Protection", COLUMN_TEXT},
                {"state", "State", COLUMN_TEXT},
                {"lost-time", "Lost since", COLUMN_TIME},
                {"unavailable", "Unavailable", COLUMN_TEXT},
                {"frozen", "Frozen", COLUMN_TEXT},
                {"digest", "Signs digests", COLUMN_TEXT},
                {"imported", "Imported", COLUMN_TEXT},
                {"created", "Created", COLUMN_TIME},
                {"schemes", "Schemes", COLUMN_TEXT},
                {"fingerprint", "Fingerprint", COLUMN_TEXT},
                {"rule", "Rule", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* What CreateKey and ImportKey answer: path, description. */
static int show_made(Cli *cli, json_t *reply)
{
        return show_object(cli, json_array_get(reply, 1), description_columns);
}

static void make_args(const Cli *cli, CallArgs *args)
{
        args_string(args, "purpose", cli->options.purpose);
        args_flag(args, "digest", cli->options.digest);
}

#define MAKE_HINT                                                                                            \
        "--purpose is sign, decrypt, agree, mac or seal; --protection is software or tpm; --digest is for keys "    \
        "that sign, but not "                                                                                \
        "with Ed25519. Nothing was made."

static int run_create(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        CallArgs args = {0};
        const char *algorithm = cli->options.algorithm ? cli->options.algorithm : "p256";
        char rule[GRANT_RULE_SIZE];
        int r, granted = 0;

        if (cli->options.for_user) {
                r = grant_rule(cli, cli->options.for_user, cli->args[0], rule);
                if (r)
                        return r;
        }
        args_string(&args, NULL, cli->args[0]);
        args_string(&args, NULL, algorithm);
        args_string(&args, "protection", cli->options.protection);
        make_args(cli, &args);
        cli->hint = MAKE_HINT;
        r = cli_try(cli, CALL_MANAGER("CreateKey", &args, .timeout = CALL_LONG), &reply);
        if (r == HF_ERROR_PURPOSE_NOT_PERMITTED)
                return cli_fail_with(cli, errors_exit_code(r), hf_error_to_name(r),
                                "A key of algorithm %s cannot be made for purpose '%s'. Nothing was made.",
                                algorithm, cli->options.purpose);
        if (r)
                return cli_end(cli, r);
        if (cli->options.for_user) {
                json_object_set_new(json_array_get(reply, 1), "rule", json_string(rule));
                granted = grant_path(cli->args[0], &path) ? cli_fail_file(cli, "policy", ENOMEM)
                                                          : grant_write(cli, path, rule, "The key is made");
        }
        if (granted && cli->options.json)
                return granted; /* the error is told already, and says that the key is made */
        r = show_made(cli, reply);
        return r ? r : granted;
}

#define IMPORT_HINT                                                                                          \
        "FILE is one private key, unencrypted, as PKCS#8 in PEM or DER (openssl pkcs8 -topk8 -nocrypt); with "   \
        "--protection tpm a TSS2 PRIVATE KEY. --purpose must suit it; --digest is for keys that sign, but not "  \
        "with Ed25519. Nothing was kept."

/* In the words of a file: the contract's own are about messages and keys that are there. */
static int fail_import(Cli *cli, int r)
{
        const char *file = cli->args[1];

        switch (r) {
        case HF_ERROR_INVALID_FD:
                return cli_fail_with(cli, errors_exit_code(r), hf_error_to_name(r),
                                "%s is neither a file nor a pipe. Nothing was kept.", file);
        case HF_ERROR_MESSAGE_TOO_LARGE:
                return cli_fail_with(cli, errors_exit_code(r), hf_error_to_name(r),
                                "%s has more than 65536 bytes, so it is no key. Nothing was kept.", file);
        case HF_ERROR_PURPOSE_NOT_PERMITTED:
                return cli_fail_with(cli, errors_exit_code(r), hf_error_to_name(r),
                                "The key in %s cannot have purpose '%s'. Nothing was kept.", file,
                                cli->options.purpose ? cli->options.purpose : "sign");
        default:
                return cli_end(cli, r);
        }
}

static int run_import(Cli *cli)
{
        _cleanup_close_ int fd = open(cli->args[1], O_RDONLY | O_CLOEXEC | O_NOCTTY), secret_fd = -EBADF;
        bool tpm = cli->options.protection && strcmp(cli->options.protection, "tpm") == 0;
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        if (fd < 0)
                return cli_fail_file(cli, cli->args[1], errno);
        if (passphrase_given(cli) && !tpm)
                return cli_usage(cli, "Only keys of a TPM have an authorisation; for PKCS#8: openssl pkcs8 -topk8 -nocrypt.");
        if (passphrase_given(cli) && (r = passphrase_get(cli, "", false, &secret_fd)))
                return r;
        args_string(&args, NULL, cli->args[0]);
        args_fd(&args, NULL, fd);
        args_fd(&args, "secret", secret_fd);
        args_string(&args, "protection", cli->options.protection);
        make_args(cli, &args);
        cli->hint = IMPORT_HINT;
        r = cli_try(cli, CALL_MANAGER("ImportKey", &args, .timeout = CALL_LONG), &reply);
        if (r)
                return fail_import(cli, r);
        if (tpm)
                cli_talk(cli, "Imported. %s still opens in this TPM, by whoever knows its password.", cli->args[1]);
        else
                cli_talk(cli, "Imported. %s still has the key in the clear: shred it.", cli->args[1]);
        return show_made(cli, reply);
}

static const Column list_columns[] = {
                {"name", "NAME", COLUMN_TEXT},
                {"algorithm", "ALGORITHM", COLUMN_TEXT},
                {"purpose", "PURPOSE", COLUMN_TEXT},
                {"state", "STATE", COLUMN_TEXT},
                {"protection", "PROTECTION", COLUMN_TEXT},
                {"created", "CREATED", COLUMN_TIME},
                {"uuid", "UUID", COLUMN_TEXT},
                {"unavailable", "UNAVAILABLE", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* Page after page; `after` is the reply's own string and lives as long as the reply. */
static int list_page(Cli *cli, const char *after, json_t **ret)
{
        CallArgs args = {0};

        cli->hint = "A pattern is a name in which * is any run of characters and ? one.";
        args_string(&args, "pattern", cli->n_args > 0 ? cli->args[0] : NULL);
        args_flag(&args, "retired", cli->options.retired);
        args_string(&args, "after", after);
        return cli_call(cli, CALL_MANAGER("ListKeys", &args, .idempotent = true), ret);
}

static int run_list(Cli *cli)
{
        _cleanup_json_ json_t *all = json_array(), *page = NULL;
        const char *next = NULL;
        int r;

        do {
                json_t *reply = NULL;

                r = list_page(cli, next, &reply);
                if (r)
                        return r;
                json_decref(page);
                page = reply;
                json_array_extend(all, json_array_get(page, 0));
                next = json_string_value(json_array_get(page, 1));
        } while (next && next[0]);
        return show_list(cli, all, list_columns);
}

static int run_show(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        r = cli_call(cli, CALL_KEY(cli->args[0], "Describe", &args, .idempotent = true), &reply);
        return r ? r : show_object(cli, json_array_get(reply, 0), description_columns);
}

static int run_public(Cli *cli)
{
        const char *format = cli->options.format ? cli->options.format : "pem";
        _cleanup_reply_ sd_bus_message *reply = NULL;
        CallArgs args = {0};
        HfSpan bytes;
        int r;

        if (strcmp(format, "pem") && strcmp(format, "spki") && strcmp(format, "jwk") && strcmp(format, "ssh"))
                return cli_usage(cli, "--format is pem, spki, jwk or ssh, not '%s'.", format);
        args_string(&args, NULL, format);
        r = cli_call_bytes(cli, CALL_KEY(cli->args[0], "GetPublicKey", &args, .idempotent = true), &reply,
                        &bytes);
        return r ? r
                 : show_bytes(cli, strcmp(format, "spki") == 0 ? BYTES_BINARY : BYTES_TEXT, "public_key",
                                   bytes);
}

static int run_reference(Cli *cli)
{
        char text[HF_REFERENCE_MAX];
        size_t len = sizeof(text);
        HfKey *key;
        int r;

        r = cli_connect(cli);
        if (r)
                return cli_fail(cli, r);
        r = hf_key_open(cli->connection, cli->args[0], &key);
        if (r)
                return cli_fail(cli, r);
        r = hf_key_reference(key, text, &len);
        hf_key_close(key);
        return r ? cli_fail(cli, r) : show_bytes(cli, BYTES_TEXT, "reference", (HfSpan){text, len});
}

static int run_csr(Cli *cli)
{
        const char *format = cli->options.format ? cli->options.format : "pem";
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(256 * 1024);
        _cleanup_reply_ sd_bus_message *reply = NULL;
        CallArgs args = {0};
        HfSpan der;
        int r;

        if (strcmp(format, "pem") != 0 && strcmp(format, "der") != 0)
                return cli_usage(cli, "--format of a CSR is pem or der, not '%s'.", format);
        cli->hint = "The subject is written as CN=device-7,O=Example (RFC 4514); --dns, --ip, --uri and "
                    "--email take one name "
                    "each, 64 in all. Nothing was signed.";
        args_string(&args, NULL, cli->n_args > 1 ? cli->args[1] : "");
        args_string(&args, "scheme", cli->options.scheme);
        args_strings(&args, "dns", &cli->options.dns);
        args_strings(&args, "ip", &cli->options.ip);
        args_strings(&args, "uri", &cli->options.uri);
        args_strings(&args, "email", &cli->options.email);
        r = cli_call_bytes(cli, CALL_KEY(cli->args[0], "CreateCsr", &args), &reply, &der);
        if (r)
                return r;
        if (strcmp(format, "der") == 0)
                return show_bytes(cli, BYTES_BINARY, "csr", der);
        if (pem_encode("CERTIFICATE REQUEST", der, &pem) < 0)
                return cli_fail_file(cli, "csr", ENOMEM);
        return show_bytes(cli, BYTES_TEXT, "csr", (HfSpan){pem.data, pem.len});
}

static int run_attest(Cli *cli)
{
        _cleanup_reply_ sd_bus_message *reply = NULL;
        uint8_t nonce[ATTEST_NONCE_MAX];
        CallArgs args = {0};
        HfSpan statement;
        size_t len;
        int r;

        r = nonce_read(cli, nonce, &len);
        if (r)
                return r;
        args_bytes(&args, NULL, (HfSpan){nonce, len});
        r = cli_call_bytes(cli, CALL_KEY(cli->args[0], "Attest", &args, .timeout = CALL_LONG), &reply, &statement);
        if (r)
                return r;
        cli->options.json = false; /* it is JSON already */
        return show_bytes(cli, BYTES_TEXT, "statement", statement);
}

/* Enable and its like: no arguments, no answer. */
static int change(Cli *cli, const char *member, const char *done)
{
        CallArgs args = {0};
        int r;

        r = cli_call(cli, CALL_KEY(cli->args[0], member, &args), NULL);
        if (r)
                return r;
        cli_talk(cli, "Key %s is %s.", cli->args[0], done);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s, s:s}", "key", cli->args[0], "done", done);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        return 0;
}

static int run_enable(Cli *cli)
{
        return change(cli, "Enable", "enabled");
}

static int run_disable(Cli *cli)
{
        return change(cli, "Disable", "disabled");
}

/* As far as one may know. */
static bool is_disabled(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        const char *state;

        if (cli_try(cli, CALL_KEY(cli->args[0], "Describe", &args, .idempotent = true), &reply))
                return false;
        state = json_string_value(json_object_get(json_array_get(reply, 0), "state"));
        return state && strcmp(state, "disabled") == 0;
}

static int run_freeze(Cli *cli)
{
        bool disabled = is_disabled(cli);
        int r;

        if (disabled)
                cli_talk(cli, "Key %s is disabled: once frozen it can never be enabled, so it is of no use any more.",
                                cli->args[0]);
        r = cli_confirm(cli, "Freeze key %s? It can never be changed or destroyed again.", cli->args[0]);
        return r ? r : change(cli, "Freeze", "frozen");
}

static int run_retire(Cli *cli)
{
        return change(cli, "Retire", "retired");
}

static int run_destroy(Cli *cli)
{
        int r = cli_confirm(cli, "Destroy key %s? What was encrypted to it stays unreadable for ever.",
                        cli->args[0]);

        return r ? r : change(cli, "Destroy", "destroyed");
}

const Verb verbs_key[] = {
                {"key", "create", "NAME", 1, 1, "algorithm purpose protection digest for", "Make a key",
                                run_create},
                {"key", "list", "[PATTERN]", 0, 1, "retired", "List the keys you may describe", run_list},
                {"key", "show", "KEY", 1, 1, "", "Show what a key is", run_show},
                {"key", "public", "KEY", 1, 1, "format output base64", "Print the public key", run_public},
                {"key", "reference", "KEY", 1, 1, "output", "Print what stands for a private key file", run_reference},
                {"key", "csr", "KEY [SUBJECT]", 1, 2, "dns ip uri email scheme format output base64",
                                "Make a certificate signing request", run_csr},
                {"key", "import", "NAME FILE", 2, 2, "purpose digest protection passphrase-file passphrase-fd",
                                "Bring in a PKCS#8 key, or a TSS2 key of this TPM, one way",
                                run_import},
                {"key", "attest", "KEY", 1, 1, "nonce nonce-file output", "What the TPM states about a key of its own",
                                run_attest},
                {"key", "enable", "KEY", 1, 1, "", "Let a disabled key be used again", run_enable},
                {"key", "disable", "KEY", 1, 1, "", "Let a key not be used", run_disable},
                {"key", "freeze", "KEY", 1, 1, "", "No deletion and no change ever after", run_freeze},
                {"key", "retire", "KEY", 1, 1, "", "Free the name; the key stays under its UUID", run_retire},
                {"key", "destroy", "KEY", 1, 1, "", "Destroy the private key for good", run_destroy},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
