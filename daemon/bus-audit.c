/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface org.holdfast.Keystore1.Audit: reading the log and handing it out. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/note.h"
#include "audit/reader.h"
#include "base/clock.h"
#include "daemon/bus.h"
#include "daemon/checkpoint.h"
#include "daemon/output.h"
#include "dbus/names.h"

#define EXPORT_PAUSE_MS 10000                   /* how long a reader may pause ... */
#define EXPORT_LOOK_MS 200                      /* how often it is looked whether holdfastd ends meanwhile */
#define EXPORT_USEC_MAX (600ULL * USEC_PER_SEC) /* ... and how long an export may take in all */
#define READ_LINES_MAX 1000
#define READ_BYTES_MAX (96 * 1024) /* of one answer, under the message limit */

static const OptionSpec no_options[] = {{0}};

/* ---- head, key ---- */

static int append_note(Operation *op, sd_bus_message *m)
{
        Vault *v = &op->daemon->vault;
        int r = reply_append_u64(m, "checkpoint", v->last_checkpoint);

        return r >= 0 ? reply_append_string(m, "note", v->last_note) : r;
}

static int append_head(Operation *op, sd_bus_message *m)
{
        Vault *v = &op->daemon->vault;
        AuditPosition p = {0};
        char hex[65], id[UUID_TEXT_SIZE];
        int r;

        audit_log_position(v->log, &p);
        hex_encode(p.head, sizeof(p.head), hex);
        uuid_format(&v->store_id, id);
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_u64(m, "sequence", p.size ? p.size - 1 : 0);
        if (r >= 0)
                r = reply_append_string(m, "head", hex);
        if (r >= 0)
                r = append_note(op, m);
        if (r >= 0)
                r = reply_append_string(m, "log", id);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int handle_head(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_head(op, reply);
        return send_or_unref(op, reply, r);
}

static int append_key(const Vault *v, sd_bus_message *m)
{
        char text[AUDIT_VKEY_MAX], fingerprint[AUDIT_FINGERPRINT_SIZE];
        AuditVkey key;
        int r;

        audit_vkey_of_log(&key, &v->store_id, v->checkpoint_public);
        audit_vkey_format(&key, text);
        audit_key_fingerprint(v->checkpoint_public, fingerprint);
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_string(m, "name", key.name);
        if (r >= 0)
                r = reply_append_string(m, "vkey", text);
        if (r >= 0)
                r = reply_append_string(m, "fingerprint", fingerprint);
        if (r >= 0)
                r = reply_append_bytes(m, "public", BYTES(v->checkpoint_public, 32));
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int handle_key(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_key(&op->daemon->vault, reply);
        return send_or_unref(op, reply, r);
}

/* ---- read ---- */

typedef struct ReadOptions {
        const char *event;
        uint32_t caller;
        uint64_t since, from;
} ReadOptions;

static const OptionSpec read_options_table[] = {
                {"event", OPTION_STRING, offsetof(ReadOptions, event)},
                {"caller", OPTION_U32, offsetof(ReadOptions, caller)},
                {"since", OPTION_U64, offsetof(ReadOptions, since)},
                {0},
};

typedef struct Reading {
        Operation *op;
        AuditReader *reader;
        uint32_t limit;
        Buffer lines; /* each with its NUL */
        uint64_t next;
} Reading;

static void reading_free(Reading *g)
{
        audit_reader_free(g->reader);
        buffer_deinit(&g->lines);
        free(g);
}

static int add_line(Buffer *lines, const AuditRecord *record)
{
        int r = buffer_append(lines, record->line.data, record->line.len);

        return r ? r : buffer_append(lines, "", 1);
}

/* In a worker of its own: a filter that finds little may have to go through all of a long log. */
static int run_read(void *userdata)
{
        Reading *g = userdata;
        AuditRecord record;
        int r = 0;

        for (uint32_t n = 0; !r; n++) {
                if (atomic_load(&g->op->daemon->stopping))
                        return HF_E_DAEMON_UNAVAILABLE;
                r = audit_reader_next(g->reader, &record);
                if (r)
                        break;
                if (n == g->limit || g->lines.len + record.line.len > READ_BYTES_MAX) {
                        g->next = record.seq;
                        return 0;
                }
                r = add_line(&g->lines, &record);
        }
        return r == HF_E_NOTHING_TO_DO ? 0 : r;
}

static int append_lines(sd_bus_message *m, Bytes lines)
{
        int r = sd_bus_message_open_container(m, 'a', "s");

        for (size_t at = 0; r >= 0 && at < lines.len; at += strlen((const char *)lines.data + at) + 1)
                r = sd_bus_message_append_basic(m, 's', lines.data + at);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static void on_read(void *userdata, int result)
{
        Reading *g = userdata;
        Operation *op = g->op;
        sd_bus_message *reply = NULL;
        int r = 0;

        if (!result) {
                r = operation_reply_new(op, &reply);
                if (r >= 0)
                        r = append_lines(reply, buffer_bytes(&g->lines));
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 't', &g->next);
        }
        reading_free(g);
        if (result)
                operation_fail(op, result);
        else
                send_done(op, reply, r);
}

static int begin_read(Operation *op, const AuditFilter *filter, uint32_t limit)
{
        Reading *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        g->op = op;
        g->limit = limit;
        g->lines = BUFFER_INIT(READ_BYTES_MAX + AUDIT_LINE_MAX + READ_LINES_MAX);
        r = audit_reader_new(op->daemon->vault.audit_fd, filter, &g->reader);
        if (!r)
                r = worker_post(op->daemon->reader, run_read, on_read, g);
        if (r)
                reading_free(g);
        return r;
}

static int handle_read(Operation *op)
{
        ReadOptions o = {.caller = UINT32_MAX};
        const Vault *v = &op->daemon->vault;
        uint64_t from;
        uint32_t limit;
        int r;

        if (sd_bus_message_read(op->call, "tu", &from, &limit) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, read_options_table, &o);
        if (r)
                return r;
        if (limit < 1 || limit > READ_LINES_MAX)
                return HF_E_INVALID_ARGS;
        if (v->audit_fd < 0)
                return vault_state_error(v);
        return begin_read(op,
                        &(AuditFilter){
                                        .from = from,
                                        .until = v->log ? audit_log_durable(v->log) : UINT64_MAX,
                                        .event = o.event,
                                        .by_uid = o.caller != UINT32_MAX,
                                        .uid = o.caller,
                                        .since = o.since,
                        },
                        limit);
}

/* ---- export ---- */

typedef struct Export {
        Operation *op;
        AuditReader *reader;
        int fd;
        uint64_t from;
        uint64_t deadline;
} Export;

static const OptionSpec export_options[] = {{"from", OPTION_U64, offsetof(ReadOptions, from)}, {0}};

static void export_free(Export *e)
{
        audit_reader_free(e->reader);
        safe_close(e->fd);
        free(e);
}

/* A reader at the other end may be slow or asleep: nobody else waits for it, and it is not waited for for
 * ever. */
static int wait_writable(const Export *e)
{
        struct pollfd p = {.fd = e->fd, .events = POLLOUT};

        for (int waited = 0; waited < EXPORT_PAUSE_MS && clock_monotonic() < e->deadline; waited += EXPORT_LOOK_MS) {
                if (atomic_load(&e->op->daemon->stopping))
                        return HF_E_DAEMON_UNAVAILABLE;
                if (poll(&p, 1, EXPORT_LOOK_MS) > 0)
                        return 0;
        }
        return HF_E_TIMED_OUT;
}

/* In a worker of its own; the reader has its own descriptor and stops at what was durable when it began. */
static int run_export(void *userdata)
{
        Export *e = userdata;
        int r;

        do {
                r = audit_reader_export(e->reader, e->fd, 1 << 20);
                if (r == -EAGAIN)
                        r = wait_writable(e);
        } while (r == 0 && !atomic_load(&e->op->daemon->stopping));
        return r == HF_E_NOTHING_TO_DO ? 0 : r ? r : HF_E_DAEMON_UNAVAILABLE;
}

static void on_exported(void *userdata, int result)
{
        Export *e = userdata;
        Operation *op = e->op;
        sd_bus_message *reply = NULL;
        uint64_t records = 0, bytes = 0;
        int r;

        audit_reader_progress(e->reader, &records, &bytes);
        export_free(e);
        if (result) {
                operation_fail_because(op, result == -ENOMEM ? HF_E_INTERNAL : result < 0 ? HF_E_INVALID_FD : result,
                                "The log could not be written to the descriptor: %s.", hf_error_name(result));
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 't', &records);
        send_done(op, reply, r);
}

static void begin_export(void *userdata, int result)
{
        Export *e = userdata;
        Operation *op = e->op;
        Vault *v = &op->daemon->vault;
        AuditFilter filter = {.from = e->from, .until = v->log ? audit_log_durable(v->log) : UINT64_MAX};

        (void)result; /* without a signer the tail is unsealed, which the verifier says */
        result = v->audit_fd < 0 ? HF_E_STORE_LOCKED : audit_reader_new(v->audit_fd, &filter, &e->reader);
        if (!result)
                result = worker_post(op->daemon->exporter, run_export, on_exported, e);
        if (result) {
                export_free(e);
                operation_fail(op, result);
        }
}

static int handle_export(Operation *op)
{
        Vault *v = &op->daemon->vault;
        ReadOptions o = {0};
        AuditLine line;
        Export *e;
        int fd, r;

        if (sd_bus_message_read_basic(op->call, 'h', &fd) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, export_options, &o);
        if (!r)
                r = output_check(fd, true);
        if (r)
                return r;
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        *e = (Export){.op = op,
                        .from = o.from,
                        .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                        .deadline = clock_monotonic() + EXPORT_USEC_MAX};
        if (e->fd < 0 || fcntl(e->fd, F_SETFL, fcntl(e->fd, F_GETFL) | O_NONBLOCK) < 0) {
                export_free(e);
                return -EMFILE;
        }
        if (!v->log || v->state != VAULT_READY) {
                begin_export(e, 0);
                return 0;
        }
        audit_line_init(&line, "log.export");
        audit_line_u64(&line, "from", o.from);
        operation_audit_caller(op, &line);
        (void)audit_log_append(v->log, &line, NULL);
        checkpoint_request(op->daemon, begin_export, e);
        return 0;
}

/* ---- prune ---- */

static int handle_prune(Operation *op)
{
        Vault *v = &op->daemon->vault;
        sd_bus_message *reply = NULL;
        const char *text;
        AuditVkey key;
        AuditNote note;
        uint64_t before, first;
        int r;

        if (sd_bus_message_read(op->call, "ts", &before, &text) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, no_options, NULL);
        if (r)
                return r;
        audit_vkey_of_log(&key, &v->store_id, v->checkpoint_public);
        r = audit_note_parse(text, strlen(text), &note);
        if (!r)
                r = audit_note_verify(text, strlen(text), &note, &key);
        if (r || note.size < before) {
                operation_fail_because(op, HF_E_INVALID_ARGS,
                                "The note is not one that this log's key signed over everything before %llu. "
                                "Nothing was removed.",
                                (unsigned long long)before);
                return OPERATION_ANSWERED;
        }
        r = audit_log_prune(v->log,
                        &(AuditPrune){.before = before, .archived = note.size, .uid = op->caller->uid},
                        &first);
        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 't', &first);
        return send_or_unref(op, reply, r);
}

#define READABLE (VAULT_FOREIGN | VAULT_LOCKED | VAULT_REFUSED | VAULT_READY)
#define A HF_IFACE_AUDIT

const Method audit_methods[] = {
                {A, "Head", "a{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_AUDIT_READ, handle_head},
                {A, "Read", "tua{sv}", "ast", READABLE, 0, POLICY_OP_AUDIT_READ, handle_read},
                {A, "Export", "ha{sv}", "t", READABLE, 0, POLICY_OP_AUDIT_EXPORT, handle_export},
                {A, "GetKey", "a{sv}", "a{sv}", VAULT_READY, 0, POLICY_OP_AUDIT_READ, handle_key},
                {A, "Prune", "tsa{sv}", "t", VAULT_READY, 0, POLICY_OP_AUDIT_PRUNE, handle_prune},
                {0},
};
