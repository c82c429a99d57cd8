/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handshake: one try as the identity, and what its end means. */
#include "x509/handshake.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "x509/dial.h"
#include "x509/http.h"

/* One connection and what was seen on it. */
typedef struct Try {
        const HandshakeParams *params;
        FindingList *findings;
        Handshake *result;
        uint64_t deadline;
        SSL_CTX *ctx;
        SSL *ssl;
        int fd;
        int alert;        /* the peer's fatal one; -1: none */
        bool got_hello;   /* the peer has answered */
        bool wants_other; /* it asked for our certificate, and takes no signature that our key makes */
        bool welcome;     /* a session ticket: it has seen all of ours */
        int machine;      /* -errno of our own */
        uint64_t date;    /* the peer's, by HTTP */
} Try;

static void try_end(Try *t)
{
        SSL_free(t->ssl);
        SSL_CTX_free(t->ctx);
        safe_close(t->fd);
}

static Try *try_of(const SSL *ssl)
{
        return SSL_get_ex_data(ssl, 0);
}

static void on_info(const SSL *ssl, int where, int value)
{
        Try *t = try_of(ssl);

        if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
                t->alert = value & 0xff;
        else if (where & SSL_CB_LOOP && SSL_get_state(ssl) == TLS_ST_CR_SRVR_HELLO)
                t->got_hello = true;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
        (void)session;
        try_of(ssl)->welcome = true;
        return 0;
}

static int check_peer(const Try *t, X509_STORE_CTX *store)
{
        const HandshakeParams *p = t->params;
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        int r;

        r = cert_chain_take(X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get0_untrusted(store), FINDING_OF_PEER, t->findings,
                        &chain);
        if (r)
                return r;
        cert_chain_fingerprint(chain, t->result->fingerprint);
        t->result->not_after = cert_chain_not_after(chain);
        return cert_check_peer(&(CertCheck){.chain = chain, .whose = FINDING_OF_PEER, .anchors = p->anchors,
                                               .crls = p->identity ? p->identity->crls : NULL,
                                               .pins = p->identity ? &p->identity->pins : NULL,
                                               .usage = CERT_USAGE_SERVER, .host = p->host},
                        store, t->findings);
}

static int on_verify(X509_STORE_CTX *store, void *userdata)
{
        Try *t = userdata;
        int r = check_peer(t, store);

        if (r < 0)
                t->machine = r;
        return t->findings->n == 0 && r == 0;
}

static int anybody(X509_STORE_CTX *store, void *userdata)
{
        (void)store;
        (void)userdata;
        return 1;
}

static bool signs_like(const EVP_PKEY *pkey, int signature)
{
        return signature == EVP_PKEY_get_base_id(pkey) || (signature == EVP_PKEY_RSA_PSS && EVP_PKEY_is_a(pkey, "RSA")) ||
               (signature == EVP_PKEY_RSA && EVP_PKEY_is_a(pkey, "RSA")) ||
               (signature == EVP_PKEY_EC && EVP_PKEY_is_a(pkey, "EC")) ||
               (signature == EVP_PKEY_ED25519 && EVP_PKEY_is_a(pkey, "ED25519"));
}

static HandshakeAsks whom_it_asks(const SSL *ssl, const CertChain *chain)
{
        const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ssl);

        if (sk_X509_NAME_num(names) <= 0)
                return HANDSHAKE_ASKS_ANYBODY;
        for (size_t i = 0; chain && i < cert_chain_count(chain); i++)
                for (int k = 0; k < sk_X509_NAME_num(names); k++)
                        if (X509_NAME_cmp(X509_get_issuer_name(cert_chain_at(chain, i)), sk_X509_NAME_value(names, k)) == 0)
                                return HANDSHAKE_ASKS_OURS;
        return HANDSHAKE_ASKS_OTHERS;
}

/* The peer asks for our certificate and says whose it takes, and which signatures. */
static int on_certificate_request(SSL *ssl, void *userdata)
{
        Try *t = userdata;
        int n = SSL_get_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

        t->result->asks = whom_it_asks(ssl, t->params->chain);
        t->wants_other = t->params->identity && n > 0;
        for (int i = 0; i < n && t->wants_other; i++) {
                int signature = NID_undef;

                (void)SSL_get_sigalgs(ssl, i, &signature, NULL, NULL, NULL, NULL);
                t->wants_other = !signs_like(t->params->key->pkey, signature);
        }
        return 1;
}

static int use_identity(Try *t)
{
        const CertChain *chain = t->params->identity->chain;

        if (SSL_CTX_use_certificate(t->ctx, cert_chain_at(chain, 0)) != 1)
                return -ENOMEM;
        for (size_t i = 1; i < cert_chain_count(chain); i++)
                if (SSL_CTX_add1_chain_cert(t->ctx, cert_chain_at(chain, i)) != 1)
                        return -ENOMEM;
        if (SSL_CTX_use_PrivateKey(t->ctx, t->params->key->pkey) != 1)
                findings_add(t->findings, FINDING_KEY_MISMATCH, FINDING_OF_OURS, 0, NULL);
        return 0;
}

static int make_context(Try *t, bool as_ourselves)
{
        const CertKey *key = t->params->key;

        t->ctx = SSL_CTX_new_ex(key ? key->context : NULL, key ? CERT_KEY_PROPERTIES : NULL, TLS_client_method());
        if (!t->ctx || SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1)
                return -ENOMEM;
        SSL_CTX_set_security_level(t->ctx, as_ourselves ? 2 : 0);
        SSL_CTX_set_info_callback(t->ctx, on_info);
        SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(t->ctx, on_session);
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(t->ctx, as_ourselves ? on_verify : anybody, t);
        if (as_ourselves)
                SSL_CTX_set_cert_cb(t->ctx, on_certificate_request, t);
        return as_ourselves && t->params->identity ? use_identity(t) : 0;
}

static int make_ssl(Try *t, bool with_alpn)
{
        static const uint8_t http[] = "\x08http/1.1";
        const char *host = t->params->host;

        t->ssl = SSL_new(t->ctx);
        if (!t->ssl || SSL_set_fd(t->ssl, t->fd) != 1 || SSL_set_ex_data(t->ssl, 0, t) != 1)
                return -ENOMEM;
        if (strspn(host, "0123456789.") != strlen(host) && !strchr(host, ':') && SSL_set_tlsext_host_name(t->ssl, host) != 1)
                return -ENOMEM;
        if (with_alpn && SSL_set_alpn_protos(t->ssl, http, sizeof(http) - 1) != 0)
                return -ENOMEM;
        return 0;
}

/* Makes what OpenSSL wants happen. 0: try again; -ETIMEDOUT, -errno; 1: it wants nothing, it is over. */
static int serve(Try *t, int result)
{
        switch (SSL_get_error(t->ssl, result)) {
        case SSL_ERROR_WANT_READ:
                return dial_wait(t->fd, POLLIN, t->deadline);
        case SSL_ERROR_WANT_WRITE:
                return dial_wait(t->fd, POLLOUT, t->deadline);
        default:
                return 1;
        }
}

static int shake(Try *t)
{
        int r, done;

        do {
                ERR_clear_error();
                done = SSL_connect(t->ssl);
                r = done == 1 ? 0 : serve(t, done);
        } while (done != 1 && r == 0);
        return r;
}

/*
 * With TLS 1.3 we are done before the peer has seen our certificate. A peer that speaks HTTP is asked for a page, another
 * is told that we end: what it answers tells what it thinks of us.
 */
static int hear_answer(Try *t, Buffer *ret)
{
        const uint8_t *protocol = NULL;
        char request[HANDSHAKE_HOST_SIZE + 64], piece[1024];
        unsigned len = 0;
        int r = 0, n;

        SSL_get0_alpn_selected(t->ssl, &protocol, &len);
        if (len > 0)
                n = SSL_write(t->ssl, request, snprintf(request, sizeof(request), HTTP_REQUEST, t->params->host));
        else
                n = SSL_shutdown(t->ssl);
        if (n < 0)
                return 1;
        while (r == 0 && !(len == 0 && t->welcome)) {
                ERR_clear_error();
                n = SSL_read(t->ssl, piece, sizeof(piece));
                if (n > 0 && buffer_append(ret, piece, (size_t)n) < 0)
                        return 0;
                r = n > 0 ? 0 : serve(t, n);
        }
        return r;
}

/* What our own side did not like. */
static const struct {
        int reason;
        FindingKind kind;
} reasons[] = {
        {SSL_R_UNSUPPORTED_PROTOCOL, FINDING_NO_COMMON_VERSION},
        {SSL_R_WRONG_SSL_VERSION, FINDING_NO_COMMON_VERSION},
        {SSL_R_VERSION_TOO_LOW, FINDING_NO_COMMON_VERSION},
        {SSL_R_WRONG_VERSION_NUMBER, FINDING_NOT_TLS},
        {SSL_R_HTTP_REQUEST, FINDING_NOT_TLS},
        {SSL_R_PACKET_LENGTH_TOO_LONG, FINDING_NOT_TLS},
        {SSL_R_NO_CIPHERS_AVAILABLE, FINDING_NO_COMMON_CIPHER},
        {SSL_R_WRONG_CIPHER_RETURNED, FINDING_NO_COMMON_CIPHER},
        {SSL_R_UNKNOWN_CIPHER_RETURNED, FINDING_NO_COMMON_CIPHER},
        {SSL_R_DH_KEY_TOO_SMALL, FINDING_NO_COMMON_CIPHER},
        {SSL_R_WRONG_SIGNATURE_TYPE, FINDING_NO_COMMON_SIGNATURE},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, FINDING_NO_COMMON_SIGNATURE},
        {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, FINDING_NO_COMMON_SIGNATURE},
        {SSL_R_EE_KEY_TOO_SMALL, FINDING_WEAK_KEY},
        {SSL_R_CA_KEY_TOO_SMALL, FINDING_WEAK_KEY},
        {SSL_R_CA_MD_TOO_WEAK, FINDING_WEAK_SIGNATURE},
};

static void explain_own(Try *t)
{
        unsigned long e = ERR_peek_last_error();

        if (ERR_GET_LIB(e) == ERR_LIB_SSL)
                for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                        if (reasons[i].reason == ERR_GET_REASON(e)) {
                                findings_add(t->findings, reasons[i].kind, FINDING_OF_PEER, 0, ERR_reason_error_string(e));
                                return;
                        }
        findings_add(t->findings, FINDING_NOT_TLS, FINDING_OF_PEER, 0,
                        e && ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "it ended the connection");
}

static void explain_alert(Try *t)
{
        char detail[FINDING_DETAIL_SIZE];

        snprintf(detail, sizeof(detail), "%s (%d)", SSL_alert_desc_string_long(t->alert), t->alert);
        if (t->wants_other && !t->welcome)
                findings_add(t->findings, FINDING_NO_COMMON_SIGNATURE, FINDING_OF_OURS, 0, detail);
        else if (t->alert == SSL_AD_PROTOCOL_VERSION)
                findings_add(t->findings, FINDING_NO_COMMON_VERSION, FINDING_OF_PEER, 0, detail);
        else if (t->alert == SSL_AD_INSUFFICIENT_SECURITY || (t->alert == SSL_AD_HANDSHAKE_FAILURE && !t->got_hello))
                findings_add(t->findings, FINDING_NO_COMMON_CIPHER, FINDING_OF_PEER, 0, detail);
        else
                findings_add(t->findings, FINDING_REFUSED, FINDING_OF_PEER, 0, detail);
}

/* r as serve() gave it. */
static int explain(Try *t, int r)
{
        size_t before = t->findings->n;

        if (t->machine || r == -ENOMEM)
                return t->machine ? t->machine : r;
        if (before > 0 || r == 0)
                return 0; /* the peer's certificate is what was wrong */
        if (r == -ETIMEDOUT) {
                findings_add(t->findings, FINDING_TIMED_OUT, FINDING_OF_PEER, 0, NULL);
                return 0;
        }
        if (t->alert >= 0) {
                explain_alert(t);
                return 0;
        }
        if (ERR_peek_error() == 0 || r < 0) {
                findings_add(t->findings, FINDING_UNREACHABLE, FINDING_OF_PEER, 0,
                                r < 0 ? strerror(-r) : "it ended the connection");
                return 0;
        }
        explain_own(t);
        cert_key_findings(t->findings);
        if (t->findings->n > before + 1) /* the key's own words say more */
                t->findings->items[before] = t->findings->items[--t->findings->n];
        return 0;
}

static int connect_peer(Try *t)
{
        const char *why = NULL;
        int r = dial(t->params->host, t->params->port, t->deadline, &why, &t->fd);

        if (r == 0)
                return 0;
        findings_add(t->findings, r == -ETIMEDOUT ? FINDING_TIMED_OUT : FINDING_UNREACHABLE, FINDING_OF_PEER, 0,
                        r > 0 ? why : strerror(-r));
        return 1;
}

static void note_session(Try *t)
{
        snprintf(t->result->version, sizeof(t->result->version), "%s", SSL_get_version(t->ssl));
        snprintf(t->result->cipher, sizeof(t->result->cipher), "%s", SSL_get_cipher_name(t->ssl));
}

/* The whole conversation as ourselves. */
static int converse(Try *t)
{
        _cleanup_buffer_ Buffer answer = BUFFER_INIT(HTTP_ANSWER_MAX);
        char detail[FINDING_DETAIL_SIZE];
        int r = shake(t);

        if (r)
                return explain(t, r);
        note_session(t);
        r = hear_answer(t, &answer);
        t->date = http_date(buffer_bytes(&answer));
        if (t->alert >= 0)
                return explain(t, r);
        if (http_refusal(buffer_bytes(&answer), detail))
                findings_add(t->findings, FINDING_REFUSED, FINDING_OF_PEER, 0, detail);
        return 0;
}

static int run_try(Try *t, bool as_ourselves, bool with_alpn)
{
        int r = connect_peer(t);

        if (r)
                return r < 0 ? r : 0;
        r = make_context(t, as_ourselves);
        if (r == 0)
                r = make_ssl(t, with_alpn);
        return r || t->findings->n > 0 ? r : converse(t);
}

/* The time of the peer, asked for as nobody. 0: it does not say. */
static uint64_t ask_date(const HandshakeParams *params, uint64_t deadline)
{
        FindingList unseen = {.n = 0};
        Handshake nothing;
        __attribute__((cleanup(try_end))) Try t = {.params = params, .findings = &unseen, .result = &nothing,
                        .deadline = deadline, .fd = -EBADF, .alert = -1};

        (void)run_try(&t, false, true);
        return t.date;
}

/* Would the peer talk with signature algorithms that are not accepted here? Then these are what is missing. */
static bool talks_with_weak_signatures(const Try *first)
{
        FindingList unseen = {.n = 0};
        Handshake nothing;
        __attribute__((cleanup(try_end))) Try t = {.params = first->params, .findings = &unseen, .result = &nothing,
                        .deadline = first->deadline, .fd = -EBADF, .alert = -1};

        if (connect_peer(&t) || make_context(&t, false))
                return false;
        return SSL_CTX_set1_sigalgs_list(t.ctx, "RSA+SHA1:ECDSA+SHA1:DSA+SHA1:DSA+SHA256:RSA+SHA224:ECDSA+SHA224") == 1 &&
               make_ssl(&t, false) == 0 && (shake(&t) == 0 || t.got_hello);
}

static bool is_about_time(const FindingList *findings)
{
        return findings_find(findings, FINDING_EXPIRED) || findings_find(findings, FINDING_NOT_YET_VALID);
}

static void append(FindingList *to, const FindingList *from)
{
        for (size_t i = 0; i < from->n && to->n < FINDINGS_MAX; i++)
                to->items[to->n++] = from->items[i];
}

static void look_at_clocks(const HandshakeParams *params, uint64_t deadline, FindingList *findings)
{
        uint64_t theirs = ask_date(params, deadline), ours = clock_wall();
        FindingList before = *findings;
        Finding *skew;

        if (theirs == 0 || (theirs > ours ? theirs - ours : ours - theirs) <= HANDSHAKE_SKEW_MAX)
                return;
        findings->n = 0;
        skew = findings_add(findings, FINDING_CLOCK_SKEW, FINDING_OF_PEER, 0, NULL);
        skew->time = theirs;
        skew->other = ours;
        append(findings, &before);
}

void handshake_look_at_clocks(const HandshakeParams *params, FindingList *findings)
{
        if (is_about_time(findings))
                look_at_clocks(params, clock_monotonic() + params->timeout, findings);
        ERR_clear_error();
}

static int try_as_ourselves(Try *t, bool with_alpn)
{
        int r = run_try(t, true, with_alpn);

        if (r || t->findings->n == 0)
                return r;
        if (is_about_time(t->findings) || t->alert == SSL_AD_CERTIFICATE_EXPIRED)
                look_at_clocks(t->params, t->deadline, t->findings);
        if (t->findings->items[0].kind == FINDING_NO_COMMON_CIPHER && talks_with_weak_signatures(t)) {
                t->findings->n = 0;
                findings_add(t->findings, FINDING_NO_COMMON_SIGNATURE, FINDING_OF_PEER, 0, NULL);
        }
        return 0;
}

int handshake_run(const HandshakeParams *params, FindingList *findings, Handshake *ret)
{
        uint64_t deadline = clock_monotonic() + params->timeout;
        Handshake result = {.version = ""};
        int r = 0;

        /* a peer that knows other protocols than HTTP only is asked again without a word about them */
        for (int round = 0; round < 2; round++) {
                FindingList found = {.n = 0};
                __attribute__((cleanup(try_end))) Try t = {.params = params, .findings = &found, .result = &result,
                                .deadline = deadline, .fd = -EBADF, .alert = -1};

                r = try_as_ourselves(&t, round == 0);
                if (r == 0 && round == 0 && t.alert == SSL_AD_NO_APPLICATION_PROTOCOL)
                        continue;
                append(findings, &found);
                break;
        }
        ERR_clear_error();
        if (r == 0)
                *ret = result;
        return r;
}

int handshake_address(const char *text, char ret_host[static HANDSHAKE_HOST_SIZE], char ret_port[static HANDSHAKE_PORT_SIZE])
{
        bool bracket = text[0] == '[';
        const char *host = text + bracket, *end = bracket ? strchr(host, ']') : host + strcspn(host, ":");
        const char *port = end && end[bracket] == ':' ? end + bracket + 1 : "443";
        char *rest = NULL;
        unsigned long number = isdigit((unsigned char)port[0]) ? strtoul(port, &rest, 10) : 0;

        if (!end || end == host || (size_t)(end - host) >= HANDSHAKE_HOST_SIZE || number == 0 || number > 65535 || *rest)
                return HF_E_INVALID_ARGS;
        if (end[bracket] != ':' && end[bracket] != '\0')
                return HF_E_INVALID_ARGS;
        snprintf(ret_host, HANDSHAKE_HOST_SIZE, "%.*s", (int)(end - host), host);
        snprintf(ret_port, HANDSHAKE_PORT_SIZE, "%lu", number);
        return 0;
}
