/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/uses.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"

#define BLOCK_MAX 256
#define BLOCK_SHARE 16

/* A tree and no hash table: there are as many counts as rules with a limit have met keys, and the order of a
 * tree of (random UUID, rule) cannot be steered by a caller. */
typedef struct Count {
        Uuid key;
        char rule[NAME_SIZE];
        uint32_t version; /* of the row; 0: there is none yet */
        uint64_t spent;   /* as stored */
        uint64_t unspent; /* reserved and not yet taken, part of spent */
} Count;

struct Uses {
        void *counts; /* tsearch(3) */
        uint64_t forfeit;
};

static int compare(const void *a, const void *b)
{
        const Count *x = a, *y = b;
        int order = memcmp(x->key.b, y->key.b, sizeof(x->key.b));

        return order ? order : strcmp(x->rule, y->rule);
}

static Count make_name(const Uuid *key, const char *rule)
{
        Count name = {.key = *key};

        memcpy(name.rule, rule, strnlen(rule, NAME_MAX_LEN));
        return name;
}

static Count *find(const Uses *u, const Uuid *key, const char *rule)
{
        Count name = make_name(key, rule);
        void *const *node = strlen(rule) <= NAME_MAX_LEN ? tfind(&name, &u->counts, compare) : NULL;

        return node ? *node : NULL;
}

static int ensure(Uses *u, const Uuid *key, const char *rule, Count **ret)
{
        Count *count = find(u, key, rule);

        if (!count) {
                count = malloc(sizeof(*count));
                if (!count)
                        return -ENOMEM;
                *count = make_name(key, rule);
                if (!tsearch(count, &u->counts, compare)) {
                        free(count);
                        return -ENOMEM;
                }
        }
        *ret = count;
        return 0;
}

int uses_new(Uses **ret)
{
        Uses *u = calloc(1, sizeof(*u));

        if (!u)
                return -ENOMEM;
        *ret = u;
        return 0;
}

Uses *uses_free(Uses *u)
{
        if (u)
                tdestroy(u->counts, free);
        free(u);
        return NULL;
}

int uses_load(Uses *u, const StoreUsesRow *row)
{
        Count *count;
        int r;

        if (find(u, &row->key, row->rule))
                return HF_E_STORE_DAMAGED;
        r = ensure(u, &row->key, row->rule, &count);
        if (r)
                return r;
        count->version = row->version;
        count->spent = row->spent;
        return 0;
}

void uses_set_forfeit(Uses *u, uint64_t created_until)
{
        u->forfeit = created_until;
}

static int note_row(void *userdata, const StoreUsesRow *row)
{
        UsesForfeiture *f = userdata;

        return row->spent == STORE_USES_FORFEITED ? 0 : buffer_append(&f->rows, row, sizeof(*row));
}

static int note_key(void *userdata, const StoreKeyRow *row)
{
        UsesForfeiture *f = userdata;

        if (row->attributes->created > f->until)
                f->until = row->attributes->created;
        return 0;
}

int uses_forfeiture_read(Store *store, uint64_t now, UsesForfeiture *ret)
{
        static const StoreVisitor visitor = {.key = note_key, .uses = note_row};
        UsesForfeiture f = {.rows = BUFFER_INIT(SIZE_MAX), .until = now};
        int r = store_scan(store, &visitor, &f);

        if (r)
                uses_forfeiture_deinit(&f);
        else
                *ret = f;
        return r;
}

static int forfeit_row(Store *store, const uint8_t *at)
{
        StoreUsesRow row;

        memcpy(&row, at, sizeof(row));
        if (row.version == UINT32_MAX)
                return HF_E_LIMIT_EXCEEDED;
        row.version++;
        row.spent = STORE_USES_FORFEITED;
        return store_put_uses(store, &row);
}

int uses_forfeiture_write(Store *store, const UsesForfeiture *forfeiture)
{
        _cleanup_buffer_ Buffer until = BUFFER_INIT(8);
        int r = wire_put_u64(&until, forfeiture->until);

        if (!r)
                r = store_put_meta(store, USES_META_FORFEIT, buffer_bytes(&until));
        for (size_t at = 0; !r && at < forfeiture->rows.len; at += sizeof(StoreUsesRow))
                r = forfeit_row(store, forfeiture->rows.data + at);
        return r;
}

void uses_forfeiture_deinit(UsesForfeiture *forfeiture)
{
        buffer_deinit(&forfeiture->rows);
}

/* Uses of the limit that no block has reserved yet. */
static uint64_t unreserved(const Uses *u, const Count *count, uint64_t created, uint64_t limit)
{
        uint64_t spent;

        if (count && count->version > 0)
                spent = count->spent;
        else
                spent = created <= u->forfeit ? STORE_USES_FORFEITED : 0;
        return spent < limit && spent < STORE_USES_FORFEITED ? limit - spent : 0;
}

/* A limit that was lowered below what is already reserved cuts the rest short as well. */
static uint64_t usable(const Count *count, uint64_t limit)
{
        uint64_t taken;

        if (!count || count->unspent == 0)
                return 0;
        taken = count->spent - count->unspent;
        if (taken >= limit)
                return 0;
        return count->unspent < limit - taken ? count->unspent : limit - taken;
}

UsesVerdict uses_take(Uses *u, const Uuid *key, uint64_t created, const char *rule, uint64_t limit)
{
        Count *count = find(u, key, rule);

        if (usable(count, limit) > 0) {
                count->unspent--;
                return USES_ALLOWED;
        }
        return unreserved(u, count, created, limit) > 0 ? USES_NEEDS_RESERVE : USES_EXHAUSTED;
}

void uses_give_back(Uses *u, const Uuid *key, const char *rule)
{
        Count *count = find(u, key, rule);

        if (count && count->unspent < count->spent && count->spent < STORE_USES_FORFEITED)
                count->unspent++;
}

uint64_t uses_remaining(const Uses *u, const Uuid *key, uint64_t created, const char *rule, uint64_t limit)
{
        const Count *count = find(u, key, rule);

        return usable(count, limit) + unreserved(u, count, created, limit);
}

static uint64_t block_size(uint64_t remaining)
{
        uint64_t block = remaining / BLOCK_SHARE;

        if (block > BLOCK_MAX)
                return BLOCK_MAX;
        return block > 0 ? block : 1;
}

static int write_change(Uses *u, Store *store, const Uuid *key, const char *rule, UsesChange *change)
{
        Count *count = NULL;
        int r;

        if (!name_is_valid(rule))
                return HF_E_INVALID_ARGS;
        r = ensure(u, key, rule, &count); /* so that uses_apply() finds its place */
        if (r)
                return r;
        if (count->version == UINT32_MAX)
                return HF_E_LIMIT_EXCEEDED;
        change->row.key = *key;
        memcpy(change->row.rule, count->rule, sizeof(change->row.rule));
        change->row.version = count->version + 1;
        return store_put_uses(store, &change->row);
}

int uses_reserve(Uses *u, Store *store, const Uuid *key, uint64_t created, const char *rule, uint64_t limit,
                UsesChange *ret)
{
        const Count *count = find(u, key, rule);
        uint64_t remaining = unreserved(u, count, created, limit);
        UsesChange change = {};
        int r;

        if (remaining == 0)
                return HF_E_USES_EXHAUSTED;
        change.reserved = block_size(remaining);
        change.row.spent = (count ? count->spent : 0) + change.reserved;
        r = write_change(u, store, key, rule, &change);
        if (!r)
                *ret = change;
        return r;
}

int uses_grant(Uses *u, Store *store, const Uuid *key, const char *rule, uint64_t spent, UsesChange *ret)
{
        UsesChange change = {.row.spent = spent, .granted = true};
        int r = write_change(u, store, key, rule, &change);

        if (!r)
                *ret = change;
        return r;
}

void uses_apply(Uses *u, const UsesChange *change)
{
        Count *count = find(u, &change->row.key, change->row.rule);

        if (!count)
                return; /* the key was destroyed in the same transaction */
        count->version = change->row.version;
        count->spent = change->row.spent;
        count->unspent = change->granted ? 0 : count->unspent + change->reserved;
}

typedef struct Forgetting {
        const Uuid *key;
        Count *found;
} Forgetting;

static void see_count(const void *node, VISIT visit, void *userdata)
{
        Count *const *count = node;
        Forgetting *forgetting = userdata;

        if ((visit == postorder || visit == leaf) && uuid_equal(&(*count)->key, forgetting->key))
                forgetting->found = *count;
}

void uses_forget(Uses *u, const Uuid *key)
{
        Forgetting forgetting = {.key = key};

        do {
                forgetting.found = NULL;
                twalk_r(u->counts, see_count, &forgetting);
                if (forgetting.found) {
                        tdelete(forgetting.found, &u->counts, compare);
                        free(forgetting.found);
                }
        } while (forgetting.found);
}
