/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is wrong with identities, for doctor
 *
 * Dates and lost keys of all of them; certificates and files of the first IDENTITIES_READ, because the loop waits.
 */
#include "daemon/daemon.h"

#define IDENTITIES_READ 50

/* A return other than 0 ends it and is returned. `remedy` is a command where one helps. */
typedef int (*IdentityFoundFunc)(void *userdata, const char *severity, const char *detail, const char *remedy);

/* Nothing found: not called. 0, or what `found` returned. */
int identities_check(const Daemon *d, IdentityFoundFunc found, void *userdata);
