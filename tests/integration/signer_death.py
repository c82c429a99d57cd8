#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The signer dies in the middle of everything that asks something of it

It is killed as it sends its nth answer, for n from 1 until the operation needs no more. Whatever the step: the caller gets
an answer, it is the truth, nothing is left busy (the same operation can be done again at once) and keys still sign.
"""
import os
import pathlib
import shutil
import subprocess

import case
from judge import signature_is_good
from peer import Refused, plain, secret_fd
from stack import ADMIN, ALICE, ROOT, Stack, wait_for

MESSAGE = b"the signer dies"
PASSPHRASE = b"correct horse battery staple"
ANSWERS_MAX = 40
X25519_ZERO = bytes.fromhex("302a300506032b656e032100") + bytes(32)


class Death:
    """strace that kills the signer as any of its threads enters the nth sendmsg(2)."""

    def __init__(self, stack, nth):
        self.pid = stack.signer_pid()
        self.strace = subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-e", "trace=sendmsg", "-e",
                                        f"inject=sendmsg:signal=SIGKILL:when={nth}", "-p", str(self.pid)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = self.strace.stderr.readline()
        if b"attached" not in line:
            raise RuntimeError(f"strace: {line.decode()}")

    def end(self):
        """Was it killed?"""
        def gone():
            return not pathlib.Path(f"/proc/{self.pid}").exists()
        try:
            dead = wait_for(gone, "the signer to die", 0.2)
        except TimeoutError:
            dead = False
        self.strace.terminate()
        self.strace.communicate()
        return dead


def need_strace():
    if not ROOT or not shutil.which("strace"):
        raise case.Skip("needs root and strace")


def attempt(act, *args):
    """What it gave, or how it was refused."""
    try:
        return act(*args), None
    except Refused as refused:
        return None, refused


def die_at_each_answer(stack, act, after, nth=1):
    """act() under death at answer 1, 2, ...; after(result, refused) judges each time. How many deaths there were."""
    for n in range(nth, ANSWERS_MAX):
        death = Death(stack, n)
        result, refused = attempt(act)
        died = death.end()
        assert died or not refused, f"refused without a death: {refused}"
        after(result, refused)
        if not died:
            return n - 1
    raise AssertionError("there is no end of answers")


def settle(stack, state="ready"):
    stack.wait_signer()
    return stack.wait_state(state)


def signs(stack):
    with stack.peer(ADMIN) as admin:
        assert signature_is_good(admin.public_key("device-a"), MESSAGE, admin.sign("device-a", MESSAGE))


def survives(make, minimum, setup=None, **stack_options):
    """An operation on an open store: each time it is done or refused by name, and can be done again at once."""
    need_strace()
    with Stack(bus=False, **stack_options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            if setup:
                setup(stack, admin)

        def act():
            with stack.peer(ADMIN) as admin:
                return make(stack, admin)

        def after(_, refused):
            assert not refused or refused.name in ("SignerUnavailable", "Busy"), refused
            settle(stack)
            act()
            signs(stack)

        deaths = die_at_each_answer(stack, act, after)
        assert deaths >= minimum, deaths


def test_no_backup_hangs_when_the_signer_dies():
    def make(stack, admin):
        with open(stack.dir / "backup", "wb") as output:
            return plain(admin.manager("Backup", "ha{sv}", output.fileno(), {}))
    survives(make, 1)


def test_a_slot_is_added_and_removed_or_not_when_the_signer_dies():
    def make(stack, admin):
        for slot in map(plain, admin.manager("ListSlots")):
            if slot["kind"] == "passphrase":
                admin.manager("RemoveSlot", "ua{sv}", slot["id"], {})
        number = admin.manager("AddSlot", "sa{sv}", "passphrase", {"secret": ("h", secret_fd(PASSPHRASE))})
        admin.manager("RemoveSlot", "ua{sv}", number, {})
    survives(make, 3)


def test_a_slot_is_changed_or_not_when_the_signer_dies():
    def setup(stack, admin):
        stack.slot = admin.manager("AddSlot", "sa{sv}", "passphrase", {"secret": ("h", secret_fd(PASSPHRASE))})

    def make(stack, admin):
        admin.manager("ChangeSlot", "ua{sv}", stack.slot, {"secret": ("h", secret_fd(PASSPHRASE))})
    survives(make, 1, setup)


def test_a_rekey_is_whole_or_not_at_all_when_the_signer_dies():
    def make(stack, admin):
        return plain(admin.manager("Rekey", "sa{sv}", "credential", {"unattended": ("b", True)}))
    survives(make, 3)


def test_keys_are_made_and_changed_or_not_when_the_signer_dies():
    def make(stack, admin):
        admin.create("device-b", "ed25519")
        admin.key("device-b", "Disable")
        admin.destroy("device-b")

    def again(stack, admin):
        for key in admin.keys():
            if key["name"] == "device-b":
                admin.destroy("device-b")
        make(stack, admin)
    survives(again, 3)


def test_a_key_comes_in_or_not_when_the_signer_dies():
    def setup(stack, admin):
        stack.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", stack.dir / "key.pem"])

    def make(stack, admin):
        for key in admin.keys():
            if key["name"] == "device-i":
                admin.destroy("device-i")
        with open(stack.dir / "key.pem", "rb") as key:
            admin.manager("ImportKey", "sha{sv}", "device-i", key.fileno(), {})
    survives(make, 2, setup, daemon_args=["--import=yes"])


def test_lock_and_unlock_end_when_the_signer_dies():
    """The signer that comes back has forgotten that it was locked, so the store is open or locked; never in between."""
    def make(stack, admin):
        admin.manager("Lock")
        admin.manager("Unlock")

    need_strace()
    with Stack(bus=False) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")

        def act():
            with stack.peer(ADMIN) as admin:
                make(stack, admin)

        def after(_, refused):
            assert not refused or refused.name in ("SignerUnavailable", "Busy", "NothingToDo"), refused
            stack.wait_signer()
            wait_for(lambda: stack.status()["state"] in ("ready", "locked"), "an end")
            with stack.peer(ADMIN) as admin:
                attempt(admin.manager, "Unlock")
            settle(stack)
            attempt(act)
            settle(stack)
            signs(stack)

        assert die_at_each_answer(stack, act, after) >= 3


def test_an_unlock_by_passphrase_can_be_repeated_when_the_signer_dies():
    need_strace()
    with Stack(bus=False, credential=None) as stack:
        stack.init("passphrase", secret=("h", secret_fd(PASSPHRASE)))
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            admin.manager("Lock")

        def act():
            with stack.peer(ADMIN) as admin:
                return admin.manager("Unlock", "a{sv}", {"secret": ("h", secret_fd(PASSPHRASE))})

        def after(_, refused):
            assert not refused or refused.name == "SignerUnavailable", refused
            stack.wait_signer()
            wait_for(lambda: stack.status()["state"] in ("ready", "locked"), "an end")
            attempt(act)
            settle(stack)
            signs(stack)
            with stack.peer(ADMIN) as admin:
                admin.manager("Lock")

        assert die_at_each_answer(stack, act, after) >= 1


def new_stores(act, minimum, prepare=None):
    """Operations that make a store: a new directory each time, and the second attempt succeeds."""
    need_strace()
    for n in range(1, ANSWERS_MAX):
        with Stack(bus=False) as stack:
            stack.wait_signer()
            if prepare:
                prepare(stack)
            death = Death(stack, n)
            with stack.peer(ADMIN) as admin:
                _, refused = attempt(act, stack, admin)
                died = death.end()
                assert died or not refused, refused
                assert not refused or refused.name in ("SignerUnavailable", "NothingToDo"), refused
                stack.wait_signer()
                wait_for(lambda: stack.status()["state"] in ("ready", "uninitialised"), "an end")
                if stack.status()["state"] == "uninitialised":
                    act(stack, admin)
                settle(stack)
                if not any(k["name"] == "device-a" for k in admin.keys()):
                    admin.create("device-a", "p256")
            signs(stack)
        if not died:
            assert n > minimum, n
            return
    raise AssertionError("there is no end of answers")


def test_a_store_is_made_or_not_when_the_signer_dies():
    def act(_, admin):
        admin.manager("Initialise", "sa{sv}", "credential", {"unattended": ("b", True)})
    new_stores(act, 3)


def test_a_store_whose_signer_dies_before_the_code_is_typed_back_is_begun_anew():
    def act(_, admin):
        read, write = os.pipe()
        with os.fdopen(read, "rb") as codes:
            try:
                admin.manager("Initialise", "sa{sv}", "credential", {"recovery": ("h", write)})
            finally:
                os.close(write)
            code = codes.readline().strip()
        admin.manager("ConfirmRecovery", "ha{sv}", secret_fd(code), {})
    new_stores(act, 3)


def test_a_restore_is_whole_or_can_be_repeated_when_the_signer_dies():
    with Stack(bus=False) as made:
        made.init()
        with made.peer(ADMIN) as admin, open(made.dir / "backup", "wb") as output:
            admin.create("device-a", "p256")
            admin.manager("Backup", "ha{sv}", output.fileno(), {})
        backup = (made.dir / "backup").read_bytes()

    def prepare(stack):
        (stack.dir / "backup").write_bytes(backup)

    def act(stack, admin):
        with open(stack.dir / "backup", "rb") as source:
            admin.manager("Restore", "ha{sv}", source.fileno(), {})
    new_stores(act, 3, prepare)


def test_a_use_whose_outcome_nobody_knows_counts_and_one_that_did_not_happen_does_not():
    need_strace()
    rules = f"allow user={ADMIN} op=all\nallow user={ALICE} key=device-* op=sign,agree name=few uses=4\n"
    with Stack(bus=False, rules=rules) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-s", "p256")
            admin.create("device-x", "x25519")
        with stack.peer(ALICE) as alice:
            for _ in range(10):  # a point of small order is refused before a secret comes of it
                _, refused = attempt(alice.key, "device-x", "Agree", "aya{sv}", X25519_ZERO, {})
                assert refused and refused.name != "UsesExhausted", refused
            death = Death(stack, 2)
            results = [attempt(alice.sign, "device-s", MESSAGE) for _ in range(8)]
            assert death.end()
        names = [refused.name if refused else "" for _, refused in results]
        assert names.count("") == 3 and names.count("SignerUnavailable") == 1, names
        assert set(names[4:]) == {"UsesExhausted"}, names


if __name__ == "__main__":
    case.main()
