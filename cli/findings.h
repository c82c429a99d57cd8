/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Findings (x509/finding.h) as a verb tells them. */
#include "cli/cli.h"
#include "x509/finding.h"

/* EXIT_CODE_VERIFICATION if nobody trusted vouches for it, EXIT_CODE_CERTIFICATE if it is not to be used as it is,
 * EXIT_CODE_FAILED if there was no connection; the first finding decides. EXIT_CODE_OK without any. */
int findings_exit_code(const FindingList *findings);
/* "SENTENCE REMEDY (WORD)" for the first, the others as talk. Returns findings_exit_code(). */
int findings_fail(Cli *cli, const FindingList *findings);
/* [{"finding", "sentence", "remedy"}, ...]; NULL: no memory. */
json_t *findings_json(const FindingList *findings);
