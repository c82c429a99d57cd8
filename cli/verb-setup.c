/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * setup: what a program needs to do TLS with a key it does not have. Shows it; with --write writes what is systemd's and
 * the policy's, and still only shows what is the program's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/name.h"
#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/grant.h"
#include "cli/plan.h"
#include "cli/recipe.h"
#include "cli/tls-files.h"
#include "dbus/names.h"

#define CONFIG_MAX (1024 * 1024)
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.@-"
#define UNIT_NAME_MAX 128

/* What the program's configuration says. */
typedef struct Found {
        char user[RECIPE_VALUE_SIZE], chroot[RECIPE_VALUE_SIZE], from[PATH_MAX + 64];
} Found;

/* The whole file, through a symlink too. */
static int read_config(const char *path, Buffer *ret)
{
        _cleanup_free_ char *real = realpath(path, NULL);
        int r = real ? io_read_file(AT_FDCWD, real, ret) : -errno;

        return r ? r : buffer_append(ret, "", 1);
}

/* What a unit can say as it is: nothing that systemd would take for a specifier, a quote or the next word. */
static bool is_plain_path(const char *path)
{
        return path[0] == '/' && path[strspn(path, "/" PLAIN)] == '\0';
}

static bool is_unit(const char *name)
{
        const char *dot = strrchr(name, '.');

        return dot && dot > name && strcmp(dot, ".service") == 0 && name[0] != '.' && name[0] != '-' &&
               name[strspn(name, PLAIN)] == '\0' && strlen(name) <= UNIT_NAME_MAX;
}

/* The user and where he was found; a default by name where the configuration says nothing. One that was named and cannot be
 * read is an error, told. */
static int look_into(Cli *cli, const Recipe *recipe, Found *ret)
{
        const char *path = cli->options.config ? cli->options.config : recipe->config;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CONFIG_MAX);
        int r = path ? read_config(path, &text) : -ENOENT;

        if (r && cli->options.config)
                return cli_fail_file(cli, path, r);
        if (r == 0 && recipe->chroot_word)
                (void)recipe_setting((const char *)text.data, recipe->chroot_word, ret->chroot);
        if (ret->chroot[0] && !is_plain_path(ret->chroot))
                return cli_usage(cli, "%s in %s is '%s', which is no absolute path of plain characters. Nothing was written.",
                                recipe->chroot_word, path, ret->chroot);
        if (r == 0 && recipe_setting((const char *)text.data, recipe->user_word, ret->user)) {
                snprintf(ret->from, sizeof(ret->from), "%s in %s", recipe->user_word, path);
        } else if (recipe->user) {
                strcpy(ret->user, recipe->user);
                snprintf(ret->from, sizeof(ret->from), "the default of %s; %s", recipe->name,
                                r ? "no configuration was found" : "its configuration names none");
        }
        if (cli->options.user) {
                snprintf(ret->user, sizeof(ret->user), "%s", cli->options.user);
                strcpy(ret->from, "--user");
        }
        return 0;
}

/* Usually the key has the identity's name; so it is taken to have where there is no such identity yet. */
static void find_key(Cli *cli, const char *name, char ret[static NAME_SIZE])
{
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *reply = NULL;
        const char *key = NULL;
        CallArgs args = {0};

        if (sd_bus_path_encode(HF_PATH_IDENTITY, name, &path) >= 0 &&
                        cli_try(cli,
                                        &(HfCall){.path = path,
                                                        .interface = HF_IFACE_IDENTITY,
                                                        .member = "Describe",
                                                        .args = args.items},
                                        &reply) == 0)
                key = json_string_value(json_object_get(json_array_get(reply, 0), "key"));
        snprintf(ret, NAME_SIZE, "%s", key ? key : name);
}

/* A key that was made for digests signs nothing else, and policy has another word for it. */
static const char *sign_operation(Cli *cli, const char *key)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};

        return cli_try(cli, CALL_KEY(key, "Describe", &args, .idempotent = true), &reply) == 0 &&
                                       json_is_true(json_object_get(json_array_get(reply, 0), "digest"))
                               ? "sign-digest"
                               : "sign";
}

/* Asks the policy whether the user may sign, on the socket that the program will reach. */
static int ask_rule(Cli *cli, const char *name, const Found *found, json_t **ret)
{
        _cleanup_free_ char *socket = NULL;
        char key[NAME_SIZE];

        if (found->chroot[0] && asprintf(&socket, "%s/run/holdfast/bus", found->chroot) < 0)
                return cli_fail_file(cli, "socket", ENOMEM);
        find_key(cli, name, key);
        return explain_ask(cli,
                        &(ExplainQuestion){.operation = sign_operation(cli, key),
                                        .key = key,
                                        .user = found->user[0] ? found->user : NULL,
                                        .socket = socket},
                        ret);
}

/* The rule's part of the plan. 0 or an exit code, told. */
static int settle_rule(Cli *cli, const Recipe *recipe, const char *name, const Found *found, json_t *plan)
{
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_free_ char *stem = NULL, *path = NULL;
        const char *verdict = "", *text = "", *existing = "", *source = "";
        int r = ask_rule(cli, name, found, &answer);

        if (r)
                return r;
        (void)json_unpack(answer, "{s:s, s:s, s:s, s:s}", "verdict", &verdict, "suggestion", &text, "rule", &existing, "source",
                        &source);
        if (asprintf(&stem, "%s-%s", name, recipe->name) < 0 || grant_path(stem, &path))
                return cli_fail_file(cli, "policy", ENOMEM);
        if (strcmp(verdict, "deny") != 0) /* spent or too often is no rule that is missing */
                return json_object_set_new(plan, "rule", json_pack("{s:s, s:s, s:s}", "state", "there", "text", existing, "path",
                                                                         source));
        if (!text[0]) {
                json_object_set_new(plan, "rule", json_pack("{s:s, s:s, s:s}", "state", "denied", "text", existing, "path",
                                                                source));
                if (!existing[0])
                        return cli_fail_with(cli, EXIT_CODE_NOT_PERMITTED, "PurposeNotPermitted",
                                        "The key of %s was not made to sign, whatever the rules say.", name);
                return cli_fail_with(cli, EXIT_CODE_NOT_PERMITTED, "PolicyDenied",
                                "A rule forbids it, and no other can outweigh it: %s (%s).", existing, source);
        }
        if (cli->options.write)
                r = grant_write(cli, path, text, "A rule is missing");
        json_object_set_new(plan, "rule", json_pack("{s:s, s:s, s:s}", "state", cli->options.write && !r ? "written" : "missing",
                                                        "text", text, "path", path));
        return r;
}

static int check_arguments(Cli *cli, const Recipe *recipe)
{
        if (!recipe)
                return cli_usage(cli, "There are recipes for %s, not for '%s'.", recipe_names(), cli->args[0]);
        if (cli->options.write && geteuid() != 0)
                return cli_fail_with(cli, EXIT_CODE_NOT_PERMITTED, "EPERM",
                                "Units and rules are written by root. Nothing was written; without --write it is shown.");
        if (cli->options.unit && !is_unit(cli->options.unit))
                return cli_usage(cli, "--unit is the name of a service, such as nginx.service. Nothing was written.");
        return tls_check_name(cli, cli->args[1]);
}

static int run_setup(Cli *cli)
{
        const Recipe *recipe = recipe_find(cli->args[0]);
        _cleanup_free_ char *program = realpath("/proc/self/exe", NULL);
        _cleanup_json_ json_t *plan = NULL;
        const char *name = cli->args[1];
        Found found = {0};
        int r = check_arguments(cli, recipe), ruled;

        if (r == 0)
                r = look_into(cli, recipe, &found);
        if (r)
                return r;
        plan = plan_new(&(PlanParams){.recipe = recipe,
                        .name = name,
                        .unit = cli->options.unit ? cli->options.unit : recipe->unit,
                        .user = found.user[0] ? found.user : NULL,
                        .user_from = found.from[0] ? found.from : NULL,
                        .chroot = found.chroot,
                        .program = program ? program : "holdfast"});
        if (!plan)
                return cli_fail_file(cli, "setup", ENOMEM);
        ruled = settle_rule(cli, recipe, name, &found, plan);
        if (cli->options.write)
                r = plan_write_files(cli, plan);
        if (!cli->options.json)
                plan_print(plan);
        else if (!ruled && !r)
                return show_json(cli, plan);
        return ruled ? ruled : r;
}

const Verb verbs_setup[] = {
                {NULL, "setup", "PROGRAM NAME", 2, 2, "write user unit config",
                                "Show or write what nginx haproxy apache mosquitto stunnel curl need to use an identity",
                                run_setup},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
