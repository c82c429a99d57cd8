/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files that stand where anybody could get at them
 *
 * Everything holdfastd uses is looked at: who owns it, and which bits of its mode are too many or missing. Each finding
 * comes with the command that mends it. What holdfastd cannot reach is not judged: strangers cannot either, and what
 * it needs itself it would have failed on.
 */
#include <sys/types.h>

typedef enum FileKind {
        FILE_OWN,           /* the state: holdfastd's alone, with all that is in it */
        FILE_ADMINS,        /* configuration and policy: written by root, read by us; a directory with its *.conf */
        FILE_PROGRAM,       /* written by root */
        FILE_TLS,           /* certificates for everybody to read, written by us; what is in it is compared elsewhere */
        FILE_PLACE,         /* a directory of sockets, in which nobody else may put or remove anything */
        FILE_SOCKET_SIGNER, /* ours to connect to, nobody else's */
        FILE_SOCKET_CALLERS, /* everybody's to connect to */
        FILE_CREDENTIAL,    /* whoever reads it opens the store */
        FILE_CREDENTIAL_COPY, /* the same for the signer, whose uid we do not know; a directory with what is in it */
        _FILE_KIND_MAX,
} FileKind;

typedef struct FilesUsers {
        uid_t self, admin; /* of holdfastd; who besides root may own what an administrator writes */
} FilesUsers;

/* `command` is one line for a shell, or "" where there is none. A return other than 0 ends the walk and is returned. */
typedef int (*FileFoundFunc)(void *userdata, const char *detail, const char *command);

/* What does not exist is no finding. 0, -errno of what was given as `found`, -ENOMEM. `ret_seen` counts up. */
int files_check(FileKind kind, const char *path, const FilesUsers *users, FileFoundFunc found, void *userdata,
                size_t *ret_seen);
