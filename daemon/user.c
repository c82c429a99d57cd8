/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/user.h"

#include <errno.h>

#include "base/clock.h"

static void refill(User *u)
{
        uint64_t now = clock_monotonic(), n = (now - u->denied_refill) / USER_DENIED_INTERVAL;

        if (n == 0)
                return;
        u->denied_refill += n * USER_DENIED_INTERVAL;
        u->denied_tokens = n > USER_DENIED_BURST - u->denied_tokens ? USER_DENIED_BURST
                                                                    : u->denied_tokens + (uint32_t)n;
}

#define SHARING_USEC USEC_PER_SEC

void sharing_note(Sharing *s, const User *u, uint64_t now)
{
        if (u->uid != s->uid && now < s->at + SHARING_USEC)
                s->until = now + SHARING_USEC;
        s->uid = u->uid;
        s->at = now;
}

bool sharing_is_on(const Sharing *s)
{
        return s->at < s->until;
}

static void forget(Daemon *d, User *u)
{
        for (User **p = &d->users; *p; p = &(*p)->next)
                if (*p == u) {
                        *p = u->next;
                        break;
                }
        sd_event_source_disable_unref(u->pause);
        free(u);
}

/* Who was refused lately is kept for a while, or each new connection would buy him new lines in the log. */
static bool is_kept(User *u)
{
        refill(u);
        return u->refs > 0 || u->denied_tokens < USER_DENIED_BURST;
}

static void forget_unused(Daemon *d)
{
        User *next;

        for (User *u = d->users; u; u = next) {
                next = u->next;
                if (!is_kept(u))
                        forget(d, u);
        }
}

int user_get(Daemon *d, uid_t uid, User **ret)
{
        User *u;

        for (u = d->users; u; u = u->next)
                if (u->uid == uid) {
                        u->refs++;
                        *ret = u;
                        return 0;
                }
        forget_unused(d);
        u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->uid = uid;
        u->refs = 1;
        for (size_t i = 0; i < USE_LANES; i++)
                u->lanes[i].user = u;
        u->denied_tokens = USER_DENIED_BURST;
        u->denied_refill = clock_monotonic();
        u->next = d->users;
        d->users = u;
        *ret = u;
        return 0;
}

User *user_unref(Daemon *d, User *u)
{
        if (u && --u->refs == 0 && !is_kept(u))
                forget(d, u);
        return NULL;
}

static bool write_flood(Daemon *d, User *u)
{
        AuditLine line;

        if (!d->vault.log)
                return false;
        audit_line_init(&line, "denied.flood");
        audit_line_u64(&line, "uid", u->uid);
        audit_line_u64(&line, "count", u->denied_hidden);
        return audit_log_append(d->vault.log, &line, NULL) == 0;
}

/* The timer holds a reference on each user it has something to write for, so a sum survives its caller's
 * leaving; and a full or closed log, until it takes the line. */
static int on_flood(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;
        bool again = false;
        User *next;

        (void)usec;
        for (User *u = d->users; u; u = next) {
                next = u->next;
                if (!u->denied_hidden)
                        continue;
                if (!write_flood(d, u)) {
                        again = true;
                        continue;
                }
                u->denied_hidden = 0;
                user_unref(d, u);
        }
        if (again) {
                (void)sd_event_source_set_time_relative(source, USER_DENIED_INTERVAL);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

bool user_may_log_denial(Daemon *d, User *u)
{
        refill(u);
        if (u->denied_tokens > 0) {
                u->denied_tokens--;
                return true;
        }
        if (u->denied_hidden++ == 0)
                u->refs++;
        if (!d->flood)
                (void)sd_event_add_time_relative(
                                d->event, &d->flood, CLOCK_MONOTONIC, USER_DENIED_INTERVAL, 0, on_flood, d);
        else if (sd_event_source_get_enabled(d->flood, NULL) == 0) {
                (void)sd_event_source_set_time_relative(d->flood, USER_DENIED_INTERVAL);
                (void)sd_event_source_set_enabled(d->flood, SD_EVENT_ONESHOT);
        }
        return false;
}
