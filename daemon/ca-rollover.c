/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Another CA takes the place of one, beside it
 *
 * The new one has a key and a certificate of its own under the same subject, and issues from then on. Of roots there are two
 * cross certificates besides (RFC 4210 section 4.4): the new key signs the old one and the old key the new one, so that who
 * trusts only the one follows to the other. All is one change that has the key and whatever is to be signed (`ca.rollover`), the
 * signatures, and one change with the certificates (`ca.rolled`): between the two nobody uses the new CA. Of an intermediate
 * whose root is elsewhere the first change has the key alone (`ca.wait`), and the certificate is handed in (ca-outside.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/pubkey.h"
#include "daemon/bus.h"
#include "daemon/ca.h"
#include "daemon/lost.h"
#include "keystore/lifecycle.h"

typedef struct Part {
        StoreCertificateRow row;
        char name[NAME_SIZE];
        Buffer tbs, der;
} Part;

struct CaRollover {
        char of[NAME_SIZE], signer[NAME_SIZE]; /* the signer of an intermediate; of a root it is itself */
        Uuid signer_key;
        uint32_t days;
        size_t n, at;
        Part parts[3]; /* CaLinePart; of an intermediate the first one alone */
};

struct CaRollover *ca_rollover_free(struct CaRollover *r)
{
        for (size_t i = 0; r && i < ELEMENTSOF(r->parts); i++) {
                buffer_deinit(&r->parts[i].tbs);
                buffer_deinit(&r->parts[i].der);
        }
        free(r);
        return NULL;
}

static void fail(CaTask *t, int r, const CaProblem *problem)
{
        tpm_note_result(t->op->daemon, r);
        if (problem && problem->text[0])
                operation_fail_because(t->op, r, "Not rolled over: %s. Nothing was changed.", problem->text);
        else
                operation_fail(t->op, r);
}

/* Who signs the new certificate, and may that now? Of a root that is the old one, for the cross certificate. */
static int check_signer(const Registry *registry, const struct CaRollover *r, CaProblem *problem)
{
        const AuthorityEntry *signer = registry_authority(registry, r->signer);
        int result = ca_check_issuer(registry, signer, problem);

        if (result == HF_E_CA_AT_REST)
                (void)ca_refuse(problem, "%s is at rest, and has to sign; `holdfast ca enable %s`", r->signer, r->signer);
        return result;
}

/* What was begun is of the CAs that there are still: none of them was made anew since. */
static bool still_stands(const Registry *registry, const CaTask *t)
{
        const AuthorityEntry *follower = ca_follower(registry, t->rollover->of);
        bool stands = follower && strcmp(follower->row.name, t->child) == 0;

        for (size_t i = 0; i < t->rollover->n; i++) {
                const CertificateEntry *e = registry_find_serial(registry, t->rollover->parts[i].row.serial);

                stands = stands && e && registry_is_current(registry, e);
        }
        return stands;
}

/* ---- the second change: the certificates ---- */

static int put_part(Vault *v, Part *p, RegistryChange *change)
{
        const CertificateEntry *e = registry_find_serial(v->registry, p->row.serial);

        if (!e || e->row.status != STORE_CERTIFICATE_PENDING)
                return HF_E_NOTHING_TO_DO;
        p->row.status = STORE_CERTIFICATE_ACTIVE;
        p->row.certificate = buffer_bytes(&p->der);
        digest_sha256(p->row.certificate, p->row.fingerprint);
        return registry_put_certificate(v->store, v->registry, &p->row, change);
}

static int put_new(CaTask *t, const AuthorityEntry *signer)
{
        Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->child);
        struct CaRollover *r = t->rollover;
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(STORE_CHAIN_MAX);
        StoreAuthorityRow row;
        int result = 0;

        if (!a)
                return HF_E_INTERNAL;
        row = a->row;
        if (r->n > 1)
                result = buffer_append(&chain, r->parts[CA_LINE_NEW_WITH_OLD].der.data, r->parts[CA_LINE_NEW_WITH_OLD].der.len);
        else
                result = ca_chain_below(signer, &chain);
        row.certificate = buffer_bytes(&r->parts[CA_LINE_NEW].der);
        row.chain = buffer_bytes(&chain);
        row.awake = STORE_AWAKE_ALWAYS;
        return result ? result : registry_put_authority(v->store, v->registry, &row, &t->registry);
}

/* The old root, with the cross certificate beside its own; or the root that signed. Either rests after its first signature. */
static int put_signer(CaTask *t, const AuthorityEntry *signer)
{
        Vault *v = &t->op->daemon->vault;
        struct CaRollover *r = t->rollover;
        const Buffer *cross = &r->parts[CA_LINE_OLD_WITH_NEW].der;
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(STORE_CHAIN_MAX);
        StoreAuthorityRow row = signer->row;
        int result = 0;

        if (signer->row.kind != CA_ROOT)
                return 0;
        if (r->n > 1) {
                result = buffer_append(&chain, row.chain.data, row.chain.len);
                if (!result)
                        result = buffer_append(&chain, cross->data, cross->len);
                row.chain = buffer_bytes(&chain);
        }
        if (row.awake == STORE_AWAKE_ALWAYS)
                row.awake = 0;
        return result ? result : registry_put_authority(v->store, v->registry, &row, &t->registry);
}

static int write_rolled(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        struct CaRollover *r = t->rollover;
        const AuthorityEntry *signer = registry_authority(v->registry, r->signer);
        int result = 0;

        if (!signer)
                return HF_E_INTERNAL;
        audit_line_uuid(line, "key", &signer->row.key);
        audit_line_str(line, "name", r->of);
        audit_line_str(line, "to", t->child);
        operation_audit_caller(t->op, line);
        for (size_t i = 0; !result && i < r->n; i++)
                result = put_part(v, &r->parts[i], &t->registry);
        if (!still_stands(v->registry, t))
                result = HF_E_CA_REPLACED;
        audit_line_hex(line, "fingerprint", r->parts[0].row.fingerprint, sizeof(r->parts[0].row.fingerprint));
        if (!result)
                result = put_new(t, signer);
        return result ? result : put_signer(t, signer);
}

static void apply(Change *c)
{
        CaTask *t = c->userdata;

        registry_apply(c->daemon->vault.registry, &t->registry);
}

/* The list of the new one, and with it all files in which it stands beside the old one. */
static void on_rolled(Change *c, int result)
{
        CaTask *t = c->userdata;

        registry_change_deinit(&t->registry);
        if (result && result != HF_E_NOTHING_TO_DO) {
                fail(t, result, NULL);
                return;
        }
        strcpy(t->authority, t->child); /* somebody else who asked for the same may have been first */
        ca_crl_begin(t, "ca.crl");
}

/* ---- the signatures ---- */

static void sign_next(CaTask *t);

static int on_signed(Operation *op, sd_bus_message *reply)
{
        CaTask *t = op->data;
        Part *p = &t->rollover->parts[t->rollover->at];

        (void)reply;
        if (ca_finish(key_entry_public(op->key), t->scheme, buffer_bytes(&t->tbs),
                            BYTES(op->items[0].result, op->items[0].result_len), &p->der))
                return -EIO;
        t->rollover->at++;
        sign_next(t);
        return OPERATION_ANSWERED;
}

static void sign_next(CaTask *t)
{
        const Registry *registry = t->op->daemon->vault.registry;
        struct CaRollover *r = t->rollover;
        Part *p = &r->parts[r->at];
        CaProblem problem = {};
        int result = registry ? 0 : HF_E_STORE_LOCKED;

        if (r->at == r->n) {
                t->change = (Change){.event = "ca.rolled", .write = write_rolled, .apply = apply, .finish = on_rolled,
                                .userdata = t, .seal = true};
                change_submit(t->op->daemon, &t->change);
                return;
        }
        if (!result)
                result = still_stands(registry, t) ? check_signer(registry, r, &problem) : HF_E_CA_REPLACED;
        buffer_clear(&t->tbs);
        if (!result)
                result = buffer_append(&t->tbs, p->tbs.data, p->tbs.len);
        if (!result)
                result = ca_sign(t, p->row.authority, "ca.sign", on_signed);
        if (result)
                fail(t, result, &problem);
}

/* ---- the first change: the key, and all that is to be signed ---- */

static int put_key(CaTask *t, AuditLine *line)
{
        Vault *v = &t->op->daemon->vault;
        const struct CaRollover *r = t->rollover;
        StoreAuthorityRow row = {.key = t->attributes.uuid, .kind = (uint8_t)t->kind, .created = t->attributes.created};
        int result;

        strcpy(row.name, t->child);
        strcpy(row.follows, r->of);
        if (t->kind == CA_INTERMEDIATE)
                strcpy(row.parent, r->signer);
        audit_line_uuid(line, "key", &row.key);
        audit_line_str(line, "name", row.name);
        audit_line_str(line, "follows", r->of);
        audit_line_str(line, "kind", t->waits ? "intermediate" : NULL);
        audit_line_str(line, "algorithm", key_algorithm_info(t->attributes.algorithm)->name);
        audit_line_str(line, "protection", key_protection_to_string(t->attributes.protection));
        audit_line_hex(line, "public", t->public, sizeof(t->public));
        for (size_t i = 0; i < r->n; i++) {
                static const char *const words[] = {"serial", "old-with-new", "new-with-old"};

                audit_line_hex(line, words[i], r->parts[i].row.serial, sizeof(r->parts[i].row.serial));
        }
        operation_audit_caller(t->op, line);
        result = keystore_put(v->store, v->catalogue, &t->attributes, buffer_bytes(&t->wrapped), &t->key);
        return result ? result : registry_put_authority(v->store, v->registry, &row, &t->registry);
}

static int write_rollover(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        struct CaRollover *r = t->rollover;
        const AuthorityEntry *signer = registry_authority(v->registry, r->signer), *of = registry_authority(v->registry, r->of);
        CaProblem problem = {};
        int result = t->waits ? 0 : check_signer(v->registry, r, &problem);

        if (!result && !t->waits && !uuid_equal(&signer->row.key, &r->signer_key))
                result = HF_E_CA_REPLACED;
        if (!result && (!of || !uuid_equal(&of->row.key, &t->op->key->uuid)))
                result = HF_E_CA_REPLACED;
        if (!result && (memcmp(t->keys_hash, v->keys_hash, sizeof(t->keys_hash)) || ca_follower(v->registry, r->of)))
                result = HF_E_BUSY; /* rekeyed in between; or asked for by somebody else, a moment ago */
        if (!result)
                result = put_key(t, line);
        for (size_t i = 0; !result && i < r->n; i++) {
                r->parts[i].row.status = STORE_CERTIFICATE_PENDING;
                r->parts[i].row.certificate = buffer_bytes(&r->parts[i].tbs);
                result = registry_put_certificate(v->store, v->registry, &r->parts[i].row, &t->registry);
        }
        return result;
}

static void apply_rollover(Change *c)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;

        keystore_apply(v->catalogue, v->uses, &t->key);
        v->has_tpm_keys |= t->attributes.protection == PROTECTION_TPM;
        apply(c);
}

static void answer(CaTask *t)
{
        sd_bus_message *reply = NULL;
        Operation *op = t->op;
        int r = operation_reply_new(op, &reply);

        if (r >= 0)
                r = t->reply(t, reply);
        send_done(op, reply, r);
}

static void on_recorded(Change *c, int result)
{
        CaTask *t = c->userdata;

        registry_change_deinit(&t->registry);
        if (result)
                fail(t, result, NULL);
        else if (t->waits)
                answer(t);
        else
                sign_next(t);
}

/* ---- what is to be signed ---- */

static int prepare_part(CaTask *t, CaLinePart which, const CaCertificateParams *base, const char *name, const char *signer,
                CaProblem *problem)
{
        struct CaRollover *r = t->rollover;
        Part *p = &r->parts[which];
        CaCertificateParams params = *base;
        CaSummary summary;
        int result;

        ca_serial_new(params.serial);
        params.now = clock_wall();
        params.path_length = -1;
        params.authority = signer;
        result = ca_certificate_prepare(&params, problem, &summary, &p->tbs);
        if (result)
                return result;
        memcpy(p->row.serial, params.serial, sizeof(params.serial));
        strcpy(p->name, name);
        strcpy(p->row.authority, signer);
        strcpy(p->row.profile, params.profile->name);
        p->row.issued = summary.not_before;
        p->row.expires = summary.not_after;
        ca_line_request(r->of, which, p->row.request);
        r->n = which + 1;
        return 0;
}

static int prepare_crosses(CaTask *t, const CaProfile *profile, const CaIssuer *old, Scheme old_scheme, Scheme scheme,
                CaProblem *problem)
{
        _cleanup_(ca_issuer_freep) CaIssuer *new = NULL;
        const struct CaRollover *r = t->rollover;
        const Bytes spki = key_attributes_public(&t->attributes);
        CaCertificateParams p = {.profile = profile, .like = old, .until = old->not_after, .days = CA_DAYS_MAX};
        int result = ca_issuer_follow(old, spki, r->parts[CA_LINE_NEW].row.issued, r->parts[CA_LINE_NEW].row.expires, &new);

        if (result)
                return result;
        p.spki = buffer_bytes(&old->spki);
        p.issuer = new;
        p.scheme = scheme;
        result = prepare_part(t, CA_LINE_OLD_WITH_NEW, &p, r->of, t->child, problem);
        p.spki = spki;
        p.issuer = old;
        p.scheme = old_scheme;
        return result ? result : prepare_part(t, CA_LINE_NEW_WITH_OLD, &p, t->child, r->of, problem);
}

/* As many days as the old one was made for; 0, those of the profile, where its issuer's end cut it short. */
static uint32_t days_of(const CaIssuer *old, const AuthorityEntry *parent)
{
        const uint64_t day = 86400 * USEC_PER_SEC;
        _cleanup_(ca_issuer_freep) CaIssuer *above = NULL;

        if (parent && (ca_authority_issuer(parent, &above) || old->not_after >= above->not_after))
                return 0;
        return (uint32_t)((old->not_after - old->not_before + day / 2) / day);
}

static int prepare(CaTask *t, CaProblem *problem)
{
        const Vault *v = &t->op->daemon->vault;
        const struct CaRollover *r = t->rollover;
        const AuthorityEntry *of = registry_authority(v->registry, r->of), *signer = registry_authority(v->registry, r->signer);
        const KeyEntry *key = signer ? catalogue_find_uuid(v->catalogue, &signer->row.key) : NULL;
        _cleanup_(ca_issuer_freep) CaIssuer *old = NULL, *issuer = NULL;
        const Scheme own = scheme_usual(t->attributes.algorithm, PURPOSE_ISSUE);
        CaCertificateParams p = {.spki = key_attributes_public(&t->attributes), .scheme = own};
        CaProfile profile;
        Scheme above;
        int result = of && key ? ca_authority_issuer(of, &old) : HF_E_CA_NOT_INITIALISED;

        if (!result)
                result = ca_profile_load(t->op->daemon, t->kind == CA_ROOT ? "root" : "intermediate", problem, &profile);
        if (!result)
                result = ca_authority_issuer(signer, &issuer);
        if (result)
                return result;
        above = scheme_usual(key->algorithm, PURPOSE_ISSUE);
        t->rollover->signer_key = key->uuid;
        p.profile = &profile;
        p.like = old;
        p.days = r->days ? r->days : days_of(old, ca_parent(v->registry, of));
        if (t->kind == CA_INTERMEDIATE) {
                p.issuer = issuer;
                p.scheme = above;
        }
        result = prepare_part(t, CA_LINE_NEW, &p, t->child, t->kind == CA_ROOT ? t->child : r->signer, problem);
        return result || t->kind != CA_ROOT ? result : prepare_crosses(t, &profile, old, above, own, problem);
}

static void on_generated(void *userdata, int result, Bytes body)
{
        WireReader reader = wire_reader(body);
        CaTask *t = userdata;
        CaProblem problem = {};
        Bytes attributes, wrapped;

        if (!result && !t->op->daemon->vault.registry)
                result = HF_E_STORE_LOCKED;
        if (!result) {
                attributes = wire_get_block(&reader, KEY_ATTRIBUTES_MAX);
                wrapped = wire_get_block(&reader, KEY_WRAPPED_MAX);
                result = wire_done(&reader) ? HF_E_SIGNER_FAILED : key_attributes_decode(attributes, &t->attributes);
        }
        if (!result)
                result = buffer_append(&t->wrapped, wrapped.data, wrapped.len);
        if (!result && !t->waits)
                result = prepare(t, &problem);
        if (result) {
                fail(t, result, &problem);
                return;
        }
        pubkey_fingerprint(key_attributes_public(&t->attributes), t->public);
        t->change = (Change){.event = t->waits ? "ca.wait" : "ca.rollover", .write = write_rollover, .apply = apply_rollover,
                        .finish = on_recorded, .userdata = t, .seal = true};
        change_submit(t->op->daemon, &t->change);
}

static int generate(CaTask *t, const KeyEntry *old)
{
        const Vault *v = &t->op->daemon->vault;
        SignerClient *signer = t->op->daemon->signer;
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        KeyAttributes *a = &t->attributes;
        int r;

        a->algorithm = old->algorithm;
        a->protection = old->protection;
        a->purpose = PURPOSE_ISSUE;
        a->flags = KEY_FLAG_DIGEST;
        a->version = 1;
        a->created = lost_later(v->occasions, v->n_occasions, clock_wall());
        uuid_generate(&a->uuid);
        strcpy(a->name, t->child);
        memcpy(t->keys_hash, v->keys_hash, sizeof(t->keys_hash));
        r = key_attributes_encode(a, &encoded);
        if (!r)
                r = wire_put_block(signer_begin(signer, SIGNER_GENERATE), buffer_bytes(&encoded));
        return r ? r : signer_call(signer, NULL, 0, on_generated, t);
}

/* ---- begun before ---- */

static int read_parts(Change *c)
{
        CaTask *t = c->userdata;
        const Vault *v = &c->daemon->vault;
        struct CaRollover *r = t->rollover;
        int result = 0;

        for (r->n = 0; !result && r->n < (t->kind == CA_ROOT ? 3u : 1u); r->n++) {
                Part *p = &r->parts[r->n];
                const CertificateEntry *e;

                ca_line_request(r->of, (CaLinePart)r->n, p->row.request);
                e = registry_find_request(v->registry, p->row.request);
                if (!e || e->row.status != STORE_CERTIFICATE_PENDING)
                        return HF_E_BUSY; /* somebody else has just finished it */
                p->row = e->row;
                p->row.name = p->name;
                p->row.domain = p->row.metadata = p->row.text = "";
                snprintf(p->name, sizeof(p->name), "%s", e->row.name);
                result = store_get_certificate(v->store, e->row.serial, &p->tbs);
        }
        strcpy(t->child, r->parts[0].name);
        return result == HF_E_NOTHING_TO_DO ? HF_E_STORE_DAMAGED : result;
}

/* ---- the call ---- */

/* NAME-2, NAME-3, ... */
static int name_next(const Vault *v, const char *of, char ret[static NAME_SIZE])
{
        size_t base = strlen(of), digits = base;
        char name[NAME_SIZE + 24];

        while (digits > 0 && of[digits - 1] >= '0' && of[digits - 1] <= '9')
                digits--;
        if (digits > 1 && digits < base && base - digits < 6 && of[digits - 1] == '-')
                base = digits - 1;
        for (unsigned i = 2; i < 1000; i++) {
                snprintf(name, sizeof(name), "%.*s-%u", (int)base, of, i);
                if (!name_is_valid(name))
                        return HF_E_INVALID_NAME;
                if (!registry_authority(v->registry, name) && lifecycle_check_new(v->catalogue, name) == 0) {
                        strcpy(ret, name);
                        return 0;
                }
        }
        return HF_E_LIMIT_EXCEEDED;
}

/* Its key is made once; the request is signed as often as it is asked for. */
static int begin_outside(CaTask *t, const AuthorityEntry *a, const AuthorityEntry *begun, CaProblem *problem)
{
        const Vault *v = &t->op->daemon->vault;
        int result;

        if (!t->waits)
                return ca_refuse(problem, "its root is elsewhere, and gets a request: `holdfast ca rollover %s --csr FILE`",
                                a->row.name);
        if (t->rollover->days)
                return ca_refuse(problem, "who signs the request says for how many days");
        if (!a->row.certificate.len)
                return ca_refuse(problem, "it waits for its own certificate; `holdfast ca import %s CHAIN.pem`", a->row.name);
        if (begun) {
                strcpy(t->child, begun->row.name);
                answer(t);
                return 0;
        }
        result = name_next(v, a->row.name, t->child);
        return result ? result : generate(t, t->op->key);
}

static int begin_here(CaTask *t, const AuthorityEntry *a, const AuthorityEntry *begun, CaProblem *problem)
{
        const Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *signer = a->row.kind == CA_INTERMEDIATE ? ca_newest(v->registry, a->row.parent) : a;
        struct CaRollover *r = t->rollover;
        int result;

        if (t->waits)
                return ca_refuse(problem, "its issuer is here and signs itself: without --csr");
        strcpy(r->signer, signer ? signer->row.name : "");
        result = a->row.certificate.len ? check_signer(v->registry, r, problem) : HF_E_CA_NOT_INITIALISED;
        if (result)
                return result;
        if (!begun) {
                result = name_next(v, a->row.name, t->child);
                return result ? result : generate(t, t->op->key);
        }
        t->change = (Change){.read = read_parts, .finish = on_recorded, .userdata = t};
        change_submit(t->op->daemon, &t->change);
        return 0;
}

static int begin(CaTask *t, const AuthorityEntry *a, CaProblem *problem)
{
        const AuthorityEntry *next = ca_follower(t->op->daemon->vault.registry, a->row.name);

        if (next && next->row.certificate.len) {
                (void)ca_refuse(problem, "%s follows it already; the next one: `holdfast ca rollover %s`", next->row.name,
                                next->row.name);
                return HF_E_CA_EXISTS;
        }
        strcpy(t->rollover->of, a->row.name);
        t->kind = a->row.kind;
        return ca_is_outside(a) ? begin_outside(t, a, next, problem) : begin_here(t, a, next, problem);
}

typedef struct RolloverOptions {
        uint32_t days;
        bool outside;
} RolloverOptions;

static const OptionSpec rollover_options[] = {
                {"days", OPTION_U32, offsetof(RolloverOptions, days)},
                {"outside", OPTION_BOOL, offsetof(RolloverOptions, outside)},
                {0},
};

int ca_handle_rollover(Operation *op)
{
        RolloverOptions o = {0};
        CaProblem problem = {};
        CaTask *t;
        int r = read_options(op, rollover_options, &o);

        if (!r)
                r = ca_task_new(op, op->key_text, &t);
        if (!r)
                r = (t->rollover = calloc(1, sizeof(*t->rollover))) ? 0 : -ENOMEM;
        if (r)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(t->rollover->parts); i++) {
                Part *p = &t->rollover->parts[i];

                p->tbs = p->der = BUFFER_INIT(CA_CERTIFICATE_MAX);
                p->row.name = p->name;
                p->row.domain = p->row.metadata = p->row.text = "";
        }
        t->rollover->days = o.days;
        t->waits = o.outside;
        t->reply = ca_reply_child;
        r = begin(t, registry_authority(op->daemon->vault.registry, op->key_text), &problem);
        if (!r || !problem.text[0])
                return r;
        fail(t, r, &problem);
        return OPERATION_ANSWERED;
}
