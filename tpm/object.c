/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keys: loaded from their blob once, from a saved context afterwards
 *
 * A saved context is found by the exact bytes of its blob, so another public part never meets it. The least recently used
 * one goes. That a private part belongs to the public one beside it is checked by the TPM when it loads, and that the TPM
 * loaded this public part is checked by the library, which compares the names.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "tpm/kept.h"
#include "tpm/template.h"

static uint64_t mix(uint64_t h, const uint8_t *data, size_t len)
{
        for (size_t i = 0; i < len; i++)
                h = (h ^ data[i]) * 0x100000001b3u;
        return h;
}

static uint64_t blob_hash(const TpmBlob *b)
{
        uint64_t h = mix(0xcbf29ce484222325u, b->parent, sizeof(b->parent));

        return mix(mix(h, b->public.data, b->public.len), b->private.data, b->private.len);
}

static bool same_blob(const TpmBlob *a, const TpmBlob *b)
{
        return memcmp(a->parent, b->parent, sizeof(a->parent)) == 0 && bytes_equal(a->public, b->public) &&
               bytes_equal(a->private, b->private);
}

void object_drop(Object *o)
{
        Esys_Free(o->saved);
        free((void *)o->blob.public.data);
        *o = (Object){};
}

/* Both parts in one piece of memory. */
static int copy_blob(const TpmBlob *b, TpmBlob *ret)
{
        uint8_t *copy = malloc(b->public.len + b->private.len);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, b->public.data, b->public.len);
        memcpy(copy + b->public.len, b->private.data, b->private.len);
        *ret = *b;
        ret->public = BYTES(copy, b->public.len);
        ret->private = BYTES(copy + b->public.len, b->private.len);
        return 0;
}

static Object *find(Kept *k, const TpmBlob *b, uint64_t hash)
{
        for (size_t i = 0; i < OBJECTS_MAX && k->objects[i].saved; i++)
                if (k->objects[i].hash == hash && same_blob(&k->objects[i].blob, b))
                        return &k->objects[i];
        return NULL;
}

/* The first free place, or that of the one not used for longest. */
static Object *place(Kept *k)
{
        Object *oldest = &k->objects[0];

        for (size_t i = 0; i < OBJECTS_MAX; i++) {
                if (!k->objects[i].saved)
                        return &k->objects[i];
                if (k->objects[i].used < oldest->used)
                        oldest = &k->objects[i];
        }
        return oldest;
}

/* Not being able to save one only costs time. */
static void remember(Kept *k, const TpmBlob *b, uint64_t hash, ESYS_TR tr)
{
        Object *o = place(k), new = {.hash = hash, .used = ++k->uses};

        if (Esys_ContextSave(k->device->esys, tr, &new.saved))
                return;
        if (copy_blob(b, &new.blob)) {
                Esys_Free(new.saved);
                return;
        }
        if (k->later == o)
                k->later = NULL;
        object_drop(o);
        *o = new;
}

int object_load_under(Kept *k, const Parent *p, ESYS_TR parent, const TpmBlob *blob, Loaded *ret)
{
        Device *d = k->device;
        TPM2B_PUBLIC public;
        TPM2B_PRIVATE private;
        ESYS_TR session, tr;
        int r = public_unmarshal(blob->public, &public);

        if (!r)
                r = private_unmarshal(blob->private, &private);
        if (!r)
                r = session_get(k, p, 0, &session);
        if (r)
                return r;
        r = device_result(d, Esys_Load(d->esys, parent, ONE_SESSION(session), &private, &public, &tr));
        if (r)
                return error_is_parameter(d->last) ? HF_E_KEY_MISMATCH : r;
        *ret = (Loaded){.device = d, .tr = tr};
        return 0;
}

static int load_anew(Kept *k, const TpmBlob *blob, Loaded *ret)
{
        _cleanup_loaded_ Loaded parent = LOADED_NONE;
        const Parent *p;
        ESYS_TR session;
        int r = parent_find(k, blob->parent, &p);

        /* The session first: to start it the parent is loaded too. */
        if (!r)
                r = session_get(k, p, 0, &session);
        if (!r)
                r = parent_load(k, p, &parent);
        if (!r)
                r = object_load_under(k, p, parent.tr, blob, ret);
        return r;
}

static int load_saved(Kept *k, Object *o, Loaded *ret)
{
        ESYS_TR tr;
        int r = device_result(k->device, Esys_ContextLoad(k->device->esys, o->saved, &tr));

        if (r)
                return r;
        o->used = ++k->uses;
        *ret = (Loaded){.device = k->device, .tr = tr};
        return 0;
}

/* Still there from the use before. Everything else that is goes now: a TPM has three places for objects. */
static bool is_there(Kept *k, const Object *o, Loaded *ret)
{
        Device *d = k->device;

        if (!o || k->later != o || d->later == ESYS_TR_NONE) {
                device_tidy(d);
                return false;
        }
        *ret = (Loaded){.device = d, .tr = d->later};
        d->later = ESYS_TR_NONE;
        return true;
}

void object_later(Kept *k, const TpmBlob *blob, Loaded *l)
{
        k->later = find(k, blob, blob_hash(blob));
        loaded_later(l);
}

int object_load(Kept *k, const TpmBlob *blob, const uint8_t *auth, Loaded *ret)
{
        uint64_t hash = blob_hash(blob);
        Object *o = find(k, blob, hash);
        int r = is_there(k, o, ret) ? 0 : o ? load_saved(k, o, ret) : load_anew(k, blob, ret);

        if (!r && !o)
                remember(k, blob, hash, ret->tr);
        return r || !auth ? r : device_authorise(k->device, ret->tr, auth, TPM_AUTH_SIZE);
}
