/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Place: directories, sockets and the credential, made before anybody is started
 *
 *        RUN/bus              stream, everybody may connect: the direct socket
 *        PATH...              the same, each --listen; in directories that nobody else can exchange (base/listen.h)
 *        RUN/signer/socket    packets, holdfastd only
 *        RUN/signer/import    packets, holdfastd only; one signer process per connection
 *        RUN/signer/tpm       packets, holdfast-tpm only; where there is a TPM
 *        RUN/notify           datagrams: readiness of the programs
 *        RUN/credentials/     the signer's copy of the credential, readable by its user alone
 *        RUN/tls              points to TLS
 *        STATE                holdfastd's own directory
 *        TLS                  what holdfastd writes for programs to read: certificates, key references
 *
 * Unit files make the same with .socket units, LoadCredential= and StateDirectory=.
 */
#include "launch/options.h"

typedef struct Place {
        int listen_fds[LAUNCH_LISTEN_MAX]; /* of further direct sockets, in the order they were asked for */
        size_t n_listen;
        const char *const *listen_paths; /* borrowed */
        int bus_fd, signer_fd, import_fd, tpm_fd, notify_fd;
        char *bus_path, *signer_path, *import_path, *tpm_path, *notify_path;
        char *credential_dir; /* NULL without a credential */
} Place;

#define PLACE_EMPTY                                                                                          \
        ((Place){.bus_fd = -EBADF, .signer_fd = -EBADF, .import_fd = -EBADF, .tpm_fd = -EBADF, .notify_fd = -EBADF})

/* 0 or -errno, said on stderr with the path it was about. */
int place_prepare(const LaunchOptions *o, Place *ret);
/* Closes, and removes sockets and credential. What holdfastd wrote stays. */
void place_deinit(Place *p);
#define _cleanup_place_ __attribute__((cleanup(place_deinit)))
