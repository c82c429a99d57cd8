/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/vault-rekey.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/note.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/change.h"
#include "daemon/vault-job.h"

#define WRAPS_AT_ONCE 32

/* One key on its way to the new envelope. */
typedef struct Wrap {
        struct Rekey *rekey;
        KeyEntry *key;
        uint8_t *wrapped; /* owned */
        size_t len;
} Wrap;

typedef struct Rekey {
        Daemon *daemon;
        VaultJob *job; /* the new store; job->keys are the new keys */
        SignerOpened old_keys;
        VaultDoneFunc done;
        void *userdata;

        Wrap *wraps;
        size_t n_wraps, n_sent, n_done;
        int failure;

        Store *old_store;  /* in the worker */
        AuditLog *old_log; /* on the copy of the old segments */
        AuditPosition position;
        uint64_t epoch;
        int64_t counter; /* what notes said of it when the old log was closed */
        char note[CHECKPOINT_NOTE_MAX];
} Rekey;

static void rekey_free(Rekey *k)
{
        for (size_t i = 0; i < k->n_wraps; i++) {
                key_entry_unref(k->wraps[i].key);
                free(k->wraps[i].wrapped);
        }
        free(k->wraps);
        audit_log_free(k->old_log);
        store_close(k->old_store);
        explicit_bzero(&k->old_keys, sizeof(k->old_keys));
        vault_job_free(k->job);
        free(k);
}

/* ---- the end, good or bad ---- */

static void release(Daemon *d)
{
        d->use_held = false;
        change_release(d);
        use_pump(d);
        vault_ask_signer(d);
}

static void ignore(void *userdata, int result, Bytes body)
{
        (void)userdata;
        (void)body;
        if (result)
                log_warning("the signer could not settle a rekey: %s", hf_error_name(result));
}

static void settle_signer(Daemon *d, bool keep)
{
        if (wire_put_u8(signer_begin(d->signer, SIGNER_REKEY_COMMIT), keep) == 0)
                (void)signer_call(d->signer, NULL, 0, ignore, NULL);
}

static void on_reopened(void *userdata, int result, const char *reason, uint32_t slot)
{
        Rekey *k = userdata;
        Daemon *d = k->daemon;

        if (result)
                log_error("after a rekey the store does not open: %s",
                                reason ? reason : hf_error_name(result));
        k->done(k->userdata, k->failure ? k->failure : result, k->job->reason[0] ? k->job->reason : reason,
                        slot);
        rekey_free(k);
        release(d);
}

/* Nothing was exchanged: the old store is as it was. */
static void give_up(Rekey *k, int result)
{
        Daemon *d = k->daemon;

        k->failure = result;
        settle_signer(d, false);
        d->vault.busy = false;
        if (d->vault.store) {
                on_reopened(k, 0, NULL, 0);
                return;
        }
        result = vault_open_again(d, &k->old_keys, k->job->life, on_reopened, k);
        if (result)
                on_reopened(k, result, NULL, 0);
}

/* ---- last: exchange ---- */

static void on_built(void *userdata, int result)
{
        Rekey *k = userdata;
        Daemon *d = k->daemon;

        if (!result)
                result = vault_exchange_for_good(d->vault.state_fd);
        if (result) {
                give_up(k, result);
                return;
        }
        settle_signer(d, true);
        d->vault.busy = false;
        result = vault_open_again(d, &k->job->keys, k->job->life, on_reopened, k);
        if (result)
                on_reopened(k, result, NULL, 0);
}

static void fill_line(const VaultJob *j, AuditLine *line, const void *userdata)
{
        const Rekey *k = userdata;
        char fingerprint[AUDIT_FINGERPRINT_SIZE];

        audit_key_fingerprint(j->keys.checkpoint_public, fingerprint);
        audit_line_str(line, "checkpoint-key", fingerprint);
        audit_line_u64(line, "keys", k->n_wraps);
        audit_line_caller(line, j->caller, NULL);
}

/* The old key's last record, then the new log behind it and the change that makes the new store its store. */
static int build_log(void *userdata)
{
        Rekey *k = userdata;
        VaultJob *j = k->job;
        char id[UUID_TEXT_SIZE];
        AuditLogParams params = vault_job_log_params(j, id);
        uint8_t hash[32];
        int r;

        r = audit_log_append_checkpoint(k->old_log, k->note, NULL);
        if (!r)
                r = audit_log_sync(k->old_log);
        audit_log_position(k->old_log, &k->position);
        k->old_log = audit_log_free(k->old_log);
        if (!r)
                r = audit_log_create(&params, &k->position, &j->log);
        change_slots_hash(buffer_bytes(&j->new_slots), hash);
        if (!r)
                r = vault_job_sync_change(j, &(SyncChange){.event = "store.rekey",
                                                             .fill = fill_line,
                                                             .userdata = k,
                                                             .slots_hash = hash,
                                                             .epoch = k->epoch});
        if (!r)
                r = io_sync_dir(j->store_fd);
        if (r && !j->reason[0])
                vault_job_because(j, r, "the log could not be continued: %s", hf_error_name(r));
        vault_job_close(j);
        return r;
}

static void on_note(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Rekey *k = userdata;

        if (!result) {
                wire_get_string(&r, k->note, sizeof(k->note));
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : worker_post(k->daemon->worker, build_log, on_built, k);
        }
        if (result)
                give_up(k, result);
}

static void on_rows_built(void *userdata, int result)
{
        Rekey *k = userdata;
        SignerCheckpoint c = {
                        .size = k->position.size, .counter = k->counter, .epoch = k->epoch - 1, .succession = true};

        memcpy(c.head, k->position.head, sizeof(c.head));
        memcpy(c.state, k->position.effective.state, sizeof(c.state));
        if (!result)
                result = signer_checkpoint_encode(&c, signer_begin(k->daemon->signer, SIGNER_CHECKPOINT));
        if (!result)
                result = signer_call(k->daemon->signer, NULL, 0, on_note, k);
        if (result)
                give_up(k, result);
}

/* ---- rows ---- */

static int compare_wraps(const void *a, const void *b)
{
        return memcmp(((const Wrap *)a)->key->uuid.b, ((const Wrap *)b)->key->uuid.b, sizeof(Uuid));
}

static const Wrap *find_wrap(const Rekey *k, const Uuid *uuid)
{
        size_t low = 0, high = k->n_wraps;

        while (low < high) {
                size_t middle = (low + high) / 2;
                int c = memcmp(uuid->b, k->wraps[middle].key->uuid.b, sizeof(uuid->b));

                if (c == 0)
                        return &k->wraps[middle];
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

static int copy_key(void *userdata, const StoreKeyRow *row)
{
        Rekey *k = userdata;
        StoreKeyRow copy = *row;
        const Wrap *w;

        if (row->state == STORE_KEY_LIVE) {
                w = find_wrap(k, &row->attributes->uuid);
                if (!w)
                        return HF_E_INTERNAL;
                copy.wrapped = BYTES(w->wrapped, w->len);
        }
        return store_put_key(k->job->store, &copy);
}

static int copy_uses(void *userdata, const StoreUsesRow *row)
{
        Rekey *k = userdata;

        return store_put_uses(k->job->store, row);
}

static int copy_identity(void *userdata, const StoreIdentityRow *row)
{
        Rekey *k = userdata;

        return store_put_identity(k->job->store, row);
}

static int copy_authority(void *userdata, const StoreAuthorityRow *row)
{
        Rekey *k = userdata;

        return store_put_authority(k->job->store, row);
}

static int copy_certificate(void *userdata, const StoreCertificateRow *row)
{
        Rekey *k = userdata;

        return store_put_certificate(k->job->store, row);
}

static int copy_meta(void *userdata, const char *key, Bytes value)
{
        Rekey *k = userdata;

        return strcmp(key, USES_META_FORFEIT) == 0 || strcmp(key, META_LOST) == 0 ? store_put_meta(k->job->store, key, value) : 0;
}

static int copy_rows_open(Rekey *k)
{
        static const StoreVisitor visitor = {
                        .meta = copy_meta, .key = copy_key, .uses = copy_uses, .identity = copy_identity,
                        .authority = copy_authority, .certificate = copy_certificate};
        VaultJob *j = k->job;
        StoreParams params = vault_job_store_params(j);
        StoreParams old = {.database_key = k->old_keys.database_key,
                        .log_key = k->old_keys.log_key,
                        .id = k->old_keys.store_id};
        _cleanup_close_ int old_fd = openat(j->state_fd, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        StoreReason reason = {0};
        int r;

        r = store_open(old_fd, &old, &reason, &k->old_store);
        if (!r)
                r = store_create(j->store_fd, &params, &reason, &j->store);
        if (r)
                return vault_job_because(j, r, "%s", reason.text);
        r = store_begin(j->store);
        if (!r)
                r = store_scan(k->old_store, &visitor, k);
        if (!r && store_commit(j->store) != STORE_COMMITTED)
                r = -EIO;
        return r ? vault_job_because(j, r, "the rows could not be copied: %s", store_reason(j->store)) : 0;
}

/* Whatever comes of it, the old store is free for whoever opens it again. */
static int copy_rows(Rekey *k)
{
        int r = copy_rows_open(k);

        k->old_store = store_close(k->old_store);
        return r;
}

/* In the worker; the old store is closed. The old log is copied, so that nothing of the old store changes. */
static int build_rows(void *userdata)
{
        Rekey *k = userdata;
        VaultJob *j = k->job;
        AuditRecovery rec;
        char id[UUID_TEXT_SIZE];
        AuditLogParams params;
        int r;

        qsort(k->wraps, k->n_wraps, sizeof(*k->wraps), compare_wraps);
        r = vault_job_make_dirs(j);
        if (!r)
                r = io_write_file(j->store_fd, "slots", buffer_bytes(&j->new_slots), 0600);
        if (!r)
                r = copy_rows(k);
        if (!r)
                r = vault_job_copy_segments(j);
        if (r)
                return r;
        params = vault_job_log_params(j, id);
        params.key = k->old_keys.log_key;
        r = audit_log_open(&params, &rec, &k->old_log);
        if (r)
                return vault_job_because(j, r, "the copy of the log does not open: %s", hf_error_name(r));
        audit_log_position(k->old_log, &k->position);
        return 0;
}

/* ---- envelopes ---- */

static void send_wraps(Rekey *k);

/* No use is under way any more: the store can be closed. */
static void on_drained(void *userdata)
{
        Rekey *k = userdata;
        Daemon *d = k->daemon;
        int r;

        k->counter = anchor_note(d, false);
        vault_pause(d, "the store is being rekeyed");
        r = worker_post(d->worker, build_rows, on_rows_built, k);
        if (r)
                give_up(k, r);
}

static void on_wrapped(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Wrap *w = userdata;
        Rekey *k = w->rekey;
        Bytes wrapped;

        k->n_done++;
        if (!result) {
                wrapped = wire_get_block(&r, KEY_WRAPPED_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : 0;
        }
        if (!result) {
                w->wrapped = malloc(wrapped.len);
                w->len = wrapped.len;
                if (w->wrapped)
                        memcpy(w->wrapped, wrapped.data, wrapped.len);
                else
                        result = -ENOMEM;
        }
        if (result && !k->failure)
                k->failure = result;
        send_wraps(k);
}

static int send_wrap(Wrap *w)
{
        Daemon *d = w->rekey->daemon;
        Buffer *b = signer_begin(d->signer, SIGNER_REKEY_WRAP);
        int r;

        r = wire_put_block(b, key_entry_attributes(w->key));
        if (!r)
                r = wire_put_block(b, key_entry_wrapped(w->key));
        return r ? r : signer_call(d->signer, NULL, 0, on_wrapped, w);
}

static void send_wraps(Rekey *k)
{
        while (!k->failure && k->n_sent < k->n_wraps && k->n_sent - k->n_done < WRAPS_AT_ONCE) {
                int r = send_wrap(&k->wraps[k->n_sent]);

                if (r)
                        k->failure = r;
                else
                        k->n_sent++;
        }
        if (k->n_done < k->n_sent)
                return;
        if (k->failure)
                give_up(k, k->failure);
        else if (k->n_done == k->n_wraps)
                use_hold(k->daemon, on_drained, k);
}

static int collect_keys(Rekey *k)
{
        const Catalogue *c = k->daemon->vault.catalogue;
        CatalogueCursor cursor = {0};
        KeyEntry *key;

        k->wraps = calloc(catalogue_count(c) + 1, sizeof(*k->wraps));
        if (!k->wraps)
                return -ENOMEM;
        while (k->n_wraps < catalogue_count(c) && catalogue_list(c, &cursor, &key, 1) == 1)
                k->wraps[k->n_wraps++] = (Wrap){.rekey = k, .key = key_entry_ref(key)};
        return 0;
}

static void begin_wraps(VaultJob *j)
{
        send_wraps(j->userdata);
}

static void on_new_master(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Rekey *k = userdata;
        Bytes slots;

        if (!result)
                result = signer_opened_decode(&r, &k->job->keys);
        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : buffer_append(&k->job->new_slots, slots.data, slots.len);
        }
        if (!result)
                result = collect_keys(k);
        if (result)
                give_up(k, result);
        else
                vault_job_ask_tpm(k->job, buffer_bytes(&k->job->new_slots), false, begin_wraps);
}

/* ---- beginning ---- */

static int ask_new_master(Rekey *k, const VaultInitParams *params)
{
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(1024);
        Daemon *d = k->daemon;
        SignerInit init = {.store_id = d->vault.store_id,
                        .kind = params->kind,
                        .unattended = params->unattended,
                        .tpm = params->tpm};
        int fds[2], r;
        size_t n = 0;
        Buffer *b;

        strcpy(init.label, params->label);
        if (params->secret_fd >= 0)
                fds[n++] = params->secret_fd;
        if (params->recovery_fd >= 0)
                fds[n++] = params->recovery_fd;
        r = signer_init_encode(&init, &encoded);
        b = signer_begin(d->signer, SIGNER_REKEY);
        if (!r)
                r = wire_put_block(b, buffer_bytes(&d->vault.slots));
        if (!r)
                r = wire_put_block(b, buffer_bytes(&encoded));
        return r ? r : signer_call(d->signer, fds, n, on_new_master, k);
}

int vault_rekey(Operation *op, const VaultInitParams *params, VaultDoneFunc done, void *userdata)
{
        Daemon *d = op->daemon;
        Rekey *k;
        int r;

        if (d->vault.busy || !change_is_idle(d) || !d->vault.keys)
                return HF_E_BUSY;
        k = calloc(1, sizeof(*k));
        if (!k)
                return -ENOMEM;
        k->daemon = d;
        k->done = done;
        k->userdata = userdata;
        k->epoch = d->vault.epoch + 1;
        memcpy(&k->old_keys, d->vault.keys->data, sizeof(k->old_keys));
        k->job = vault_job_new(d);
        r = k->job ? 0 : -ENOMEM;
        if (!r) {
                k->job->caller = caller_ref(op->caller);
                k->job->userdata = k;
                memcpy(k->job->life, signer_client_hello(d->signer)->life, sizeof(k->job->life));
                r = ask_new_master(k, params);
        }
        if (r) {
                rekey_free(k);
                return r;
        }
        d->vault.busy = true;
        change_hold(d);
        return 0;
}
