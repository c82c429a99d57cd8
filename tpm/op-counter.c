/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A counter that only rises: {action, index, authorisation, parent} -> {value}
 *
 * It lies in the TPM's NV memory. Nobody without the authorisation reads or increments it. The owner can remove it, and one
 * made anew goes on above the highest value that any counter of this TPM ever had (TCG TPM 2.0 Part 1, section 37.2.4). An
 * increment whose answer was lost is not repeated: who asked reads, and knows.
 */
#include "base/error.h"
#include "base/secret.h"
#include "tpm/call.h"

#define COUNTER_SIZE 8
#define OURS (TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA | (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT))

typedef struct Counter {
        Call *call;
        Device *device;
        const Parent *parent; /* the key that the session is salted to: whoever has another one is another TPM */
        TPM2_HANDLE index;
        uint8_t auth[TPM_AUTH_SIZE];
        ESYS_TR tr; /* ESYS_TR_NONE: it is not there */
        bool written;
} Counter;

static void counter_close(Counter *c)
{
        if (c->tr != ESYS_TR_NONE) {
                device_forget(c->device, c->tr);
                (void)Esys_TR_Close(c->device->esys, &c->tr);
        }
        secret_erase(c->auth, sizeof(c->auth));
}

static bool is_ours(const TPMS_NV_PUBLIC *p, TPM2_HANDLE index)
{
        return p->nvIndex == index && p->dataSize == COUNTER_SIZE && p->nameAlg == TPM2_ALG_SHA256 &&
               (p->attributes & ~(TPMA_NV)TPMA_NV_WRITTEN) == OURS;
}

/* HF_E_NO_SUCH_KEY, HF_E_KEY_MISMATCH: something else lies there. */
static int find(Counter *c)
{
        Device *d = c->device;
        _cleanup_esys_ TPM2B_NV_PUBLIC *public = NULL;
        int r;

        r = device_take_up(d, c->index, &c->tr);
        if (r)
                return r;
        r = device_result(d, Esys_NV_ReadPublic(d->esys, c->tr, NO_SESSION, &public, NULL));
        if (r)
                return r;
        if (!is_ours(&public->nvPublic, c->index))
                return HF_E_KEY_MISMATCH;
        c->written = public->nvPublic.attributes & TPMA_NV_WRITTEN;
        return device_authorise(d, c->tr, c->auth, sizeof(c->auth));
}

/* Another authorisation is another's counter; it is asked twice, because a session may have been the reason. */
static int refused(Device *d, int r)
{
        return error_base(d->last) == TPM2_RC_BAD_AUTH || error_base(d->last) == TPM2_RC_AUTH_FAIL ? HF_E_KEY_MISMATCH : r;
}

static int session_for(Counter *c, TPMA_SESSION attributes, ESYS_TR *ret)
{
        return session_get(&c->call->tpm->kept, c->parent, attributes, ret);
}

static int read_value(Counter *c, uint64_t *ret)
{
        Device *d = c->device;
        _cleanup_esys_ TPM2B_MAX_NV_BUFFER *data = NULL;
        ESYS_TR session;
        uint64_t v = 0;
        int r = session_for(c, TPMA_SESSION_ENCRYPT, &session);

        if (r)
                return r;
        r = device_result(d, Esys_NV_Read(d->esys, c->tr, c->tr, ONE_SESSION(session), COUNTER_SIZE, 0, &data));
        if (r)
                return refused(d, r);
        if (data->size != COUNTER_SIZE)
                return device_nonsense(d, "size of a counter");
        for (size_t i = 0; i < COUNTER_SIZE; i++)
                v = v << 8 | data->buffer[i];
        *ret = v;
        return 0;
}

static int increment(Counter *c)
{
        Device *d = c->device;
        ESYS_TR session;
        int r = session_for(c, 0, &session);

        if (r)
                return r;
        r = call_once(c->call, Esys_NV_Increment(d->esys, c->tr, c->tr, ONE_SESSION(session)));
        return r ? refused(d, r) : 0;
}

static int op_read(Counter *c, uint64_t *ret)
{
        int r = find(c);

        /* Defined by somebody who got no further: DEFINE again finishes it. */
        if (!r && !c->written)
                r = HF_E_NO_SUCH_KEY;
        return r ? r : read_value(c, ret);
}

static int op_increment(Counter *c, uint64_t *ret)
{
        int r = find(c);

        if (!r)
                r = increment(c);
        return r ? r : read_value(c, ret);
}

static int define(Counter *c)
{
        Device *d = c->device;
        TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = c->index, .nameAlg = TPM2_ALG_SHA256, .attributes = OURS,
                                               .dataSize = COUNTER_SIZE}};
        TPM2B_AUTH auth = {.size = sizeof(c->auth)};
        ESYS_TR session;
        int r = session_for(c, TPMA_SESSION_DECRYPT, &session);

        if (r)
                return r;
        memcpy(auth.buffer, c->auth, sizeof(c->auth));
        r = device_result(d, Esys_NV_DefineSpace(d->esys, ESYS_TR_RH_OWNER, ONE_SESSION(session), &auth, &public, &c->tr));
        secret_erase(&auth, sizeof(auth));
        if (r)
                c->tr = ESYS_TR_NONE;
        return r;
}

static int op_define(Counter *c, uint64_t *ret)
{
        int r = find(c);

        if (r == HF_E_NO_SUCH_KEY)
                r = define(c);
        else if (r == HF_E_KEY_MISMATCH || (!r && c->written))
                return HF_E_KEY_EXISTS;
        if (!r)
                r = increment(c);
        if (r == HF_E_KEY_MISMATCH)
                return HF_E_KEY_EXISTS;
        return r ? r : read_value(c, ret);
}

static int op_remove(Counter *c, uint64_t *ret)
{
        Device *d = c->device;
        ESYS_TR session;
        int r = find(c);

        /* To read it proves that it is ours. */
        if (!r && c->written)
                r = read_value(c, ret);
        if (!r)
                r = session_for(c, 0, &session);
        if (!r)
                r = device_result(d, Esys_NV_UndefineSpace(d->esys, ESYS_TR_RH_OWNER, c->tr, ONE_SESSION(session)));
        if (!r) {
                c->tr = ESYS_TR_NONE;
                *ret = 0;
        }
        return r;
}

static int (*const actions[_TPM_COUNTER_MAX])(Counter *c, uint64_t *ret) = {
                [TPM_COUNTER_DEFINE] = op_define,
                [TPM_COUNTER_READ] = op_read,
                [TPM_COUNTER_INCREMENT] = op_increment,
                [TPM_COUNTER_REMOVE] = op_remove,
};

int op_counter(Call *call)
{
        __attribute__((cleanup(counter_close))) Counter c = {.call = call, .device = &call->tpm->device, .tr = ESYS_TR_NONE};
        static const uint8_t any[TPM_NAME_SIZE];
        WireReader r = wire_reader(call->body);
        uint8_t action = wire_get_u8(&r), parent[TPM_NAME_SIZE];
        uint64_t value = 0;
        int q;

        c.index = wire_get_u32(&r);
        wire_get_raw(&r, c.auth, sizeof(c.auth));
        wire_get_raw(&r, parent, sizeof(parent));
        traces_add(call->traces, c.auth, sizeof(c.auth));
        if (wire_done(&r) || action == _TPM_COUNTER_INVALID || action >= _TPM_COUNTER_MAX || c.index < TPM_COUNTER_FIRST ||
                        c.index > TPM_COUNTER_LAST || memcmp(parent, any, sizeof(any)) == 0)
                return HF_E_INVALID_ARGS;
        q = parent_find(&call->tpm->kept, parent, &c.parent);
        if (!q)
                q = actions[action](&c, &value);
        return q ? q : wire_put_u64(call->reply, value);
}
