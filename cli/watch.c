/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/file.h"
#include "cli/path-watch.h"
#include "cli/tls-files.h"

#define GENERATION_SIZE (PATH_MAX + 32)
#define EXIT_NOT_RUN 126 /* as env(1) and shells have it */
#define EXIT_NOT_FOUND 127
#define EXIT_SIGNAL 128

typedef struct Watch {
        Cli *cli;
        const char *name;
        char **command;
        char *path; /* DIR/NAME, or DIR/ca@NAME/crl.pem */
        char last[GENERATION_SIZE];
        sigset_t before; /* for the command */
        int signals;
        bool stopping;
} Watch;

static void watch_deinit(Watch *w)
{
        free(w->path);
        safe_close(w->signals); /* and they stay blocked: a second SIGTERM finds us ending already */
}

/* What the link says and which directory that is, or which file of a CA; "" while there is nothing. A file may have the
 * number of one that was there before, but not its time. */
static void read_generation(const Watch *w, char ret[static GENERATION_SIZE])
{
        char target[PATH_MAX] = "";
        struct stat st;

        ret[0] = '\0';
        if (stat(w->path, &st) < 0)
                return;
        if (readlink(w->path, target, sizeof(target) - 1) < 0)
                target[0] = '\0';
        if (S_ISDIR(st.st_mode))
                snprintf(ret, GENERATION_SIZE, "%s %lu", target, (unsigned long)st.st_ino);
        else
                snprintf(ret, GENERATION_SIZE, "%lld.%09ld %lu", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                                (unsigned long)st.st_ino);
}

static int read_seen(Watch *w)
{
        const char *file = w->cli->options.seen;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(GENERATION_SIZE - 1);
        int r = io_read_file(AT_FDCWD, file, &text);

        if (r == -ENOENT)
                return 0;
        if (r)
                return cli_fail_file(w->cli, file, r);
        memcpy(w->last, text.data, text.len);
        w->last[text.len] = '\0';
        w->last[strcspn(w->last, "\n")] = '\0';
        return 0;
}

static int write_seen(const Watch *w)
{
        const char *file = w->cli->options.seen;
        char line[GENERATION_SIZE + 1];
        int r;

        if (!file)
                return 0;
        snprintf(line, sizeof(line), "%s\n", w->last);
        r = file_write(file, BYTES(line, strlen(line)));
        return r ? cli_fail_file(w->cli, file, r) : 0;
}

static int spawn(const Watch *w, pid_t *ret)
{
        posix_spawnattr_t attributes;
        int r = posix_spawnattr_init(&attributes);

        if (r)
                return r;
        r = posix_spawnattr_setsigmask(&attributes, &w->before);
        if (!r)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        if (!r)
                r = posix_spawnp(ret, w->command[0], NULL, &attributes, w->command, environ);
        (void)posix_spawnattr_destroy(&attributes);
        return r;
}

/* Takes one signal. A command under way (pid) is given what ends us. */
static void take_signal(Watch *w, pid_t pid)
{
        struct signalfd_siginfo si;

        if (read(w->signals, &si, sizeof(si)) != sizeof(si) || si.ssi_signo == SIGCHLD)
                return;
        w->stopping = true;
        if (pid > 0)
                (void)kill(pid, (int)si.ssi_signo);
}

static int wait_for_end(Watch *w, pid_t pid)
{
        int status;

        while (waitpid(pid, &status, WNOHANG) == 0) {
                struct pollfd p = {.fd = w->signals, .events = POLLIN};

                if (poll(&p, 1, -1) > 0)
                        take_signal(w, pid);
        }
        return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* 0; the status of a command that failed, told; or an exit code of our own. */
static int run_command(Watch *w, int *ret_status)
{
        pid_t pid;
        int r = tls_export(w->cli, w->name);

        if (r)
                return r;
        r = spawn(w, &pid);
        if (r)
                return cli_fail_with(w->cli, r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, strerrorname_np(r), "%s: %s.",
                                w->command[0], strerror(r));
        *ret_status = wait_for_end(w, pid);
        if (*ret_status)
                cli_talk(w->cli, "%s ended with %d.", w->command[0], *ret_status);
        return *ret_status ? 0 : write_seen(w);
}

/* Runs the command if there is something new. */
static int look(Watch *w, bool *ret_ran, int *ret_status)
{
        char now[GENERATION_SIZE];

        read_generation(w, now);
        *ret_ran = now[0] && strcmp(now, w->last) != 0;
        if (!*ret_ran)
                return 0;
        strcpy(w->last, now);
        return run_command(w, ret_status);
}

/* Until something on the way to the identity has changed, or we are told to end. */
static void wait_for_change(Watch *w, PathWatch *paths)
{
        struct pollfd p[] = {{.fd = w->signals, .events = POLLIN}, {.fd = paths->fd, .events = POLLIN}};

        while (!w->stopping) {
                if (poll(p, ELEMENTSOF(p), -1) < 0)
                        continue;
                if (p[0].revents)
                        take_signal(w, 0);
                if (p[1].revents && path_watch_read(paths))
                        return;
        }
}

static int watch_on(Watch *w)
{
        _cleanup_path_watch_ PathWatch paths = PATH_WATCH_NULL;
        int r = 0, status;
        bool ran;

        while (!r && !w->stopping) {
                r = path_watch_place(&paths, w->path); /* before the look, so that nothing falls between */
                if (r)
                        return cli_fail_file(w->cli, w->path, r);
                r = look(w, &ran, &status);
                if (!r && !ran)
                        wait_for_change(w, &paths);
        }
        return r;
}

static int watch_once(Watch *w)
{
        int status = 0, r;
        bool ran;

        r = look(w, &ran, &status);
        return r ? r : ran ? status : EXIT_CODE_NOTHING_TO_DO;
}

static int watch_init(Watch *w)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &set, &w->before);
        w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (w->signals < 0)
                return cli_fail_file(w->cli, "signalfd", errno);
        if (tls_path(w->name, strncmp(w->name, TLS_AUTHORITY, strlen(TLS_AUTHORITY)) ? NULL : "crl.pem", &w->path))
                return cli_fail_file(w->cli, w->name, ENOMEM);
        if (w->cli->options.seen)
                return read_seen(w);
        if (!w->cli->options.once)
                read_generation(w, w->last);
        return 0;
}

int watch_identity(Cli *cli, const char *name, char **command)
{
        _cleanup_(watch_deinit) Watch w = {.cli = cli, .name = name, .command = command, .signals = -EBADF};
        int r = watch_init(&w);

        if (r)
                return r;
        return cli->options.once ? watch_once(&w) : watch_on(&w);
}
