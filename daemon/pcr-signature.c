/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/pcr-signature.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"

#define PATH_SIZE 256

static const char *const banks[_TPM_BANK_MAX] = {[TPM_BANK_SHA256] = "sha256", [TPM_BANK_SHA384] = "sha384"};

static int parse_pcrs(const json_t *list, uint32_t *ret)
{
        uint32_t mask = 0;

        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *pcr = json_array_get(list, i);
                json_int_t n = json_is_integer(pcr) ? json_integer_value(pcr) : -1;

                if (n < 0 || n >= TPM_PCRS)
                        return HF_E_INVALID_ARGS;
                mask |= 1u << n;
        }
        *ret = mask;
        return mask ? 0 : HF_E_INVALID_ARGS;
}

static int parse_digest(const char *hex, uint8_t ret[static 32])
{
        return hex && !hex_decode(hex, strlen(hex), ret, 32) ? 0 : HF_E_INVALID_ARGS;
}

static int parse_entry(const json_t *entry, TpmBank bank, PcrSignatures *s)
{
        const char *signature = json_string_value(json_object_get(entry, "sig"));
        SignerSignature *item = &s->items[s->n];
        size_t len;
        int r;

        if (s->n == SIGNER_SIGNATURES)
                return HF_E_LIMIT_EXCEEDED;
        item->bank = bank;
        r = parse_pcrs(json_object_get(entry, "pcrs"), &item->mask);
        if (!r)
                r = parse_digest(json_string_value(json_object_get(entry, "pkfp")), item->key_fingerprint);
        if (!r)
                r = parse_digest(json_string_value(json_object_get(entry, "pol")), item->approval.digest);
        if (r || !signature || base64_decode(signature, strlen(signature), s->space[s->n], sizeof(s->space[0]), &len) ||
                        len == 0)
                return HF_E_INVALID_ARGS;
        item->approval.signature = BYTES(s->space[s->n++], len);
        return 0;
}

static int parse_bank(const json_t *root, TpmBank bank, PcrSignatures *s)
{
        const json_t *list = json_object_get(root, banks[bank]);
        int r = 0;

        if (list && !json_is_array(list))
                return HF_E_INVALID_ARGS;
        for (size_t i = 0; !r && i < json_array_size(list); i++)
                r = parse_entry(json_array_get(list, i), bank, s);
        return r;
}

int pcr_signatures_parse(Bytes json, PcrSignatures *ret)
{
        _cleanup_(json_decrefp) json_t *root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
        int r = 0;

        ret->n = 0;
        if (!json_is_object(root))
                return HF_E_INVALID_ARGS;
        for (TpmBank bank = _TPM_BANK_INVALID + 1; !r && bank < _TPM_BANK_MAX; bank++)
                r = parse_bank(root, bank, ret);
        if (r)
                ret->n = 0;
        return r;
}

/* Like policy files: nobody else may have written it. */
static int check_owner(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 0022))
                return HF_E_STORE_UNSAFE;
        return st.st_size > PCR_SIGNATURE_FILE_MAX ? -EFBIG : 0;
}

static int read_file(const char *path, PcrSignatures *ret)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
        _cleanup_free_ uint8_t *text = malloc(PCR_SIGNATURE_FILE_MAX);
        size_t len;
        int r;

        if (fd < 0 || !text)
                return -errno;
        r = check_owner(fd);
        if (!r)
                r = io_pread_full(fd, text, PCR_SIGNATURE_FILE_MAX, 0, &len);
        return r ? r : pcr_signatures_parse(BYTES(text, len), ret);
}

void pcr_signatures_read(const char *paths, PcrSignatures *ret)
{
        char path[PATH_SIZE];
        int r = -ENOENT;

        ret->n = 0;
        while (r == -ENOENT && *(paths += strspn(paths, " "))) {
                size_t len = strcspn(paths, " ");

                snprintf(path, sizeof(path), "%.*s", (int)len, paths);
                paths += len;
                r = read_file(path, ret);
                if (r == HF_E_STORE_UNSAFE)
                        log_warning("%s: must be a file of root's that nobody else can write; not used", path);
                else if (r && r != -ENOENT)
                        log_warning("%s: not used: %s", path,
                                        r < 0                       ? strerror(-r)
                                        : r == HF_E_LIMIT_EXCEEDED ? "more signatures than are read"
                                                                    : "not in the form of tpm2-pcr-signature.json");
        }
}
