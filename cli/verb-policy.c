/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy: what would be decided, and loading the rules anew. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define GROUPS_MAX 1024

static const Column explain_columns[] = {
                {"verdict", "Verdict", COLUMN_TEXT},
                {"rule", "Rule", COLUMN_TEXT},
                {"source", "Source", COLUMN_TEXT},
                {"text", "Why", COLUMN_TEXT},
                {"suggestion", "Would allow it", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* A name or a number; groups as the name service has them now. */
static int add_user(Cli *cli, CallArgs *args, gid_t *groups)
{
        const char *user = cli->options.user;
        const struct passwd *pw = getpwnam(user);
        int n = GROUPS_MAX;
        uint64_t uid;

        if (!pw) {
                if (user[0] < '0' || user[0] > '9')
                        return cli_usage(cli, "There is no user '%s'.", user);
                if (!cli_number(cli, "--user", user, 0, UINT32_MAX - 1, &uid))
                        return EXIT_CODE_USAGE;
                args_number(args, "user", HF_ARG_U32, uid);
                return 0;
        }
        args_number(args, "user", HF_ARG_U32, pw->pw_uid);
        args_string(args, "name", user);
        if (getgrouplist(user, pw->pw_gid, groups, &n) < 0)
                return cli_usage(cli, "User '%s' is in more than %d groups.", user, GROUPS_MAX);
        args->items[args->n++] = (HfArg){
                        .option = "groups", .type = HF_ARG_NUMBERS, .numbers = groups, .n_items = (size_t)n};
        return 0;
}

static int run_explain(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ gid_t *groups = calloc(GROUPS_MAX, sizeof(gid_t));
        CallArgs args = {0};
        int r = 0;

        if (!groups)
                return cli_fail_file(cli, "groups", ENOMEM);
        cli->hint = "OPERATION is one of those that `man holdfast-policy` lists: sign, decrypt, create, "
                    "unlock and so on.";
        args_string(&args, NULL, cli->args[0]);
        args_string(&args, NULL, cli->n_args > 1 ? cli->args[1] : "");
        if (cli->options.user)
                r = add_user(cli, &args, groups);
        args_string(&args, "unit", cli->options.unit);
        args_string(&args, "algorithm", cli->options.algorithm);
        args_string(&args, "scheme", cli->options.scheme);
        if (r == 0)
                r = cli_call(cli, CALL_MANAGER("Explain", &args, .idempotent = true), &reply);
        return r ? r : show_object(cli, json_array_get(reply, 0), explain_columns);
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
                {"policy", "explain", "OPERATION [KEY]", 1, 2, "user unit algorithm scheme",
                                "Say which rule would decide, and why", run_explain},
                {"policy", "reload", "", 0, 0, "accept-accounts", "Load the rules anew; with an error the old ones stay",
                                run_reload},
                {"policy", "grant", "KEY RULE", 2, 2, "uses", "Give a key the counted uses (uses=) of a rule anew", run_grant},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
