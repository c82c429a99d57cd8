/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store's counter in the TPM
 *
 * The slots file names an NV counter and keeps its authorisation, wrapped under a key derived from the master. The
 * authorisation itself is random and the store's for life: it stays the same when a rekey makes a new master, and so does
 * the counter, and on another board, or where there is no TPM, so that a counter left behind is known again as ours.
 */
#include "seal/keys.h"
#include "seal/slots.h"

#define COUNTER_AUTH_SIZE TPM_AUTH_SIZE

/* Where to look for room first: stores of one machine should not meet. */
uint32_t counter_index(const Uuid *store_id, unsigned attempt);
/* `index` 0: there is none. The TPM's identity is part of what is vouched for, so it is set before. */
void slots_set_counter(Slots *s, uint32_t index, const uint8_t auth[static COUNTER_AUTH_SIZE], const SealKeys *keys);
/* HF_E_KEY_MISMATCH: it was written under another master, or by somebody else, or there was none yet. */
int slots_counter_auth(const Slots *s, const SealKeys *keys, uint8_t ret[static COUNTER_AUTH_SIZE]);
