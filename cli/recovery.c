/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recovery code: the signer writes it into our pipe, holdfastd only passes the pipe on. A person gets it
 * shown once; a program gets it in a file made for it (--recovery-file), which counts as having kept it. The file is
 * there, with room for the code, before the call that puts the code in force: nobody may ever see it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/file.h"

#define CODE_MAX 256

int recovery_check(Cli *cli)
{
        if (cli->options.recovery_file || (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)))
                return 0;
        return cli_usage(cli,
                        "There is no terminal to show the recovery code on; say --recovery-file FILE%s. "
                        "Nothing "
                        "was done.",
                        strstr(cli->verb->options, "unattended") ? ", or --unattended for none" : "");
}

static int refuse_file(Cli *cli, const char *path, int error)
{
        return cli_fail_with(cli, error == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILED, strerrorname_np(error),
                        "%s: %s. The recovery code cannot be kept there, so nothing was done.", path, strerror(error));
}

/* A new file of the user's alone: an old one is never overwritten. */
static int make_file(Cli *cli, Recovery *r)
{
        const char *path = cli->options.recovery_file;
        int error;

        r->file_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (r->file_fd < 0)
                return refuse_file(cli, path, errno);
        r->path = path;
        error = posix_fallocate(r->file_fd, 0, CODE_MAX);
        return error ? refuse_file(cli, path, error) : 0;
}

int recovery_open(Cli *cli, Recovery *r)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return cli_fail_file(cli, "pipe", errno);
        r->read_fd = fds[0];
        r->write_fd = fds[1];
        return cli->options.recovery_file ? make_file(cli, r) : 0;
}

void recovery_close(Recovery *r)
{
        r->read_fd = safe_close(r->read_fd);
        r->write_fd = safe_close(r->write_fd);
        if (r->file_fd >= 0)
                (void)unlink(r->path);
        r->file_fd = safe_close(r->file_fd);
}

/* The one line, without its newline. */
static int read_code(Recovery *rec, Secret *code, size_t *ret_len)
{
        size_t len = 0;

        rec->write_fd = safe_close(rec->write_fd);
        for (;;) {
                ssize_t n = read(rec->read_fd, code->data + len, CODE_MAX - len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                len += (size_t)n;
                if (n == 0 || len == CODE_MAX || memchr(code->data, '\n', len))
                        break;
        }
        while (len > 0 && code->data[len - 1] == '\n')
                len--;
        *ret_len = len;
        return len == 0 ? -ENODATA : 0;
}

static int keep_in_file(Cli *cli, Recovery *rec, const Secret *code, size_t len)
{
        int r = io_write_full(rec->file_fd, code->data, len);

        if (r == 0)
                r = io_write_full(rec->file_fd, "\n", 1);
        if (r == 0 && (ftruncate(rec->file_fd, (off_t)len + 1) < 0 || fsync(rec->file_fd) < 0))
                r = -errno;
        if (r == 0)
                r = file_sync_directory(rec->path);
        rec->file_fd = safe_close(rec->file_fd); /* from here on it stays, whatever comes */
        return r ? cli_fail_file(cli, rec->path, r) : 0;
}

static void show_code(const Secret *code, size_t len)
{
        static const char before[] = "\nRecovery code (shown this once; write it down and keep it away from "
                                     "the device):\n\n    ";

        (void)io_write_full(STDERR_FILENO, before, sizeof(before) - 1);
        (void)io_write_full(STDERR_FILENO, code->data, len);
        (void)io_write_full(STDERR_FILENO, "\n\n", 2);
}

int recovery_take(Cli *cli, Recovery *rec, int *ret_fd)
{
        _cleanup_(secret_freep) Secret *code = NULL;
        size_t len;
        int r;

        r = secret_new(CODE_MAX, &code);
        if (r == 0)
                r = read_code(rec, code, &len);
        if (r)
                return cli_fail_file(cli, "recovery code", r);
        if (rec->file_fd < 0) {
                show_code(code, len);
                return 0;
        }
        r = keep_in_file(cli, rec, code, len);
        if (r)
                return r;
        r = hf_secret_fd(code->data, len, ret_fd);
        return r ? cli_fail(cli, r) : 0;
}
