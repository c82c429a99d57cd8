/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checkpoint notes
 *
 * A checkpoint is a signed note (C2SP signed-note, tlog-checkpoint): text lines, an empty line, signature
 * lines.
 *
 *        holdfast/log/0a1b2c3d-....            origin, with the log id
 *        1024                                  size: records covered, so the last seq + 1
 *        47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=   head: SHA-256 of record size - 1, standard base64
 *        state 64 hex digits
 *        counter 17                            or "counter -" where there is no NV counter
 *        epoch 0
 *        life 32 hex digits
 *        ops 12345
 *        next NAME+KEYID+KEY                   only in the last checkpoint before a rekey: the new key
 *
 *        — holdfast/log/0a1b... BASE64         4 bytes key id, 64 bytes Ed25519 over the text up to and with
 * the newline before the empty line
 *
 * Key id: the first four bytes of SHA-256(NAME || 0x0A || 0x01 || public key). A key as text ("vkey") is
 * NAME+8 hex digits of the key id+BASE64(0x01 || public key). This file reads and checks; the signer writes.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/uuid.h"

#define AUDIT_NOTE_MAX 1024
#define AUDIT_ORIGIN_PREFIX "holdfast/log/"
#define AUDIT_NAME_MAX 64 /* of the origin: prefix and UUID take 49 */
#define AUDIT_VKEY_MAX 160
#define AUDIT_FINGERPRINT_SIZE 52 /* "SHA256:" 44 characters, NUL */

typedef struct AuditVkey {
        char name[AUDIT_NAME_MAX + 1];
        uint8_t id[4];
        uint8_t key[32];
} AuditVkey;

typedef struct AuditNote {
        char origin[AUDIT_NAME_MAX + 1];
        uint64_t size;
        uint8_t head[32];
        uint8_t state[32];
        int64_t counter; /* -1: none */
        uint64_t epoch;
        uint8_t life[16];
        uint64_t ops;
        bool has_next;
        AuditVkey next;
        uint8_t key_id[4]; /* of the first signature by `origin` */
        uint8_t signature[64];
        size_t text_len; /* how much of the text is signed */
} AuditNote;

/* Strict; nothing about the signature is checked. HF_E_INVALID_ARGS. */
int audit_note_parse(const char *text, size_t len, AuditNote *ret);
/* 0, or HF_E_KEY_MISMATCH: another key's note, or not its signature. */
int audit_note_verify(const char *text, size_t len, const AuditNote *note, const AuditVkey *key);

void audit_vkey_init(AuditVkey *ret, const char *name, const uint8_t key[static 32]);
/* The key that seals the log of the store with this id: its name is the log's origin. */
void audit_vkey_of_log(AuditVkey *ret, const Uuid *log, const uint8_t key[static 32]);
int audit_vkey_parse(const char *text, size_t len, AuditVkey *ret);
void audit_vkey_format(const AuditVkey *k, char ret[static AUDIT_VKEY_MAX]);
/* For people: "SHA256:" and the base64 of SHA-256 over the 32-byte public key. */
void audit_key_fingerprint(const uint8_t key[static 32], char ret[static AUDIT_FINGERPRINT_SIZE]);
