#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
kill -9 at the system calls of each operation

How points are counted and reached is in harness/sweep.py. After each death the launcher has started both programs again, and
then: the service is ready, or in a state with a name from which the operation that was cut short leads on; what was
acknowledged is there; nothing half is visible; and both verifiers accept the log (one that goes on over many deaths is looked at
after each tenth and the last).

Create, sign, destroy, adding and changing a slot are swept whole, of the others SAMPLE points each, evenly over the time they
take. HOLDFAST_KILL=all sweeps everything whole.
"""
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys

import case
from certificates import Authority, Certificate, build
from cryptography.hazmat.primitives import serialization
from judge import exported, lines, signature_is_good
from peer import NAME, ROOT as PATH, Refused, plain, secret_fd, variants
from stack import ADMIN, ROOT, end_with_parent
from sweep import Operation, sweep
from tracer import Tracer

MESSAGE = b"kill sweep"
SAMPLE = 6
UNATTENDED = variants({"unattended": True})


# Keys


class Create(Operation):
    def prepare(self):
        self.number += 1
        self.name = f"device-c{self.number}"

    def act(self, admin):
        admin.create(self.name, "p256")

    def check(self, admin, state):
        there = [k for k in admin.keys() if k["name"] == self.name]
        assert there or not self.acknowledged, f"{self.name} was acknowledged and is gone"
        if there:
            assert signature_is_good(admin.public_key(self.name), MESSAGE, admin.sign(self.name, MESSAGE)), self.name


class Import(Create):
    programs = ("holdfastd", "signer", "import")
    daemon_args = ("--import=yes",)

    def setup(self):
        super().setup()
        self.pem = self.stack.dir / "import.pem"
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.pem],
                       check=True)

    def act(self, admin):
        with open(self.pem, "rb") as pem:
            admin.manager("ImportKey", "sha{sv}", self.name, pem.fileno(), {})


class Sign(Operation):
    total = 0

    def act(self, admin):
        assert admin.sign("device-base", MESSAGE)
        self.total += 1

    def finish(self, admin):
        assert len(lines(self.verify(admin), "key.sign")) >= self.total


class SignCounted(Operation):
    """The first use of a key, which reserves a block. A death forfeits uses and never grants one."""
    uses = 1000
    options = {"rules": f"allow user={ADMIN} op=operate,manage,audit\n"
                        f"allow user={ADMIN} key=device-* op=sign uses={uses} name=counted\n"}

    def prepare(self):
        self.number += 1
        self.name = f"device-u{self.number}"
        with self.stack.peer(ADMIN) as admin:
            admin.create(self.name, "ed25519")

    def act(self, admin):
        assert admin.sign(self.name, MESSAGE)

    def check(self, admin, state):
        assert self.reserved(admin) or not self.acknowledged
        assert admin.sign(self.name, MESSAGE)
        reserved = self.reserved(admin)
        assert reserved[-1]["left"] == self.uses - sum(r["count"] for r in reserved), reserved

    def reserved(self, admin):
        log = lines(exported(admin))
        done = {r["ref"] for r in log if r["event"] == "done"}
        return [r for r in log if r["event"] == "uses.reserve" and r["name"] == self.name and r["seq"] in done]


class Destroy(Operation):
    def prepare(self):
        self.number += 1
        self.name = f"device-d{self.number}"
        with self.stack.peer(ADMIN) as admin:
            admin.create(self.name, "ed25519")

    def act(self, admin):
        admin.destroy(self.name)

    def check(self, admin, state):
        there = [k for k in admin.keys() if k["name"] == self.name]
        assert not (there and self.acknowledged), f"{self.name} was destroyed and is back"
        if there:
            assert admin.sign(self.name, MESSAGE)
            admin.destroy(self.name)
        else:
            try:
                admin.sign(self.name, MESSAGE)
                raise AssertionError("a destroyed key signs")
            except Refused as refused:
                assert refused.name == "NoSuchKey"


class Disable(Operation):
    """Once it was acknowledged the key has the new flag, else the old or the new."""
    member, before = "Disable", None
    was, becomes = ("enabled", False), ("disabled", False)  # state, frozen

    def prepare(self):
        self.number += 1
        name = f"device-k{self.number}"
        with self.stack.peer(ADMIN) as admin:
            self.uuid = admin.create(name, "ed25519")["uuid"]
            if self.before:
                admin.key(name, self.before)

    def act(self, admin):
        admin.key(f"device-k{self.number}", self.member)

    def check(self, admin, state):
        options = variants({"retired": True, "pattern": f"device-k{self.number}"})
        found = [plain(k) for k in admin.manager("ListKeys", "a{sv}", options)[0]]
        now = [(k["state"], k["frozen"]) for k in found if k["uuid"] == self.uuid]
        assert now == [self.becomes] or (now == [self.was] and not self.acknowledged), now


class Enable(Disable):
    member, before = "Enable", "Disable"
    was, becomes = Disable.becomes, Disable.was


class Freeze(Disable):
    member, becomes = "Freeze", ("enabled", True)


class Retire(Disable):
    member, becomes = "Retire", ("retired", False)


# Certificates


class CertSet(Operation):
    """Over what was there before. Row and files are both the old ones or both the new ones, once the service is back."""

    def setup(self):
        super().setup()
        with self.stack.peer(ADMIN) as admin:
            public = serialization.load_pem_public_key(admin.public_key("device-base"))
        ca = Authority("sweep")
        self.chains = [Certificate(build(f"chain {i}", None, ca, public=public), None).pem + ca.pem for i in range(2)]
        self.tls = self.stack.dir / "run/tls"

    def set(self, admin, chain):
        admin.manager("SetCertificate", "saya{sv}", self.name, chain, variants({"key": "device-base"}))

    def remove(self, admin):
        admin.call(f"{PATH}/identity/{self.name}", NAME + ".Identity", "RemoveCertificate", "a{sv}", {})

    def prepare(self):
        self.number += 1
        self.name = f"web{self.number}"
        with self.stack.peer(ADMIN) as admin:
            self.set(admin, self.chains[0])

    def act(self, admin):
        self.set(admin, self.chains[1])

    def there(self, admin):
        """The chain by the store, which is that of the files; None: there is none of either."""
        page, _ = admin.manager("ListIdentities", "a{sv}", variants({"pattern": self.name}))
        link = self.tls / self.name
        if not page:
            assert not os.path.lexists(link), "files without an identity"
            return None
        chain = plain(admin.call(f"{PATH}/identity/{self.name}", NAME + ".Identity", "Describe", "a{sv}", {}))["chain"]
        assert chain in self.chains and (link / "fullchain.pem").read_bytes() == chain
        bundle, key = (link / "bundle.pem").read_bytes(), (link / "key.pem").read_bytes()
        assert bundle == chain + key and b"HOLDFAST KEY REFERENCE" in key
        return chain

    def check(self, admin, state):
        chain = self.there(admin)
        assert chain == self.chains[1] or (chain == self.chains[0] and not self.acknowledged)
        self.remove(admin)
        assert not [e for e in os.listdir(self.tls) if e.startswith((self.name, f".{self.name}."))], os.listdir(self.tls)
        assert admin.sign("device-base", MESSAGE)


class CertRemove(CertSet):
    def act(self, admin):
        self.remove(admin)

    def check(self, admin, state):
        if self.there(admin) is None:
            return
        assert not self.acknowledged, f"{self.name} was removed and is back"
        super().check(admin, state)


# Slots


def add_slot(admin, label, secret=b"secret"):
    return admin.manager("AddSlot", "sa{sv}", "passphrase", {"secret": ("h", secret_fd(secret)), "label": ("s", label)})


def slots(admin):
    return [plain(s) for s in admin.manager("ListSlots")]


class SlotAdd(Operation):
    def prepare(self):
        self.number += 1

    def act(self, admin):
        add_slot(admin, f"s{self.number}")

    def check(self, admin, state):
        added = [s for s in slots(admin) if s["label"] == f"s{self.number}"]
        assert added or not self.acknowledged, "an acknowledged slot is gone"
        assert len(slots(admin)) == 1 + len(added)
        assert not (self.stack.state / "store/slots.next").exists()
        for slot in added:
            admin.manager("RemoveSlot", "ua{sv}", slot["id"], {})


class SlotRemove(Operation):
    def prepare(self):
        with self.stack.peer(ADMIN) as admin:
            left = [s["id"] for s in slots(admin) if s["label"] == "gone"]
            self.id = left[0] if left else add_slot(admin, "gone")

    def act(self, admin):
        admin.manager("RemoveSlot", "ua{sv}", self.id, {})

    def check(self, admin, state):
        there = self.id in {s["id"] for s in slots(admin)}
        assert not (there and self.acknowledged), "a removed slot is back"
        assert not (self.stack.state / "store/slots.next").exists()


class SlotChange(Operation):
    """The old secret opens, or the new one; once it was acknowledged only the new one."""
    options = {"credential": None}
    after = ("ready", "locked")

    def setup(self):
        self.stack.init("passphrase", secret=("h", secret_fd(b"secret 0")))
        with self.stack.peer(ADMIN) as admin:
            admin.create("device-base", "p256")
            self.slot = slots(admin)[0]["id"]
        self.key = self.stack.auditor_key()
        self.now = self.next = 0

    def prepare(self):
        self.next = self.now + 1
        self.file = (self.stack.state / "store/slots").read_bytes()

    def act(self, admin):
        admin.manager("ChangeSlot", "ua{sv}", self.slot, {"secret": ("h", secret_fd(b"secret %d" % self.next))})

    def states(self):
        """Nothing opens by itself when the signer was killed."""
        return ("locked",) if self.victim == "signer" else self.after

    def opens(self, admin, number):
        try:
            admin.manager("Unlock", "a{sv}", {"secret": ("h", secret_fd(b"secret %d" % number))})
        except Refused as refused:
            assert refused.name == "UnlockFailed", refused
            return False
        return True

    def again(self, state):
        with self.stack.peer(ADMIN) as admin:
            assert state == "ready" or self.opens(admin, self.now)

    def check(self, admin, state):
        changed = (self.stack.state / "store/slots").read_bytes() != self.file
        assert changed or not self.acknowledged, "the old secret opens after all"
        if changed and state == "ready":
            admin.manager("Lock")
            state = "locked"
        if state == "locked":
            assert not (self.acknowledged and self.opens(admin, self.now))
            assert self.opens(admin, self.next if changed else self.now)
        assert admin.sign("device-base", MESSAGE)
        self.now = self.next if changed else self.now


# The service


class Lock(Operation):
    after = ("ready", "locked")

    def states(self):
        """A signer that starts anew has not heard of the order, and the credential opens again."""
        return ("ready",) if self.victim == "signer" else self.after

    def prepare(self):
        """Each time the database has one change to write back when it is closed."""
        with self.stack.peer(ADMIN) as admin:
            admin.manager("Lock")
            admin.manager("Unlock")
            self.wait("ready")
            admin.key("device-base", "Disable")
            admin.key("device-base", "Enable")

    def act(self, admin):
        admin.manager("Lock")

    def again(self, state):
        if state == "locked":
            with self.stack.peer(ADMIN) as admin:
                admin.manager("Unlock")

    def check(self, admin, state):
        assert state == "locked" or not self.acknowledged or self.victim == "signer"
        self.again(state)
        assert admin.sign("device-base", MESSAGE)


class Unlock(Lock):
    def prepare(self):
        super().prepare()
        with self.stack.peer(ADMIN) as admin:
            admin.manager("Lock")

    def act(self, admin):
        admin.manager("Unlock")

    def check(self, admin, state):
        assert state == "ready" or not self.acknowledged
        self.again(state)
        assert admin.sign("device-base", MESSAGE)


class Reload(Operation):
    programs = ("holdfastd",)

    def prepare(self):
        self.number += 1
        self.stack.set_rules(self.stack.rules + f"allow user={ADMIN} key=device-{self.number} op=sign\n")

    def act(self, admin):
        admin.manager("ReloadPolicy")

    def check(self, admin, state):
        assert admin.sign("device-base", MESSAGE)


# Whole stores


class Rekey(Operation):
    replaces = True

    def setup(self):
        super().setup()
        self.stack.stop()
        self.saved = self.save("before")
        self.stack.start()

    def prepare(self):
        """Each time with the same log, because it is copied."""
        self.replace(self.saved)
        self.up()
        self.wait("ready")

    def act(self, admin):
        admin.manager("Rekey", "sa{sv}", "credential", UNATTENDED)

    def check(self, admin, state):
        assert [k["name"] for k in admin.keys()] == ["device-base"]
        assert admin.sign("device-base", MESSAGE)
        assert sorted(os.listdir(self.stack.state)) == ["store"], "something is left beside the store"


class Init(Operation):
    """Afterwards there is no store, and init makes one; or there is one, whole."""
    replaces = True
    after = ("uninitialised", "ready")

    def setup(self):
        pass

    def prepare(self):
        self.replace(None)
        self.up()
        self.wait("uninitialised")

    def act(self, admin):
        admin.manager("Initialise", "sa{sv}", "credential", UNATTENDED)

    def check(self, admin, state):
        if state == "uninitialised":
            assert not self.acknowledged, "an acknowledged store is gone"
            admin.manager("Initialise", "sa{sv}", "credential", UNATTENDED)
            self.wait("ready")
        assert admin.create("device-base", "p256") and admin.sign("device-base", MESSAGE)
        assert sorted(os.listdir(self.stack.state)) == ["store"], "something is left beside the store"
        self.key = self.stack.auditor_key()


class Confirm(Init):
    """The recovery code is typed back, which makes the store the store."""

    def prepare(self):
        super().prepare()
        read, write = os.pipe()
        with self.stack.peer(ADMIN) as admin, os.fdopen(read, "rb") as pipe:
            admin.manager("Initialise", "sa{sv}", "credential", variants({"recovery": ("h", write)}))
            os.close(write)
            self.code = pipe.readline().rstrip(b"\n")

    def act(self, admin):
        admin.manager("ConfirmRecovery", "ha{sv}", secret_fd(self.code), {})


class Start(Operation):
    """The start after a death at `at` in adding a slot; it dies itself, up to three times in a row."""
    programs = ("holdfastd",)
    replaces = starts = True
    deaths = 3
    at = ("renameat", "/state/store/slots.next slots")  # committed, nothing behind it

    def setup(self):
        super().setup()
        self.saved = self.unclean()
        self.up()
        self.wait("ready")

    def unclean(self):
        with Tracer(self.stack, ["holdfastd"]) as tracer, self.stack.peer(ADMIN) as admin:
            add_slot(admin, "counted")
        point = next((c, n) for c, n in tracer.order if (c.name, c.about) == self.at)
        self.stack.launcher.send_signal(signal.SIGSTOP)
        with Tracer(self.stack, ["holdfastd"], kill=point) as tracer:
            try:
                with self.stack.peer(ADMIN) as admin:
                    add_slot(admin, "cut-short")
            except (Refused, OSError, EOFError):
                pass
            tracer.settle()
        assert tracer.victims
        self.down()
        return self.save("unclean")

    def prepare(self):
        self.replace(self.saved)

    def run(self):
        """One call, which waits until the store is open, for each life of the daemon."""
        self.up()
        self.acknowledged = True
        for _ in range(self.deaths + 1):
            try:
                with self.stack.peer(ADMIN) as admin:
                    admin.keys()
                return
            except (OSError, EOFError):
                pass

    def check(self, admin, state):
        assert admin.sign("device-base", MESSAGE)
        assert not (self.stack.state / "store/slots.next").exists()
        there = "cut-short" in {s["label"] for s in slots(admin)}
        log = lines(exported(admin))
        change = [r["seq"] for r in log if r["event"] == "slot.add"][-1]
        assert [r["event"] for r in log if r.get("ref") == change] == ["done" if there else "undone"]
        self.check_outcome(there)

    def check_outcome(self, there):
        assert there, "a committed change was undone"


class StartUndone(Start):
    at = ("pwrite64", "/state/store/store.db-wal")  # the line is durable, nothing of the rows is written

    def check_outcome(self, there):
        assert not there, "a change that was not committed is there"


class StartTorn(Start):
    """The last line was written half."""

    def unclean(self):
        with self.stack.peer(ADMIN) as admin:
            admin.sign("device-base", MESSAGE)
        self.down()
        saved = self.save("unclean")
        segment = saved / "store/audit/000001.jsonl"
        data = segment.read_bytes()
        end = data.index(b"\n\0") + 1
        half = (data.rindex(b"\n", 0, end - 1) + 1 + end) // 2
        segment.write_bytes(data[:half] + b"\0" * (len(data) - half))
        return saved

    def check(self, admin, state):
        assert admin.sign("device-base", MESSAGE)
        assert len(lines(exported(admin), "log.cut")) == 1


class Recover(Operation):
    """An older database beside a newer log. It is refused as it was, or recovered; and from refused it goes on."""
    replaces = True
    after = ("refused", "ready")
    before = "refused"

    def setup(self):
        super().setup()
        self.stack.stop()
        self.make_bad()
        self.saved = self.save("bad")
        self.stack.start()

    def make_bad(self):
        older = self.save("older")
        self.stack.start()
        self.wait("ready")
        with self.stack.peer(ADMIN) as admin:
            admin.create("device-newer", "p256")
        self.stack.stop()
        for file in [*(self.stack.state / "store").glob("store.db*")]:
            file.unlink()
        for file in (older / "store").glob("store.db*"):
            subprocess.run(["cp", "-a", file, self.stack.state / "store"], check=True)

    def prepare(self):
        self.replace(self.saved)
        self.up()
        self.wait(self.before)

    def act(self, admin):
        admin.manager("Recover", "a{sv}", variants({"accept-rollback": True}))

    def check(self, admin, state):
        if state == self.before:
            assert not self.acknowledged, "the recovery was acknowledged and is gone"
            self.act(admin)
            self.wait("ready")
        assert [k["name"] for k in admin.keys()] == ["device-base"]
        assert admin.sign("device-base", MESSAGE)
        assert lines(exported(admin), "store.recover")


class RecoverDamaged(Recover):
    """A line of the log that later ones call durable was changed: the log is set aside and a new one begun."""

    def make_bad(self):
        self.stack.start()
        self.wait("ready")
        with self.stack.peer(ADMIN) as admin:
            for _ in range(3):
                admin.sign("device-base", MESSAGE)
        self.down()
        segment = self.stack.state / "store/audit/000001.jsonl"
        data = bytearray(segment.read_bytes())
        data[data.rindex(b"key.sign", 0, data.rindex(b"key.sign"))] ^= 1
        segment.write_bytes(data)
        self.up()
        self.stack.stop()


class Foreign(Recover):
    """A store of another machine is taken over."""
    after = ("foreign", "ready")
    before = "foreign"

    def setup(self):
        self.machine = self.stack.dir / "machine-id"
        self.machine.write_text("0123456789abcdef0123456789abcdef\n")
        self.stack.stop()
        self.stack.signer_args = [f"--machine-id={self.machine}"]
        self.stack.start()
        super().setup()

    def make_bad(self):
        self.machine.write_text("fedcba9876543210fedcba9876543210\n")

    def act(self, admin):
        admin.manager("Recover")


class Backup(Operation):
    """Afterwards the file is a whole backup, or is refused as one; and it is whole if that was said."""

    def setup(self):
        super().setup()
        self.files = {}
        self.prepare()
        self.run()  # the first one makes a row that later ones change

    def prepare(self):
        self.number += 1
        self.file = self.stack.dir / f"backup-{self.number}"

    def act(self, admin):
        with open(self.file, "wb") as output:
            admin.manager("Backup", "ha{sv}", output.fileno(), {})

    def check(self, admin, state):
        assert admin.sign("device-base", MESSAGE)
        if self.file.exists():
            self.files.setdefault((self.acknowledged, self.file.stat().st_size), self.file)

    def finish(self, admin):
        """One file of each kind, on a machine without a store."""
        super().finish(admin)
        for (acknowledged, _), file in self.files.items():
            self.replace(None)
            self.up()
            self.wait("uninitialised")
            with self.stack.peer(ADMIN) as admin, open(file, "rb") as source:
                try:
                    admin.manager("Restore", "ha{sv}", source.fileno(), {})
                    assert [k["name"] for k in admin.keys()] == ["device-base"]
                except Refused as refused:
                    assert refused.name == "BackupInvalid" and not acknowledged, refused
                    assert self.state() == "uninitialised"


class Restore(Recover):
    """Over a damaged store: it is as it was and says so, or the restored one is there and the damaged one beside it."""
    after = ("refused", "ready", "locked")

    def make_bad(self):
        self.file = self.stack.dir / "backup"
        self.stack.start()
        self.wait("ready")
        with self.stack.peer(ADMIN) as admin, open(self.file, "wb") as output:
            admin.manager("Backup", "ha{sv}", output.fileno(), {})
            admin.create("device-newer", "p256")
        self.stack.stop()
        self.damaged = os.urandom(8192)
        (self.stack.state / "store/store.db").write_bytes(self.damaged)

    def act(self, admin):
        with open(self.file, "rb") as source:
            admin.manager("Restore", "ha{sv}", source.fileno(), {})

    def check(self, admin, state):
        if state == "locked":  # the restore had the signer forget the store that it found
            try:
                admin.manager("Unlock")
            except Refused as refused:
                assert refused.name == "StoreDamaged", refused
            state = self.state()
        if state == self.before:
            assert not self.acknowledged, "the restore was acknowledged and is gone"
            self.act(admin)
            self.wait("ready")
        assert [k["name"] for k in admin.keys()] == ["device-base"]
        assert admin.sign("device-base", MESSAGE)
        assert lines(exported(admin), "store.restore")
        self.check_directories(sorted(os.listdir(self.stack.state)))

    def check_directories(self, there):
        assert there[0] == "store" and all(re.fullmatch(r"store\.replaced-\d+", d) for d in there[1:]), there
        kept = [d for d in there[1:] if (self.stack.state / d / "store.db").read_bytes() == self.damaged]
        assert len(kept) == 1, f"the store that was replaced is not there any more: {there}"


class RestoreEmpty(Restore):
    after = ("uninitialised", "ready")
    before = "uninitialised"

    def setup(self):
        super().setup()
        self.saved = None
        self.prepare()

    def check_directories(self, there):
        assert there == ["store"], there


WHOLE = {"changing_a_slot": SlotChange, "adding_a_slot": SlotAdd, "create": Create, "destroy": Destroy, "sign": Sign}
SAMPLED = {
    "setting_a_certificate": CertSet, "removing_a_certificate": CertRemove,
    "removing_a_slot": SlotRemove, "import": Import, "disable": Disable, "enable": Enable, "freeze": Freeze, "retire": Retire,
    "a_counted_use": SignCounted, "lock": Lock, "unlock": Unlock, "policy_reload": Reload, "rekey": Rekey,
    "init": Init, "init_with_a_recovery_code": Confirm, "start_after_a_committed_change": Start,
    "start_after_an_uncommitted_change": StartUndone, "start_after_a_torn_line": StartTorn, "accepting_a_rollback": Recover,
    "accepting_a_damaged_log": RecoverDamaged, "taking_over_a_foreign_store": Foreign, "backup": Backup,
    "restore_over_a_damaged_store": Restore, "restore_into_nothing": RestoreEmpty,
}
KINDS = {**WHOLE, **SAMPLED}
running = {}


def name_of(operation):
    return f"test_{operation}_survives_a_death_at_every_call"


def result_of(operation):
    """Two sweeps at a time: most of it is waiting for programs to start. The first who asks starts all that were chosen."""
    if not running:
        pool = multiprocessing.get_context("fork").Pool(2, end_with_parent)
        for name, kind in KINDS.items():
            if len(sys.argv) < 2 or name_of(name) in sys.argv:
                whole = name in WHOLE or os.environ.get("HOLDFAST_KILL") == "all"
                running[name] = pool.apply_async(sweep, (kind, 0 if whole else SAMPLE))
    return running[operation].get()


def swept(operation):
    def test():
        if not ROOT or not shutil.which("strace"):
            raise case.Skip("needs root and strace")
        counted, tried, missed = result_of(operation)
        print(f"  {operation}: {counted} points, {tried} tried, killed at {tried - len(missed)}", flush=True)
        assert not missed, missed
        assert counted >= 15, "too few system calls to be true"
    return test


for operation in KINDS:
    globals()[name_of(operation)] = swept(operation)


if __name__ == "__main__":
    case.main()
