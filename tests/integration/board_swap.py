#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The board is changed: the disk goes into a machine with another TPM. Case T07 of docs/faults.md.

The recovery code opens the store there, `holdfast recover` takes it over and seals it to the new TPM, the keys of the old
one are marked lost and stay listed, software keys go on, and the log stays one log under one checkpoint key.
"""
import contextlib
import json

import case
from judge import exported, lines, signature_is_good
from peer import Refused, refusal
from stack import ADMIN, Stack, wait_for
from swtpm import Swtpm, sealed, signs, take_over

MESSAGE = b"on another board"
NV_INDEX = 0x01000000  # the first there could be


@contextlib.contextmanager
def swapped(first, second):
    """The disk of a machine with the first TPM, in one with the second."""
    with sealed(tpm=first) as stack:
        machine = stack.dir / "machine-id"
        machine.write_text("0123456789abcdef0123456789abcdef\n")
        machine.chmod(0o644)
        stack.stop()
        stack.tpm = second
        stack.signer_args = [f"--machine-id={machine}"]
        stack.start()
        yield stack


def closed(stack):
    def so():
        with contextlib.suppress(OSError, Refused):
            now = stack.status()
            return now if now["state"] in ("locked", "foreign") else None
    return wait_for(so, "the store to be closed")


def test_T07_another_tpm_opens_nothing_and_is_named():
    with Swtpm() as first, Swtpm() as second, swapped(first, second) as stack:
        closed(stack)
        said = stack.cli("unlock", check=False)
        assert said.returncode != 0
        assert b"tpm-identity-changed" in said.stderr or b"TpmIdentityChanged" in said.stderr or b"StoreForeign" in said.stderr, said
        assert first.handles(0x80000000) == []


def test_the_recovery_code_and_one_command_take_the_store_over():
    with Swtpm() as first, Swtpm() as second, swapped(first, second) as stack:
        closed(stack)
        take_over(stack)
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(admin.public_key("device-soft"), MESSAGE, admin.sign("device-soft", MESSAGE))
            assert refusal(admin.sign, "device-tpm", MESSAGE).name == "KeyLost"
            assert {k["name"] for k in admin.keys()} == {"device-soft", "device-tpm"}, "a lost key stays listed"
            log = exported(admin)
            assert lines(log, "key.lost"), {r["event"] for r in lines(log)}
        slots = json.loads(stack.cli("slot", "list", "--json").stdout)
        assert sorted(s["kind"] for s in slots) == ["recovery", "tpm2"], slots
        for _ in range(2):
            stack.restart()
            stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.create("device-new", "p256", protection="tpm")
        signs(stack, "device-new")


def test_the_log_stays_one_log_under_the_auditors_old_key():
    with Swtpm() as first, Swtpm() as second, sealed(tpm=first) as stack:
        noted = stack.auditor_key()
        before = stack.cli("audit", "note").stdout
        stack.stop()
        stack.tpm = second
        stack.start()
        closed(stack)
        take_over(stack)
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        key = stack.dir / "auditor.key"
        key.write_text(noted + "\n")
        stack.verify(log, key)
        note = stack.dir / "before.note"
        note.write_bytes(before)
        path = stack.dir / "audit.jsonl"
        assert stack.cli("audit", "verify", path, "--key", key, "--expect", note).returncode == 0
        assert stack.auditor_key() == noted


def test_the_old_board_opens_its_copy_and_not_what_came_after():
    with Swtpm() as first, Swtpm() as second, swapped(first, second) as stack:
        closed(stack)
        take_over(stack)
        stack.stop()
        stack.tpm = first
        stack.signer_args = []
        stack.start()
        closed(stack)


def test_boards_that_are_swapped_to_and_fro_keep_one_counter_each():
    with Swtpm() as first, Swtpm() as second, sealed(tpm=first) as stack:
        for i, board in enumerate((second, first, second, first)):
            stack.stop()
            stack.tpm = board
            stack.start()
            closed(stack)
            take_over(stack)
            stack.cli("key", "create", f"device-{i}", "--protection", "tpm")
        for board in (first, second):
            assert len(board.handles(NV_INDEX)) == 1, "a counter was left behind"
        stack.restart()
        stack.wait_state("ready")


def test_a_credential_is_enough_to_take_a_store_over():
    with Stack(tpm=True) as stack:
        stack.init()
        stack.cli("key", "create", "device-tpm", "--protection", "tpm")
        stack.tpm.clear()
        stack.restart()
        stack.wait_state("foreign")
        stack.cli("recover", "--yes")
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.sign, "device-tpm", b"lost").name == "KeyLost"


def test_a_board_without_a_tpm_can_take_the_store_over_too():
    with Swtpm() as first, sealed(tpm=first) as stack:
        stack.stop()
        stack.tpm = None
        stack.start()
        closed(stack)
        stack.cli("unlock", "--passphrase-file", stack.dir / "code")
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert admin.sign("device-soft", MESSAGE)
            assert refusal(admin.sign, "device-tpm", MESSAGE).name == "TpmUnavailable"


if __name__ == "__main__":
    case.main()
