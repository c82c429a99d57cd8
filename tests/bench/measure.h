/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every load client of the benchmark shares: times of single calls, the CPU time of itself and of the processes
 * that serve it, and one line of JSON at the end for tests/bench/run.py.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEASURE_PIDS_MAX 8

typedef struct Measure {
        double seconds;      /* how long to go on */
        uint64_t calls_max;  /* or this many calls; 0: no limit */
        pid_t pids[MEASURE_PIDS_MAX]; /* served by these */
        size_t n_pids;
        bool wait;           /* for a line on stdin before it begins, having said "ready" */

        double begin, end;
        double cpu_begin;
        uint64_t count;      /* of signatures */
        double *times;       /* of calls, seconds */
        size_t n_times, times_allocated;
} Measure;

double measure_now(void); /* monotonic, seconds */
/* "1,2,3" */
void measure_pids(Measure *m, const char *list);
void measure_begin(Measure *m);
/* Whether another call may begin. */
bool measure_goes_on(const Measure *m);
/* One call, begun at `begin`, gave `count` signatures. */
void measure_call(Measure *m, double begin, uint64_t count);
/* Prints {"count":...,"seconds":...,"calls":...,"p50":...,"p99":...,"mean":...,"max":...,"cpu":...}: times of calls in
 * microseconds, the others in seconds. */
void measure_end(Measure *m);
