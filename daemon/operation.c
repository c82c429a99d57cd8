/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/operation.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "audit/locked.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/connection.h"
#include "daemon/system-bus.h"
#include "daemon/text.h"
#include "daemon/user.h"
#include "dbus/errors.h"
#include "dbus/names.h"
#include "policy/explain.h"

#define SENTENCE_MAX 1024

int operation_new(Daemon *d, sd_bus_message *call, Caller *caller, User *user, Connection *connection,
                Operation **ret)
{
        Operation *op = calloc(1, sizeof(*op));

        if (!op)
                return -ENOMEM;
        op->daemon = d;
        op->call = call ? sd_bus_message_ref(call) : NULL;
        op->caller = caller_ref(caller);
        op->user = user;
        user->refs++;
        user->n_jobs++;
        op->connection = connection ? connection_ref(connection) : NULL;
        op->policy = policy_ref(d->policy);
        *ret = op;
        return 0;
}

int operation_new_internal(Daemon *d, Operation **ret)
{
        _cleanup_(caller_unrefp) Caller *self = NULL;
        User *user = NULL;
        int r;

        r = caller_from_bus(getuid(), getgid(), getpid(), NULL, 0, &self);
        if (r >= 0)
                r = user_get(d, getuid(), &user);
        if (r < 0)
                return r;
        r = operation_new(d, NULL, self, user, NULL, ret);
        if (r >= 0)
                (*ret)->system_caller = true;
        user_unref(d, user);
        return r;
}

static void operation_free(Operation *op)
{
        Daemon *d = op->daemon;

        if (op->data_free)
                op->data_free(op->data);
        for (size_t i = 0; i < op->n_items; i++)
                if (op->items[i].result) {
                        explicit_bzero(op->items[i].result, op->items[i].result_len);
                        free(op->items[i].result);
                }
        free(op->items);
        key_entry_unref(op->key);
        identity_unref(op->identity);
        policy_unref(op->policy);
        sd_bus_message_unref(op->answer);
        sd_bus_message_unref(op->call);
        caller_unref(op->caller);
        op->user->n_jobs--;
        connection_resume(op->user);
        user_unref(d, op->user);
        if (op->connection)
                connection_unref(op->connection);
        free(op);
}

/* ---- the question ---- */

void operation_request(
                const Operation *op, PolicyOperation operation, const KeyEntry *key, PolicyRequest *ret)
{
        const Caller *c = op->caller;

        *ret = (PolicyRequest){
                        .uid = c->uid,
                        .gid = c->gid,
                        .groups = c->groups,
                        .n_groups = c->n_groups,
                        .unit = c->unit,
                        .label = c->label,
                        .socket = c->socket,
                        .operation = operation,
                        .key = key ? key_entry_name(key) : NULL,
                        .uuid = key ? &key->uuid : NULL,
                        .algorithm = key ? key_algorithm_info(key->algorithm)->name : NULL,
                        .now_wall = clock_wall(),
                        .now_monotonic = clock_monotonic(),
                        .count = 1,
        };
}

bool operation_may(const Operation *op, PolicyOperation operation, const KeyEntry *key)
{
        PolicyRequest request;
        PolicyDecision decision;

        operation_request(op, operation, key, &request);
        if (operation == POLICY_OP_DESCRIBE && key)
                return policy_may_describe(op->policy, &request);
        policy_peek(op->policy, NULL, &request, &decision);
        return decision.result == 0;
}

static bool uses_available(
                void *userdata, const char *rule_name, const Uuid *uuid, uint64_t limit, uint32_t count)
{
        const Operation *op = userdata;

        if (!op->daemon->vault.uses || !op->key)
                return false;
        return uses_remaining(op->daemon->vault.uses, uuid, op->key->created, rule_name, limit) >= count;
}

static void remember_rule(Operation *op, const PolicyDecision *decision, uint32_t count)
{
        const PolicyRule *rule = decision->rule;
        const char *path, *name;

        if (!rule)
                return;
        path = strrchr(policy_rule_path(rule), '/');
        name = policy_rule_name(rule);
        snprintf(op->rule, sizeof(op->rule), "%.180s:%u%s%s", path ? path + 1 : policy_rule_path(rule),
                        policy_rule_line(rule), name ? " " : "", name ? name : "");
        if (decision->result == 0 && decision->uses && name) {
                op->uses_limit = decision->uses;
                op->uses_taken = 0;
                snprintf(op->uses_rule, sizeof(op->uses_rule), "%s", name);
                (void)count;
        }
}

static int write_denial(Operation *op, const Question *q, const PolicyRequest *request, const char *reason,
                uint64_t *ret_seq)
{
        Daemon *d = op->daemon;
        AuditLine line;

        if (!user_may_log_denial(d, op->user))
                return HF_E_NOTHING_TO_DO;
        audit_line_init(&line, "denied");
        audit_line_str(&line, "wanted", policy_operation_to_string(q->operation));
        if (request->uuid)
                audit_line_uuid(&line, "key", request->uuid);
        audit_line_str(&line, "name", request->key ? request->key : op->key_text[0] ? op->key_text : NULL);
        audit_line_str(&line, "reason", reason);
        operation_audit_caller(op, &line);
        if (d->vault.log)
                return audit_log_append(d->vault.log, &line, ret_seq);
        if (d->vault.audit_fd >= 0)
                (void)audit_locked_append(d->vault.audit_fd, &line, false);
        return HF_E_NOTHING_TO_DO;
}

/* The journal tells the administrator the one line that would have allowed it; where a line is there already
 * but denies or is spent, which one. */
static void log_suggestion(const Operation *op, const PolicyRequest *request, const PolicyDecision *decision,
                const char *what)
{
        char rule[POLICY_SUGGEST_SIZE];

        if (policy_suggest(op->policy, op->daemon->limits, request, rule) == 0)
                log_notice("denied uid %u %s; this rule would allow it: %s", (unsigned)op->caller->uid, what,
                                rule);
        else
                log_notice("denied uid %u %s: %s%s%s", (unsigned)op->caller->uid, what,
                                policy_reason_to_string(decision->reason), op->rule[0] ? ", rule " : "",
                                op->rule);
}

/* The profile as `policy explain` takes it; what is none is not repeated. */
static const char *named_profile(const Question *q)
{
        return q->profile && name_is_valid(q->profile) ? q->profile : "";
}

/* Absent and hidden keys get this same text, and so do identities. */
static void hide_sentence(const Operation *op, const Question *q, const char *key, char *ret)
{
        snprintf(ret, SENTENCE_MAX,
                        "There is no %s '%s', or you may not know of it. Nothing was done. An administrator "
                        "finds out which by: "
                        "holdfast policy explain --user %u%s%s %s %s",
                        op->method->flags & METHOD_IDENTITY    ? "identity"
                        : op->method->flags & METHOD_AUTHORITY ? "CA"
                                                               : "key",
                        key, (unsigned)op->caller->uid, *named_profile(q) ? " --profile " : "", named_profile(q),
                        policy_operation_to_string(q->operation), key);
}

static void refuse_sentence(const Operation *op, const Question *q, const PolicyRequest *request,
                const PolicyDecision *decision, char *ret)
{
        const char *key = request->key ? request->key : "";
        const char *operation = policy_operation_to_string(q->operation);
        const char *separator = *key ? " " : "", *profile = named_profile(q);
        unsigned uid = (unsigned)op->caller->uid;

        if (decision->result == HF_E_RATE_LIMITED && decision->retry_after)
                snprintf(ret, SENTENCE_MAX,
                                "The rate of rule %s is used up. Nothing was done; it is free again in %llu "
                                "ms. See why: holdfast policy explain --user %u%s%s %s%s%s",
                                op->rule, (unsigned long long)decision->retry_after / 1000 + 1, uid,
                                *profile ? " --profile " : "", profile, operation, separator, key);
        else
                snprintf(ret, SENTENCE_MAX,
                                "Policy does not let uid %u do '%s'%s%s%s (%s). Nothing was done. See why: "
                                "holdfast policy explain --user %u%s%s %s%s%s",
                                uid, operation, *key ? " with key '" : "", key, *key ? "'" : "",
                                policy_reason_to_string(decision->reason), uid, *profile ? " --profile " : "", profile,
                                operation, separator, key);
}

static void answer_refusal(Operation *op, const Question *q, const PolicyRequest *request,
                const PolicyDecision *decision)
{
        char sentence[SENTENCE_MAX], what[256];
        const char *name = request->key ? request->key : op->key_text;
        bool hidden = (op->method->flags & _METHOD_OF_KEY) && !q->keyless &&
                      (!op->key || !policy_may_describe(op->policy, request));
        int r = !hidden                                ? decision->result
                : op->method->flags & METHOD_IDENTITY ? HF_E_NO_SUCH_IDENTITY
                : op->method->flags & METHOD_AUTHORITY ? HF_E_CA_NOT_INITIALISED
                                                      : HF_E_NO_SUCH_KEY;
        uint64_t seq = 0;

        if (hidden)
                hide_sentence(op, q, op->key_text, sentence);
        else
                refuse_sentence(op, q, request, decision, sentence);
        if (write_denial(op, q, request,
                            op->key || !hidden ? policy_reason_to_string(decision->reason) : "no-such-key",
                            &seq) == 0 ||
                        !op->daemon->vault.log) {
                snprintf(what, sizeof(what), "%s%s%s", policy_operation_to_string(q->operation),
                                *name ? " " : "", name);
                if (op->key || !hidden)
                        log_suggestion(op, request, decision, what);
        }
        operation_fail_at(op, seq, r, sentence);
}

int operation_authorise(Operation *op, const Question *q)
{
        KeyEntry *key = q->keyless ? NULL : op->key;
        PolicyRequest request;
        PolicyDecision decision = {.result = HF_E_NO_SUCH_KEY, .reason = POLICY_REASON_NO_RULE};

        operation_request(op, q->operation, key, &request);
        if (q->key_name)
                request.key = q->key_name;
        if (q->algorithm)
                request.algorithm = q->algorithm;
        request.scheme = q->scheme;
        request.profile = q->profile;
        request.count = q->count ? q->count : 1;
        request.uses_available = uses_available;
        request.uses_userdata = op;
        if (key || q->keyless || !(op->method->flags & _METHOD_OF_KEY))
                policy_decide(op->policy, op->daemon->limits, &request, &decision);
        remember_rule(op, &decision, request.count);
        if (decision.result == 0)
                return 0;
        answer_refusal(op, q, &request, &decision);
        return OPERATION_ANSWERED;
}

void operation_refuse(Operation *op, PolicyOperation operation, int r)
{
        PolicyRequest request;
        uint64_t seq = 0;

        operation_request(op, operation, op->key, &request);
        (void)write_denial(op, &(Question){.operation = operation}, &request, hf_error_name(r), &seq);
        operation_fail_at(op, seq, r, NULL);
}

/* ---- the answer ---- */

void operation_fail(Operation *op, int r)
{
        operation_fail_at(op, 0, r, NULL);
}

void operation_fail_because(Operation *op, int r, const char *format, ...)
{
        char sentence[SENTENCE_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        operation_fail_at(op, 0, r, text_make_valid(sentence));
}

int operation_reply_new(Operation *op, sd_bus_message **ret)
{
        return sd_bus_message_new_method_return(op->call, ret);
}

void operation_send(Operation *op, sd_bus_message *reply)
{
        operation_send_at(op, 0, reply);
}

void operation_done(Operation *op)
{
        sd_bus_message *reply = NULL;

        if (!op->call || operation_reply_new(op, &reply) < 0)
                reply = NULL; /* an error would say that it is not done: deliver() hangs up */
        operation_send(op, reply);
}

void operation_fail_at(Operation *op, uint64_t seq, int r, const char *sentence)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;

        if (r < 0)
                log_error("%s: %s", op->method ? op->method->member : "call", strerror(-r));
        (void)sd_bus_error_set(&error, errors_bus_name(r), sentence ? sentence : errors_sentence(r));
        if (!op->call || sd_bus_message_new_method_error(op->call, &reply, &error) < 0)
                reply = NULL; /* no memory: deliver() hangs up */
        sd_bus_error_free(&error);
        operation_send_at(op, seq, reply);
}

/* He would wait for an answer that does not come: his connection ends instead, and what was done is as
 * unknown to him as after any other end. */
static void hang_up(Operation *op)
{
        if (op->connection)
                connection_hang_up(op->connection);
        else
                system_bus_hang_up(op->daemon->system_bus);
}

/* Who has hung up himself is owed none. */
static int send_answer(Operation *op)
{
        sd_bus *bus = sd_bus_message_get_bus(op->call);

        if (sd_bus_message_get_expect_reply(op->call) <= 0 || sd_bus_is_open(bus) <= 0)
                return 0;
        return op->answer ? sd_bus_send(bus, op->answer, NULL) : -ENOMEM;
}

static void deliver(Operation *op)
{
        int r = op->call ? send_answer(op) : 0;

        if (r == -ENOMEM)
                log_error("%s: no memory for an answer; hanging up", op->method->member);
        if (r < 0)
                hang_up(op);
        if (op->connection)
                connection_wrote(op->connection);
        operation_free(op);
}

static void wait_for_line(Operation *op)
{
        Daemon *d = op->daemon;
        Operation *after = d->waiting_last;

        while (after && after->answer_seq > op->answer_seq)
                after = after->waiting_prev;
        op->waiting_prev = after;
        op->waiting_next = after ? after->waiting_next : d->waiting_first;
        *(after ? &after->waiting_next : &d->waiting_first) = op;
        *(op->waiting_next ? &op->waiting_next->waiting_prev : &d->waiting_last) = op;
}

void operation_send_at(Operation *op, uint64_t seq, sd_bus_message *reply)
{
        const AuditLog *log = op->daemon->vault.log;

        op->answer = reply;
        op->answer_seq = seq;
        if (seq > 0 && log && audit_log_durable(log) < seq)
                wait_for_line(op);
        else
                deliver(op);
}

void operation_flush(Daemon *d, uint64_t durable)
{
        while (d->waiting_first && d->waiting_first->answer_seq <= durable) {
                Operation *op = d->waiting_first;

                d->waiting_first = op->waiting_next;
                *(op->waiting_next ? &op->waiting_next->waiting_prev : &d->waiting_last) = NULL;
                deliver(op);
        }
}

void operation_fail_waiting(Daemon *d)
{
        while (d->waiting_first) {
                Operation *op = d->waiting_first;

                d->waiting_first = op->waiting_next;
                *(op->waiting_next ? &op->waiting_next->waiting_prev : &d->waiting_last) = NULL;
                op->answer = sd_bus_message_unref(op->answer);
                operation_fail(op, HF_E_LOG_FAILED);
        }
}

/* ---- who asked, for the log ---- */

void audit_line_caller(AuditLine *line, const Caller *caller, const char *rule)
{
        audit_line_u64(line, "uid", caller->uid);
        audit_line_u64(line, "pid", (uint64_t)caller->pid);
        audit_line_str(line, "unit", caller->unit);
        audit_line_str(line, "label", caller->label);
        audit_line_str(line, "road", caller->direct ? "direct" : "bus");
        audit_line_str(line, "rule", rule && *rule ? rule : NULL);
}

void operation_audit_caller(const Operation *op, AuditLine *line)
{
        if (!op->system_caller) {
                audit_line_caller(line, op->caller, op->rule);
                return;
        }
        audit_line_u64(line, "uid", op->caller->uid);
        audit_line_u64(line, "pid", (uint64_t)op->caller->pid);
        audit_line_str(line, "road", "internal");
}
