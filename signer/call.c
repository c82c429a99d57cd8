/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/call.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "seal/recovery.h"

#define PIPE_WAIT_MS 2000

int call_lock_open(Call *call)
{
        pthread_rwlock_rdlock(&call->signer->vault.lock);
        if (call->signer->vault.open)
                return 0;
        pthread_rwlock_unlock(&call->signer->vault.lock);
        return HF_E_STORE_LOCKED;
}

void call_unlock(Call *call)
{
        pthread_rwlock_unlock(&call->signer->vault.lock);
}

int call_get_slots(WireReader *r, Slots *ret)
{
        Bytes file = wire_get_block(r, SLOTS_FILE_MAX);

        return r->failed ? -EPROTO : slots_parse(file, ret);
}

int call_put_slots(Call *call, const Slots *slots)
{
        Buffer file = BUFFER_INIT(SLOTS_FILE_MAX);
        int r;

        r = slots_encode(slots, &file);
        if (!r)
                r = wire_put_block(call->reply, buffer_bytes(&file));
        buffer_deinit(&file);
        return r;
}

int call_get_secret(const Call *call, size_t at, uint8_t ret[static SECRET_FD_MAX], size_t *ret_len)
{
        size_t len;
        int r;

        if (at >= call->n_fds)
                return HF_E_INVALID_FD;
        r = secret_fd_check(call->fds[at], &len);
        if (r)
                return r;
        if (pread(call->fds[at], ret, len, 0) != (ssize_t)len)
                return HF_E_INVALID_FD;
        *ret_len = len;
        return 0;
}

int call_get_attributes(WireReader *r, KeyAttributes *ret)
{
        Bytes encoded = wire_get_block(r, KEY_ATTRIBUTES_MAX);

        return r->failed ? -EPROTO : key_attributes_decode(encoded, ret);
}

int call_put_opened(Call *call, const SealKeys *keys, uint32_t slot)
{
        SignerOpened opened = {.slot = slot, .store_id = call->signer->vault.store_id};
        int r;

        memcpy(opened.database_key, keys->database, 32);
        memcpy(opened.log_key, keys->log, 32);
        memcpy(opened.checkpoint_public, keys->checkpoint_public, 32);
        r = signer_opened_encode(&opened, call->reply);
        secret_erase(&opened, sizeof(opened));
        return r;
}

/* One line, which a pipe takes as a whole or not at all. Nobody can keep a worker waiting for long. */
static int write_code(int fd, const uint8_t code[static RECOVERY_ENTROPY])
{
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        char line[RECOVERY_TEXT_LEN + 1];
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
                return HF_E_INVALID_FD;
        if (poll(&p, 1, PIPE_WAIT_MS) != 1 || !(p.revents & POLLOUT))
                return HF_E_INVALID_FD;
        recovery_format(code, line);
        line[RECOVERY_TEXT_LEN] = '\n';
        n = write(fd, line, sizeof(line));
        secret_erase(line, sizeof(line));
        return n == (ssize_t)sizeof(line) ? 0 : HF_E_INVALID_FD;
}

static int new_code(const Call *call, size_t at, uint8_t ret[static SECRET_FD_MAX], size_t *ret_len)
{
        if (at >= call->n_fds)
                return HF_E_INVALID_FD;
        recovery_generate(ret);
        *ret_len = RECOVERY_ENTROPY;
        return write_code(call->fds[at], ret);
}

int call_slot_secret(
                Call *call, SlotKind kind, size_t *at, uint8_t ret[static SECRET_FD_MAX], size_t *ret_len)
{
        const VaultSecrets *secrets = call->signer->vault.secrets;

        switch (kind) {
        case SLOT_CREDENTIAL:
                if (secrets->credential_len < SLOT_CREDENTIAL_MIN) {
                        snprintf(call->reasons, sizeof(call->reasons), "credential: %s",
                                        secrets->credential_len ? "too-short" : "missing");
                        return HF_E_UNLOCK_FAILED;
                }
                memcpy(ret, secrets->credential, secrets->credential_len);
                *ret_len = secrets->credential_len;
                return 0;
        case SLOT_PASSPHRASE:
                return call_get_secret(call, (*at)++, ret, ret_len);
        case SLOT_RECOVERY:
                return new_code(call, (*at)++, ret, ret_len);
        case SLOT_TPM2:
        case SLOT_TPM2_DERIVED:
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                break;
        }
        return HF_E_NOT_SUPPORTED;
}
