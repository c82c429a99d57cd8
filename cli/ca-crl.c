/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ca crl: lists of CAs elsewhere in, and what there is of all. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "cli/ca.h"

#define FILE_MAX (24 * 1024 * 1024) /* 16 MiB in PEM */

static const Column fields[] = {
                {"issuer", "Of", COLUMN_TEXT},
                {"number", "Number", COLUMN_TEXT},
                {"entries", "Entries", COLUMN_TEXT},
                {"this-update", "From", COLUMN_TIME},
                {"next-update", "Next list by", COLUMN_TIME},
                {"directory", "Directory", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static const Column columns[] = {
                {"authority", "CA", COLUMN_TEXT},
                {"issuer", "CA ELSEWHERE", COLUMN_TEXT},
                {"number", "NUMBER", COLUMN_TEXT},
                {"this-update", "FROM", COLUMN_TIME},
                {"next-update", "NEXT LIST BY", COLUMN_TIME},
                {"used", "USED", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* As a file that nobody changes any more. Negative: told. */
static int seal(Cli *cli, const Buffer *file)
{
        _cleanup_close_ int fd = memfd_create("crl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r = fd < 0 ? -errno : io_write_full(fd, file->data, file->len);

        if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                r = -errno;
        if (!r)
                return TAKE_FD(fd);
        (void)cli_fail_file(cli, "memfd", -r);
        return -1;
}

static int run_put(Cli *cli)
{
        _cleanup_buffer_ Buffer file = BUFFER_INIT(FILE_MAX), chain = BUFFER_INIT(CERT_FILE_MAX);
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_close_ int fd = -EBADF;
        CallArgs args = {0};
        int r = input_read(cli, cli->args[1], FILE_MAX, &file);

        if (!r && cli->options.chain)
                r = input_read(cli, cli->options.chain, CERT_FILE_MAX, &chain);
        if (r)
                return r;
        fd = seal(cli, &file);
        if (fd < 0)
                return EXIT_CODE_FAILED;
        args_fd(&args, NULL, fd);
        if (chain.len)
                args_bytes(&args, "chain", (HfSpan){chain.data, chain.len});
        r = cli_call(cli, CALL_MANAGER("PutRevocationList", &args, .timeout = CALL_LONG), &reply);
        if (r)
                return r;
        cli_talk(cli, "The list is taken, and is in the crl.pem of all that trust its CA.");
        return show_object(cli, json_array_get(reply, 0), fields);
}

static int run_list(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r = cli_call(cli, CALL_MANAGER("ListRevocationLists", &args, .idempotent = true), &reply);

        return r ? r : show_list(cli, json_array_get(reply, 0), columns);
}

int ca_crl_run(Cli *cli)
{
        bool puts = strcmp(cli->args[0], "put") == 0;

        if (!puts && (strcmp(cli->args[0], "list") || cli->options.chain))
                return cli_usage(cli, "Give `put FILE`, with --chain FILE where it is needed, or `list`.");
        if (puts != (cli->n_args == 2))
                return cli_usage(cli, puts ? "Which file? `holdfast ca crl put FILE`." : "`holdfast ca crl list` takes no file.");
        return puts ? run_put(cli) : run_list(cli);
}
