/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

static const char *const contents[] = {
                [OPTION_STRING] = "s",
                [OPTION_BOOL] = "b",
                [OPTION_U32] = "u",
                [OPTION_U64] = "t",
                [OPTION_FD] = "h",
                [OPTION_BYTES] = "ay",
                [OPTION_STRINGS] = "as",
                [OPTION_U32S] = "au",
};

static int read_value(sd_bus_message *m, OptionType type, void *field)
{
        const void *data;
        size_t len;
        int r, b;

        switch (type) {
        case OPTION_STRING:
                return sd_bus_message_read_basic(m, 's', field);
        case OPTION_BOOL:
                r = sd_bus_message_read_basic(m, 'b', &b);
                if (r > 0)
                        *(bool *)field = b;
                return r;
        case OPTION_U32:
                return sd_bus_message_read_basic(m, 'u', field);
        case OPTION_U64:
                return sd_bus_message_read_basic(m, 't', field);
        case OPTION_FD:
                return sd_bus_message_read_basic(m, 'h', field);
        case OPTION_STRINGS:
                return sd_bus_message_read_strv(m, field);
        case OPTION_BYTES:
        case OPTION_U32S:
                r = sd_bus_message_read_array(m, type == OPTION_BYTES ? 'y' : 'u', &data, &len);
                if (r >= 0)
                        *(Bytes *)field = BYTES(len ? data : "", len); /* given, also where there is nothing in it */
                return r;
        }
        return -EINVAL;
}

static const OptionSpec *find(const OptionSpec *specs, const char *name, uint32_t *ret_bit)
{
        for (size_t i = 0; specs[i].name; i++)
                if (strcmp(specs[i].name, name) == 0) {
                        *ret_bit = 1u << i;
                        return &specs[i];
                }
        return NULL;
}

int options_unreadable(int r)
{
        return r == -ENOMEM ? r : HF_E_INVALID_ARGS;
}

/* One {sv} entry, its container entered already. */
static int read_entry(sd_bus_message *m, const OptionSpec *specs, void *target, uint32_t *given,
                char bad[static 64])
{
        const OptionSpec *spec;
        const char *name;
        uint32_t bit;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return options_unreadable(r);
        snprintf(bad, 64, "%.63s", name);
        spec = find(specs, name, &bit);
        if (!spec || (*given & bit))
                return HF_E_INVALID_ARGS;
        r = sd_bus_message_enter_container(m, 'v', contents[spec->type]);
        if (r >= 0)
                r = read_value(m, spec->type, (uint8_t *)target + spec->offset);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return options_unreadable(r);
        *given |= bit;
        bad[0] = '\0';
        return 0;
}

int options_read(sd_bus_message *m, const OptionSpec *specs, void *target, uint32_t *ret_given,
                char ret_bad[static 64])
{
        uint32_t given = 0;
        int r;

        ret_bad[0] = '\0';
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return options_unreadable(r);
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_entry(m, specs, target, &given, ret_bad);
                if (r)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return options_unreadable(r);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return options_unreadable(r);
        if (ret_given)
                *ret_given = given;
        return 0;
}

void options_strings_free(char ***strings)
{
        for (char **s = *strings; s && *s; s++)
                free(*s);
        free(*strings);
        *strings = NULL;
}
