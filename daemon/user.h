/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one uid has of us: connections, jobs in work, its queue, and how many of its refusals were written
 * down. */
#include "daemon/daemon.h"

#define USER_DENIED_BURST 20         /* refusals of one uid written one by one ... */
#define USER_DENIED_INTERVAL 1000000 /* ... and one more each this many microseconds; the rest is counted */

/* Uses of keys in the TPM stand in a queue of their own: one slow device, however many want it, holds up nobody who does
 * not. */
typedef enum Lane { LANE_SOFTWARE, LANE_TPM } Lane;

struct UseLane {
        User *user;
        Operation *first, *last;
        UseLane *turn_next;
        bool in_turn;
        size_t n_in_work, bytes_in_work; /* uses given to the signer */
        uint64_t last_seq; /* the line of the last one */
};

struct User {
        User *next;
        uid_t uid;
        unsigned refs;
        size_t n_connections;
        size_t n_parked; /* connections above the limit, not read */
        size_t n_jobs;

        Connection *stalled_first, *stalled_last; /* not read until a job or the pause ends */
        uint64_t pause_until;                     /* monotonic */
        sd_event_source *pause;

        UseLane lanes[USE_LANES];

        uint32_t denied_tokens;
        uint64_t denied_refill; /* monotonic */
        uint64_t denied_hidden; /* counted, not written */
};

/* Notes whose turn it is. Two within a second share for another one. */
void sharing_note(Sharing *s, const User *u, uint64_t now);
bool sharing_is_on(const Sharing *s);

int user_get(Daemon *d, uid_t uid, User **ret); /* a reference */
User *user_unref(Daemon *d, User *u);
/* Should this refusal be written? If not it is counted, and written as a sum within a second. */
bool user_may_log_denial(Daemon *d, User *u);
