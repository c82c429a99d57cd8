/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Traces of secrets, where the TPM's library left them
 *
 * libtss2 erases nothing. So in this program free() erases what it frees; after each request the stack below us and the
 * library's command buffer are erased whole; and the heap is searched for the request's own secrets, whose bytes we know.
 * The one that costs is the search: a key in use leaves its authorisation in the session, always at the same place, which
 * is remembered for as long as the session lives, so that a use looks there and nowhere else.
 */
#include "tpm/device.h"

#define TRACES_MAX 4
#define TRACE_SIZE 128

typedef struct Traces {
        struct {
                uint8_t bytes[TRACE_SIZE];
                size_t len;
        } secrets[TRACES_MAX];
        size_t n;
} Traces;

/* Before the first secret: what lies in the heap later than this is searched. */
void traces_begin(void);
/* One of the request's secrets; those beyond TRACES_MAX, or too short or too regular to be told from anything else, are left
 * out: an authorisation of ours is random. */
void traces_add(Traces *t, const uint8_t *secret, size_t len);
/* `life` tells one life of the session from another; `known`: this request leaves its secrets where the last of its kind did. */
void traces_erase(Traces *t, Device *d, uint64_t life, bool known);
