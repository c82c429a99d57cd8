#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Key slots: what opens the store, what does not, and what a locked store still answers."""
import os
import tempfile

import case
from peer import Refused, plain, secret_fd, variants
from stack import ADMIN, Stack

PASSPHRASE = b"correct horse battery staple"
MESSAGE = b"slots"


def refusal(call, *args, **options):
    try:
        call(*args, **options)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def secret(data):
    return ("h", secret_fd(data))


def unlock(peer, data):
    return plain(peer.manager("Unlock", "a{sv}", {"secret": secret(data)}))


def with_passphrase(stack):
    stack.init("passphrase", secret=secret(PASSPHRASE))
    return stack.peer(ADMIN)


def test_a_locked_store_signs_nothing_and_opens_with_its_passphrase_only():
    with Stack(credential=None) as stack, with_passphrase(stack) as admin:
        admin.create("device-a", "p256")
        admin.manager("Lock")
        assert stack.status()["state"] == "locked"
        assert refusal(admin.sign, "device-a", MESSAGE).name == "StoreLocked"
        assert refusal(unlock, admin, b"wrong").name == "UnlockFailed"
        assert refusal(admin.sign, "device-a", MESSAGE).name == "StoreLocked"
        assert unlock(admin, PASSPHRASE)["kind"] == "passphrase"
        assert admin.sign("device-a", MESSAGE)
        assert refusal(unlock, admin, PASSPHRASE).name == "NothingToDo"


def test_after_a_restart_an_attended_store_is_locked():
    with Stack(credential=None) as stack:
        with_passphrase(stack).close()
        stack.restart()
        stack.wait_state("locked")
        with stack.peer(ADMIN) as admin:
            unlock(admin, PASSPHRASE)
            stack.wait_state("ready")


def test_after_a_restart_an_unattended_store_is_ready():
    with Stack() as stack:
        stack.init()
        stack.restart()
        stack.wait_state("ready")


def test_another_credential_opens_nothing():
    with Stack() as stack:
        stack.init()
        stack.stop()
        (stack.dir / "credential").write_bytes(b"another credential of the same length")
        stack.start()
        stack.wait_state("locked")
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.manager, "Unlock").name == "UnlockFailed"


def recovery_code(peer, slot, **options):
    read, write = os.pipe()
    result = plain(peer.manager("Initialise", "sa{sv}", slot, variants({"recovery": ("h", write), **options})))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return pipe.readline().rstrip(b"\n"), result


def confirm(peer, code):
    return plain(peer.manager("ConfirmRecovery", "ha{sv}", secret_fd(code), {}))


def test_the_store_becomes_the_store_when_the_recovery_code_is_typed_back():
    with Stack() as stack, stack.peer(ADMIN) as admin:
        code, result = recovery_code(admin, "credential")
        assert len(code) >= 20 and result["pending"]
        assert stack.status()["state"] == "uninitialised"
        assert refusal(confirm, admin, code[::-1]).name == "UnlockFailed"
        confirm(admin, code)
        stack.wait_state("ready")
        kinds = [plain(s)["kind"] for s in admin.manager("ListSlots")]
        assert sorted(kinds) == ["credential", "recovery"]


def test_the_recovery_code_opens_a_locked_store():
    with Stack(credential=None) as stack, stack.peer(ADMIN) as admin:
        code, _ = recovery_code(admin, "passphrase", secret=secret(PASSPHRASE))
        confirm(admin, code)
        stack.wait_state("ready")
        admin.manager("Lock")
        assert unlock(admin, code)["kind"] == "recovery"


def test_slots_are_added_and_removed_but_never_the_last():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            first = plain(admin.manager("ListSlots")[0])["id"]
            assert refusal(admin.manager, "RemoveSlot", "ua{sv}", first, {}).name == "LastSlot"
            added = admin.manager("AddSlot", "sa{sv}", "passphrase", {"secret": secret(PASSPHRASE), "label": ("s", "desk")})
            admin.manager("RemoveSlot", "ua{sv}", first, {})
            assert refusal(admin.manager, "RemoveSlot", "ua{sv}", added, {}).name == "LastSlot"
            assert refusal(admin.manager, "RemoveSlot", "ua{sv}", 4711, {}).name == "NoSuchSlot"
        stack.restart()
        stack.wait_state("locked")
        with stack.peer(ADMIN) as admin:
            unlock(admin, PASSPHRASE)


def test_a_changed_slot_opens_with_the_new_secret_only():
    with Stack(credential=None) as stack, with_passphrase(stack) as admin:
        slot = plain(admin.manager("ListSlots")[0])["id"]
        admin.manager("ChangeSlot", "ua{sv}", slot, {"secret": secret(b"a new one")})
        admin.manager("Lock")
        assert refusal(unlock, admin, PASSPHRASE).name == "UnlockFailed"
        unlock(admin, b"a new one")


def test_a_secret_that_is_no_sealed_memfd_is_not_read():
    with Stack(credential=None) as stack, with_passphrase(stack) as admin:
        admin.manager("Lock")
        unsealed = os.memfd_create("x")
        os.write(unsealed, PASSPHRASE)
        read, write = os.pipe()
        os.write(write, PASSPHRASE)
        with tempfile.TemporaryFile() as file:
            file.write(PASSPHRASE)
            file.flush()
            for fd in (unsealed, read, file.fileno(), secret_fd(b""), secret_fd(b"x" * 1025)):
                assert refusal(admin.manager, "Unlock", "a{sv}", {"secret": ("h", fd)}).name == "InvalidFd"
        unlock(admin, PASSPHRASE)


if __name__ == "__main__":
    case.main()
