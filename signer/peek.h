/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether a request will ask the TPM
 *
 * Seen from outside, before anybody has checked it: it decides on whose worker the request waits, and no more. What
 * cannot be read asks nobody.
 */
#include "base/bytes.h"

bool peek_always(Bytes body, size_t n_fds);
bool peek_attributes(Bytes body, size_t n_fds); /* GENERATE, IMPORT */
bool peek_unlock(Bytes body, size_t n_fds);
bool peek_slot_kind(Bytes body, size_t n_fds); /* SLOT_ADD */
bool peek_slot_id(Bytes body, size_t n_fds);   /* SLOT_CHANGE */
bool peek_rekey(Bytes body, size_t n_fds);
