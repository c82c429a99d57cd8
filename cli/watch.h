/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watch
 *
 * Runs a command when an identity has another generation of files than the command last ran for. Changes while it runs
 * are made up for by one more run; that the identity goes away is no change, that it comes back is. With --seen the
 * generation is kept in a file, so that a change which nobody watched is made up for as well.
 */
#include "cli/cli.h"

/* Until SIGTERM or SIGINT, which a command under way is given too: then 0. With --once looks once: the command's exit
 * status, or EXIT_CODE_NOTHING_TO_DO. */
int watch_identity(Cli *cli, const char *name, char **command);
