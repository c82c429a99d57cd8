/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/slot-args.h"

#include <string.h>

#define POLICY_KEY_MAX 4096
#define PCRS 24

/* "7+11", with a bank in front or without; the daemon looks closer. */
static bool is_pcr_list(const char *text)
{
        const char *p = strchr(text, ':') ? strchr(text, ':') + 1 : text;

        for (;;) {
                char *end;
                unsigned long n;

                if (*p < '0' || *p > '9')
                        return false;
                n = strtoul(p, &end, 10);
                if (n >= PCRS || (*end && *end != '+'))
                        return false;
                if (!*end)
                        return true;
                p = end + 1;
        }
}

/* The key goes as SubjectPublicKeyInfo; the span is the buffer's, which lives as long as the process. */
static int policy_key(Cli *cli, CallArgs *args)
{
        static Buffer key = BUFFER_INIT(POLICY_KEY_MAX);
        int r;

        if (!cli->options.signed_policy)
                return 0;
        r = input_read_public(cli, cli->options.signed_policy, POLICY_KEY_MAX, &key);
        if (r)
                return r;
        (void)pem_decode("PUBLIC KEY", &key);
        if (key.len == 0)
                return cli_usage(cli, "%s has no public key in it.", cli->options.signed_policy);
        args_bytes(args, "policy-key", (HfSpan){key.data, key.len});
        return 0;
}

static int tpm2_args(Cli *cli, CallArgs *args, int *ret_secret)
{
        int r;

        if (cli->options.key)
                return cli_usage(cli, "--key is for a slot of kind tpm2-derived.");
        if (cli->options.pcr && !is_pcr_list(cli->options.pcr))
                return cli_usage(cli, "--pcr is a list of PCRs 0 to 23 such as 7+11, or sha384:7+11, not '%s'.",
                                cli->options.pcr);
        if (cli->options.signed_policy && !cli->options.pcr)
                return cli_usage(cli, "--signed-policy needs --pcr: the PCRs that are signed for, as 11.");
        args_string(args, "pcr", cli->options.pcr);
        r = policy_key(cli, args);
        return r == 0 && cli->options.pin ? passphrase_get(cli, "New PIN: ", true, ret_secret) : r;
}

int slot_args(Cli *cli, const char *kind, CallArgs *args, int *ret_secret)
{
        const Options *o = &cli->options;

        if (passphrase_given(cli) && strcmp(kind, "passphrase") != 0 && !o->pin)
                return cli_usage(cli, "A slot of kind %s takes no secret%s. Nothing was done.", kind,
                                strcmp(kind, "tpm2") == 0 ? " without --pin" : "");
        if (strcmp(kind, "tpm2") == 0)
                return tpm2_args(cli, args, ret_secret);
        if (o->pcr || o->pin || o->signed_policy)
                return cli_usage(cli, "--pcr, --pin and --signed-policy are for a slot of kind tpm2.");
        if (strcmp(kind, "tpm2-derived") == 0 && !o->key)
                return cli_usage(cli, "A slot of kind tpm2-derived is made from a key: --key NAME.");
        if (o->key && strcmp(kind, "tpm2-derived") != 0)
                return cli_usage(cli, "--key is for a slot of kind tpm2-derived.");
        args_string(args, "key", o->key);
        return 0;
}
