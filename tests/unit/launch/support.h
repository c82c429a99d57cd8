/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of this room share: shell scripts as the programs that are started, and a loop that is turned until
 * something is so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* stands on the four before */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "launch/child.h"

#define PATIENCE (20 * USEC_PER_SEC) /* a test that waits longer has failed */

typedef struct Script {
        char *argv[4];
} Script;

static inline Script script(const char *text)
{
        return (Script){.argv = {(char *)"sh", (char *)"-c", (char *)text, NULL}};
}

/* Nobody becomes somebody else here. */
static inline ChildSpec spec_of(Script *s)
{
        return (ChildSpec){.path = "/bin/sh", .argv = s->argv, .user = {.uid = geteuid(), .gid = getegid()}};
}

#define TURN_UNTIL(event, condition)                                                                                   \
        do {                                                                                                           \
                uint64_t end_ = clock_monotonic() + PATIENCE;                                                          \
                while (!(condition)) {                                                                                 \
                        assert_true(clock_monotonic() < end_);                                                         \
                        assert_true(sd_event_run((event), USEC_PER_SEC) >= 0);                                         \
                }                                                                                                      \
        } while (0)

/* As the launcher's main() does, which gets its children's ends as events. */
static inline void block_children(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}
