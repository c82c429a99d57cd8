/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Options
 *
 * One table of all options of all verbs; a verb names the ones it takes. So an option means the same
 * everywhere, and help, completion and manual page are checked against this table.
 */
#include <stdbool.h>
#include <stddef.h>

#define OPTION_LIST_MAX 64

typedef struct OptionList {
        const char *items[OPTION_LIST_MAX + 1]; /* ends in NULL */
        size_t n;
} OptionList;

typedef struct Options {
        /* everywhere */
        bool help, version, json, no_legend, quiet, yes, bus;
        /* keys and data */
        const char *algorithm, *purpose, *protection, *for_user, *format, *scheme, *encoding, *output;
        bool digest, retired, base64;
        const char *aad, *salt, *info, *length, *oaep_label;
        OptionList dns, ip, uri, email;
        /* slots and secrets */
        const char *slot, *label, *passphrase_file, *passphrase_fd, *recovery_file;
        bool unattended, accept_rollback, accept_accounts;
        const char *pcr, *signed_policy;
        bool pin;
        /* attestation */
        const char *nonce, *nonce_file, *ak_fingerprint, *ek_root;
        /* policy */
        const char *user, *unit, *socket;
        /* verification and connections */
        const char *connect, *timeout, *at, *crl, *cms;
        /* private CAs */
        const char *ca, *name, *parent, *profile, *days, *path_length, *reason, *text, *metadata, *hours, *csr;
        const char *device_id, *device_label, *device_type, *hardware, *firmware;
        OptionList set, signers;
        bool csv, pem, der, as_text, rekey, anew, without_backup;
        /* audit */
        const char *chain, *trust, *layout; /* cert */
        OptionList pins;
        const char *uses, *from, *limit, *event, *caller, *since, *key, *expect, *before, *archived;
        bool follow, list;
        /* programs */
        bool once, write;
        const char *seen, *config;
} Options;

typedef enum OptionKind {
        OPTION_FLAG, /* bool */
        OPTION_TEXT, /* const char * */
        OPTION_MANY, /* OptionList */
} OptionKind;

typedef struct OptionRow {
        const char *noun; /* of that noun's verbs only, in the place of the row without one; NULL: of any */
        const char *verb; /* of that verb of the noun only, in the place of both; NULL: of any */
        const char *name;
        char letter; /* 0: none */
        OptionKind kind;
        size_t offset; /* in Options */
        const char *argument;
        const char *help;
} OptionRow;

/* The options that every verb takes, as a list of names. */
extern const char options_common[];

/* What the name means for this verb of this noun (NULL: those that stand alone); NULL for a name that is none. */
const OptionRow *options_find(const char *noun, const char *verb, const char *name, size_t len);

/*
 * Reads argv[1] to argv[argc - 1], options and arguments in any order; argv[0] stands in front of complaints, which go to
 * stderr. `names` are the verb's own, space between. Arguments are moved to the end; *ret_first is the first. With only_front,
 * reading stops at the first argument. False: a usage error, told.
 */
bool options_parse(int argc, char **argv, const char *noun, const char *verb, const char *names, bool only_front, Options *o,
                int *ret_first);
