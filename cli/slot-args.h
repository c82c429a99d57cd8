/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What slots of the TPM kinds are made with: --pcr, --pin, --signed-policy, --key. */
#include "cli/cli.h"

/* Adds the options of a slot of this kind to the call; a PIN is asked for and is *ret_secret then. An option that the
 * kind has no use for is a usage error. 0 or an exit code. */
int slot_args(Cli *cli, const char *kind, CallArgs *args, int *ret_secret);
