/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Guard over what sd-bus takes from strangers
 *
 * Memory: sd-bus believes the length in a message header up to 128 MiB and allocates before the bytes arrive, so a
 * stranger could make each connection cost that much. While a guard is set, this program's realloc(3) refuses
 * growth beyond it; sd-bus then fails that connection with ENOMEM, which is what we want.
 *
 * Descriptors: sd-bus 252 forgets the descriptors of a message it drops as malformed, up to 253 at a time, for good.
 * So this program's recvmsg(2) notes whose descriptors come in while a guard is set and its close(2) crosses them
 * out: what an owner still has open in the end is closed, and one who has too many open is refused (EMFILE).
 */
#include <stddef.h>

typedef struct GuardOwner {
        size_t n_open; /* descriptors received and not closed yet */
} GuardOwner;

void guard_set(size_t limit, GuardOwner *owner); /* this thread, until guard_set(0, NULL) */
/* Closes what is left of this owner's descriptors: nothing that holds one of his messages may be alive. */
void guard_release(GuardOwner *owner);
