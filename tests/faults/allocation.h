/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a test tells a program that has tests/faults/allocation.c in it, and is told
 *
 * Lies in the file PROGRAM.allocations beside the program, which test and program both have mapped: it lasts through
 * restarts, needs no environment (the programs refuse a foreign one) and no system call (they have a filter). Without
 * that file nothing is counted and nothing fails. tests/integration/no_memory.py has the same layout.
 */
#include <stdatomic.h>
#include <stdint.h>

typedef struct AllocationControl {
        _Atomic uint64_t armed;  /* 1: count, and fail those from `first` on, `length` of them */
        _Atomic uint64_t first;  /* from 1; 0: count only */
        _Atomic uint64_t length;
        _Atomic uint64_t count;  /* allocations since armed */
        _Atomic uint64_t failed; /* of them */
        _Atomic int64_t live;    /* blocks of the C library's heap that are not freed; armed or not */
} AllocationControl;
