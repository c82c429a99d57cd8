/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A store of the daemon's, for tests: a state directory, fixed keys, and jobs that make and open the store as
 * the worker does. Nothing in it is replaced but the signer.
 */
#include "daemon/change.h"
#include "daemon/vault-open.h"
#include "tests/unit/daemon/support.h"

#define EVENTS_MAX 256

typedef struct Stage {
        Sandbox box;
        Daemon d;
        SignerOpened keys;
        uint64_t served;
        VaultRepair repair;
        Buffer new_slots;
        const char *abandoned; /* what daemon_abandon() was told */
        unsigned abandons;

        /* stage_run(): a loop around an open store, and a scripted signer */
        int listener, peer;
        unsigned up;
        uint8_t *packet;
        sd_event_source *log_source;

        /* the log as stage_read() found it */
        size_t n_events;
        char events[EVENTS_MAX][32];
        char *lines[EVENTS_MAX];
} Stage;

int stage_setup(void **state); /* cmocka: *state is a Stage with an empty state directory */
int stage_teardown(void **state);

VaultJob *stage_job(Stage *p);
/* Makes a store with `slots` as its slots file and puts it in its place. */
void stage_make(Stage *p, const char *slots);
/* The result; on success *ret is open, else the reason is in *ret all the same. */
int stage_try(Stage *p, VaultJob **ret);
VaultJob *stage_open(Stage *p);
/* As a crash leaves it: an open change is rolled back, nothing more is written. */
VaultJob *stage_crash(VaultJob *job);

/* One change as far as it went. */
typedef enum Until { UNTIL_LINE, UNTIL_COMMIT, UNTIL_DONE } Until;
uint64_t stage_change(VaultJob *job, Until until, const char *slots);

/* An open store in the daemon's own struct, with its worker, its loop and a client of a signer that the test
 * plays. */
void stage_run(Stage *p);
void stage_stop(Stage *p);
/* The next request to the signer; turns the loop until it comes. The body is valid until the next call. */
void stage_take(Stage *p, SignerRequest type, uint64_t *ret_job, Bytes *ret_body);
void stage_reply(Stage *p, uint64_t job, int result, Bytes body);
/* A note as the signer would write it, but for its signature, which the log does not check. */
void stage_note(Stage *p, const SignerCheckpoint *c, char ret[static CHECKPOINT_NOTE_MAX]);
/* Takes the request for a checkpoint and answers it. */
void stage_seal(Stage *p, SignerCheckpoint *ret);

/* All lines of STATE/store/audit. */
void stage_read(Stage *p);
/* The last lines are exactly these, in this order; ends with NULL. */
void stage_expect_tail(Stage *p, const char *const *events);
#define expect_tail(p, ...) stage_expect_tail(p, (const char *const[]){__VA_ARGS__, NULL})
/* Lines of this event. */
size_t stage_count(Stage *p, const char *event);
const char *stage_last(Stage *p, const char *event);

/* Copies of one directory or file below the state directory. */
void stage_copy(Stage *p, const char *from, const char *to);
void stage_remove(Stage *p, const char *what);
/* A hash over the contents of everything below. */
void stage_hash(Stage *p, const char *what, uint8_t ret[static 32]);
/* A store with three changes; a copy of it after the first (*ret_first) is `past`. Returns the number of the
 * last. */
uint64_t stage_past(Stage *p, uint64_t *ret_first);
/* `past`'s file or directory takes the place of the store's. */
void stage_swap_in(Stage *p, const char *what);
/* Changes the byte of the log at the first place where this text stands. */
void stage_flip_in_log(Stage *p, const char *at);
Stage *stage_of(Daemon *d);
