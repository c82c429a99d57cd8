/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one table of errors
 *
 * Result <-> bus name <-> sentence <-> exit code. Daemon, library and CLI all read this one. Each sentence says
 * what happened, what was not changed and what to do; a caller of errors_sentence() may have something more exact
 * (which key, which rule) and uses that instead.
 */
#include "base/error.h"

/* Exit codes of `holdfast`, holdfast(1). */
enum {
        EXIT_CODE_OK = 0,
        EXIT_CODE_FAILED = 1,
        EXIT_CODE_USAGE = 2,
        EXIT_CODE_NOT_FOUND = 3,
        EXIT_CODE_NOT_PERMITTED = 4,
        EXIT_CODE_LOCKED = 5,
        EXIT_CODE_NOTHING_TO_DO = 6,
        EXIT_CODE_NO_DAEMON = 7,
        EXIT_CODE_VERIFICATION = 8,
        EXIT_CODE_TIMED_OUT = 9,
        EXIT_CODE_CERTIFICATE = 10,
        EXIT_CODE_UNKNOWN_SIGNER = 11, /* audit verify: consistent in itself, but nobody vouches for the signer */
};

/* "org.holdfast.Keystore1.Error.StoreLocked"; for -errno and unknown values that of Internal. Never NULL. */
const char *errors_bus_name(int r);
/* Never NULL. */
const char *errors_sentence(int r);
int errors_exit_code(int r);
/* The HF_E_ value of a bus error name; standard names of the bus are mapped to ours (AccessDenied, NoReply,
 * ServiceUnknown, InvalidArgs, ...). HF_E_INTERNAL for what nobody knows. */
int errors_from_bus_name(const char *name);
