#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backup, restore and rekey: what is kept, what is refused, what a stop in the middle leaves."""
import os
import shutil
import signal
import subprocess
import threading

import case
from judge import signature_is_good
from peer import Refused, plain, secret_fd, variants
from stack import ADMIN, Stack, wait_for

MESSAGE = b"kept"
PASSPHRASE = b"correct horse battery staple"


def refusal(call, *args, **options):
    try:
        call(*args, **options)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def backup(admin, path):
    with open(path, "wb") as output:
        return plain(admin.manager("Backup", "ha{sv}", output.fileno(), {}))


def restore(admin, path, secret=None):
    options = {"secret": ("h", secret_fd(secret))} if secret else {}
    with open(path, "rb") as source:
        return plain(admin.manager("Restore", "ha{sv}", source.fileno(), options))


def without_store(stack):
    """Somebody has lost the store while nothing ran."""
    stack.stop()
    for path in (stack.dir / "state").glob("store*"):
        shutil.rmtree(path)
    stack.start()


def events(admin):
    lines, _ = admin.audit("Read", "tua{sv}", 0, 1000, {})
    return [line.split('"event":"')[1].split('"')[0] for line in lines]


def whole_log(stack, admin, name):
    path = stack.dir / name
    with open(path, "wb") as output:
        admin.export(output)
    return path


def judge(stack, log, vkey):
    return subprocess.run([stack.program("cli/holdfast"), "audit", "verify", log, "--key", vkey], capture_output=True, text=True,
                          env={**os.environ, "HOLDFAST_SOCKET": "/nonexistent"}).returncode


def test_a_backup_restored_into_an_empty_directory_signs_with_the_same_key():
    with Stack() as stack:
        stack.init()
        file = stack.dir / "backup"
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            public = admin.public_key("device-a")
            assert backup(admin, file)["keys"] == 1
            vkey = plain(admin.audit("GetKey"))["vkey"]
        without_store(stack)
        with stack.peer(ADMIN) as admin:
            assert stack.wait_state("uninitialised")
            restored = restore(admin, file)
            assert restored["keys"] == 1 and restored["log-lost"] and "lost" not in restored
            assert signature_is_good(public, MESSAGE, admin.sign("device-a", MESSAGE))
            assert judge(stack, whole_log(stack, admin, "log.jsonl"), vkey) == 0
            assert "store.restore" in events(admin)


def test_a_restore_beside_the_newer_log_goes_on_with_it_and_counts_what_is_lost():
    with Stack() as stack:
        stack.init()
        file = stack.dir / "backup"
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            backup(admin, file)
            admin.create("device-b", "p256")
            vkey = plain(admin.audit("GetKey"))["vkey"]
        stack.stop()
        (stack.dir / "state/store/store.db").write_bytes(os.urandom(8192))
        stack.start()
        stack.wait_state("refused")
        with stack.peer(ADMIN) as admin:
            assert restore(admin, file)["lost"] == 2  # the line of the backup and device-b
            assert [k["name"] for k in admin.keys()] == ["device-a"]
            assert events(admin).count("key.create") == 2
            assert judge(stack, whole_log(stack, admin, "log.jsonl"), vkey) == 0


def test_a_restore_that_came_to_nothing_is_no_order_to_stay_locked():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            backup(admin, stack.dir / "file")
        (stack.state / "store").rename(stack.state / "aside")
        stack.kill(stack.daemon_pid())
        stack.wait_state("uninitialised")
        with stack.peer(ADMIN) as admin:
            assert refusal(restore, admin, stack.dir / "file", b"wrong").name == "UnlockFailed"
        (stack.state / "aside").rename(stack.state / "store")
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")


def test_a_ready_store_is_not_overwritten_by_a_restore():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            file = stack.dir / "backup"
            backup(admin, file)
            assert refusal(restore, admin, file).name == "StoreInitialised"


def test_a_changed_or_mixed_backup_is_refused_and_nothing_is_left():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            backup(admin, stack.dir / "one")
            admin.create("device-b", "p256")
            backup(admin, stack.dir / "two")
        one, two = (stack.dir / "one").read_bytes(), (stack.dir / "two").read_bytes()
        without_store(stack)
        bad = [one[:-1], one + b"x", one[:100] + bytes([one[100] ^ 1]) + one[101:], b"", two[:len(two) // 2] + one[len(two) // 2:]]
        with stack.peer(ADMIN) as admin:
            for data in bad:
                (stack.dir / "bad").write_bytes(data)
                assert refusal(restore, admin, stack.dir / "bad").name == "BackupInvalid"
                assert stack.status()["state"] == "uninitialised"
            assert restore(admin, stack.dir / "two")["keys"] == 2


def test_only_a_secret_of_the_backup_opens_it():
    with Stack(credential=None) as stack:
        stack.init("passphrase", secret=("h", secret_fd(PASSPHRASE)))
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            backup(admin, stack.dir / "file")
        without_store(stack)
        with stack.peer(ADMIN) as admin:
            assert refusal(restore, admin, stack.dir / "file", b"wrong").name == "UnlockFailed"
            assert refusal(restore, admin, stack.dir / "file").name == "UnlockFailed"
            assert restore(admin, stack.dir / "file", PASSPHRASE)["keys"] == 1


def test_a_backup_may_be_taken_while_keys_are_used():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin, stack.peer(ADMIN) as user:
            admin.create("device-a", "p256")
            done, stop = [], threading.Event()

            def use():
                while not stop.is_set():
                    done.append(user.sign("device-a", MESSAGE))

            worker = threading.Thread(target=use)
            worker.start()
            for i in range(5):
                backup(admin, stack.dir / f"b{i}")
            stop.set()
            worker.join()
            assert done and events(admin).count("store.backup") == 5


def test_only_a_regular_file_takes_a_backup():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            read, write = os.pipe()
            assert refusal(admin.manager, "Backup", "ha{sv}", write, {}).name == "InvalidFd"
            assert refusal(admin.manager, "Backup", "ha{sv}", os.open("/", os.O_RDONLY), {}).name == "InvalidFd"
            os.close(read)


def test_counted_uses_do_not_come_back_by_a_restore():
    """A key with a count that the backup does not know yet, and one with some uses spent in it; with the newer log and
    without; and a limit that was raised since."""
    def rules(limit):
        return (f"allow user={ADMIN} op=operate,manage,audit\n"
                f"allow user={ADMIN} key=device-* op=sign uses={limit} name=counted\n")
    for lost in (True, False):
        with Stack(rules=rules(3)) as stack:
            stack.init()
            with stack.peer(ADMIN) as admin:
                for name in ("device-a", "device-b"):
                    admin.create(name, "p256")
                admin.sign("device-b", MESSAGE)
                backup(admin, stack.dir / "file")
                stack.reload_rules(rules(5))
                for name, left in (("device-a", 5), ("device-b", 4)):
                    for _ in range(left):
                        admin.sign(name, MESSAGE)
                    assert refusal(admin.sign, name, MESSAGE).name == "UsesExhausted"
            if lost:
                without_store(stack)
            else:
                stack.stop()
                (stack.state / "store/store.db").unlink()
                stack.start()
            with stack.peer(ADMIN) as admin:
                restore(admin, stack.dir / "file")
                for name in ("device-a", "device-b"):
                    assert refusal(admin.sign, name, MESSAGE).name == "UsesExhausted"
            stack.restart()
            stack.wait_state("ready")
            with stack.peer(ADMIN) as admin:
                for name in ("device-a", "device-b"):
                    assert refusal(admin.sign, name, MESSAGE).name == "UsesExhausted"
                log, vkey = whole_log(stack, admin, "log.jsonl"), stack.auditor_key()
            assert judge(stack, log, vkey) == 0


def test_a_store_copied_to_another_machine_is_foreign_until_an_operator_takes_it_over():
    with Stack() as stack:
        other = stack.dir / "machine-id"
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
        stack.stop()
        other.write_text("0123456789abcdef0123456789abcdef\n")
        stack.signer_args = [f"--machine-id={other}"]
        stack.start()
        stack.wait_state("foreign")
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.sign, "device-a", MESSAGE).name == "StoreForeign"
            assert refusal(admin.manager, "Unlock").name == "StoreForeign"
            assert events(admin)
            admin.manager("Recover")
            stack.wait_state("ready")
            assert admin.sign("device-a", MESSAGE)
            assert "store.recover" in events(admin)
        stack.restart()
        stack.wait_state("ready")


def rekey(admin, **options):
    return plain(admin.manager("Rekey", "sa{sv}", "credential", variants({"unattended": True, **options})))


def test_after_a_rekey_keys_work_and_one_log_leads_from_the_old_checkpoint_key_to_the_new():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            admin.create("device-r", "rsa2048")
            admin.create("device-x", "p256")
            admin.destroy("device-x")
            public, vkey = admin.public_key("device-a"), plain(admin.audit("GetKey"))["vkey"]
            admin.sign("device-a", MESSAGE)
            assert rekey(admin)["vkey"] != vkey
            assert signature_is_good(public, MESSAGE, admin.sign("device-a", MESSAGE))
            assert sorted(k["name"] for k in admin.keys()) == ["device-a", "device-r"]
            assert judge(stack, whole_log(stack, admin, "log.jsonl"), vkey) == 0
        stack.restart()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(public, MESSAGE, admin.sign("device-a", MESSAGE))
        assert sorted(p.name for p in (stack.dir / "state").iterdir()) == ["store"]


def test_a_daemon_killed_while_rekeying_comes_back_with_the_old_store_or_the_new():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            public = admin.public_key("device-a")
        for delay in range(12):
            with stack.peer(ADMIN) as admin:
                pid, timer = stack.daemon_pid(), threading.Timer(delay * 0.004, lambda: os.kill(pid, signal.SIGKILL))
                timer.start()
                try:
                    rekey(admin)
                except (Refused, ConnectionError, OSError, EOFError):
                    pass
                timer.join()
            wait_for(lambda: stack.daemon_pid() != pid, "the daemon to be back")
            stack.wait_state("ready")
            with stack.peer(ADMIN) as admin:
                assert signature_is_good(public, MESSAGE, admin.sign("device-a", MESSAGE)), f"after {delay * 4} ms"


if __name__ == "__main__":
    case.main()
