#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
kill -9 at the system calls of an operation

First strace counts, for holdfastd's main thread, its other threads and the signer's, how often each system call is
entered while the operation runs. Then for each of these points the operation runs again and the process is
killed at exactly that call. After every death: nothing acknowledged is lost, nothing half is visible, the store opens
by itself, and in the end the auditor's verifier accepts the log. Fewer deaths than points is a failure.

HOLDFAST_SWEEP_POINTS limits the points of each operation (spread evenly; default 0: all of them).
"""
import collections
import os
import pathlib
import re
import shutil
import subprocess

import case
from judge import exported, lines, signature_is_good
from peer import Refused, plain, secret_fd
from stack import ADMIN, ROOT, Stack

MESSAGE = b"kill sweep"
LIMIT = int(os.environ.get("HOLDFAST_SWEEP_POINTS", "0"))
LINE = re.compile(rb"^(\d+) +([a-z_0-9]+)\(")
# Entered before strace was there, or not a call: nothing to kill at.
NOT_A_POINT = {"restart_syscall", "exit", "exit_group"}


def threads(pid):
    return sorted(int(t) for t in os.listdir(f"/proc/{pid}/task"))


class Trace:
    """strace on threads of a running process; `inject` kills it at the nth entry of one system call."""

    def __init__(self, tids, output, inject=None):
        self.output = output
        command = ["strace", "-o", output]  # no -f: that would take the other threads too
        if inject:
            call, nth = inject
            command += ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
        for tid in tids:
            command += ["-p", str(tid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        for _ in tids:
            line = self.process.stderr.readline()
            if b"attached" not in line:
                self.stop()
                raise RuntimeError(f"strace: {line.decode()}")

    def stop(self):
        self.process.terminate()
        self.process.communicate()
        return pathlib.Path(self.output).read_bytes() if pathlib.Path(self.output).exists() else b""


class Target:
    """Some threads of one process, found anew after each restart; choose says which, by their ids."""

    def __init__(self, name, pid_of, choose):
        self.name, self.pid_of, self.choose = name, pid_of, choose

    def tids(self):
        pid = self.pid_of()
        return [t for t in threads(pid) if self.choose(t == pid)]


def targets(stack):
    # The signer's threads take turns at the socket, so any of them may do the work.
    return [Target("holdfastd", stack.daemon_pid, lambda main: main),
            Target("holdfastd workers", stack.daemon_pid, lambda main: not main),
            Target("signer", stack.signer_pid, lambda main: True)]


def count(target, stack, operation):
    """{system call: most entries by one thread}; the kill is by thread, so that many points there are."""
    tids = target.tids()
    if not tids:
        return {}
    trace = Trace(tids, stack.dir / "trace")
    try:
        operation.run()
    finally:
        text = trace.stop()
    seen = collections.Counter()
    for line in text.splitlines():
        match = LINE.match(line if len(tids) > 1 else b"0 " + line)
        if match:
            seen[match[1], match[2].decode()] += 1
    most = {}
    for (_, call), n in seen.items():
        if call not in NOT_A_POINT:
            most[call] = max(most.get(call, 0), n)
    return most


def points_of(most):
    points = [(call, nth) for call, n in sorted(most.items()) for nth in range(1, n + 1)]
    if LIMIT and len(points) > LIMIT:
        points = [points[i * len(points) // LIMIT] for i in range(LIMIT)]
    return points


class Operation:
    """run() does it once and says whether it was acknowledged; check() looks afterwards."""

    def __init__(self, stack):
        self.stack = stack
        self.number = 0
        self.acknowledged = None

    def prepare(self):
        self.number += 1
        self.acknowledged = False

    def run(self):
        try:
            with self.stack.peer(ADMIN) as admin:
                self.act(admin)
            self.acknowledged = True
        except (Refused, OSError, EOFError):
            pass


class Create(Operation):
    def prepare(self):
        super().prepare()
        self.name = f"device-c{self.number}"

    def act(self, admin):
        admin.create(self.name, "p256")

    def check(self, admin):
        there = [k for k in admin.keys() if k["name"] == self.name]
        assert there or not self.acknowledged, f"{self.name} was acknowledged and is gone"
        if there:
            assert signature_is_good(admin.public_key(self.name), MESSAGE, admin.sign(self.name, MESSAGE)), self.name


class Sign(Operation):
    total = 0

    def act(self, admin):
        assert admin.sign("device-base", MESSAGE)
        Sign.total += 1

    def check(self, admin):
        pass  # the log is counted once, at the end


class Destroy(Operation):
    def prepare(self):
        super().prepare()
        self.name = f"device-d{self.number}"
        with self.stack.peer(ADMIN) as admin:
            admin.create(self.name, "ed25519")

    def act(self, admin):
        admin.destroy(self.name)

    def check(self, admin):
        there = [k for k in admin.keys() if k["name"] == self.name]
        assert not (there and self.acknowledged), f"{self.name} was destroyed and is back"
        if there:
            admin.sign(self.name, MESSAGE)
            admin.destroy(self.name)
        else:
            try:
                admin.sign(self.name, MESSAGE)
                raise AssertionError("a destroyed key signs")
            except Refused as refused:
                assert refused.name == "NoSuchKey"


class SlotAdd(Operation):
    def act(self, admin):
        admin.manager("AddSlot", "sa{sv}", "passphrase",
                      {"secret": ("h", secret_fd(b"secret")), "label": ("s", f"s{self.number}")})

    def check(self, admin):
        added = [plain(s) for s in admin.manager("ListSlots") if plain(s)["label"] == f"s{self.number}"]
        assert added or not self.acknowledged, "an acknowledged slot is gone"
        for slot in added:
            admin.manager("RemoveSlot", "ua{sv}", slot["id"], {})


def kill_at(stack, target, operation, point):
    """One point: was the process killed there?"""
    operation.prepare()
    victim = target.pid_of()
    trace = Trace(target.tids(), stack.dir / "trace", point)
    try:
        operation.run()
        killed = not pathlib.Path(f"/proc/{victim}").exists() or stack_died(victim)
    finally:
        trace.stop()
    stack.wait_state("ready")
    stack.wait_signer()
    stack.wait_state("ready")
    with stack.peer(ADMIN) as admin:
        try:
            operation.check(admin)
        except (AssertionError, Refused) as wrong:
            raise AssertionError(f"{target.name} killed at {point}: {wrong}") from wrong
    return killed


def happens_again(stack, target, operation, point):
    """Some calls belong to something that comes now and then, as a new segment of the log: counted once, gone after."""
    operation.prepare()
    most = count(target, stack, operation)
    with stack.peer(ADMIN) as admin:
        operation.check(admin)
    return most.get(point[0], 0) >= point[1]


def stack_died(pid):
    """The reply can be there before the last calls of the operation are: give them a moment to come."""
    from stack import wait_for
    try:
        return wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the victim", 0.3)
    except TimeoutError:
        return False


def sweep(kind):
    if not ROOT or not shutil.which("strace"):
        raise case.Skip("needs root and strace")
    with Stack(daemon_args=["--checkpoint-seconds=86400"]) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-base", "p256")
            admin.sign("device-base", MESSAGE)
        operation = kind(stack)
        killed = counted = once = 0
        missed = []
        for target in targets(stack):
            operation.prepare()
            most = count(target, stack, operation)
            assert operation.acknowledged, "the operation fails under strace"
            points = points_of(most)
            for point in points:
                if kill_at(stack, target, operation, point) or kill_at(stack, target, operation, point):
                    killed += 1
                elif happens_again(stack, target, operation, point):
                    missed.append((target.name, *point))
                else:
                    once += 1
            counted += len(points)
            print(f"  {kind.__name__}: {target.name}: {sum(most.values())} points, {len(points)} tried", flush=True)
        print(f"  {kind.__name__}: killed at {killed} of {counted}, {once} did not come again; missed {missed}", flush=True)
        audit(stack)
        assert counted >= min(LIMIT or 20, 20), "too few system calls to be true"
        assert killed >= counted - once - allowed_misses(missed) and once <= counted // 10, missed


def allowed_misses(missed):
    """Waiting calls depend on what else is under way: the number of rounds of the loop is not fixed."""
    loose = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "ppoll", "poll", "futex", "clock_gettime", "timerfd_settime",
             "recvmsg", "read", "gettid", "getpid", "sched_yield"}
    return sum(1 for _, call, _ in missed if call in loose)


def audit(stack):
    with stack.peer(ADMIN) as admin:
        log = exported(admin)
    assert len(lines(log, "key.sign")) >= Sign.total
    Sign.total = 0
    stack.verify(log, stack.auditor_key())


def test_create_survives_kill_at_every_call():
    sweep(Create)


def test_sign_survives_kill_at_every_call():
    sweep(Sign)


def test_destroy_survives_kill_at_every_call():
    sweep(Destroy)


def test_slot_add_survives_kill_at_every_call():
    sweep(SlotAdd)


if __name__ == "__main__":
    case.main()
