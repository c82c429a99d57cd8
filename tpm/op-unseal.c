/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A sealed secret comes out: TpmUnsealing -> {block secret}
 *
 * Whatever can be known to fail is looked at first, with names for people, because a PIN that is tried costs an attempt.
 * That try runs once only.
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/policy.h"
#include "tpm/template.h"

/* The blob was sealed under exactly these terms. */
static int check_terms(const TpmUnsealing *u)
{
        PolicyTerms terms = {.pcrs = &u->pcrs, .key = &u->policy, .has_pin = u->has_pin};
        uint8_t policy[DIGEST_SIZE];
        TPM2B_PUBLIC public;
        int r = public_unmarshal(u->blob.public, &public);

        if (!r)
                r = policy_digest(&terms, policy);
        if (r)
                return r;
        return public.publicArea.type == TPM2_ALG_KEYEDHASH && public.publicArea.authPolicy.size == DIGEST_SIZE &&
                                       memcmp(public.publicArea.authPolicy.buffer, policy, DIGEST_SIZE) == 0
                               ? 0
                               : HF_E_KEY_MISMATCH;
}

static bool is_approved(const TpmUnsealing *u, const uint8_t digest[static DIGEST_SIZE])
{
        for (size_t i = 0; i < u->n_signatures; i++)
                if (memcmp(u->signatures[i].digest, digest, DIGEST_SIZE) == 0)
                        return true;
        return false;
}

static int check_pcrs(Kept *k, const TpmUnsealing *u, TpmPcrs *ret_now)
{
        uint8_t digest[DIGEST_SIZE];
        char names[TPM_PCRS_TEXT_SIZE + 8];
        bool changed;
        int r;

        *ret_now = (TpmPcrs){.bank = u->pcrs.bank, .mask = u->pcrs.mask};
        r = pcr_read(k, ret_now);
        if (r || u->pcrs.mask == 0)
                return r;
        changed = pcr_name_changes(&u->pcrs, ret_now, names, sizeof(names));
        if (u->policy.algorithm == _TPM_ALGORITHM_INVALID) {
                if (changed)
                        device_detail(k->device, "%s", names);
                return changed ? HF_E_PCR_CHANGED : 0;
        }
        r = policy_pcr_digest(ret_now, digest);
        if (r || is_approved(u, digest))
                return r;
        device_detail(k->device, "%s, and no signature approves of it", changed ? names : "no change");
        return HF_E_PCR_CHANGED;
}

static int explain(Call *call, int r)
{
        Device *d = &call->tpm->device;
        TSS2_RC base = error_base(d->last);

        if (!r || (base != TPM2_RC_AUTH_FAIL && base != TPM2_RC_PCR_CHANGED && base != TPM2_RC_POLICY_FAIL))
                return r;
        return base == TPM2_RC_AUTH_FAIL ? tpm_wrong_secret(d) : device_handled(d, HF_E_PCR_CHANGED);
}

static int give_out(Call *call, ESYS_TR sealed, ESYS_TR session, const TpmUnsealing *u)
{
        Device *d = &call->tpm->device;
        _cleanup_esys_ TPM2B_SENSITIVE_DATA *out = NULL;
        TSS2_RC code;
        int r = u->has_pin ? device_authorise(d, sealed, u->pin, sizeof(u->pin)) : 0;

        if (r)
                return r;
        code = Esys_Unseal(d->esys, sealed, ONE_SESSION(session), &out);
        r = u->has_pin ? call_once(call, code) : device_result(d, code);
        if (r)
                return explain(call, r);
        if (out->size == 0 || out->size > 128)
                r = device_nonsense(d, "size of a secret");
        else
                r = wire_put_block(call->reply, BYTES(out->buffer, out->size));
        secret_erase(out, sizeof(*out));
        return r;
}

static int load(Call *call, const TpmUnsealing *u, Loaded *ret_sealed, Loaded *ret_session)
{
        Kept *k = &call->tpm->kept;
        _cleanup_loaded_ Loaded parent = LOADED_NONE;
        const Parent *p;
        int r = parent_find(k, u->blob.parent, &p);

        if (!r)
                r = parent_load(k, p, &parent);
        if (!r)
                r = object_load_under(k, p, parent.tr, &u->blob, ret_sealed);
        return r ? r : session_policy(k, parent.tr, ret_session);
}

static int unseal(Call *call, const TpmUnsealing *u)
{
        Kept *k = &call->tpm->kept;
        _cleanup_loaded_ Loaded sealed = LOADED_NONE, session = LOADED_NONE;
        PolicyTerms terms = {.key = &u->policy, .has_pin = u->has_pin};
        TpmPcrs now;
        const Parent *p;
        ESYS_TR first;
        int r = parent_find(k, u->blob.parent, &p);

        if (!r)
                r = session_get(k, p, 0, &first);
        if (!r)
                r = check_terms(u);
        if (!r)
                r = check_pcrs(k, u, &now);
        if (!r)
                r = load(call, u, &sealed, &session);
        if (r)
                return r;
        terms.pcrs = &now;
        r = policy_satisfy(k->device, session.tr, &terms, u);
        return r ? r : give_out(call, sealed.tr, session.tr, u);
}

int op_unseal(Call *call)
{
        TpmUnsealing u;
        int r = tpm_unsealing_decode(call->body, &u);

        traces_add(call->traces, u.pin, sizeof(u.pin));
        if (!r && u.pcrs.mask && !u.pcrs.has_values)
                r = HF_E_INVALID_ARGS;
        if (!r)
                r = unseal(call, &u);
        secret_erase(u.pin, sizeof(u.pin));
        return r;
}
