/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Key references: a file that stands where programs want a private key and holds none. What it says, and in which
 * bytes, is docs/formats/key-reference.md; whoever reads one (the OpenSSL provider) needs no daemon for it.
 */
#include "base/bytes.h"

#define REFERENCE_SPKI_MAX 1024 /* RSA-4096 has 550 bytes */
#define REFERENCE_TEXT_MAX 4096

/* Appends the PEM with its line for people. `name` is only for that line; `uuid` is 36 characters; `digest`: the key was
 * made for digests; `spki` is at most REFERENCE_SPKI_MAX bytes of DER. 0, -EMSGSIZE, -ENOMEM. */
int reference_encode(const char *name, const char *uuid, bool digest, Bytes spki, Buffer *ret);
