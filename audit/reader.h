/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading the log
 *
 * Walks the segments in order and gives whole lines; a filter leaves some out. Needs no key. Beside a running
 * writer, `until` keeps it to what is durable. Memory is constant: one buffer of 64 KiB.
 */
#include "audit/record.h"
#include "base/cleanup.h"

typedef struct AuditReader AuditReader;

typedef struct AuditFilter {
        uint64_t from;     /* first sequence number wanted */
        uint64_t until;    /* last one; UINT64_MAX: as far as there are whole lines */
        const char *event; /* pattern with * and ?, NULL for all; copied */
        bool by_uid;
        uint64_t uid;   /* field `uid`, with by_uid */
        uint64_t since; /* microseconds since 1970; 0 for all */
} AuditFilter;

/* HF_E_STORE_UNINITIALISED: no segment there; HF_E_INVALID_ARGS: pattern. */
int audit_reader_new(int dir_fd, const AuditFilter *filter, AuditReader **ret);
AuditReader *audit_reader_free(AuditReader *reader);
DEFINE_CLEANUP(AuditReader, audit_reader_free)

/* The next line without its newline, valid until the next call. HF_E_NOTHING_TO_DO at the end (a later call
 * looks again, for `tail`: raise the limit with audit_reader_until()). HF_E_LOG_DAMAGED: not a line. */
int audit_reader_next(AuditReader *reader, AuditRecord *ret);
void audit_reader_until(AuditReader *reader, uint64_t until);

/* Export: writes whole lines, at most about `max` bytes in this call. 0: more to come; HF_E_NOTHING_TO_DO:
 * all is written; -EAGAIN: a non-blocking `fd` is full, call again when it is writable. */
int audit_reader_export(AuditReader *reader, int fd, size_t max);
/* Records and bytes given so far. */
void audit_reader_progress(const AuditReader *reader, uint64_t *ret_records, uint64_t *ret_bytes);
