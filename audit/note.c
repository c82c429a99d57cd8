/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/note.h"

#include <stdio.h>

#include "base/error.h"
#include "crypto/digest.h"

#define SIGNATURE_PREFIX "\xe2\x80\x94 " /* em dash, space */
#define ALGORITHM_ED25519 0x01

/* Walks the lines of a note. A line without its newline is none. */
typedef struct Lines {
        const char *p, *end;
} Lines;

static bool next_line(Lines *l, Bytes *ret)
{
        const char *end = l->p < l->end ? memchr(l->p, '\n', l->end - l->p) : NULL;

        if (!end)
                return false;
        *ret = BYTES(l->p, end - l->p);
        l->p = end + 1;
        return true;
}

static bool cut_prefix(Bytes *b, const char *prefix)
{
        size_t len = strlen(prefix);

        if (b->len < len || memcmp(b->data, prefix, len) != 0)
                return false;
        *b = BYTES(b->data + len, b->len - len);
        return true;
}

/* The next line, which begins with `word`; what follows it. */
static bool next_value(Lines *l, const char *word, Bytes *ret)
{
        return next_line(l, ret) && cut_prefix(ret, word);
}

static bool parse_u64(Bytes b, uint64_t *ret)
{
        uint64_t v = 0;

        if (b.len == 0 || b.len > 20 || (b.data[0] == '0' && b.len > 1))
                return false;
        for (size_t i = 0; i < b.len; i++)
                if (b.data[i] < '0' || b.data[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
                                __builtin_add_overflow(v, b.data[i] - '0', &v))
                        return false;
        *ret = v;
        return true;
}

static bool parse_counter(Bytes b, int64_t *ret)
{
        uint64_t v;

        if (b.len == 1 && b.data[0] == '-') {
                *ret = -1;
                return true;
        }
        if (!parse_u64(b, &v) || v > INT64_MAX)
                return false;
        *ret = (int64_t)v;
        return true;
}

static bool parse_hex(Bytes b, uint8_t *ret, size_t len)
{
        return hex_decode((const char *)b.data, b.len, ret, len) == 0;
}

static bool parse_base64(Bytes b, uint8_t *ret, size_t len)
{
        size_t n;

        return base64_decode((const char *)b.data, b.len, ret, len, &n) == 0 && n == len;
}

/* Names go into files, lines and keys as text: printable ASCII without space and plus (C2SP signed-note). */
static bool copy_name(Bytes b, char ret[static AUDIT_NAME_MAX + 1])
{
        if (b.len == 0 || b.len > AUDIT_NAME_MAX)
                return false;
        for (size_t i = 0; i < b.len; i++)
                if (b.data[i] <= 0x20 || b.data[i] > 0x7e || b.data[i] == '+')
                        return false;
        memcpy(ret, b.data, b.len);
        ret[b.len] = '\0';
        return true;
}

/* The first signature by the origin; lines of others (witnesses) may stand around it. */
static bool parse_signatures(Lines *l, AuditNote *n)
{
        uint8_t blob[4 + 64];
        bool found = false;
        Bytes line;

        while (l->p < l->end) {
                if (!next_value(l, SIGNATURE_PREFIX, &line))
                        return false;
                if (found || !cut_prefix(&line, n->origin) || !cut_prefix(&line, " "))
                        continue;
                if (!parse_base64(line, blob, sizeof(blob)))
                        return false;
                memcpy(n->key_id, blob, 4);
                memcpy(n->signature, blob + 4, 64);
                found = true;
        }
        return found;
}

int audit_note_parse(const char *text, size_t len, AuditNote *ret)
{
        AuditNote n = {};
        Lines l = {text, text + len};
        Bytes line;

        if (len > AUDIT_NOTE_MAX || !next_line(&l, &line) || !copy_name(line, n.origin) ||
                        !next_line(&l, &line) || !parse_u64(line, &n.size) || n.size == 0 ||
                        !next_line(&l, &line) || !parse_base64(line, n.head, 32) ||
                        !next_value(&l, "state ", &line) || !parse_hex(line, n.state, 32) ||
                        !next_value(&l, "counter ", &line) || !parse_counter(line, &n.counter) ||
                        !next_value(&l, "epoch ", &line) || !parse_u64(line, &n.epoch) ||
                        !next_value(&l, "life ", &line) || !parse_hex(line, n.life, 16) ||
                        !next_value(&l, "ops ", &line) || !parse_u64(line, &n.ops) || !next_line(&l, &line))
                return HF_E_INVALID_ARGS;
        if (cut_prefix(&line, "next ")) {
                if (audit_vkey_parse((const char *)line.data, line.len, &n.next) || !next_line(&l, &line))
                        return HF_E_INVALID_ARGS;
                n.has_next = true;
        }
        if (line.len != 0)
                return HF_E_INVALID_ARGS;
        n.text_len = (size_t)(l.p - text) - 1;
        if (!parse_signatures(&l, &n))
                return HF_E_INVALID_ARGS;
        *ret = n;
        return 0;
}

int audit_note_verify(const char *text, size_t len, const AuditNote *note, const AuditVkey *key)
{
        if (note->text_len > len || memcmp(note->key_id, key->id, sizeof(key->id)) != 0 ||
                        strcmp(note->origin, key->name) != 0)
                return HF_E_KEY_MISMATCH;
        return ed25519_verify(key->key, BYTES(text, note->text_len), note->signature) ? HF_E_KEY_MISMATCH : 0;
}

void audit_vkey_init(AuditVkey *ret, const char *name, const uint8_t key[static 32])
{
        uint8_t input[AUDIT_NAME_MAX + 2 + 32], hash[DIGEST_SIZE];
        size_t len = strnlen(name, AUDIT_NAME_MAX);

        *ret = (AuditVkey){};
        memcpy(ret->name, name, len);
        memcpy(ret->key, key, 32);
        memcpy(input, name, len);
        input[len] = '\n';
        input[len + 1] = ALGORITHM_ED25519;
        memcpy(input + len + 2, key, 32);
        digest_sha256(BYTES(input, len + 2 + 32), hash);
        memcpy(ret->id, hash, sizeof(ret->id));
}

void audit_vkey_of_log(AuditVkey *ret, const Uuid *log, const uint8_t key[static 32])
{
        char name[AUDIT_NAME_MAX + 1] = AUDIT_ORIGIN_PREFIX;

        uuid_format(log, name + sizeof(AUDIT_ORIGIN_PREFIX) - 1);
        audit_vkey_init(ret, name, key);
}

int audit_vkey_parse(const char *text, size_t len, AuditVkey *ret)
{
        const char *plus = memchr(text, '+', len);
        size_t left = plus ? len - (size_t)(plus - text) : 0;
        char name[AUDIT_NAME_MAX + 1];
        uint8_t id[4], blob[33];
        AuditVkey k;

        if (left < 10 || plus[9] != '+' || !copy_name(BYTES(text, plus - text), name) ||
                        hex_decode(plus + 1, 8, id, sizeof(id)) ||
                        !parse_base64(BYTES(plus + 10, left - 10), blob, 33) || blob[0] != ALGORITHM_ED25519)
                return HF_E_INVALID_ARGS;
        audit_vkey_init(&k, name, blob + 1);
        if (memcmp(k.id, id, sizeof(id)) != 0)
                return HF_E_INVALID_ARGS;
        *ret = k;
        return 0;
}

void audit_vkey_format(const AuditVkey *k, char ret[static AUDIT_VKEY_MAX])
{
        uint8_t blob[33] = {ALGORITHM_ED25519};
        char id[9], text[48];

        memcpy(blob + 1, k->key, 32);
        hex_encode(k->id, sizeof(k->id), id);
        base64_encode(blob, sizeof(blob), text);
        snprintf(ret, AUDIT_VKEY_MAX, "%s+%s+%s", k->name, id, text);
}

void audit_key_fingerprint(const uint8_t key[static 32], char ret[static AUDIT_FINGERPRINT_SIZE])
{
        uint8_t hash[DIGEST_SIZE];

        digest_sha256(BYTES(key, 32), hash);
        memcpy(ret, "SHA256:", 7);
        base64_encode(hash, sizeof(hash), ret + 7);
}
