/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of this room share: cmocka's own includes, a directory of one's own, and a loop that is
 * turned until something has happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* stands on the four before */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

typedef struct Sandbox {
        char path[64];
        int fd;
} Sandbox;

static inline void sandbox_make(Sandbox *s)
{
        strcpy(s->path, "/tmp/hf-daemon-XXXXXX");
        assert_non_null(mkdtemp(s->path));
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->fd >= 0);
}

static inline int sandbox_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static inline void sandbox_remove(Sandbox *s)
{
        safe_close(s->fd);
        assert_int_equal(nftw(s->path, sandbox_remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#define LOOP_PATIENCE (20 * USEC_PER_SEC) /* a test that waits longer has failed */

/* Turns the loop until `*flag` is at least `want`. */
static inline void loop_until(sd_event *event, const unsigned *flag, unsigned want)
{
        uint64_t end = clock_monotonic() + LOOP_PATIENCE;

        while (*flag < want) {
                if (clock_monotonic() > end)
                        fail_msg("waited in vain: %u of %u", *flag, want);
                assert_true(sd_event_run(event, USEC_PER_SEC) >= 0);
        }
}

/* Everything that is ready now, and what follows from it. */
static inline void loop_drain(sd_event *event)
{
        while (sd_event_run(event, 0) > 0)
                ;
}
