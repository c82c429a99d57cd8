/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * holdfast: finds the verb, reads its options and runs it. Options that every verb takes may also stand in
 * front of the noun.
 */
#include <locale.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"

static int unknown(const char *noun, const char *name)
{
        fprintf(stderr, "holdfast: There is no verb '%s%s%s'; `holdfast help` shows all. (Usage)\n",
                        noun ? noun : "", noun ? " " : "", name);
        return EXIT_CODE_USAGE;
}

/* argv[0] is in front of the arguments and is what getopt puts before its complaints. */
static int run_verb(Cli *cli, int argc, char **argv)
{
        const Verb *v = cli->verb;
        char prefix[64];
        int first, r;

        snprintf(prefix, sizeof(prefix), "holdfast: %s%s%s", v->noun ? v->noun : "", v->noun ? " " : "",
                        v->name);
        argv[0] = prefix;
        if (!options_parse(argc, argv, v->noun, v->name, v->options, false, &cli->options, &first))
                return EXIT_CODE_USAGE;
        if (cli->options.help) {
                help_verb(v);
                return 0;
        }
        cli->args = argv + first;
        cli->n_args = argc - first;
        if (cli->n_args < v->min || cli->n_args > v->max)
                return cli_usage(cli, "It takes %s%s; see `holdfast help%s%s %s`.",
                                v->max == 0 ? "no arguments" : "", v->arguments, v->noun ? " " : "",
                                v->noun ? v->noun : "", v->name);
        r = v->run(cli);
        hf_disconnect(cli->connection);
        if (fflush(stdout) == EOF && r == 0)
                return cli_fail_with(cli, EXIT_CODE_FAILED, "EIO", "Standard output could not be written.");
        return r;
}

int main(int argc, char **argv)
{
        Cli cli = {0};
        const char *noun = NULL;
        int at;

        setlocale(LC_CTYPE, "C.UTF-8");
        if (!options_parse(argc, argv, NULL, NULL, "version", true, &cli.options, &at))
                return EXIT_CODE_USAGE;
        if (cli.options.version)
                cli.verb = verbs_find(NULL, "version");
        else if (at == argc) {
                help_all();
                return cli.options.help ? 0 : EXIT_CODE_USAGE;
        } else if (help_has_noun(argv[at])) {
                noun = argv[at++];
                if (at == argc || argv[at][0] == '-') {
                        help_noun(noun);
                        return at < argc && (strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "--help") == 0) ? 0
                                                                                                              : EXIT_CODE_USAGE;
                }
        }
        if (!cli.verb)
                cli.verb = verbs_find(noun, argv[at]);
        if (!cli.verb)
                return unknown(noun, argv[at]);
        if (cli.options.version)
                return cli.verb->run(&cli);
        return run_verb(&cli, argc - at, argv + at);
}
