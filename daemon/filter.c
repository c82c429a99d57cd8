/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"

typedef struct Rule {
        DaemonFilterRule shown;
        bool limited; /* only with this argument */
        struct scmp_arg_cmp argument;
} Rule;

#define ANY(name, reason) {.shown = {.call = (name), .why = (reason)}}
#define ONLY(name, reason, at, cmp, a, b)                                                                    \
        {.shown = {.call = (name), .why = (reason)}, .limited = true, .argument = {(at), (cmp), (a), (b)}}

static const Rule rules[] = {
        ANY("read", "descriptors"),
        ANY("write", "descriptors"),
        ANY("readv", "sd-bus"),
        ANY("writev", "sd-bus"),
        ANY("pread64", "store, log"),
        ANY("pwrite64", "store, log"),
        ANY("lseek", "store"),
        ANY("openat", "store, log, policy"),
        ANY("open", "SQLCipher, name service"),
        ANY("close", "descriptors"),
        ANY("stat", "SQLCipher"),
        ANY("lstat", "SQLCipher"),
        ANY("fstat", "files"),
        ANY("newfstatat", "files"),
        ANY("statx", "policy files"),
        ANY("statfs", "name service"),
        ANY("fstatfs", "room on the disk"),
        ANY("access", "SQLCipher"),
        ANY("faccessat", "is there a store"),
        ANY("faccessat2", "is there a store"),
        ANY("getcwd", "SQLCipher"),
        ANY("readlink", "SQLCipher"),
        ANY("readlinkat", "policy files"),
        ANY("getdents64", "policy, segments"),
        ANY("mkdir", "a new store"),
        ANY("mkdirat", "a new store"),
        ANY("rmdir", "an abandoned store"),
        ANY("linkat", "the store before a migration"),
        ANY("symlinkat", "generations of the TLS directory"),
        ANY("unlink", "WAL, old socket"),
        ANY("unlinkat", "segments, slots"),
        ANY("rename", "whole files"),
        ANY("renameat", "whole files"),
        ANY("renameat2", "a new store"),
        ANY("ftruncate", "WAL, segments"),
        ANY("fallocate", "segments"),
        ANY("fsync", "durable files"),
        ANY("fdatasync", "durable lines"),
        ANY("flock", "one daemon to a store"),
        ANY("fcntl", "locks, seals, flags"),
        ANY("fchmod", "modes of our files"),
        ANY("chmod", "mode of a socket"),
        ANY("fchown", "SQLCipher's WAL"),
        ANY("umask", "modes of our files"),
        ANY("utimensat", "SQLCipher"),
        ANY("dup", "descriptors"),
        ANY("pipe2", "name service"),
        ANY("ioctl", "is it a terminal"),
        ANY("memfd_create", "sealed messages of sd-bus"),
        ANY("memfd_secret", "keys of the store"),
        ONLY("socket", "signer, bus, name service", 0, SCMP_CMP_EQ, AF_UNIX, 0),
        ONLY("socketpair", "import", 0, SCMP_CMP_EQ, AF_UNIX, 0),
        ANY("connect", "signer, bus"),
        ANY("bind", "socket of our own"),
        ANY("listen", "socket of our own"),
        ANY("accept4", "callers"),
        ANY("sendto", "bus"),
        ANY("sendmsg", "replies, signer"),
        ANY("recvfrom", "bus"),
        ANY("recvmsg", "calls, signer"),
        ANY("shutdown", "connections"),
        ANY("getsockopt", "who calls"),
        ANY("setsockopt", "bus"),
        ANY("getsockname", "which socket"),
        ANY("getpeername", "bus"),
        ANY("poll", "waiting"),
        ANY("ppoll", "waiting"),
        ANY("epoll_create1", "loop"),
        ANY("epoll_ctl", "loop"),
        ANY("epoll_wait", "loop"),
        ANY("epoll_pwait", "loop"),
        ANY("epoll_pwait2", "loop"),
        ANY("timerfd_create", "loop"),
        ANY("timerfd_settime", "loop"),
        ANY("eventfd2", "threads"),
        ANY("signalfd4", "signals"),
        ANY("futex", "threads"),
        ANY("set_robust_list", "threads"),
        ANY("rseq", "threads"),
        ANY("sched_getaffinity", "threads"),
        ANY("sched_yield", "threads"),
        ONLY("clone", "threads, no processes", 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD),
        ANY("clock_gettime", "where the vDSO has none"),
        ANY("clock_getres", "loop"),
        ANY("clock_nanosleep", "SQLCipher, busy"),
        ANY("gettimeofday", "where the vDSO has none"),
        ANY("time", "where the vDSO has none"),
        ANY("getrandom", "UUIDs"),
        ANY("getpid", "forks noticed"),
        ANY("gettid", "sd-event"),
        ANY("getuid", "owners"),
        ANY("geteuid", "owners"),
        ANY("getgid", "owners"),
        ANY("getegid", "owners"),
        ANY("uname", "libraries"),
        ANY("sysinfo", "libraries"),
        ANY("prlimit64", "limits of threads"),
        ANY("getrlimit", "limits"),
        ANY("brk", "heap"),
        ONLY("mmap", "heap, WAL index; never executable", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
        ONLY("mprotect", "heap; never executable", 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
        ANY("munmap", "heap"),
        ANY("mremap", "heap"),
        ANY("madvise", "heap"),
        ANY("mlock", "keys of the store"),
        ANY("munlock", "keys of the store"),
        ANY("rt_sigaction", "libraries"),
        ANY("rt_sigprocmask", "threads"),
        ANY("rt_sigreturn", "end of a signal"),
        ANY("sigaltstack", "threads"),
        ANY("prctl", "names of threads"),
        ANY("restart_syscall", "a wait that was stopped"),
        ANY("tgkill", "abort()"),
        ANY("exit", "a thread's end"),
        ANY("exit_group", "the end"),
};

static const DaemonFilterRule deadly[] = {
        {"execve", "nothing is ever executed"},
        {"execveat", "nothing is ever executed"},
        {"fork", "no processes"},
        {"vfork", "no processes"},
        {"ptrace", "no other process is looked at"},
        {"process_vm_readv", "no other process is looked at"},
        {"process_vm_writev", "no other process is looked at"},
        {"userfaultfd", "a tool of attacks"},
        {"io_uring_setup", "a way around filters"},
        {"bpf", "nothing is loaded"},
        {"init_module", "nothing is loaded"},
        {"finit_module", "nothing is loaded"},
        {"mount", "nothing is mounted"},
        {"setuid", "nobody else is become"},
        {"setresuid", "nobody else is become"},
        {"kill", "nobody is signalled"},
};

/* A name that this kernel's machine does not have is left out. */
static int add(scmp_filter_ctx ctx, uint32_t action, const char *call, const struct scmp_arg_cmp *argument)
{
        int number = seccomp_syscall_resolve_name(call);

        return number < 0 ? 0 : seccomp_rule_add_array(ctx, action, number, argument ? 1 : 0, argument);
}

static int fill(scmp_filter_ctx ctx)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(rules); i++)
                r = add(ctx, SCMP_ACT_ALLOW, rules[i].shown.call, rules[i].limited ? &rules[i].argument : NULL);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(deadly); i++)
                r = add(ctx, SCMP_ACT_KILL_PROCESS, deadly[i].call, NULL);
        /* Its flags are behind a pointer; without it the C library makes threads by clone(2). */
        if (r >= 0)
                r = add(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL);
        if (r >= 0)
                r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
        return r < 0 ? r : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int daemon_filter_close(void)
{
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!ctx)
                return -ENOMEM;
        r = fill(ctx);
        if (r >= 0)
                r = seccomp_load(ctx);
        seccomp_release(ctx);
        return r < 0 ? r : 0;
}

const DaemonFilterRule *daemon_filter_rules(size_t *ret_n)
{
        static DaemonFilterRule shown[ELEMENTSOF(rules)];

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                shown[i] = rules[i].shown;
        *ret_n = ELEMENTSOF(rules);
        return shown;
}

const DaemonFilterRule *daemon_filter_deadly(size_t *ret_n)
{
        *ret_n = ELEMENTSOF(deadly);
        return deadly;
}
