# SPDX-License-Identifier: LGPL-2.1-or-later
"""
No memory, at each allocation

tests/faults/allocation.c lets one allocation of holdfastd or of the signer fail: the C library's, mmap(2)'s and the
arena's that OpenSSL lives in. Each operation below runs with the first allocation failing, then the second, and so on
until it no longer comes to that one; then the same with all allocations failing for a while from there on. Whatever
happens: nobody dies by a signal, the caller gets a named error or his connection ends, what was acknowledged is
there, nothing half is visible, and the next caller is served without anybody's help.

HOLDFAST_ALLOCATIONS=all tries every one; otherwise at most HOLDFAST_ALLOCATION_POINTS (8) of an operation, process and mode,
spread evenly; a start, which costs the launcher's pauses, is tried at five eighths of them.
"""
import collections
import contextlib
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import tempfile

from jeepney import DBusErrorResponse

import case
from certificates import Authority, Certificate, build
from cryptography.hazmat.primitives import serialization
from judge import exported, lines
from peer import NAME, ROOT as PATH, Peer, Refused, plain, secret_fd, variants
from stack import ADMIN, BUILD, Stack, wait_for

MESSAGE = b"no memory"
FAULTY = BUILD / os.environ.get("HOLDFAST_FAULTY", "tests/faults")
EVERY = os.environ.get("HOLDFAST_ALLOCATIONS") == "all"
POINTS = 1 << 30 if EVERY else int(os.environ.get("HOLDFAST_ALLOCATION_POINTS", "8"))
SLACK = 8  # what a process may keep of an operation besides
# What a caller may be told: nothing that blames him, the store or the disk.
TRUE_ANSWERS = {"Internal", "org.freedesktop.DBus.Error.NoMemory", "SignerFailed", "SignerUnavailable", "LogFailed",
                "DaemonUnavailable"}
# The bus's words for an ended connection, and for one that is not back yet.
GONE = {"org.freedesktop.DBus.Error." + e for e in ("NoReply", "ServiceUnknown", "NameHasNoOwner")}


class Allocations:
    """tests/faults/allocation.h of one program."""

    FIELDS = ["armed", "first", "length", "count", "failed", "live"]

    def __init__(self, program):
        path = pathlib.Path(f"{program}.allocations")
        path.write_bytes(bytes(4096))
        path.chmod(0o666)
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 8 * len(self.FIELDS))

    def get(self, field):
        return struct.unpack_from("q", self.memory, 8 * self.FIELDS.index(field))[0]

    def set(self, **values):
        for field, value in values.items():
            struct.pack_into("q", self.memory, 8 * self.FIELDS.index(field), value)

    def arm(self, first=0, length=0):
        self.set(count=0, failed=0, first=first, length=length)
        self.set(armed=1)

    def disarm(self):
        self.set(armed=0)


def answered_in_time(connect):
    """Hello has no time-out of its own."""
    def over(*_):
        raise TimeoutError("nobody answers")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(10)
    try:
        return connect()
    finally:
        signal.alarm(0)


class FaultyStack(Stack):
    """Programs whose allocations fail; says what became of them since it was last asked."""

    def __init__(self, **options):
        super().__init__(daemon_args=["--checkpoint-seconds=86400"], **options)
        self.allocations = {}
        self.log_read = 0
        for name, room in {"holdfastd": "daemon", "holdfast-signer": "signer"}.items():
            program = self.program(f"{room}/{name}")
            shutil.copy(FAULTY / name, program)
            self.allocations[name] = Allocations(program)

    def ends(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_read)
            text = log.read()
            self.log_read = log.tell()
        signals = re.findall(rb"\S+ was ended by signal (?!15\b).*", text)
        assert not signals, f"{signals} {text.decode(errors='replace')}"
        ends = [(name.decode(), int(status)) for name, status in re.findall(rb"(\S+) ended with status (\d+)", text)]
        assert all(status in (0, 1, 2) for _, status in ends), text.decode(errors="replace")
        return ends

    def peer(self, uid=None, groups=()):
        return answered_in_time(lambda: Peer(self.socket, uid, groups, timeout=10))

    def is_ready(self):
        with contextlib.suppress(OSError, EOFError, Refused, DBusErrorResponse):
            now = self.status()
            return now["state"] == "ready" and now.get("signer") == "connected"

    def ready_again(self):
        """Both run and the store is open, by themselves. Then nobody may have died but with a status of his own."""
        wait_for(self.is_ready, "the store to be open again")
        return self.ends()


class Operation:
    """run() does it once and notes how it was answered; check() looks afterwards whether that was true."""

    points, row = POINTS, 12  # of each process; how many fail in a row in the second mode

    def __init__(self, stack):
        self.stack = stack
        self.number = 0

    def prepare(self):
        self.number += 1

    def connect(self):
        return self.stack.peer(ADMIN)

    def run(self):
        self.answer = "ok"
        try:
            with self.connect() as admin:
                self.act(admin)
        except Refused as refused:
            self.answer = refused.name
        except DBusErrorResponse as refused:  # to Hello
            self.answer = refused.name
        except (OSError, EOFError) as lost:
            self.answer = f"connection lost: {lost!r}"
            if isinstance(lost, TimeoutError):
                raise AssertionError("no answer") from lost

    @property
    def acknowledged(self):
        return self.answer == "ok"

    def check(self, admin):
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
            admin.sign(self.name, MESSAGE)
            admin.destroy(self.name)


class Sign(Operation):
    total = 0

    def act(self, admin):
        assert admin.sign("device-base", MESSAGE)
        Sign.total += 1


class SignOverBus(Sign):
    def connect(self):
        return answered_in_time(lambda: Peer(str(self.stack.dir / "system_bus"), ADMIN, timeout=10))


class List(Operation):
    def act(self, admin):
        assert [k["name"] for k in admin.keys()] == ["device-base"]


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


class CertSet(Operation):
    """What is told of a certificate is true, or is said of memory: a good one is not called bad for want of it."""
    chain = None

    def prepare(self):
        super().prepare()
        self.name = f"web{self.number}"
        if not self.chain:
            with self.stack.peer(ADMIN) as admin:
                public = serialization.load_pem_public_key(admin.public_key("device-base"))
            ca = Authority("no memory")
            self.chain = Certificate(build("web", None, ca, public=public), None).pem + ca.pem

    def set(self, admin):
        admin.manager("SetCertificate", "saya{sv}", self.name, self.chain,
                      variants({"key": "device-base", "layout": "named", "trust": self.chain}))

    def remove(self, admin):
        admin.call(f"{PATH}/identity/{self.name}", NAME + ".Identity", "RemoveCertificate", "a{sv}", {})

    def act(self, admin):
        self.set(admin)

    def check(self, admin):
        page, _ = admin.manager("ListIdentities", "a{sv}", variants({"pattern": self.name}))
        files = self.stack.dir / "run/tls" / self.name
        assert page or not self.acknowledged, f"{self.name} was acknowledged and is gone"
        if page:
            if self.acknowledged:
                assert (files / "fullchain.pem").read_bytes() == self.chain
            self.remove(admin)
        assert not os.path.lexists(files)


class CertRemove(CertSet):
    def prepare(self):
        super().prepare()
        with self.stack.peer(ADMIN) as admin:
            self.set(admin)

    def act(self, admin):
        self.remove(admin)

    def check(self, admin):
        page, _ = admin.manager("ListIdentities", "a{sv}", variants({"pattern": self.name}))
        assert not (page and self.acknowledged), f"{self.name} was removed and is back"
        try:
            if page:
                self.remove(admin)
        except Refused as refused:  # the one before went on although its caller is gone
            assert refused.name == "NoSuchIdentity"


class SlotAdd(Operation):
    def act(self, admin):
        admin.manager("AddSlot", "sa{sv}", "passphrase",
                      {"secret": ("h", secret_fd(b"secret")), "label": ("s", f"s{self.number}")})

    def check(self, admin):
        added = [plain(s) for s in admin.manager("ListSlots") if plain(s)["label"] == f"s{self.number}"]
        assert added or not self.acknowledged, "an acknowledged slot is gone"
        for slot in added:
            admin.manager("RemoveSlot", "ua{sv}", slot["id"], {})


class Backup(Operation):
    def act(self, admin):
        with tempfile.TemporaryFile() as output:
            admin.manager("Backup", "ha{sv}", output.fileno(), {})
            assert output.tell() or os.fstat(output.fileno()).st_size > 4096


class Reload(Operation):
    def act(self, admin):
        admin.manager("ReloadPolicy")


class Export(Operation):
    def act(self, admin):
        assert exported(admin)


class Start(Operation):
    """holdfastd is ended; the next one, or the one before it on its way out, comes into the fault."""

    points, row = POINTS * 5 // 8, 3  # each costs the pauses of the launcher

    def ended(self):
        return self.stack.daemon_pid()

    def run(self):
        self.answer = "ok"
        self.stack.kill(self.ended(), signal.SIGTERM)
        wait_for(self.stack.is_ready, "the store to be open again")


class StartSigner(Start):
    def ended(self):
        return self.stack.signer_pid()


def points_of(count, limit):
    if count <= limit:
        return list(range(1, count + 1))
    return sorted({1 + i * count // limit for i in range(limit)})


def measure(stack, operation, allocations):
    operation.prepare()
    allocations.arm()
    operation.run()
    allocations.disarm()
    stack.ready_again()
    assert operation.acknowledged, f"refused with all memory there: {operation.answer}"
    with stack.peer(ADMIN) as admin:
        operation.check(admin)
    return allocations.get("count")


def fail_at(stack, operation, allocations, first, length):
    """Did anything fail?"""
    operation.prepare()
    allocations.arm(first, length)
    operation.run()
    allocations.disarm()
    ends = stack.ready_again()
    with stack.peer(ADMIN) as admin:
        operation.check(admin)
    answer = operation.answer
    check_answer(answer)
    if not operation.acknowledged:
        again(stack, operation)
    stack.ends()
    return allocations.get("failed") > 0, ends, answer


def check_answer(answer):
    assert answer == "ok" or answer.startswith("connection lost") or answer in TRUE_ANSWERS | GONE, f"answered {answer}"


def again(stack, operation):
    """The same with memory: done."""
    answer = operation.answer

    def done():
        operation.prepare()
        operation.run()
        return operation.answer not in {"Busy", *GONE}  # the one before goes on although its caller is gone

    wait_for(done, "the operation before to end")
    assert operation.acknowledged, f"after {answer}, with memory again: {operation.answer}"
    with stack.peer(ADMIN) as admin:
        operation.check(admin)


class Balance:
    """Blocks of a process that are not freed, so long as it is the same process."""

    def __init__(self, pid_of, allocations):
        self.pid_of, self.allocations = pid_of, allocations
        self.begin()

    def begin(self):
        self.pid, self.live, self.failures = self.pid_of(), self.allocations.get("live"), 0

    def note(self, failed):
        if self.pid_of() != self.pid:
            self.begin()
        elif failed:
            self.failures += 1
            wait_for(lambda: self.grown() < SLACK + self.failures, f"{self.grown()} blocks more after "
                     f"{self.failures} failures to be free")  # what is still going on holds some for a moment

    def grown(self):
        return self.allocations.get("live") - self.live


def sweep_program(stack, operation, program, length):
    allocations = stack.allocations[program]
    count = measure(stack, operation, allocations)  # and what a library keeps of its first time is there then
    balance = Balance({"holdfastd": stack.daemon_pid, "holdfast-signer": stack.signer_pid}[program], allocations)
    points = points_of(count, operation.points)
    answers, died, failed = collections.Counter(), collections.Counter(), 0
    for first in points:
        try:
            hit, ends, answer = fail_at(stack, operation, allocations, first, length)
            balance.note(hit)
        except (AssertionError, Refused, TimeoutError) as wrong:
            raise AssertionError(f"{program}: allocation {first} and {length - 1} more: {wrong}") from wrong
        failed += hit
        answers[answer.split(":")[0]] += 1
        died.update(ends)
    print(f"  {type(operation).__name__}: {program}: {count} allocations, {failed} of {len(points)} tried failed "
          f"({length} in a row): {dict(answers)}, ended {dict(died)}", flush=True)
    return len(points), failed


def sweep(kind):
    if not FAULTY.joinpath("holdfastd").exists():
        raise case.Skip("built with a sanitizer, which has a heap of its own")
    with FaultyStack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-base", "p256")
        operation = kind(stack)
        Sign.total = tried = failed = 0
        for program in stack.allocations:
            for length in (1, operation.row):
                t, f = sweep_program(stack, operation, program, length)
                tried, failed = tried + t, failed + f
        assert failed >= max(tried // 2, 10), "too few allocations to be true"
        audit(stack)


def audit(stack):
    """After one more start: what was acknowledged is in the store and in the log, and both agree."""
    stack.kill(stack.daemon_pid())
    wait_for(stack.is_ready, "the store to be open again")
    with stack.peer(ADMIN) as admin:
        assert [k["name"] for k in admin.keys()] == ["device-base"]
        log = exported(admin)
    assert len(lines(log, "key.sign")) >= Sign.total
    stack.verify(log, stack.auditor_key())


def test_signing_without_memory():
    sweep(Sign)


def test_signing_over_the_bus_without_memory():
    sweep(SignOverBus)


def test_listing_without_memory():
    sweep(List)


def test_creating_without_memory():
    sweep(Create)


def test_destroying_without_memory():
    sweep(Destroy)


def test_setting_a_certificate_without_memory():
    sweep(CertSet)


def test_removing_a_certificate_without_memory():
    sweep(CertRemove)


def test_adding_a_slot_without_memory():
    sweep(SlotAdd)


def test_backing_up_without_memory():
    sweep(Backup)


def test_reloading_policy_without_memory():
    sweep(Reload)


def test_exporting_the_log_without_memory():
    sweep(Export)


def test_starting_without_memory():
    sweep(Start)


def test_starting_the_signer_without_memory():
    sweep(StartSigner)


if __name__ == "__main__":
    case.main()
