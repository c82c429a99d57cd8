/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The requests, and how often one is tried
 *
 * A TPM that is busy gets a few tries with growing pauses. One that is full gets FULL_PATIENCE_MS: others use it too, and
 * what stands in our way is usually gone in a moment. What was kept is thrown away once and the request begun anew; a road
 * that broke is opened once more. Then the failure is the answer.
 */
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/error.h"
#include "tpm/call.h"
#include "tpm/template.h"

#define BUSY_TRIES 5
#define BUSY_PAUSE_MS 10 /* doubled each time */
#define FULL_PATIENCE_MS (LEFTOVERS_AGE_MS + 500) /* what is left behind is gone by then */
#define FULL_PAUSE_MS 50
#define SECONDS (TPM_TIMEOUT_MS / 1000)
#define SECONDS_CREATE (TPM_TIMEOUT_CREATE_MS / 1000)

static const RequestInfo requests[] = {
                {TPM_HELLO, "hello", op_hello, false, SECONDS},
                {TPM_STATE, "state", op_state, false, SECONDS},
                {TPM_CREATE, "create", op_create, true, SECONDS_CREATE},
                {TPM_ADOPT, "adopt", op_adopt, true, SECONDS},
                {TPM_OPERATE, "operate", op_operate, true, SECONDS},
                {TPM_SEAL, "seal", op_seal, true, SECONDS},
                {TPM_UNSEAL, "unseal", op_unseal, true, SECONDS},
                {TPM_PCR_READ, "pcr-read", op_pcr_read, true, SECONDS},
                {TPM_COUNTER, "counter", op_counter, true, SECONDS},
                {TPM_CERTIFY, "certify", op_certify, true, SECONDS_CREATE}, /* an RSA endorsement key may have to be made */
};

const RequestInfo *request_find(uint16_t type)
{
        for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
                if (requests[i].type == type)
                        return &requests[i];
        return NULL;
}

typedef struct Patience {
        uint64_t began;
        unsigned busy, waited;
        bool renewed, reopened, started;
} Patience;

/* Two that got in each other's way should not do so again. */
static void pause_for(unsigned ms)
{
        (void)poll(NULL, 0, (int)(ms + clock_monotonic() % (ms / 2 + 1)));
}

static bool once(bool *flag)
{
        bool first = !*flag;

        *flag = true;
        return first;
}

static bool wait_for_room(Tpm *t, Patience *p)
{
        if (p->waited++ == 0)
                leftovers_begin(&t->leftovers, &t->kept);
        pause_for(FULL_PAUSE_MS);
        leftovers_look(&t->leftovers, &t->kept);
        return clock_monotonic() - p->began < FULL_PATIENCE_MS * 1000u;
}

static bool start_up(Device *d)
{
        return device_result(d, Esys_Startup(d->esys, TPM2_SU_CLEAR)) == 0;
}

/* Does what the failure asks for. False: it is the answer. */
static bool another_try(Tpm *t, Patience *p, const Call *call)
{
        Device *d = &t->device;

        if (d->reaction == REACTION_REOPEN) {
                kept_forget(&t->kept);
                device_close(d);
        }
        if (call->once)
                return false;
        switch (d->reaction) {
        case REACTION_NONE:
                return false;
        case REACTION_AGAIN:
                if (p->busy++ == BUSY_TRIES)
                        return false;
                pause_for(BUSY_PAUSE_MS << p->busy);
                return true;
        case REACTION_WAIT:
                return wait_for_room(t, p);
        case REACTION_RENEW:
                if (!kept_any(&t->kept) || !once(&p->renewed))
                        return false;
                kept_forget(&t->kept);
                return true;
        case REACTION_STARTUP:
                kept_forget(&t->kept);
                return once(&p->started) && start_up(d);
        case REACTION_REOPEN:
                return once(&p->reopened);
        }
        return false;
}

static int attempt(const RequestInfo *info, Call *call)
{
        Tpm *t = call->tpm;
        int r = 0;

        (void)device_handled(&t->device, 0);
        if (info->type != TPM_OPERATE) /* which may want just what is still loaded */
                device_tidy(&t->device);
        buffer_clear(call->reply);
        call->once = false;
        if (info->needs_tpm)
                r = device_open(&t->device);
        if (!r && t->kept.opened != t->device.opened) {
                kept_forget(&t->kept);
                leftovers_begin(&t->leftovers, &t->kept);
        }
        return r ? r : info->handle(call);
}

/* The TPM does not say when it forgives the next attempt, only how long it takes to forgive one. */
static void tell_lockout(Device *d)
{
        TpmState s = {};

        if (tpm_look_at_lockout(d, &s) == 0)
                device_detail(d, "%u wrong tries, the next is possible in %u s at most",
                                s.lockout_counter, s.lockout_interval);
}

int request_run(const RequestInfo *info, Call *call)
{
        Patience p = {.began = clock_monotonic()};
        int r;

        do
                r = attempt(info, call);
        while (r && another_try(call->tpm, &p, call));
        if (r == HF_E_TPM_LOCKOUT)
                tell_lockout(&call->tpm->device);
        return r;
}

int call_once(Call *call, TSS2_RC code)
{
        call->once = !error_is_refusal(code);
        return device_result(&call->tpm->device, code);
}

const uint8_t *call_get_parent(WireReader *r)
{
        Bytes name = wire_get_block(r, TPM_NAME_SIZE);

        if (name.len != 0 && name.len != TPM_NAME_SIZE)
                r->failed = true;
        return name.len == TPM_NAME_SIZE ? name.data : NULL;
}

int call_put_blob(Call *call, const Parent *p, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private)
{
        uint8_t public_part[TPM_PART_MAX], private_part[TPM_PART_MAX];
        TpmBlob blob = {.public.data = public_part, .private.data = private_part};
        int r = public_marshal(public, public_part, &blob.public.len);

        if (!r)
                r = private_marshal(private, private_part, &blob.private.len);
        if (r)
                return device_nonsense(&call->tpm->device, "parts of a key");
        memcpy(blob.parent, p->name, TPM_NAME_SIZE);
        return tpm_blob_put(call->reply, &blob);
}

int call_put_number(Call *call, const TPMT_PUBLIC *area)
{
        uint8_t number[TPM_NUMBER_MAX];
        size_t n;

        if (template_number(area, number, &n))
                return device_nonsense(&call->tpm->device, "public number of a key");
        return wire_put_block(call->reply, BYTES(number, n));
}
