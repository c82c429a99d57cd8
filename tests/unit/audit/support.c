/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/segment.h"
#include "base/io.h"

const uint8_t log_key[32] = "log key of the tests, 32 bytes..";

void sandbox_init(Sandbox *s)
{
        snprintf(s->path, sizeof(s->path), "%s/hf-audit-XXXXXX", "/tmp");
        assert_non_null(mkdtemp(s->path));
        s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->dir_fd >= 0);
}

/* The entries, but . and .. */
static void each_file(const Sandbox *s, void (*call)(const Sandbox *s, const char *name, void *userdata),
                void *userdata)
{
        int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fdopendir(fd);

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                if (e->d_name[0] != '.')
                        call(s, e->d_name, userdata);
        closedir(d);
}

static void remove_file(const Sandbox *s, const char *name, void *userdata)
{
        (void)userdata;
        assert_int_equal(unlinkat(s->dir_fd, name, 0), 0);
}

void sandbox_empty(const Sandbox *s)
{
        each_file(s, remove_file, NULL);
}

void sandbox_deinit(Sandbox *s)
{
        sandbox_empty(s);
        close(s->dir_fd);
        rmdir(s->path);
}

static void copy_file(const Sandbox *s, const char *name, void *userdata)
{
        const Sandbox *to = userdata;
        _cleanup_buffer_ Buffer content = BUFFER_INIT(64u << 20);
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(io_read_file(s->dir_fd, name, &content), 0);
        fd = openat(to->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(io_write_full(fd, content.data, content.len), 0);
}

void sandbox_copy(const Sandbox *from, const Sandbox *to)
{
        sandbox_empty(to);
        each_file(from, copy_file, (void *)to);
}

void checkpoint_key(unsigned number, uint8_t ret_public[static 32], uint8_t ret_secret[static 64])
{
        uint8_t seed[32] = {(uint8_t)number, (uint8_t)(number >> 8), 0x5a};

        crypto_sign_seed_keypair(ret_public, ret_secret, seed);
}

AuditVkey checkpoint_vkey(unsigned number, const char *origin)
{
        uint8_t public[32], secret[64];
        AuditVkey k;

        checkpoint_key(number, public, secret);
        audit_vkey_init(&k, origin, public);
        return k;
}

void make_note(const NoteParams *p, char ret[static AUDIT_NOTE_MAX + 1])
{
        const char *origin = p->origin ? p->origin : ORIGIN;
        char head[45], state[65], life[33], counter[24] = "-", next[AUDIT_VKEY_MAX], base64[96];
        uint8_t public[32], secret[64], blob[68], lives[16];
        AuditVkey vkey = checkpoint_vkey(p->key, origin);
        int len;

        memset(lives, p->life, sizeof(lives));
        base64_encode(p->head, 32, head);
        hex_encode(p->state, 32, state);
        hex_encode(lives, 16, life);
        if (p->counter >= 0)
                snprintf(counter, sizeof(counter), "%lld", (long long)p->counter);
        len = snprintf(ret, AUDIT_NOTE_MAX,
                        "%s\n%llu\n%s\nstate %s\ncounter %s\nepoch %llu\nlife %s\nops %llu\n", origin,
                        (unsigned long long)p->size, head, state, counter, (unsigned long long)p->epoch, life,
                        (unsigned long long)p->ops);
        if (p->next) {
                AuditVkey n = checkpoint_vkey(p->next, origin);

                audit_vkey_format(&n, next);
                len += snprintf(ret + len, AUDIT_NOTE_MAX - len, "next %s\n", next);
        }
        checkpoint_key(p->key, public, secret);
        memcpy(blob, vkey.id, 4);
        crypto_sign_detached(blob + 4, NULL, (const uint8_t *)ret, len, secret);
        base64_encode(blob, sizeof(blob), base64);
        snprintf(ret + len, AUDIT_NOTE_MAX - len, "\n\xe2\x80\x94 %s %s\n", origin, base64);
}

AuditLogParams log_params(const Sandbox *s, uint64_t segment_size)
{
        return (AuditLogParams){
                        .dir_fd = s->dir_fd, .log_id = LOG_ID, .key = log_key, .segment_size = segment_size};
}

AuditLog *create_log(const Sandbox *s, uint64_t segment_size)
{
        AuditLogParams p = log_params(s, segment_size);
        AuditLog *log = NULL;

        assert_int_equal(audit_log_create(&p, NULL, &log), 0);
        return log;
}

AuditLog *open_log(const Sandbox *s, AuditRecovery *ret)
{
        AuditLogParams p = log_params(s, AUDIT_SEGMENT_SIZE_MIN);
        AuditLog *log = NULL;

        assert_int_equal(audit_log_open(&p, ret, &log), 0);
        return log;
}

void use_line(AuditLine *line, unsigned n)
{
        Uuid key = {.b = {1, 2, 3, 4, 5, 6, 0x40, 8, 0x80}};

        audit_line_init(line, "key.sign");
        audit_line_uuid(line, "key", &key);
        audit_line_str(line, "name", "device-tls");
        audit_line_u64(line, "uid", 1000);
        audit_line_str(line, "road", "direct");
        audit_line_str(line, "rule", "telemetry signs");
        audit_line_str(line, "scheme", "ES256");
        audit_line_u64(line, "job", n);
}

uint64_t append_use(AuditLog *log, unsigned n)
{
        AuditLine line;
        uint64_t seq;

        use_line(&line, n);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        return seq;
}

void change_line(AuditLine *line, uint8_t state)
{
        Uuid key = {.b = {state, 2, 3, 4, 5, 6, 0x40, 8, 0x80}};
        uint8_t bytes[32];

        memset(bytes, state, sizeof(bytes));
        audit_line_init(line, "key.disable");
        audit_line_hex(line, "state", bytes, sizeof(bytes));
        audit_line_uuid(line, "key", &key);
        audit_line_str(line, "name", "device-tls");
        audit_line_u64(line, "uid", 0);
}

uint64_t append_checkpoint(AuditLog *log, uint64_t ops, uint8_t life)
{
        char note[AUDIT_NOTE_MAX + 1];
        NoteParams params = {.key = 1, .counter = -1, .life = life, .ops = ops};
        AuditPosition position;
        uint64_t seq;

        assert_int_equal(audit_log_sync(log), 0);
        audit_log_position(log, &position);
        params.size = position.size;
        memcpy(params.head, position.head, 32);
        memcpy(params.state, position.effective.state, 32);
        make_note(&params, note);
        assert_int_equal(audit_log_append_checkpoint(log, note, &seq), 0);
        return seq;
}

void export_log(const Sandbox *s, Buffer *ret)
{
        unsigned first, last;

        buffer_clear(ret);
        assert_int_equal(segment_range(s->dir_fd, &first, &last), 0);
        for (unsigned n = first; n <= last; n++) {
                _cleanup_buffer_ Buffer content = BUFFER_INIT(64u << 20);
                const uint8_t *nul;
                char name[SEGMENT_NAME_SIZE];

                segment_name(n, name);
                assert_int_equal(io_read_file(s->dir_fd, name, &content), 0);
                nul = memchr(content.data, 0, content.len);
                assert_int_equal(buffer_append(ret, content.data,
                                                 nul ? (size_t)(nul - content.data) : content.len),
                                0);
        }
}
