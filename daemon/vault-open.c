/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/vault-open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/locked.h"
#include "audit/note.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/ca-publish.h"
#include "daemon/caller.h"
#include "daemon/change.h"
#include "daemon/identity.h"
#include "daemon/lost.h"
#include "daemon/operation.h"

#define USE_LOST_MAX 4096 /* the signer serves at most 2,048 lines past a checkpoint */

VaultJob *vault_job_new(Daemon *d)
{
        VaultJob *j = calloc(1, sizeof(*j));

        if (!j)
                return NULL;
        j->daemon = d;
        j->state_fd = d->vault.state_fd;
        j->segment_size = d->config.segment_size;
        j->keys_max = d->config.max_keys;
        j->store_fd = j->audit_fd = -EBADF;
        j->slots = j->new_slots = BUFFER_INIT(SLOTS_FILE_MAX);
        j->freshness = (Freshness){.result = HF_E_NOT_SUPPORTED, .noted = -1};
        return j;
}

static void forget_rows(VaultJob *j)
{
        j->identities = identities_free(j->identities);
        j->registry = registry_free(j->registry);
        j->lists = lists_free(j->lists);
        j->uses = uses_free(j->uses);
        j->catalogue = catalogue_free(j->catalogue);
}

void vault_job_close(VaultJob *j)
{
        j->log = audit_log_free(j->log);
        j->store = store_close(j->store);
        forget_rows(j);
        j->audit_fd = safe_close(j->audit_fd);
        j->store_fd = safe_close(j->store_fd);
}

VaultJob *vault_job_free(VaultJob *j)
{
        if (!j)
                return NULL;
        vault_job_close(j);
        free(j->backup);
        free(j->occasions);
        buffer_deinit(&j->slots);
        buffer_deinit(&j->new_slots);
        caller_unref(j->caller);
        explicit_bzero(&j->keys, sizeof(j->keys));
        free(j);
        return NULL;
}

int vault_job_because(VaultJob *j, int r, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(j->reason, sizeof(j->reason), format, ap);
        va_end(ap);
        return r;
}

static int open_dirs(VaultJob *j, const char *name)
{
        j->store_fd = openat(j->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (j->store_fd < 0)
                return vault_job_because(
                                j, -errno, "the store directory cannot be opened: %s", strerror(errno));
        if (j->repair == VAULT_REPAIR_ROLLBACK && mkdirat(j->store_fd, "audit", 0700) < 0 && errno != EEXIST)
                return vault_job_because(j, -errno, "the audit log's directory cannot be made: %s", strerror(errno));
        j->audit_fd = openat(j->store_fd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (j->audit_fd < 0)
                return vault_job_because(j, errno == ENOENT ? HF_E_LOG_TRUNCATED : -errno,
                                "the audit log's directory cannot be opened: %s", strerror(errno));
        return 0;
}

AuditLogParams vault_job_log_params(const VaultJob *j, char id[static UUID_TEXT_SIZE])
{
        uuid_format(&j->keys.store_id, id);
        return (AuditLogParams){.dir_fd = j->audit_fd,
                        .log_id = id,
                        .key = j->keys.log_key,
                        .segment_size = j->segment_size,
                        .corked = true};
}

StoreParams vault_job_store_params(const VaultJob *j)
{
        return (StoreParams){.database_key = j->keys.database_key,
                        .log_key = j->keys.log_key,
                        .id = j->keys.store_id};
}

static void put_u64(uint8_t ret[static 8], uint64_t v)
{
        for (size_t i = 0; i < 8; i++)
                ret[i] = (uint8_t)(v >> (8 * i));
}

/* Not there is 0. */
static int get_meta_u64(Store *s, const char *key, uint64_t *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(STORE_META_VALUE_MAX);
        WireReader reader;
        int r = store_get_meta(s, key, &b);

        if (r && r != HF_E_NOTHING_TO_DO)
                return r;
        reader = wire_reader(buffer_bytes(&b));
        *ret = b.len == 8 ? wire_get_u64(&reader) : 0;
        return 0;
}

/* ---- a change made here, all steps in a row ---- */

static int write_change(VaultJob *j, const SyncChange *c, const UsesForfeiture *forfeiture, uint64_t *ret_seq)
{
        uint8_t state[32], epoch[8];
        AuditLine line;
        uint64_t seq;
        int r;

        put_u64(epoch, c->epoch);
        r = audit_log_next(j->log, &seq);
        if (!r)
                r = store_put_meta(j->store, META_SLOTS, BYTES(c->slots_hash, 32));
        if (!r)
                r = store_put_meta(j->store, META_EPOCH, BYTES_ARRAY(epoch));
        if (!r)
                r = vault_job_put_tpm(j);
        if (!r && c->forfeit)
                r = uses_forfeiture_write(j->store, forfeiture);
        if (!r)
                r = store_set_seq(j->store, seq);
        if (r)
                return r;
        audit_line_init(&line, c->event);
        store_state(j->store, c->slots_hash, state);
        audit_line_hex(&line, "state", state, sizeof(state));
        c->fill(j, &line, c->userdata);
        r = audit_log_append(j->log, &line, ret_seq);
        return r ? r : audit_log_sync(j->log);
}

int vault_job_sync_change(VaultJob *j, const SyncChange *c)
{
        _cleanup_(uses_forfeiture_deinit) UsesForfeiture forfeiture = {0};
        uint64_t seq;
        int r = 0;

        if (j->tpm_lost)
                r = lost_moment(j->store, clock_wall(), &j->tpm_lost_when);
        if (!r && c->forfeit)
                r = uses_forfeiture_read(j->store, clock_wall(), &forfeiture);
        if (!r)
                r = store_begin(j->store);
        if (r)
                return r;
        r = write_change(j, c, &forfeiture, &seq);
        if (r) {
                store_rollback(j->store);
                return r;
        }
        if (store_commit(j->store) != STORE_COMMITTED)
                return vault_job_because(j, -EIO, "%s", store_reason(j->store));
        j->epoch = c->epoch;
        r = audit_log_append_done(j->log, seq, NULL);
        return r ? r : audit_log_sync(j->log);
}

/* ---- making ---- */

static void fill_init(const VaultJob *j, AuditLine *line, const void *userdata)
{
        (void)userdata;
        audit_line_str(line, "version", HOLDFAST_VERSION);
        audit_line_u64(line, "slot", j->keys.slot);
        if (j->caller)
                audit_line_caller(line, j->caller, NULL);
        else
                audit_line_u64(line, "uid", 0);
}

static int append_log_start(VaultJob *j)
{
        char text[AUDIT_VKEY_MAX];
        AuditVkey key;
        AuditLine line;

        audit_vkey_of_log(&key, &j->keys.store_id, j->keys.checkpoint_public);
        audit_vkey_format(&key, text);
        audit_line_init(&line, "log.start");
        audit_line_str(&line, "version", HOLDFAST_VERSION);
        audit_line_str(&line, "checkpoint-key", text);
        return audit_log_append(j->log, &line, NULL);
}

static int make_contents(VaultJob *j)
{
        char id[UUID_TEXT_SIZE];
        StoreReason reason = {0};
        AuditLogParams log = vault_job_log_params(j, id);
        StoreParams store = vault_job_store_params(j);
        int r;

        r = io_write_file(j->store_fd, "slots", buffer_bytes(&j->new_slots), 0600);
        if (r)
                return vault_job_because(j, r, "the slots file cannot be written: %s", strerror(-r));
        change_slots_hash(buffer_bytes(&j->new_slots), j->slots_hash);
        r = store_create(j->store_fd, &store, &reason, &j->store);
        if (r)
                return vault_job_because(j, r, "%s", reason.text);
        r = audit_log_create(&log, NULL, &j->log);
        if (!r)
                r = append_log_start(j);
        if (!r)
                r = vault_job_sync_change(j, &(SyncChange){.event = "store.init",
                                                             .fill = fill_init,
                                                             .slots_hash = j->slots_hash});
        return r ? vault_job_because(j, r, "the audit log cannot be begun: %s", hf_error_name(r)) : 0;
}

int vault_job_make(void *job)
{
        VaultJob *j = job;
        int r;

        r = vault_job_make_dirs(j);
        if (r)
                return vault_job_because(j, r, "the store directory cannot be made: %s", strerror(-r));
        r = make_contents(j);
        if (!r)
                r = io_sync_dir(j->store_fd);
        vault_job_close(j);
        return r;
}

/* ---- opening ---- */

static int open_log(VaultJob *j, AuditRecovery *rec)
{
        char id[UUID_TEXT_SIZE];
        AuditLogParams params = vault_job_log_params(j, id);
        int r;

        r = audit_log_open(&params, rec, &j->log);
        if (r == HF_E_LOG_DAMAGED)
                return vault_job_because(j, r, "record %llu of the audit log is not as it was written",
                                (unsigned long long)rec->damaged_seq);
        if (r == HF_E_STORE_UNINITIALISED)
                return vault_job_because(j, HF_E_LOG_TRUNCATED, "the audit log has no segment any more");
        if (r)
                return vault_job_because(j, r, "the audit log cannot be opened: %s", hf_error_name(r));
        return 0;
}

static int load_lost(VaultJob *j)
{
        CatalogueCursor cursor = {0};
        KeyEntry *key;

        while (!j->has_tpm_keys && catalogue_list(j->catalogue, &cursor, &key, 1) == 1)
                j->has_tpm_keys = key->protection == PROTECTION_TPM;
        free(j->occasions);
        j->occasions = calloc(LOST_MAX, sizeof(*j->occasions));
        return j->occasions ? lost_get(j->store, j->occasions, &j->n_occasions) : -ENOMEM;
}

int vault_job_load(VaultJob *j)
{
        int r;

        forget_rows(j);
        (void)((r = catalogue_new(j->keys_max, &j->catalogue)) || (r = uses_new(&j->uses)) ||
                (r = identities_new(&j->identities)) || (r = registry_new(&j->registry)) || (r = lists_new(&j->lists)));
        if (!r)
                r = keystore_load(j->store, j->catalogue, j->uses, j->identities, j->registry, j->lists);
        if (!r)
                r = get_meta_u64(j->store, META_EPOCH, &j->epoch);
        if (!r)
                r = get_meta_u64(j->store, META_BACKUP, &j->last_backup);
        if (!r)
                r = load_lost(j);
        if (r)
                return vault_job_because(j, r, "%s",
                                store_reason(j->store)[0] ? store_reason(j->store) : hf_error_name(r));
        return 0;
}

static int open_store(VaultJob *j)
{
        StoreParams params = vault_job_store_params(j);
        StoreReason reason = {0};
        int r;

        r = store_open(j->store_fd, &params, &reason, &j->store);
        if (r == HF_E_STORE_UNINITIALISED) /* slots and log are there, so it was */
                r = HF_E_STORE_DAMAGED;
        if (r)
                return vault_job_because(j, r, "%s", reason.text[0] ? reason.text : hf_error_name(r));
        return vault_job_load(j);
}

/* HF_E_NOTHING_TO_DO: it is another file than the one wanted. */
static int read_slots(VaultJob *j, const char *name, Bytes hash)
{
        uint8_t h[32];
        int r;

        buffer_clear(&j->slots);
        r = io_read_file(j->store_fd, name, &j->slots);
        if (r)
                return r == -ENOMEM ? r : HF_E_NOTHING_TO_DO;
        change_slots_hash(buffer_bytes(&j->slots), h);
        if (!bytes_equal(BYTES_ARRAY(h), hash))
                return HF_E_NOTHING_TO_DO;
        memcpy(j->slots_hash, h, sizeof(h));
        return 0;
}

/* The slots file in force is the one the store names: a change may have died between COMMIT and rename. */
static int settle_slots(VaultJob *j)
{
        _cleanup_buffer_ Buffer hash = BUFFER_INIT(64);
        int r;

        r = store_get_meta(j->store, META_SLOTS, &hash);
        if (r)
                return r < 0 ? r
                             : vault_job_because(j, HF_E_STORE_DAMAGED,
                                               "the store does not say which slots file is its own");
        r = read_slots(j, "slots", buffer_bytes(&hash));
        if (!r)
                return unlinkat(j->store_fd, "slots.next", 0) < 0 && errno != ENOENT ? -errno : 0;
        if (r == HF_E_NOTHING_TO_DO)
                r = read_slots(j, "slots.next", buffer_bytes(&hash));
        if (r)
                return r < 0 ? r
                             : vault_job_because(j, HF_E_STORE_ROLLED_BACK,
                                               "the slots file is not the one the store was last changed with");
        if (renameat(j->store_fd, "slots.next", j->store_fd, "slots") < 0)
                return -errno;
        return io_sync_dir(j->store_fd);
}

static bool same_change(const AuditChange *c, uint64_t seq, const uint8_t state[static 32])
{
        return c->seq == seq && memcmp(c->state, state, 32) == 0;
}

typedef enum Settlement {
        SETTLE_NOTHING, /* the last change is done and says so */
        SETTLE_DONE,    /* it is done, but its `done` line is missing */
        SETTLE_UNDONE,  /* it never was */
} Settlement;

/* Which of the two last changes the store stands at (docs/architecture.md, Recovery). Writes nothing. */
static int judge_change(VaultJob *j, const AuditRecovery *rec, Settlement *ret)
{
        uint64_t seq = store_seq(j->store);
        uint8_t state[32];

        store_state(j->store, j->slots_hash, state);
        if (same_change(&rec->current, seq, state)) {
                *ret = rec->current.done ? SETTLE_NOTHING : SETTLE_DONE;
                return 0;
        }
        if (!rec->current.done && rec->current.seq && same_change(&rec->before, seq, state)) {
                *ret = SETTLE_UNDONE;
                return 0;
        }
        if (seq >= rec->size)
                return vault_job_because(j, HF_E_LOG_TRUNCATED,
                                "the store was last changed by record %llu, but the audit log ends at %llu",
                                (unsigned long long)seq, (unsigned long long)rec->size - 1);
        return vault_job_because(j, HF_E_STORE_ROLLED_BACK,
                        "the store is at change %llu, the audit log says %llu", (unsigned long long)seq,
                        (unsigned long long)rec->current.seq);
}

static int append_lost(VaultJob *j, const AuditRecovery *rec, const char *reason)
{
        AuditPosition p;
        AuditLine line;
        uint64_t lost = 0;
        int r = 0;

        audit_log_position(j->log, &p);
        if (j->served >= p.size + USE_LOST_MAX)
                return vault_job_because(j, HF_E_LOG_TRUNCATED,
                                "the signer has served record %llu, but the audit log ends at %llu",
                                (unsigned long long)j->served, (unsigned long long)p.size - 1);
        for (; !r && p.size <= j->served; lost++) {
                audit_line_init(&line, "use.lost");
                audit_line_str(&line, "reason", reason);
                r = audit_log_append(j->log, &line, NULL);
                audit_log_position(j->log, &p);
        }
        if (r || (!lost && !rec->torn))
                return r;
        audit_line_init(&line, "log.cut");
        audit_line_u64(&line, "from", rec->size);
        audit_line_u64(&line, "bytes", rec->torn);
        audit_line_u64(&line, "lost", lost);
        return audit_log_append(j->log, &line, NULL);
}

static int settle_change(VaultJob *j, const AuditRecovery *rec, Settlement s)
{
        switch (s) {
        case SETTLE_NOTHING:
                return 0;
        case SETTLE_DONE:
                return audit_log_append_done(j->log, rec->current.seq, NULL);
        case SETTLE_UNDONE:
                return audit_log_append_undone(j->log, rec->current.seq, "not committed before a stop", NULL);
        }
        return HF_E_INTERNAL;
}

static int append_unlock(VaultJob *j)
{
        AuditLine line;

        audit_line_init(&line, "store.start");
        audit_line_str(&line, "version", HOLDFAST_VERSION);
        audit_line_str(&line, "memory", j->memory);
        (void)audit_log_append(j->log, &line, NULL);
        audit_line_init(&line, "store.unlock");
        audit_line_u64(&line, "slot", j->keys.slot);
        if (j->caller)
                audit_line_caller(&line, j->caller, NULL);
        else {
                audit_line_u64(&line, "uid", 0);
                audit_line_str(&line, "road", "internal");
        }
        return audit_log_append(j->log, &line, &j->unlock_seq);
}

typedef struct RepairStory {
        const char *reason;
        uint64_t store_seq, log_seq;
} RepairStory;

static void fill_repair(const VaultJob *j, AuditLine *line, const void *userdata)
{
        const RepairStory *s = userdata;

        audit_line_str(line, "reason", s->reason);
        audit_line_u64(line, "store-seq", s->store_seq);
        audit_line_u64(line, "log-seq", s->log_seq);
        if (j->caller)
                audit_line_caller(line, j->caller, NULL);
        else
                audit_line_u64(line, "uid", 0);
}

/* An operator has said that this store is the one to go on with. What was used of it elsewhere or since, nobody knows. */
static int repair(VaultJob *j, const AuditRecovery *rec, const char *why)
{
        RepairStory story = {.reason = why, .store_seq = store_seq(j->store), .log_seq = rec->current.seq};
        uint8_t hash[32];
        int r;

        memcpy(hash, j->slots_hash, sizeof(hash));
        if (j->repair == VAULT_REPAIR_FOREIGN) {
                change_slots_hash(buffer_bytes(&j->new_slots), hash);
                r = io_write_file(j->store_fd, "slots.next", buffer_bytes(&j->new_slots), 0600);
                if (r)
                        return r;
        }
        if (rec->current.seq && !rec->current.done) {
                r = audit_log_append_undone(j->log, rec->current.seq, "recovered by an operator", NULL);
                if (r && r != HF_E_INTERNAL)
                        return r;
        }
        r = vault_job_sync_change(j, &(SyncChange){.event = "store.recover",
                                                     .fill = fill_repair,
                                                     .userdata = &story,
                                                     .slots_hash = hash,
                                                     .epoch = j->epoch + 1,
                                                     .forfeit = true});
        if (r)
                return r;
        vault_job_reanchor(j);
        r = vault_job_load(j);
        return r ? r : settle_slots(j);
}

/* A signer that has outlived the log as it was signs nothing, neither lines nor checkpoints, below what it has served. */
static int repair_rollback(VaultJob *j, const AuditRecovery *rec, const char *why)
{
        uint64_t size = rec->size;
        int r;

        if (j->served >= size + USE_LOST_MAX)
                return vault_job_because(j, HF_E_LOG_TRUNCATED,
                                "the signer has served record %llu, but the audit log ends at record %llu: restart "
                                "holdfast-signer, which then begins anew, and repeat this",
                                (unsigned long long)j->served, (unsigned long long)size);
        r = append_lost(j, rec, "used by the signer before the recovery; its line is not in this log");
        return r ? r : repair(j, rec, why);
}

/* The new log is begun under the name that the damaged one gets by one exchange, so at no time is there none. */
static int set_log_aside(VaultJob *j)
{
        char name[64], id[UUID_TEXT_SIZE];
        AuditLogParams params;
        int r;

        j->log = audit_log_free(j->log);
        snprintf(name, sizeof(name), "audit.damaged-%llu", (unsigned long long)clock_wall());
        if (mkdirat(j->store_fd, name, 0700) < 0)
                return -errno;
        j->audit_fd = safe_close(j->audit_fd);
        j->audit_fd = openat(j->store_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (j->audit_fd < 0)
                return -errno;
        params = vault_job_log_params(j, id);
        r = audit_log_create(&params, NULL, &j->log);
        if (!r)
                r = append_log_start(j);
        if (!r)
                r = audit_log_sync(j->log);
        if (!r && renameat2(j->store_fd, name, j->store_fd, "audit", RENAME_EXCHANGE) < 0)
                r = -errno;
        if (!r)
                (void)unlinkat(j->store_fd, name, AT_REMOVEDIR); /* of a log that was gone, directory and all, nothing is kept */
        return r ? r : io_sync_dir(j->store_fd);
}

/* The numbers after the log's end belong to what the signer served last, so those lines come first. */
static int settle(VaultJob *j, const AuditRecovery *rec)
{
        Settlement s = SETTLE_NOTHING;
        int r;

        r = judge_change(j, rec, &s);
        if (!r && j->repair != VAULT_REPAIR_FOREIGN)
                r = vault_job_judge(j, rec);
        if (!r)
                r = append_lost(j, rec, "the line was lost by a stop; its result was not released");
        return r ? r : settle_change(j, rec, s);
}

static bool is_rollback(int r)
{
        return r == HF_E_STORE_ROLLED_BACK || r == HF_E_LOG_TRUNCATED || r == HF_E_LOG_DAMAGED;
}

static int open_and_settle(VaultJob *j)
{
        AuditRecovery rec = {0};
        int log_result, r;

        log_result = open_log(j, &rec);
        if (log_result && (j->repair != VAULT_REPAIR_ROLLBACK || !is_rollback(log_result)))
                return log_result;
        r = open_store(j);
        if (!r && log_result) {
                rec = (AuditRecovery){0};
                r = set_log_aside(j);
                if (r)
                        return vault_job_because(
                                        j, r, "the damaged log cannot be set aside: %s", hf_error_name(r));
        }
        if (!r)
                r = settle_slots(j);
        if (!r)
                r = log_result ? log_result : settle(j, &rec);
        if (j->repair == VAULT_REPAIR_ROLLBACK && r == 0)
                return vault_job_because(
                                j, HF_E_NOTHING_TO_DO, "store and log agree; there is nothing to recover");
        if (j->repair == VAULT_REPAIR_ROLLBACK && is_rollback(r))
                return repair_rollback(j, &rec, log_result ? "log damaged" : "rollback accepted");
        if (j->repair == VAULT_REPAIR_FOREIGN && r == 0)
                return repair(j, &rec, "taken over onto another machine");
        return r;
}

int vault_job_open(void *job)
{
        VaultJob *j = job;
        uint64_t copied;
        int r;

        r = open_dirs(j, STORE_DIR);
        if (!r)
                r = open_and_settle(j);
        if (!r)
                r = vault_job_migrate(j);
        if (!r)
                r = audit_locked_copy(j->log, j->audit_fd, &copied);
        if (!r) {
                vault_job_settle_lists(j);
                vault_job_settle_tls(j);
        }
        if (!r)
                r = append_unlock(j);
        if (!r)
                r = audit_log_sync(j->log);
        if (!r) {
                /* Of a rekey or restore that was cut short nothing stays, least of all what the old master opens. */
                (void)vault_remove_new(j->state_fd);
                return 0;
        }
        if (!j->reason[0])
                vault_job_because(j, r, "%s", hf_error_name(r));
        j->store = store_abandon(j->store); /* what refuses to open stays as it was found */
        vault_job_close(j);
        return r;
}
