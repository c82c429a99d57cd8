/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface org.holdfast.Keystore1.Key: what can be done with one key. Use goes on in daemon/use.c. */
#include <errno.h>
#include <string.h>

#include "crypto/csr.h"
#include "crypto/pubkey.h"
#include "daemon/bus.h"
#include "daemon/change.h"
#include "daemon/key-attest.h"
#include "daemon/key-change.h"
#include "daemon/lost.h"
#include "dbus/names.h"
#include "keystore/lifecycle.h"

#define AGREE_LENGTH_MAX 256
#define AGREE_LENGTH_USUAL 32

static const OptionSpec no_options[] = {{0}};

static int read_no_options(Operation *op)
{
        return read_options(op, no_options, NULL);
}

/* ---- describing ---- */

static const char *state_name(const KeyEntry *key)
{
        return key->flags & KEY_FLAG_LOST       ? "lost"
               : key->flags & KEY_FLAG_RETIRED  ? "retired"
               : key->flags & KEY_FLAG_DISABLED ? "disabled"
                                                : "enabled";
}

static int append_schemes(sd_bus_message *m, const KeyEntry *key)
{
        const char *names[_SCHEME_MAX + 1];
        size_t n = 0;

        for (Scheme s = 1; s < _SCHEME_MAX; s++)
                if (scheme_check(s, key->algorithm, key->purpose) == 0)
                        names[n++] = scheme_info(s)->name;
        names[n] = NULL;
        return reply_append_strings(m, "schemes", names);
}

static int append_public(sd_bus_message *m, const KeyEntry *key)
{
        uint8_t fingerprint[32];
        char hex[65];
        int r;

        if (!key->public_len)
                return 0;
        pubkey_fingerprint(key_entry_public(key), fingerprint);
        hex_encode(fingerprint, sizeof(fingerprint), hex);
        r = reply_append_string(m, "fingerprint", hex);
        return r >= 0 ? reply_append_bytes(m, "public", key_entry_public(key)) : r;
}

/* When and why it went, or why it cannot be used just now. */
static int append_trouble(const Daemon *d, sd_bus_message *m, const KeyEntry *key)
{
        const Vault *v = &d->vault;
        const LostOccasion *o = lost_find(v->occasions, v->n_occasions, key->created);
        const char *why = tpm_key_unavailable(d, key);
        int r = 0;

        if (!why)
                return 0;
        if (key->flags & KEY_FLAG_LOST) {
                why = o ? o->reason : "its TPM is gone";
                r = reply_append_string(m, "lost", why);
                if (r >= 0 && o)
                        r = reply_append_u64(m, "lost-time", o->when);
        }
        return r >= 0 ? reply_append_string(m, "unavailable", why) : r;
}

static int append_fields(const Daemon *d, sd_bus_message *m, const KeyEntry *key)
{
        char uuid[UUID_TEXT_SIZE];
        int r;

        uuid_format(&key->uuid, uuid);
        r = reply_append_string(m, "name", key_entry_name(key));
        if (r >= 0)
                r = reply_append_string(m, "uuid", uuid);
        if (r >= 0)
                r = reply_append_string(m, "algorithm", key_algorithm_info(key->algorithm)->name);
        if (r >= 0)
                r = reply_append_string(m, "purpose", key_purpose_to_string(key->purpose));
        if (r >= 0)
                r = reply_append_string(m, "protection", key_protection_to_string(key->protection));
        if (r >= 0)
                r = reply_append_string(m, "state", state_name(key));
        if (r >= 0)
                r = reply_append_bool(m, "frozen", key->flags & KEY_FLAG_FROZEN);
        if (r >= 0)
                r = reply_append_bool(m, "digest", key->flags & KEY_FLAG_DIGEST);
        if (r >= 0)
                r = reply_append_bool(m, "imported", key->flags & KEY_FLAG_IMPORTED);
        if (r >= 0)
                r = reply_append_u64(m, "created", key->created);
        if (r >= 0)
                r = reply_append_u32(m, "version", key->version);
        if (r >= 0)
                r = append_trouble(d, m, key);
        if (r >= 0)
                r = append_schemes(m, key);
        return r >= 0 ? append_public(m, key) : r;
}

int key_append_description(const Daemon *d, sd_bus_message *m, const KeyEntry *key)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_fields(d, m, key);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int key_append_property(sd_bus_message *m, const KeyEntry *key, const char *name)
{
        char uuid[UUID_TEXT_SIZE];

        uuid_format(&key->uuid, uuid);
        if (strcmp(name, "Name") == 0)
                return sd_bus_message_append(m, "v", "s", key_entry_name(key));
        if (strcmp(name, "Uuid") == 0)
                return sd_bus_message_append(m, "v", "s", uuid);
        if (strcmp(name, "Algorithm") == 0)
                return sd_bus_message_append(m, "v", "s", key_algorithm_info(key->algorithm)->name);
        if (strcmp(name, "Purpose") == 0)
                return sd_bus_message_append(m, "v", "s", key_purpose_to_string(key->purpose));
        if (strcmp(name, "Protection") == 0)
                return sd_bus_message_append(m, "v", "s", key_protection_to_string(key->protection));
        if (strcmp(name, "State") == 0)
                return sd_bus_message_append(m, "v", "s", state_name(key));
        if (strcmp(name, "PublicKey") == 0) {
                Bytes p = key_entry_public(key);
                int r = sd_bus_message_open_container(m, 'v', "ay");

                if (r >= 0)
                        r = sd_bus_message_append_array(m, 'y', p.data, p.len);
                return r >= 0 ? sd_bus_message_close_container(m) : r;
        }
        return -ENXIO;
}

int key_path(const KeyEntry *key, char **ret)
{
        char uuid[UUID_TEXT_SIZE];

        uuid_format(&key->uuid, uuid);
        return sd_bus_path_encode(
                        HF_PATH_KEY, key->flags & KEY_FLAG_RETIRED ? uuid : key_entry_name(key), ret);
}

static int handle_describe(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r = read_no_options(op);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = key_append_description(op->daemon, reply, op->key);
        return send_or_unref(op, reply, r);
}

static int handle_public(Operation *op)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(16384);
        sd_bus_message *reply = NULL;
        const char *format;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &format) < 0)
                return HF_E_INVALID_ARGS;
        r = read_no_options(op);
        if (r)
                return r;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_PUBLIC});
        if (r)
                return r;
        if (!op->key->public_len)
                return HF_E_NOT_SUPPORTED;
        r = pubkey_export(key_entry_public(op->key), format, key_entry_name(op->key), &text);
        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', text.data, text.len);
        return send_or_unref(op, reply, r);
}

/* ---- use ---- */

typedef struct UsePlan {
        const char *event;
        SignerOp use;
        PolicyOperation operation;
        KeyPurpose purpose;
        const char *scheme; /* "" for the usual one */
        bool digest;
} UsePlan;

static int resolve_scheme(Operation *op, const UsePlan *plan)
{
        if (*plan->scheme) {
                op->scheme = scheme_from_string(plan->scheme);
                return op->scheme ? 0 : HF_E_SCHEME_NOT_SUPPORTED;
        }
        op->scheme = op->key ? scheme_usual(op->key->algorithm, plan->purpose) : _SCHEME_INVALID;
        return 0;
}

/* Everything that is asked about the key comes after policy, so that a stranger learns nothing from the
 * order. */
static int check_use(const Operation *op, const UsePlan *plan)
{
        int r;

        if (op->key->purpose != plan->purpose)
                return HF_E_PURPOSE_NOT_PERMITTED;
        if (!op->scheme)
                return HF_E_SCHEME_NOT_SUPPORTED;
        r = scheme_check(op->scheme, op->key->algorithm, op->key->purpose);
        if (!r)
                r = lifecycle_check(op->key, KEY_ACTION_USE);
        if (!r && plan->purpose == PURPOSE_SIGN && plan->digest != !!(op->key->flags & KEY_FLAG_DIGEST))
                r = HF_E_PURPOSE_NOT_PERMITTED;
        return r;
}

static int check_payloads(const Operation *op, const UsePlan *plan)
{
        const SchemeInfo *s = scheme_info(op->scheme);
        size_t total = 0;

        for (size_t i = 0; i < op->n_items; i++) {
                if (op->items[i].payload.len > HF_MESSAGE_MAX)
                        return HF_E_MESSAGE_TOO_LARGE;
                if (plan->digest && (!s->digest_size || op->items[i].payload.len != s->digest_size))
                        return HF_E_INVALID_ARGS;
                total += op->items[i].payload.len;
        }
        return total > HF_BUS_MESSAGE_MAX ? HF_E_MESSAGE_TOO_LARGE : 0;
}

static int begin_use(Operation *op, const UsePlan *plan)
{
        int r;

        r = resolve_scheme(op, plan);
        if (r)
                return r;
        r = operation_authorise(op, &(Question){
                                                    .operation = plan->operation,
                                                    .scheme = op->scheme ? scheme_info(op->scheme)->name : "",
                                                    .count = (uint32_t)op->n_items,
                                    });
        if (r)
                return r;
        r = check_use(op, plan);
        if (r) {
                operation_refuse(op, plan->operation, r);
                return OPERATION_ANSWERED;
        }
        r = check_payloads(op, plan);
        if (r)
                return r;
        op->event = plan->event;
        op->use = plan->use;
        if (plan->digest)
                op->flags |= SIGNER_FLAG_DIGEST;
        return use_start(op);
}

static int finish_bytes(Operation *op, sd_bus_message *reply)
{
        return sd_bus_message_append_array(reply, 'y', op->items[0].result, op->items[0].result_len);
}

static int finish_many(Operation *op, sd_bus_message *reply)
{
        int r = sd_bus_message_open_container(reply, 'a', "ay");

        for (size_t i = 0; r >= 0 && i < op->n_items; i++)
                r = sd_bus_message_append_array(reply, 'y', op->items[i].result, op->items[i].result_len);
        return r >= 0 ? sd_bus_message_close_container(reply) : r;
}

static int one_item(Operation *op, Bytes payload)
{
        op->items = calloc(1, sizeof(*op->items));
        if (!op->items)
                return -ENOMEM;
        op->n_items = 1;
        op->items[0].payload = payload;
        op->finish = finish_bytes;
        return 0;
}

static int read_bytes(Operation *op, Bytes *ret)
{
        const void *data;
        size_t len;
        int r;

        r = sd_bus_message_read_array(op->call, 'y', &data, &len);
        if (r < 0)
                return options_unreadable(r);
        *ret = BYTES(data, len);
        return 0;
}

typedef struct SignOptions {
        const char *input, *encoding;
} SignOptions;

static const OptionSpec sign_options[] = {
                {"input", OPTION_STRING, offsetof(SignOptions, input)},
                {"encoding", OPTION_STRING, offsetof(SignOptions, encoding)},
                {0},
};

static int read_sign_options(Operation *op, UsePlan *plan)
{
        SignOptions o = {.input = "message", .encoding = "der"};
        int r = read_options(op, sign_options, &o);

        if (r)
                return r;
        plan->digest = strcmp(o.input, "digest") == 0;
        if (!plan->digest && strcmp(o.input, "message"))
                return HF_E_INVALID_ARGS;
        if (strcmp(o.encoding, "p1363") == 0)
                op->flags |= SIGNER_FLAG_P1363;
        else if (strcmp(o.encoding, "der"))
                return HF_E_INVALID_ARGS;
        if (plan->digest)
                plan->operation = POLICY_OP_SIGN_DIGEST;
        return 0;
}

static const UsePlan plan_sign = {.event = "key.sign",
                .use = SIGNER_OP_SIGN,
                .operation = POLICY_OP_SIGN,
                .purpose = PURPOSE_SIGN,
                .scheme = ""};

static int handle_sign(Operation *op)
{
        UsePlan plan = plan_sign;
        Bytes data = BYTES_NULL;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &plan.scheme) < 0)
                return HF_E_INVALID_ARGS;
        r = read_bytes(op, &data);
        if (!r)
                r = read_sign_options(op, &plan);
        if (!r)
                r = one_item(op, data);
        return r ? r : begin_use(op, &plan);
}

static int read_items(Operation *op)
{
        const void *data;
        size_t len;
        int r;

        op->items = calloc(HF_SIGN_MANY_MAX, sizeof(*op->items));
        if (!op->items)
                return -ENOMEM;
        r = sd_bus_message_enter_container(op->call, 'a', "ay");
        if (r < 0)
                return options_unreadable(r);
        while ((r = sd_bus_message_at_end(op->call, false)) == 0) {
                if (op->n_items == HF_SIGN_MANY_MAX)
                        return HF_E_LIMIT_EXCEEDED;
                r = sd_bus_message_read_array(op->call, 'y', &data, &len);
                if (r < 0)
                        return options_unreadable(r);
                op->items[op->n_items++].payload = BYTES(data, len);
        }
        if (r < 0 || sd_bus_message_exit_container(op->call) < 0 || op->n_items == 0)
                return HF_E_INVALID_ARGS;
        return 0;
}

static int handle_sign_many(Operation *op)
{
        UsePlan plan = plan_sign;
        int r;

        op->many = true;
        op->finish = finish_many;
        if (sd_bus_message_read_basic(op->call, 's', &plan.scheme) < 0)
                return HF_E_INVALID_ARGS;
        r = read_items(op);
        if (!r)
                r = read_sign_options(op, &plan);
        return r ? r : begin_use(op, &plan);
}

typedef struct DataOptions {
        Bytes aux, salt;
        uint32_t length;
} DataOptions;

static const OptionSpec label_option[] = {{"label", OPTION_BYTES, offsetof(DataOptions, aux)}, {0}};
static const OptionSpec aad_option[] = {{"aad", OPTION_BYTES, offsetof(DataOptions, aux)}, {0}};
static const OptionSpec agree_options[] = {
                {"info", OPTION_BYTES, offsetof(DataOptions, aux)},
                {"salt", OPTION_BYTES, offsetof(DataOptions, salt)},
                {"length", OPTION_U32, offsetof(DataOptions, length)},
                {0},
};

/* The operations that take data and options and give data: decrypt, agree, mac, seal, unseal. */
static int handle_data(Operation *op, const UsePlan *plan, bool has_scheme, const OptionSpec *options)
{
        DataOptions o = {.length = AGREE_LENGTH_USUAL};
        UsePlan mine = *plan;
        Bytes data = BYTES_NULL;
        int r;

        if (has_scheme && sd_bus_message_read_basic(op->call, 's', &mine.scheme) < 0)
                return HF_E_INVALID_ARGS;
        r = read_bytes(op, &data);
        if (!r)
                r = read_options(op, options, &o);
        if (r)
                return r;
        if (o.length < 1 || o.length > AGREE_LENGTH_MAX || o.aux.len > HF_MESSAGE_MAX ||
                        o.salt.len > HF_MESSAGE_MAX)
                return HF_E_INVALID_ARGS;
        op->aux = o.aux;
        op->salt = o.salt;
        op->length = plan->use == SIGNER_OP_AGREE ? o.length : 0;
        sd_bus_message_sensitive(op->call);
        r = one_item(op, data);
        return r ? r : begin_use(op, &mine);
}

static int handle_decrypt(Operation *op)
{
        return handle_data(op,
                        &(UsePlan){"key.decrypt", SIGNER_OP_DECRYPT, POLICY_OP_DECRYPT, PURPOSE_DECRYPT, ""},
                        true, label_option);
}

static int handle_agree(Operation *op)
{
        return handle_data(op, &(UsePlan){"key.agree", SIGNER_OP_AGREE, POLICY_OP_AGREE, PURPOSE_AGREE, ""},
                        false, agree_options);
}

static int handle_mac(Operation *op)
{
        return handle_data(op, &(UsePlan){"key.mac", SIGNER_OP_MAC, POLICY_OP_MAC, PURPOSE_MAC, ""}, true,
                        no_options);
}

static int handle_seal(Operation *op)
{
        return handle_data(op, &(UsePlan){"key.seal", SIGNER_OP_SEAL, POLICY_OP_SEAL, PURPOSE_SEAL, ""},
                        false, aad_option);
}

static int handle_unseal(Operation *op)
{
        return handle_data(op, &(UsePlan){"key.unseal", SIGNER_OP_UNSEAL, POLICY_OP_UNSEAL, PURPOSE_SEAL, ""},
                        false, aad_option);
}

/* ---- CSR ---- */

typedef struct CsrOptions {
        char **dns, **ip, **uri, **email;
        const char *scheme;
} CsrOptions;

static const OptionSpec csr_options[] = {
                {"dns", OPTION_STRINGS, offsetof(CsrOptions, dns)},
                {"ip", OPTION_STRINGS, offsetof(CsrOptions, ip)},
                {"uri", OPTION_STRINGS, offsetof(CsrOptions, uri)},
                {"email", OPTION_STRINGS, offsetof(CsrOptions, email)},
                {"scheme", OPTION_STRING, offsetof(CsrOptions, scheme)},
                {0},
};

static void csr_options_deinit(CsrOptions *o)
{
        options_strings_free(&o->dns);
        options_strings_free(&o->ip);
        options_strings_free(&o->uri);
        options_strings_free(&o->email);
}

static void free_buffer(void *data)
{
        buffer_deinit(data);
        free(data);
}

static int finish_csr(Operation *op, sd_bus_message *reply)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);
        const Buffer *tbs = op->data;
        int r;

        r = csr_finish(buffer_bytes(tbs), op->scheme, BYTES(op->items[0].result, op->items[0].result_len),
                        &der);
        return r ? -EINVAL : sd_bus_message_append_array(reply, 'y', der.data, der.len);
}

/* The request is made only when policy has allowed it, for it needs the key; its own errors come after. */
static int prepare_csr(Operation *op, const char *subject, const CsrOptions *o)
{
        CsrRequest request = {
                        .subject = subject,
                        .dns = (const char *const *)o->dns,
                        .ip = (const char *const *)o->ip,
                        .uri = (const char *const *)o->uri,
                        .email = (const char *const *)o->email,
        };
        Buffer *tbs = op->data;
        int r;

        r = csr_prepare(&request, key_entry_public(op->key), op->scheme, tbs);
        if (!r)
                op->items[0].payload = buffer_bytes(tbs);
        return r;
}

static int begin_csr(Operation *op, const char *subject, const CsrOptions *o)
{
        UsePlan plan = {"key.csr", SIGNER_OP_SIGN, POLICY_OP_CSR, PURPOSE_SIGN, o->scheme ? o->scheme : ""};
        int r;

        op->data = calloc(1, sizeof(Buffer));
        if (!op->data)
                return -ENOMEM;
        op->data_free = free_buffer;
        *(Buffer *)op->data = BUFFER_INIT(CSR_MAX);
        r = one_item(op, BYTES_NULL);
        if (!r)
                r = resolve_scheme(op, &plan);
        if (r)
                return r;
        r = operation_authorise(
                        op, &(Question){.operation = plan.operation,
                                            .scheme = op->scheme ? scheme_info(op->scheme)->name : ""});
        if (r)
                return r;
        r = check_use(op, &plan);
        if (r) {
                operation_refuse(op, plan.operation, r);
                return OPERATION_ANSWERED;
        }
        r = prepare_csr(op, subject, o);
        if (r)
                return r;
        op->finish = finish_csr;
        op->event = plan.event;
        op->use = plan.use;
        return use_start(op);
}

static int handle_csr(Operation *op)
{
        __attribute__((cleanup(csr_options_deinit))) CsrOptions o = {0};
        const char *subject;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &subject) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, csr_options, &o);
        return r ? r : begin_csr(op, subject, &o);
}

/* ---- life cycle ---- */

static int handle_action(Operation *op, KeyAction action, const char *event)
{
        int r = read_no_options(op);

        return r ? r : key_change_state(op, action, event);
}

static int handle_enable(Operation *op)
{
        return handle_action(op, KEY_ACTION_ENABLE, "key.enable");
}

static int handle_disable(Operation *op)
{
        return handle_action(op, KEY_ACTION_DISABLE, "key.disable");
}

static int handle_freeze(Operation *op)
{
        return handle_action(op, KEY_ACTION_FREEZE, "key.freeze");
}

static int handle_retire(Operation *op)
{
        return handle_action(op, KEY_ACTION_RETIRE, "key.retire");
}

static int handle_attest(Operation *op)
{
        Bytes nonce = BYTES_NULL;
        int r = read_bytes(op, &nonce);

        if (!r)
                r = read_no_options(op);
        if (r)
                return r;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_PUBLIC});
        return r ? r : key_attest(op, nonce);
}

static int handle_destroy(Operation *op)
{
        int r = read_no_options(op);

        return r ? r : key_destroy(op);
}

/* ---- counted uses ---- */

static const OptionSpec grant_options[] = {{"uses", OPTION_U64, 0}, {0}};

static int handle_grant(Operation *op)
{
        uint64_t limit, uses = UINT64_MAX; /* all that the rule has */
        const PolicyRule *rule;
        const char *name;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &name) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, grant_options, &uses);
        if (r)
                return r;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_POLICY_GRANT});
        if (r)
                return r;
        rule = policy_rule_find(op->policy, name);
        limit = rule ? policy_rule_uses(rule) : 0;
        if (uses == UINT64_MAX)
                uses = limit;
        if (uses >= 1 && uses <= limit)
                return change_grant_uses(op, name, limit, uses);
        if (limit > 0)
                operation_fail_because(op, HF_E_INVALID_ARGS, "Rule '%s' has 1 to %llu uses. Nothing was done.", name,
                                (unsigned long long)limit);
        else
                operation_fail_because(op, HF_E_INVALID_ARGS, "No rule in force has name=%.40s and uses=. Nothing was done.",
                                name);
        return OPERATION_ANSWERED;
}

const Method key_methods[] = {
                {HF_IFACE_KEY, "Describe", "a{sv}", "a{sv}", 0, METHOD_KEY, POLICY_OP_DESCRIBE,
                                handle_describe},
                {HF_IFACE_KEY, "GetPublicKey", "sa{sv}", "ay", 0, METHOD_KEY, 0, handle_public},
                {HF_IFACE_KEY, "Sign", "saya{sv}", "ay", 0, METHOD_KEY, 0, handle_sign},
                {HF_IFACE_KEY, "SignMany", "saaya{sv}", "aay", 0, METHOD_KEY, 0, handle_sign_many},
                {HF_IFACE_KEY, "Decrypt", "saya{sv}", "ay", 0, METHOD_KEY | METHOD_DIRECT, 0, handle_decrypt},
                {HF_IFACE_KEY, "Agree", "aya{sv}", "ay", 0, METHOD_KEY | METHOD_DIRECT, 0, handle_agree},
                {HF_IFACE_KEY, "Mac", "saya{sv}", "ay", 0, METHOD_KEY, 0, handle_mac},
                {HF_IFACE_KEY, "Seal", "aya{sv}", "ay", 0, METHOD_KEY | METHOD_DIRECT, 0, handle_seal},
                {HF_IFACE_KEY, "Unseal", "aya{sv}", "ay", 0, METHOD_KEY | METHOD_DIRECT, 0, handle_unseal},
                {HF_IFACE_KEY, "CreateCsr", "sa{sv}", "ay", 0, METHOD_KEY, 0, handle_csr},
                {HF_IFACE_KEY, "Attest", "aya{sv}", "ay", 0, METHOD_KEY, 0, handle_attest},
                {HF_IFACE_KEY, "Enable", "a{sv}", "", 0, METHOD_KEY, POLICY_OP_ENABLE, handle_enable},
                {HF_IFACE_KEY, "Disable", "a{sv}", "", 0, METHOD_KEY, POLICY_OP_DISABLE, handle_disable},
                {HF_IFACE_KEY, "Freeze", "a{sv}", "", 0, METHOD_KEY, POLICY_OP_FREEZE, handle_freeze},
                {HF_IFACE_KEY, "Retire", "a{sv}", "", 0, METHOD_KEY, POLICY_OP_DISABLE, handle_retire},
                {HF_IFACE_KEY, "Destroy", "a{sv}", "", 0, METHOD_KEY, POLICY_OP_DESTROY, handle_destroy},
                {HF_IFACE_KEY, "GrantUses", "sa{sv}", "", 0, METHOD_KEY, 0, handle_grant},
                {0},
};
