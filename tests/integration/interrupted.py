#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two things at once, and things that end half-way: every call is answered once, and nothing stays behind it."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import case
from peer import ROOT, Refused, plain, secret_fd, variants
from stack import ADMIN, ROOT as IS_ROOT, Stack, wait_for

MESSAGE = b"interrupted"


class Call(threading.Thread):
    """A call on a connection of its own; result() gives its answer or raises its refusal."""

    def __init__(self, stack, function):
        super().__init__(daemon=True)
        self.stack, self.function, self.value, self.error = stack, function, None, None
        self.start()

    def run(self):
        try:
            with self.stack.peer(ADMIN) as peer:
                self.value = self.function(peer)
        except Exception as error:  # told by result()
            self.error = error

    def result(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), "the call was not answered"
        if self.error:
            raise self.error
        return self.value


def outcome(call):
    """None, or the name of the refusal."""
    try:
        call.result()
    except Refused as refused:
        return refused.name
    return None


def secret(data):
    return ("h", secret_fd(data))


def sign_many(peer, key, n, size=8):
    return peer.key(key, "SignMany", "saaya{sv}", "", [b"m" * size] * n, {})


def records(admin):
    at, found = 0, []
    while True:
        lines, at = admin.audit("Read", "tua{sv}", at, 1000, {})
        found += [json.loads(line) for line in lines]
        if not at:
            return found


@contextlib.contextmanager
def small_disk(stack, size):
    """The state directory on a file system of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={stack.state.stat().st_uid}", "tmpfs",
                    str(stack.state)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(stack.state)], check=True)


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def test_a_log_that_fills_up_in_the_middle_of_a_call_refuses_it_and_goes_on_with_room():
    if not IS_ROOT:
        raise case.Skip("mounts a small file system")
    with Stack(daemon_args=["--segment-size=64K", "--checkpoint-lines=64"]) as stack:
        stack.stop()
        with small_disk(stack, "2M"):
            stack.start()
            stack.init()
            with stack.peer(ADMIN) as admin:
                admin.create("device-a", "p256")
                filler = stack.state / "filler"
                free = os.statvfs(stack.state)
                filler.write_bytes(b"\0" * max(0, free.f_bavail * free.f_frsize - 100_000))
                for _ in range(20):
                    try:
                        sign_many(admin, "device-a", 1000)
                    except Refused as refused:
                        assert refused.name == "LogFull", refused
                        break
                else:
                    raise AssertionError("the log never became full")
                assert stack.status()["state"] == "ready"
                filler.unlink()
                wait_for(lambda: outcome(Call(stack, lambda p: p.sign("device-a", MESSAGE))) is None, "a log with room")
                assert len(sign_many(admin, "device-a", 300)) == 300
            stack.stop()


def test_a_lock_while_a_key_is_made_leaves_no_change_behind():
    with Stack() as stack:
        stack.init()
        for n in range(8):
            made = Call(stack, lambda p, n=n: p.create(f"key-{n}", "rsa2048"))
            time.sleep(0.02 * n)
            assert outcome(Call(stack, lambda p: p.manager("Lock"))) in (None, "Busy")
            assert outcome(made) in (None, "StoreLocked", "Busy")
            outcome(Call(stack, lambda p: p.manager("Unlock")))
            stack.wait_state("ready")
            assert Call(stack, lambda p, n=n: p.create(f"after-{n}", "p256")).result(20)


def test_a_key_made_while_the_store_is_rekeyed_works_or_is_refused():
    with Stack() as stack:
        stack.init()
        for n in range(4):
            made = Call(stack, lambda p, n=n: p.create(f"key-{n}", "rsa4096"))
            time.sleep(0.05)
            rekey = Call(stack, lambda p: p.manager("Rekey", "sa{sv}", "credential", variants({"unattended": True})))
            refused = outcome(made)
            assert outcome(rekey) in (None, "Busy")
            stack.wait_state("ready")
            if refused is None:
                assert Call(stack, lambda p, n=n: p.sign(f"key-{n}", MESSAGE, "")).result()
            else:
                assert refused in ("Busy", "StoreLocked"), refused


def test_two_slots_added_at_once_are_both_there_or_one_is_refused():
    with Stack() as stack:
        stack.init()
        add = [Call(stack, lambda p, n=n: p.manager("AddSlot", "sa{sv}", "passphrase", {
            "secret": secret(b"passphrase number %d" % n), "label": ("s", f"label-{n}")})) for n in range(3)]
        wanted = {f"label-{n}" for n, call in enumerate(add) if outcome(call) is None}
        assert wanted
        with stack.peer(ADMIN) as admin:
            assert wanted <= {plain(s)["label"] for s in admin.manager("ListSlots")}
        stack.restart()
        stack.wait_state("ready")


def test_a_destroyed_key_signs_nothing_that_was_still_waiting():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "rsa3072")
            many = Call(stack, lambda p: sign_many(p, "device-a", 1024))
            wait_for(lambda: any(r["event"] == "key.sign" for r in records(admin)), "the first signature")
            admin.destroy("device-a")
            assert outcome(many) == "NoSuchKey"
            log = records(admin)
            destroyed = next(r["seq"] for r in log if r["event"] == "key.destroy")
            done = next(r["seq"] for r in log if r["event"] == "done" and r["ref"] == destroyed)
            assert not [r for r in log if r["event"] == "key.sign" and r["seq"] > done]


def test_a_use_that_the_key_does_not_permit_is_in_the_log():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            admin.key("device-a", "Disable")
            assert outcome(Call(stack, lambda p: p.sign("device-a", MESSAGE))) == "KeyDisabled"
            refused = [r for r in records(admin) if r["event"] == "denied"]
            assert [(r["wanted"], r["name"], r["reason"]) for r in refused] == [("sign", "device-a", "KeyDisabled")]


def test_a_signer_that_dies_during_a_backup_is_asked_to_open_again():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            for n in range(20):
                admin.create(f"device-{n}", "p256")
            for n in range(5):
                with open(stack.dir / f"backup-{n}", "wb") as output:
                    saved = Call(stack, lambda p, fd=output.fileno(): p.manager("Backup", "ha{sv}", fd, {}))
                    time.sleep(0.01 * n)
                    stack.kill(stack.signer_pid())
                    outcome(saved)
                    assert admin.sign("device-1", MESSAGE)


def test_every_call_is_answered_when_the_signer_dies_again_and_again():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            for n in range(6):
                calls = [Call(stack, lambda p: sign_many(p, "device-a", 500)), Call(stack, lambda p: p.sign("device-a", MESSAGE)),
                         Call(stack, lambda p, n=n: p.create(f"key-{n}", "rsa2048")),
                         Call(stack, lambda p: p.manager("Random", "ua{sv}", 32, {}))]
                time.sleep(0.01 * n)
                stack.kill(stack.signer_pid())
                assert {outcome(c) for c in calls} <= {None, "SignerUnavailable", "StoreLocked"}
                assert admin.sign("device-a", MESSAGE)
                assert admin.create(f"after-{n}", "p256")


def test_locking_and_opening_takes_no_descriptors():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            counts = []
            for _ in range(10):
                admin.manager("Lock")
                admin.manager("Unlock")
                stack.wait_state("ready")
                counts.append(descriptors(stack.daemon_pid()))
            assert counts[-1] < counts[0] + 5, counts  # files of the log come and go


def test_a_stop_waits_for_no_slow_reader_of_an_export():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            for _ in range(3):
                sign_many(admin, "device-a", 1000)
            read, write = os.pipe()
            exported = Call(stack, lambda p: p.audit("Export", "ha{sv}", write, {}))
            time.sleep(0.3)
            pid = stack.daemon_pid()
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "holdfastd to end", 20)
            assert time.monotonic() - began < 5
            os.close(read)
            os.close(write)
            with contextlib.suppress(Exception):
                exported.result()


def test_a_stop_in_the_middle_of_anything_is_orderly():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
        for n in range(8):
            calls = [Call(stack, lambda p: sign_many(p, "device-a", 800)),
                     Call(stack, lambda p, n=n: p.create(f"key-{n}", "p256")),
                     Call(stack, lambda p: p.sign("device-a", MESSAGE))]
            time.sleep(0.004 * n)
            stack.restart()
            for call in calls:
                with contextlib.suppress(Exception):
                    call.result()
            stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            with open(stack.dir / "log.jsonl", "wb") as output:
                admin.export(output)
        key = stack.auditor_key()
        stack.verify((stack.dir / "log.jsonl").read_bytes(), key)


def test_a_stop_is_not_forgotten_over_what_else_waits_for_the_last_use():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
        for member, arguments in (("Rekey", ("sa{sv}", "credential", variants({"unattended": True}))), ("Lock", ())):
            for n in range(4):
                signer, daemon = stack.signer_pid(), stack.daemon_pid()
                os.kill(signer, signal.SIGSTOP)  # so that uses are under way
                calls = [Call(stack, lambda p: sign_many(p, "device-a", 1024))]
                time.sleep(0.05)
                os.kill(daemon, signal.SIGTERM)
                calls.append(Call(stack, lambda p: p.manager(member, *arguments)))
                time.sleep(0.01 * n)
                os.kill(signer, signal.SIGCONT)
                wait_for(lambda: not pathlib.Path(f"/proc/{daemon}").exists(), f"holdfastd to end, {member} {n}", 5)
                for call in calls:
                    with contextlib.suppress(Exception):
                        call.result()
                stack.kill(stack.signer_pid())  # which remembers a lock
                stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.sign("device-a", MESSAGE)


def test_ping_is_answered_as_the_first_call_on_the_system_bus():
    with Stack() as stack:
        stack.wait_state("uninitialised")
        wait_for(lambda: stack.status().get("bus"), "the name on the bus")
        with stack.bus_peer(ADMIN) as peer:
            peer.timeout = 5
            peer.call(ROOT + "/Manager", "org.freedesktop.DBus.Peer", "Ping")


def test_texts_that_are_cut_in_an_answer_stay_whole_characters():
    with Stack() as stack:
        stack.init()
        wait_for(lambda: stack.status().get("bus"), "the name on the bus")
        for n in range(30, 70):
            text = "a" * n + "\u20ac" * 20
            for peer in (stack.peer(ADMIN), stack.bus_peer(ADMIN)):
                with peer:
                    peer.timeout = 5
                    for member, signature, args in (("Status", "a{sv}", ({text: ("s", "")},)),
                                                    ("Explain", "ssa{sv}", (text, "x", {}))):
                        try:
                            peer.manager(member, signature, *args)
                        except Refused as refused:
                            assert refused.name == "InvalidArgs", refused
        with stack.bus_peer(ADMIN) as peer:
            assert plain(peer.manager("Status"))["state"] == "ready"


if __name__ == "__main__":
    case.main()
