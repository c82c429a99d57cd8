/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What holdfastd may ask of the signer
 *
 * The security argument of the signer is this list: there is no other message, and none of them gives back a key.
 * Each request is answered by exactly one reply of the same job number, in any order. A reply begins with a
 * result (uint32, enum HfError or 0); the rest of the body is there only when it is 0.
 */
#include "base/name.h"
#include "base/uuid.h"
#include "link/link.h"
#include "link/tpm.h"

typedef enum SignerRequest {
        /* {u32 version}                                                      -> SignerHello */
        SIGNER_HELLO = 1,
        /* SignerInit; fds in this order: the secret (kind passphrase only), the pipe for the recovery code (unless
         * unattended)                                                        -> SignerOpened, block slots file
         * HF_E_STORE_INITIALISED: holds the master of a store already. */
        SIGNER_INIT = 2,
        /* {block slots}; fd: the code as typed back                          -> {}
         * HF_E_INVALID_ARGS: mistyped; HF_E_UNLOCK_FAILED: another code. */
        SIGNER_RECOVERY_CHECK = 3,
        /* {block slots, u8 attended, block policy signatures}; fd: a secret, only if attended -> SignerOpened
         * HF_E_UNLOCK_FAILED is followed by {string reasons}. attended = 0 is holdfastd's own try: refused after
         * SIGNER_LOCK by order and on another machine (HF_E_STORE_FOREIGN). Where the master is open already: without a secret
         * the same keys again; with one it is checked. While one store is open, the slots of another are HF_E_STORE_FOREIGN
         * and those of the same store's former master HF_E_STORE_ROLLED_BACK. Policy signatures: signer_signatures_encode(), or
         * empty; each counts for tpm2 slots of its PCRs and policy key. Reasons of TPM slots: no-tpm, pcr-changed PCRS,
         * wrong (and tries left), tpm-lockout, tpm-identity-changed, tpm-failed. */
        SIGNER_UNLOCK = 4,
        /* {u8 by order}: 1 refuses holdfastd's own tries until somebody unlocks; 0 only forgets, to make room for another
         * store                                                              -> {} */
        SIGNER_LOCK = 5,
        /* {block slots}                                                      -> SlotList */
        SIGNER_SLOTS = 6,
        /* {block slots, u8 kind, string label, block SignerSlotTpm}; fd: the secret (passphrase; tpm2: the PIN, only if it has
         * one), the pipe (recovery), none (credential, tpm2-derived)
         *                                                                    -> {u32 id, block slots} */
        SIGNER_SLOT_ADD = 7,
        /* {block slots, u32 id}                                              -> {block slots} */
        SIGNER_SLOT_REMOVE = 8,
        /* {block slots, u32 id}, and then a block SignerSlotTpm or nothing (as it was made); fd as SIGNER_SLOT_ADD: the same
         * slot made anew. tpm2-derived: from the fingerprint given           -> {block slots} */
        SIGNER_SLOT_CHANGE = 9,
        /* {block slots}: write this machine's id and this TPM's identity, and define an NV counter where the TPM is another
         *                                                     -> {block slots, u8 1: their TPM is another than before} */
        SIGNER_ADOPT = 10,
        /* {block slots or empty, u8 fresh}                                   -> {u8 SignerTpmMatch, TpmState} */
        SIGNER_TPM = 11,
        /* {block slots, u8 TpmCounterAction: READ, INCREMENT or REMOVE}: the counter named in the slots file -> {u64 value}
         * HF_E_NOT_SUPPORTED: it names none. */
        SIGNER_COUNTER = 12,
        /* {block slots, u32 id}; fd: the PIN, only if it has one: seals a tpm2 slot to the PCRs as they are now
         *                                                                    -> {block slots}
         * HF_E_NOTHING_TO_DO: it is bound to no values. */
        SIGNER_SLOT_RESEAL = 13,
        /* {block attributes without public half}                             -> {block attributes, block wrapped} */
        SIGNER_GENERATE = 16,
        /* {block attributes without public half, KEY_FLAG_IMPORTED set, u8 usual}; fds in this order: SOCK_SEQPACKET socket the
         * raw key arrives on from holdfast-signer --import, the authorisation of a key of the TPM that wants one. The key's own
         * algorithm takes the place of the one given, with usual = 1 its usual purpose too
         *                                                                    -> as GENERATE, or the importer's error
         * HF_E_UNLOCK_FAILED: a key file of the TPM whose key wants an authorisation, or another one; {string tries left, or
         * empty} follows. */
        SIGNER_IMPORT = 17,
        /* {block old attributes, block wrapped, block new attributes}        -> {block wrapped} */
        SIGNER_REWRAP = 18,
        /* SignerOperation                                                    -> {block result} */
        SIGNER_OPERATE = 19,
        /* SignerCheckpoint                                                   -> {string note} */
        SIGNER_CHECKPOINT = 20,
        /* {u32 n}, at most SIGNER_RANDOM_MAX                                 -> {block bytes} */
        SIGNER_RANDOM = 21,
        /* {block slots, block SignerInit (the same store id)}; fds as SIGNER_INIT: a new master beside the old one
         *                                                                    -> as INIT, the keys of the new master */
        SIGNER_REKEY = 22,
        /* {block attributes, block wrapped}: opened under the old master, wrapped under the new one with the same
         * attributes                                                         -> {block wrapped} */
        SIGNER_REKEY_WRAP = 23,
        /* {u8 keep}: 1 forgets the old master and works with the new one from here on, 0 forgets the new one -> {} */
        SIGNER_REKEY_COMMIT = 24,
        /* {block attributes, block wrapped, block nonce}                     -> {block TpmCertificate}
         * HF_E_NOT_SUPPORTED: a software key. */
        SIGNER_ATTEST = 25,
        SIGNER_REPLY = 128,
} SignerRequest;

#define SIGNER_RANDOM_MAX 65536u
/* Jobs citing a seq this far past the last checkpoint are refused (HF_E_SIGNER_FAILED). */
#define SIGNER_UNSEALED_MAX 2048u

typedef struct SignerHello {
        uint32_t version;
        uint8_t life[16];    /* random per signer start */
        uint64_t served;     /* highest job sequence number served in this life */
        uint64_t ops;        /* private operations accepted in this life */
        bool open;           /* holds a master */
        uint8_t memory;      /* SecretMemoryKind */
        bool machine_known;  /* a machine-id was readable at start */
} SignerHello;

typedef struct SignerOpened {
        uint32_t slot;                  /* id of the slot that opened */
        uint8_t database_key[32];
        uint8_t log_key[32];
        uint8_t checkpoint_public[32];  /* Ed25519 */
        Uuid store_id;
} SignerOpened;

typedef enum SlotKind {
        _SLOT_KIND_INVALID = 0,
        SLOT_CREDENTIAL = 1,
        SLOT_PASSPHRASE = 2,
        SLOT_RECOVERY = 3,
        SLOT_TPM2 = 4,
        SLOT_TPM2_DERIVED = 5,
        _SLOT_KIND_MAX,
} SlotKind;

#define SLOTS_MAX 16
#define SLOTS_FILE_MAX 49152

typedef struct SlotEntry {
        uint32_t id;          /* never reused within a store */
        SlotKind kind;
        bool unattended;
        char label[NAME_SIZE];
        uint64_t created;     /* microseconds since 1970 */
        char pcrs[TPM_PCRS_TEXT_SIZE]; /* tpm2: "sha256:7+11", or "" */
        bool pin;                      /* tpm2: needs one */
        bool signed_policy;            /* tpm2: opens to what a policy key approves */
        uint8_t policy_key[32];        /* which: its fingerprint as in SignerSignature, or zeros */
        uint8_t device_key[32];        /* tpm2-derived: SHA-256 of that key's SPKI */
} SlotEntry;

typedef struct SlotList {
        Uuid store_id;
        bool machine_matches; /* false: the store woke up on another machine */
        size_t n;
        SlotEntry slots[SLOTS_MAX];
} SlotList;

typedef enum SignerOp {
        _SIGNER_OP_INVALID = 0,
        SIGNER_OP_SIGN = 1,    /* payload = message or digest */
        SIGNER_OP_DECRYPT = 2, /* payload = ciphertext, aux = label */
        SIGNER_OP_AGREE = 3,   /* payload = peer SPKI, aux = info, salt = salt, length */
        SIGNER_OP_MAC = 4,
        SIGNER_OP_SEAL = 5,    /* payload = plaintext, aux = aad */
        SIGNER_OP_UNSEAL = 6,
        _SIGNER_OP_MAX,
} SignerOp;

enum {
        SIGNER_FLAG_DIGEST = 1u << 0, /* payload is a digest; refused unless the key was made for it */
        SIGNER_FLAG_P1363 = 1u << 1,
};

typedef struct SignerOperation {
        uint64_t seq;      /* audit sequence number of the line that records it; rises strictly in the order of sending,
                            * and is never below the size of a checkpoint asked for before */
        uint32_t uid;      /* for the fair queue */
        SignerOp op;
        uint8_t scheme;    /* enum Scheme of crypto/algorithm.h */
        uint32_t flags;
        uint32_t length;   /* agree: bytes wanted */
        Bytes attributes;  /* canonical encoding, the envelope's associated data */
        Bytes wrapped;
        Bytes payload;
        Bytes aux;
        Bytes salt;
} SignerOperation;

/* What slots of the TPM kinds are made with; all zero for the others. */
typedef struct SignerSlotTpm {
        TpmPcrs pcrs;           /* tpm2; without values */
        bool pin;               /* tpm2: a descriptor with one comes along */
        TpmPolicyKey policy;    /* tpm2 */
        uint8_t device_key[32]; /* tpm2-derived: SHA-256 of the SPKI it is made from */
} SignerSlotTpm;

/* Somebody approved of a PCR policy: what it is for, and the approval. */
#define SIGNER_SIGNATURES 256
typedef struct SignerSignature {
        TpmBank bank;
        uint32_t mask;             /* bit n: PCR n */
        uint8_t key_fingerprint[32]; /* of the policy key: pubkey_inner_fingerprint() */
        TpmPolicySignature approval;
} SignerSignature;

typedef enum SignerTpmMatch {
        SIGNER_TPM_UNKNOWN = 0, /* no TPM answers, or no slots were given */
        SIGNER_TPM_SAME = 1,
        SIGNER_TPM_OTHER = 2,   /* not the one the store was made with, or cleared since */
        SIGNER_TPM_UNBOUND = 3, /* the store was made without one */
        _SIGNER_TPM_MATCH_MAX,
} SignerTpmMatch;

typedef struct SignerInit {
        Uuid store_id;
        SlotKind kind;
        bool unattended;      /* no recovery slot */
        char label[NAME_SIZE];
        SignerSlotTpm tpm;
} SignerInit;

typedef struct SignerCheckpoint {
        uint64_t size;        /* number of lines covered: the last seq + 1 */
        uint8_t head[32];     /* SHA-256 of the last line covered */
        uint8_t state[32];
        int64_t counter;      /* NV counter, -1 where there is none */
        uint64_t epoch;
        bool succession;      /* name the key that follows (`next`); HF_E_NOTHING_TO_DO without a SIGNER_REKEY */
} SignerCheckpoint;

#define CHECKPOINT_NOTE_MAX 1024

int signer_hello_encode(const SignerHello *h, Buffer *b);
int signer_hello_decode(WireReader *r, SignerHello *ret);
int signer_opened_encode(const SignerOpened *o, Buffer *b);
int signer_opened_decode(WireReader *r, SignerOpened *ret);
int signer_operation_encode(const SignerOperation *o, Buffer *b);
int signer_operation_decode(Bytes body, SignerOperation *ret); /* spans borrowed from body */
int signer_init_encode(const SignerInit *i, Buffer *b);
int signer_init_decode(Bytes body, SignerInit *ret);
int signer_slot_tpm_encode(const SignerSlotTpm *t, Buffer *b);
int signer_slot_tpm_decode(Bytes body, SignerSlotTpm *ret); /* spans borrowed from body */
/* At most SIGNER_SIGNATURES; an empty body is none. */
int signer_signatures_encode(const SignerSignature *s, size_t n, Buffer *b);
int signer_signatures_decode(Bytes body, SignerSignature ret[static SIGNER_SIGNATURES], size_t *ret_n);
#define SIGNER_SLOT_TPM_MAX 1024
#define SIGNER_SIGNATURES_MAX 81920 /* bytes */
int signer_checkpoint_encode(const SignerCheckpoint *c, Buffer *b);
int signer_checkpoint_decode(Bytes body, SignerCheckpoint *ret);
int slot_list_encode(const SlotList *l, Buffer *b);
int slot_list_decode(WireReader *r, SlotList *ret);

const char *slot_kind_to_string(SlotKind k); /* "credential", "passphrase", "recovery", "tpm2", "tpm2-derived" */
SlotKind slot_kind_from_string(const char *name);
