/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on keys. Each is one call whose answer is bytes for the caller's buffer; none is repeated after
 * its message went out, because each use of a key is a line in the audit log.
 */
#include "libclient/operation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "dbus/names.h"
#include "libclient/connection.h"
#include "libclient/error.h"
#include "libclient/key.h"

static const char *const scheme_names[] = {
                [HF_SCHEME_USUAL] = "",
                [HF_ES256] = "ES256",
                [HF_ES384] = "ES384",
                [HF_EDDSA] = "EdDSA",
                [HF_RS256] = "RS256",
                [HF_RS384] = "RS384",
                [HF_RS512] = "RS512",
                [HF_PS256] = "PS256",
                [HF_PS384] = "PS384",
                [HF_PS512] = "PS512",
                [HF_ECDSA_SHA256] = "ECDSA-SHA256",
                [HF_ECDSA_SHA384] = "ECDSA-SHA384",
                [HF_ECDSA_SHA512] = "ECDSA-SHA512",
};

#define FLAGS (HF_INPUT_DIGEST | HF_ENCODING_P1363)

int room_read(sd_bus_message *reply, void *userdata)
{
        const Room *room = userdata;
        const void *data;
        size_t len, had = *room->len;
        char sentence[160];
        int r;

        r = sd_bus_message_read_array(reply, 'y', &data, &len);
        if (r < 0)
                return r;
        *room->len = len;
        if (len > had) {
                snprintf(sentence, sizeof(sentence),
                                "The buffer has room for %zu bytes and the result is %zu long. The result "
                                "was dropped.",
                                had, len);
                return error_set(HF_ERROR_INVALID_ARGS, sentence);
        }
        if (len > 0)
                memcpy(room->data, data, len);
        return HF_OK;
}

int sign_args(unsigned scheme, const HfArg *data, HfArg *args, size_t *ret_n)
{
        unsigned plain = scheme & ~FLAGS;
        size_t n = 0;

        if (plain >= ELEMENTSOF(scheme_names))
                return error_set(HF_ERROR_SCHEME_NOT_SUPPORTED, NULL);
        args[n++] = (HfArg){.type = HF_ARG_STRING, .string = scheme_names[plain]};
        args[n++] = *data;
        if (scheme & HF_INPUT_DIGEST)
                args[n++] = (HfArg){.option = "input", .type = HF_ARG_STRING, .string = "digest"};
        if (scheme & HF_ENCODING_P1363)
                args[n++] = (HfArg){.option = "encoding", .type = HF_ARG_STRING, .string = "p1363"};
        *ret_n = n;
        return HF_OK;
}

/* One call on a key whose answer is one `ay`. */
static int key_call(HfKey *key, const char *member, const HfArg *args, size_t n_args, bool secret, Room room)
{
        for (size_t i = 0; i < n_args; i++)
                if (args[i].type == HF_ARG_BYTES && !args[i].option &&
                                args[i].bytes.len > HF_MESSAGE_MAX + 64)
                        return error_set(HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        return connection_call(key->connection,
                        &(HfCall){.key = key->name,
                                        .member = member,
                                        .args = args,
                                        .n_args = n_args,
                                        .secret = secret},
                        room_read, &room);
}

static HfArg bytes_arg(const void *data, size_t len)
{
        return (HfArg){.type = HF_ARG_BYTES, .bytes = {data, len}};
}

/* Adds an option only where there is something to say. */
static void add_bytes(HfArg *args, size_t *n, const char *option, const HfSpan *span)
{
        if (span)
                args[(*n)++] = (HfArg){.option = option, .type = HF_ARG_BYTES, .bytes = *span};
}

int hf_sign(HfKey *key, unsigned scheme, const void *message, size_t message_len, void *sig, size_t *sig_len)
{
        HfArg data = bytes_arg(message, message_len), args[SIGN_ARGS_MAX];
        size_t n;
        int r;

        if (message_len > HF_MESSAGE_MAX)
                return error_set(HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        r = sign_args(scheme, &data, args, &n);
        return r ? r : key_call(key, "Sign", args, n, false, (Room){sig, sig_len});
}

typedef struct ManyReply {
        HfSignature *signatures;
        size_t n;
} ManyReply;

static int read_many(sd_bus_message *reply, void *userdata)
{
        const ManyReply *many = userdata;
        const void *data;
        size_t len;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "ay");
        for (size_t i = 0; r >= 0 && i < many->n; i++) {
                r = sd_bus_message_read_array(reply, 'y', &data, &len);
                if (r <= 0 || len > HF_SIGNATURE_MAX)
                        return -EBADMSG;
                many->signatures[i].len = len;
                memcpy(many->signatures[i].data, data, len);
        }
        return r < 0 ? r : 0;
}

int hf_sign_many(HfKey *key, unsigned scheme, const HfSpan *messages, size_t n, HfSignature *ret)
{
        HfArg data = {.type = HF_ARG_SPANS, .spans = messages, .n_items = n}, args[SIGN_ARGS_MAX];
        size_t n_args;
        int r;

        if (n == 0 || n > HF_SIGN_MANY_MAX)
                return error_set(HF_ERROR_INVALID_ARGS, NULL);
        r = sign_args(scheme, &data, args, &n_args);
        if (r)
                return r;
        return connection_call(key->connection,
                        &(HfCall){.key = key->name, .member = "SignMany", .args = args, .n_args = n_args},
                        read_many, &(ManyReply){ret, n});
}

int hf_decrypt(HfKey *key, const void *ciphertext, size_t ciphertext_len, const HfSpan *label, void *buf,
                size_t *len)
{
        HfArg args[3] = {{.type = HF_ARG_STRING, .string = ""}, bytes_arg(ciphertext, ciphertext_len)};
        size_t n = 2;

        add_bytes(args, &n, "label", label);
        return key_call(key, "Decrypt", args, n, true, (Room){buf, len});
}

int hf_agree(HfKey *key, HfSpan peer, const HfSpan *salt, const HfSpan *info, void *buf, size_t len)
{
        HfArg args[4] = {bytes_arg(peer.data, peer.len),
                        {.option = "length", .type = HF_ARG_U32, .number = len}};
        size_t n = 2, got = len;
        int r;

        add_bytes(args, &n, "salt", salt);
        add_bytes(args, &n, "info", info);
        r = key_call(key, "Agree", args, n, true, (Room){buf, &got});
        return r == HF_OK && got != len ? error_from_errno(-EBADMSG) : r;
}

int hf_mac(HfKey *key, const void *message, size_t message_len, uint8_t mac[HF_MAC_SIZE])
{
        HfArg args[2] = {{.type = HF_ARG_STRING, .string = ""}, bytes_arg(message, message_len)};
        size_t got = HF_MAC_SIZE;
        int r;

        if (message_len > HF_MESSAGE_MAX)
                return error_set(HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        r = key_call(key, "Mac", args, ELEMENTSOF(args), false, (Room){mac, &got});
        return r == HF_OK && got != HF_MAC_SIZE ? error_from_errno(-EBADMSG) : r;
}

int hf_seal(HfKey *key, const void *plaintext, size_t plaintext_len, const HfSpan *aad, void *buf,
                size_t *len)
{
        HfArg args[2] = {bytes_arg(plaintext, plaintext_len)};
        size_t n = 1;

        add_bytes(args, &n, "aad", aad);
        return key_call(key, "Seal", args, n, true, (Room){buf, len});
}

int hf_unseal(HfKey *key, const void *sealed, size_t sealed_len, const HfSpan *aad, void *buf, size_t *len)
{
        HfArg args[2] = {bytes_arg(sealed, sealed_len)};
        size_t n = 1;

        add_bytes(args, &n, "aad", aad);
        return key_call(key, "Unseal", args, n, true, (Room){buf, len});
}

static void add_strings(HfArg *args, size_t *n, const char *option, const char *const *strings)
{
        if (strings && strings[0])
                args[(*n)++] = (HfArg){.option = option, .type = HF_ARG_STRINGS, .strings = strings};
}

int hf_csr(HfKey *key, const char *subject, const HfNames *names, void *buf, size_t *len)
{
        HfArg args[5] = {{.type = HF_ARG_STRING, .string = subject}};
        size_t n = 1;

        if (names) {
                add_strings(args, &n, "dns", names->dns);
                add_strings(args, &n, "ip", names->ip);
                add_strings(args, &n, "uri", names->uri);
                add_strings(args, &n, "email", names->email);
        }
        return key_call(key, "CreateCsr", args, n, false, (Room){buf, len});
}

int hf_random(HfConnection *c, void *buf, size_t len)
{
        const HfArg args[] = {{.type = HF_ARG_U32, .number = len}};
        size_t got = len;
        int r;

        if (len == 0 || len > HF_RANDOM_MAX)
                return error_set(HF_ERROR_INVALID_ARGS, NULL);
        r = connection_call(c,
                        &(HfCall){.path = HF_ADMIN_MANAGER,
                                        .member = "Random",
                                        .args = args,
                                        .n_args = 1,
                                        .idempotent = true,
                                        .secret = true},
                        room_read, &(Room){buf, &got});
        return r == HF_OK && got != len ? error_from_errno(-EBADMSG) : r;
}

int hf_sign_with(const char *name, unsigned scheme, const void *message, size_t message_len, HfSignature *ret)
{
        HfKey *key;
        size_t len = sizeof(ret->data);
        int r;

        r = hf_key_open(NULL, name, &key);
        if (r)
                return r;
        r = hf_sign(key, scheme, message, message_len, ret->data, &len);
        if (r == HF_OK)
                ret->len = len;
        hf_key_close(key);
        return r;
}
