/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exec and watch: programs that use the files of an identity. Neither needs the daemon. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/tls-files.h"
#include "cli/watch.h"

#define EXIT_NOT_RUN 126 /* as env(1) and shells have it */
#define EXIT_NOT_FOUND 127

static int run_exec(Cli *cli)
{
        const char *name = cli->args[0], *conf = tls_openssl_conf();
        int r = tls_check_name(cli, name);

        if (r)
                return r;
        if (!tls_is_there(name))
                return cli_fail_with(cli, EXIT_CODE_NOT_FOUND, "NoSuchIdentity",
                                "There is no %s/%s: the identity has no certificate yet (`holdfast cert set %s`). Nothing was "
                                "run.",
                                tls_directory(), name, name);
        if (access(conf, R_OK) != 0)
                return cli_fail_file(cli, conf, errno);
        r = tls_export(cli, name);
        if (r)
                return r;
        if (setenv("OPENSSL_CONF", conf, true) < 0)
                return cli_fail_file(cli, "environment", errno);
        execvp(cli->args[1], cli->args + 1);
        return cli_fail_with(cli, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, strerrorname_np(errno), "%s: %s.",
                        cli->args[1], strerror(errno));
}

static int run_watch(Cli *cli)
{
        const char *name = cli->args[0];
        int r = tls_check_name(cli, strncmp(name, TLS_AUTHORITY, strlen(TLS_AUTHORITY)) ? name : name + strlen(TLS_AUTHORITY));

        return r ? r : watch_identity(cli, cli->args[0], cli->args + 1);
}

const Verb verbs_run[] = {
                {NULL, "exec", "NAME -- COMMAND [ARGUMENT]...", 2, INT_MAX, "",
                                "Run a program that finds the certificate and key reference of an identity", run_exec},
                {NULL, "watch", "NAME -- COMMAND [ARGUMENT]...", 2, INT_MAX, "once seen",
                                "Run a command each time the files of an identity, or the lists of ca@NAME, change", run_watch},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
