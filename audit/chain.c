/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/chain.h"

#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "crypto/digest.h"

void chain_init(Chain *c, const uint8_t key[static 32], uint64_t size, const uint8_t head[static 32])
{
        c->size = size;
        memcpy(c->head, head, sizeof(c->head));
        memcpy(c->key, key, sizeof(c->key));
}

void chain_deinit(Chain *c)
{
        secret_erase(c, sizeof(*c));
}

static char *put(char *p, const char *text, size_t len)
{
        memcpy(p, text, len);
        return p + len;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_u64(char *p, uint64_t v)
{
        char digits[20];
        size_t at = sizeof(digits);

        do
                digits[--at] = (char)('0' + v % 10);
        while (v /= 10);
        return put(p, digits + at, sizeof(digits) - at);
}

/* clock_format() costs as much as a MAC, and most of it is the calendar; so the text of the last second is
 * kept. */
static char *put_time(char *p, uint64_t time)
{
        static _Thread_local uint64_t second = UINT64_MAX;
        static _Thread_local char text[CLOCK_TEXT_SIZE];
        uint64_t micro = time % USEC_PER_SEC;

        if (time / USEC_PER_SEC != second) {
                clock_format(time, text);
                second = time / USEC_PER_SEC;
        }
        for (int i = 25; i > 19; i--, micro /= 10)
                text[i] = (char)('0' + micro % 10);
        return put(p, text, CLOCK_TEXT_SIZE - 1);
}

static char *put_hex(char *p, const uint8_t data[static 32])
{
        hex_encode(data, 32, p); /* its NUL is written over by what follows */
        return p + 64;
}

int chain_seal(Chain *c, const AuditLine *line, uint64_t time, uint64_t dur, char ret[static AUDIT_LINE_MAX],
                size_t *ret_len)
{
        uint8_t mac[DIGEST_SIZE];
        char *p = ret;
        int r;

        r = audit_line_check(line);
        if (r)
                return r;
        p = PUT(p, "{\"seq\":");
        p = put_u64(p, c->size);
        p = PUT(p, ",\"prev\":\"");
        p = put_hex(p, c->head);
        p = PUT(p, "\",\"t\":\"");
        p = put_time(p, time);
        p = PUT(p, "\",\"dur\":");
        p = put_u64(p, dur);
        p = PUT(p, ",");
        p = put(p, line->text, line->len);
        mac_blake2b(c->key, BYTES(ret, p - ret), mac);
        p = PUT(p, "\"mac\":\"");
        p = put_hex(p, mac);
        p = PUT(p, "\"}");
        digest_sha256(BYTES(ret, p - ret), c->head);
        c->size++;
        p = PUT(p, "\n");
        *ret_len = (size_t)(p - ret);
        return 0;
}
