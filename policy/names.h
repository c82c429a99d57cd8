/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names met while loading
 *
 * One hash table that lives as long as a load: users and groups that were looked up (each is asked for once,
 * a name service may be slow), and the names of rules (each may be given once).
 */
#include "policy/arena.h"
#include "policy/policy.h"

typedef enum NameKind {
        NAME_USER,
        NAME_GROUP,
        NAME_RULE,
} NameKind;

typedef struct NameEntry {
        const char *name; /* NULL: an empty place */
        NameKind kind;
        int result; /* of the look-up: 0 or why not */
        uint32_t id;
        const PolicyRule *rule;
} NameEntry;

typedef struct NameTable {
        NameEntry *entries;
        size_t n, size; /* size is 0 or a power of two */
} NameTable;

/* The entry of this name; *ret_new says whether it was just made, with only name and kind set. The pointer is
 * good until the next call. The name is not copied. 0, -ENOMEM. */
int name_table_get(NameTable *t, NameKind kind, const char *name, NameEntry **ret, bool *ret_new);
void name_table_deinit(NameTable *t);
