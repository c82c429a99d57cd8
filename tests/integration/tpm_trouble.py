#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A TPM in trouble: not there, gone in the middle, reset, cleared, full, locked, slow, in failure mode, answering nonsense.

In every case: software keys go on working, a caller of a TPM key is told what is the matter by name, nothing is deleted,
and five seconds after the TPM's return its keys work again. Names begin with the case of docs/faults.md.
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import case
from judge import exported, lines, signature_is_good
from peer import Refused, refusal
from stack import ADMIN, Stack, program_of, wait_for
from swtpm import (CODES, LOADED_SESSIONS, SAVED_SESSIONS, TRANSIENT, Swtpm, TpmProxy, answer_code, code_of, cut, cut_after,
                   flipped, once, only, packet, sealed, signs, take_over)

MESSAGE = b"all the same"
SLOW = float(os.environ.get("HOLDFAST_TPM_SLOW", "3"))  # seconds a command; 30 is what the case says


@contextlib.contextmanager
def with_proxy(**options):
    """The store opens by the credential; a TPM key and a software key; a proxy in front of the TPM."""
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, Stack(bus=False, tpm=proxy, **options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-tpm", "p256", protection="tpm")
            admin.create("device-soft", "p256")
        yield stack, proxy


def soft_works(stack):
    with stack.peer(ADMIN) as admin:
        assert signature_is_good(admin.public_key("device-soft"), MESSAGE, admin.sign("device-soft", MESSAGE))


def refused_sign(stack):
    with stack.peer(ADMIN) as admin:
        return refusal(admin.sign, "device-tpm", MESSAGE)


def listed(stack):
    with stack.peer(ADMIN) as admin:
        return {k["name"] for k in admin.keys()}


def alive(stack):
    """The two that must never die."""
    return stack.daemon_pid(), stack.signer_pid()


# T01


def test_T01_without_a_tpm_at_the_start_software_keys_work_and_those_of_the_tpm_when_it_comes():
    with sealed() as stack:
        stack.cli("slot", "add", "passphrase", "--passphrase-file", stack.dir / "code")
        stack.stop()
        stack.tpm.stop()
        stack.start()
        stack.wait_state("locked")
        said = stack.cli("unlock", check=False)
        assert b"no-tpm" in said.stderr or b"TpmUnavailable" in said.stderr, said
        stack.cli("unlock", "--passphrase-file", stack.dir / "code")
        pids = alive(stack)
        soft_works(stack)
        assert refused_sign(stack).name == "TpmUnavailable"
        assert listed(stack) == {"device-tpm", "device-soft"}
        stack.tpm.start()
        signs(stack, "device-tpm")
        assert alive(stack) == pids


def test_T01_a_sealed_store_opens_by_itself_when_its_tpm_comes_late():
    with sealed() as stack:
        stack.stop()
        stack.tpm.stop()
        stack.start()
        stack.wait_state("locked")
        stack.tpm.start()
        stack.wait_state("ready", 5)


# T02


def test_T02_a_tpm_that_vanishes_in_the_middle_is_named_and_used_again_when_it_is_back():
    with with_proxy() as (stack, proxy):
        pids = alive(stack)
        proxy.tpm.kill()
        assert refused_sign(stack).name == "TpmUnavailable"
        soft_works(stack)
        proxy.tpm.start()
        signs(stack, "device-tpm")
        for rule in (only("Sign", cut), only("Sign", cut_after), cut):
            proxy.rule = rule
            assert refused_sign(stack).name in ("TpmUnavailable", "TpmFailed")
            soft_works(stack)
            proxy.rule = None
            signs(stack, "device-tpm")
        assert alive(stack) == pids


def test_K05_the_tpm_process_may_be_killed_at_any_command():
    with with_proxy() as (stack, proxy):
        pids = alive(stack)
        proxy.record = []
        signs(stack, "device-tpm")
        steps = len(proxy.record) + 12  # a fresh process has more to say before it signs
        for step in range(steps):
            left = [step]

            def rule(command, forward):
                left[0] -= 1
                if left[0] == -1:
                    os.kill(stack.tpm_pid(), 9)
                return forward(command)
            proxy.rule = rule
            with contextlib.suppress(Refused), stack.peer(ADMIN) as admin:
                admin.sign("device-tpm", MESSAGE)
            proxy.rule = None
            signs(stack, "device-tpm")
        assert alive(stack) == pids
        soft_works(stack)


# T03


def test_T03_a_reset_between_two_commands_goes_unnoticed():
    with with_proxy() as (stack, proxy), stack.peer(ADMIN) as admin:
        public = admin.public_key("device-tpm")
        for _ in range(5):
            assert signature_is_good(public, MESSAGE, admin.sign("device-tpm", MESSAGE))
            proxy.tpm.reset()
        admin.sign("device-tpm", MESSAGE)
        proxy.rule = only("Sign", once(lambda command, forward: (proxy.tpm.reset(), forward(command))[1]))
        assert signature_is_good(public, MESSAGE, admin.sign("device-tpm", MESSAGE))


# T04


def test_T04_failure_mode_is_named():
    with with_proxy() as (stack, proxy):
        proxy.rule = answer_code(0x101)
        assert refused_sign(stack).name == "TpmFailureMode"
        soft_works(stack)
        said = stack.cli("doctor", check=False).stdout
        assert b"failure" in said, said
        proxy.rule = None
        signs(stack, "device-tpm")


def test_T04_a_tpm_that_cannot_write_its_own_memory_fails_by_itself():
    with with_proxy() as (stack, proxy):
        state = proxy.tpm.state
        owner = state.stat()
        os.chown(state, os.geteuid(), os.getegid())
        state.chmod(0o555)
        for path in state.iterdir():
            os.chown(path, os.geteuid(), os.getegid())
            path.chmod(0o444)
        proxy.tpm.tool("nvdefine", "-C", "o", "-s", "8", "0x1500016", check=False)  # it notices when it has to write
        assert refused_sign(stack).name == "TpmFailureMode"
        soft_works(stack)
        proxy.tpm.kill()
        state.chmod(0o755)
        os.chown(state, owner.st_uid, owner.st_gid)
        for path in state.iterdir():
            os.chown(path, owner.st_uid, owner.st_gid)
            path.chmod(0o644)
        proxy.tpm.start()
        signs(stack, "device-tpm")


# T05


def test_T05_keys_sign_while_somebody_else_locked_the_tpm():
    with with_proxy() as (stack, proxy), stack.peer(ADMIN) as admin:
        proxy.tpm.lock_out()
        assert signature_is_good(admin.public_key("device-tpm"), MESSAGE, admin.sign("device-tpm", MESSAGE))
        admin.create("device-more", "p256", protection="tpm")
        said = stack.cli("doctor", check=False).stdout + stack.cli("status").stdout
        assert b"lock" in said, said


# T06


def test_T06_keys_of_a_cleared_tpm_are_lost_by_name_and_nothing_is_deleted():
    with sealed() as stack:
        with stack.peer(ADMIN) as admin:
            before = {k["name"]: k["uuid"] for k in admin.keys()}
        stack.tpm.clear()
        assert refused_sign(stack).name in ("TpmIdentityChanged", "KeyLost")
        soft_works(stack)
        with stack.peer(ADMIN) as admin:
            assert {k["name"]: k["uuid"] for k in admin.keys()} == before
        stack.restart()
        stack.wait_state("foreign")
        said = stack.cli("unlock", check=False)
        assert b"TpmIdentityChanged" in said.stderr, said
        take_over(stack)
        soft_works(stack)
        assert refused_sign(stack).name == "KeyLost"
        with stack.peer(ADMIN) as admin:
            assert {k["name"]: k["uuid"] for k in admin.keys()} == before
            admin.create("device-new", "p256", protection="tpm")
            events = {r["event"] for r in lines(exported(admin))}
            assert "key.lost" in events, events
        signs(stack, "device-new")
        stack.restart()
        stack.wait_state("ready")


def test_T06_a_store_that_is_open_when_its_tpm_is_cleared_is_taken_over_without_being_locked():
    with sealed() as stack:
        pids = alive(stack)
        key = stack.dir / "auditor.key"
        key.write_text(stack.auditor_key() + "\n")
        said = stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code", check=False)
        assert b"StoreInitialised" in said.stderr, said
        stack.tpm.clear()
        assert refused_sign(stack).name == "TpmIdentityChanged"
        found = json.loads(stack.cli("--json", "doctor", check=False).stdout)
        assert [f["remedy"] for f in found if f["code"] == "tpm"] == ["holdfast recover, with the recovery code"], found
        wrong = stack.dir / "wrong"
        wrong.write_text("not the code\n")
        assert stack.cli("recover", "--yes", "--passphrase-file", wrong, check=False).returncode != 0
        assert stack.status()["state"] == "ready"
        soft_works(stack)
        with stack.peer(ADMIN) as admin:
            admin.create("device-more", "p256")  # changes go on after a try that failed
        stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code", "--slot", "tpm2", "--pcr", "7")
        assert stack.status()["state"] == "ready" and alive(stack) == pids
        soft_works(stack)
        assert refused_sign(stack).name == "KeyLost"
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
            assert {"store.recover", "key.lost"} <= {r["event"] for r in lines(log)}
            admin.create("device-new", "p256", protection="tpm")
        stack.verify(log, key)
        signs(stack, "device-new")
        stack.restart()
        stack.wait_state("ready")
        soft_works(stack)


def test_T06_a_tpm_that_does_not_answer_is_not_given_up():
    with sealed() as stack:
        stack.tpm.clear()
        stack.restart()
        stack.wait_state("foreign")
        stack.tpm.stop()
        said = stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code", "--slot", "tpm2", "--pcr", "7", check=False)
        assert b"TpmUnavailable" in said.stderr, said
        assert stack.status()["state"] == "foreign"
        stack.tpm.start()
        take_over(stack)
        soft_works(stack)


# T09


def test_T09_a_busy_tpm_is_asked_again_and_a_full_one_is_named():
    with with_proxy() as (stack, proxy):
        for code in (0x922, 0x908, 0x902, 0x903):
            proxy.rule = only("Sign", once(answer_code(code)))
            with stack.peer(ADMIN) as admin:
                admin.sign("device-tpm", MESSAGE)
        # The TPM's own business is asked for a few times; places that others hold are waited for, but not for ever.
        for code, name, most in ((0x922, "TpmUnavailable", 40), (0x902, "TpmFull", 200), (0x903, "TpmFull", 200)):
            tries, began = [], time.monotonic()

            def count(command, forward):
                if code_of(command) == CODES["Sign"]:
                    tries.append(command)
                    return packet(code)
                return forward(command)
            proxy.rule = count
            said = refused_sign(stack)
            assert said.name == name, said
            assert 2 <= len(tries) <= most and time.monotonic() - began < 5, (len(tries), time.monotonic() - began)
            soft_works(stack)
        proxy.rule = None
        signs(stack, "device-tpm")


def test_T09_places_in_the_tpm_taken_by_others_are_waited_for():
    with with_proxy() as (stack, proxy):
        tpm = proxy.tpm
        for _ in range(3):
            tpm.tool("createprimary", "-Q", "-C", "n", "-G", "ecc", "-c", stack.dir / "other", check=False)
        timer = threading.Timer(0.2, tpm.flush)
        timer.start()
        signs(stack, "device-tpm")
        timer.join()


# T10


def test_T10_answers_that_are_none_are_refused_and_the_next_one_is_taken():
    ways = {
        "too short": lambda c, f: f(c)[:-7],
        "shorter than a header": lambda c, f: f(c)[:6],
        "empty": lambda c, f: b"",
        "longer than it says": lambda c, f: f(c)[:2] + b"\0\0\xff\xff" + f(c)[6:],
        "a huge size": lambda c, f: f(c)[:2] + b"\xff\xff\xff\xff" + f(c)[6:],
        "another tag": lambda c, f: b"\x12\x34" + f(c)[2:],
        "another code": lambda c, f: packet(0x123456),
        "a wrong HMAC": lambda c, f: flipped(r := f(c), 8 * len(r) - 5),
        "a wrong byte inside": lambda c, f: flipped(f(c), 8 * 20),
    }
    with with_proxy() as (stack, proxy):
        pids = alive(stack)
        answers = []
        proxy.rule = only("Sign", lambda c, f: answers.append(f(c)) or answers[-1])
        signs(stack, "device-tpm")
        ways["an answer of before"] = lambda c, f: (f(c), answers[0])[1]
        for way, rule in ways.items():
            proxy.rule = only("Sign", rule)
            try:
                said = refused_sign(stack)
            except AssertionError as error:
                raise AssertionError(way) from error
            assert said.name in ("TpmFailed", "TpmUnavailable"), (way, said)
            soft_works(stack)
            proxy.rule = None
            signs(stack, "device-tpm")
        # What comes behind an answer is not read.
        proxy.rule = only("Sign", lambda c, f: f(c) + b"more")
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(admin.public_key("device-tpm"), MESSAGE, admin.sign("device-tpm", MESSAGE))
        assert alive(stack) == pids


def test_T10_an_answer_that_comes_byte_by_byte_is_an_answer():
    with with_proxy() as (stack, proxy), stack.peer(ADMIN) as admin:
        proxy.rule = lambda command, forward: [bytes([b]) for b in forward(command)]
        assert signature_is_good(admin.public_key("device-tpm"), MESSAGE, admin.sign("device-tpm", MESSAGE))


def test_T10_a_slow_answer_is_waited_for_and_holds_nobody_else_up():
    with with_proxy() as (stack, proxy):
        proxy.rule = only("Sign", once(proxy.slow(SLOW)))
        done = threading.Thread(target=lambda: signs(stack, "device-tpm", 60))
        began = time.monotonic()
        done.start()
        count = 0
        while done.is_alive():
            soft_began = time.monotonic()
            with stack.peer(ADMIN) as admin:
                admin.sign("device-soft", MESSAGE)
            assert time.monotonic() - soft_began < SLOW / 2
            count += 1
        assert time.monotonic() - began >= SLOW and count > 10


def test_T10_who_waits_for_a_tpm_that_does_not_answer_hears_it_from_the_service():
    """By libholdfast, with the patience it has by itself."""
    if SLOW < 30:
        print("skipped: takes a minute; HOLDFAST_TPM_SLOW=30 for the case as it stands")
        return
    with with_proxy() as (stack, proxy):
        proxy.rule = only("Sign", once(proxy.slow(SLOW + 2)))
        assert stack.cli("sign", "device-tpm", input=MESSAGE).returncode == 0
        proxy.rule = only("Sign", proxy.slow(120))
        said = stack.cli("sign", "device-tpm", input=MESSAGE, check=False)
        assert said.returncode != 0 and b"TpmUnavailable" in said.stderr, said


# T11


def test_T11_the_clock_of_a_tpm_that_lost_its_power_decides_nothing():
    with sealed() as stack:
        stack.tpm.kill()
        stack.tpm.start()
        signs(stack, "device-tpm")
        stack.restart()
        stack.wait_state("ready")


# T12


def test_T12_other_programs_use_the_tpm_at_the_same_time():
    with with_proxy() as (stack, proxy):
        stop = threading.Event()
        counts = [0]

        def others():
            while not stop.is_set():
                proxy.tpm.tool("getrandom", "--hex", "8")
                proxy.tpm.tool("pcrread", "sha256:0,7")
                counts[0] += 1
        thread = threading.Thread(target=others)
        thread.start()
        try:
            with stack.peer(ADMIN) as admin:
                for _ in range(300):
                    admin.sign("device-tpm", MESSAGE)
            wait_for(lambda: counts[0] >= 3, "the others to get their turn")
        finally:
            stop.set()
            thread.join()


# T13, D06


def p99(stack, key, seconds):
    times = []
    end = time.monotonic() + seconds
    with stack.peer(ADMIN) as admin:
        while time.monotonic() < end:
            began = time.monotonic()
            admin.sign(key, MESSAGE)
            times.append(time.monotonic() - began)
    return sorted(times)[len(times) * 99 // 100]


def test_T13_callers_of_software_keys_do_not_notice_a_slow_tpm():
    with with_proxy() as (stack, proxy):
        waiting = [stack.peer(ADMIN) for _ in range(4)]
        ratios = []
        for _ in range(6):
            proxy.rule = None
            idle = p99(stack, "device-soft", 0.7)
            proxy.rule = proxy.slow(2)
            threads = [threading.Thread(target=lambda p=p: p.sign("device-tpm", MESSAGE)) for p in waiting]
            arrived = proxy.arrived
            for thread in threads:
                thread.start()
            wait_for(lambda n=arrived: proxy.arrived > n, "the TPM to be busy")
            busy = p99(stack, "device-soft", 0.7)
            proxy.rule = None
            for thread in threads:
                thread.join()
            ratios.append(busy / idle)
            if min(ratios) <= 1.5:
                break
        for peer in waiting:
            peer.close()
        print(f"p99 of software keys while the TPM takes 2 s, to that of an idle one: {min(ratios):.2f}")
        assert min(ratios) <= 1.5, ratios


def test_D06_who_asks_for_tpm_keys_only_leaves_others_their_turn():
    with with_proxy() as (stack, proxy):
        stop = threading.Event()

        def flood():
            with stack.peer(ADMIN) as peer:
                while not stop.is_set():
                    peer.sign("device-tpm", MESSAGE)
        threads = [threading.Thread(target=flood) for _ in range(7)]
        for thread in threads:
            thread.start()
        try:
            waits = []
            with stack.peer(ADMIN) as admin:
                for _ in range(40):
                    began = time.monotonic()
                    admin.sign("device-tpm", MESSAGE)
                    waits.append(time.monotonic() - began)
                    proxy.tpm.tool("getrandom", "--hex", "8")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        print(f"with 7 others: mean wait {sum(waits) / len(waits) * 1000:.1f} ms, longest {max(waits) * 1000:.1f} ms")


# T14 is tpm_wire.py; T07 is board_swap.py; T08 is tpm_freshness.py


def test_the_tpm_process_is_its_own_user_without_network_files_or_core():
    with with_proxy() as (stack, _):
        pid = stack.tpm_pid()
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status, status
        assert program_of(pid) == "holdfast-tpm"
        environment = subprocess.run(["cat", f"/proc/{pid}/environ"], capture_output=True)
        assert b"LISTEN_FDS" not in environment.stdout


def test_an_orderly_stop_leaves_the_tpm_as_it_was():
    with with_proxy() as (stack, proxy):
        signs(stack, "device-tpm")
        assert stack.stop() == 0
        for kind in (TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS):
            assert proxy.tpm.handles(kind) == [], hex(kind)


def test_K07_a_process_that_hangs_is_replaced():
    with sealed(launcher_args=["--watchdog=1"]) as stack:
        pid = stack.tpm_pid()
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: stack.tpm_pid() != pid, "the launcher to start another one", 20)
        signs(stack, "device-tpm")


if __name__ == "__main__":
    case.main()
