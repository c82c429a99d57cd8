/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "audit/locked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"
#include "crypto/digest.h"
#include "daemon/bus.h"
#include "daemon/ca.h"
#include "daemon/change.h"
#include "daemon/checkpoint.h"
#include "daemon/lost.h"
#include "daemon/operation.h"
#include "daemon/pcr-signature.h"
#include "daemon/unlock-words.h"
#include "daemon/vault-job.h"
#include "dbus/errors.h"

const char *vault_state_to_string(VaultState s)
{
        switch (s) {
        case VAULT_STARTING:
                return "starting";
        case VAULT_UNINITIALISED:
                return "uninitialised";
        case VAULT_FOREIGN:
                return "foreign";
        case VAULT_LOCKED:
                return "locked";
        case VAULT_REFUSED:
                return "refused";
        case VAULT_READY:
                return "ready";
        case VAULT_ANY:
                break;
        }
        return "unknown";
}

int vault_state_error(const Vault *v)
{
        switch (v->state) {
        case VAULT_STARTING:
                return v->error ? v->error : HF_E_SIGNER_UNAVAILABLE;
        case VAULT_UNINITIALISED:
                return HF_E_STORE_UNINITIALISED;
        case VAULT_LOCKED:
                return HF_E_STORE_LOCKED;
        case VAULT_FOREIGN:
        case VAULT_REFUSED:
                return v->error;
        case VAULT_READY:
                return HF_E_STORE_INITIALISED;
        case VAULT_ANY:
                break;
        }
        return HF_E_INTERNAL;
}

void vault_set_state(Daemon *d, VaultState state, int error, const char *reason)
{
        Vault *v = &d->vault;

        v->state = state;
        v->error = error;
        snprintf(v->reason, sizeof(v->reason), "%s", reason ? reason : "");
        (void)sd_notifyf(0, "STATUS=%s%s%s", vault_state_to_string(state), v->reason[0] ? ": " : "",
                        v->reason);
        if (state == VAULT_REFUSED)
                log_error("the store stays closed (%s): %s", hf_error_name(error), v->reason);
        else
                log_info("the store is %s%s%s", vault_state_to_string(state), v->reason[0] ? ": " : "",
                                v->reason);
        if (state != VAULT_STARTING)
                bus_run_parked(d);
        if (state == VAULT_READY)
                ca_consider(d);
}

/* ---- the log's events ---- */

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Daemon *d = userdata;
        uint64_t durable;
        int r;

        (void)source;
        (void)fd;
        (void)events;
        r = audit_log_dispatch(d->vault.log, &durable);
        operation_flush(d, durable);
        if (r) {
                daemon_abandon(d, "a line of the audit log could not be written");
                return 0;
        }
        change_on_durable(d);
        checkpoint_on_durable(d);
        if (d->vault.signer_open) /* also for lines that no use has written: refusals, reloads */
                checkpoint_consider(d);
        if (d->n_queued)
                use_pump(d);
        return 0;
}

/* The loop is about to wait: what this turn has written goes to the disk, as one. */
static int on_turn_end(sd_event_source *source, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        audit_log_wake(d->vault.log);
        return 0;
}

static void watch_log(Daemon *d)
{
        Vault *v = &d->vault;
        int r = sd_event_add_io(d->event, &v->log_source, audit_log_fd(v->log), EPOLLIN, on_log, d);

        if (r >= 0)
                r = sd_event_source_set_prepare(v->log_source, on_turn_end);
        if (r >= 0)
                r = sd_event_source_set_priority(v->log_source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                daemon_abandon(d, "the audit log cannot be watched");
}

/* ---- closing ---- */

void vault_close(Daemon *d)
{
        Vault *v = &d->vault;

        checkpoint_stop(d);
        if (v->log) {
                (void)audit_log_sync(v->log);
                operation_flush(d, audit_log_durable(v->log));
        }
        v->log_source = sd_event_source_disable_unref(v->log_source);
        v->log = audit_log_free(v->log);
        v->store = store_close(v->store);
        v->identities = identities_free(v->identities);
        v->registry = registry_free(v->registry);
        v->lists = lists_free(v->lists);
        v->uses = uses_free(v->uses);
        v->catalogue = catalogue_free(v->catalogue);
        v->keys = secret_free(v->keys);
        free(TAKE_PTR(v->occasions));
        v->n_occasions = 0;
        v->audit_fd = safe_close(v->audit_fd);
        v->store_fd = safe_close(v->store_fd);
        operation_fail_waiting(d);
}

/* ---- opening, seen from the loop ---- */

static void hash_keys(const SignerOpened *keys, uint8_t ret[static 32])
{
        uint8_t both[64];

        memcpy(both, keys->database_key, 32);
        memcpy(both + 32, keys->log_key, 32);
        digest_sha256(BYTES_ARRAY(both), ret);
        explicit_bzero(both, sizeof(both));
}

static void take_over(Daemon *d, VaultJob *j)
{
        Vault *v = &d->vault;

        safe_close(v->store_fd);
        safe_close(v->audit_fd); /* of the reading while it was locked */
        v->store_fd = TAKE_FD(j->store_fd);
        v->audit_fd = TAKE_FD(j->audit_fd);
        v->store = TAKE_PTR(j->store);
        v->log = TAKE_PTR(j->log);
        v->catalogue = TAKE_PTR(j->catalogue);
        v->uses = TAKE_PTR(j->uses);
        v->identities = TAKE_PTR(j->identities);
        v->registry = TAKE_PTR(j->registry);
        v->lists = TAKE_PTR(j->lists);
        v->store_id = j->keys.store_id;
        v->epoch = j->epoch;
        v->last_backup = j->last_backup;
        v->has_tpm_keys = j->has_tpm_keys;
        v->occasions = TAKE_PTR(j->occasions);
        v->n_occasions = j->n_occasions;
        memcpy(v->checkpoint_public, j->keys.checkpoint_public, 32);
        memcpy(v->slots_hash, j->slots_hash, 32);
        v->opened = clock_monotonic();
        v->opened_seq = j->unlock_seq;
        v->signer_open = signer_client_is_up(d->signer) &&
                         memcmp(signer_client_hello(d->signer)->life, j->life, sizeof(j->life)) == 0;
        hash_keys(&j->keys, v->keys_hash);
        if (secret_new(sizeof(j->keys), &v->keys))
                daemon_abandon(d, "no memory for the keys of the store");
        else
                memcpy(v->keys->data, &j->keys, sizeof(j->keys));
        buffer_clear(&v->slots);
        (void)buffer_append(&v->slots, j->slots.data, j->slots.len);
        watch_log(d);
        (void)vault_read_slots(d, buffer_bytes(&v->slots));
}

static void note_policy(Daemon *d)
{
        AuditLine line;

        audit_line_init(&line, "policy.loaded");
        audit_line_u64(&line, "rules", policy_n_rules(d->policy));
        audit_line_u64(&line, "files", policy_n_files(d->policy));
        audit_line_str(&line, "reason", "unlock");
        (void)audit_log_append(d->vault.log, &line, NULL);
}

static void on_marked(void *userdata)
{
        VaultJob *j = userdata;

        if (j->done)
                j->done(j->userdata, 0, NULL, j->keys.slot);
        vault_job_free(j);
}

static void on_sealed_open(void *userdata, int result)
{
        VaultJob *j = userdata;

        if (result)
                log_warning("the log is not sealed yet: %s", hf_error_name(result));
        lost_mark(j->daemon, on_marked, j);
}

void vault_job_tell(VaultJob *j, int result)
{
        if (j->done)
                j->done(j->userdata, result, j->reason[0] ? j->reason : NULL, 0);
        vault_job_free(j);
}

static void on_open(void *userdata, int result)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;

        d->vault.busy = false;
        if (result == HF_E_NOTHING_TO_DO && j->repair != VAULT_REPAIR_NONE) {
                vault_job_tell(j, result);
                return;
        }
        if (result == -ENOMEM) {
                daemon_abandon(d, "no memory to open the store"); /* which says nothing about the store */
                return;
        }
        if (result) {
                vault_set_state(d, result == HF_E_TPM_IDENTITY_CHANGED ? VAULT_FOREIGN : VAULT_REFUSED,
                                result < 0 ? HF_E_INTERNAL : result, j->reason);
                use_fail_queued(d, vault_state_error(&d->vault));
                vault_job_tell(j, result);
                return;
        }
        take_over(d, j);
        anchor_begin(d, j->verdict, j->freshness.counter, j->freshness.noted);
        vault_set_state(d, VAULT_READY, 0, NULL);
        note_policy(d);
        checkpoint_anchor(d, on_sealed_open, j);
        use_pump(d);
        vault_ask_signer(d);
        if (anchor_is_behind(d) || (!tpm_is_ready(d) && d->vault.has_tpm_keys))
                tpm_trouble(d);
}

static void start_open(VaultJob *j)
{
        Daemon *d = j->daemon;
        const SignerHello *hello = signer_client_hello(d->signer);
        int r;

        j->served = hello->open ? hello->served : 0;
        j->memory = hello->memory == SECRET_MEMORY_SECRET ? "secret" : "locked";
        r = worker_post(d->worker, vault_job_open, on_open, j);
        if (r)
                on_open(j, r);
}

int vault_job_start_open(VaultJob *j)
{
        bool adopted = j->repair == VAULT_REPAIR_FOREIGN;

        j->daemon->vault.busy = true;
        vault_job_ask_tpm(j, buffer_bytes(adopted ? &j->new_slots : &j->daemon->vault.slots), !adopted, start_open);
        return 0;
}

int vault_job_take_keys(VaultJob *j, int result, WireReader *r)
{
        if (result == HF_E_UNLOCK_FAILED)
                wire_get_string(r, j->reason, sizeof(j->reason));
        if (result)
                return result;
        memcpy(j->life, signer_client_hello(j->daemon->signer)->life, sizeof(j->life));
        return signer_opened_decode(r, &j->keys) ? HF_E_SIGNER_FAILED : 0;
}

/* The store has stayed open while the signer was away: the same keys must have come back. */
static int resume(VaultJob *j)
{
        Daemon *d = j->daemon;
        uint8_t hash[32];

        hash_keys(&j->keys, hash);
        if (memcmp(hash, d->vault.keys_hash, sizeof(hash))) {
                snprintf(j->reason, sizeof(j->reason),
                                "the slot opened another master than that of the open store");
                return HF_E_UNLOCK_FAILED;
        }
        d->vault.busy = false;
        d->vault.signer_open = true;
        vault_set_state(d, VAULT_READY, 0, NULL);
        checkpoint_anchor(d, on_sealed_open, j);
        use_pump(d);
        return 0;
}

void vault_note_failed_unlock(Daemon *d, VaultJob *j)
{
        AuditLine line;

        audit_line_init(&line, "unlock.failed");
        audit_line_str(&line, "reason", j->reason);
        if (j->caller)
                audit_line_caller(&line, j->caller, NULL);
        else
                audit_line_u64(&line, "uid", 0);
        if (d->vault.log)
                (void)audit_log_append(d->vault.log, &line, NULL);
        else if (d->vault.audit_fd >= 0)
                (void)audit_locked_append(d->vault.audit_fd, &line, true);
        tpm_note_unlock(d, j->reason);
        unlock_words_in_place(j->reason, sizeof(j->reason));
}

static void on_unlocked(void *userdata, int result, Bytes body)
{
        VaultJob *j = userdata;
        Daemon *d = j->daemon;
        WireReader r = wire_reader(body);

        result = vault_job_take_keys(j, result, &r);
        if (!result)
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : d->vault.store ? resume(j) : vault_job_start_open(j);
        if (!result)
                return;
        d->vault.busy = false;
        if (result == HF_E_SIGNER_UNAVAILABLE) { /* nothing was decided; it comes back */
                vault_job_tell(j, result);
                return;
        }
        if (!j->caller && (result == -ENOMEM || result == HF_E_INTERNAL || result == HF_E_SIGNER_FAILED)) {
                daemon_abandon(d, "no slot could be tried"); /* it would stay locked until somebody comes */
                return;
        }
        if (result == HF_E_UNLOCK_FAILED)
                result = unlock_error(j->reason, j->given);
        if (result == HF_E_STORE_FOREIGN && d->vault.slot_list.machine_matches) {
                snprintf(j->reason, sizeof(j->reason), "%s", tpm_state_words(&(TpmWatch){.match = SIGNER_TPM_OTHER}));
                result = HF_E_TPM_IDENTITY_CHANGED;
        }
        vault_note_failed_unlock(d, j);
        if (result == HF_E_TPM_IDENTITY_CHANGED && !d->vault.store)
                vault_set_state(d, VAULT_FOREIGN, result, j->reason);
        else if (d->vault.state == VAULT_STARTING || d->vault.state == VAULT_READY)
                vault_set_state(d, VAULT_LOCKED, HF_E_STORE_LOCKED, j->reason);
        if (d->vault.state != VAULT_READY)
                use_fail_queued(d, vault_state_error(&d->vault));
        vault_job_tell(j, result);
}

static int put_signatures(const Daemon *d, Buffer *b)
{
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(SIGNER_SIGNATURES_MAX);
        _cleanup_free_ PcrSignatures *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        pcr_signatures_read(d->config.pcr_signature, s);
        r = s->n ? signer_signatures_encode(s->items, s->n, &encoded) : 0;
        return r ? r : wire_put_block(b, buffer_bytes(&encoded));
}

int vault_put_unlock(const Daemon *d, Buffer *b, Bytes slots, bool attended)
{
        int r = wire_put_block(b, slots);

        if (!r)
                r = wire_put_u8(b, attended);
        return r ? r : put_signatures(d, b);
}

static int ask_unlock(VaultJob *j, bool attended, int secret_fd)
{
        Daemon *d = j->daemon;
        Buffer *b = signer_begin(d->signer, SIGNER_UNLOCK);
        int r;

        j->given = secret_fd >= 0;
        r = vault_put_unlock(d, b, buffer_bytes(&d->vault.slots), attended);
        if (!r)
                r = signer_call(d->signer, &secret_fd, secret_fd >= 0 ? 1 : 0, on_unlocked, j);
        d->vault.busy = r == 0;
        return r;
}

int vault_job_begin(Daemon *d, const Caller *caller, VaultDoneFunc done, void *userdata, VaultJob **ret)
{
        VaultJob *j;

        if (d->vault.busy)
                return HF_E_BUSY;
        if (!signer_client_is_up(d->signer))
                return HF_E_SIGNER_UNAVAILABLE;
        j = vault_job_new(d);
        if (!j)
                return -ENOMEM;
        j->caller = caller ? caller_ref((Caller *)caller) : NULL;
        j->done = done;
        j->userdata = userdata;
        *ret = j;
        return 0;
}

int vault_unlock(Daemon *d, bool attended, int secret_fd, const Caller *caller, VaultDoneFunc done,
                void *userdata)
{
        VaultJob *j = NULL;
        int r;

        if (d->vault.state == VAULT_READY && attended)
                return HF_E_NOTHING_TO_DO;
        r = vault_job_begin(d, caller, done, userdata, &j);
        if (!r)
                r = ask_unlock(j, attended, secret_fd);
        if (r)
                vault_job_free(j);
        return r;
}

/* ---- looking ---- */

int vault_read_slots_file(Daemon *d)
{
        Vault *v = &d->vault;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(v->state_fd, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        buffer_clear(&v->slots);
        r = io_read_file(fd, "slots", &v->slots);
        v->audit_fd = safe_close(v->audit_fd);
        v->audit_fd = openat(fd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return r;
}

static void on_looked(void *userdata, int result, const char *reason, uint32_t slot)
{
        const Daemon *d = userdata;

        (void)slot;
        if (result && !reason && d->vault.state != VAULT_READY) /* else its state has said so */
                log_warning("the store was not opened by itself: %s", hf_error_name(result));
}

static void on_slots(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Daemon *d = userdata;
        Vault *v = &d->vault;

        if (result == HF_E_SIGNER_UNAVAILABLE)
                return;
        if (!result && (slot_list_decode(&r, &v->slot_list) || wire_done(&r)))
                result = HF_E_SIGNER_FAILED;
        if (result == HF_E_INTERNAL || result == HF_E_SIGNER_FAILED) {
                daemon_abandon(d, "the signer could not look at the slots"); /* which says nothing about them */
                return;
        }
        if (v->state != VAULT_STARTING)
                return;
        if (result) {
                vault_set_state(d, VAULT_REFUSED, HF_E_STORE_DAMAGED, "the slots file is not readable");
                return;
        }
        v->store_id = v->slot_list.store_id;
        if (!v->slot_list.machine_matches)
                vault_set_state(d, VAULT_FOREIGN, HF_E_STORE_FOREIGN,
                                "the store was made on a machine with another machine-id");
        else if (vault_unlock(d, false, -EBADF, NULL, on_looked, d))
                vault_set_state(d, VAULT_LOCKED, HF_E_STORE_LOCKED, "no attempt could be made");
}

int vault_read_slots(Daemon *d, Bytes slots)
{
        int r = wire_put_block(signer_begin(d->signer, SIGNER_SLOTS), slots);

        return r ? r : signer_call(d->signer, NULL, 0, on_slots, d);
}

void vault_look(Daemon *d)
{
        int r = vault_read_slots_file(d);

        if (r == -ENOENT && faccessat(d->vault.state_fd, "store", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                vault_set_state(d, VAULT_UNINITIALISED, HF_E_STORE_UNINITIALISED, NULL);
        else if (r)
                vault_set_state(d, VAULT_REFUSED, HF_E_STORE_DAMAGED, "the slots file cannot be read");
        else if (vault_read_slots(d, buffer_bytes(&d->vault.slots)) == -ENOMEM)
                daemon_abandon(d, "no memory to look at the slots");
}

void vault_signer_up(Daemon *d, const SignerHello *hello)
{
        Vault *v = &d->vault;

        (void)hello;
        if (v->busy) /* what is under way fails or asks the new signer at its end */
                return;
        if (v->state == VAULT_STARTING) {
                vault_look(d);
                return;
        }
        if (v->store)
                (void)vault_read_slots(d, buffer_bytes(&v->slots)); /* an answer may have been lost */
        /* Also where an operator has locked: it is the signer that remembers that, and its restart forgets it. */
        if ((v->store || v->state == VAULT_LOCKED) && vault_unlock(d, false, -EBADF, NULL, on_looked, d))
                log_warning("the signer is back, but could not be asked to open the store");
}

void vault_ask_signer(Daemon *d)
{
        Vault *v = &d->vault;

        if (v->store && !v->signer_open && !v->busy && signer_client_is_up(d->signer))
                vault_signer_up(d, signer_client_hello(d->signer));
}

void vault_signer_down(Daemon *d)
{
        log_warning("the signer went away");
        d->vault.signer_open = false;
        d->vault.init_pending = false;
        use_pump(d); /* those who wait do so for a while, not for good */
}

/* ---- locking ---- */

typedef struct LockJob {
        Daemon *daemon;
        Caller *caller;
        VaultDoneFunc done;
        void *userdata;
} LockJob;

static void on_locked(void *userdata, int result, Bytes body)
{
        LockJob *l = userdata;

        (void)body;
        l->daemon->vault.busy = false;
        l->daemon->use_held = false;
        l->done(l->userdata, result == HF_E_SIGNER_UNAVAILABLE ? 0 : result, NULL, 0);
        caller_unref(l->caller);
        free(l);
}

int vault_ask_lock(Daemon *d, bool order, SignerReplyFunc done, void *userdata)
{
        int r = wire_put_u8(signer_begin(d->signer, SIGNER_LOCK), order);

        return r ? r : signer_call(d->signer, NULL, 0, done, userdata);
}

/* Not from within the checkpoint's own call, which still looks at the log. */
static int close_locked(sd_event_source *source, void *userdata)
{
        LockJob *l = userdata;
        Daemon *d = l->daemon;

        (void)source;
        vault_close(d);
        d->vault.signer_open = false;
        change_release(d); /* what the signer was asked for before: there is no store any more to change */
        (void)vault_read_slots_file(d);
        if (vault_ask_lock(d, true, on_locked, l))
                on_locked(l, HF_E_SIGNER_UNAVAILABLE, BYTES_NULL);
        return 0;
}

static void on_sealed_lock(void *userdata, int result)
{
        LockJob *l = userdata;
        Daemon *d = l->daemon;

        (void)result;
        if (sd_event_add_defer(d->event, NULL, close_locked, l) < 0)
                close_locked(NULL, l);
}

static void on_drained_lock(void *userdata)
{
        LockJob *l = userdata;
        AuditLine line;

        audit_line_init(&line, "store.lock");
        if (l->caller) {
                audit_line_caller(&line, l->caller, NULL);
        } else {
                audit_line_u64(&line, "uid", 0);
                audit_line_str(&line, "road", "internal");
                audit_line_str(&line, "reason", l->daemon->vault.reason);
        }
        (void)audit_log_append(l->daemon->vault.log, &line, NULL);
        checkpoint_anchor(l->daemon, on_sealed_lock, l);
}

static void begin_lock(LockJob *l, VaultState state, int error, const char *reason)
{
        Daemon *d = l->daemon;

        d->vault.busy = true;
        vault_set_state(d, state, error, reason);
        use_fail_queued(d, error);
        change_hold(d);
        use_hold(d, on_drained_lock, l);
}

void vault_lock(Daemon *d, Caller *caller, VaultDoneFunc done, void *userdata)
{
        LockJob *l;

        if (d->vault.busy || !change_is_idle(d)) {
                done(userdata, HF_E_BUSY, NULL, 0);
                return;
        }
        l = calloc(1, sizeof(*l));
        if (!l) {
                done(userdata, -ENOMEM, NULL, 0);
                return;
        }
        *l = (LockJob){.daemon = d, .caller = caller_ref(caller), .done = done, .userdata = userdata};
        begin_lock(l, VAULT_LOCKED, HF_E_STORE_LOCKED, "locked by an operator");
}

static void on_refused(void *userdata, int result, const char *reason, uint32_t slot)
{
        (void)userdata;
        (void)result;
        (void)reason;
        (void)slot;
}

void vault_refuse(Daemon *d, VaultState state, int error, const char *reason)
{
        LockJob *l;

        if (d->vault.state != VAULT_READY || d->vault.busy)
                return; /* asked again when that has ended */
        l = calloc(1, sizeof(*l));
        if (!l) {
                daemon_abandon(d, reason);
                return;
        }
        *l = (LockJob){.daemon = d, .done = on_refused};
        begin_lock(l, state, error, reason);
}
