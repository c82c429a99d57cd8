/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Revocation lists: a number that the store has, then the list of all that is revoked by then, signed, kept and published. What
 * else the change does (a revocation, a root enabled for an hour) comes in by t->extra.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "daemon/bus.h"
#include "daemon/ca-publish.h"
#include "daemon/ca-put.h"
#include "daemon/ca.h"
#include "daemon/identity-lists.h"
#include "daemon/system-bus.h"

#define LOOK_USEC (600 * USEC_PER_SEC)
#define EXPIRED_STAY_USEC (7 * 86400 * USEC_PER_SEC) /* RFC 5280 section 3.3: on one list after the end */

static void end(CaTask *t, int result)
{
        sd_bus_message *reply = NULL;
        Operation *op = t->op;
        int r;

        if (!op->call) {
                if (result)
                        log_error("revocation list of %s: %s", t->authority, hf_error_name(result));
                operation_done(op);
        } else if (result) {
                operation_fail(op, result);
        } else {
                r = operation_reply_new(op, &reply);
                if (r >= 0 && t->reply)
                        r = t->reply(t, reply);
                send_done(op, reply, r);
        }
}

/* ---- published ---- */

static int publish(void *userdata)
{
        CaTask *t = userdata;
        int r = ca_publish(t->publication, buffer_bytes(&t->der));

        return r == HF_E_NOTHING_TO_DO ? 0 : r;
}

/* The list is made and has its number; where it cannot be written the next look tries again. Who revoked has to know. */
static void on_refreshed(void *userdata, int result)
{
        CaTask *t = userdata;
        const char *directory = t->op->daemon->config.tls_directory;
        const char *why = result < 0 ? strerror(-result) : hf_error_name(result);

        if (result)
                log_error("the revocation list of %s cannot be written to %s: %s", t->authority, directory, why);
        if (result && t->op->call && t->extra)
                operation_fail_because(t->op, result,
                                "It is done and recorded, but the new list cannot be written to %s (%s): servers do not know of "
                                "it. Holdfast tries again every ten minutes and at its next start.",
                                directory, why);
        else
                end(t, 0);
}

/* Identities have it too. */
static void on_published(void *userdata, int result)
{
        CaTask *t = userdata;

        if (result)
                on_refreshed(t, result);
        else
                identity_lists_refresh(t->op->daemon, on_refreshed, t);
}

/* ---- kept ---- */

static Bytes number_bytes(uint64_t number, uint8_t ret[static 8])
{
        size_t n = 0;

        for (int shift = 56; shift >= 0; shift -= 8)
                if (n > 0 || number >> shift & 0xff)
                        ret[n++] = (uint8_t)(number >> shift);
        return BYTES(ret, n);
}

static bool is_later(Bytes a, Bytes b)
{
        return a.len != b.len ? a.len > b.len : a.len > 0 && memcmp(a.data, b.data, a.len) > 0;
}

/* The store has the list itself, so that it can be published where the store is moved to, whoever has the key. */
static int write_kept(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->authority);
        uint8_t number[8], hash[32];
        const ListEntry *before;
        StoreListRow row = {.number = number_bytes(t->number, number), .this_update = t->this_update,
                        .next_update = t->next_update, .taken = clock_wall(), .list = buffer_bytes(&t->der)};

        snprintf(row.place, sizeof(row.place), CA_PLACE "%s", t->authority);
        before = lists_find(v->lists, row.place);
        if (!a || !uuid_equal(&a->row.key, &t->by) || (before && is_later(before->row.number, row.number)))
                return HF_E_NOTHING_TO_DO; /* made anew meanwhile, or a later one was signed sooner */
        digest_sha256(row.list, hash);
        audit_line_uuid(line, "key", &a->row.key);
        audit_line_str(line, "name", t->authority);
        audit_line_u64(line, "number", t->number);
        audit_line_hex(line, "list", hash, sizeof(hash));
        operation_audit_caller(t->op, line);
        return lists_put(v->store, v->lists, &row, &t->list);
}

static void apply_kept(Change *c)
{
        CaTask *t = c->userdata;

        lists_apply(c->daemon->vault.lists, &t->list);
}

/* Servers get it all the same: it is signed, and they wait. */
static void on_kept(Change *c, int result)
{
        CaTask *t = c->userdata;

        list_change_deinit(&t->list);
        if (result && result != HF_E_NOTHING_TO_DO)
                log_error("the store does not keep the revocation list of %s: %s", t->authority, hf_error_name(result));
        if (worker_post(t->op->daemon->worker, publish, on_published, t))
                end(t, -ENOMEM);
}

static int on_signed(Operation *op, sd_bus_message *reply)
{
        CaTask *t = op->data;
        int r;

        (void)reply;
        buffer_clear(&t->der);
        r = ca_finish(key_entry_public(op->key), t->scheme, buffer_bytes(&t->tbs),
                        BYTES(op->items[0].result, op->items[0].result_len), &t->der);
        if (r)
                return -EIO;
        t->change = (Change){.event = "ca.listed", .write = write_kept, .apply = apply_kept, .finish = on_kept, .userdata = t};
        change_submit(op->daemon, &t->change);
        return OPERATION_ANSWERED;
}

/* ---- built ---- */

static int build(void *userdata)
{
        CaTask *t = userdata;
        const CaCrlParams p = {.issuer = t->issuer, .scheme = t->scheme, .number = t->number, .this_update = t->this_update,
                        .next_update = t->next_update, .entries = t->revoked, .n_entries = t->n_revoked};

        buffer_clear(&t->tbs);
        return ca_crl_prepare(&p, &t->tbs);
}

static void on_built(void *userdata, int result)
{
        CaTask *t = userdata;

        if (!result)
                result = ca_sign(t, t->authority, "ca.sign", on_signed);
        if (result)
                end(t, result);
}

static bool is_listed(const Registry *registry, const CertificateEntry *e, const char *authority, uint64_t now)
{
        return e->row.status == STORE_CERTIFICATE_REVOKED && strcmp(e->row.authority, authority) == 0 &&
               e->row.expires + EXPIRED_STAY_USEC > now && registry_is_current(registry, e);
}

static int collect(CaTask *t)
{
        const Registry *registry = t->op->daemon->vault.registry;
        size_t n = 0;

        for (size_t i = 0; i < registry_count(registry); i++)
                n += is_listed(registry, registry_at(registry, i), t->authority, t->this_update);
        t->revoked = n ? reallocarray(NULL, n, sizeof(*t->revoked)) : NULL;
        if (n && !t->revoked)
                return -ENOMEM;
        t->n_revoked = 0;
        for (size_t i = 0; i < registry_count(registry); i++) {
                const CertificateEntry *e = registry_at(registry, i);

                if (!is_listed(registry, e, t->authority, t->this_update))
                        continue;
                t->revoked[t->n_revoked] = (CaRevoked){.when = e->row.revoked, .reason = e->row.reason};
                memcpy(t->revoked[t->n_revoked++].serial, e->row.serial, sizeof(e->row.serial));
        }
        return 0;
}

static int begin_list(CaTask *t)
{
        const Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *a = v->registry ? registry_authority(v->registry, t->authority) : NULL;
        const KeyEntry *key = a ? catalogue_find_uuid(v->catalogue, &a->row.key) : NULL;
        const CaScene scene = ca_scene(t->op->daemon);
        char place[STORE_PLACE_SIZE];
        int r;

        if (!key)
                return v->registry ? HF_E_CA_NOT_INITIALISED : HF_E_STORE_LOCKED;
        t->by = key->uuid;
        t->scheme = scheme_usual(key->algorithm, PURPOSE_ISSUE);
        snprintf(place, sizeof(place), CA_PLACE "%s", t->authority);
        t->issuer = ca_issuer_free(t->issuer);
        t->publication = ca_publication_free(t->publication);
        r = ca_authority_issuer(a, &t->issuer);
        if (!r)
                r = ca_publication_new(&scene, place, t->number, &t->publication);
        if (!r)
                r = collect(t);
        return r ? r : worker_post(t->op->daemon->worker, build, on_built, t);
}

/* ---- numbered ---- */

/* A list cannot be made to hold once it has run out, and servers refuse everybody without it as well: so lists that are not to
 * run out have to say so from the first. They are made anew as often as others. */
static uint64_t life_of(const Daemon *d, const StoreAuthorityRow *row)
{
        return d->config.ignore_stale_lists ? CA_CRL_LIFE_LONG
               : row->kind == CA_ROOT       ? CA_ROOT_CRL_LIFE
                                            : CA_CRL_LIFE;
}

/* A list's number is the time in microseconds, or one more than the last, as the store has it or as servers have been given: it
 * goes on where a store was restored and where the clock is behind. */
static int write_number(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->authority);
        StoreAuthorityRow row;
        uint64_t now, last;
        int r = 0;

        if (!a || !a->row.certificate.len)
                return HF_E_CA_NOT_INITIALISED;
        row = a->row;
        audit_line_uuid(line, "key", &row.key);
        audit_line_str(line, "name", row.name);
        operation_audit_caller(t->op, line);
        if (t->extra)
                r = t->extra(t, &row, line);
        now = clock_wall();
        if (!r && row.awake == a->row.awake && !ca_is_awake(a, now))
                r = HF_E_CA_AT_REST;
        if (r)
                return r;
        last = ca_published_number(c->daemon, a);
        if (last < row.crl_number)
                last = row.crl_number;
        t->number = now > last ? now : last + 1;
        t->this_update = now;
        t->next_update = now + life_of(c->daemon, &row);
        row.crl_number = t->number;
        row.crl_due = t->next_update;
        audit_line_u64(line, "number", t->number);
        return registry_put_authority(v->store, v->registry, &row, &t->registry);
}

static void apply_number(Change *c)
{
        CaTask *t = c->userdata;

        registry_apply(c->daemon->vault.registry, &t->registry);
}

static void on_numbered(Change *c, int result)
{
        CaTask *t = c->userdata;

        registry_change_deinit(&t->registry);
        if (!result)
                result = begin_list(t);
        if (result)
                end(t, result);
}

void ca_crl_begin(CaTask *t, const char *event)
{
        t->change = (Change){.event = event, .write = write_number, .apply = apply_number, .finish = on_numbered, .userdata = t,
                        .seal = t->extra != NULL};
        change_submit(t->op->daemon, &t->change);
}

/* ---- by itself ---- */

bool ca_is_over(const AuthorityEntry *a, uint64_t now)
{
        _cleanup_(ca_issuer_freep) CaIssuer *issuer = NULL;

        return ca_authority_issuer(a, &issuer) == 0 && issuer->not_after + EXPIRED_STAY_USEC < now;
}

static bool is_due(const Daemon *d, const AuthorityEntry *a, uint64_t now)
{
        uint64_t life = life_of(d, &a->row);

        if (!a->row.certificate.len || !ca_is_awake(a, now) || ca_is_over(a, now))
                return false;
        /* A day old; or of a time that is still to come, since the clock was put back or lists were to hold longer; or not where
         * servers read it. */
        return now + life >= a->row.crl_due + CA_CRL_AGAIN || a->row.crl_due > now + life || !ca_is_published(d, a);
}

bool ca_crl_trouble(const StoreAuthorityRow *row, bool published, uint64_t now, char ret[static CA_CRL_WORDS_SIZE])
{
        uint64_t left = row->crl_due > now ? row->crl_due - now : 0, hours = left / (3600 * USEC_PER_SEC);

        if (left == 0)
                snprintf(ret, CA_CRL_WORDS_SIZE, "is over: servers that read it refuse everybody");
        else if (!published)
                snprintf(ret, CA_CRL_WORDS_SIZE, "is not where servers read it: servers that read it refuse everybody");
        else if (left < (row->kind == CA_ROOT ? CA_ROOT_CRL_SOON : CA_CRL_SOON))
                snprintf(ret, CA_CRL_WORDS_SIZE, "runs out in %u %s: then servers that read it refuse everybody",
                                (unsigned)(hours < 48 ? hours : hours / 24), hours < 48 ? "h" : "days");
        else
                return false;
        return true;
}

/* Once a day, and before it is too late. */
static void warn(Daemon *d)
{
        uint64_t now = clock_wall();
        char words[CA_CRL_WORDS_SIZE > CA_PUT_WORDS_SIZE ? CA_CRL_WORDS_SIZE : CA_PUT_WORDS_SIZE], name[CA_PUT_NAME_SIZE];
        const AuthorityEntry *a;
        const ListEntry *e;
        bool awake;

        if (d->ca_warned && clock_monotonic() - d->ca_warned < CA_CRL_AGAIN)
                return;
        for (size_t i = 0; (a = registry_authority_at(d->vault.registry, i)); i++) {
                if (!a->row.certificate.len || !ca_crl_trouble(&a->row, ca_is_published(d, a), now, words) || ca_is_over(a, now))
                        continue;
                awake = ca_is_awake(a, now);
                log_warning("the revocation list of %s %s%s%s", a->row.name, words, awake ? "" : "; holdfast ca enable ",
                                awake ? "" : a->row.name);
                d->ca_warned = clock_monotonic();
        }
        for (size_t i = 0; (e = lists_at(d->vault.lists, i)); i++) {
                if (!ca_put_trouble(d, e, now, name, words))
                        continue;
                log_warning("the revocation list of %s %s; holdfast ca crl put", name, words);
                d->ca_warned = clock_monotonic();
        }
}

static void renew(Daemon *d, const AuthorityEntry *a)
{
        Operation *op = NULL;
        CaTask *t;
        int r = operation_new_internal(d, &op);

        if (!r)
                r = ca_task_new(op, a->row.name, &t);
        if (!r)
                ca_crl_begin(t, "ca.crl");
        else if (op)
                operation_done(op);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        (void)usec;
        if (d->vault.state == VAULT_READY) {
                identity_lists_refresh(d, NULL, NULL); /* what could not be written at its time */
                warn(d);
        }
        ca_consider(d);
        return 0;
}

void ca_consider(Daemon *d)
{
        uint64_t now = clock_wall();
        AuthorityEntry *a;

        for (size_t i = 0; d->vault.state == VAULT_READY && (a = registry_authority_at(d->vault.registry, i)); i++)
                if (is_due(d, a, now))
                        renew(d, a);
        d->ca_timer = sd_event_source_disable_unref(d->ca_timer);
        (void)sd_event_add_time_relative(d->event, &d->ca_timer, CLOCK_MONOTONIC, LOOK_USEC, 0, on_look, d);
}
