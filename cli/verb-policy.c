/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy: what would be decided, and loading the rules anew. */
#include "cli/cli.h"
#include "cli/explain.h"

static const Column explain_columns[] = {
                {"verdict", "Verdict", COLUMN_TEXT},
                {"rule", "Rule", COLUMN_TEXT},
                {"source", "Source", COLUMN_TEXT},
                {"text", "Why", COLUMN_TEXT},
                {"suggestion", "Would allow it", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static int run_explain(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        const Options *o = &cli->options;
        int r;

        cli->hint = "OPERATION is one of those that `man holdfast-policy` lists: sign, decrypt, create, "
                    "unlock and so on.";
        r = explain_ask(cli, &(ExplainQuestion){.operation = cli->args[0],
                                        .key = cli->n_args > 1 ? cli->args[1] : "",
                                        .user = o->user,
                                        .unit = o->unit,
                                        .algorithm = o->algorithm,
                                        .scheme = o->scheme,
                                        .profile = o->profile,
                                        .socket = o->socket}, &reply);
        return r ? r : show_object(cli, reply, explain_columns);
}

static const Column reload_columns[] = {
                {"hash", "Hash", COLUMN_TEXT},
                {"rules", "Rules", COLUMN_TEXT},
                {"warnings", "Warnings", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static int run_reload(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        args_flag(&args, "accept-accounts", cli->options.accept_accounts);
        r = cli_call(cli, CALL_MANAGER("ReloadPolicy", &args), &reply);
        return r ? r : show_object(cli, json_array_get(reply, 0), reload_columns);
}

static int run_grant(Cli *cli)
{
        CallArgs args = {0};
        uint64_t uses;
        int r;

        args_string(&args, NULL, cli->args[1]);
        if (cli->options.uses) {
                if (!cli_number(cli, "--uses", cli->options.uses, 1, UINT64_MAX, &uses))
                        return EXIT_CODE_USAGE;
                args_number(&args, "uses", HF_ARG_U64, uses);
        }
        r = cli_call(cli, CALL_KEY(cli->args[0], "GrantUses", &args), NULL);
        if (r == 0)
                cli_talk(cli, "Key %s may be used again by rule %s.", cli->args[0], cli->args[1]);
        return r;
}

const Verb verbs_policy[] = {
                {"policy", "explain", "OPERATION [KEY]", 1, 2, "user unit algorithm scheme profile socket",
                                "Say which rule would decide, and why", run_explain},
                {"policy", "reload", "", 0, 0, "accept-accounts", "Load the rules anew; with an error the old ones stay",
                                run_reload},
                {"policy", "grant", "KEY RULE", 2, 2, "uses", "Give a key the counted uses (uses=) of a rule anew", run_grant},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
