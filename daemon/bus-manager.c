/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface org.holdfast.Keystore1.Manager: keys as a whole, policy, status. Store and slots are in
 * bus-store.c. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/name.h"
#include "daemon/bus-backup.h"
#include "daemon/bus-authorities.h"
#include "daemon/bus-explain.h"
#include "daemon/bus-identity.h"
#include "daemon/bus-store.h"
#include "daemon/checkpoint.h"
#include "daemon/doctor.h"
#include "daemon/identity.h"
#include "daemon/key-change.h"
#include "daemon/lost.h"
#include "daemon/system-bus.h"
#include "daemon/tpm-words.h"
#include "dbus/names.h"

/* How long an answer waits for the TPM's; then it tells what was known before. */
#define STATUS_PATIENCE (USEC_PER_SEC)
#define CHECK_PATIENCE (5 * USEC_PER_SEC)
#define LIST_SCAN_MAX 8192 /* keys looked at in one call, seen or not */

/* ---- status ---- */

static const char *memory_name(const Daemon *d)
{
        return !signer_client_is_up(d->signer)               ? "unknown"
               : signer_client_hello(d->signer)->memory == 1 ? "secret"
                                                             : "locked";
}

static int append_tpm_status(sd_bus_message *m, const Daemon *d)
{
        char text[TPM_WORDS_MAX];
        int r;

        rollback_words(d, text);
        r = reply_append_string(m, "rollback-detection", text);
        if (r >= 0 && d->anchor.state != ANCHOR_NONE)
                r = reply_append_u64(m, "anchor", d->anchor.last);
        tpm_words(d, text);
        if (r >= 0)
                r = reply_append_string(m, "tpm", text);
        tpm_maker_words(d, text);
        if (r >= 0)
                r = reply_append_string(m, "tpm-maker", text);
        protection_words(d, text);
        return r >= 0 ? reply_append_string(m, "protection", text) : r;
}

static int append_private_status(sd_bus_message *m, const Daemon *d)
{
        const Vault *v = &d->vault;
        AuditPosition p = {0};
        char id[UUID_TEXT_SIZE];
        int r;

        uuid_format(&v->store_id, id);
        if (v->log)
                audit_log_position(v->log, &p);
        r = reply_append_string(m, "store", uuid_is_null(&v->store_id) ? "" : id);
        if (r >= 0)
                r = reply_append_u64(m, "keys", v->catalogue ? catalogue_count(v->catalogue) : 0);
        if (r >= 0)
                r = reply_append_u64(m, "identities", v->identities ? identities_count(v->identities) : 0);
        if (r >= 0)
                r = identities_append_lost(d, m);
        if (r >= 0)
                r = reply_append_string(m, "secret-memory", memory_name(d));
        if (r >= 0)
                r = reply_append_string(m, "signer", signer_state_to_string(signer_client_state(d->signer)));
        if (r >= 0)
                r = reply_append_u64(m, "sequence", p.size ? p.size - 1 : 0);
        if (r >= 0)
                r = reply_append_u64(m, "unsealed", p.unsealed);
        if (r >= 0)
                r = reply_append_u32(m, "slots", (uint32_t)v->slot_list.n);
        if (r >= 0)
                r = reply_append_u64(m, "backup", v->last_backup);
        if (r >= 0)
                r = append_tpm_status(m, d);
        if (r >= 0)
                r = reply_append_string(m, "policy", d->policy_hash);
        if (r >= 0)
                r = reply_append_u32(m, "rules", (uint32_t)policy_n_rules(d->policy));
        if (r >= 0)
                r = reply_append_bool(m, "bus", system_bus_is_connected(d->system_bus));
        return r >= 0 ? reply_append_u64(m, "uptime", (clock_wall() - d->started) / USEC_PER_SEC) : r;
}

static int append_status(Operation *op, sd_bus_message *m)
{
        const Vault *v = &op->daemon->vault;
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_string(m, "state", vault_state_to_string(v->state));
        if (r >= 0)
                r = reply_append_string(m, "reason", v->reason);
        if (r >= 0)
                r = reply_append_string(m, "error",
                                v->state == VAULT_READY ? "" : hf_error_name(vault_state_error(v)));
        if (r >= 0)
                r = reply_append_string(m, "version", HOLDFAST_VERSION);
        if (r >= 0 && operation_may(op, POLICY_OP_CHECK, NULL))
                r = append_private_status(m, op->daemon);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static const OptionSpec no_options[] = {{0}};

static void send_status(void *userdata)
{
        Operation *op = userdata;
        sd_bus_message *reply = NULL;
        int r = operation_reply_new(op, &reply);

        if (r >= 0)
                r = append_status(op, reply);
        send_done(op, reply, r);
}

static int handle_status(Operation *op)
{
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        if (operation_may(op, POLICY_OP_CHECK, NULL))
                tpm_ask(op->daemon, false, STATUS_PATIENCE, send_status, op);
        else
                send_status(op);
        return 0;
}

static void send_findings(void *userdata)
{
        Operation *op = userdata;
        sd_bus_message *reply = NULL;
        int r = operation_reply_new(op, &reply);

        if (r >= 0)
                r = doctor_append_findings(op->daemon, reply);
        send_done(op, reply, r);
}

static int handle_check(Operation *op)
{
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_CHECK});
        if (!r)
                tpm_ask(op->daemon, true, CHECK_PATIENCE, send_findings, op);
        return r;
}

/* ---- keys ---- */

typedef struct CreateOptions {
        const char *purpose, *protection;
        bool digest;
        int secret; /* ImportKey */
} CreateOptions;

static const OptionSpec create_options[] = {
                {"purpose", OPTION_STRING, offsetof(CreateOptions, purpose)},
                {"digest", OPTION_BOOL, offsetof(CreateOptions, digest)},
                {"protection", OPTION_STRING, offsetof(CreateOptions, protection)},
                {0},
};

static const OptionSpec import_options[] = {
                {"purpose", OPTION_STRING, offsetof(CreateOptions, purpose)},
                {"digest", OPTION_BOOL, offsetof(CreateOptions, digest)},
                {"protection", OPTION_STRING, offsetof(CreateOptions, protection)},
                {"secret", OPTION_FD, offsetof(CreateOptions, secret)},
                {0},
};

static int read_purpose(const CreateOptions *o, KeyAttributes *a)
{
        const KeyAlgorithmInfo *info = key_algorithm_info(a->algorithm);

        a->purpose = o->purpose ? key_purpose_from_string(o->purpose) : info ? info->usual : PURPOSE_SIGN;
        if (!a->purpose)
                return HF_E_INVALID_ARGS;
        if (a->purpose == PURPOSE_ISSUE) /* made together with its CA, and never brought along */
                return HF_E_PURPOSE_NOT_PERMITTED;
        if (info && !(info->purposes & (1u << a->purpose)))
                return HF_E_PURPOSE_NOT_PERMITTED;
        if (o->digest && (a->purpose != PURPOSE_SIGN || a->algorithm == KEY_ED25519))
                return HF_E_INVALID_ARGS;
        return 0;
}

static void new_attributes(const Vault *v, KeyAttributes *a, const char *name, const CreateOptions *o)
{
        uuid_generate(&a->uuid);
        a->version = 1;
        a->created = lost_later(v->occasions, v->n_occasions, clock_wall());
        a->flags = o->digest ? KEY_FLAG_DIGEST : 0;
        strcpy(a->name, name);
}

static int handle_create(Operation *op)
{
        CreateOptions o = {.protection = "software"};
        KeyAttributes a = {0};
        const char *name, *algorithm;
        int r;

        if (sd_bus_message_read(op->call, "ss", &name, &algorithm) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, create_options, &o);
        if (r)
                return r;
        if (!name_is_valid(name))
                return HF_E_INVALID_NAME;
        a.algorithm = key_algorithm_from_string(algorithm);
        a.protection = key_protection_from_string(o.protection);
        if (!a.algorithm || !a.protection)
                return a.protection ? HF_E_ALGORITHM_NOT_SUPPORTED : HF_E_INVALID_ARGS;
        r = operation_authorise(op,
                        &(Question){.operation = POLICY_OP_CREATE, .key_name = name, .algorithm = algorithm});
        if (r)
                return r;
        r = read_purpose(&o, &a);
        if (!r)
                r = lifecycle_check_new(op->daemon->vault.catalogue, name);
        if (r)
                return r;
        new_attributes(&op->daemon->vault, &a, name, &o);
        return key_create(op, &a);
}

static int handle_import(Operation *op)
{
        CreateOptions o = {.protection = "software", .secret = -EBADF};
        KeyAttributes a = {0};
        const char *name;
        int fd, r;

        if (sd_bus_message_read(op->call, "sh", &name, &fd) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, import_options, &o);
        if (r)
                return r;
        if (!name_is_valid(name))
                return HF_E_INVALID_NAME;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_IMPORT, .key_name = name});
        if (r)
                return r;
        if (!op->daemon->config.import)
                return HF_E_IMPORT_DISABLED;
        a.protection = key_protection_from_string(o.protection);
        if (!a.protection || (o.secret >= 0 && a.protection != PROTECTION_TPM))
                return HF_E_INVALID_ARGS;
        a.algorithm = KEY_P256; /* stands in for what the file will turn out to be */
        a.purpose = o.purpose ? key_purpose_from_string(o.purpose) : PURPOSE_SIGN;
        if (!a.purpose || (o.digest && a.purpose != PURPOSE_SIGN))
                return HF_E_INVALID_ARGS;
        if (a.purpose != PURPOSE_SIGN && a.purpose != PURPOSE_DECRYPT && a.purpose != PURPOSE_AGREE)
                return HF_E_PURPOSE_NOT_PERMITTED;
        if (a.purpose == PURPOSE_DECRYPT)
                a.algorithm = KEY_RSA2048;
        r = lifecycle_check_new(op->daemon->vault.catalogue, name);
        if (r)
                return r;
        new_attributes(&op->daemon->vault, &a, name, &o);
        a.flags |= KEY_FLAG_IMPORTED;
        return key_import(op, &a, !o.purpose, fd, o.secret);
}

typedef struct ListOptions {
        const char *pattern, *after;
        bool retired;
        uint32_t limit;
} ListOptions;

static const OptionSpec list_options[] = {
                {"pattern", OPTION_STRING, offsetof(ListOptions, pattern)},
                {"after", OPTION_STRING, offsetof(ListOptions, after)},
                {"retired", OPTION_BOOL, offsetof(ListOptions, retired)},
                {"limit", OPTION_U32, offsetof(ListOptions, limit)},
                {0},
};

static bool is_listed(const Operation *op, const ListOptions *o, const KeyEntry *key)
{
        return (o->retired || !(key->flags & KEY_FLAG_RETIRED)) &&
               name_matches(o->pattern, key_entry_name(key)) && operation_may(op, POLICY_OP_DESCRIBE, key);
}

/* One page: at most `limit` keys shown and LIST_SCAN_MAX looked at, so that no list holds the loop up. */
static int append_keys(Operation *op, sd_bus_message *m, const ListOptions *o, CatalogueCursor *cursor,
                bool *ret_more)
{
        size_t seen = 0, shown = 0;
        KeyEntry *key;
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        *ret_more = true;
        while (r >= 0 && seen < LIST_SCAN_MAX && shown < o->limit) {
                if (catalogue_list(op->daemon->vault.catalogue, cursor, &key, 1) == 0) {
                        *ret_more = false;
                        break;
                }
                seen++;
                if (!is_listed(op, o, key))
                        continue;
                r = key_append_description(op->daemon, m, key);
                shown++;
        }
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int handle_list(Operation *op)
{
        ListOptions o = {.pattern = "*", .after = "", .limit = HF_LIST_PAGE_MAX};
        char next[CATALOGUE_CURSOR_SIZE] = "";
        sd_bus_message *reply = NULL;
        CatalogueCursor cursor;
        bool more;
        int r;

        r = read_options(op, list_options, &o);
        if (r)
                return r;
        if (o.limit < 1 || o.limit > HF_LIST_PAGE_MAX || catalogue_cursor_parse(o.after, &cursor) ||
                        !name_pattern_is_valid(o.pattern))
                return HF_E_INVALID_ARGS;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_LIST});
        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_keys(op, reply, &o, &cursor, &more);
        if (r >= 0 && more)
                catalogue_cursor_format(&cursor, next);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', next);
        return send_or_unref(op, reply, r);
}

/* ---- random ---- */

static void on_random(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Operation *op = userdata;
        sd_bus_message *reply = NULL;
        Bytes bytes;

        if (!result) {
                bytes = wire_get_block(&r, HF_RANDOM_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : 0;
        }
        if (!result && (operation_reply_new(op, &reply) < 0 || sd_bus_message_sensitive(reply) < 0 ||
                                       sd_bus_message_append_array(reply, 'y', bytes.data, bytes.len) < 0))
                result = HF_E_INTERNAL;
        if (result) {
                sd_bus_message_unref(reply);
                operation_fail(op, result);
        } else {
                operation_send_at(op, op->answer_seq, reply);
        }
}

static int handle_random(Operation *op)
{
        AuditLine line;
        uint32_t n;
        int r;

        if (sd_bus_message_read_basic(op->call, 'u', &n) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, no_options, NULL);
        if (r)
                return r;
        if (n < 1 || n > HF_RANDOM_MAX)
                return HF_E_INVALID_ARGS;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_RANDOM});
        if (r)
                return r;
        audit_line_init(&line, "key.random");
        audit_line_u64(&line, "size", n);
        operation_audit_caller(op, &line);
        r = audit_log_append(op->daemon->vault.log, &line, &op->answer_seq);
        if (r)
                return r;
        checkpoint_consider(op->daemon);
        r = wire_put_u32(signer_begin(op->daemon->signer, SIGNER_RANDOM), n);
        return r ? r : signer_call(op->daemon->signer, NULL, 0, on_random, op);
}

/* ---- policy ---- */

typedef struct ReloadOptions {
        bool accept;
} ReloadOptions;

static const OptionSpec reload_options[] = {{"accept-accounts", OPTION_BOOL, offsetof(ReloadOptions, accept)}, {0}};

static int handle_reload(Operation *op)
{
        ReloadOptions o = {0};
        sd_bus_message *reply = NULL;
        PolicyProblem problem;
        char text[POLICY_PROBLEM_TEXT_SIZE];
        int r = read_options(op, reload_options, &o);

        if (r)
                return r;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_POLICY_RELOAD});
        if (r)
                return r;
        r = daemon_load_policy(op->daemon, op->caller, o.accept, &problem);
        if (r == HF_E_POLICY_INVALID) {
                operation_fail_because(op, r, "%s. The policy that was in force stays in force.",
                                policy_problem_format(&problem, text, sizeof(text)));
                return OPERATION_ANSWERED;
        }
        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_string(reply, "hash", op->daemon->policy_hash);
        if (r >= 0)
                r = reply_append_u32(reply, "rules", (uint32_t)policy_n_rules(op->daemon->policy));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return send_or_unref(op, reply, r);
}

#define LOOKABLE (VAULT_LOCKED | VAULT_READY)
#define M HF_IFACE_MANAGER

const Method manager_methods[] = {
                {M, "Status", "a{sv}", "a{sv}", VAULT_ANY, 0, 0, handle_status},
                {M, "Initialise", "sa{sv}", "a{sv}", VAULT_UNINITIALISED, 0, POLICY_OP_INIT,
                                store_handle_init},
                {M, "ConfirmRecovery", "ha{sv}", "a{sv}", VAULT_UNINITIALISED, 0, POLICY_OP_INIT,
                                store_handle_confirm},
                {M, "Unlock", "a{sv}", "a{sv}", LOOKABLE, 0, POLICY_OP_UNLOCK, store_handle_unlock},
                {M, "Lock", "a{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_LOCK, store_handle_lock},
                {M, "CreateKey", "ssa{sv}", "oa{sv}", 0, 0, 0, handle_create},
                {M, "ImportKey", "sha{sv}", "oa{sv}", 0, 0, 0, handle_import},
                {M, "ListKeys", "a{sv}", "aa{sv}s", 0, 0, 0, handle_list},
                {M, "SetCertificate", "saya{sv}", "a{sv}", 0, METHOD_KEY_ARGUMENT, 0, identity_handle_set},
                {M, "ListIdentities", "a{sv}", "aa{sv}s", 0, 0, 0, identity_handle_list},
                {M, "CreateAuthority", "ssa{sv}", "a{sv}", 0, 0, 0, ca_handle_create},
                {M, "ListAuthorities", "a{sv}", "aa{sv}", 0, 0, 0, ca_handle_list},
                {M, "PutRevocationList", "ha{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_CRL_PUT, ca_handle_put},
                {M, "ListRevocationLists", "a{sv}", "aa{sv}", VAULT_READY, 0, POLICY_OP_LIST, ca_handle_lists},
                {M, "Random", "ua{sv}", "ay", 0, 0, 0, handle_random},
                {M, "ListSlots", "a{sv}", "aa{sv}", LOOKABLE, 0, POLICY_OP_SLOT_LIST, store_handle_slots},
                {M, "AddSlot", "sa{sv}", "u", 0, 0, POLICY_OP_SLOT_ADD, store_handle_slot_add},
                {M, "RemoveSlot", "ua{sv}", "", 0, 0, POLICY_OP_SLOT_REMOVE, store_handle_slot_remove},
                {M, "ChangeSlot", "ua{sv}", "u", 0, 0, POLICY_OP_SLOT_CHANGE, store_handle_slot_change},
                {M, "ResealSlot", "ua{sv}", "", 0, 0, POLICY_OP_SLOT_CHANGE, store_handle_slot_reseal},
                {M, "Backup", "ha{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_BACKUP, backup_handle_backup},
                {M, "Restore", "ha{sv}", "a{sv}", VAULT_UNINITIALISED | VAULT_FOREIGN | VAULT_REFUSED, 0,
                                POLICY_OP_RESTORE, backup_handle_restore},
                {M, "Rekey", "sa{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_REKEY, backup_handle_rekey},
                {M, "Recover", "a{sv}", "a{sv}", VAULT_FOREIGN | VAULT_REFUSED | VAULT_READY, 0, POLICY_OP_RECOVER,
                                store_handle_recover},
                {M, "Explain", "ssa{sv}", "a{sv}", VAULT_ANY, 0, 0, explain_handle},
                {M, "ReloadPolicy", "a{sv}", "a{sv}", VAULT_ANY, 0, 0, handle_reload},
                {M, "Check", "a{sv}", "aa{sv}", VAULT_ANY, 0, 0, handle_check},
                {0},
};
