/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast, the command
 *
 * A noun, a verb under it, options and arguments. Each noun is a file verb-*.c with a table of its verbs; a
 * verb is a function that gets a Cli and returns an exit code. Results go to stdout, talk to stderr; nothing
 * is asked unless a person is there (a terminal), and then the answer can also be given by an option.
 *
 * A verb that fails says so once, by one of the cli_fail functions, and returns what they return.
 */
#include <holdfast-admin.h>
#include <jansson.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "dbus/errors.h"

typedef struct Cli Cli;

typedef struct Verb {
        const char *noun; /* NULL: the verb stands alone, as `holdfast sign` */
        const char *name;
        const char *arguments; /* as usage shows them */
        int min, max;          /* how many */
        const char *options;   /* besides the common ones */
        const char *summary;
        int (*run)(Cli *cli);
} Verb;

struct Cli {
        const Verb *verb;
        Options options;
        char **args; /* args[n_args] is NULL */
        int n_args;
        HfConnection *connection; /* NULL until cli_connect() */
        const char *hint;         /* what the arguments must be: told where holdfastd says only InvalidArgs */
};

/* Tables of verbs; each ends with a row without name. */
extern const Verb verbs_init[], verbs_store[], verbs_doctor[], verbs_key[], verbs_use[], verbs_slot[],
                verbs_policy[], verbs_audit[], verbs_attest[], verbs_backup[], verbs_cert[], verbs_ca[],
                verbs_run[], verbs_setup[], verbs_help[];
extern const Verb verbs_check[], verbs_verify[];
/* Table number i, NULL behind the last. */
const Verb *verbs_table(size_t i);
/* noun NULL: a verb that stands alone. NULL: there is none. */
const Verb *verbs_find(const char *noun, const char *name);

/* cli.c */

/* 0 or an HfResult that is not told yet. */
int cli_connect(Cli *cli);
/* "holdfast: key create: SENTENCE (NAME)"; the sentence is hf_error_sentence(). Returns the exit code of
 * result. */
int cli_fail(Cli *cli, int result);
/* The same with a sentence of our own. */
int cli_fail_with(Cli *cli, int exit_code, const char *name, const char *format, ...)
                __attribute__((format(printf, 4, 5)));
/* A file or descriptor failed us: "PATH: text". EXIT_CODE_FAILED, or EXIT_CODE_NOT_FOUND for ENOENT. */
int cli_fail_file(Cli *cli, const char *path, int error);
int cli_usage(Cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Talk: to stderr, unless --quiet. */
void cli_talk(const Cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Asks a yes-or-no question unless --yes; without a terminal that is a usage error. 0: go on. */
int cli_confirm(Cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for what nobody is to do by habit: the answer is this name, typed. */
int cli_confirm_name(Cli *cli, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A decimal number in a text argument. False after having told a usage error, whose exit code is
 * EXIT_CODE_USAGE. */
bool cli_number(Cli *cli, const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* call.c: the answer as JSON: an array of the out arguments, byte strings as base64. NULL ret: it does not
 * matter. */

/* 0 or an HfResult that is not told yet. Connects if need be. */
int cli_try(Cli *cli, const HfCall *call, json_t **ret);
/* Tells what cli_try() gave; the exit code of it. */
int cli_end(Cli *cli, int r);
/* 0 or an exit code, told. */
int cli_call(Cli *cli, const HfCall *call, json_t **ret);
/* The same where the answer is one `ay`: borrowed from *ret_reply, which is to be freed. */
int cli_call_bytes(Cli *cli, const HfCall *call, sd_bus_message **ret_reply, HfSpan *ret);

static inline void reply_unrefp(sd_bus_message **m)
{
        sd_bus_message_unref(*m);
}

/* json_decrefp() is jansson's own */
#define _cleanup_json_ _cleanup_(json_decrefp)
#define _cleanup_reply_ _cleanup_(reply_unrefp)

/* Counted arguments for an HfCall. */
#define CALL_ARGS_MAX 16
typedef struct CallArgs {
        HfArg items[CALL_ARGS_MAX];
        size_t n;
} CallArgs;

void args_string(CallArgs *a, const char *option, const char *value); /* NULL value: nothing, for an option */
void args_flag(CallArgs *a, const char *option, bool value);          /* false: nothing */
void args_number(CallArgs *a, const char *option, HfArgType type, uint64_t value);
void args_fd(CallArgs *a, const char *option, int fd); /* negative: nothing, for an option */
void args_bytes(CallArgs *a, const char *option, HfSpan value);
void args_strings(CallArgs *a, const char *option, const OptionList *list); /* empty: nothing */

#define CALL_MANAGER(m, a, ...)                                                                              \
        (&(HfCall){.path = HF_ADMIN_MANAGER, .member = m, .args = (a)->items, .n_args = (a)->n, __VA_ARGS__})
#define CALL_AUDIT(m, a, ...)                                                                                \
        (&(HfCall){.path = HF_ADMIN_AUDIT, .member = m, .args = (a)->items, .n_args = (a)->n, __VA_ARGS__})
#define CALL_KEY(k, m, a, ...)                                                                               \
        (&(HfCall){.key = k, .member = m, .args = (a)->items, .n_args = (a)->n, __VA_ARGS__})
/* Work that may take long: ten minutes. */
#define CALL_LONG (600 * 1000000ULL)

/* show.c: results for people and programs. */

typedef enum ColumnKind {
        COLUMN_TEXT,   /* strings, numbers and lists as they are, booleans as yes and no */
        COLUMN_TIME,   /* microseconds since 1970; 0 is "never" */
        COLUMN_NUMBER, /* to the right */
} ColumnKind;

typedef struct Column {
        const char *member, *heading;
        ColumnKind kind;
} Column;

/* A list of objects as a table; with --json as it is. Columns end with a NULL member. 0 or an exit code. */
int show_list(Cli *cli, json_t *list, const Column *columns);
/* One object as lines "Heading: value", members without a value left out; with --json as it is. */
int show_object(Cli *cli, json_t *object, const Column *columns);
int show_json(Cli *cli, json_t *value);

typedef enum BytesKind {
        BYTES_BINARY, /* a terminal gets base64 */
        BYTES_TEXT,   /* goes to a terminal as it is */
        BYTES_SECRET, /* binary; a file made for it is the user's alone */
} BytesKind;

/* Bytes of a result: to --output, or to stdout; base64 with --base64. With --json the object {MEMBER:
 * base64}, for BYTES_TEXT {MEMBER: text}. */
int show_bytes(Cli *cli, BytesKind kind, const char *member, HfSpan bytes);

/* input.c */

/* Everything in the file (NULL or "-": standard input) up to limit bytes; more is MessageTooLarge. 0 or an
 * exit code. */
int input_read(Cli *cli, const char *path, size_t limit, Buffer *ret);
/* The same of what goes over a bus: a file that holds a private key (PEM) is refused here. */
int input_read_public(Cli *cli, const char *path, size_t limit, Buffer *ret);
/* A checkpoint note as a C string; line ends that an editor or a shell put behind it are taken off. */
int input_note(Cli *cli, const char *path, Buffer *ret);
/* The bytes of an option value: the text itself, or for @FILE the file's. */
int input_value(Cli *cli, const char *value, size_t limit, Buffer *ret);
/* "2026-11-21", RFC 3339 in UTC, or "2h" ago; microseconds since 1970. */
bool input_time(const char *text, uint64_t now, uint64_t *ret);

/* pem.c (RFC 7468) */

/* Appends the block with its BEGIN and END lines. 0 or -errno. */
int pem_encode(const char *label, HfSpan der, Buffer *ret);
/* The first block of this label in text, in place of it. False: there is none, and the buffer is as it was.
 */
bool pem_decode(const char *label, Buffer *b);

/* verb-audit.c */

/* The records from `from` on that changed the store, up to the last restore. 0 or an HfResult that is not told yet. */
int audit_changes(Cli *cli, uint64_t from, json_t **ret);
/* One record, for a person. */
void audit_print_record(const json_t *record);

/* passphrase.c: secrets of people. They are read into secret memory and leave it only as a sealed descriptor.
 */

/* From --passphrase-file or --passphrase-fd, else asked on the terminal (twice if it is a new one). *ret_fd
 * is to be closed. 0 or an exit code. */
int passphrase_get(Cli *cli, const char *prompt, bool is_new, int *ret_fd);
/* Did the user give one by an option? */
bool passphrase_given(const Cli *cli);

/* recovery.c: the recovery code on its way from the signer to paper and back. */

typedef struct Recovery {
        int read_fd, write_fd; /* the pipe; write_fd goes into the call */
        int file_fd;           /* --recovery-file, until the code is in it */
        const char *path;
} Recovery;

#define RECOVERY_NULL ((Recovery){.read_fd = -EBADF, .write_fd = -EBADF, .file_fd = -EBADF})
/* The pipe, and the file if one is asked for: before the call, which may not be taken back. */
int recovery_open(Cli *cli, Recovery *r);
/* A file without a code in it is removed. */
void recovery_close(Recovery *r);
/* After the call: reads the code and shows it, or writes it to --recovery-file; only then *ret_fd is the code
 * as a descriptor for ConfirmRecovery, otherwise a person has to type it. 0 or an exit code. */
int recovery_take(Cli *cli, Recovery *r, int *ret_fd);
/* Can a code be shown or written here at all? Otherwise a usage error, told. */
int recovery_check(Cli *cli);
