/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/ledger.h"

#include "base/error.h"
#include "link/signer.h"

void ledger_begin(Ledger *l, const Uuid *store_id)
{
        Uuid life; /* 122 random bits are life enough */

        uuid_generate(&life);
        *l = (Ledger){.store_id = *store_id};
        memcpy(l->life, life.b, sizeof(l->life));
}

int ledger_accept(Ledger *l, uint64_t seq)
{
        uint64_t base = l->based ? l->base : seq;

        if ((l->any && seq <= l->served) || seq < l->sealed)
                return HF_E_SIGNER_FAILED;
        if (seq >= base && seq - base >= SIGNER_UNSEALED_MAX)
                return HF_E_SIGNER_FAILED;
        l->based = true;
        l->base = base;
        l->any = true;
        l->served = seq;
        l->ops++;
        return 0;
}

int ledger_checkpoint(Ledger *l, uint64_t size)
{
        if (size < l->sealed || (l->any && size <= l->served))
                return HF_E_SIGNER_FAILED;
        l->sealed = l->base = size;
        l->based = true;
        return 0;
}

bool ledger_is_sealed(const Ledger *l)
{
        return !l->any || l->sealed > l->served;
}
