/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The catalogue
 *
 * All keys in memory, wrapped blobs included, so that the store is not on the road of a use: about 400 bytes
 * a key. A KeyEntry is immutable and counted: a job that holds one keeps working on its snapshot when the key
 * changes. Look-ups by UUID and by name go through tables hashed under a random key, so that chosen names
 * cannot collide; listing goes through an order by (name, UUID). Changes are reserved first, so that applying
 * them after COMMIT cannot fail.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/uuid.h"
#include "crypto/attributes.h"

#define CATALOGUE_PAGE_MAX 1000
#define CATALOGUE_KEYS_MAX_DEFAULT 200000

typedef struct Catalogue Catalogue;

typedef struct KeyEntry {
        unsigned refs; /* atomic; use key_entry_ref() and key_entry_unref() */
        uint32_t version;
        uint64_t created; /* microseconds since 1970 */
        Uuid uuid;
        uint8_t algorithm;  /* KeyAlgorithm */
        uint8_t purpose;    /* KeyPurpose */
        uint8_t protection; /* KeyProtection */
        uint8_t flags;      /* KEY_FLAG_... */
        uint16_t attributes_len;
        uint16_t wrapped_len;
        uint16_t public_at; /* where the SPKI lies in the attributes */
        uint16_t public_len;
        uint8_t data[]; /* attributes, wrapped blob, name with its NUL */
} KeyEntry;

/* The canonical encoding (crypto/attributes.h), the wrapped blob, the SPKI; they live as long as the entry.
 */
static inline Bytes key_entry_attributes(const KeyEntry *e)
{
        return BYTES(e->data, e->attributes_len);
}

static inline Bytes key_entry_wrapped(const KeyEntry *e)
{
        return BYTES(e->data + e->attributes_len, e->wrapped_len);
}

static inline Bytes key_entry_public(const KeyEntry *e)
{
        return BYTES(e->data + e->public_at, e->public_len);
}

static inline const char *key_entry_name(const KeyEntry *e)
{
        return (const char *)e->data + e->attributes_len + e->wrapped_len;
}

/* HF_E_INVALID_ARGS if the attributes are not in order or the blob is too large, -ENOMEM. */
int key_entry_new(const KeyAttributes *attributes, Bytes wrapped, KeyEntry **ret);
KeyEntry *key_entry_ref(KeyEntry *e);
KeyEntry *key_entry_unref(KeyEntry *e); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(KeyEntry, key_entry_unref)
/* Decodes the attributes again. */
int key_entry_decode(const KeyEntry *e, KeyAttributes *ret);

/* At most `keys_max` keys; 0 is CATALOGUE_KEYS_MAX_DEFAULT. */
int catalogue_new(size_t keys_max, Catalogue **ret);
Catalogue *catalogue_free(Catalogue *c);
DEFINE_CLEANUP(Catalogue, catalogue_free)
size_t catalogue_count(const Catalogue *c);
size_t catalogue_keys_max(const Catalogue *c);
void catalogue_set_keys_max(Catalogue *c, size_t keys_max);

/* Borrowed: valid until the next change; key_entry_ref() to keep it. NULL if there is none. */
KeyEntry *catalogue_find_uuid(const Catalogue *c, const Uuid *uuid);
/* The current (not retired) key of this name. */
KeyEntry *catalogue_find_name(const Catalogue *c, const char *name);
/* A text in the form of a UUID finds by UUID (retired ones too), any other by name. */
KeyEntry *catalogue_find(const Catalogue *c, const char *text);

/* Memory for `n` more keys, so that as many catalogue_add() cannot fail for want of it. -ENOMEM,
 * HF_E_LIMIT_EXCEEDED (there are keys_max keys already). */
int catalogue_reserve(Catalogue *c, size_t n);
/* The same for `n` times catalogue_replace(), which makes no new keys. -ENOMEM. */
int catalogue_reserve_replace(Catalogue *c, size_t n);
/* Takes its own reference. HF_E_KEY_EXISTS (UUID there, or name has a current key), -ENOMEM. The limit is not
 * asked for here: what is in the store is in the catalogue, also after the limit was lowered. */
int catalogue_add(Catalogue *c, KeyEntry *e);
/* Puts the entry in the place of the one with its UUID; the name may differ. HF_E_NO_SUCH_KEY,
 * HF_E_KEY_EXISTS. */
int catalogue_replace(Catalogue *c, KeyEntry *e);
/* HF_E_NO_SUCH_KEY. */
int catalogue_remove(Catalogue *c, const Uuid *uuid);

/* A place in the order by (name, UUID); what follows it comes next. All zero: the start. */
typedef struct CatalogueCursor {
        char name[NAME_SIZE];
        Uuid uuid;
} CatalogueCursor;

/* Up to `max` (at most CATALOGUE_PAGE_MAX) entries after the cursor, borrowed, current and retired. The
 * cursor moves behind the last one. It need not be a key that still exists. Returns the count, 0 at the end.
 */
size_t catalogue_list(const Catalogue *c, CatalogueCursor *cursor, KeyEntry **ret, size_t max);
/* "" is the start, "NAME" is behind all keys of that name, "NAME/UUID" behind that one. HF_E_INVALID_ARGS. */
int catalogue_cursor_parse(const char *text, CatalogueCursor *ret);
#define CATALOGUE_CURSOR_SIZE (NAME_SIZE + UUID_TEXT_SIZE)
/* "" for the start, else "NAME/UUID". */
void catalogue_cursor_format(const CatalogueCursor *cursor, char ret[static CATALOGUE_CURSOR_SIZE]);
