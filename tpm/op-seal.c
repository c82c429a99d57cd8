/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A secret is sealed: TpmSealing -> {TpmBlob, TpmPcrs with values}
 *
 * Nothing but the policy opens it again, not even its own authorisation alone. Only with a PIN does it count attempts.
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/policy.h"

static void public_of(const uint8_t policy[static DIGEST_SIZE], bool has_pin, TPM2B_PUBLIC *ret)
{
        TPMT_PUBLIC *p = &ret->publicArea;

        *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_KEYEDHASH, .nameAlg = TPM2_ALG_SHA256,
                                              .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                                  TPMA_OBJECT_ADMINWITHPOLICY | (has_pin ? 0 : TPMA_OBJECT_NODA),
                                              .authPolicy.size = DIGEST_SIZE}};
        p->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
        memcpy(p->authPolicy.buffer, policy, DIGEST_SIZE);
}

static void sensitive_of(const TpmSealing *s, TPM2B_SENSITIVE_CREATE *ret)
{
        *ret = (TPM2B_SENSITIVE_CREATE){};
        ret->sensitive.data.size = (UINT16)s->secret.len;
        memcpy(ret->sensitive.data.buffer, s->secret.data, s->secret.len);
        if (s->has_pin) {
                ret->sensitive.userAuth.size = TPM_AUTH_SIZE;
                memcpy(ret->sensitive.userAuth.buffer, s->pin, TPM_AUTH_SIZE);
        }
}

static int create(Call *call, const Parent *p, const TpmSealing *s, const TPM2B_PUBLIC *template)
{
        Device *d = &call->tpm->device;
        _cleanup_loaded_ Loaded parent = LOADED_NONE;
        _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
        _cleanup_esys_ TPM2B_PRIVATE *private = NULL;
        TPM2B_SENSITIVE_CREATE sensitive;
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        ESYS_TR session;
        int r = session_get(&call->tpm->kept, p, TPMA_SESSION_DECRYPT, &session);

        if (!r)
                r = parent_load(&call->tpm->kept, p, &parent);
        if (r)
                return r;
        sensitive_of(s, &sensitive);
        r = device_result(d, Esys_Create(d->esys, parent.tr, ONE_SESSION(session), &sensitive, template, &outside,
                                             &pcrs, &private, &public, NULL, NULL, NULL));
        secret_erase(&sensitive, sizeof(sensitive));
        if (!r && (public->publicArea.authPolicy.size != DIGEST_SIZE ||
                   memcmp(public->publicArea.authPolicy.buffer, template->publicArea.authPolicy.buffer, DIGEST_SIZE)))
                r = device_nonsense(d, "another policy than the one asked for");
        return r ? r : call_put_blob(call, p, public, private);
}

static int seal(Call *call, TpmSealing *s)
{
        PolicyTerms terms = {.pcrs = &s->pcrs, .key = &s->policy, .has_pin = s->has_pin};
        uint8_t policy[DIGEST_SIZE];
        TPM2B_PUBLIC template;
        const Parent *p;
        ESYS_TR session;
        int r = parent_find(&call->tpm->kept, s->parent, &p);

        if (!r)
                r = session_get(&call->tpm->kept, p, 0, &session);
        if (!r)
                r = pcr_read(&call->tpm->kept, &s->pcrs);
        if (!r)
                r = policy_digest(&terms, policy);
        if (r)
                return r;
        public_of(policy, s->has_pin, &template);
        r = create(call, p, s, &template);
        return r ? r : tpm_pcrs_put(call->reply, &s->pcrs);
}

int op_seal(Call *call)
{
        TpmSealing s;
        int r = tpm_sealing_decode(call->body, &s);

        traces_add(call->traces, s.pin, sizeof(s.pin));
        if (!r)
                traces_add(call->traces, s.secret.data, s.secret.len);
        if (!r)
                r = seal(call, &s);
        secret_erase(s.pin, sizeof(s.pin));
        return r;
}
