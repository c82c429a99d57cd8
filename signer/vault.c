/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/vault.h"

#include "base/secret.h"

int vault_init(Vault *v)
{
        pthread_rwlockattr_t attr;
        void *p;
        int r;

        *v = (Vault){};
        r = secret_map(sizeof(VaultSecrets), &p);
        if (r)
                return r;
        v->secrets = p;
        /* Or a lock would wait for ever behind a stream of signatures. */
        pthread_rwlockattr_init(&attr);
        pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        pthread_rwlock_init(&v->lock, &attr);
        pthread_rwlockattr_destroy(&attr);
        return 0;
}

void vault_deinit(Vault *v)
{
        secret_unmap(v->secrets, sizeof(VaultSecrets));
        v->secrets = NULL;
}

void vault_open(Vault *v, const Slots *slots, uint32_t slot, const uint8_t master[static MASTER_SIZE])
{
        memcpy(v->secrets->master, master, MASTER_SIZE);
        seal_keys_derive(master, &v->secrets->keys);
        v->store_id = slots->store_id;
        memcpy(v->tpm, slots->tpm, sizeof(v->tpm));
        v->slot = slot;
        v->open = true;
        v->shut = false;
        v->fresh = false;
}

void vault_shut(Vault *v)
{
        vault_settle(v, false);
        secret_erase(v->secrets->master, MASTER_SIZE);
        seal_keys_erase(&v->secrets->keys);
        secret_erase(&v->secrets->fresh_counter, sizeof(v->secrets->fresh_counter));
        v->open = v->fresh = false;
        v->slot = 0;
}

void vault_prepare(Vault *v, const Slots *slots, const uint8_t master[static MASTER_SIZE])
{
        memcpy(v->next_nonce, slots->slots[0].nonce, sizeof(v->next_nonce));
        memcpy(v->secrets->next_master, master, MASTER_SIZE);
        seal_keys_derive(master, &v->secrets->next);
        v->has_next = true;
}

void vault_settle(Vault *v, bool keep)
{
        if (v->has_next && keep) {
                memcpy(v->secrets->master, v->secrets->next_master, MASTER_SIZE);
                v->secrets->keys = v->secrets->next;
        }
        secret_erase(v->secrets->next_master, MASTER_SIZE);
        seal_keys_erase(&v->secrets->next);
        v->has_next = false;
}

bool vault_next_is_of(const Vault *v, const Slots *slots)
{
        for (size_t i = 0; v->has_next && i < slots->n; i++)
                if (memcmp(slots->slots[i].nonce, v->next_nonce, sizeof(v->next_nonce)) == 0)
                        return true;
        return false;
}
