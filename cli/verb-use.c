/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sign, decrypt, agree, mac, seal, unseal, random: what keys do. Input is a file or standard input. */
#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "cli/cms.h"
#include "dbus/names.h"

#define SEALED_MAX (HF_MESSAGE_MAX + 64)
#define VALUE_MAX 4096
#define PEER_MAX 8192

/* Plaintexts pass through here; the buffer is erased before it is freed. */
static void erase_buffer(Buffer *b)
{
        if (b->data)
                secret_erase(b->data, b->allocated);
        buffer_deinit(b);
}

#define _cleanup_erase_ _cleanup_(erase_buffer)

/* An option whose value is bytes; the buffer lives until the call is done. */
static int add_value(Cli *cli, CallArgs *args, const char *option, const char *value, Buffer *b)
{
        int r;

        if (!value)
                return 0;
        r = input_value(cli, value, VALUE_MAX, b);
        if (r == 0)
                args_bytes(args, option, (HfSpan){b->data, b->len});
        return r;
}

static const char *input_path(const Cli *cli)
{
        return cli->n_args > 1 ? cli->args[1] : NULL;
}

static int call_and_show(Cli *cli, const char *member, CallArgs *args, BytesKind kind, const char *result)
{
        _cleanup_reply_ sd_bus_message *reply = NULL;
        HfSpan bytes;
        int r;

        r = cli_call_bytes(cli, CALL_KEY(cli->args[0], member, args, .secret = kind == BYTES_SECRET), &reply,
                        &bytes);
        return r ? r : show_bytes(cli, kind, result, bytes);
}

static int run_sign(Cli *cli)
{
        _cleanup_erase_ Buffer message = BUFFER_INIT(HF_MESSAGE_MAX);
        CallArgs args = {0};
        int r;

        if (cli->options.cms)
                return cms_run(cli);
        r = input_read(cli, input_path(cli), HF_MESSAGE_MAX, &message);
        if (r)
                return r;
        cli->hint = cli->options.digest
                                    ? "The input is not a digest of the scheme's length. Nothing was signed."
                                    : "--encoding is der or p1363. Nothing was signed.";
        args_string(&args, NULL, cli->options.scheme);
        args_bytes(&args, NULL, (HfSpan){message.data, message.len});
        args_string(&args, "input", cli->options.digest ? "digest" : NULL);
        args_string(&args, "encoding", cli->options.encoding);
        return call_and_show(cli, "Sign", &args, BYTES_BINARY, "signature");
}

static int run_decrypt(Cli *cli)
{
        _cleanup_erase_ Buffer ciphertext = BUFFER_INIT(HF_MESSAGE_MAX), label = BUFFER_INIT(VALUE_MAX);
        CallArgs args = {0};
        int r;

        r = input_read(cli, input_path(cli), HF_MESSAGE_MAX, &ciphertext);
        if (r)
                return r;
        args_string(&args, NULL, cli->options.scheme);
        args_bytes(&args, NULL, (HfSpan){ciphertext.data, ciphertext.len});
        r = add_value(cli, &args, "label", cli->options.oaep_label, &label);
        return r ? r : call_and_show(cli, "Decrypt", &args, BYTES_SECRET, "plaintext");
}

static int run_agree(Cli *cli)
{
        _cleanup_erase_ Buffer peer = BUFFER_INIT(PEER_MAX), salt = BUFFER_INIT(VALUE_MAX),
                               info = BUFFER_INIT(VALUE_MAX);
        CallArgs args = {0};
        uint64_t length = 0;
        int r;

        if (cli->options.length && !cli_number(cli, "--length", cli->options.length, 1, 256, &length))
                return EXIT_CODE_USAGE;
        r = input_read_public(cli, input_path(cli), PEER_MAX, &peer);
        if (r)
                return r;
        cli->hint = "PEER is not a public key (PEM or DER) of the kind of the own key. Nothing was derived.";
        (void)pem_decode("PUBLIC KEY", &peer); /* otherwise it is DER, which the daemon checks */
        args_bytes(&args, NULL, (HfSpan){peer.data, peer.len});
        if (length > 0)
                args_number(&args, "length", HF_ARG_U32, length);
        r = add_value(cli, &args, "salt", cli->options.salt, &salt);
        if (r == 0)
                r = add_value(cli, &args, "info", cli->options.info, &info);
        return r ? r : call_and_show(cli, "Agree", &args, BYTES_SECRET, "key_material");
}

static int run_mac(Cli *cli)
{
        _cleanup_erase_ Buffer message = BUFFER_INIT(HF_MESSAGE_MAX);
        CallArgs args = {0};
        int r;

        r = input_read(cli, input_path(cli), HF_MESSAGE_MAX, &message);
        if (r)
                return r;
        args_string(&args, NULL, "");
        args_bytes(&args, NULL, (HfSpan){message.data, message.len});
        return call_and_show(cli, "Mac", &args, BYTES_BINARY, "mac");
}

static int seal_or_unseal(Cli *cli, const char *member, size_t limit, BytesKind kind, const char *result)
{
        _cleanup_erase_ Buffer input = BUFFER_INIT(limit), aad = BUFFER_INIT(VALUE_MAX);
        CallArgs args = {0};
        int r;

        r = input_read(cli, input_path(cli), limit, &input);
        if (r)
                return r;
        args_bytes(&args, NULL, (HfSpan){input.data, input.len});
        r = add_value(cli, &args, "aad", cli->options.aad, &aad);
        return r ? r : call_and_show(cli, member, &args, kind, result);
}

static int run_seal(Cli *cli)
{
        return seal_or_unseal(cli, "Seal", HF_MESSAGE_MAX, BYTES_BINARY, "sealed");
}

static int run_unseal(Cli *cli)
{
        return seal_or_unseal(cli, "Unseal", SEALED_MAX, BYTES_SECRET, "plaintext");
}

static int run_random(Cli *cli)
{
        _cleanup_reply_ sd_bus_message *reply = NULL;
        CallArgs args = {0};
        uint64_t count;
        HfSpan bytes;
        int r;

        if (!cli_number(cli, "COUNT", cli->args[0], 1, HF_RANDOM_MAX, &count))
                return EXIT_CODE_USAGE;
        args_number(&args, NULL, HF_ARG_U32, count);
        r = cli_call_bytes(cli, CALL_MANAGER("Random", &args, .secret = true), &reply, &bytes);
        return r ? r : show_bytes(cli, BYTES_SECRET, "bytes", bytes);
}

const Verb verbs_use[] = {
                {NULL, "sign", "KEY [FILE]", 1, 2, "scheme encoding digest cms output base64",
                                "Sign a message of up to 64 KiB, or with --cms a file", run_sign},
                {NULL, "decrypt", "KEY [FILE]", 1, 2, "scheme oaep-label output base64",
                                "Decrypt with RSA-OAEP", run_decrypt},
                {NULL, "agree", "KEY [PEER]", 1, 2, "salt info length output base64",
                                "Derive a secret with a peer's public key", run_agree},
                {NULL, "mac", "KEY [FILE]", 1, 2, "output base64", "HMAC-SHA256 of a message", run_mac},
                {NULL, "seal", "KEY [FILE]", 1, 2, "aad output base64", "Encrypt and authenticate own data",
                                run_seal},
                {NULL, "unseal", "KEY [FILE]", 1, 2, "aad output base64", "Open what seal gave", run_unseal},
                {NULL, "random", "COUNT", 1, 1, "output base64", "Random bytes from the signer", run_random},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
