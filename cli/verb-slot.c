/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slot: the ways to open the store. */
#include <string.h>

#include "cli/cli.h"
#include "cli/slot-args.h"

static const Column columns[] = {
                {"id", "ID", COLUMN_NUMBER},
                {"kind", "KIND", COLUMN_TEXT},
                {"label", "LABEL", COLUMN_TEXT},
                {"unattended", "UNATTENDED", COLUMN_TEXT},
                {"pcrs", "PCRS", COLUMN_TEXT},
                {"pin", "PIN", COLUMN_TEXT},
                {"signed-policy", "SIGNED", COLUMN_TEXT},
                {"key", "KEY", COLUMN_TEXT},
                {"created", "CREATED", COLUMN_TIME},
                {NULL, NULL, COLUMN_TEXT},
};

static int list(Cli *cli, json_t **ret)
{
        CallArgs args = {0};

        return cli_call(cli, CALL_MANAGER("ListSlots", &args, .idempotent = true), ret);
}

static int run_list(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        int r = list(cli, &reply);

        return r ? r : show_list(cli, json_array_get(reply, 0), columns);
}

/* What a slot of this kind needs from here: a new passphrase, a pipe for the code, or nothing. */
static int prepare(Cli *cli, const char *kind, CallArgs *args, Recovery *rec, int *ret_secret)
{
        int r = 0;

        if (strcmp(kind, "passphrase") == 0) {
                r = passphrase_get(cli, "New passphrase: ", true, ret_secret);
        } else if (strcmp(kind, "recovery") == 0) {
                r = recovery_check(cli);
                if (r == 0)
                        r = recovery_open(cli, rec);
        }
        if (r == 0)
                r = slot_args(cli, kind, args, ret_secret);
        args_fd(args, "secret", *ret_secret);
        args_fd(args, "recovery", rec->write_fd);
        return r;
}

static int finish(Cli *cli, Recovery *rec, uint64_t id)
{
        _cleanup_close_ int code_fd = -EBADF;
        int r = 0;

        if (rec->write_fd >= 0)
                r = recovery_take(cli, rec, &code_fd);
        if (r)
                return r;
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:I}", "id", (json_int_t)id);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        printf("%llu\n", (unsigned long long)id);
        return 0;
}

static int run_add(Cli *cli)
{
        _cleanup_(recovery_close) Recovery rec = RECOVERY_NULL;
        _cleanup_close_ int secret_fd = -EBADF;
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        cli->hint = "KIND is credential, passphrase, recovery, tpm2 or tpm2-derived; PCRs are of the bank sha256 or "
                    "sha384, each once; a policy key is P-256, RSA-2048 or RSA-3072. Nothing was changed.";
        args_string(&args, NULL, cli->args[0]);
        args_string(&args, "label", cli->options.label);
        r = prepare(cli, cli->args[0], &args, &rec, &secret_fd);
        if (r == 0)
                r = cli_call(cli, CALL_MANAGER("AddSlot", &args, .timeout = CALL_LONG), &reply);
        return r ? r : finish(cli, &rec, (uint64_t)json_integer_value(json_array_get(reply, 0)));
}

static const json_t *find(const json_t *slots, uint64_t id)
{
        for (size_t i = 0; i < json_array_size(slots); i++) {
                const json_t *slot = json_array_get(slots, i);

                if ((uint64_t)json_integer_value(json_object_get(slot, "id")) == id)
                        return slot;
        }
        return NULL;
}

static int run_change(Cli *cli)
{
        _cleanup_(recovery_close) Recovery rec = RECOVERY_NULL;
        _cleanup_close_ int secret_fd = -EBADF;
        _cleanup_json_ json_t *slots = NULL, *reply = NULL;
        CallArgs args = {0};
        const json_t *slot;
        uint64_t id;
        int r;

        if (!cli_number(cli, "ID", cli->args[0], 0, UINT32_MAX, &id))
                return EXIT_CODE_USAGE;
        r = list(cli, &slots);
        if (r)
                return r;
        slot = find(json_array_get(slots, 0), id);
        cli->options.pin = json_is_true(json_object_get(slot, "pin"));
        args_number(&args, NULL, HF_ARG_U32, id);
        if (slot)
                r = prepare(cli, json_string_value(json_object_get(slot, "kind")), &args, &rec, &secret_fd);
        if (r == 0)
                r = cli_call(cli, CALL_MANAGER("ChangeSlot", &args, .timeout = CALL_LONG), &reply);
        return r ? r : finish(cli, &rec, (uint64_t)json_integer_value(json_array_get(reply, 0)));
}

static int run_reseal(Cli *cli)
{
        _cleanup_close_ int secret_fd = -EBADF;
        _cleanup_json_ json_t *slots = NULL;
        CallArgs args = {0};
        uint64_t id;
        int r;

        if (!cli_number(cli, "ID", cli->args[0], 0, UINT32_MAX, &id))
                return EXIT_CODE_USAGE;
        r = list(cli, &slots);
        if (r == 0 && json_is_true(json_object_get(find(json_array_get(slots, 0), id), "pin")))
                r = passphrase_get(cli, "PIN from now on: ", true, &secret_fd);
        if (r)
                return r;
        args_number(&args, NULL, HF_ARG_U32, id);
        args_fd(&args, "secret", secret_fd);
        r = cli_try(cli, CALL_MANAGER("ResealSlot", &args, .timeout = CALL_LONG), NULL);
        if (r == HF_ERROR_NOTHING_TO_DO)
                return cli_fail_with(cli, EXIT_CODE_NOTHING_TO_DO, hf_error_to_name(r),
                                "Slot %s is bound to no values of PCRs, so there is nothing to seal anew. Nothing was changed.",
                                cli->args[0]);
        if (r)
                return cli_end(cli, r);
        cli_talk(cli, "Slot %s opens to the PCRs as they are now.", cli->args[0]);
        return cli->options.json ? finish(cli, &RECOVERY_NULL, id) : 0;
}

static int run_remove(Cli *cli)
{
        CallArgs args = {0};
        uint64_t id;
        int r;

        if (!cli_number(cli, "ID", cli->args[0], 0, UINT32_MAX, &id))
                return EXIT_CODE_USAGE;
        r = cli_confirm(cli, "Remove slot %s? Its secret opens the store no more.", cli->args[0]);
        if (r)
                return r;
        args_number(&args, NULL, HF_ARG_U32, id);
        r = cli_call(cli, CALL_MANAGER("RemoveSlot", &args, .timeout = CALL_LONG), NULL);
        if (r == 0)
                cli_talk(cli, "Slot %s is removed. Backups from before still open with it.", cli->args[0]);
        if (r == 0 && cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:I}", "id", (json_int_t)id);

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        return r;
}

const Verb verbs_slot[] = {
                {"slot", "list", "", 0, 0, "", "List the key slots", run_list},
                {"slot", "add", "KIND", 1, 1, "label passphrase-file passphrase-fd recovery-file pcr pin signed-policy key",
                                "Add a slot: credential, passphrase, recovery, tpm2 or tpm2-derived", run_add},
                {"slot", "change", "ID", 1, 1, "passphrase-file passphrase-fd recovery-file key",
                                "Give a slot a new secret, or another device key", run_change},
                {"slot", "reseal", "ID", 1, 1, "passphrase-file passphrase-fd",
                                "Let a tpm2 slot open to the PCRs as they are now", run_reseal},
                {"slot", "remove", "ID", 1, 1, "", "Remove a slot; never the last one", run_remove},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
