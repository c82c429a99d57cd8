/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another store in the place of this one: reopened after a rekey, restored from a backup, or taken over as it
 * is by an operator who accepts a rollback, another machine or another TPM.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "daemon/caller.h"
#include "daemon/change.h"
#include "daemon/daemon.h"
#include "daemon/operation.h"
#include "daemon/unlock-words.h"
#include "daemon/vault-job.h"

#define RECOVER_PATIENCE_USEC 5000000 /* for what the TPM has to say */

/* ---- rekey ---- */

void vault_pause(Daemon *d, const char *why)
{
        vault_close(d);
        vault_set_state(d, VAULT_STARTING, HF_E_BUSY, why);
}

int vault_open_again(Daemon *d, const SignerOpened *keys, const uint8_t life[static 16], VaultDoneFunc done,
                void *userdata)
{
        VaultJob *j = vault_job_new(d); /* needs no signer */
        int r;

        if (j) {
                j->done = done;
                j->userdata = userdata;
                j->keys = *keys;
                memcpy(j->life, life, sizeof(j->life));
                (void)vault_read_slots_file(d);
        }
        r = j ? vault_job_start_open(j) : -ENOMEM;
        if (r) {
                vault_job_free(j);
                vault_set_state(d, VAULT_REFUSED, HF_E_INTERNAL, "no memory to open the store again");
        }
        return r;
}

/* ---- restore ---- */

static void restore_failed(VaultJob *j, int r)
{
        j->daemon->vault.busy = false;
        vault_job_tell(j, r);
}

static void on_restore_built(void *userdata, int result)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;

        if (!result)
                result = vault_replace_with_new(d->vault.state_fd);
        if (result) {
                restore_failed(j, result);
                return;
        }
        d->vault.restored_lost = j->lost;
        (void)vault_read_slots_file(d);
        result = vault_job_start_open(j);
        if (result)
                restore_failed(j, result);
}

static void build_restored(VaultJob *j)
{
        int r = worker_post(j->daemon->worker, vault_job_restore_build, on_restore_built, j);

        if (r)
                restore_failed(j, r);
}

static void on_restore_adopted(VaultJob *j, int result)
{
        if (result)
                restore_failed(j, result);
        else
                vault_job_ask_tpm(j, buffer_bytes(&j->new_slots), false, build_restored);
}

static void on_restore_unlocked(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        WireReader r = wire_reader(body);

        result = vault_job_take_keys(j, result, &r);
        if (!result && wire_done(&r))
                result = HF_E_SIGNER_FAILED;
        if (!result) {
                vault_job_adopt(j, BYTES(j->backup->slots, j->backup->slots_len), on_restore_adopted);
                return;
        }
        unlock_words_in_place(j->reason, sizeof(j->reason));
        restore_failed(j, result);
}

static void on_restore_forgotten(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        Buffer *b = signer_begin(j->daemon->signer, SIGNER_UNLOCK);

        (void)body;
        if (!result)
                result = vault_put_unlock(j->daemon, b, BYTES(j->backup->slots, j->backup->slots_len), true);
        if (!result)
                result = signer_call(j->daemon->signer, &j->secret_fd, j->secret_fd >= 0 ? 1 : 0,
                                on_restore_unlocked, j);
        if (result)
                restore_failed(j, result);
}

/* The signer may hold the master of the store that is to be replaced. */
static void on_restore_read(void *userdata, int result)
{
        VaultJob *j = userdata;

        if (!result)
                result = vault_ask_lock(j->daemon, false, on_restore_forgotten, j);
        if (result)
                restore_failed(j, result);
}

int vault_restore(Daemon *d, int fd, int secret_fd, const Caller *caller, VaultDoneFunc done, void *userdata)
{
        VaultJob *j = NULL;
        int r;

        r = vault_job_begin(d, caller, done, userdata, &j);
        if (r)
                return r;
        j->backup = calloc(1, sizeof(*j->backup));
        j->backup_fd = fd;
        j->secret_fd = secret_fd;
        r = j->backup ? worker_post(d->worker, vault_job_restore_read, on_restore_read, j) : -ENOMEM;
        d->vault.busy = r == 0;
        if (r)
                vault_job_free(j);
        return r;
}

/* ---- recover ---- */

/* Of a store that was open nothing has changed, and it goes on. */
static void recover_failed(VaultJob *j, int result)
{
        Daemon *d = j->daemon;

        d->vault.busy = false;
        vault_job_tell(j, result);
        if (d->vault.store)
                change_release(d);
        vault_ask_signer(d);
}

/* No use is under way any more: an open store is closed, and opened as the new one. */
static void on_recover_drained(void *userdata)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;

        vault_pause(d, "the store is being taken over");
        d->use_held = false;
        change_release(d); /* nothing runs before it is open again; then the keys of the old TPM are to be marked */
        (void)vault_job_start_open(j);
}

static void on_adopted(VaultJob *j, int result)
{
        if (result)
                recover_failed(j, result);
        else if (j->daemon->vault.store)
                use_hold(j->daemon, on_recover_drained, j);
        else
                (void)vault_job_start_open(j);
}

static void on_recover_unlocked(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;
        WireReader r = wire_reader(body);

        result = vault_job_take_keys(j, result, &r);
        if (!result && wire_done(&r))
                result = HF_E_SIGNER_FAILED;
        if (!result && j->repair == VAULT_REPAIR_FOREIGN)
                vault_job_adopt(j, buffer_bytes(&d->vault.slots), on_adopted);
        else if (!result)
                result = vault_job_start_open(j);
        if (result) {
                if (result != HF_E_SIGNER_UNAVAILABLE) /* else nothing was decided */
                        vault_note_failed_unlock(d, j);
                recover_failed(j, result);
        }
}

static int ask_recover(VaultJob *j)
{
        Daemon *d = j->daemon;
        Buffer *b = signer_begin(d->signer, SIGNER_UNLOCK);
        int r = vault_put_unlock(d, b, buffer_bytes(&d->vault.slots), true);

        return r ? r : signer_call(d->signer, &j->secret_fd, j->secret_fd >= 0 ? 1 : 0, on_recover_unlocked, j);
}

/* An open store is taken over only from a TPM that is another one, or has lost the store's counter. */
static void on_recover_known(void *userdata)
{
        VaultJob *j = userdata;
        const Daemon *d = j->daemon;
        int r = 0;

        if (d->tpm.match != SIGNER_TPM_OTHER && d->anchor.state != ANCHOR_WRONG)
                r = HF_E_STORE_INITIALISED;
        if (!r)
                r = ask_recover(j);
        if (r)
                recover_failed(j, r);
}

int vault_recover(Daemon *d, bool accept_rollback, int secret_fd, const Caller *caller, VaultDoneFunc done,
                void *userdata)
{
        bool open = d->vault.state == VAULT_READY;
        VaultJob *j = NULL;
        int r;

        if (d->vault.state == VAULT_REFUSED && !accept_rollback)
                return d->vault.error;
        if (open && !change_is_idle(d))
                return HF_E_BUSY;
        r = vault_job_begin(d, caller, done, userdata, &j);
        if (r)
                return r;
        j->repair = d->vault.state == VAULT_REFUSED ? VAULT_REPAIR_ROLLBACK : VAULT_REPAIR_FOREIGN;
        j->secret_fd = secret_fd;
        d->vault.busy = true;
        if (open) {
                change_hold(d);
                tpm_ask(d, true, RECOVER_PATIENCE_USEC, on_recover_known, j);
                return 0;
        }
        r = ask_recover(j);
        if (r) {
                d->vault.busy = false;
                vault_job_free(j);
        }
        return r;
}
