/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checkpoints: sealing the log
 *
 * All lines so far become durable, the signer signs what they add up to, the note becomes a durable line, and
 * then whoever waited is told. While the signer is asked no new operation is given to it, because it refuses
 * to sign for less than it has served. Done every so many lines, some time after the first unsealed one, at
 * unlock, clean stop and export, and at every change but reservations.
 */
#include "daemon/daemon.h"

/* result: 0, or why no note could be had; the lines themselves are durable then all the same. */
typedef void (*SealedFunc)(void *userdata, int result);
typedef struct SealWaiter SealWaiter;

/* Everything in the log at this moment will be under the note. `done` may be NULL. */
void checkpoint_request(Daemon *d, SealedFunc done, void *userdata);
/* The same for what must not be undone by an older copy: the note is anchored (daemon/anchor.h) before `done` is told, as
 * far as the TPM answers. */
void checkpoint_anchor(Daemon *d, SealedFunc done, void *userdata);
/* A line was appended: is it time? */
void checkpoint_consider(Daemon *d);
/* More lines are durable. */
void checkpoint_on_durable(Daemon *d);
/* The vault closes: nobody waits any more. */
void checkpoint_stop(Daemon *d);
