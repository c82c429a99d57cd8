/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What this TPM is and how it is: {fresh, parent's name or none} -> TpmState
 *
 * The one request that a TPM that does not answer cannot make fail: that is then what it tells.
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "tpm/call.h"
#include "tpm/endorsement.h"
#include "tpm/template.h"

static int capability(Device *d, TPM2_CAP which, uint32_t first, uint32_t n, TPMS_CAPABILITY_DATA **ret)
{
        TPMI_YES_NO more;
        int r = device_result(d, Esys_GetCapability(d->esys, NO_SESSION, which, first, n, &more, ret));

        if (!r && (*ret)->capability != which)
                r = device_nonsense(d, "another capability");
        return r;
}

int tpm_properties(Device *d, TPM2_PT first, size_t n, uint32_t *ret_values)
{
        _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
        const TPML_TAGGED_TPM_PROPERTY *list;
        int r = capability(d, TPM2_CAP_TPM_PROPERTIES, first, (uint32_t)n, &data);

        if (r)
                return r;
        list = &data->data.tpmProperties;
        if (list->count > ELEMENTSOF(list->tpmProperty))
                return device_nonsense(d, "list of properties");
        for (size_t i = 0; i < list->count; i++)
                if (list->tpmProperty[i].property >= first && list->tpmProperty[i].property - first < n)
                        ret_values[list->tpmProperty[i].property - first] = list->tpmProperty[i].value;
        return 0;
}

/* Four characters of text in each number; what is not printable ends it. */
static void words(const uint32_t *values, size_t n, char *ret, size_t size)
{
        size_t at = 0;

        for (size_t i = 0; i < 4 * n && at + 1 < size; i++) {
                char c = (char)(values[i / 4] >> (24 - 8 * (i % 4)));

                if (c < ' ' || c > '~')
                        break;
                ret[at++] = c;
        }
        while (at > 0 && ret[at - 1] == ' ')
                at--;
        ret[at] = '\0';
}

static int look_at_make(Device *d, TpmState *s)
{
        uint32_t fixed[TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER + 1] = {};
        int r = tpm_properties(d, TPM2_PT_MANUFACTURER, ELEMENTSOF(fixed), fixed);

        if (r)
                return r;
        words(fixed, 1, s->manufacturer, sizeof(s->manufacturer));
        words(&fixed[TPM2_PT_VENDOR_STRING_1 - TPM2_PT_MANUFACTURER], 4, s->vendor, sizeof(s->vendor));
        s->firmware = (uint64_t)fixed[TPM2_PT_FIRMWARE_VERSION_1 - TPM2_PT_MANUFACTURER] << 32 |
                      fixed[TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER];
        return 0;
}

int tpm_look_at_lockout(Device *d, TpmState *s)
{
        uint32_t now[TPM2_PT_LOCKOUT_INTERVAL - TPM2_PT_PERMANENT + 1] = {};
        int r = tpm_properties(d, TPM2_PT_PERMANENT, ELEMENTSOF(now), now);

        if (r)
                return r;
        s->locked_out = now[0] & TPMA_PERMANENT_INLOCKOUT;
        s->lockout_counter = now[TPM2_PT_LOCKOUT_COUNTER - TPM2_PT_PERMANENT];
        s->lockout_max = now[TPM2_PT_MAX_AUTH_FAIL - TPM2_PT_PERMANENT];
        s->lockout_interval = now[TPM2_PT_LOCKOUT_INTERVAL - TPM2_PT_PERMANENT];
        return 0;
}

int tpm_wrong_secret(Device *d)
{
        TpmState s = {};
        uint32_t left;

        if (tpm_look_at_lockout(d, &s))
                return device_handled(d, HF_E_UNLOCK_FAILED);
        (void)device_handled(d, 0);
        left = s.lockout_counter < s.lockout_max ? s.lockout_max - s.lockout_counter : 0;
        device_detail(d, "%u %s left, then locked for %u s", left, left == 1 ? "try" : "tries", s.lockout_interval);
        return HF_E_UNLOCK_FAILED;
}

static int look_at_algorithms(Device *d, TpmState *s)
{
        s->algorithms = 0;
        for (TpmAlgorithm a = TPM_P256; a < _TPM_ALGORITHM_MAX; a++) {
                TPM2B_PUBLIC template;
                TPMT_PUBLIC_PARMS parameters;
                int r = template_key(a, a == TPM_HMAC256 ? TPM_USE_MAC : TPM_USE_SIGN, &template);

                if (r)
                        return r;
                parameters = (TPMT_PUBLIC_PARMS){.type = template.publicArea.type, .parameters = template.publicArea.parameters};
                r = device_result(d, Esys_TestParms(d->esys, NO_SESSION, &parameters));
                if (r && error_is_parameter(d->last))
                        r = device_handled(d, 0);
                else if (!r)
                        s->algorithms |= 1u << a;
                if (r)
                        return r;
        }
        return 0;
}

static int look_at_banks(Device *d, TpmState *s)
{
        _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
        const TPML_PCR_SELECTION *list;
        int r = capability(d, TPM2_CAP_PCRS, 0, 1, &data);

        if (r)
                return r;
        list = &data->data.assignedPCR;
        if (list->count > ELEMENTSOF(list->pcrSelections))
                return device_nonsense(d, "list of PCR banks");
        s->banks = 0;
        for (size_t i = 0; i < list->count; i++) {
                const TPMS_PCR_SELECTION *bank = &list->pcrSelections[i];

                if (bank->sizeofSelect < 3 || !(bank->pcrSelect[0] | bank->pcrSelect[1] | bank->pcrSelect[2]))
                        continue;
                s->banks |= bank->hash == TPM2_ALG_SHA256   ? 1u << TPM_BANK_SHA256
                            : bank->hash == TPM2_ALG_SHA384 ? 1u << TPM_BANK_SHA384
                                                            : 0;
        }
        return 0;
}

static int look_at_clock(Device *d, TpmState *s)
{
        _cleanup_esys_ TPMS_TIME_INFO *now = NULL;
        int r = device_result(d, Esys_ReadClock(d->esys, NO_SESSION, &now));

        if (r)
                return r;
        s->reset_count = now->clockInfo.resetCount;
        s->restart_count = now->clockInfo.restartCount;
        return 0;
}

/* A key at the usual place may come and go with other programs: as long as the parent asked for is there, it is the same TPM. */
static int look_at_parent(Tpm *t, TpmState *s)
{
        const Parent *p;
        int r = parent_find(&t->kept, t->looked_for, &p);

        if (r == HF_E_TPM_IDENTITY_CHANGED) {
                (void)device_handled(&t->device, 0);
                r = parent_find(&t->kept, NULL, &p);
        }

        if (!r)
                memcpy(s->parent, p->name, TPM_NAME_SIZE);
        return r;
}

/* Also the handler of a request that is never sent: request_run() gives it another try like any other. */
static int look(Call *call)
{
        Device *d = &call->tpm->device;
        TpmState s = {.presence = TPM_PRESENCE_READY};
        int r = look_at_make(d, &s);

        if (!r)
                r = tpm_look_at_lockout(d, &s);
        if (!r)
                r = look_at_algorithms(d, &s);
        if (!r)
                r = look_at_banks(d, &s);
        if (!r)
                r = endorsement_has_certificate(d, &s.ek_certificate);
        if (!r)
                r = look_at_clock(d, &s);
        if (!r)
                r = look_at_parent(call->tpm, &s);
        if (!r) {
                s.answered = call->tpm->known.answered;
                s.failed = call->tpm->known.failed;
                call->tpm->known = s;
                call->tpm->looked = true;
        }
        return r;
}

void tpm_learn(Tpm *t, int r)
{
        TpmState *s = &t->known;

        if (r == 0)
                s->presence = TPM_PRESENCE_READY;
        else if (r == HF_E_TPM_UNAVAILABLE)
                s->presence = TPM_PRESENCE_ABSENT;
        else if (r == HF_E_TPM_FAILURE_MODE)
                s->presence = TPM_PRESENCE_FAILURE;
        snprintf(s->detail, sizeof(s->detail), "%s", s->presence == TPM_PRESENCE_READY ? "" : t->device.detail);
}

static void look_anew(Call *call)
{
        static const RequestInfo looking = {.name = "look", .handle = look, .needs_tpm = true};
        Tpm *t = call->tpm;
        TpmState *s = &t->known;
        int r = request_run(&looking, call);

        tpm_learn(t, r);
        if (r && s->presence != TPM_PRESENCE_ABSENT) { /* it answers, but not as one that can be used */
                s->presence = TPM_PRESENCE_FAILURE;
                snprintf(s->detail, sizeof(s->detail), "%s", t->device.detail);
        }
        (void)device_handled(&t->device, 0);
}

int op_state(Call *call)
{
        static const uint8_t none[TPM_NAME_SIZE];
        WireReader r = wire_reader(call->body);
        bool fresh = wire_get_u8(&r) == 1;
        const uint8_t *parent = call_get_parent(&r);
        Tpm *t = call->tpm;

        if (wire_done(&r))
                return HF_E_INVALID_ARGS;
        if (fresh || !t->looked || memcmp(t->looked_for, parent ? parent : none, TPM_NAME_SIZE) != 0) {
                memcpy(t->looked_for, parent ? parent : none, TPM_NAME_SIZE);
                look_anew(call);
        }
        return tpm_state_put(call->reply, &t->known);
}
