/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * First start
 *
 * The signer makes a master and its slots, the worker a store beside nothing, and the rename of store.new is
 * the moment it becomes the store: at once when unattended, else when the recovery code was typed back.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "daemon/caller.h"
#include "daemon/daemon.h"
#include "daemon/vault-job.h"

static void open_new(VaultJob *j)
{
        Daemon *d = j->daemon;
        int r = vault_commit_new(d->vault.state_fd);

        if (!r) {
                d->vault.init_pending = false;
                (void)vault_read_slots_file(d);
                r = vault_job_start_open(j);
        }
        if (r) {
                d->vault.busy = false;
                vault_job_tell(j, r);
        }
}

static void on_made(void *userdata, int result)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;

        if (result) {
                d->vault.busy = false;
                vault_job_tell(j, result);
                return;
        }
        if (j->pending && (!signer_client_is_up(d->signer) ||
                                          memcmp(j->life, signer_client_hello(d->signer)->life, sizeof(j->life)))) {
                d->vault.busy = false; /* the master is gone that the code would be asked back for */
                vault_job_tell(j, HF_E_SIGNER_UNAVAILABLE);
                return;
        }
        memcpy(d->vault.checkpoint_public, j->keys.checkpoint_public, 32);
        d->vault.store_id = j->keys.store_id;
        if (!j->pending) {
                open_new(j);
                return;
        }
        d->vault.busy = false;
        d->vault.init_pending = true;
        buffer_clear(&d->vault.slots);
        (void)buffer_append(&d->vault.slots, j->new_slots.data, j->new_slots.len);
        vault_job_tell(j, 0);
}

static void make(VaultJob *j)
{
        int r = worker_post(j->daemon->worker, vault_job_make, on_made, j);

        if (!r)
                return;
        j->daemon->vault.busy = false;
        vault_job_tell(j, r);
}

static void on_init(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        WireReader r = wire_reader(body);
        Bytes slots;

        result = vault_job_take_keys(j, result, &r);
        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : buffer_append(&j->new_slots, slots.data, slots.len);
        }
        if (!result) {
                vault_job_ask_tpm(j, buffer_bytes(&j->new_slots), false, make);
                return;
        }
        if (result == HF_E_UNLOCK_FAILED && j->init.kind == SLOT_CREDENTIAL)
                strcpy(j->reason, "holdfast-signer has no credential of 16 bytes or more; holdfast-signer(8) says how it "
                                  "gets one");
        j->daemon->vault.busy = false;
        vault_job_tell(j, result);
}

static int send_init(VaultJob *j)
{
        SignerInit init = {.kind = j->init.kind, .unattended = j->init.unattended, .tpm = j->init.tpm};
        int fds[2], r;
        size_t n = 0;

        uuid_generate(&init.store_id);
        strcpy(init.label, j->init.label);
        if (j->init.secret_fd >= 0)
                fds[n++] = j->init.secret_fd;
        if (j->init.recovery_fd >= 0)
                fds[n++] = j->init.recovery_fd;
        r = signer_init_encode(&init, signer_begin(j->daemon->signer, SIGNER_INIT));
        return r ? r : signer_call(j->daemon->signer, fds, n, on_init, j);
}

/* There is no store: what the signer may have held belongs to an attempt that was given up. */
static void on_forgotten(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;

        (void)body;
        if (!result)
                result = send_init(j);
        if (result) {
                j->daemon->vault.busy = false;
                vault_job_tell(j, result);
        }
}

int vault_init(Daemon *d, const VaultInitParams *params, const Caller *caller, VaultDoneFunc done,
                void *userdata)
{
        VaultJob *j = NULL;
        int r;

        r = vault_job_begin(d, caller, done, userdata, &j);
        if (r)
                return r;
        j->pending = !params->unattended;
        j->init = *params;
        d->vault.busy = true;
        d->vault.init_pending = false;
        r = vault_ask_lock(d, false, on_forgotten, j);
        if (r) {
                d->vault.busy = false;
                vault_job_free(j);
        }
        return r;
}

/* The signer still holds the master it made: it gives the same keys again without a secret. */
static void on_pending_keys(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        WireReader r = wire_reader(body);

        result = vault_job_take_keys(j, result, &r);
        if (!result && wire_done(&r))
                result = HF_E_SIGNER_FAILED;
        if (!result) {
                open_new(j);
                return;
        }
        j->daemon->vault.busy = false;
        vault_job_tell(j, result);
}

static void on_confirmed(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;
        Buffer *b;

        (void)body;
        if (!result) {
                b = signer_begin(d->signer, SIGNER_UNLOCK);
                result = vault_put_unlock(d, b, buffer_bytes(&d->vault.slots), true);
                if (!result)
                        result = signer_call(d->signer, NULL, 0, on_pending_keys, j);
        }
        if (result == HF_E_INVALID_ARGS) {
                strcpy(j->reason, "the code is mistyped: its check characters do not fit");
                result = HF_E_UNLOCK_FAILED;
        }
        if (result) {
                d->vault.busy = false;
                vault_job_tell(j, result);
        }
}

int vault_confirm(Daemon *d, int code_fd, VaultDoneFunc done, void *userdata)
{
        VaultJob *j = NULL;
        int r;

        r = vault_job_begin(d, NULL, done, userdata, &j);
        if (r)
                return r;
        r = wire_put_block(signer_begin(d->signer, SIGNER_RECOVERY_CHECK), buffer_bytes(&d->vault.slots));
        if (!r)
                r = signer_call(d->signer, &code_fd, 1, on_confirmed, j);
        d->vault.busy = r == 0;
        if (r)
                vault_job_free(j);
        return r;
}
