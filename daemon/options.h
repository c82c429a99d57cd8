/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Options: the a{sv} that ends each call
 *
 * Read by a table. An option that is not in it, one of another type, or one given twice is HF_E_INVALID_ARGS:
 * in a key service a typo must not mean the default.
 */
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "base/bytes.h"

typedef enum OptionType {
        OPTION_STRING,  /* s  -> const char *, borrowed from the message */
        OPTION_BOOL,    /* b  -> bool */
        OPTION_U32,     /* u  -> uint32_t */
        OPTION_U64,     /* t  -> uint64_t */
        OPTION_FD,      /* h  -> int, borrowed from the message */
        OPTION_BYTES,   /* ay -> Bytes, borrowed */
        OPTION_STRINGS, /* as -> char **, NULL-terminated; free with options_strings_free() */
        OPTION_U32S,    /* au -> Bytes over uint32_t, borrowed */
} OptionType;

typedef struct OptionSpec {
        const char *name;
        OptionType type;
        size_t offset;
} OptionSpec;

/* `specs` ends at a row without a name. Fields that are not given keep their value. *ret_given gets bit i for
 * each row i that was given (may be NULL). HF_E_INVALID_ARGS (`ret_bad` then names the option), -ENOMEM. */
int options_read(sd_bus_message *m, const OptionSpec *specs, void *target, uint32_t *ret_given,
                char ret_bad[static 64]);
void options_strings_free(char ***strings);
/* What it means that an argument of the right signature cannot be read: no memory, or the caller's fault. */
int options_unreadable(int r);
