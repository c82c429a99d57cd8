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

typedef enum SignerRequest {
        SIGNER_HELLO = 1,       /* {u32 version}                              -> SignerHello */
        SIGNER_INIT = 2,        /* SignerInit; fds: secret or none, recovery pipe or none -> SignerOpened + slots file */
        SIGNER_RECOVERY_CHECK = 3, /* {block slots}; fd: code as typed back   -> {} or HF_E_UNLOCK_FAILED */
        SIGNER_UNLOCK = 4,      /* {block slots, u8 attended}; fd: secret if attended -> SignerOpened, or reasons text */
        SIGNER_LOCK = 5,        /* {}                                         -> {} */
        SIGNER_SLOTS = 6,       /* {block slots}                              -> list of SlotEntry, store id, machine ok */
        SIGNER_SLOT_ADD = 7,    /* {block slots, u8 kind, string label}; fd: secret / recovery pipe -> {u32 id, block slots} */
        SIGNER_SLOT_REMOVE = 8, /* {block slots, u32 id}                      -> {block slots} */
        SIGNER_SLOT_CHANGE = 9, /* {block slots, u32 id}; fd: new secret      -> {block slots} */
        SIGNER_ADOPT = 10,      /* {block slots}: write this machine's id     -> {block slots} */
        SIGNER_GENERATE = 16,   /* {block attributes}                         -> {block attributes, block wrapped} */
        SIGNER_IMPORT = 17,     /* {block attributes}; fd: socket the raw key arrives on -> as GENERATE */
        SIGNER_REWRAP = 18,     /* {block old attributes, block wrapped, block new attributes} -> {block wrapped} */
        SIGNER_OPERATE = 19,    /* SignerOperation                            -> {block result} */
        SIGNER_CHECKPOINT = 20, /* SignerCheckpoint                           -> {string note} */
        SIGNER_RANDOM = 21,     /* {u32 n}                                    -> {block bytes} */
        SIGNER_REKEY = 22,      /* {block slots, secrets...}                  -> SignerOpened + slots file; see docs */
        SIGNER_REKEY_WRAP = 23, /* {block attributes, block wrapped}: opened under the old master, wrapped under the new */
        SIGNER_REKEY_COMMIT = 24, /* {}: forget the old master */
        SIGNER_REPLY = 128,
} SignerRequest;

typedef struct SignerHello {
        uint32_t version;
        uint8_t life[16];    /* random per signer start */
        uint64_t served;     /* highest job sequence number served in this life */
        uint64_t ops;        /* private operations in this life */
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
#define SLOTS_FILE_MAX 16384

typedef struct SlotEntry {
        uint32_t id;          /* never reused within a store */
        SlotKind kind;
        bool unattended;
        char label[NAME_SIZE];
        uint64_t created;     /* microseconds since 1970 */
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
        uint64_t seq;      /* audit sequence number of the line that records it; rises strictly per life */
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

typedef struct SignerInit {
        Uuid store_id;
        SlotKind kind;
        bool unattended;      /* no recovery slot */
        char label[NAME_SIZE];
} SignerInit;

typedef struct SignerCheckpoint {
        uint64_t size;        /* number of lines covered: the last seq + 1 */
        uint8_t head[32];     /* SHA-256 of the last line covered */
        uint8_t state[32];
        int64_t counter;      /* NV counter, -1 where there is none */
        uint64_t epoch;
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
int signer_checkpoint_encode(const SignerCheckpoint *c, Buffer *b);
int signer_checkpoint_decode(Bytes body, SignerCheckpoint *ret);
int slot_list_encode(const SlotList *l, Buffer *b);
int slot_list_decode(WireReader *r, SlotList *ret);

const char *slot_kind_to_string(SlotKind k); /* "credential", "passphrase", "recovery", "tpm2", "tpm2-derived" */
SlotKind slot_kind_from_string(const char *name);
