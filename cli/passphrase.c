/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Passphrases: read from a file, a descriptor or the terminal (without echo) straight into secret memory, and handed
 * on as a sealed memfd. They are never on a command line, in the environment or in a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "base/io.h"
#include "base/secret.h"
#include "cli/cli.h"

bool passphrase_given(const Cli *cli)
{
        return cli->options.passphrase_file || cli->options.passphrase_fd;
}

static volatile sig_atomic_t interrupted; /* by which signal */

static void on_signal(int number)
{
        interrupted = number;
}

/* Up to the first newline or the end; one byte at a time only from terminals and pipes that others read on from. */
static int read_line(int fd, Secret *s, size_t *ret_len)
{
        size_t len = 0;

        for (;;) {
                uint8_t c;
                ssize_t n = read(fd, &c, 1);

                if (n < 0 && errno == EINTR && !interrupted)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0 || c == '\n')
                        break;
                if (len == SECRET_FD_MAX)
                        return -E2BIG;
                s->data[len++] = c;
        }
        *ret_len = len;
        return len == 0 ? -ENODATA : 0;
}

/* The terminal itself, not stdin: `holdfast sign k < file` may still ask. */
static int read_terminal(const char *prompt, Secret *s, size_t *ret_len)
{
        _cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        const struct sigaction ours = {.sa_handler = on_signal};
        struct sigaction on_int, on_term;
        struct termios before, silent;
        int r;

        if (tty < 0)
                return -ENOTTY;
        if (tcgetattr(tty, &before) < 0)
                return -errno;
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        /* whoever interrupts gets his echo back before the program ends */
        sigaction(SIGINT, &ours, &on_int);
        sigaction(SIGTERM, &ours, &on_term);
        /* silence first: who answers a prompt at once must be neither shown nor lost */
        (void)tcsetattr(tty, TCSAFLUSH, &silent);
        (void)io_write_full(tty, prompt, strlen(prompt));
        r = read_line(tty, s, ret_len);
        (void)io_write_full(tty, "\n", 1);
        (void)tcsetattr(tty, TCSADRAIN, &before);
        sigaction(SIGINT, &on_int, NULL);
        sigaction(SIGTERM, &on_term, NULL);
        if (interrupted)
                raise(interrupted);
        return r;
}

static int read_given(Cli *cli, Secret *s, size_t *ret_len)
{
        const char *path = cli->options.passphrase_file;
        _cleanup_close_ int opened = -EBADF;
        uint64_t fd;

        if (cli->options.passphrase_fd) {
                if (!cli_number(cli, "--passphrase-fd", cli->options.passphrase_fd, 0, 65535, &fd))
                        return EXIT_CODE_USAGE;
                return read_line((int)fd, s, ret_len);
        }
        if (strcmp(path, "-") == 0)
                return read_line(STDIN_FILENO, s, ret_len);
        opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return opened < 0 ? -errno : read_line(opened, s, ret_len);
}

static int complain(Cli *cli, int r)
{
        const char *from = cli->options.passphrase_file ? cli->options.passphrase_file : "the secret";

        if (r > 0)
                return r;
        if (r == -ENOTTY)
                return cli_usage(cli, "There is no terminal to ask for the secret; give --passphrase-file or --passphrase-fd.");
        if (r == -ENODATA)
                return cli_usage(cli, "The secret is empty. Nothing was done.");
        if (r == -E2BIG)
                return cli_usage(cli, "The secret is longer than %d bytes. Nothing was done.", SECRET_FD_MAX);
        return cli_fail_file(cli, from, r);
}

static int ask(Cli *cli, const char *prompt, bool is_new, Secret *s, size_t *ret_len)
{
        _cleanup_(secret_freep) Secret *again = NULL;
        size_t len, len_again;
        int r;

        r = read_terminal(prompt, s, &len);
        if (r || !is_new) {
                *ret_len = r ? 0 : len;
                return r;
        }
        r = secret_new(SECRET_FD_MAX, &again);
        if (r == 0)
                r = read_terminal("The same again: ", again, &len_again);
        if (r)
                return r;
        if (len != len_again || !secret_equal(s->data, again->data, len))
                return cli_usage(cli, "The two are not the same. Nothing was done.");
        *ret_len = len;
        return 0;
}

int passphrase_get(Cli *cli, const char *prompt, bool is_new, int *ret_fd)
{
        _cleanup_(secret_freep) Secret *s = NULL;
        size_t len;
        int r;

        r = secret_new(SECRET_FD_MAX, &s);
        if (r)
                return cli_fail_file(cli, "secret memory", r);
        r = passphrase_given(cli) ? read_given(cli, s, &len) : ask(cli, prompt, is_new, s, &len);
        if (r)
                return complain(cli, r);
        r = hf_secret_fd(s->data, len, ret_fd);
        return r ? cli_fail(cli, r) : 0;
}
