/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * PCRs
 *
 * Read in the session, so that whoever sits on the bus cannot make us seal to values of his own. The TPM gives eight at a
 * time at most and says which.
 */
#include <stdio.h>

#include "base/error.h"
#include "tpm/call.h"
#include "tpm/policy.h"

TPM2_ALG_ID pcr_hash(TpmBank bank)
{
        return bank == TPM_BANK_SHA384 ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
}

void pcr_select(TpmBank bank, uint32_t mask, TPML_PCR_SELECTION *ret)
{
        *ret = (TPML_PCR_SELECTION){.count = 1,
                .pcrSelections[0] = {.hash = pcr_hash(bank), .sizeofSelect = 3,
                        .pcrSelect = {mask & 0xff, mask >> 8 & 0xff, mask >> 16 & 0xff}}};
}

static int take(Device *d, const TPML_PCR_SELECTION *which, const TPML_DIGEST *values, TpmPcrs *p, uint32_t *left)
{
        size_t size = tpm_bank_size(p->bank), at = 0;
        uint32_t given;

        if (which->count != 1 || which->pcrSelections[0].hash != pcr_hash(p->bank) || which->pcrSelections[0].sizeofSelect != 3 ||
                        values->count > 8)
                return device_nonsense(d, "selection of PCRs");
        given = which->pcrSelections[0].pcrSelect[0] | (uint32_t)which->pcrSelections[0].pcrSelect[1] << 8 |
                (uint32_t)which->pcrSelections[0].pcrSelect[2] << 16;
        if (given & ~*left)
                return device_nonsense(d, "PCRs nobody asked for");
        for (unsigned i = 0; i < TPM_PCRS; i++) {
                if (!(given & 1u << i))
                        continue;
                if (at >= values->count || values->digests[at].size != size)
                        return device_nonsense(d, "value of a PCR");
                memcpy(p->values[i], values->digests[at++].buffer, size);
        }
        *left &= ~given;
        return given ? 0 : HF_E_ALGORITHM_NOT_SUPPORTED;
}

int pcr_read(Kept *k, TpmPcrs *p)
{
        Device *d = k->device;
        uint32_t left = p->mask;
        ESYS_TR session;
        int r = 0;

        while (!r && left) {
                _cleanup_esys_ TPML_PCR_SELECTION *which = NULL;
                _cleanup_esys_ TPML_DIGEST *values = NULL;
                TPML_PCR_SELECTION in;

                pcr_select(p->bank, left, &in);
                r = session_get(k, NULL, TPMA_SESSION_AUDIT, &session);
                if (!r)
                        r = device_result(d, Esys_PCR_Read(d->esys, ONE_SESSION(session), &in, NULL, &which, &values));
                if (!r)
                        r = take(d, which, values, p, &left);
        }
        if (r == HF_E_ALGORITHM_NOT_SUPPORTED)
                device_detail(d, "this TPM has no PCRs of that bank");
        if (!r)
                p->has_values = true;
        return r;
}

bool pcr_name_changes(const TpmPcrs *was, const TpmPcrs *is, char *ret, size_t size)
{
        TpmPcrs changed = {.bank = was->bank};
        char text[TPM_PCRS_TEXT_SIZE];

        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (was->mask & 1u << i && memcmp(was->values[i], is->values[i], tpm_bank_size(was->bank)) != 0)
                        changed.mask |= 1u << i;
        tpm_pcrs_format(&changed, text);
        snprintf(ret, size, "pcr %s", text);
        return changed.mask != 0;
}

int op_pcr_read(Call *call)
{
        WireReader r = wire_reader(call->body);
        TpmPcrs p;
        int q;

        tpm_pcrs_get(&r, &p);
        if (wire_done(&r) || p.has_values)
                return HF_E_INVALID_ARGS;
        q = pcr_read(&call->tpm->kept, &p);
        return q ? q : tpm_pcrs_put(call->reply, &p);
}
