/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/record.h"
#include "audit/segment.h"
#include "base/error.h"
#include "base/io.h"
#include "crypto/digest.h"

#define CUT_NAME_SIZE 64

typedef struct Recovery {
        int dir_fd;
        const char *log_id;
        const uint8_t *key;
        unsigned first, last; /* segments there are */
        SegmentCursor cursor;
        AuditRecovery result;
        AuditChange effective, open;
        bool bad; /* a line failed: result.size is its number, result.segment and offset its place */
} Recovery;

/* Where reading begins: a line of segment `segment` at `offset`, with the link it must carry. */
typedef struct Start {
        bool found;
        unsigned segment;
        uint64_t offset;
        uint64_t seq;
        uint8_t prev[32];
} Start;

static bool link_is(const AuditRecord *record, const uint8_t head[static 32])
{
        uint8_t prev[32];

        return hex_decode((const char *)record->prev.data, record->prev.len, prev, sizeof(prev)) == 0 &&
               memcmp(prev, head, sizeof(prev)) == 0;
}

static Start start_at(const AuditRecord *record, unsigned segment, uint64_t offset)
{
        Start s = {.found = true, .segment = segment, .offset = offset, .seq = record->seq};

        hex_decode((const char *)record->prev.data, record->prev.len, s.prev, sizeof(s.prev));
        return s;
}

/* Most lines are not checkpoints, and the search may pass by 50,000 of them: look before parsing. */
static bool may_be_checkpoint(Bytes line)
{
        static const char mark[] = "\"event\":\"checkpoint\",";

        return memmem(line.data, line.len < 256 ? line.len : 256, mark, sizeof(mark) - 1) != NULL;
}

/*
 * The last checkpoint of a segment before its first NUL that the key made and that follows the line in front
 * of it. Also the segment's last whole line, for the segment behind.
 */
static int find_checkpoint(
                Recovery *rec, unsigned number, Start *ret, uint8_t ret_last[static 32], bool *ret_last_is)
{
        _cleanup_close_ int fd = -EBADF;
        char before[AUDIT_LINE_MAX], last[AUDIT_LINE_MAX];
        size_t before_len = 0, last_len = 0;
        uint64_t offset;
        Bytes line;
        int r;

        *ret = (Start){};
        *ret_last_is = false;
        r = segment_open(rec->dir_fd, number, false, &fd, NULL);
        if (r)
                return r;
        segment_cursor_seek(&rec->cursor, fd, 0);
        while (offset = rec->cursor.offset, (r = segment_cursor_next(&rec->cursor, &line)) == 0) {
                AuditRecord record;
                uint8_t head[32];

                memcpy(before, last, last_len);
                before_len = last_len;
                memcpy(last, line.data, line.len);
                last_len = line.len;
                *ret_last_is = may_be_checkpoint(line);
                if (!*ret_last_is || before_len == 0 || audit_record_parse(line, &record) ||
                                !audit_record_is(&record, "checkpoint") ||
                                !audit_record_authentic(&record, rec->key))
                        continue;
                digest_sha256(BYTES(before, before_len), head);
                if (link_is(&record, head))
                        *ret = start_at(&record, number, offset);
        }
        if (r < 0)
                return r;
        digest_sha256(BYTES(last, last_len), ret_last);
        *ret_last_is = *ret_last_is && last_len > 0;
        return 0;
}

/* The first line of a segment, if it is one that the key made. */
static int find_first_line(Recovery *rec, unsigned number, Start *ret)
{
        _cleanup_close_ int fd = -EBADF;
        AuditRecord record;
        Bytes line;
        int r;

        *ret = (Start){};
        r = segment_open(rec->dir_fd, number, false, &fd, NULL);
        if (r)
                return r;
        segment_cursor_seek(&rec->cursor, fd, 0);
        r = segment_cursor_next(&rec->cursor, &line);
        if (r)
                return r < 0 ? r : 0;
        if (audit_record_parse(line, &record) == 0 && audit_record_is(&record, "segment.start") &&
                        audit_record_authentic(&record, rec->key))
                *ret = start_at(&record, number, 0);
        return 0;
}

static int take_changes(Recovery *rec, const AuditRecord *record)
{
        AuditChange effective = {.done = true}, open = {};
        int r;

        if (audit_record_u64(record, "change", &effective.seq) ||
                        audit_record_hash(record, "state", effective.state))
                return HF_E_LOG_DAMAGED;
        r = audit_record_u64(record, "open", &open.seq);
        if (r == 0)
                r = audit_record_hash(record, "open-state", open.state);
        if (r && r != HF_E_NOTHING_TO_DO)
                return HF_E_LOG_DAMAGED;
        rec->effective = effective;
        rec->open = r ? (AuditChange){} : open;
        return 0;
}

static int take_checkpoint(Recovery *rec, const AuditRecord *record)
{
        char note[AUDIT_NOTE_MAX + 1];

        if (audit_record_string(record, "note", note, sizeof(note)) ||
                        audit_note_parse(note, strlen(note), &rec->result.checkpoint))
                return HF_E_LOG_DAMAGED;
        rec->result.has_checkpoint = true;
        rec->result.checkpoint_seq = record->seq;
        rec->result.unsealed = 0;
        return 0;
}

/*
 * The line in front of a segment's first one, when that is where reading begins. It may have been made under
 * another key (rekey), but the link of an authentic line vouches for it.
 */
static int take_checkpoint_before(Recovery *rec, const Start *start)
{
        _cleanup_close_ int fd = -EBADF;
        char last[AUDIT_LINE_MAX];
        size_t last_len = 0;
        AuditRecord record;
        Bytes line;
        int r;

        r = segment_open(rec->dir_fd, start->segment - 1, false, &fd, NULL);
        if (r)
                return r;
        segment_cursor_seek(&rec->cursor, fd, 0);
        while ((r = segment_cursor_next(&rec->cursor, &line)) == 0) {
                memcpy(last, line.data, line.len);
                last_len = line.len;
        }
        if (r < 0)
                return r;
        if (audit_record_parse(BYTES(last, last_len), &record) || !audit_record_is(&record, "checkpoint"))
                return HF_E_LOG_DAMAGED;
        return take_checkpoint(rec, &record);
}

/*
 * From the newest segment backwards: its last checkpoint; or its first line, if the line in front of that is
 * a checkpoint, or if nothing is in front of it.
 */
static int find_start(Recovery *rec, Start *ret)
{
        uint8_t last[32];
        bool is_checkpoint;
        Start first = {}, start;
        int r;

        for (unsigned number = rec->last; number >= rec->first; number--) {
                r = find_checkpoint(rec, number, &start, last, &is_checkpoint);
                if (r)
                        return r;
                if (first.found && is_checkpoint && memcmp(first.prev, last, sizeof(last)) == 0) {
                        *ret = first;
                        return take_checkpoint_before(rec, &first);
                }
                if (start.found) {
                        *ret = start;
                        return 0;
                }
                r = find_first_line(rec, number, &first);
                if (r)
                        return r;
        }
        *ret = first; /* of the first segment; an empty or foreign one has none */
        return 0;
}

static int take_line(Recovery *rec, const AuditRecord *record)
{
        AuditRecovery *result = &rec->result;
        unsigned flags = audit_record_flags(record);
        uint64_t ref;
        int r = 0;

        result->unsealed++;
        if (audit_record_is(record, "checkpoint"))
                r = take_checkpoint(rec, record);
        if (r == 0 && (audit_record_is(record, "checkpoint") || audit_record_is(record, "segment.start")))
                r = take_changes(rec, record);
        if (flags & AUDIT_EVENT_CHANGE && audit_record_u64(record, "with", &ref) == 0) {
                r = ref == rec->open.seq ? 0 : HF_E_LOG_DAMAGED; /* one more line of that change */
        } else if (flags & AUDIT_EVENT_CHANGE) {
                rec->open = (AuditChange){.seq = record->seq};
                r = audit_record_hash(record, "state", rec->open.state) ? HF_E_LOG_DAMAGED : 0;
        } else if (audit_record_is(record, "done") && audit_record_u64(record, "ref", &ref) == 0 &&
                        ref == rec->open.seq) {
                rec->effective = rec->open;
                rec->effective.done = true;
                rec->open = (AuditChange){};
        } else if (audit_record_is(record, "undone") && audit_record_u64(record, "ref", &ref) == 0 &&
                        ref == rec->open.seq)
                rec->open = (AuditChange){};
        digest_sha256(record->line, result->head);
        result->size = record->seq + 1;
        result->scanned++;
        return r;
}

static bool belongs(const Recovery *rec, const AuditRecord *record)
{
        char id[AUDIT_NAME_MAX + 1];

        if (!audit_record_is(record, "segment.start"))
                return true;
        return audit_record_string(record, "log", id, sizeof(id)) == 0 && strcmp(id, rec->log_id) == 0;
}

/* Reads a segment from `offset` to its end or the first bad line. */
static int scan_segment(Recovery *rec, unsigned number, uint64_t offset)
{
        _cleanup_close_ int fd = -EBADF;
        AuditRecovery *result = &rec->result;
        AuditRecord record;
        Bytes line;
        int r;

        r = segment_open(rec->dir_fd, number, false, &fd, NULL);
        if (r)
                return r;
        segment_cursor_seek(&rec->cursor, fd, offset);
        for (;;) {
                uint64_t at = rec->cursor.offset;

                r = segment_cursor_next(&rec->cursor, &line);
                if (r < 0)
                        return r;
                if (r == HF_E_NOTHING_TO_DO)
                        return 0;
                if (r || audit_record_parse(line, &record) || record.seq != result->size ||
                                !link_is(&record, result->head) ||
                                !audit_record_authentic(&record, rec->key) || !belongs(rec, &record)) {
                        rec->bad = true;
                        return 0;
                }
                r = take_line(rec, &record);
                if (r)
                        return r;
                result->segment = number;
                result->offset = at + line.len + 1;
        }
}

typedef struct Tail {
        char *data;
        size_t len; /* up to the last byte that is not NUL */
        uint64_t offset;
} Tail;

static void tail_deinit(Tail *t)
{
        free(t->data);
}

static int read_tail(int dir_fd, unsigned number, uint64_t offset, Tail *ret)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        uint64_t size;
        size_t len;
        int r;

        r = segment_open(dir_fd, number, false, &fd, &size);
        if (r)
                return r;
        if (size < offset)
                size = offset;
        data = malloc(size - offset + 1);
        if (!data)
                return -ENOMEM;
        r = io_pread_full(fd, data, size - offset, (off_t)offset, &len);
        if (r)
                return r;
        while (len > 0 && data[len - 1] == '\0')
                len--;
        *ret = (Tail){.data = TAKE_PTR(data), .len = len, .offset = offset};
        return 0;
}

/* Does a readable line in these bytes call record `seq` durable? */
static bool vouched_for(const Recovery *rec, const Tail *t, uint64_t seq)
{
        static const char mark[] = "{\"seq\":";
        const char *p = t->data, *end = t->data + t->len, *newline;
        AuditRecord record;

        while ((p = memmem(p, end - p, mark, sizeof(mark) - 1))) {
                newline = memchr(p, '\n', end - p < AUDIT_LINE_MAX ? end - p : AUDIT_LINE_MAX);
                if (newline && audit_record_parse(BYTES(p, newline - p), &record) == 0 && record.seq > seq &&
                                record.dur >= seq && audit_record_authentic(&record, rec->key))
                        return true;
                p++;
        }
        return false;
}

/* The same tail, perhaps with some of it already zeroed by a run that was killed. */
static bool is_remnant(const Tail *t, const Buffer *saved)
{
        if (t->len > saved->len)
                return false;
        for (size_t i = 0; i < t->len; i++)
                if (t->data[i] != '\0' && (uint8_t)t->data[i] != saved->data[i])
                        return false;
        return true;
}

static void cut_name(const Recovery *rec, unsigned n, char ret[static CUT_NAME_SIZE])
{
        if (n == 1)
                snprintf(ret, CUT_NAME_SIZE, "cut-%llu", (unsigned long long)rec->result.size);
        else
                snprintf(ret, CUT_NAME_SIZE, "cut-%llu.%u", (unsigned long long)rec->result.size, n);
}

/* While the log ends before record K, no line tells of what lies in cut-K: a run that moved it may have been killed. */
static uint64_t cut_bytes(const Recovery *rec)
{
        char name[CUT_NAME_SIZE];
        uint64_t sum = 0;
        struct stat st;

        for (unsigned n = 1;; n++) {
                cut_name(rec, n, name);
                if (fstatat(rec->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return sum;
                sum += (uint64_t)st.st_size;
        }
}

/*
 * Saves the bytes as cut-K and zeros them in the segment. A file of that name from an earlier run is kept: if
 * what is here is what is left of it, there is nothing to save; else the name gets a number.
 */
static int cut(Recovery *rec, unsigned number, const Tail *t)
{
        _cleanup_close_ int fd = -EBADF;
        char name[CUT_NAME_SIZE];
        int r;

        for (unsigned n = 1;; n++) {
                _cleanup_buffer_ Buffer saved = BUFFER_INIT(SEGMENT_SIZE_MAX);

                cut_name(rec, n, name);
                r = io_read_file(rec->dir_fd, name, &saved);
                if (r == 0 && is_remnant(t, &saved))
                        break;
                if (r == 0)
                        continue;
                if (r != -ENOENT)
                        return r;
                r = io_write_file(rec->dir_fd, name, BYTES(t->data, t->len), 0600);
                if (r)
                        return r;
                break;
        }
        r = segment_open(rec->dir_fd, number, true, &fd, NULL);
        return r ? r : segment_zero(fd, t->offset, t->offset + t->len);
}

/*
 * What lies behind the last good line: nothing, a tear or damage. Later segments go first, so that a run
 * which is killed in between finds the tear again.
 */
static int settle_tail(Recovery *rec, bool repair)
{
        AuditRecovery *result = &rec->result;
        uint64_t torn = 0;
        int r;

        for (unsigned number = rec->last; number >= result->segment; number--) {
                _cleanup_(tail_deinit) Tail t = {};

                r = read_tail(rec->dir_fd, number, number == result->segment ? result->offset : 0, &t);
                if (r)
                        return r;
                if (vouched_for(rec, &t, result->size)) {
                        result->damaged_seq = result->size;
                        return HF_E_LOG_DAMAGED;
                }
                torn += t.len;
        }
        for (unsigned number = rec->last; repair && torn > 0 && number >= result->segment; number--) {
                _cleanup_(tail_deinit) Tail t = {};

                r = read_tail(rec->dir_fd, number, number == result->segment ? result->offset : 0, &t);
                if (r == 0 && t.len > 0)
                        r = cut(rec, number, &t);
                if (r)
                        return r;
        }
        result->torn = repair ? cut_bytes(rec) : torn;
        return 0;
}

/*
 * No line of ours to begin at. Only a first segment whose very first line never got whole is a log that was
 * never told to anybody; whole lines that this key did not make are somebody's log, and not a byte of it is
 * moved.
 */
static int check_unstarted(Recovery *rec)
{
        if (rec->first != 1)
                return HF_E_LOG_DAMAGED;
        for (unsigned number = 1; number <= rec->last; number++) {
                _cleanup_close_ int fd = -EBADF;
                AuditRecord record;
                Bytes line;
                int r;

                r = segment_open(rec->dir_fd, number, false, &fd, NULL);
                if (r)
                        return r;
                segment_cursor_seek(&rec->cursor, fd, 0);
                r = segment_cursor_next(&rec->cursor, &line);
                if (r < 0)
                        return r;
                if (r == 0 && audit_record_parse(line, &record) == 0)
                        return HF_E_LOG_DAMAGED;
        }
        return 0;
}

static int recover(Recovery *rec, bool repair)
{
        AuditRecovery *result = &rec->result;
        Start start;
        int r;

        r = segment_range(rec->dir_fd, &rec->first, &rec->last);
        if (r)
                return r;
        result->segment_last = rec->last;
        r = find_start(rec, &start);
        if (r)
                return r;
        result->segment = start.found ? start.segment : rec->first;
        result->size = start.seq;
        memcpy(result->head, start.prev, sizeof(result->head));
        if (!start.found) {
                rec->bad = true;
                r = check_unstarted(rec);
                if (r)
                        return r;
        }
        for (unsigned number = result->segment; !rec->bad && number <= rec->last; number++) {
                uint64_t scanned = result->scanned;

                r = scan_segment(rec, number, number == start.segment ? start.offset : 0);
                if (r)
                        return r;
                if (result->scanned == scanned)
                        break;
        }
        r = settle_tail(rec, repair);
        if (r)
                return r;
        return result->scanned == 0 ? HF_E_STORE_UNINITIALISED : 0;
}

int audit_recover(
                int dir_fd, const char *log_id, const uint8_t key[static 32], bool repair, AuditRecovery *ret)
{
        _cleanup_(segment_cursor_deinit) SegmentCursor cursor = {};
        Recovery rec = {.dir_fd = dir_fd, .log_id = log_id, .key = key};
        int r;

        r = segment_cursor_init(&cursor);
        if (r)
                return r;
        rec.cursor = cursor;
        r = recover(&rec, repair);
        if (r < 0)
                return r;
        rec.result.current = rec.open.seq ? rec.open : rec.effective;
        rec.result.before = rec.open.seq ? rec.effective : (AuditChange){};
        *ret = rec.result;
        return r;
}
