/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the signer may ask of holdfast-tpm
 *
 * holdfast-tpm connects, the signer asks, one request at a time; each is answered by one packet of type TPM_REPLY and the
 * same job: {u32 result, string detail} and, if the result is 0, the body named below. `detail` is for people and empty
 * where the error says all ("pcr sha256:7", "2 tries left, then locked for 1000 s").
 *
 * holdfast-tpm speaks the TPM's words and knows no format of ours: public keys and signatures travel as bare big-endian
 * numbers, and whatever is hashed, padded or encoded, the signer hashes, pads and encodes. It keeps no secret between
 * two requests. A blob is bound to its parent, a primary of the owner's hierarchy; the parent's name is the TPM's
 * identity as far as we are concerned: a TPM that was cleared or replaced has another one (HF_E_TPM_IDENTITY_CHANGED).
 *
 * Results: HF_E_INVALID_ARGS; HF_E_TPM_UNAVAILABLE (no TPM answers, or this process is gone); HF_E_TPM_FAILURE_MODE;
 * HF_E_TPM_LOCKOUT; HF_E_TPM_FULL (no slot or NV space, after waiting for other users of the TPM);
 * HF_E_TPM_IDENTITY_CHANGED; HF_E_TPM_FAILED (anything else it said, also answers that are no answers); and what is named
 * with the request.
 */
#include "link/link.h"

#define TPM_LINK_VERSION 1
#define TPM_NAME_SIZE 34   /* TPM2B_NAME: algorithm of the name (SHA-256) and digest; TCG TPM 2.0 Part 1, section 16 */
#define TPM_AUTH_SIZE 32
#define TPM_PART_MAX 1024  /* a marshalled TPM2B_PUBLIC or TPM2B_PRIVATE */
#define TPM_NUMBER_MAX 384 /* an RSA-3072 number; P-384 points are 96 */
#define TPM_NONCE_MAX 64
#define TPM_MESSAGE_MAX 65536 /* to be MACed */
#define TPM_DETAIL_MAX 256
#define TPM_EK_CERTIFICATE_MAX 4096
#define TPM_TIMEOUT_MS 60000         /* no request but TPM_CREATE takes longer on any TPM we know of */
#define TPM_TIMEOUT_CREATE_MS 180000 /* primes */

typedef enum TpmRequest {
        /* {u32 version}                                                      -> {u32 version} */
        TPM_HELLO = 1,
        /* {u8 fresh, block parent's name or empty}: 1 asks the TPM, 0 tells what is known -> TpmState; result always 0 */
        TPM_STATE = 2,
        /* {u8 TpmAlgorithm, u8 TpmUse, raw auth, block parent's name or empty: any}
         *                                                                    -> {TpmBlob, block public number}
         * HF_E_ALGORITHM_NOT_SUPPORTED: this TPM does not. Objects count no attempts (noDA). */
        TPM_CREATE = 3,
        /* {u32 parent handle, block TPM2B_PUBLIC, block TPM2B_PRIVATE, block its auth, raw new auth, block parent's name or
         * empty}: takes in a key of another program under the same parent  -> {TpmBlob, u8 algorithm, u8 use, block public}
         * HF_E_UNLOCK_FAILED: wrong auth; HF_E_KEY_MISMATCH: not made by this TPM;
         * HF_E_ALGORITHM_NOT_SUPPORTED: nothing we have a row for. */
        TPM_ADOPT = 4,
        /* TpmOperation                                                       -> {block result}
         * HF_E_KEY_MISMATCH: the blob is not of this TPM, or not the one its public part says; HF_E_SCHEME_NOT_SUPPORTED:
         * the key was made by another program for less than that. */
        TPM_OPERATE = 5,
        /* TpmSealing                                                         -> {TpmBlob, TpmPcrs with values} */
        TPM_SEAL = 6,
        /* TpmUnsealing                                                       -> {block secret}
         * HF_E_PCR_CHANGED (detail names them); HF_E_UNLOCK_FAILED (wrong PIN; detail: tries left);
         * HF_E_TPM_LOCKOUT (detail: for how long); HF_E_KEY_MISMATCH. */
        TPM_UNSEAL = 7,
        /* {TpmPcrs without values}                                           -> {TpmPcrs with values} */
        TPM_PCR_READ = 8,
        /* {u8 TpmCounterAction, u32 index, raw auth, raw parent's name}      -> {u64 value, 0 after REMOVE}
         * The authorisation travels in a session that is salted to this parent and to no other.
         * DEFINE: HF_E_KEY_EXISTS where the index is taken; else HF_E_NO_SUCH_KEY where it is not there, HF_E_KEY_MISMATCH
         * where it is no counter of ours. */
        TPM_COUNTER = 9,
        /* {TpmBlob, raw auth, block nonce}: TPM2_Certify by the attestation key -> TpmCertificate */
        TPM_CERTIFY = 10,
        TPM_REPLY = 128,
} TpmRequest;

typedef enum TpmAlgorithm {
        _TPM_ALGORITHM_INVALID = 0,
        TPM_P256 = 1,    /* public number: x || y */
        TPM_P384 = 2,
        TPM_RSA2048 = 3, /* public number: n; e is 65537 */
        TPM_RSA3072 = 4,
        TPM_HMAC256 = 5, /* no public number */
        _TPM_ALGORITHM_MAX,
} TpmAlgorithm;

typedef enum TpmUse {
        _TPM_USE_INVALID = 0,
        TPM_USE_SIGN = 1,    /* RSA: also raw private operations, because the TPM's own PSS salts as it likes */
        TPM_USE_DECRYPT = 2, /* RSA */
        TPM_USE_AGREE = 3,   /* P-256, P-384 */
        TPM_USE_MAC = 4,     /* HMAC-SHA256 */
        _TPM_USE_MAX,
} TpmUse;

typedef struct TpmBlob {
        uint8_t parent[TPM_NAME_SIZE];
        Bytes public;  /* TPM2B_PUBLIC, marshalled; borrowed where it was decoded from */
        Bytes private; /* TPM2B_PRIVATE, marshalled */
} TpmBlob;

typedef enum TpmOp {
        _TPM_OP_INVALID = 0,
        TPM_OP_ECDSA = 1,  /* data: digest of 32, 48 or 64 bytes -> r || s, each as long as the field */
        TPM_OP_RSASSA = 2, /* data: digest of 32, 48 or 64 bytes -> signature, PKCS#1 v1.5 with that SHA-2 */
        TPM_OP_RSA_RAW = 3, /* data: a block as long as the modulus and below it -> the same to the power d */
        TPM_OP_ECDH = 4,   /* data: the peer's x || y -> x of the product. HF_E_INVALID_ARGS: not on the curve */
        TPM_OP_HMAC = 5,   /* data: at most TPM_MESSAGE_MAX bytes -> 32 bytes. Above 1,024 a command for each 1,024 */
        _TPM_OP_MAX,
} TpmOp;

typedef struct TpmOperation {
        TpmBlob blob;
        uint8_t auth[TPM_AUTH_SIZE];
        TpmOp op;
        Bytes data;
} TpmOperation;

typedef enum TpmBank {
        _TPM_BANK_INVALID = 0,
        TPM_BANK_SHA256 = 1,
        TPM_BANK_SHA384 = 2,
        _TPM_BANK_MAX,
} TpmBank;

/* PCRs of one bank. As text: "7", "7+11", "sha384:0+7". */
#define TPM_PCRS 24
#define TPM_PCRS_TEXT_SIZE 96
typedef struct TpmPcrs {
        TpmBank bank;
        uint32_t mask;     /* bit n: PCR n; 0: none */
        bool has_values;
        uint8_t values[TPM_PCRS][48]; /* those of the mask; 32 bytes each for SHA-256 */
} TpmPcrs;

/* Who announces OS updates: an RSA-2048/3072 (n; RSASSA with SHA-256) or P-256 (x || y) public key. TCG TPM 2.0 Part 3,
 * TPM2_PolicyAuthorize; signatures as systemd-measure(1) makes them. */
typedef struct TpmPolicyKey {
        TpmAlgorithm algorithm; /* _TPM_ALGORITHM_INVALID: none */
        Bytes number;
} TpmPolicyKey;

typedef struct TpmSealing {
        Bytes secret;        /* 1 to 128 bytes */
        TpmPcrs pcrs;        /* mask 0: not bound to any */
        TpmPolicyKey policy; /* set: bound to what this key signs for these PCRs, not to their values now */
        bool has_pin;        /* only then the object counts attempts */
        uint8_t pin[TPM_AUTH_SIZE];
        uint8_t parent[TPM_NAME_SIZE]; /* zeros: any */
} TpmSealing;

#define TPM_POLICY_SIGNATURES_MAX 16
typedef struct TpmPolicySignature {
        uint8_t digest[32]; /* the policy that is approved: PolicyPCR over these PCRs */
        Bytes signature;
} TpmPolicySignature;

typedef struct TpmUnsealing {
        TpmBlob blob;
        TpmPcrs pcrs;        /* with the values at sealing, so that a change can be named */
        TpmPolicyKey policy;
        size_t n_signatures; /* the one that approves today's PCRs is used */
        TpmPolicySignature signatures[TPM_POLICY_SIGNATURES_MAX];
        bool has_pin;
        uint8_t pin[TPM_AUTH_SIZE];
} TpmUnsealing;

typedef enum TpmCounterAction {
        _TPM_COUNTER_INVALID = 0,
        TPM_COUNTER_DEFINE = 1, /* and increments once: an NV counter has no value before */
        TPM_COUNTER_READ = 2,
        TPM_COUNTER_INCREMENT = 3,
        TPM_COUNTER_REMOVE = 4,
        _TPM_COUNTER_MAX,
} TpmCounterAction;

/* Owner's range of NV indices, TCG Registry of Reserved TPM 2.0 Handles. */
#define TPM_COUNTER_FIRST 0x01800000u
#define TPM_COUNTER_LAST 0x01bfffffu

typedef enum TpmPresence {
        TPM_PRESENCE_NONE = 0,    /* no holdfast-tpm is connected to the signer */
        TPM_PRESENCE_ABSENT = 1,  /* it is, and no TPM answers it */
        TPM_PRESENCE_FAILURE = 2, /* the TPM is in failure mode */
        TPM_PRESENCE_READY = 3,
        _TPM_PRESENCE_MAX,
} TpmPresence;

typedef struct TpmState {
        TpmPresence presence;
        char detail[TPM_DETAIL_MAX]; /* why it is not ready */
        uint8_t parent[TPM_NAME_SIZE]; /* the identity: the parent asked for if it is there, else that of new blobs */
        char manufacturer[8];        /* TPM_PT_MANUFACTURER as text: "IBM" */
        char vendor[32];             /* TPM_PT_VENDOR_STRING_1..4 */
        uint64_t firmware;           /* TPM_PT_FIRMWARE_VERSION_1 << 32 | _2 */
        uint32_t algorithms;         /* bit (1u << TpmAlgorithm) */
        uint32_t banks;              /* bit (1u << TpmBank) */
        bool ek_certificate;
        bool locked_out;             /* TPM_PT_PERMANENT inLockout */
        uint32_t lockout_counter, lockout_max;
        uint32_t lockout_interval;   /* seconds until one failed try is forgotten */
        uint32_t reset_count;
        uint32_t restart_count;
        uint64_t answered, failed;   /* requests of this process's life */
} TpmState;

typedef struct TpmCertificate {
        Bytes attest;         /* TPMS_ATTEST, marshalled */
        Bytes signature;      /* r || s of the attestation key, P-256 with SHA-256 */
        Bytes ak_public;      /* TPMT_PUBLIC, marshalled */
        Bytes key_public;     /* TPMT_PUBLIC of the key, marshalled: its name is what `attest` certifies */
        Bytes ek_certificate; /* DER as it stands in NV; empty where there is none */
        Bytes ek_public;      /* TPMT_PUBLIC, marshalled */
} TpmCertificate;

/* Encoders append; decoders take the whole body, leave nothing over and return HF_E_INVALID_ARGS for anything out of
 * bounds. Spans are borrowed. */
int tpm_blob_put(Buffer *b, const TpmBlob *blob);
void tpm_blob_get(WireReader *r, TpmBlob *ret);
int tpm_pcrs_put(Buffer *b, const TpmPcrs *p);
void tpm_pcrs_get(WireReader *r, TpmPcrs *ret);
int tpm_policy_key_put(Buffer *b, const TpmPolicyKey *k);
void tpm_policy_key_get(WireReader *r, TpmPolicyKey *ret);
int tpm_operation_encode(const TpmOperation *o, Buffer *b);
/* All of it but the bytes of `data`, which are to follow (link_send_with()). */
int tpm_operation_encode_head(const TpmOperation *o, Buffer *b);
int tpm_operation_decode(Bytes body, TpmOperation *ret);
int tpm_sealing_encode(const TpmSealing *s, Buffer *b);
int tpm_sealing_decode(Bytes body, TpmSealing *ret);
int tpm_unsealing_encode(const TpmUnsealing *u, Buffer *b);
int tpm_unsealing_decode(Bytes body, TpmUnsealing *ret);
int tpm_state_put(Buffer *b, const TpmState *s);
void tpm_state_get(WireReader *r, TpmState *ret);
int tpm_certificate_encode(const TpmCertificate *c, Buffer *b);
int tpm_certificate_decode(Bytes body, TpmCertificate *ret);

size_t tpm_bank_size(TpmBank bank); /* bytes of a PCR */
/* HF_E_INVALID_ARGS: not in the form above, a PCR above 23, one twice. No PCR at all is "". */
int tpm_pcrs_parse(const char *text, TpmPcrs *ret);
void tpm_pcrs_format(const TpmPcrs *p, char ret[static TPM_PCRS_TEXT_SIZE]);
