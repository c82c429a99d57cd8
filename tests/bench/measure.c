/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "measure.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double measure_now(void)
{
        return seconds_of(CLOCK_MONOTONIC);
}

void measure_pids(Measure *m, const char *list)
{
        for (char *end; *list && m->n_pids < MEASURE_PIDS_MAX; list = *end ? end + 1 : end)
                m->pids[m->n_pids++] = (pid_t)strtol(list, &end, 10);
}

/* utime + stime of all its threads, from its own clock: finer than the ticks of /proc/PID/stat, the same time. */
static double cpu_of(pid_t pid)
{
        clockid_t clock;

        if (clock_getcpuclockid(pid, &clock))
                errx(1, "process %d is gone", (int)pid);
        return seconds_of(clock);
}

static double cpu_of_all(const Measure *m)
{
        double sum = seconds_of(CLOCK_PROCESS_CPUTIME_ID);

        for (size_t i = 0; i < m->n_pids; i++)
                sum += cpu_of(m->pids[i]);
        return sum;
}

void measure_begin(Measure *m)
{
        char line[8];

        if (m->wait) {
                printf("ready\n");
                fflush(stdout);
                if (!fgets(line, sizeof(line), stdin))
                        exit(1);
        }
        m->cpu_begin = cpu_of_all(m);
        m->begin = measure_now();
}

bool measure_goes_on(const Measure *m)
{
        return (!m->calls_max || m->n_times < m->calls_max) && measure_now() - m->begin < m->seconds;
}

void measure_call(Measure *m, double begin, uint64_t count)
{
        if (m->n_times == m->times_allocated) {
                m->times_allocated = m->times_allocated ? m->times_allocated * 2 : 4096;
                m->times = realloc(m->times, m->times_allocated * sizeof(*m->times));
                if (!m->times)
                        err(1, NULL);
        }
        m->end = measure_now();
        m->times[m->n_times++] = m->end - begin;
        m->count += count;
}

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

void measure_end(Measure *m)
{
        double cpu = cpu_of_all(m) - m->cpu_begin, sum = 0;

        if (m->n_times == 0)
                errx(1, "not one call");
        for (size_t i = 0; i < m->n_times; i++)
                sum += m->times[i];
        qsort(m->times, m->n_times, sizeof(*m->times), by_size);
        printf("{\"count\":%llu,\"seconds\":%.6f,\"calls\":%zu,\"p50\":%.2f,\"p99\":%.2f,\"mean\":%.2f,\"max\":%.2f,"
                "\"cpu\":%.6f}\n", (unsigned long long)m->count, m->end - m->begin, m->n_times,
                m->times[m->n_times / 2] * 1e6, m->times[m->n_times * 99 / 100] * 1e6, sum / (double)m->n_times * 1e6,
                m->times[m->n_times - 1] * 1e6, cpu);
        free(m->times);
}
