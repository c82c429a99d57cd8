/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An intermediate whose root is elsewhere
 *
 * Its key is made here and waits (`ca.wait`); a signing request goes out, as often as it is wanted; a certificate comes in with
 * those above it, and is taken when it holds to the letter up to its root. From then on it is a CA as any other.
 */
#include <string.h>

#include "base/clock.h"
#include "ca/own-request.h"
#include "crypto/csr.h"
#include "crypto/digest.h"
#include "daemon/bus.h"
#include "daemon/ca.h"
#include "x509/check.h"
#include "x509/order.h"

static const OptionSpec no_options[] = {{0}};

bool ca_is_outside(const AuthorityEntry *a)
{
        return a->row.kind == CA_INTERMEDIATE && !a->row.parent[0];
}

/* The methods are of intermediates whose root is elsewhere; all others have their certificate from here. */
static int find_outside(const Operation *op, AuthorityEntry **ret)
{
        AuthorityEntry *a = registry_authority(op->daemon->vault.registry, op->key_text);

        if (!a)
                return HF_E_CA_NOT_INITIALISED;
        if (!ca_is_outside(a))
                return HF_E_CA_EXISTS;
        *ret = a;
        return 0;
}

/* ---- out: the request ---- */

typedef struct RequestOptions {
        char **set, **dns, **ip, **uri, **email;
} RequestOptions;

static const OptionSpec request_options[] = {
                {"set", OPTION_STRINGS, offsetof(RequestOptions, set)},
                {"dns", OPTION_STRINGS, offsetof(RequestOptions, dns)},
                {"ip", OPTION_STRINGS, offsetof(RequestOptions, ip)},
                {"uri", OPTION_STRINGS, offsetof(RequestOptions, uri)},
                {"email", OPTION_STRINGS, offsetof(RequestOptions, email)},
                {0},
};

static void request_options_deinit(RequestOptions *o)
{
        options_strings_free(&o->set);
        options_strings_free(&o->dns);
        options_strings_free(&o->ip);
        options_strings_free(&o->uri);
        options_strings_free(&o->email);
}

static int on_request_signed(Operation *op, sd_bus_message *reply)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(2 * CSR_MAX);
        CaTask *t = op->data;
        int r = csr_finish(buffer_bytes(&t->tbs), t->scheme, BYTES(op->items[0].result, op->items[0].result_len), &der);

        return r ? -EIO : sd_bus_message_append_array(reply, 'y', der.data, der.len);
}

static int prepare_request(CaTask *t, const AuthorityEntry *a, const RequestOptions *o, CaProblem *problem)
{
        _cleanup_(ca_issuer_freep) CaIssuer *before = NULL;
        CaProfile profile;
        const CaCertificateParams p = {.profile = &profile, .spki = key_entry_public(t->op->key),
                        .set = (const char *const *)o->set,
                        .names = {[CA_NAME_DNS] = (const char *const *)o->dns, [CA_NAME_IP] = (const char *const *)o->ip,
                                        [CA_NAME_URI] = (const char *const *)o->uri,
                                        [CA_NAME_EMAIL] = (const char *const *)o->email}};
        const AuthorityEntry *of = a->row.certificate.len ? a : registry_authority(t->op->daemon->vault.registry, a->row.follows);
        int r = ca_profile_load(t->op->daemon, "intermediate", problem, &profile);

        if (!r && of)
                r = ca_authority_issuer(of, &before);
        return r ? r : ca_own_request_prepare(&p, before, problem, &t->tbs);
}

int ca_handle_csr(Operation *op)
{
        __attribute__((cleanup(request_options_deinit))) RequestOptions o = {0};
        CaProblem problem = {};
        AuthorityEntry *a;
        CaTask *t;
        int r = read_options(op, request_options, &o);

        if (!r)
                r = find_outside(op, &a);
        if (!r)
                r = ca_task_new(op, op->key_text, &t);
        if (r)
                return r;
        t->by = op->key->uuid;
        r = prepare_request(t, a, &o, &problem);
        if (!r)
                r = ca_sign(t, op->key_text, "ca.csr", on_request_signed);
        if (!r || !problem.text[0])
                return r;
        operation_fail_because(op, r, "No request: %s. Nothing was signed.", problem.text);
        return OPERATION_ANSWERED;
}

/* ---- in: the certificate ---- */

typedef struct Given {
        CertChain *chain;
        size_t order[CERT_CHAIN_MAX];
        Buffer root; /* PEM */
        FindingList findings;
        CaProblem problem;
        uint64_t not_after;
        bool reaches_root;
        int below; /* CAs in the path so far that count for a path length: those not issued by themselves */
} Given;

static void given_deinit(Given *g)
{
        cert_chain_unref(g->chain);
        buffer_deinit(&g->root);
}

static int check_own(const AuthorityEntry *a, const CaIssuer *own, CaProblem *problem)
{
        _cleanup_(ca_issuer_freep) CaIssuer *before = NULL;
        int r;

        if (own->subject.len <= 2) /* an empty SEQUENCE */
                return ca_refuse(problem, "the certificate has no subject");
        if (!own->signs_lists)
                return ca_refuse(problem, "the certificate may not sign revocation lists (cRLSign)");
        if (!a->row.certificate.len)
                return 0;
        r = ca_authority_issuer(a, &before);
        if (!r && (!bytes_equal(buffer_bytes(&before->subject), buffer_bytes(&own->subject)) ||
                                  !bytes_equal(buffer_bytes(&before->key_id), buffer_bytes(&own->key_id))))
                r = ca_refuse(problem, "its subject or key identifier is not that of the certificate before: what the CA issued "
                                       "would lose its issuer");
        return r;
}

/* Number `at` of the path, the CA's own being 0. */
static int take_one(Given *g, const AuthorityEntry *a, size_t at, Buffer *ret)
{
        _cleanup_(ca_issuer_freep) CaIssuer *one = NULL;
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        int r = cert_chain_write_der(g->chain, g->order[at], &der);

        if (r == -EMSGSIZE || (!r && der.len < 256))
                return ca_refuse(&g->problem, "certificate %zu has an unusual size", at + 1);
        if (!r)
                r = ca_issuer_read(buffer_bytes(&der), &g->problem, &one);
        if (r)
                return r;
        if (g->reaches_root)
                return ca_refuse(&g->problem, "certificate %zu does not belong to the chain", at + 1);
        if (one->path_length >= 0 && one->path_length < g->below)
                return ca_refuse(&g->problem, "the path length of certificate %zu does not allow so many CAs below it", at + 1);
        if (at == 0) {
                r = check_own(a, one, &g->problem);
                g->not_after = one->not_after;
        }
        g->below += !one->self_signed;
        g->reaches_root = one->self_signed;
        if (!r && at > 0 && g->reaches_root)
                r = cert_chain_write(g->chain, g->order[at], &g->root);
        return r ? r : buffer_append(ret, der.data, der.len);
}

static int take_path(Given *g, const AuthorityEntry *a, CaTask *t)
{
        size_t n = cert_chain_count(g->chain);
        int r = 0;

        cert_chain_order(g->chain, g->order);
        for (size_t i = 0; !r && i < n; i++)
                r = take_one(g, a, i, i ? &t->tbs : &t->der);
        if (!r && (!g->reaches_root || n < 2))
                r = ca_refuse(&g->problem, "the chain does not reach its root: give the certificates of all CAs above, with the "
                                           "root");
        if (!r && t->tbs.len > STORE_CHAIN_MAX)
                r = ca_refuse(&g->problem, "the chain is too long");
        return r;
}

/* Key, validity, signatures and all that RFC 5280 has, as verify would find it. */
static int check_path(Given *g, Bytes spki)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *root = NULL;
        int r = cert_anchors_parse(buffer_bytes(&g->root), &g->findings, &root);
        const CertCheck check = {.chain = g->chain, .whose = FINDING_OF_FILE, .anchors = root, .public_key = spki,
                        .strict = true};

        if (!r)
                r = cert_check(&check, &g->findings);
        return r ? r : g->findings.n ? HF_E_CERTIFICATE_UNUSABLE : 0;
}

static int refuse(Operation *op, const Given *g, int r)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];
        const Finding *f = &g->findings.items[0];

        if (g->problem.text[0])
                operation_fail_because(op, HF_E_CERTIFICATE_UNUSABLE, "Not taken: %s. Nothing was changed.", g->problem.text);
        else if (g->findings.n)
                operation_fail_because(op, HF_E_CERTIFICATE_UNUSABLE, "%s (%s) %s Nothing was changed.",
                                finding_sentence(f, sentence), finding_word(f->kind), finding_remedy(f, remedy));
        else
                return r;
        return OPERATION_ANSWERED;
}

static int write_import(Change *c, AuditLine *line)
{
        CaTask *t = c->userdata;
        Vault *v = &c->daemon->vault;
        const AuthorityEntry *a = registry_authority(v->registry, t->authority);
        uint8_t fingerprint[32];
        StoreAuthorityRow row;

        if (!a)
                return HF_E_CA_NOT_INITIALISED;
        if (!uuid_equal(&a->row.key, &t->op->key->uuid))
                return HF_E_CA_REPLACED;
        row = a->row;
        row.certificate = buffer_bytes(&t->der);
        row.chain = buffer_bytes(&t->tbs);
        row.awake = STORE_AWAKE_ALWAYS;
        digest_sha256(row.certificate, fingerprint);
        audit_line_uuid(line, "key", &row.key);
        audit_line_str(line, "name", row.name);
        audit_line_hex(line, "fingerprint", fingerprint, sizeof(fingerprint));
        audit_line_u64(line, "not-after", t->row.expires);
        operation_audit_caller(t->op, line);
        return registry_put_authority(v->store, v->registry, &row, &t->registry);
}

static void apply_import(Change *c)
{
        CaTask *t = c->userdata;

        registry_apply(c->daemon->vault.registry, &t->registry);
}

/* It has a revocation list from the minute it may sign one. */
static void on_imported(Change *c, int result)
{
        CaTask *t = c->userdata;

        registry_change_deinit(&t->registry);
        if (result)
                operation_fail(t->op, result);
        else
                ca_crl_begin(t, "ca.crl");
}

int ca_handle_import(Operation *op)
{
        __attribute__((cleanup(given_deinit))) Given g = {.root = BUFFER_INIT(CERT_FILE_MAX)};
        AuthorityEntry *a;
        const void *pem;
        size_t len;
        CaTask *t;
        int r = sd_bus_message_read_array(op->call, 'y', &pem, &len) < 0 ? HF_E_INVALID_ARGS : read_options(op, no_options, NULL);

        if (!r)
                r = find_outside(op, &a);
        if (!r)
                r = ca_task_new(op, op->key_text, &t);
        if (r)
                return r;
        r = cert_chain_parse(BYTES(pem, len), FINDING_OF_FILE, &g.findings, &g.chain);
        if (!r)
                r = take_path(&g, a, t);
        if (!r)
                r = check_path(&g, key_entry_public(op->key));
        if (r)
                return refuse(op, &g, r);
        strcpy(t->child, t->authority);
        t->reply = ca_reply_child;
        t->row.expires = g.not_after;
        t->change = (Change){.event = "ca.import", .write = write_import, .apply = apply_import, .finish = on_imported,
                        .userdata = t, .seal = true};
        change_submit(op->daemon, &t->change);
        return 0;
}
