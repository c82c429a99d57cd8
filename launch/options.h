/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command line of holdfast-launch, checked as a whole before anything is made or started.
 */
#include <sys/types.h>

typedef struct LaunchUser {
        uid_t uid;
        gid_t gid;
        gid_t device_gid; /* one more group, for a device node; 0: none */
} LaunchUser;

#define LAUNCH_EXTRA_ARGS_MAX 64
#define LAUNCH_LISTEN_MAX 7 /* and the usual one: as many as holdfastd takes */

typedef struct LaunchOptions {
        const char *run_directory;   /* sockets, notify socket, copy of the credential */
        const char *state_directory; /* of holdfastd */
        const char *tls_directory;   /* of holdfastd, for everybody to read */
        const char *signer, *daemon, *tpm; /* programs */
        const char *tcti;            /* how holdfast-tpm reaches the TPM, or NULL: none is started */
        const char *credential;      /* file with the unlock credential, or NULL */
        const char *listen[LAUNCH_LISTEN_MAX]; /* further direct sockets */
        size_t n_listen;
        int ready_fd;                /* where the line "ready: ..." goes */
        unsigned backoff_max_ms;
        unsigned watchdog_s; /* 0: none */
        LaunchUser daemon_user, signer_user, tpm_user;
        const char *daemon_args[LAUNCH_EXTRA_ARGS_MAX + 1]; /* NULL-terminated, handed on as they are */
        const char *signer_args[LAUNCH_EXTRA_ARGS_MAX + 1];
        const char *tpm_args[LAUNCH_EXTRA_ARGS_MAX + 1];
        char *run_owned, *state_owned, *tls_owned;
} LaunchOptions;

/* 0; 1 when only help or the version was asked for (printed); -EINVAL when the command line is wrong (said on stderr). */
int options_parse(int argc, char **argv, LaunchOptions *ret);
void options_deinit(LaunchOptions *o);
#define _cleanup_options_ __attribute__((cleanup(options_deinit)))
