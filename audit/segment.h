/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Segments
 *
 * A segment is a file NNNNNN.jsonl that was filled with zeros and synced before its first line came, so that
 * a sync of a line never waits for the file system's own journal, and so that there is room when the disk is
 * full. Lines end at the first NUL. Numbers rise by one without gaps; the first one can be any (pruning).
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define SEGMENT_NAME_SIZE 24
/* A larger file is none of ours. */
#define SEGMENT_SIZE_MAX (256u << 20)

void segment_name(unsigned number, char ret[static SEGMENT_NAME_SIZE]);
/* HF_E_STORE_UNINITIALISED: none there; HF_E_LOG_DAMAGED: a gap. */
int segment_range(int dir_fd, unsigned *ret_first, unsigned *ret_last);
/* A regular file, never a symlink. HF_E_LOG_DAMAGED: not there, or no segment can be that large. */
int segment_open(int dir_fd, unsigned number, bool writable, int *ret_fd, uint64_t *ret_size);
/* Makes an empty one, durable with its directory entry. HF_E_LOG_FULL: no room (also quota and file size
 * limit). One that is already there stays as it is. */
int segment_make(int dir_fd, unsigned number, uint64_t size);
/* Writes zeros from `from` to `to` and syncs. HF_E_LOG_FULL as above. */
int segment_zero(int fd, uint64_t from, uint64_t to);

/* Reads the lines of one segment, one after the other. */
typedef struct SegmentCursor {
        int fd;          /* borrowed */
        uint64_t offset; /* of the line that next() looks at */
        uint64_t base;   /* offset of buffer[0] */
        size_t len;
        char *buffer; /* 64 KiB */
} SegmentCursor;

int segment_cursor_init(SegmentCursor *c);
void segment_cursor_deinit(SegmentCursor *c);
/* From now on in this file, at this offset. */
void segment_cursor_seek(SegmentCursor *c, int fd, uint64_t offset);
/* The next line without newline, valid until the next call; offset has moved behind it. HF_E_NOTHING_TO_DO: a
 * NUL or the end of the file stands there; HF_E_INVALID_ARGS: something without a newline in AUDIT_LINE_MAX
 * bytes, or before the next NUL or the end. The offset then stays. */
int segment_cursor_next(SegmentCursor *c, Bytes *ret_line);
