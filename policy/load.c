/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a policy
 *
 * Who can write a rule file can use every key, so a file counts only if root alone could have written it: it
 * and its directory belong to root, nobody else may write them, and it is the file itself that lies there, no
 * link and no mount. The checks are made on the open descriptor that is then read. A file that fails them
 * fails the load: passing it over could drop a deny rule.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/name.h"
#include "policy/snapshot.h"

#define DIRS_MAX 8U
#define ENTRIES_MAX 4096U /* of one directory, whatever they are */
#define MASK_TARGET "/dev/null"

typedef struct Entry {
        char name[NAME_SIZE];
        size_t dir;
} Entry;

typedef struct Loader {
        const PolicyParams *params;
        PolicyProblem *problem;
        int dirs[DIRS_MAX];
        Entry *entries; /* of all directories; after choosing, those that count */
        size_t n, allocated;
        Policy *policy;
        PolicyFile files[POLICY_FILES_MAX];
        size_t n_files;
} Loader;

static void loader_deinit(Loader *l)
{
        for (size_t i = 0; i < DIRS_MAX; i++)
                l->dirs[i] = safe_close(l->dirs[i]);
        free(l->entries);
        policy_unref(l->policy);
}

static int __attribute__((format(printf, 4, 5)))
refuse(Loader *l, size_t dir, const char *name, const char *format, ...)
{
        char escaped[256];
        va_list ap;

        *l->problem = (PolicyProblem){};
        (void)snprintf(l->problem->path, sizeof(l->problem->path), "%s%s%s", l->params->dirs[dir],
                        name ? "/" : "", name ? log_escape(name, escaped, sizeof(escaped)) : "");
        va_start(ap, format);
        (void)vsnprintf(l->problem->sentence, sizeof(l->problem->sentence), format, ap);
        va_end(ap);
        return HF_E_POLICY_INVALID;
}

/* The part of the path that the mending command needs behind "chmod MODE ". */
#define PATH_OF(l, dir, name) (l)->params->dirs[dir], (name) ? "/" : "", (name) ? (name) : ""

static int check_owner_and_mode(Loader *l, size_t dir, const char *name, const struct stat *st)
{
        unsigned mode = st->st_mode & 07777;

        if (st->st_uid != 0 && st->st_uid != l->params->owner)
                return refuse(l, dir, name,
                                "belongs to uid %u (mode %04o), so others than root could write rules; mend "
                                "with: "
                                "chown %u %s%s%s",
                                st->st_uid, mode, l->params->owner, PATH_OF(l, dir, name));
        if (mode & 022)
                return refuse(l, dir, name,
                                "has mode %04o, so others than root could write rules; mend with: chmod %s "
                                "%s%s%s",
                                mode, name ? "0644" : "0755", PATH_OF(l, dir, name));
        return 0;
}

static int mount_of(int fd, uint64_t *ret)
{
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || !(sx.stx_mask & STATX_MNT_ID))
                return -EOPNOTSUPP;
        *ret = sx.stx_mnt_id;
        return 0;
}

/* Device numbers do not tell: on an overlay a file can have another one than its directory. */
static bool is_mounted_over(int dir_fd, int fd)
{
        uint64_t a, b;

        return mount_of(dir_fd, &a) == 0 && mount_of(fd, &b) == 0 && a != b;
}

static int check_file(Loader *l, const Entry *e, int fd)
{
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return refuse(l, e->dir, e->name, "is no regular file (mode %06o); mend with: rm %s%s%s",
                                st.st_mode, PATH_OF(l, e->dir, e->name));
        r = check_owner_and_mode(l, e->dir, e->name, &st);
        if (r)
                return r;
        if (is_mounted_over(l->dirs[e->dir], fd))
                return refuse(l, e->dir, e->name,
                                "is mounted there from elsewhere (mode %04o); mend with: umount %s%s%s, and "
                                "copy it",
                                st.st_mode & 07777, PATH_OF(l, e->dir, e->name));
        return 0;
}

static int read_file(Loader *l, const Entry *e)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = malloc(POLICY_FILE_MAX + 1);
        char path[sizeof(l->problem->path)];
        size_t len;
        int r;

        if (!text)
                return -ENOMEM;
        fd = openat(l->dirs[e->dir], e->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return refuse(l, e->dir, e->name, "cannot be opened: %s", strerror(errno));
        r = check_file(l, e, fd);
        if (!r)
                r = io_pread_full(fd, text, POLICY_FILE_MAX + 1, 0, &len);
        if (r)
                return r;
        if (len > POLICY_FILE_MAX)
                return refuse(l, e->dir, e->name, "too large: a rule file has at most %u bytes",
                                POLICY_FILE_MAX);
        if (l->n_files >= POLICY_FILES_MAX)
                return refuse(l, e->dir, e->name, "too large: a policy has at most %u files",
                                POLICY_FILES_MAX);
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", l->params->dirs[e->dir], e->name) >= sizeof(path))
                return -ENAMETOOLONG;
        r = policy_add_source(l->policy, path, BYTES(text, len), &l->files[l->n_files]);
        if (r == -EMSGSIZE)
                return refuse(l, e->dir, e->name, "too large: all rule files together have at most %u bytes",
                                POLICY_SOURCE_MAX);
        if (!r)
                l->n_files++;
        return r;
}

/* A symbolic link counts only as the sign that switches a file off. */
static int is_masked(Loader *l, const Entry *e, bool *ret)
{
        char target[sizeof(MASK_TARGET)];
        ssize_t n = readlinkat(l->dirs[e->dir], e->name, target, sizeof(target));

        if (n < 0 && errno != EINVAL)
                return refuse(l, e->dir, e->name, "cannot be read: %s", strerror(errno));
        if (n >= 0 && (n != sizeof(MASK_TARGET) - 1 || memcmp(target, MASK_TARGET, (size_t)n) != 0))
                return refuse(l, e->dir, e->name,
                                "is a symbolic link (mode 0777), which is only taken to /dev/null; mend "
                                "with: "
                                "cp --remove-destination \"$(readlink -f %s%s%s)\" %s%s%s",
                                PATH_OF(l, e->dir, e->name), PATH_OF(l, e->dir, e->name));
        *ret = n >= 0;
        return 0;
}

static int add_entry(Loader *l, size_t dir, const char *name)
{
        size_t n = strlen(name);

        if (name[0] == '.' || n < strlen(".conf") || strcmp(name + n - strlen(".conf"), ".conf") != 0)
                return 0;
        if (!name_is_valid(name))
                return refuse(l, dir, name,
                                "is no name of a rule file: 1 to %u characters out of a-z A-Z 0-9 . _ -",
                                NAME_MAX_LEN);
        if (l->n == l->allocated) {
                size_t more = l->allocated ? l->allocated * 2 : 16;
                Entry *entries = realloc(l->entries, more * sizeof(*entries));

                if (!entries)
                        return -ENOMEM;
                l->entries = entries;
                l->allocated = more;
        }
        l->entries[l->n].dir = dir;
        memcpy(l->entries[l->n++].name, name, n + 1);
        return 0;
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

static int list_entries(Loader *l, size_t dir)
{
        _cleanup_(closedirp) DIR *d = NULL;
        size_t seen = 0;
        int fd = openat(l->dirs[dir], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        for (;;) {
                struct dirent *de;
                int r;

                errno = 0;
                de = readdir(d);
                if (!de)
                        return -errno;
                if (seen++ >= ENTRIES_MAX)
                        return refuse(l, dir, NULL, "too large: more than %u entries", ENTRIES_MAX);
                r = add_entry(l, dir, de->d_name);
                if (r)
                        return r;
        }
}

static int open_dir(Loader *l, size_t dir)
{
        struct stat st;
        int r;

        l->dirs[dir] = open(l->params->dirs[dir], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (l->dirs[dir] < 0 && errno == ENOENT)
                return 0;
        if (l->dirs[dir] < 0 && (errno == ENOTDIR || errno == ELOOP))
                return refuse(l, dir, NULL,
                                "is no directory, or a symbolic link; mend with: rm %s && mkdir -m 0755 %s",
                                l->params->dirs[dir], l->params->dirs[dir]);
        if (l->dirs[dir] < 0)
                return refuse(l, dir, NULL, "cannot be opened: %s", strerror(errno));
        if (fstat(l->dirs[dir], &st) < 0)
                return -errno;
        r = check_owner_and_mode(l, dir, NULL, &st);
        return r ? r : list_entries(l, dir);
}

/* By name, and of equal names the directory that counts first. */
static int compare_entries(const void *a, const void *b)
{
        const Entry *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r ? r : x->dir < y->dir ? -1 : 1;
}

static int read_entries(Loader *l)
{
        if (l->n > 1)
                qsort(l->entries, l->n, sizeof(*l->entries), compare_entries);
        for (size_t i = 0; i < l->n; i++) {
                bool masked = false;
                int r;

                if (i > 0 && strcmp(l->entries[i].name, l->entries[i - 1].name) == 0)
                        continue;
                r = is_masked(l, &l->entries[i], &masked);
                if (!r && !masked)
                        r = read_file(l, &l->entries[i]);
                if (r)
                        return r;
        }
        return 0;
}

static int loader_run(Loader *l)
{
        int r = policy_new(&l->policy);

        for (size_t i = 0; i < DIRS_MAX; i++)
                l->dirs[i] = -EBADF;
        for (size_t i = 0; !r && l->params->dirs[i]; i++)
                r = i < DIRS_MAX ? open_dir(l, i) : -E2BIG;
        if (!r)
                r = read_entries(l);
        return r ? r : policy_build(l->policy, l->params, l->files, l->n_files, l->problem);
}

int policy_load(const PolicyParams *params, PolicyProblem *ret_problem, Policy **ret)
{
        PolicyProblem problem = {};
        _cleanup_(loader_deinit) Loader l = {.params = params, .problem = &problem};
        int r = loader_run(&l);

        if (r == HF_E_POLICY_INVALID)
                *ret_problem = problem;
        if (r)
                return r;
        *ret = TAKE_PTR(l.policy);
        return 0;
}
