/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"

int buffer_reserve(Buffer *b, size_t more)
{
        size_t want, size;
        uint8_t *p;

        if (more > b->limit || b->len > b->limit - more)
                return -EMSGSIZE;
        want = b->len + more;
        if (want <= b->allocated)
                return 0;

        size = b->allocated ? b->allocated : 64;
        while (size < want && size <= b->limit / 2)
                size *= 2;
        if (size < want || size > b->limit)
                size = b->limit; /* which want does not exceed */
        p = realloc(b->data, size);
        if (!p)
                return -ENOMEM;
        b->data = p;
        b->allocated = size;
        return 0;
}

int buffer_append(Buffer *b, const void *data, size_t len)
{
        int r = buffer_reserve(b, len);

        if (r)
                return r;
        if (len)
                memcpy(b->data + b->len, data, len);
        b->len += len;
        return 0;
}

int buffer_printf(Buffer *b, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return buffer_append(b, text, (size_t)n);
}

void buffer_clear(Buffer *b)
{
        b->len = 0;
}

void buffer_deinit(Buffer *b)
{
        free(b->data);
        b->data = NULL;
        b->len = b->allocated = 0;
}

void hex_encode(const void *data, size_t len, char *ret)
{
        static const char digits[] = "0123456789abcdef";
        const uint8_t *p = data;

        for (size_t i = 0; i < len; i++) {
                *ret++ = digits[p[i] >> 4];
                *ret++ = digits[p[i] & 15];
        }
        *ret = '\0';
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

int hex_decode(const char *text, size_t text_len, uint8_t *ret, size_t len)
{
        if (text_len != 2 * len)
                return HF_E_INVALID_ARGS;
        for (size_t i = 0; i < text_len; i++)
                if (hex_value(text[i]) < 0)
                        return HF_E_INVALID_ARGS;
        for (size_t i = 0; i < len; i++)
                ret[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
        return 0;
}

static char *encode64(const char *alphabet, const uint8_t *p, size_t len, char *ret)
{
        for (; len >= 3; len -= 3, p += 3) {
                *ret++ = alphabet[p[0] >> 2];
                *ret++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
                *ret++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
                *ret++ = alphabet[p[2] & 63];
        }
        if (len > 0) {
                uint8_t second = len > 1 ? p[1] : 0;

                *ret++ = alphabet[p[0] >> 2];
                *ret++ = alphabet[(p[0] & 3) << 4 | second >> 4];
                if (len > 1)
                        *ret++ = alphabet[(second & 15) << 2];
        }
        return ret;
}

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
static const char standard[] = ALNUM "+/", urlsafe[] = ALNUM "-_";

void base64_encode(const void *data, size_t len, char *ret)
{
        char *end = encode64(standard, data, len, ret);

        while ((end - ret) % 4)
                *end++ = '=';
        *end = '\0';
}

void base64url_encode(const void *data, size_t len, char *ret)
{
        *encode64(urlsafe, data, len, ret) = '\0';
}

static int base64_value(char c)
{
        const char *p = c ? strchr(standard, c) : NULL;

        return p ? (int)(p - standard) : -1;
}

int base64_decode(const char *text, size_t text_len, uint8_t *ret, size_t size, size_t *ret_len)
{
        size_t pad = 0, n = 0;
        uint32_t bits = 0;

        if (text_len % 4)
                return HF_E_INVALID_ARGS;
        while (pad < 2 && pad < text_len && text[text_len - 1 - pad] == '=')
                pad++;
        if (text_len / 4 * 3 - pad > size)
                return HF_E_INVALID_ARGS;

        for (size_t i = 0; i < text_len; i++) {
                int v = i < text_len - pad ? base64_value(text[i]) : 0;

                if (v < 0)
                        return HF_E_INVALID_ARGS;
                bits = bits << 6 | (uint32_t)v;
                if (i % 4 != 3)
                        continue;
                for (int k = 2; k >= 0; k--)
                        if (n < text_len / 4 * 3 - pad)
                                ret[n++] = (uint8_t)(bits >> (8 * k));
                        else if ((uint8_t)(bits >> (8 * k)))
                                return HF_E_INVALID_ARGS; /* bits under the padding: not canonical */
                bits = 0;
        }
        *ret_len = n;
        return 0;
}
