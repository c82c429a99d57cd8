/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * holdfastd: the keystore service
 *
 * Starts in this order: environment and limits, configuration, policy, state directory, sockets, signer, bus.
 * It is ready (READY=1) when it answers, whatever the state of the store is. A start with a broken policy is
 * refused; a reload with one keeps the policy in force.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/sanitizer.h"
#include "ca/issuer.h"
#include "crypto/algorithm.h"
#include "crypto/digest.h"
#include "crypto/heap.h"
#include "daemon/accounts.h"
#include "daemon/change.h"
#include "daemon/checkpoint.h"
#include "daemon/connection.h"
#include "daemon/filter.h"
#include "daemon/operation.h"
#include "daemon/system-bus.h"
#include "dbus/errors.h"

extern char **environ;

/* ---- hardening ---- */

static int refuse_loader_environment(void)
{
        for (char **e = environ; *e; e++)
                if (strncmp(*e, "LD_", 3) == 0) {
                        log_error("holdfastd does not start with %.*s in its environment: that would let it "
                                  "load foreign code",
                                        (int)strcspn(*e, "="), *e);
                        return HF_E_INVALID_ARGS;
                }
        return 0;
}

static int harden(void)
{
        const struct rlimit none = {0};
        int r = refuse_loader_environment();

        if (r)
                return r;
        if (setrlimit(RLIMIT_CORE, &none) < 0 || (!SANITIZED && prctl(PR_SET_DUMPABLE, 0) < 0) ||
                        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        umask(0077);
        return 0;
}

/* ---- policy ---- */

static bool is_algorithm(void *userdata, const char *name)
{
        (void)userdata;
        return key_algorithm_from_string(name) != _KEY_ALGORITHM_INVALID;
}

static bool is_scheme(void *userdata, const char *name)
{
        (void)userdata;
        return scheme_from_string(name) != _SCHEME_INVALID;
}

static void warn(void *userdata, const PolicyProblem *warning)
{
        char text[POLICY_PROBLEM_TEXT_SIZE];

        (void)userdata;
        log_warning("policy: %s", policy_problem_format(warning, text, sizeof(text)));
}

static size_t split_directories(char *text, const char *ret[static CONFIG_LIST_MAX + 1])
{
        char *save = NULL;
        size_t n = 0;

        for (char *p = strtok_r(text, " ", &save); p && n < CONFIG_LIST_MAX; p = strtok_r(NULL, " ", &save))
                ret[n++] = p;
        ret[n] = NULL;
        return n;
}

static void note_policy(Daemon *d, const Caller *caller, int result, bool accept, const PolicyProblem *problem)
{
        AuditLine line;

        if (!d->vault.log)
                return;
        audit_line_init(&line, result ? "policy.refused" : "policy.loaded");
        if (result) {
                audit_line_str(&line, "error", problem->sentence);
                audit_line_str(&line, "file", problem->path);
                audit_line_u64(&line, "line", problem->line);
                audit_line_u64(&line, "column", problem->column);
        } else {
                audit_line_u64(&line, "rules", policy_n_rules(d->policy));
                audit_line_u64(&line, "files", policy_n_files(d->policy));
                audit_line_str(&line, "reason", accept ? "accounts accepted" : NULL);
        }
        if (caller)
                audit_line_u64(&line, "uid", caller->uid);
        (void)audit_log_append(d->vault.log, &line, NULL);
}

int daemon_load_policy(Daemon *d, const Caller *caller, bool accept, PolicyProblem *ret_problem)
{
        char text[sizeof(d->config.policy_directories)];
        const char *directories[CONFIG_LIST_MAX + 1];
        PolicyParams params = {
                        .dirs = directories,
                        .owner = d->config.policy_owner,
                        .names = {.user = accounts_user,
                                        .group = accounts_group,
                                        .algorithm = is_algorithm,
                                        .scheme = is_scheme,
                                        .userdata = d->accounts},
                        .warn = warn,
        };
        uint8_t hash[32];
        Policy *p = NULL;
        int r;

        strcpy(text, d->config.policy_directories);
        split_directories(text, directories);
        accounts_begin(d->accounts, accept);
        r = policy_load(&params, ret_problem, &p);
        if (r == 0) {
                int kept = accounts_keep(d->accounts, d->vault.state_fd);

                if (kept)
                        log_warning("who the names of the policy are could not be kept: %s", strerror(-kept));
                policy_unref(d->policy);
                d->policy = p;
                digest_sha256(policy_source(p), hash);
                hex_encode(hash, sizeof(hash), d->policy_hash);
                log_info("policy: %zu rules of %zu files are in force", policy_n_rules(p), policy_n_files(p));
                d->policy_problem[0] = '\0';
        } else if (r == HF_E_POLICY_INVALID) {
                log_error("policy: %s", policy_problem_format(ret_problem, d->policy_problem, sizeof(d->policy_problem)));
        }
        if (r == 0 || r == HF_E_POLICY_INVALID)
                note_policy(d, caller, r, accept, ret_problem);
        return r;
}

/* ---- loop ---- */

void daemon_abandon(Daemon *d, const char *why)
{
        static bool under_way; /* for want of memory even a failing reply may lead here */

        log_error("holdfastd ends to recover: %s", why);
        if (!under_way) {
                under_way = true;
                operation_fail_waiting(d);
        }
        /* No orderly close: what is on the disk is what recovery shall find. */
        _exit(EXIT_CODE_FAILED);
}

static void signer_up(void *userdata, const SignerHello *hello)
{
        vault_signer_up(userdata, hello);
}

static void signer_down(void *userdata)
{
        vault_signer_down(userdata);
}

static void signer_room(void *userdata)
{
        use_pump(userdata);
}

static void stop_now(void *userdata, int result)
{
        Daemon *d = userdata;

        (void)result;
        (void)sd_event_exit(d->event, 0);
}

/* What was begun has been answered; the log ends sealed. */
static void on_changes_ended(void *userdata)
{
        Daemon *d = userdata;
        AuditLine line;

        if (!d->vault.log) {
                stop_now(d, 0);
                return;
        }
        audit_line_init(&line, "store.stop");
        audit_line_str(&line, "reason", "stopped");
        (void)audit_log_append(d->vault.log, &line, NULL);
        checkpoint_anchor(d, stop_now, d);
}

static void on_drained_stop(void *userdata)
{
        Daemon *d = userdata;

        change_drain(d, on_changes_ended, d);
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        (void)si;
        (void)sd_notify(0, "STOPPING=1");
        if (!d->vault.log || d->vault.state != VAULT_READY || !signer_client_is_up(d->signer)) {
                stop_now(d, 0);
                return 0;
        }
        use_fail_queued(d, HF_E_DAEMON_UNAVAILABLE);
        use_end(d, on_drained_stop, d);
        return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        PolicyProblem problem;

        (void)source;
        (void)si;
        (void)daemon_load_policy(userdata, NULL, false, &problem);
        return 0;
}

static int add_signals(Daemon *d)
{
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGPIPE);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(d->event, NULL, SIGTERM, on_terminate, d);
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGINT, on_terminate, d);
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGHUP, on_reload, d);
        return r;
}

/* A path that is wrong costs that socket and no other: who lost his chroot's must not end everybody's service. */
static int open_configured(Daemon *d)
{
        int last = 0;

        for (size_t i = 0; i < d->config.n_listen; i++) {
                int r = listener_new_path(d, d->config.listen[i]);

                if (r)
                        log_error("cannot listen on %s: %s", d->config.listen[i], r < 0 ? strerror(-r) : hf_error_name(r));
                d->listen_results[i] = r;
                last = r ? r : last;
        }
        return d->n_listeners > 0 ? 0 : last;
}

static int open_sockets(Daemon *d)
{
        int n = sd_listen_fds(true), r = 0;

        for (int i = 0; !r && i < n; i++)
                if (sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNIX, SOCK_STREAM, 1) > 0)
                        r = listener_new(d, SD_LISTEN_FDS_START + i);
        if (r)
                log_error("cannot listen on a direct socket that was handed over: %s", hf_error_name(r));
        return r ? r : open_configured(d);
}

static int open_state(Daemon *d)
{
        Vault *v = &d->vault;
        struct stat st;

        v->state = VAULT_STARTING;
        v->store_fd = v->audit_fd = -EBADF;
        v->slots = BUFFER_INIT(SLOTS_FILE_MAX);
        if (buffer_reserve(&v->slots, SLOTS_FILE_MAX)) /* what is in force is never lost for want of memory */
                return -ENOMEM;
        v->state_fd = open(d->config.state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (v->state_fd < 0 || fstat(v->state_fd, &st) < 0) {
                log_error("state directory %s: %s", d->config.state_directory, strerror(errno));
                return -errno;
        }
        if (st.st_uid != geteuid() || (st.st_mode & 0022)) {
                log_error("state directory %s must belong to uid %u and not be writable by others: chown %u "
                          "%s && chmod 700 %s",
                                d->config.state_directory, (unsigned)geteuid(), (unsigned)geteuid(),
                                d->config.state_directory, d->config.state_directory);
                return HF_E_STORE_UNSAFE;
        }
        /* Of the directory, for as long as we live: its store may be exchanged for another. */
        if (flock(v->state_fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("state directory %s: %s", d->config.state_directory,
                                errno == EWOULDBLOCK ? "another holdfastd works in it; end that one first" : strerror(errno));
                return errno == EWOULDBLOCK ? HF_E_STORE_IN_USE : -errno;
        }
        return 0;
}

static int start(Daemon *d)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        PolicyProblem problem;
        int r;

        slice_set(SLICE_SHORT);
        d->use_shared_max = cores > 3 ? (size_t)cores / 2 : 1;
        r = sd_event_default(&d->event);
        if (r >= 0)
                r = add_signals(d);
        if (r >= 0)
                r = sd_event_set_watchdog(d->event, true);
        if (r >= 0)
                r = worker_new(d->event, &d->worker);
        if (r >= 0)
                r = worker_new(d->event, &d->exporter);
        if (r >= 0)
                r = worker_new(d->event, &d->reader);
        if (r >= 0)
                r = policy_limits_new(POLICY_LIMITS_USUAL, &d->limits);
        if (r < 0)
                return r;
        r = open_state(d);
        if (!r)
                r = accounts_read(d->vault.state_fd, &d->accounts);
        if (!r)
                r = daemon_load_policy(d, NULL, false, &problem);
        if (!r)
                r = open_sockets(d);
        if (!r)
                r = signer_client_new(d->event,
                                &(SignerClientParams){.path = d->config.signer_socket,
                                                .up = signer_up,
                                                .down = signer_down,
                                                .room = signer_room,
                                                .userdata = d},
                                &d->signer);
        if (!r && d->config.system_bus)
                r = system_bus_new(d, &d->system_bus);
        if (!r && !SANITIZED)
                r = daemon_filter_close();
        return r;
}

static void stop(Daemon *d)
{
        atomic_store(&d->stopping, true);
        d->exporter = worker_free(d->exporter);
        d->reader = worker_free(d->reader);
        d->worker = worker_free(d->worker); /* before the store it may be working on */
        vault_close(d);
        tpm_stop(d);
        connection_close_all(d);
        d->system_bus = system_bus_free(d->system_bus);
        d->signer = signer_client_free(d->signer);
        d->limits = policy_limits_free(d->limits);
        d->policy = policy_unref(d->policy);
        d->accounts = accounts_free(d->accounts);
        buffer_deinit(&d->vault.slots);
        safe_close(d->vault.state_fd);
        sd_event_source_disable_unref(d->patience);
        sd_event_source_disable_unref(d->flood);
        sd_event_source_disable_unref(d->ca_timer);
        ca_issuer_free(d->ca_issuer);
        d->event = sd_event_unref(d->event);
}

int main(int argc, char **argv)
{
        static Daemon d;
        int r;

        /* Large blocks go back to the system when they are freed, also after recovery has needed one of 16 MiB. */
        (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
        (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
        config_init(&d.config);
        r = config_from_arguments(&d.config, argc, argv);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? 0 : EXIT_CODE_USAGE;
        d.started = clock_wall();
        r = crypto_heap_must_not_fail();
        if (!r)
                r = harden();
        if (!r)
                r = start(&d);
        if (r == HF_E_STORE_IN_USE)
                return EX_TEMPFAIL; /* the unit does not start it again: RestartPreventExitStatus= */
        if (r > 0)
                return EXIT_CODE_FAILED; /* said already */
        if (r < 0) {
                log_error("holdfastd cannot start: %s", strerror(-r));
                return EXIT_CODE_FAILED;
        }
        (void)sd_notify(0, "READY=1");
        r = sd_event_loop(d.event);
        stop(&d);
        return r < 0 ? EXIT_CODE_FAILED : 0;
}
