/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/keystore.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"
#include "keystore/lifecycle.h"

void keystore_change_deinit(KeystoreChange *change)
{
        change->before = key_entry_unref(change->before);
        change->after = key_entry_unref(change->after);
}

/* ---- load ---- */

typedef struct Load {
        Catalogue *catalogue;
        Uses *uses;
        Identities *identities;
        Registry *registry;
        Lists *lists;
} Load;

static int load_key(void *userdata, const StoreKeyRow *row)
{
        Load *load = userdata;
        _cleanup_(key_entry_unrefp) KeyEntry *e = NULL;
        int r;

        if (row->state != STORE_KEY_LIVE || !load->catalogue)
                return 0;
        r = key_entry_new(row->attributes, row->wrapped, &e);
        if (!r)
                r = catalogue_add(load->catalogue, e);
        /* Rows we wrote fit together; these carry good tags and still do not. */
        return r == HF_E_INVALID_ARGS || r == HF_E_KEY_EXISTS ? HF_E_STORE_DAMAGED : r;
}

static int load_uses(void *userdata, const StoreUsesRow *row)
{
        Load *load = userdata;

        return load->uses ? uses_load(load->uses, row) : 0;
}

static int load_meta(void *userdata, const char *key, Bytes value)
{
        Load *load = userdata;
        WireReader reader = wire_reader(value);
        uint64_t until;

        if (load->registry && strncmp(key, META_HOUR, strlen(META_HOUR)) == 0)
                return registry_load_hour(load->registry, key + strlen(META_HOUR), value);
        if (!load->uses || strcmp(key, USES_META_FORFEIT) != 0)
                return 0;
        until = wire_get_u64(&reader);
        if (wire_done(&reader))
                return HF_E_STORE_DAMAGED;
        uses_set_forfeit(load->uses, until);
        return 0;
}

static int load_identity(void *userdata, const StoreIdentityRow *row)
{
        Load *load = userdata;

        return load->identities ? identities_load(load->identities, row) : 0;
}

static int load_authority(void *userdata, const StoreAuthorityRow *row)
{
        Load *load = userdata;

        return load->registry ? registry_load_authority(load->registry, row) : 0;
}

static int load_certificate(void *userdata, const StoreCertificateRow *row)
{
        Load *load = userdata;

        return load->registry ? registry_load_certificate(load->registry, row) : 0;
}

static int load_list(void *userdata, const StoreListRow *row)
{
        Load *load = userdata;

        return load->lists ? lists_load(load->lists, row) : 0;
}

int keystore_load(Store *store, Catalogue *catalogue, Uses *uses, Identities *identities, Registry *registry,
                Lists *lists)
{
        static const StoreVisitor visitor = {.meta = load_meta, .key = load_key, .uses = load_uses, .identity = load_identity,
                        .authority = load_authority, .certificate = load_certificate, .list = load_list};
        Load load = {.catalogue = catalogue, .uses = uses, .identities = identities, .registry = registry,
                        .lists = lists};

        int r = store_scan(store, &visitor, &load);

        return r || !registry ? r : registry_load_places(registry, store);
}

/* ---- change ---- */

/* What is never another in a later version of the same key. */
static bool is_same_key(const KeyEntry *before, const KeyEntry *after)
{
        return before->algorithm == after->algorithm && before->purpose == after->purpose &&
               before->protection == after->protection && before->created == after->created &&
               bytes_equal(key_entry_public(before), key_entry_public(after));
}

/* That the name is free is the store's word: it knows what else this transaction did. */
static int check_put(Catalogue *c, const KeyEntry *before, const KeyEntry *after)
{
        if (!before)
                return after->version == 1 ? catalogue_reserve(c, KEYSTORE_CHANGES_MAX) : HF_E_INVALID_ARGS;
        if (before->flags & KEY_FLAG_FROZEN && (before->flags ^ after->flags) != KEY_FLAG_LOST)
                return HF_E_KEY_FROZEN;
        if (before->version == UINT32_MAX || after->version != before->version + 1 ||
                        !is_same_key(before, after))
                return HF_E_INVALID_ARGS;
        return catalogue_reserve_replace(c, KEYSTORE_CHANGES_MAX);
}

int keystore_put(Store *store, Catalogue *catalogue, const KeyAttributes *attributes, Bytes wrapped,
                KeystoreChange *ret)
{
        const StoreKeyRow row = {.attributes = attributes, .state = STORE_KEY_LIVE, .wrapped = wrapped};
        _cleanup_(key_entry_unrefp) KeyEntry *after = NULL;
        KeyEntry *before;
        int r;

        r = key_entry_new(attributes, wrapped, &after);
        if (r)
                return r;
        before = catalogue_find_uuid(catalogue, &attributes->uuid);
        r = check_put(catalogue, before, after);
        if (!r)
                r = store_put_key(store, &row);
        if (r)
                return r;
        *ret = (KeystoreChange){.before = key_entry_ref(before), .after = TAKE_PTR(after)};
        return 0;
}

int keystore_destroy(Store *store, Catalogue *catalogue, const Uuid *uuid, KeystoreChange *ret)
{
        KeyEntry *before = catalogue_find_uuid(catalogue, uuid);
        KeyAttributes attributes;
        const StoreKeyRow row = {.attributes = &attributes, .state = STORE_KEY_DESTROYED};
        int r;

        if (!before)
                return HF_E_NO_SUCH_KEY;
        r = lifecycle_check(before, KEY_ACTION_DESTROY);
        if (!r)
                r = key_entry_decode(before, &attributes);
        if (r)
                return r;
        attributes.version++;
        r = store_put_key(store, &row);
        if (r)
                return r;
        r = store_delete_uses(store, uuid);
        if (r && r != HF_E_NOTHING_TO_DO)
                return r;
        *ret = (KeystoreChange){.before = key_entry_ref(before)};
        return 0;
}

void keystore_apply(Catalogue *catalogue, Uses *uses, KeystoreChange *change)
{
        int r;

        if (!change->after) {
                r = catalogue_remove(catalogue, &change->before->uuid);
                if (uses)
                        uses_forget(uses, &change->before->uuid);
        } else if (change->before)
                r = catalogue_replace(catalogue, change->after);
        else
                r = catalogue_add(catalogue, change->after);
        assert(r == 0); /* room was reserved before the row was written */
        (void)r;
}
