# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the kill sweep does with any operation

The calls that the programs make in it are counted, three times where all are tried and else twice, and once more by strace,
which must not see one that was not counted. Each counted call is a point: the operation runs again and the process dies at that
call; a point that does not come is tried again, and one that never comes is missed. Of calls whose number is a matter of
scheduling (tracer.WAITING says why) those are points that came in each count.
"""
import collections
import os
import re
import signal
import subprocess
import sys

from judge import exported
from peer import Refused
from stack import ADMIN, SOURCE, Stack, wait_for
from tracer import NOT_A_POINT, Tracer, WAITING, gone, kind_of_waiting, program_by

sys.path.insert(0, str(SOURCE / "tests/peers"))
import verify_log  # noqa: E402

TRIES = 40
VERIFY_EVERY = 10  # a log that goes on and was bad once stays bad
STRACE_LINE = re.compile(rb"^(\d+) +([a-z_0-9]+)\((?:\d+<([^>]*)>)?")
STRACE_EXEC = re.compile(rb"\[(.*?)\]")


class Operation:
    """act() does it once; check() looks after a death, when the service is there again in one of the states of `after`."""
    programs = ("holdfastd", "signer")
    starts = False   # traced from the start of the program on
    deaths = 1
    replaces = False  # each time begins with another log, which is looked at by both verifiers each time
    after = ("ready",)
    options = {}     # of the stack
    daemon_args = ()

    def __init__(self, stack):
        self.stack = stack
        self.number = 0
        self.acknowledged = False
        self.victim = None

    def setup(self):
        self.stack.init()
        with self.stack.peer(ADMIN) as admin:
            admin.create("device-base", "p256")
            admin.sign("device-base", b"first")
        self.key = self.stack.auditor_key()

    def prepare(self):
        """Before each time."""

    def run(self):
        try:
            with self.stack.peer(ADMIN) as admin:
                self.act(admin)
            self.acknowledged = True
        except (Refused, OSError, EOFError):
            pass

    def states(self):
        """In which of them it may be after this death."""
        return self.after

    def check(self, admin, state):
        """Looks at what is left, with the service in that state."""

    def again(self, state):
        """After a death between two times."""

    def finish(self, admin):
        """When all is over."""
        self.verify(admin)

    # The state directory

    def save(self, name):
        """A copy of the state as it lies there; nothing may run on it."""
        aside = self.stack.dir / name
        subprocess.run(["cp", "-a", self.stack.state, aside], check=True)
        return aside

    def down(self):
        """Both programs dead, and the launcher held so that it does not start them."""
        self.stack.launcher.send_signal(signal.SIGSTOP)
        for pid in (self.stack.daemon_pid(), self.stack.signer_pid()):
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: gone(pid), f"{pid} to be gone")

    def up(self):
        self.stack.launcher.send_signal(signal.SIGCONT)

    def replace(self, saved):
        """Both programs down and another state in the place of today's; None for none."""
        self.down()
        for path in self.stack.state.iterdir():
            subprocess.run(["rm", "-rf", path], check=True)
        if saved:
            subprocess.run(["cp", "-a", f"{saved}/.", self.stack.state], check=True)

    def wait(self, *states):
        """Twice, because the first answer may be older than the death of a signer."""
        for _ in range(2):
            wait_for(lambda: self.state() in states, f"one of {states}")
        return self.state()

    def state(self):
        try:
            status = self.stack.status()
        except (OSError, EOFError, Refused):
            return "away"
        return status["state"] if status.get("signer") == "connected" else "without signer"

    def verify(self, admin):
        """By both verifiers."""
        log = exported(admin)
        self.stack.verify(log, self.key)
        verdict = verify_log.verify(self.stack.dir / "audit.jsonl", self.key, None)
        assert verdict.startswith("good"), verdict
        return log


class Sweep:
    def __init__(self, operation):
        self.operation, self.stack = operation, operation.stack
        self.looks = 0

    def run(self, sample):
        """(points, those tried, those missed); sample: how many to try, 0: all."""
        self.operation.setup()
        points = self._count(2 if sample else 3)
        self._compare(points, self._strace())
        tried = [points[i * len(points) // sample] for i in range(sample)] if sample else points
        missed, program = [], None
        for point in sorted(tried, key=lambda p: p[0].program):
            if point[0].program != program:
                program = point[0].program
                self._fresh()
            if not self._kill_at(point):
                missed.append(point)
        with self.stack.peer(ADMIN) as admin:
            self.operation.finish(admin)
        return len(points), len(tried), missed

    def _once(self, programs, kill=None):
        """The operation under the tracer, then the look at what is left."""
        operation = self.operation
        operation.prepare()
        operation.acknowledged = False
        with Tracer(self.stack, programs, kill, operation.starts or "import" in programs, operation.deaths) as tracer:
            operation.run()
            tracer.settle()
        operation.victim = kill[0].program if tracer.victims else None
        try:
            self._look()
        except (AssertionError, Refused, TimeoutError) as wrong:
            raise AssertionError(f"killed at {kill}, acknowledged {operation.acknowledged}: {wrong}") from wrong
        return tracer

    def _look(self):
        operation = self.operation
        state = operation.wait(*operation.states())
        self.looks += 1
        with self.stack.peer(ADMIN) as admin:
            operation.check(admin, state)
            if operation.replaces or self.looks % VERIFY_EVERY == 0:
                operation.verify(admin)

    def _fresh(self):
        """Each count, and the first point, begins with processes that have done nothing yet."""
        for program, pid_of in (("holdfastd", self.stack.daemon_pid), ("signer", self.stack.signer_pid)):
            if program in self.operation.programs and not self.operation.starts:
                self.stack.kill(pid_of())
                self.operation.acknowledged, self.operation.victim = False, program
                self.operation.again(self.operation.wait(*self.operation.states()))

    def _count(self, times):
        """[(call, nth)] in the order of the first count."""
        runs = []
        for _ in range(times):
            self._fresh()
            runs.append(self._once(self.operation.programs))
            assert self.operation.acknowledged, "the operation fails when it is traced"
        want = {}
        for call in set().union(*(r.seen for r in runs)):
            numbers = [r.seen[call] for r in runs]
            want[call] = min(numbers) if kind_of_waiting(call) else max(numbers)
        return list(dict.fromkeys((c, n) for r in runs for c, n in r.order if n <= want[c]))

    def _kill_at(self, point):
        for _ in range(TRIES):
            if self._once([point[0].program], point).victims:
                return True
            self._fresh()
        return False

    # strace as a witness

    def _strace(self):
        """{(program, call): how often}, without calls of scheduling."""
        operation = self.operation
        self._fresh()
        if not operation.starts:
            with self.stack.peer(ADMIN) as admin:
                exported(admin)  # which waits for the checkpoint that the opening left under way
                admin.status()  # and this for what the export has to put away
        operation.prepare()
        operation.victim = None
        pids = {} if operation.starts else {self.stack.daemon_pid(): "holdfastd", self.stack.signer_pid(): "signer"}
        running = {t: name for pid, name in pids.items() if name in operation.programs for t in self._threads(pid)}
        launcher = [self.stack.launcher.pid] if operation.starts or "import" in operation.programs else []
        attach = [a for p, name in pids.items() if name in operation.programs for a in ("-p", str(p))]
        attach += [a for p in launcher for a in ("-p", str(p))]
        output = self.stack.dir / "strace"
        process = subprocess.Popen(["strace", "-f", "-y", "-o", output, *attach], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in attach[::2]:
            assert b"attached" in process.stderr.readline()
        operation.run()
        if operation.starts:
            running = {t: "holdfastd" for t in self._threads(self.stack.daemon_pid())}
            running.pop(self.stack.daemon_pid())
        process.terminate()
        process.communicate()
        self._look()
        return self._read_strace(output.read_bytes(), running, operation.programs)

    @staticmethod
    def _threads(pid):
        return [int(t) for t in os.listdir(f"/proc/{pid}/task")]

    @staticmethod
    def _read_strace(text, running, programs):
        """running: {thread: program}, of those that run already; others begin to count when they have become a program."""
        seen, running = collections.Counter(), dict(running)
        for line in text.splitlines():
            match = STRACE_LINE.match(line)
            if not match:
                continue
            tid, name, about = int(match[1]), match[2].decode(), match[3] or b""
            if name == "execve":
                running[tid] = program_by(re.sub(rb'"', b"", STRACE_EXEC.search(line)[1]).split(b", "))
            elif running.get(tid) in programs and name not in WAITING and name not in NOT_A_POINT and \
                    not (name in ("read", "write") and about.startswith(b"anon_inode:")) and \
                    not (name == "fdatasync" and b"/audit/" in about):
                seen[running[tid], name] += 1
        return seen

    @staticmethod
    def _compare(points, strace):
        counted = collections.Counter((c.program, c.name) for c, _ in points if not kind_of_waiting(c))
        more = {k: (n, counted[k]) for k, n in strace.items() if n > counted[k]}
        assert not more, f"strace has seen calls that were not counted: {more}"
        assert sum(strace.values()) >= 0.8 * sum(not kind_of_waiting(c) for c, _ in points), "strace has seen too little"


def sweep(kind, sample):
    """In a stack of its own."""
    with Stack(bus=False, backoff=1, daemon_args=["--checkpoint-seconds=86400", "--segment-size=4M", *kind.daemon_args],
               **kind.options) as stack:
        return Sweep(kind(stack)).run(sample)
