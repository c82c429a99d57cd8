/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Worker: what would make the loop wait
 *
 * One thread that runs posted jobs one after the other (commit, opening a store, copies) and hands each back
 * to the loop, which calls `done`. Jobs share nothing with the loop while they run: whoever posts a job that
 * touches the store leaves the store alone until it is done.
 */
#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct Worker Worker;

int worker_new(sd_event *event, Worker **ret);
/* Waits for what runs. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker, worker_free)
/* `work` in the thread, then `done` with its result in the loop. -ENOMEM. */
int worker_post(Worker *w, int (*work)(void *userdata), void (*done)(void *userdata, int result),
                void *userdata);
