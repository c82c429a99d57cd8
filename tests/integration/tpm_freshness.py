#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
An older copy of store and log is found out by a counter in the TPM, which only goes up.

S04, S05, S06 and T08 of docs/faults.md: what was put back, what is said (both numbers), that nothing is touched, that an
operator can go on and the log has a record of it, and what cannot be noticed at all.
"""
import contextlib
import json
import re
import subprocess

import case
from judge import exported, lines
from peer import Refused, refusal
from stack import ADMIN, Stack, wait_for
from swtpm import CODES, TpmProxy, Swtpm, cut, cut_after, only, packet, sealed, signs

MESSAGE = b"newest"
DATABASE = ("store.db", "store.db-wal", "store.db-shm")


def copy_of(stack, name):
    """Of a stopped one."""
    subprocess.run(["cp", "-a", stack.state, stack.dir / name], check=True)
    return stack.dir / name


def put_back(stack, copy, *names):
    """All of it, or files of the store."""
    pairs = [(copy / "store" / n, stack.state / "store" / n) for n in names] or [(copy, stack.state)]
    for source, target in pairs:
        subprocess.run(["rm", "-rf", target], check=True)
        if source.exists():
            subprocess.run(["cp", "-a", source, target], check=True)


def more(stack, *names):
    stack.start()
    stack.wait_state("ready")
    with stack.peer(ADMIN) as admin:
        for name in names:
            admin.create(name, "p256")
            admin.sign(name, MESSAGE)
    stack.stop()


def refused(stack, name="StoreRolledBack"):
    """Starts it; its status, which is that of a store that refuses."""
    stack.start()

    def settled():
        with contextlib.suppress(OSError, Refused):
            now = stack.status()
            return now if now["state"] in ("refused", "foreign") else None
    status = wait_for(settled, "the store to be refused")
    assert status["error"].split(".")[-1] == name, status
    with stack.peer(ADMIN) as admin:
        assert refusal(admin.sign, "device-soft", MESSAGE).name == name
        assert refusal(admin.create, "none", "p256").name == name
    return status


def accept(stack):
    """What is left to an operator: go on, and have it on record."""
    stack.cli("recover", "--accept-rollback", "--yes")
    stack.wait_state("ready")
    with stack.peer(ADMIN) as admin:
        log = exported(admin)
        assert [r for r in lines(log) if "rollback" in r["event"] or "recover" in r["event"]], {r["event"] for r in lines(log)}
        admin.create("device-after", "p256")
        assert admin.sign("device-tpm", MESSAGE)
    for _ in range(2):
        stack.restart()
        stack.wait_state("ready")
    key = stack.dir / "auditor.key"
    key.write_text(stack.auditor_key() + "\n")
    stack.verify(log, key)


def counters(tpm):
    """The NV indices in the owner's range."""
    said = tpm.tool("getcap", "handles-nv-index").stdout.decode()
    return [i for i in re.findall(r"0x[0-9A-Fa-f]+", said) if 0x01800000 <= int(i, 16) <= 0x01bfffff]


def test_S04_an_older_store_beside_the_newer_log_is_refused_by_both_numbers():
    with sealed() as stack:
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-1", "device-2")
        put_back(stack, older, *DATABASE)
        status = refused(stack)
        assert len(re.findall(r"\d+", status["reason"])) >= 2, status
        accept(stack)


def test_S05_store_and_log_of_before_are_refused_by_what_the_tpm_says():
    with sealed() as stack:
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-1", "device-2", "device-3")
        put_back(stack, older)
        status = refused(stack)
        assert "counter" in status["reason"] and len(re.findall(r"\d+", status["reason"])) >= 2, status
        said = stack.cli("status").stdout.decode()
        assert "StoreRolledBack" in said or "older" in said, said
        accept(stack)


def test_S05_one_change_is_enough_to_tell():
    with sealed() as stack:
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-1")
        put_back(stack, older)
        refused(stack)


def test_S06_with_the_state_of_the_tpm_put_back_too_nothing_is_noticed_but_by_a_checkpoint_outside():
    with sealed() as stack:
        stack.stop()
        stack.tpm.stop()
        older, older_tpm = copy_of(stack, "older"), stack.tpm.copy_state()
        stack.tpm.start()
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.create("device-1", "p256")
        outside = stack.dir / "outside.note"
        outside.write_bytes(stack.cli("audit", "note").stdout)
        key = stack.dir / "auditor.key"
        key.write_text(stack.auditor_key() + "\n")
        stack.stop()
        stack.tpm.stop()
        put_back(stack, older)
        stack.tpm.restore_state(older_tpm)
        stack.tpm.start()
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert "device-1" not in {k["name"] for k in admin.keys()}
            log = stack.dir / "log.jsonl"
            log.write_bytes(exported(admin))
        assert stack.cli("audit", "verify", log, "--key", key, check=False).returncode == 0
        assert stack.cli("audit", "verify", log, "--key", key, "--expect", outside, check=False).returncode != 0


def test_T08_a_counter_that_was_put_back_is_refused_by_both_numbers():
    with sealed() as stack:
        stack.stop()
        stack.tpm.stop()
        older_tpm = stack.tpm.copy_state()
        stack.tpm.start()
        more(stack, "device-1", "device-2", "device-3")
        stack.tpm.stop()
        stack.tpm.restore_state(older_tpm)
        stack.tpm.start()
        status = refused(stack)
        assert "counter" in status["reason"] and len(re.findall(r"\d+", status["reason"])) >= 2, status
        accept(stack)


def test_T08_a_counter_that_is_gone_or_is_something_else_is_named():
    with sealed() as stack:
        stack.stop()
        index, = counters(stack.tpm)
        stack.tpm.tool("nvundefine", "-C", "o", index)
        status = refused(stack, "TpmIdentityChanged")
        assert "counter is gone" in status["reason"], status
        stack.stop()
        stack.tpm.tool("nvdefine", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite|authread|authwrite|no_da", index)
        status = refused(stack, "TpmIdentityChanged")
        assert "something else" in status["reason"], status
        stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code")
        stack.wait_state("ready")
        signs(stack, "device-soft")
        signs(stack, "device-tpm")
        stack.restart()
        stack.wait_state("ready")


def test_T08_a_counter_that_goes_from_under_an_open_store_is_made_anew_by_recover():
    with sealed() as stack:
        for index in counters(stack.tpm):
            stack.tpm.tool("nvundefine", "-C", "o", index)
        with stack.peer(ADMIN) as admin:
            admin.create("device-1", "p256")  # which finds out
        wait_for(lambda: "holdfast recover" in stack.cli("doctor", check=False).stdout.decode(), "the doctor to say so")
        assert stack.status()["state"] == "ready"
        stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code")
        stack.wait_state("ready")
        assert len(counters(stack.tpm)) == 1
        signs(stack, "device-soft")
        signs(stack, "device-tpm")
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-2")
        put_back(stack, older)
        refused(stack)


def test_a_store_restored_where_there_was_no_tpm_is_anchored_by_its_first_slot_there():
    with sealed() as stack:
        stack.cli("backup", stack.dir / "backup")
        stack.stop()
        tpm, stack.tpm = stack.tpm, None
        subprocess.run(["rm", "-rf", stack.state / "store"], check=True)
        stack.start()
        stack.wait_state("uninitialised")
        stack.cli("restore", stack.dir / "backup", "--yes", "--passphrase-file", stack.dir / "code")
        stack.wait_state("ready")
        stack.stop()
        stack.tpm = tpm
        stack.start()
        stack.wait_state("ready")
        said = stack.cli("--json", "doctor", check=False).stdout
        remedy, = [f["remedy"] for f in json.loads(said) if f["code"] == "rollback"]
        assert "no counter" in stack.cli("status").stdout.decode()
        assert remedy.startswith("holdfast slot "), said
        stack.cli(*remedy.split()[1:])
        assert "the TPM's counter" in stack.cli("status").stdout.decode()
        assert len(counters(tpm)) == 1, "the one of before was left behind"
        stack.restart()
        stack.wait_state("ready")
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-2")
        put_back(stack, older)
        refused(stack)


def test_T08_a_tpm_without_room_for_a_counter_is_named():
    with Stack(credential=None, tpm=True) as stack:
        counter = ["-a", "nt=counter|ownerread|ownerwrite|authread|authwrite"]  # some room is kept for these
        for first, how in ((0x01500100, ["-s", "2048"]), (0x01500200, ["-s", "64"]), (0x01500300, counter)):
            for i in range(256):
                if stack.tpm.tool("nvdefine", "-C", "o", *how, hex(first + i), check=False).returncode != 0:
                    break
        stack.wait_signer()
        done = stack.cli("init", "--slot", "tpm2", "--pcr", "7", "--recovery-file", stack.dir / "code", check=False)
        assert done.returncode != 0 and b"TpmFull" in done.stderr, done


def test_a_stop_between_note_and_increment_is_made_good():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, sealed(tpm=proxy) as stack:
        for rule in (cut, cut_after):
            seen = []

            def stop_there(command, forward):
                if not seen:
                    seen.append(command)
                    answer = rule(command, forward)
                    stack.kill(stack.daemon_pid())
                    return answer
                return forward(command)
            proxy.rule = only("NV_Increment", stop_there)
            with contextlib.suppress(OSError, Refused, EOFError), stack.peer(ADMIN) as admin:
                admin.create("device-" + rule.__name__.replace("_", "-"), "p256")
            assert seen, "no change was anchored"
            proxy.rule = None
            stack.wait_state("ready")
            signs(stack, "device-tpm")
            stack.restart()
            stack.wait_state("ready")


def test_a_change_is_acknowledged_once_the_counter_stands():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, sealed(tpm=proxy) as stack:
        proxy.record = []
        with stack.peer(ADMIN) as admin:
            admin.create("device-1", "p256")
            at_reply = [c for c, _ in proxy.record]
        assert any(c[6:10] == packet(CODES["NV_Increment"])[6:10] for c in at_reply), "acknowledged before it was anchored"


def test_signatures_wear_the_counter_out_only_now_and_then():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, sealed(tpm=proxy) as stack:
        proxy.record = []
        with stack.peer(ADMIN) as admin:
            for _ in range(300):
                admin.sign("device-soft", MESSAGE)
        increments = [c for c, _ in proxy.record if c[6:10] == packet(CODES["NV_Increment"])[6:10]]
        assert len(increments) <= 2, len(increments)


def test_without_a_tpm_the_status_says_what_is_not_noticed():
    with Stack() as stack:
        stack.init()
        said = stack.cli("status").stdout.decode() + stack.cli("doctor", check=False).stdout.decode()
        assert "older" in said or "rollback" in said.lower() or "rolled back" in said, said


def test_a_store_whose_tpm_does_not_answer_is_open_and_says_that_it_was_not_compared():
    with sealed() as stack:
        stack.stop()
        stack.tpm.stop()
        stack.start()
        stack.wait_state("locked")
        stack.cli("unlock", "--passphrase-file", stack.dir / "code")
        stack.wait_state("ready")
        said = stack.cli("status").stdout.decode() + stack.cli("doctor", check=False).stdout.decode()
        assert "TPM" in said, said
        stack.tpm.start()
        signs(stack, "device-tpm")


def test_an_older_store_is_found_out_when_its_tpm_comes_back():
    with sealed() as stack:
        stack.stop()
        older = copy_of(stack, "older")
        more(stack, "device-1", "device-2")
        put_back(stack, older)
        stack.tpm.stop()
        stack.start()
        stack.wait_state("locked")
        stack.cli("unlock", "--passphrase-file", stack.dir / "code")
        stack.tpm.start()
        wait_for(lambda: stack.status()["state"] == "refused", "the older store to be refused", 10)


if __name__ == "__main__":
    case.main()
