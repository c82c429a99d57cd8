/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Operation: one call, answered exactly once
 *
 * Made when a call comes in, it knows who asks, what and about which key, carries the work from step to step,
 * and dies with its reply. A reply that tells of something in the audit log leaves when the line is durable,
 * not before.
 */
#include "base/error.h"
#include "daemon/daemon.h"

typedef enum MethodFlags {
        METHOD_KEY = 1u << 0,    /* the object is a key */
        METHOD_DIRECT = 1u << 1, /* the result is secret: direct socket only */
        METHOD_IDENTITY = 1u << 2,     /* the object is an identity; the key is the one it stands on */
        METHOD_KEY_ARGUMENT = 1u << 3, /* the handler finds the key by an argument */
        METHOD_AUTHORITY = 1u << 4,    /* the object is a private CA; the key is its own */
        _METHOD_OF_KEY = METHOD_KEY | METHOD_IDENTITY | METHOD_KEY_ARGUMENT | METHOD_AUTHORITY,
} MethodFlags;

typedef struct Method {
        const char *interface;
        const char *member;
        const char *in, *out; /* D-Bus signatures */
        unsigned states;      /* VAULT_... that answer it; 0: ready */
        unsigned flags;
        PolicyOperation operation; /* asked before the handler runs; _INVALID: the handler asks, when it has
                                      read enough */
        int (*handle)(Operation *op); /* 0: answered or under way; else the operation fails with this result
                                       */
} Method;

typedef struct UseItem {
        Operation *op;
        Bytes payload;   /* borrowed from the call */
        uint64_t seq;    /* its line */
        uint8_t *result; /* owned */
        size_t result_len;
} UseItem;

struct Operation {
        Daemon *daemon;
        sd_bus_message *call;
        Caller *caller;
        User *user;
        Connection *connection; /* NULL: came over the system bus */
        const Method *method;
        Policy *policy;           /* the snapshot this call is decided by */
        char key_text[NAME_SIZE]; /* as the path has it: a name or a UUID */
        KeyEntry *key;            /* NULL: there is none */
        IdentityEntry *identity;  /* of METHOD_IDENTITY; NULL: there is none */
        char rule[256];           /* that allowed it, for the log */
        bool system_caller;       /* started by ourselves */

        /* uses: daemon/use.c */
        const char *event;
        SignerOp use;
        Scheme scheme;
        uint32_t flags, length;
        Bytes aux, salt;
        UseItem *items;
        size_t n_items, n_sent, n_done;
        bool many;   /* SignMany */
        bool queued; /* not all items are sent */
        int failure; /* first one */
        uint64_t failure_seq;
        uint64_t uses_limit;
        char uses_rule[NAME_SIZE];
        size_t uses_taken;
        size_t n_unused; /* items that were sent, and the key was surely not used for them */
        int (*finish)(Operation *op, sd_bus_message *reply); /* appends the results */
        Operation *queue_next;
        uint64_t queued_at;

        /* everything else a handler has to keep */
        void *data;
        void (*data_free)(void *data);

        /* the answer, waiting for line `answer_seq` */
        sd_bus_message *answer;
        uint64_t answer_seq;
        Operation *waiting_prev, *waiting_next;
};

int operation_new(Daemon *d, sd_bus_message *call, Caller *caller, User *user, Connection *connection,
                Operation **ret);

/* What we do by ourselves, as ourselves: nobody is answered, and op->call is NULL. */
int operation_new_internal(Daemon *d, Operation **ret);

/*
 * May the caller do this? 0; otherwise the refusal has been written to the log and the operation has been
 * answered: OPERATION_ANSWERED. `key` NULL where none is concerned; a key that is not there, or that the
 * caller may not know of, gives the same NoSuchKey.
 */
#define OPERATION_ANSWERED (-0x7fff)
typedef struct Question {
        PolicyOperation operation;
        const char *key_name; /* NULL: op->key's */
        const char *algorithm;
        const char *scheme;
        const char *profile; /* ca-issue */
        uint32_t count;
        bool keyless; /* concerns no key though the method is one of a key */
} Question;
int operation_authorise(Operation *op, const Question *q);
/* Policy has allowed it, but the key does not: written to the log as a refusal, and answered with `r`. */
void operation_refuse(Operation *op, PolicyOperation operation, int r);
/* The same without log, answer and limits. */
bool operation_may(const Operation *op, PolicyOperation operation, const KeyEntry *key);
void operation_request(
                const Operation *op, PolicyOperation operation, const KeyEntry *key, PolicyRequest *ret);

/* Answers. Each frees the operation. */
void operation_fail(Operation *op, int r);
void operation_fail_because(Operation *op, int r, const char *format, ...)
                __attribute__((format(printf, 3, 4)));
void operation_send(Operation *op, sd_bus_message *reply); /* takes the reference */
void operation_done(Operation *op);                        /* an empty reply */
int operation_reply_new(Operation *op, sd_bus_message **ret);

/* The same, when line `seq` is durable. */
void operation_fail_at(Operation *op, uint64_t seq, int r, const char *sentence);
void operation_send_at(Operation *op, uint64_t seq, sd_bus_message *reply);
/* Lines up to `durable` are on the disk. */
void operation_flush(Daemon *d, uint64_t durable);
/* The log failed: everyone who waits gets LogFailed. */
void operation_fail_waiting(Daemon *d);

/* Fills in the fields that say who asked. */
void operation_audit_caller(const Operation *op, AuditLine *line);
void audit_line_caller(AuditLine *line, const Caller *caller, const char *rule);

/* ---- uses of a key: daemon/use.c ---- */

/* Asked and allowed already; op->items and the fields beside them are set. Queues it; answers by itself. */
int use_start(Operation *op);
/* Gives the signer what it has room for, fairly. */
void use_pump(Daemon *d);
/* Whoever waits for the signer waits so long and not longer. */
void use_patience(Daemon *d);
/* No further use is given to the signer; `drained` is called when the last one is back, perhaps at once. Ends
 * with d->use_held = false. */
void use_hold(Daemon *d, void (*drained)(void *userdata), void *userdata);
/* The same for good, in the place of whoever waits to be told; who comes later is not. */
void use_end(Daemon *d, void (*drained)(void *userdata), void *userdata);
/* Everything queued fails with this. */
void use_fail_queued(Daemon *d, int r);
