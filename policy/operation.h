/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Operations
 *
 * Everything a caller can ask for, in one table. The names are what rules, `policy explain`, the audit field
 * `op` and the method table of the bus use; the numbers stay inside one process and may change between
 * versions. A method without an operation of this list does not exist.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum PolicyOperation {
        _POLICY_OP_INVALID = 0,
        POLICY_OP_DESCRIBE,
        POLICY_OP_LIST,
        POLICY_OP_PUBLIC,
        POLICY_OP_SIGN,
        POLICY_OP_SIGN_DIGEST,
        POLICY_OP_DECRYPT,
        POLICY_OP_AGREE,
        POLICY_OP_MAC,
        POLICY_OP_SEAL,
        POLICY_OP_UNSEAL,
        POLICY_OP_CSR,
        POLICY_OP_RANDOM,
        POLICY_OP_CREATE,
        POLICY_OP_IMPORT,
        POLICY_OP_ENABLE,
        POLICY_OP_DISABLE,
        POLICY_OP_FREEZE,
        POLICY_OP_DESTROY,
        POLICY_OP_CERT_SET,
        POLICY_OP_CERT_REMOVE,
        POLICY_OP_CA_INIT,
        POLICY_OP_CA_READ,
        POLICY_OP_CA_ISSUE,
        POLICY_OP_CA_REVOKE,
        POLICY_OP_CA_ENABLE,
        POLICY_OP_CRL_PUT,
        POLICY_OP_UNLOCK,
        POLICY_OP_LOCK,
        POLICY_OP_INIT,
        POLICY_OP_SLOT_LIST,
        POLICY_OP_SLOT_ADD,
        POLICY_OP_SLOT_REMOVE,
        POLICY_OP_SLOT_CHANGE,
        POLICY_OP_AUDIT_READ,
        POLICY_OP_AUDIT_EXPORT,
        POLICY_OP_AUDIT_PRUNE,
        POLICY_OP_BACKUP,
        POLICY_OP_RESTORE,
        POLICY_OP_RECOVER,
        POLICY_OP_REKEY,
        POLICY_OP_POLICY_READ, /* explain for other callers than oneself */
        POLICY_OP_POLICY_RELOAD,
        POLICY_OP_POLICY_GRANT, /* counted uses anew */
        POLICY_OP_CHECK, /* doctor */
        _POLICY_OP_MAX,
} PolicyOperation;

/* How an operation stands to keys, and so how the words key= and algorithm= of a rule apply to it. */
typedef enum PolicyKeyNeed {
        POLICY_KEY_NONE, /* concerns no key: a rule with key= matches only if it says key=*, with algorithm=
                            never */
        POLICY_KEY_ONE,  /* concerns one key: both words apply */
        POLICY_KEY_MANY, /* concerns the keys the caller may describe: asked without a key, both are passed
                          * over in allow rules, because each key it shows is decided by itself */
} PolicyKeyNeed;

typedef struct PolicyOperationInfo {
        const char *name;
        PolicyKeyNeed key;
        bool scheme;         /* runs by a scheme, so scheme= applies */
        bool profile;        /* issues under a profile of a CA, so profile= applies */
        bool secret;         /* its result is secret: given on the direct socket only */
        bool mutates;        /* changes store, slots, log or policy */
        const char *summary; /* for people: completes "may ..." */
} PolicyOperationInfo;

#define POLICY_OP_BIT(op) (1ULL << (op))

/* NULL for a number without a row. */
const PolicyOperationInfo *policy_operation_info(PolicyOperation op);
/* "sign-digest"; "invalid" for a number without a row. Never NULL. */
const char *policy_operation_to_string(PolicyOperation op);
/* _POLICY_OP_INVALID for unknown names, and for the names of groups. */
PolicyOperation policy_operation_from_string(const char *name);
/* The bits (POLICY_OP_BIT) that a word of op= stands for: one operation or a group (use, manage, operate,
 * audit, all). 0 for unknown words. */
uint64_t policy_operation_mask(const char *word);
/* Group number i with its name and bits, for help texts; false behind the last. */
bool policy_operation_group(size_t i, const char **ret_name, uint64_t *ret_mask);
