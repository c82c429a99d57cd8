/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names met while loading, and the system's own answers to who a name is. */
#include "policy/names.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define NSS_BUFFER_MAX ((size_t)1024 * 1024) /* a group of 100,000 members still fits */

static size_t hash(NameKind kind, const char *name)
{
        uint64_t h = 0xcbf29ce484222325ULL + kind; /* FNV-1a; the names are root's own, nobody floods it */

        for (; *name; name++)
                h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
        return (size_t)(h ^ h >> 29);
}

static NameEntry *place_of(const NameTable *t, NameKind kind, const char *name)
{
        size_t i = hash(kind, name) & (t->size - 1);

        while (t->entries[i].name && (t->entries[i].kind != kind || strcmp(t->entries[i].name, name) != 0))
                i = (i + 1) & (t->size - 1);
        return &t->entries[i];
}

static int grow(NameTable *t)
{
        NameTable larger = {.n = t->n, .size = t->size ? t->size * 2 : 64};

        larger.entries = calloc(larger.size, sizeof(NameEntry));
        if (!larger.entries)
                return -ENOMEM;
        for (size_t i = 0; i < t->size; i++)
                if (t->entries[i].name)
                        *place_of(&larger, t->entries[i].kind, t->entries[i].name) = t->entries[i];
        free(t->entries);
        *t = larger;
        return 0;
}

int name_table_get(NameTable *t, NameKind kind, const char *name, NameEntry **ret, bool *ret_new)
{
        NameEntry *entry;
        bool is_new;
        int r = t->n * 2 >= t->size ? grow(t) : 0;

        if (r)
                return r;
        entry = place_of(t, kind, name);
        is_new = !entry->name;
        if (is_new) {
                *entry = (NameEntry){.name = name, .kind = kind};
                t->n++;
        }
        *ret = entry;
        *ret_new = is_new;
        return 0;
}

void name_table_deinit(NameTable *t)
{
        free(t->entries);
        *t = (NameTable){};
}

/* The _r functions want a buffer of a size that only they know: try with more until it fits. */
static int with_buffer(int (*ask)(const char *name, char *buf, size_t size, uint32_t *ret), const char *name,
                uint32_t *ret)
{
        int r = ERANGE;

        for (size_t size = 4096; r == ERANGE && size <= NSS_BUFFER_MAX; size *= 4) {
                _cleanup_free_ char *buf = malloc(size);

                r = buf ? ask(name, buf, size, ret) : ENOMEM;
        }
        /* These are what getpwnam_r(3) lists for "not found" besides success without a result. */
        if (r == ENOENT || r == ESRCH || r == EBADF || r == EPERM)
                return HF_E_INVALID_NAME;
        return r > 0 ? -r : r < 0 ? HF_E_INVALID_NAME : 0;
}

static int ask_user(const char *name, char *buf, size_t size, uint32_t *ret)
{
        struct passwd pw, *found = NULL;
        int r = getpwnam_r(name, &pw, buf, size, &found);

        if (r || !found)
                return r ? r : -1;
        *ret = pw.pw_uid;
        return 0;
}

static int ask_group(const char *name, char *buf, size_t size, uint32_t *ret)
{
        struct group gr, *found = NULL;
        int r = getgrnam_r(name, &gr, buf, size, &found);

        if (r || !found)
                return r ? r : -1;
        *ret = gr.gr_gid;
        return 0;
}

int policy_names_system_user(void *userdata, const char *name, uid_t *ret)
{
        (void)userdata;
        return with_buffer(ask_user, name, ret);
}

int policy_names_system_group(void *userdata, const char *name, gid_t *ret)
{
        (void)userdata;
        return with_buffer(ask_group, name, ret);
}
