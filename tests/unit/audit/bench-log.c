/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the log costs: an append in the caller's thread, durable lines a second with 1 and 16 in flight, with
 * the writer's thread and without the hop to it, and verification. Beside it the floor: pwrite and fdatasync
 * alone.
 */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/segment.h"
#include "audit/verify.h"
#include "base/io.h"

static double now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void report(const char *what, double *times, unsigned n)
{
        qsort(times, n, sizeof(*times), by_size);
        printf("%-44s p50 %8.2f us   p99 %8.2f us\n", what, times[n / 2] * 1e6, times[n * 99 / 100] * 1e6);
}

enum { ROUNDS = 5000 };
static double times[ROUNDS];

static void bench_floor(const Sandbox *s)
{
        char line[400];
        int fd;

        assert_int_equal(segment_make(s->dir_fd, 900001, 16 << 20), 0);
        assert_int_equal(segment_open(s->dir_fd, 900001, true, &fd, NULL), 0);
        memset(line, 'x', sizeof(line));
        for (unsigned n = 0; n < ROUNDS; n++) {
                double begin = now();

                assert_int_equal(io_pwrite_full(fd, line, sizeof(line), n * 400), 0);
                assert_int_equal(fdatasync(fd), 0);
                times[n] = now() - begin;
        }
        report("pwrite + fdatasync alone", times, ROUNDS);
        close(fd);
        assert_int_equal(unlinkat(s->dir_fd, "900001.jsonl", 0), 0);
}

static AuditLog *make(const Sandbox *s, bool corked)
{
        AuditLogParams p = log_params(s, 0);
        AuditLog *log = NULL;

        sandbox_empty(s);
        p.corked = corked;
        assert_int_equal(audit_log_create(&p, NULL, &log), 0);
        return log;
}

static void wait_durable(AuditLog *log, uint64_t seq)
{
        uint64_t durable = 0;

        while (audit_log_dispatch(log, &durable) == 0 && durable < seq) {
                struct pollfd p = {.fd = audit_log_fd(log), .events = POLLIN};

                poll(&p, 1, 1000);
        }
}

static void bench_append(const Sandbox *s, bool corked)
{
        AuditLog *log = make(s, corked);

        for (unsigned n = 0; n < ROUNDS; n++) {
                double begin = now();

                append_use(log, n);
                times[n] = now() - begin;
                if (n % 16 == 15)
                        audit_log_sync(log);
        }
        report(corked ? "append, corked (line built and sealed)"
                      : "append (line built and sealed, writer woken)",
                        times, ROUNDS);
        audit_log_free(log);
}

static void bench_one(const Sandbox *s, bool flush)
{
        AuditLog *log = make(s, flush);

        for (unsigned n = 0; n < ROUNDS; n++) {
                double begin = now();
                uint64_t seq = append_use(log, n);

                if (flush)
                        audit_log_flush(log);
                wait_durable(log, seq);
                times[n] = now() - begin;
        }
        report(flush ? "1 in flight, flushed by the caller" : "1 in flight, by the writer's thread", times,
                        ROUNDS);
        audit_log_free(log);
}

static void bench_many(const Sandbox *s, unsigned in_flight)
{
        AuditLog *log = make(s, true);
        uint64_t seq = 0, durable = 0, first = audit_log_durable(log);
        unsigned lines = 100000, sent = 0;
        double begin = now();

        while (durable - first < lines) {
                while (sent < lines && sent < durable - first + in_flight)
                        seq = append_use(log, sent++);
                audit_log_wake(log);
                wait_durable(log, durable + 1);
                durable = audit_log_durable(log);
                if (durable >= seq && sent == lines)
                        break;
        }
        printf("%u in flight %*s %8.0f lines/s\n", in_flight, 33, "", lines / (now() - begin));
        audit_log_free(log);
}

static void bench_verify(const Sandbox *s)
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN);
        AuditLog *log = make(s, true);
        _cleanup_buffer_ Buffer text = BUFFER_INIT(400u << 20);
        char name[] = "export";
        AuditReport r;
        double begin;
        int fd;

        for (unsigned n = 1; n <= 300000; n++) {
                append_use(log, n);
                if (n % 1024 == 0)
                        append_checkpoint(log, n, 1);
                else if (n % 256 == 0)
                        audit_log_sync(log);
        }
        audit_log_free(log);
        export_log(s, &text);
        fd = openat(s->dir_fd, name, O_RDWR | O_CREAT, 0600);
        assert_int_equal(io_write_full(fd, text.data, text.len), 0);
        lseek(fd, 0, SEEK_SET);
        begin = now();
        assert_int_equal(audit_verify_fd(fd, &(AuditVerifyOptions){.key = &key}, &r), 0);
        assert_int_equal(r.verdict, AUDIT_GOOD);
        printf("verify %*s %8.0f records/s (%zu bytes a record)\n", 38, "",
                        (double)r.records / (now() - begin), (size_t)(text.len / r.records));
        close(fd);
}

int main(int argc, char **argv)
{
        Sandbox s = {};

        (void)argv;
        sandbox_init(&s);
        bench_floor(&s);
        bench_append(&s, false);
        bench_append(&s, true);
        bench_one(&s, false);
        bench_one(&s, true);
        bench_many(&s, 16);
        bench_many(&s, 64);
        if (argc == 1)
                bench_verify(&s);
        sandbox_deinit(&s);
        return 0;
}
