/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of an identity, as programs see them
 *
 * holdfastd keeps DIR/NAME, a symlink that it exchanges for one to a new generation of files. DIR is
 * $HOLDFAST_TLS or /run/holdfast/tls; OpenSSL's configuration with the provider in it is $HOLDFAST_OPENSSL_CONF or
 * /etc/holdfast/openssl.cnf. None of these files is secret.
 */
#include "cli/cli.h"

#define TLS_AUTHORITY "ca@" /* in front of a CA's name: the directory with what it publishes */

const char *tls_directory(void);
const char *tls_openssl_conf(void);
/* "DIR/NAME/FILE"; a NULL file gives "DIR/NAME". *ret is to be freed. 0 or -ENOMEM. */
int tls_path(const char *name, const char *file, char **ret);
/* Is there anything under this name? Follows the link, so false while what it leads to is missing. */
bool tls_is_there(const char *name);
/* Sets HOLDFAST_IDENTITY, HOLDFAST_CERT and so on in our environment, for a program to run; what the identity does not
 * have is unset. The paths go through the link, so that they stay right when it is exchanged. 0 or an exit code, told. */
int tls_export(Cli *cli, const char *name);
/* The argument that names an identity. 0 or a usage error, told. */
int tls_check_name(Cli *cli, const char *name);
