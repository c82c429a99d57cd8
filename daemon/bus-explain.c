/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Manager.Explain: what the rules say of an operation, and what would be refused whatever they say: a key that is not
 * there, is made for something else, or is disabled or lost.
 */
#include "daemon/bus-explain.h"

#include <string.h>

#include "base/log.h"
#include "base/name.h"
#include "daemon/bus.h"
#include "keystore/lifecycle.h"
#include "policy/explain.h"

#define QUOTE_SIZE 300U

typedef struct ExplainOptions {
        uint32_t user;
        Bytes groups;
        const char *name, *unit, *algorithm, *scheme, *profile, *socket;
} ExplainOptions;

static const OptionSpec explain_options[] = {
                {"user", OPTION_U32, offsetof(ExplainOptions, user)},
                {"name", OPTION_STRING, offsetof(ExplainOptions, name)},
                {"groups", OPTION_U32S, offsetof(ExplainOptions, groups)},
                {"unit", OPTION_STRING, offsetof(ExplainOptions, unit)},
                {"algorithm", OPTION_STRING, offsetof(ExplainOptions, algorithm)},
                {"scheme", OPTION_STRING, offsetof(ExplainOptions, scheme)},
                {"profile", OPTION_STRING, offsetof(ExplainOptions, profile)},
                {"socket", OPTION_STRING, offsetof(ExplainOptions, socket)},
                {0},
};

static int append_rule(sd_bus_message *m, const PolicyRule *rule)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_EXPLAIN_MAX);
        char source[600] = "";
        int r;

        if (rule) {
                snprintf(source, sizeof(source), "%s:%u", policy_rule_path(rule), policy_rule_line(rule));
                (void)policy_rule_text(rule, &text);
        }
        if (buffer_append(&text, "", 1))
                return -ENOMEM;
        r = reply_append_string(m, "rule", (const char *)text.data);
        return r >= 0 ? reply_append_string(m, "source", source) : r;
}

static const char *verdict_name(const PolicyDecision *d)
{
        return d->result == 0                            ? "allow"
               : d->result == HF_E_RATE_LIMITED          ? "rate-limited"
               : d->reason == POLICY_REASON_USES_UNKNOWN ? "unknown"
               : d->result == HF_E_USES_EXHAUSTED        ? "uses-exhausted"
                                                         : "deny";
}

/* What a key has to be made for. */
static KeyPurpose purpose_of(PolicyOperation operation)
{
        static const KeyPurpose purposes[_POLICY_OP_MAX] = {
                        [POLICY_OP_SIGN] = PURPOSE_SIGN,
                        [POLICY_OP_SIGN_DIGEST] = PURPOSE_SIGN,
                        [POLICY_OP_CSR] = PURPOSE_SIGN,
                        [POLICY_OP_DECRYPT] = PURPOSE_DECRYPT,
                        [POLICY_OP_AGREE] = PURPOSE_AGREE,
                        [POLICY_OP_MAC] = PURPOSE_MAC,
                        [POLICY_OP_SEAL] = PURPOSE_SEAL,
                        [POLICY_OP_UNSEAL] = PURPOSE_SEAL,
        };

        return purposes[operation];
}

/* Is the key not made for this? Then no rule helps. */
static bool is_made_for_else(PolicyOperation operation, const KeyEntry *key)
{
        bool digest = key->flags & KEY_FLAG_DIGEST;

        return purpose_of(operation) && (purpose_of(operation) != key->purpose ||
                        (purpose_of(operation) == PURPOSE_SIGN && digest != (operation == POLICY_OP_SIGN_DIGEST)));
}

static int put_absent(const Operation *op, const PolicyRequest *request, const char *key, Buffer *ret)
{
        const Vault *v = &op->daemon->vault;
        const IdentityEntry *identity = request->own_rules_only ? NULL : identities_find(v->identities, key);
        const KeyEntry *of = identity ? catalogue_find_uuid(v->catalogue, &identity->row.key) : NULL;
        char text[QUOTE_SIZE];
        int r = buffer_printf(ret, "there is no key %s%s: the answer is NoSuchKey, whatever the rules say\n",
                        log_escape(key, text, sizeof(text)), request->own_rules_only ? ", or you may not know of it" : "");

        return !r && of ? buffer_printf(ret, "an identity has this name; its key is %s\n", key_entry_name(of)) : r;
}

/* What is refused whatever the rules say. */
static int put_facts(const Operation *op, const PolicyRequest *request, const KeyEntry *entry, const char *key, Buffer *ret)
{
        PolicyOperation operation = request->operation;
        bool makes_key = operation == POLICY_OP_CREATE || operation == POLICY_OP_IMPORT || operation == POLICY_OP_CA_INIT;
        int r;

        if (!op->daemon->vault.catalogue || !*key || policy_operation_info(operation)->key != POLICY_KEY_ONE || makes_key)
                return 0;
        if (!entry)
                return put_absent(op, request, key, ret);
        if (is_made_for_else(operation, entry))
                return buffer_printf(ret,
                                "the key was made for '%s'%s: the answer is PurposeNotPermitted, whatever the rules say\n",
                                key_purpose_to_string(entry->purpose),
                                entry->flags & KEY_FLAG_DIGEST ? " of bare digests" : "");
        if (!purpose_of(operation))
                return 0;
        r = lifecycle_check(entry, KEY_ACTION_USE);
        if (!r)
                r = scheme_check(scheme_from_string(request->scheme), entry->algorithm, entry->purpose);
        return r ? buffer_printf(ret, "the answer is %s, whatever the rules say\n", hf_error_name(r)) : 0;
}

/* `entry` is NULL for a key that is not there, and for one the caller may not know of. */
static int append_explanation(Operation *op, sd_bus_message *m, const PolicyRequest *request, const KeyEntry *entry,
                const char *key)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_EXPLAIN_MAX);
        char suggestion[POLICY_SUGGEST_SIZE] = "";
        PolicyDecision decision;
        int r;

        policy_peek(op->policy, op->daemon->limits, request, &decision);
        if (!entry || !is_made_for_else(request->operation, entry))
                (void)policy_suggest(op->policy, op->daemon->limits, request, suggestion);
        r = policy_explain(op->policy, op->daemon->limits, request, &text);
        if (!r)
                r = put_facts(op, request, entry, key, &text);
        if (!r)
                r = buffer_append(&text, "", 1);
        if (r)
                return r < 0 ? r : -EINVAL;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_string(m, "verdict", verdict_name(&decision));
        if (r >= 0)
                r = append_rule(m, decision.rule);
        if (r >= 0)
                r = reply_append_string(m, "text", (const char *)text.data);
        if (r >= 0)
                r = reply_append_string(m, "suggestion", suggestion);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static bool uses_left(void *userdata, const char *rule_name, const Uuid *uuid, uint64_t limit, uint32_t count)
{
        const Vault *v = userdata;
        const KeyEntry *key = v->catalogue ? catalogue_find_uuid(v->catalogue, uuid) : NULL;

        return key && uses_remaining(v->uses, uuid, key->created, rule_name, limit) >= count;
}

static void explain_request(Operation *op, const ExplainOptions *o, PolicyOperation operation, KeyEntry *entry,
                const char *key, PolicyRequest *ret)
{
        Vault *v = &op->daemon->vault;

        operation_request(op, operation, entry, ret);
        if (!entry)
                ret->key = *key ? key : NULL;
        if (o->algorithm)
                ret->algorithm = o->algorithm;
        ret->scheme = o->scheme ? o->scheme
                      : entry   ? scheme_info(scheme_usual(entry->algorithm, entry->purpose))->name
                                : "";
        ret->profile = o->profile;
        ret->user = o->name && name_is_valid(o->name) ? o->name : NULL;
        ret->uses_available = uses_left;
        ret->uses_userdata = v;
        ret->uses_unknown = !v->catalogue;
        if (o->socket)
                ret->socket = o->socket;
        if (o->user == op->caller->uid && !o->unit && !o->groups.len)
                return;
        ret->uid = o->user;
        ret->gid = (gid_t)-1;
        ret->groups = (const gid_t *)(const void *)o->groups.data;
        ret->n_groups = o->groups.len / sizeof(gid_t);
        ret->unit = o->unit;
        ret->label = NULL;
}

/* Of oneself anybody may ask, but not about keys one may not know of: for those the answer is that of absent
 * ones. */
int explain_handle(Operation *op)
{
        ExplainOptions o = {.user = op->caller->uid};
        const char *operation_name, *key;
        sd_bus_message *reply = NULL;
        PolicyOperation operation;
        PolicyRequest request;
        KeyEntry *entry = NULL;
        int r;

        if (sd_bus_message_read(op->call, "ss", &operation_name, &key) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, explain_options, &o);
        if (r)
                return r;
        operation = policy_operation_from_string(operation_name);
        if (!operation) {
                operation_fail_because(op, HF_E_INVALID_ARGS,
                                "'%.40s' is no operation; holdfast-policy(5) lists them. Nothing was done.",
                                operation_name);
                return OPERATION_ANSWERED;
        }
        if ((*key && strlen(key) >= NAME_SIZE) || (o.profile && !name_is_valid(o.profile)))
                return HF_E_INVALID_NAME;
        if (o.user != op->caller->uid || o.unit || o.socket || o.groups.len)
                r = operation_authorise(op, &(Question){.operation = POLICY_OP_POLICY_READ});
        if (r)
                return r;
        if (op->daemon->vault.catalogue && *key)
                entry = catalogue_find(op->daemon->vault.catalogue, key);
        explain_request(op, &o, operation, entry, key, &request);
        request.own_rules_only = !operation_may(op, POLICY_OP_POLICY_READ, NULL);
        if (request.own_rules_only && request.uuid && !policy_may_describe(op->policy, &request))
                entry = NULL, request.uuid = NULL, request.key = key, request.algorithm = o.algorithm,
                request.scheme = o.scheme ? o.scheme : "";
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_explanation(op, reply, &request, entry, key);
        return send_or_unref(op, reply, r);
}
