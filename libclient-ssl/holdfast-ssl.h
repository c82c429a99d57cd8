/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libholdfast-ssl: TLS with a key that you cannot hold
 *
 * One call makes an SSL_CTX with the key, the chain and the trust of an identity:
 *
 *         SSL_CTX *ctx = hf_ssl_ctx_new("telemetry", HF_TLS_CLIENT);
 *         if (!ctx)
 *                 errx(1, "%s (%s)", hf_error_sentence(), hf_ssl_finding(NULL));
 *
 * The identity is the directory NAME in $HOLDFAST_TLS, or in /run/holdfast/tls where that is not set: cert.pem, chain.pem,
 * key.pem (a key reference, not a secret), ca.pem and pins.txt. Making a context asks nobody, needs no daemon and no network;
 * only a signature does, in the handshake.
 *
 * Always: TLS 1.2 or later; the peer's chain is verified at OpenSSL's security level 2; a client's server is the one that was
 * meant, by name or address. Where the identity has pins (pins.txt), the peer's key is one of them.
 *
 * Changes: each new connection uses the identity as it is in that moment, a running one goes on with what it began with.
 * Nothing is reloaded by you and no thread or signal is used. A certificate that has expired, or files that do not fit
 * together any more, end new handshakes with their finding; an old certificate is never used in the place of one that was
 * to replace it. Where the directory itself cannot be reached any more (the program is in a chroot), what was read stays.
 *
 * Results and sentences are those of <holdfast.h>: a function that returns int returns 0 or an HfResult, one that returns a
 * pointer returns NULL and hf_error() says why. What is wrong with a certificate is HF_ERROR_CERTIFICATE_UNUSABLE, and
 * hf_ssl_finding() has its word. The same sentence is put into OpenSSL's error queue, so that a program that prints the queue
 * says it.
 *
 * Threads: every function may be called from any thread, and a context may be used by many threads, as far as OpenSSL allows
 * it. fork(): parent and child each go on, if no other thread was inside OpenSSL at that moment. The program's own OpenSSL
 * configuration, library context and providers are neither needed nor touched: the keys live in a library context of this
 * library.
 */
#include <holdfast.h>
#include <openssl/ssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the context is for: exactly one. */
#define HF_TLS_CLIENT 1u
/* Where the identity has trust anchors (ca.pem), clients have to show a certificate that they vouch for; where it has none,
 * clients are not asked. SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL) afterwards lets anybody in all the same. */
#define HF_TLS_SERVER 2u
/* The same, and an identity without trust anchors is refused. */
#define HF_TLS_SERVER_MUTUAL 3u

/* Or'ed with HF_TLS_CLIENT: the program compares the host itself, after the handshake, as libcurl does. Without it the
 * host has to be known in the handshake (hf_ssl_set_host()), and a handshake for which it is not is refused. */
#define HF_TLS_OWN_HOST_CHECK 0x100u

/*
 * A new context for TLS of this identity; the caller frees it with SSL_CTX_free(). A client whose identity has no ca.pem
 * trusts what the system trusts. HF_ERROR_INVALID_ARGS (flags), HF_ERROR_INVALID_NAME, HF_ERROR_NO_SUCH_IDENTITY (its files are
 * missing), HF_ERROR_CERTIFICATE_UNUSABLE, HF_ERROR_INTERNAL (memory, or the module holdfast.so cannot be loaded).
 */
HF_EXPORT SSL_CTX *hf_ssl_ctx_new(const char *name, unsigned flags);

/*
 * The same for a context that is there: sets certificate, key, verify mode, both certificate callbacks, the lowest version
 * where it is lower, and for a server the session id context. Call it before the first SSL_new(). Without ca.pem its own
 * trust stays. On failure the context is as it was.
 */
HF_EXPORT int hf_ssl_ctx_use(SSL_CTX *ctx, const char *name, unsigned flags);

/*
 * Whom a client means: a DNS name (RFC 9525: compared with the certificate's, and sent as SNI) or an IP address. Before
 * SSL_connect(). A client for which only SNI was set means that name. HF_ERROR_INVALID_ARGS: neither name nor address.
 */
HF_EXPORT int hf_ssl_set_host(SSL *ssl, const char *host);

/*
 * The key of an identity, or of a key of that name for which there are no files: then the daemon is asked for its reference.
 * The caller frees it with EVP_PKEY_free(). What it does is decided by policy at each use; it gives no private half.
 * HF_ERROR_INVALID_NAME, HF_ERROR_INVALID_ARGS (key.pem is damaged), HF_ERROR_INTERNAL, and what hf_key_reference() answers.
 */
HF_EXPORT EVP_PKEY *hf_pkey(const char *name);

/*
 * What was wrong, as a word that stays ("expired", "untrusted", ...: libholdfast-ssl(3) lists them); "none" where
 * none of these was to blame. NULL: with this thread's last failed call here. Else: with this connection's failed handshake,
 * asked before OpenSSL's error queue is emptied; hf_error() and hf_error_sentence() are then its as well, where the word is not
 * "none". Never NULL; a constant.
 */
HF_EXPORT const char *hf_ssl_finding(const SSL *ssl);

#ifdef __cplusplus
}
#endif
