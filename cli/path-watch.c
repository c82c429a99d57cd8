/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/path-watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINKS_MAX 40 /* as the kernel's own */
#define MASK                                                                                                            \
        (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* Where the walk is: a directory, and what is still to go. */
typedef struct Walk {
        char at[PATH_MAX], rest[PATH_MAX], name[NAME_MAX + 1];
        unsigned links;
} Walk;

void path_watch_deinit(PathWatch *w)
{
        for (size_t i = 0; i < w->n; i++)
                free(w->items[i].name);
        safe_close(w->fd);
        *w = PATH_WATCH_NULL;
}

/* A directory that may be entered but not read cannot be watched; the ones around it still are. */
static int add(PathWatch *w, const Walk *walk)
{
        int wd;

        if (w->n == PATH_WATCH_MAX)
                return -ELOOP;
        wd = inotify_add_watch(w->fd, walk->at, MASK);
        if (wd < 0)
                return errno == EACCES && walk->rest[0] ? 0 : -errno;
        w->items[w->n].name = strdup(walk->name);
        if (!w->items[w->n].name)
                return -ENOMEM;
        w->items[w->n++].wd = wd;
        return 0;
}

/* The next name of the path, "" at its end. */
static int take_name(Walk *walk)
{
        const char *from = walk->rest + strspn(walk->rest, "/");
        size_t n = strcspn(from, "/");

        if (n > NAME_MAX)
                return -ENAMETOOLONG;
        memcpy(walk->name, from, n);
        walk->name[n] = '\0';
        from += n + strspn(from + n, "/");
        memmove(walk->rest, from, strlen(from) + 1);
        return 0;
}

/* a/b into ret, which may be one of the two. */
static int join(char *ret, const char *a, const char *b)
{
        char whole[PATH_MAX];
        size_t n = strlen(a), m = strlen(b);
        bool slash = n && a[n - 1] != '/' && m;

        if (n + slash + m >= sizeof(whole))
                return -ENAMETOOLONG;
        memcpy(whole, a, n);
        if (slash)
                whole[n] = '/';
        memcpy(whole + n + slash, b, m + 1);
        memcpy(ret, whole, n + slash + m + 1);
        return 0;
}

/* Goes on from what the name leads to: a directory, or the text of a symlink in front of the rest. */
static int step(Walk *walk)
{
        char next[PATH_MAX], target[PATH_MAX];
        ssize_t n;
        int r = join(next, walk->at, walk->name);

        if (r)
                return r;
        n = readlink(next, target, sizeof(target) - 1);
        if (n < 0) {
                strcpy(walk->at, next);
                return 0;
        }
        if (++walk->links > LINKS_MAX)
                return -ELOOP;
        target[n] = '\0';
        if (target[0] == '/')
                strcpy(walk->at, "/");
        return join(walk->rest, target, walk->rest);
}

static int place(PathWatch *w, Walk *walk)
{
        int r = take_name(walk);

        while (!r && walk->name[0]) {
                r = add(w, walk);
                if (r == -ENOENT || r == -ENOTDIR) /* so far; the directory before is watched for what comes */
                        return w->n > 0 ? 0 : r;
                if (r || !walk->rest[0])
                        return r;
                r = step(walk);
                if (!r)
                        r = take_name(walk);
        }
        return r;
}

int path_watch_place(PathWatch *w, const char *path)
{
        Walk walk = {0};

        path_watch_deinit(w);
        if (strlen(path) >= sizeof(walk.rest))
                return -ENAMETOOLONG;
        strcpy(walk.at, path[0] == '/' ? "/" : ".");
        strcpy(walk.rest, path);
        w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        return w->fd < 0 ? -errno : place(w, &walk);
}

/* A directory that is gone itself, a name of the path in it, or events that were lost. */
static bool is_about(const PathWatch *w, const struct inotify_event *e)
{
        if (e->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF))
                return true;
        for (size_t i = 0; e->len && i < w->n; i++)
                if (w->items[i].wd == e->wd && strcmp(w->items[i].name, e->name) == 0)
                        return true;
        return false;
}

bool path_watch_read(PathWatch *w)
{
        _Alignas(struct inotify_event) char events[4096];
        bool about = false;
        ssize_t n;

        while ((n = read(w->fd, events, sizeof(events))) > 0)
                for (const char *p = events; p < events + n;) {
                        const struct inotify_event *e = (const void *)p;

                        about = about || is_about(w, e);
                        p += sizeof(*e) + e->len;
                }
        return about;
}
