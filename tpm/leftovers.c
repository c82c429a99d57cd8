/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/leftovers.h"

#include "base/clock.h"
#include "base/log.h"

#define HANDLES_OF(type) ((TPM2_HANDLE)(type) << TPM2_HR_SHIFT)
#define PAUSE_MS (LEFTOVERS_AGE_MS / LEFTOVERS_LOOKS)

/* ESYS_TR_NONE: not there any more, or the TPM does not answer. */
static ESYS_TR take_up(Device *d, TPM2_HANDLE handle, uint8_t ret_name[static TPM_NAME_SIZE])
{
        _cleanup_esys_ TPM2B_NAME *name = NULL;
        ESYS_TR tr;

        memset(ret_name, 0, TPM_NAME_SIZE);
        if (Esys_TR_FromTPMPublic(d->esys, handle, NO_SESSION, &tr))
                return ESYS_TR_NONE;
        if (handle >> TPM2_HR_SHIFT == TPM2_HT_TRANSIENT && Esys_TR_GetName(d->esys, tr, &name) == 0 &&
                        name->size <= TPM_NAME_SIZE)
                memcpy(ret_name, name->name, name->size);
        return tr;
}

static bool is_that(const Kept *k, ESYS_TR tr, TPM2_HANDLE handle)
{
        TPM2_HANDLE its;

        return tr != ESYS_TR_NONE && Esys_TR_GetTpmHandle(k->device->esys, tr, &its) == 0 && handle == its;
}

/* Our own session is taken up by nobody, not even by us a second time; and a key that is used all the time does not move. */
static bool is_own(const Kept *k, TPM2_HANDLE handle)
{
        return is_that(k, k->session.tr, handle) || is_that(k, k->device->later, handle);
}

/* Among the loaded sessions a policy session has the type that elsewhere says "saved" (TCG Part 2, 9.4). */
static bool is_of(TPM2_HANDLE handle, TPM2_HT type)
{
        TPM2_HT its = (TPM2_HT)(handle >> TPM2_HR_SHIFT);

        return its == type || (type == TPM2_HT_LOADED_SESSION && its == TPM2_HT_POLICY_SESSION);
}

/* False: there may be more. */
static bool list(const Kept *k, TPM2_HT type, Leftovers *l)
{
        Device *d = k->device;
        _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
        const TPML_HANDLE *handles;
        TPMI_YES_NO more;
        bool whole = true;

        if (Esys_GetCapability(d->esys, NO_SESSION, TPM2_CAP_HANDLES, HANDLES_OF(type), LEFTOVERS_MAX, &more, &data) ||
                        data->capability != TPM2_CAP_HANDLES)
                return false;
        handles = &data->data.handles;
        for (size_t i = 0; i < handles->count && i < LEFTOVERS_MAX && l->n < LEFTOVERS_MAX; i++) {
                Leftover *o = &l->all[l->n];
                ESYS_TR tr;

                if (!is_of(handles->handle[i], type))
                        break;
                if (is_own(k, handles->handle[i]))
                        continue;
                o->handle = handles->handle[i];
                tr = take_up(d, o->handle, o->name);
                if (tr == ESYS_TR_NONE) {
                        whole = false;
                        continue;
                }
                (void)Esys_TR_Close(d->esys, &tr);
                l->n++;
        }
        return whole;
}

static bool loaded_now(const Kept *k, Leftovers *ret)
{
        bool objects, sessions;

        *ret = (Leftovers){};
        objects = list(k, TPM2_HT_TRANSIENT, ret);
        sessions = list(k, TPM2_HT_LOADED_SESSION, ret);
        return objects && sessions;
}

static const Leftover *find(const Leftovers *l, const Leftover *o)
{
        for (size_t i = 0; i < l->n; i++)
                if (l->all[i].handle == o->handle && memcmp(l->all[i].name, o->name, TPM_NAME_SIZE) == 0)
                        return &l->all[i];
        return NULL;
}

/* What is loaded now, with what is known of it; whatever else was watched has moved. */
static void renew(Leftovers *l, const Kept *k, bool add)
{
        Leftovers now;
        size_t n = 0;
        bool whole = loaded_now(k, &now);

        for (size_t i = 0; i < now.n; i++) {
                const Leftover *before = find(l, &now.all[i]);
                Leftover o = before ? *before : now.all[i];

                if (!before && !add)
                        continue;
                if (!before)
                        o.first = clock_monotonic();
                o.looks++;
                now.all[n++] = o;
        }
        now.n = n;
        now.looked = clock_monotonic();
        now.doubts = whole || l->doubts == 0 ? 0 : l->doubts - 1;
        *l = now;
}

static bool is_seen(const Kept *k)
{
        return !k->device->managed && k->device->esys;
}

void leftovers_begin(Leftovers *l, const Kept *k)
{
        if (!is_seen(k))
                return;
        l->doubts = LEFTOVERS_DOUBTS;
        renew(l, k, true);
}

void leftovers_doubt(Leftovers *l, const Kept *k)
{
        if (is_seen(k))
                l->doubts = LEFTOVERS_DOUBTS;
}

static bool is_old(const Leftover *o, uint64_t now)
{
        return o->looks > LEFTOVERS_LOOKS && now - o->first >= LEFTOVERS_AGE_MS * 1000u;
}

static void flush(Device *d, const Leftover *o)
{
        uint8_t name[TPM_NAME_SIZE];
        ESYS_TR tr = take_up(d, o->handle, name);

        if (tr == ESYS_TR_NONE)
                return;
        log_notice("flushing 0x%08x, which nobody has moved for %u ms", o->handle, LEFTOVERS_AGE_MS);
        if (Esys_FlushContext(d->esys, tr))
                (void)Esys_TR_Close(d->esys, &tr);
}

void leftovers_look(Leftovers *l, const Kept *k)
{
        size_t n = 0;

        if (leftovers_due(l) != 0)
                return;
        if (!k->device->esys) { /* begun anew when it opens */
                *l = (Leftovers){};
                return;
        }
        renew(l, k, l->doubts > 0);
        for (size_t i = 0; i < l->n; i++) {
                if (is_old(&l->all[i], l->looked))
                        flush(k->device, &l->all[i]);
                else
                        l->all[n++] = l->all[i];
        }
        l->n = n;
}

int leftovers_due(const Leftovers *l)
{
        uint64_t since = (clock_monotonic() - l->looked) / 1000;

        if (l->n == 0 && l->doubts == 0)
                return -1;
        return since >= PAUSE_MS ? 0 : (int)(PAUSE_MS - since);
}
