/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One line in the making
 *
 * Lives on the caller's stack and never allocates. The fields are written in the order of the calls; sequence
 * number, link, time and MAC are put around them when the line is appended (audit/chain.h).
 *
 *        AuditLine line;
 *
 *        audit_line_init(&line, "key.sign");
 *        audit_line_uuid(&line, "key", &key->uuid);
 *        audit_line_str(&line, "name", key->name);
 *        audit_line_u64(&line, "uid", caller->uid);
 *        r = audit_log_append(log, &line, &seq);
 *
 * The first failure sticks in the line and comes back from the append: HF_E_INTERNAL for an event or field
 * that is not in the table, has another type or is given twice, or for a required field that is missing (of an
 * event that may have `with`: `state` or `with`);
 * HF_E_MESSAGE_TOO_LARGE for more than fits into AUDIT_LINE_MAX.
 *
 * Strings may come from strangers. Printable ASCII but " and \ stays as it is; those two get a backslash;
 * every other character becomes \uXXXX (a pair of them beyond U+FFFF); a byte that is not UTF-8 becomes the
 * four characters \xNN (so, in JSON, "\\xNN"). No line ever holds a byte outside 0x20 to 0x7e.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/event.h"
#include "base/uuid.h"

#define AUDIT_LINE_MAX 4096     /* with prefix, MAC and newline */
#define AUDIT_LINE_OVERHEAD 256 /* what is put around the fields, at most 243 */
#define AUDIT_BODY_MAX (AUDIT_LINE_MAX - AUDIT_LINE_OVERHEAD)

typedef struct AuditLine {
        const AuditEvent *event;
        int error;    /* first failure; 0 as long as all is well */
        uint32_t set; /* bit per field of the event that has been given */
        size_t len;   /* of text */
        uint64_t ref; /* value of the field `ref`, for done and undone */
        uint64_t with; /* value of the field `with`: one more line of that change; 0: none */
        bool has_state;
        uint8_t state[32];         /* value of the field `state`, for change lines */
        char text[AUDIT_BODY_MAX]; /* "event":"...", and the fields, each with its comma behind */
} AuditLine;

void audit_line_init(AuditLine *line, const char *event);
/* NULL leaves the field out. */
void audit_line_str(AuditLine *line, const char *field, const char *value);
void audit_line_strn(AuditLine *line, const char *field, const char *value, size_t len);
void audit_line_u64(AuditLine *line, const char *field, uint64_t value);
void audit_line_hex(AuditLine *line, const char *field, const void *data, size_t len);
void audit_line_uuid(AuditLine *line, const char *field, const Uuid *value);
/* 0, or what an append of it would refuse it with. */
int audit_line_check(const AuditLine *line);
