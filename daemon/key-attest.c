/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/key-attest.h"

#include "daemon/bus.h"
#include "daemon/checkpoint.h"

#define STATEMENT_MAX 16384

/* All members are base64 or fixed words, so nothing needs to be escaped. */
static int put(Buffer *b, const char *name, Bytes value, const char *end)
{
        char text[8192];

        if (base64_size(value.len) > sizeof(text))
                return HF_E_SIGNER_FAILED;
        base64_encode(value.data, value.len, text);
        return buffer_printf(b, "  \"%s\": \"%s\"%s\n", name, value.len ? text : "", end);
}

static int put_statement(Buffer *b, const TpmCertificate *c, Bytes spki)
{
        int r = buffer_printf(b, "{\n  \"format\": \"holdfast-attestation-1\",\n");

        if (!r)
                r = put(b, "attest", c->attest, ",");
        if (!r)
                r = put(b, "signature", c->signature, ",");
        if (!r)
                r = put(b, "ak_public", c->ak_public, ",");
        if (!r)
                r = put(b, "key_public", c->key_public, ",");
        if (!r)
                r = put(b, "ek_certificate", c->ek_certificate, ",");
        if (!r)
                r = put(b, "ek_public", c->ek_public, ",");
        if (!r)
                r = put(b, "spki", spki, "");
        return r ? r : buffer_printf(b, "}\n");
}

static void on_attested(void *userdata, int result, Bytes body)
{
        _cleanup_buffer_ Buffer statement = BUFFER_INIT(STATEMENT_MAX);
        Operation *op = userdata;
        sd_bus_message *reply = NULL;
        WireReader r = wire_reader(body);
        TpmCertificate c;
        Bytes block;

        block = wire_get_block(&r, LINK_MESSAGE_MAX);
        if (!result)
                result = wire_done(&r) || tpm_certificate_decode(block, &c) ? HF_E_SIGNER_FAILED
                                                          : put_statement(&statement, &c, key_entry_public(op->key));
        tpm_note_result(op->daemon, result);
        if (!result && (operation_reply_new(op, &reply) < 0 ||
                                       sd_bus_message_append_array(reply, 'y', statement.data, statement.len) < 0))
                result = HF_E_INTERNAL;
        if (result) {
                sd_bus_message_unref(reply);
                operation_fail(op, result);
        } else {
                operation_send_at(op, op->answer_seq, reply);
        }
}

int key_attest(Operation *op, Bytes nonce)
{
        SignerClient *signer = op->daemon->signer;
        AuditLine line;
        Buffer *b;
        int r;

        if (nonce.len < 1 || nonce.len > TPM_NONCE_MAX)
                return HF_E_INVALID_ARGS;
        if (op->key->protection != PROTECTION_TPM)
                return HF_E_NOT_SUPPORTED;
        if (op->key->flags & KEY_FLAG_LOST)
                return HF_E_KEY_LOST;
        audit_line_init(&line, "key.attest");
        audit_line_uuid(&line, "key", &op->key->uuid);
        audit_line_str(&line, "name", key_entry_name(op->key));
        operation_audit_caller(op, &line);
        audit_line_hex(&line, "nonce", nonce.data, nonce.len);
        r = audit_log_append(op->daemon->vault.log, &line, &op->answer_seq);
        if (r)
                return r;
        checkpoint_consider(op->daemon);
        b = signer_begin(signer, SIGNER_ATTEST);
        r = wire_put_block(b, key_entry_attributes(op->key));
        if (!r)
                r = wire_put_block(b, key_entry_wrapped(op->key));
        if (!r)
                r = wire_put_block(b, nonce);
        return r ? r : signer_call(signer, NULL, 0, on_attested, op);
}
