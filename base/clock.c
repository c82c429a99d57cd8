/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/uuid.h"

static uint64_t fixed_wall, fixed_monotonic;

static uint64_t read_clock(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_wall(void)
{
        return fixed_wall ? fixed_wall : read_clock(CLOCK_REALTIME);
}

uint64_t clock_monotonic(void)
{
        return fixed_monotonic ? fixed_monotonic : read_clock(CLOCK_BOOTTIME);
}

void clock_set_wall(uint64_t usec)
{
        fixed_wall = usec;
}

void clock_set_monotonic(uint64_t usec)
{
        fixed_monotonic = usec;
}

void clock_format(uint64_t usec, char ret[static CLOCK_TEXT_SIZE])
{
        time_t sec = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;

        gmtime_r(&sec, &tm);
        snprintf(ret, CLOCK_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)(tm.tm_year + 1900) % 10000u,
                        (unsigned)(tm.tm_mon + 1) % 100u, (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u,
                        (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u, (unsigned)(usec % USEC_PER_SEC));
}

void clock_boot(uint8_t ret[static 16])
{
        _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        char text[UUID_TEXT_SIZE] = "";
        Uuid boot;

        if (fd < 0 || read(fd, text, sizeof(text) - 1) != sizeof(text) - 1 || !uuid_parse(text, &boot)) {
                static Uuid run;

                if (uuid_is_null(&run))
                        uuid_generate(&run);
                boot = run;
        }
        memcpy(ret, boot.b, sizeof(boot.b));
}
