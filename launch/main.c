/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-launch: the parent of Holdfast where there is no systemd
 *
 * It makes what the units make (directories, sockets, users, the credential), starts the signer, holdfastd and, where
 * there is a TPM, holdfast-tpm, starts them again when they die, and stops them in order: holdfastd first, so that it
 * can take its last checkpoint, then the signer, then holdfast-tpm. It holds no key and reads nothing that a stranger
 * sent but readiness datagrams, whose sender the kernel names. The tests and ./quickstart run everything under it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "launch/importer.h"
#include "launch/options.h"
#include "launch/place.h"
#include "launch/service.h"

#define TPM_PATIENCE 6 /* holdfast-tpm is silent while the TPM works: for three minutes at most */

enum {
        EXIT_PLACE = 1,
        EXIT_USAGE = 2,
        EXIT_HOPELESS = 3,
};

typedef struct Launch {
        const LaunchOptions *options;
        Place place;
        sd_event *event;
        Service signer, daemon, tpm;
        Importer importer;
        ServiceEvents events;
        int exit_code;
        bool stopping, announced;
} Launch;

static void begin_stop(Launch *l)
{
        if (l->stopping)
                return;
        l->stopping = true;
        service_stop(&l->daemon);
}

static void on_service_stopped(Service *s, void *userdata)
{
        Launch *l = userdata;

        if (s == &l->daemon)
                service_stop(&l->signer);
        else if (s == &l->signer)
                service_stop(&l->tpm);
        else
                (void)sd_event_exit(l->event, 0);
}

static void on_service_hopeless(Service *s, void *userdata)
{
        Launch *l = userdata;

        log_error("%s died %d times before it was ready; giving up", s->name, SERVICE_TRIES_MAX);
        l->exit_code = EXIT_HOPELESS;
        begin_stop(l);
}

static void on_service_ready(Service *s, void *userdata)
{
        char line[512];
        Launch *l = userdata;
        int n;

        log_debug("%s is ready", s->name);
        if (l->announced || l->signer.state != SERVICE_READY || l->daemon.state != SERVICE_READY)
                return;
        l->announced = true;
        n = snprintf(line, sizeof(line), "ready: socket %s\n", l->place.bus_path);
        if (io_write_full(l->options->ready_fd, line, (size_t)n) != 0)
                log_warning("nobody reads the ready line");
}

static Service *service_of(Launch *l, pid_t pid)
{
        Service *all[] = {&l->signer, &l->daemon, &l->tpm};

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (pid > 0 && pid == all[i]->pid)
                        return all[i];
        return NULL;
}

/* One datagram, lines of NAME=VALUE (sd_notify(3)); only READY=1 and WATCHDOG=1 of our own children mean something. */
static void take_notification(Launch *l, char *text, pid_t sender)
{
        Service *s = service_of(l, sender);
        char *rest = text, *line;

        while (s && (line = strsep(&rest, "\n")))
                if (strcmp(line, "READY=1") == 0)
                        service_notify_ready(s);
                else if (strcmp(line, "WATCHDOG=1") == 0)
                        service_notify_alive(s);
}

static int on_notify(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        char text[4096];
        struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                .msg_controllen = sizeof(control.space)};
        ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        (void)source;
        (void)events;
        if (n < 0 || mh.msg_flags & MSG_TRUNC)
                return 0;
        text[n] = '\0';
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred who;

                        memcpy(&who, CMSG_DATA(c), sizeof(who));
                        take_notification(userdata, text, who.pid);
                }
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        Launch *l = userdata;

        (void)source;
        if (si->ssi_signo == SIGHUP)
                service_signal(&l->daemon, SIGHUP);
        else
                begin_stop(l);
        return 0;
}

static int listen_for_events(Launch *l)
{
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        int r = sd_event_default(&l->event);

        for (size_t i = 0; i < ELEMENTSOF(signals) && r >= 0; i++)
                r = sd_event_add_signal(l->event, NULL, signals[i], on_signal, l);
        if (r >= 0)
                r = sd_event_add_io(l->event, NULL, l->place.notify_fd, EPOLLIN, on_notify, l);
        return r < 0 ? r : 0;
}

/* Own arguments first, then what the command line hands on, which so has the last word. */
typedef struct Argv {
        char *own[5];
        char *list[5 + LAUNCH_EXTRA_ARGS_MAX + 2];
        size_t n_own, n;
} Argv;

static int argv_add(Argv *a, const char *name, const char *value)
{
        if (asprintf(&a->own[a->n_own], "%s%s", name, value) < 0)
                return -ENOMEM;
        a->list[a->n++] = a->own[a->n_own++];
        return 0;
}

static void argv_add_all(Argv *a, const char *const *args)
{
        for (; *args; args++)
                a->list[a->n++] = (char *)*args;
        a->list[a->n] = NULL;
}

static void argv_deinit(Argv *a)
{
        for (size_t i = 0; i < a->n_own; i++)
                free(a->own[i]);
}

static int argv_daemon(const Launch *l, Argv *a)
{
        int r = argv_add(a, "holdfastd", "");

        if (!r)
                r = argv_add(a, "--state-directory=", l->options->state_directory);
        if (!r)
                r = argv_add(a, "--tls-directory=", l->options->tls_directory);
        if (!r)
                r = argv_add(a, "--signer-socket=", l->place.signer_path);
        if (!r)
                r = argv_add(a, "--importer-socket=", l->place.import_path);
        argv_add_all(a, l->options->daemon_args);
        return r;
}

static int argv_add_uid(Argv *a, const char *name, uid_t uid)
{
        char text[16];

        snprintf(text, sizeof(text), "%u", (unsigned)uid);
        return argv_add(a, name, text);
}

static int argv_signer(const Launch *l, Argv *a)
{
        int r = argv_add(a, "holdfast-signer", "");

        if (!r)
                r = argv_add_uid(a, "--peer-uid=", l->options->daemon_user.uid);
        if (!r && l->options->tcti)
                r = argv_add_uid(a, "--tpm-uid=", l->options->tpm_user.uid);
        argv_add_all(a, l->options->signer_args);
        return r;
}

static int argv_importer(const Launch *l, Argv *a)
{
        int r = argv_add(a, "holdfast-signer", "");

        if (!r)
                r = argv_add_uid(a, "--peer-uid=", l->options->daemon_user.uid);
        if (!r)
                r = argv_add(a, "--import", "");
        argv_add_all(a, l->options->signer_args);
        return r;
}

static int argv_tpm(const Launch *l, Argv *a)
{
        int r = argv_add(a, "holdfast-tpm", "");

        if (!r)
                r = argv_add(a, "--socket=", l->place.tpm_path);
        if (!r && l->options->tcti)
                r = argv_add(a, "--tcti=", l->options->tcti);
        if (!r)
                r = argv_add_uid(a, "--peer-uid=", l->options->signer_user.uid);
        argv_add_all(a, l->options->tpm_args);
        return r;
}

static void describe_programs(Launch *l, Argv *daemon, Argv *signer, Argv *import, Argv *tpm)
{
        const LaunchOptions *o = l->options;

        l->events = (ServiceEvents){
                .ready = on_service_ready,
                .stopped = on_service_stopped,
                .hopeless = on_service_hopeless,
                .userdata = l,
        };
        l->signer = (Service){
                .name = "holdfast-signer",
                .spec = {.path = o->signer, .argv = signer->list, .user = o->signer_user,
                        .sockets = {l->place.signer_fd, l->place.tpm_fd}, .n_sockets = o->tcti ? 2 : 1,
                        .socket_names = o->tcti ? "signer:tpm" : "signer",
                        .notify_path = l->place.notify_path, .credential_dir = l->place.credential_dir,
                        .watchdog = o->watchdog_s * USEC_PER_SEC},
                .events = &l->events, .event = l->event, .pause_max = o->backoff_max_ms * 1000ULL,
        };
        l->daemon = (Service){
                .name = "holdfastd",
                .spec = {.path = o->daemon, .argv = daemon->list, .user = o->daemon_user,
                        .sockets = {l->place.bus_fd}, .n_sockets = 1,
                        .notify_path = l->place.notify_path, .watchdog = o->watchdog_s * USEC_PER_SEC},
                .events = &l->events, .event = l->event, .pause_max = o->backoff_max_ms * 1000ULL,
        };
        l->tpm = (Service){
                .name = "holdfast-tpm", .optional = true,
                .spec = {.path = o->tpm, .argv = tpm->list, .user = o->tpm_user, .notify_path = l->place.notify_path,
                        .watchdog = TPM_PATIENCE * o->watchdog_s * USEC_PER_SEC},
                .events = &l->events, .event = l->event, .pause_max = o->backoff_max_ms * 1000ULL,
        };
        l->importer = (Importer){
                .event = l->event,
                .spec = {.path = o->signer, .argv = import->list, .user = o->signer_user, .n_sockets = 1,
                        .socket_names = "connection"},
        };
}

static int start_all(Launch *l)
{
        int r = importer_start(&l->importer, l->place.import_fd);

        if (r >= 0)
                r = service_start(&l->signer);
        if (r >= 0 && l->options->tcti)
                r = service_start(&l->tpm);
        if (r >= 0)
                r = service_start(&l->daemon);
        return r < 0 ? r : 0;
}

static int run(Launch *l)
{
        _cleanup_(argv_deinit) Argv daemon = {0}, signer = {0}, import = {0}, tpm = {0};
        int r = argv_daemon(l, &daemon);

        if (!r)
                r = argv_signer(l, &signer);
        if (!r)
                r = argv_importer(l, &import);
        if (!r)
                r = argv_tpm(l, &tpm);
        if (!r)
                r = listen_for_events(l);
        if (r)
                return r;
        describe_programs(l, &daemon, &signer, &import, &tpm);
        for (size_t i = 0; i < l->place.n_listen; i++)
                l->daemon.spec.sockets[l->daemon.spec.n_sockets++] = l->place.listen_fds[i];
        r = start_all(l);
        if (!r)
                r = sd_event_loop(l->event);
        importer_deinit(&l->importer);
        service_deinit(&l->daemon);
        service_deinit(&l->signer);
        service_deinit(&l->tpm);
        return r;
}

static void block_signals(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
        _cleanup_options_ LaunchOptions options = {0};
        Launch l = {.options = &options, .place = PLACE_EMPTY};
        int r = options_parse(argc, argv, &options);

        if (r)
                return r > 0 ? EXIT_SUCCESS : EXIT_USAGE;
        block_signals();
        r = place_prepare(&options, &l.place);
        if (!r)
                r = run(&l);
        l.event = sd_event_unref(l.event);
        place_deinit(&l.place);
        if (r < 0) {
                log_error("holdfast-launch: %s", strerror(-r));
                return EXIT_PLACE;
        }
        return l.exit_code;
}
