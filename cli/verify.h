/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* audit verify: an exported file, a key, a verdict. */
#include "cli/cli.h"

/* Exit codes: 0 good; EXIT_CODE_VERIFICATION with the first bad record named; EXIT_CODE_UNKNOWN_SIGNER:
 * consistent in itself, but there was no key to check the signer by. */
int verify_run(Cli *cli);
