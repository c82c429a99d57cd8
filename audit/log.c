/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/record.h"
#include "audit/segment.h"
#include "audit/spare.h"
#include "audit/writer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/secret.h"

#define RESERVE_MAX (64u << 10)
#define RESERVE_MIN AUDIT_LINE_MAX

struct AuditLog {
        int dir_fd;
        char id[UUID_TEXT_SIZE];
        Uuid uuid;
        bool corked;
        bool goes_on; /* a line was asked for since it was opened; before, an opening that is refused changes nothing */
        Chain chain;
        uint64_t segment_size;
        unsigned segment; /* lines go into this one */
        uint64_t offset;  /* here */
        uint64_t size;    /* of this one */
        AuditChange effective, open;
        uint64_t unsealed;
        uint64_t checkpoint_seq; /* its line; 0: none yet */
        Spare spare;
        Writer writer;
        uint8_t heads[AUDIT_NOTE_WINDOW][32]; /* of record n at n % AUDIT_NOTE_WINDOW */
        uint64_t heads_from;                  /* first record whose head is known */
};

static int log_new(const AuditLogParams *params, AuditLog **ret)
{
        _cleanup_(audit_log_freep) AuditLog *log = calloc(1, sizeof(*log));

        if (!log)
                return -ENOMEM;
        log->dir_fd = -EBADF;
        log->writer.event_fd = log->writer.fd = -EBADF;
        log->segment_size = params->segment_size ? params->segment_size : AUDIT_SEGMENT_SIZE;
        log->corked = params->corked;
        if (!uuid_parse(params->log_id, &log->uuid) || log->segment_size < AUDIT_SEGMENT_SIZE_MIN ||
                        log->segment_size > SEGMENT_SIZE_MAX)
                return HF_E_INVALID_ARGS;
        uuid_format(&log->uuid, log->id);
        log->dir_fd = fcntl(params->dir_fd, F_DUPFD_CLOEXEC, 3);
        if (log->dir_fd < 0)
                return -errno;
        *ret = TAKE_PTR(log);
        return 0;
}

AuditLog *audit_log_free(AuditLog *log)
{
        if (!log)
                return NULL;
        writer_deinit(&log->writer);
        spare_deinit(&log->spare);
        chain_deinit(&log->chain);
        safe_close(log->dir_fd);
        free(log);
        return NULL;
}

static int start_threads(AuditLog *log, unsigned last, uint64_t durable)
{
        int r;

        r = writer_init(&log->writer, log->dir_fd, durable);
        if (r == 0)
                r = spare_init(&log->spare, log->dir_fd, log->segment_size, last);
        return r;
}

/* Seals a line that surely fits and hands it to the writer. */
static int push(AuditLog *log, const AuditLine *line)
{
        char text[AUDIT_LINE_MAX];
        uint64_t seq = log->chain.size, durable = atomic_load(&log->writer.durable);
        size_t len;
        int r;

        r = chain_seal(&log->chain, line, clock_wall(), seq ? durable : 0, text, &len);
        if (r)
                return r;
        memcpy(log->heads[seq % AUDIT_NOTE_WINDOW], log->chain.head, 32);
        writer_push(&log->writer, log->segment, log->offset, BYTES(text, len), seq, !log->corked);
        log->offset += len;
        log->unsealed++;
        return 0;
}

static void put_changes(const AuditLog *log, AuditLine *line)
{
        audit_line_u64(line, "change", log->effective.seq);
        audit_line_hex(line, "state", log->effective.state, sizeof(log->effective.state));
        if (log->open.seq) {
                audit_line_u64(line, "open", log->open.seq);
                audit_line_hex(line, "open-state", log->open.state, sizeof(log->open.state));
        }
}

static int push_segment_start(AuditLog *log)
{
        AuditLine line;

        audit_line_init(&line, "segment.start");
        audit_line_u64(&line, "segment", log->segment);
        audit_line_uuid(&line, "log", &log->uuid);
        put_changes(log, &line);
        return push(log, &line);
}

static int roll(AuditLog *log)
{
        struct stat st;
        char name[SEGMENT_NAME_SIZE];

        segment_name(log->segment + 1, name);
        if (fstatat(log->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        log->segment++;
        log->offset = 0;
        log->size = (uint64_t)st.st_size;
        spare_want(&log->spare, log->segment + 1);
        return push_segment_start(log);
}

static uint64_t reserve_size(const AuditLog *log)
{
        uint64_t reserve = log->size / 16;

        return reserve > RESERVE_MAX ? RESERVE_MAX : reserve < RESERVE_MIN ? RESERVE_MIN : reserve;
}

/*
 * Makes sure there is a place for a line of at most `len` bytes. The next segment is there long before it is
 * needed; if lines come faster than zeros, this waits for it. Without room for a next one the log is full,
 * but its reserve takes what ends something that was begun; each refusal is also a new try.
 */
static int make_room(AuditLog *log, size_t len, bool reserved)
{
        int r;

        if (!log->goes_on)
                spare_want(&log->spare, log->segment + 1);
        log->goes_on = true;
        if (!writer_has_room(&log->writer, len + AUDIT_LINE_MAX))
                return HF_E_BUSY;
        if (log->offset + len + reserve_size(log) <= log->size)
                return 0;
        r = spare_wait(&log->spare, log->segment + 1);
        if (r == 0)
                return roll(log);
        if (reserved && log->offset + len <= log->size)
                return 0;
        spare_want(&log->spare, log->segment + 1);
        return r;
}

static int append(AuditLog *log, const AuditLine *line, uint64_t *ret_seq)
{
        int r;

        r = audit_line_check(line);
        if (r)
                return r;
        if (atomic_load(&log->writer.failed))
                return HF_E_LOG_FAILED;
        r = make_room(log, line->len + AUDIT_LINE_OVERHEAD, line->event->flags & AUDIT_EVENT_RESERVE);
        if (r)
                return r;
        r = push(log, line);
        if (r)
                return r;
        if (ret_seq)
                *ret_seq = log->chain.size - 1;
        return 0;
}

int audit_log_next(AuditLog *log, uint64_t *ret_seq)
{
        int r;

        if (atomic_load(&log->writer.failed))
                return HF_E_LOG_FAILED;
        r = make_room(log, AUDIT_LINE_MAX, false);
        if (r)
                return r;
        *ret_seq = log->chain.size;
        return 0;
}

int audit_log_append(AuditLog *log, const AuditLine *line, uint64_t *ret_seq)
{
        bool change, done, undone;
        uint64_t seq;
        int r;

        r = audit_line_check(line);
        if (r)
                return r;
        change = line->event->flags & AUDIT_EVENT_CHANGE && !line->with;
        done = strcmp(line->event->name, "done") == 0;
        undone = strcmp(line->event->name, "undone") == 0;
        if (strcmp(line->event->name, "checkpoint") == 0 || strcmp(line->event->name, "segment.start") == 0 ||
                        (change && log->open.seq) || (line->with && line->with != log->open.seq) ||
                        ((done || undone) && (!log->open.seq || line->ref != log->open.seq)))
                return HF_E_INTERNAL;
        r = append(log, line, &seq);
        if (r)
                return r;
        if (change) {
                log->open = (AuditChange){.seq = seq};
                memcpy(log->open.state, line->state, sizeof(log->open.state));
        }
        if (done) {
                log->effective = log->open;
                log->effective.done = true;
        }
        if (done || undone)
                log->open = (AuditChange){};
        if (ret_seq)
                *ret_seq = seq;
        return 0;
}

int audit_log_append_done(AuditLog *log, uint64_t change, uint64_t *ret_seq)
{
        AuditLine line;

        audit_line_init(&line, "done");
        audit_line_u64(&line, "ref", change);
        return audit_log_append(log, &line, ret_seq);
}

int audit_log_append_undone(AuditLog *log, uint64_t change, const char *reason, uint64_t *ret_seq)
{
        AuditLine line;

        audit_line_init(&line, "undone");
        audit_line_u64(&line, "ref", change);
        audit_line_str(&line, "reason", reason);
        return audit_log_append(log, &line, ret_seq);
}

static bool note_is_ours(const AuditLog *log, const AuditNote *note)
{
        uint64_t last = note->size - 1;

        if (strncmp(note->origin, AUDIT_ORIGIN_PREFIX, sizeof(AUDIT_ORIGIN_PREFIX) - 1) != 0 ||
                        strcmp(note->origin + sizeof(AUDIT_ORIGIN_PREFIX) - 1, log->id) != 0)
                return false;
        /* One line less than the window, because a segment may begin in between. */
        if (last < log->heads_from || note->size > log->chain.size ||
                        log->chain.size - last >= AUDIT_NOTE_WINDOW)
                return false;
        return memcmp(log->heads[last % AUDIT_NOTE_WINDOW], note->head, sizeof(note->head)) == 0;
}

int audit_log_append_checkpoint(AuditLog *log, const char *note, uint64_t *ret_seq)
{
        char next[AUDIT_VKEY_MAX];
        AuditLine line;
        uint64_t seq;
        AuditNote n;
        int r;

        if (audit_note_parse(note, strlen(note), &n) || !note_is_ours(log, &n))
                return HF_E_INVALID_ARGS;
        audit_line_init(&line, "checkpoint");
        audit_line_str(&line, "note", note);
        put_changes(log, &line);
        if (n.has_next) {
                audit_vkey_format(&n.next, next);
                audit_line_str(&line, "next-key", next);
        }
        r = append(log, &line, &seq);
        if (r)
                return r;
        log->unsealed = 0;
        log->checkpoint_seq = seq;
        if (ret_seq)
                *ret_seq = seq;
        return 0;
}

/* The last segment with a line in it; the one behind it may have been made ahead of time. */
static int last_used(AuditLog *log, unsigned first, unsigned last, unsigned *ret)
{
        for (; last >= first; last--) {
                _cleanup_close_ int fd = -EBADF;
                uint8_t byte = 0;
                size_t n;
                int r;

                r = segment_open(log->dir_fd, last, false, &fd, NULL);
                if (r == 0)
                        r = io_pread_full(fd, &byte, 1, 0, &n);
                if (r)
                        return r;
                if (byte)
                        break;
        }
        *ret = last;
        return 0;
}

/* The segment that `from` continues behind, or none. */
static int check_new(
                AuditLog *log, const AuditLogParams *params, const AuditPosition *from, unsigned *ret_last)
{
        AuditRecovery recovery;
        unsigned first, last;
        int r;

        r = segment_range(log->dir_fd, &first, &last);
        if (r == HF_E_STORE_UNINITIALISED) {
                *ret_last = 0;
                return 0;
        }
        if (r)
                return r;
        if (!from) {
                r = audit_recover(log->dir_fd, params->log_id, params->key, true, &recovery);
                if (r != HF_E_STORE_UNINITIALISED)
                        return r < 0 ? r : HF_E_STORE_INITIALISED;
                *ret_last = 0; /* made, but its first line never came */
                return 0;
        }
        return last_used(log, first, last, ret_last);
}

int audit_log_create(const AuditLogParams *params, const AuditPosition *from, AuditLog **ret)
{
        _cleanup_(audit_log_freep) AuditLog *log = NULL;
        static const uint8_t zeros[32];
        unsigned last = 0;
        uint64_t size;
        int fd, r;

        r = log_new(params, &log);
        if (r == 0)
                r = check_new(log, params, from, &last);
        if (r == 0)
                r = segment_make(log->dir_fd, last + 1, log->segment_size);
        if (r == 0)
                r = segment_open(log->dir_fd, last + 1, true, &fd, &size);
        if (r)
                return r;
        safe_close(fd);
        chain_init(&log->chain, params->key, from ? from->size : 0, from ? from->head : zeros);
        log->segment = last + 1;
        log->size = size;
        log->heads_from = log->chain.size;
        log->effective = from ? from->effective : (AuditChange){.done = true};
        log->open = from ? from->open : (AuditChange){};
        r = start_threads(log, last + 1, log->chain.size ? log->chain.size - 1 : 0);
        if (r == 0)
                r = push_segment_start(log);
        if (r == 0)
                r = audit_log_sync(log);
        if (r)
                return r;
        *ret = TAKE_PTR(log);
        return 0;
}

/* What recovery has read may not be on the disk yet if only the process died; the last segment may be too
 * short. */
static int settle_segment(AuditLog *log)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = segment_open(log->dir_fd, log->segment, true, &fd, &log->size);
        if (r)
                return r;
        if (log->size < log->segment_size) {
                r = segment_zero(fd, log->size, log->segment_size);
                if (r == 0)
                        log->size = log->segment_size;
                return r == HF_E_LOG_FULL ? 0 : r; /* then it is as long as it is */
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int audit_log_open(const AuditLogParams *params, AuditRecovery *ret_recovery, AuditLog **ret)
{
        _cleanup_(audit_log_freep) AuditLog *log = NULL;
        AuditRecovery *rec = ret_recovery;
        int r;

        r = log_new(params, &log);
        if (r == 0)
                r = audit_recover(log->dir_fd, log->id, params->key, true, rec);
        if (r)
                return r;
        chain_init(&log->chain, params->key, rec->size, rec->head);
        log->segment = rec->segment;
        log->offset = rec->offset;
        log->effective = rec->current.done ? rec->current : rec->before;
        log->open = rec->current.done ? (AuditChange){} : rec->current;
        log->unsealed = rec->unsealed;
        log->checkpoint_seq = rec->has_checkpoint ? rec->checkpoint_seq : 0;
        log->heads_from = rec->size - 1;
        memcpy(log->heads[log->heads_from % AUDIT_NOTE_WINDOW], rec->head, 32);
        r = settle_segment(log);
        if (r == 0)
                r = start_threads(log, rec->segment_last, rec->size - 1);
        if (r)
                return r;
        *ret = TAKE_PTR(log);
        return 0;
}

int audit_log_fd(const AuditLog *log)
{
        return log->writer.event_fd;
}

int audit_log_dispatch(AuditLog *log, uint64_t *ret_durable)
{
        uint64_t n;

        if (read(log->writer.event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
                return -errno;
        *ret_durable = atomic_load(&log->writer.durable);
        return atomic_load(&log->writer.failed) ? HF_E_LOG_FAILED : 0;
}

uint64_t audit_log_durable(const AuditLog *log)
{
        return atomic_load(&log->writer.durable);
}

int audit_log_failed(const AuditLog *log)
{
        return atomic_load(&log->writer.failed);
}

int audit_log_sync(AuditLog *log)
{
        return writer_sync(&log->writer) ? HF_E_LOG_FAILED : 0;
}

int audit_log_flush(AuditLog *log)
{
        return writer_flush(&log->writer) ? HF_E_LOG_FAILED : 0;
}

void audit_log_wake(AuditLog *log)
{
        writer_wake(&log->writer);
}

void audit_log_position(const AuditLog *log, AuditPosition *ret)
{
        *ret = (AuditPosition){
                        .size = log->chain.size,
                        .effective = log->effective,
                        .open = log->open,
                        .unsealed = log->unsealed,
        };
        memcpy(ret->head, log->chain.head, sizeof(ret->head));
}

const char *audit_log_id(const AuditLog *log)
{
        return log->id;
}

uint64_t audit_log_room(const AuditLog *log)
{
        uint64_t room = log->size > log->offset ? log->size - log->offset : 0;
        struct stat st;
        char name[SEGMENT_NAME_SIZE];

        segment_name(log->segment + 1, name);
        if (fstatat(log->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                room += (uint64_t)st.st_size;
        return room;
}

/* The first record of a segment. */
static int first_seq(AuditLog *log, unsigned number, uint64_t *ret)
{
        _cleanup_(segment_cursor_deinit) SegmentCursor cursor = {};
        _cleanup_close_ int fd = -EBADF;
        Bytes line, prev;
        int r;

        r = segment_cursor_init(&cursor);
        if (r == 0)
                r = segment_open(log->dir_fd, number, false, &fd, NULL);
        if (r)
                return r;
        segment_cursor_seek(&cursor, fd, 0);
        r = segment_cursor_next(&cursor, &line);
        if (r == 0)
                r = audit_record_prefix(line, ret, &prev);
        return r > 0 ? HF_E_LOG_DAMAGED : r;
}

/* The first segment that stays: the last one that begins neither behind `before` nor behind the last
 * checkpoint. */
static int find_kept(AuditLog *log, uint64_t before, unsigned first, unsigned *ret, uint64_t *ret_seq)
{
        uint64_t seq, kept_seq = 0;
        unsigned kept = first;
        int r;

        for (unsigned number = first; number <= log->segment; number++) {
                r = first_seq(log, number, &seq);
                if (r)
                        return r;
                if (seq > before || seq > log->checkpoint_seq)
                        break;
                kept = number;
                kept_seq = seq;
        }
        *ret = kept;
        *ret_seq = kept_seq;
        return kept == first ? HF_E_NOTHING_TO_DO : 0;
}

int audit_log_prune(AuditLog *log, const AuditPrune *prune, uint64_t *ret_first)
{
        unsigned first, last, kept;
        char name[SEGMENT_NAME_SIZE];
        AuditLine line;
        uint64_t seq;
        int r;

        r = audit_log_sync(log);
        if (r == 0)
                r = segment_range(log->dir_fd, &first, &last);
        if (r == 0)
                r = find_kept(log, prune->before, first, &kept, &seq);
        if (r)
                return r;
        audit_line_init(&line, "log.prune");
        audit_line_u64(&line, "before", prune->before);
        audit_line_u64(&line, "first", seq);
        audit_line_u64(&line, "archived", prune->archived);
        audit_line_u64(&line, "uid", prune->uid);
        r = audit_log_append(log, &line, NULL);
        if (r == 0)
                r = audit_log_sync(log);
        if (r)
                return r;
        /* Oldest first: killed in between, what is left has no gap. */
        for (unsigned number = first; number < kept; number++) {
                segment_name(number, name);
                if (unlinkat(log->dir_fd, name, 0) < 0)
                        return -errno;
        }
        if (fsync(log->dir_fd) < 0)
                return -errno;
        *ret_first = seq;
        return 0;
}
