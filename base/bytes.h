/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Byte spans
 *
 * `Bytes` is borrowed: it points into somebody else's memory and is never freed. `Buffer` owns and grows; its
 * limit is given at init, so that nothing from outside can make it larger than its author meant.
 * Neither is for secrets: those are `Secret` (base/secret.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Bytes {
        const uint8_t *data;
        size_t len;
} Bytes;

typedef struct Buffer {
        uint8_t *data;
        size_t len;
        size_t allocated;
        size_t limit; /* append beyond it fails with -EMSGSIZE */
} Buffer;

#define BYTES(d, l) ((Bytes){.data = (const uint8_t *)(d), .len = (l)})
#define BYTES_ARRAY(a) BYTES((a), sizeof(a))
#define BYTES_NULL ((Bytes){.data = NULL, .len = 0})
#define BUFFER_INIT(max) ((Buffer){.limit = (max)})

static inline Bytes bytes_str(const char *s)
{
        return BYTES(s, strlen(s));
}

static inline bool bytes_equal(Bytes a, Bytes b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline Bytes buffer_bytes(const Buffer *b)
{
        return BYTES(b->data, b->len);
}

/* Make room for `more` bytes behind len. 0, -ENOMEM, -EMSGSIZE (limit). */
int buffer_reserve(Buffer *b, size_t more);
int buffer_append(Buffer *b, const void *data, size_t len);
/* Appends formatted text without its NUL. */
int buffer_printf(Buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_clear(Buffer *b);  /* keeps the memory */
void buffer_deinit(Buffer *b); /* frees it; the buffer can be used again */

#define _cleanup_buffer_ __attribute__((cleanup(buffer_deinit)))

/* Lower-case hex. `ret` has room for 2 * len + 1 characters. */
void hex_encode(const void *data, size_t len, char *ret);
/* Exactly len bytes out of exactly 2 * len lower-case digits. 0 or HF_E_INVALID_ARGS. */
int hex_decode(const char *text, size_t text_len, uint8_t *ret, size_t len);

/* Standard base64 with padding. `ret` has room for base64_size(len) characters, NUL included. */
static inline size_t base64_size(size_t len)
{
        return (len + 2) / 3 * 4 + 1;
}
void base64_encode(const void *data, size_t len, char *ret);
/* The same in the URL-safe alphabet without padding (RFC 4648 section 5, as JOSE uses it). */
void base64url_encode(const void *data, size_t len, char *ret);
/* Strict: standard alphabet, padding required, no white space. 0, HF_E_INVALID_ARGS. */
int base64_decode(const char *text, size_t text_len, uint8_t *ret, size_t size, size_t *ret_len);
