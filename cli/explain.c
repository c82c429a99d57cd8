/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/explain.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#define GROUPS_MAX 1024

/* A name or a number; groups as the name service has them now. */
static int add_user(Cli *cli, const char *user, CallArgs *args, gid_t *groups)
{
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

int explain_ask(Cli *cli, const ExplainQuestion *q, json_t **ret)
{
        _cleanup_free_ gid_t *groups = calloc(GROUPS_MAX, sizeof(gid_t));
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r = 0;

        if (!groups)
                return cli_fail_file(cli, "groups", ENOMEM);
        args_string(&args, NULL, q->operation);
        args_string(&args, NULL, q->key);
        if (q->user)
                r = add_user(cli, q->user, &args, groups);
        args_string(&args, "unit", q->unit);
        args_string(&args, "algorithm", q->algorithm);
        args_string(&args, "scheme", q->scheme);
        args_string(&args, "profile", q->profile);
        args_string(&args, "socket", q->socket);
        if (r == 0)
                r = cli_call(cli, CALL_MANAGER("Explain", &args, .idempotent = true), &reply);
        if (r == 0)
                *ret = json_incref(json_array_get(reply, 0));
        return r;
}
