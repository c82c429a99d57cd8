/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The check: OpenSSL walks the path and calls back at each thing it does not like; that and our own rules become findings. */
#include "x509/check.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "x509/floor.h"
#include "x509/read.h"

#define SECURITY_LEVEL 2 /* 112 bits */

typedef struct Run {
        const CertCheck *check;
        FindingList *findings;
        uint64_t now;
        int *error; /* where the first of OpenSSL's goes */
} Run;

static void store_ctx_freep(X509_STORE_CTX **ctx)
{
        X509_STORE_CTX_free(*ctx);
}

static void stack_freep(STACK_OF(X509) **stack)
{
        sk_X509_free(*stack);
}

static void store_freep(X509_STORE **store)
{
        X509_STORE_free(*store);
}

/* What OpenSSL calls it, and how we do; detail NULL: OpenSSL's words. */
static const struct {
        int error;
        FindingKind kind;
        const char *detail;
} errors[] = {
        {X509_V_ERR_CERT_HAS_EXPIRED, FINDING_EXPIRED, ""},
        {X509_V_ERR_CERT_NOT_YET_VALID, FINDING_NOT_YET_VALID, ""},
        {X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, FINDING_MALFORMED, "its first day is not a time"},
        {X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, FINDING_MALFORMED, "its last day is not a time"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, FINDING_UNTRUSTED, "its issuer is not there"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, FINDING_UNTRUSTED, "its issuer is not there"},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, FINDING_UNTRUSTED, "its issuer is not there"},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, FINDING_UNTRUSTED, "it is signed by itself"},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, FINDING_UNTRUSTED, "it is a root that is not among the trusted ones"},
        {X509_V_ERR_CERT_UNTRUSTED, FINDING_UNTRUSTED, "it is not trusted for this"},
        {X509_V_ERR_CERT_REJECTED, FINDING_UNTRUSTED, "it is not trusted for this"},
        {X509_V_ERR_INVALID_PURPOSE, FINDING_WRONG_USAGE, NULL},
        {X509_V_ERR_CERT_CHAIN_TOO_LONG, FINDING_BAD_CHAIN, "the chain is too long"},
        {X509_V_ERR_CERT_SIGNATURE_FAILURE, FINDING_BAD_SIGNATURE, ""},
        {X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, FINDING_BAD_SIGNATURE, ""},
        {X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, FINDING_BAD_SIGNATURE, ""},
        {X509_V_ERR_EE_KEY_TOO_SMALL, FINDING_WEAK_KEY, "it is too short"},
        {X509_V_ERR_CA_KEY_TOO_SMALL, FINDING_WEAK_KEY, "it is too short"},
        {X509_V_ERR_CA_MD_TOO_WEAK, FINDING_WEAK_SIGNATURE, ""},
        {X509_V_ERR_HOSTNAME_MISMATCH, FINDING_HOST_MISMATCH, "the name that was meant"},
        {X509_V_ERR_IP_ADDRESS_MISMATCH, FINDING_HOST_MISMATCH, "the address that was meant"},
        {X509_V_ERR_EC_KEY_EXPLICIT_PARAMS, FINDING_WEAK_KEY, "EC with explicit parameters"},
        {X509_V_ERR_CERT_REVOKED, FINDING_REVOKED, ""},
        {X509_V_ERR_UNABLE_TO_GET_CRL, FINDING_NO_CRL, ""},
        {X509_V_ERR_CRL_HAS_EXPIRED, FINDING_CRL_STALE, ""},
        {X509_V_ERR_CRL_NOT_YET_VALID, FINDING_CRL_INVALID, "it is not yet valid"},
        {X509_V_ERR_CRL_SIGNATURE_FAILURE, FINDING_CRL_INVALID, "its signature is not its issuer's"},
        {X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE, FINDING_CRL_INVALID, "its signature is not its issuer's"},
        {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, FINDING_CRL_INVALID, "its issuer is not there"},
        {X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, FINDING_CRL_INVALID, "its issuer may not sign revocation lists"},
        {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, FINDING_CRL_INVALID, "it has a critical extension that is unknown"},
        {X509_V_ERR_CRL_PATH_VALIDATION_ERROR, FINDING_CRL_INVALID, "its issuer is not trusted"},
        {X509_V_ERR_DIFFERENT_CRL_SCOPE, FINDING_NO_CRL, ""},
        {X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD, FINDING_CRL_INVALID, "its date is not a time"},
        {X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD, FINDING_CRL_INVALID, "the date of the next one is not a time"},
};

static const char *digest_name(X509 *x)
{
        int digest = NID_undef;

        (void)X509_get_signature_info(x, &digest, NULL, NULL, NULL);
        return digest == NID_undef ? "an unknown one" : OBJ_nid2ln(digest);
}

static uint64_t revocation_time(const X509_STORE_CTX *ctx, X509 *x)
{
        X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);
        X509_REVOKED *revoked = NULL;

        if (!crl || X509_CRL_get0_by_cert(crl, &revoked, x) == 0)
                return 0;
        return read_time(X509_REVOKED_get0_revocationDate(revoked));
}

static uint64_t next_update(const X509_STORE_CTX *ctx)
{
        const X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);

        return crl && X509_CRL_get0_nextUpdate(crl) ? read_time(X509_CRL_get0_nextUpdate(crl)) : 0;
}

static void add(const Run *run, X509_STORE_CTX *ctx, FindingKind kind, const char *detail)
{
        X509 *x = X509_STORE_CTX_get_current_cert(ctx);
        int depth = X509_STORE_CTX_get_error_depth(ctx);
        Finding *f;

        if (kind == FINDING_WEAK_SIGNATURE && x)
                detail = digest_name(x);
        else if (kind == FINDING_WRONG_USAGE)
                detail = cert_usage_to_string(run->check->usage);
        else if (kind == FINDING_HOST_MISMATCH && run->check->host)
                detail = run->check->host;
        f = findings_add(run->findings, kind, run->check->whose, depth < 0 ? 0 : (unsigned)depth, detail);
        f->other = run->now;
        if (kind == FINDING_EXPIRED && x)
                f->time = read_time(X509_get0_notAfter(x));
        else if (kind == FINDING_NOT_YET_VALID && x)
                f->time = read_time(X509_get0_notBefore(x));
        else if (kind == FINDING_REVOKED && x)
                f->time = revocation_time(ctx, x);
        else if (kind == FINDING_CRL_STALE)
                f->time = next_update(ctx);
}

/* Takes each complaint down and lets OpenSSL go on, so that all of them are told. */
static int on_step(int ok, X509_STORE_CTX *ctx)
{
        const Run *run = X509_STORE_CTX_get_app_data(ctx);
        int error = X509_STORE_CTX_get_error(ctx);

        if (ok || !run) /* none: the path of a list's issuer, which the caller complains about */
                return ok;
        if ((error == X509_V_ERR_CRL_HAS_EXPIRED && run->check->ignore_stale_crl) ||
                        (error == X509_V_ERR_UNABLE_TO_GET_CRL && run->check->ignore_missing_crl))
                return 1;
        if (error == X509_V_ERR_OUT_OF_MEM)
                return 0;
        if (*run->error == X509_V_OK)
                *run->error = error;
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i].error == error) {
                        add(run, ctx, errors[i].kind, errors[i].detail);
                        return 1;
                }
        add(run, ctx, FINDING_BAD_CHAIN, X509_verify_cert_error_string(error));
        return 1;
}

/* The certificate of those given up to which the chain hangs together. */
static X509 *top_of(const CertChain *chain)
{
        X509 *top = cert_chain_at(chain, 0);

        for (size_t step = 1; step < cert_chain_count(chain); step++)
                for (size_t i = 1; i < cert_chain_count(chain); i++)
                        if (cert_chain_at(chain, i) != top && X509_check_issued(cert_chain_at(chain, i), top) == X509_V_OK) {
                                top = cert_chain_at(chain, i);
                                break;
                        }
        return top;
}

/* Without anchors the top of what was given stands for one. */
static X509_STORE *own_store(const Run *run)
{
        const CertChain *chain = run->check->chain;
        X509 *top = top_of(chain);
        X509_STORE *store = X509_STORE_new();

        if (top == cert_chain_at(chain, 0) && cert_chain_count(chain) > 1)
                findings_add(run->findings, FINDING_UNTRUSTED, run->check->whose, 0,
                                "none of the certificates beside it is its issuer's");
        if (store && X509_STORE_add_cert(store, top) != 1) {
                X509_STORE_free(store);
                return NULL;
        }
        return store;
}

static STACK_OF(X509) *others_of(const CertChain *chain)
{
        STACK_OF(X509) *others = sk_X509_new_null();

        for (size_t i = 1; others && i < cert_chain_count(chain); i++)
                if (sk_X509_push(others, cert_chain_at(chain, i)) <= 0) {
                        sk_X509_free(others);
                        return NULL;
                }
        return others;
}

static unsigned long flags_of(const CertCheck *check)
{
        unsigned long flags = 0;

        if (check->strict)
                flags |= X509_V_FLAG_X509_STRICT;
        if (check->crls)
                flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        return flags;
}

/* What each usage wants: an extended key usage (none at all permits every one), whether it must be there, what must not. */
static const struct {
        const char *word;
        uint32_t wanted, unwanted;
        bool explicitly;
} usages[_CERT_USAGE_MAX] = {
        [CERT_USAGE_ANY] = {"any", 0, 0, false},
        [CERT_USAGE_CLIENT] = {"client", XKU_SSL_CLIENT, 0, false},
        [CERT_USAGE_CLIENT_ONLY] = {"client-only", XKU_SSL_CLIENT, XKU_SSL_SERVER, true},
        [CERT_USAGE_SERVER] = {"server", XKU_SSL_SERVER, 0, false},
        [CERT_USAGE_CLIENT_SERVER] = {"client-server", XKU_SSL_CLIENT | XKU_SSL_SERVER, 0, false},
        [CERT_USAGE_CODE_SIGNING] = {"code-signing", XKU_CODE_SIGN, 0, true},
        [CERT_USAGE_OCSP_SIGNING] = {"ocsp", XKU_OCSP_SIGN, 0, true},
};

const char *cert_usage_to_string(CertUsage usage)
{
        return usage < _CERT_USAGE_MAX ? usages[usage].word : NULL;
}

bool cert_usage_from_string(const char *text, CertUsage *ret)
{
        for (CertUsage u = 0; u < _CERT_USAGE_MAX; u++)
                if (strcmp(text, usages[u].word) == 0) {
                        *ret = u;
                        return true;
                }
        return false;
}

/* All bits are set where the extension is not there. anyExtendedKeyUsage names none (RFC 5280 section 4.2.1.12
 * leaves that to us), as OpenSSL has it. */
static bool permits(X509 *x, uint32_t wanted)
{
        return (X509_get_extended_key_usage(x) & wanted) == wanted;
}

static bool leaf_permits(X509 *leaf, CertUsage usage)
{
        /* Key agreement alone is a TLS client's or server's with static Diffie-Hellman, which is not spoken any more, but is not
         * a mistake of the certificate. */
        uint32_t key_usages = usages[usage].explicitly && usage != CERT_USAGE_CLIENT_ONLY
                                              ? KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION
                                              : KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT;

        if (usages[usage].explicitly && !(X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) && !usages[usage].unwanted)
                return false;
        return permits(leaf, usages[usage].wanted) && (X509_get_key_usage(leaf) & key_usages);
}

static void check_usage(const Run *run, STACK_OF(X509) *path)
{
        CertUsage usage = run->check->usage;
        X509 *leaf = cert_chain_at(run->check->chain, 0);
        const char *word = usages[usage].word;

        if (usage == CERT_USAGE_ANY)
                return;
        if (!leaf_permits(leaf, usage))
                findings_add(run->findings, FINDING_WRONG_USAGE, run->check->whose, 0, word);
        else if (X509_get_extended_key_usage(leaf) & usages[usage].unwanted)
                findings_add(run->findings, FINDING_TOO_BROAD, run->check->whose, 0, word);
        for (int i = 1; i < sk_X509_num(path); i++)
                if (!permits(sk_X509_value(path, i), usages[usage].wanted))
                        findings_add(run->findings, FINDING_WRONG_USAGE, run->check->whose, (unsigned)i, word);
}

static int walk(const Run *run, X509_STORE_CTX *ctx)
{
        const CertCheck *check = run->check;
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        size_t before = run->findings->n;
        int verified;

        X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
        X509_VERIFY_PARAM_set_time(param, (time_t)(run->now / USEC_PER_SEC));
        (void)X509_VERIFY_PARAM_set_flags(param, flags_of(check));
        X509_STORE_CTX_set_app_data(ctx, (void *)run);
        X509_STORE_CTX_set_verify_cb(ctx, on_step);
        if (check->crls)
                X509_STORE_CTX_set0_crls(ctx, cert_crls_stack(check->crls));
        verified = X509_verify_cert(ctx);
        X509_STORE_CTX_set_app_data(ctx, NULL);
        if (verified != 1 && X509_STORE_CTX_get_error(ctx) == X509_V_ERR_OUT_OF_MEM)
                return -ENOMEM;
        if (verified != 1 && run->findings->n == before)
                findings_add(run->findings, FINDING_BAD_CHAIN, check->whose, 0,
                                X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        check_usage(run, X509_STORE_CTX_get0_chain(ctx));
        return 0;
}

static int check_path(const Run *run)
{
        const CertCheck *check = run->check;
        _cleanup_(store_ctx_freep) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        _cleanup_(stack_freep) STACK_OF(X509) *others = others_of(check->chain);
        _cleanup_(store_freep) X509_STORE *own = check->anchors ? NULL : own_store(run);
        X509_STORE *store = check->anchors ? cert_anchors_store(check->anchors) : own;

        if (!ctx || !others || !store || X509_STORE_CTX_init(ctx, store, cert_chain_at(check->chain, 0), others) != 1)
                return -ENOMEM;
        if (!check->anchors)
                (void)X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
        return walk(run, ctx);
}

/* Before a signature is verified with one of the keys: a hostile one may make that slow. */
static bool check_keys(const Run *run)
{
        char detail[FINDING_DETAIL_SIZE];
        bool fine = true;

        for (size_t i = 0; i < cert_chain_count(run->check->chain); i++)
                if (!floor_accepts(X509_get0_pubkey(cert_chain_at(run->check->chain, i)), detail)) {
                        findings_add(run->findings, FINDING_WEAK_KEY, run->check->whose, (unsigned)i, detail);
                        fine = false;
                }
        return fine;
}

static void check_host(const Run *run)
{
        const char *host = run->check->host;
        X509 *leaf = cert_chain_at(run->check->chain, 0);
        unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

        if (!host || X509_check_host(leaf, host, 0, flags, NULL) == 1 || X509_check_ip_asc(leaf, host, 0) == 1)
                return;
        findings_add(run->findings, FINDING_HOST_MISMATCH, run->check->whose, 0, host);
}

static void check_pins(const Run *run)
{
        const CertPins *pins = run->check->pins;
        Bytes key = cert_chain_public_key(run->check->chain);
        uint8_t hash[EVP_MAX_MD_SIZE];

        if (!pins || pins->n == 0)
                return;
        if (EVP_Digest(key.data, key.len, hash, NULL, EVP_sha256(), NULL) == 1)
                for (size_t i = 0; i < pins->n; i++)
                        if (memcmp(hash, pins->hashes[i], sizeof(pins->hashes[i])) == 0)
                                return;
        findings_add(run->findings, FINDING_PIN_MISMATCH, run->check->whose, 0, NULL);
}

/* ctx NULL: one of our own. */
static int run_check(const Run *run, X509_STORE_CTX *ctx)
{
        const CertCheck *check = run->check;
        int r = 0;

        ERR_set_mark();
        if (check->public_key.len > 0 && !bytes_equal(check->public_key, cert_chain_public_key(check->chain)))
                findings_add(run->findings, FINDING_KEY_MISMATCH, check->whose, 0, NULL);
        if (check_keys(run))
                r = ctx ? walk(run, ctx) : check_path(run);
        check_host(run);
        check_pins(run);
        ERR_pop_to_mark();
        return r;
}

int cert_check(const CertCheck *check, FindingList *findings)
{
        int error = X509_V_OK;
        const Run run = {.check = check, .findings = findings, .now = check->time ? check->time : clock_wall(), .error = &error};

        return run_check(&run, NULL);
}

int cert_check_peer(const CertCheck *check, X509_STORE_CTX *ctx, FindingList *findings)
{
        int error = X509_V_OK, r;
        const Run run = {.check = check, .findings = findings, .now = check->time ? check->time : clock_wall(), .error = &error};
        size_t before = findings->n;

        if (check->anchors)
                X509_STORE_CTX_set0_trusted_stack(ctx, cert_anchors_stack(check->anchors));
        r = run_check(&run, ctx);
        if (error == X509_V_OK && findings->n > before)
                error = findings_find(findings, FINDING_HOST_MISMATCH) ? X509_V_ERR_HOSTNAME_MISMATCH : X509_V_ERR_CERT_REJECTED;
        X509_STORE_CTX_set_error(ctx, r ? X509_V_ERR_OUT_OF_MEM : error);
        return r;
}
