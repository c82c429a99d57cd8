/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Configuration of holdfastd
 *
 * `key=value` lines of holdfast.conf(5), the same keys as --key=value on the command line, which win. Unknown
 * keys and bad values are errors with file and line: a typo must not quietly change what a key service does.
 * No secret is ever a value here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE "/etc/holdfast/holdfast.conf"
#define CONFIG_TEXT_MAX 256
#define CONFIG_LIST_MAX 8
#define CONFIG_PATH_SIZE 108 /* of a socket: sun_path */

typedef struct Config {
        char file[CONFIG_TEXT_MAX]; /* that was read; "": none */
        char state_directory[CONFIG_TEXT_MAX];
        char signer_socket[CONFIG_TEXT_MAX];
        char importer_socket[CONFIG_TEXT_MAX];
        char listen[CONFIG_LIST_MAX][CONFIG_PATH_SIZE]; /* direct sockets to make ourselves, besides those handed over */
        size_t n_listen;
        char policy_directories[CONFIG_TEXT_MAX * 2];
        char profile_directories[CONFIG_TEXT_MAX * 2]; /* of private CAs */
        char tls_directory[CONFIG_TEXT_MAX]; /* "": identities have no files */
        char pcr_signature[CONFIG_TEXT_MAX * 2];
        uint32_t policy_owner;
        bool import;
        bool system_bus;
        bool ignore_stale_lists; /* crl-stale */
        uint64_t checkpoint_lines;
        uint64_t checkpoint_seconds;
        uint64_t anchor_interval; /* seconds */
        uint64_t segment_size;
        uint64_t max_keys;
        uint64_t max_connections;
        uint64_t max_connections_per_user;
        uint64_t max_jobs_per_user;
} Config;

/* The shipped values. */
void config_init(Config *c);
/* 0; HF_E_INVALID_ARGS or -errno after saying on stderr what is wrong and where. A missing default file is
 * fine. */
int config_read_file(Config *c, const char *path, bool required);
/* One key with its value; `where` is for the message. */
int config_set(Config *c, const char *key, const char *value, const char *where);
/* Command line: --config=FILE is read first, then the other options. --help and --version print and return
 * HF_E_NOTHING_TO_DO. */
int config_from_arguments(Config *c, int argc, char **argv);
