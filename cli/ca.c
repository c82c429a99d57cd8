/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/ca.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "dbus/names.h"

#define AUTHORITY_USUAL "intermediate"

int ca_path(Cli *cli, const char *name, char **ret)
{
        if (!name)
                name = cli->options.ca ? cli->options.ca : AUTHORITY_USUAL;
        if (!name_is_valid(name))
                return cli_usage(cli, "'%s' cannot be the name of a CA.", name);
        return sd_bus_path_encode(HF_PATH_AUTHORITY, name, ret) < 0 ? cli_fail(cli, HF_ERROR_INTERNAL) : 0;
}

int ca_try(Cli *cli, const char *path, const char *member, const CallArgs *args, json_t **ret)
{
        return cli_try(cli, &(HfCall){.path = path, .interface = HF_IFACE_AUTHORITY, .member = member, .args = args->items,
                                            .n_args = args->n, .timeout = CALL_LONG}, ret);
}

int ca_call(Cli *cli, const char *name, const char *member, const CallArgs *args, json_t **ret)
{
        _cleanup_free_ char *path = NULL;
        int r = ca_path(cli, name, &path);

        return r ? r : cli_end(cli, ca_try(cli, path, member, args, ret));
}

int ca_find(Cli *cli, const char *which, json_t **ret)
{
        CallArgs args = {0};

        args_string(&args, NULL, which);
        return ca_call(cli, NULL, "Show", &args, ret);
}

bool ca_add_number(Cli *cli, CallArgs *args, const char *option, const char *text, uint64_t min, uint64_t max)
{
        uint64_t n;

        if (!text)
                return true;
        if (!cli_number(cli, option, text, min, max, &n))
                return false;
        args_number(args, option, HF_ARG_U32, n);
        return true;
}

int ca_take_bytes(const json_t *object, const char *member, Buffer *ret)
{
        const char *text = json_string_value(json_object_get(object, member));
        size_t len = 0;
        int r;

        if (!text)
                return HF_ERROR_INTERNAL;
        r = buffer_reserve(ret, strlen(text));
        if (!r)
                r = base64_decode(text, strlen(text), ret->data + ret->len, ret->allocated - ret->len, &len);
        ret->len += len;
        return r;
}

int ca_take_chain(Cli *cli, const json_t *certificate, CertChain **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CERT_FILE_MAX);
        FindingList findings = {.n = 0};

        if (ca_take_bytes(certificate, "chain", &text) || cert_chain_parse(buffer_bytes(&text), FINDING_OF_FILE, &findings, ret))
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return 0;
}

int ca_read_published(Cli *cli, const char *file, size_t limit, Buffer *ret)
{
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        const char *directory;
        CallArgs args = {0};
        int r = ca_call(cli, NULL, "Describe", &args, &reply);

        if (r)
                return r;
        directory = json_string_value(json_object_get(json_array_get(reply, 0), "directory"));
        if (!directory || asprintf(&path, "%s/%s", directory, file) < 0)
                return cli_fail(cli, HF_ERROR_INTERNAL);
        return input_read(cli, path, limit, ret);
}

/* The key whose public half this is, borrowed from the page; NULL: it is not on it. */
static json_t *key_on_page(const json_t *page, const char *public)
{
        for (size_t i = 0; i < json_array_size(page); i++) {
                json_t *key = json_array_get(page, i);
                const char *theirs = json_string_value(json_object_get(key, "public"));

                if (theirs && strcmp(theirs, public) == 0)
                        return key;
        }
        return NULL;
}

int ca_find_key(Cli *cli, const CertChain *chain, bool retired, json_t **ret)
{
        Bytes spki = cert_chain_public_key(chain);
        _cleanup_free_ char *public = malloc(base64_size(spki.len)), *after = NULL;

        if (!public)
                return cli_fail_file(cli, "the public key", ENOMEM);
        base64_encode(spki.data, spki.len, public);
        do {
                _cleanup_json_ json_t *reply = NULL;
                CallArgs args = {0};
                int r;

                args_string(&args, "after", after);
                args_flag(&args, "retired", retired);
                r = cli_call(cli, CALL_MANAGER("ListKeys", &args, .idempotent = true), &reply);
                if (r)
                        return r;
                *ret = json_incref(key_on_page(json_array_get(reply, 0), public));
                free(after);
                after = strdup(json_string_value(json_array_get(reply, 1)));
        } while (!*ret && after && *after);
        return 0;
}

int ca_reference(Cli *cli, const CertChain *chain, Buffer *ret)
{
        _cleanup_json_ json_t *key = NULL;
        char text[HF_REFERENCE_MAX];
        size_t len = sizeof(text);
        HfKey *opened;
        int r = ca_find_key(cli, chain, false, &key);

        if (r || !key)
                return r;
        r = hf_key_open(cli->connection, json_string_value(json_object_get(key, "uuid")), &opened);
        if (r)
                return cli_fail(cli, r);
        r = hf_key_reference(opened, text, &len);
        hf_key_close(opened);
        if (r)
                return cli_fail(cli, r);
        return buffer_append(ret, text, len) ? cli_fail_file(cli, "the reference", ENOMEM) : 0;
}
