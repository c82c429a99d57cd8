/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/line.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

static void fail(AuditLine *line, int error)
{
        if (!line->error)
                line->error = error;
}

static void put(AuditLine *line, const char *text, size_t len)
{
        if (line->error)
                return;
        if (len > sizeof(line->text) - line->len) {
                fail(line, HF_E_MESSAGE_TOO_LARGE);
                return;
        }
        memcpy(line->text + line->len, text, len);
        line->len += len;
}

/* Looks the field up, marks it and writes `"field":`. False, with the line failed, where it must not stand.
 */
static bool begin(AuditLine *line, const char *field, AuditFieldType type)
{
        const AuditField *fields = line->event ? line->event->fields : NULL;

        if (line->error)
                return false;
        for (unsigned i = 0; fields && i < AUDIT_FIELDS_MAX && fields[i].name; i++) {
                if (strcmp(fields[i].name, field) != 0)
                        continue;
                if (fields[i].type != type || line->set & (1u << i))
                        break;
                line->set |= 1u << i;
                put(line, "\"", 1);
                put(line, field, strlen(field));
                put(line, "\":", 2);
                return true;
        }
        fail(line, HF_E_INTERNAL);
        return false;
}

void audit_line_init(AuditLine *line, const char *event)
{
        line->event = audit_event_find(event);
        line->error = line->event ? 0 : HF_E_INTERNAL;
        line->set = 0;
        line->len = 0;
        line->ref = 0;
        line->with = 0;
        line->has_state = false;
        put(line, "\"event\":\"", 9);
        put(line, event, strlen(event));
        put(line, "\",", 2);
}

/* One UTF-8 character (RFC 3629): its length and value, or length 0 if the bytes are none. */
static size_t utf8_decode(const uint8_t *p, size_t len, uint32_t *ret)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t n = p[0] >= 0xf0 && p[0] < 0xf8   ? 4
                   : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                   : p[0] >= 0xc0 && p[0] < 0xe0 ? 2
                                                 : 0;
        uint32_t c;

        if (n == 0 || n > len)
                return 0;
        c = p[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return 0;
        *ret = c;
        return n;
}

static void put_unit(AuditLine *line, uint32_t unit)
{
        static const char digits[] = "0123456789abcdef";
        char text[6] = {'\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15], digits[unit >> 4 & 15],
                        digits[unit & 15]};

        put(line, text, sizeof(text));
}

static void put_character(AuditLine *line, uint32_t c)
{
        if (c >= 0x10000) {
                put_unit(line, 0xd800 + ((c - 0x10000) >> 10));
                put_unit(line, 0xdc00 + ((c - 0x10000) & 0x3ff));
        } else
                put_unit(line, c);
}

static void put_invalid(AuditLine *line, uint8_t byte)
{
        char hex[3];

        hex_encode(&byte, 1, hex);
        put(line, "\\\\x", 3);
        put(line, hex, 2);
}

static inline bool is_plain(uint8_t c)
{
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(AuditLine *line, const uint8_t *p, size_t len)
{
        while (len > 0 && !line->error) {
                size_t run = 0, n = 1;
                uint32_t c;

                while (run < len && is_plain(p[run]))
                        run++;
                put(line, (const char *)p, run);
                p += run;
                len -= run;
                if (len == 0)
                        break;
                if (*p == '"' || *p == '\\')
                        put(line, (char[]){'\\', (char)*p}, 2);
                else if (*p < 0x80)
                        put_unit(line, *p);
                else if ((n = utf8_decode(p, len, &c)) > 0)
                        put_character(line, c);
                else {
                        put_invalid(line, *p);
                        n = 1;
                }
                p += n;
                len -= n;
        }
}

void audit_line_strn(AuditLine *line, const char *field, const char *value, size_t len)
{
        if (!begin(line, field, AUDIT_STR))
                return;
        put(line, "\"", 1);
        put_escaped(line, (const uint8_t *)value, len);
        put(line, "\",", 2);
}

void audit_line_str(AuditLine *line, const char *field, const char *value)
{
        if (value)
                audit_line_strn(line, field, value, strlen(value));
}

void audit_line_u64(AuditLine *line, const char *field, uint64_t value)
{
        char digits[20];
        size_t at = sizeof(digits);
        uint64_t rest = value;

        if (!begin(line, field, AUDIT_U64))
                return;
        do
                digits[--at] = (char)('0' + rest % 10);
        while (rest /= 10);
        put(line, digits + at, sizeof(digits) - at);
        put(line, ",", 1);
        if (strcmp(field, "ref") == 0)
                line->ref = value;
        else if (strcmp(field, "with") == 0)
                line->with = value;
}

void audit_line_hex(AuditLine *line, const char *field, const void *data, size_t len)
{
        char text[2 * 256 + 1];

        if (!begin(line, field, AUDIT_HEX))
                return;
        if (len > 256) {
                fail(line, HF_E_MESSAGE_TOO_LARGE);
                return;
        }
        hex_encode(data, len, text);
        put(line, "\"", 1);
        put(line, text, 2 * len);
        put(line, "\",", 2);
        if (strcmp(field, "state") != 0)
                return;
        if (len != sizeof(line->state)) {
                fail(line, HF_E_INTERNAL);
                return;
        }
        memcpy(line->state, data, len);
        line->has_state = true;
}

void audit_line_uuid(AuditLine *line, const char *field, const Uuid *value)
{
        char text[UUID_TEXT_SIZE];

        if (!begin(line, field, AUDIT_UUID))
                return;
        uuid_format(value, text);
        put(line, "\"", 1);
        put(line, text, UUID_TEXT_SIZE - 1);
        put(line, "\",", 2);
}

int audit_line_check(const AuditLine *line)
{
        if (line->error)
                return line->error;
        for (unsigned i = 0; i < AUDIT_FIELDS_MAX && line->event->fields[i].name; i++)
                if (line->event->fields[i].required && !(line->set & (1u << i)))
                        return HF_E_INTERNAL;
        return line->event->flags & AUDIT_EVENT_CHANGE && line->has_state == (line->with != 0) ? HF_E_INTERNAL : 0;
}
