/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* init and rekey: a store with its first slot and its recovery code. */
#include <string.h>

#include "cli/cli.h"
#include "cli/slot-args.h"

#define TRIES 3

static const Column result_columns[] = {
                {"store", "Store", COLUMN_TEXT},
                {"fingerprint", "Checkpoint key", COLUMN_TEXT},
                {"vkey", "For audit verify --key", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static const char *slot_kind(const Cli *cli)
{
        if (cli->options.slot)
                return cli->options.slot;
        return cli->options.unattended ? "credential" : "passphrase";
}

/* The code goes back to the signer, which knows it; a person may mistype it. */
static int confirm(Cli *cli, int code_fd, json_t **ret)
{
        for (int i = 0;; i++) {
                _cleanup_close_ int typed = -EBADF;
                CallArgs args = {0};
                Cli terminal = *cli;
                int r = 0;

                /* the passphrase may have come from a file; the code never does */
                terminal.options.passphrase_file = terminal.options.passphrase_fd = NULL;
                if (code_fd < 0)
                        r = passphrase_get(&terminal, "Type the recovery code back: ", false, &typed);
                if (r)
                        return r;
                args_fd(&args, NULL, code_fd < 0 ? typed : code_fd);
                r = cli_try(cli, CALL_MANAGER("ConfirmRecovery", &args, .timeout = CALL_LONG), ret);
                /* the code is all there is to be wrong: also what does not even look like one */
                if ((r != HF_ERROR_UNLOCK_FAILED && r != HF_ERROR_INVALID_ARGS) || code_fd >= 0 ||
                                i + 1 == TRIES)
                        return cli_end(cli, r);
                cli_talk(cli, "That was not the code.");
        }
}

static bool is_pending(const json_t *reply)
{
        return json_is_true(json_object_get(json_array_get(reply, 0), "pending"));
}

/* Initialise or Rekey, and the recovery code where there is one. */
static int make(Cli *cli, const char *member, CallArgs *args, Recovery *rec, json_t **ret)
{
        _cleanup_close_ int code_fd = -EBADF;
        _cleanup_json_ json_t *confirmed = NULL;
        int r;

        args_fd(args, "recovery", rec->write_fd);
        args_flag(args, "unattended", cli->options.unattended);
        args_string(args, "label", cli->options.label);
        r = cli_call(cli, CALL_MANAGER(member, args, .timeout = CALL_LONG), ret);
        if (r || rec->write_fd < 0)
                return r;
        r = recovery_take(cli, rec, &code_fd);
        if (r || !is_pending(*ret))
                return r;
        r = confirm(cli, code_fd, &confirmed);
        if (r == 0 && json_object_size(json_array_get(confirmed, 0)) > 0)
                json_object_update(json_array_get(*ret, 0), json_array_get(confirmed, 0));
        return r;
}

#define READY "The store is ready. Note the checkpoint key where the auditor finds it, off this device."
#define REKEYED                                                                                              \
        "The store has a new master key. The auditor's old key goes on to verify this log, which leads to "  \
        "the new "                                                                                           \
        "one; the new one is for logs that begin after this moment."

static int run_make(Cli *cli, const char *member)
{
        _cleanup_(recovery_close) Recovery rec = RECOVERY_NULL;
        _cleanup_close_ int secret_fd = -EBADF;
        _cleanup_json_ json_t *reply = NULL;
        const char *kind = slot_kind(cli);
        CallArgs args = {0};
        int r = 0;

        if (strcmp(kind, "passphrase") != 0 && strcmp(kind, "credential") != 0 && strcmp(kind, "tpm2") != 0)
                return cli_usage(cli, "--slot is credential, passphrase or tpm2, not '%s'.", kind);
        if (!cli->options.unattended)
                r = recovery_check(cli);
        if (r == 0)
                r = cli_end(cli, cli_connect(cli)); /* before anybody types anything */
        args_string(&args, NULL, kind);
        if (r == 0 && strcmp(kind, "passphrase") == 0)
                r = passphrase_get(cli, "New passphrase: ", true, &secret_fd);
        if (r == 0)
                r = slot_args(cli, kind, &args, &secret_fd);
        args_fd(&args, "secret", secret_fd);
        if (r == 0 && !cli->options.unattended)
                r = recovery_open(cli, &rec);
        if (r == 0)
                r = make(cli, member, &args, &rec, &reply);
        if (r)
                return r;
        cli_talk(cli, "%s", strcmp(member, "Rekey") == 0 ? REKEYED : READY);
        return show_object(cli, json_array_get(reply, 0), result_columns);
}

static int run_init(Cli *cli)
{
        return run_make(cli, "Initialise");
}

static int run_rekey(Cli *cli)
{
        int r = cli_confirm(cli,
                        "Give the store a new master key? All other slots and the old recovery code end.");

        return r ? r : run_make(cli, "Rekey");
}

#define MAKE_OPTIONS "slot label unattended passphrase-file passphrase-fd recovery-file pcr pin signed-policy"

const Verb verbs_init[] = {
                {NULL, "init", "", 0, 0, MAKE_OPTIONS, "Make the store and its first key slot", run_init},
                {NULL, "rekey", "", 0, 0, MAKE_OPTIONS,
                                "New master key: everything is wrapped anew, old slots end", run_rekey},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
