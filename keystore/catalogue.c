/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/catalogue.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "keystore/order.h"
#include "keystore/table.h"

_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "a hash is one number");

struct Catalogue {
        uint8_t hash_key[crypto_shorthash_KEYBYTES];
        size_t keys_max;
        Table by_uuid, by_name; /* by_name: current ones only */
        Order order;
};

static uint64_t hash_bytes(const Catalogue *c, const void *data, size_t len)
{
        uint64_t hash;

        (void)crypto_shorthash((unsigned char *)&hash, data, len, c->hash_key);
        return hash;
}

static uint64_t hash_uuid(const Catalogue *c, const KeyEntry *e)
{
        return hash_bytes(c, e->uuid.b, sizeof(e->uuid.b));
}

static uint64_t hash_name(const Catalogue *c, const KeyEntry *e)
{
        return hash_bytes(c, key_entry_name(e), strlen(key_entry_name(e)));
}

static bool has_uuid(const KeyEntry *e, const void *uuid)
{
        return uuid_equal(&e->uuid, uuid);
}

static bool has_name(const KeyEntry *e, const void *name)
{
        return strcmp(key_entry_name(e), name) == 0;
}

static bool is_current(const KeyEntry *e)
{
        return !(e->flags & KEY_FLAG_RETIRED);
}

int catalogue_new(size_t keys_max, Catalogue **ret)
{
        Catalogue *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->keys_max = keys_max ? keys_max : CATALOGUE_KEYS_MAX_DEFAULT;
        c->by_uuid.hash = hash_uuid;
        c->by_name.hash = hash_name;
        if (getrandom(c->hash_key, sizeof(c->hash_key), 0) != sizeof(c->hash_key)) {
                free(c);
                return -EIO;
        }
        *ret = c;
        return 0;
}

Catalogue *catalogue_free(Catalogue *c)
{
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->by_uuid.size; i++)
                key_entry_unref(c->by_uuid.cells[i]);
        table_deinit(&c->by_uuid);
        table_deinit(&c->by_name);
        order_deinit(&c->order);
        free(c);
        return NULL;
}

size_t catalogue_count(const Catalogue *c)
{
        return c->by_uuid.used;
}

size_t catalogue_keys_max(const Catalogue *c)
{
        return c->keys_max;
}

void catalogue_set_keys_max(Catalogue *c, size_t keys_max)
{
        c->keys_max = keys_max ? keys_max : CATALOGUE_KEYS_MAX_DEFAULT;
}

/* ---- find ---- */

static KeyEntry **find_uuid(const Catalogue *c, const Uuid *uuid)
{
        return table_find(&c->by_uuid, hash_bytes(c, uuid->b, sizeof(uuid->b)), has_uuid, uuid);
}

static KeyEntry **find_name(const Catalogue *c, const char *name)
{
        return table_find(&c->by_name, hash_bytes(c, name, strlen(name)), has_name, name);
}

KeyEntry *catalogue_find_uuid(const Catalogue *c, const Uuid *uuid)
{
        KeyEntry **cell = find_uuid(c, uuid);

        return cell ? *cell : NULL;
}

KeyEntry *catalogue_find_name(const Catalogue *c, const char *name)
{
        KeyEntry **cell = find_name(c, name);

        return cell ? *cell : NULL;
}

KeyEntry *catalogue_find(const Catalogue *c, const char *text)
{
        Uuid uuid;

        return uuid_parse(text, &uuid) ? catalogue_find_uuid(c, &uuid) : catalogue_find_name(c, text);
}

/* ---- change ---- */

static int reserve(Catalogue *c, size_t n)
{
        int r = table_reserve(&c->by_uuid, c, c->by_uuid.used + n);

        if (!r)
                r = table_reserve(&c->by_name, c, c->by_name.used + n);
        /* one more: a replaced key that changes its name moves in the order */
        return r ? r : order_reserve(&c->order, n + 1);
}

int catalogue_reserve(Catalogue *c, size_t n)
{
        return catalogue_count(c) + 1 > c->keys_max ? HF_E_LIMIT_EXCEEDED : reserve(c, n);
}

int catalogue_reserve_replace(Catalogue *c, size_t n)
{
        return reserve(c, n);
}

static void link_entry(Catalogue *c, KeyEntry *e)
{
        table_add(&c->by_uuid, c, e);
        if (is_current(e))
                table_add(&c->by_name, c, e);
        order_insert(&c->order, e);
}

static void unlink_entry(Catalogue *c, KeyEntry *e)
{
        order_remove(&c->order, e);
        if (is_current(e))
                table_remove(&c->by_name, c, find_name(c, key_entry_name(e)));
        table_remove(&c->by_uuid, c, find_uuid(c, &e->uuid));
}

int catalogue_add(Catalogue *c, KeyEntry *e)
{
        int r;

        if (catalogue_find_uuid(c, &e->uuid) || (is_current(e) && catalogue_find_name(c, key_entry_name(e))))
                return HF_E_KEY_EXISTS;
        r = reserve(c, 1);
        if (r)
                return r;
        link_entry(c, key_entry_ref(e));
        return 0;
}

int catalogue_replace(Catalogue *c, KeyEntry *e)
{
        KeyEntry *old = catalogue_find_uuid(c, &e->uuid), *named;
        int r;

        if (!old)
                return HF_E_NO_SUCH_KEY;
        named = is_current(e) ? catalogue_find_name(c, key_entry_name(e)) : NULL;
        if (named && named != old)
                return HF_E_KEY_EXISTS;
        r = reserve(c, 1);
        if (r)
                return r;
        key_entry_ref(e);
        unlink_entry(c, old);
        link_entry(c, e);
        key_entry_unref(old);
        return 0;
}

int catalogue_remove(Catalogue *c, const Uuid *uuid)
{
        KeyEntry *e = catalogue_find_uuid(c, uuid);

        if (!e)
                return HF_E_NO_SUCH_KEY;
        unlink_entry(c, e);
        key_entry_unref(e);
        return 0;
}

/* ---- list ---- */

size_t catalogue_list(const Catalogue *c, CatalogueCursor *cursor, KeyEntry **ret, size_t max)
{
        size_t n = order_list(&c->order, cursor, ret, max < CATALOGUE_PAGE_MAX ? max : CATALOGUE_PAGE_MAX);

        if (n > 0) {
                *cursor = (CatalogueCursor){.uuid = ret[n - 1]->uuid};
                memcpy(cursor->name, key_entry_name(ret[n - 1]), strlen(key_entry_name(ret[n - 1])) + 1);
        }
        return n;
}

int catalogue_cursor_parse(const char *text, CatalogueCursor *ret)
{
        const char *slash = strchrnul(text, '/');
        CatalogueCursor cursor = {};

        if (!*text) {
                *ret = cursor;
                return 0;
        }
        if ((size_t)(slash - text) > NAME_MAX_LEN)
                return HF_E_INVALID_ARGS;
        memcpy(cursor.name, text, (size_t)(slash - text));
        if (!name_is_valid(cursor.name))
                return HF_E_INVALID_ARGS;
        if (!*slash)
                memset(cursor.uuid.b, 0xff, sizeof(cursor.uuid.b));
        else if (!uuid_parse(slash + 1, &cursor.uuid))
                return HF_E_INVALID_ARGS;
        *ret = cursor;
        return 0;
}

void catalogue_cursor_format(const CatalogueCursor *cursor, char ret[static CATALOGUE_CURSOR_SIZE])
{
        char uuid[UUID_TEXT_SIZE];

        ret[0] = 0;
        if (!cursor->name[0])
                return;
        uuid_format(&cursor->uuid, uuid);
        (void)snprintf(ret, CATALOGUE_CURSOR_SIZE, "%s/%s", cursor->name, uuid);
}
