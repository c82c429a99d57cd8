/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the verbs of `ca` share, and the one that has a file of its own. */
#include "cli/cli.h"

/* The object of the CA of this name; NULL: the one of --ca, or the usual one. 0 or an exit code, told. */
int ca_path(Cli *cli, const char *name, char **ret);
/* Bytes of a member that the answer has as base64. 0 or an HfResult or -errno, not told. */
int ca_take_bytes(const json_t *object, const char *member, Buffer *ret);

/* ca ocsp REQUEST --signer NAME */
int ca_ocsp_run(Cli *cli);
