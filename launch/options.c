/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define BACKOFF_MAX_MS 5000
#define WATCHDOG_S 60

static const char help_text[] =
        "holdfast-launch [OPTIONS] [-- HOLDFASTD-OPTIONS]\n\n"
        "Starts holdfast-signer, holdfastd and, where there is a TPM, holdfast-tpm without systemd, gives them\n"
        "their sockets and users, restarts what dies, and stops all in order on SIGTERM. SIGHUP is passed to\n"
        "holdfastd.\n\n"
        "  --directory=DIR         the same as --run-directory=DIR/run --state-directory=DIR/state\n"
        "  --run-directory=DIR     where the sockets are made: DIR/bus and DIR/signer/...\n"
        "  --state-directory=DIR   where holdfastd keeps store and log\n"
        "  --tls-directory=DIR     where it puts certificates and key references for programs; default: the state\n"
        "                          directory's name with -tls behind it; RUN/tls points there\n"
        "  --listen=PATH           one more direct socket, such as one in a chroot (may be repeated)\n"
        "  --credential=FILE       credential holdfast.unlock of the signer (copied for its eyes only)\n"
        "  --tcti=CONF             start holdfast-tpm too, which reaches the TPM this way (device:/dev/tpmrm0)\n"
        "  --daemon=PATH           program instead of " HOLDFAST_LIBEXECDIR "/holdfastd\n"
        "  --signer=PATH           program instead of " HOLDFAST_LIBEXECDIR "/holdfast-signer\n"
        "  --tpm=PATH              program instead of " HOLDFAST_LIBEXECDIR "/holdfast-tpm\n"
        "  --daemon-uid=N          as root: uid and gid of holdfastd; default: user holdfast\n"
        "  --signer-uid=N          as root: uid and gid of the signer; default: user holdfast-signer\n"
        "  --tpm-uid=N             as root: uid and gid of holdfast-tpm; default: user holdfast-tpm\n"
        "  --signer-arg=ARG        one more argument for the signer (may be repeated)\n"
        "  --tpm-arg=ARG           one more argument for holdfast-tpm (may be repeated)\n"
        "  --watchdog=SECONDS      kill a program that is silent for so long; 0: none (default 60)\n"
        "  --backoff-max=MS        longest pause before a restart, 1 to 60000 (default 5000)\n"
        "  --ready-fd=N            print the line \"ready: socket PATH\" there instead of to standard output\n"
        "  --help --version\n\n"
        "Exit status: 0 stopped by a signal, in order; 1 the place could not be prepared; 2 wrong command line;\n"
        "3 a program died five times in a row before it was ready for the first time.\n";

static int parse_number(const char *name, const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
        unsigned long v;
        char *end;

        errno = 0;
        v = strtoul(text, &end, 10);
        if (errno || *text < '0' || *text > '9' || *end || v < min || v > max) {
                log_error("--%s=%s: a number from %lu to %lu is wanted", name, text, min, max);
                return -EINVAL;
        }
        *ret = v;
        return 0;
}

static int add_arg(const char **list, const char *arg)
{
        for (size_t i = 0; i < LAUNCH_EXTRA_ARGS_MAX; i++)
                if (!list[i]) {
                        list[i] = arg;
                        return 0;
                }
        log_error("more than %d arguments to hand on", LAUNCH_EXTRA_ARGS_MAX);
        return -EINVAL;
}

/* Root gives each program a user of its own and never runs one as root; anybody else runs both as himself. */
static int choose_user(const char *option, const char *name, unsigned long number, LaunchUser *ret)
{
        const struct passwd *pw;

        if (geteuid() != 0) {
                *ret = (LaunchUser){.uid = geteuid(), .gid = getegid()};
                if (number == ULONG_MAX || number == geteuid())
                        return 0;
                log_error("--%s: only root can start a program as somebody else", option);
                return -EINVAL;
        }
        if (number != ULONG_MAX) {
                *ret = (LaunchUser){.uid = (uid_t)number, .gid = (gid_t)number};
                return 0;
        }
        pw = getpwnam(name);
        if (!pw || pw->pw_uid == 0) {
                log_error("there is no user %s: make it (sysusers.d/holdfast.conf) or give --%s=N", name, option);
                return -EINVAL;
        }
        *ret = (LaunchUser){.uid = pw->pw_uid, .gid = pw->pw_gid};
        return 0;
}

static int set_directory(LaunchOptions *o, const char *dir)
{
        free(o->run_owned);
        free(o->state_owned);
        o->run_owned = o->state_owned = NULL;
        if (asprintf(&o->run_owned, "%s/run", dir) < 0 || asprintf(&o->state_owned, "%s/state", dir) < 0)
                return -ENOMEM;
        o->run_directory = o->run_owned;
        o->state_directory = o->state_owned;
        return 0;
}

enum {
        OPT_DIRECTORY = 256,
        OPT_RUN,
        OPT_STATE,
        OPT_TLS,
        OPT_LISTEN,
        OPT_CREDENTIAL,
        OPT_TCTI,
        OPT_DAEMON,
        OPT_SIGNER,
        OPT_TPM,
        OPT_DAEMON_UID,
        OPT_SIGNER_UID,
        OPT_TPM_UID,
        OPT_SIGNER_ARG,
        OPT_TPM_ARG,
        OPT_WATCHDOG,
        OPT_BACKOFF,
        OPT_READY_FD,
        OPT_HELP,
        OPT_VERSION,
};

static const struct option long_options[] = {
        {"directory", required_argument, NULL, OPT_DIRECTORY},
        {"run-directory", required_argument, NULL, OPT_RUN},
        {"state-directory", required_argument, NULL, OPT_STATE},
        {"tls-directory", required_argument, NULL, OPT_TLS},
        {"listen", required_argument, NULL, OPT_LISTEN},
        {"credential", required_argument, NULL, OPT_CREDENTIAL},
        {"tcti", required_argument, NULL, OPT_TCTI},
        {"daemon", required_argument, NULL, OPT_DAEMON},
        {"signer", required_argument, NULL, OPT_SIGNER},
        {"tpm", required_argument, NULL, OPT_TPM},
        {"daemon-uid", required_argument, NULL, OPT_DAEMON_UID},
        {"signer-uid", required_argument, NULL, OPT_SIGNER_UID},
        {"tpm-uid", required_argument, NULL, OPT_TPM_UID},
        {"signer-arg", required_argument, NULL, OPT_SIGNER_ARG},
        {"tpm-arg", required_argument, NULL, OPT_TPM_ARG},
        {"watchdog", required_argument, NULL, OPT_WATCHDOG},
        {"backoff-max", required_argument, NULL, OPT_BACKOFF},
        {"ready-fd", required_argument, NULL, OPT_READY_FD},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
};

typedef struct Numbers {
        unsigned long daemon_uid, signer_uid, tpm_uid, backoff, ready_fd, watchdog;
} Numbers;

static int take_option(int c, const char *arg, LaunchOptions *o, Numbers *n)
{
        switch (c) {
        case OPT_DIRECTORY:
                return set_directory(o, arg);
        case OPT_RUN:
                o->run_directory = arg;
                return 0;
        case OPT_STATE:
                o->state_directory = arg;
                return 0;
        case OPT_LISTEN:
                if (o->n_listen == LAUNCH_LISTEN_MAX) {
                        log_error("--listen: at most %d", LAUNCH_LISTEN_MAX);
                        return -EINVAL;
                }
                o->listen[o->n_listen++] = arg;
                return 0;
        case OPT_TLS:
                o->tls_directory = arg;
                return 0;
        case OPT_CREDENTIAL:
                o->credential = arg;
                return 0;
        case OPT_TCTI:
                o->tcti = arg;
                return 0;
        case OPT_DAEMON:
                o->daemon = arg;
                return 0;
        case OPT_SIGNER:
                o->signer = arg;
                return 0;
        case OPT_TPM:
                o->tpm = arg;
                return 0;
        case OPT_DAEMON_UID:
                return parse_number("daemon-uid", arg, 1, UINT32_MAX - 1, &n->daemon_uid);
        case OPT_SIGNER_UID:
                return parse_number("signer-uid", arg, 1, UINT32_MAX - 1, &n->signer_uid);
        case OPT_TPM_UID:
                return parse_number("tpm-uid", arg, 1, UINT32_MAX - 1, &n->tpm_uid);
        case OPT_SIGNER_ARG:
                return add_arg(o->signer_args, arg);
        case OPT_TPM_ARG:
                return add_arg(o->tpm_args, arg);
        case OPT_WATCHDOG:
                return parse_number("watchdog", arg, 0, 3600, &n->watchdog);
        case OPT_BACKOFF:
                return parse_number("backoff-max", arg, 1, 60000, &n->backoff);
        case OPT_READY_FD:
                return parse_number("ready-fd", arg, 0, INT_MAX, &n->ready_fd);
        case OPT_HELP:
                fputs(help_text, stdout);
                return 1;
        case OPT_VERSION:
                puts("holdfast-launch " HOLDFAST_VERSION);
                return 1;
        }
        return -EINVAL; /* getopt has said why */
}

/* The TPM's device nodes belong to group tss, as the package tpm-udev and tpm2-tss make them. */
static gid_t device_group(void)
{
        const struct group *g = geteuid() == 0 ? getgrnam("tss") : NULL;

        return g ? g->gr_gid : 0;
}

static int choose_users(LaunchOptions *o, const Numbers *n)
{
        int r = choose_user("daemon-uid", "holdfast", n->daemon_uid, &o->daemon_user);

        if (!r)
                r = choose_user("signer-uid", "holdfast-signer", n->signer_uid, &o->signer_user);
        if (!r && o->tcti) {
                r = choose_user("tpm-uid", "holdfast-tpm", n->tpm_uid, &o->tpm_user);
                o->tpm_user.device_gid = device_group();
        }
        if (r || geteuid() != 0)
                return r;
        if (o->daemon_user.uid == o->signer_user.uid || o->tpm_user.uid == o->signer_user.uid ||
                        o->tpm_user.uid == o->daemon_user.uid) {
                log_error("each program needs a user of its own: one must not be able to trace the other");
                return -EINVAL;
        }
        return 0;
}

/* Beside the state directory, which nobody else can look into. */
static int choose_tls_directory(LaunchOptions *o)
{
        size_t n = strlen(o->state_directory);

        while (n > 1 && o->state_directory[n - 1] == '/')
                n--;
        if (o->tls_directory)
                return 0;
        if (asprintf(&o->tls_owned, "%.*s-tls", (int)n, o->state_directory) < 0) {
                o->tls_owned = NULL;
                return -ENOMEM;
        }
        o->tls_directory = o->tls_owned;
        return 0;
}

static int check_whole(LaunchOptions *o, const Numbers *n)
{
        int r;

        if (!o->run_directory || !o->state_directory) {
                log_error("--directory=DIR, or --run-directory= and --state-directory=, is missing; see --help");
                return -EINVAL;
        }
        r = choose_tls_directory(o);
        if (r)
                return r;
        if (o->run_directory[0] != '/' || o->state_directory[0] != '/' || o->tls_directory[0] != '/' || o->daemon[0] != '/' ||
                        o->signer[0] != '/' || o->tpm[0] != '/') {
                log_error("directories and programs are given as absolute paths");
                return -EINVAL;
        }
        r = choose_users(o, n);
        if (r)
                return r;
        o->backoff_max_ms = (unsigned)n->backoff;
        o->watchdog_s = (unsigned)n->watchdog;
        o->ready_fd = (int)n->ready_fd;
        return 0;
}

int options_parse(int argc, char **argv, LaunchOptions *ret)
{
        Numbers n = {.daemon_uid = ULONG_MAX, .signer_uid = ULONG_MAX, .tpm_uid = ULONG_MAX, .backoff = BACKOFF_MAX_MS,
                .ready_fd = 1, .watchdog = WATCHDOG_S};
        int c, r;

        *ret = (LaunchOptions){
                .daemon = HOLDFAST_LIBEXECDIR "/holdfastd",
                .signer = HOLDFAST_LIBEXECDIR "/holdfast-signer",
                .tpm = HOLDFAST_LIBEXECDIR "/holdfast-tpm",
        };
        while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
                r = take_option(c, optarg, ret, &n);
                if (r)
                        return r;
        }
        for (int i = optind; i < argc; i++) {
                r = add_arg(ret->daemon_args, argv[i]);
                if (r)
                        return r;
        }
        return check_whole(ret, &n);
}

void options_deinit(LaunchOptions *o)
{
        free(o->run_owned);
        free(o->state_owned);
        free(o->tls_owned);
        *o = (LaunchOptions){0};
}
