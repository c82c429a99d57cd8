/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "daemon/accounts.h"
#include "daemon/bus.h"
#include "daemon/ca-publish.h"
#include "daemon/ca-put.h"
#include "daemon/connection.h"
#include "daemon/files.h"
#include "daemon/identity-check.h"
#include "daemon/system-bus.h"
#include "daemon/tpm-words.h"
#include "dbus/errors.h"
#include "dbus/names.h"

#define CREDENTIAL "holdfast.unlock"
#define LINE_USUAL 420 /* bytes of a use line, for the days left */
#define DAYS_WARNING 30
#define PACE_SECONDS 600 /* open for so long, a store has a pace */
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
        case HF_E_TPM_IDENTITY_CHANGED:
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
        if (signer_client_state(d->signer) == SIGNER_OTHER_VERSION)
                return ADD(m, "error", "signer", "systemctl restart holdfast-signer holdfastd",
                                "holdfast-signer speaks another version than holdfastd");
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

/* ---- files ---- */

#define FILES_SHOWN 40 /* findings; whoever mends these sees the next */

typedef struct FileSearch {
        Daemon *daemon;
        sd_bus_message *reply;
        FilesUsers users;
        size_t seen, found;
} FileSearch;

static int on_file(void *userdata, const char *detail, const char *command)
{
        FileSearch *s = userdata;

        if (s->found++ >= FILES_SHOWN)
                return 0;
        return ADD(s->reply, "error", "files", command, "%s", detail);
}

static int search(FileSearch *s, FileKind kind, const char *path)
{
        return files_check(kind, path, &s->users, on_file, s, &s->seen);
}

static int search_beside(FileSearch *s, FileKind kind, const char *path, const char *name)
{
        const char *slash = strrchr(path, '/');
        char beside[600];

        if (!slash)
                return 0;
        snprintf(beside, sizeof(beside), "%.*s%s%s", (int)(slash - path), path, *name ? "/" : "", name);
        return search(s, kind, beside);
}

static int search_policy(FileSearch *s)
{
        char text[sizeof(s->daemon->config.policy_directories)], *save = NULL;
        int r = 0;

        strcpy(text, s->daemon->config.policy_directories);
        for (char *p = strtok_r(text, " ", &save); !r && p; p = strtok_r(NULL, " ", &save))
                r = search(s, FILE_ADMINS, p);
        return r;
}

static int search_sockets(FileSearch *s)
{
        const Config *c = &s->daemon->config;
        int r;

        r = search(s, FILE_SOCKET_SIGNER, c->signer_socket);
        if (r >= 0)
                r = search(s, FILE_SOCKET_SIGNER, c->importer_socket);
        if (r >= 0)
                r = search_beside(s, FILE_PLACE, c->signer_socket, "");
        for (size_t i = 0; r >= 0 && i < s->daemon->n_listeners; i++) {
                struct sockaddr_un sa = {0};
                socklen_t size = sizeof(sa) - 1;

                if (getsockname(listener_fd(s->daemon->listeners[i]), (struct sockaddr *)&sa, &size) < 0)
                        continue;
                r = search(s, FILE_SOCKET_CALLERS, sa.sun_path);
                if (r >= 0)
                        r = search_beside(s, FILE_PLACE, sa.sun_path, "");
                if (r >= 0) /* where holdfast-launch keeps its copy */
                        r = search_beside(s, FILE_CREDENTIAL_COPY, sa.sun_path, "credentials");
        }
        return r;
}

/* Ours, those beside it, and what root has installed for them. */
static int search_installed(FileSearch *s)
{
        static const char *const beside[] = {"holdfast-signer", "holdfast-launch", "holdfast-tpm", ""};
        static const char *const policies[] = {BUS_POLICY_DIRS};
        static const char *const credentials[] = {"/etc/credstore/" CREDENTIAL, "/run/credstore/" CREDENTIAL,
                        "/usr/lib/credstore/" CREDENTIAL, "/etc/credstore.encrypted/" CREDENTIAL};
        char path[600];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
        int r = 0;

        if (n > 0) {
                path[n] = '\0';
                r = search(s, FILE_PROGRAM, path);
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(beside); i++)
                        r = search_beside(s, FILE_PROGRAM, path, beside[i]);
        }
        if (r >= 0)
                r = search(s, FILE_PROGRAM, BINDIR "/holdfast");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(policies); i++) {
                snprintf(path, sizeof(path), "%s/%s.conf", policies[i], HF_BUS_NAME);
                r = search(s, FILE_ADMINS, path);
        }
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(credentials); i++)
                r = search(s, FILE_CREDENTIAL, credentials[i]);
        return r;
}

static int check_files(Daemon *d, sd_bus_message *m)
{
        FileSearch s = {.daemon = d, .reply = m, .users = {.self = geteuid(), .admin = d->config.policy_owner}};
        int r = search(&s, FILE_OWN, d->config.state_directory);

        if (r >= 0 && d->config.tls_directory[0])
                r = search(&s, FILE_TLS, d->config.tls_directory);
        if (r >= 0 && d->config.file[0])
                r = search(&s, FILE_ADMINS, d->config.file);
        if (r >= 0)
                r = search_policy(&s);
        if (r >= 0)
                r = search_sockets(&s);
        if (r >= 0)
                r = search_installed(&s);
        if (r < 0)
                return r;
        return s.found ? 0 : ADD(m, "ok", "files", "", "%zu files belong to whom they should", s.seen);
}

/* ---- identities ---- */

typedef struct IdentitySearch {
        sd_bus_message *reply;
        size_t found;
} IdentitySearch;

static int on_identity(void *userdata, const char *severity, const char *detail, const char *remedy)
{
        IdentitySearch *s = userdata;

        if (s->found++ >= FILES_SHOWN)
                return 0;
        return ADD(s->reply, severity, "certificate", remedy, "%s", detail);
}

static int check_identities(Daemon *d, sd_bus_message *m)
{
        IdentitySearch s = {.reply = m};
        size_t n = d->vault.identities ? identities_count(d->vault.identities) : 0;
        int r = identities_check(d, on_identity, &s);

        if (r < 0 || s.found || n == 0)
                return r;
        return ADD(m, "ok", "certificate", "", "%zu identit%s in order, certificates and files", n, n == 1 ? "y is" : "ies are");
}

/* ---- private CAs ---- */

/* Those that were handed in. */
static int check_lists(Daemon *d, sd_bus_message *m)
{
        char name[CA_PUT_NAME_SIZE], words[CA_PUT_WORDS_SIZE];
        uint64_t now = clock_wall();
        const ListEntry *e;
        int r = 0;

        for (size_t i = 0; r >= 0 && d->vault.lists && (e = lists_at(d->vault.lists, i)); i++)
                if (ca_put_trouble(d, e, now, name, words))
                        r = ADD(m, "warning", "crl", "get the next one from that CA, then holdfast ca crl put FILE",
                                        "the revocation list of %s %s", name, words);
        return r;
}

/* Servers that read lists refuse everybody when one is missing or over. A root at rest cannot make its own anew. */
static int check_authorities(Daemon *d, sd_bus_message *m)
{
        uint64_t now = clock_wall();
        const AuthorityEntry *a;
        char command[NAME_SIZE + 32], words[CA_CRL_WORDS_SIZE];
        int r = 0;

        for (size_t i = 0; r >= 0 && d->vault.registry && (a = registry_authority_at(d->vault.registry, i)); i++) {
                if (!a->row.certificate.len || !ca_crl_trouble(&a->row, ca_is_published(d, a), now, words) || ca_is_over(a, now))
                        continue;
                snprintf(command, sizeof(command), "holdfast ca enable %s", a->row.name);
                r = ADD(m, "warning", "crl", ca_is_awake(a, now) ? "" : command,
                                "the revocation list of %s %s", a->row.name, words);
        }
        return r;
}

/* ---- the TPM ---- */

/* One that nothing needs is no finding. */
static int check_tpm(Daemon *d, sd_bus_message *m)
{
        const TpmWatch *t = &d->tpm;
        char words[TPM_WORDS_MAX];

        tpm_words(d, words);
        if (!t->known || (!tpm_is_ready(d) && !tpm_is_needed(d)))
                return 0;
        if (t->match == SIGNER_TPM_OTHER)
                return ADD(m, "error", "tpm", "holdfast recover, with the recovery code", "%s", words);
        if (t->state.presence == TPM_PRESENCE_FAILURE)
                return ADD(m, "error", "tpm", "reset the machine; if it stays so, the TPM is broken: holdfast recover",
                                "%.900s: keys in it cannot be used", words);
        if (!tpm_is_ready(d))
                return ADD(m, "error", "tpm", "systemctl status holdfast-tpm; ls -l /dev/tpmrm0",
                                "%.900s: keys in it cannot be used", words);
        if (t->state.locked_out)
                return ADD(m, "warning", "tpm", "wait, or tpm2_dictionarylockout --clear-lockout",
                                "%.900s: slots with a PIN stay shut, keys work", words);
        return ADD(m, "ok", "tpm", "", "%s", words);
}

/* What gives a store without a counter one: its first slot of the TPM, or the one it has already, made anew. */
static void bind_command(const SlotList *l, char *ret, size_t size)
{
        snprintf(ret, size, "holdfast slot add tpm2");
        for (size_t i = 0; i < l->n; i++)
                if (l->slots[i].kind == SLOT_TPM2) {
                        snprintf(ret, size, "holdfast slot change %u", l->slots[i].id);
                        return;
                }
}

static int check_anchor(Daemon *d, sd_bus_message *m)
{
        bool unbound = d->anchor.state == ANCHOR_NONE && tpm_is_ready(d);
        char words[TPM_WORDS_MAX], remedy[64] = "";

        if (!d->vault.log)
                return 0;
        rollback_words(d, words);
        if (d->anchor.state == ANCHOR_WRONG)
                snprintf(remedy, sizeof(remedy), "holdfast recover");
        else if (unbound)
                bind_command(&d->vault.slot_list, remedy, sizeof(remedy));
        return ADD(m, d->anchor.state == ANCHOR_WRONG                                            ? "error"
                      : d->anchor.state == ANCHOR_GOOD || (d->anchor.state == ANCHOR_NONE && !unbound) ? "ok"
                                                                                                       : "warning",
                        "rollback", remedy, "an older copy is noticed: %.900s", words);
}

/* Whatever is opened without anybody's doing and without a look at the PCRs undoes what a slot sealed to them is for. */
static int check_slots(Daemon *d, sd_bus_message *m)
{
        const SlotList *l = &d->vault.slot_list;
        const SlotEntry *sealed = NULL, *open = NULL;
        char remedy[64];

        for (size_t i = 0; i < l->n; i++) {
                const SlotEntry *e = &l->slots[i];

                if (e->kind == SLOT_TPM2 && e->pcrs[0])
                        sealed = e;
                else if (e->unattended)
                        open = e;
        }
        if (!sealed || !open)
                return 0;
        snprintf(remedy, sizeof(remedy), "holdfast slot remove %u", open->id);
        return ADD(m, "warning", "slots", remedy,
                        "slot %u (%s) opens the store by itself whatever the PCRs are, so sealing slot %u to %s protects nothing",
                        open->id, slot_kind_to_string(open->kind), sealed->id, sealed->pcrs);
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

/* How long the disk lasts at the pace since the store was opened; UINT64_MAX while there is none. */
static uint64_t days_left(uint64_t room, uint64_t lines, uint64_t elapsed)
{
        return lines == 0 || elapsed < PACE_SECONDS ? UINT64_MAX : room / LINE_USUAL * elapsed / lines / 86400;
}

static int check_space(Daemon *d, sd_bus_message *m)
{
        char pace[96] = "";
        const Vault *v = &d->vault;
        uint64_t room, days;
        struct statvfs fs;
        AuditPosition p;
        bool low;

        if (!v->log || fstatvfs(v->store_fd, &fs) < 0)
                return 0;
        audit_log_position(v->log, &p);
        room = (uint64_t)fs.f_bavail * fs.f_frsize + audit_log_room(v->log);
        days = days_left(room, p.size - v->opened_seq, (clock_monotonic() - v->opened) / USEC_PER_SEC);
        low = room < ROOM_WARNING || days < DAYS_WARNING;
        if (days != UINT64_MAX)
                snprintf(pace, sizeof(pace), ", %llu %s at the pace since the store was opened", (unsigned long long)days,
                                days == 1 ? "day" : "days");
        return ADD(m, low ? "warning" : "ok", "space",
                        low ? "holdfast audit export, archive it, then holdfast audit prune" : "",
                        "room for about %llu more lines of the log%s", (unsigned long long)(room / LINE_USUAL), pace);
}

static int check_policy(Daemon *d, sd_bus_message *m)
{
        if (policy_n_rules(d->policy) == 0)
                return ADD(m, "error", "policy", "put rules into /etc/holdfast/policy.d",
                                "there are no policy rules: everything is refused");
        if (accounts_changed(d->accounts))
                return ADD(m, "error", "accounts", "look at the journal, then holdfast policy reload --accept-accounts",
                                "IdentityChanged: %zu users or groups of the policy are other accounts than they were",
                                accounts_changed(d->accounts));
        if (d->policy_problem[0])
                return ADD(m, "warning", "policy", "mend it, then holdfast policy reload",
                                "what is in force is older than the files, which were refused: %.900s", d->policy_problem);
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

static int check_listening(Daemon *d, sd_bus_message *m)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < d->config.n_listen; i++) {
                int why = d->listen_results[i];

                if (!why)
                        continue;
                r = ADD(m, "error", "listen",
                                "mend listen= in holdfast.conf, or what is at that path, then systemctl restart holdfastd",
                                "there is no direct socket %s: %s", d->config.listen[i],
                                why < 0 ? strerror(-why) : errors_sentence(why));
        }
        return r;
}

int doctor_append_findings(Daemon *d, sd_bus_message *m)
{
        static int (*const checks[])(Daemon *, sd_bus_message *) = {check_store, check_signer, check_files,
                        check_identities, check_authorities, check_lists, check_tpm,
                        check_anchor, check_slots, check_backup, check_recovery, check_space,
                        check_policy, check_bus, check_listening};
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(checks); i++)
                r = checks[i](d, m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}
