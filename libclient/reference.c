/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key references: a file that stands where programs want a private key and holds none. What it says, and in which
 * bytes, is docs/formats/key-reference.md; whoever reads one (the OpenSSL provider) needs no daemon for it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "libclient/description.h"
#include "libclient/error.h"
#include "libclient/key.h"

#define DESCRIPTION "Holdfast Key Reference v1"
#define LABEL "HOLDFAST KEY REFERENCE"
#define SPKI_MAX 1024 /* RSA-4096 has 550 bytes */
#define DER_MAX (SPKI_MAX + 128)
#define TEXT_MAX 4096
#define LINE 64

typedef enum DerTag {
        DER_BOOLEAN = 0x01,
        DER_OCTETS = 0x04,
        DER_UTF8 = 0x0c,
        DER_VISIBLE = 0x1a,
        DER_SEQUENCE = 0x30,
} DerTag;

DEFINE_CLEANUP(HfDescription, hf_description_free)

static int der_head(Buffer *b, DerTag tag, size_t len)
{
        uint8_t head[4] = {tag};
        size_t n = 1;

        if (len >= 0x100) {
                head[n++] = 0x82;
                head[n++] = len >> 8;
        } else if (len >= 0x80) {
                head[n++] = 0x81;
        }
        head[n++] = len & 0xff;
        return buffer_append(b, head, n);
}

static int der_put(Buffer *b, DerTag tag, const void *data, size_t len)
{
        int r = der_head(b, tag, len);

        return r ? r : buffer_append(b, data, len);
}

/* digest: DER leaves out what has its default, which is false. */
static int reference_der(const char *uuid, bool digest, Bytes spki, Buffer *ret)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(DER_MAX);
        int r;

        r = der_put(&body, DER_VISIBLE, DESCRIPTION, strlen(DESCRIPTION));
        if (!r)
                r = der_put(&body, DER_UTF8, uuid, strlen(uuid));
        if (!r && digest)
                r = der_put(&body, DER_BOOLEAN, "\xff", 1);
        if (!r)
                r = der_put(&body, DER_OCTETS, spki.data, spki.len);
        return r ? r : der_put(ret, DER_SEQUENCE, body.data, body.len);
}

static int reference_pem(const char *name, Bytes der, Buffer *ret)
{
        char text[(DER_MAX + 16) / 3 * 4 + 8];
        size_t len;
        int r;

        base64_encode(der.data, der.len, text);
        len = strlen(text);
        r = buffer_printf(ret, "# Not a secret: key %s stays in Holdfast, and this only says which one it is.\n", name);
        if (!r)
                r = buffer_printf(ret, "-----BEGIN " LABEL "-----\n");
        for (size_t i = 0; !r && i < len; i += LINE)
                r = buffer_printf(ret, "%.*s\n", LINE, text + i);
        return r ? r : buffer_printf(ret, "-----END " LABEL "-----\n");
}

static int reference_text(HfKey *key, Buffer *ret)
{
        _cleanup_(hf_description_freep) HfDescription *d = NULL;
        _cleanup_buffer_ Buffer der = BUFFER_INIT(DER_MAX + 16);
        const char *name, *uuid;
        uint8_t spki[SPKI_MAX];
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
        r = reference_der(uuid, hf_description_number(d, "digest", 0), BYTES(spki, len), &der);
        if (!r)
                r = reference_pem(name, buffer_bytes(&der), ret);
        return r ? error_from_errno(r) : HF_OK;
}

int hf_key_reference(HfKey *key, char *buf, size_t *len)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
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
