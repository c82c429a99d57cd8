/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A certificate from its row to the answer: two changes and a signature between them (daemon/ca.h). */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/signed.h"
#include "daemon/bus.h"
#include "daemon/ca.h"

static void sign(CaTask *t);

static void answer(CaTask *t)
{
        sd_bus_message *reply = NULL;
        Operation *op = t->op;
        int r = operation_reply_new(op, &reply);

        if (r >= 0)
                r = t->reply(t, reply);
        send_done(op, reply, r);
}

static void fill_line(const CaTask *t, const AuthorityEntry *a, AuditLine *line)
{
        audit_line_uuid(line, "key", &a->row.key);
        audit_line_str(line, "name", a->row.name);
        audit_line_hex(line, "serial", t->row.serial, sizeof(t->row.serial));
        operation_audit_caller(t->op, line);
}

/* ---- what is in the store already ---- */

static int read_row(Change *c)
{
        CaTask *t = c->userdata;
        const CertificateEntry *e = registry_find_serial(c->daemon->vault.registry, t->row.serial);
        int r;

        if (!e)
                return HF_E_NO_SUCH_CERTIFICATE;
        t->row = e->row;
        buffer_clear(&t->tbs);
        buffer_clear(&t->der);
        r = store_get_certificate(c->daemon->vault.store, e->row.serial,
                        e->row.status == STORE_CERTIFICATE_PENDING ? &t->tbs : &t->der);
        if (r == HF_E_NOTHING_TO_DO)
                return HF_E_STORE_DAMAGED;
        /* The entry may be gone when the next change is applied, and its texts with it. */
        snprintf(t->name, sizeof(t->name), "%s", e->row.name);
        snprintf(t->domain, sizeof(t->domain), "%s", e->row.domain);
        snprintf(t->metadata, sizeof(t->metadata), "%s", e->row.metadata);
        snprintf(t->text, sizeof(t->text), "%s", e->row.text);
        t->row.name = t->name;
        t->row.domain = t->domain;
        t->row.metadata = t->metadata;
        t->row.text = t->text;
        return r;
}

static void on_read(Change *c, int result)
{
        CaTask *t = c->userdata;

        if (result)
                operation_fail(t->op, result);
        else if (t->tbs.len)
                sign(t);
        else
                answer(t);
}

static void begin_read(CaTask *t, const CertificateEntry *e, void (*finish)(Change *c, int result))
{
        memcpy(t->row.serial, e->row.serial, sizeof(t->row.serial));
        snprintf(t->authority, sizeof(t->authority), "%s", e->row.authority);
        t->change = (Change){.read = read_row, .finish = finish, .userdata = t};
        change_submit(t->op->daemon, &t->change);
}

void ca_issue_resume(CaTask *t, const CertificateEntry *e)
{
        begin_read(t, e, on_read);
}

static void on_read_only(Change *c, int result)
{
        CaTask *t = c->userdata;

        t->then(t, result);
}

void ca_issue_read(CaTask *t, const CertificateEntry *e, void (*then)(CaTask *t, int result))
{
        t->then = then;
        begin_read(t, e, on_read_only);
}

/* ---- the second change: the certificate ---- */

int ca_chain_below(const AuthorityEntry *by, Buffer *ret)
{
        int r = buffer_append(ret, by->row.certificate.data, by->row.certificate.len);

        /* What a root has there is for others: its cross certificates. */
        return r || by->row.kind == CA_ROOT ? r : buffer_append(ret, by->row.chain.data, by->row.chain.len);
}

/* An authority here whose own certificate this is: it signs from now on, and the root that signed it goes to rest. */
static int complete_authority(CaTask *t, const AuthorityEntry *by)
{
        Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *child = registry_authority(v->registry, t->child);
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(STORE_CHAIN_MAX);
        StoreAuthorityRow row;
        int r = 0;

        if (!child)
                return HF_E_INTERNAL;
        if (child != by)
                r = ca_chain_below(by, &chain);
        row = child->row;
        row.certificate = buffer_bytes(&t->der);
        row.chain = buffer_bytes(&chain);
        row.awake = STORE_AWAKE_ALWAYS;
        if (!r)
                r = registry_put_authority(v->store, v->registry, &row, &t->registry);
        if (r || child == by || by->row.kind != CA_ROOT || by->row.awake != STORE_AWAKE_ALWAYS)
                return r;
        row = by->row;
        row.awake = 0;
        return registry_put_authority(v->store, v->registry, &row, &t->registry);
}

/* The one before; or, if somebody else's renewal was first, what that made. */
static const CertificateEntry *find_superseded(const CaTask *t, const Registry *registry)
{
        const CertificateEntry *before = registry_find_serial(registry, t->before), *e = before;

        for (size_t i = registry_count(registry); e && e->row.status == STORE_CERTIFICATE_SUPERSEDED && i-- > before->at + 1;) {
                const CertificateEntry *later = registry_at(registry, i);

                if ((later->row.status == STORE_CERTIFICATE_ACTIVE || later->row.status == STORE_CERTIFICATE_REVOKED) &&
                                ca_covers(registry, before->row.authority, later->row.authority) &&
                                strcmp(later->row.name, before->row.name) == 0)
                        e = later;
        }
        return e;
}

/* Nothing follows what was revoked while its successor was made: a hold on it may be lifted, and there would be two. */
static bool is_overtaken(const CaTask *t, const Registry *registry)
{
        const CertificateEntry *e = t->renews ? find_superseded(t, registry) : NULL;

        return e && e->row.status == STORE_CERTIFICATE_REVOKED;
}

static void fail_overtaken(CaTask *t)
{
        operation_fail_because(t->op, HF_E_REQUEST_REFUSED,
                        "Not issued: the certificate that is to be renewed was revoked in the meantime. If it is a hold, the "
                        "same call goes on when that is lifted.");
}

static int supersede(CaTask *t, AuditLine *line)
{
        Vault *v = &t->op->daemon->vault;
        const CertificateEntry *e = find_superseded(t, v->registry);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(STORE_CERTIFICATE_MAX);
        StoreCertificateRow row;
        int r;

        if (!e || e->row.status != STORE_CERTIFICATE_ACTIVE)
                return 0;
        r = store_get_certificate(v->store, e->row.serial, &der);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? HF_E_STORE_DAMAGED : r;
        row = e->row;
        row.certificate = buffer_bytes(&der);
        row.status = STORE_CERTIFICATE_SUPERSEDED;
        row.revoked = clock_wall();
        audit_line_hex(line, "supersedes", row.serial, sizeof(row.serial));
        return registry_put_certificate(v->store, v->registry, &row, &t->registry);
}

static int write_issued(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->authority);
        const CertificateEntry *e = registry_find_serial(v->registry, t->row.serial);
        int r;

        if (!a || !e)
                return HF_E_INTERNAL;
        if (e->row.status != STORE_CERTIFICATE_PENDING)
                return HF_E_NOTHING_TO_DO; /* somebody else who asked for the same was first */
        if (!registry_is_current(v->registry, e))
                return HF_E_CA_REPLACED;
        if (is_overtaken(t, v->registry))
                return HF_E_REQUEST_REFUSED;
        t->row.status = STORE_CERTIFICATE_ACTIVE;
        t->row.certificate = buffer_bytes(&t->der);
        digest_sha256(t->row.certificate, t->row.fingerprint);
        fill_line(t, a, line);
        audit_line_hex(line, "fingerprint", t->row.fingerprint, sizeof(t->row.fingerprint));
        r = registry_put_certificate(v->store, v->registry, &t->row, &t->registry);
        if (!r && t->renews)
                r = supersede(t, line);
        return r || !t->child[0] ? r : complete_authority(t, a);
}

static void apply_issued(Change *c)
{
        CaTask *t = c->userdata;

        registry_apply(c->daemon->vault.registry, &t->registry);
        registry_change_deinit(&t->registry);
}

/* A new CA has a revocation list from its first minute. */
static void on_issued(Change *c, int result)
{
        CaTask *t = c->userdata;
        const CertificateEntry *e;

        registry_change_deinit(&t->registry);
        if (result == HF_E_NOTHING_TO_DO && (e = registry_find_serial(c->daemon->vault.registry, t->row.serial))) {
                ca_issue_resume(t, e);
        } else if (result == HF_E_REQUEST_REFUSED) {
                fail_overtaken(t);
        } else if (result) {
                operation_fail(t->op, result);
        } else if (t->child[0]) {
                strcpy(t->authority, t->child);
                ca_crl_begin(t, "ca.crl");
        } else {
                answer(t);
        }
}

/* Not of the same certificate, nor where one supersedes what may be the other. */
static bool joins(const Change *a, const Change *b)
{
        const CaTask *x = a->userdata, *y = b->userdata;

        if (memcmp(x->row.serial, y->row.serial, sizeof(x->row.serial)) == 0 ||
                        memcmp(x->row.request, y->row.request, sizeof(x->row.request)) == 0)
                return false;
        return (!x->renews && !y->renews) || strcmp(x->name, y->name) || strcmp(x->authority, y->authority);
}

/* Verifying takes as long as signing, and the signer's word is enough, as it is for any use of a key; but a CA stands for
 * years on its own certificate. */
static int finish(CaTask *t)
{
        const Operation *op = t->op;
        Bytes tbs = buffer_bytes(&t->tbs), signature = BYTES(op->items[0].result, op->items[0].result_len);

        buffer_clear(&t->der);
        return t->child[0] ? ca_finish(key_entry_public(op->key), t->scheme, tbs, signature, &t->der)
                           : signed_assemble(tbs, t->scheme, signature, &t->der);
}

static int on_signed(Operation *op, sd_bus_message *reply)
{
        CaTask *t = op->data;

        (void)reply;
        if (finish(t))
                return -EIO;
        t->change = (Change){.event = "ca.issued", .write = write_issued, .apply = apply_issued, .finish = on_issued,
                        .userdata = t, .joins = t->child[0] ? NULL : joins, .seal = t->child[0]};
        change_submit(op->daemon, &t->change);
        return OPERATION_ANSWERED;
}

/* What was begun while its CA might sign is not finished when that may no more. A root signs itself before it may anything. */
static void sign(CaTask *t)
{
        const Registry *registry = t->op->daemon->vault.registry;
        const CertificateEntry *e = registry ? registry_find_serial(registry, t->row.serial) : NULL;
        CaProblem problem;
        int r = registry ? 0 : HF_E_STORE_LOCKED;

        if (e && !registry_is_current(registry, e))
                r = HF_E_CA_REPLACED;
        if (!r && is_overtaken(t, registry)) {
                fail_overtaken(t);
                return;
        }
        if (!r && strcmp(t->child, t->authority))
                r = ca_check_issuer(registry, registry_authority(registry, t->authority), &problem);
        if (!r)
                r = ca_sign(t, t->authority, "ca.sign", on_signed);
        if (r)
                operation_fail(t->op, r);
}

/* ---- the first change: serial and all that is to be signed ---- */

static int put_newcomer(CaTask *t, AuditLine *line)
{
        Vault *v = &t->op->daemon->vault;
        StoreAuthorityRow row = {.key = t->attributes.uuid, .kind = (uint8_t)t->kind, .created = t->row.issued};
        int r = 0;

        if (memcmp(t->keys_hash, v->keys_hash, sizeof(t->keys_hash)))
                return HF_E_BUSY; /* rekeyed in between: nobody could open that envelope */
        if (!t->anew && registry_authority(v->registry, t->child))
                return HF_E_CA_EXISTS;
        strcpy(row.name, t->child);
        if (strcmp(t->child, t->authority))
                strcpy(row.parent, t->authority);
        audit_line_str(line, "kind", t->kind == CA_ROOT ? "root" : "intermediate");
        audit_line_str(line, "algorithm", key_algorithm_info(t->attributes.algorithm)->name);
        audit_line_str(line, "protection", key_protection_to_string(t->attributes.protection));
        audit_line_str(line, "parent", row.parent[0] ? row.parent : NULL);
        audit_line_uuid(line, "key", &t->attributes.uuid);
        audit_line_str(line, "name", t->child);
        if (t->anew)
                r = ca_anew_write(t, &row, line);
        if (!r)
                r = keystore_put(v->store, v->catalogue, &t->attributes, buffer_bytes(&t->wrapped), &t->key);
        if (r)
                return r;
        return t->anew ? registry_put_replacement(v->store, v->registry, &row, &t->registry)
                       : registry_put_authority(v->store, v->registry, &row, &t->registry);
}

CertificateEntry *ca_find_repeated(const Registry *registry, const uint8_t request[static 32])
{
        CertificateEntry *e = registry_find_request(registry, request);

        return e && e->row.status <= STORE_CERTIFICATE_ACTIVE && e->row.expires > clock_wall() && registry_is_current(registry, e)
                               ? e : NULL;
}

/* What is to be signed says who signs, and by which key. */
static int check_same(const CaTask *t, const Registry *registry)
{
        const AuthorityEntry *a = registry_authority(registry, t->authority);

        return a && !uuid_is_null(&t->by) && !uuid_equal(&t->by, &a->row.key) ? HF_E_CA_REPLACED : 0;
}

static int write_issue(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        bool self = strcmp(t->child, t->authority) == 0; /* a root */
        int r = self ? 0 : ca_check_signer(registry_authority(v->registry, t->authority));

        if (!r && !self)
                r = check_same(t, v->registry);
        if (!r && !t->newcomer && ca_find_repeated(v->registry, t->row.request))
                r = HF_E_NOTHING_TO_DO; /* asked for a moment ago */
        if (r)
                return r;
        if (t->waits) {
                r = put_newcomer(t, line);
                audit_line_hex(line, "public", t->public, sizeof(t->public));
                operation_audit_caller(t->op, line);
                return r;
        }
        if (t->newcomer) {
                r = put_newcomer(t, line);
                audit_line_hex(line, "serial", t->row.serial, sizeof(t->row.serial));
                operation_audit_caller(t->op, line);
        } else {
                fill_line(t, registry_authority(v->registry, t->authority), line);
                audit_line_str(line, "profile", t->row.profile);
        }
        audit_line_str(line, "subject", t->row.name);
        audit_line_hex(line, "public", t->public, sizeof(t->public));
        audit_line_u64(line, "not-after", t->row.expires);
        t->row.status = STORE_CERTIFICATE_PENDING;
        t->row.certificate = buffer_bytes(&t->tbs);
        return r ? r : registry_put_certificate(v->store, v->registry, &t->row, &t->registry);
}

static void apply_issue(Change *c)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;

        if (t->anew) {
                keystore_apply(v->catalogue, v->uses, &t->gone);
                lists_apply(v->lists, &t->list);
        }
        if (t->newcomer) {
                keystore_apply(v->catalogue, v->uses, &t->key);
                v->has_tpm_keys |= t->attributes.protection == PROTECTION_TPM;
        }
        registry_apply(v->registry, &t->registry);
}

static void go_on(CaTask *t)
{
        if (t->waits)
                answer(t);
        else
                sign(t);
}

static void on_recorded(Change *c, int result)
{
        CaTask *t = c->userdata;
        const CertificateEntry *e;

        registry_change_deinit(&t->registry);
        if (result == HF_E_NOTHING_TO_DO && (e = registry_find_request(c->daemon->vault.registry, t->row.request)))
                ca_issue_resume(t, e);
        else if (result)
                operation_fail(t->op, result == HF_E_KEY_EXISTS ? HF_E_CA_EXISTS : result);
        else if (t->anew)
                ca_anew_publish(t, go_on);
        else
                go_on(t);
}

void ca_issue_begin(CaTask *t)
{
        const char *event = t->anew ? "ca.anew" : t->waits ? "ca.wait" : t->newcomer ? "ca.init" : "ca.issue";

        t->change = (Change){.event = event, .write = write_issue,
                        .apply = apply_issue, .finish = on_recorded, .userdata = t, .joins = t->newcomer ? NULL : joins,
                        .seal = t->newcomer};
        change_submit(t->op->daemon, &t->change);
}
