/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define PATIENCE_MS 20000
#define WORDS_MAX 32

static pid_t spawn(const char *const argv[], int out_fd)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (out_fd >= 0)
                        dup2(out_fd, STDOUT_FILENO);
                setenv("TSS2_LOG", "all+NONE", 1);
                execvp(argv[0], (char *const *)argv);
                _exit(127);
        }
        return pid;
}

static void end(pid_t *pid, int signal)
{
        int status;

        if (*pid > 0 && kill(*pid, signal) == 0)
                assert_int_equal(waitpid(*pid, &status, 0), *pid);
        *pid = 0;
}

/* Somebody listens there. */
static void wait_for_socket(const char *path)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};

        assert_true(strlen(path) < sizeof(sa.sun_path));
        strcpy(sa.sun_path, path);
        for (int ms = 0; ms < PATIENCE_MS; ms += 2) {
                _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
                        return;
                (void)poll(NULL, 0, 2);
        }
        fail_msg("nobody listens on %s", path);
}

void rig_start_swtpm(Rig *rig)
{
        char state[128], server[128], control[128];
        const char *argv[] = {"swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", control, "--flags",
                        "not-need-init,startup-clear", NULL};

        snprintf(state, sizeof(state), "dir=%s", rig->state);
        snprintf(server, sizeof(server), "type=unixio,path=%s", rig->tpm_socket);
        snprintf(control, sizeof(control), "type=unixio,path=%s", rig->control);
        unlink(rig->tpm_socket);
        unlink(rig->control);
        rig->swtpm = spawn(argv, -1);
        wait_for_socket(rig->control);
        wait_for_socket(rig->tpm_socket);
}

void rig_kill_swtpm(Rig *rig)
{
        end(&rig->swtpm, SIGKILL);
        unlink(rig->tpm_socket);
        unlink(rig->control);
}

void rig_reset_tpm(Rig *rig)
{
        const char *argv[] = {"swtpm_ioctl", "--unix", rig->control, "-i", NULL};
        int status;
        pid_t pid = spawn(argv, -1);

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void empty(const char *path)
{
        DIR *d = opendir(path);
        struct dirent *e;

        while (d && (e = readdir(d)))
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        (void)unlinkat(dirfd(d), e->d_name, 0);
        if (d)
                closedir(d);
}

void rig_replace_tpm(Rig *rig)
{
        rig_kill_swtpm(rig);
        empty(rig->state);
        rig_start_swtpm(rig);
}

static size_t split(char *command, const char *argv[static WORDS_MAX])
{
        size_t n = 0;

        for (char *w = strtok(command, " "); w && n < WORDS_MAX - 3; w = strtok(NULL, " "))
                argv[n++] = w;
        return n;
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

void rig_certify_tpm(Rig *rig, const char *options)
{
        char config[128], ca[128], text[1024], command[512];
        const char *argv[WORDS_MAX];
        _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int status;
        pid_t pid;

        rig_kill_swtpm(rig);
        snprintf(config, sizeof(config), "%s/setup.conf", rig->dir);
        snprintf(ca, sizeof(ca), "%s/ca.conf", rig->dir);
        snprintf(text, sizeof(text), "statedir = %s/ca\nsigningkey = %s/ca/key.pem\nissuercert = %s/ca/cert.pem\n"
                        "certserial = %s/ca/serial\n", rig->dir, rig->dir, rig->dir, rig->dir);
        write_file(ca, text);
        snprintf(text, sizeof(text), "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %s\n"
                        "create_certs_tool_options = /etc/swtpm-localca.options\nactive_pcr_banks = sha256,sha384\n", ca);
        write_file(config, text);
        snprintf(text, sizeof(text), "%s/ca", rig->dir);
        assert_int_equal(mkdir(text, 0700), 0);
        snprintf(command, sizeof(command), "swtpm_setup --tpm2 --tpmstate %s --config %s --create-ek-cert --overwrite %s", rig->state,
                        config, options);
        argv[split(command, argv)] = NULL;
        pid = spawn(argv, null);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        rig_start_swtpm(rig);
}

void rig_accept(Rig *rig)
{
        struct pollfd p = {.fd = rig->listening, .events = POLLIN};

        rig->fd = safe_close(rig->fd);
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        rig->fd = accept4(rig->listening, NULL, NULL, SOCK_CLOEXEC);
        assert_true(rig->fd >= 0);
}

void rig_start_program(Rig *rig)
{
        char socket[128], tcti[160], uid[64];
        const char *argv[] = {TPM_PATH, socket, tcti, uid, getenv("RIG_DEBUG") ? "--debug" : "--allow-ld-environment", NULL};

        snprintf(socket, sizeof(socket), "--socket=%s", rig->signer_socket);
        snprintf(tcti, sizeof(tcti), "--tcti=%s", rig->tcti);
        snprintf(uid, sizeof(uid), "--peer-uid=%u", (unsigned)getuid());
        rig->program = spawn(argv, -1);
        rig_accept(rig);
}

void rig_end_program(Rig *rig, int signal)
{
        end(&rig->program, signal);
        rig->fd = safe_close(rig->fd);
}

int rig_begin(void **state)
{
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        signal(SIGPIPE, SIG_IGN);
        rig->fd = -EBADF;
        strcpy(rig->dir, "/tmp/hf-rig-XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        snprintf(rig->state, sizeof(rig->state), "%s/state", rig->dir);
        snprintf(rig->tpm_socket, sizeof(rig->tpm_socket), "%s/tpm", rig->dir);
        snprintf(rig->control, sizeof(rig->control), "%s/tpm.ctrl", rig->dir);
        snprintf(rig->signer_socket, sizeof(rig->signer_socket), "%s/signer", rig->dir);
        snprintf(rig->tcti, sizeof(rig->tcti), "swtpm:path=%s", rig->tpm_socket);
        assert_int_equal(mkdir(rig->state, 0700), 0);
        assert_int_equal(link_listen(rig->signer_socket, &rig->listening), 0);
        rig->space = malloc(LINK_MESSAGE_MAX);
        assert_non_null(rig->space);
        rig_start_swtpm(rig);
        rig_start_program(rig);
        *state = rig;
        return 0;
}

int rig_end(void **state)
{
        Rig *rig = *state;
        char ca[128];

        rig_end_program(rig, SIGTERM);
        end(&rig->swtpm, SIGKILL);
        safe_close(rig->listening);
        empty(rig->state);
        rmdir(rig->state);
        snprintf(ca, sizeof(ca), "%s/ca", rig->dir);
        empty(ca);
        rmdir(ca);
        empty(rig->dir);
        rmdir(rig->dir);
        free(rig->space);
        free(rig);
        return 0;
}

static pid_t start_tool(Rig *rig, const char *command, int out_fd)
{
        _cleanup_free_ char *copy = strdup(command);
        const char *argv[WORDS_MAX];
        size_t n;

        assert_non_null(copy);
        n = split(copy, argv);
        argv[n++] = "-T";
        argv[n++] = rig->tcti;
        argv[n] = NULL;
        return spawn(argv, out_fd);
}

bool rig_tool(Rig *rig, const char *command)
{
        _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int status;
        pid_t pid = start_tool(rig, command, null);

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

unsigned rig_handles(Rig *rig, const char *which)
{
        char command[64], out[1024];
        int pipes[2], status;
        unsigned n = 0;
        ssize_t got;
        pid_t pid;

        snprintf(command, sizeof(command), "tpm2_getcap %s", which);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid = start_tool(rig, command, pipes[1]);
        close(pipes[1]);
        while ((got = read(pipes[0], out, sizeof(out))) > 0)
                for (ssize_t i = 0; i < got; i++)
                        n += out[i] == '\n';
        close(pipes[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return n;
}

void rig_handles_come_to(Rig *rig, const char *which, unsigned n)
{
        uint64_t until = clock_monotonic() + 10 * USEC_PER_SEC;

        while (rig_handles(rig, which) != n)
                assert_true(clock_monotonic() < until);
}

int rig_ask(Rig *rig, uint16_t type, Bytes body)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        struct pollfd p = {.fd = rig->fd, .events = POLLIN};
        LinkMessage m;
        WireReader r;
        int result;

        assert_int_equal(link_begin(&b, type, ++rig->job), 0);
        assert_int_equal(wire_put_raw(&b, body.data, body.len), 0);
        if (link_send(rig->fd, buffer_bytes(&b), NULL, 0))
                return -EPIPE;
        assert_int_equal(poll(&p, 1, 3 * PATIENCE_MS), 1);
        if (link_receive(rig->fd, 0, rig->space, &m))
                return -EPIPE;
        assert_int_equal(m.header.type, TPM_REPLY);
        assert_int_equal(m.header.job, rig->job);
        r = wire_reader(m.body);
        result = (int)wire_get_u32(&r);
        wire_get_string(&r, rig->detail, sizeof(rig->detail));
        assert_false(r.failed);
        rig->body = BYTES(r.p, (size_t)(r.end - r.p));
        if (result)
                assert_int_equal(rig->body.len, 0);
        return result;
}

TpmBlob rig_blob(const RigKey *key)
{
        TpmBlob b = {.public = BYTES(key->public, key->public_len), .private = BYTES(key->private, key->private_len)};

        memcpy(b.parent, key->parent, sizeof(b.parent));
        return b;
}

void rig_take_blob(WireReader *r, RigKey *key)
{
        TpmBlob b;

        tpm_blob_get(r, &b);
        assert_false(r->failed);
        memcpy(key->parent, b.parent, sizeof(b.parent));
        memcpy(key->public, b.public.data, b.public.len);
        memcpy(key->private, b.private.data, b.private.len);
        key->public_len = b.public.len;
        key->private_len = b.private.len;
}

int rig_create(Rig *rig, TpmAlgorithm algorithm, TpmUse use, const uint8_t *parent, RigKey *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        WireReader r;
        Bytes number;
        int q;

        *ret = (RigKey){.algorithm = algorithm, .use = use};
        for (size_t i = 0; i < TPM_AUTH_SIZE; i++)
                ret->auth[i] = (uint8_t)(rand() & 0xff);
        wire_put_u8(&b, algorithm);
        wire_put_u8(&b, use);
        wire_put_raw(&b, ret->auth, TPM_AUTH_SIZE);
        assert_int_equal(wire_put_block(&b, BYTES(parent, parent ? TPM_NAME_SIZE : 0)), 0);
        q = rig_ask(rig, TPM_CREATE, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        rig_take_blob(&r, ret);
        number = wire_get_block(&r, TPM_NUMBER_MAX);
        assert_int_equal(wire_done(&r), 0);
        memcpy(ret->number, number.data, number.len);
        ret->number_len = number.len;
        return 0;
}

int rig_operate(Rig *rig, const RigKey *key, TpmOp op, Bytes data, uint8_t *ret, size_t *ret_len)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        TpmOperation o = {.blob = rig_blob(key), .op = op, .data = data};
        WireReader r;
        Bytes result;
        int q;

        memcpy(o.auth, key->auth, sizeof(o.auth));
        assert_int_equal(tpm_operation_encode(&o, &b), 0);
        q = rig_ask(rig, TPM_OPERATE, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        result = wire_get_block(&r, 2 * TPM_NUMBER_MAX);
        assert_int_equal(wire_done(&r), 0);
        memcpy(ret, result.data, result.len);
        *ret_len = result.len;
        return 0;
}

void rig_state(Rig *rig, bool fresh, TpmState *ret)
{
        rig_state_of(rig, fresh, BYTES_NULL, ret);
}

void rig_state_of(Rig *rig, bool fresh, Bytes parent, TpmState *ret)
{
        uint8_t space[64];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        WireReader r;

        assert_int_equal(wire_put_u8(&b, fresh), 0);
        assert_int_equal(wire_put_block(&b, parent), 0);
        assert_int_equal(rig_ask(rig, TPM_STATE, buffer_bytes(&b)), 0);
        r = wire_reader(rig->body);
        tpm_state_get(&r, ret);
        assert_int_equal(wire_done(&r), 0);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
        EVP_PKEY *key = NULL;

        assert_int_equal(EVP_PKEY_fromdata_init(c), 1);
        assert_int_equal(EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
        OSSL_PARAM_free(params);
        EVP_PKEY_CTX_free(c);
        return key;
}

EVP_PKEY *judge_key(const RigKey *key)
{
        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        uint8_t point[2 * TPM_NUMBER_MAX + 1] = {4};
        EVP_PKEY *made;
        BIGNUM *n = NULL, *e = NULL;

        if (key->algorithm == TPM_P256 || key->algorithm == TPM_P384) {
                memcpy(point + 1, key->number, key->number_len);
                OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, key->algorithm == TPM_P256 ? "P-256" : "P-384", 0);
                OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, key->number_len + 1);
                made = from_params("EC", bld);
        } else {
                n = BN_bin2bn(key->number, (int)key->number_len, NULL);
                e = BN_new();
                BN_set_word(e, 65537);
                OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
                OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
                made = from_params("RSA", bld);
        }
        BN_free(n);
        BN_free(e);
        OSSL_PARAM_BLD_free(bld);
        return made;
}

bool judge_ecdsa(const RigKey *key, Bytes digest, Bytes signature)
{
        EVP_PKEY *k = judge_key(key);
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
        ECDSA_SIG *s = ECDSA_SIG_new();
        int half = (int)(signature.len / 2), der_len, good;
        uint8_t *der = NULL;

        ECDSA_SIG_set0(s, BN_bin2bn(signature.data, half, NULL), BN_bin2bn(signature.data + half, half, NULL));
        der_len = i2d_ECDSA_SIG(s, &der);
        assert_int_equal(EVP_PKEY_verify_init(c), 1);
        good = EVP_PKEY_verify(c, der, (size_t)der_len, digest.data, digest.len);
        OPENSSL_free(der);
        ECDSA_SIG_free(s);
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(k);
        return good == 1 && signature.len == key->number_len;
}

bool judge_rsa(const RigKey *key, int padding, Bytes digest, Bytes signature)
{
        EVP_PKEY *k = judge_key(key);
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
        int good;

        assert_int_equal(EVP_PKEY_verify_init(c), 1);
        EVP_PKEY_CTX_set_rsa_padding(c, padding);
        EVP_PKEY_CTX_set_signature_md(c, digest.len == 32 ? EVP_sha256() : digest.len == 48 ? EVP_sha384() : EVP_sha512());
        good = EVP_PKEY_verify(c, signature.data, signature.len, digest.data, digest.len);
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(k);
        return good == 1;
}
