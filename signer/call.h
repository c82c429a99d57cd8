/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One request, as a handler sees it
 *
 * A handler runs on a secret stack, reads `body` and the descriptors (which stay the frame's), appends to
 * `reply` (secret memory, erased after sending) and returns a result: 0, HF_E_... (the reply is then only
 * that), -EPROTO for a body that is not what link/signer.h says, which costs the peer its connection, or
 * another -errno.
 */
#include "base/secret.h"
#include "crypto/attributes.h"
#include "link/signer.h"
#include "signer/cache.h"
#include "signer/ledger.h"
#include "signer/tpm-slot.h"
#include "signer/vault.h"

/* What all handlers share. */
typedef struct Signer {
        Vault vault;
        Cache *cache;
        TpmLink *tpm; /* NULL: no socket for a holdfast-tpm */
        pthread_mutex_t ledger_lock;
        Ledger ledger;
        void (*scrub)(void *userdata); /* erases what the workers' stacks still hold */
        void *scrub_userdata;
} Signer;

typedef struct Call {
        Signer *signer;
        Bytes body;
        const int *fds;
        size_t n_fds;
        Ledger ledger;                    /* as it was when the request arrived */
        int accepted;                     /* what the ledger said to a use or a checkpoint */
        const SignerOperation *operation; /* OPERATE: decoded by the frame */
        const KeyAttributes *attributes;  /* and its attributes */
        Buffer *reply;
        char reasons[1024]; /* sent after HF_E_UNLOCK_FAILED */
} Call;

typedef enum CallLock {
        CALL_ALONE = 1, /* changes what is open */
        CALL_SHARED,    /* uses it */
        CALL_FREE,      /* takes the lock itself for a short time, because it computes for long */
} CallLock;

typedef enum CallCost {
        COST_QUICK = 1, /* well below a millisecond */
        COST_MEDIUM,    /* a few milliseconds at most */
        COST_HEAVY,     /* never takes the last free worker */
        COST_ARGON,     /* the same, and one at a time: 64 MiB each */
        COST_TPM,       /* waits for the TPM: on workers of its own, without any lock */
} CallCost;

typedef struct RequestInfo {
        uint16_t type; /* enum SignerRequest */
        const char *name;
        int (*handle)(Call *call);
        bool needs_open;
        CallLock lock;
        CallCost cost; /* OPERATE: by the key's algorithm instead */
        bool (*asks_tpm)(Bytes body, size_t n_fds); /* NULL: never; see signer/peek.h */
} RequestInfo;

/* For CALL_FREE: 0 with the lock held shared and a store open, or HF_E_STORE_LOCKED without it. */
int call_lock_open(Call *call);
void call_unlock(Call *call);
/* A slots file out of a body. -EPROTO, or as slots_parse(). */
int call_get_slots(WireReader *r, Slots *ret);
/* The same, of the store that is open: HF_E_STORE_LOCKED, HF_E_STORE_FOREIGN. Takes the lock for a moment. */
int call_get_own_slots(Call *call, WireReader *r, Slots *ret);
int call_put_slots(Call *call, const Slots *slots);
/* The secret behind descriptor `at`: HF_E_INVALID_FD if it is not there or not a sealed memfd. `ret` is on
 * the secret stack. */
int call_get_secret(const Call *call, size_t at, uint8_t ret[static SECRET_FD_MAX], size_t *ret_len);
/* Attributes out of a body: -EPROTO if there is no block, HF_E_INVALID_ARGS if it does not decode. */
int call_get_attributes(WireReader *r, KeyAttributes *ret);
/* Slots of a new store, as SIGNER_INIT describes them: fds, recovery code and all. `slots` is initialised. The lock is
 * not held. */
int call_make_slots(Call *call, const SignerInit *init, const uint8_t master[static MASTER_SIZE],
                Slots *slots, uint32_t *ret_slot);
/* What makes a slot of this kind, wherever it comes from: descriptor `*at` (moved on), the own credential, a new
 * recovery code, which goes out on the pipe, or the TPM. The lock is not held. */
typedef struct SlotMaking {
        SlotParams params; /* but for label and date */
        uint8_t secret[SECRET_FD_MAX];
        TpmSlot tpm;
} SlotMaking;
int call_prepare_slot(Call *call, SlotKind kind, const SignerSlotTpm *asked, const uint8_t tpm[static TPM_NAME_SIZE],
                size_t *at, SlotMaking *ret);
void slot_making_erase(SlotMaking *m);
/* Removes a counter that nobody will ask for. */
void call_drop_counter(Call *call, const TpmCounter *c);
/* This TPM's identity and a counter of its own for the store, where a TPM answers; else neither, and `ret` has no index. */
int call_claim_tpm(Call *call, const SealKeys *keys, const uint8_t auth[static COUNTER_AUTH_SIZE], Slots *slots, TpmCounter *ret);
/* The same for the store that is open, with the authorisation it has had from the beginning. */
int call_bind_tpm(Call *call, Slots *slots, TpmCounter *ret);
/* A key out of its envelope, or out of the cache. The lock is held. HF_E_KEY_MISMATCH: the envelope is not that of these
 * attributes. */
int call_open_key(Call *call, const KeyAttributes *a, Bytes encoded, Bytes wrapped, CacheLease *ret);
int call_put_opened(Call *call, const SealKeys *keys, uint32_t slot);

/* NULL for a type that has no row: there is no such request. */
const RequestInfo *request_find(uint16_t type);
/* What a request of this kind, and this one in particular, keeps a worker busy with. */
CallCost request_cost(const RequestInfo *info, const KeyAttributes *attributes, Bytes body, size_t n_fds);

int op_hello(Call *call);
int op_init(Call *call);
int op_recovery_check(Call *call);
int op_unlock(Call *call);
int op_lock(Call *call);
int op_slots(Call *call);
int op_slot_add(Call *call);
int op_slot_remove(Call *call);
int op_slot_change(Call *call);
int op_adopt(Call *call);
int op_tpm(Call *call);
int op_counter(Call *call);
int op_slot_reseal(Call *call);
int op_attest(Call *call);
int op_generate(Call *call);
int op_import(Call *call);
int op_rewrap(Call *call);
int op_operate(Call *call);
int op_checkpoint(Call *call);
int op_random(Call *call);
int op_rekey(Call *call);
int op_rekey_wrap(Call *call);
int op_rekey_commit(Call *call);
