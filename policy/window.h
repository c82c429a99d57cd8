/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Windows of time
 *
 * The words between=HH:MM-HH:MM and days=mon-fri of a rule, in UTC. A window that ends before it begins goes
 * over midnight, and its day is the one on which it opened: days=fri between=22:00-06:00 is open on Saturday
 * at 5.
 */
#include <stdbool.h>
#include <stdint.h>

typedef struct PolicyWindow {
        uint16_t from, to; /* minutes of the day, `to` not included; both 0: all day */
        uint8_t days;      /* bit 0 is Monday; 0: every day */
} PolicyWindow;

/* "08:00-18:30", "22:00-06:00", "00:00-24:00". 0, HF_E_POLICY_INVALID. */
int policy_window_parse_between(const char *text, PolicyWindow *w);
/* One item of days=: "mon" or "fri-sun", "sat-mon"; adds to w->days. 0, HF_E_POLICY_INVALID. */
int policy_window_parse_days(const char *text, PolicyWindow *w);
/* `wall` in microseconds since 1970. */
bool policy_window_is_open(const PolicyWindow *w, uint64_t wall);
