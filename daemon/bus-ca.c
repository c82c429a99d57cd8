/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface org.holdfast.Keystore1.Authority: what can be done with one private CA. */
#include "daemon/bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ca/text.h"
#include "crypto/digest.h"
#include "crypto/pubkey.h"
#include "daemon/ca.h"
#include "dbus/names.h"

#define LIST_USUAL 100
#define LIST_MAX 1000
#define EXPIRING_USEC (30 * 86400 * USEC_PER_SEC)
#define NAMES_TEXT_MAX 65536

static const OptionSpec no_options[] = {{0}};

static int read_text(Operation *op, const char **ret)
{
        return sd_bus_message_read_basic(op->call, 's', ret) < 0 ? HF_E_INVALID_ARGS : 0;
}

static AuthorityEntry *authority_of(const Operation *op)
{
        return registry_authority(op->daemon->vault.registry, op->key_text);
}

/* Who issues where this CA is asked to. */
static const char *issuer_of(const Operation *op)
{
        const AuthorityEntry *a = ca_newest(op->daemon->vault.registry, op->key_text);

        return a ? a->row.name : op->key_text;
}

/* Who answers for a CA is named by that one itself, also when another one issues in its place (RFC 6960 section 4.2.2.2). */
static const char *issuer_under(const Operation *op, const CaProfile *profile, const char *own)
{
        return profile->extended & 1u << CA_EXTENDED_OCSP_SIGNING ? own : issuer_of(op);
}

static int fail_with(Operation *op, int r, const CaProblem *problem)
{
        if (!problem->text[0])
                return r;
        operation_fail_because(op, r, "Not issued: %s. Nothing was done.", problem->text);
        return OPERATION_ANSWERED;
}

/* ---- issuing ---- */

typedef struct IssueOptions {
        const char *key, *name, *metadata;
        char **set, **dns, **ip, **uri, **email;
        CaDevice device;
        uint32_t days;
} IssueOptions;

static const OptionSpec issue_options[] = {
                {"key", OPTION_STRING, offsetof(IssueOptions, key)},
                {"name", OPTION_STRING, offsetof(IssueOptions, name)},
                {"metadata", OPTION_STRING, offsetof(IssueOptions, metadata)},
                {"set", OPTION_STRINGS, offsetof(IssueOptions, set)},
                {"dns", OPTION_STRINGS, offsetof(IssueOptions, dns)},
                {"ip", OPTION_STRINGS, offsetof(IssueOptions, ip)},
                {"uri", OPTION_STRINGS, offsetof(IssueOptions, uri)},
                {"email", OPTION_STRINGS, offsetof(IssueOptions, email)},
                {"device-id", OPTION_STRING, offsetof(IssueOptions, device.id)},
                {"device-label", OPTION_STRING, offsetof(IssueOptions, device.label)},
                {"device-type", OPTION_STRING, offsetof(IssueOptions, device.type)},
                {"hardware", OPTION_STRING, offsetof(IssueOptions, device.hardware)},
                {"firmware", OPTION_STRING, offsetof(IssueOptions, device.firmware)},
                {"days", OPTION_U32, offsetof(IssueOptions, days)},
                {0},
};

static void issue_options_deinit(IssueOptions *o)
{
        options_strings_free(&o->set);
        options_strings_free(&o->dns);
        options_strings_free(&o->ip);
        options_strings_free(&o->uri);
        options_strings_free(&o->email);
}

static int put_text(Buffer *b, const char *text)
{
        return wire_put_string(b, text ? text : "");
}

static int put_list(Buffer *b, char **list)
{
        int r = 0;

        for (; !r && list && *list; list++)
                r = wire_put_string(b, *list);
        return r ? r : wire_put_string(b, "");
}

/* All that was asked for, by whom: the same words again are the same request. */
static int hash_request(const Operation *op, Bytes request, const char *profile, const IssueOptions *o, uint8_t ret[static 32])
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(NAMES_TEXT_MAX + 2 * CSR_MAX);
        char *const *const lists[] = {o->set, o->dns, o->ip, o->uri, o->email};
        const char *const texts[] = {op->key_text, profile, o->key, o->name, o->metadata, o->device.id, o->device.label,
                        o->device.type, o->device.hardware, o->device.firmware};
        int r = wire_put_u32(&b, op->caller->uid);

        if (!r)
                r = wire_put_u32(&b, o->days);
        if (!r)
                r = wire_put_block(&b, request);
        for (size_t i = 0; !r && i < ELEMENTSOF(texts); i++)
                r = put_text(&b, texts[i]);
        for (size_t i = 0; !r && i < ELEMENTSOF(lists); i++)
                r = put_list(&b, (char **)lists[i]);
        if (r)
                return r == -EMSGSIZE ? HF_E_LIMIT_EXCEEDED : r;
        digest_sha256(buffer_bytes(&b), ret);
        return 0;
}

static int show(CaTask *t, sd_bus_message *reply)
{
        return ca_append_certificate(t->op->daemon, reply, &t->row, &t->der);
}

/* The name in the registry, and what else it keeps. */
static int fill_row(CaTask *t, const CaCertificateParams *p, const CaSummary *summary, const IssueOptions *o)
{
        const char *name = o->name ? o->name : p->device.id && *p->device.id ? p->device.id : summary->common_name;

        if (strlen(name) > STORE_TEXT_MAX || !ca_text_is_plain(name))
                return HF_E_INVALID_ARGS;
        if (o->metadata && (strlen(o->metadata) > STORE_METADATA_MAX || !ca_text_is_plain(o->metadata)))
                return HF_E_INVALID_ARGS;
        if (!*name)
                name = summary->domain;
        snprintf(t->name, sizeof(t->name), "%s", name);
        snprintf(t->domain, sizeof(t->domain), "%s", summary->domain);
        snprintf(t->metadata, sizeof(t->metadata), "%s", o->metadata ? o->metadata : "");
        memcpy(t->row.serial, p->serial, sizeof(p->serial));
        strcpy(t->row.authority, t->authority);
        strcpy(t->row.profile, p->profile->name);
        t->row.issued = summary->not_before;
        t->row.expires = summary->not_after;
        pubkey_fingerprint(p->request ? ca_request_spki(p->request) : p->spki, t->public);
        return 0;
}

/* A key here proves itself: nobody can ask for it who may not know it. */
static int find_key(const Operation *op, const char *name, KeyEntry **ret)
{
        KeyEntry *key = catalogue_find(op->daemon->vault.catalogue, name);

        if (!key || !operation_may(op, POLICY_OP_PUBLIC, key))
                return HF_E_NO_SUCH_KEY;
        if (!key->public_len || key->purpose == PURPOSE_ISSUE)
                return HF_E_PURPOSE_NOT_PERMITTED;
        *ret = key;
        return 0;
}

static Scheme signing_scheme(const Daemon *d, const AuthorityEntry *a)
{
        const KeyEntry *key = a ? catalogue_find_uuid(d->vault.catalogue, &a->row.key) : NULL;

        return key ? scheme_usual(key->algorithm, PURPOSE_ISSUE) : _SCHEME_INVALID;
}

static int prepare(CaTask *t, Bytes request_text, const CaProfile *profile, const IssueOptions *o, CaProblem *problem)
{
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        CaCertificateParams p = {.profile = profile, .set = (const char *const *)o->set, .device = o->device, .now = clock_wall(),
                        .days = o->days, .path_length = -1, .authority = t->authority,
                        .names = {[CA_NAME_DNS] = (const char *const *)o->dns, [CA_NAME_IP] = (const char *const *)o->ip,
                                        [CA_NAME_URI] = (const char *const *)o->uri,
                                        [CA_NAME_EMAIL] = (const char *const *)o->email}};
        const AuthorityEntry *a = registry_authority(t->op->daemon->vault.registry, t->authority);
        KeyEntry *key = NULL;
        CaSummary summary;
        int r;

        r = ca_authority_issuer_kept(t->op->daemon, a, &p.issuer);
        if (!r && request_text.len)
                r = ca_request_read(request_text, problem, &request);
        else if (!r)
                r = find_key(t->op, o->key, &key);
        if (r)
                return r;
        t->by = a->row.key;
        p.spki = key ? key_entry_public(key) : BYTES_NULL;
        p.request = request;
        p.scheme = signing_scheme(t->op->daemon, a);
        ca_serial_new(p.serial);
        r = ca_certificate_prepare(&p, problem, &summary, &t->tbs);
        return r ? r : fill_row(t, &p, &summary, o);
}

static int issue(Operation *op, Bytes request, const char *name, const IssueOptions *o)
{
        CaProblem problem = {};
        const CertificateEntry *e;
        CaProfile profile;
        CaTask *t;
        int r;

        r = ca_profile_load(op->daemon, name, &problem, &profile);
        if (!r)
                r = ca_task_new(op, issuer_under(op, &profile, op->key_text), &t);
        if (!r)
                r = hash_request(op, request, name, o, t->row.request);
        if (r)
                return fail_with(op, r, &problem);
        t->reply = show;
        e = ca_find_repeated(op->daemon->vault.registry, t->row.request);
        if (e) {
                ca_issue_resume(t, e);
                return 0;
        }
        r = ca_check_issuer(op->daemon->vault.registry, registry_authority(op->daemon->vault.registry, t->authority), &problem);
        if (!r && profile.authority) {
                (void)ca_refuse(&problem, "profile %s makes a CA; that is for holdfast ca init", name);
                r = HF_E_REQUEST_REFUSED;
        }
        if (!r)
                r = prepare(t, request, &profile, o, &problem);
        if (r)
                return fail_with(op, r, &problem);
        ca_issue_begin(t);
        return 0;
}

static int handle_issue(Operation *op)
{
        __attribute__((cleanup(issue_options_deinit))) IssueOptions o = {0};
        const char *profile;
        const void *data;
        size_t len;
        int r;

        r = sd_bus_message_read_array(op->call, 'y', &data, &len);
        if (r < 0)
                return options_unreadable(r);
        r = read_text(op, &profile);
        if (!r)
                r = read_options(op, issue_options, &o);
        if (r)
                return r;
        if (len > 2 * CSR_MAX)
                return HF_E_MESSAGE_TOO_LARGE;
        if (!len == !o.key)
                return HF_E_INVALID_ARGS;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_CA_ISSUE, .profile = profile});
        return r ? r : issue(op, BYTES(data, len), profile, &o);
}

/* ---- renewing ---- */

static bool is_issued_by(const Registry *registry, const CertificateEntry *e, const char *authority)
{
        return ca_covers(registry, authority, e->row.authority) && e->row.status != STORE_CERTIFICATE_PENDING;
}

static CertificateEntry *find_issued(const Operation *op, const char *which)
{
        const Registry *registry = op->daemon->vault.registry;
        CertificateEntry *e = registry_find(registry, which);

        /* A later one of that name, of another CA or not finished, does not hide it. */
        for (size_t i = e ? e->at : 0; e && !is_issued_by(registry, e, op->key_text); i--) {
                if (i == 0)
                        return NULL;
                if (strcmp(registry_at(registry, i - 1)->row.name, which) == 0)
                        e = registry_at(registry, i - 1);
        }
        return e;
}

static Bytes new_key(const CaTask *t)
{
        return t->holder ? key_entry_public(t->holder) : BYTES_NULL;
}

static int hash_renewal(const CaTask *t, uint32_t days, Bytes request, uint8_t ret[static 32])
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4 * CSR_MAX);
        int r = wire_put_string(&b, "ca.renew");

        if (!r)
                r = wire_put_raw(&b, t->before, sizeof(t->before));
        if (!r)
                r = wire_put_u32(&b, days);
        if (!r)
                r = wire_put_block(&b, request);
        if (!r)
                r = wire_put_block(&b, new_key(t));
        if (!r)
                digest_sha256(buffer_bytes(&b), ret);
        return r;
}

/* As the one before, whose names and device it keeps: the profile may allow less by now, which is said. */
static int prepare_renewal(CaTask *t, const CaProfile *profile, const CaRequest *before, const CaRequest *request,
                CaProblem *problem)
{
        const AuthorityEntry *a = registry_authority(t->op->daemon->vault.registry, t->authority);
        CaCertificateParams p = {.profile = profile, .request = before, .device = ca_request_device(before), .now = clock_wall(),
                        .days = t->days, .path_length = -1, .authority = t->authority,
                        .scheme = signing_scheme(t->op->daemon, a)};
        CaSummary summary;
        int r;

        r = ca_check_issuer(t->op->daemon->vault.registry, a, problem);
        if (!r)
                r = ca_authority_issuer_kept(t->op->daemon, a, &p.issuer);
        if (r)
                return r;
        t->by = a->row.key;
        p.spki = t->holder ? new_key(t) : ca_request_spki(request ? request : before);
        ca_serial_new(p.serial);
        r = ca_certificate_prepare(&p, problem, &summary, &t->tbs);
        if (r)
                return r;
        memcpy(t->row.serial, p.serial, sizeof(p.serial));
        t->row.issued = summary.not_before;
        t->row.expires = summary.not_after;
        t->row.revoked = 0;
        t->text[0] = '\0';
        memset(t->row.fingerprint, 0, sizeof(t->row.fingerprint));
        pubkey_fingerprint(p.spki, t->public);
        return 0;
}

static int renew(CaTask *t, CaProblem *problem)
{
        _cleanup_(ca_request_freep) CaRequest *before = NULL, *request = NULL;
        CaProfile profile;
        const void *data;
        uint8_t hash[32];
        size_t len;
        int r;

        /* The request is read anew from the call, which is there as long as the operation. */
        if (sd_bus_message_rewind(t->op->call, true) < 0 || sd_bus_message_skip(t->op->call, "s") < 0 ||
                        sd_bus_message_read_array(t->op->call, 'y', &data, &len) < 0)
                return HF_E_INTERNAL;
        r = ca_profile_load(t->op->daemon, t->row.profile, problem, &profile);
        if (r)
                return r;
        /* The one before may be of the CA before. */
        snprintf(t->authority, sizeof(t->authority), "%s", issuer_under(t->op, &profile, t->row.authority));
        strcpy(t->row.authority, t->authority);
        r = hash_renewal(t, t->days, BYTES(data, len), hash);
        if (!r)
                r = ca_request_from_certificate(buffer_bytes(&t->der), problem, &before);
        if (!r && len)
                r = ca_request_read(BYTES(data, len), problem, &request);
        if (!r)
                r = prepare_renewal(t, &profile, before, request, problem);
        memcpy(t->row.request, hash, sizeof(hash));
        return r;
}

static void on_before_read(CaTask *t, int result)
{
        CaProblem problem = {};
        int r = result ? result : renew(t, &problem);

        if (!r)
                ca_issue_begin(t);
        else if (fail_with(t->op, r, &problem) != OPERATION_ANSWERED)
                operation_fail(t->op, r);
}

/* The one that issued it is gone, and nothing is done in its name. */
static int fail_replaced(Operation *op, const CertificateEntry *e, const char *remedy)
{
        operation_fail_because(op, HF_E_CA_REPLACED,
                        "The CA that issued it was another %s, in whose place there is a new one since. Nothing was done. %s.",
                        e->row.authority, remedy);
        return OPERATION_ANSWERED;
}

typedef struct RenewOptions {
        const char *key;
        uint32_t days;
} RenewOptions;

static const OptionSpec renew_options[] = {
                {"key", OPTION_STRING, offsetof(RenewOptions, key)},
                {"days", OPTION_U32, offsetof(RenewOptions, days)},
                {0},
};

static int begin_renewal(Operation *op, const CertificateEntry *e, Bytes request, const RenewOptions *o)
{
        const Registry *registry = op->daemon->vault.registry;
        const CertificateEntry *again;
        KeyEntry *holder = NULL;
        uint8_t hash[32];
        CaTask *t;
        int r = o->key ? find_key(op, o->key, &holder) : 0;

        if (!r)
                r = ca_task_new(op, issuer_of(op), &t);
        if (r)
                return r;
        t->reply = show;
        t->renews = true;
        t->days = o->days;
        t->holder = key_entry_ref(holder);
        memcpy(t->before, e->row.serial, sizeof(t->before));
        r = hash_renewal(t, t->days, request, hash);
        if (r)
                return r;
        again = ca_find_repeated(registry, hash);
        if (again) {
                ca_issue_resume(t, again);
                return 0;
        }
        if (!registry_is_current(registry, e))
                return fail_replaced(op, e, "Have another one issued: `holdfast ca issue`");
        if (e->row.status != STORE_CERTIFICATE_ACTIVE) {
                operation_fail_because(op, HF_E_NOTHING_TO_DO,
                                "This certificate is %s; only an active one, or one that has run out, is renewed. Nothing was "
                                "issued.",
                                certificate_status(&e->row, clock_wall()));
                return OPERATION_ANSWERED;
        }
        ca_issue_read(t, e, on_before_read);
        return 0;
}

static int handle_renew(Operation *op)
{
        RenewOptions o = {0};
        const CertificateEntry *e;
        const char *which;
        const void *data;
        size_t len;
        int r = read_text(op, &which);

        if (!r)
                r = sd_bus_message_read_array(op->call, 'y', &data, &len) < 0 ? HF_E_INVALID_ARGS : 0;
        if (!r)
                r = read_options(op, renew_options, &o);
        if (r)
                return r;
        if (len > 2 * CSR_MAX)
                return HF_E_MESSAGE_TOO_LARGE;
        if (len && o.key)
                return HF_E_INVALID_ARGS;
        e = find_issued(op, which);
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_CA_ISSUE, .profile = e ? e->row.profile : NULL});
        if (r)
                return r;
        return e ? begin_renewal(op, e, BYTES(data, len), &o) : HF_E_NO_SUCH_CERTIFICATE;
}

/* ---- reading ---- */

static int handle_describe(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = ca_append_authority(op->daemon, reply, authority_of(op));
        return send_or_unref(op, reply, r);
}

static int handle_show(Operation *op)
{
        const CertificateEntry *e;
        const char *which;
        CaTask *t;
        int r = read_text(op, &which);

        if (!r)
                r = read_options(op, no_options, NULL);
        if (r)
                return r;
        e = find_issued(op, which);
        if (!e)
                return HF_E_NO_SUCH_CERTIFICATE;
        r = ca_task_new(op, op->key_text, &t);
        if (r)
                return r;
        t->reply = show;
        ca_issue_resume(t, e);
        return 0;
}

typedef struct ListOptions {
        const char *status, *after;
        uint32_t limit;
} ListOptions;

static const OptionSpec list_options[] = {
                {"status", OPTION_STRING, offsetof(ListOptions, status)},
                {"after", OPTION_STRING, offsetof(ListOptions, after)},
                {"limit", OPTION_U32, offsetof(ListOptions, limit)},
                {0},
};

static bool is_wanted(const Operation *op, const CertificateEntry *e, const char *status, uint64_t now)
{
        const char *its = ca_status(op->daemon->vault.registry, &e->row);

        if (!ca_covers(op->daemon->vault.registry, op->key_text, e->row.authority) || !certificate_is_listed(&e->row, now))
                return false;
        if (!status)
                return true;
        if (strcmp(status, "expiring") == 0)
                return strcmp(its, "active") == 0 && e->row.expires < now + EXPIRING_USEC;
        return strcmp(its, status) == 0;
}

/* Up to `limit` of them from place `at` on. */
static int append_page(const Operation *op, sd_bus_message *m, const ListOptions *o, size_t *at)
{
        const Registry *registry = op->daemon->vault.registry;
        uint64_t now = clock_wall();
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");
        uint32_t n = 0;

        for (; r >= 0 && *at < registry_count(registry) && n < o->limit; (*at)++) {
                const CertificateEntry *e = registry_at(registry, *at);

                if (!is_wanted(op, e, o->status, now))
                        continue;
                r = ca_append_certificate(op->daemon, m, &e->row, NULL);
                n++;
        }
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int handle_list(Operation *op)
{
        static const char *const words[] = {"active", "revoked", "superseded", "expired", "expiring", "orphaned"};
        ListOptions o = {.limit = LIST_USUAL};
        sd_bus_message *reply = NULL;
        char next[24] = "", *end = NULL;
        size_t at = 0, word = 0;
        int r = read_options(op, list_options, &o);

        if (r)
                return r;
        while (o.status && word < ELEMENTSOF(words) && strcmp(words[word], o.status))
                word++;
        if (o.after && *o.after)
                at = strtoul(o.after, &end, 10);
        if (o.limit < 1 || o.limit > LIST_MAX || word == ELEMENTSOF(words) || (end && *end))
                return HF_E_INVALID_ARGS;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_page(op, reply, &o, &at);
        if (at < registry_count(op->daemon->vault.registry))
                snprintf(next, sizeof(next), "%zu", at);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', next);
        return send_or_unref(op, reply, r);
}

/* ---- revoking ---- */

static int write_revocation(CaTask *t, StoreAuthorityRow *authority, AuditLine *line)
{
        Vault *v = &t->op->daemon->vault;
        const CertificateEntry *e = registry_find_serial(v->registry, t->row.serial);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(STORE_CERTIFICATE_MAX);
        bool lift = t->row.reason == UINT8_MAX, held;
        StoreCertificateRow row;
        int r;

        (void)authority;
        if (!e)
                return HF_E_NO_SUCH_CERTIFICATE;
        if (!registry_is_current(v->registry, e))
                return HF_E_CA_REPLACED;
        row = e->row;
        held = row.status == STORE_CERTIFICATE_REVOKED && row.reason == CA_REASON_CERTIFICATE_HOLD;
        if (lift ? !held : row.status == STORE_CERTIFICATE_REVOKED && (!held || t->row.reason == CA_REASON_CERTIFICATE_HOLD))
                return HF_E_NOTHING_TO_DO;
        if (row.status == STORE_CERTIFICATE_SUPERSEDED && t->row.reason == CA_REASON_CERTIFICATE_HOLD)
                return HF_E_NOTHING_TO_DO; /* lifted, it would be active beside the one that followed it */
        r = store_get_certificate(v->store, row.serial, &der);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? HF_E_STORE_DAMAGED : r;
        row.certificate = buffer_bytes(&der);
        row.status = lift ? STORE_CERTIFICATE_ACTIVE : STORE_CERTIFICATE_REVOKED;
        row.revoked = lift ? 0 : clock_wall();
        row.reason = lift ? 0 : t->row.reason;
        row.text = t->text;
        audit_line_hex(line, "serial", row.serial, sizeof(row.serial));
        audit_line_str(line, "reason", lift ? "removeFromCRL" : ca_reason_to_string(row.reason));
        audit_line_str(line, "text", *t->text ? t->text : NULL);
        return registry_put_certificate(v->store, v->registry, &row, &t->registry);
}

static const OptionSpec revoke_options[] = {{"text", OPTION_STRING, 0}, {0}};

static int handle_revoke(Operation *op)
{
        const char *which, *word, *text = "";
        const CertificateEntry *e;
        CaReason reason = UINT8_MAX;
        CaTask *t;
        int r = read_text(op, &which);

        if (!r)
                r = read_text(op, &word);
        if (!r)
                r = read_options(op, revoke_options, &text);
        if (r)
                return r;
        if (strlen(text) > STORE_TEXT_MAX || !ca_text_is_plain(text))
                return HF_E_INVALID_ARGS;
        if (strcmp(word, "removeFromCRL") && !ca_reason_from_string(word, &reason))
                return HF_E_INVALID_ARGS;
        e = find_issued(op, which);
        if (!e)
                return HF_E_NO_SUCH_CERTIFICATE;
        if (!registry_is_current(op->daemon->vault.registry, e))
                return fail_replaced(op, e, "Nobody can sign a list for it any more: where that CA is still trusted, revoke the "
                                            "CA's own certificate, or take it from those that are trusted");
        r = ca_check_signer(registry_authority(op->daemon->vault.registry, e->row.authority));
        if (!r)
                r = ca_task_new(op, e->row.authority, &t);
        if (r)
                return r;
        memcpy(t->row.serial, e->row.serial, sizeof(t->row.serial));
        t->row.reason = (uint8_t)reason;
        snprintf(t->text, sizeof(t->text), "%s", text);
        t->extra = write_revocation;
        ca_crl_begin(t, "ca.revoke");
        return 0;
}

static int write_awake(CaTask *t, StoreAuthorityRow *row, AuditLine *line)
{
        uint64_t now = clock_wall();

        if (ca_is_awake(registry_authority(t->op->daemon->vault.registry, t->authority), now))
                return HF_E_NOTHING_TO_DO;
        row->awake = now + AUTHORITY_AWAKE_USEC;
        audit_line_u64(line, "until", row->awake);
        return 0;
}

static int handle_enable(Operation *op)
{
        CaTask *t;
        int r = read_options(op, no_options, NULL);

        if (!r)
                r = ca_task_new(op, op->key_text, &t);
        if (r)
                return r;
        t->extra = write_awake;
        ca_crl_begin(t, "ca.enable");
        return 0;
}

#define A HF_IFACE_AUTHORITY
const Method authority_methods[] = {
                {A, "Describe", "a{sv}", "a{sv}", 0, METHOD_AUTHORITY, POLICY_OP_CA_READ, handle_describe},
                {A, "Issue", "aysa{sv}", "a{sv}", 0, METHOD_AUTHORITY, 0, handle_issue},
                {A, "Renew", "saya{sv}", "a{sv}", 0, METHOD_AUTHORITY, 0, handle_renew},
                {A, "Show", "sa{sv}", "a{sv}", 0, METHOD_AUTHORITY, POLICY_OP_CA_READ, handle_show},
                {A, "List", "a{sv}", "aa{sv}s", 0, METHOD_AUTHORITY, POLICY_OP_CA_READ, handle_list},
                {A, "Revoke", "ssa{sv}", "", 0, METHOD_AUTHORITY, POLICY_OP_CA_REVOKE, handle_revoke},
                {A, "CreateCsr", "a{sv}", "ay", 0, METHOD_AUTHORITY, POLICY_OP_CA_INIT, ca_handle_csr},
                {A, "Import", "aya{sv}", "a{sv}", 0, METHOD_AUTHORITY, POLICY_OP_CA_INIT, ca_handle_import},
                {A, "Rollover", "a{sv}", "a{sv}", 0, METHOD_AUTHORITY, POLICY_OP_CA_INIT, ca_handle_rollover},
                {A, "Orphans", "a{sv}", "a{sv}", 0, METHOD_AUTHORITY, POLICY_OP_CA_INIT, ca_handle_orphans},
                {A, "Enable", "a{sv}", "", 0, METHOD_AUTHORITY, POLICY_OP_CA_ENABLE, handle_enable},
                {0},
};
