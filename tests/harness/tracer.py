# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Every system call of Holdfast's processes by ptrace, each with a name, and death at the entry of a chosen one

    with Tracer(stack, ["holdfastd"]) as tracer:     # attached, and all its threads wait for something
        operation()
        tracer.settle()
    tracer.seen                                      # {Call: how often}

A call is named by who enters it (program; its first thread or another), what it is and what it is about (the file, the
kind of descriptor), so that it keeps its name when threads take turns or a number changes; its place among equals
is counted over the process. strace can only count calls of one name in one thread. With kill=(call, nth) the process gets
SIGKILL when it enters that call for the nth time, which the kernel then does not begin; with deaths=3 the one that is
started after it dies there too, and the one after that.

One thread does all of it, because the kernel knows a tracer by its thread; its end lets go of everything traced.
"""
import collections
import ctypes
import functools
import os
import pathlib
import re
import signal
import subprocess
import threading

from stack import children, wait_for

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

CONT, SYSCALL, SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 7, 24, 0x4206, 0x4207, 0x4208, 0x420e
SYSGOOD, FORK, VFORK, CLONE, EXEC = 0x1, 0x2, 0x4, 0x8, 0x10
EVENT_EXEC, EVENT_STOP = 4, 128
ENTRY = 1
WALL, WNOTHREAD = 0x40000000, 0x20000000

Call = collections.namedtuple("Call", "program thread name about")

# Calls whose number is a matter of scheduling, and why. None of them changes anything that a death leaves behind: what it is
# about is the process's own.
WAITING = {
    "futex": "a lock is free or not, a thread sleeps already or not yet",
    "epoll_wait": "one wake-up brings one event or several",
    "epoll_pwait": "as epoll_wait",
    "epoll_pwait2": "as epoll_wait",
    "poll": "as epoll_wait",
    "ppoll": "as epoll_wait",
    "epoll_ctl": "what is waited for changes with what has come already",
    "sched_setattr": "a thread's slice changes with the kind of job it happens to take",
    "sched_yield": "the signer looks for the next job for a moment before it sleeps",
    "recvmsg": "read until there is nothing: in one go or in two",
    "recvfrom": "as recvmsg",
    "timerfd_settime": "set when the next deadline is another one",
    "clock_nanosleep": "a retry that comes or does not",
    "restart_syscall": "a wait that attaching interrupted",
    "madvise": "memory of the process alone; which thread's heap it comes from is a matter of scheduling",
    "brk": "as madvise",
    "mmap": "as madvise; with a file it is a point as any other",
    "munmap": "as madvise",
    "mprotect": "as madvise",
    "getpid": "asked by sd-bus and OpenSSL about forks, once a wake-up or a thread",
    "gettid": "asked by sd-event once a wake-up",
    "getrandom": "a thread's first random number seeds its generator; threads take turns",
    "rt_sigprocmask": "around the start of a thread, or its first seed",
    "wake": "an eventfd that is readable already is not read twice",
    "sync": "one of the log serves all lines that are there when it begins: a use's and that of what is made of its result",
}
BLOCKED = {"futex", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "clock_nanosleep", "restart_syscall",
           "recvmsg", "recvfrom"}
NOT_A_POINT = {"exit", "exit_group", "rt_sigreturn"}  # not returned from, or not entered by the program

FD_FIRST = {"read", "write", "pread64", "pwrite64", "readv", "writev", "recvmsg", "recvfrom", "sendmsg", "sendto", "fsync",
            "fdatasync", "ftruncate", "fallocate", "fstat", "lseek", "close", "fcntl", "ioctl", "getdents64", "flock", "fchmod",
            "fchown", "fstatfs", "shutdown", "setsockopt", "getsockopt", "accept4", "connect", "timerfd_settime"}
FD_LATER = {"mmap": 4, "epoll_ctl": 2}
PATH_AT = {"openat", "newfstatat", "unlinkat", "mkdirat", "faccessat", "faccessat2", "readlinkat", "renameat", "renameat2"}
PATH_FIRST = {"execve", "access", "stat", "lstat", "unlink", "rename", "mkdir", "readlink", "statfs", "open", "rmdir"}


@functools.cache
def call_names():
    """{number: name} of this machine."""
    defines = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True,
                             capture_output=True, text=True).stdout
    return {int(n): name for name, n in re.findall(r"#define __NR_(\w+) (\d+)$", defines, re.M)}


class Entry(ctypes.Structure):
    _fields_ = [("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64),
                ("sp", ctypes.c_uint64), ("number", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6)]


class Task:
    """A traced thread."""

    def __init__(self, tid):
        self.tid = tid
        self.pid = tid
        self.program = None  # None: not to be looked at
        self.inside = None   # name of the call it is in


def program_by(command):
    """What the tests call it, from its arguments, or None."""
    if b"--import" in command:
        return "import"
    return {b"holdfastd": "holdfastd", b"holdfast-signer": "signer"}.get(command[0])


def program_of(pid):
    try:
        return program_by(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return None


def state_of(tid):
    return pathlib.Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[0]


def gone(pid):
    """Dead; its parent may not have looked yet."""
    try:
        return state_of(pid) in "ZX"
    except OSError:
        return True


def kind_of_waiting(call):
    """The key of WAITING that a call falls under, or None: then it comes as often each time."""
    if call.name in ("read", "write") and call.about.startswith("anon_inode:"):
        return "wake"
    if call.name == "fdatasync" and "/audit/" in call.about:
        return "sync"
    if call.name == "mmap" and call.about:
        return None
    return call.name if call.name in WAITING else None


def ptrace(request, tid, address=0, data=0):
    if libc.ptrace(request, tid, address, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Tracer:
    def __init__(self, stack, programs, kill=None, starts=False, deaths=1):
        """starts: also those that the launcher starts from now on, from their first call on."""
        self.stack, self.programs, self.kill, self.starts, self.deaths = stack, programs, kill, starts, deaths
        self.seen = collections.Counter()
        self.order = []    # (call, nth) as they came
        self.victims = []
        self.counting = False
        self.ending = False
        self.error = None
        self.tasks = {}
        self.attached = threading.Event()
        self.directory = str(stack.dir)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        signal.signal(signal.SIGUSR1, lambda *_: None)  # not ignored: it shall interrupt the wait
        call_names()
        self.thread.start()
        self.attached.wait()
        if not self.error:
            self.settle()
        self.counting = True
        return self

    def __exit__(self, *_):
        self.ending = True
        while self.thread.is_alive():
            signal.pthread_kill(self.thread.ident, signal.SIGUSR1)
            self.thread.join(0.01)
        if self.error:
            raise self.error

    def settle(self):
        """Until everybody who was to die is gone, or everything traced has been waiting for a while."""
        calm = 0

        def over():
            nonlocal calm
            if self.error or len(self.victims) == self.deaths:
                return True
            calm = calm + 1 if self._is_calm() else 0
            return calm > 5
        wait_for(over, "traced processes to be quiet", 60)
        wait_for(lambda: all(gone(pid) for pid in self.victims), "the victims to be gone")

    def _is_calm(self):
        try:
            return all(t.inside in BLOCKED and state_of(t.tid) == "S" for t in list(self.tasks.values()) if t.program)
        except OSError:
            return False

    # Everything below runs in the tracer's thread.

    def _run(self):
        try:
            self._attach_all()
            self.attached.set()
            while not self.ending and self.tasks:
                self._wait()
        except Exception as error:  # raised where the tracer is used
            self.error = error
        finally:
            self.attached.set()

    def _attach_all(self):
        options = SYSGOOD | CLONE | EXEC | FORK | VFORK
        if self.starts:
            ptrace(SEIZE, self.stack.launcher.pid, 0, options)
            self.tasks[self.stack.launcher.pid] = Task(self.stack.launcher.pid)
        for pid in children(self.stack.launcher.pid):
            found = program_of(pid) in self.programs
            while found:  # until no thread is new
                found = [int(t) for t in os.listdir(f"/proc/{pid}/task") if int(t) not in self.tasks]
                for tid in found:
                    ptrace(SEIZE, tid, 0, options)
                    self._know(tid)
                    ptrace(INTERRUPT, tid)

    def _know(self, tid):
        task = self.tasks[tid] = Task(tid)
        for line in pathlib.Path(f"/proc/{tid}/status").read_text().splitlines():
            if line.startswith("Tgid:"):
                task.pid = int(line.split()[1])
        program = program_of(task.pid)
        task.program = program if program in self.programs else None
        return task

    def _wait(self):
        status = ctypes.c_int()
        tid = libc.waitpid(-1, ctypes.byref(status), WALL | WNOTHREAD)
        if tid < 0:
            return
        if not os.WIFSTOPPED(status.value):
            self.tasks.pop(tid, None)
            return
        try:
            self._stopped(tid, status.value)
        except (ProcessLookupError, FileNotFoundError):  # killed meanwhile; its end is told by the next wait
            pass

    def _stopped(self, tid, status):
        task = self.tasks.get(tid) or self._know(tid)  # a new one
        what, event = status >> 8 & 0xff, status >> 16
        deliver = 0
        if what == signal.SIGTRAP | 0x80:
            self._call(task)
        elif event == EVENT_EXEC:
            program = program_of(tid)
            task.program = program if program in self.programs else None
        elif event == EVENT_STOP and what == signal.SIGSTOP:
            ptrace(LISTEN, tid)
            return
        elif not event:
            deliver = what
        ptrace(SYSCALL if task.program else CONT, tid, 0, deliver)

    def _call(self, task):
        entry = Entry()
        ptrace(GET_SYSCALL_INFO, task.tid, ctypes.sizeof(entry), ctypes.addressof(entry))
        if entry.op != ENTRY:
            task.inside = None
            return
        name = call_names().get(entry.number, str(entry.number))
        if self.counting and name not in NOT_A_POINT and task.pid not in self.victims and len(self.victims) < self.deaths:
            self._count(task, name, entry.args)
        task.inside = name

    def _count(self, task, name, args):
        # The signer's threads take turns at everything, so there it is all one.
        thread = "any" if task.program == "signer" else "first" if task.tid == task.pid else "other"
        call = Call(task.program, thread, name, self._about(task.tid, name, args))
        self.seen[call] += 1
        self.order.append((call, self.seen[call]))
        if self.order[-1] == self.kill:
            os.kill(task.pid, signal.SIGKILL)
            self.victims.append(task.pid)
            self.seen.clear()

    def _about(self, tid, name, args):
        if name in FD_FIRST:
            return self._descriptor(tid, args[0])
        if name in FD_LATER:
            return self._descriptor(tid, args[FD_LATER[name]])
        if name in PATH_FIRST:
            return self._plain(self._text(tid, args[0]) + (" " + self._text(tid, args[1]) if name == "rename" else ""))
        if name not in PATH_AT:
            return ""
        path = self._text(tid, args[1])
        if not path.startswith("/"):
            path = f"{self._descriptor(tid, args[0])}/{path}"
        return self._plain(path + (" " + self._text(tid, args[3]) if name.startswith("rename") else ""))

    def _plain(self, path):
        return re.sub(r"\d+", "N", path.replace(self.directory, ""))

    def _descriptor(self, tid, number):
        number &= 0xffffffff
        if number == 0xffffffff:
            return ""
        try:
            return self._plain(re.sub(r":\[\d+\]", "", os.readlink(f"/proc/{tid}/fd/{number}")))
        except OSError:
            return "nothing"  # closed, or the working directory

    @staticmethod
    def _text(tid, address):
        try:
            with open(f"/proc/{tid}/mem", "rb") as memory:
                memory.seek(address)
                return memory.read(256).split(b"\0")[0].decode(errors="replace")
        except OSError:
            return "?"
