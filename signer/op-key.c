/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keys come into being, and their envelopes are made anew when their state changes. The rules about what may
 * change are checked here, against the attributes that the envelope itself vouches for.
 */
#include <errno.h>

#include "base/error.h"
#include "seal/envelope.h"
#include "signer/call.h"
#include "signer/import.h"
#include "signer/tpm-key.h"

static int put_attributes(Call *call, const KeyAttributes *a)
{
        uint8_t space[KEY_ATTRIBUTES_MAX];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        int r = key_attributes_encode(a, &b);

        return r ? r : wire_put_block(call->reply, buffer_bytes(&b));
}

static int put_envelope(Call *call, const uint8_t wrapping[static 32], const KeyAttributes *a, Bytes raw)
{
        uint8_t space[KEY_WRAPPED_MAX];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        int r = envelope_seal(wrapping, a, raw, &b);

        return r ? r : wire_put_block(call->reply, buffer_bytes(&b));
}

/* The public half goes into the attributes, then both leave. */
static int finish_key(Call *call, KeyAttributes *a, const PrivKey *key)
{
        uint8_t raw[PRIVKEY_RAW_MAX];
        size_t raw_len = 0, public_len = 0;
        int r;

        r = privkey_public(key, a->public, sizeof(a->public), &public_len);
        if (r)
                return r;
        a->public_len = (uint16_t)public_len;
        r = call_lock_open(call);
        if (r)
                return r;
        r = privkey_to_raw(key, raw, &raw_len);
        if (!r)
                r = put_attributes(call, a);
        if (!r)
                r = put_envelope(call, call->signer->vault.secrets->keys.wrapping, a, BYTES(raw, raw_len));
        secret_erase(raw, sizeof(raw));
        call_unlock(call);
        return r;
}

/* Attributes of a key that is yet to be. */
static int check_new(const KeyAttributes *ret, uint32_t flags)
{
        if (ret->version != 1 || ret->public_len > 0 || (ret->flags & ~(uint32_t)KEY_FLAG_DIGEST) != flags)
                return HF_E_INVALID_ARGS;
        return 0;
}

int op_generate(Call *call)
{
        _cleanup_(privkey_freep) PrivKey *key = NULL;
        WireReader reader = wire_reader(call->body);
        uint8_t parent[TPM_NAME_SIZE];
        KeyAttributes a;
        int r;

        r = call_get_attributes(&reader, &a);
        if (wire_done(&reader))
                return -EPROTO;
        if (!r)
                r = check_new(&a, 0);
        if (!r)
                r = call_lock_open(call);
        if (r)
                return r;
        memcpy(parent, call->signer->vault.tpm, sizeof(parent));
        call_unlock(call); /* asked early: nobody should wait for primes and then hear that it was for nothing
                            */
        if (a.protection == PROTECTION_TPM)
                r = tpm_key_create(call->signer->tpm, &a, parent, &key);
        else
                r = privkey_generate(a.algorithm, &key);
        return r ? r : finish_key(call, &a, key);
}

/* What kind of key it is only the file tells. */
static int adopt_kind(KeyAttributes *a, KeyAlgorithm algorithm, bool usual)
{
        const KeyAlgorithmInfo *info = key_algorithm_info(algorithm);
        const SchemeInfo *scheme;

        a->algorithm = algorithm;
        if (usual)
                a->purpose = info->usual;
        if (!(info->purposes & (1u << a->purpose)))
                return HF_E_PURPOSE_NOT_PERMITTED;
        scheme = scheme_info(scheme_usual(algorithm, a->purpose));
        return a->flags & KEY_FLAG_DIGEST && (!scheme || scheme->digest_size == 0) ? HF_E_INVALID_ARGS : 0;
}

/* A file of a TPM is no software key, and no software key gets into a TPM. */
static int take_imported(Call *call, const uint8_t *parent, Bytes auth, bool usual, KeyAttributes *a, PrivKey **ret)
{
        _cleanup_(imported_deinit) Imported found = {};
        int r;

        r = import_receive(call->fds[0], &found);
        if (r)
                return r;
        if ((a->protection == PROTECTION_TPM) != !found.key)
                return HF_E_NOT_SUPPORTED;
        if (!found.key)
                return tpm_key_adopt(call->signer->tpm, &found.tss2, auth, parent, usual, a, ret, call->reasons);
        if (auth.len)
                return HF_E_INVALID_ARGS;
        r = adopt_kind(a, privkey_algorithm(found.key), usual);
        if (!r)
                *ret = TAKE_PTR(found.key);
        return r;
}

int op_import(Call *call)
{
        _cleanup_(privkey_freep) PrivKey *key = NULL;
        WireReader reader = wire_reader(call->body);
        uint8_t parent[TPM_NAME_SIZE], auth[SECRET_FD_MAX];
        size_t auth_len = 0;
        KeyAttributes a;
        bool usual;
        int r;

        r = call_get_attributes(&reader, &a);
        usual = wire_get_u8(&reader) == 1;
        if (wire_done(&reader))
                return -EPROTO;
        if (!r)
                r = check_new(&a, KEY_FLAG_IMPORTED);
        if (r)
                return r;
        if (call->n_fds != 1 && call->n_fds != 2)
                return HF_E_INVALID_FD;
        r = call_lock_open(call);
        if (r)
                return r;
        memcpy(parent, call->signer->vault.tpm, sizeof(parent));
        call_unlock(call);
        if (call->n_fds == 2)
                r = call_get_secret(call, 1, auth, &auth_len);
        if (!r)
                r = take_imported(call, parent, BYTES(auth, auth_len), usual, &a, &key);
        secret_erase(auth, sizeof(auth));
        return r ? r : finish_key(call, &a, key);
}

static bool same_but_state(const KeyAttributes *a, const KeyAttributes *b)
{
        return uuid_equal(&a->uuid, &b->uuid) && strcmp(a->name, b->name) == 0 &&
               a->algorithm == b->algorithm && a->purpose == b->purpose && a->protection == b->protection &&
               a->created == b->created && bytes_equal(key_attributes_public(a), key_attributes_public(b));
}

/* Version up by one; disabled comes and goes, frozen, retired and lost only come. Being lost is no change of ours, so
 * that it happens to frozen keys, too. */
static int check_change(const KeyAttributes *old, const KeyAttributes *new)
{
        const uint32_t may_change = KEY_FLAG_DISABLED | KEY_FLAG_FROZEN | KEY_FLAG_RETIRED | KEY_FLAG_LOST;
        const uint32_t for_good = KEY_FLAG_FROZEN | KEY_FLAG_RETIRED | KEY_FLAG_LOST;

        if (old->flags & KEY_FLAG_FROZEN && (old->flags ^ new->flags) != KEY_FLAG_LOST)
                return HF_E_KEY_FROZEN;
        if (!same_but_state(old, new) || old->version == UINT32_MAX || new->version != old->version + 1)
                return HF_E_INVALID_ARGS;
        if ((old->flags ^ new->flags) & ~may_change || old->flags & ~new->flags & for_good)
                return HF_E_INVALID_ARGS;
        return 0;
}

int op_rewrap(Call *call)
{
        const uint8_t *wrapping = call->signer->vault.secrets->keys.wrapping;
        WireReader reader = wire_reader(call->body);
        uint8_t raw[PRIVKEY_RAW_MAX];
        KeyAttributes old, new;
        size_t raw_len = 0;
        Bytes wrapped;
        int r, s;

        r = call_get_attributes(&reader, &old);
        wrapped = wire_get_block(&reader, KEY_WRAPPED_MAX);
        s = call_get_attributes(&reader, &new);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return HF_E_KEY_MISMATCH; /* nothing we made has such attributes */
        r = envelope_open(wrapping, &old, wrapped, raw, sizeof(raw), &raw_len);
        if (!r)
                r = s ? s : check_change(&old, &new);
        if (!r)
                r = put_envelope(call, wrapping, &new, BYTES(raw, raw_len));
        secret_erase(raw, sizeof(raw));
        return r;
}

int op_rekey_wrap(Call *call)
{
        const VaultSecrets *secrets = call->signer->vault.secrets;
        WireReader reader = wire_reader(call->body);
        uint8_t raw[PRIVKEY_RAW_MAX];
        size_t raw_len = 0;
        KeyAttributes a;
        Bytes wrapped;
        int r;

        r = call_get_attributes(&reader, &a);
        wrapped = wire_get_block(&reader, KEY_WRAPPED_MAX);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return HF_E_KEY_MISMATCH;
        if (!call->signer->vault.has_next)
                return HF_E_NOTHING_TO_DO;
        r = envelope_open(secrets->keys.wrapping, &a, wrapped, raw, sizeof(raw), &raw_len);
        if (!r)
                r = put_envelope(call, secrets->next.wrapping, &a, BYTES(raw, raw_len));
        secret_erase(raw, sizeof(raw));
        return r;
}
