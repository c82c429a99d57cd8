/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define DEPTH_MAX 4U
#define SEEN_MAX 20000U /* entries of one walk: a log of years; what is behind them is not looked at */
#define PATH_SIZE 512

typedef struct Rule {
        mode_t directory, file; /* no bit beyond these; 0: must be something else */
        mode_t socket;
        mode_t needed;          /* of which none may be missing */
        bool anyone, root, self, admin; /* who may own it; the command gives it to root or else to us */
        bool inside;            /* a directory's entries as well */
        const char *suffix;     /* only those */
} Rule;

static const Rule rules[_FILE_KIND_MAX] = {
        [FILE_OWN] = {.directory = 0700, .file = 0600, .self = true, .inside = true},
        [FILE_ADMINS] = {.directory = 0755, .file = 0644, .root = true, .admin = true, .inside = true, .suffix = ".conf"},
        [FILE_PROGRAM] = {.directory = 0755, .file = 0755, .root = true, .admin = true},
        [FILE_TLS] = {.directory = 0755, .needed = 0555, .self = true},
        [FILE_PLACE] = {.directory = 0755, .needed = 0111, .root = true, .self = true, .admin = true},
        [FILE_SOCKET_SIGNER] = {.socket = 0600, .self = true},
        [FILE_SOCKET_CALLERS] = {.socket = 0666, .needed = 0222, .root = true, .self = true, .admin = true},
        [FILE_CREDENTIAL] = {.file = 0600, .root = true, .admin = true},
        [FILE_CREDENTIAL_COPY] = {.directory = 0700, .file = 0600, .anyone = true, .inside = true},
};

typedef struct Walk {
        const Rule *rule;
        const FilesUsers *users;
        FileFoundFunc found;
        void *userdata;
        size_t *seen;
        size_t left;
} Walk;

/* One word for a shell: nothing in it means anything but itself. */
static void quote(const char *path, char ret[static PATH_SIZE * 2])
{
        size_t n = 0;

        ret[n++] = '\'';
        for (const char *p = path; *p && n < PATH_SIZE * 2 - 6; p++) {
                if (*p == '\'') {
                        memcpy(ret + n, "'\\''", 4);
                        n += 4;
                } else {
                        ret[n++] = *p;
                }
        }
        ret[n++] = '\'';
        ret[n] = '\0';
        if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:")] == '\0')
                strcpy(ret, path);
}

static bool owner_is_right(const Walk *w, uid_t uid)
{
        return w->rule->anyone || (w->rule->root && uid == 0) || (w->rule->self && uid == w->users->self) ||
               (w->rule->admin && uid == w->users->admin);
}

static uid_t right_owner(const Walk *w)
{
        return w->rule->root ? 0 : w->users->self;
}

/* What kind of file it may be by its rule: the mode it should have, or 0. */
static mode_t right_mode(const Walk *w, mode_t type)
{
        return S_ISDIR(type) ? w->rule->directory : S_ISREG(type) ? w->rule->file : S_ISSOCK(type) ? w->rule->socket : 0;
}

static int judge(Walk *w, const char *path, const struct stat *st)
{
        mode_t right = right_mode(w, st->st_mode), mode = st->st_mode & 07777;
        char detail[PATH_SIZE + 128], quoted[PATH_SIZE * 2], command[PATH_SIZE * 4 + 64];
        bool owned = owner_is_right(w, st->st_uid);
        int n = 0;

        quote(path, quoted);
        if (!right) {
                snprintf(detail, sizeof(detail), "%s is no %s", path,
                                w->rule->socket ? "socket" : w->rule->file ? "file of ours" : "directory");
                snprintf(command, sizeof(command), "rm %s", quoted);
                return w->found(w->userdata, detail, command);
        }
        if (owned && !(mode & ~right) && (mode & w->rule->needed) == w->rule->needed)
                return 0;
        snprintf(detail, sizeof(detail), "%s belongs to uid %u and has mode %04o; it should be uid %u's with mode %04o", path,
                        (unsigned)st->st_uid, (unsigned)mode, (unsigned)(owned ? st->st_uid : right_owner(w)),
                        (unsigned)right);
        if (!owned)
                n = snprintf(command, sizeof(command), "chown %u %s && ", (unsigned)right_owner(w), quoted);
        snprintf(command + n, sizeof(command) - (size_t)n, "chmod %o %s", (unsigned)right, quoted);
        return w->found(w->userdata, detail, command);
}

static int look(Walk *w, int dir_fd, const char *name, const char *path, unsigned depth);

static bool is_meant(const Walk *w, const char *name)
{
        size_t n = strlen(name), m = w->rule->suffix ? strlen(w->rule->suffix) : 0;

        return strcmp(name, ".") && strcmp(name, "..") && n >= m && strcmp(name + n - m, m ? w->rule->suffix : "") == 0;
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

static int look_inside(Walk *w, int dir_fd, const char *name, const char *path, unsigned depth)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
        _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        char inner[PATH_SIZE];
        struct dirent *e;

        if (!d) {
                safe_close(fd);
                return 0; /* not ours to see */
        }
        while (!r && (e = readdir(d)))
                if (is_meant(w, e->d_name) &&
                                (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) < sizeof(inner))
                        r = look(w, fd, e->d_name, inner, depth + 1);
        return r;
}

static int look(Walk *w, int dir_fd, const char *name, const char *path, unsigned depth)
{
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || w->left == 0)
                return 0;
        w->left--;
        (*w->seen)++;
        if (w->rule->suffix && depth > 0 && S_ISLNK(st.st_mode))
                return 0; /* a masked rule file; the loader takes no other link */
        r = judge(w, path, &st);
        if (r || !S_ISDIR(st.st_mode) || !w->rule->inside || depth >= DEPTH_MAX)
                return r;
        return look_inside(w, dir_fd, name, path, depth);
}

int files_check(FileKind kind, const char *path, const FilesUsers *users, FileFoundFunc found, void *userdata,
                size_t *ret_seen)
{
        Walk w = {.rule = &rules[kind],
                        .users = users,
                        .found = found,
                        .userdata = userdata,
                        .seen = ret_seen,
                        .left = SEEN_MAX};

        return look(&w, AT_FDCWD, path, path, 0);
}
