/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup and restore: one file out, one file in. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/cli.h"

static const Column backup_columns[] = {
                {"sequence", "Up to record", COLUMN_TEXT},
                {"keys", "Keys", COLUMN_TEXT},
                {"bytes", "Bytes", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* Written beside FILE and renamed when the daemon has checked it, so FILE is always a whole backup or not
 * there. */
static int backup_to(Cli *cli, const char *path, const char *temporary, json_t **ret)
{
        _cleanup_close_ int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        CallArgs args = {0};
        int r;

        if (fd < 0)
                return cli_fail_file(cli, temporary, errno);
        args_fd(&args, NULL, fd);
        r = cli_call(cli, CALL_MANAGER("Backup", &args, .timeout = CALL_LONG), ret);
        if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0))
                r = cli_fail_file(cli, path, errno);
        if (r)
                (void)unlink(temporary);
        return r;
}

static int run_backup(Cli *cli)
{
        _cleanup_free_ char *temporary = NULL;
        _cleanup_json_ json_t *reply = NULL;
        int r;

        if (access(cli->args[0], F_OK) == 0) {
                r = cli_confirm(cli, "%s exists. Replace it?", cli->args[0]);
                if (r)
                        return r;
        }
        if (asprintf(&temporary, "%s.part", cli->args[0]) < 0)
                return cli_fail_file(cli, cli->args[0], ENOMEM);
        r = backup_to(cli, cli->args[0], temporary, &reply);
        return r ? r : show_object(cli, json_array_get(reply, 0), backup_columns);
}

static const Column restore_columns[] = {
                {"sequence", "Up to record", COLUMN_TEXT},
                {"keys", "Keys", COLUMN_TEXT},
                {"lost", "Changes lost", COLUMN_TEXT},
                {"identities-lost", "Identities without a key", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static int run_restore(Cli *cli)
{
        _cleanup_close_ int fd = open(cli->args[0], O_RDONLY | O_CLOEXEC | O_NOCTTY), secret_fd = -EBADF;
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        if (fd < 0)
                return cli_fail_file(cli, cli->args[0], errno);
        r = cli_confirm(cli, "Put %s in the place of the store?", cli->args[0]);
        if (r == 0 && (passphrase_given(cli) || isatty(STDIN_FILENO)))
                r = passphrase_get(cli, "Passphrase or recovery code of the backup: ", false, &secret_fd);
        if (r)
                return r;
        args_fd(&args, NULL, fd);
        args_fd(&args, "secret", secret_fd);
        r = cli_try(cli, CALL_MANAGER("Restore", &args, .timeout = CALL_LONG), &reply);
        if (r == HF_ERROR_STORE_INITIALISED)
                return cli_fail_with(cli, EXIT_CODE_FAILED, hf_error_to_name(r),
                                "There is a store that can be opened, and it was left as it is. To go back "
                                "all the "
                                "same, stop holdfastd, move store.db out of its directory, start it and "
                                "restore "
                                "again: the log goes on and says so.");
        r = cli_end(cli, r);
        return r ? r : show_object(cli, json_array_get(reply, 0), restore_columns);
}

const Verb verbs_backup[] = {
                {NULL, "backup", "FILE", 1, 1, "", "Write store, slots and log head to one checked file",
                                run_backup},
                {NULL, "restore", "FILE", 1, 1, "passphrase-file passphrase-fd",
                                "Put a backup in the place of the store", run_restore},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
