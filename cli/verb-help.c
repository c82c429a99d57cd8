/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* help and version, made from the tables; `help --list` is what completion and the tests of the manual page
 * read. */
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"

static void print_verb(const Verb *v)
{
        char left[80];

        snprintf(left, sizeof(left), "%s%s%s %s", v->noun ? v->noun : "", v->noun ? " " : "", v->name,
                        v->arguments);
        printf("  %-30s %s\n", left, v->summary);
}

static void print_all(const char *noun)
{
        const Verb *table;

        for (size_t i = 0; (table = verbs_table(i)); i++)
                for (const Verb *v = table; v->name; v++)
                        if (!noun || (v->noun && strcmp(v->noun, noun) == 0))
                                print_verb(v);
}

static void print_options(const char *noun, const char *verb, const char *names)
{
        while (*names) {
                size_t len = strcspn(names, " ");
                const OptionRow *row = options_find(noun, verb, names, len);
                char left[64];

                if (row) {
                        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", row->letter ? '-' : ' ',
                                        row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
                                        row->argument ? " " : "", row->argument ? row->argument : "");
                        printf("  %-30s %s\n", left, row->help);
                }
                names += len;
                names += strspn(names, " ");
        }
}

void help_verb(const Verb *v)
{
        printf("holdfast %s%s%s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", v->noun ? v->noun : "",
                        v->noun ? " " : "", v->name, v->arguments[0] ? " " : "", v->arguments, v->summary);
        print_options(v->noun, v->name, v->options);
        print_options(v->noun, v->name, options_common);
}

void help_noun(const char *noun)
{
        printf("holdfast %s VERB [OPTIONS] [ARGUMENTS]\n\n", noun);
        print_all(noun);
}

void help_all(void)
{
        printf("holdfast [NOUN] VERB [OPTIONS] [ARGUMENTS]\n\nUse keys that live in the Holdfast keystore, "
               "and keep it.\n\n");
        print_all(NULL);
        printf("\nOptions everywhere:\n");
        print_options(NULL, NULL, options_common);
        printf("\nholdfast help NOUN [VERB] shows the options of a verb. See holdfast(1).\n");
}

/* NOUN|- VERB OPTION... */
static void list_all(void)
{
        const Verb *table;

        for (size_t i = 0; (table = verbs_table(i)); i++)
                for (const Verb *v = table; v->name; v++)
                        printf("%s %s %s%s%s\n", v->noun ? v->noun : "-", v->name, options_common,
                                        v->options[0] ? " " : "", v->options);
}

static bool is_asked_for(const Verb *v, const char *first, const char *second)
{
        if (!first)
                return true;
        return v->noun && strcmp(v->noun, first) == 0 ? !second || strcmp(v->name, second) == 0
                                                      : !v->noun && !second && strcmp(v->name, first) == 0;
}

/* The tables themselves, for programs: all, those of a noun, or one. */
static int show_tables(Cli *cli, const char *first, const char *second)
{
        _cleanup_json_ json_t *all = json_array();
        const Verb *table;

        for (size_t i = 0; (table = verbs_table(i)); i++)
                for (const Verb *v = table; v->name; v++)
                        if (is_asked_for(v, first, second))
                                json_array_append_new(all,
                                                json_pack("{s:s, s:s, s:s, s:s, s:s}", "noun", v->noun ? v->noun : "",
                                                                "verb", v->name, "arguments", v->arguments, "options",
                                                                v->options, "summary", v->summary));
        return show_json(cli, all);
}

bool help_has_noun(const char *noun)
{
        const Verb *table;

        for (size_t i = 0; (table = verbs_table(i)); i++)
                if (table->noun && strcmp(table->noun, noun) == 0)
                        return true;
        return false;
}

static int run_help(Cli *cli)
{
        const char *first = cli->n_args > 0 ? cli->args[0] : NULL;
        const char *second = cli->n_args > 1 ? cli->args[1] : NULL;
        const Verb *v;

        if (cli->options.list) {
                list_all();
                return 0;
        }
        v = !first ? NULL : second ? verbs_find(first, second) : verbs_find(NULL, first);
        if (first && !v && (second || !help_has_noun(first)))
                return cli_usage(cli, "There is no verb '%s%s%s'; `holdfast help` shows all.", first, second ? " " : "",
                                second ? second : "");
        if (cli->options.json)
                return show_tables(cli, first, second);
        if (v)
                help_verb(v);
        else if (first)
                help_noun(first);
        else
                help_all();
        return 0;
}

static int run_version(Cli *cli)
{
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:s}", "version", HOLDFAST_VERSION);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        puts("holdfast " HOLDFAST_VERSION);
        return 0;
}

const Verb verbs_help[] = {
                {NULL, "help", "[NOUN] [VERB]", 0, 2, "list", "Show what there is", run_help},
                {NULL, "version", "", 0, 0, "", "Show the version", run_version},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
