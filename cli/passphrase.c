/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Passphrases: read from a file, a descriptor or the terminal (without echo) straight into secret memory, and
 * handed on as a sealed memfd. They are never on a command line, in the environment or in a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/io.h"
#include "base/secret.h"
#include "cli/cli.h"

bool passphrase_given(const Cli *cli)
{
        return cli->options.passphrase_file || cli->options.passphrase_fd;
}

/* True when there is something to read; false when a signal of the (blocked) set is pending. */
static bool wait_readable(int fd, int signal_fd)
{
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

        while (poll(p, ELEMENTSOF(p), -1) < 0 && errno == EINTR) {
                /* a signal that is none of ours */
        }
        return !p[1].revents;
}

/* Up to the first newline or the end; one byte at a time, because others may read on behind it. signal_fd may
 * be negative. */
static int read_line(int fd, int signal_fd, Secret *s, size_t *ret_len)
{
        size_t len = 0;

        for (;;) {
                uint8_t c;
                ssize_t n;

                if (signal_fd >= 0 && !wait_readable(fd, signal_fd))
                        return -EINTR;
                n = read(fd, &c, 1);
                if (n < 0 && errno == EINTR)
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

/* Silence first: who answers a prompt at once must be neither shown nor lost. */
static int ask_silently(int tty, int signal_fd, const char *prompt, Secret *s, size_t *ret_len)
{
        struct termios before, silent;
        int r;

        if (tcgetattr(tty, &before) < 0)
                return -errno;
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        if (tcsetattr(tty, TCSAFLUSH, &silent) < 0)
                return -errno;
        (void)io_write_full(tty, prompt, strlen(prompt));
        r = read_line(tty, signal_fd, s, ret_len);
        (void)io_write_full(tty, "\n", 1);
        (void)tcsetattr(tty, TCSADRAIN, &before);
        return r;
}

/*
 * The terminal itself, not stdin: `holdfast sign k < file` may still ask. Whoever interrupts gets his echo
 * back: the signal waits while we ask, and does its work when everything is as it was.
 */
static int read_terminal(const char *prompt, Secret *s, size_t *ret_len)
{
        _cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), signal_fd = -EBADF;
        sigset_t ours, before;
        int r;

        if (tty < 0)
                return -ENOTTY;
        sigemptyset(&ours);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGTERM);
        sigprocmask(SIG_BLOCK, &ours, &before);
        signal_fd = signalfd(-1, &ours, SFD_CLOEXEC);
        r = signal_fd < 0 ? -errno : ask_silently(tty, signal_fd, prompt, s, ret_len);
        sigprocmask(SIG_SETMASK, &before, NULL);
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
                return read_line((int)fd, -EBADF, s, ret_len);
        }
        if (strcmp(path, "-") == 0)
                return read_line(STDIN_FILENO, -EBADF, s, ret_len);
        opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return opened < 0 ? -errno : read_line(opened, -EBADF, s, ret_len);
}

static int complain(Cli *cli, int r)
{
        const char *from = cli->options.passphrase_file ? cli->options.passphrase_file : "the secret";

        if (r > 0)
                return r;
        if (r == -ENOTTY)
                return cli_usage(cli, "There is no terminal to ask for the secret; give --passphrase-file or "
                                      "--passphrase-fd.");
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
