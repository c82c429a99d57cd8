/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A signed note over the log (C2SP signed-note; docs/formats/audit.md, "Checkpoint"). The signer puts in what
 * only it knows: its life, how many operations it has done, and the key that follows. The ledger has judged
 * the size when the request arrived, and the number of operations is of that moment as well: later uses are
 * later lines.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "crypto/digest.h"
#include "signer/call.h"

#define ORIGIN_SIZE (sizeof("holdfast/log/") - 1 + UUID_TEXT_SIZE)
#define ED25519_ALGORITHM 0x01
#define VKEY_SIZE 256

/* First four bytes of SHA-256(name || 0x0a || 0x01 || key). */
static void key_id(const char *origin, const uint8_t key[static 32], uint8_t ret[static 4])
{
        uint8_t input[ORIGIN_SIZE + 2 + 32], hash[DIGEST_SIZE];
        size_t n = strlen(origin);

        memcpy(input, origin, n);
        input[n++] = '\n';
        input[n++] = ED25519_ALGORITHM;
        memcpy(input + n, key, 32);
        digest_sha256(BYTES(input, n + 32), hash);
        memcpy(ret, hash, 4);
}

/* NAME+8 hex digits+BASE64(0x01 || key). */
static void format_vkey(const char *origin, const uint8_t key[static 32], char ret[static VKEY_SIZE])
{
        uint8_t id[4], typed[33] = {ED25519_ALGORITHM};
        char id_text[9], key_text[64];

        key_id(origin, key, id);
        hex_encode(id, sizeof(id), id_text);
        memcpy(typed + 1, key, 32);
        base64_encode(typed, sizeof(typed), key_text);
        snprintf(ret, VKEY_SIZE, "%s+%s+%s", origin, id_text, key_text);
}

static int put_text(const Call *call, const SignerCheckpoint *c, const char *origin, Buffer *note)
{
        char head[64], state[65], life[33], counter[24] = "-";
        int r;

        base64_encode(c->head, sizeof(c->head), head);
        hex_encode(c->state, sizeof(c->state), state);
        hex_encode(call->ledger.life, sizeof(call->ledger.life), life);
        if (c->counter >= 0)
                snprintf(counter, sizeof(counter), "%" PRId64, c->counter);
        r = buffer_printf(note,
                        "%s\n%" PRIu64 "\n%s\nstate %s\ncounter %s\nepoch %" PRIu64 "\nlife %s\nops %" PRIu64
                        "\n",
                        origin, c->size, head, state, counter, c->epoch, life, call->ledger.ops);
        if (!r && c->succession) {
                char next[VKEY_SIZE];

                format_vkey(origin, call->signer->vault.secrets->next.checkpoint_public, next);
                r = buffer_printf(note, "next %s\n", next);
        }
        return r;
}

/* An empty line and one signature line behind the text, which it covers with its last newline. */
static int put_signature(const SealKeys *keys, const char *origin, Buffer *note)
{
        uint8_t signature[4 + 64];
        char text[128];

        key_id(origin, keys->checkpoint_public, signature);
        ed25519_sign(keys->checkpoint, buffer_bytes(note), signature + 4);
        base64_encode(signature, sizeof(signature), text);
        return buffer_printf(note, "\n\xe2\x80\x94 %s %s\n", origin, text);
}

int op_checkpoint(Call *call)
{
        const Vault *v = &call->signer->vault;
        char origin[ORIGIN_SIZE + 1], id[UUID_TEXT_SIZE], space[CHECKPOINT_NOTE_MAX];
        Buffer note = {.data = (uint8_t *)space, .allocated = sizeof(space), .limit = sizeof(space)};
        SignerCheckpoint c;
        int r;

        if (signer_checkpoint_decode(call->body, &c))
                return -EPROTO;
        if (call->accepted)
                return call->accepted;
        if (c.counter < -1)
                return HF_E_INVALID_ARGS;
        if (c.succession && !v->has_next)
                return HF_E_NOTHING_TO_DO;
        uuid_format(&v->store_id, id);
        snprintf(origin, sizeof(origin), "holdfast/log/%s", id);
        r = put_text(call, &c, origin, &note);
        if (!r)
                r = put_signature(&v->secrets->keys, origin, &note);
        return r ? r : wire_put_block(call->reply, buffer_bytes(&note));
}
