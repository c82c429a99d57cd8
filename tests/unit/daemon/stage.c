/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/daemon/stage.h"

#include "audit/reader.h"
#include "crypto/digest.h"

#define SEGMENT (64 << 10)

static Stage *the_stage; /* one test at a time */

/* ---- what main.c gives to the rest ---- */

void daemon_abandon(Daemon *d, const char *why)
{
        Stage *p = stage_of(d);

        p->abandoned = why;
        p->abandons++;
}

int daemon_load_policy(Daemon *d, const Caller *caller, PolicyProblem *ret_problem)
{
        (void)d;
        (void)caller;
        (void)ret_problem;
        return HF_E_POLICY_INVALID;
}

Stage *stage_of(Daemon *d)
{
        assert_ptr_equal(d, &the_stage->d);
        return the_stage;
}

/* ---- making and opening ---- */

int stage_setup(void **state)
{
        Stage *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
        p->d.vault.state_fd = p->box.fd;
        p->d.vault.store_fd = p->d.vault.audit_fd = -EBADF;
        p->d.vault.slots = BUFFER_INIT(SLOTS_FILE_MAX);
        p->new_slots = BUFFER_INIT(SLOTS_FILE_MAX);
        p->d.config.segment_size = SEGMENT;
        p->d.config.max_keys = 1000;
        p->d.config.checkpoint_lines = 1024;
        p->d.config.checkpoint_seconds = 60;
        p->keys.slot = 1;
        memset(p->keys.database_key, 0xd1, 32);
        memset(p->keys.log_key, 0x10, 32);
        memset(p->keys.checkpoint_public, 0xc4, 32);
        memset(p->keys.store_id.b, 0x42, 16);
        *state = the_stage = p;
        return 0;
}

static void forget_lines(Stage *p)
{
        while (p->n_events)
                free(p->lines[--p->n_events]);
}

int stage_teardown(void **state)
{
        Stage *p = *state;

        forget_lines(p);
        buffer_deinit(&p->new_slots);
        buffer_deinit(&p->d.vault.slots);
        sandbox_remove(&p->box);
        free(p);
        the_stage = NULL;
        return 0;
}

VaultJob *stage_job(Stage *p)
{
        VaultJob *j = vault_job_new(&p->d);

        assert_non_null(j);
        j->keys = p->keys;
        j->memory = "locked";
        j->served = p->served;
        j->repair = p->repair;
        assert_int_equal(buffer_append(&j->new_slots, p->new_slots.data, p->new_slots.len), 0);
        return j;
}

void stage_make(Stage *p, const char *slots)
{
        _cleanup_(vault_job_freep) VaultJob *j = stage_job(p);

        buffer_clear(&j->new_slots);
        assert_int_equal(buffer_append(&j->new_slots, slots, strlen(slots)), 0);
        assert_int_equal(vault_job_make(j), 0);
        assert_int_equal(vault_commit_new(p->box.fd), 0);
}

int stage_try(Stage *p, VaultJob **ret)
{
        *ret = stage_job(p);
        return vault_job_open(*ret);
}

VaultJob *stage_open(Stage *p)
{
        VaultJob *j;
        int r = stage_try(p, &j);

        if (r)
                fail_msg("does not open: %s: %s", hf_error_name(r), j->reason);
        return j;
}

VaultJob *stage_crash(VaultJob *j)
{
        store_rollback(j->store);
        return vault_job_free(j);
}

static void put_slots(VaultJob *j, const char *slots, uint8_t ret_hash[static 32])
{
        memcpy(ret_hash, j->slots_hash, 32);
        if (!slots)
                return;
        assert_int_equal(io_write_file(j->store_fd, "slots.next", bytes_str(slots), 0600), 0);
        change_slots_hash(bytes_str(slots), ret_hash);
        assert_int_equal(store_put_meta(j->store, META_SLOTS, BYTES(ret_hash, 32)), 0);
}

uint64_t stage_change(VaultJob *j, Until until, const char *slots)
{
        uint8_t state[32], hash[32], when[8] = {1};
        AuditLine line;
        uint64_t seq;

        assert_int_equal(audit_log_next(j->log, &seq), 0);
        assert_int_equal(store_begin(j->store), 0);
        when[1] = (uint8_t)seq;
        assert_int_equal(store_put_meta(j->store, META_BACKUP, BYTES_ARRAY(when)), 0);
        put_slots(j, slots, hash);
        assert_int_equal(store_set_seq(j->store, seq), 0);
        store_state(j->store, hash, state);
        audit_line_init(&line, "store.backup");
        audit_line_hex(&line, "state", state, sizeof(state));
        audit_line_u64(&line, "uid", 0);
        assert_int_equal(audit_log_append(j->log, &line, NULL), 0);
        assert_int_equal(audit_log_sync(j->log), 0);
        if (until == UNTIL_LINE)
                return seq;
        assert_int_equal(store_commit(j->store), STORE_COMMITTED);
        if (until == UNTIL_COMMIT)
                return seq;
        if (slots)
                assert_int_equal(renameat(j->store_fd, "slots.next", j->store_fd, "slots"), 0);
        assert_int_equal(audit_log_append_done(j->log, seq, NULL), 0);
        assert_int_equal(audit_log_sync(j->log), 0);
        return seq;
}

/* ---- reading the log ---- */

void stage_read(Stage *p)
{
        _cleanup_(audit_reader_freep) AuditReader *reader = NULL;
        _cleanup_close_ int fd = openat(p->box.fd, "store/audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AuditFilter filter = {.until = UINT64_MAX};
        AuditRecord rec;

        forget_lines(p);
        assert_int_equal(audit_reader_new(fd, &filter, &reader), 0);
        while (audit_reader_next(reader, &rec) == 0) {
                assert_true(p->n_events < EVENTS_MAX);
                assert_int_equal(rec.seq, p->n_events);
                snprintf(p->events[p->n_events], 32, "%.*s", (int)rec.event.len, rec.event.data);
                p->lines[p->n_events++] = strndup((const char *)rec.line.data, rec.line.len);
        }
}

void stage_expect_tail(Stage *p, const char *const *events)
{
        size_t n = 0;

        stage_read(p);
        while (events[n])
                n++;
        assert_true(n <= p->n_events);
        for (size_t i = 0; i < n; i++)
                if (strcmp(p->events[p->n_events - n + i], events[i]))
                        fail_msg("%zu lines from the end: %s, not %s", n - i, p->events[p->n_events - n + i], events[i]);
}

size_t stage_count(Stage *p, const char *event)
{
        size_t n = 0;

        stage_read(p);
        for (size_t i = 0; i < p->n_events; i++)
                n += strcmp(p->events[i], event) == 0;
        return n;
}

const char *stage_last(Stage *p, const char *event)
{
        stage_read(p);
        for (size_t i = p->n_events; i > 0; i--)
                if (strcmp(p->events[i - 1], event) == 0)
                        return p->lines[i - 1];
        fail_msg("no line %s", event);
        return NULL;
}

/* ---- files ---- */

static void copy_file(int from_fd, int to_fd, const char *name)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64 << 20);

        assert_int_equal(io_read_file(from_fd, name, &b), 0);
        assert_int_equal(io_write_file(to_fd, name, buffer_bytes(&b), 0600), 0);
}

void stage_copy(Stage *p, const char *from, const char *to)
{
        _cleanup_close_ int a = openat(p->box.fd, from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b = -EBADF;
        struct dirent *e;
        DIR *dir;

        assert_true(a >= 0);
        assert_int_equal(mkdirat(p->box.fd, to, 0700), 0);
        b = openat(p->box.fd, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fdopendir(dup(a));
        assert_non_null(dir);
        while ((e = readdir(dir))) {
                char sub[2][300];
                struct stat st;

                if (e->d_name[0] == '.')
                        continue;
                assert_int_equal(fstatat(a, e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
                if (S_ISREG(st.st_mode)) {
                        copy_file(a, b, e->d_name);
                        continue;
                }
                snprintf(sub[0], sizeof(sub[0]), "%s/%s", from, e->d_name);
                snprintf(sub[1], sizeof(sub[1]), "%s/%s", to, e->d_name);
                stage_copy(p, sub[0], sub[1]);
        }
        closedir(dir);
}

void stage_remove(Stage *p, const char *what)
{
        char path[160];

        snprintf(path, sizeof(path), "%s/%s", p->box.path, what);
        assert_int_equal(nftw(path, sandbox_remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static Buffer hashes;

static int hash_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64 << 20);
        uint8_t h[32];

        (void)ftw;
        if (type != FTW_F || st->st_size == 0) /* the lock is empty or holds a pid */
                return 0;
        if (strcmp(path + ftw->base, "lock") == 0)
                return 0;
        assert_int_equal(io_read_file(AT_FDCWD, path, &b), 0);
        digest_sha256(buffer_bytes(&b), h);
        /* the order in a directory is not ours: a sum does not mind */
        for (size_t i = 0; i < 32; i++)
                hashes.data[i] ^= h[i] + (uint8_t)path[ftw->base];
        return 0;
}

void stage_hash(Stage *p, const char *what, uint8_t ret[static 32])
{
        char path[160];

        hashes = BUFFER_INIT(32);
        assert_int_equal(buffer_append(&hashes, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32), 0);
        snprintf(path, sizeof(path), "%s/%s", p->box.path, what);
        assert_int_equal(nftw(path, hash_entry, 8, FTW_PHYS), 0);
        memcpy(ret, hashes.data, 32);
        buffer_deinit(&hashes);
}
