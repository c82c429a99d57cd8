/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a TPM states about a key, checked without a TPM
 *
 * A statement is TPM2_Certify's: structures of the TCG TPM 2.0 Library, Part 2, read here by a bounded big-endian
 * reader of our own, and a signature of an attestation key. It says that a key with these properties lives in the TPM
 * that has the attestation key; the nonce says that it was said for us. That the attestation key is in a TPM of a
 * certain maker only the endorsement key could prove, in a conversation (TPM2_ActivateCredential): who verifies has
 * to know the attestation key's fingerprint from somewhere.
 */
#include "base/bytes.h"

#define ATTEST_PART_MAX 1024
#define ATTEST_CERTIFICATE_MAX 4096
#define ATTEST_NONCE_MAX 64

typedef struct AttestStatement {
        Bytes attest;         /* TPMS_ATTEST */
        Bytes signature;      /* r || s, P-256 with SHA-256 */
        Bytes ak_public;      /* TPMT_PUBLIC of the attestation key */
        Bytes key_public;     /* TPMT_PUBLIC of the key */
        Bytes ek_certificate; /* DER; empty where the TPM has none */
        Bytes ek_public;      /* TPMT_PUBLIC of the endorsement key; may be empty */
        Bytes spki;           /* the key as everybody else knows it; empty for one without a public half */
} AttestStatement;

typedef enum AttestFault {
        ATTEST_GOOD = 0,
        ATTEST_MALFORMED,     /* not the structures it should hold */
        ATTEST_NOT_TPM,       /* not made by a TPM (magic) */
        ATTEST_NOT_CERTIFY,   /* a statement about something else */
        ATTEST_NONCE,         /* made for another question */
        ATTEST_AK,            /* the attestation key is not a restricted signing key that stays in its TPM */
        ATTEST_SIGNATURE,     /* not signed by it */
        ATTEST_NAME,          /* about another key */
        ATTEST_SPKI,          /* the public key beside it is another one */
        ATTEST_KEY_LEAVES,    /* the key may leave its TPM */
        ATTEST_KEY_CAME,      /* the key was not made in the TPM */
        ATTEST_EK_CERTIFICATE, /* the endorsement certificate is not of these roots, or of another key */
        _ATTEST_FAULT_MAX,
} AttestFault;

const char *attest_fault_to_string(AttestFault f);   /* "good", "malformed", "wrong-nonce", ... */
const char *attest_fault_to_sentence(AttestFault f); /* for a person */

typedef struct AttestReport {
        uint8_t ak_fingerprint[32];  /* SHA-256 of ak_public */
        bool has_public;
        uint8_t key_fingerprint[32]; /* SHA-256 of the SPKI; zeros where there is none */
        uint64_t firmware;
        uint32_t reset_count, restart_count;
        uint8_t ek_fingerprint[32]; /* SHA-256 of the endorsement key's public half and certificate */
        bool ek_checked; /* the endorsement certificate leads to one of the roots */
} AttestReport;

/* `ek_roots`: PEM certificates that are trusted, or empty: then the endorsement certificate is not looked at. */
AttestFault attest_verify(const AttestStatement *s, Bytes nonce, Bytes ek_roots, AttestReport *ret);
