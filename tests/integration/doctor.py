#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor sees every file that stands open to others, and the command it names mends it."""
import json
import os
import re
import subprocess

import case
from stack import ADMIN, DAEMON, MALLORY, Stack, need_root


def findings(stack):
    done = stack.cli("--json", "doctor", check=False)
    return [f for f in json.loads(done.stdout) if f["code"] == "files"]


def is_sound(stack):
    found = findings(stack)
    return len(found) == 1 and found[0]["severity"] == "ok"


def expect_mended(stack, path, what):
    """One finding that names the path; its command is run; then there is none."""
    found = [f for f in findings(stack) if str(path) + " " in f["detail"]]
    assert len(found) == 1 and found[0]["severity"] == "error", (what, path, findings(stack))
    subprocess.run(["sh", "-c", found[0]["remedy"]], check=True)
    assert is_sound(stack), (what, path, findings(stack))


def used_files(stack):
    """Every kind of file there is, with a mode that lets others in."""
    for path in [stack.state, *stack.state.rglob("*")]:
        yield path, 0o755 if path.is_dir() else 0o644
    yield stack.dir / "holdfast.conf", 0o666
    yield stack.dir / "policy.d", 0o777
    yield stack.dir / "policy.d/10-test.conf", 0o664
    yield stack.dir / "run", 0o777
    yield stack.dir / "run/signer", 0o775
    yield stack.dir / "run/signer/socket", 0o660
    yield stack.dir / "run/signer/import", 0o666
    yield stack.dir / "run/credentials", 0o755
    yield stack.dir / "bin/daemon/holdfastd", 0o775
    yield stack.dir / "bin/daemon", 0o777


def test_a_mode_that_lets_others_in_is_found_for_every_file_and_mended_by_the_command_named():
    with Stack(bus=False, daemon_args=["--segment-size=262144"]) as stack:
        stack.init()
        assert is_sound(stack), findings(stack)
        files = list(used_files(stack))
        names = {str(path.relative_to(stack.dir)) for path, _ in files}
        assert {"state/store/store.db", "state/store/slots", "state/store/lock", "state/store/audit/000001.jsonl"} <= names, names
        for path, mode in files:
            path.chmod(mode)
            expect_mended(stack, path, oct(mode))


def test_a_socket_that_cannot_be_made_is_named_and_the_others_serve():
    with Stack(bus=False, daemon_args=["--listen=/proc/nowhere/bus", "--listen=/etc/passwd"]) as stack:
        stack.init()
        assert stack.cli("key", "create", "device")
        assert stack.log_path.read_text().count("cannot listen on /") == 2
        found = [f for f in json.loads(stack.cli("--json", "doctor", check=False).stdout) if f["code"] == "listen"]
        assert [f["severity"] for f in found] == ["error"] * 2 and "listen= in holdfast.conf" in found[0]["remedy"], found
        assert "/proc/nowhere/bus: No such file or directory" in found[0]["detail"] and "/etc/passwd: " in found[1]["detail"], found


def test_callers_who_cannot_connect_are_noticed():
    with Stack() as stack:
        stack.init()
        bus = stack.dir / "run/bus"
        bus.chmod(0o600)
        expect_mended(stack, bus, "closed")


def test_a_stranger_as_owner_is_found_and_mended():
    need_root()
    with Stack(bus=False) as stack:
        stack.init()
        for path, _ in list(used_files(stack)):
            if path.name == "credentials":
                continue  # whose it must be, only the signer knows
            os.chown(path, MALLORY, MALLORY)
            expect_mended(stack, path, "owner")
        os.chown(stack.state / "store/slots", 0, 0)
        expect_mended(stack, stack.state / "store/slots", "root")
        assert (stack.state / "store/slots").stat().st_uid == DAEMON


def test_a_store_that_has_no_pace_yet_is_given_no_days():
    with Stack(bus=False) as stack:
        stack.init()
        said, = [f["detail"] for f in json.loads(stack.cli("--json", "doctor", check=False).stdout) if f["code"] == "space"]
        assert re.fullmatch(r"room for about \d+ more lines of the log", said), said


if __name__ == "__main__":
    case.main()
