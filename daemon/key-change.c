/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/key-change.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "crypto/pubkey.h"
#include "daemon/bus.h"
#include "daemon/change.h"
#include "daemon/slot-tpm.h"
#include "daemon/tpm-words.h"

typedef struct KeyChange {
        Change change;
        Operation *op;
        KeyAttributes attributes; /* as the row will have them */
        Buffer wrapped;
        KeystoreChange keystore;
        bool retires;          /* then no slot may be made from it */
        bool authorised;       /* an authorisation came with the file */
        uint8_t keys_hash[32]; /* says under which master the envelope was made */
} KeyChange;

static void key_change_free(KeyChange *k)
{
        keystore_change_deinit(&k->keystore);
        buffer_deinit(&k->wrapped);
        free(k);
}

static void fail(KeyChange *k, int r)
{
        Operation *op = k->op;

        key_change_free(k);
        tpm_note_result(op->daemon, r);
        operation_fail(op, r);
}

/* ---- inside the change ---- */

static void fill_line(const KeyChange *k, AuditLine *line)
{
        const KeyAttributes *a = &k->attributes;
        uint8_t fingerprint[32];

        audit_line_uuid(line, "key", &a->uuid);
        audit_line_str(line, "name", a->name);
        if (strcmp(k->change.event, "key.create") == 0 || strcmp(k->change.event, "key.import") == 0) {
                audit_line_str(line, "algorithm", key_algorithm_info(a->algorithm)->name);
                audit_line_str(line, "purpose", key_purpose_to_string(a->purpose));
                audit_line_str(line, "protection", key_protection_to_string(a->protection));
                if (a->public_len) {
                        pubkey_fingerprint(key_attributes_public(a), fingerprint);
                        audit_line_hex(line, "public", fingerprint, sizeof(fingerprint));
                }
        }
        operation_audit_caller(k->op, line);
}

static int write_put(Change *c, AuditLine *line)
{
        KeyChange *k = c->userdata;
        Vault *v = &c->daemon->vault;

        if (memcmp(k->keys_hash, v->keys_hash, sizeof(k->keys_hash)))
                return HF_E_BUSY; /* rekeyed in between: nobody could open that envelope */
        if (k->retires && slot_needs_key(v, key_attributes_public(&k->attributes)))
                return HF_E_KEY_NEEDED;
        fill_line(k, line);
        return keystore_put(v->store, v->catalogue, &k->attributes, buffer_bytes(&k->wrapped), &k->keystore);
}

static int write_destroy(Change *c, AuditLine *line)
{
        KeyChange *k = c->userdata;
        Vault *v = &c->daemon->vault;

        if (slot_needs_key(v, key_attributes_public(&k->attributes)))
                return HF_E_KEY_NEEDED;
        if (identities_find_key(v->identities, &k->attributes.uuid) || registry_find_key(v->registry, &k->attributes.uuid))
                return HF_E_KEY_IN_USE;
        fill_line(k, line);
        return keystore_destroy(v->store, v->catalogue, &k->attributes.uuid, &k->keystore);
}

static void apply(Change *c)
{
        KeyChange *k = c->userdata;

        keystore_apply(c->daemon->vault.catalogue, c->daemon->vault.uses, &k->keystore);
        c->daemon->vault.has_tpm_keys |= k->attributes.protection == PROTECTION_TPM;
}

static int append_new_key(KeyChange *k, sd_bus_message *reply)
{
        char *path = NULL;
        int r = key_path(k->keystore.after, &path);

        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 'o', path);
        free(path);
        return r >= 0 ? key_append_description(k->op->daemon, reply, k->keystore.after) : r;
}

static void finish(Change *c, int result)
{
        KeyChange *k = c->userdata;
        Operation *op = k->op;
        sd_bus_message *reply = NULL;
        int r = 0;

        if (result == HF_E_INVALID_ARGS && k->attributes.version > 1)
                result = HF_E_BUSY; /* somebody changed the key between envelope and row */
        if (!result) {
                r = operation_reply_new(op, &reply);
                if (r >= 0 && !k->keystore.before)
                        r = append_new_key(k, reply);
        }
        key_change_free(k);
        if (result)
                operation_fail(op, result);
        else
                send_done(op, reply, r);
}

static KeyChange *key_change_new(Operation *op, const char *event, int (*write)(Change *, AuditLine *))
{
        KeyChange *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        k->op = op;
        memcpy(k->keys_hash, op->daemon->vault.keys_hash, sizeof(k->keys_hash));
        k->wrapped = BUFFER_INIT(KEY_WRAPPED_MAX);
        k->change = (Change){
                        .event = event,
                        .seal = true,
                        .write = write,
                        .apply = apply,
                        .finish = finish,
                        .userdata = k,
        };
        return k;
}

/* ---- envelopes ---- */

static void on_generated(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        KeyChange *k = userdata;
        Bytes attributes, wrapped;

        if (!result) {
                attributes = wire_get_block(&r, KEY_ATTRIBUTES_MAX);
                wrapped = wire_get_block(&r, KEY_WRAPPED_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : key_attributes_decode(attributes, &k->attributes);
        }
        if (!result)
                result = buffer_append(&k->wrapped, wrapped.data, wrapped.len);
        if (result)
                fail(k, result);
        else
                change_submit(k->op->daemon, &k->change);
}

/* That it was tried, with or without an authorisation, may have counted. */
static void on_imported(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        KeyChange *k = userdata;
        char left[TPM_DETAIL_MAX] = "";

        if (result != HF_E_UNLOCK_FAILED) {
                on_generated(userdata, result, body);
                return;
        }
        wire_get_string(&r, left, sizeof(left));
        operation_fail_because(k->op, HF_E_UNLOCK_FAILED, "%s Nothing was kept%s%s.",
                        k->authorised ? "The key in this file wants another authorisation."
                                      : "The key in this file wants an authorisation: give it with --passphrase-file or "
                                        "--passphrase-fd.",
                        wire_done(&r) || !left[0] ? "" : "; asking cost one of the TPM's tries: ", left);
        key_change_free(k);
}

static int put_attributes(Buffer *b, const KeyAttributes *a)
{
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        int r = key_attributes_encode(a, &encoded);

        return r ? r : wire_put_block(b, buffer_bytes(&encoded));
}

/* Nothing else is made in its place, so it is said what could be. */
static void on_created(void *userdata, int result, Bytes body)
{
        KeyChange *k = userdata;
        char names[128];

        if (result != HF_E_ALGORITHM_NOT_SUPPORTED || k->attributes.protection != PROTECTION_TPM) {
                on_generated(userdata, result, body);
                return;
        }
        tpm_algorithm_words(k->op->daemon, names, sizeof(names));
        operation_fail_because(k->op, result, "The TPM of this machine makes no %s keys%s%s. Nothing was made.",
                        key_algorithm_info(k->attributes.algorithm)->name, names[0] ? ", only " : "", names);
        key_change_free(k);
}

int key_create(Operation *op, const KeyAttributes *attributes)
{
        SignerClient *signer = op->daemon->signer;
        KeyChange *k;
        int r;

        k = key_change_new(op, "key.create", write_put);
        if (!k)
                return -ENOMEM;
        k->attributes = *attributes;
        r = put_attributes(signer_begin(signer, SIGNER_GENERATE), attributes);
        if (!r)
                r = signer_call(signer, NULL, 0, on_created, k);
        if (r)
                key_change_free(k);
        return r;
}

/* The raw key goes from the importer to the signer through a socket pair neither end of which stays with us.
 */
int key_import(Operation *op, const KeyAttributes *attributes, bool usual, int pkcs8_fd, int secret_fd)
{
        _cleanup_close_ int importer = -EBADF, near = -EBADF, far = -EBADF;
        _cleanup_buffer_ Buffer message = BUFFER_INIT(4096);
        SignerClient *signer = op->daemon->signer;
        int pair[2], r;
        KeyChange *k;
        Buffer *b;

        if (link_connect(op->daemon->config.importer_socket, &importer) ||
                        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return HF_E_SIGNER_UNAVAILABLE;
        near = pair[0];
        far = pair[1];
        r = link_begin(&message, SIGNER_IMPORT, 1);
        if (!r)
                r = link_send(importer, buffer_bytes(&message), (int[]){pkcs8_fd, far}, 2);
        if (r)
                return HF_E_SIGNER_UNAVAILABLE;
        k = key_change_new(op, "key.import", write_put);
        if (!k)
                return -ENOMEM;
        k->authorised = secret_fd >= 0;
        b = signer_begin(signer, SIGNER_IMPORT);
        r = put_attributes(b, attributes);
        if (!r)
                r = wire_put_u8(b, usual);
        if (!r)
                r = signer_call(signer, (int[]){near, secret_fd}, 1 + k->authorised, on_imported, k);
        if (r)
                key_change_free(k);
        return r;
}

static void on_rewrapped(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        KeyChange *k = userdata;
        Bytes wrapped;

        if (!result) {
                wrapped = wire_get_block(&r, KEY_WRAPPED_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : buffer_append(&k->wrapped, wrapped.data, wrapped.len);
        }
        if (result)
                fail(k, result);
        else
                change_submit(k->op->daemon, &k->change);
}

int key_change_state(Operation *op, KeyAction action, const char *event)
{
        SignerClient *signer = op->daemon->signer;
        KeyChange *k;
        Buffer *b;
        int r;

        k = key_change_new(op, event, write_put);
        if (!k)
                return -ENOMEM;
        k->retires = action == KEY_ACTION_RETIRE;
        r = lifecycle_next(op->key, action, &k->attributes);
        if (!r) {
                b = signer_begin(signer, SIGNER_REWRAP);
                r = wire_put_block(b, key_entry_attributes(op->key));
                if (!r)
                        r = wire_put_block(b, key_entry_wrapped(op->key));
                if (!r)
                        r = put_attributes(b, &k->attributes);
                if (!r)
                        r = signer_call(signer, NULL, 0, on_rewrapped, k);
        }
        if (r)
                key_change_free(k);
        return r;
}

int key_destroy(Operation *op)
{
        KeyChange *k;
        int r;

        r = lifecycle_check(op->key, KEY_ACTION_DESTROY);
        if (r)
                return r;
        k = key_change_new(op, "key.destroy", write_destroy);
        if (!k)
                return -ENOMEM;
        r = key_entry_decode(op->key, &k->attributes);
        if (r) {
                key_change_free(k);
                return r;
        }
        change_submit(op->daemon, &k->change);
        return 0;
}
