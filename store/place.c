/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"

void reason_set(StoreReason *reason, const char *format, ...)
{
        va_list ap;

        if (!reason)
                return;
        va_start(ap, format);
        (void)vsnprintf(reason->text, sizeof(reason->text), format, ap);
        va_end(ap);
}

int place_check_directory(int dir_fd, StoreReason *reason)
{
        struct stat st;

        if (fstat(dir_fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode)) {
                reason_set(reason, "the place of the store is not a directory");
                return HF_E_STORE_UNSAFE;
        }
        if (st.st_uid != geteuid() && st.st_uid != 0) {
                reason_set(reason, "the directory of the store belongs to uid %u, not to uid %u",
                                (unsigned)st.st_uid, (unsigned)geteuid());
                return HF_E_STORE_UNSAFE;
        }
        if (st.st_mode & 0022) {
                reason_set(reason,
                                "the directory of the store has mode %04o, so that others can write in it; "
                                "make it 0700",
                                (unsigned)st.st_mode & 07777);
                return HF_E_STORE_UNSAFE;
        }
        return 0;
}

static const char *kind_of(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a directory";
        case S_IFIFO:
                return "a FIFO";
        case S_IFLNK:
                return "a symbolic link";
        case S_IFSOCK:
                return "a socket";
        case S_IFBLK:
        case S_IFCHR:
                return "a device";
        default:
                return "no regular file";
        }
}

static int check_stat(const struct stat *st, const char *name, StoreReason *reason)
{
        if (!S_ISREG(st->st_mode)) {
                reason_set(reason, "%s is %s, not a regular file", name, kind_of(st->st_mode));
                return HF_E_STORE_UNSAFE;
        }
        if (st->st_uid != geteuid()) {
                reason_set(reason, "%s belongs to uid %u, not to uid %u", name, (unsigned)st->st_uid,
                                (unsigned)geteuid());
                return HF_E_STORE_UNSAFE;
        }
        if (st->st_mode & 07177) {
                reason_set(reason, "%s has mode %04o; make it 0600", name, (unsigned)st->st_mode & 07777);
                return HF_E_STORE_UNSAFE;
        }
        return 0;
}

int place_check_file(int dir_fd, const char *name, StoreReason *reason, bool *ret_exists)
{
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno != ENOENT)
                        return -errno;
                *ret_exists = false;
                return 0;
        }
        r = check_stat(&st, name, reason);
        if (r)
                return r;
        *ret_exists = true;
        return 0;
}

int place_check_header(int dir_fd, const char *name, StoreReason *reason)
{
        static const char plain[] = "SQLite format 3"; /* its NUL is part of the magic */
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char head[sizeof(plain)];
        size_t got;
        int r;

        if (fd < 0)
                return -errno;
        r = io_pread_full(fd, head, sizeof(head), 0, &got);
        if (r)
                return r;
        if (got < sizeof(head)) {
                reason_set(reason, "%s is %s", name, got ? "too short to be a store" : "empty");
                return HF_E_STORE_DAMAGED;
        }
        if (memcmp(head, plain, sizeof(plain)) == 0) {
                reason_set(reason, "%s is an unencrypted database, not a store", name);
                return HF_E_STORE_DAMAGED;
        }
        return 0;
}

int place_create_file(int dir_fd, const char *name, StoreReason *reason)
{
        _cleanup_close_ int fd =
                        openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0) {
                if (errno != EEXIST)
                        return -errno;
                reason_set(reason, "%s is there already", name);
                return HF_E_STORE_INITIALISED;
        }
        return fchmod(fd, 0600) < 0 ? -errno : 0;
}

int place_sync_file(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

void place_remove(int dir_fd, const char *name)
{
        static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
        char path[NAME_MAX_LEN + 16];

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                (void)snprintf(path, sizeof(path), "%s%s", name, suffixes[i]);
                (void)unlinkat(dir_fd, path, 0);
        }
}

/* What the holder wrote into the lock file, or 0. */
static unsigned long lock_holder(int fd)
{
        char text[24] = {};
        size_t got;

        if (io_pread_full(fd, text, sizeof(text) - 1, 0, &got))
                return 0;
        return strtoul(text, NULL, 10);
}

static int lock_write_pid(int fd)
{
        char text[24];
        int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

        if (ftruncate(fd, 0) < 0)
                return -errno;
        return io_pwrite_full(fd, text, (size_t)n, 0);
}

int store_lock(int dir_fd, StoreReason *reason, int *ret_fd)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = openat(dir_fd, STORE_LOCK_FILE,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
        if (fd < 0) {
                if (errno != ELOOP && errno != EISDIR && errno != ENXIO)
                        return -errno;
                reason_set(reason, "%s is not a regular file", STORE_LOCK_FILE);
                return HF_E_STORE_UNSAFE;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        r = check_stat(&st, STORE_LOCK_FILE, reason);
        if (r)
                return r;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                reason_set(reason, "the store is in use by process %lu", lock_holder(fd));
                return HF_E_STORE_IN_USE;
        }
        r = lock_write_pid(fd);
        if (r)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
