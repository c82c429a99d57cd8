/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/record.h"

#include <string.h>

#include "base/error.h"
#include "base/secret.h"
#include "crypto/digest.h"

typedef struct Cursor {
        const uint8_t *p, *end;
} Cursor;

static bool take(Cursor *c, const char *literal, size_t len)
{
        if ((size_t)(c->end - c->p) < len || memcmp(c->p, literal, len) != 0)
                return false;
        c->p += len;
        return true;
}

#define TAKE(c, literal) take((c), (literal), sizeof(literal) - 1)

/* Decimal without sign and leading zeros, up to 2^64 - 1. */
static bool take_u64(Cursor *c, uint64_t *ret)
{
        const uint8_t *begin = c->p;
        uint64_t v = 0;

        while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
                        return false;
                c->p++;
        }
        if (c->p == begin || (*begin == '0' && c->p - begin > 1))
                return false;
        *ret = v;
        return true;
}

static inline bool is_hex(uint8_t c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool take_hex(Cursor *c, size_t len, Bytes *ret)
{
        if ((size_t)(c->end - c->p) < len)
                return false;
        for (size_t i = 0; i < len; i++)
                if (!is_hex(c->p[i]))
                        return false;
        *ret = BYTES(c->p, len);
        c->p += len;
        return true;
}

/* 2026-11-21T03:47:58.123456Z */
static bool take_time(Cursor *c, Bytes *ret)
{
        static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ";
        size_t len = sizeof(form) - 1;

        if ((size_t)(c->end - c->p) < len)
                return false;
        for (size_t i = 0; i < len; i++)
                if (form[i] == 'd' ? c->p[i] < '0' || c->p[i] > '9' : c->p[i] != (uint8_t)form[i])
                        return false;
        *ret = BYTES(c->p, len);
        c->p += len;
        return true;
}

/* The inside of a string: printable ASCII with the three escapes of ours. Stops at the closing quote. */
static bool take_string(Cursor *c, Bytes *ret)
{
        const uint8_t *begin = c->p;
        Bytes unit;

        for (; c->p < c->end; c->p++) {
                if (*c->p == '"') {
                        *ret = BYTES(begin, c->p - begin);
                        c->p++;
                        return true;
                }
                if (*c->p < 0x20 || *c->p > 0x7e)
                        return false;
                if (*c->p != '\\')
                        continue;
                if (++c->p == c->end)
                        return false;
                if (*c->p == '"' || *c->p == '\\')
                        continue;
                if (*c->p != 'u')
                        return false;
                c->p++;
                if (!take_hex(c, 4, &unit))
                        return false;
                c->p--;
        }
        return false;
}

/* A name: a lower-case letter, then letters, digits, '-' and for events '.'. */
static bool take_name(Cursor *c, bool dots, Bytes *ret)
{
        const uint8_t *begin = c->p;

        for (; c->p < c->end; c->p++) {
                bool letter = *c->p >= 'a' && *c->p <= 'z';

                if (letter || (c->p > begin && ((*c->p >= '0' && *c->p <= '9') || *c->p == '-' ||
                                                               (dots && *c->p == '.'))))
                        continue;
                break;
        }
        *ret = BYTES(begin, c->p - begin);
        return ret->len > 0 && ret->len <= AUDIT_EVENT_NAME_MAX && TAKE(c, "\"");
}

/* One `"name":value,`. */
static bool take_field(Cursor *c, Bytes *ret_name, Bytes *ret_value, bool *ret_string)
{
        uint64_t number;
        const uint8_t *begin;

        if (!TAKE(c, "\"") || !take_name(c, false, ret_name) || !TAKE(c, ":"))
                return false;
        *ret_string = TAKE(c, "\"");
        if (*ret_string) {
                if (!take_string(c, ret_value))
                        return false;
        } else {
                begin = c->p;
                if (!take_u64(c, &number))
                        return false;
                *ret_value = BYTES(begin, c->p - begin);
        }
        return TAKE(c, ",");
}

static bool take_prefix(Cursor *c, uint64_t *ret_seq, Bytes *ret_prev)
{
        return TAKE(c, "{\"seq\":") && take_u64(c, ret_seq) && TAKE(c, ",\"prev\":\"") &&
               take_hex(c, 64, ret_prev) && TAKE(c, "\",");
}

int audit_record_prefix(Bytes line, uint64_t *ret_seq, Bytes *ret_prev)
{
        Cursor c = {line.data, line.data + line.len};
        uint64_t seq;
        Bytes prev;

        if (!take_prefix(&c, &seq, &prev))
                return HF_E_INVALID_ARGS;
        *ret_seq = seq;
        *ret_prev = prev;
        return 0;
}

int audit_record_parse(Bytes line, AuditRecord *ret)
{
        AuditRecord r = {.line = line};
        Cursor c = {line.data, line.data + line.len}, tail;
        Bytes name, value;
        bool string;

        if (line.len < AUDIT_MAC_TAIL || line.len >= AUDIT_LINE_MAX)
                return HF_E_INVALID_ARGS;
        tail = (Cursor){c.end - AUDIT_MAC_TAIL, c.end};
        if (!TAKE(&tail, "\"mac\":\"") || !take_hex(&tail, 64, &r.mac) || !TAKE(&tail, "\"}"))
                return HF_E_INVALID_ARGS;
        c.end -= AUDIT_MAC_TAIL;
        if (!take_prefix(&c, &r.seq, &r.prev) || !TAKE(&c, "\"t\":\"") || !take_time(&c, &r.time) ||
                        !TAKE(&c, "\",\"dur\":") || !take_u64(&c, &r.dur) || !TAKE(&c, ",\"event\":\"") ||
                        !take_name(&c, true, &r.event) || !TAKE(&c, ","))
                return HF_E_INVALID_ARGS;
        r.fields = BYTES(c.p, c.end - c.p);
        while (c.p < c.end)
                if (!take_field(&c, &name, &value, &string))
                        return HF_E_INVALID_ARGS;
        *ret = r;
        return 0;
}

bool audit_record_is(const AuditRecord *r, const char *event)
{
        return bytes_equal(r->event, bytes_str(event));
}

unsigned audit_record_flags(const AuditRecord *r)
{
        char name[AUDIT_EVENT_NAME_MAX + 1];
        const AuditEvent *event;

        if (r->event.len >= sizeof(name))
                return 0;
        memcpy(name, r->event.data, r->event.len);
        name[r->event.len] = '\0';
        event = audit_event_find(name);
        return event ? event->flags : 0;
}

static bool find(const AuditRecord *r, const char *name, Bytes *ret, bool *ret_string)
{
        Cursor c = {r->fields.data, r->fields.data + r->fields.len};
        Bytes wanted = bytes_str(name), field;

        while (c.p < c.end && take_field(&c, &field, ret, ret_string))
                if (bytes_equal(field, wanted))
                        return true;
        return false;
}

bool audit_record_field(const AuditRecord *r, const char *name, Bytes *ret)
{
        Bytes value;
        bool string;

        if (!find(r, name, &value, &string))
                return false;
        *ret = value;
        return true;
}

int audit_record_u64(const AuditRecord *r, const char *name, uint64_t *ret)
{
        Bytes value;
        bool string;
        Cursor c;

        if (!find(r, name, &value, &string))
                return HF_E_NOTHING_TO_DO;
        c = (Cursor){value.data, value.data + value.len};
        return !string && take_u64(&c, ret) ? 0 : HF_E_INVALID_ARGS;
}

int audit_record_hash(const AuditRecord *r, const char *name, uint8_t ret[static AUDIT_HASH_SIZE])
{
        Bytes value;
        bool string;

        if (!find(r, name, &value, &string))
                return HF_E_NOTHING_TO_DO;
        return string ? hex_decode((const char *)value.data, value.len, ret, AUDIT_HASH_SIZE)
                      : HF_E_INVALID_ARGS;
}

static uint32_t unit_value(const uint8_t *p)
{
        uint32_t v = 0;

        for (int i = 0; i < 4; i++)
                v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
        return v;
}

static size_t utf8_encode(uint32_t c, char ret[static 4])
{
        if (c < 0x80) {
                ret[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char)(0xc0 | c >> 6);
                ret[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char)(0xe0 | c >> 12);
                ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
                ret[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        ret[0] = (char)(0xf0 | c >> 18);
        ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
        ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

/* One character of an escaped string that take_string() has accepted. Lone surrogates are nothing. */
static bool next_character(Cursor *c, uint32_t *ret)
{
        uint32_t low;

        if (*c->p != '\\') {
                *ret = *c->p++;
                return true;
        }
        if (c->p[1] != 'u') {
                *ret = c->p[1];
                c->p += 2;
                return true;
        }
        *ret = unit_value(c->p + 2);
        c->p += 6;
        if (*ret < 0xd800 || *ret > 0xdfff)
                return true;
        if (*ret > 0xdbff || c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
                return false;
        low = unit_value(c->p + 2);
        if (low < 0xdc00 || low > 0xdfff)
                return false;
        c->p += 6;
        *ret = 0x10000 + ((*ret - 0xd800) << 10 | (low - 0xdc00));
        return true;
}

int audit_record_string(const AuditRecord *r, const char *name, char *ret, size_t size)
{
        size_t len = 0, n;
        uint32_t character;
        Bytes value;
        bool string;
        Cursor c;
        char utf8[4];

        if (!find(r, name, &value, &string))
                return HF_E_NOTHING_TO_DO;
        if (!string)
                return HF_E_INVALID_ARGS;
        for (c = (Cursor){value.data, value.data + value.len}; c.p < c.end; len += n) {
                if (!next_character(&c, &character) || character == 0)
                        return HF_E_INVALID_ARGS;
                n = utf8_encode(character, utf8);
                if (len + n >= size)
                        return HF_E_INVALID_ARGS;
                memcpy(ret + len, utf8, n);
        }
        if (size == 0)
                return HF_E_INVALID_ARGS;
        ret[len] = '\0';
        return 0;
}

bool audit_record_authentic(const AuditRecord *r, const uint8_t key[static 32])
{
        uint8_t made[DIGEST_SIZE], said[DIGEST_SIZE];

        if (hex_decode((const char *)r->mac.data, r->mac.len, said, sizeof(said)))
                return false;
        mac_blake2b(key, BYTES(r->line.data, r->line.len - AUDIT_MAC_TAIL), made);
        return secret_equal(made, said, sizeof(made));
}
