/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the last backup has of each CA
 *
 * A mark for each: its key, its certificate, and how often certificates under it were issued or changed, which is the sum of
 * the versions of their rows and only rises. With the backup's own change the marks of the moment in which the copy was made
 * become rows of `meta`; so a CA is in the last backup as it is if its mark is still the same. No clock is asked.
 */
#include "keystore/registry.h"

typedef struct CaMark {
        Uuid key;
        uint8_t digest[32];
} CaMark;

/* Of all CAs; *ret is freed with free(). -ENOMEM. */
int ca_marks_new(const Registry *registry, CaMark **ret, size_t *ret_n);
/* In the backup's change. */
int ca_marks_put(Store *store, const CaMark *marks, size_t n);
/* Has the last backup this CA and all below it, as they are? */
int ca_is_backed_up(Store *store, const Registry *registry, const char *name, bool *ret);
