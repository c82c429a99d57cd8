/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/keys.h"

#include "base/secret.h"
#include "crypto/digest.h"

void seal_keys_derive(const uint8_t master[static MASTER_SIZE], SealKeys *ret)
{
        kdf_derive(master, "hf-db   ", 1, ret->database);
        kdf_derive(master, "hf-log  ", 1, ret->log);
        kdf_derive(master, "hf-wrap ", 1, ret->wrapping);
        kdf_derive(master, "hf-check", 1, ret->checkpoint);
        kdf_derive(master, "hf-count", 1, ret->counter);
        ed25519_public(ret->checkpoint, ret->checkpoint_public);
}

void seal_keys_erase(SealKeys *k)
{
        secret_erase(k, sizeof(*k));
}
