/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libholdfast: use keys that you cannot hold
 *
 * A key lives in holdfastd; this library asks for what it can do. Five lines sign a message:
 *
 *         HfSignature sig;
 *         int r = hf_sign_with("device", HF_ES256, message, length, &sig);
 *         if (r)
 *                 errx(1, "%s (%s)", hf_error_sentence(), hf_error_to_name(r));
 *
 * Results: every function that can fail returns 0 or one of enum HfResult, all positive. The sentence that
 * belongs to it (what happened, what was not changed, what to do) is hf_error_sentence(), kept per thread
 * like errno.
 *
 * Buffers: `size_t *len` is the room on the way in and the used length on the way out. Too little room is
 * HF_ERROR_INVALID_ARGS with the needed length in *len; nothing is written then.
 *
 * Threads: every function may be called from any thread; one connection does one synchronous call at a time.
 * fork(): the child gets a connection of its own at its next call; the parent's is neither used nor closed by
 * it. A process that changes its effective user or group is connected anew, as who it then is; asynchronous
 * calls that are not answered by then are lost with the connection. A restarted holdfastd is connected to
 * again by itself. A call whose connection broke after it was sent is repeated only if repeating it changes
 * nothing (describe, public key, list, status); the others say so.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_EXPORT __attribute__((visibility("default")))

typedef struct HfConnection HfConnection;
typedef struct HfKey HfKey;
typedef struct HfDescription HfDescription;

typedef enum HfResult {
        HF_OK = 0,
        HF_ERROR_INVALID_ARGS = 1,
        HF_ERROR_INVALID_NAME = 2,
        HF_ERROR_INVALID_FD = 3,
        HF_ERROR_MESSAGE_TOO_LARGE = 4,
        HF_ERROR_LIMIT_EXCEEDED = 5,
        HF_ERROR_RATE_LIMITED = 6,
        HF_ERROR_USES_EXHAUSTED = 7,
        HF_ERROR_POLICY_DENIED = 8,
        HF_ERROR_POLICY_INVALID = 9,
        HF_ERROR_NO_SUCH_KEY = 10,
        HF_ERROR_KEY_EXISTS = 11,
        HF_ERROR_KEY_DISABLED = 12,
        HF_ERROR_KEY_FROZEN = 13,
        HF_ERROR_KEY_MISMATCH = 14,
        HF_ERROR_PURPOSE_NOT_PERMITTED = 15,
        HF_ERROR_ALGORITHM_NOT_SUPPORTED = 16,
        HF_ERROR_SCHEME_NOT_SUPPORTED = 17,
        HF_ERROR_WEAK_KEY = 18,
        HF_ERROR_IMPORT_DISABLED = 19,
        HF_ERROR_DECRYPT_FAILED = 20,
        HF_ERROR_USE_DIRECT_SOCKET = 21,
        HF_ERROR_NOT_SUPPORTED = 22,
        HF_ERROR_STORE_UNINITIALISED = 23,
        HF_ERROR_STORE_INITIALISED = 24,
        HF_ERROR_STORE_LOCKED = 25,
        HF_ERROR_STORE_FOREIGN = 26,
        HF_ERROR_STORE_ROLLED_BACK = 27,
        HF_ERROR_STORE_DAMAGED = 28,
        HF_ERROR_STORE_TOO_NEW = 29,
        HF_ERROR_STORE_IN_USE = 30,
        HF_ERROR_STORE_UNSAFE = 31,
        HF_ERROR_UNLOCK_FAILED = 32,
        HF_ERROR_NO_SUCH_SLOT = 33,
        HF_ERROR_LAST_SLOT = 34,
        HF_ERROR_SLOT_EXISTS = 35,
        HF_ERROR_NOTHING_TO_DO = 36,
        HF_ERROR_LOG_FULL = 37,
        HF_ERROR_LOG_DAMAGED = 38,
        HF_ERROR_LOG_TRUNCATED = 39,
        HF_ERROR_LOG_FAILED = 40,
        HF_ERROR_SIGNER_UNAVAILABLE = 41,
        HF_ERROR_SIGNER_FAILED = 42,
        HF_ERROR_BACKUP_INVALID = 43,
        HF_ERROR_BUSY = 44,
        HF_ERROR_TIMED_OUT = 45,
        HF_ERROR_DAEMON_UNAVAILABLE = 46,
        HF_ERROR_VERSION_MISMATCH = 47,
        HF_ERROR_INTERNAL = 48,
        HF_ERROR_TPM_UNAVAILABLE = 49,
        HF_ERROR_TPM_FAILED = 50,
        HF_ERROR_TPM_FAILURE_MODE = 51,
        HF_ERROR_TPM_LOCKOUT = 52,
        HF_ERROR_TPM_FULL = 53,
        HF_ERROR_TPM_IDENTITY_CHANGED = 54,
        HF_ERROR_PCR_CHANGED = 55,
        HF_ERROR_KEY_LOST = 56,
        HF_ERROR_KEY_NEEDED = 57,
        HF_ERROR_NO_SUCH_IDENTITY = 58,
        HF_ERROR_KEY_IN_USE = 59,
        HF_ERROR_CERTIFICATE_UNUSABLE = 60,
        HF_ERROR_REQUEST_REFUSED = 61,
        HF_ERROR_CA_NOT_INITIALISED = 62,
        HF_ERROR_CA_EXISTS = 63,
        HF_ERROR_CA_AT_REST = 64,
        HF_ERROR_NO_SUCH_CERTIFICATE = 65,
        HF_ERROR_REVOCATION_LIST_REFUSED = 66,
        HF_ERROR_CA_REPLACED = 67,
        HF_ERROR_BACKUP_NEEDED = 68,
        HF_ERROR_ORPHANS_CHANGED = 69,
} HfResult;

/* Signature schemes, by their JOSE names (RFC 7518, RFC 8037) where they have one. One of these, or'ed with the flags
 * below. */
typedef enum HfScheme {
        HF_SCHEME_USUAL = 0, /* the key's usual one */
        HF_ES256,
        HF_ES384,
        HF_EDDSA,
        HF_RS256,
        HF_RS384,
        HF_RS512,
        HF_PS256,
        HF_PS384,
        HF_PS512,
        HF_ECDSA_SHA256, /* with P-384 */
        HF_ECDSA_SHA384, /* with P-256 */
        HF_ECDSA_SHA512, /* with either */
} HfScheme;

#define HF_INPUT_DIGEST 0x100u   /* the input is the scheme's digest; only for keys made for it */
#define HF_ENCODING_P1363 0x200u /* ECDSA as r || s (RFC 7518 section 3.4) instead of DER (RFC 3279) */

#define HF_SIGNATURE_MAX 512 /* bytes: RSA-4096 */
#define HF_MAC_SIZE 32
#define HF_SIGN_MANY_LIMIT 1024 /* messages in one hf_sign_many() */
#define HF_MESSAGE_LIMIT 65536  /* bytes of one message */
#define HF_REFERENCE_MAX 4096   /* bytes of a key reference */

typedef struct HfSpan {
        const void *data;
        size_t len;
} HfSpan;

typedef struct HfSignature {
        size_t len;
        uint8_t data[HF_SIGNATURE_MAX];
} HfSignature;

/* Errors */

/* The sentence of this thread's last failed call, as the daemon sent it where it was the daemon that refused.
 */
HF_EXPORT const char *hf_error_sentence(void);
/* Its result, for functions that return a pointer. HF_OK: none failed yet. */
HF_EXPORT int hf_error(void);
/* The general sentence of a result; never NULL. */
HF_EXPORT const char *hf_strerror(int result);
/* "StoreLocked": the bus error's name without its prefix; "Internal" for what is none. Never NULL. */
HF_EXPORT const char *hf_error_to_name(int result);

/*
 * Connections. Wherever one is taken, NULL is the process's own default connection, which is made at first
 * use and never closed.
 */

/* By $HOLDFAST_SOCKET or /run/holdfast/bus; if that does not exist, by the system bus. */
HF_EXPORT int hf_connect(HfConnection **ret);
/* By this socket and nothing else; NULL is hf_connect(). */
HF_EXPORT int hf_connect_to(const char *socket_path, HfConnection **ret);
/* By the system bus and nothing else. Decrypt, agree, seal and unseal answer HF_ERROR_USE_DIRECT_SOCKET
 * there. */
HF_EXPORT int hf_connect_bus(HfConnection **ret);
/* Closes; calls under way get HF_ERROR_DAEMON_UNAVAILABLE before it returns. Keys opened on it must be closed
 * before. Returns NULL. */
HF_EXPORT HfConnection *hf_disconnect(HfConnection *c);
/* Time to wait for each answer; default 90 s, by when the service itself has said what is the matter: a TPM that does not
 * answer is given 60 s (HF_ERROR_TPM_UNAVAILABLE), a daemon that hangs is ended after 60 s (HF_ERROR_DAEMON_UNAVAILABLE). */
HF_EXPORT void hf_connection_set_timeout(HfConnection *c, uint64_t usec);

/*
 * In your own event loop: wait on hf_connection_fd() for hf_connection_events(), at most until
 * hf_connection_timeout(), then call hf_connection_dispatch(). Ask for all three anew before each wait: after
 * a reconnect the descriptor is another one.
 */
HF_EXPORT int hf_connection_fd(HfConnection *c, int *ret);
HF_EXPORT int hf_connection_events(HfConnection *c, short *ret); /* POLLIN, POLLOUT */
/* Absolute, CLOCK_MONOTONIC, microseconds; 0: at once, UINT64_MAX: no limit. */
HF_EXPORT int hf_connection_timeout(HfConnection *c, uint64_t *ret);
/* Reads and writes what is possible without waiting, then calls back for each finished call. */
HF_EXPORT int hf_connection_dispatch(HfConnection *c);

/* Keys */

/* `name` is a key's name or UUID. Nothing is asked of the daemon yet. HF_ERROR_INVALID_NAME. */
HF_EXPORT int hf_key_open(HfConnection *c, const char *name, HfKey **ret);
HF_EXPORT HfKey *hf_key_close(HfKey *key);

/* What the daemon tells of the key, by the member names of Key.Describe, org.holdfast.Keystore1(5). */
HF_EXPORT int hf_key_describe(HfKey *key, HfDescription **ret);
HF_EXPORT HfDescription *hf_description_free(HfDescription *d);
/* NULL: no such member, or not a string. */
HF_EXPORT const char *hf_description_string(const HfDescription *d, const char *member);
/* Booleans are 0 and 1. `otherwise` where there is no such member. */
HF_EXPORT uint64_t hf_description_number(const HfDescription *d, const char *member, uint64_t otherwise);
/* {NULL, 0}: no such member, or not bytes. Belongs to d. */
HF_EXPORT HfSpan hf_description_bytes(const HfDescription *d, const char *member);
/* Member number i of a list of strings, from 0; NULL behind the end. */
HF_EXPORT const char *hf_description_item(const HfDescription *d, const char *member, size_t i);

/* format: "spki" (DER), "pem", "jwk" or "ssh". */
HF_EXPORT int hf_key_public(HfKey *key, const char *format, void *buf, size_t *len);
/* The text of a key reference: what programs with the OpenSSL provider take for a private key file. Not secret.
 * HF_REFERENCE_MAX bytes are always room enough; no NUL behind it. */
HF_EXPORT int hf_key_reference(HfKey *key, char *buf, size_t *len);

/* Operations on a key. Each is decided by policy and is in the audit log before its result is here. */

/* scheme: an HfScheme, or'ed with flags. HF_SIGNATURE_MAX bytes are always room enough. */
HF_EXPORT int hf_sign(HfKey *key, unsigned scheme, const void *message, size_t message_len, void *sig,
                size_t *sig_len);
/* All or none. `n` is 1 to HF_SIGN_MANY_LIMIT; all of it together fits one bus message (128 KiB). */
HF_EXPORT int hf_sign_many(HfKey *key, unsigned scheme, const HfSpan *messages, size_t n, HfSignature *ret);
/* RSA-OAEP with SHA-256; label may be NULL. */
HF_EXPORT int hf_decrypt(HfKey *key, const void *ciphertext, size_t ciphertext_len, const HfSpan *label,
                void *buf, size_t *len);
/* len bytes (1 to 256) from ECDH or X25519 with the peer's SubjectPublicKeyInfo, through HKDF-SHA256 (RFC
 * 5869). salt and info may be NULL. */
HF_EXPORT int hf_agree(
                HfKey *key, HfSpan peer, const HfSpan *salt, const HfSpan *info, void *buf, size_t len);
/* HMAC-SHA256. */
HF_EXPORT int hf_mac(HfKey *key, const void *message, size_t message_len, uint8_t mac[HF_MAC_SIZE]);
/* AES-256-GCM; the result is 28 bytes longer. aad may be NULL. */
HF_EXPORT int hf_seal(HfKey *key, const void *plaintext, size_t plaintext_len, const HfSpan *aad, void *buf,
                size_t *len);
HF_EXPORT int hf_unseal(
                HfKey *key, const void *sealed, size_t sealed_len, const HfSpan *aad, void *buf, size_t *len);

/* Names for a CSR; each list ends in NULL or is NULL. */
typedef struct HfNames {
        const char *const *dns, *const *ip, *const *uri, *const *email;
} HfNames;

/* PKCS#10 in DER. subject is RFC 4514 text and may be ""; names may be NULL. */
HF_EXPORT int hf_csr(HfKey *key, const char *subject, const HfNames *names, void *buf, size_t *len);

/* 1 to 4,096 bytes from the signer's generator. */
HF_EXPORT int hf_random(HfConnection *c, void *buf, size_t len);

/* In one line, on the default connection. */
HF_EXPORT int hf_sign_with(
                const char *key, unsigned scheme, const void *message, size_t message_len, HfSignature *ret);

/* result is 0 or an HfResult; sig is NULL on failure and else lives until the callback returns. Called from
 * hf_connection_dispatch() or hf_disconnect(), exactly once, without any lock held: it may call everything
 * here. */
typedef void (*HfSignCallback)(int result, const uint8_t *sig, size_t sig_len, void *userdata);

/* Sends and returns. Not 0: nothing was sent and there will be no callback. */
HF_EXPORT int hf_sign_async(HfKey *key, unsigned scheme, const void *message, size_t message_len,
                HfSignCallback callback, void *userdata);

#ifdef __cplusplus
}
#endif
