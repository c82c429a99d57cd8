/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A key is made in the TPM: {algorithm, use, authorisation, parent's name or none} -> {TpmBlob, public number}
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"
#include "tpm/template.h"

typedef struct Wish {
        TpmAlgorithm algorithm;
        TpmUse use;
        uint8_t auth[TPM_AUTH_SIZE];
        const uint8_t *parent;
} Wish;

static int decode(Bytes body, Wish *ret)
{
        WireReader r = wire_reader(body);

        ret->algorithm = wire_get_u8(&r);
        ret->use = wire_get_u8(&r);
        wire_get_raw(&r, ret->auth, sizeof(ret->auth));
        ret->parent = call_get_parent(&r);
        return wire_done(&r);
}

/* What the TPM cannot do at all it says here, before anything is made. */
static int test_parameters(Device *d, const TPMT_PUBLIC *area)
{
        TPMT_PUBLIC_PARMS parameters = {.type = area->type, .parameters = area->parameters};
        int r = device_result(d, Esys_TestParms(d->esys, NO_SESSION, &parameters));

        return r && error_is_parameter(d->last) ? device_handled(d, HF_E_ALGORITHM_NOT_SUPPORTED) : r;
}

static bool as_asked(const TPMT_PUBLIC *asked, const TPMT_PUBLIC *made)
{
        TpmAlgorithm a, b;
        TpmUse u, v;

        return made->objectAttributes == asked->objectAttributes && made->nameAlg == asked->nameAlg &&
               template_recognise(asked, &a, &u) == 0 && template_recognise(made, &b, &v) == 0 && a == b && u == v;
}

static int make(Call *call, const Wish *wish, const TPM2B_PUBLIC *template)
{
        Device *d = &call->tpm->device;
        Kept *k = &call->tpm->kept;
        _cleanup_loaded_ Loaded parent = LOADED_NONE;
        _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
        _cleanup_esys_ TPM2B_PRIVATE *private = NULL;
        TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth.size = TPM_AUTH_SIZE};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        const Parent *p;
        ESYS_TR session;
        int r = parent_find(k, wish->parent, &p);

        if (!r)
                r = session_get(k, p, TPMA_SESSION_DECRYPT, &session);
        if (!r)
                r = parent_load(k, p, &parent);
        if (r)
                return r;
        memcpy(sensitive.sensitive.userAuth.buffer, wish->auth, TPM_AUTH_SIZE);
        r = device_result(d, Esys_Create(d->esys, parent.tr, ONE_SESSION(session), &sensitive, template, &outside,
                                             &pcrs, &private, &public, NULL, NULL, NULL));
        secret_erase(&sensitive, sizeof(sensitive));
        if (r)
                return r;
        if (!as_asked(&template->publicArea, &public->publicArea))
                return device_nonsense(d, "another key than the one asked for");
        r = call_put_blob(call, p, public, private);
        return r ? r : call_put_number(call, &public->publicArea);
}

int op_create(Call *call)
{
        TPM2B_PUBLIC template;
        Wish wish;
        int r = decode(call->body, &wish);

        traces_add(call->traces, wish.auth, sizeof(wish.auth));
        if (!r)
                r = template_key(wish.algorithm, wish.use, &template);
        if (!r)
                r = test_parameters(&call->tpm->device, &template.publicArea);
        if (!r)
                r = make(call, &wish, &template);
        secret_erase(&wish, sizeof(wish));
        return r;
}
