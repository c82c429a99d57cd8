/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Events of the audit log
 *
 * The one table of event names and their fields; docs/formats/audit.md shows the same table and a test holds
 * the two against each other. A line of an event, or with a field, that is not in the table cannot be made:
 * that is a mistake of ours, so it is an error that no input from outside can cause.
 *
 * Flags say what the rest of the room must know about an event:
 *   CHANGE    moves the store: carries `state`, is followed by `done` or `undone` (audit_log_append()).
 *   USE       stands for one private operation of the signer; the verifier counts these against `ops`.
 *   RESERVE   may use the last piece of a full log, so that what was begun can be ended in order.
 */
#include <stdbool.h>
#include <stddef.h>

#define AUDIT_FIELDS_MAX 20
#define AUDIT_EVENT_NAME_MAX 32

typedef enum AuditFieldType {
        _AUDIT_FIELD_INVALID = 0,
        AUDIT_STR,  /* JSON string, ASCII with \u escapes */
        AUDIT_U64,  /* JSON number, 0 to 2^64 - 1, no sign, no fraction */
        AUDIT_HEX,  /* JSON string of lower-case hex digits */
        AUDIT_UUID, /* JSON string, 36 lower-case characters */
        _AUDIT_FIELD_TYPE_MAX,
} AuditFieldType;

enum {
        AUDIT_EVENT_CHANGE = 1u << 0,
        AUDIT_EVENT_USE = 1u << 1,
        AUDIT_EVENT_RESERVE = 1u << 2,
};

typedef struct AuditField {
        const char *name;
        AuditFieldType type;
        bool required; /* a line without it is refused when it is appended */
} AuditField;

typedef struct AuditEvent {
        const char *name;
        unsigned flags;
        AuditField fields[AUDIT_FIELDS_MAX]; /* ends at the first without a name */
} AuditEvent;

/* NULL for a name that has no row. */
const AuditEvent *audit_event_find(const char *name);
/* The whole table, sorted by name. */
const AuditEvent *audit_events(size_t *ret_n);
/* "str", "u64", "hex", "uuid". */
const char *audit_field_type_to_string(AuditFieldType type);
