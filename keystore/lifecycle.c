/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/lifecycle.h"

#include "base/error.h"

typedef struct ActionInfo {
        uint32_t set, clear; /* flags afterwards */
        bool makes_version;  /* the change is a new envelope */
        bool changes;        /* refused for a frozen key */
} ActionInfo;

static const ActionInfo actions[_KEY_ACTION_MAX] = {
                [KEY_ACTION_USE] = {},
                [KEY_ACTION_ENABLE] = {.clear = KEY_FLAG_DISABLED, .makes_version = true, .changes = true},
                [KEY_ACTION_DISABLE] = {.set = KEY_FLAG_DISABLED, .makes_version = true, .changes = true},
                [KEY_ACTION_FREEZE] = {.set = KEY_FLAG_FROZEN, .makes_version = true},
                [KEY_ACTION_RETIRE] = {.set = KEY_FLAG_RETIRED, .makes_version = true, .changes = true},
                [KEY_ACTION_DESTROY] = {.changes = true},
                [KEY_ACTION_LOSE] = {.set = KEY_FLAG_LOST, .makes_version = true},
};

static const ActionInfo *action_info(KeyAction action)
{
        return action > _KEY_ACTION_INVALID && action < _KEY_ACTION_MAX ? &actions[action] : NULL;
}

static uint32_t flags_after(const KeyEntry *e, const ActionInfo *info)
{
        return (e->flags | info->set) & ~info->clear;
}

int lifecycle_check(const KeyEntry *e, KeyAction action)
{
        const ActionInfo *info = action_info(action);

        if (!info)
                return HF_E_INVALID_ARGS;
        if (action == KEY_ACTION_USE)
                return e->flags & KEY_FLAG_LOST       ? HF_E_KEY_LOST
                       : e->flags & KEY_FLAG_DISABLED ? HF_E_KEY_DISABLED
                                                      : 0;
        if (info->changes && (e->flags & KEY_FLAG_FROZEN))
                return HF_E_KEY_FROZEN;
        if (info->makes_version && flags_after(e, info) == e->flags)
                return HF_E_NOTHING_TO_DO;
        return e->version == UINT32_MAX ? HF_E_LIMIT_EXCEEDED : 0;
}

int lifecycle_next(const KeyEntry *e, KeyAction action, KeyAttributes *ret)
{
        const ActionInfo *info = action_info(action);
        KeyAttributes next;
        int r;

        if (!info || !info->makes_version)
                return HF_E_INVALID_ARGS;
        r = lifecycle_check(e, action);
        if (r)
                return r;
        r = key_entry_decode(e, &next);
        if (r)
                return r;
        next.version++;
        next.flags = flags_after(e, info);
        *ret = next;
        return 0;
}

int lifecycle_check_new(const Catalogue *c, const char *name)
{
        Uuid uuid;

        if (!name_is_valid(name) || uuid_parse(name, &uuid))
                return HF_E_INVALID_NAME;
        if (catalogue_find_name(c, name))
                return HF_E_KEY_EXISTS;
        return catalogue_count(c) >= catalogue_keys_max(c) ? HF_E_LIMIT_EXCEEDED : 0;
}
