/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/segment.h"
#include "base/error.h"
#include "base/name.h"

struct AuditReader {
        int dir_fd;
        int fd; /* of segment */
        unsigned segment;
        SegmentCursor cursor;
        AuditFilter filter;
        char pattern[AUDIT_EVENT_NAME_MAX + 1];
        char since[CLOCK_TEXT_SIZE];
        uint64_t next;             /* sequence number of the next line; UINT64_MAX: any */
        char held[AUDIT_LINE_MAX]; /* export: what of a line is still to be written */
        size_t held_len, held_done;
        uint64_t records, bytes;
};

static int open_segment(AuditReader *reader, unsigned number)
{
        int fd, r;

        r = segment_open(reader->dir_fd, number, false, &fd, NULL);
        if (r)
                return r;
        safe_close(reader->fd);
        reader->fd = fd;
        reader->segment = number;
        segment_cursor_seek(&reader->cursor, fd, 0);
        return 0;
}

/* Opens the last segment that begins at or before the first line wanted. */
static int find_segment(AuditReader *reader)
{
        unsigned first, last, start;
        uint64_t seq;
        Bytes line, prev;
        int r;

        r = segment_range(reader->dir_fd, &first, &last);
        if (r)
                return r;
        start = first;
        for (unsigned number = first + 1; number <= last; number++) {
                r = open_segment(reader, number);
                if (r == 0)
                        r = segment_cursor_next(&reader->cursor, &line);
                if (r < 0)
                        return r;
                if (r || audit_record_prefix(line, &seq, &prev) || seq > reader->filter.from)
                        break;
                start = number;
        }
        return open_segment(reader, start);
}

int audit_reader_new(int dir_fd, const AuditFilter *filter, AuditReader **ret)
{
        _cleanup_(audit_reader_freep) AuditReader *reader = calloc(1, sizeof(*reader));
        int r;

        if (!reader)
                return -ENOMEM;
        reader->dir_fd = reader->fd = -EBADF;
        reader->filter = *filter;
        reader->next = UINT64_MAX;
        if (filter->event) {
                if (!name_pattern_is_valid(filter->event) || strlen(filter->event) >= sizeof(reader->pattern))
                        return HF_E_INVALID_ARGS;
                strcpy(reader->pattern, filter->event);
                reader->filter.event = reader->pattern;
        }
        if (filter->since)
                clock_format(filter->since, reader->since);
        r = segment_cursor_init(&reader->cursor);
        if (r)
                return r;
        reader->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        if (reader->dir_fd < 0)
                return -errno;
        r = find_segment(reader);
        if (r)
                return r;
        *ret = TAKE_PTR(reader);
        return 0;
}

AuditReader *audit_reader_free(AuditReader *reader)
{
        if (!reader)
                return NULL;
        segment_cursor_deinit(&reader->cursor);
        safe_close(reader->fd);
        safe_close(reader->dir_fd);
        free(reader);
        return NULL;
}

void audit_reader_until(AuditReader *reader, uint64_t until)
{
        reader->filter.until = until;
}

/*
 * Behind the last line of a segment: on to the next one, if that has begun. It may have been made ahead of
 * time and be empty; and if it has begun, this one may have grown since it was read, but now it is complete.
 */
static int step_over(AuditReader *reader)
{
        _cleanup_close_ int fd = -EBADF;
        uint64_t offset = reader->cursor.offset;
        Bytes line;
        int r;

        r = segment_open(reader->dir_fd, reader->segment + 1, false, &fd, NULL);
        if (r == 0) {
                segment_cursor_seek(&reader->cursor, fd, 0);
                r = segment_cursor_next(&reader->cursor, &line);
        }
        segment_cursor_seek(&reader->cursor, reader->fd, offset);
        if (r)
                return r < 0 ? r : HF_E_NOTHING_TO_DO;
        r = segment_cursor_next(&reader->cursor, &line);
        segment_cursor_seek(&reader->cursor, reader->fd, offset);
        if (r != HF_E_NOTHING_TO_DO)
                return r;
        safe_close(reader->fd);
        reader->fd = TAKE_FD(fd);
        reader->segment++;
        segment_cursor_seek(&reader->cursor, reader->fd, 0);
        return 0;
}

static int next_line(AuditReader *reader, AuditRecord *ret)
{
        Bytes line;
        int r;

        for (;;) {
                r = segment_cursor_next(&reader->cursor, &line);
                if (r == HF_E_NOTHING_TO_DO) {
                        r = step_over(reader);
                        if (r)
                                return r == HF_E_INVALID_ARGS ? HF_E_LOG_DAMAGED : r;
                        continue;
                }
                if (r)
                        break;
                r = audit_record_parse(line, ret);
                if (r == 0 && reader->next != UINT64_MAX && ret->seq != reader->next)
                        return HF_E_LOG_DAMAGED;
                if (r == 0 && ret->seq > reader->filter.until) {
                        segment_cursor_seek(
                                        &reader->cursor, reader->fd, reader->cursor.offset - line.len - 1);
                        return HF_E_NOTHING_TO_DO;
                }
                break;
        }
        if (r == HF_E_INVALID_ARGS) {
                /* Beside a writer, the line that is being written may be seen in part: it is not durable yet.
                 */
                segment_cursor_seek(&reader->cursor, reader->fd, reader->cursor.offset);
                return reader->next != UINT64_MAX && reader->next > reader->filter.until ? HF_E_NOTHING_TO_DO
                                                                                         : HF_E_LOG_DAMAGED;
        }
        if (r == 0)
                reader->next = ret->seq + 1;
        return r;
}

static bool wanted(const AuditReader *reader, const AuditRecord *record)
{
        const AuditFilter *f = &reader->filter;
        char name[AUDIT_EVENT_NAME_MAX + 1];
        uint64_t uid;

        if (record->seq < f->from ||
                        (f->since && memcmp(record->time.data, reader->since, record->time.len) < 0))
                return false;
        if (f->by_uid && (audit_record_u64(record, "uid", &uid) || uid != f->uid))
                return false;
        if (!f->event)
                return true;
        memcpy(name, record->event.data, record->event.len);
        name[record->event.len] = '\0';
        return name_matches(f->event, name);
}

int audit_reader_next(AuditReader *reader, AuditRecord *ret)
{
        AuditRecord record;
        int r;

        do {
                r = next_line(reader, &record);
                if (r)
                        return r;
        } while (!wanted(reader, &record));
        reader->records++;
        reader->bytes += record.line.len + 1;
        *ret = record;
        return 0;
}

static int write_held(AuditReader *reader, int fd)
{
        while (reader->held_done < reader->held_len) {
                ssize_t n = write(fd, reader->held + reader->held_done, reader->held_len - reader->held_done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                reader->held_done += (size_t)n;
        }
        reader->held_len = reader->held_done = 0;
        return 0;
}

int audit_reader_export(AuditReader *reader, int fd, size_t max)
{
        AuditRecord record;
        size_t done = 0;
        int r;

        do {
                r = write_held(reader, fd);
                if (r)
                        return r;
                if (done >= max)
                        return 0;
                r = audit_reader_next(reader, &record);
                if (r)
                        return r;
                memcpy(reader->held, record.line.data, record.line.len);
                reader->held[record.line.len] = '\n';
                reader->held_len = record.line.len + 1;
                done += reader->held_len;
        } while (true);
}

void audit_reader_progress(const AuditReader *reader, uint64_t *ret_records, uint64_t *ret_bytes)
{
        *ret_records = reader->records;
        *ret_bytes = reader->bytes;
}
