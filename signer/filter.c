/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sanitizer.h"

typedef struct Rule {
        FilterRule shown;
        bool limited; /* only with this argument */
        struct scmp_arg_cmp argument;
} Rule;

#define ANY(name, reason)                                                                                    \
        {                                                                                                    \
                .shown = {.call = (name), .why = (reason) }                                                  \
        }
#define ONLY(name, reason, at, cmp, a, b)                                                                    \
        {                                                                                                    \
                .shown = {.call = (name), .why = (reason)}, .limited = true, .argument = {                   \
                        (at),                                                                                \
                        (cmp),                                                                               \
                        (a),                                                                                 \
                        (b)                                                                                  \
                }                                                                                            \
        }
#define NO_EXEC(name, reason) ONLY(name, reason, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)

static const Rule rules[] = {
                ANY("read", "a passed descriptor"),
                ANY("pread64", "a passed secret"),
                ANY("write", "standard error, a recovery pipe, the notify socket"),
                ANY("close", "a passed descriptor"),
                ANY("fstat", "a passed descriptor"),
                ONLY("newfstatat", "fstat on some machines", 3, SCMP_CMP_EQ, AT_EMPTY_PATH, 0),
                ONLY("fcntl", "seals of a passed secret", 1, SCMP_CMP_EQ, F_GET_SEALS, 0),
                ANY("accept4", "the peer"),
                ANY("getsockopt", "who the peer is"),
                ANY("recvmsg", "requests"),
                ANY("sendmsg", "replies"),
                ANY("shutdown", "a peer that is given up"),
                ANY("poll", "waiting"),
                ANY("ppoll", "waiting"),
                ANY("futex", "locks"),
                ANY("getrandom", "keys and nonces"),
                ANY("clock_gettime", "where the vDSO has none"),
                ANY("gettimeofday", "where the vDSO has none"),
                ANY("getpid", "OpenSSL's check for a fork"),
                ANY("gettid", "abort()"),
                ANY("sched_yield", "locks"),
                ONLY("sched_setattr", "the slice of a long job", 0, SCMP_CMP_EQ, 0, 0),
                ANY("brk", "heap"),
                NO_EXEC("mmap", "heap, Argon2id"),
                NO_EXEC("mprotect", "heap"),
                ANY("munmap", "heap, Argon2id"),
                ANY("mremap", "heap"),
                ANY("madvise", "heap"),
                ANY("rt_sigprocmask", "switching stacks"),
                ANY("rt_sigreturn", "end of a signal"),
                ANY("restart_syscall", "a wait that was stopped"),
                ANY("exit", "a thread's end"),
                ANY("exit_group", "the end"),
};

#if SANITIZED
/* A report is a file, and who called whom is found in /proc. */
static const char *const for_reports[] = {"openat", "open", "lseek", "readlink", "readlinkat", "stat", "newfstatat", "fcntl",
                "ioctl", "getrlimit", "prlimit64", "getppid", "getuid", "sigaltstack", "rt_sigaction", "sched_getaffinity",
                "prctl", "uname"};
#endif

/* A name that this kernel's machine does not have is left out. */
static int add_rule(scmp_filter_ctx ctx, const Rule *rule)
{
        int number = seccomp_syscall_resolve_name(rule->shown.call);

        if (number < 0)
                return 0;
        if (rule->limited)
                return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, number, 1, &rule->argument);
        return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, number, 0, NULL);
}

static int fill(scmp_filter_ctx ctx)
{
        int r;

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                r = add_rule(ctx, &rules[i]);
                if (r < 0)
                        return r;
        }
#if SANITIZED
        for (size_t i = 0; i < ELEMENTSOF(for_reports); i++) {
                r = add_rule(ctx, &(Rule)ANY(for_reports[i], "reports"));
                if (r < 0)
                        return r;
        }
#endif
        /* abort() signals the own process, and no other. */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
        if (r < 0)
                return r;
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
        return r < 0 ? r : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int filter_close(void)
{
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int r;

        if (!ctx)
                return -ENOMEM;
        r = fill(ctx);
        if (r >= 0)
                r = seccomp_load(ctx);
        seccomp_release(ctx);
        return r < 0 ? r : 0;
}

const FilterRule *filter_rules(size_t *ret_n)
{
        static FilterRule shown[ELEMENTSOF(rules)];

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                shown[i] = rules[i].shown;
        *ret_n = ELEMENTSOF(rules);
        return shown;
}
