/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Flipped bits
 *
 * At every byte of a small database (and every fourth of a WAL) one bit is flipped, a different one from byte
 * to byte; with HOLDFAST_FLIPS=all in the environment every bit. Each flip ends in a named error, in another
 * S than before, which the log holds against it, or in the same S, and then every row is what it was.
 * Children do the work, so that a crash is a finding and not the end of the test.
 */
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BATCH 2048
#define WORKERS 2

typedef struct Tally {
        unsigned flips, refused, other_sum, same_rows;
} Tally;

static int open_and_scan(Place *p, uint8_t ret_digest[static 32])
{
        StoreParams params = place_params(p);
        Store *s = NULL;
        int r;

        params.lock_held = true; /* two workers, each on files of its own */
        r = store_open(p->fd, &params, &p->reason, &s);
        if (r)
                return r;
        r = store_scan(s, NULL, NULL);
        if (r)
                (void)snprintf(p->reason.text, sizeof(p->reason.text), "%.500s", store_reason(s));
        else
                store_digest(s, ret_digest);
        store_abandon(s);
        return r;
}

/* Returns false for what must not be. */
static bool judge(Place *p, const uint8_t now[static 32], Tally *tally)
{
        uint8_t got[32];
        int r;

        p->reason.text[0] = 0;
        r = open_and_scan(p, got);
        tally->flips++;
        if (r) {
                tally->refused++;
                return r > 0 && p->reason.text[0];
        }
        if (memcmp(now, got, 32) == 0)
                tally->same_rows++;
        else
                tally->other_sum++;
        return true;
}

static int flip_range(
                Place *p, const char *name, off_t from, off_t to, const uint8_t now[static 32], Tally *tally)
{
        bool all = getenv("HOLDFAST_FLIPS") && strcmp(getenv("HOLDFAST_FLIPS"), "all") == 0;
        _cleanup_close_ int fd = openat(p->fd, name, O_RDWR | O_CLOEXEC);
        uint8_t byte, flipped;

        off_t stride = !all && strstr(name, "-wal") ? 4 : 1; /* a WAL is four times as long and all alike */

        for (off_t at = from; at < to; at += stride) {
                if (pread(fd, &byte, 1, at) != 1)
                        return 2;
                for (unsigned bit = 0; bit < 8; bit++) {
                        if (!all && bit != (unsigned)(at / stride * 5 + at / 8) % 8)
                                continue;
                        flipped = (uint8_t)(byte ^ 1u << bit);
                        if (pwrite(fd, &flipped, 1, at) != 1)
                                return 2;
                        if (!judge(p, now, tally)) {
                                fprintf(stderr, "%s: bit %u of byte %ld: \"%s\"\n", name, bit, (long)at,
                                                p->reason.text);
                                return 1;
                        }
                        if (pwrite(fd, &byte, 1, at) != 1)
                                return 2;
                }
        }
        return 0;
}

/* One worker's share of the file: every other batch, each in a child. */
static int work(Place *p, const char *name, unsigned worker, const uint8_t now[static 32], Tally *tally)
{
        struct stat st;
        int status;

        if (fstatat(p->fd, name, &st, 0) < 0)
                return 2;
        for (off_t from = (off_t)worker * BATCH; from < st.st_size; from += (off_t)WORKERS * BATCH) {
                off_t to = from + BATCH < st.st_size ? from + BATCH : st.st_size;
                pid_t pid = fork();

                if (pid == 0)
                        _exit(flip_range(p, name, from, to, now, tally));
                if (waitpid(pid, &status, 0) != pid || status != 0) {
                        fprintf(stderr, "%s: bytes %ld to %ld: status %x\n", name, (long)from, (long)to,
                                        status);
                        return 1;
                }
        }
        return 0;
}

/* Each worker flips in its own copy of the files. */
static void flip_all(Place *const places[WORKERS], const char *name, const uint8_t now[static 32])
{
        Tally *tally = mmap(NULL, WORKERS * sizeof(*tally), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pids[WORKERS];
        int status, failed = 0;

        for (unsigned i = 0; i < WORKERS; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        _exit(work(places[i], name, i, now, &tally[i]));
        }
        for (unsigned i = 0; i < WORKERS; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                failed |= status;
        }
        for (unsigned i = 0; i < WORKERS; i++)
                printf("%s: %u flips: %u refused, %u with another sum, %u with the same rows\n", name,
                                tally[i].flips, tally[i].refused, tally[i].other_sum, tally[i].same_rows);
        assert_int_equal(failed, 0);
        assert_true(tally[0].flips > 1000 && tally[0].refused + tally[0].other_sum > tally[0].flips / 2);
        munmap(tally, WORKERS * sizeof(*tally));
}

static void make_rows(Store *s)
{
        StoreUsesRow uses = {.key = sample_key(1).uuid, .rule = "r", .spent = 5, .version = 1};

        add_samples(s, 3);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_uses(s, &uses), 0);
        assert_int_equal(store_put_meta(s, "slots.hash", bytes_str("0123456789abcdef")), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
}

static void copy_to(Place *from, Place *to, const char *name)
{
        Buffer b = file_read(from->fd, name);

        file_write(to->fd, name, b.data, b.len, 0600);
        buffer_deinit(&b);
}

static void test_every_flip_of_the_database(void **state)
{
        Place *p = *state, *other = NULL;
        uint8_t now[32];
        Store *s = place_create(p);

        make_rows(s);
        store_digest(s, now);
        store_close(s);
        assert_int_equal(place_setup((void **)&other), 0);
        copy_to(p, other, STORE_FILE);
        flip_all((Place *[]){p, other}, STORE_FILE, now);
        place_teardown((void **)&other);
}

static void test_every_flip_of_the_wal(void **state)
{
        Place *p = *state, *other = NULL;
        uint8_t now[32];
        Store *s = place_create(p);

        s = store_close(s);
        s = place_open(p);
        make_rows(s);
        store_digest(s, now);
        store_abandon(s);
        assert_int_equal(place_setup((void **)&other), 0);
        copy_to(p, other, STORE_FILE);
        copy_to(p, other, "store.db-wal");
        flip_all((Place *[]){p, other}, "store.db-wal", now);
        place_teardown((void **)&other);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_every_flip_of_the_database),
                        WITH_PLACE(test_every_flip_of_the_wal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
