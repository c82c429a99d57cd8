/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/ca-put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "daemon/bus-authorities.h"
#include "daemon/bus.h"
#include "daemon/ca-publish.h"
#include "daemon/change.h"
#include "daemon/identity-lists.h"
#include "x509/crl.h"

#define FILE_MAX (24 * 1024 * 1024) /* CERT_CRL_MAX in PEM, with line ends of two characters */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define KNOWN_MAX (2 * 1024 * 1024) /* bytes of PEM: CERT_ANCHORS_FILE_MAX */

typedef struct Put {
        Operation *op;
        Change change;
        Bytes chain; /* borrowed from the call */
        int fd, tls_result;
        size_t size;
        IdentityEntry **identities;
        AuthorityEntry **authorities;
        size_t n_identities, n_authorities;

        CertCrl *crl;
        CrlFault fault;
        Buffer above; /* PEM: its CA, and those above that */
        char name[CA_PUT_NAME_SIZE], place[STORE_PLACE_SIZE];
        ListChange list;
        CaPublication *publication;
} Put;

static void put_free(void *data)
{
        Put *p = data;

        for (size_t i = 0; i < p->n_identities; i++)
                identity_unref(p->identities[i]);
        for (size_t i = 0; i < p->n_authorities; i++)
                authority_unref(p->authorities[i]);
        free(p->identities);
        free(p->authorities);
        cert_crl_free(p->crl);
        buffer_deinit(&p->above);
        list_change_deinit(&p->list);
        ca_publication_free(p->publication);
        free(p);
}

/* ---- whose it is, in the worker ---- */

static int try_own(Put *p, const AuthorityEntry *a)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(2 * STORE_CHAIN_MAX);
        int r = ca_pem_append_all(a->row.certificate, &pem);

        if (!r)
                r = cert_crl_find_issuer(p->crl, buffer_bytes(&pem), false, &p->fault, &p->above);
        if (!r && p->fault == CRL_GOOD)
                p->fault = CRL_OURS;
        return r;
}

/* Those above it, where they are not among our own: elsewhere, or from before one was made anew. */
static int try_above(Put *p, const AuthorityEntry *a)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(2 * STORE_CHAIN_MAX);
        int r = a->row.kind == CA_INTERMEDIATE ? ca_pem_append_all(a->row.chain, &pem) : 0;

        return r ? r : cert_crl_find_issuer(p->crl, buffer_bytes(&pem), true, &p->fault, &p->above);
}

/* Many identities have the same anchors. */
static bool is_first(const Put *p, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (bytes_equal(p->identities[k]->row.trust, p->identities[i]->row.trust))
                        return false;
        return p->identities[i]->row.trust.len > 0;
}

/* All that anybody here trusts. */
static int collect_anchors(const Put *p, Buffer *ret)
{
        int r = 0;

        for (size_t i = 0; !r && i < p->n_authorities; i++) {
                const StoreAuthorityRow *row = &p->authorities[i]->row;

                r = row->kind == CA_ROOT ? ca_pem_append_all(row->certificate, ret) : ca_pem_append_all(row->chain, ret);
        }
        for (size_t i = 0; !r && i < p->n_identities; i++)
                if (is_first(p, i))
                        r = buffer_append(ret, p->identities[i]->row.trust.data, p->identities[i]->row.trust.len);
        return r == -EMSGSIZE ? HF_E_LIMIT_EXCEEDED : r;
}

static bool is_found(const Put *p)
{
        return p->fault == CRL_GOOD || p->fault == CRL_OURS;
}

static int try_chain(Put *p)
{
        _cleanup_buffer_ Buffer known = BUFFER_INIT(KNOWN_MAX);
        int r = collect_anchors(p, &known);

        return r ? r : cert_crl_find_path(p->crl, p->chain, buffer_bytes(&known), &p->fault, &p->above);
}

static int find_issuer(Put *p)
{
        int r = 0;

        p->fault = CRL_UNKNOWN_ISSUER;
        for (size_t i = 0; !r && !is_found(p) && i < p->n_authorities; i++)
                r = try_own(p, p->authorities[i]);
        for (size_t i = 0; !r && !is_found(p) && i < p->n_authorities; i++)
                r = try_above(p, p->authorities[i]);
        for (size_t i = 0; !r && !is_found(p) && i < p->n_identities; i++)
                if (is_first(p, i))
                        r = cert_crl_find_issuer(p->crl, p->identities[i]->row.trust, false, &p->fault, &p->above);
        if (!r && !is_found(p) && p->chain.len)
                r = try_chain(p);
        return r == -EMSGSIZE ? HF_E_LIMIT_EXCEEDED : r;
}

int ca_put_place(Bytes chain, char ret[static STORE_PLACE_SIZE])
{
        uint8_t id[CERT_CRL_ID_SIZE];
        char hex[2 * CERT_CRL_ID_SIZE + 1];
        int r = cert_crl_id(chain, id);

        if (r)
                return r;
        hex_encode(id, sizeof(id), hex);
        snprintf(ret, STORE_PLACE_SIZE, LISTS_ELSEWHERE "%s", hex);
        return 0;
}

static int name_place(Put *p)
{
        cert_crl_name(buffer_bytes(&p->above), p->name, sizeof(p->name));
        return ca_put_place(buffer_bytes(&p->above), p->place);
}

/* Servers may have been given a later one than a restored store knows. */
static int compare_published(Put *p)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(FILE_MAX);
        _cleanup_(cert_crl_freep) CertCrl *there = NULL;
        CrlFault fault;
        int r = ca_read_published(p->op->daemon->config.tls_directory, p->place, &pem);

        if (!r)
                r = cert_crl_read(buffer_bytes(&pem), clock_wall(), &fault, &there);
        if (!r && there && !bytes_equal(cert_crl_der(there), cert_crl_der(p->crl)) &&
                        !cert_crl_follows(p->crl, cert_crl_number(there), cert_crl_this_update(there)))
                p->fault = CRL_OLDER;
        return r == -ENOMEM ? r : 0;
}

static int read_file(const Put *p, Buffer *ret)
{
        size_t n = 0;
        int r = buffer_reserve(ret, p->size);

        if (!r)
                r = io_pread_full(p->fd, ret->data, p->size, 0, &n);
        if (!r)
                ret->len = n;
        return r;
}

static int prepare(Change *c)
{
        Put *p = c->userdata;
        _cleanup_buffer_ Buffer file = BUFFER_INIT(FILE_MAX);
        int r = read_file(p, &file);

        if (!r)
                r = cert_crl_read(buffer_bytes(&file), clock_wall(), &p->fault, &p->crl);
        buffer_deinit(&file);
        if (!r && p->crl)
                r = find_issuer(p);
        if (!r && p->fault == CRL_GOOD)
                r = name_place(p);
        if (!r && p->fault == CRL_GOOD)
                r = compare_published(p);
        return r || p->fault == CRL_GOOD ? r : HF_E_REVOCATION_LIST_REFUSED;
}

/* ---- in the loop ---- */

static int gather(Change *c)
{
        Put *p = c->userdata;
        const Vault *v = &c->daemon->vault;
        size_t n = identities_count(v->identities);
        AuthorityEntry *a;

        p->identities = calloc(n + 1, sizeof(*p->identities));
        p->authorities = calloc(AUTHORITIES_MAX, sizeof(*p->authorities));
        if (!p->identities || !p->authorities)
                return -ENOMEM;
        for (; p->n_identities < n; p->n_identities++)
                p->identities[p->n_identities] = identity_ref(identities_at(v->identities, p->n_identities));
        for (; (a = registry_authority_at(v->registry, p->n_authorities)); p->n_authorities++)
                p->authorities[p->n_authorities] = authority_ref(a);
        return 0;
}

/* HF_E_NOTHING_TO_DO: it is the one that is held. */
static int compare_held(Put *p, const ListEntry *held)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(STORE_LIST_MAX);
        int r;

        if (cert_crl_follows(p->crl, held->row.number, held->row.this_update))
                return 0;
        r = store_get_list(p->op->daemon->vault.store, p->place, &der);
        if (!r && bytes_equal(buffer_bytes(&der), cert_crl_der(p->crl)))
                return HF_E_NOTHING_TO_DO;
        p->fault = CRL_OLDER;
        return r ? r : HF_E_REVOCATION_LIST_REFUSED;
}

/* Where there are as many as there may be: one that is over, if any is, makes room. */
static int make_room(Put *p, uint64_t now)
{
        Vault *v = &p->op->daemon->vault;
        const ListEntry *e, *oldest = NULL;
        size_t n = 0;

        for (size_t i = 0; (e = lists_at(v->lists, i)); i++) {
                n += list_is_elsewhere(e);
                if (list_is_elsewhere(e) && e->row.next_update < now && (!oldest || e->row.next_update < oldest->row.next_update))
                        oldest = e;
        }
        return n < LISTS_ELSEWHERE_MAX || !oldest ? 0 : lists_remove(v->store, v->lists, oldest->row.place, &p->list);
}

static int write_put(Change *c, AuditLine *line)
{
        Put *p = c->userdata;
        Vault *v = &c->daemon->vault;
        const ListEntry *held = lists_find(v->lists, p->place);
        StoreListRow row = {.number = cert_crl_number(p->crl), .this_update = cert_crl_this_update(p->crl),
                        .next_update = cert_crl_next_update(p->crl), .taken = clock_wall(), .chain = buffer_bytes(&p->above),
                        .list = cert_crl_der(p->crl)};
        uint8_t hash[32];
        int r = held ? compare_held(p, held) : make_room(p, row.taken);

        if (r)
                return r;
        strcpy(row.place, p->place);
        digest_sha256(row.list, hash);
        audit_line_str(line, "issuer", p->name);
        audit_line_hex(line, "list", hash, sizeof(hash));
        if (row.number.len)
                audit_line_hex(line, "crl-number", row.number.data, row.number.len);
        audit_line_u64(line, "this-update", row.this_update);
        audit_line_u64(line, "next-update", row.next_update);
        audit_line_u64(line, "entries", cert_crl_count(p->crl));
        operation_audit_caller(p->op, line);
        return lists_put(v->store, v->lists, &row, &p->list);
}

static void apply(Change *c)
{
        Put *p = c->userdata;

        lists_apply(c->daemon->vault.lists, &p->list);
}

/* ---- looking ---- */

static bool leads_to(const ListEntry *e, Bytes anchors)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *trusted = cert_crl_trusted(anchors);

        return cert_crl_leads_to(e->row.chain, trusted);
}

/* Does an identity or a CA here trust it? Many identities have the same anchors. */
static bool is_used(const Daemon *d, const ListEntry *e)
{
        const Identities *all = d->vault.identities;
        const AuthorityEntry *a;
        Bytes last = BYTES_NULL;

        for (size_t i = 0; i < identities_count(all); i++) {
                Bytes trust = identities_at(all, i)->row.trust;

                if (!bytes_equal(trust, last) && leads_to(e, trust))
                        return true;
                last = trust;
        }
        for (size_t i = 0; (a = registry_authority_at(d->vault.registry, i)); i++) {
                _cleanup_buffer_ Buffer pem = BUFFER_INIT(2 * STORE_CHAIN_MAX);

                if (ca_pem_append_all(a->row.kind == CA_ROOT ? a->row.certificate : a->row.chain, &pem) == 0 &&
                                leads_to(e, buffer_bytes(&pem)))
                        return true;
        }
        return false;
}

bool ca_put_trouble(const Daemon *d, const ListEntry *e, uint64_t now, char ret_name[static CA_PUT_NAME_SIZE],
                char ret[static CA_PUT_WORDS_SIZE])
{
        uint64_t left = e->row.next_update > now ? e->row.next_update - now : 0;
        uint64_t life = e->row.next_update - e->row.this_update, soon = life / 4 < CA_PUT_SOON ? life / 4 : CA_PUT_SOON;

        if (!list_is_elsewhere(e) || left > soon || !is_used(d, e))
                return false;
        cert_crl_name(e->row.chain, ret_name, CA_PUT_NAME_SIZE);
        if (left)
                snprintf(ret, CA_PUT_WORDS_SIZE, "runs out in %u min: then servers that read it refuse everybody of that CA",
                                (unsigned)(left / (60 * USEC_PER_SEC)));
        else
                snprintf(ret, CA_PUT_WORDS_SIZE, "is over: servers that read it refuse everybody of that CA");
        return true;
}

static int append_fields(const Daemon *d, sd_bus_message *m, const ListEntry *e)
{
        char name[CA_PUT_NAME_SIZE], number[2 * STORE_LIST_NUMBER_MAX + 1], directory[CONFIG_TEXT_MAX + STORE_PLACE_SIZE] = "";
        bool elsewhere = list_is_elsewhere(e);
        int r;

        hex_encode(e->row.number.data, e->row.number.len, number);
        if (d->config.tls_directory[0])
                snprintf(directory, sizeof(directory), "%s/%s", d->config.tls_directory, e->row.place);
        r = elsewhere ? reply_append_string(m, "issuer", cert_crl_name(e->row.chain, name, sizeof(name)))
                      : reply_append_string(m, "authority", e->row.place + strlen(CA_PLACE));
        if (r >= 0)
                r = reply_append_string(m, "number", number);
        if (r >= 0)
                r = reply_append_u64(m, "this-update", e->row.this_update);
        if (r >= 0)
                r = reply_append_u64(m, "next-update", e->row.next_update);
        if (r >= 0)
                r = reply_append_u64(m, "taken", e->row.taken);
        if (r >= 0)
                r = reply_append_bool(m, "used", !elsewhere || is_used(d, e));
        return r >= 0 ? reply_append_string(m, "directory", directory) : r;
}

static bool may_see(const Operation *op, const ListEntry *e)
{
        const Vault *v = &op->daemon->vault;
        const AuthorityEntry *a;
        const KeyEntry *key;

        if (list_is_elsewhere(e))
                return true;
        a = registry_authority(v->registry, e->row.place + strlen(CA_PLACE));
        key = a ? catalogue_find_uuid(v->catalogue, &a->row.key) : NULL;
        return key && operation_may(op, POLICY_OP_CA_READ, key);
}

int ca_handle_lists(Operation *op)
{
        static const OptionSpec none[] = {{0}};
        sd_bus_message *reply = NULL;
        const ListEntry *e;
        int r = read_options(op, none, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && (e = lists_at(op->daemon->vault.lists, i)); i++) {
                if (!may_see(op, e))
                        continue;
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
                if (r >= 0)
                        r = append_fields(op->daemon, reply, e);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return send_or_unref(op, reply, r);
}

/* ---- the end ---- */

static void answer(Put *p)
{
        sd_bus_message *reply = NULL;
        int r = operation_reply_new(p->op, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = append_fields(p->op->daemon, reply, p->list.put);
        if (r >= 0)
                r = reply_append_u64(reply, "entries", cert_crl_count(p->crl));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        send_done(p->op, reply, r);
}

static void on_refreshed(void *userdata, int result)
{
        Put *p = userdata;
        const char *why = result < 0 ? strerror(-result) : hf_error_name(result);

        if (!result) {
                answer(p);
                return;
        }
        log_error("the revocation list of %s cannot be written: %s", p->name, why);
        operation_fail_because(p->op, result < 0 ? HF_E_INTERNAL : result,
                        "The store has the list, but it cannot be written to %s (%s): servers do not know of it. It is written "
                        "when the store opens next.",
                        p->op->daemon->config.tls_directory, why);
}

static void on_published(void *userdata, int result)
{
        Put *p = userdata;

        if (result)
                on_refreshed(p, result);
        else
                identity_lists_refresh(p->op->daemon, on_refreshed, p);
}

static int publish(void *userdata)
{
        Put *p = userdata;
        int r = ca_publish(p->publication, cert_crl_der(p->crl));

        return r == HF_E_NOTHING_TO_DO ? 0 : r;
}

static void finish(Change *c, int result)
{
        Put *p = c->userdata;
        Daemon *d = p->op->daemon;
        const CaScene scene = ca_scene(d);

        if (p->fault != CRL_GOOD && result > 0) {
                log_notice("a revocation list was refused: %s", crl_fault_word(p->fault));
                operation_fail_because(p->op, HF_E_REVOCATION_LIST_REFUSED,
                                "The list is not taken: %s (%s). Nothing was changed.", crl_fault_sentence(p->fault),
                                crl_fault_word(p->fault));
                return;
        }
        if (!result)
                result = !d->vault.lists ? HF_E_STORE_LOCKED : ca_publication_new(&scene, p->place, 0, &p->publication);
        if (!result)
                result = worker_post(d->worker, publish, on_published, p);
        if (result)
                operation_fail(p->op, result);
}

/* ---- the call ---- */

typedef struct PutOptions {
        Bytes chain;
} PutOptions;

static const OptionSpec put_options[] = {{"chain", OPTION_BYTES, offsetof(PutOptions, chain)}, {0}};

/* What is sealed stays what it is while it is read, and no file system of somebody's keeps the worker waiting. */
static int check_file(int fd, size_t *ret_size, CrlFault *ret_fault)
{
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;

        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return HF_E_INVALID_FD;
        *ret_fault = st.st_size > FILE_MAX ? CRL_TOO_LARGE : st.st_size == 0 ? CRL_MALFORMED : CRL_GOOD;
        *ret_size = (size_t)st.st_size;
        return 0;
}

int ca_handle_put(Operation *op)
{
        PutOptions o = {.chain = BYTES_NULL};
        CrlFault fault;
        size_t size;
        Put *p;
        int fd, r = sd_bus_message_read_basic(op->call, 'h', &fd) < 0 ? HF_E_INVALID_ARGS : read_options(op, put_options, &o);

        if (!r)
                r = check_file(fd, &size, &fault);
        if (r)
                return r;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (Put){.op = op, .chain = o.chain, .fd = fd, .size = size, .fault = fault, .above = BUFFER_INIT(STORE_CHAIN_MAX)};
        p->change = (Change){.event = "ca.crl-put", .gather = gather, .prepare = prepare, .write = write_put, .apply = apply,
                        .finish = finish, .userdata = p, .seal = true};
        op->data = p;
        op->data_free = put_free;
        if (fault == CRL_GOOD)
                change_submit(op->daemon, &p->change);
        else
                finish(&p->change, HF_E_REVOCATION_LIST_REFUSED);
        return 0;
}
