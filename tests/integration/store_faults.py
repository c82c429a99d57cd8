#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What lies on the disk was changed while nobody watched: the store refuses by name, says the numbers, touches nothing, and
an operator can go on from there.

Cases S01-S04, S07-S10, S12, A03, A04 as a whole service shows them; every bit of each room's files is turned in
tests/unit/store and tests/unit/audit, rows edited by somebody with the database key (S11, S13) in tests/unit/store.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess

import case
from judge import exported, lines
from peer import Refused, plain, refusal, secret_fd, variants
from stack import ADMIN, DAEMON, ROOT, SIGNER, Stack, wait_for

MESSAGE = b"as it was"
VERIFICATION_FAILED = 8
SEED = int(os.environ.get("HOLDFAST_SEED", "20260811"))
FLIPS = int(os.environ.get("HOLDFAST_FLIPS", "45"))


@contextlib.contextmanager
def ready(**options):
    with Stack(bus=False, **options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "ed25519")
            admin.create("device-b", "p256")
            admin.sign("device-a", MESSAGE)
        yield stack


def store(stack):
    return stack.state / "store"


def copy_of(stack, name):
    aside = stack.dir / name
    shutil.rmtree(aside, ignore_errors=True)
    subprocess.run(["cp", "-a", stack.state, aside], check=True)
    return aside / "store"


def put_back(stack, saved, *names):
    """Files or directories of an older copy in the place of today's."""
    for name in names:
        target = store(stack) / name
        subprocess.run(["rm", "-rf", target], check=True)
        if (saved / name).exists():
            subprocess.run(["cp", "-a", saved / name, target], check=True)


DATABASE = ("store.db", "store.db-wal", "store.db-shm")


def hashes(stack, but=("lock", "locked.jsonl", "store.db-shm")):
    return {str(p.relative_to(stack.state)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(stack.state.rglob("*")) if p.is_file() and p.name not in but}


def settled(stack):
    """The state once it is no longer looking."""
    def done():
        with contextlib.suppress(OSError, Refused):
            now = stack.status()
            return now if now["state"] not in ("starting",) and (now["state"] != "locked" or now.get("error")) else None
    return wait_for(done, "the store to open or be refused")


def refused_with(stack, *errors):
    """Starts it and gives the status of a store that refuses."""
    before = hashes(stack)
    stack.start()
    status = settled(stack)
    assert status["state"] in ("refused", "foreign"), status
    assert status["error"].removeprefix("org.holdfast.Keystore1.Error.") in errors, status
    assert status["reason"], status
    said = json.loads(stack.cli("status", "--json", check=False).stdout)
    assert said["error"] == status["error"] and said["reason"] == status["reason"], said
    with stack.peer(ADMIN) as admin:
        for call in (lambda: admin.sign("device-a", MESSAGE), lambda: admin.create("more", "p256"), admin.keys):
            try:
                call()
                raise AssertionError("was answered")
            except Refused as refused:
                assert refused.name in errors, refused
    assert hashes(stack) == before, "a refused store was touched"
    return status


# S03, S04: older copies


def test_an_older_store_beside_the_log_is_rolled_back_and_both_numbers_are_said():
    with ready() as stack:
        stack.stop()
        saved = copy_of(stack, "older")
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.create("device-c", "p256")
            admin.destroy("device-b")
            changes = [r["seq"] for r in lines(exported(admin)) if "state" in r and r["event"].startswith("key.")]
        stack.stop()
        put_back(stack, saved, *DATABASE)
        status = refused_with(stack, "StoreRolledBack")
        assert str(changes[-1]) in status["reason"] and str(changes[-3]) in status["reason"], (changes, status)

        done = stack.cli("recover", "--accept-rollback", "--yes")
        assert done.returncode == 0
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert {k["name"] for k in admin.keys()} == {"device-a", "device-b"}
            assert admin.sign("device-a", MESSAGE) and admin.sign("device-b", MESSAGE)
            log = exported(admin)
        recovered = lines(log, "store.recover")
        assert len(recovered) == 1 and recovered[0]["uid"] == ADMIN
        stack.verify(log, stack.auditor_key())
        stack.restart()
        stack.wait_state("ready")


def test_counted_uses_do_not_come_back_by_an_accepted_rollback():
    rules = (f"allow user={ADMIN} op=operate,manage,audit\n"
             f"allow user={ADMIN} key=device-* op=sign uses=4 name=counted\n")
    with Stack(bus=False, rules=rules) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            admin.create("device-b", "p256")
            admin.sign("device-b", MESSAGE)
        stack.stop()
        saved = copy_of(stack, "older")
        stack.start()
        stack.wait_state("ready")

        def nothing_left():
            with stack.peer(ADMIN) as admin:
                for name in ("device-a", "device-b"):
                    assert refusal(admin.sign, name, MESSAGE).name == "UsesExhausted"
        with stack.peer(ADMIN) as admin:
            for name, left in (("device-a", 4), ("device-b", 3)):
                for _ in range(left):
                    admin.sign(name, MESSAGE)
        nothing_left()
        stack.stop()
        put_back(stack, saved, *DATABASE)
        refused_with(stack, "StoreRolledBack")
        stack.cli("recover", "--accept-rollback", "--yes")
        stack.wait_state("ready")
        nothing_left()
        stack.restart()
        stack.wait_state("ready")
        nothing_left()
        stack.cli("policy", "grant", "device-b", "counted", "--uses", "2")
        with stack.peer(ADMIN) as admin:
            admin.create("device-c", "p256")
            for name, left in (("device-b", 2), ("device-c", 4)):
                for _ in range(left):
                    admin.sign(name, MESSAGE)
                assert refusal(admin.sign, name, MESSAGE).name == "UsesExhausted"


def test_an_older_log_beside_the_store_is_a_truncated_log():
    with ready() as stack:
        stack.stop()
        saved = copy_of(stack, "older")
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.create("device-c", "p256")
        stack.stop()
        put_back(stack, saved, "audit")
        status = refused_with(stack, "LogTruncated", "StoreRolledBack")
        assert sum(c.isdigit() for c in status["reason"]) >= 2, status
        stack.cli("recover", "--accept-rollback", "--yes")
        stack.wait_state("ready")


def test_a_log_that_is_gone_with_its_directory_is_begun_anew_by_the_remedy_named():
    with ready() as stack:
        stack.stop()
        shutil.rmtree(store(stack) / "audit")
        refused_with(stack, "LogTruncated")
        shown = stack.cli("audit", "show", check=False)
        assert shown.returncode != 0 and b"no store yet" not in shown.stderr, shown
        found = stack.cli("doctor", check=False).stdout
        assert b"holdfast recover --accept-rollback" in found, found
        stack.cli("recover", "--accept-rollback", "--yes")
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert admin.sign("device-a", MESSAGE)
            log = exported(admin)
        assert len(lines(log, "store.recover")) == 1
        stack.verify(log, stack.auditor_key())
        assert not list(store(stack).glob("audit.damaged-*")), "there was nothing to set aside"
        stack.restart()
        stack.wait_state("ready")


def test_an_older_slots_file_is_refused_so_an_old_passphrase_opens_nothing():
    with ready() as stack:
        stack.stop()
        saved = copy_of(stack, "older")
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.manager("AddSlot", "sa{sv}", "passphrase", variants({"secret": ("h", secret_fd(b"a passphrase"))}))
        stack.stop()
        put_back(stack, saved, "slots")
        refused_with(stack, "StoreRolledBack")


def test_recover_without_a_rollback_has_nothing_to_do():
    with ready() as stack:
        assert stack.cli("recover", "--accept-rollback", "--yes", check=False).returncode != 0
        assert stack.status()["state"] == "ready"


# S07: the WAL


def test_a_lost_or_shortened_wal_is_noticed_or_nothing_is_lost():
    with ready() as stack:
        stack.kill(stack.daemon_pid())  # so that the WAL stays
        with contextlib.suppress(Exception):
            stack.stop()
        if not (store(stack) / "store.db-wal").exists():
            with_wal = False
        else:
            with_wal = (store(stack) / "store.db-wal").stat().st_size > 0
        saved = copy_of(stack, "whole")
        size = (saved / "store.db-wal").stat().st_size if with_wal else 0
        outcomes = {}
        for length in ([None] + [size * i // 7 for i in range(7)]) if size else []:
            put_back(stack, saved, *DATABASE, "audit", "slots")
            wal = store(stack) / "store.db-wal"
            wal.unlink() if length is None else os.truncate(wal, length)
            stack.start()
            status = settled(stack)
            outcomes[length] = status["error"] or status["state"]
            if status["state"] == "ready":
                with stack.peer(ADMIN) as admin:
                    assert {k["name"] for k in admin.keys()} == {"device-a", "device-b"}, length
            else:
                assert status["state"] == "refused", (length, status)
            stack.stop()
        print("WAL length -> outcome:", outcomes)


# S09, S10: something else in its place


def test_what_is_no_store_of_ours_is_refused_and_left_alone():
    with ready() as stack:
        stack.stop()
        saved = copy_of(stack, "whole")
        plain_db = stack.dir / "plain.db"
        subprocess.run(["/usr/bin/python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
                        "c.execute('create table k(a)'); c.commit()", plain_db], check=True)
        contents = {"empty": b"", "plain SQLite": plain_db.read_bytes(), "noise": random.Random(SEED).randbytes(1 << 20),
                    "short": (saved / "store.db").read_bytes()[:1000]}
        database = store(stack) / "store.db"
        owner = database.stat()
        for what, content in contents.items():
            put_back(stack, saved, *DATABASE)
            for extra in DATABASE[1:]:
                (store(stack) / extra).unlink(missing_ok=True)
            database.write_bytes(content)
            status = refused_with(stack, "StoreDamaged", "StoreUnsafe", "StoreRolledBack", "StoreForeign")
            print(f"{what}: {status['error']}: {status['reason']}")
            assert database.read_bytes() == content, what
            stack.stop()
        for what, make in {"link": lambda: database.symlink_to(saved / "store.db"), "FIFO": lambda: os.mkfifo(database),
                           "directory": database.mkdir}.items():
            database.unlink(missing_ok=True)
            make()
            if what != "link":
                os.chown(database, owner.st_uid, owner.st_gid)
            stack.start()
            status = settled(stack)
            assert status["state"] == "refused" and status["error"], (what, status)
            print(f"{what}: {status['error']}: {status['reason']}")
            stack.stop()
            database.rmdir() if what == "directory" else database.unlink()
        put_back(stack, saved, *DATABASE)
        database.chmod(0o644)
        stack.start()
        status = settled(stack)
        assert status["error"] == "StoreUnsafe" or status["error"].endswith(".StoreUnsafe"), status


# S12


def test_a_second_daemon_on_the_same_store_ends_and_says_why():
    with ready() as stack:
        done = stack.run([stack.program("daemon/holdfastd"), f"--config={stack.dir}/holdfast.conf", "--bus=none",
                          f"--state-directory={stack.state}", f"--policy-directories={stack.dir}/policy.d",
                          f"--policy-owner={os.geteuid()}", f"--listen={stack.dir}/second"], uid=DAEMON, check=False)
        assert done.returncode == 75, done
        assert b"another holdfastd works in it" in done.stderr, done


def test_a_store_that_another_program_holds_is_refused_and_its_holder_named():
    with ready() as stack:
        stack.stop()
        with open(stack.state / "store/lock", "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            stack.start()
            status = settled(stack)
            assert status["state"] == "refused" and status["error"].endswith("StoreInUse"), status
            assert str(os.getpid()) in status["reason"], status
        stack.restart()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert admin.sign("device-a", MESSAGE)
            stack.verify(exported(admin), stack.auditor_key())


# Foreign machines


def test_a_copied_image_is_foreign_and_opens_only_by_an_operator():
    with Stack(bus=False, signer_args=[]) as stack:
        machine_id = stack.dir / "machine-id"
        machine_id.write_text("0123456789abcdef0123456789abcdef\n")
        machine_id.chmod(0o644)
        stack.stop()
        stack.signer_args = [f"--machine-id={machine_id}"]
        stack.start()
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "ed25519")
            admin.manager("AddSlot", "sa{sv}", "passphrase", variants({"secret": ("h", secret_fd(b"for moving house"))}))
        stack.stop()
        machine_id.write_text("fedcba9876543210fedcba9876543210\n")
        stack.start()
        status = stack.wait_state("foreign")
        assert status["error"].endswith("StoreForeign"), status
        with stack.peer(ADMIN) as admin:
            for call in (lambda: admin.sign("device-a", MESSAGE), admin.keys, lambda: admin.manager("ListSlots"),
                         lambda: admin.manager("Unlock", "a{sv}", {"secret": ("h", secret_fd(b"for moving house"))})):
                try:
                    call()
                    raise AssertionError("was answered")
                except Refused as refused:
                    assert refused.name == "StoreForeign", refused
            assert admin.audit("Read", "tua{sv}", 0, 10, {})[0], "the log can be read"
            try:
                admin.manager("Recover", "a{sv}", {"secret": ("h", secret_fd(b"a guess"))})
                raise AssertionError("a guess was taken")
            except Refused as refused:
                assert refused.name == "UnlockFailed", refused
            admin.manager("Recover", "a{sv}", {"secret": ("h", secret_fd(b"for moving house"))})
            stack.wait_state("ready")
            assert admin.sign("device-a", MESSAGE)
            assert lines(exported(admin), "store.recover")
        stack.restart()
        stack.wait_state("ready")


def test_the_recovery_code_opens_a_store_whose_other_slots_are_lost():
    with ready() as stack:
        reading, writing = os.pipe()
        with stack.peer(ADMIN) as admin:
            admin.manager("AddSlot", "sa{sv}", "recovery", variants({"recovery": ("h", writing)}))
        os.close(writing)
        with os.fdopen(reading) as pipe:
            code = pipe.readline().strip()
        assert len(code) > 20
        (stack.dir / "credential").write_bytes(b"another credential altogether, as long as it must be")
        stack.restart()
        stack.wait_state("locked")
        with stack.peer(ADMIN) as admin:
            admin.manager("Unlock", "a{sv}", {"secret": ("h", secret_fd(code.encode()))})
            assert admin.sign("device-a", MESSAGE)
            log = exported(admin)
        assert code.encode() not in log and code.encode() not in stack.log_path.read_bytes()


# S01, S02, A01: single bits, sampled through the whole service


def judged(stack, admin, vkey):
    """Before its last checkpoint nobody reads the log at a start: then whoever exports or verifies it is told."""
    try:
        verified = stack.verify(exported(admin), vkey, check=False)
    except Refused as refused:
        assert refused.name == "LogDamaged", refused
        return "ready, the export is LogDamaged"
    if verified.returncode == 0:
        return "ready"
    assert verified.returncode == VERIFICATION_FAILED and b"Record " in verified.stderr, verified
    return "ready, the verifier names the record"


def test_a_turned_bit_is_named_or_changes_nothing():
    chance = random.Random(SEED)
    with ready() as stack:
        with stack.peer(ADMIN) as admin:
            keys = sorted((k["name"], k["uuid"], k["fingerprint"]) for k in admin.keys())
        vkey = stack.auditor_key()
        stack.kill(stack.daemon_pid())
        stack.stop()
        saved = copy_of(stack, "whole")
        used = {p: p.stat().st_size for p in sorted(saved.rglob("*")) if p.is_file() and p.name in
                ("store.db", "store.db-wal", "slots", "000001.jsonl") and p.stat().st_size}
        for path in used:
            content = path.read_bytes()
            used[path] = len(content.rstrip(b"\0")) if path.suffix == ".jsonl" else len(content)
        outcomes = {}
        for i in range(FLIPS):
            path = list(used)[i % len(used)]
            at, bit = chance.randrange(used[path]), 1 << chance.randrange(8)
            put_back(stack, saved, *DATABASE, "audit", "slots")
            target = store(stack) / path.relative_to(saved)
            content = bytearray(target.read_bytes())
            content[at] ^= bit
            target.write_bytes(bytes(content))
            stack.start()
            status = settled(stack)
            outcome = status["error"].rpartition(".")[2] or status["state"]
            if status["state"] == "ready":
                with stack.peer(ADMIN) as admin:
                    assert sorted((k["name"], k["uuid"], k["fingerprint"]) for k in admin.keys()) == keys, (path.name, at, bit)
                    assert admin.sign("device-a", MESSAGE) and admin.sign("device-b", MESSAGE)
                    outcome = judged(stack, admin, vkey)
                assert outcome == "ready" or path.suffix == ".jsonl", (path.name, at, bit, outcome)
            else:
                assert status["error"], (path.name, at, bit, status)
            outcomes.setdefault(path.name, {}).setdefault(outcome, 0)
            outcomes[path.name][outcome] += 1
            stack.stop()
        print(f"seed {SEED}:", outcomes)


if __name__ == "__main__":
    case.main()
