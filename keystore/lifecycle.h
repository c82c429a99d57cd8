/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Life cycle of a key: pure rules
 *
 * What may be done to a key in its state, and which attributes it has afterwards. Frozen means no change and
 * no destruction ever after, but use goes on. Retired means its name no longer points to it; by UUID it still
 * works.
 */
#include "keystore/catalogue.h"

typedef enum KeyAction {
        _KEY_ACTION_INVALID = 0,
        KEY_ACTION_USE,
        KEY_ACTION_ENABLE,
        KEY_ACTION_DISABLE,
        KEY_ACTION_FREEZE,
        KEY_ACTION_RETIRE,
        KEY_ACTION_DESTROY,
        KEY_ACTION_LOSE, /* its TPM is gone, and the key with it; a fact, so frozen keys too */
        _KEY_ACTION_MAX,
} KeyAction;

/* 0, HF_E_KEY_LOST, HF_E_KEY_DISABLED (use), HF_E_KEY_FROZEN (change), HF_E_NOTHING_TO_DO (already so), HF_E_LIMIT_EXCEEDED
 * (4 billion versions). */
int lifecycle_check(const KeyEntry *e, KeyAction action);
/* Checks, and gives the attributes of the next version, for which a new envelope must be made. Enable,
 * disable, freeze, retire and lose only; HF_E_INVALID_ARGS for use and destroy. */
int lifecycle_next(const KeyEntry *e, KeyAction action, KeyAttributes *ret);
/* May a key of this name come into being? HF_E_INVALID_NAME, HF_E_KEY_EXISTS, HF_E_LIMIT_EXCEEDED. */
int lifecycle_check_new(const Catalogue *c, const char *name);
