/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Rekey: a new master
 *
 * Everything is wrapped anew under a new master, in a new store directory that takes the place of the old one
 * by one exchange; the old one is then removed, because only so an old slot file with an old passphrase opens
 * nothing any more. The log stays one log: its last record under the old checkpoint key names the new one.
 */
#include "daemon/operation.h"
#include "daemon/vault.h"

/* params as for init; the descriptors are needed until `done`. HF_E_BUSY. */
int vault_rekey(Operation *op, const VaultInitParams *params, VaultDoneFunc done, void *userdata);
