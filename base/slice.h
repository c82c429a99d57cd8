/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long a thread keeps its core
 *
 * Linux from 6.6 on lets a thread that runs finish its slice, 1.4 ms and more, and often its tick, before one that wakes up gets
 * the core: a caller whose signature takes 60 us waits behind somebody's RSA. A thread that wakes up with a shorter slice than
 * that of the running one is let in at once (sched_setattr(2), sched_runtime of SCHED_OTHER, from 6.12 on). Shares stay as
 * they are.
 */
#include <stdint.h>

#define SLICE_SHORT 200000u   /* nanoseconds; the kernel takes 0.1 to 100 ms */
#define SLICE_LONG 20000000u /* for what takes milliseconds and has nobody waiting for its next step */

/* For this thread and those it starts; first called before there is another one. The same length a second time costs nothing.
 * Where the kernel cannot, or whoever started us chose another policy, all stays as it is. */
void slice_set(uint32_t nanoseconds);
