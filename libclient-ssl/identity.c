/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identities of this process: a list that only grows, each with its present generation. */
#include "libclient-ssl/identity.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/name.h"
#include "libclient-ssl/failure.h"
#include "libclient-ssl/holdfast-ssl.h"
#include "libclient-ssl/snapshot.h"

#define SWITCHES_MAX 8 /* of the link while we read; more often nobody switches */

struct Identity {
        Identity *next;
        CertUsage usage;
        Generation *now; /* NULL: not read yet */
        char *path;      /* directory/name */
        char name[NAME_SIZE];
        char directory[];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Identity *identities;

static void take_lock(void)
{
        pthread_mutex_lock(&lock);
}

static void give_lock(void)
{
        pthread_mutex_unlock(&lock);
}

static void begin(void)
{
        pthread_atfork(take_lock, give_lock, give_lock);
}

static Identity *identity_new(const char *directory, const char *name, CertUsage usage)
{
        size_t size = strlen(directory) + 1;
        Identity *i = calloc(1, sizeof(*i) + size);

        if (!i || asprintf(&i->path, "%s/%s", directory, name) < 0) {
                free(i);
                return NULL;
        }
        i->usage = usage;
        memcpy(i->directory, directory, size);
        snprintf(i->name, sizeof(i->name), "%s", name);
        return i;
}

static Identity *find(const char *directory, const char *name, CertUsage usage)
{
        for (Identity *i = identities; i; i = i->next)
                if (i->usage == usage && strcmp(i->name, name) == 0 && strcmp(i->directory, directory) == 0)
                        return i;
        return NULL;
}

int identity_get(const char *name, CertUsage usage, Identity **ret)
{
        const char *directory = cert_directory();
        Identity *i;

        if (!name || !name_is_valid(name))
                return failure_set(HF_ERROR_INVALID_NAME, NULL);
        pthread_once(&once, begin);
        take_lock();
        i = find(directory, name, usage);
        if (!i) {
                i = identity_new(directory, name, usage);
                if (i) {
                        i->next = identities;
                        identities = i;
                }
        }
        give_lock();
        if (!i)
                return failure_from(-ENOMEM);
        *ret = i;
        return 0;
}

const char *identity_name(const Identity *i)
{
        return i->name;
}

/* False: the directory itself cannot be reached from here. */
static bool take_stamp(const Identity *i, Stamp *ret)
{
        struct stat st;

        *ret = (Stamp){.there = false};
        if (lstat(i->path, &st) < 0)
                return errno == ENOENT && stat(i->directory, &st) == 0;
        *ret = (Stamp){.there = true, .dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim};
        return true;
}

static bool stamp_equal(const Stamp *a, const Stamp *b)
{
        return a->there == b->there && a->dev == b->dev && a->ino == b->ino && a->changed.tv_sec == b->changed.tv_sec &&
               a->changed.tv_nsec == b->changed.tv_nsec;
}

static Generation *generation_ref(Generation *g)
{
        if (g)
                atomic_fetch_add(&g->snapshot.refs, 1);
        return g;
}

static Generation *present(Identity *i)
{
        Generation *g;

        take_lock();
        g = generation_ref(i->now);
        give_lock();
        return g;
}

/* Of two threads that read at once each uses what it read; the later one's stays. */
static void put(Identity *i, Generation *g)
{
        Generation *before;

        take_lock();
        before = i->now;
        i->now = generation_ref(g);
        give_lock();
        if (before)
                snapshot_unref(&before->snapshot);
}

/* A generation that goes while it is read looks incomplete; then the link has another stamp, and the next one is read. */
static int read_now(Identity *i, Stamp stamp, Generation **ret)
{
        Generation *g = NULL;
        Stamp after;
        int r;

        for (unsigned n = 0;; n++) {
                r = generation_load(i->directory, i->name, i->usage, &stamp, &g);
                if (r)
                        return r;
                if (g->findings.n == 0 || n == SWITCHES_MAX || !take_stamp(i, &after) || stamp_equal(&stamp, &after))
                        break;
                snapshot_unref(&g->snapshot);
                stamp = after;
        }
        put(i, g);
        *ret = g;
        return 0;
}

static bool holds(const Generation *g, const Stamp *stamp)
{
        uint64_t now = clock_wall();

        return stamp_equal(&g->stamp, stamp) && now >= g->from && now < g->until;
}

int identity_snapshot(Identity *i, const SSL *ssl, Snapshot **ret)
{
        Generation *g = present(i);
        Stamp stamp;
        bool reachable = take_stamp(i, &stamp);
        int r;

        if (g && reachable && !holds(g, &stamp))
                g = (snapshot_unref(&g->snapshot), NULL);
        if (!g) {
                r = read_now(i, stamp, &g);
                if (r)
                        return r;
        }
        if (g->findings.n > 0) {
                r = failure_findings(ssl, i->name, &g->findings);
                snapshot_unref(&g->snapshot);
                return r;
        }
        *ret = &g->snapshot;
        return 0;
}
