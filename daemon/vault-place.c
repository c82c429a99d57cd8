/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* STATE/store and STATE/store.new: a store is made aside and becomes the store by one rename. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "daemon/vault-open.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path) < 0 ? -1 : 0;
}

int vault_remove_new(int state_fd)
{
        char path[64];
        struct stat st;

        if (fstatat(state_fd, STORE_DIR_NEW, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", state_fd, STORE_DIR_NEW);
        return nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS) < 0 ? -errno : 0;
}

int vault_job_make_dirs(VaultJob *j)
{
        int r = vault_remove_new(j->state_fd);

        if (r)
                return r;
        if (mkdirat(j->state_fd, STORE_DIR_NEW, 0700) < 0)
                return -errno;
        j->store_fd = openat(j->state_fd, STORE_DIR_NEW, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (j->store_fd < 0 || mkdirat(j->store_fd, "audit", 0700) < 0)
                return -errno;
        j->audit_fd = openat(j->store_fd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return j->audit_fd < 0 ? -errno : 0;
}

int vault_exchange_for_good(int state_fd)
{
        int r;

        if (renameat2(state_fd, STORE_DIR_NEW, state_fd, STORE_DIR, RENAME_EXCHANGE) < 0)
                return -errno;
        r = io_sync_dir(state_fd);
        (void)vault_remove_new(state_fd); /* the old one now; what a stop leaves of it goes at the next opening */
        return r;
}

int vault_replace_with_new(int state_fd)
{
        char aside[64];

        if (faccessat(state_fd, STORE_DIR, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return vault_commit_new(state_fd);
        /* Named first and exchanged then, so that at no time the old one lies where leftovers are removed. */
        snprintf(aside, sizeof(aside), STORE_DIR ".replaced-%llu", (unsigned long long)clock_wall());
        if (renameat2(state_fd, STORE_DIR_NEW, state_fd, aside, RENAME_NOREPLACE) < 0 ||
                        renameat2(state_fd, aside, state_fd, STORE_DIR, RENAME_EXCHANGE) < 0)
                return -errno;
        return io_sync_dir(state_fd);
}

int vault_commit_new(int state_fd)
{
        if (renameat2(state_fd, STORE_DIR_NEW, state_fd, STORE_DIR, RENAME_NOREPLACE) < 0)
                return errno == EEXIST ? HF_E_STORE_INITIALISED : -errno;
        return io_sync_dir(state_fd);
}
