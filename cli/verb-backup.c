/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup and restore: one file out, one file in. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/file.h"

static const Column backup_columns[] = {
                {"sequence", "Up to record", COLUMN_TEXT},
                {"keys", "Keys", COLUMN_TEXT},
                {"bytes", "Bytes", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static int refuse_kind(Cli *cli, const char *path)
{
        return cli_usage(cli, "%s is no regular file, and a backup is one. Nothing was done.", path);
}

/* Beside FILE until the daemon has checked it, so FILE is always a whole backup or not there. */
static int run_backup(Cli *cli)
{
        _cleanup_file_replacement_ FileReplacement file = FILE_REPLACEMENT_NULL;
        _cleanup_json_ json_t *reply = NULL;
        const char *path = cli->args[0];
        CallArgs args = {0};
        int r;

        if (strcmp(path, "-") == 0)
                return refuse_kind(cli, "Standard output");
        if (access(path, F_OK) == 0) {
                r = cli_confirm(cli, "%s exists. Replace it?", path);
                if (r)
                        return r;
        }
        r = file_replace_begin(path, 0600, &file);
        if (r)
                return r == -ENOTSUP ? refuse_kind(cli, path) : cli_fail_file(cli, path, r);
        args_fd(&args, NULL, file.fd);
        r = cli_call(cli, CALL_MANAGER("Backup", &args, .timeout = CALL_LONG), &reply);
        if (r)
                return r;
        r = file_replace_commit(&file);
        return r ? cli_fail_file(cli, path, r) : show_object(cli, json_array_get(reply, 0), backup_columns);
}

static const Column restore_columns[] = {
                {"sequence", "Up to record", COLUMN_TEXT},
                {"keys", "Keys", COLUMN_TEXT},
                {"lost", "Changes lost", COLUMN_TEXT},
                {"identities-lost", "Identities without a key", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* What the store had and the backup has not, from the log: it may be anybody's key. */
static int show_restored(Cli *cli, json_t *restored)
{
        uint64_t from = (uint64_t)json_integer_value(json_object_get(restored, "sequence"));
        bool known = !json_is_true(json_object_get(restored, "log-lost"));
        _cleanup_json_ json_t *changes = NULL;
        const json_t *record;
        size_t i;
        int r;

        if (known && audit_changes(cli, from, &changes) == 0)
                json_object_set(restored, "changes", changes);
        else if (!known && !cli->options.json)
                json_object_set_new(restored, "lost", json_string("not known, the log behind the backup is not here"));
        r = show_object(cli, restored, restore_columns);
        if (r || cli->options.json)
                return r;
        if (known && !changes)
                cli_talk(cli, "What was lost is in the log from record %" PRIu64 " on: holdfast audit show.", from);
        json_array_foreach(changes, i, record) audit_print_record(record);
        return 0;
}

static int run_restore(Cli *cli)
{
        _cleanup_close_ int fd = open(cli->args[0], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), secret_fd = -EBADF;
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return cli_fail_file(cli, cli->args[0], errno);
        if (!S_ISREG(st.st_mode))
                return refuse_kind(cli, cli->args[0]);
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
        return r ? cli_end(cli, r) : show_restored(cli, json_array_get(reply, 0));
}

const Verb verbs_backup[] = {
                {NULL, "backup", "FILE", 1, 1, "", "Write store, slots and log head to one checked file",
                                run_backup},
                {NULL, "restore", "FILE", 1, 1, "passphrase-file passphrase-fd",
                                "Put a backup in the place of the store", run_restore},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
