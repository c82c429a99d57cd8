/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls: arguments as they come from the command line, answers as JSON. The JSON members are those of the bus
 * interface (org.holdfast.Keystore1(5)), so one page documents both.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Nesting of an answer: aa{sv} with a list inside is five. */
#define DEPTH_MAX 16

static HfArg *add(CallArgs *a, const char *option, HfArgType type)
{
        HfArg *arg;

        if (a->n == CALL_ARGS_MAX)
                abort(); /* a verb of ours with more arguments than any has */
        arg = &a->items[a->n++];
        *arg = (HfArg){.option = option, .type = type};
        return arg;
}

void args_string(CallArgs *a, const char *option, const char *value)
{
        if (value || !option)
                add(a, option, HF_ARG_STRING)->string = value ? value : "";
}

void args_flag(CallArgs *a, const char *option, bool value)
{
        if (value)
                add(a, option, HF_ARG_BOOL)->number = 1;
}

void args_number(CallArgs *a, const char *option, HfArgType type, uint64_t value)
{
        add(a, option, type)->number = value;
}

void args_fd(CallArgs *a, const char *option, int fd)
{
        if (fd >= 0 || !option)
                add(a, option, HF_ARG_FD)->fd = fd;
}

void args_bytes(CallArgs *a, const char *option, HfSpan value)
{
        add(a, option, HF_ARG_BYTES)->bytes = value;
}

void args_strings(CallArgs *a, const char *option, const OptionList *list)
{
        if (list->n > 0)
                add(a, option, HF_ARG_STRINGS)->strings = list->items;
}

static json_t *value_to_json(sd_bus_message *m, unsigned depth);

static json_t *bytes_to_json(sd_bus_message *m)
{
        _cleanup_free_ char *text = NULL;
        const void *data;
        size_t len;

        if (sd_bus_message_read_array(m, 'y', &data, &len) < 0)
                return NULL;
        text = malloc(base64_size(len));
        if (!text)
                return NULL;
        base64_encode(data, len, text);
        return json_string(text);
}

static json_t *dict_to_json(sd_bus_message *m, const char *contents, unsigned depth)
{
        _cleanup_json_ json_t *object = json_object();
        const char *name;

        if (sd_bus_message_enter_container(m, 'a', contents) < 0)
                return NULL;
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0)
                if (sd_bus_message_read(m, "s", &name) < 0 ||
                                json_object_set_new(object, name, value_to_json(m, depth + 1)) < 0 ||
                                sd_bus_message_exit_container(m) < 0)
                        return NULL;
        return sd_bus_message_exit_container(m) < 0 ? NULL : TAKE_PTR(object);
}

static json_t *array_to_json(sd_bus_message *m, const char *contents, unsigned depth)
{
        _cleanup_json_ json_t *array = NULL;

        if (strcmp(contents, "y") == 0)
                return bytes_to_json(m);
        if (strcmp(contents, "{sv}") == 0)
                return dict_to_json(m, contents, depth);
        array = json_array();
        if (sd_bus_message_enter_container(m, 'a', contents) < 0)
                return NULL;
        while (sd_bus_message_at_end(m, false) == 0)
                if (json_array_append_new(array, value_to_json(m, depth + 1)) < 0)
                        return NULL;
        return sd_bus_message_exit_container(m) < 0 ? NULL : TAKE_PTR(array);
}

static json_t *basic_to_json(sd_bus_message *m, char type)
{
        union {
                const char *s;
                int b;
                uint32_t u;
                uint64_t t;
        } v;

        if (!strchr("sobut", type) || sd_bus_message_read_basic(m, type, &v) < 0)
                return NULL;
        switch (type) {
        case 'b':
                return json_boolean(v.b);
        case 'u':
                return json_integer(v.u);
        case 't':
                return json_integer((json_int_t)v.t);
        default:
                return json_string(v.s);
        }
}

/* NULL for what the contract does not have. */
static json_t *value_to_json(sd_bus_message *m, unsigned depth)
{
        const char *contents;
        json_t *value;
        char type;

        if (depth > DEPTH_MAX || sd_bus_message_peek_type(m, &type, &contents) <= 0)
                return NULL;
        if (type == 'a')
                return array_to_json(m, contents, depth);
        if (type != 'v')
                return basic_to_json(m, type);
        if (sd_bus_message_enter_container(m, 'v', contents) < 0)
                return NULL;
        value = value_to_json(m, depth + 1);
        if (value && sd_bus_message_exit_container(m) < 0) {
                json_decref(value);
                return NULL;
        }
        return value;
}

static int unreadable(Cli *cli)
{
        return cli_fail_with(cli, EXIT_CODE_FAILED, "VersionMismatch",
                        "The answer of holdfastd has another form than this command knows. Are both of one "
                        "version?");
}

/* What cli_try() gives when the answer cannot be read; no result of the contract. */
#define UNREADABLE (-1)

static int read_reply(sd_bus_message *reply, json_t **ret)
{
        _cleanup_json_ json_t *array = json_array();

        while (sd_bus_message_at_end(reply, true) == 0)
                if (json_array_append_new(array, value_to_json(reply, 0)) < 0)
                        return UNREADABLE;
        *ret = TAKE_PTR(array);
        return 0;
}

int cli_try(Cli *cli, const HfCall *call, json_t **ret)
{
        _cleanup_reply_ sd_bus_message *reply = NULL;
        int r;

        r = cli_connect(cli);
        if (r == 0)
                r = hf_call(cli->connection, call, &reply);
        return r || !ret ? r : read_reply(reply, ret);
}

int cli_end(Cli *cli, int r)
{
        if (r == UNREADABLE)
                return unreadable(cli);
        return r ? cli_fail(cli, r) : 0;
}

int cli_call(Cli *cli, const HfCall *call, json_t **ret)
{
        return cli_end(cli, cli_try(cli, call, ret));
}

int cli_call_bytes(Cli *cli, const HfCall *call, sd_bus_message **ret_reply, HfSpan *ret)
{
        _cleanup_reply_ sd_bus_message *reply = NULL;
        HfSpan span;
        int r;

        r = cli_connect(cli);
        if (r == 0)
                r = hf_call(cli->connection, call, &reply);
        if (r)
                return cli_fail(cli, r);
        if (sd_bus_message_read_array(reply, 'y', &span.data, &span.len) < 0)
                return unreadable(cli);
        *ret_reply = TAKE_PTR(reply);
        *ret = span;
        return 0;
}
