/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Backup over the bus
 *
 * Changes wait while a backup is taken, so that the checkpoint it is taken under and the copy say the same.
 * Uses of keys go on.
 */
#include "daemon/bus-backup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "daemon/backup.h"
#include "daemon/bus-store.h"
#include "daemon/ca-backup.h"
#include "daemon/change.h"
#include "daemon/checkpoint.h"
#include "daemon/identity.h"
#include "daemon/output.h"
#include "daemon/vault-rekey.h"
#include "dbus/errors.h"

static const OptionSpec no_options[] = {{0}};

typedef struct BackupJob {
        Change change; /* the line store.backup, and when it was */
        Operation *op;
        int fd;
        char note[CHECKPOINT_NOTE_MAX]; /* the vault's may be replaced while the worker writes */
        char reason[640];
        BackupInfo info;
        CaMark *marks; /* of the CAs as they are copied */
        size_t n_marks;
        uint64_t now;
} BackupJob;

static int error_of(int r)
{
        switch (r) {
        case -ENOSPC:
        case -EDQUOT:
                return HF_E_LOG_FULL;
        case -ENOMEM:
                return HF_E_INTERNAL;
        default:
                return r < 0 ? HF_E_INVALID_FD : r;
        }
}

static void job_free(BackupJob *b)
{
        safe_close(b->fd);
        free(b->marks);
        free(b);
}

static void job_fail(BackupJob *b, int r)
{
        Operation *op = b->op;

        if (b->reason[0])
                operation_fail_because(op, error_of(r), "No backup was made: %s.", b->reason);
        else
                operation_fail(op, r);
        job_free(b);
}

static int write_line(Change *c, AuditLine *line)
{
        BackupJob *b = c->userdata;
        _cleanup_buffer_ Buffer when = BUFFER_INIT(8);
        int r;

        (void)wire_put_u64(&when, b->now);
        audit_line_hex(line, "digest", b->info.digest, sizeof(b->info.digest));
        audit_line_u64(line, "size", b->info.bytes);
        operation_audit_caller(b->op, line);
        r = store_put_meta(c->daemon->vault.store, META_BACKUP, buffer_bytes(&when));
        return r ? r : ca_marks_put(c->daemon->vault.store, b->marks, b->n_marks);
}

static void apply(Change *c)
{
        BackupJob *b = c->userdata;

        c->daemon->vault.last_backup = b->now;
}

static int append_result(sd_bus_message *m, const BackupJob *b)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_u64(m, "sequence", b->info.sequence);
        if (r >= 0)
                r = reply_append_u64(m, "keys", b->info.keys);
        if (r >= 0)
                r = reply_append_u64(m, "bytes", b->info.bytes);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static void finish(Change *c, int result)
{
        BackupJob *b = c->userdata;
        Operation *op = b->op;
        sd_bus_message *reply = NULL;
        int r;

        if (result) {
                job_fail(b, result);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_result(reply, b);
        job_free(b);
        send_done(op, reply, r);
}

static int run(void *userdata)
{
        BackupJob *b = userdata;
        const Vault *v = &b->op->daemon->vault;
        BackupSource source = {
                        .store_fd = v->store_fd,
                        .store = v->store,
                        .keys = (const SignerOpened *)(const void *)v->keys->data,
                        .slots = buffer_bytes(&v->slots),
                        .note = b->note,
        };

        return backup_write(&source, b->fd, b->reason, &b->info);
}

static void on_run(void *userdata, int result)
{
        BackupJob *b = userdata;
        Daemon *d = b->op->daemon;

        d->vault.busy = false;
        if (result) {
                job_fail(b, result);
        } else {
                b->now = clock_wall();
                change_submit(d, &b->change);
        }
        change_release(d);
        vault_ask_signer(d);
}

static void on_sealed(void *userdata, int result)
{
        BackupJob *b = userdata;
        Daemon *d = b->op->daemon;

        strcpy(b->note, d->vault.last_note);
        if (!result)
                result = ca_marks_new(d->vault.registry, &b->marks, &b->n_marks);
        if (!result)
                result = worker_post(d->worker, run, on_run, b);
        if (result) {
                d->vault.busy = false;
                job_fail(b, result);
                change_release(d);
                vault_ask_signer(d); /* it may have come back while the lines were waited for */
        }
}

int backup_handle_backup(Operation *op)
{
        Daemon *d = op->daemon;
        BackupJob *b;
        int fd, r;

        if (sd_bus_message_read_basic(op->call, 'h', &fd) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, no_options, NULL);
        if (!r)
                r = output_check(fd, false);
        if (r)
                return r;
        if (d->vault.busy || !change_is_idle(d) || !d->vault.keys)
                return HF_E_BUSY;
        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->op = op;
        b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        b->change = (Change){.event = "store.backup",
                        .seal = true,
                        .write = write_line,
                        .apply = apply,
                        .finish = finish,
                        .userdata = b};
        if (b->fd < 0) {
                free(b);
                return -EMFILE;
        }
        d->vault.busy = true;
        change_hold(d);
        checkpoint_request(d, on_sealed, b);
        return 0;
}

/* ---- restore ---- */

typedef struct RestoreOptions {
        int secret;
} RestoreOptions;

static const OptionSpec restore_options[] = {{"secret", OPTION_FD, offsetof(RestoreOptions, secret)}, {0}};

static void on_restored(void *userdata, int result, const char *reason, uint32_t slot)
{
        Operation *op = userdata;
        const Vault *v = &op->daemon->vault;
        sd_bus_message *reply = NULL;
        int r;

        (void)slot;
        if (result && reason) {
                operation_fail_because(op, result < 0 ? HF_E_INTERNAL : result,
                                "Nothing was restored: %s. %s", reason, errors_sentence(result));
                return;
        }
        if (result) {
                operation_fail(op, result);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_u64(reply, "sequence", v->restored_sequence);
        if (r >= 0)
                r = reply_append_u64(reply, "keys", catalogue_count(v->catalogue));
        if (r >= 0)
                r = reply_append_bool(reply, "log-lost", v->restored_log_lost);
        if (r >= 0 && !v->restored_log_lost)
                r = reply_append_u64(reply, "lost", v->restored_lost);
        if (r >= 0)
                r = identities_append_lost(op->daemon, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        send_done(op, reply, r);
}

int backup_handle_restore(Operation *op)
{
        RestoreOptions o = {.secret = -EBADF};
        struct stat st;
        size_t len;
        int fd, r;

        if (sd_bus_message_read_basic(op->call, 'h', &fd) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, restore_options, &o);
        if (!r && o.secret >= 0)
                r = secret_fd_check(o.secret, &len);
        if (r)
                return r;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
                        (fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) != O_RDONLY)
                return HF_E_INVALID_FD;
        return vault_restore(op->daemon, fd, o.secret, op->caller, on_restored, op);
}

/* ---- rekey ---- */

int backup_handle_rekey(Operation *op)
{
        VaultInitParams params;
        int r = store_read_init(op, &params);

        return r ? r : vault_rekey(op, &params, store_on_init, op);
}
