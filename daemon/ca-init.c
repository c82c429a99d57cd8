/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A new CA: its key is made by the signer, then its certificate goes the way of all others. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/pubkey.h"
#include "daemon/bus.h"
#include "daemon/ca.h"

typedef struct Making {
        CaTask *task;
        char *set[CA_SETS_MAX + 1];
        char *names[_CA_NAME_KIND_MAX][CSR_NAMES_MAX + 1];
        uint32_t days;
        int path_length;
} Making;

static void making_free(Making *m)
{
        for (size_t i = 0; i < CA_SETS_MAX; i++)
                free(m->set[i]);
        for (size_t i = 0; i < ELEMENTSOF(m->names) * ELEMENTSOF(m->names[0]); i++)
                free(m->names[i / ELEMENTSOF(m->names[0])][i % ELEMENTSOF(m->names[0])]);
        free(m);
}

/* The call is gone when the key is there. `list` NULL: none. */
static int copy_list(char **list, char **ret, size_t max)
{
        for (size_t i = 0; list && list[i]; i++) {
                if (i == max)
                        return HF_E_LIMIT_EXCEEDED;
                ret[i] = strdup(list[i]);
                if (!ret[i])
                        return -ENOMEM;
        }
        return 0;
}

int ca_reply_child(CaTask *t, sd_bus_message *reply)
{
        const Registry *registry = t->op->daemon->vault.registry; /* the store may be locked by now */
        const AuthorityEntry *a = registry ? registry_authority(registry, t->child) : NULL;

        return a ? ca_append_authority(t->op->daemon, reply, a) : -EIO;
}

/* What is to be signed, and the row of it. `issuer` NULL: a root. */
static int prepare(Making *m, const CaProfile *profile, const CaIssuer *issuer, Scheme scheme, CaProblem *problem)
{
        CaTask *t = m->task;
        CaCertificateParams p = {.profile = profile, .spki = key_attributes_public(&t->attributes),
                        .set = (const char *const *)m->set, .now = clock_wall(), .days = m->days, .path_length = m->path_length,
                        .issuer = issuer, .authority = t->authority, .scheme = scheme};
        CaSummary summary;
        int r;

        for (CaNameKind kind = 0; kind < _CA_NAME_KIND_MAX; kind++)
                p.names[kind] = (const char *const *)m->names[kind];
        ca_serial_new(p.serial);
        r = ca_certificate_prepare(&p, problem, &summary, &t->tbs);
        if (r)
                return r;
        memcpy(t->row.serial, p.serial, sizeof(p.serial));
        snprintf(t->name, sizeof(t->name), "%s", t->child);
        strcpy(t->row.authority, t->authority);
        strcpy(t->row.profile, profile->name);
        t->row.issued = summary.not_before;
        t->row.expires = summary.not_after;
        pubkey_fingerprint(p.spki, t->public);
        return 0;
}

static int prepare_under(Making *m, CaProblem *problem)
{
        CaTask *t = m->task;
        const Daemon *d = t->op->daemon;
        const AuthorityEntry *parent;
        _cleanup_(ca_issuer_freep) CaIssuer *issuer = NULL;
        const KeyEntry *key;
        CaProfile profile;
        int r;

        r = ca_profile_load(d, t->kind == CA_ROOT ? "root" : "intermediate", problem, &profile);
        if (r)
                return r;
        if (t->kind == CA_ROOT)
                return prepare(m, &profile, NULL, scheme_usual(t->attributes.algorithm, PURPOSE_ISSUE), problem);
        parent = registry_authority(d->vault.registry, t->authority);
        key = parent ? catalogue_find_uuid(d->vault.catalogue, &parent->row.key) : NULL;
        if (!key)
                return HF_E_CA_NOT_INITIALISED;
        t->by = parent->row.key;
        r = ca_authority_issuer(parent, &issuer);
        return r ? r : prepare(m, &profile, issuer, scheme_usual(key->algorithm, PURPOSE_ISSUE), problem);
}

static void on_generated(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Making *m = userdata;
        CaTask *t = m->task;
        CaProblem problem = {};
        Bytes attributes, wrapped;

        if (!result && !t->op->daemon->vault.registry)
                result = HF_E_STORE_LOCKED;
        if (!result) {
                attributes = wire_get_block(&r, KEY_ATTRIBUTES_MAX);
                wrapped = wire_get_block(&r, KEY_WRAPPED_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : key_attributes_decode(attributes, &t->attributes);
        }
        if (!result)
                result = buffer_append(&t->wrapped, wrapped.data, wrapped.len);
        if (!result && t->waits)
                pubkey_fingerprint(key_attributes_public(&t->attributes), t->public);
        else if (!result)
                result = prepare_under(m, &problem);
        making_free(m);
        tpm_note_result(t->op->daemon, result);
        if (result && problem.text[0])
                operation_fail_because(t->op, result, "Not made: %s. Nothing was kept.", problem.text);
        else if (result)
                operation_fail(t->op, result);
        else
                ca_issue_begin(t);
}

/* One CA of a name: who was killed on the way to it and asks again goes on with it. */
static void name_request(CaTask *t)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);

        if (buffer_printf(&b, "ca.init %s", t->child) == 0)
                digest_sha256(buffer_bytes(&b), t->row.request);
}

static int generate(Making *m)
{
        SignerClient *signer = m->task->op->daemon->signer;
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        int r = key_attributes_encode(&m->task->attributes, &encoded);

        if (!r)
                r = wire_put_block(signer_begin(signer, SIGNER_GENERATE), buffer_bytes(&encoded));
        return r ? r : signer_call(signer, NULL, 0, on_generated, m);
}

int ca_init_begin(const CaInit *init)
{
        CaTask *t = init->task;
        const Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *there = registry_authority(v->registry, t->child);
        const CertificateEntry *e;
        Making *m;
        int r = 0;

        t->reply = ca_reply_child;
        name_request(t);
        e = registry_find_request(v->registry, t->row.request);
        if (there && there->row.certificate.len && !t->anew)
                return HF_E_CA_EXISTS;
        if (there && !there->row.certificate.len && e && registry_is_current(v->registry, e) && !t->waits) {
                ca_issue_resume(t, e);
                return 0;
        }
        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->task = t;
        m->days = init->days;
        m->path_length = init->path_length;
        r = copy_list(init->set, m->set, CA_SETS_MAX);
        for (CaNameKind kind = 0; !r && kind < _CA_NAME_KIND_MAX; kind++)
                r = copy_list(init->names[kind], m->names[kind], CSR_NAMES_MAX);
        t->newcomer = true;
        memcpy(t->keys_hash, v->keys_hash, sizeof(t->keys_hash));
        if (!r)
                r = generate(m);
        if (r)
                making_free(m);
        return r;
}
