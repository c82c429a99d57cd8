/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/reference.h"

#include <string.h>

#define DESCRIPTION "Holdfast Key Reference v1"
#define LABEL "HOLDFAST KEY REFERENCE"
#define DER_MAX (REFERENCE_SPKI_MAX + 128)
#define LINE 64

typedef enum DerTag {
        DER_BOOLEAN = 0x01,
        DER_OCTETS = 0x04,
        DER_UTF8 = 0x0c,
        DER_VISIBLE = 0x1a,
        DER_SEQUENCE = 0x30,
} DerTag;

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
        char text[(DER_MAX + 2) / 3 * 4 + 1];
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

int reference_encode(const char *name, const char *uuid, bool digest, Bytes spki, Buffer *ret)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(DER_MAX);
        int r = reference_der(uuid, digest, spki, &der);

        return r ? r : reference_pem(name, buffer_bytes(&der), ret);
}
