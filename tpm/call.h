/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One request, as a handler sees it
 *
 * A handler reads `body`, appends what link/tpm.h promises to `reply` and returns 0, HF_E_..., or -errno. It may run a
 * second time for the same request (see errors.h), so it leaves nothing half done but in the TPM. It flushes what it
 * loaded on every path: that is what Loaded is for.
 */
#include "tpm/kept.h"
#include "tpm/leftovers.h"
#include "tpm/traces.h"

typedef struct Tpm {
        Device device;
        Kept kept;
        Leftovers leftovers;
        TpmState known; /* as of the last look */
        bool looked;
        uint8_t looked_for[TPM_NAME_SIZE]; /* the parent it was asked about; zeros: the usual one */
} Tpm;

typedef struct Call {
        Tpm *tpm;
        Bytes body;
        Buffer *reply;
        Traces *traces; /* what the request brought that must not stay */
        bool once; /* a command ran, or may have run, that must not run twice: no other try */
} Call;

typedef struct RequestInfo {
        uint16_t type; /* enum TpmRequest */
        const char *name;
        int (*handle)(Call *call);
        bool needs_tpm;
        unsigned seconds; /* a TPM that has not answered by then will not */
} RequestInfo;

/* NULL for a type that has no row: there is no such request. */
const RequestInfo *request_find(uint16_t type);
/* Opens the TPM where needed, runs the handler, and again as the errors say. 0, HF_E_..., -errno; device.detail says more. */
int request_run(const RequestInfo *info, Call *call);

/* What a request's end says about the TPM's presence. */
void tpm_learn(Tpm *t, int r);

int op_hello(Call *call);
int op_state(Call *call);
int op_create(Call *call);
int op_operate(Call *call);
int op_seal(Call *call);
int op_unseal(Call *call);
int op_pcr_read(Call *call);
int op_counter(Call *call);
int op_adopt(Call *call);
int op_certify(Call *call);

/* device_result() of a command that must not run twice: only the TPM's own refusal allows another try. */
int call_once(Call *call, TSS2_RC code);
/* The parent's name out of a body: a block of TPM_NAME_SIZE bytes, or none for any. */
const uint8_t *call_get_parent(WireReader *r);
/* A blob's parts and its parent into the reply. */
int call_put_blob(Call *call, const Parent *p, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private);
/* The public number of a key. */
int call_put_number(Call *call, const TPMT_PUBLIC *area);
/* HF_E_UNLOCK_FAILED with what the wrong try cost as detail. */
int tpm_wrong_secret(Device *d);
/* locked_out and the lockout_ fields. */
int tpm_look_at_lockout(Device *d, TpmState *s);
/* Up to n properties of the TPM from `first` on into ret_values[property - first]; those it does not have stay as they are. */
int tpm_properties(Device *d, TPM2_PT first, size_t n, uint32_t *ret_values);
