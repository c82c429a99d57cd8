/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Entries of the catalogue: one allocation each, immutable, counted. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "keystore/catalogue.h"

_Static_assert(_KEY_FLAGS_ALL <= UINT8_MAX, "the flags fit their field");

static KeyEntry *allocate(const KeyAttributes *a, size_t attributes_len, size_t wrapped_len)
{
        KeyEntry *e = malloc(sizeof(*e) + attributes_len + wrapped_len + strlen(a->name) + 1);

        if (!e)
                return NULL;
        *e = (KeyEntry){
                        .refs = 1,
                        .version = a->version,
                        .created = a->created,
                        .uuid = a->uuid,
                        .algorithm = (uint8_t)a->algorithm,
                        .purpose = (uint8_t)a->purpose,
                        .protection = (uint8_t)a->protection,
                        .flags = (uint8_t)a->flags,
                        .attributes_len = (uint16_t)attributes_len,
                        .wrapped_len = (uint16_t)wrapped_len,
                        .public_len = a->public_len,
        };
        return e;
}

int key_entry_new(const KeyAttributes *attributes, Bytes wrapped, KeyEntry **ret)
{
        uint8_t memory[KEY_ATTRIBUTES_MAX];
        Buffer encoded = {.data = memory, .allocated = sizeof(memory), .limit = sizeof(memory)};
        KeyAttributes check;
        KeyEntry *e;
        int r;

        if (wrapped.len == 0 || wrapped.len > KEY_WRAPPED_MAX || attributes->public_len > KEY_PUBLIC_MAX)
                return HF_E_INVALID_ARGS;
        r = key_attributes_encode(attributes, &encoded);
        if (!r)
                r = key_attributes_decode(buffer_bytes(&encoded), &check);
        if (r)
                return r;
        e = allocate(attributes, encoded.len, wrapped.len);
        if (!e)
                return -ENOMEM;
        memcpy(e->data, encoded.data, encoded.len);
        memcpy(e->data + encoded.len, wrapped.data, wrapped.len);
        memcpy(e->data + encoded.len + wrapped.len, attributes->name, strlen(attributes->name) + 1);
        /* The public key is the last field of the encoding. */
        e->public_at = (uint16_t)(encoded.len - attributes->public_len);
        *ret = e;
        return 0;
}

KeyEntry *key_entry_ref(KeyEntry *e)
{
        if (e)
                __atomic_fetch_add(&e->refs, 1, __ATOMIC_RELAXED);
        return e;
}

KeyEntry *key_entry_unref(KeyEntry *e)
{
        if (e && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0)
                free(e);
        return NULL;
}

int key_entry_decode(const KeyEntry *e, KeyAttributes *ret)
{
        return key_attributes_decode(key_entry_attributes(e), ret);
}
