/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/wire.h"

#include <errno.h>

#include "base/error.h"

static const uint8_t *take(WireReader *r, size_t n)
{
        const uint8_t *p = r->p;

        if (r->failed || (size_t)(r->end - r->p) < n) {
                r->failed = true;
                return NULL;
        }
        r->p += n;
        return p;
}

static uint64_t get_le(WireReader *r, size_t n)
{
        const uint8_t *p = take(r, n);
        uint64_t v = 0;

        for (size_t i = 0; p && i < n; i++)
                v |= (uint64_t)p[i] << (8 * i);
        return v;
}

uint8_t wire_get_u8(WireReader *r)
{
        return (uint8_t)get_le(r, 1);
}

uint16_t wire_get_u16(WireReader *r)
{
        return (uint16_t)get_le(r, 2);
}

uint32_t wire_get_u32(WireReader *r)
{
        return (uint32_t)get_le(r, 4);
}

uint64_t wire_get_u64(WireReader *r)
{
        return get_le(r, 8);
}

void wire_get_raw(WireReader *r, void *ret, size_t n)
{
        const uint8_t *p = take(r, n);

        if (p)
                memcpy(ret, p, n);
        else
                memset(ret, 0, n);
}

Bytes wire_get_block(WireReader *r, size_t max)
{
        size_t n = wire_get_u32(r);
        const uint8_t *p;

        if (n > max)
                r->failed = true;
        p = take(r, n);
        return p ? BYTES(p, n) : BYTES_NULL;
}

void wire_get_string(WireReader *r, char *ret, size_t size)
{
        Bytes b = wire_get_block(r, size - 1);

        if (b.len && memchr(b.data, 0, b.len)) {
                r->failed = true;
                b = BYTES_NULL;
        }
        if (b.len)
                memcpy(ret, b.data, b.len);
        ret[b.len] = '\0';
}

int wire_done(const WireReader *r)
{
        return r->failed || r->p != r->end ? HF_E_INVALID_ARGS : 0;
}

static int put_le(Buffer *b, uint64_t v, size_t n)
{
        uint8_t raw[8];

        for (size_t i = 0; i < n; i++)
                raw[i] = (uint8_t)(v >> (8 * i));
        return buffer_append(b, raw, n);
}

int wire_put_u8(Buffer *b, uint8_t v)
{
        return put_le(b, v, 1);
}

int wire_put_u16(Buffer *b, uint16_t v)
{
        return put_le(b, v, 2);
}

int wire_put_u32(Buffer *b, uint32_t v)
{
        return put_le(b, v, 4);
}

int wire_put_u64(Buffer *b, uint64_t v)
{
        return put_le(b, v, 8);
}

int wire_put_raw(Buffer *b, const void *data, size_t n)
{
        return buffer_append(b, data, n);
}

int wire_put_block(Buffer *b, Bytes v)
{
        int r;

        if (v.len > UINT32_MAX)
                return -EMSGSIZE;
        r = buffer_reserve(b, 4 + v.len);
        if (r)
                return r;
        (void)wire_put_u32(b, (uint32_t)v.len);
        return buffer_append(b, v.data, v.len);
}

int wire_put_string(Buffer *b, const char *s)
{
        return wire_put_block(b, bytes_str(s));
}
