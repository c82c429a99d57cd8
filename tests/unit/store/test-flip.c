/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Flipped bits
 *
 * Every single bit of the smallest database and of a WAL with one change, turned on its own. It ends in a named error, in
 * another S than before, which the log holds against it, or in the same S: then every row is what it was, and the whole
 * check finds it but in the few bytes of a page that mean nothing. Children do the work, so that a crash is a finding and
 * not the end of the test. That is some 380,000 openings: disk, locked memory and SQLite's own locks are left out of them.
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
#define PAGE 4096
#define PADDING 12 /* behind a page's MAC */

typedef struct Tally {
        unsigned flips, refused, other_sum;
        unsigned in_index; /* the same rows, and the check names it */
        unsigned no_matter;
} Tally;

/* Nothing waits here for a disk or keeps memory from one. */
int mlock(const void *at, size_t len)
{
        (void)at;
        (void)len;
        return 0;
}

int munlock(const void *at, size_t len)
{
        (void)at;
        (void)len;
        return 0;
}

static int judge_open(Store *s, const uint8_t now[static 32], Tally *tally)
{
        uint8_t got[32];
        int r = store_scan(s, NULL, NULL);

        if (r) {
                tally->refused++;
                return r;
        }
        store_digest(s, got);
        if (memcmp(now, got, 32) != 0) {
                tally->other_sum++;
                return 0;
        }
        r = store_check(s);
        if (r)
                tally->in_index++;
        else
                tally->no_matter++;
        return r;
}

/* Returns false for what must not be. */
static bool judge(Place *p, const uint8_t now[static 32], Tally *tally)
{
        StoreParams params = place_params(p);
        Store *s = NULL;
        int r;

        params.lock_held = true; /* two workers, each on files of its own */
        p->reason.text[0] = 0;
        r = store_open(p->fd, &params, &p->reason, &s);
        tally->flips++;
        if (r)
                tally->refused++;
        else {
                r = judge_open(s, now, tally);
                (void)snprintf(p->reason.text, sizeof(p->reason.text), "%.500s", store_reason(s));
                store_abandon(s);
        }
        return r == 0 || (r > 0 && p->reason.text[0]);
}

static int flip_range(
                Place *p, const char *name, off_t from, off_t to, const uint8_t now[static 32], Tally *tally)
{
        _cleanup_close_ int fd = openat(p->fd, name, O_RDWR | O_CLOEXEC);
        uint8_t byte, flipped;

        for (off_t at = from; at < to; at++) {
                if (pread(fd, &byte, 1, at) != 1)
                        return 2;
                for (unsigned bit = 0; bit < 8; bit++) {
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
static Tally flip_all(Place *const places[WORKERS], const char *name, const uint8_t now[static 32])
{
        Tally sum = {0};
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
        for (unsigned i = 0; i < WORKERS; i++) {
                sum.flips += tally[i].flips;
                sum.refused += tally[i].refused;
                sum.other_sum += tally[i].other_sum;
                sum.in_index += tally[i].in_index;
                sum.no_matter += tally[i].no_matter;
        }
        munmap(tally, WORKERS * sizeof(*tally));
        print_message("%s: %u flips: %u refused, %u with another sum, %u in an index only, %u that mean nothing\n", name,
                        sum.flips, sum.refused, sum.other_sum, sum.in_index, sum.no_matter);
        assert_int_equal(failed, 0);
        return sum;
}

static void make_rows(Store *s)
{
        add_samples(s, 3);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_meta(s, "slots.hash", bytes_str("0123456789abcdef")), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
}

static void change_rows(Store *s)
{
        StoreUsesRow uses = {.key = sample_key(1).uuid, .rule = "r", .spent = 5, .version = 1};

        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_put_uses(s, &uses), 0);
        assert_int_equal(store_set_seq(s, store_seq(s) + 1), 0);
        assert_int_equal(store_commit(s), STORE_COMMITTED);
}

static void copy_to(Place *from, Place *to, const char *name)
{
        Buffer b = file_read(from->fd, name);

        file_write(to->fd, name, b.data, b.len, 0600);
        buffer_deinit(&b);
}

/* Pages that a migration has left empty, and of which only the list knows: no page of it is one. */
static unsigned free_leaves(Place *p)
{
        sqlite3 *db = place_sql(p, STORE_FILE);
        sqlite3_stmt *statement = NULL;
        int n;

        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA freelist_count", -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        n = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
        sqlite3_close(db);
        return n > 1 ? (unsigned)n - 1 : 0;
}

static void test_every_flip_of_the_database(void **state)
{
        Place *p = *state, *other = NULL;
        uint8_t now[32];
        Store *s = place_create(p);
        unsigned leaves;
        struct stat st;
        Tally t;

        make_rows(s);
        change_rows(s);
        store_digest(s, now);
        store_close(s);
        leaves = free_leaves(p);
        assert_int_equal(place_setup_in_memory((void **)&other), 0);
        copy_to(p, other, STORE_FILE);
        assert_int_equal(fstatat(p->fd, STORE_FILE, &st, 0), 0);
        t = flip_all((Place *[]){p, other}, STORE_FILE, now);
        assert_int_equal(t.flips, 8 * st.st_size);
        assert_int_equal(t.no_matter, 8 * (PADDING * (st.st_size / PAGE) + (PAGE - PADDING) * leaves));
        assert_int_equal(t.other_sum, 0);
        assert_true(t.refused > 2 * (t.flips / 5)); /* most of the others lie in an index */
        place_teardown((void **)&other);
}

static void test_every_flip_of_the_wal(void **state)
{
        Place *p = *state, *other = NULL;
        uint8_t now[32];
        Store *s = place_create(p);
        struct stat st;
        Tally t;

        make_rows(s);
        s = store_close(s);
        s = place_open(p);
        change_rows(s);
        store_digest(s, now);
        store_abandon(s);
        assert_int_equal(place_setup_in_memory((void **)&other), 0);
        copy_to(p, other, STORE_FILE);
        copy_to(p, other, "store.db-wal");
        assert_int_equal(fstatat(p->fd, "store.db-wal", &st, 0), 0);
        t = flip_all((Place *[]){p, other}, "store.db-wal", now);
        assert_int_equal(t.flips, 8 * st.st_size);
        assert_true(t.other_sum > t.flips / 2);
        place_teardown((void **)&other);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup_in_memory, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_every_flip_of_the_database),
                        WITH_PLACE(test_every_flip_of_the_wal),
        };

        sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
