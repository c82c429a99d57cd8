/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define EXIT_EXEC 127
#define LISTEN_FD 3
#define MEMLOCK_LIMIT (64UL * 1024 * 1024) /* secret memory counts against it; as LimitMEMLOCK= in the units */

/* What the launcher was given on purpose for its programs; everything else of its environment ends here. */
static const char *const handed_on[] = {
        "DBUS_SYSTEM_BUS_ADDRESS", "JOURNAL_STREAM", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
};

typedef struct Environment {
        char *list[ELEMENTSOF(handed_on) + 9];
        size_t n;
} Environment;

static int env_add(Environment *e, const char *name, const char *value)
{
        if (!value)
                return 0;
        if (asprintf(&e->list[e->n], "%s=%s", name, value) < 0)
                return -ENOMEM;
        e->n++;
        return 0;
}

/* In the child, which alone knows the pid that LISTEN_PID must name. Nothing here is freed: exec does that. */
static int env_make(const ChildSpec *spec, Environment *ret)
{
        char pid[16], n[16], usec[24];
        int r;

        *ret = (Environment){0};
        snprintf(pid, sizeof(pid), "%d", (int)getpid());
        snprintf(usec, sizeof(usec), "%llu", (unsigned long long)spec->watchdog);
        snprintf(n, sizeof(n), "%zu", spec->n_sockets);
        r = env_add(ret, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if (!r)
                r = env_add(ret, "LISTEN_FDS", spec->n_sockets > 0 ? n : NULL);
        if (!r)
                r = env_add(ret, "LISTEN_PID", spec->n_sockets > 0 ? pid : NULL);
        if (!r)
                r = env_add(ret, "LISTEN_FDNAMES", spec->socket_names);
        if (!r)
                r = env_add(ret, "NOTIFY_SOCKET", spec->notify_path);
        if (!r)
                r = env_add(ret, "CREDENTIALS_DIRECTORY", spec->credential_dir);
        if (!r)
                r = env_add(ret, "WATCHDOG_USEC", spec->watchdog ? usec : NULL);
        if (!r)
                r = env_add(ret, "WATCHDOG_PID", spec->watchdog ? pid : NULL);
        for (size_t i = 0; i < ELEMENTSOF(handed_on) && !r; i++)
                r = env_add(ret, handed_on[i], getenv(handed_on[i]));
        return r;
}

/* By way of numbers above all of those wanted, because a socket may have the number another one is to get. */
static int arrange_descriptors(const ChildSpec *spec)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), copies[CHILD_SOCKETS_MAX];

        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                return -errno;
        for (size_t i = 0; i < spec->n_sockets; i++) {
                copies[i] = fcntl(spec->sockets[i], F_DUPFD_CLOEXEC, LISTEN_FD + CHILD_SOCKETS_MAX);
                if (copies[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < spec->n_sockets; i++)
                if (dup2(copies[i], LISTEN_FD + (int)i) < 0)
                        return -errno;
        if (close_range(LISTEN_FD + (unsigned)spec->n_sockets, ~0U, 0) < 0)
                return -errno;
        return 0;
}

static void set_limits(void)
{
        struct rlimit lock;

        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (getrlimit(RLIMIT_MEMLOCK, &lock) < 0 || lock.rlim_max >= MEMLOCK_LIMIT)
                lock.rlim_max = MEMLOCK_LIMIT;
        else /* may be refused; the programs say what memory they got */
                (void)setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){MEMLOCK_LIMIT, MEMLOCK_LIMIT});
        lock.rlim_cur = lock.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &lock);
}

static int drop_to(const LaunchUser *user)
{
        if (geteuid() != 0)
                return 0;
        if (setgroups(user->device_gid ? 1 : 0, &user->device_gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
                        setresuid(user->uid, user->uid, user->uid) < 0)
                return -errno;
        return 0;
}

/* What is ignored stays so in a new program, and under nohup(1) it would never hear a SIGHUP. */
static void reset_signals(void)
{
        for (int i = 1; i < _NSIG; i++)
                (void)signal(i, SIG_DFL); /* there is no other way for some */
}

static int become(const ChildSpec *spec, pid_t parent)
{
        sigset_t none;
        int r;

        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        reset_signals();
        (void)setsid(); /* a terminal's interrupt is for the launcher, which stops us in order */
        umask(0077);
        r = arrange_descriptors(spec);
        if (r)
                return r;
        set_limits();
        r = drop_to(&spec->user);
        if (r)
                return r;
        /* After the change of user, which clears it. */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
                return -errno;
        return getppid() == parent ? 0 : -ESRCH;
}

int child_spawn(const ChildSpec *spec, pid_t *ret)
{
        pid_t parent = getpid(), pid = fork();
        Environment env;
        int r;

        if (pid < 0)
                return -errno;
        if (pid > 0) {
                *ret = pid;
                return 0;
        }
        r = become(spec, parent);
        if (!r)
                r = env_make(spec, &env);
        if (!r) {
                execve(spec->path, spec->argv, env.list);
                r = -errno;
        }
        log_error("%s: cannot be started: %s", spec->path, strerror(-r));
        _exit(EXIT_EXEC);
}

int child_watch(sd_event *event, pid_t pid, sd_event_child_handler_t handler, void *userdata, sd_event_source **ret)
{
        sd_event_source *source;
        int r;

        r = sd_event_add_child(event, &source, pid, WEXITED, handler, userdata);
        if (r < 0)
                return r;
        /* Not the default ONESHOT: a child that ends under a debugger wakes us before it can be waited for, and that
         * one shot would be lost. Off and on again, because systemd 252 does not tell epoll of the change otherwise. */
        r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_enabled(source, SD_EVENT_ON);
        if (r < 0) {
                sd_event_source_unref(source);
                return r;
        }
        *ret = source;
        return 0;
}
