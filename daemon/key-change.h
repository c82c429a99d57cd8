/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Changes of keys: each first gets its envelope from the signer, then becomes a Change. They answer by
 * themselves. */
#include "daemon/operation.h"
#include "keystore/lifecycle.h"

int key_create(Operation *op, const KeyAttributes *attributes);
/* The algorithm is the file's; with `usual` the purpose is that algorithm's usual one. `secret_fd`: the
 * authorisation of a key of the TPM, or negative. Both stay the caller's. */
int key_import(Operation *op, const KeyAttributes *attributes, bool usual, int pkcs8_fd, int secret_fd);
/* enable, disable, freeze, retire: op->key */
int key_change_state(Operation *op, KeyAction action, const char *event);
int key_destroy(Operation *op);
