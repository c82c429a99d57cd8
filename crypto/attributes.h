/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Attributes of a key
 *
 * Everything about a key that policy or the signer decides by. Their canonical encoding is the associated data
 * of the key's envelope (docs/formats/envelope.md): whoever edits one of them in the database makes the envelope
 * refuse to open. A change of state (disable, freeze, retire) is therefore a new envelope of the next version.
 */
#include "base/bytes.h"
#include "base/name.h"
#include "base/uuid.h"
#include "crypto/algorithm.h"

#define KEY_PUBLIC_MAX 640     /* SubjectPublicKeyInfo, DER; RSA-4096 takes 550 */
#define KEY_WRAPPED_MAX 3072   /* envelope of an RSA-4096 key: about 2,400 */
#define KEY_ATTRIBUTES_MAX 1024

typedef enum KeyProtection {
        _PROTECTION_INVALID = 0,
        PROTECTION_SOFTWARE = 1, /* made and used in the signer, stored wrapped */
        PROTECTION_TPM = 2,      /* made and used in the TPM */
} KeyProtection;

enum {
        KEY_FLAG_DIGEST = 1u << 0,   /* made for signing bare digests; takes no messages */
        KEY_FLAG_DISABLED = 1u << 1, /* no use until enabled */
        KEY_FLAG_FROZEN = 1u << 2,   /* no deletion and no change ever after */
        KEY_FLAG_RETIRED = 1u << 3,  /* no longer what its name points to; reached by UUID only */
        KEY_FLAG_IMPORTED = 1u << 4, /* came in from outside, so copies may exist */
        KEY_FLAG_LOST = 1u << 5,     /* in a TPM that is gone or was cleared; for good */
        _KEY_FLAGS_ALL = (1u << 6) - 1,
};

typedef struct KeyAttributes {
        Uuid uuid;
        uint32_t version;            /* 1 at creation, +1 with each new envelope */
        char name[NAME_SIZE];
        KeyAlgorithm algorithm;
        KeyPurpose purpose;
        KeyProtection protection;
        uint32_t flags;
        uint64_t created;            /* microseconds since 1970 */
        uint16_t public_len;         /* SPKI in DER; 0 for symmetric keys and before generation */
        uint8_t public[KEY_PUBLIC_MAX];
} KeyAttributes;

/* Appends the canonical encoding. */
int key_attributes_encode(const KeyAttributes *a, Buffer *ret);
/* Strict: every field in range, algorithm and purpose fit each other, nothing left over. HF_E_INVALID_ARGS. */
int key_attributes_decode(Bytes encoded, KeyAttributes *ret);
static inline Bytes key_attributes_public(const KeyAttributes *a)
{
        return BYTES(a->public, a->public_len);
}
/* "software", "tpm". */
const char *key_protection_to_string(KeyProtection p);
KeyProtection key_protection_from_string(const char *name);
