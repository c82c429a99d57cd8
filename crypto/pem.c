/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/pem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "base/error.h"

#define LINE_MAX_LEN 64

void der_deinit(Der *d)
{
        OPENSSL_clear_free(d->data, d->allocated);
}

static bool is_space(uint8_t c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static Bytes trim(Bytes b)
{
        while (b.len > 0 && is_space(b.data[0])) {
                b.data++;
                b.len--;
        }
        while (b.len > 0 && is_space(b.data[b.len - 1]))
                b.len--;
        return b;
}

static Bytes line(char space[static LINE_MAX_LEN], const char *word, const char *kind)
{
        return BYTES(space, (size_t)snprintf(space, LINE_MAX_LEN, "-----%s %s-----", word, kind));
}

bool pem_is(Bytes text, const char *kind)
{
        char space[LINE_MAX_LEN];
        Bytes begin = line(space, "BEGIN", kind);

        text = trim(text);
        return text.len >= begin.len && memcmp(text.data, begin.data, begin.len) == 0;
}

int pem_decode(Bytes text, const char *kind, Der *ret)
{
        char begin_space[LINE_MAX_LEN], end_space[LINE_MAX_LEN];
        Bytes begin = line(begin_space, "BEGIN", kind), end = line(end_space, "END", kind);
        char *stripped;
        size_t n = 0;
        int r;

        text = trim(text);
        if (!pem_is(text, kind) || text.len < begin.len + end.len ||
                        memcmp(text.data + text.len - end.len, end.data, end.len) != 0)
                return HF_E_INVALID_ARGS;
        stripped = OPENSSL_malloc(text.len);
        ret->data = OPENSSL_malloc(text.len);
        ret->allocated = text.len;
        if (!stripped || !ret->data) {
                OPENSSL_free(stripped);
                return -ENOMEM;
        }
        for (size_t i = begin.len; i < text.len - end.len; i++)
                if (!is_space(text.data[i]))
                        stripped[n++] = (char)text.data[i];
        r = base64_decode(stripped, n, ret->data, ret->allocated, &ret->len);
        OPENSSL_clear_free(stripped, text.len);
        return r;
}
