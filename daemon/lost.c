/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/lost.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/pubkey.h"
#include "daemon/change.h"
#include "daemon/identity.h"
#include "keystore/lifecycle.h"

/* ---- occasions ---- */

int lost_get(Store *store, LostOccasion ret[static LOST_MAX], size_t *ret_n)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(STORE_META_VALUE_MAX);
        WireReader r;
        size_t n = 0;
        int result;

        result = store_get_meta(store, META_LOST, &b);
        if (result == HF_E_NOTHING_TO_DO) {
                *ret_n = 0;
                return 0;
        }
        if (result)
                return result;
        for (r = wire_reader(buffer_bytes(&b)); r.p < r.end && !r.failed && n < LOST_MAX; n++) {
                ret[n].when = wire_get_u64(&r);
                wire_get_string(&r, ret[n].reason, sizeof(ret[n].reason));
        }
        *ret_n = n;
        return wire_done(&r) ? HF_E_STORE_DAMAGED : 0;
}

static int note_key(void *userdata, const StoreKeyRow *row)
{
        uint64_t *newest = userdata;

        if (row->attributes->created > *newest)
                *newest = row->attributes->created;
        return 0;
}

int lost_moment(Store *store, uint64_t now, uint64_t *ret)
{
        static const StoreVisitor visitor = {.key = note_key};
        uint64_t newest = now;
        int r = store_scan(store, &visitor, &newest);

        if (!r)
                *ret = newest;
        return r;
}

uint64_t lost_later(const LostOccasion *occasions, size_t n, uint64_t now)
{
        for (size_t i = 0; i < n; i++)
                if (now <= occasions[i].when)
                        now = occasions[i].when + 1;
        return now;
}

int lost_put(Store *store, uint64_t when, const char *reason)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(STORE_META_VALUE_MAX);
        LostOccasion occasions[LOST_MAX + 1];
        size_t n;
        int r;

        r = lost_get(store, occasions, &n);
        if (r)
                return r;
        occasions[n].when = when;
        snprintf(occasions[n++].reason, LOST_REASON_SIZE, "%s", reason);
        for (size_t i = n > LOST_MAX; !r && i < n; i++) {
                r = wire_put_u64(&b, occasions[i].when);
                if (!r)
                        r = wire_put_string(&b, occasions[i].reason);
        }
        return r ? r : store_put_meta(store, META_LOST, buffer_bytes(&b));
}

const LostOccasion *lost_find(const LostOccasion *occasions, size_t n, uint64_t created)
{
        for (size_t i = 0; i < n; i++)
                if (created <= occasions[i].when)
                        return &occasions[i];
        return NULL;
}

/* ---- marking ---- */

typedef struct LostChange {
        Change change;
        Daemon *daemon;
        KeyEntry *key; /* as it is */
        KeyAttributes attributes;
        Buffer wrapped;
        KeystoreChange keystore;
        char reason[LOST_REASON_SIZE];
        void (*done)(void *userdata);
        void *userdata;
} LostChange;

/* Over to the next key, or to whoever waits. */
static void end(LostChange *l, bool go_on)
{
        void (*done)(void *) = l->done;
        void *userdata = l->userdata;
        Daemon *d = l->daemon;

        keystore_change_deinit(&l->keystore);
        key_entry_unref(l->key);
        buffer_deinit(&l->wrapped);
        free(l);
        if (go_on)
                lost_mark(d, done, userdata);
        else
                done(userdata);
}

static int write_lost(Change *c, AuditLine *line)
{
        LostChange *l = c->userdata;
        Vault *v = &c->daemon->vault;
        char identities[IDENTITIES_TEXT_SIZE];
        uint8_t fingerprint[32];

        identities_of_key(v->identities, &l->attributes.uuid, identities);
        audit_line_str(line, "identities", identities[0] ? identities : NULL);
        audit_line_uuid(line, "key", &l->attributes.uuid);
        audit_line_str(line, "name", l->attributes.name);
        audit_line_str(line, "reason", l->reason);
        if (l->attributes.public_len) {
                pubkey_fingerprint(key_attributes_public(&l->attributes), fingerprint);
                audit_line_hex(line, "public", fingerprint, sizeof(fingerprint));
        }
        audit_line_u64(line, "uid", 0);
        audit_line_str(line, "road", "internal");
        return keystore_put(v->store, v->catalogue, &l->attributes, buffer_bytes(&l->wrapped), &l->keystore);
}

static void apply(Change *c)
{
        LostChange *l = c->userdata;

        keystore_apply(c->daemon->vault.catalogue, c->daemon->vault.uses, &l->keystore);
}

static void finish(Change *c, int result)
{
        LostChange *l = c->userdata;

        if (result)
                log_warning("key %s could not be marked as lost: %s", l->attributes.name, hf_error_name(result));
        else
                log_warning("key %s is lost: %s. Make a new one and replace its certificates", l->attributes.name, l->reason);
        end(l, result == 0);
}

static void on_rewrapped(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        LostChange *l = userdata;
        Bytes wrapped;

        if (!result) {
                wrapped = wire_get_block(&r, KEY_WRAPPED_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : buffer_append(&l->wrapped, wrapped.data, wrapped.len);
        }
        if (!result) {
                change_submit(l->daemon, &l->change);
                return;
        }
        log_warning("key %s could not be marked as lost: %s", l->attributes.name, hf_error_name(result));
        end(l, false);
}

/* The next key that went with an occasion and does not say so. */
static KeyEntry *find_next(const Daemon *d, const LostOccasion **ret)
{
        const Vault *v = &d->vault;
        CatalogueCursor cursor = {0};
        KeyEntry *key;

        if (v->n_occasions == 0)
                return NULL;
        while (catalogue_list(v->catalogue, &cursor, &key, 1) == 1)
                if (key->protection == PROTECTION_TPM && !(key->flags & KEY_FLAG_LOST) &&
                                (*ret = lost_find(v->occasions, v->n_occasions, key->created)))
                        return key;
        return NULL;
}

static int send(LostChange *l)
{
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        SignerClient *signer = l->daemon->signer;
        Buffer *b;
        int r;

        r = lifecycle_next(l->key, KEY_ACTION_LOSE, &l->attributes);
        if (!r)
                r = key_attributes_encode(&l->attributes, &encoded);
        b = signer_begin(signer, SIGNER_REWRAP);
        if (!r)
                r = wire_put_block(b, key_entry_attributes(l->key));
        if (!r)
                r = wire_put_block(b, key_entry_wrapped(l->key));
        if (!r)
                r = wire_put_block(b, buffer_bytes(&encoded));
        return r ? r : signer_call(signer, NULL, 0, on_rewrapped, l);
}

void lost_mark(Daemon *d, void (*done)(void *userdata), void *userdata)
{
        const LostOccasion *occasion;
        KeyEntry *key;
        LostChange *l;

        key = d->vault.state == VAULT_READY && d->vault.signer_open ? find_next(d, &occasion) : NULL;
        l = key ? calloc(1, sizeof(*l)) : NULL;
        if (!l) {
                done(userdata);
                return;
        }
        *l = (LostChange){.daemon = d, .key = key_entry_ref(key), .done = done, .userdata = userdata};
        l->wrapped = BUFFER_INIT(KEY_WRAPPED_MAX);
        snprintf(l->reason, sizeof(l->reason), "%s", occasion->reason);
        l->change = (Change){.event = "key.lost", .write = write_lost, .apply = apply, .finish = finish, .userdata = l};
        if (send(l))
                end(l, false);
}
