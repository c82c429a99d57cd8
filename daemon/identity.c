/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/identity.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/bus.h"
#include "daemon/change.h"
#include "daemon/identity-lists.h"
#include "dbus/errors.h"

typedef struct Work {
        Change change;
        Operation *op;
        char name[NAME_SIZE];
        IdentityEntry *wanted; /* NULL: to be removed */
        KeyEntry *key;
        uint8_t fingerprint[32];
        FindingList warnings;
        IdentityChange identity;
        ListPlaces places;
        char generation[TLS_GENERATION_SIZE]; /* written and not pointed to yet */
        int files_result;
} Work;

static void work_free(Work *w)
{
        identity_change_deinit(&w->identity);
        identity_unref(w->wanted);
        key_entry_unref(w->key);
        list_places_deinit(&w->places);
        free(w);
}

const char *identity_state(const IdentityEntry *e, const KeyEntry *key, uint64_t now)
{
        return !key || (key->flags & KEY_FLAG_LOST) ? "key-lost"
               : key->flags & KEY_FLAG_DISABLED     ? "key-unusable"
               : now > e->row.not_after             ? "expired"
               : now < e->row.not_before            ? "not-yet-valid"
               : key->flags & KEY_FLAG_RETIRED      ? "key-retired"
                                                    : "valid";
}

const char *identity_key_handle(const KeyEntry *key, char uuid[static UUID_TEXT_SIZE])
{
        if (!(key->flags & KEY_FLAG_RETIRED))
                return key_entry_name(key);
        uuid_format(&key->uuid, uuid);
        return uuid;
}

TlsContent identity_content(const IdentityEntry *e, const KeyEntry *key)
{
        return (TlsContent){.name = e->row.name,
                        .layout = e->row.layout,
                        .chain = e->row.chain,
                        .trust = e->row.trust,
                        .pins = e->row.pins,
                        .key_name = key_entry_name(key),
                        .key = key->uuid,
                        .digest = key->flags & KEY_FLAG_DIGEST,
                        .spki = key_entry_public(key)};
}

/* ---- files, in the worker ---- */

static int open_directory(const Daemon *d, int *ret_fd)
{
        return d->config.tls_directory[0] ? tls_files_open(d->config.tls_directory, ret_fd) : HF_E_NOTHING_TO_DO;
}

static int gather(Change *c)
{
        Work *w = c->userdata;

        return identity_lists_find(c->daemon->vault.registry, c->daemon->vault.lists, &w->wanted->row, &w->places);
}

static int prepare(Change *c)
{
        Work *w = c->userdata;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_buffer_ Buffer lists = IDENTITY_LISTS_BUFFER;
        TlsContent content = identity_content(w->wanted, w->key);
        int r = open_directory(c->daemon, &fd);

        if (!r)
                r = identity_lists_read(fd, &w->places, w->wanted->row.trust, &lists);
        content.lists = buffer_bytes(&lists);
        if (!r)
                r = tls_files_write(fd, &content, w->generation);
        if (r == HF_E_NOTHING_TO_DO) /* identities have no files here */
                r = 0;
        w->files_result = r;
        return r;
}

static void publish(Change *c)
{
        Work *w = c->userdata;
        _cleanup_close_ int fd = -EBADF;
        int r = open_directory(c->daemon, &fd);

        if (!r && !w->wanted)
                r = tls_files_remove(fd, w->name);
        else if (!r && w->generation[0])
                r = tls_files_switch(fd, w->name, w->generation);
        w->files_result = r == HF_E_NOTHING_TO_DO || (r == -ENOENT && !w->wanted) ? 0 : r;
}

/* ---- inside the change ---- */

static void fill_line(const Work *w, AuditLine *line)
{
        audit_line_str(line, "identity", w->name);
        audit_line_uuid(line, "key", &w->key->uuid);
        audit_line_str(line, "name", key_entry_name(w->key));
        if (w->wanted) {
                audit_line_str(line, "issuer", w->wanted->row.issuer);
                audit_line_hex(line, "certificate", w->fingerprint, sizeof(w->fingerprint));
                audit_line_u64(line, "not-after", w->wanted->row.not_after);
        }
        operation_audit_caller(w->op, line);
}

/* Changes wait for each other: by now the key may be gone. */
static int write_set(Change *c, AuditLine *line)
{
        Work *w = c->userdata;
        Vault *v = &c->daemon->vault;
        const KeyEntry *key = catalogue_find_uuid(v->catalogue, &w->key->uuid);

        if (!key)
                return HF_E_NO_SUCH_KEY;
        if (key->flags & KEY_FLAG_LOST)
                return HF_E_KEY_LOST;
        fill_line(w, line);
        return identity_put(v->store, v->identities, &w->wanted->row, &w->identity);
}

static int write_unset(Change *c, AuditLine *line)
{
        Work *w = c->userdata;
        Vault *v = &c->daemon->vault;

        fill_line(w, line);
        return identity_remove(v->store, v->identities, w->name, &w->identity);
}

static void apply(Change *c)
{
        Work *w = c->userdata;

        identity_apply(c->daemon->vault.identities, &w->identity);
}

/* ---- the end ---- */

static void fail_for_files(Work *w, bool done)
{
        const char *why = w->files_result < 0 ? strerror(-w->files_result) : errors_sentence(w->files_result);

        log_error("%s: the files of identity %s cannot be written: %s", w->op->daemon->config.tls_directory, w->name, why);
        operation_fail_because(w->op, w->files_result < 0 ? HF_E_INTERNAL : w->files_result,
                        done ? "The store has it, but the files in %s could not be changed: %s. They are put right when the "
                               "store opens next."
                             : "The files in %s cannot be written: %s. Nothing was changed.",
                        w->op->daemon->config.tls_directory, why);
}

static void finish(Change *c, int result)
{
        Work *w = c->userdata;
        Operation *op = w->op;
        sd_bus_message *reply = NULL;
        int r;

        if (w->files_result) {
                fail_for_files(w, !result);
        } else if (result) {
                operation_fail(op, result);
        } else {
                r = operation_reply_new(op, &reply);
                if (r >= 0 && w->wanted)
                        r = identity_append(op->daemon, reply, w->identity.after, false, &w->warnings);
                send_done(op, reply, r);
        }
        work_free(w);
}

static Work *work_new(Operation *op, const char *name, const char *event)
{
        Work *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        strcpy(w->name, name);
        w->op = op;
        w->key = key_entry_ref(op->key);
        w->change = (Change){.event = event, .seal = true, .publish = publish, .apply = apply, .finish = finish, .userdata = w};
        return w;
}

int identity_set(Operation *op, const IdentitySet *set)
{
        StoreIdentityRow row = {.version = 1, /* as all that the store counts, seen to when it is written */
                        .key = op->key->uuid,
                        .issuer = ISSUER_MANUAL,
                        .changed = clock_wall(),
                        .not_before = set->not_before,
                        .not_after = set->not_after,
                        .chain = set->chain,
                        .trust = set->trust,
                        .pins = set->pins};
        Work *w = work_new(op, set->name, "cert.set");
        int r;

        if (!w)
                return -ENOMEM;
        strcpy(row.name, set->name);
        strcpy(row.layout, set->layout);
        memcpy(w->fingerprint, set->fingerprint, sizeof(w->fingerprint));
        w->warnings = set->warnings;
        w->change.gather = gather;
        w->change.prepare = prepare;
        w->change.write = write_set;
        r = identity_new(&row, &w->wanted);
        if (r) {
                work_free(w);
                return r;
        }
        change_submit(op->daemon, &w->change);
        return 0;
}

int identity_unset(Operation *op)
{
        Work *w = work_new(op, op->identity->row.name, "cert.removed");

        if (!w)
                return -ENOMEM;
        w->change.write = write_unset;
        change_submit(op->daemon, &w->change);
        return 0;
}

/* ---- keys that are gone ---- */

size_t identities_lost(const Daemon *d, const char **ret, size_t max)
{
        const Vault *v = &d->vault;
        size_t n = 0;

        for (size_t i = 0; v->identities && n < max && i < identities_count(v->identities); i++) {
                const IdentityEntry *e = identities_at(v->identities, i);
                const KeyEntry *key = catalogue_find_uuid(v->catalogue, &e->row.key);

                if (!key || (key->flags & KEY_FLAG_LOST))
                        ret[n++] = e->row.name;
        }
        return n;
}

int identities_append_lost(const Daemon *d, sd_bus_message *m)
{
        const char *names[IDENTITIES_TOLD + 1] = {NULL};
        size_t n = identities_lost(d, names, IDENTITIES_TOLD);

        return n ? reply_append_strings(m, "identities-lost", names) : 0;
}

void identities_of_key(const Identities *all, const Uuid *key, char ret[static IDENTITIES_TEXT_SIZE])
{
        size_t n = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < identities_count(all); i++) {
                const IdentityEntry *e = identities_at(all, i);

                if (uuid_equal(&e->row.key, key) && n + strlen(e->row.name) + 1 < IDENTITIES_TEXT_SIZE)
                        n += (size_t)sprintf(ret + n, "%s%s", n ? " " : "", e->row.name);
        }
}

/* ---- at an opening, in the worker ---- */

/* The journal tells once an opening what will keep programs from working. */
static void tell_trouble(const IdentityEntry *e, const KeyEntry *key)
{
        const char *state = identity_state(e, key, clock_wall());

        if (!key || (key->flags & (KEY_FLAG_LOST | KEY_FLAG_DISABLED)))
                state = finding_word(FINDING_KEY_UNUSABLE);
        else if (strcmp(state, "valid") == 0 || strcmp(state, "key-retired") == 0)
                return;
        log_notice("identity=%s finding=%s", e->row.name, state);
}

static void on_difference(void *userdata, const char *name, TlsDifference difference, int result)
{
        static const char *const words[] = {[TLS_MISSING] = "missing",
                        [TLS_CHANGED] = "changed",
                        [TLS_REMOVED] = "no identity",
                        [TLS_FAILED] = "failed"};
        VaultJob *j = userdata;
        AuditLine line;

        if (difference == TLS_FAILED)
                log_error("%s: the files of identity %s cannot be put right: %s", j->daemon->config.tls_directory, name,
                                result < 0 ? strerror(-result) : hf_error_name(result));
        else
                log_notice("%s: the files of identity %s were not as the store says (%s) and are now",
                                j->daemon->config.tls_directory, name, words[difference]);
        audit_line_init(&line, "tls.rewritten");
        audit_line_str(&line, "identity", name);
        audit_line_str(&line, "reason", words[difference]);
        (void)audit_log_append(j->log, &line, NULL);
}

/* Whether a list is another is no question of the store: its own line is there. */
static int settle_lists(const VaultJob *j, int tls_fd)
{
        int r = 0;

        for (size_t i = 0; !r && i < identities_count(j->identities); i++) {
                const IdentityEntry *e = identities_at(j->identities, i);
                const KeyEntry *key = catalogue_find_uuid(j->catalogue, &e->row.key);
                _cleanup_list_places_ ListPlaces places = {0};

                r = key ? identity_lists_find(j->registry, j->lists, &e->row, &places) : HF_E_NOTHING_TO_DO;
                if (!r)
                        r = identity_lists_write(tls_fd, e, key, &places);
                if (r == HF_E_NOTHING_TO_DO)
                        r = 0;
        }
        return r;
}

void vault_job_settle_tls(VaultJob *j)
{
        size_t count = identities_count(j->identities), n = 0;
        _cleanup_free_ TlsContent *items = calloc(count + 1, sizeof(*items));
        _cleanup_close_ int fd = -EBADF;
        int r = items ? open_directory(j->daemon, &fd) : -ENOMEM;

        if (r == HF_E_NOTHING_TO_DO || (r == -ENOENT && count == 0))
                return;
        for (size_t i = 0; !r && i < count; i++) {
                const IdentityEntry *e = identities_at(j->identities, i);
                const KeyEntry *key = catalogue_find_uuid(j->catalogue, &e->row.key);

                tell_trouble(e, key);
                if (key)
                        items[n++] = identity_content(e, key);
        }
        if (!r)
                r = tls_files_settle(fd, items, n, on_difference, j);
        if (!r)
                r = settle_lists(j, fd);
        if (r)
                log_error("%s: the files of identities cannot be looked at: %s", j->daemon->config.tls_directory,
                                r < 0 ? strerror(-r) : errors_sentence(r));
}
