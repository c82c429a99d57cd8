/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows of time: plain arithmetic on UTC, so that no time zone file can move a rule. */
#include "policy/window.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define MINUTES_PER_DAY 1440U
#define DAYS_PER_WEEK 7U
#define EPOCH_DAY 3U /* 1970-01-01 was a Thursday */

/* "HH:MM" up to 24:00; -1 for anything else. */
static int parse_minute(const char *text)
{
        unsigned hour, minute;

        for (size_t i = 0; i < 5; i++)
                if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
                        return -1;
        hour = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
        minute = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
        if (minute > 59 || hour * 60 + minute > MINUTES_PER_DAY)
                return -1;
        return (int)(hour * 60 + minute);
}

int policy_window_parse_between(const char *text, PolicyWindow *w)
{
        int from, to;

        if (strlen(text) != strlen("HH:MM-HH:MM") || text[5] != '-')
                return HF_E_POLICY_INVALID;
        from = parse_minute(text);
        to = parse_minute(text + 6);
        if (from < 0 || to < 0 || from == to || from == MINUTES_PER_DAY)
                return HF_E_POLICY_INVALID;
        w->from = (uint16_t)from;
        w->to = (uint16_t)to;
        return 0;
}

/* The day whose three letters text begins with; DAYS_PER_WEEK for none. */
static unsigned parse_day(const char *text)
{
        static const char names[DAYS_PER_WEEK][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
        unsigned day = 0;

        while (day < DAYS_PER_WEEK && strncmp(text, names[day], 3) != 0)
                day++;
        return day;
}

int policy_window_parse_days(const char *text, PolicyWindow *w)
{
        unsigned first = parse_day(text), last = first;

        if (first == DAYS_PER_WEEK)
                return HF_E_POLICY_INVALID;
        if (text[3] == '-' && strlen(text) == strlen("mon-fri"))
                last = parse_day(text + 4);
        else if (text[3] != '\0')
                return HF_E_POLICY_INVALID;
        if (last == DAYS_PER_WEEK)
                return HF_E_POLICY_INVALID;

        for (unsigned day = first;; day = (day + 1) % DAYS_PER_WEEK) {
                w->days |= (uint8_t)(1U << day);
                if (day == last)
                        return 0;
        }
}

bool policy_window_is_open(const PolicyWindow *w, uint64_t wall)
{
        uint64_t minutes = wall / USEC_PER_SEC / 60;
        unsigned minute = (unsigned)(minutes % MINUTES_PER_DAY);
        unsigned day = (unsigned)((minutes / MINUTES_PER_DAY + EPOCH_DAY) % DAYS_PER_WEEK);

        if (w->from < w->to) {
                if (minute < w->from || minute >= w->to)
                        return false;
        } else if (w->from > w->to) {
                if (minute >= w->to && minute < w->from)
                        return false;
                if (minute < w->to)
                        day = (day + DAYS_PER_WEEK - 1) % DAYS_PER_WEEK;
        }
        return w->days == 0 || (w->days & (1U << day));
}
