/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Storage parents: the names by which a TPM is known to us
 *
 * A persistent key at the usual place, if it is one that can be a parent; else the primary of the owner's hierarchy that
 * everybody makes alike, which costs a moment once and is a saved context afterwards. Blobs name their parent; if the usual
 * one has another name, all others that there are are looked at before the TPM is called another one.
 */
#include "base/error.h"
#include "tpm/kept.h"
#include "tpm/template.h"

#define PERSISTENT_MAX 64
#define PERSISTENT_FIRST 0x81000000u
#define PERSISTENT_LAST 0x81ffffffu

static int take_name(Device *d, ESYS_TR tr, uint8_t ret[static TPM_NAME_SIZE])
{
        _cleanup_esys_ TPM2B_NAME *name = NULL;
        int r = device_result(d, Esys_TR_GetName(d->esys, tr, &name));

        if (r)
                return r;
        if (name->size != TPM_NAME_SIZE)
                return device_nonsense(d, "name of a key");
        memcpy(ret, name->name, TPM_NAME_SIZE);
        return 0;
}

/* HF_E_NO_SUCH_KEY: nothing there, or nothing that can be a parent. */
static int try_persistent(Kept *k, TPM2_HANDLE handle, Parent *ret)
{
        Device *d = k->device;
        _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
        Parent p = {.handle = handle, .tr = ESYS_TR_NONE};
        int r;

        r = device_take_up(d, handle, &p.tr);
        if (r)
                return r;
        r = device_result(d, Esys_ReadPublic(d->esys, p.tr, NO_SESSION, &public, NULL, NULL));
        if (!r && !template_is_parent(&public->publicArea))
                r = HF_E_NO_SUCH_KEY;
        if (!r)
                r = take_name(d, p.tr, p.name);
        if (r)
                (void)Esys_TR_Close(d->esys, &p.tr);
        else
                *ret = p;
        return r;
}

static int try_primary(Kept *k, size_t template, Parent *ret)
{
        Device *d = k->device;
        _cleanup_loaded_ Loaded l = {.device = d, .tr = ESYS_TR_NONE};
        Parent p = {.handle = PARENT_OWNER, .template = template, .tr = ESYS_TR_NONE};
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        TPM2B_PUBLIC public;
        int r;

        template_parent(template, &public);
        r = device_result(d, Esys_CreatePrimary(d->esys, ESYS_TR_RH_OWNER, ONE_SESSION(ESYS_TR_PASSWORD), &sensitive, &public,
                                             &outside, &pcrs, &l.tr, NULL, NULL, NULL, NULL));
        if (!r)
                r = take_name(d, l.tr, p.name);
        if (!r)
                r = device_result(d, Esys_ContextSave(d->esys, l.tr, &p.saved));
        if (!r)
                *ret = p;
        return r;
}

static void discard(Kept *k, Parent *p)
{
        if (p->tr != ESYS_TR_NONE)
                (void)Esys_TR_Close(k->device->esys, &p->tr);
        Esys_Free(p->saved);
}

/* Where there is no place the oldest goes, but never the one for new blobs: who needs it finds it again. */
static int keep(Kept *k, const Parent *p, const Parent **ret)
{
        if (k->n_parents == PARENTS_MAX) {
                discard(k, &k->parents[1]);
                memmove(&k->parents[1], &k->parents[2], (PARENTS_MAX - 2) * sizeof(k->parents[0]));
                k->n_parents--;
        }
        k->parents[k->n_parents] = *p;
        *ret = &k->parents[k->n_parents++];
        return 0;
}

static const Parent *known(const Kept *k, const uint8_t *name)
{
        for (size_t i = 0; i < k->n_parents; i++)
                if (memcmp(k->parents[i].name, name, TPM_NAME_SIZE) == 0)
                        return &k->parents[i];
        return NULL;
}

static int find_usual(Kept *k)
{
        const Parent *kept;
        Parent p;
        int r;

        if (k->n_parents > 0)
                return 0;
        r = try_persistent(k, PARENT_USUAL, &p);
        if (r == HF_E_NO_SUCH_KEY)
                r = try_primary(k, 0, &p);
        return r ? r : keep(k, &p, &kept);
}

static int persistent_handles(Device *d, TPM2_HANDLE ret[static PERSISTENT_MAX], size_t *ret_n)
{
        _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        int r = device_result(d, Esys_GetCapability(d->esys, NO_SESSION, TPM2_CAP_HANDLES,
                                                PERSISTENT_FIRST, PERSISTENT_MAX, &more, &data));

        if (r)
                return r;
        if (data->capability != TPM2_CAP_HANDLES || data->data.handles.count > PERSISTENT_MAX)
                return device_nonsense(d, "list of persistent keys");
        *ret_n = data->data.handles.count;
        for (size_t i = 0; i < *ret_n; i++)
                ret[i] = data->data.handles.handle[i];
        return 0;
}

/* 0 and it is kept, or HF_E_NO_SUCH_KEY. */
static int keep_if(Kept *k, Parent *p, const uint8_t *name, const Parent **ret)
{
        if (memcmp(p->name, name, TPM_NAME_SIZE) == 0)
                return keep(k, p, ret);
        discard(k, p);
        return HF_E_NO_SUCH_KEY;
}

static int find_other(Kept *k, const uint8_t *name, const Parent **ret)
{
        TPM2_HANDLE handles[PERSISTENT_MAX];
        size_t n = 0;
        Parent p;
        int r;

        for (size_t i = 0; i < TEMPLATE_PARENTS; i++) {
                r = try_primary(k, i, &p);
                if (!r)
                        r = keep_if(k, &p, name, ret);
                if (r != HF_E_NO_SUCH_KEY)
                        return r;
        }
        r = persistent_handles(k->device, handles, &n);
        if (r)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = try_persistent(k, handles[i], &p);
                if (!r)
                        r = keep_if(k, &p, name, ret);
                if (r != HF_E_NO_SUCH_KEY)
                        return r;
        }
        device_detail(k->device, "no key of this TPM has the name of the parent it was bound to");
        return HF_E_TPM_IDENTITY_CHANGED;
}

int parent_find(Kept *k, const uint8_t *name, const Parent **ret)
{
        static const uint8_t any[TPM_NAME_SIZE];
        int r = find_usual(k);

        if (r)
                return r;
        if (!name || memcmp(name, any, sizeof(any)) == 0) {
                *ret = &k->parents[0];
                return 0;
        }
        *ret = known(k, name);
        return *ret ? 0 : find_other(k, name, ret);
}

/* Keeps p, or what is known already under its name. */
static int settle(Kept *k, Parent *p, const Parent **ret)
{
        *ret = known(k, p->name);
        if (!*ret)
                return keep(k, p, ret);
        discard(k, p);
        return 0;
}

int parent_try(Kept *k, TPM2_HANDLE handle, int (*load)(const Parent *p, void *userdata), void *userdata)
{
        bool owner = handle == PARENT_OWNER;
        const Parent *kept;
        Parent p;
        int r = HF_E_KEY_MISMATCH;

        if (!owner && (handle < PERSISTENT_FIRST || handle > PERSISTENT_LAST))
                return HF_E_INVALID_ARGS;
        for (size_t i = 0; i < (owner ? TEMPLATE_PARENTS : 1) && r == HF_E_KEY_MISMATCH; i++) {
                r = owner ? try_primary(k, i, &p) : try_persistent(k, handle, &p);
                if (!r)
                        r = settle(k, &p, &kept);
                if (!r)
                        r = load(kept, userdata);
        }
        return r == HF_E_NO_SUCH_KEY ? HF_E_KEY_MISMATCH : r;
}

int parent_load(Kept *k, const Parent *p, Loaded *ret)
{
        Device *d = k->device;
        ESYS_TR tr;
        int r;

        if (p->tr != ESYS_TR_NONE) {
                *ret = (Loaded){.device = d, .tr = p->tr, .borrowed = true};
                return 0;
        }
        r = device_result(d, Esys_ContextLoad(d->esys, p->saved, &tr));
        if (!r)
                *ret = (Loaded){.device = d, .tr = tr};
        return r;
}
