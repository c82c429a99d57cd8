/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Manager's methods about private CAs: making one, and which there are. */
#include "daemon/bus-authorities.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/bus.h"
#include "daemon/ca.h"
#include "daemon/lost.h"
#include "daemon/tpm-state.h"
#include "keystore/lifecycle.h"

static const OptionSpec no_options[] = {{0}};

static int read_text(Operation *op, const char **ret)
{
        return sd_bus_message_read_basic(op->call, 's', ret) < 0 ? HF_E_INVALID_ARGS : 0;
}

typedef struct CreateOptions {
        const char *parent, *algorithm, *protection;
        char **set, **names[_CA_NAME_KIND_MAX];
        uint32_t days, path_length, orphans;
        bool outside, anew, without_backup;
} CreateOptions;

static const OptionSpec create_options[] = {
                {"parent", OPTION_STRING, offsetof(CreateOptions, parent)},
                {"algorithm", OPTION_STRING, offsetof(CreateOptions, algorithm)},
                {"protection", OPTION_STRING, offsetof(CreateOptions, protection)},
                {"set", OPTION_STRINGS, offsetof(CreateOptions, set)},
                {"dns", OPTION_STRINGS, offsetof(CreateOptions, names[CA_NAME_DNS])},
                {"ip", OPTION_STRINGS, offsetof(CreateOptions, names[CA_NAME_IP])},
                {"uri", OPTION_STRINGS, offsetof(CreateOptions, names[CA_NAME_URI])},
                {"email", OPTION_STRINGS, offsetof(CreateOptions, names[CA_NAME_EMAIL])},
                {"days", OPTION_U32, offsetof(CreateOptions, days)},
                {"path-length", OPTION_U32, offsetof(CreateOptions, path_length)},
                {"outside", OPTION_BOOL, offsetof(CreateOptions, outside)},
                {"anew", OPTION_BOOL, offsetof(CreateOptions, anew)},
                {"orphans", OPTION_U32, offsetof(CreateOptions, orphans)},
                {"without-backup", OPTION_BOOL, offsetof(CreateOptions, without_backup)},
                {0},
};

static void create_options_deinit(CreateOptions *o)
{
        options_strings_free(&o->set);
        for (CaNameKind kind = 0; kind < _CA_NAME_KIND_MAX; kind++)
                options_strings_free(&o->names[kind]);
}

static int fill_attributes(const Operation *op, const char *name, const CreateOptions *o, KeyAttributes *a)
{
        const Vault *v = &op->daemon->vault;

        a->algorithm = key_algorithm_from_string(o->algorithm);
        a->protection = key_protection_from_string(o->protection);
        if (a->algorithm != KEY_P256 && a->algorithm != KEY_P384 && a->algorithm != KEY_RSA3072 && a->algorithm != KEY_RSA4096)
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        if (!a->protection)
                return HF_E_INVALID_ARGS;
        a->purpose = PURPOSE_ISSUE;
        a->flags = KEY_FLAG_DIGEST; /* a revocation list may be larger than any message to the signer */
        a->version = 1;
        a->created = lost_later(v->occasions, v->n_occasions, clock_wall());
        uuid_generate(&a->uuid);
        strcpy(a->name, name);
        return 0;
}

static int fail_with(Operation *op, int r, const CaProblem *problem)
{
        if (!r || !problem->text[0])
                return r;
        operation_fail_because(op, r, "Not made: %s. Nothing was changed.", problem->text);
        return OPERATION_ANSWERED;
}

static void set_key(Operation *op, KeyEntry *key)
{
        key_entry_ref(key);
        key_entry_unref(op->key);
        op->key = key;
}

/* The side of the one that goes: its key is destroyed. */
static int check_former(Operation *op, const AuthorityEntry *there)
{
        KeyEntry *key = there ? catalogue_find_uuid(op->daemon->vault.catalogue, &there->row.key) : NULL;

        if (!key)
                return HF_E_CA_NOT_INITIALISED;
        set_key(op, key);
        return operation_authorise(op, &(Question){.operation = POLICY_OP_DESTROY});
}

/* The parent's side: it has to be there, awake, and the caller's to issue with. */
static int check_parent(Operation *op, const char *name)
{
        const Vault *v = &op->daemon->vault;
        const AuthorityEntry *parent = registry_authority(v->registry, name);
        KeyEntry *key = parent ? catalogue_find_uuid(v->catalogue, &parent->row.key) : NULL;
        CaProblem problem = {};
        int r;

        if (!key)
                return HF_E_CA_NOT_INITIALISED;
        set_key(op, key);
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_CA_ISSUE, .profile = "intermediate"});
        if (r)
                return r;
        r = ca_check_issuer(v->registry, ca_newest(v->registry, name), &problem);
        return fail_with(op, r, &problem);
}

static int replace(CaTask *t, const AuthorityEntry *there, const CreateOptions *o, CaProblem *problem)
{
        int r = ca_anew_new(t, o->orphans, o->without_backup);

        return r ? r : ca_anew_check(t, there, problem);
}

/* Made once: who asks again gets what there is, be it to have another request signed. */
static int describe(Operation *op, const AuthorityEntry *a)
{
        sd_bus_message *reply = NULL;
        int r = operation_reply_new(op, &reply);

        if (r >= 0)
                r = ca_append_authority(op->daemon, reply, a);
        return send_or_unref(op, reply, r);
}

static int create(Operation *op, const char *name, CaKind kind, const CreateOptions *o)
{
        const AuthorityEntry *there = registry_authority(op->daemon->vault.registry, name);
        const char *parent = kind == CA_ROOT || o->outside ? name : o->parent;
        const AuthorityEntry *above = kind == CA_ROOT || o->outside ? NULL : ca_newest(op->daemon->vault.registry, parent);
        CaProblem problem = {};
        CaTask *t;
        int r;

        if (there && o->outside && ca_is_outside(there) && !(o->anew && there->row.certificate.len))
                return describe(op, there);
        if (there && !o->anew && (there->row.certificate.len || o->outside || ca_is_outside(there)))
                return HF_E_CA_EXISTS;
        r = o->anew ? check_former(op, there) : there ? 0 : lifecycle_check_new(op->daemon->vault.catalogue, name);
        if (!r && kind == CA_INTERMEDIATE && !o->outside)
                r = check_parent(op, parent);
        if (!r)
                r = ca_task_new(op, above ? above->row.name : parent, &t);
        if (r)
                return r;
        strcpy(t->child, name);
        t->kind = kind;
        t->waits = o->outside;
        t->row.issued = clock_wall();
        r = fill_attributes(op, name, o, &t->attributes);
        if (!r && o->anew)
                r = replace(t, there, o, &problem);
        if (r)
                return fail_with(op, r, &problem);
        return ca_init_begin(&(CaInit){.task = t, .set = o->set, .days = o->days,
                        .names = {o->names[0], o->names[1], o->names[2], o->names[3]},
                        .path_length = o->path_length == UINT32_MAX ? -1 : (int)o->path_length});
}

/* P-384, or P-256 where the TPM that is to make it has no P-384. */
static const char *default_algorithm(const Daemon *d, const char *protection)
{
        bool lacks = strcmp(protection, "tpm") == 0 && tpm_is_ready(d) && !(d->tpm.state.algorithms & 1u << TPM_P384);

        return lacks ? "p256" : "p384";
}

int ca_handle_create(Operation *op)
{
        __attribute__((cleanup(create_options_deinit))) CreateOptions o = {
                        .parent = "root", .protection = "software", .path_length = UINT32_MAX, .orphans = UINT32_MAX};
        const char *name, *kind;
        int r = read_text(op, &name);

        if (!r)
                r = read_text(op, &kind);
        if (!r)
                r = read_options(op, create_options, &o);
        if (r)
                return r;
        if (!name_is_valid(name) || !name_is_valid(o.parent))
                return HF_E_INVALID_NAME;
        if ((strcmp(kind, "root") && strcmp(kind, "intermediate")) || (o.path_length != UINT32_MAX && o.path_length > 8))
                return HF_E_INVALID_ARGS;
        if (!o.algorithm)
                o.algorithm = default_algorithm(op->daemon, o.protection);
        if (o.anew == (o.orphans == UINT32_MAX) || (o.without_backup && !o.anew))
                return HF_E_INVALID_ARGS;
        /* What stands in its certificate is said in the request, and by whom that goes to. */
        if (o.outside && (strcmp(kind, "root") == 0 || o.set || o.days || o.path_length != UINT32_MAX))
                return HF_E_INVALID_ARGS;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_CA_INIT, .key_name = name, .algorithm = o.algorithm});
        return r ? r : create(op, name, strcmp(kind, "root") ? CA_INTERMEDIATE : CA_ROOT, &o);
}

int ca_handle_list(Operation *op)
{
        const Vault *v = &op->daemon->vault;
        sd_bus_message *reply = NULL;
        const AuthorityEntry *a;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && (a = registry_authority_at(v->registry, i)); i++) {
                const KeyEntry *key = catalogue_find_uuid(v->catalogue, &a->row.key);

                if (key && operation_may(op, POLICY_OP_CA_READ, key))
                        r = ca_append_authority(op->daemon, reply, a);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return send_or_unref(op, reply, r);
}
