/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sessions
 *
 * The kept one is salted to the parent and bound to nothing, so that it serves every key under that parent; the key's
 * authorisation enters each HMAC. What is wrong with a parent shows first here: if it was kept, it is looked up anew.
 */
#include "base/error.h"
#include "tpm/kept.h"

static const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};

static int start(Kept *k, ESYS_TR parent, TPM2_SE type, Loaded *ret)
{
        Device *d = k->device;
        ESYS_TR tr;
        int r = device_result(d, Esys_StartAuthSession(d->esys, parent, NO_SESSION, ESYS_TR_NONE,
                                                NULL, type, &aes, TPM2_ALG_SHA256, &tr));

        if (!r)
                *ret = (Loaded){.device = d, .tr = tr};
        else if (d->reaction == REACTION_NONE && r == HF_E_TPM_FAILED)
                d->reaction = REACTION_RENEW;
        return r;
}

static int start_kept(Kept *k, const Parent *p)
{
        _cleanup_loaded_ Loaded parent = LOADED_NONE;
        int r;

        loaded_release(&k->session);
        r = parent_load(k, p, &parent);
        if (!r)
                r = start(k, parent.tr, TPM2_SE_HMAC, &k->session);
        if (!r)
                memcpy(k->session_parent, p->name, TPM_NAME_SIZE);
        k->sessions++;
        return r;
}

int session_get(Kept *k, const Parent *p, TPMA_SESSION attributes, ESYS_TR *ret)
{
        Device *d = k->device;
        int r = 0;

        if (k->session.tr == ESYS_TR_NONE || (p && memcmp(p->name, k->session_parent, TPM_NAME_SIZE) != 0)) {
                if (!p)
                        r = parent_find(k, NULL, &p);
                if (!r)
                        r = start_kept(k, p);
        }
        if (!r)
                r = device_result(d, Esys_TRSess_SetAttributes(d->esys, k->session.tr, attributes | TPMA_SESSION_CONTINUESESSION,
                                                0xff));
        if (!r)
                *ret = k->session.tr;
        return r;
}

int session_policy(Kept *k, ESYS_TR parent, Loaded *ret)
{
        Device *d = k->device;
        int r = start(k, parent, TPM2_SE_POLICY, ret);

        if (!r)
                r = device_result(d, Esys_TRSess_SetAttributes(d->esys, ret->tr,
                                                TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, 0xff));
        return r;
}
