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

int call_get_own_slots(Call *call, WireReader *reader, Slots *ret)
{
        int r = call_get_slots(reader, ret), e;

        if (r == -EPROTO)
                return r;
        e = call_lock_open(call);
        if (e)
                return e;
        if (!r && !uuid_equal(&ret->store_id, &call->signer->vault.store_id))
                r = HF_E_STORE_FOREIGN;
        call_unlock(call);
        return r;
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

static int own_credential(Call *call, uint8_t ret[static SECRET_FD_MAX], size_t *ret_len)
{
        const VaultSecrets *secrets = call->signer->vault.secrets; /* this part does not change */

        if (secrets->credential_len < SLOT_CREDENTIAL_MIN) {
                snprintf(call->reasons, sizeof(call->reasons), "credential: %s",
                                secrets->credential_len ? "too-short" : "missing");
                return HF_E_UNLOCK_FAILED;
        }
        memcpy(ret, secrets->credential, secrets->credential_len);
        *ret_len = secrets->credential_len;
        return 0;
}

/* UNLOCK_FAILED is a word about secrets that were given; here nobody gave one. */
static int prepare_tpm(Call *call, SlotKind kind, const SignerSlotTpm *asked, const uint8_t *tpm, size_t *at,
                SlotMaking *ret)
{
        size_t len = 0;
        int r = 0;

        if (kind == SLOT_TPM2 && asked->pin)
                r = call_get_secret(call, (*at)++, ret->secret, &len);
        if (!r)
                r = tpm_slot_make(call->signer->tpm, kind, asked, BYTES(ret->secret, len), tpm, &ret->tpm);
        if (r)
                return r == HF_E_UNLOCK_FAILED ? HF_E_TPM_FAILED : r;
        ret->params.secret = BYTES_ARRAY(ret->tpm.secret);
        ret->params.tpm = &ret->tpm.tpm;
        ret->params.salt = ret->tpm.tpm.pin ? ret->tpm.salt : NULL;
        return 0;
}

int call_prepare_slot(Call *call, SlotKind kind, const SignerSlotTpm *asked, const uint8_t tpm[static TPM_NAME_SIZE],
                size_t *at, SlotMaking *ret)
{
        size_t len = 0;
        int r = HF_E_INVALID_ARGS;

        ret->params = (SlotParams){.kind = kind};
        switch (kind) {
        case SLOT_CREDENTIAL:
                r = own_credential(call, ret->secret, &len);
                break;
        case SLOT_PASSPHRASE:
                r = call_get_secret(call, (*at)++, ret->secret, &len);
                break;
        case SLOT_RECOVERY:
                r = new_code(call, (*at)++, ret->secret, &len);
                break;
        case SLOT_TPM2:
        case SLOT_TPM2_DERIVED:
                return prepare_tpm(call, kind, asked, tpm, at, ret);
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                break;
        }
        ret->params.secret = BYTES(ret->secret, len);
        return r;
}

void slot_making_erase(SlotMaking *m)
{
        secret_erase(m->secret, sizeof(m->secret));
        tpm_slot_erase(&m->tpm);
}
