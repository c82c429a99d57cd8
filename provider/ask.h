/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is asked of Holdfast with a key of ours
 *
 * Each returns 1, or 0 with the daemon's name and sentence in OpenSSL's error queue. Before a key is used for the first
 * time, its public half is compared with the one that Holdfast has under that UUID: a reference that was changed, or is of
 * another device, does nothing (KeyMismatch). Any thread, any process.
 */
#include "provider/key.h"

/* scheme: an HfScheme with flags. */
int ask_sign(Key *k, unsigned scheme, HfSpan data, uint8_t *sig, size_t *sig_len, size_t room);
int ask_decrypt(Key *k, HfSpan ciphertext, const HfSpan *label, uint8_t *ret, size_t *ret_len, size_t room);
int ask_agree(Key *k, HfSpan peer, const HfSpan *salt, const HfSpan *info, uint8_t *ret, size_t len);

/* The key of this name or UUID, as its reference. NULL: failed. */
Key *ask_for_key(Provider *p, const char *name);

/* Wishes for a new key; NULL is the usual. */
typedef struct NewKey {
        const char *name, *algorithm, *purpose, *protection;
} NewKey;

/* Makes a key in Holdfast. NULL: failed. */
Key *ask_for_new_key(Provider *p, const NewKey *wish);
