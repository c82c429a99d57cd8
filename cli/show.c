/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results: tables for people (libsmartcols), JSON for programs, bytes for files. What is shown may come from
 * strangers (a CSR's subject, an error's text), so control characters never reach a terminal as they are;
 * smartcols sees to that in tables, print_value() in the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/secret.h"
#include "cli/cli.h"

static char *time_text(json_int_t usec)
{
        char text[CLOCK_TEXT_SIZE];

        if (usec == 0)
                return strdup("never");
        clock_format((uint64_t)usec, text);
        /* seconds are enough for a table */
        strcpy(text + sizeof("2026-11-21T03:47:58") - 1, "Z");
        return strdup(text);
}

static char *list_text(const json_t *list)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(65536);

        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *item = json_string_value(json_array_get(list, i));

                if (buffer_printf(&b, "%s%s", i ? " " : "", item ? item : "?") < 0)
                        return NULL;
        }
        return strndup((const char *)b.data ?: "", b.len);
}

/* A value as text, to be freed; "" for what is not there. */
static char *value_text(const json_t *v, ColumnKind kind)
{
        char number[32];

        switch (json_typeof(v)) {
        case JSON_STRING:
                return strdup(json_string_value(v));
        case JSON_TRUE:
        case JSON_FALSE:
                return strdup(json_is_true(v) ? "yes" : "no");
        case JSON_INTEGER:
                if (kind == COLUMN_TIME)
                        return time_text(json_integer_value(v));
                snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                return strdup(number);
        case JSON_ARRAY:
                return list_text(v);
        case JSON_OBJECT:
        case JSON_REAL:
        case JSON_NULL:
                break;
        }
        return strdup("");
}

int show_json(Cli *cli, json_t *value)
{
        (void)cli;
        if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0 || fputc('\n', stdout) == EOF)
                return EXIT_CODE_FAILED;
        return 0;
}

static int add_line(struct libscols_table *table, const json_t *object, const Column *columns)
{
        struct libscols_line *line = scols_table_new_line(table, NULL);

        if (!line)
                return -ENOMEM;
        for (size_t i = 0; columns[i].member; i++) {
                const json_t *v = json_object_get(object, columns[i].member);
                char *text = v ? value_text(v, columns[i].kind) : NULL;

                if (text && scols_line_refer_data(line, i, text) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void table_unrefp(struct libscols_table **t)
{
        scols_unref_table(*t);
}

int show_list(Cli *cli, json_t *list, const Column *columns)
{
        _cleanup_(table_unrefp) struct libscols_table *table = NULL;

        if (cli->options.json)
                return show_json(cli, list);
        if (json_array_size(list) == 0)
                return 0;
        table = scols_new_table();
        if (!table)
                return cli_fail_file(cli, "table", ENOMEM);
        scols_table_enable_noheadings(table, cli->options.no_legend);
        for (size_t i = 0; columns[i].member; i++)
                if (!scols_table_new_column(table, columns[i].heading, 0,
                                    columns[i].kind == COLUMN_NUMBER ? SCOLS_FL_RIGHT : 0))
                        return cli_fail_file(cli, "table", ENOMEM);
        for (size_t i = 0; i < json_array_size(list); i++)
                if (add_line(table, json_array_get(list, i), columns) < 0)
                        return cli_fail_file(cli, "table", ENOMEM);
        return scols_print_table(table) < 0 ? cli_fail_file(cli, "standard output", EIO) : 0;
}

/* Newlines of the daemon's own texts stay and are indented below each other. */
static void print_value(const char *heading, int width, const char *text)
{
        printf("%*s: ", width, heading);
        for (const char *p = text; *p; p++) {
                if (*p == '\n' && p[1])
                        printf("\n%*s  ", width, "");
                else if (*p == '\n')
                        continue;
                else if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        printf("\\x%02x", (unsigned char)*p);
                else
                        putchar(*p);
        }
        putchar('\n');
}

int show_object(Cli *cli, json_t *object, const Column *columns)
{
        int width = 0;

        if (cli->options.json)
                return show_json(cli, object);
        for (size_t i = 0; columns[i].member; i++)
                if ((int)strlen(columns[i].heading) > width)
                        width = (int)strlen(columns[i].heading);
        for (size_t i = 0; columns[i].member; i++) {
                const json_t *v = json_object_get(object, columns[i].member);
                _cleanup_free_ char *text = v ? value_text(v, columns[i].kind) : NULL;

                if (text && text[0])
                        print_value(columns[i].heading, width, text);
        }
        return 0;
}

/* Into a file as the shell would, so that /dev/null and pipes work too; one with a secret is the user's
 * alone. */
static int write_out(Cli *cli, BytesKind kind, HfSpan bytes)
{
        const char *path = cli->options.output;
        _cleanup_close_ int opened = -EBADF;
        int r;

        if (path && strcmp(path, "-") != 0) {
                opened = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
                                kind == BYTES_SECRET ? 0600 : 0666);
                if (opened < 0)
                        return cli_fail_file(cli, path, errno);
        }
        r = io_write_full(opened >= 0 ? opened : STDOUT_FILENO, bytes.data, bytes.len);
        if (!r && kind == BYTES_TEXT && (bytes.len == 0 || ((const char *)bytes.data)[bytes.len - 1] != '\n'))
                r = io_write_full(opened >= 0 ? opened : STDOUT_FILENO, "\n", 1); /* a JWK has none of its own */
        return r ? cli_fail_file(cli, opened >= 0 ? path : "standard output", r) : 0;
}

static int show_encoded(Cli *cli, BytesKind kind, const char *member, HfSpan bytes)
{
        size_t size = base64_size(bytes.len);
        char *text = malloc(size + 1);
        int r;

        if (!text)
                return cli_fail_file(cli, "base64", ENOMEM);
        base64_encode(bytes.data, bytes.len, text);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s}", member, text);

                r = j ? show_json(cli, j) : EXIT_CODE_FAILED;
        } else {
                text[size - 1] = '\n';
                r = write_out(cli, kind, (HfSpan){text, size});
        }
        secret_erase(text, size);
        free(text);
        return r;
}

int show_bytes(Cli *cli, BytesKind kind, const char *member, HfSpan bytes)
{
        bool to_terminal = !cli->options.output && isatty(STDOUT_FILENO);

        if (kind == BYTES_TEXT && cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s%}", member, bytes.data, bytes.len);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        if (cli->options.json || cli->options.base64 || (kind != BYTES_TEXT && to_terminal))
                return show_encoded(cli, kind, member, bytes);
        return write_out(cli, kind, bytes);
}
