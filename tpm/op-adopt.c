/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A key of another program becomes ours: it is given our authorisation and nothing else changes. The other program's file
 * goes on being good, with the authorisation it has: that is for whoever owns it to destroy.
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/template.h"

#define OTHER_AUTH_MAX 64 /* TPM2B_AUTH: as long as a SHA-512 */

typedef struct Adoption {
        Call *call;
        uint32_t handle;
        Bytes public_part, private_part, auth;
        uint8_t new_auth[TPM_AUTH_SIZE];
        const uint8_t *parent; /* NULL: any */
        TPM2B_PUBLIC public;
        TpmAlgorithm algorithm;
        TpmUse use;
} Adoption;

static int decode(Bytes body, Adoption *ret)
{
        WireReader r = wire_reader(body);

        ret->handle = wire_get_u32(&r);
        ret->public_part = wire_get_block(&r, TPM_PART_MAX);
        ret->private_part = wire_get_block(&r, TPM_PART_MAX);
        ret->auth = wire_get_block(&r, OTHER_AUTH_MAX);
        wire_get_raw(&r, ret->new_auth, sizeof(ret->new_auth));
        ret->parent = call_get_parent(&r);
        return wire_done(&r);
}

/* Not tried again: a key that counts attempts would count two. */
static int change_auth(const Adoption *a, ESYS_TR key, ESYS_TR parent, TPM2B_PRIVATE **ret)
{
        Device *d = &a->call->tpm->device;
        TPM2B_AUTH new = {.size = TPM_AUTH_SIZE};
        ESYS_TR session;
        TSS2_RC base;
        int r = device_authorise(d, key, a->auth.data, a->auth.len);

        if (!r)
                r = session_get(&a->call->tpm->kept, NULL, TPMA_SESSION_DECRYPT, &session);
        if (r)
                return r;
        memcpy(new.buffer, a->new_auth, TPM_AUTH_SIZE);
        r = device_result(d, Esys_ObjectChangeAuth(d->esys, key, parent, ONE_SESSION(session), &new, ret));
        secret_erase(&new, sizeof(new));
        base = error_base(d->last);
        if (r && base == TPM2_RC_AUTH_FAIL)
                return tpm_wrong_secret(d);
        return r && base == TPM2_RC_BAD_AUTH ? device_handled(d, HF_E_UNLOCK_FAILED) : r;
}

static int put(const Adoption *a, const Parent *p, const TPM2B_PRIVATE *private)
{
        Buffer *b = a->call->reply;
        int r = call_put_blob(a->call, p, &a->public, private);

        if (!r)
                r = wire_put_u8(b, a->algorithm);
        if (!r)
                r = wire_put_u8(b, a->use);
        return r ? r : call_put_number(a->call, &a->public.publicArea);
}

static int adopt_under(const Parent *p, void *userdata)
{
        const Adoption *a = userdata;
        Kept *k = &a->call->tpm->kept;
        _cleanup_loaded_ Loaded parent = LOADED_NONE, key = LOADED_NONE;
        _cleanup_esys_ TPM2B_PRIVATE *private = NULL;
        TpmBlob blob = {.public = a->public_part, .private = a->private_part};
        ESYS_TR session;
        int r;

        if (a->parent && memcmp(a->parent, p->name, TPM_NAME_SIZE) != 0)
                return HF_E_KEY_MISMATCH;
        r = session_get(k, p, 0, &session);
        if (!r)
                r = parent_load(k, p, &parent);
        if (!r)
                r = object_load_under(k, p, parent.tr, &blob, &key);
        if (!r)
                r = change_auth(a, key.tr, parent.tr, &private);
        return r ? r : put(a, p, private);
}

int op_adopt(Call *call)
{
        Adoption a = {.call = call};
        int r = decode(call->body, &a);

        traces_add(call->traces, a.new_auth, sizeof(a.new_auth));
        traces_add(call->traces, a.auth.data, a.auth.len);
        if (!r)
                r = public_unmarshal(a.public_part, &a.public);
        if (!r)
                r = template_recognise(&a.public.publicArea, &a.algorithm, &a.use);
        if (!r)
                r = parent_try(&call->tpm->kept, a.handle, adopt_under, &a);
        secret_erase(a.new_auth, sizeof(a.new_auth));
        return r;
}
