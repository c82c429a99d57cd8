/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The security argument as a table: a request without a row does not exist.
 */
#include "base/cleanup.h"
#include "signer/call.h"
#include "signer/peek.h"

static const RequestInfo requests[] = {
                {SIGNER_HELLO, "hello", op_hello, false, CALL_SHARED, COST_QUICK},
                {SIGNER_INIT, "init", op_init, false, CALL_FREE, COST_ARGON, peek_always},
                {SIGNER_RECOVERY_CHECK, "recovery-check", op_recovery_check, true, CALL_SHARED, COST_QUICK},
                {SIGNER_UNLOCK, "unlock", op_unlock, false, CALL_FREE, COST_ARGON, peek_unlock},
                {SIGNER_LOCK, "lock", op_lock, false, CALL_ALONE, COST_MEDIUM},
                {SIGNER_SLOTS, "slots", op_slots, false, CALL_SHARED, COST_QUICK},
                {SIGNER_SLOT_ADD, "slot-add", op_slot_add, true, CALL_FREE, COST_ARGON, peek_slot_kind},
                {SIGNER_SLOT_REMOVE, "slot-remove", op_slot_remove, true, CALL_FREE, COST_QUICK},
                {SIGNER_SLOT_CHANGE, "slot-change", op_slot_change, true, CALL_FREE, COST_ARGON, peek_slot_id},
                {SIGNER_ADOPT, "adopt", op_adopt, true, CALL_FREE, COST_QUICK, peek_always},
                {SIGNER_TPM, "tpm", op_tpm, false, CALL_FREE, COST_QUICK, peek_always},
                {SIGNER_COUNTER, "counter", op_counter, true, CALL_FREE, COST_QUICK, peek_always},
                {SIGNER_SLOT_RESEAL, "slot-reseal", op_slot_reseal, true, CALL_FREE, COST_QUICK, peek_always},
                {SIGNER_GENERATE, "generate", op_generate, true, CALL_FREE, COST_HEAVY, peek_attributes},
                {SIGNER_IMPORT, "import", op_import, true, CALL_FREE, COST_HEAVY, peek_attributes},
                {SIGNER_REWRAP, "rewrap", op_rewrap, true, CALL_SHARED, COST_QUICK},
                {SIGNER_OPERATE, "operate", op_operate, true, CALL_FREE, COST_QUICK},
                {SIGNER_CHECKPOINT, "checkpoint", op_checkpoint, true, CALL_SHARED, COST_QUICK},
                {SIGNER_RANDOM, "random", op_random, false, CALL_SHARED, COST_QUICK},
                {SIGNER_REKEY, "rekey", op_rekey, true, CALL_FREE, COST_ARGON, peek_rekey},
                {SIGNER_REKEY_WRAP, "rekey-wrap", op_rekey_wrap, true, CALL_SHARED, COST_QUICK},
                {SIGNER_REKEY_COMMIT, "rekey-commit", op_rekey_commit, true, CALL_ALONE, COST_QUICK},
                {SIGNER_ATTEST, "attest", op_attest, true, CALL_FREE, COST_QUICK, peek_always},
};

const RequestInfo *request_find(uint16_t type)
{
        for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                if (requests[i].type == type)
                        return &requests[i];
        return NULL;
}

/* RSA's private operations take milliseconds, and making a pair of primes seconds. */
CallCost request_cost(const RequestInfo *info, const KeyAttributes *attributes, Bytes body, size_t n_fds)
{
        if (info->asks_tpm && info->asks_tpm(body, n_fds))
                return COST_TPM;
        if (info->type != SIGNER_OPERATE || !attributes)
                return info->cost;
        if (attributes->protection == PROTECTION_TPM)
                return COST_TPM;
        switch (attributes->algorithm) {
        case KEY_RSA2048:
        case KEY_RSA3072:
        case KEY_RSA4096:
                return COST_HEAVY;
        case KEY_P384:
                return COST_MEDIUM;
        case KEY_P256:
        case KEY_ED25519:
        case KEY_X25519:
        case KEY_HMAC256:
        case KEY_AES256:
        case _KEY_ALGORITHM_INVALID:
        case _KEY_ALGORITHM_MAX:
                break;
        }
        return COST_QUICK;
}
