/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The anchor: the TPM's counter goes up behind a durable note
 *
 * A checkpoint that is to be anchored says the counter's next value (anchor_note()); when it is durable the counter is
 * incremented, and then those who waited are told. One that is not to be anchored says the value as it is. So an older
 * copy of store and log is told from the newest one from the next anchor on (daemon/freshness.h judges).
 *
 * Changes of the store, openings and stops are anchored by themselves; uses of keys at most every `anchor-interval`
 * seconds, because the TPM's memory wears. A TPM that is away or slow holds nobody up: notes go on saying the value that
 * is owed, and what is owed is made up when it is back, with a new anchor behind it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/freshness.h"

typedef struct Daemon Daemon;

typedef enum AnchorState {
        ANCHOR_NONE,      /* the store has no counter */
        ANCHOR_GOOD,      /* the counter is known */
        ANCHOR_UNCHECKED, /* opened without the TPM's word; `counter` is what the last note says */
        ANCHOR_AWAY,      /* known once, but the TPM does not answer now */
        ANCHOR_WRONG,     /* not where it should be: the next opening will refuse */
} AnchorState;

typedef struct Anchor {
        AnchorState state;
        uint64_t counter;
        bool owed;      /* a durable note says counter + 1 */
        bool in_flight; /* the signer is asked */
        bool again;     /* somebody waits for an increment behind the one in flight */
        bool unanchored; /* there are notes behind the last anchor */
        uint64_t last;  /* of the last increment, microseconds since 1970; 0: none in this run */
        uint64_t last_monotonic;
        struct AnchorWaiter *waiters;
        sd_event_source *patience, *due;
} Anchor;

/* The log opens: what freshness_judge() has found. */
void anchor_begin(Daemon *d, FreshnessVerdict verdict, uint64_t counter, int64_t noted);
/* The log closes; whoever waits is told. */
void anchor_end(Daemon *d);

/* What the next note has to say; `anchored`: the counter is to follow it. */
int64_t anchor_note(const Daemon *d, bool anchored);
/* The note that says so is durable. */
void anchor_noted(Daemon *d, int64_t said, bool anchored);
/* A note made now should be anchored, because the last one is old. */
bool anchor_is_due(const Daemon *d);
/* Told when the note that covers him is anchored, or cannot be for now. To be called between anchor_noted() and
 * anchor_push(). */
void anchor_wait(Daemon *d, void (*done)(void *userdata, int result), void *userdata);
/* The anchored note is durable. */
void anchor_push(Daemon *d);
/* The TPM answers (again): checks what was not checked, makes up what is owed. */
void anchor_catch_up(Daemon *d);
/* Is there something to make up? */
bool anchor_is_behind(const Daemon *d);
/* A slot change has made or named a counter, which stands there. */
void anchor_adopt(Daemon *d, uint64_t counter);
