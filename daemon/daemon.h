/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfastd in one struct
 *
 * One loop, one thread that owns all of this. Beside it run the writer of the audit log (room audit/) and
 * workers for what would block (daemon/worker.h); none touches anything here but what is handed to it.
 */
#include <stdatomic.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "daemon/anchor.h"
#include "daemon/caller.h"
#include "daemon/config.h"
#include "daemon/signer-client.h"
#include "daemon/tpm-state.h"
#include "daemon/vault.h"
#include "daemon/worker.h"
#include "policy/decide.h"

typedef struct Change Change;
typedef struct Connection Connection;
typedef struct Listener Listener;
typedef struct Operation Operation;
typedef struct SystemBus SystemBus;
typedef struct UseLane UseLane;
typedef struct User User;

#define DAEMON_LISTENERS_MAX 8
#define USE_LANES 2 /* Lane of daemon/user.h */

/* Whose turn it is in one lane. */
typedef struct UseTurn {
        UseLane *first, *last;
        size_t n_in_work; /* of all users, given to the signer */
} UseTurn;

/* Who came last, and whether somebody else had come shortly before: see daemon/user.h. */
typedef struct Sharing {
        uid_t uid;
        uint64_t at, until; /* monotonic */
} Sharing;

struct Daemon {
        Config config;
        sd_event *event;
        uint64_t started; /* wall clock */
        int exit_code;
        atomic_bool stopping; /* the loop has ended; workers look at it too */

        SignerClient *signer;
        Worker *worker;   /* of the store */
        Worker *exporter; /* writes to descriptors of callers, who may be slow */
        Worker *reader;   /* looks through the log */
        Vault vault;

        Policy *policy;
        struct Accounts *accounts; /* who the names of its rules were */
        PolicyLimits *limits;
        char policy_hash[65];
        char policy_problem[POLICY_PROBLEM_TEXT_SIZE]; /* why the last load was refused, or empty */

        /* daemon/connection.c */
        Listener *listeners[DAEMON_LISTENERS_MAX];
        size_t n_listeners;
        int listen_results[CONFIG_LIST_MAX]; /* of config.listen: why there is none, or 0 */
        Connection *connections, *waiting_connections;
        size_t n_connections;
        SystemBus *system_bus;

        /* daemon/user.c: accounting by uid, and whose turn it is */
        User *users;
        UseTurn turns[USE_LANES];
        size_t n_queued;
        size_t n_in_work; /* uses given to the signer */
        Sharing calls, uses;
        size_t use_shared_max;
        bool use_left_out; /* somebody's turn waits for a line or a result of his */
        bool use_held;
        bool use_ended; /* we stop: nobody else's hold begins or ends any more */
        void (*use_drained)(void *userdata);
        void *use_drained_userdata;
        sd_event_source *patience; /* operations wait for the signer only so long */
        sd_event_source *flood;

        /* daemon/bus.c: calls that came while the signer was being restarted */
        Operation *parked_first, *parked_last;

        /* daemon/operation.c: replies that wait for their line to be durable, in the order of the lines */
        Operation *waiting_first, *waiting_last;

        /* daemon/change.c: one at a time */
        Change *change_first, *change_last;
        size_t change_together; /* so many at the front are being made */
        bool change_running;
        bool change_held;
        void (*change_drained)(void *userdata);
        void *change_drained_userdata;

        /* daemon/checkpoint.c */
        bool sealing;
        sd_event_source *seal_timer;
        struct SealWaiter *seal_waiters;

        sd_event_source *ca_timer; /* daemon/ca-crl.c */
        uint64_t ca_warned;        /* when the journal was last told of lists that run out; monotonic */
        struct CaIssuer *ca_issuer; /* daemon/ca.c: the last one that was asked for */

        Anchor anchor;
        TpmWatch tpm;
};

/* `accept`: names that have become others are meant (daemon/accounts.h). */
int daemon_load_policy(Daemon *d, const Caller *caller, bool accept, PolicyProblem *ret_problem);
/* The log cannot be written, or the outcome of a commit is unknown: nobody gets success any more; end and
 * recover. */
void daemon_abandon(Daemon *d, const char *why);
