/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store comes to another machine, or to another TPM
 *
 * The signer writes the new identities into the slots file and defines a counter. Where the TPM is another one (or was
 * cleared, which is the same), its slots can never open again and are taken out, and its keys are lost. All of that is one
 * new slots file and one change, so a stop in between leaves the store as it was.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "daemon/daemon.h"
#include "daemon/vault-job.h"

typedef struct Adoption {
        VaultJob *job;
        void (*then)(VaultJob *j, int result);
        SlotList list;
        size_t at; /* slots before it are settled */
} Adoption;

static void end(Adoption *a, int result)
{
        VaultJob *j = a->job;
        void (*then)(VaultJob *, int) = a->then;

        free(a);
        then(j, result);
}

static int keep_slots(VaultJob *j, Bytes slots)
{
        buffer_clear(&j->new_slots);
        return buffer_append(&j->new_slots, slots.data, slots.len);
}

static void remove_next(Adoption *a);

static void on_removed(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Adoption *a = userdata;
        Bytes slots;

        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : keep_slots(a->job, slots);
        }
        if (result)
                end(a, result);
        else
                remove_next(a);
}

static void remove_next(Adoption *a)
{
        SignerClient *signer = a->job->daemon->signer;
        const SlotEntry *e;
        Buffer *b;
        int r;

        while (a->at < a->list.n && a->list.slots[a->at].kind != SLOT_TPM2 &&
                        a->list.slots[a->at].kind != SLOT_TPM2_DERIVED)
                a->at++;
        if (a->at == a->list.n) {
                end(a, 0);
                return;
        }
        e = &a->list.slots[a->at++];
        b = signer_begin(signer, SIGNER_SLOT_REMOVE);
        r = wire_put_block(b, buffer_bytes(&a->job->new_slots));
        if (!r)
                r = wire_put_u32(b, e->id);
        if (!r)
                r = signer_call(signer, NULL, 0, on_removed, a);
        if (r)
                end(a, r);
}

static void on_listed(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Adoption *a = userdata;

        if (!result && (slot_list_decode(&r, &a->list) || wire_done(&r)))
                result = HF_E_SIGNER_FAILED;
        if (result)
                end(a, result);
        else
                remove_next(a);
}

static int call(Adoption *a, SignerRequest request, Bytes slots, SignerReplyFunc reply)
{
        SignerClient *signer = a->job->daemon->signer;
        int r = wire_put_block(signer_begin(signer, request), slots);

        return r ? r : signer_call(signer, NULL, 0, reply, a);
}

/* The signer says whether the identity it wrote is another one: nobody asks the TPM a second time. */
static void on_adopted(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Adoption *a = userdata;
        VaultJob *j = a->job;
        Bytes slots;

        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                j->tpm_lost = wire_get_u8(&r) ? "its TPM was cleared or replaced" : NULL;
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : keep_slots(j, slots);
        }
        if (!result && j->tpm_lost) {
                result = call(a, SIGNER_SLOTS, buffer_bytes(&j->new_slots), on_listed);
                if (!result)
                        return;
        }
        end(a, result);
}

void vault_job_adopt(VaultJob *j, Bytes slots, void (*then)(VaultJob *j, int result))
{
        Adoption *a = calloc(1, sizeof(*a));
        int r;

        if (!a) {
                then(j, -ENOMEM);
                return;
        }
        a->job = j;
        a->then = then;
        r = call(a, SIGNER_ADOPT, slots, on_adopted);
        if (r)
                end(a, r);
}
