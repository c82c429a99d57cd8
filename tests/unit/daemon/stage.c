/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/daemon/stage.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "audit/reader.h"
#include "crypto/digest.h"
#include "daemon/checkpoint.h"

#define SEGMENT (64 << 10)

static Stage *the_stage; /* one test at a time */

/* ---- what main.c gives to the rest ---- */

void daemon_abandon(Daemon *d, const char *why)
{
        Stage *p = stage_of(d);

        p->abandoned = why;
        p->abandons++;
}

int daemon_load_policy(Daemon *d, const Caller *caller, bool accept, PolicyProblem *ret_problem)
{
        (void)d;
        (void)caller;
        (void)accept;
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
        p->listener = p->peer = -EBADF;
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
        static uint8_t content; /* never the same twice */
        uint8_t state[32], hash[32], when[8] = {1, ++content};
        AuditLine line;
        uint64_t seq;

        assert_int_equal(audit_log_next(j->log, &seq), 0);
        assert_int_equal(store_begin(j->store), 0);
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

/* ---- running ---- */

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Daemon *d = userdata;
        uint64_t durable;

        (void)source;
        (void)fd;
        (void)events;
        if (audit_log_dispatch(d->vault.log, &durable)) {
                daemon_abandon(d, "a line of the audit log could not be written");
                return 0;
        }
        change_on_durable(d);
        checkpoint_on_durable(d);
        return 0;
}

static int on_turn_end(sd_event_source *source, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        audit_log_wake(d->vault.log);
        return 0;
}

static void on_up(void *userdata, const SignerHello *hello)
{
        (void)hello;
        stage_of(userdata)->up++;
}

static void on_down(void *userdata)
{
        (void)userdata;
}

static void on_room(void *userdata)
{
        (void)userdata;
}

static void install(Stage *p)
{
        _cleanup_(vault_job_freep) VaultJob *j = stage_open(p);
        Vault *v = &p->d.vault;

        v->store = TAKE_PTR(j->store);
        v->log = TAKE_PTR(j->log);
        v->catalogue = TAKE_PTR(j->catalogue);
        v->uses = TAKE_PTR(j->uses);
        v->store_fd = TAKE_FD(j->store_fd);
        v->audit_fd = TAKE_FD(j->audit_fd);
        v->epoch = j->epoch;
        memcpy(v->slots_hash, j->slots_hash, 32);
        buffer_clear(&v->slots);
        assert_int_equal(buffer_append(&v->slots, j->slots.data, j->slots.len), 0);
        v->state = VAULT_READY;
        assert_true(sd_event_add_io(p->d.event, &p->log_source, audit_log_fd(v->log), EPOLLIN, on_log,
                                    &p->d) >= 0);
        assert_true(sd_event_source_set_prepare(p->log_source, on_turn_end) >= 0);
}

static void let_signer_in(Stage *p)
{
        SignerHello hello = {.version = LINK_VERSION, .open = true};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);
        uint64_t job;
        Bytes body;

        while ((p->peer = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        stage_take(p, SIGNER_HELLO, &job, &body);
        assert_int_equal(signer_hello_encode(&hello, &b), 0);
        stage_reply(p, job, 0, buffer_bytes(&b));
        loop_until(p->d.event, &p->up, 1);
}

void stage_run(Stage *p)
{
        char path[96];

        assert_true(sd_event_new(&p->d.event) >= 0);
        assert_int_equal(worker_new(p->d.event, &p->d.worker), 0);
        p->packet = malloc(LINK_MESSAGE_MAX);
        snprintf(path, sizeof(path), "%s/signer", p->box.path);
        assert_int_equal(link_listen(path, &p->listener), 0);
        assert_int_equal(fcntl(p->listener, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(signer_client_new(p->d.event,
                                         &(SignerClientParams){.path = path,
                                                         .up = on_up,
                                                         .down = on_down,
                                                         .room = on_room,
                                                         .userdata = &p->d},
                                         &p->d.signer),
                        0);
        let_signer_in(p);
        install(p);
}

void stage_stop(Stage *p)
{
        Vault *v = &p->d.vault;

        p->d.worker = worker_free(p->d.worker);
        checkpoint_stop(&p->d);
        p->log_source = sd_event_source_disable_unref(p->log_source);
        v->log = audit_log_free(v->log);
        v->store = store_close(v->store);
        v->uses = uses_free(v->uses);
        v->catalogue = catalogue_free(v->catalogue);
        v->audit_fd = safe_close(v->audit_fd);
        v->store_fd = safe_close(v->store_fd);
        p->d.signer = signer_client_free(p->d.signer);
        p->peer = safe_close(p->peer);
        p->listener = safe_close(p->listener);
        p->d.event = sd_event_unref(p->d.event);
        free(TAKE_PTR(p->packet));
}

void stage_take(Stage *p, SignerRequest type, uint64_t *ret_job, Bytes *ret_body)
{
        uint64_t end = clock_monotonic() + LOOP_PATIENCE;
        LinkMessage m;
        int r;

        while ((r = link_receive(p->peer, MSG_DONTWAIT, p->packet, &m)) == -EAGAIN) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC / 50) >= 0);
        }
        assert_int_equal(r, 0);
        assert_int_equal(m.header.type, type);
        *ret_job = m.header.job;
        *ret_body = m.body;
        link_message_close(&m);
}

void stage_reply(Stage *p, uint64_t job, int result, Bytes body)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);

        assert_int_equal(link_begin(&b, SIGNER_REPLY, job), 0);
        assert_int_equal(wire_put_u32(&b, (uint32_t)result), 0);
        assert_int_equal(buffer_append(&b, body.data, body.len), 0);
        assert_int_equal(link_send(p->peer, buffer_bytes(&b), NULL, 0), 0);
}

void stage_note(Stage *p, const SignerCheckpoint *c, char ret[static CHECKPOINT_NOTE_MAX])
{
        char id[UUID_TEXT_SIZE], head[45], state[65], base64[96];
        static const uint8_t blob[68];

        uuid_format(&p->keys.store_id, id);
        base64_encode(c->head, 32, head);
        hex_encode(c->state, 32, state);
        base64_encode(blob, sizeof(blob), base64);
        snprintf(ret, CHECKPOINT_NOTE_MAX,
                        AUDIT_ORIGIN_PREFIX "%s\n%llu\n%s\nstate %s\ncounter -\nepoch %llu\nlife "
                                            "00112233445566778899aabbccddeeff\nops 0\n\n"
                                            "\xe2\x80\x94 " AUDIT_ORIGIN_PREFIX "%s %s\n",
                        id, (unsigned long long)c->size, head, state, (unsigned long long)c->epoch, id,
                        base64);
}

void stage_seal(Stage *p, SignerCheckpoint *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2 * CHECKPOINT_NOTE_MAX);
        char note[CHECKPOINT_NOTE_MAX];
        uint64_t job;
        Bytes body;

        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        assert_int_equal(signer_checkpoint_decode(body, ret), 0);
        stage_note(p, ret, note);
        assert_int_equal(wire_put_string(&b, note), 0);
        stage_reply(p, job, 0, buffer_bytes(&b));
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
                        fail_msg("%zu lines from the end: %s, not %s", n - i, p->events[p->n_events - n + i],
                                        events[i]);
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
        assert_int_equal(
                        buffer_append(&hashes,
                                        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32),
                        0);
        snprintf(path, sizeof(path), "%s/%s", p->box.path, what);
        assert_int_equal(nftw(path, hash_entry, 8, FTW_PHYS), 0);
        memcpy(ret, hashes.data, 32);
        buffer_deinit(&hashes);
}

uint64_t stage_past(Stage *p, uint64_t *ret_first)
{
        uint64_t first, last;
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        first = stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        stage_copy(p, "store", "past");
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        last = stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        *ret_first = first;
        return last;
}

void stage_swap_in(Stage *p, const char *what)
{
        char from[64], to[64];

        snprintf(from, sizeof(from), "past/%s", what);
        snprintf(to, sizeof(to), "store/%s", what);
        stage_remove(p, to);
        assert_int_equal(renameat(p->box.fd, from, p->box.fd, to), 0);
}

void stage_flip_in_log(Stage *p, const char *at)
{
        int fd = openat(p->box.fd, "store/audit/000001.jsonl", O_RDWR | O_CLOEXEC);
        _cleanup_free_ char *text = calloc(1, 70000);
        size_t n;
        char *place;

        assert_int_equal(io_pread_full(fd, text, 65536, 0, &n), 0);
        place = strstr(text, at);
        assert_non_null(place);
        assert_int_equal(pwrite(fd, "X", 1, place - text), 1);
        close(fd);
}
