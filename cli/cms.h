/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* sign NAME --cms FILE. */
#include "cli/cli.h"

int cms_run(Cli *cli);
