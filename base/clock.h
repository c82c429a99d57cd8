/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Clock
 *
 * Everyone who needs the time asks here, so that a test can set it. Times are microseconds: wall time since 1970
 * (UTC, may jump), monotonic time since boot.
 */
#include <stdint.h>

#define USEC_PER_SEC 1000000ULL
#define CLOCK_TEXT_SIZE sizeof("2026-11-21T03:47:58.123456Z")

uint64_t clock_wall(void);
uint64_t clock_monotonic(void);

/* Which start of the machine clock_monotonic() counts from: 16 bytes of the kernel's, or of this run where it does not say. */
void clock_boot(uint8_t ret[static 16]);

/* Tests: from now on clock_wall() answers `usec` (0 goes back to the real clock). */
void clock_set_wall(uint64_t usec);
/* The same for clock_monotonic(). */
void clock_set_monotonic(uint64_t usec);

/* RFC 3339 in UTC with microseconds, always CLOCK_TEXT_SIZE - 1 characters for the years 0-9999. */
void clock_format(uint64_t usec, char ret[static CLOCK_TEXT_SIZE]);
