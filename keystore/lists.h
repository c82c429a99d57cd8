/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Revocation lists: the last of each CA here, and those handed in of CAs elsewhere
 *
 * What is known of each without its bytes, which stay in the store; sorted by place, so that those of CAs here come first. An
 * entry is immutable and counted, also across threads. Applying a change after COMMIT cannot fail:
 *
 *         store_begin, lists_put, store_set_seq, ... log line ..., store_commit, lists_apply
 */
#include "store/store.h"

#define LISTS_ELSEWHERE "crl@" /* how places of lists of CAs elsewhere begin */
#define LISTS_ELSEWHERE_MAX 64

typedef struct Lists Lists;

typedef struct ListEntry {
        unsigned refs;    /* atomic; use list_ref() and list_unref() */
        StoreListRow row; /* number and chain lie behind it, the list itself does not */
        uint8_t data[];
} ListEntry;

ListEntry *list_ref(ListEntry *e);
ListEntry *list_unref(ListEntry *e); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(ListEntry, list_unref)

int lists_new(Lists **ret);
Lists *lists_free(Lists *all);
DEFINE_CLEANUP(Lists, lists_free)
size_t lists_count(const Lists *all);
/* Borrowed until the next change; NULL behind the last, or where there is none. */
ListEntry *lists_at(const Lists *all, size_t i);
ListEntry *lists_find(const Lists *all, const char *place);
bool list_is_elsewhere(const ListEntry *e);
/* At load. HF_E_STORE_DAMAGED if the place is taken already, -ENOMEM. */
int lists_load(Lists *all, const StoreListRow *row);

/* What one change does. */
typedef struct ListChange {
        ListEntry *removed, *put;
} ListChange;

/* Drops the references; needed after apply and after a rollback alike. */
void list_change_deinit(ListChange *change);

/* In a transaction: writes the row, new or over the one of its place; its version is seen to here. HF_E_LIMIT_EXCEEDED
 * (LISTS_ELSEWHERE_MAX), -ENOMEM, and what store_put_list() returns. */
int lists_put(Store *store, Lists *all, const StoreListRow *row, ListChange *change);
/* In a transaction. HF_E_NOTHING_TO_DO. */
int lists_remove(Store *store, Lists *all, const char *place, ListChange *change);
/* After COMMIT; cannot fail. Does not free the change. */
void lists_apply(Lists *all, const ListChange *change);
