/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What happens while the store is locked
 *
 * Without the log key no line of the chain can be made. Start, stop and unlock attempts go to `locked.jsonl`
 * then: plain lines with time and event, 64 KiB at most, and behind that only a count. Recovery copies them
 * into the chain. Until then they are worth what the file system is worth, and the copies say so by their
 * name.
 */
#include "audit/log.h"

#define AUDIT_LOCKED_MAX (64u << 10)

/* Any event of the table. Synced before return when `sync`. 0 also when it was only counted. */
int audit_locked_append(int dir_fd, const AuditLine *line, bool sync);
/* Appends one `locked.copy` per line (and `locked.dropped` with the count), waits until they are durable,
 * then removes the file. If it is killed in between, the next run copies again: a copy can stand there twice.
 */
int audit_locked_copy(AuditLog *log, int dir_fd, uint64_t *ret_n);
