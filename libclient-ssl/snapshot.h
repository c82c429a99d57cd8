/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One generation of an identity's files with a verdict about it, inside this room: libclient-ssl/identity.c shares it out.
 *
 * The verdict can also be that it is not usable; then there may be no key and no chain, and the findings say why. It holds from
 * one end of a certificate's validity to the next, which is what the window says.
 */
#include "libclient-ssl/identity.h"

typedef struct Stamp {
        bool there; /* false: the directory is, the identity is not */
        dev_t dev;
        ino_t ino;
        struct timespec changed;
} Stamp;

typedef struct Generation {
        Snapshot snapshot;
        Stamp stamp;
        FindingList findings;
        uint64_t from, until; /* microseconds since 1970 */
} Generation;

/* Reads and judges; stamp is kept for comparison. 0, or an error of the machine, told. */
int generation_load(const char *directory, const char *name, CertUsage usage, const Stamp *stamp, Generation **ret);
