/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A CA made anew: another in the place of one, with nothing of it but its name
 *
 * One change (`ca.anew`) has the new key, the row of the new CA and what is to be signed, and the end of the old key: before it
 * the old one is as it was, behind it the new one is there and waits for its signature, as any CA does that is made
 * (daemon/ca-init.c). What that orphans is counted in that change, and has to be what the caller was told. A roll-over orphans
 * nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/bus.h"
#include "daemon/ca-backup.h"
#include "daemon/ca-publish.h"
#include "daemon/ca-put.h"
#include "daemon/ca.h"
#include "daemon/slot-tpm.h"
#include "daemon/tpm-state.h"
#include "keystore/lifecycle.h"

int ca_anew_new(CaTask *t, uint32_t orphans, bool without_backup)
{
        t->anew = calloc(1, sizeof(*t->anew));
        if (!t->anew)
                return -ENOMEM;
        *t->anew = (CaAnew){.orphans = orphans, .without_backup = without_backup, .list = BUFFER_INIT(STORE_LIST_MAX)};
        return 0;
}

CaAnew *ca_anew_free(CaAnew *a)
{
        if (a)
                buffer_deinit(&a->list);
        free(a);
        return NULL;
}

static bool is_live(const CertificateEntry *e, uint64_t now)
{
        return e->row.status == STORE_CERTIFICATE_ACTIVE && e->row.expires > now;
}

uint32_t ca_count_orphans(const Registry *registry, const AuthorityEntry *a)
{
        const CertificateEntry *own = registry_find_fingerprint(registry, a->fingerprint);
        uint64_t now = clock_wall();
        uint32_t n = 0;

        for (size_t i = 0; i < registry_count(registry); i++) {
                const CertificateEntry *e = registry_at(registry, i);

                n += e != own && is_live(e, now) && registry_is_current(registry, e) &&
                     ca_is_below(registry, registry_authority(registry, e->row.authority), a->row.name);
        }
        return n;
}

/* The CAs that lead to it. */
static uint32_t count_below(const Registry *registry, const char *name)
{
        const AuthorityEntry *a;
        uint32_t n = 0;

        for (size_t i = 0; (a = registry_authority_at(registry, i)); i++)
                n += strcmp(a->row.name, name) && ca_is_below(registry, a, name);
        return n;
}

/* Once the old one is gone the new one is to be signed at once. */
static int check_parent(const CaTask *t, const char *child, CaProblem *problem)
{
        const Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *parent = registry_authority(v->registry, t->authority);
        const KeyEntry *key = parent ? catalogue_find_uuid(v->catalogue, &parent->row.key) : NULL;

        if (!key)
                return HF_E_CA_NOT_INITIALISED;
        if (ca_is_below(v->registry, parent, child))
                return ca_refuse(problem, "%s is below it; name another CA with --parent", t->authority);
        if (key->protection == PROTECTION_TPM && !tpm_is_ready(t->op->daemon))
                return HF_E_TPM_UNAVAILABLE;
        return lifecycle_check(key, KEY_ACTION_USE);
}

int ca_anew_check(const CaTask *t, const AuthorityEntry *a, CaProblem *problem)
{
        const Vault *v = &t->op->daemon->vault;
        const KeyEntry *named = catalogue_find_name(v->catalogue, a->row.name), *key;
        int r = 0;

        if (a->row.kind != t->kind) {
                (void)ca_refuse(problem, "the %s %s is not made anew as another kind of CA",
                                a->row.kind == CA_ROOT ? "root" : "intermediate", a->row.name);
                return HF_E_CA_EXISTS;
        }
        if (t->kind == CA_INTERMEDIATE && !t->waits)
                r = check_parent(t, a->row.name, problem);
        if (r)
                return r;
        key = catalogue_find_uuid(v->catalogue, &a->row.key);
        if (named && named != key)
                return HF_E_KEY_EXISTS; /* the CA's own key is retired, and its name another's by now */
        return key ? lifecycle_check(key, KEY_ACTION_DESTROY) : HF_E_INTERNAL;
}

static int check_backup(const CaTask *t, const AuthorityEntry *a)
{
        const Vault *v = &t->op->daemon->vault;
        bool backed_up = false;
        int r = 0;

        if (t->anew->without_backup || !a->row.certificate.len)
                return 0; /* nothing is lost with a CA that never was one */
        r = ca_is_backed_up(v->store, v->registry, a->row.name, &backed_up);
        return r || backed_up ? r : HF_E_BACKUP_NEEDED;
}

/* Of CAs elsewhere, and of those that there were. */
static bool has_room(const Lists *lists)
{
        const ListEntry *e;
        size_t n = 0;

        for (size_t i = 0; (e = lists_at(lists, i)); i++)
                n += list_is_elsewhere(e);
        return n < LISTS_ELSEWHERE_MAX;
}

/* Nobody signs the lists of the old one any more. Servers of those below it go on with the last one, as with that of a CA
 * elsewhere. */
static int keep_list(CaTask *t, const AuthorityEntry *a)
{
        Vault *v = &t->op->daemon->vault;
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(STORE_CHAIN_MAX);
        char place[STORE_PLACE_SIZE];
        const ListEntry *list;
        StoreListRow row;
        int r;

        snprintf(place, sizeof(place), CA_PLACE "%s", a->row.name);
        list = lists_find(v->lists, place);
        if (!list)
                return 0;
        row = list->row;
        r = count_below(v->registry, a->row.name) && has_room(v->lists) ? store_get_list(v->store, place, &t->anew->list) : 0;
        if (!r)
                r = lists_remove(v->store, v->lists, place, &t->list);
        if (r || !t->anew->list.len)
                return r;
        r = ca_pem_append_all(a->row.certificate, &chain);
        if (!r && a->row.kind == CA_INTERMEDIATE)
                r = ca_pem_append_all(a->row.chain, &chain);
        if (!r)
                r = ca_put_place(buffer_bytes(&chain), t->anew->place);
        if (r)
                return r;
        strcpy(row.place, t->anew->place);
        row.chain = buffer_bytes(&chain);
        row.list = buffer_bytes(&t->anew->list);
        return lists_put(v->store, v->lists, &row, &t->list);
}

/* Who followed the old one follows nobody now. */
static int cut_line(CaTask *t)
{
        Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *follower = ca_follower(v->registry, t->child);
        StoreAuthorityRow row;

        if (!follower)
                return 0;
        row = follower->row;
        row.follows[0] = '\0';
        return registry_put_authority(v->store, v->registry, &row, &t->registry);
}

int ca_anew_write(CaTask *t, StoreAuthorityRow *row, AuditLine *line)
{
        Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->child);
        const KeyEntry *key = a ? catalogue_find_uuid(v->catalogue, &a->row.key) : NULL;
        CaProblem problem;
        int r = key ? ca_anew_check(t, a, &problem) : HF_E_CA_NOT_INITIALISED;

        if (!r && ca_count_orphans(v->registry, a) != t->anew->orphans)
                r = HF_E_ORPHANS_CHANGED;
        if (!r)
                r = check_backup(t, a);
        if (!r && slot_needs_key(v, key_entry_public(key)))
                r = HF_E_KEY_NEEDED;
        if (!r && identities_find_key(v->identities, &key->uuid))
                r = HF_E_KEY_IN_USE;
        if (r)
                return r;
        row->crl_number = a->row.crl_number + 1; /* which no list has: one is due as soon as it can be signed */
        audit_line_uuid(line, "before", &key->uuid);
        audit_line_u64(line, "orphans", t->anew->orphans);
        audit_line_str(line, "backup", t->anew->without_backup ? "not asked for" : "is there");
        r = cut_line(t);
        if (!r)
                r = keep_list(t, a);
        return r ? r : keystore_destroy(v->store, v->catalogue, &key->uuid, &t->gone);
}

/* ---- behind it ---- */

static int publish(void *userdata)
{
        CaTask *t = userdata;
        int r = ca_publish(t->publication, buffer_bytes(&t->anew->list));

        return r == HF_E_NOTHING_TO_DO ? 0 : r;
}

/* What cannot be written is when the store opens next. */
static void on_published(void *userdata, int result)
{
        CaTask *t = userdata;

        if (result)
                log_error("the last revocation list of the CA that %s was before cannot be written: %s", t->child,
                                result < 0 ? strerror(-result) : hf_error_name(result));
        t->anew->then(t);
}

void ca_anew_publish(CaTask *t, void (*then)(CaTask *t))
{
        const CaScene scene = ca_scene(t->op->daemon);
        int r = t->anew->list.len ? 0 : HF_E_NOTHING_TO_DO;

        list_change_deinit(&t->list);
        t->anew->then = then;
        if (!r)
                r = scene.lists ? ca_publication_new(&scene, t->anew->place, 0, &t->publication) : HF_E_STORE_LOCKED;
        if (!r)
                r = worker_post(t->op->daemon->worker, publish, on_published, t);
        if (r)
                on_published(t, r == HF_E_NOTHING_TO_DO ? 0 : r);
}

/* ---- asking before ---- */

typedef struct Asked {
        Change change;
        Operation *op;
        uint32_t orphans, below;
        bool backed_up;
} Asked;

static int look(Change *c)
{
        Asked *q = c->userdata;
        const Vault *v = &c->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, q->op->key_text);

        if (!a)
                return HF_E_CA_NOT_INITIALISED;
        q->orphans = ca_count_orphans(v->registry, a);
        q->below = count_below(v->registry, a->row.name);
        q->backed_up = !a->row.certificate.len;
        return q->backed_up ? 0 : ca_is_backed_up(v->store, v->registry, a->row.name, &q->backed_up);
}

static int append_answer(const Asked *q, sd_bus_message *reply)
{
        uint64_t backup = q->op->daemon->vault.last_backup;
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_u32(reply, "orphans", q->orphans);
        if (r >= 0)
                r = reply_append_u32(reply, "authorities", q->below);
        if (r >= 0)
                r = reply_append_bool(reply, "backed-up", q->backed_up);
        if (r >= 0 && backup)
                r = reply_append_u64(reply, "backup", backup);
        return r >= 0 ? sd_bus_message_close_container(reply) : r;
}

static void on_looked(Change *c, int result)
{
        Asked *q = c->userdata;
        Operation *op = q->op;
        sd_bus_message *reply = NULL;
        int r;

        if (result) {
                operation_fail(op, result);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_answer(q, reply);
        send_done(op, reply, r);
}

static const OptionSpec no_options[] = {{0}};

int ca_handle_orphans(Operation *op)
{
        Asked *q;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        q->op = op;
        q->change = (Change){.read = look, .finish = on_looked, .userdata = q};
        op->data = q;
        op->data_free = free;
        change_submit(op->daemon, &q->change);
        return 0;
}
