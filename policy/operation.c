/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of operations and the groups that rules may name instead. A group is a set of bits, so that a
 * rule is compared with a request by one AND.
 */
#include "policy/operation.h"

#include <string.h>

#include "base/cleanup.h"

static const PolicyOperationInfo table[_POLICY_OP_MAX] = {
                [POLICY_OP_DESCRIBE] = {.name = "describe",
                                .key = POLICY_KEY_ONE,
                                .summary = "see that a key exists"},
                [POLICY_OP_LIST] = {.name = "list",
                                .key = POLICY_KEY_MANY,
                                .summary = "list the keys it may describe"},
                [POLICY_OP_PUBLIC] = {.name = "public",
                                .key = POLICY_KEY_ONE,
                                .summary = "get the public key"},
                [POLICY_OP_SIGN] = {.name = "sign",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .summary = "sign messages"},
                [POLICY_OP_SIGN_DIGEST] = {.name = "sign-digest",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .summary = "sign bare digests with a key made for it"},
                [POLICY_OP_DECRYPT] = {.name = "decrypt",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .secret = true,
                                .summary = "decrypt"},
                [POLICY_OP_AGREE] = {.name = "agree",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .secret = true,
                                .summary = "agree on a secret with a peer"},
                [POLICY_OP_MAC] = {.name = "mac",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .summary = "make and check message authentication codes"},
                [POLICY_OP_SEAL] = {.name = "seal",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .summary = "encrypt own data"},
                [POLICY_OP_UNSEAL] = {.name = "unseal",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .secret = true,
                                .summary = "decrypt own data"},
                [POLICY_OP_CSR] = {.name = "csr",
                                .key = POLICY_KEY_ONE,
                                .scheme = true,
                                .summary = "make certificate signing requests"},
                [POLICY_OP_RANDOM] = {.name = "random", .summary = "get random bytes"},
                [POLICY_OP_CREATE] = {.name = "create",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "create keys"},
                [POLICY_OP_IMPORT] = {.name = "import",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "bring in keys from outside"},
                [POLICY_OP_ENABLE] = {.name = "enable",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "enable keys"},
                [POLICY_OP_DISABLE] = {.name = "disable",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "disable keys"},
                [POLICY_OP_FREEZE] = {.name = "freeze",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "make keys unchangeable for ever"},
                [POLICY_OP_DESTROY] = {.name = "destroy",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "destroy keys"},
                [POLICY_OP_CERT_SET] = {.name = "cert-set",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "put certificates beside keys"},
                [POLICY_OP_CERT_REMOVE] = {.name = "cert-remove",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "remove certificates of keys"},
                [POLICY_OP_CA_INIT] = {.name = "ca-init",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "make private CAs"},
                [POLICY_OP_CA_READ] = {.name = "ca-read",
                                .key = POLICY_KEY_ONE,
                                .summary = "see what a private CA issued"},
                [POLICY_OP_CA_ISSUE] = {.name = "ca-issue",
                                .key = POLICY_KEY_ONE,
                                .profile = true,
                                .mutates = true,
                                .summary = "have a private CA issue certificates"},
                [POLICY_OP_CA_REVOKE] = {.name = "ca-revoke",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "revoke certificates of a private CA"},
                [POLICY_OP_CA_ENABLE] = {.name = "ca-enable",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "wake a root that is at rest"},
                [POLICY_OP_CRL_PUT] = {.name = "crl-put",
                                .mutates = true,
                                .summary = "hand in revocation lists of CAs elsewhere"},
                [POLICY_OP_UNLOCK] = {.name = "unlock", .summary = "unlock the store"},
                [POLICY_OP_LOCK] = {.name = "lock", .summary = "lock the store"},
                [POLICY_OP_INIT] = {.name = "init", .mutates = true, .summary = "make the store"},
                [POLICY_OP_SLOT_LIST] = {.name = "slot-list", .summary = "list key slots"},
                [POLICY_OP_SLOT_ADD] = {.name = "slot-add", .mutates = true, .summary = "add key slots"},
                [POLICY_OP_SLOT_REMOVE] = {.name = "slot-remove",
                                .mutates = true,
                                .summary = "remove key slots"},
                [POLICY_OP_SLOT_CHANGE] = {.name = "slot-change",
                                .mutates = true,
                                .summary = "change key slots"},
                [POLICY_OP_AUDIT_READ] = {.name = "audit-read", .summary = "read the audit log"},
                [POLICY_OP_AUDIT_EXPORT] = {.name = "audit-export", .summary = "export the audit log"},
                [POLICY_OP_AUDIT_PRUNE] = {.name = "audit-prune",
                                .mutates = true,
                                .summary = "remove archived parts of the audit log"},
                [POLICY_OP_BACKUP] = {.name = "backup", .summary = "make backups"},
                [POLICY_OP_RESTORE] = {.name = "restore", .mutates = true, .summary = "restore a backup"},
                [POLICY_OP_RECOVER] = {.name = "recover",
                                .mutates = true,
                                .summary = "accept a store that was moved back"},
                [POLICY_OP_REKEY] = {.name = "rekey",
                                .mutates = true,
                                .summary = "give the store a new master key"},
                [POLICY_OP_POLICY_READ] = {.name = "policy-read",
                                .summary = "have decisions about others explained"},
                [POLICY_OP_POLICY_RELOAD] = {.name = "policy-reload",
                                .mutates = true,
                                .summary = "load the rules anew"},
                [POLICY_OP_POLICY_GRANT] = {.name = "policy-grant",
                                .key = POLICY_KEY_ONE,
                                .mutates = true,
                                .summary = "grant the counted uses of keys anew"},
                [POLICY_OP_CHECK] = {.name = "check", .summary = "have the installation checked"},
};

#define B(op) POLICY_OP_BIT(POLICY_OP_##op)

static const struct {
        const char *name;
        uint64_t mask;
} groups[] = {
                {"use", B(DESCRIBE) | B(PUBLIC) | B(SIGN) | B(SIGN_DIGEST) | B(DECRYPT) | B(AGREE) | B(MAC) |
                                                B(SEAL) | B(UNSEAL) | B(CSR)},
                {"manage", B(CREATE) | B(IMPORT) | B(ENABLE) | B(DISABLE) | B(FREEZE) | B(DESTROY) | B(LIST) |
                                                B(DESCRIBE) | B(PUBLIC) | B(CSR) | B(CERT_SET) |
                                                B(CERT_REMOVE)},
                {"ca", B(CA_INIT) | B(CA_READ) | B(CA_ISSUE) | B(CA_REVOKE) | B(CA_ENABLE) | B(CRL_PUT)},
                {"operate", B(UNLOCK) | B(LOCK) | B(INIT) | B(SLOT_LIST) | B(SLOT_ADD) | B(SLOT_REMOVE) |
                                                B(SLOT_CHANGE) | B(BACKUP) | B(RESTORE) | B(RECOVER) |
                                                B(REKEY) | B(CHECK) | B(POLICY_READ) | B(POLICY_RELOAD) |
                                                B(POLICY_GRANT)},
                {"audit", B(AUDIT_READ) | B(AUDIT_EXPORT) | B(AUDIT_PRUNE)},
                {"all", POLICY_OP_BIT(_POLICY_OP_MAX) - 1 - POLICY_OP_BIT(_POLICY_OP_INVALID)},
};

_Static_assert(_POLICY_OP_MAX < 64, "operations no longer fit into one mask");

const PolicyOperationInfo *policy_operation_info(PolicyOperation op)
{
        return op > _POLICY_OP_INVALID && op < _POLICY_OP_MAX ? &table[op] : NULL;
}

const char *policy_operation_to_string(PolicyOperation op)
{
        const PolicyOperationInfo *info = policy_operation_info(op);

        return info ? info->name : "invalid";
}

PolicyOperation policy_operation_from_string(const char *name)
{
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++)
                if (strcmp(table[op].name, name) == 0)
                        return op;
        return _POLICY_OP_INVALID;
}

uint64_t policy_operation_mask(const char *word)
{
        PolicyOperation op = policy_operation_from_string(word);

        if (op)
                return POLICY_OP_BIT(op);
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                if (strcmp(groups[i].name, word) == 0)
                        return groups[i].mask;
        return 0;
}

bool policy_operation_group(size_t i, const char **ret_name, uint64_t *ret_mask)
{
        if (i >= ELEMENTSOF(groups))
                return false;
        *ret_name = groups[i].name;
        *ret_mask = groups[i].mask;
        return true;
}
