#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The first whole road: an unprivileged user signs with a key he can never hold, others are refused each in his way, and
an auditor checks the log without the daemon.
"""
import case
from judge import exported, flip, lines, signature_is_good
from peer import Refused
from stack import ADMIN, ALICE, BOB, MALLORY, ROOT, Stack

MESSAGE = b"Good evening, this is a device."
VERIFICATION_FAILED, UNKNOWN_SIGNER = 8, 11


def refusal(call, *args):
    try:
        call(*args)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def prepared(stack):
    stack.init()
    with stack.peer(ADMIN) as admin:
        admin.create("device-web", "p256")
        admin.create("device-beacon", "ed25519")
    return stack


def test_a_fresh_daemon_is_uninitialised_and_says_so():
    with Stack() as stack, stack.peer(ADMIN) as peer:
        assert stack.wait_state("uninitialised")
        assert refusal(peer.sign, "device-web", MESSAGE).name == "StoreUninitialised"


def test_signatures_are_good_to_stock_openssl():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ALICE) as alice:
            for key, digest in {"device-web": "sha256", "device-beacon": None}.items():
                signature, public = alice.sign(key, MESSAGE), alice.public_key(key)
                assert signature_is_good(public, MESSAGE, signature, digest)
                assert not signature_is_good(public, MESSAGE + b"!", signature, digest)


def test_a_key_is_reached_by_uuid_as_by_name():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ADMIN) as admin:
            uuid = admin.describe("device-web")["uuid"]
            assert signature_is_good(admin.public_key("device-web"), MESSAGE, admin.sign(uuid, MESSAGE))


def test_who_may_describe_is_refused_by_name():
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack() as stack:
        prepared(stack)
        with stack.peer(BOB) as bob:
            assert bob.describe("device-web")["algorithm"] == "p256"
            assert refusal(bob.sign, "device-web", MESSAGE).name == "PolicyDenied"


def test_who_may_nothing_cannot_tell_a_hidden_key_from_an_absent_one():
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack() as stack:
        prepared(stack)
        with stack.peer(MALLORY) as mallory:
            for call in (lambda k: mallory.sign(k, MESSAGE), mallory.describe, mallory.public_key, mallory.destroy):
                hidden, absent = refusal(call, "device-web"), refusal(call, "device-wob")
                assert hidden.name == absent.name == "NoSuchKey"
                assert hidden.sentence.replace("device-web", "device-wob") == absent.sentence


def test_an_unknown_option_is_an_error():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.key, "device-web", "Describe", "a{sv}", {"colour": ("s", "red")}).name == "InvalidArgs"


def test_every_use_and_every_refusal_is_in_the_log():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ALICE) as alice:
            for _ in range(5):
                alice.sign("device-web", MESSAGE)
        if ROOT:
            with stack.peer(BOB) as bob:
                refusal(bob.sign, "device-web", MESSAGE)
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        assert MESSAGE not in log
        signs = lines(log, "key.sign")
        of_alice = [r for r in signs if str(ALICE) in str(r)]
        assert len(of_alice) >= 5, signs
        if ROOT:
            assert [r for r in lines(log) if str(BOB) in str(r)], "the refusal is missing"


def test_an_auditor_verifies_the_export_without_the_daemon():
    with Stack() as stack:
        prepared(stack)
        with stack.peer(ALICE) as alice:
            for _ in range(10):
                alice.sign("device-web", MESSAGE)
        key = stack.auditor_key()
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        stack.stop()
        done = stack.verify(log, key)
        assert b"checkpoint" in done.stdout + done.stderr
        assert stack.verify(log, None, check=False).returncode == UNKNOWN_SIGNER

        count = len(log.splitlines())
        for line in (1, count // 2, count - 1):
            done = stack.verify(flip(log, line), key, check=False)
            assert done.returncode == VERIFICATION_FAILED, (line, done)
            # seq counts from 0 or from 1; either way the record is named, not just the file
            said = (done.stdout + done.stderr).decode()
            assert any(str(n) in said for n in (line - 1, line)), (line, said)


def test_the_same_road_by_the_command_line():
    with Stack() as stack:
        stack.cli("init", "--unattended", "--slot", "credential")
        stack.wait_state("ready")
        stack.cli("key", "create", "device-cli", "--algorithm", "p256")
        signature = stack.cli("sign", "device-cli", uid=ALICE, input=MESSAGE).stdout
        public = stack.cli("key", "public", "device-cli", uid=ALICE).stdout
        assert stack.cli("key", "public", "device-cli", "--format", "jwk", uid=ALICE).stdout.endswith(b"}\n")
        assert signature_is_good(public, MESSAGE, signature)
        assert b"device-cli" in stack.cli("key", "list").stdout
        if ROOT:
            assert stack.cli("sign", "device-cli", uid=BOB, input=MESSAGE, check=False).returncode == 4
            assert stack.cli("sign", "device-cli", uid=MALLORY, input=MESSAGE, check=False).returncode == 3


if __name__ == "__main__":
    case.main()
