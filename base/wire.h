/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Wire reader and writer
 *
 * The only way outside bytes become our values. Integers are little-endian; a block is a 32-bit length and its
 * bytes; a string is a block without NUL inside. A reader remembers its first failure: read all fields, then ask
 * wire_done() once, which also refuses trailing bytes. Values read after a failure are zero or empty.
 */
#include "base/bytes.h"

typedef struct WireReader {
        const uint8_t *p, *end;
        bool failed;
} WireReader;

static inline WireReader wire_reader(Bytes b)
{
        return (WireReader){.p = b.data, .end = b.data + b.len};
}

uint8_t wire_get_u8(WireReader *r);
uint16_t wire_get_u16(WireReader *r);
uint32_t wire_get_u32(WireReader *r);
uint64_t wire_get_u64(WireReader *r);
/* Exactly n bytes, copied. */
void wire_get_raw(WireReader *r, void *ret, size_t n);
/* A block of at most `max` bytes, borrowed from the input. */
Bytes wire_get_block(WireReader *r, size_t max);
/* A string of at most size - 1 bytes, copied with its NUL. */
void wire_get_string(WireReader *r, char *ret, size_t size);
/* 0, or HF_E_INVALID_ARGS if anything was missing, too long, or left over. */
int wire_done(const WireReader *r);

/* Writers append to a Buffer and return its result; a failure can be ignored until the end if the caller checks
 * the last one, because a Buffer at its limit keeps refusing anything of the same size. Prefer checking each. */
int wire_put_u8(Buffer *b, uint8_t v);
int wire_put_u16(Buffer *b, uint16_t v);
int wire_put_u32(Buffer *b, uint32_t v);
int wire_put_u64(Buffer *b, uint64_t v);
int wire_put_raw(Buffer *b, const void *data, size_t n);
int wire_put_block(Buffer *b, Bytes v);
int wire_put_string(Buffer *b, const char *s);
