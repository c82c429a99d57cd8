/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-signer: the one process that holds open keys
 *
 * Started with its listening socket as descriptor 3. In order: takes away from itself what it will not need,
 * maps its secret memory, makes OpenSSL and libsodium look up all they ever will, reads credential and
 * machine-id, starts its workers, closes the system-call filter, says READY=1, and works. With --import it is
 * another, short-lived program under the same filter: see import.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/slice.h"
#include "crypto/digest.h"
#include "signer/arena.h"
#include "signer/filter.h"
#include "signer/import.h"
#include "signer/serve.h"

#define ARENA_MAX (32u << 20) /* what 1,024 cached keys of all kinds and their workers' copies take at most  \
                               */
#define ARENA_LOCKED_MAX (8u << 20)
#define ARENA_MIN (1u << 20)
#define MACHINE_ID_MAX 256

typedef struct Options {
        uid_t peer, tpm;
        bool has_peer, has_tpm;
        const char *credential;
        const char *machine_id;
        unsigned workers;
        bool import;
        bool allow_ld;
} Options;

static int usage(FILE *to)
{
        fprintf(to, "holdfast-signer [OPTION...]\n\n"
                    "Holds the open keys of Holdfast. Expects its listening socket as descriptor 3, and as descriptor 4,\n"
                    "where there is one, the socket that holdfast-tpm connects to (LISTEN_FDNAMES=tpm:signer: the other\n"
                    "way round).\n\n"
                    "  --peer-uid=N         the uid that may connect\n"
                    "  --peer-user=NAME     the same by name (default: holdfast)\n"
                    "  --tpm-uid=N          the uid of holdfast-tpm\n"
                    "  --tpm-user=NAME      the same by name (default: holdfast-tpm)\n"
                    "  --credential=PATH    instead of $CREDENTIALS_DIRECTORY/holdfast.unlock\n"
                    "  --machine-id=PATH    instead of /etc/machine-id\n"
                    "  --workers=N          threads (default: as many as cores, at least 2)\n"
                    "  --import             take in one key file from the connection on descriptor 3\n"
                    "  --allow-ld-environment  start although LD_ variables are set (sanitizers)\n"
                    "  --help, --version\n");
        return to == stderr ? 2 : 0;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *ret)
{
        char *end;
        unsigned long v;

        errno = 0;
        v = strtoul(text, &end, 10);
        if (errno || *text < '0' || *text > '9' || *end || v > max)
                return false;
        *ret = v;
        return true;
}

static bool resolve(const char *name, uid_t *ret, bool *ret_has)
{
        const struct passwd *pw = getpwnam(name);

        if (!pw)
                return false;
        *ret = pw->pw_uid;
        *ret_has = true;
        return true;
}

/* By name or by number; -1 to go on, else the exit code. */
static int take_user(const char *name, uid_t *ret, bool *ret_has)
{
        if (resolve(name, ret, ret_has))
                return -1;
        log_error("there is no user %s", name);
        return 1;
}

enum {
        OPT_PEER_UID = 1,
        OPT_PEER_USER,
        OPT_TPM_UID,
        OPT_TPM_USER,
        OPT_CREDENTIAL,
        OPT_MACHINE_ID,
        OPT_WORKERS,
        OPT_IMPORT,
        OPT_ALLOW_LD,
        OPT_HELP,
        OPT_VERSION
};

static const struct option long_options[] = {
                {"peer-uid", required_argument, NULL, OPT_PEER_UID},
                {"peer-user", required_argument, NULL, OPT_PEER_USER},
                {"tpm-uid", required_argument, NULL, OPT_TPM_UID},
                {"tpm-user", required_argument, NULL, OPT_TPM_USER},
                {"credential", required_argument, NULL, OPT_CREDENTIAL},
                {"machine-id", required_argument, NULL, OPT_MACHINE_ID},
                {"workers", required_argument, NULL, OPT_WORKERS},
                {"import", no_argument, NULL, OPT_IMPORT},
                {"allow-ld-environment", no_argument, NULL, OPT_ALLOW_LD},
                {"help", no_argument, NULL, OPT_HELP},
                {"version", no_argument, NULL, OPT_VERSION},
                {},
};

static int take_uid(uid_t *ret, bool *ret_has)
{
        unsigned long v;

        if (!parse_number(optarg, UINT32_MAX - 1, &v))
                return usage(stderr);
        *ret = (uid_t)v;
        *ret_has = true;
        return -1;
}

/* -1 to go on, else the exit code. */
static int take_option(int option, Options *o)
{
        unsigned long v;

        switch (option) {
        case OPT_PEER_UID:
                return take_uid(&o->peer, &o->has_peer);
        case OPT_PEER_USER:
                return take_user(optarg, &o->peer, &o->has_peer);
        case OPT_TPM_UID:
                return take_uid(&o->tpm, &o->has_tpm);
        case OPT_TPM_USER:
                return take_user(optarg, &o->tpm, &o->has_tpm);
        case OPT_CREDENTIAL:
                o->credential = optarg;
                return -1;
        case OPT_MACHINE_ID:
                o->machine_id = optarg;
                return -1;
        case OPT_WORKERS:
                if (!parse_number(optarg, 16, &v) || v < 2)
                        return usage(stderr);
                o->workers = (unsigned)v;
                return -1;
        case OPT_IMPORT:
                o->import = true;
                return -1;
        case OPT_ALLOW_LD:
                o->allow_ld = true;
                return -1;
        case OPT_HELP:
                return usage(stdout);
        case OPT_VERSION:
                puts("holdfast-signer " HOLDFAST_VERSION);
                return 0;
        default:
                return usage(stderr);
        }
}

static int parse_options(int argc, char *argv[], Options *ret)
{
        int c, r;

        *ret = (Options){.machine_id = "/etc/machine-id"};
        while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
                r = take_option(c, ret);
                if (r >= 0)
                        return r;
        }
        if (optind < argc)
                return usage(stderr);
        if (!ret->has_peer && !resolve("holdfast", &ret->peer, &ret->has_peer)) {
                log_error("there is no user holdfast; say --peer-user or --peer-uid");
                return 1;
        }
        if (!ret->has_tpm)
                (void)resolve("holdfast-tpm", &ret->tpm, &ret->has_tpm);
        return -1;
}

/* Straight into secret memory. Not being there is no error: there may be other slots. */
static void read_credential(const Options *o, Vault *v)
{
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        char path[4096];
        Buffer b = {.data = v->secrets->credential, .allocated = CREDENTIAL_MAX, .limit = CREDENTIAL_MAX};
        int r;

        if (o->credential)
                snprintf(path, sizeof(path), "%s", o->credential);
        else if (directory)
                snprintf(path, sizeof(path), "%s/holdfast.unlock", directory);
        else
                return;
        r = io_read_file(AT_FDCWD, path, &b);
        if (r && r != -ENOENT)
                log_warning("credential %s: %s", path, hf_error_name(r));
        if (!r)
                v->secrets->credential_len = b.len;
}

static void read_machine_id(const Options *o, Vault *v)
{
        uint8_t space[MACHINE_ID_MAX];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};

        if (io_read_file(AT_FDCWD, o->machine_id, &b) || b.len < 32) {
                log_warning("no machine-id in %s: a copied store will not be noticed", o->machine_id);
                return;
        }
        slots_machine(buffer_bytes(&b), v->machine);
        v->machine_known = true;
}

/* As much as there is: memfd_secret costs only what is touched, locked memory all of it. */
static int make_arena(Arena **ret)
{
        size_t size = secret_memory_kind() == SECRET_MEMORY_LOCKED ? ARENA_LOCKED_MAX : ARENA_MAX;
        int r;

        do {
                r = arena_new(size, ret);
                if (!r)
                        return arena_install(*ret);
                size -= size / 4;
        } while (size >= ARENA_MIN);
        return r;
}

/* OpenSSL looks at no configuration, and what the room crypto needs of it is there afterwards. */
static void warm_up(void *argument)
{
        int *result = argument;

        if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
                *result = HF_E_INTERNAL;
        else
                *result = crypto_warm_up();
}

static bool arena_tight(void *userdata)
{
        return arena_is_tight(userdata);
}

static const char *memory_text(void)
{
        return secret_memory_kind() == SECRET_MEMORY_SECRET ? "memfd_secret" : "locked";
}

static int failed(const char *what, int r)
{
        log_error("%s: %s", what, hf_error_name(r));
        return 1;
}

typedef struct ImportRun {
        int connection;
        uint8_t *space;
        int result;
} ImportRun;

static void run_import(void *argument)
{
        ImportRun *run = argument;

        run->result = import_serve(run->connection, run->space);
}

static bool peer_is(int fd, uid_t uid)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid;
}

/* One key, then gone. */
static int import_main(const Options *o, Server *server)
{
        ImportRun run = {.connection = LISTEN_FD_FIRST};
        void *space;
        int r;

        if (!peer_is(run.connection, o->peer))
                return failed("import", HF_E_POLICY_DENIED);
        r = secret_map(IMPORT_FILE_MAX + 1, &space);
        if (!r)
                r = filter_close();
        if (r)
                return failed("import", r);
        run.space = space;
        server_run_secretly(server, run_import, &run);
        if (run.result)
                return failed("import", run.result);
        _exit(0);
}

static int signer_main(const Options *o, Signer *signer, Server *server, const ServerParams *params)
{
        Uuid none = {};
        int r;

        slice_set(SLICE_SHORT);
        read_credential(o, &signer->vault);
        read_machine_id(o, &signer->vault);
        pthread_mutex_init(&signer->ledger_lock, NULL);
        ledger_begin(&signer->ledger, &none);
        r = server_start(server);
        if (!r)
                r = filter_close();
        if (r)
                return failed("start", r);
        log_info("ready: secret memory %s, system-call filter on, no core, not dumpable, %u workers",
                        memory_text(), server_workers(server));
        notify_send(&params->notify, "READY=1");
        server_run(server);
}

static bool is_socket(int fd, bool listens)
{
        int type, listening;
        socklen_t size = sizeof(type), listening_size = sizeof(listening);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
               getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_size) == 0 &&
               !!listening == listens;
}

/* How many of the inherited descriptors are ours; 0 after saying what is wrong with them. */
static int check_sockets(const Options *o)
{
        int n = listen_fds(), want = o->import || n < 2 ? 1 : 2;

        if (n < 1) {
                log_error("no socket was handed over (LISTEN_FDS)");
                return 0;
        }
        for (int fd = LISTEN_FD_FIRST; fd < LISTEN_FD_FIRST + want; fd++)
                if (!is_socket(fd, !o->import)) {
                        log_error("descriptor %d is not the socket it should be", fd);
                        return 0;
                }
        return want;
}

/* systemd hands over the sockets of two units in any order, each with its name. */
static bool tpm_comes_first(void)
{
        const char *names = getenv("LISTEN_FDNAMES");

        return names && strncmp(names, "tpm:", 4) == 0;
}

/* Not having one is no error: there are keys and slots that need none. */
static int open_tpm_link(const Options *o, int fd, TpmLink **ret)
{
        if (fd < 0)
                return 0;
        if (!o->has_tpm) {
                log_warning("there is no user holdfast-tpm: nobody may connect for the TPM");
                return 0;
        }
        return tpm_link_new(fd, o->tpm, ret);
}

int main(int argc, char *argv[])
{
        static Signer signer;
        ServerParams params = {.signer = &signer, .listen_fd = LISTEN_FD_FIRST};
        Server *server;
        Arena *arena;
        int r, n_sockets, tpm_fd = -EBADF;
        Options o;

        r = parse_options(argc, argv, &o);
        if (r >= 0)
                return r;
        if (!o.allow_ld && harden_foreign_environment()) {
                log_error("LD_ variables are set in the environment: refused");
                return 1;
        }
        n_sockets = check_sockets(&o);
        if (n_sockets == 0)
                return 1;
        if (n_sockets > 1) {
                tpm_fd = LISTEN_FD_FIRST + !tpm_comes_first();
                params.listen_fd = LISTEN_FD_FIRST + tpm_comes_first();
        }
        r = harden_process(LISTEN_FD_FIRST + n_sockets);
        if (r)
                return failed("hardening", r);
        notify_open(&params.notify);

        params.peer = o.peer;
        params.workers = o.import ? 2 : o.workers;
        r = vault_init(&signer.vault);
        if (!r)
                r = open_tpm_link(&o, tpm_fd, &signer.tpm);
        if (!r)
                r = server_new(&params, &server);
        if (!r)
                r = make_arena(&arena);
        if (r)
                return failed("secret memory", r);
        server_run_secretly(server, warm_up, &r);
        if (!r)
                r = cache_new(CACHE_KEYS_MAX, arena_tight, arena, &signer.cache);
        if (r)
                return failed("cryptography", r);
        return o.import ? import_main(&o, server) : signer_main(&o, &signer, server, &params);
}
