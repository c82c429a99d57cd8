/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"

#define REPLY_WAIT_MS 60000

static void write_text(const Peer *p, const char *name, const char *text)
{
        int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(dir >= 0);
        assert_int_equal(io_write_file(dir, name, bytes_str(text), 0600), 0);
        close(dir);
}

void peer_setup(Peer *p)
{
        *p = (Peer){.fd = -EBADF, .pid = -1, .slots = BUFFER_INIT(SLOTS_FILE_MAX), .uid = getuid(), .tpm_uid = getuid()};
        strcpy(p->dir, "/tmp/hf-signer-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        snprintf(p->socket_path, sizeof(p->socket_path), "%s/signer", p->dir);
        snprintf(p->tpm_path, sizeof(p->tpm_path), "%s/tpm", p->dir);
        write_text(p, "holdfast.unlock", PEER_CREDENTIAL);
        write_text(p, "machine-id", "11111111222222223333333344444444\n");
        uuid_generate(&p->store_id);
        p->packet = malloc(LINK_MESSAGE_MAX);
        assert_non_null(p->packet);
}

/* As a kernel that does not know it would answer. */
static void hide_secret_memory(void)
{
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

        if (!ctx || seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), 447, 0) || seccomp_load(ctx))
                _exit(126);
        seccomp_release(ctx);
}

/* In the child: the sockets become descriptors 3 and 4, the environment what a unit would give. */
static void run_signer(const Peer *p, int socket_fd, int tpm_fd)
{
        char peer[32], tpm[32], machine[96], text[32];
        char *argv[] = {(char *)"holdfast-signer", peer, tpm, machine, (char *)p->extra, NULL};
        int out;

        snprintf(peer, sizeof(peer), "--peer-uid=%u", (unsigned)p->uid);
        snprintf(tpm, sizeof(tpm), "--tpm-uid=%u", (unsigned)p->tpm_uid);
        snprintf(machine, sizeof(machine), "--machine-id=%s/machine-id", p->dir);
        out = open("/dev/null", O_WRONLY);
        if (!getenv("SIGNER_TEST_VERBOSE"))
                dup2(out, STDERR_FILENO);
        /* Away from the low numbers first, so that the descriptors do not step on each other. */
        socket_fd = fcntl(socket_fd, F_DUPFD, 10);
        tpm_fd = p->has_tpm_socket ? fcntl(tpm_fd, F_DUPFD, 10) : -EBADF;
        dup2(socket_fd, 3);
        if (tpm_fd >= 0)
                dup2(tpm_fd, 4);
        snprintf(text, sizeof(text), "%d", (int)getpid());
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", tpm_fd >= 0 ? "2" : "1", 1);
        setenv("LISTEN_FDNAMES", tpm_fd >= 0 ? "signer:tpm" : "signer", 1);
        setenv("CREDENTIALS_DIRECTORY", p->dir, 1);
        if (p->no_secret_memory)
                hide_secret_memory();
        execv(SIGNER_PATH, argv);
        _exit(127);
}

void peer_start(Peer *p)
{
        int fd, tpm_fd = -EBADF;

        assert_int_equal(link_listen(p->socket_path, &fd), 0);
        (void)chmod(p->socket_path, 0666);
        if (p->has_tpm_socket) {
                assert_int_equal(link_listen(p->tpm_path, &tpm_fd), 0);
                (void)chmod(p->tpm_path, 0666);
        }
        (void)chmod(p->dir, 0755);
        p->pid = fork();
        assert_true(p->pid >= 0);
        if (p->pid == 0)
                run_signer(p, fd, tpm_fd);
        close(fd);
        safe_close(tpm_fd);
        if (p->uid == getuid())
                peer_connect(p);
}

void peer_connect(Peer *p)
{
        p->fd = safe_close(p->fd);
        assert_int_equal(link_connect(p->socket_path, &p->fd), 0);
}

void peer_kill(Peer *p)
{
        if (p->pid > 0) {
                kill(p->pid, SIGKILL);
                waitpid(p->pid, NULL, 0);
        }
        p->pid = -1;
        p->fd = safe_close(p->fd);
}

int peer_alive(Peer *p)
{
        return waitpid(p->pid, NULL, WNOHANG) == 0;
}

void peer_teardown(Peer *p)
{
        static const char *const names[] = {"holdfast.unlock", "machine-id", "signer", "tpm"};
        int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        peer_kill(p);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                unlinkat(dir, names[i], 0);
        close(dir);
        rmdir(p->dir);
        buffer_deinit(&p->slots);
        free(p->packet);
}

uint64_t peer_send(Peer *p, uint16_t type, Bytes body, const int *fds, size_t n_fds)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);

        assert_int_equal(link_begin(&b, type, ++p->job), 0);
        assert_int_equal(buffer_append(&b, body.data, body.len), 0);
        (void)link_send(p->fd, buffer_bytes(&b), fds, n_fds);
        return p->job;
}

int peer_receive(Peer *p, uint64_t *ret_job, Bytes *ret_body)
{
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
        WireReader reader;
        LinkMessage m;
        int r, result;

        assert_int_equal(poll(&pfd, 1, REPLY_WAIT_MS), 1);
        r = link_receive(p->fd, 0, p->packet, &m);
        if (r)
                return r;
        assert_int_equal(m.header.type, SIGNER_REPLY);
        assert_int_equal(m.n_fds, 0);
        reader = wire_reader(m.body);
        result = (int)wire_get_u32(&reader);
        assert_false(reader.failed);
        *ret_job = m.header.job;
        *ret_body = BYTES(reader.p, (size_t)(reader.end - reader.p));
        return result;
}

int peer_call(Peer *p, uint16_t type, Bytes body, const int *fds, size_t n_fds, Bytes *ret_body)
{
        uint64_t job = peer_send(p, type, body, fds, n_fds), answered;
        int r = peer_receive(p, &answered, ret_body);

        if (r >= 0)
                assert_int_equal(job, answered);
        return r;
}

void peer_init(Peer *p, SignerOpened *ret)
{
        SignerInit init = {.store_id = p->store_id,
                        .kind = SLOT_CREDENTIAL,
                        .unattended = true,
                        .label = "device"};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        WireReader reader;
        Bytes reply, file;

        assert_int_equal(signer_init_encode(&init, &b), 0);
        assert_int_equal(peer_call(p, SIGNER_INIT, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        assert_int_equal(signer_opened_decode(&reader, ret), 0);
        file = wire_get_block(&reader, SLOTS_FILE_MAX);
        assert_int_equal(wire_done(&reader), 0);
        buffer_clear(&p->slots);
        assert_int_equal(buffer_append(&p->slots, file.data, file.len), 0);
}

int peer_unlock(Peer *p, int attended, int secret_fd, SignerOpened *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(wire_put_u8(&b, (uint8_t)attended), 0);
        assert_int_equal(wire_put_block(&b, BYTES(NULL, 0)), 0);
        r = peer_call(p, SIGNER_UNLOCK, buffer_bytes(&b), &secret_fd, secret_fd >= 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        assert_int_equal(signer_opened_decode(&reader, ret), 0);
        assert_int_equal(wire_done(&reader), 0);
        return 0;
}

int peer_hello(Peer *p, SignerHello *ret)
{
        uint8_t version[4] = {LINK_VERSION};
        WireReader reader;
        Bytes reply;
        int r = peer_call(p, SIGNER_HELLO, BYTES_ARRAY(version), NULL, 0, &reply);

        if (r)
                return r;
        reader = wire_reader(reply);
        assert_int_equal(signer_hello_decode(&reader, ret), 0);
        return wire_done(&reader);
}

void peer_key_encode(PeerKey *k)
{
        Buffer b = {.data = k->encoded, .allocated = sizeof(k->encoded), .limit = sizeof(k->encoded)};

        assert_int_equal(key_attributes_encode(&k->attributes, &b), 0);
        k->encoded_len = b.len;
}

void peer_key_init(PeerKey *k, KeyAlgorithm algorithm, KeyPurpose purpose, uint32_t flags)
{
        *k = (PeerKey){.attributes = {
                                       .version = 1,
                                       .name = "device-tls",
                                       .algorithm = algorithm,
                                       .purpose = purpose,
                                       .protection = PROTECTION_SOFTWARE,
                                       .flags = flags,
                                       .created = 1,
                       }};
        uuid_generate(&k->attributes.uuid);
        peer_key_encode(k);
}

int peer_generate(Peer *p, PeerKey *k)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2048);
        WireReader reader;
        Bytes reply, attributes, wrapped;
        int r;

        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        r = peer_call(p, SIGNER_GENERATE, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        attributes = wire_get_block(&reader, sizeof(k->encoded));
        wrapped = wire_get_block(&reader, sizeof(k->wrapped));
        assert_int_equal(wire_done(&reader), 0);
        memcpy(k->encoded, attributes.data, attributes.len);
        k->encoded_len = attributes.len;
        memcpy(k->wrapped, wrapped.data, wrapped.len);
        k->wrapped_len = wrapped.len;
        assert_int_equal(key_attributes_decode(attributes, &k->attributes), 0);
        return 0;
}

SignerOperation peer_operation(Peer *p, const PeerKey *k, SignerOp op, Scheme scheme, Bytes payload)
{
        return (SignerOperation){
                        .seq = p->seq++,
                        .uid = 1000,
                        .op = op,
                        .scheme = (uint8_t)scheme,
                        .attributes = BYTES(k->encoded, k->encoded_len),
                        .wrapped = BYTES(k->wrapped, k->wrapped_len),
                        .payload = payload,
        };
}

uint64_t peer_send_generate(Peer *p, const PeerKey *k)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2048);

        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        return peer_send(p, SIGNER_GENERATE, buffer_bytes(&b), NULL, 0);
}

pid_t peer_start_importer(int connection)
{
        char uid[32], text[32];
        char *argv[] = {(char *)"holdfast-signer", (char *)"--import", uid, NULL};
        pid_t pid = fork();
        int fd;

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        snprintf(uid, sizeof(uid), "--peer-uid=%u", (unsigned)getuid());
        fd = fcntl(connection, F_DUPFD, 10);
        dup2(fd, 3);
        if (!getenv("SIGNER_TEST_VERBOSE"))
                dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        snprintf(text, sizeof(text), "%d", (int)getpid());
        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", "1", 1);
        execv(SIGNER_PATH, argv);
        _exit(127);
}

int peer_import(Peer *p, int file, PeerKey *k, uint8_t usual)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2048), m = BUFFER_INIT(64);
        int connection[2], pair[2], sent[2], status, r;
        WireReader reader;
        Bytes reply, block;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, connection), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        pid = peer_start_importer(connection[1]);
        close(connection[1]);
        sent[0] = file;
        sent[1] = pair[1];
        assert_int_equal(link_begin(&m, SIGNER_IMPORT, 1), 0);
        assert_int_equal(link_send(connection[0], buffer_bytes(&m), sent, 2), 0);
        close(pair[1]);

        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        assert_int_equal(wire_put_u8(&b, usual), 0);
        r = peer_call(p, SIGNER_IMPORT, buffer_bytes(&b), &pair[0], 1, &reply);
        close(pair[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        close(connection[0]);
        if (r)
                return r;
        reader = wire_reader(reply);
        block = wire_get_block(&reader, sizeof(k->encoded));
        memcpy(k->encoded, block.data, block.len);
        k->encoded_len = block.len;
        assert_int_equal(key_attributes_decode(block, &k->attributes), 0);
        block = wire_get_block(&reader, sizeof(k->wrapped));
        memcpy(k->wrapped, block.data, block.len);
        k->wrapped_len = block.len;
        return wire_done(&reader);
}

uint64_t peer_send_operation(Peer *p, const SignerOperation *op)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);

        assert_int_equal(signer_operation_encode(op, &b), 0);
        return peer_send(p, SIGNER_OPERATE, buffer_bytes(&b), NULL, 0);
}

int peer_operate(Peer *p, const SignerOperation *op, Bytes *ret_result)
{
        uint64_t job = peer_send_operation(p, op), answered;
        WireReader reader;
        Bytes reply;
        int r = peer_receive(p, &answered, &reply);

        if (r)
                return r;
        assert_int_equal(job, answered);
        reader = wire_reader(reply);
        *ret_result = wire_get_block(&reader, LINK_MESSAGE_MAX);
        assert_int_equal(wire_done(&reader), 0);
        return 0;
}

int peer_checkpoint(Peer *p, uint64_t size, Bytes *ret_note)
{
        SignerCheckpoint c = {.size = size, .counter = -1};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(signer_checkpoint_encode(&c, &b), 0);
        r = peer_call(p, SIGNER_CHECKPOINT, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        *ret_note = wire_get_block(&reader, CHECKPOINT_NOTE_MAX);
        return wire_done(&reader);
}
