/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PEM (RFC 7468): lines of 64 base64 characters between BEGIN and END. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define LINE 64
#define MARK_MAX 128

int pem_encode(const char *label, HfSpan der, Buffer *ret)
{
        _cleanup_free_ char *text = malloc(base64_size(der.len));
        size_t len;
        int r;

        if (!text)
                return -ENOMEM;
        base64_encode(der.data, der.len, text);
        len = strlen(text);
        r = buffer_printf(ret, "-----BEGIN %s-----\n", label);
        for (size_t i = 0; !r && i < len; i += LINE)
                r = buffer_printf(ret, "%.*s\n", LINE, text + i);
        return r ? r : buffer_printf(ret, "-----END %s-----\n", label);
}

/* The place behind (or, for the end, at) a mark line; NULL: not there. */
static const char *find_mark(const Buffer *b, const char *kind, const char *label, bool behind)
{
        char mark[MARK_MAX];
        const char *at;
        size_t len = (size_t)snprintf(mark, sizeof(mark), "-----%s %s-----", kind, label);

        at = b->len > 0 ? memmem(b->data, b->len, mark, len) : NULL;
        return at && behind ? at + len : at;
}

bool pem_decode(const char *label, Buffer *b)
{
        const char *begin = find_mark(b, "BEGIN", label, true), *end = find_mark(b, "END", label, false);
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ uint8_t *der = NULL;
        size_t n = 0, len;

        if (!begin || !end || end < begin)
                return false;
        text = malloc((size_t)(end - begin) + 1);
        der = malloc((size_t)(end - begin) + 1);
        if (!text || !der)
                return false;
        for (const char *p = begin; p < end; p++)
                if (!strchr(" \t\r\n", *p))
                        text[n++] = *p;
        if (base64_decode(text, n, der, (size_t)(end - begin) + 1, &len) != 0)
                return false;
        buffer_clear(b);
        return buffer_append(b, der, len) == 0;
}
