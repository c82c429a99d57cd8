#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes die and come back; what was acknowledged is still there, and callers are told the truth in between."""
import os
import signal
import subprocess
import threading
import time

import case
from judge import exported, lines
from peer import Refused, secret_fd
from stack import ADMIN, ALICE, DAEMON, ROOT, SIGNER, Stack, program_of, wait_for

MESSAGE = b"again"


def prepared(stack, slot="credential", **options):
    stack.init(slot, **options)
    with stack.peer(ADMIN) as admin:
        admin.create("device-a", "ed25519")


def test_the_store_can_be_made_as_soon_as_the_service_says_it_is_ready():
    for _ in range(5):
        with Stack(bus=False) as stack, stack.peer(ADMIN) as admin:
            admin.manager("Initialise", "sa{sv}", "credential", {"unattended": ("b", True)})


def test_after_the_signer_was_killed_the_next_call_works():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ALICE) as alice:
            for _ in range(3):
                stack.kill(stack.signer_pid())
                assert alice.sign("device-a", MESSAGE)


def test_with_attended_slots_only_a_killed_signer_locks_the_store():
    with Stack(credential=None) as stack:
        prepared(stack, slot="passphrase", secret=("h", secret_fd(b"a passphrase")))
        stack.kill(stack.signer_pid())
        with stack.peer(ADMIN) as admin:
            try:
                admin.sign("device-a", MESSAGE)
                raise AssertionError("signed")
            except Refused as refused:
                assert refused.name == "StoreLocked", refused
            admin.manager("Unlock", "a{sv}", {"secret": ("h", secret_fd(b"a passphrase"))})
            assert admin.sign("device-a", MESSAGE)


def test_the_signer_keeps_the_store_open_while_the_daemon_is_killed():
    with Stack(credential=None) as stack:
        prepared(stack, slot="passphrase", secret=("h", secret_fd(b"a passphrase")))
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")


def test_a_killed_daemon_loses_no_acknowledged_signature():
    with Stack() as stack:
        prepared(stack)
        acknowledged = 0
        for _ in range(5):
            victim = stack.daemon_pid()
            timer = threading.Timer(0.15, stack.kill, [victim])
            timer.start()
            try:
                with stack.peer(ALICE) as alice:
                    while True:
                        alice.sign("device-a", MESSAGE)
                        acknowledged += 1
            except (OSError, Refused):
                pass
            timer.join()
            stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        assert acknowledged > 0
        assert len(lines(log, "key.sign")) >= acknowledged
        stack.verify(log, stack.auditor_key())


class Load:
    """Callers who sign without end, each on a connection of his own, until they are refused or cut off."""

    def __init__(self, stack, callers=8):
        self.stack = stack
        self.acknowledged = [0] * callers
        self.endings = [None] * callers
        self.threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]
        for thread in self.threads:
            thread.start()
        wait_for(lambda: all(n > 2 for n in self.acknowledged), "all callers to be at it")

    def _call(self, n):
        try:
            with self.stack.peer(ALICE) as peer:
                while True:
                    peer.sign("device-a", MESSAGE)
                    self.acknowledged[n] += 1
        except Exception as ending:  # looked at by ended()
            self.endings[n] = ending

    def ended(self):
        """What each of them was told in the end."""
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a caller was never answered"
        for ending in self.endings:
            assert isinstance(ending, (Refused, OSError, EOFError)), ending
        return {e.name if isinstance(e, Refused) else "closed" for e in self.endings}


def test_a_stop_under_load_is_over_in_ten_seconds_and_every_caller_is_told():
    with Stack() as stack:
        prepared(stack)
        load = Load(stack)
        pid, began = stack.daemon_pid(), time.monotonic()
        stack.kill(pid, signal.SIGTERM)
        took = time.monotonic() - began
        assert took < 10, took
        assert load.ended() <= {"DaemonUnavailable", "closed"}
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        uses, stops = lines(log, "key.sign"), lines(log, "store.stop")
        assert len(stops) == 1 and stops[0]["seq"] > uses[-1]["seq"], "no record of an orderly stop behind the last use"
        assert len(uses) >= sum(load.acknowledged)
        assert not lines(log, "use.lost") and not lines(log, "log.cut")
        stack.verify(log, stack.auditor_key())


def stopped_under_load(pid_of):
    """A program that hangs is found out by the launcher and started again; nobody waits for ever."""
    with Stack(launcher_args=["--watchdog=1"]) as stack:
        prepared(stack)
        load = Load(stack)
        pid = pid_of(stack)
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: pid_of(stack) != pid, "the launcher to start another one")
        stack.wait_state("ready")
        before = sum(load.acknowledged)
        yield stack, load
        if None in load.endings:
            wait_for(lambda: sum(load.acknowledged) > before, "those who are still there to be served")
        stack.kill(stack.daemon_pid(), signal.SIGTERM)
        load.ended()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        assert len(lines(log, "key.sign")) >= sum(load.acknowledged)
        stack.verify(log, stack.auditor_key())


def test_a_daemon_that_hangs_under_load_is_replaced_and_its_callers_are_cut_off():
    for _, load in stopped_under_load(Stack.daemon_pid):
        assert load.ended() == {"closed"}


def test_a_signer_that_hangs_under_load_is_replaced_and_its_callers_go_on_or_are_told():
    for _, load in stopped_under_load(Stack.signer_pid):
        assert {e.name for e in load.endings if e} <= {"SignerUnavailable", "SignerFailed"}


def test_both_programs_run_as_their_own_users_and_undumpable():
    with Stack() as stack:
        prepared(stack)
        for pid, uid in ((stack.daemon_pid(), DAEMON), (stack.signer_pid(), SIGNER)):
            status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
            if ROOT:
                assert status["Uid"].split() == [str(uid)] * 4
                assert int(status["CapEff"], 16) == 0
            assert status["NoNewPrivs"] == "1"
            assert "core file size" in (limits := open(f"/proc/{pid}/limits").read())
            assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core")] == ["0"]
        assert "Seccomp:\t2" in open(f"/proc/{stack.signer_pid()}/status").read()


def test_the_launcher_ends_in_order_and_leaves_no_process():
    with Stack() as stack:
        prepared(stack)
        pids = [stack.daemon_pid(), stack.signer_pid()]
        assert stack.stop() == 0
        assert not [p for p in pids if program_of(p).startswith("holdfast")]
        assert not (stack.dir / "run/bus").exists() and not (stack.dir / "run/credentials").exists()


def test_programs_end_with_a_killed_launcher():
    with Stack() as stack:
        prepared(stack)
        pids = [stack.daemon_pid(), stack.signer_pid()]
        stack.launcher.send_signal(signal.SIGKILL)
        stack.launcher.wait()
        wait_for(lambda: not [p for p in pids if program_of(p).startswith("holdfast")], "both to end")
        stack.launcher = None


def test_the_launcher_gives_up_on_a_program_that_never_starts():
    with Stack(bus=False) as stack:
        stack.stop()
        command = stack._launch_command(1)
        command = [a if not str(a).startswith("--signer=") else "--signer=/bin/false" for a in command]
        done = subprocess.run(command, capture_output=True, timeout=30)
        assert done.returncode == 3, done
        assert subprocess.run([command[0], "--nonsense"], capture_output=True).returncode == 2
        assert subprocess.run([command[0], "--help"], capture_output=True).returncode == 0


def test_a_policy_reload_by_signal_takes_effect():
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack() as stack:
        prepared(stack)
        stack.set_rules(f"allow user={ADMIN} op=all\n")
        stack.launcher.send_signal(signal.SIGHUP)

        def refused():
            with stack.peer(ALICE) as alice:
                try:
                    return not alice.sign("device-a", MESSAGE)
                except Refused as refused:
                    return refused.name == "NoSuchKey"
        wait_for(refused, "the new rules")


if __name__ == "__main__":
    case.main()
