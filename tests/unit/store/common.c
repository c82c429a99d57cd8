/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "crypto/digest.h"

static int setup_in(const char *dir, void **state)
{
        Place *p = calloc(1, sizeof(*p));

        assert_non_null(p);
        (void)snprintf(p->path, sizeof(p->path), "%s/holdfast-store-XXXXXX", dir);
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        memset(p->database_key, 0xd1, sizeof(p->database_key));
        memset(p->log_key, 0x1c, sizeof(p->log_key));
        p->id = (Uuid){{1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 10}};
        *state = p;
        return 0;
}

int place_setup(void **state)
{
        return setup_in("/tmp", state);
}

int place_setup_in_memory(void **state)
{
        return setup_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", state);
}

int place_teardown(void **state)
{
        Place *p = *state;
        DIR *dir = opendir(p->path);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (entry->d_name[0] != '.' && unlinkat(p->fd, entry->d_name, 0) < 0)
                        (void)unlinkat(p->fd, entry->d_name, AT_REMOVEDIR);
        if (dir)
                closedir(dir);
        close(p->fd);
        (void)rmdir(p->path);
        free(p);
        return 0;
}

StoreParams place_params(const Place *p)
{
        return (StoreParams){.database_key = p->database_key, .log_key = p->log_key, .id = p->id};
}

Store *place_create(Place *p)
{
        const StoreParams params = place_params(p);
        Store *s = NULL;
        int r = store_create(p->fd, &params, &p->reason, &s);

        if (r)
                fail_msg("store_create: %d, %s", r, p->reason.text);
        return s;
}

Store *place_open(Place *p)
{
        const StoreParams params = place_params(p);
        Store *s = NULL;
        int r = store_open(p->fd, &params, &p->reason, &s);

        if (r)
                fail_msg("store_open: %d, %s", r, p->reason.text);
        r = store_scan(s, NULL, NULL);
        if (r)
                fail_msg("store_scan: %d, %s", r, store_reason(s));
        return s;
}

sqlite3 *place_sql(Place *p, const char *name)
{
        char path[128], key[2 + 64 + 2] = "x'";
        sqlite3 *db;

        (void)snprintf(path, sizeof(path), "%s/%s", p->path, name);
        hex_encode(p->database_key, 32, key + 2);
        key[66] = '\'';
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_key(db, key, 67), SQLITE_OK);
        sql_run(db, "PRAGMA cipher_compatibility=3; PRAGMA cipher_page_size=4096");
        return db;
}

void sql_run(sqlite3 *db, const char *sql)
{
        char *message = NULL;

        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", sql, message);
}

KeyAttributes sample_key(unsigned number)
{
        KeyAttributes a = {
                        .version = 1,
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 1700000000000000ULL + number,
                        .public_len = 91,
        };

        memset(a.uuid.b, 0x40, sizeof(a.uuid.b));
        memcpy(a.uuid.b, &number, sizeof(number));
        a.uuid.b[8] = 0x80;
        (void)snprintf(a.name, sizeof(a.name), "key-%06u", number);
        for (unsigned i = 0; i < a.public_len; i++)
                a.public[i] = (uint8_t)(number * 31 + i);
        return a;
}

void put_sample(Store *s, const KeyAttributes *a, StoreKeyState state)
{
        uint8_t wrapped[120];
        StoreKeyRow row = {.attributes = a, .state = state};
        int r;

        memset(wrapped, (int)(a->version + a->uuid.b[0]), sizeof(wrapped));
        if (state == STORE_KEY_LIVE)
                row.wrapped = BYTES_ARRAY(wrapped);
        r = store_put_key(s, &row);
        if (r)
                fail_msg("store_put_key: %d, %s", r, store_reason(s));
}

void add_samples(Store *s, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                KeyAttributes a = sample_key(i);

                assert_int_equal(store_begin(s), 0);
                put_sample(s, &a, STORE_KEY_LIVE);
                assert_int_equal(store_set_seq(s, store_seq(s) + 1), 0);
                assert_int_equal(store_commit(s), STORE_COMMITTED);
        }
}

Buffer file_read(int dir_fd, const char *name)
{
        Buffer b = BUFFER_INIT(1u << 28);

        assert_int_equal(io_read_file(dir_fd, name, &b), 0);
        return b;
}

void file_write(int dir_fd, const char *name, const void *data, size_t len, mode_t mode)
{
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, mode), 0);
        assert_int_equal(io_write_full(fd, data, len), 0);
        close(fd);
}

void file_hash(int dir_fd, const char *name, uint8_t ret[static 32])
{
        _cleanup_buffer_ Buffer all = BUFFER_INIT(1u << 28);
        char wal[80];

        (void)snprintf(wal, sizeof(wal), "%s-wal", name);
        assert_int_equal(io_read_file(dir_fd, name, &all), 0);
        assert_int_equal(buffer_append(&all, "|", 1), 0);
        (void)io_read_file(dir_fd, wal, &all);
        digest_sha256(buffer_bytes(&all), ret);
}
