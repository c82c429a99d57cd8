/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The contract, served
 *
 * Both roads hand every message to bus_dispatch(), which finds the row of the method table, checks arguments'
 * types and the state of the vault, asks policy where the row says so, and calls the handler. What has no row
 * does not exist. Introspection gives the XML files of dbus/ as they are; properties are calls in the same
 * table.
 */
#include "daemon/operation.h"
#include "daemon/options.h"

int bus_dispatch(Daemon *d, sd_bus_message *m, Caller *caller, User *user, Connection *connection);

/* Calls that waited for the signer are run again: it is open, or the state says why it is not. */
void bus_run_parked(Daemon *d);

/* The tables, one file each. They end at a row without a member. */
extern const Method manager_methods[], key_methods[], identity_methods[], authority_methods[], audit_methods[];

/* options_read(); a failure has been answered with the option's name: OPERATION_ANSWERED. */
int read_options(Operation *op, const OptionSpec *specs, void *target);
/* The end of most handlers: sends the reply, or drops it and returns `r` when that is negative. */
int send_or_unref(Operation *op, sd_bus_message *reply, int r);
/* The end of what is done already: where the reply could not be made (`r` negative) the connection ends, because an error
 * would say that nothing was done. */
void send_done(Operation *op, sd_bus_message *reply, int r);

/* Values for replies. */
int reply_append_string(sd_bus_message *m, const char *key, const char *value); /* {sv} entries of a{sv} */
int reply_append_u32(sd_bus_message *m, const char *key, uint32_t value);
int reply_append_u64(sd_bus_message *m, const char *key, uint64_t value);
int reply_append_bool(sd_bus_message *m, const char *key, bool value);
int reply_append_bytes(sd_bus_message *m, const char *key, Bytes value);
int reply_append_strings(sd_bus_message *m, const char *key, const char *const *values);

/* What Describe says of a key, as an a{sv}. */
int key_append_description(const Daemon *d, sd_bus_message *m, const KeyEntry *key);
/* Object path of a key; free(). */
int key_path(const KeyEntry *key, char **ret);
/* One property of the Identity interface; as key_append_property(). */
int identity_append_property(const Daemon *d, sd_bus_message *m, const IdentityEntry *e, const char *name);
/* One property of the Key interface as a variant; -ENXIO for an unknown one. */
int key_append_property(sd_bus_message *m, const KeyEntry *key, const char *name);
