/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-tpm: the one process that talks to the TPM
 *
 * It believes nothing the TPM says and holds nothing that lasts, so that a TPM that lies, or whoever sits on its bus, can
 * at most make it die. In order: takes away from itself what it will not need, makes OpenSSL look up all it ever will,
 * closes the system-call filter, says READY=1, and works. Whether there is a TPM shows when the signer first asks.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/slice.h"
#include "tpm/filter.h"
#include "tpm/ossl-context.h"
#include "tpm/serve.h"

typedef struct Options {
        const char *socket;
        const char *tcti;
        uid_t peer;
        bool has_peer;
        bool allow_ld;
} Options;

static int usage(FILE *to)
{
        fprintf(to, "holdfast-tpm [OPTION...]\n\n"
                    "Talks to the TPM for holdfast-signer.\n\n"
                    "  --socket=PATH        the signer's socket (default: /run/holdfast-signer/tpm)\n"
                    "  --tcti=CONF          device:PATH or swtpm:path=SOCKET (default: device:/dev/tpmrm0)\n"
                    "  --peer-uid=N         the uid that listens there\n"
                    "  --peer-user=NAME     the same by name (default: holdfast-signer)\n"
                    "  --debug              say what the TPM says\n"
                    "  --allow-ld-environment  start although LD_ variables are set (sanitizers)\n"
                    "  --help, --version\n");
        return to == stderr ? 2 : 0;
}

static bool parse_uid(const char *text, uid_t *ret)
{
        char *end;
        unsigned long v;

        errno = 0;
        v = strtoul(text, &end, 10);
        if (errno || *text < '0' || *text > '9' || *end || v >= UINT32_MAX)
                return false;
        *ret = (uid_t)v;
        return true;
}

static bool resolve_peer(const char *name, Options *o)
{
        const struct passwd *pw = getpwnam(name);

        if (!pw)
                return false;
        o->peer = pw->pw_uid;
        o->has_peer = true;
        return true;
}

enum { OPT_SOCKET = 1, OPT_TCTI, OPT_PEER_UID, OPT_PEER_USER, OPT_DEBUG, OPT_ALLOW_LD, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
                {"socket", required_argument, NULL, OPT_SOCKET},
                {"tcti", required_argument, NULL, OPT_TCTI},
                {"peer-uid", required_argument, NULL, OPT_PEER_UID},
                {"peer-user", required_argument, NULL, OPT_PEER_USER},
                {"debug", no_argument, NULL, OPT_DEBUG},
                {"allow-ld-environment", no_argument, NULL, OPT_ALLOW_LD},
                {"help", no_argument, NULL, OPT_HELP},
                {"version", no_argument, NULL, OPT_VERSION},
                {},
};

/* -1 to go on, else the exit code. */
static int take_option(int option, Options *o)
{
        switch (option) {
        case OPT_SOCKET:
                o->socket = optarg;
                return -1;
        case OPT_TCTI:
                o->tcti = optarg;
                return -1;
        case OPT_PEER_UID:
                o->has_peer = parse_uid(optarg, &o->peer);
                return o->has_peer ? -1 : usage(stderr);
        case OPT_PEER_USER:
                if (resolve_peer(optarg, o))
                        return -1;
                log_error("there is no user %s", optarg);
                return 1;
        case OPT_DEBUG:
                log_set_max_level(LOG_DEBUG);
                return -1;
        case OPT_ALLOW_LD:
                o->allow_ld = true;
                return -1;
        case OPT_HELP:
                return usage(stdout);
        case OPT_VERSION:
                puts("holdfast-tpm " HOLDFAST_VERSION);
                return 0;
        default:
                return usage(stderr);
        }
}

static int parse_options(int argc, char *argv[], Options *ret)
{
        int c, r;

        *ret = (Options){.socket = "/run/holdfast-signer/tpm", .tcti = "device:/dev/tpmrm0"};
        while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
                r = take_option(c, ret);
                if (r >= 0)
                        return r;
        }
        if (optind < argc)
                return usage(stderr);
        if (!ret->has_peer && !resolve_peer("holdfast-signer", ret)) {
                log_error("there is no user holdfast-signer; say --peer-user or --peer-uid");
                return 1;
        }
        return -1;
}

static int failed(const char *what, int r)
{
        log_error("%s: %s", what, hf_error_name(r));
        return 1;
}

/* The library's own log says on standard error what device_result() says where it belongs. */
static int quieten(void)
{
        return setenv("TSS2_LOG", "all+NONE", 1) < 0 ? -errno : 0;
}

int main(int argc, char *argv[])
{
        static Tpm tpm;
        ServeParams params = {.tpm = &tpm};
        Options o;
        int r = parse_options(argc, argv, &o);

        if (r >= 0)
                return r;
        if (!o.allow_ld && harden_foreign_environment()) {
                log_error("LD_ variables are set in the environment: refused");
                return 1;
        }
        if (device_init(o.tcti, &tpm.device)) {
                log_error("no way to a TPM: %s; there are device:PATH and swtpm:path=SOCKET", o.tcti);
                return 2;
        }
        kept_init(&tpm.kept, &tpm.device);
        params.socket = o.socket;
        params.peer = o.peer;

        r = harden_process(STDERR_FILENO + 1);
        if (!r)
                r = quieten();
        if (r)
                return failed("hardening", r);
        slice_set(SLICE_SHORT); /* it wakes up between two programs that compute */
        notify_open(&params.notify);
        serve_prepare();
        traces_begin();
        r = ossl_context_open();
        if (!r)
                r = filter_close();
        if (r)
                return failed("start", r);
        log_info("ready: TPM by %s, system-call filter on, no core, not dumpable", o.tcti);
        notify_send(&params.notify, "READY=1");
        serve(&params);
        notify_send(&params.notify, "STOPPING=1");
        kept_forget(&tpm.kept);
        device_shutdown(&tpm.device);
        _exit(0);
}
