/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "daemon/bus.h"
#include "daemon/system-bus.h"
#include "dbus/errors.h"

#define LINE_USUAL 420 /* bytes of a use line, for the days left */
#define DAYS_WARNING 30
#define ROOM_WARNING (64u << 20) /* bytes of free disk below which the log may not grow much longer */

typedef struct Finding {
        const char *severity, *code;
        char detail[1024], remedy[512];
} Finding;

static int append(sd_bus_message *m, const Finding *f)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_string(m, "severity", f->severity);
        if (r >= 0)
                r = reply_append_string(m, "code", f->code);
        if (r >= 0)
                r = reply_append_string(m, "detail", f->detail);
        if (r >= 0)
                r = reply_append_string(m, "remedy", f->remedy);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

#define ADD(m, sev, id, fix, ...)                                                                            \
        ({                                                                                                   \
                Finding f_ = {.severity = sev, .code = id};                                                  \
                snprintf(f_.detail, sizeof(f_.detail), __VA_ARGS__);                                         \
                snprintf(f_.remedy, sizeof(f_.remedy), "%s", fix);                                           \
                append(m, &f_);                                                                              \
        })

/* The command that gets on; where none does by itself, the sentence of the error. */
static const char *store_remedy(int error)
{
        switch (error) {
        case HF_E_STORE_UNINITIALISED:
                return "holdfast init";
        case HF_E_STORE_LOCKED:
                return "holdfast unlock";
        case HF_E_STORE_FOREIGN:
                return "holdfast recover";
        case HF_E_STORE_DAMAGED:
                return "holdfast restore FILE";
        case HF_E_STORE_ROLLED_BACK:
        case HF_E_LOG_TRUNCATED:
                return "holdfast restore FILE, or holdfast recover --accept-rollback";
        default:
                return errors_sentence(error);
        }
}

static int check_store(Daemon *d, sd_bus_message *m)
{
        const Vault *v = &d->vault;

        if (v->state == VAULT_READY)
                return ADD(m, "ok", "store", "", "the store is open");
        return ADD(m, v->state == VAULT_REFUSED || v->state == VAULT_FOREIGN ? "error" : "warning", "store",
                        store_remedy(vault_state_error(v)), "the store is %s%s%s",
                        vault_state_to_string(v->state), v->reason[0] ? ": " : "", v->reason);
}

static int check_signer(Daemon *d, sd_bus_message *m)
{
        if (!signer_client_is_up(d->signer))
                return ADD(m, "error", "signer", "systemctl status holdfast-signer",
                                "holdfast-signer does not answer");
        if (signer_client_hello(d->signer)->memory != SECRET_MEMORY_SECRET)
                return ADD(m, "warning", "secret-memory",
                                "boot with secretmem.enable=1 (kernel 6.5 and later have it by default)",
                                "this kernel gives no memfd_secret memory: keys are in locked memory, which "
                                "root can read");
        return ADD(m, "ok", "secret-memory", "", "keys are in memfd_secret memory");
}

/* Owner and mode, with the command that mends it. */
static int check_file(Daemon *d, sd_bus_message *m, const char *name, mode_t mode)
{
        char path[600], fix[512];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", d->config.state_directory, name);
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0
                                       : ADD(m, "error", "files", "", "%.200s: %s", path, strerror(errno));
        if (st.st_uid == geteuid() && (st.st_mode & 07777 & ~mode) == 0)
                return 0;
        snprintf(fix, sizeof(fix), "chown %u %.200s && chmod %o %.200s", (unsigned)geteuid(), path,
                        (unsigned)mode, path);
        return ADD(m, "error", "files", fix, "%.200s belongs to uid %u and has mode %o", path,
                        (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
}

static int check_files(Daemon *d, sd_bus_message *m)
{
        static const struct {
                const char *name;
                mode_t mode;
        } files[] = {{"", 0700}, {"store", 0700}, {"store/store.db", 0600}, {"store/store.db-wal", 0600},
                        {"store/lock", 0600}, {"store/slots", 0600}, {"store/audit", 0700}};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(files); i++)
                r = check_file(d, m, files[i].name, files[i].mode);
        return r;
}

static int check_backup(Daemon *d, sd_bus_message *m)
{
        if (d->vault.state != VAULT_READY)
                return 0;
        if (d->vault.last_backup == 0)
                return ADD(m, "warning", "backup", "holdfast backup FILE",
                                "there has never been a backup of this store");
        return ADD(m, "ok", "backup", "", "there is a backup");
}

static int check_recovery(Daemon *d, sd_bus_message *m)
{
        const SlotList *l = &d->vault.slot_list;

        for (size_t i = 0; i < l->n; i++)
                if (l->slots[i].kind == SLOT_RECOVERY)
                        return 0;
        return l->n == 0 ? 0
                         : ADD(m, "warning", "recovery", "holdfast slot add recovery",
                                           "there is no recovery slot: if the other slots fail, the store is "
                                           "lost");
}

/* How long the disk lasts at the pace since the store was opened. */
static int check_space(Daemon *d, sd_bus_message *m)
{
        uint64_t room, lines, elapsed, days = UINT64_MAX;
        const Vault *v = &d->vault;
        struct statvfs fs;
        AuditPosition p;
        bool low;

        if (!v->log || fstatvfs(v->store_fd, &fs) < 0)
                return 0;
        audit_log_position(v->log, &p);
        room = (uint64_t)fs.f_bavail * fs.f_frsize + audit_log_room(v->log);
        lines = p.size - v->opened_seq;
        elapsed = (clock_monotonic() - v->opened) / USEC_PER_SEC + 1;
        if (lines > 0)
                days = room / LINE_USUAL * elapsed / lines / 86400;
        low = room < ROOM_WARNING || days < DAYS_WARNING;
        return ADD(m, low ? "warning" : "ok", "space",
                        low ? "holdfast audit export, archive it, then holdfast audit prune" : "",
                        "room for about %llu more lines of the log, %llu days at the pace since the store "
                        "was opened",
                        (unsigned long long)(room / LINE_USUAL), (unsigned long long)days);
}

static int check_policy(Daemon *d, sd_bus_message *m)
{
        if (policy_n_rules(d->policy) == 0)
                return ADD(m, "error", "policy", "put rules into /etc/holdfast/policy.d",
                                "there are no policy rules: everything is refused");
        if (!policy_grants(d->policy, POLICY_OP_CREATE))
                return ADD(m, "warning", "policy", "add somebody to group holdfast-admin",
                                "no rule lets anybody create keys");
        return ADD(m, "ok", "policy", "", "%zu rules are in force", policy_n_rules(d->policy));
}

static int check_bus(Daemon *d, sd_bus_message *m)
{
        if (!d->config.system_bus || system_bus_is_connected(d->system_bus))
                return 0;
        return ADD(m, "warning", "bus", "systemctl reload dbus, then systemctl restart holdfastd",
                        "the name on the system bus could not be had");
}

int doctor_append_findings(Daemon *d, sd_bus_message *m)
{
        static int (*const checks[])(Daemon *, sd_bus_message *) = {check_store, check_signer, check_files,
                        check_backup, check_recovery, check_space, check_policy, check_bus};
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(checks); i++)
                r = checks[i](d, m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}
