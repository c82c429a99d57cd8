/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/tls-files.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/name.h"

#define TLS_DIRECTORY "/run/holdfast/tls"
#define OPENSSL_CONF "/etc/holdfast/openssl.cnf"

static const struct {
        const char *variable, *file;
} files[] = {
                {"HOLDFAST_CERT", "cert.pem"},
                {"HOLDFAST_CHAIN", "chain.pem"},
                {"HOLDFAST_FULLCHAIN", "fullchain.pem"},
                {"HOLDFAST_KEY", "key.pem"},
                {"HOLDFAST_BUNDLE", "bundle.pem"},
                {"HOLDFAST_CA", "ca.pem"},
                {"HOLDFAST_CRL", "crl.pem"},
                {"HOLDFAST_PINS", "pins.txt"},
};

static const char *from_environment(const char *variable, const char *usual)
{
        const char *value = secure_getenv(variable);

        return value && *value ? value : usual;
}

const char *tls_directory(void)
{
        return from_environment("HOLDFAST_TLS", TLS_DIRECTORY);
}

const char *tls_openssl_conf(void)
{
        return from_environment("HOLDFAST_OPENSSL_CONF", OPENSSL_CONF);
}

int tls_path(const char *name, const char *file, char **ret)
{
        char *path;

        if (asprintf(&path, "%s/%s%s%s", tls_directory(), name, file ? "/" : "", file ? file : "") < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

bool tls_is_there(const char *name)
{
        _cleanup_free_ char *path = NULL;

        return tls_path(name, NULL, &path) == 0 && access(path, F_OK) == 0;
}

static int export_file(const char *variable, const char *name, const char *file)
{
        _cleanup_free_ char *path = NULL;
        int r = tls_path(name, file, &path);

        if (r)
                return r;
        if (access(path, F_OK) != 0)
                return unsetenv(variable);
        return setenv(variable, path, true) < 0 ? -errno : 0;
}

int tls_export(Cli *cli, const char *name)
{
        int r = setenv("HOLDFAST_IDENTITY", name, true);

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(files); i++)
                r = export_file(files[i].variable, name, files[i].file);
        return r ? cli_fail_file(cli, "environment", ENOMEM) : 0;
}

int tls_check_name(Cli *cli, const char *name)
{
        return name_is_valid(name) ? 0
                                   : cli_fail_with(cli, EXIT_CODE_USAGE, "InvalidName", "%s",
                                                     hf_strerror(HF_ERROR_INVALID_NAME));
}
