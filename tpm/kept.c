/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/kept.h"

#include "base/log.h"
#include "tpm/endorsement.h"

void kept_init(Kept *k, Device *d)
{
        *k = (Kept){.device = d, .session = LOADED_NONE};
}

bool kept_any(const Kept *k)
{
        return k->n_parents > 0 || k->session.tr != ESYS_TR_NONE || k->objects[0].saved || k->endorsement.ak_saved;
}

/* What belongs to an opening that is over has gone with it: there is nothing left to close. */
static bool is_over(const Kept *k)
{
        return !k->device->esys || k->opened != k->device->opened;
}

void kept_forget(Kept *k)
{
        Device *d = k->device;
        uint64_t sessions;

        if (kept_any(k))
                log_debug("forgetting what was kept");
        if (is_over(k))
                k->session = LOADED_NONE;
        loaded_release(&k->session);
        for (size_t i = 0; i < k->n_parents; i++) {
                if (k->parents[i].tr != ESYS_TR_NONE && !is_over(k))
                        (void)Esys_TR_Close(d->esys, &k->parents[i].tr);
                Esys_Free(k->parents[i].saved);
        }
        for (size_t i = 0; i < OBJECTS_MAX; i++)
                object_drop(&k->objects[i]);
        endorsement_forget(&k->endorsement);
        sessions = k->sessions;
        kept_init(k, d);
        k->opened = d->opened;
        k->sessions = sessions;
}
