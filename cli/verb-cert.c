/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cert: identities, the certificates that stand on keys. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "dbus/names.h"

#define PEM_MAX (48 * 1024) /* of a chain and of anchors; holdfastd takes no more */

static const Column columns[] = {
                {"name", "NAME", COLUMN_TEXT},
                {"key", "KEY", COLUMN_TEXT},
                {"issuer", "ISSUER", COLUMN_TEXT},
                {"state", "STATE", COLUMN_TEXT},
                {"layout", "LAYOUT", COLUMN_TEXT},
                {"not-after", "NOT AFTER", COLUMN_TIME},
                {NULL, NULL, COLUMN_TEXT},
};

static const Column fields[] = {
                {"name", "Name", COLUMN_TEXT},
                {"key", "Key", COLUMN_TEXT},
                {"key-uuid", "Key's UUID", COLUMN_TEXT},
                {"issuer", "Issuer", COLUMN_TEXT},
                {"state", "State", COLUMN_TEXT},
                {"not-before", "Not before", COLUMN_TIME},
                {"not-after", "Not after", COLUMN_TIME},
                {"fingerprint", "SHA-256", COLUMN_TEXT},
                {"certificates", "Certificates", COLUMN_TEXT},
                {"pins", "Pins", COLUMN_TEXT},
                {"layout", "Layout", COLUMN_TEXT},
                {"directory", "Directory", COLUMN_TEXT},
                {"version", "Version", COLUMN_TEXT},
                {"created", "Created", COLUMN_TIME},
                {"changed", "Changed", COLUMN_TIME},
                {NULL, NULL, COLUMN_TEXT},
};

static void tell_findings(Cli *cli, const json_t *identity)
{
        const json_t *findings = json_object_get(identity, "findings");

        for (size_t i = 0; i < json_array_size(findings); i++) {
                const json_t *f = json_array_get(findings, i);

                cli_talk(cli, "Warning: %s (%s) %s", json_string_value(json_object_get(f, "sentence")),
                                json_string_value(json_object_get(f, "finding")),
                                json_string_value(json_object_get(f, "remedy")));
        }
}

static int tell_set(Cli *cli, json_t *identity)
{
        const char *directory = json_string_value(json_object_get(identity, "directory"));
        bool files = directory && *directory;

        tell_findings(cli, identity);
        if (cli->options.json)
                return show_json(cli, identity);
        cli_talk(cli, "Identity %s has its certificate%s%s.", cli->args[0], files ? "; files for programs: " : "",
                        files ? directory : "");
        return 0;
}

static int run_set(Cli *cli)
{
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(PEM_MAX), trust = BUFFER_INIT(PEM_MAX);
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        CallArgs args = {0};
        int r;

        if (!o->chain)
                return cli_usage(cli, "--chain FILE is missing: the certificate and its intermediates, PEM.");
        r = input_read_public(cli, o->chain, PEM_MAX, &chain);
        if (!r && o->trust)
                r = input_read_public(cli, o->trust, PEM_MAX, &trust);
        if (r)
                return r;
        cli->hint = "LAYOUT is pem, local or named; a pin is sha256//BASE64. Nothing was changed.";
        args_string(&args, NULL, cli->args[0]);
        args_bytes(&args, NULL, (HfSpan){chain.data, chain.len});
        args_string(&args, "key", o->key);
        args_string(&args, "layout", o->layout);
        if (trust.len)
                args_bytes(&args, "trust", (HfSpan){trust.data, trust.len});
        args_strings(&args, "pins", &o->pins);
        r = cli_call(cli, CALL_MANAGER("SetCertificate", &args), &reply);
        return r ? r : tell_set(cli, json_array_get(reply, 0));
}

/* One call of the object identity/NAME. */
static int call_identity(Cli *cli, const char *name, const char *member, json_t **ret)
{
        _cleanup_free_ char *path = NULL;
        CallArgs args = {0};

        if (sd_bus_path_encode(HF_PATH_IDENTITY, name, &path) < 0)
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return cli_call(cli, &(HfCall){.path = path, .interface = HF_IFACE_IDENTITY, .member = member, .args = args.items}, ret);
}

static int run_remove(Cli *cli)
{
        int r = cli_confirm(cli, "Remove the certificates of %s and its files? Programs that use them end at their next start.",
                        cli->args[0]);

        if (!r)
                r = call_identity(cli, cli->args[0], "RemoveCertificate", NULL);
        if (r)
                return r;
        cli_talk(cli, "The certificates of %s and its files are gone; its key stays.", cli->args[0]);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s}", "name", cli->args[0]);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        return 0;
}

static int run_list(Cli *cli)
{
        _cleanup_json_ json_t *all = json_array();
        _cleanup_free_ char *after = NULL;

        do {
                _cleanup_json_ json_t *reply = NULL;
                CallArgs args = {0};
                int r;

                args_string(&args, "pattern", cli->n_args ? cli->args[0] : NULL);
                args_string(&args, "after", after);
                r = cli_call(cli, CALL_MANAGER("ListIdentities", &args, .idempotent = true), &reply);
                if (r)
                        return r;
                json_array_extend(all, json_array_get(reply, 0));
                free(after);
                after = strdup(json_string_value(json_array_get(reply, 1)));
        } while (after && *after);
        return show_list(cli, all, columns);
}

/* PEM is text, and text is what a script wants to read. */
static int unpack(json_t *identity, const char *member)
{
        const char *text = json_string_value(json_object_get(identity, member));
        size_t len = text ? strlen(text) : 0, n = 0;
        _cleanup_free_ uint8_t *bytes = malloc(len + 1);

        if (!text)
                return 0;
        if (!bytes || base64_decode(text, len, bytes, len + 1, &n))
                return -1;
        return json_object_set_new(identity, member, json_stringn((const char *)bytes, n));
}

static int run_show(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        json_t *identity;
        int r = call_identity(cli, cli->args[0], "Describe", &reply);

        if (r)
                return r;
        identity = json_array_get(reply, 0);
        if (unpack(identity, "chain") || unpack(identity, "trust"))
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return show_object(cli, identity, fields);
}

const Verb verbs_cert[] = {
                {"cert", "set", "NAME", 1, 1, "chain trust pin layout key",
                                "Put certificates beside a key, and files for programs", run_set},
                {"cert", "remove", "NAME", 1, 1, "", "Remove certificates and their files; the key stays", run_remove},
                {"cert", "list", "[PATTERN]", 0, 1, "", "List the identities you may know of", run_list},
                {"cert", "show", "NAME", 1, 1, "", "Show what is known of one; --json has the certificates", run_show},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
