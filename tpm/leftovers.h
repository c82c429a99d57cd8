/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What lies about in a TPM that nobody manages
 *
 * Without a resource manager three objects and three sessions are all there is for everybody, and what a process had
 * loaded when it was killed stays until the TPM's reset: after three such ends of ours nobody could do anything. Whose
 * a handle is cannot be seen. But others use theirs for moments, and what has not moved in LEFTOVERS_AGE_MS has no living
 * user: that is flushed, and nothing else. On a managed device the kernel does it, and this does nothing.
 */
#include "tpm/kept.h"

#define LEFTOVERS_MAX 16
#define LEFTOVERS_AGE_MS 2000
#define LEFTOVERS_LOOKS 5 /* at least: what comes and goes is not there each time */
#define LEFTOVERS_DOUBTS 16 /* looks at a TPM that does not say what is loaded */

typedef struct Leftover {
        TPM2_HANDLE handle;
        uint8_t name[TPM_NAME_SIZE]; /* of an object; a session has none */
        uint64_t first; /* seen */
        unsigned looks; /* since */
} Leftover;

typedef struct Leftovers {
        Leftover all[LEFTOVERS_MAX];
        size_t n; /* 0: nothing to watch */
        unsigned doubts; /* there may be more than is known: so many more looks at everything */
        uint64_t looked;
} Leftovers;

/* Watches what is loaded now, but for our own session; what it watched already is not younger for it. */
void leftovers_begin(Leftovers *l, const Kept *k);
/* A command failed: what it loaded, or was to flush, may be there. All is looked at when the next look is due. */
void leftovers_doubt(Leftovers *l, const Kept *k);
/* If a look is due: strikes out what has moved, and flushes what is old enough. */
void leftovers_look(Leftovers *l, const Kept *k);
/* Milliseconds until the next look, -1: none is needed. */
int leftovers_due(const Leftovers *l);
