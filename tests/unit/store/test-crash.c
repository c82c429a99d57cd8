/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Death and disk errors in the middle of a change
 *
 * SQLite lets its system calls be exchanged. A child dies by SIGKILL at its n-th write, truncation or removal
 * (and once more in the middle of each write), for every n there is; what is found afterwards is the old
 * state or the new one, and the new one if the child had been told so. The same with calls that fail instead.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

typedef ssize_t (*WriteCall)(int fd, const void *data, size_t len, off_t at);
typedef int (*TruncateCall)(int fd, off_t len);
typedef int (*UnlinkCall)(const char *path);

/* What happens at call number `at`; in the child only. */
static struct {
        int at, count;
        bool half; /* half of a write comes through before */
        int error; /* 0: die */
} fault;

static WriteCall real_write;
static TruncateCall real_truncate;
static UnlinkCall real_unlink;

static bool strikes(void)
{
        if (++fault.count != fault.at)
                return false;
        if (fault.error == 0 && !fault.half)
                raise(SIGKILL);
        return true;
}

static ssize_t faulty_write(int fd, const void *data, size_t len, off_t at)
{
        if (!strikes())
                return real_write(fd, data, len, at);
        if (fault.half)
                (void)real_write(fd, data, len / 2, at);
        if (fault.error == 0)
                raise(SIGKILL);
        errno = fault.error;
        return -1;
}

static int faulty_truncate(int fd, off_t len)
{
        if (!strikes())
                return real_truncate(fd, len);
        if (fault.error == 0)
                raise(SIGKILL);
        errno = fault.error;
        return -1;
}

static int faulty_unlink(const char *path)
{
        if (!strikes())
                return real_unlink(path);
        if (fault.error == 0)
                raise(SIGKILL);
        errno = fault.error;
        return -1;
}

static void install_faults(void)
{
        sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

        real_write = (WriteCall)vfs->xGetSystemCall(vfs, "pwrite64");
        real_truncate = (TruncateCall)vfs->xGetSystemCall(vfs, "ftruncate");
        real_unlink = (UnlinkCall)vfs->xGetSystemCall(vfs, "unlink");
        vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)faulty_write);
        vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)faulty_truncate);
        vfs->xSetSystemCall(vfs, "unlink", (sqlite3_syscall_ptr)faulty_unlink);
}

typedef struct Report {
        int began, outcome; /* outcome -1: not told yet */
        int calls;
        uint8_t after[32];
} Report;

/* The child: one change of three rows, a checkpoint, a clean end. */
static void change_once(Place *p, Report *report, bool clean)
{
        Store *s = place_open(p);
        KeyAttributes a = sample_key(1), fresh = sample_key(100);

        a.version = 2;
        a.flags = KEY_FLAG_DISABLED;
        install_faults();
        assert_int_equal(store_begin(s), 0);
        report->began = 1;
        const StoreKeyRow one = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = bytes_str("next")};
        const StoreKeyRow two = {
                        .attributes = &fresh, .state = STORE_KEY_LIVE, .wrapped = bytes_str("first")};
        int r = store_put_key(s, &one);
        if (!r)
                r = store_put_key(s, &two);
        if (!r)
                r = store_set_seq(s, store_seq(s) + 1);
        if (!r)
                store_digest(s, report->after);
        report->outcome = store_commit(s);
        if (report->outcome != STORE_OUTCOME_UNKNOWN)
                (void)store_checkpoint(s);
        if (clean)
                store_close(s);
        report->calls = fault.count;
        _exit(0);
}

static void check_after(Place *p, const Report *report, const uint8_t before[static 32],
                const uint8_t after[static 32])
{
        uint8_t got[32];
        Store *s = place_open(p);
        bool old, new;

        assert_int_equal(store_check(s), 0);
        store_digest(s, got);
        old = memcmp(got, before, 32) == 0;
        new = memcmp(got, after, 32) == 0;
        assert_true(old != new);
        if (report->outcome == STORE_COMMITTED)
                assert_true(new);
        if (report->outcome == STORE_ROLLED_BACK)
                assert_true(old);
        store_abandon(s);
}

/* Runs the change in children with the fault at each call there is. Returns how many calls that were. */
static int sweep(Place *p, bool half, int error, bool clean)
{
        Report *report = mmap(
                        NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        uint8_t before[32], after[32];
        Store *s = place_create(p);
        int at, status, calls = 0, told[3] = {};

        add_samples(s, 30);
        store_digest(s, before);
        store_close(s);
        Buffer file = file_read(p->fd, STORE_FILE);
        for (at = 0; at <= calls; at++) {
                pid_t pid;

                file_write(p->fd, STORE_FILE, file.data, file.len, 0600);
                (void)unlinkat(p->fd, "store.db-wal", 0);
                *report = (Report){.outcome = -1};
                pid = fork();
                if (pid == 0) {
                        fault.at = at; /* 0: no fault, to learn what comes out */
                        fault.half = half;
                        fault.error = error;
                        change_once(p, report, clean);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (at == 0) {
                        assert_int_equal(status, 0);
                        assert_int_equal(report->outcome, STORE_COMMITTED);
                        memcpy(after, report->after, 32);
                        calls = report->calls;
                        assert_memory_not_equal(before, after, 32);
                } else
                        assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0
                                                      : WTERMSIG(status) == SIGKILL);
                if (report->outcome >= 0)
                        told[report->outcome]++;
                check_after(p, report, before, after);
        }
        printf("%d points (half %d, errno %d): told committed %d, rolled back %d, unknown %d\n", at, half,
                        error, told[STORE_COMMITTED], told[STORE_ROLLED_BACK], told[STORE_OUTCOME_UNKNOWN]);
        buffer_deinit(&file);
        munmap(report, sizeof(*report));
        return at;
}

static void test_kill_before_any_call_leaves_old_or_new(void **state)
{
        assert_true(sweep(*state, false, 0, true) > 10);
}

static void test_kill_in_the_middle_of_any_write_leaves_old_or_new(void **state)
{
        assert_true(sweep(*state, true, 0, true) > 10);
}

static void test_full_disk_at_any_call_tells_the_truth(void **state)
{
        assert_true(sweep(*state, false, ENOSPC, true) > 10);
}

static void test_full_disk_in_the_middle_of_a_write_tells_the_truth(void **state)
{
        assert_true(sweep(*state, true, ENOSPC, false) > 10);
}

static void test_disk_error_at_any_call_tells_the_truth(void **state)
{
        assert_true(sweep(*state, true, EIO, true) > 10);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        WITH_PLACE(test_kill_before_any_call_leaves_old_or_new),
                        WITH_PLACE(test_kill_in_the_middle_of_any_write_leaves_old_or_new),
                        WITH_PLACE(test_full_disk_at_any_call_tells_the_truth),
                        WITH_PLACE(test_full_disk_in_the_middle_of_a_write_tells_the_truth),
                        WITH_PLACE(test_disk_error_at_any_call_tells_the_truth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
