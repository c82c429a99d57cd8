/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Certificates, read once
 *
 * A chain is a leaf and its intermediates, anchors are the roots one trusts, CRLs are revocation lists. All come from bytes
 * somebody else wrote: sizes and numbers are bounded before anything is parsed, the encoding has to be DER to the last byte
 * (no indefinite or padded lengths, nothing behind the end), an extension may be there once, and a private key in the file is
 * refused. After that they do not change: checks may share them between threads.
 *
 * Parsing functions return 0, HF_E_INVALID_ARGS with a finding (malformed, files-missing) added, or -ENOMEM.
 */
#include <openssl/safestack.h>
#include <openssl/types.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "x509/finding.h"

#define CERT_FILE_MAX (256 * 1024)         /* bytes of a file with a chain */
#define CERT_CHAIN_MAX 16                  /* certificates in it */
#define CERT_ANCHORS_FILE_MAX (2 * 1024 * 1024)
#define CERT_ANCHORS_MAX 1024
#define CERT_CRL_FILE_MAX (64 * 1024 * 1024)
#define CERT_CRLS_MAX 1024
#define CERT_PINS_MAX 16
#define CERT_FINGERPRINT_SIZE 65 /* SHA-256 in lower-case hex, with NUL */

STACK_OF(X509);
STACK_OF(X509_CRL);

typedef struct CertChain CertChain;
typedef struct CertAnchors CertAnchors;
typedef struct CertCrls CertCrls;

/* SHA-256 of the SubjectPublicKeyInfo, as curl's --pinnedpubkey and RFC 7469 have it. */
typedef struct CertPins {
        uint8_t hashes[CERT_PINS_MAX][32];
        size_t n; /* 0: any key */
} CertPins;

/* PEM: the leaf first, then intermediates in any order; or one certificate in DER. Text around the blocks is for people; a key
 * reference of Holdfast (bundle.pem) is passed over. */
int cert_chain_parse(Bytes pem, FindingWhose whose, FindingList *findings, CertChain **ret);
/* The leaf out of one file, intermediates out of another (which may be empty). */
int cert_chain_parse_parts(Bytes leaf_pem, Bytes chain_pem, FindingWhose whose, FindingList *findings, CertChain **ret);
/* What a TLS peer sent: the stack as SSL_get0_verified_chain() and X509_STORE_CTX_get0_untrusted() have it, leaf first. */
int cert_chain_take(X509 *leaf, const STACK_OF(X509) *others, FindingWhose whose, FindingList *findings, CertChain **ret);
CertChain *cert_chain_ref(CertChain *chain);
CertChain *cert_chain_unref(CertChain *chain);
DEFINE_CLEANUP(CertChain, cert_chain_unref)

size_t cert_chain_count(const CertChain *chain);
/* Borrowed. 0 is the leaf. */
X509 *cert_chain_at(const CertChain *chain, size_t i);
/* Microseconds since 1970, of the leaf. */
uint64_t cert_chain_not_before(const CertChain *chain);
uint64_t cert_chain_not_after(const CertChain *chain);
/* From when to when (exclusive) each certificate of the chain is as valid as it is now, or as little. */
void cert_chain_window(const CertChain *chain, uint64_t now, uint64_t *ret_from, uint64_t *ret_until);
/* SHA-256 over the DER of the leaf, hex. */
void cert_chain_fingerprint(const CertChain *chain, char ret[static CERT_FINGERPRINT_SIZE]);
/* SubjectPublicKeyInfo of the leaf in DER: borrowed. */
Bytes cert_chain_public_key(const CertChain *chain);
/* Appends certificate number i as PEM. 0, -ENOMEM, -EMSGSIZE. */
int cert_chain_write(const CertChain *chain, size_t i, Buffer *ret);
/* The same as DER, byte for byte as it was read. */
int cert_chain_write_der(const CertChain *chain, size_t i, Buffer *ret);

/* Appends all that is in it for people, as `openssl x509 -noout -text` prints it. 0, -ENOMEM, -EMSGSIZE. */
int cert_chain_print(const CertChain *chain, size_t i, Buffer *ret);

/* PEM, or one certificate in DER. None at all is malformed. */
int cert_anchors_parse(Bytes bytes, FindingList *findings, CertAnchors **ret);
/* What this system trusts, as OpenSSL finds it. 0 or -ENOMEM. */
int cert_anchors_system(CertAnchors **ret);
CertAnchors *cert_anchors_ref(CertAnchors *anchors);
CertAnchors *cert_anchors_unref(CertAnchors *anchors);
DEFINE_CLEANUP(CertAnchors, cert_anchors_unref)
/* Of those read from bytes; the system's are not counted. */
size_t cert_anchors_count(const CertAnchors *anchors);
/* Borrowed. */
X509_STORE *cert_anchors_store(const CertAnchors *anchors);
STACK_OF(X509) *cert_anchors_stack(const CertAnchors *anchors);
int cert_anchors_write(const CertAnchors *anchors, size_t i, Buffer *ret);

/* PEM, or one list in DER. */
int cert_crls_parse(Bytes bytes, FindingList *findings, CertCrls **ret);
CertCrls *cert_crls_free(CertCrls *crls);
DEFINE_CLEANUP(CertCrls, cert_crls_free)
/* Borrowed. */
STACK_OF(X509_CRL) *cert_crls_stack(const CertCrls *crls);

/* Lines "sha256//BASE64"; empty ones and those that begin with # are passed over. A file with nothing else is malformed: whom it
 * was to keep out it would let in. No file at all is no pins. */
int cert_pins_parse(Bytes text, FindingList *findings, CertPins *ret);
/* One "sha256//BASE64", added. 0, HF_E_INVALID_ARGS, HF_E_LIMIT_EXCEEDED. */
int cert_pins_add(CertPins *pins, const char *text);
