/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"

#define CONFIG_FILE_MAX (64 * 1024)

typedef enum ValueType {
        VALUE_TEXT,
        VALUE_BOOL,   /* yes, no */
        VALUE_BUS,    /* system, none */
        VALUE_STALE,  /* ignore, fail */
        VALUE_LISTEN, /* one more path; empty: none of those before */
        VALUE_NUMBER, /* with K, M, G for 1024, 1024^2, 1024^3 */
} ValueType;

typedef struct ConfigKey {
        const char *name;
        ValueType type;
        size_t offset;
        size_t size;       /* of a text */
        uint64_t min, max; /* of a number */
} ConfigKey;

#define TEXT(key, field)                                                                                     \
        {                                                                                                    \
                key, VALUE_TEXT, offsetof(Config, field), sizeof(((Config *)0)->field), 0, 0                 \
        }
#define NUMBER(key, field, low, high)                                                                        \
        {                                                                                                    \
                key, VALUE_NUMBER, offsetof(Config, field), 0, low, high                                     \
        }

static const ConfigKey keys[] = {
                TEXT("state-directory", state_directory),
                TEXT("signer-socket", signer_socket),
                TEXT("importer-socket", importer_socket),
                {"listen", VALUE_LISTEN, 0, 0, 0, 0},
                TEXT("policy-directories", policy_directories),
                TEXT("profile-directories", profile_directories),
                TEXT("tls-directory", tls_directory),
                TEXT("pcr-signature", pcr_signature),
                {"policy-owner", VALUE_NUMBER, offsetof(Config, policy_owner), sizeof(uint32_t), 0,
                                UINT32_MAX - 1},
                {"import", VALUE_BOOL, offsetof(Config, import), 0, 0, 0},
                {"bus", VALUE_BUS, offsetof(Config, system_bus), 0, 0, 0},
                {"crl-stale", VALUE_STALE, offsetof(Config, ignore_stale_lists), 0, 0, 0},
                NUMBER("checkpoint-lines", checkpoint_lines, 1, 1024),
                NUMBER("checkpoint-seconds", checkpoint_seconds, 1, 86400),
                NUMBER("anchor-interval", anchor_interval, 1, 30 * 86400),
                NUMBER("segment-size", segment_size, 64 * 1024, 1024 * 1024 * 1024),
                NUMBER("max-keys", max_keys, 1, 1000000),
                NUMBER("max-connections", max_connections, 4, 65536),
                NUMBER("max-connections-per-user", max_connections_per_user, 1, 65536),
                NUMBER("max-jobs-per-user", max_jobs_per_user, 1, 4096),
};

void config_init(Config *c)
{
        *c = (Config){
                        .state_directory = "/var/lib/holdfast",
                        .signer_socket = "/run/holdfast-signer/socket",
                        .importer_socket = "/run/holdfast-signer/import",
                        .policy_directories = "/etc/holdfast/policy.d /usr/lib/holdfast/policy.d",
                        .profile_directories = "/etc/holdfast/profiles /usr/lib/holdfast/profiles",
                        .tls_directory = "/var/lib/holdfast-tls",
                        .pcr_signature = "/etc/holdfast/tpm2-pcr-signature.json /run/systemd/tpm2-pcr-signature.json "
                                         "/usr/lib/systemd/tpm2-pcr-signature.json",
                        .system_bus = true,
                        .checkpoint_lines = 1024,
                        .checkpoint_seconds = 60,
                        .anchor_interval = 3600,
                        .segment_size = 16 << 20,
                        .max_keys = 200000,
                        .max_connections = 1024,
                        .max_connections_per_user = 256,
                        .max_jobs_per_user = 64,
        };
}

static int parse_number(const ConfigKey *k, const char *value, uint64_t *ret)
{
        static const char units[] = "KMG";
        unsigned long long v;
        const char *unit;
        char *end;

        errno = 0;
        v = strtoull(value, &end, 10);
        if (errno || end == value || *value == '-' || *value == '+')
                return HF_E_INVALID_ARGS;
        if (*end) {
                unit = strchr(units, *end);
                if (!unit || end[1] || v > UINT64_MAX >> 30)
                        return HF_E_INVALID_ARGS;
                v <<= 10 * (unit - units + 1);
        }
        if (v < k->min || v > k->max)
                return HF_E_INVALID_ARGS;
        *ret = v;
        return 0;
}

static int add_listen(Config *c, const char *value)
{
        if (!*value) {
                c->n_listen = 0;
                return 0;
        }
        if (*value != '/' || strlen(value) >= CONFIG_PATH_SIZE || c->n_listen == CONFIG_LIST_MAX)
                return HF_E_INVALID_ARGS;
        strcpy(c->listen[c->n_listen++], value);
        return 0;
}

static int set_either(bool *field, const char *value, const char *yes, const char *no)
{
        if (strcmp(value, yes) && strcmp(value, no))
                return HF_E_INVALID_ARGS;
        *field = strcmp(value, yes) == 0;
        return 0;
}

static int set_value(Config *c, const ConfigKey *k, const char *value)
{
        uint8_t *field = (uint8_t *)c + k->offset;
        uint64_t number;
        int r;

        switch (k->type) {
        case VALUE_TEXT:
                if (strlen(value) >= k->size)
                        return HF_E_INVALID_ARGS;
                strcpy((char *)field, value);
                return 0;
        case VALUE_BOOL:
                return set_either((bool *)field, value, "yes", "no");
        case VALUE_BUS:
                return set_either((bool *)field, value, "system", "none");
        case VALUE_STALE:
                return set_either((bool *)field, value, "ignore", "fail");
        case VALUE_LISTEN:
                return add_listen(c, value);
        case VALUE_NUMBER:
                r = parse_number(k, value, &number);
                if (!r && k->size == sizeof(uint32_t))
                        *(uint32_t *)field = (uint32_t)number;
                else if (!r)
                        *(uint64_t *)field = number;
                return r;
        }
        return HF_E_INTERNAL;
}

int config_set(Config *c, const char *key, const char *value, const char *where)
{
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                if (strcmp(keys[i].name, key))
                        continue;
                if (set_value(c, &keys[i], value) == 0)
                        return 0;
                log_error("%s: `%s` is no good value for %s; see holdfast.conf(5)", where, value, key);
                return HF_E_INVALID_ARGS;
        }
        log_error("%s: unknown setting `%s`; see holdfast.conf(5)", where, key);
        return HF_E_INVALID_ARGS;
}

static char *strip(char *s)
{
        char *end;

        s += strspn(s, " \t\r");
        end = s + strlen(s);
        while (end > s && strchr(" \t\r", end[-1]))
                *--end = '\0';
        return s;
}

static int read_line(Config *c, const char *path, unsigned number, char *line)
{
        char where[CONFIG_TEXT_MAX + 32], *key = strip(line), *value;

        if (*key == '\0' || *key == '#' || *key == ';' || *key == '[')
                return 0;
        snprintf(where, sizeof(where), "%s:%u", path, number);
        value = strchr(key, '=');
        if (!value) {
                log_error("%s: a line is key=value; see holdfast.conf(5)", where);
                return HF_E_INVALID_ARGS;
        }
        *value++ = '\0';
        return config_set(c, strip(key), strip(value), where);
}

int config_read_file(Config *c, const char *path, bool required)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CONFIG_FILE_MAX);
        unsigned number = 0;
        char *rest, *line;
        int r;

        r = io_read_file(AT_FDCWD, path, &text);
        if (r == -ENOENT && !required)
                return 0;
        if (!r)
                r = buffer_append(&text, "", 1);
        if (!r && (size_t)snprintf(c->file, sizeof(c->file), "%s", path) >= sizeof(c->file))
                r = -ENAMETOOLONG;
        if (r) {
                log_error("%s: %s", path, strerror(-r));
                return r;
        }
        if (strlen((char *)text.data) + 1 < text.len) {
                log_error("%s: holds a NUL character, behind which nothing would be read", path);
                return HF_E_INVALID_ARGS;
        }
        rest = (char *)text.data;
        while (!r && (line = strsep(&rest, "\n")))
                r = read_line(c, path, ++number, line);
        return r;
}

static int print_help(void)
{
        printf("holdfastd [--config=FILE] [--KEY=VALUE...]\n\n"
               "The keystore service. Keys and their values are those of holdfast.conf(5):\n");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                printf("  --%s=...\n", keys[i].name);
        printf("See holdfastd(8).\n");
        return HF_E_NOTHING_TO_DO;
}

static int set_argument(Config *c, const char *argument)
{
        char key[64];
        const char *value = strchr(argument, '=');

        if (strncmp(argument, "--", 2) || !value || (size_t)(value - argument) - 2 >= sizeof(key)) {
                log_error("holdfastd: unknown argument `%s`; see holdfastd(8)", argument);
                return HF_E_INVALID_ARGS;
        }
        snprintf(key, sizeof(key), "%.*s", (int)(value - argument - 2), argument + 2);
        return strcmp(key, "config") ? config_set(c, key, value + 1, "command line") : 0;
}

int config_from_arguments(Config *c, int argc, char **argv)
{
        const char *file = NULL;
        int r;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--help") == 0)
                        return print_help();
                if (strcmp(argv[i], "--version") == 0) {
                        puts("holdfastd " HOLDFAST_VERSION);
                        return HF_E_NOTHING_TO_DO;
                }
                if (strncmp(argv[i], "--config=", 9) == 0)
                        file = argv[i] + 9;
        }
        r = config_read_file(c, file ? file : CONFIG_FILE, file != NULL);
        for (int i = 1; !r && i < argc; i++)
                r = set_argument(c, argv[i]);
        return r;
}
