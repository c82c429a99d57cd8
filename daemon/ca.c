/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "crypto/digest.h"
#include "crypto/pubkey.h"
#include "daemon/bus.h"
#include "daemon/ca-publish.h"
#include "keystore/lifecycle.h"

static void task_free(void *data)
{
        CaTask *t = data;

        registry_change_deinit(&t->registry);
        keystore_change_deinit(&t->key);
        list_change_deinit(&t->list);
        keystore_change_deinit(&t->gone);
        buffer_deinit(&t->tbs);
        buffer_deinit(&t->der);
        buffer_deinit(&t->wrapped);
        key_entry_unref(t->holder);
        ca_issuer_free(t->issuer);
        ca_publication_free(t->publication);
        ca_rollover_free(t->rollover);
        free(t->revoked);
        ca_anew_free(t->anew);
        free(t);
}

int ca_task_new(Operation *op, const char *authority, CaTask **ret)
{
        CaTask *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->op = op;
        t->tbs = t->der = BUFFER_INIT(CA_CRL_MAX);
        t->wrapped = BUFFER_INIT(KEY_WRAPPED_MAX);
        t->row.name = t->name;
        t->row.domain = t->domain;
        t->row.metadata = t->metadata;
        t->row.text = t->text;
        snprintf(t->authority, sizeof(t->authority), "%s", authority);
        op->data = t;
        op->data_free = task_free;
        *ret = t;
        return 0;
}

/* ---- profiles ---- */

/* Only what nobody but root and ourselves can write is asked what certificates there may be. */
static int read_profile(const Daemon *d, int dir_fd, const char *file, Buffer *ret)
{
        _cleanup_close_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0)
                return errno == ENOENT ? HF_E_NOTHING_TO_DO : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_mode & 022 || (st.st_uid != 0 && st.st_uid != d->config.policy_owner))
                return HF_E_STORE_UNSAFE;
        return io_read_file(dir_fd, file, ret);
}

int ca_profile_load(const Daemon *d, const char *name, CaProblem *problem, CaProfile *ret)
{
        char directories[sizeof(d->config.profile_directories)], file[NAME_SIZE + 8], path[CONFIG_TEXT_MAX + NAME_SIZE + 8];
        char *save = NULL;

        if (!name_is_valid(name)) {
                (void)ca_refuse(problem, "this is no name of a profile");
                return HF_E_INVALID_ARGS;
        }
        strcpy(directories, d->config.profile_directories);
        snprintf(file, sizeof(file), "%s.conf", name);
        for (char *dir = strtok_r(directories, " ", &save); dir; dir = strtok_r(NULL, " ", &save)) {
                _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                _cleanup_buffer_ Buffer text = BUFFER_INIT(CA_PROFILE_FILE_MAX);
                int r = fd < 0 ? HF_E_NOTHING_TO_DO : read_profile(d, fd, file, &text);

                snprintf(path, sizeof(path), "%.250s/%s", dir, file);
                if (r == HF_E_NOTHING_TO_DO)
                        continue;
                if (r) {
                        (void)ca_refuse(problem, "%s cannot be read, or others than root can write it", path);
                        return HF_E_INVALID_ARGS;
                }
                return ca_profile_read(path, name, buffer_bytes(&text), problem, ret);
        }
        (void)ca_refuse(problem, "there is no profile '%s' in %s", name, d->config.profile_directories);
        return HF_E_INVALID_ARGS;
}

/* ---- authorities ---- */

int ca_authority_issuer(const AuthorityEntry *a, CaIssuer **ret)
{
        CaProblem problem;
        int r;

        if (!a->row.certificate.len)
                return HF_E_CA_NOT_INITIALISED;
        r = ca_issuer_read(a->row.certificate, &problem, ret);
        return r > 0 ? HF_E_INTERNAL : r; /* we made it */
}

int ca_authority_issuer_kept(Daemon *d, const AuthorityEntry *a, const CaIssuer **ret)
{
        CaIssuer *issuer;
        int r;

        if (!d->ca_issuer || !bytes_equal(buffer_bytes(&d->ca_issuer->der), a->row.certificate)) {
                r = ca_authority_issuer(a, &issuer);
                if (r)
                        return r;
                ca_issuer_free(d->ca_issuer);
                d->ca_issuer = issuer;
        }
        *ret = d->ca_issuer;
        return 0;
}

/* An end that is further away than any hour was not set by this clock: it has been put back since. Where it was put back by less,
 * the other clock ends the hour. */
bool ca_is_awake(const AuthorityEntry *a, uint64_t now)
{
        uint64_t end = a->row.awake;

        return end == STORE_AWAKE_ALWAYS || (now < end && end - now <= AUTHORITY_AWAKE_USEC && clock_monotonic() < a->deadline);
}

int ca_check_signer(const AuthorityEntry *a)
{
        if (!a || !a->row.certificate.len)
                return HF_E_CA_NOT_INITIALISED;
        return ca_is_awake(a, clock_wall()) ? 0 : HF_E_CA_AT_REST;
}

static bool is_revoked(const Registry *registry, const AuthorityEntry *a)
{
        const CertificateEntry *e = registry_find_fingerprint(registry, a->fingerprint);

        return e && e->row.status == STORE_CERTIFICATE_REVOKED;
}

int ca_check_issuer(const Registry *registry, const AuthorityEntry *a, CaProblem *problem)
{
        int r = ca_check_signer(a);

        if (a && !a->row.certificate.len && ca_is_outside(a))
                (void)ca_refuse(problem, "the CA %s waits for its certificate; `holdfast ca import %s CHAIN.pem`", a->row.name,
                                a->row.name);
        for (size_t i = 0; !r && a && i < AUTHORITIES_MAX; i++) {
                if (is_revoked(registry, a))
                        return ca_refuse(problem, "the certificate of the CA %s is revoked", a->row.name);
                if (a->row.parent[0] && !ca_parent(registry, a)) {
                        (void)ca_refuse(problem, "the CA above %s was made anew since; under the new one: `holdfast ca rollover "
                                                 "%s`", a->row.name, a->row.name);
                        return HF_E_CA_REPLACED;
                }
                a = ca_parent(registry, a);
        }
        return r;
}

static int append_issuer(sd_bus_message *m, const AuthorityEntry *a)
{
        _cleanup_(ca_issuer_freep) CaIssuer *issuer = NULL;
        int r = ca_authority_issuer(a, &issuer);

        if (r)
                return r < 0 ? r : 0;
        r = reply_append_u64(m, "not-before", issuer->not_before);
        if (r >= 0)
                r = reply_append_u64(m, "not-after", issuer->not_after);
        if (r >= 0 && issuer->path_length >= 0)
                r = reply_append_u32(m, "path-length", (uint32_t)issuer->path_length);
        return r >= 0 ? reply_append_bytes(m, "certificate", a->row.certificate) : r;
}

static const char *authority_state(const Registry *registry, const AuthorityEntry *a)
{
        return !a->row.certificate.len         ? ca_is_outside(a) ? "waiting" : "pending"
               : ca_is_orphaned(registry, a)   ? "orphaned"
               : !ca_is_awake(a, clock_wall()) ? "at-rest"
                                               : "active";
}

static int append_fields(const Daemon *d, sd_bus_message *m, const AuthorityEntry *a)
{
        const KeyEntry *key = catalogue_find_uuid(d->vault.catalogue, &a->row.key);
        const AuthorityEntry *next = ca_successor(d->vault.registry, a->row.name);
        char directory[CONFIG_TEXT_MAX + NAME_SIZE + 8] = "";
        int r;

        if (d->config.tls_directory[0])
                snprintf(directory, sizeof(directory), "%s/ca@%s", d->config.tls_directory, a->row.name);
        r = reply_append_string(m, "name", a->row.name);
        if (r >= 0)
                r = reply_append_string(m, "kind", a->row.kind == CA_ROOT ? "root" : "intermediate");
        if (r >= 0)
                r = reply_append_string(m, "parent", a->row.parent);
        if (r >= 0)
                r = reply_append_string(m, "state", authority_state(d->vault.registry, a));
        if (r >= 0 && next)
                r = reply_append_string(m, "successor", next->row.name);
        if (r >= 0 && a->row.follows[0])
                r = reply_append_string(m, "follows", a->row.follows);
        if (r >= 0 && key)
                r = reply_append_string(m, "algorithm", key_algorithm_info(key->algorithm)->name);
        if (r >= 0 && key)
                r = reply_append_string(m, "protection", key_protection_to_string(key->protection));
        if (r >= 0)
                r = reply_append_u64(m, "created", a->row.created);
        if (r >= 0)
                r = reply_append_u64(m, "crl-number", a->row.crl_number);
        if (r >= 0)
                r = reply_append_u64(m, "crl-due", a->row.crl_due);
        if (r >= 0)
                r = reply_append_bool(m, "published", ca_is_published(d, a));
        if (r >= 0 && a->row.awake != STORE_AWAKE_ALWAYS && ca_is_awake(a, clock_wall()))
                r = reply_append_u64(m, "awake-until", a->row.awake);
        if (r >= 0)
                r = reply_append_string(m, "directory", directory);
        return r >= 0 ? append_issuer(m, a) : r;
}

int ca_append_authority(const Daemon *d, sd_bus_message *m, const AuthorityEntry *a)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_fields(d, m, a);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

/* ---- certificates ---- */

static int append_hex(sd_bus_message *m, const char *key, const uint8_t *data, size_t len)
{
        char text[65];

        hex_encode(data, len, text);
        return reply_append_string(m, key, text);
}

static int append_revocation(sd_bus_message *m, const StoreCertificateRow *row)
{
        int r = 0;

        if (row->revoked)
                r = reply_append_u64(m, row->status == STORE_CERTIFICATE_REVOKED ? "revoked" : "superseded", row->revoked);
        if (r >= 0 && row->status == STORE_CERTIFICATE_REVOKED)
                r = reply_append_string(m, "reason", ca_reason_to_string(row->reason));
        return r >= 0 && *row->text ? reply_append_string(m, "text", row->text) : r;
}

/* The certificate with those above it but the root, as servers want it. */
static int append_der(const Daemon *d, sd_bus_message *m, const StoreCertificateRow *row, const Buffer *der)
{
        const Registry *registry = d->vault.registry; /* the store may be locked by now */
        const CertificateEntry *e = registry ? registry_find_serial(registry, row->serial) : NULL;
        _cleanup_buffer_ Buffer chain = BUFFER_INIT(STORE_CHAIN_MAX * 2);
        int r = reply_append_bytes(m, "certificate", buffer_bytes(der));

        if (r < 0 || !e)
                return r;
        if (ca_pem_append("CERTIFICATE", buffer_bytes(der), &chain))
                return -ENOMEM;
        /* Those above it are not here any more where its CA was made anew. */
        if (registry_is_current(registry, e) && ca_pem_chain(registry, registry_authority(registry, row->authority), &chain))
                return -ENOMEM;
        return reply_append_bytes(m, "chain", buffer_bytes(&chain));
}

static int append_row(const Daemon *d, sd_bus_message *m, const StoreCertificateRow *row, const Buffer *der)
{
        int r = append_hex(m, "serial", row->serial, sizeof(row->serial));

        if (r >= 0)
                r = append_hex(m, "fingerprint", row->fingerprint, sizeof(row->fingerprint));
        if (r >= 0)
                r = reply_append_string(m, "name", row->name);
        if (r >= 0)
                r = reply_append_string(m, "authority", row->authority);
        if (r >= 0)
                r = reply_append_string(m, "profile", row->profile);
        if (r >= 0)
                r = reply_append_string(m, "domain", row->domain);
        if (r >= 0 && *row->metadata)
                r = reply_append_string(m, "metadata", row->metadata);
        if (r >= 0)
                r = reply_append_string(m, "status", d->vault.registry ? ca_status(d->vault.registry, row)
                                                                       : certificate_status(row, clock_wall()));
        if (r >= 0)
                r = reply_append_u64(m, "issued", row->issued);
        if (r >= 0)
                r = reply_append_u64(m, "expires", row->expires);
        if (r >= 0)
                r = append_revocation(m, row);
        return r >= 0 && der ? append_der(d, m, row, der) : r;
}

int ca_append_certificate(const Daemon *d, sd_bus_message *m, const StoreCertificateRow *row, const Buffer *der)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_row(d, m, row, der);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

/* ---- the signature ---- */

static void drop_items(Operation *op)
{
        for (size_t i = 0; i < op->n_items; i++)
                free(op->items[i].result);
        free(op->items);
        op->items = NULL;
        op->n_items = op->n_sent = op->n_done = op->n_unused = 0;
}

int ca_sign(CaTask *t, const char *authority, const char *what, int (*then)(Operation *op, sd_bus_message *reply))
{
        const Vault *v = &t->op->daemon->vault;
        const AuthorityEntry *a = v->registry ? registry_authority(v->registry, authority) : NULL;
        KeyEntry *key = a ? catalogue_find_uuid(v->catalogue, &a->row.key) : NULL;
        Operation *op = t->op;
        size_t len;
        int r;

        if (!v->registry)
                return HF_E_STORE_LOCKED;
        if (!key)
                return HF_E_CA_NOT_INITIALISED;
        if (!uuid_is_null(&t->by) && !uuid_equal(&t->by, &key->uuid))
                return HF_E_CA_REPLACED;
        r = lifecycle_check(key, KEY_ACTION_USE);
        t->scheme = scheme_usual(key->algorithm, PURPOSE_ISSUE);
        if (!r)
                r = ca_digest(t->scheme, buffer_bytes(&t->tbs), t->digest, &len);
        if (r)
                return r;
        drop_items(op);
        op->items = calloc(1, sizeof(*op->items));
        if (!op->items)
                return -ENOMEM;
        key_entry_ref(key);
        key_entry_unref(op->key);
        op->key = key;
        op->n_items = 1;
        op->items[0].payload = BYTES(t->digest, len);
        op->failure = 0;
        op->failure_seq = 0;
        op->event = what;
        op->use = SIGNER_OP_SIGN;
        op->scheme = t->scheme;
        op->flags = SIGNER_FLAG_DIGEST;
        op->finish = then;
        return use_start(op);
}
