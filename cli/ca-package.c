/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ca package: what the holder of a certificate is handed
 *
 * A directory with the certificate, those above it, the root, and how to use them. It is written beside its place and renamed
 * into it, so it is there whole or not at all. There is never a private key in it: where the key is in this Holdfast its
 * reference is, which is not secret; otherwise the key stays where the request was made, and README says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/name.h"
#include "cli/ca.h"
#include "cli/tls-files.h"

#define FILES_MAX 8

typedef struct Content {
        const char *name; /* of the certificate in the registry, and of files */
        const char *fingerprint;
        bool has_key; /* a reference */
        CertChain *chain;
        struct {
                char name[NAME_SIZE + 8];
                mode_t mode;
                Buffer bytes;
        } files[FILES_MAX];
        size_t n;
} Content;

static void content_clear(Content *c)
{
        cert_chain_unref(c->chain);
        for (size_t i = 0; i < c->n; i++)
                buffer_deinit(&c->files[i].bytes);
}

/* The bytes of one more file, to be filled in. */
static Buffer *add_file(Content *c, const char *stem, const char *suffix, mode_t mode)
{
        snprintf(c->files[c->n].name, sizeof(c->files[c->n].name), "%s%s", stem, suffix);
        c->files[c->n].mode = mode;
        c->files[c->n].bytes = BUFFER_INIT(CERT_ANCHORS_FILE_MAX);
        return &c->files[c->n++].bytes;
}

/* ---- texts: @ is the name, % the configuration of OpenSSL with the provider ---- */

static const char readme_head[] =
                "The certificate of @\n"
                "\n"
                "@.crt            the certificate, and those above it but the root: what TLS programs send\n"
                "chain.crt        those above it alone\n"
                "ca.crt           the root: whom the other side has to lead to\n"
                "fingerprint.txt  SHA-256 of the certificate, by which the CA knows it\n"
                "test-connection  asks a server with it: ./test-connection https://HOST:PORT/health\n";

static const char readme_with_key[] =
                "@.key            stands for the private key, which is in Holdfast on its machine; not a secret\n"
                "\n"
                "Programs use @.key through Holdfast's OpenSSL provider, there and as a user who may sign with the key:\n"
                "\n"
                "    export OPENSSL_CONF=%\n";

static const char readme_without_key[] =
                "\n"
                "There is no private key in here: it stays where the request for the certificate was made. Put these\n"
                "files there and link the key beside them, so that the lines below find it:\n"
                "\n"
                "    ln -s /path/to/the/private/key @.key\n";

static const char readme_lines[] =
                "\n"
                "In this directory, with the address of a page in $URL:\n"
                "\n"
                "    export URL=https://HOST:PORT/health\n"
                "\n"
                "curl:\n"
                "\n"
                "    curl --fail --cert @.crt --key @.key --cacert ca.crt \"$URL\"\n"
                "\n"
                "Python:\n"
                "\n"
                "    import os, ssl, urllib.request\n"
                "    context = ssl.create_default_context(cafile=\"ca.crt\")\n"
                "    context.load_cert_chain(\"@.crt\", \"@.key\")\n"
                "    print(urllib.request.urlopen(os.environ[\"URL\"], context=context).status)\n";

static const char test_head[] =
                "#!/bin/sh\n"
                "# Asks for a page with the certificate of @; succeeds if the answer is 200.\n"
                "set -eu\n"
                "url=${1:-${URL:-}}\n"
                "[ -n \"$url\" ] || { echo \"usage: $0 https://HOST:PORT/health\" >&2; exit 2; }\n"
                "cd \"$(dirname \"$0\")\"\n"
                "[ -r @.key ] || { echo \"@.key is not here, or not for you to read: see README\" >&2; exit 3; }\n";

static const char test_with_key[] = "export OPENSSL_CONF=\"${OPENSSL_CONF:-%}\"\n";

static const char test_tail[] =
                "code=$(curl --silent --show-error --output /dev/null --write-out '%{http_code}' \\\n"
                "        --cert @.crt --key @.key --cacert ca.crt \"$url\") || { echo \"[FAIL] no answer\" >&2; exit 1; }\n"
                "[ \"$code\" = 200 ] || { echo \"[FAIL] $url answers $code\" >&2; exit 1; }\n"
                "echo \"[ OK ] $url answers $code\"\n";

static int expand(const char *text, const char *name, Buffer *ret)
{
        int r = 0;

        for (; !r && *text; text++)
                if (*text == '@')
                        r = buffer_printf(ret, "%s", name);
                else if (*text == '%' && text[1] != '{')
                        r = buffer_printf(ret, "%s", tls_openssl_conf());
                else
                        r = buffer_append(ret, text, 1);
        return r;
}

static int add_texts(Content *c)
{
        Buffer *readme = add_file(c, "README", "", 0644), *test = add_file(c, "test-connection", "", 0755);
        int r = expand(readme_head, c->name, readme);

        if (!r)
                r = expand(c->has_key ? readme_with_key : readme_without_key, c->name, readme);
        if (!r)
                r = expand(readme_lines, c->name, readme);
        if (!r)
                r = expand(test_head, c->name, test);
        if (!r && c->has_key)
                r = expand(test_with_key, c->name, test);
        return r ? r : expand(test_tail, c->name, test);
}

/* ---- certificates ---- */

static int add_certificates(Content *c)
{
        Buffer *own = add_file(c, c->name, ".crt", 0644), *above = add_file(c, "chain", ".crt", 0644);
        int r = buffer_printf(add_file(c, "fingerprint", ".txt", 0644), "%s\n", c->fingerprint);

        for (size_t i = 0; !r && i < cert_chain_count(c->chain); i++) {
                r = cert_chain_write(c->chain, i, own);
                if (!r && i > 0)
                        r = cert_chain_write(c->chain, i, above);
        }
        return r;
}

/* 0 or an exit code, told. */
static int gather(Cli *cli, const json_t *certificate, Content *c)
{
        _cleanup_buffer_ Buffer reference = BUFFER_INIT(HF_REFERENCE_MAX);
        int r = ca_take_chain(cli, certificate, &c->chain);

        if (!r)
                r = ca_reference(cli, c->chain, &reference);
        if (!r)
                r = ca_read_published(cli, "ca.pem", CERT_ANCHORS_FILE_MAX, add_file(c, "ca", ".crt", 0644));
        if (r)
                return r;
        c->has_key = reference.len > 0;
        if (c->has_key)
                r = buffer_append(add_file(c, c->name, ".key", 0644), reference.data, reference.len);
        if (!r)
                r = add_certificates(c);
        if (!r)
                r = add_texts(c);
        return r ? cli_fail_file(cli, "the package", r) : 0;
}

/* ---- writing ---- */

static void remove_directory(const Content *c, int dir, const char *path)
{
        for (size_t i = 0; dir >= 0 && i < c->n; i++)
                (void)unlinkat(dir, c->files[i].name, 0);
        (void)rmdir(path);
}

static int write_files(const Content *c, int dir)
{
        int r = fchmod(dir, 0755) < 0 ? -errno : 0;

        for (size_t i = 0; !r && i < c->n; i++)
                r = io_write_file(dir, c->files[i].name, buffer_bytes(&c->files[i].bytes), c->files[i].mode);
        return r ? r : io_sync_dir(dir);
}

static int sync_parent(const char *path)
{
        _cleanup_free_ char *parent = strdup(path);
        _cleanup_close_ int dir = -EBADF;
        char *slash = parent ? strrchr(parent, '/') : NULL;

        if (!parent)
                return -ENOMEM;
        if (slash)
                slash[slash == parent] = '\0';
        dir = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir < 0 ? -errno : io_sync_dir(dir);
}

/* path without a slash at its end. rename(2) takes the place of an empty directory, and of nothing else. */
static int write_directory(const Content *c, const char *path)
{
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int dir = -EBADF;
        int r;

        if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
                return -ENOMEM;
        if (!mkdtemp(temporary))
                return -errno;
        dir = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? -errno : write_files(c, dir);
        if (!r && rename(temporary, path) < 0)
                r = -errno;
        if (r)
                remove_directory(c, dir, temporary);
        return r ? r : sync_parent(path);
}

static int put(Cli *cli, const Content *c)
{
        size_t len = strlen(cli->args[1]);
        _cleanup_free_ char *path = NULL;
        int r;

        while (len > 1 && cli->args[1][len - 1] == '/')
                len--;
        path = strndup(cli->args[1], len);
        r = path ? write_directory(c, path) : -ENOMEM;
        if (r == -ENOTEMPTY || r == -EEXIST || r == -ENOTDIR || r == -EBUSY)
                return cli_usage(cli, "%s is there and is not an empty directory. Nothing was written.", cli->args[1]);
        return r ? cli_fail_file(cli, cli->args[1], r) : 0;
}

static int tell(Cli *cli, const Content *c)
{
        _cleanup_json_ json_t *files = json_array(), *j = NULL;

        for (size_t i = 0; i < c->n; i++)
                json_array_append_new(files, json_string(c->files[i].name));
        cli_talk(cli, c->has_key ? "%s has all that %s needs, on the machine whose Holdfast has the key."
                                 : "%s has all that %s needs but its key, which stays where the request was made: see README.",
                        cli->args[1], c->name);
        if (!cli->options.json)
                return 0;
        j = json_pack("{s:s, s:s, s:s, s:b, s:O}", "name", c->name, "directory", cli->args[1], "fingerprint", c->fingerprint,
                        "key-reference", c->has_key, "files", files);
        return j ? show_json(cli, j) : EXIT_CODE_FAILED;
}

int ca_package_run(Cli *cli)
{
        __attribute__((cleanup(content_clear))) Content c = {.n = 0};
        _cleanup_json_ json_t *reply = NULL;
        const json_t *certificate;
        const char *status;
        int r = ca_find(cli, cli->args[0], &reply);

        if (r)
                return r;
        certificate = json_array_get(reply, 0);
        c.name = json_string_value(json_object_get(certificate, "name"));
        c.fingerprint = json_string_value(json_object_get(certificate, "fingerprint"));
        status = json_string_value(json_object_get(certificate, "status"));
        if (!c.name || !c.fingerprint || !status)
                return cli_fail(cli, HF_ERROR_INTERNAL);
        if (!name_is_valid(c.name)) /* a stranger's CN may be anything */
                return cli_fail_with(cli, EXIT_CODE_FAILED, "InvalidName",
                                "The name of %s in the registry cannot be that of a file; issue it with --name.", cli->args[0]);
        if (strcmp(status, "active") != 0)
                return cli_fail_with(cli, EXIT_CODE_CERTIFICATE, "NotActive",
                                "The certificate of %s is %s; nobody is to be handed it. Nothing was written.", c.name, status);
        r = gather(cli, certificate, &c);
        if (!r)
                r = put(cli, &c);
        return r ? r : tell(cli, &c);
}
