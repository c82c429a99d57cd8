/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference of a key (base/reference.h), out of what holdfastd says of it. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/reference.h"
#include "libclient/description.h"
#include "libclient/error.h"
#include "libclient/key.h"

DEFINE_CLEANUP(HfDescription, hf_description_free)

static int reference_text(HfKey *key, Buffer *ret)
{
        _cleanup_(hf_description_freep) HfDescription *d = NULL;
        const char *name, *uuid;
        uint8_t spki[REFERENCE_SPKI_MAX];
        size_t len = sizeof(spki);
        int r;

        r = hf_key_public(key, "spki", spki, &len);
        if (!r)
                r = hf_key_describe(key, &d);
        if (r)
                return r;
        name = hf_description_string(d, "name");
        uuid = hf_description_string(d, "uuid");
        if (!name || !uuid)
                return error_from_errno(-EBADMSG);
        r = reference_encode(name, uuid, hf_description_number(d, "digest", 0), BYTES(spki, len), ret);
        return r ? error_from_errno(r) : HF_OK;
}

int hf_key_reference(HfKey *key, char *buf, size_t *len)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(REFERENCE_TEXT_MAX);
        size_t had = *len;
        int r;

        r = reference_text(key, &text);
        if (r)
                return r;
        *len = text.len;
        if (text.len > had)
                return error_set(HF_ERROR_INVALID_ARGS, "The buffer is too small for the key reference. Nothing was written.");
        memcpy(buf, text.data, text.len);
        return HF_OK;
}
