/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring a backup
 *
 * The copy is built in STATE/store.new and takes the place of the store by one exchange. Where the log of the
 * same store is still there it goes on, whole; else a log begins that continues behind the backup's note.
 * Either way one line says what was restored, the epoch rises, and counted uses are forfeited until they are
 * granted again: what was used since the backup is not known for sure, and a use must never count twice.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/note.h"
#include "audit/reader.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/caller.h"
#include "daemon/change.h"
#include "daemon/operation.h"
#include "daemon/vault-open.h"

int vault_job_restore_read(void *job)
{
        VaultJob *j = job;
        int r;

        r = vault_job_make_dirs(j);
        if (r)
                return vault_job_because(j, r, "the store directory cannot be made");
        r = backup_read(j->backup_fd, j->store_fd, j->backup);
        vault_job_close(j);
        if (r == HF_E_BACKUP_INVALID)
                return vault_job_because(j, r, "the file is no backup, or not whole");
        return r ? vault_job_because(j, r, "the backup cannot be read: %s", hf_error_name(r)) : 0;
}

/* ---- is it what its note says ---- */

static int check_note(VaultJob *j, AuditNote *ret)
{
        uint8_t hash[32], state[32];
        AuditVkey key;
        int r;

        audit_vkey_of_log(&key, &j->keys.store_id, j->keys.checkpoint_public);
        r = audit_note_parse(j->backup->note, strlen(j->backup->note), ret);
        if (!r)
                r = audit_note_verify(j->backup->note, strlen(j->backup->note), ret, &key);
        if (r)
                return vault_job_because(j, HF_E_BACKUP_INVALID,
                                "the backup's note is not signed by this store's checkpoint key");
        change_slots_hash(BYTES(j->backup->slots, j->backup->slots_len), hash);
        store_state(j->store, hash, state);
        if (memcmp(state, ret->state, sizeof(state)))
                return vault_job_because(j, HF_E_BACKUP_INVALID,
                                "database and slots of the backup are not those its note was signed over");
        return 0;
}

static int open_copy(VaultJob *j)
{
        StoreParams params = vault_job_store_params(j);
        StoreReason reason = {0};
        int r;

        j->store_fd = openat(j->state_fd, "store.new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        j->audit_fd = j->store_fd < 0 ? -EBADF
                                      : openat(j->store_fd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (j->audit_fd < 0)
                return -errno;
        r = store_open(j->store_fd, &params, &reason, &j->store);
        if (!r)
                r = store_scan(j->store, NULL, NULL);
        if (r)
                return vault_job_because(j, HF_E_BACKUP_INVALID,
                                "the database in the backup does not open: %s",
                                j->store ? store_reason(j->store) : reason.text);
        return 0;
}

/* ---- the log ---- */

static int copy_file(int from_dir, int to_dir, const char *name)
{
        _cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -EBADF;
        _cleanup_free_ uint8_t *chunk = malloc(65536);
        size_t got = 1;
        int r = 0;

        to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (from < 0 || to < 0 || !chunk)
                return -errno;
        for (off_t at = 0; !r && got; at += (off_t)got) {
                r = io_pread_full(from, chunk, 65536, at, &got);
                if (!r)
                        r = io_write_full(to, chunk, got);
        }
        return !r && fsync(to) < 0 ? -errno : r;
}

static int for_each_segment(int dir_fd, int (*f)(int from, int to, const char *name), int to)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;

        if (!d)
                return -errno;
        while (!r && (e = readdir(d)))
                if (strlen(e->d_name) == strlen("000001.jsonl") && strcmp(e->d_name + 6, ".jsonl") == 0)
                        r = f(dir_fd, to, e->d_name);
        closedir(d);
        return r;
}

static int remove_segment(int from, int to, const char *name)
{
        (void)to;
        return unlinkat(from, name, 0) < 0 ? -errno : 0;
}

int vault_job_copy_segments(VaultJob *j)
{
        _cleanup_close_ int old =
                        openat(j->state_fd, "store/audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return old < 0 ? -errno : for_each_segment(old, copy_file, j->audit_fd);
}

/* Changes that the log knows and the backup does not. */
static uint64_t count_lost(const VaultJob *j, const AuditNote *note)
{
        AuditFilter filter = {.from = note->size, .until = UINT64_MAX, .event = "done"};
        _cleanup_(audit_reader_freep) AuditReader *reader = NULL;
        AuditRecord record;
        uint64_t n = 0;

        if (audit_reader_new(j->audit_fd, &filter, &reader))
                return 0;
        while (audit_reader_next(reader, &record) == 0)
                n++;
        return n;
}

/* The log of the store that is there, if it is this store's and reaches the backup. */
static int continue_log(VaultJob *j, const AuditNote *note, AuditRecovery *rec)
{
        char id[UUID_TEXT_SIZE];
        AuditLogParams params = vault_job_log_params(j, id);
        int r;

        r = vault_job_copy_segments(j);
        if (!r)
                r = audit_log_open(&params, rec, &j->log);
        if (!r && rec->size < note->size)
                r = HF_E_LOG_TRUNCATED;
        if (r) {
                j->log = audit_log_free(j->log);
                (void)for_each_segment(j->audit_fd, remove_segment, -1);
                return r;
        }
        j->lost = count_lost(j, note);
        if (rec->current.seq && !rec->current.done)
                r = audit_log_append_undone(j->log, rec->current.seq, "another store was restored", NULL);
        return r;
}

static int begin_log(VaultJob *j, const AuditNote *note)
{
        AuditPosition from = {.size = note->size, .effective = {.seq = store_seq(j->store), .done = true}};
        char id[UUID_TEXT_SIZE];
        AuditLogParams params = vault_job_log_params(j, id);

        memcpy(from.head, note->head, sizeof(from.head));
        memcpy(from.effective.state, note->state, sizeof(note->state));
        return audit_log_create(&params, &from, &j->log);
}

typedef struct Story {
        bool continued;
        uint64_t store_seq, log_seq;
} Story;

static void fill(const VaultJob *j, AuditLine *line, const void *userdata)
{
        const Story *s = userdata;

        audit_line_str(line, "reason",
                        s->continued ? "restored; the log goes on" : "restored; the newer log is lost");
        audit_line_u64(line, "store-seq", s->store_seq);
        audit_line_u64(line, "log-seq", s->log_seq);
        if (j->caller)
                audit_line_caller(line, j->caller, NULL);
        else
                audit_line_u64(line, "uid", 0);
}

static int build(VaultJob *j)
{
        AuditRecovery rec = {0};
        uint8_t hash[32];
        AuditNote note;
        Story story;
        int r;

        r = check_note(j, &note);
        if (r)
                return r;
        story.continued = continue_log(j, &note, &rec) == 0;
        story.store_seq = store_seq(j->store);
        story.log_seq = story.continued ? rec.size - 1 : note.size - 1;
        r = story.continued ? 0 : begin_log(j, &note);
        if (!r)
                r = io_write_file(j->store_fd, "slots", buffer_bytes(&j->new_slots), 0600);
        change_slots_hash(buffer_bytes(&j->new_slots), hash);
        j->daemon->vault.restored_sequence = note.size;
        j->daemon->vault.restored_log_lost = !story.continued;
        return r ? r
                 : vault_job_sync_change(j,
                                   &(SyncChange){
                                                   .event = "store.restore",
                                                   .fill = fill,
                                                   .userdata = &story,
                                                   .slots_hash = hash,
                                                   .epoch = (rec.has_checkpoint && rec.checkpoint.epoch > note.epoch
                                                                                            ? rec.checkpoint.epoch
                                                                                            : note.epoch) +
                                                            1,
                                                   .forfeit = true,
                                   });
}

int vault_job_restore_build(void *job)
{
        VaultJob *j = job;
        int r = open_copy(j);

        if (!r)
                r = build(j);
        if (!r)
                r = io_sync_dir(j->store_fd);
        if (r && !j->reason[0])
                vault_job_because(j, r, "%s", hf_error_name(r));
        vault_job_close(j);
        return r;
}
