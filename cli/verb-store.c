/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status, unlock, lock, recover: the store as a whole. */
#include <string.h>

#include "cli/cli.h"

static const Column status_columns[] = {
                {"state", "State", COLUMN_TEXT},
                {"reason", "Reason", COLUMN_TEXT},
                {"error", "Error", COLUMN_TEXT},
                {"version", "Version", COLUMN_TEXT},
                {"store", "Store", COLUMN_TEXT},
                {"keys", "Keys", COLUMN_TEXT},
                {"identities", "Identities", COLUMN_TEXT},
                {"identities-lost", "Identities without a key", COLUMN_TEXT},
                {"slots", "Slots", COLUMN_TEXT},
                {"signer", "Signer", COLUMN_TEXT},
                {"secret-memory", "Key memory", COLUMN_TEXT},
                {"sequence", "Last log record", COLUMN_TEXT},
                {"unsealed", "Unsealed records", COLUMN_TEXT},
                {"backup", "Last backup", COLUMN_TIME},
                {"tpm", "TPM", COLUMN_TEXT},
                {"tpm-maker", "TPM maker", COLUMN_TEXT},
                {"protection", "Protection", COLUMN_TEXT},
                {"rollback-detection", "Rollback detection", COLUMN_TEXT},
                {"anchor", "Last anchor", COLUMN_TIME},
                {"policy", "Policy", COLUMN_TEXT},
                {"rules", "Rules", COLUMN_TEXT},
                {"uptime", "Uptime (s)", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* What is in a closed store nobody has counted; a person would take the zeros for what is there. */
static void forget_unknown(json_t *status)
{
        static const char *const unknown[] = {"keys", "identities", "sequence", "unsealed", "anchor", "rollback-detection"};
        const char *state = json_string_value(json_object_get(status, "state"));

        for (size_t i = 0; state && strcmp(state, "ready") && i < ELEMENTSOF(unknown); i++)
                json_object_del(status, unknown[i]);
}

static int run_status(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        r = cli_call(cli, CALL_MANAGER("Status", &args, .idempotent = true), &reply);
        if (r)
                return r;
        if (!cli->options.json)
                forget_unknown(json_array_get(reply, 0));
        return show_object(cli, json_array_get(reply, 0), status_columns);
}

static const Column slot_columns[] = {
                {"slot", "Slot", COLUMN_TEXT},
                {"kind", "Kind", COLUMN_TEXT},
                {"label", "Label", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

/* Unlock or Recover. */
static int call_open(Cli *cli, const char *method, int secret_fd, json_t **ret)
{
        CallArgs args = {0};

        args_fd(&args, "secret", secret_fd);
        args_flag(&args, "accept-rollback", cli->options.accept_rollback);
        return cli_try(cli, CALL_MANAGER(method, &args, .timeout = CALL_LONG), ret);
}

/* What a secret may help against. */
static bool is_shut(int r)
{
        return r == HF_ERROR_UNLOCK_FAILED || r == HF_ERROR_PCR_CHANGED || r == HF_ERROR_TPM_UNAVAILABLE ||
               r == HF_ERROR_TPM_FAILED || r == HF_ERROR_TPM_LOCKOUT;
}

/* Slots that need nobody first; then whoever sits here. */
static int open_store(Cli *cli, const char *method, const char *prompt, json_t **ret)
{
        _cleanup_close_ int secret_fd = -EBADF;
        int r;

        if (!passphrase_given(cli)) {
                r = call_open(cli, method, -EBADF, ret);
                if (!is_shut(r) || !isatty(STDIN_FILENO))
                        return cli_end(cli, r);
                cli_talk(cli, "%s", hf_error_sentence());
        }
        r = passphrase_get(cli, prompt, false, &secret_fd);
        return r ? r : cli_end(cli, call_open(cli, method, secret_fd, ret));
}

static int run_unlock(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        int r = open_store(cli, "Unlock", "Passphrase, PIN or recovery code: ", &reply);

        return r ? r : show_object(cli, json_array_get(reply, 0), slot_columns);
}

static int run_lock(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        r = cli_try(cli, CALL_MANAGER("Lock", &args, .timeout = CALL_LONG), &reply);
        if (r == HF_ERROR_STORE_LOCKED)
                return cli_fail_with(cli, EXIT_CODE_NOTHING_TO_DO, "NothingToDo",
                                "The store is locked already. Nothing was changed.");
        if (r)
                return cli_end(cli, r);
        cli_talk(cli, "The store is locked.");
        if (json_is_true(json_object_get(json_array_get(reply, 0), "unattended")))
                cli_talk(cli, "It has a slot that needs nobody: a restart of the signer opens it again.");
        return cli->options.json ? show_json(cli, json_array_get(reply, 0)) : 0;
}

/* A new TPM's slot, as its own change: whatever comes of it, the store is open. */
static int add_slot(Cli *cli)
{
        CallArgs args = {0};
        int r;

        if (!cli->options.slot)
                return 0;
        args_string(&args, NULL, cli->options.slot);
        args_string(&args, "pcr", cli->options.pcr);
        r = cli_call(cli, CALL_MANAGER("AddSlot", &args, .timeout = CALL_LONG), NULL);
        if (r == 0)
                cli_talk(cli, "A slot of kind %s was added.", cli->options.slot);
        return r;
}

/* Whoever owns these certificates has to know. */
static void tell_lost(const Cli *cli, const json_t *names)
{
        for (size_t i = 0; i < json_array_size(names); i++)
                cli_talk(cli, "The key of identity %s was in the TPM that is gone: it needs a new key and certificate.",
                                json_string_value(json_array_get(names, i)));
}

static int run_recover(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        int r;

        if (cli->options.slot && strcmp(cli->options.slot, "tpm2") != 0)
                return cli_usage(cli, "--slot is tpm2 here; other slots are there still.");
        r = cli_confirm(cli, cli->options.accept_rollback
                                             ? "Go on with the older store? What is newer is lost for good."
                                             : "Take this store as the store of this machine?");
        if (r == 0)
                r = open_store(cli, "Recover", "Recovery code or passphrase: ", &reply);
        if (r)
                return r;
        cli_talk(cli, "Done; the audit log has a record of it.");
        tell_lost(cli, json_object_get(json_array_get(reply, 0), "identities-lost"));
        r = add_slot(cli);
        if (r)
                return r;
        return cli->options.json ? show_json(cli, json_array_get(reply, 0)) : 0;
}

const Verb verbs_store[] = {
                {NULL, "status", "", 0, 0, "", "Show the state of the service", run_status},
                {NULL, "unlock", "", 0, 0, "passphrase-file passphrase-fd",
                                "Open the store by one of its slots", run_unlock},
                {NULL, "lock", "", 0, 0, "", "Finish what is under way, then forget all keys", run_lock},
                {NULL, "recover", "", 0, 0, "accept-rollback passphrase-file passphrase-fd slot pcr",
                                "Adopt a store of another machine, or go on after a rollback", run_recover},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
