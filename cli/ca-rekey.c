/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ca renew --rekey: a new key under the name of the old one, a certificate for it, and the identities that had the old
 * certificate set to both at once. Until then they stand on the old key, which is retired and goes on under its UUID. Each step
 * finds what the one before has left, so the command is repeated where it was cut off.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/ca.h"
#include "dbus/names.h"

#define PEM_MAX (48 * 1024)

typedef struct Rekey {
        Cli *cli;
        json_t *reply;       /* the certificate as Show and Renew give it, in an array */
        json_t *key;         /* whose it is, as it is described */
        json_t *identities;  /* that have it, or one before it */
} Rekey;

static void rekey_clear(Rekey *k)
{
        json_decref(k->reply);
        json_decref(k->key);
        json_decref(k->identities);
}

static const char *text(const json_t *object, const char *member)
{
        const char *found = json_string_value(json_object_get(object, member));

        return found ? found : "";
}

static const json_t *certificate(const Rekey *k)
{
        return json_array_get(k->reply, 0);
}

/* ---- what is there ---- */

static int find_certificate(Rekey *k, const char *which)
{
        const char *status;
        int r = ca_find(k->cli, which, &k->reply);

        if (r)
                return r;
        status = text(certificate(k), "status");
        if (strcmp(status, "active") == 0 || strcmp(status, "expired") == 0)
                return 0;
        return cli_fail_with(k->cli, EXIT_CODE_NOTHING_TO_DO, "NothingToDo",
                        "This certificate is %s; only an active one, or one that has run out, is renewed. Nothing was done.",
                        status);
}

static int find_key(Rekey *k)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        int r = ca_take_chain(k->cli, certificate(k), &chain);

        if (!r)
                r = ca_find_key(k->cli, chain, true, &k->key);
        if (r || k->key)
                return r;
        return cli_fail_with(k->cli, EXIT_CODE_NOT_FOUND, "NoSuchKey",
                        "The key of this certificate is not in this Holdfast, or not for you to see. Make a new one where it is, "
                        "and hand in its request: `holdfast ca renew %s REQUEST`. Nothing was done.",
                        text(certificate(k), "name"));
}

static int call_identity(Rekey *k, const char *name, json_t **ret)
{
        _cleanup_free_ char *path = NULL;
        CallArgs args = {0};

        if (sd_bus_path_encode(HF_PATH_IDENTITY, name, &path) < 0)
                return cli_fail(k->cli, HF_ERROR_INTERNAL);
        return cli_call(k->cli, &(HfCall){.path = path, .interface = HF_IFACE_IDENTITY, .member = "Describe", .args = args.items,
                                               .idempotent = true}, ret);
}

/* Does it stand on a key of this name? One that is retired is called by its UUID. */
static int is_on_name(Rekey *k, const json_t *identity, bool *ret)
{
        _cleanup_json_ json_t *reply = NULL;
        const char *key = text(identity, "key");
        CallArgs args = {0};
        int r;

        if (strcmp(key, text(identity, "key-uuid")) == 0) {
                r = cli_call(k->cli, CALL_KEY(key, "Describe", &args, .idempotent = true), &reply);
                if (r)
                        return r;
                key = text(json_array_get(reply, 0), "name");
        }
        *ret = strcmp(key, text(k->key, "name")) == 0;
        return 0;
}

/* Its certificate is of this CA, and of the same name in the registry. */
static int add_identity(Rekey *k, const char *name)
{
        _cleanup_json_ json_t *described = NULL, *reply = NULL;
        _cleanup_free_ char *path = NULL;
        CallArgs args = {0};
        int r = call_identity(k, name, &described);

        if (!r)
                r = ca_path(k->cli, NULL, &path);
        if (r)
                return r;
        args_string(&args, NULL, text(json_array_get(described, 0), "fingerprint"));
        r = ca_try(k->cli, path, "Show", &args, &reply);
        if (r)
                return r == HF_ERROR_NO_SUCH_CERTIFICATE ? 0 : cli_end(k->cli, r);
        if (strcmp(text(json_array_get(reply, 0), "name"), text(certificate(k), "name")) == 0)
                json_array_append(k->identities, json_array_get(described, 0));
        return 0;
}

static int find_identities(Rekey *k)
{
        _cleanup_free_ char *after = NULL;

        k->identities = json_array();
        do {
                _cleanup_json_ json_t *reply = NULL;
                CallArgs args = {0};
                int r;

                args_string(&args, "after", after);
                r = cli_call(k->cli, CALL_MANAGER("ListIdentities", &args, .idempotent = true), &reply);
                for (size_t i = 0; !r && i < json_array_size(json_array_get(reply, 0)); i++) {
                        const json_t *identity = json_array_get(json_array_get(reply, 0), i);
                        bool found = false;

                        r = is_on_name(k, identity, &found);
                        if (!r && found)
                                r = add_identity(k, text(identity, "name"));
                }
                if (r)
                        return r;
                free(after);
                after = strdup(json_string_value(json_array_get(reply, 1)));
        } while (after && *after);
        return 0;
}

/* The certificate is for the key that has the name now, and an identity stands on one before: that step was not reached. */
static bool is_half_done(const Rekey *k)
{
        bool current = strcmp(text(k->key, "state"), "enabled") == 0;

        for (size_t i = 0; current && i < json_array_size(k->identities); i++)
                if (strcmp(text(json_array_get(k->identities, i), "key-uuid"), text(k->key, "uuid")))
                        return true;
        return false;
}

/* ---- what is made ---- */

static int retire(Rekey *k)
{
        CallArgs args = {0};
        int r = cli_try(k->cli, CALL_KEY(text(k->key, "uuid"), "Retire", &args), NULL);

        return r == HF_ERROR_NOTHING_TO_DO ? 0 : cli_end(k->cli, r);
}

/* As the one before; or, where that was retired by the run that was cut off, the one which that has made. */
static int make_key(Rekey *k, json_t **ret)
{
        const char *name = text(k->key, "name");
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        size_t at = 1;
        int r;

        args_string(&args, NULL, name);
        args_string(&args, NULL, text(k->key, "algorithm"));
        args_string(&args, "protection", text(k->key, "protection"));
        args_string(&args, "purpose", text(k->key, "purpose"));
        args_flag(&args, "digest", json_is_true(json_object_get(k->key, "digest")));
        r = cli_try(k->cli, CALL_MANAGER("CreateKey", &args, .timeout = CALL_LONG), &reply);
        if (r == HF_ERROR_KEY_EXISTS) {
                args = (CallArgs){0};
                at = 0;
                r = cli_try(k->cli, CALL_KEY(name, "Describe", &args, .idempotent = true), &reply);
        }
        if (r)
                return cli_end(k->cli, r);
        *ret = json_incref(json_array_get(reply, at));
        return 0;
}

static int renew(Rekey *k, const json_t *key)
{
        json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        args_string(&args, NULL, text(certificate(k), "serial"));
        args_bytes(&args, NULL, (HfSpan){NULL, 0});
        args_string(&args, "key", text(key, "uuid"));
        (void)ca_add_number(k->cli, &args, "days", k->cli->options.days, 1, 36500);
        r = ca_call(k->cli, NULL, "Renew", &args, &reply);
        if (r)
                return r;
        json_decref(k->reply);
        k->reply = reply;
        return 0;
}

/* ---- what programs see ---- */

static int install_at(Rekey *k, const json_t *identity, const json_t *key)
{
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(PEM_MAX), trust = BUFFER_INIT(PEM_MAX);
        const json_t *pins = json_object_get(identity, "pins");
        OptionList list = {.n = 0};
        CallArgs args = {0};

        if (ca_take_bytes(certificate(k), "chain", &chain) || ca_take_bytes(identity, "trust", &trust))
                return cli_fail(k->cli, HF_ERROR_INTERNAL);
        for (size_t i = 0; i < json_array_size(pins) && i < OPTION_LIST_MAX; i++)
                list.items[list.n++] = json_string_value(json_array_get(pins, i));
        args_string(&args, NULL, text(identity, "name"));
        args_bytes(&args, NULL, (HfSpan){chain.data, chain.len});
        args_string(&args, "key", text(key, "uuid"));
        args_string(&args, "layout", text(identity, "layout"));
        if (trust.len)
                args_bytes(&args, "trust", (HfSpan){trust.data, trust.len});
        args_strings(&args, "pins", &list);
        return cli_call(k->cli, CALL_MANAGER("SetCertificate", &args), NULL);
}

static int install(Rekey *k, const json_t *key)
{
        int r = 0;

        for (size_t i = 0; !r && i < json_array_size(k->identities); i++)
                r = install_at(k, json_array_get(k->identities, i), key);
        return r;
}

static int make_anew(Rekey *k)
{
        _cleanup_json_ json_t *key = NULL;
        int r = retire(k);

        if (r)
                return r;
        r = make_key(k, &key);
        if (!r)
                r = renew(k, key);
        if (!r)
                r = install(k, key);
        cli_talk(k->cli,
                        r ? "The old key goes on as %s, and so does what stands on it. The same command takes it up from here."
                          : "The key before is %s from now on; nothing uses it when its programs have taken up the new files. "
                            "`holdfast key destroy` ends it.",
                        text(k->key, "uuid"));
        return r;
}

int ca_rekey(Cli *cli, const char *which, json_t **ret)
{
        _cleanup_(rekey_clear) Rekey k = {.cli = cli};
        int r;

        if (!ca_add_number(cli, &(CallArgs){0}, "days", cli->options.days, 1, 36500))
                return EXIT_CODE_USAGE; /* before there is anything to take up again */
        r = find_certificate(&k, which);
        if (!r)
                r = find_key(&k);
        if (!r)
                r = find_identities(&k);
        if (!r)
                r = is_half_done(&k) ? install(&k, k.key) : make_anew(&k);
        if (!r)
                *ret = TAKE_PTR(k.reply);
        return r;
}
