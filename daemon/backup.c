/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/note.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/wire.h"
#include "crypto/digest-stream.h"

#define MAGIC "HOLDFAST BACKUP\n"
#define FORMAT 1
#define COPY_NAME "backup.tmp"
#define CHUNK 65536

typedef struct Sink {
        int fd;
        DigestStream digest;
        uint64_t bytes;
} Sink;

static int sink_put(Sink *s, const void *data, size_t len)
{
        digest_stream_update(&s->digest, data, len);
        s->bytes += len;
        return io_write_full(s->fd, data, len);
}

static int put_header(Sink *s, const BackupSource *source, uint64_t database)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + CHECKPOINT_NOTE_MAX + 64);
        int r;

        r = wire_put_raw(&b, MAGIC, strlen(MAGIC));
        if (!r)
                r = wire_put_u16(&b, FORMAT);
        if (!r)
                r = wire_put_block(&b, source->slots);
        if (!r)
                r = wire_put_string(&b, source->note);
        if (!r)
                r = wire_put_u64(&b, database);
        return r ? r : sink_put(s, b.data, b.len);
}

static int put_database(Sink *s, int copy)
{
        _cleanup_free_ uint8_t *chunk = malloc(CHUNK);
        size_t got = 1;
        off_t at = 0;
        int r = chunk ? 0 : -ENOMEM;

        while (!r && got) {
                r = io_pread_full(copy, chunk, CHUNK, at, &got);
                if (!r)
                        r = sink_put(s, chunk, got);
                at += (off_t)got;
        }
        return r;
}

static int put_file(const BackupSource *source, int fd, BackupInfo *ret)
{
        _cleanup_close_ int copy = openat(source->store_fd, COPY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        Sink sink = {.fd = fd};
        struct stat st;
        int r;

        if (copy < 0 || fstat(copy, &st) < 0)
                return -errno;
        digest_stream_init(&sink.digest);
        r = put_header(&sink, source, (uint64_t)st.st_size);
        if (!r)
                r = put_database(&sink, copy);
        if (r)
                return r;
        digest_stream_final(&sink.digest, ret->digest);
        r = io_write_full(fd, ret->digest, sizeof(ret->digest));
        if (!r && fsync(fd) < 0 && errno != EINVAL && errno != EROFS) /* a pipe cannot */
                r = -errno;
        ret->bytes = sink.bytes + sizeof(ret->digest);
        return r;
}

static int check_copy(const BackupSource *source, char reason[static 640], BackupInfo *ret)
{
        StoreParams params = {.name = COPY_NAME,
                        .database_key = source->keys->database_key,
                        .log_key = source->keys->log_key,
                        .id = source->keys->store_id,
                        .lock_held = true};
        StoreReason why = {0};
        StoreCopyInfo info;
        int r;

        r = store_check_copy(source->store_fd, &params, &why, &info);
        if (r)
                snprintf(reason, 640, "the copy does not pass its check: %s", why.text);
        else
                ret->keys = info.keys;
        return r;
}

static int remove_copy(int store_fd)
{
        return unlinkat(store_fd, COPY_NAME, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int backup_write(const BackupSource *source, int fd, char reason[static 640], BackupInfo *ret)
{
        AuditNote note;
        int r;

        r = remove_copy(source->store_fd);
        if (!r)
                r = store_backup(source->store, source->store_fd, COPY_NAME);
        if (r)
                snprintf(reason, 640, "the store could not be copied: %s", store_reason(source->store));
        if (!r)
                r = check_copy(source, reason, ret);
        if (!r)
                r = put_file(source, fd, ret);
        if (!r && audit_note_parse(source->note, strlen(source->note), &note) == 0)
                ret->sequence = note.size;
        (void)remove_copy(source->store_fd);
        if (r < 0 && !reason[0])
                snprintf(reason, 640, "the backup could not be written: %s", strerror(-r));
        return r;
}

/* ---- reading ---- */

typedef struct Source {
        int fd;
        DigestStream digest;
} Source;

static int source_read(Source *s, void *ret, size_t len)
{
        uint8_t *p = ret;

        while (len > 0) {
                ssize_t n = read(s->fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return HF_E_BACKUP_INVALID;
                digest_stream_update(&s->digest, p, (size_t)n);
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

static int source_block(Source *s, void *ret, size_t max, size_t *ret_len)
{
        uint8_t raw[4];
        WireReader r;
        size_t len;
        int result = source_read(s, raw, sizeof(raw));

        if (result)
                return result;
        r = wire_reader(BYTES_ARRAY(raw));
        len = wire_get_u32(&r);
        if (len > max)
                return HF_E_BACKUP_INVALID;
        *ret_len = len;
        return source_read(s, ret, len);
}

static int read_header(Source *s, BackupContent *ret, uint64_t *ret_database)
{
        uint8_t start[sizeof(MAGIC) - 1 + 2], raw[8];
        WireReader r;
        size_t note_len;
        int result;

        result = source_read(s, start, sizeof(start));
        if (result)
                return result;
        if (memcmp(start, MAGIC, sizeof(MAGIC) - 1) || start[sizeof(MAGIC) - 1] != FORMAT ||
                        start[sizeof(MAGIC)] != 0)
                return HF_E_BACKUP_INVALID;
        result = source_block(s, ret->slots, sizeof(ret->slots), &ret->slots_len);
        if (!result)
                result = source_block(s, ret->note, sizeof(ret->note) - 1, &note_len);
        if (!result)
                result = source_read(s, raw, sizeof(raw));
        if (result)
                return result;
        ret->note[note_len] = '\0';
        r = wire_reader(BYTES_ARRAY(raw));
        *ret_database = wire_get_u64(&r);
        return *ret_database > BACKUP_DATABASE_MAX ? HF_E_BACKUP_INVALID : 0;
}

static int read_database(Source *s, int fd, uint64_t left)
{
        _cleanup_free_ uint8_t *chunk = malloc(CHUNK);
        int r = chunk ? 0 : -ENOMEM;

        while (!r && left > 0) {
                size_t n = left < CHUNK ? (size_t)left : CHUNK;

                r = source_read(s, chunk, n);
                if (!r)
                        r = io_write_full(fd, chunk, n);
                left -= n;
        }
        return !r && fsync(fd) < 0 ? -errno : r;
}

int backup_read(int fd, int dir_fd, BackupContent *ret)
{
        _cleanup_close_ int database = -EBADF;
        uint8_t expected[32], found[32], extra;
        Source s = {.fd = fd};
        uint64_t len;
        int r;

        digest_stream_init(&s.digest);
        r = read_header(&s, ret, &len);
        if (r)
                return r;
        database = openat(dir_fd, STORE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (database < 0)
                return -errno;
        r = read_database(&s, database, len);
        if (r)
                return r;
        digest_stream_final(&s.digest, expected);
        r = source_read(&s, found, sizeof(found));
        if (!r && (memcmp(expected, found, sizeof(found)) || read(fd, &extra, 1) != 0))
                r = HF_E_BACKUP_INVALID;
        return r;
}
