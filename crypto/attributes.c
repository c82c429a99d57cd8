/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/attributes.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/wire.h"

/* First byte of the encoding; another layout gets another number. */
#define ENCODING 1

_Static_assert(1 + 16 + 4 + (4 + NAME_MAX_LEN) + 3 + 4 + 8 + (4 + KEY_PUBLIC_MAX) <= KEY_ATTRIBUTES_MAX,
                "the longest encoding fits");

static const char *const protections[] = {[PROTECTION_SOFTWARE] = "software", [PROTECTION_TPM] = "tpm"};

int key_attributes_encode(const KeyAttributes *a, Buffer *ret)
{
        size_t start = ret->len;
        int r;

        if ((r = wire_put_u8(ret, ENCODING)) || (r = wire_put_raw(ret, a->uuid.b, sizeof(a->uuid.b))) ||
                        (r = wire_put_u32(ret, a->version)) || (r = wire_put_string(ret, a->name)) ||
                        (r = wire_put_u8(ret, (uint8_t)a->algorithm)) || (r = wire_put_u8(ret, (uint8_t)a->purpose)) ||
                        (r = wire_put_u8(ret, (uint8_t)a->protection)) || (r = wire_put_u32(ret, a->flags)) ||
                        (r = wire_put_u64(ret, a->created)) || (r = wire_put_block(ret, key_attributes_public(a))))
                ret->len = start;
        return r;
}

/* Only schemes that sign a digest can be for digests only, and only what is elsewhere can be lost. */
static bool flags_fit(const KeyAttributes *a)
{
        const SchemeInfo *scheme;

        if (a->flags & ~(uint32_t)_KEY_FLAGS_ALL || (a->flags & KEY_FLAG_LOST && a->protection != PROTECTION_TPM))
                return false;
        if (!(a->flags & KEY_FLAG_DIGEST))
                return true;
        scheme = scheme_info(scheme_usual(a->algorithm, a->purpose));
        return scheme && scheme->digest_size > 0;
}

static bool attributes_are_valid(const KeyAttributes *a)
{
        const KeyAlgorithmInfo *algorithm = key_algorithm_info(a->algorithm);

        if (!algorithm || !key_purpose_to_string(a->purpose) || !(algorithm->purposes & (1u << a->purpose)))
                return false;
        if (uuid_is_null(&a->uuid) || a->version == 0 || !name_is_valid(a->name))
                return false;
        if (!key_protection_to_string(a->protection) || !flags_fit(a))
                return false;
        return algorithm->asymmetric || a->public_len == 0;
}

int key_attributes_decode(Bytes encoded, KeyAttributes *ret)
{
        WireReader r = wire_reader(encoded);
        KeyAttributes a = {};
        uint8_t encoding;
        Bytes public;

        encoding = wire_get_u8(&r);
        wire_get_raw(&r, a.uuid.b, sizeof(a.uuid.b));
        a.version = wire_get_u32(&r);
        wire_get_string(&r, a.name, sizeof(a.name));
        a.algorithm = wire_get_u8(&r);
        a.purpose = wire_get_u8(&r);
        a.protection = wire_get_u8(&r);
        a.flags = wire_get_u32(&r);
        a.created = wire_get_u64(&r);
        public = wire_get_block(&r, sizeof(a.public));
        if (wire_done(&r) || encoding != ENCODING)
                return HF_E_INVALID_ARGS;

        a.public_len = (uint16_t)public.len;
        if (public.len)
                memcpy(a.public, public.data, public.len);
        if (!attributes_are_valid(&a))
                return HF_E_INVALID_ARGS;
        *ret = a;
        return 0;
}

const char *key_protection_to_string(KeyProtection p)
{
        return p > _PROTECTION_INVALID && p < ELEMENTSOF(protections) ? protections[p] : NULL;
}

KeyProtection key_protection_from_string(const char *name)
{
        for (KeyProtection p = 1; p < ELEMENTSOF(protections); p++)
                if (strcmp(protections[p], name) == 0)
                        return p;
        return _PROTECTION_INVALID;
}
