#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A CA made anew in the place of one: what it orphans is counted and confirmed, the one that goes has to be in a backup, and nothing is
half old and half new afterwards, whatever was in work and wherever it was killed.
"""
import concurrent.futures
import json
import os
import pty
import subprocess
import threading

import case
from ca import authority, create, issue, list_number, listed, make_request, number, published, revoke, running, sample, show, verdict
from judge import exported, lines
from peer import Refused, plain, refusal, variants
from stack import ADMIN, ALICE, default_rules, need_root, wait_for
from sweep import Operation, sweep


def orphans(peer, name="intermediate"):
    return plain(authority(peer, name, "Orphans"))


def anew(peer, name="intermediate", kind="intermediate", count=None, **options):
    """As the command does it: with the number that it was shown."""
    count = orphans(peer, name)["orphans"] if count is None else count
    words = {"set": ["O=Example", "CN=Anew"], "algorithm": "p256", "anew": True, "orphans": count, **{k.replace("_", "-"): v for k, v in options.items()}}
    return plain(peer.manager("CreateAuthority", "ssa{sv}", name, kind, variants(words)))


def anew_root(peer, name="root", **options):
    return anew(peer, name, "root", without_backup=True, **options)


def describe(peer, name="intermediate"):
    return plain(authority(peer, name, "Describe"))


def backup(stack):
    stack.cli("backup", stack.dir / "backup.hfb", "--yes")


def leaf(stack, peer, name, ca="intermediate"):
    made = issue(peer, make_request(stack.dir / "r.csr"), name=name, ca=ca)
    path = stack.dir / f"{name}.pem"
    path.write_bytes(made["chain"])
    return path, made


def pem_of(stack, der, name):
    path = stack.dir / name
    path.write_bytes(subprocess.run(["openssl", "x509", "-inform", "der"], input=der, capture_output=True, check=True).stdout)
    return path


# What it does


def test_a_new_one_stands_in_its_place_and_what_the_old_one_issued_is_orphaned():
    with running() as (stack, admin):
        old, first = leaf(stack, admin, "old")
        revoke(admin, leaf(stack, admin, "gone")[1]["serial"])
        before, last = describe(admin), number(admin)
        asked = orphans(admin)
        assert asked["orphans"] == 1 and asked["authorities"] == 0 and not asked["backed-up"]
        authority(admin, "root", "Enable")
        made = anew(admin, without_backup=True)
        assert made["state"] == "active" and made["certificate"] != before["certificate"] and made["crl-number"] > last
        assert list_number(published(stack, "own.crl.pem")) == number(admin) > last
        text = subprocess.run(["openssl", "crl", "-in", published(stack, "own.crl.pem"), "-noout", "-text"], capture_output=True, text=True).stdout
        assert "No Revoked Certificates" in text
        assert [(c["name"], c["status"]) for c in listed(admin)] == [("old", "orphaned"), ("gone", "revoked")]
        assert [c["name"] for c in listed(admin, status="orphaned")] == ["old"] and not listed(admin, status="active")
        found = show(admin, first["fingerprint"])
        assert found["status"] == "orphaned" and found["certificate"] == first["certificate"]
        assert found["chain"].count(b"BEGIN CERTIFICATE") == 1
        assert verdict(stack, old).returncode != 0
        new, second = leaf(stack, admin, "old")
        assert verdict(stack, new).returncode == 0 and show(admin, "old")["serial"] == second["serial"]
        assert orphans(admin)["orphans"] == 1
        assert "old" not in [k["name"] for k in admin.keys()] and [k["name"] for k in admin.keys()].count("intermediate") == 1
        log = exported(admin)
        stack.verify(log, stack.auditor_key())
        record, = [e for e in lines(log) if e["event"] == "ca.anew"]
        assert record["orphans"] == 1 and record["before"] != record["key"] and record["name"] == "intermediate"



def test_below_a_root_made_anew_everything_is_orphaned_and_its_files_stay_whole():
    with running() as (stack, admin):
        old, first = leaf(stack, admin, "old")
        other = leaf(stack, admin, "other")[1]
        root = pem_of(stack, describe(admin, "root")["certificate"], "root.old")
        kept = published(stack, "own.crl.pem", "root").read_bytes()
        asked = orphans(admin, "root")
        assert asked["orphans"] == 3 and asked["authorities"] == 1
        anew_root(admin)
        assert describe(admin, "root")["state"] == "active" and describe(admin)["state"] == "orphaned"
        assert [c["status"] for c in listed(admin)] == ["orphaned"] * 2
        assert [c["status"] for c in listed(admin, "root")] == ["orphaned", "orphaned", "active"]
        assert published(stack, "own.crl.pem", "root").read_bytes() != kept and published(stack, "ca.pem").read_bytes() == root.read_bytes()
        assert verdict(stack, old).returncode == 0  # for a server that goes on with what it was given
        said = refusal(issue, admin, make_request(stack.dir / "s.csr"))
        assert said.name == "CaReplaced" and "holdfast ca rollover intermediate" in said.sentence, said
        assert refusal(authority, admin, "intermediate", "Renew", "saya{sv}", "old", b"", {}).name == "CaReplaced"
        revoke(admin, other["serial"])
        place, = (stack.dir / "run/tls").glob("crl@*")
        assert (place / "own.crl.pem").read_bytes() == kept
        assert verdict(stack, old).returncode == 0 and published(stack, "crl.pem").read_bytes().endswith(kept)
        stack.stop()
        for path in (stack.dir / "run/tls").iterdir():
            subprocess.run(["rm", "-rf", path], check=True)
        stack.start()
        stack.wait_state("ready")
        wait_for(lambda: published(stack, "crl.pem").exists() and verdict(stack, old).returncode == 0, "the files to be there again")
        with stack.peer(ADMIN) as again:
            revoke(again, first["serial"])
            assert "revoked" in verdict(stack, old).stderr
            assert refusal(revoke, again, "intermediate", ca="root").name == "CaReplaced"
            assert describe(again)["state"] == "orphaned" and [c["status"] for c in listed(again)] == ["revoked"] * 2
            assert orphans(again, "root")["orphans"] == 0


def test_a_ca_below_is_taken_along_by_a_roll_over_and_its_certificates_are_renewed():
    with running() as (stack, admin):
        old = leaf(stack, admin, "pump")[0]
        anew_root(admin)
        made = plain(authority(admin, "intermediate", "Rollover"))
        assert made["name"] == "intermediate-2" and made["parent"] == "root" and made["state"] == "active"
        renewed = plain(authority(admin, "intermediate", "Renew", "saya{sv}", "pump", b"", {}))
        assert renewed["authority"] == "intermediate-2" and renewed["status"] == "active"
        new = stack.dir / "new.pem"
        new.write_bytes(renewed["chain"])
        assert verdict(stack, new, ca="intermediate-2").returncode == 0 and verdict(stack, old).returncode == 0
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        assert refusal(authority, admin, "intermediate", "Rollover").name == "CaExists"


def test_three_levels_keep_the_last_list_of_what_was_above():
    with running(made=False) as (stack, admin):
        create(admin, **{"path-length": 2})
        admin.manager("CreateAuthority", "ssa{sv}", "site", "intermediate", variants({"set": ["CN=Site"], "parent": "intermediate", "algorithm": "p256"}))
        at_site, made = leaf(stack, admin, "deep", ca="site")
        assert orphans(admin, "root") == {**orphans(admin, "root"), "orphans": 3, "authorities": 2}
        anew_root(admin)
        assert describe(admin, "site")["state"] == "orphaned"
        assert verdict(stack, at_site, ca="site").returncode == 0
        revoke(admin, "site")  # by the intermediate, which goes on with its list
        assert "revoked" in verdict(stack, at_site, ca="site").stderr
        assert published(stack, "ca.pem", "site").read_text().count("BEGIN") == 1
        assert show(admin, made["serial"], "site")["status"] == "orphaned"
        assert anew(admin, without_backup=True)["parent"] == "root"  # its parent is the new root, which it leads to again
        assert describe(admin)["state"] == "active" and describe(admin, "site")["state"] == "orphaned"
        assert "revoked" in verdict(stack, at_site, ca="site").stderr and len(list((stack.dir / "run/tls").glob("crl@*"))) == 2
        assert verdict(stack, leaf(stack, admin, "fresh")[0]).returncode == 0


def test_an_identity_has_the_lists_of_the_root_that_it_trusts():
    with running() as (stack, admin):
        admin.create("web", "p256")
        chain, old = stack.dir / "web.pem", leaf(stack, admin, "old")[0]
        chain.write_bytes(issue(admin, profile="server", key="web", dns=["www.example"])["chain"])
        stack.cli("cert", "set", "web", "--chain", chain, "--trust", published(stack, "ca.pem"))
        lists, anchors = stack.dir / "run/tls/web/crl.pem", stack.dir / "run/tls/web/ca.pem"

        def judge(certificate):
            return subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", anchors, "-untrusted", certificate, "-CRLfile", lists,
                                   certificate], capture_output=True, text=True)
        assert judge(old).returncode == 0
        anew_root(admin)
        assert judge(old).returncode == 0 and lists.read_text().count("BEGIN") == 2
        revoke(admin, "old")
        assert "revoked" in judge(old).stderr
        assert refusal(anew, admin, without_backup=True, parent="nobody").name == "CaNotInitialised"
        anew(admin, without_backup=True)
        assert judge(old).returncode != 0  # nobody signs for the old intermediate any more


def test_the_same_words_get_a_certificate_of_the_new_one():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        first = issue(admin, request, name="same")
        assert issue(admin, request, name="same") == first
        authority(admin, "root", "Enable")
        anew(admin, without_backup=True)
        second = issue(admin, request, name="same")
        assert second["serial"] != first["serial"] and issue(admin, request, name="same") == second
        path = stack.dir / "same.pem"
        path.write_bytes(second["chain"])
        assert verdict(stack, path).returncode == 0
        assert [c["status"] for c in listed(admin)] == ["orphaned", "active"]
        for member, words in (("Renew", ("saya{sv}", first["serial"], b"", {})), ("Revoke", ("ssa{sv}", first["serial"], "keyCompromise", {}))):
            said = refusal(authority, admin, "intermediate", member, *words)
            assert said.name == "CaReplaced" and "Nothing was done" in said.sentence, (member, said)
        assert show(admin, first["serial"])["status"] == "orphaned"


# The backup


def test_only_a_backup_that_has_it_as_it_is_counts():
    with running() as (stack, admin):
        held = leaf(stack, admin, "held")[1]["serial"]
        authority(admin, "root", "Enable")
        before = describe(admin)
        changes = (lambda: leaf(stack, admin, "more"), lambda: revoke(admin, held, "certificateHold"), lambda: revoke(admin, held, "removeFromCRL"),
                   lambda: plain(authority(admin, "intermediate", "Renew", "saya{sv}", "more", b"", {})))
        for change in changes:
            backup(stack)
            assert orphans(admin)["backed-up"] and orphans(admin, "root")["backed-up"]
            change()
            assert not orphans(admin)["backed-up"] and not orphans(admin, "root")["backed-up"]
            assert refusal(anew, admin).name == "BackupNeeded"
            assert refusal(anew, admin, "root", "root").name == "BackupNeeded"
        assert describe(admin)["certificate"] == before["certificate"]
        backup(stack)
        create(admin, "other-root", "other")  # what another CA does is nothing to this one
        issue(admin, make_request(stack.dir / "o.csr"), ca="other")
        assert orphans(admin)["backed-up"] and not orphans(admin, "other")["backed-up"]
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")
        with stack.peer(ADMIN) as again:
            assert orphans(again)["backed-up"] and anew(again)["state"] == "active"
            assert refusal(anew, again).name == "BackupNeeded"  # the new one is in none


def test_no_backup_at_all_is_none_and_without_one_is_said():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        before, keys = describe(admin), admin.keys()
        said = refusal(anew, admin)
        assert said.name == "BackupNeeded" and "holdfast backup" in said.sentence and "--without-backup" in said.sentence
        assert describe(admin) == before and admin.keys() == keys
        anew(admin, without_backup=True)
        record, = [e for e in lines(exported(admin)) if e["event"] == "ca.anew"]
        assert record["backup"] == "not asked for"


def test_a_store_that_was_restored_needs_a_backup_of_its_own_and_goes_on_with_its_numbers():
    with running() as (stack, admin):
        serials = {leaf(stack, admin, "a")[1]["serial"]}
        with open(stack.dir / "backup", "wb") as f:
            admin.manager("Backup", "ha{sv}", f.fileno(), {})
        serials.add(leaf(stack, admin, "b")[1]["serial"])
        revoke(admin, "b")
        authority(admin, "root", "Enable")
        anew(admin, without_backup=True)
        serials.add(leaf(stack, admin, "c")[1]["serial"])
        highest, old = number(admin), describe(admin)["certificate"]
        stack.stop()
        (stack.dir / "state/store/store.db").write_bytes(os.urandom(8192))
        stack.start()
        stack.wait_state("refused")
        with stack.peer(ADMIN) as again:
            with open(stack.dir / "backup", "rb") as f:
                again.manager("Restore", "ha{sv}", f.fileno(), {})
            stack.wait_state("ready")
            assert describe(again)["certificate"] != old and [c["name"] for c in listed(again)] == ["a"]  # the one before, with its key
            assert listed(again)[0]["status"] == "active"
            authority(again, "root", "Enable")
            assert refusal(anew, again).name == "BackupNeeded"
            backup(stack)
            made = anew(again)
            assert made["crl-number"] > highest and list_number(published(stack, "own.crl.pem")) == number(again)
            serials.add(leaf(stack, again, "d")[1]["serial"])
            assert len(serials) == 4 and verdict(stack, stack.dir / "d.pem").returncode == 0


# What is refused


def test_another_number_than_there_is_changes_nothing():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        leaf(stack, admin, "a")
        shown, before = orphans(admin)["orphans"], describe(admin)
        for wrong in (shown + 1, shown - 1, 2**32 - 2):
            assert refusal(anew, admin, count=wrong, without_backup=True).name == "OrphansChanged"
        leaf(stack, admin, "b")
        assert refusal(anew, admin, count=shown, without_backup=True).name == "OrphansChanged"
        revoke(admin, "b")
        assert describe(admin)["certificate"] == before["certificate"] and issue(admin, make_request(stack.dir / "x.csr"), name="c")["status"] == "active"
        revoke(admin, "c")
        anew(admin, count=shown, without_backup=True)
        for bad in ({"anew": True}, {"orphans": 0}, {"without-backup": True}, {"anew": False, "without-backup": True}):
            said = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "intermediate", "intermediate", variants({"set": ["CN=x"], **bad}))
            assert said.name == "InvalidArgs", (bad, said)


def test_what_cannot_take_its_place_is_refused_by_name():
    with running() as (stack, admin):
        before = [describe(admin, n)["certificate"] for n in ("root", "intermediate")]
        assert refusal(anew, admin, count=0, without_backup=True, name="nobody").name == "CaNotInitialised"
        assert refusal(anew, admin, without_backup=True).name == "CaAtRest"
        said = refusal(anew, admin, "root", "intermediate", without_backup=True)
        assert said.name in ("CaExists", "CaAtRest"), said
        said = refusal(anew, admin, "intermediate", "root", without_backup=True)
        assert said.name == "CaExists" and "another kind" in said.sentence, said
        authority(admin, "root", "Enable")
        said = refusal(anew, admin, without_backup=True, parent="intermediate")
        assert said.name == "RequestRefused" and "--parent" in said.sentence, said
        assert refusal(anew, admin, without_backup=True, algorithm="ed25519").name == "AlgorithmNotSupported"
        admin.key("root", "Disable")
        assert refusal(anew, admin, without_backup=True).name == "KeyDisabled"
        assert [describe(admin, n)["certificate"] for n in ("root", "intermediate")] == before
        admin.key("root", "Enable")
        admin.key("intermediate", "Freeze")
        assert refusal(anew, admin, without_backup=True).name == "KeyFrozen"
        assert issue(admin, make_request(stack.dir / "r.csr"))["status"] == "active"
        root = anew_root(admin)
        assert root["state"] == "active" and describe(admin)["state"] == "orphaned"


def test_a_key_that_is_disabled_or_called_otherwise_goes_all_the_same():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        admin.key("intermediate", "Disable")
        assert anew(admin, without_backup=True)["state"] == "active"
        admin.key("intermediate", "Retire")
        admin.create("intermediate", "p256")
        assert refusal(anew, admin, without_backup=True).name == "KeyExists"
        admin.destroy("intermediate")
        assert anew(admin, without_backup=True)["state"] == "active"
        assert verdict(stack, leaf(stack, admin, "x")[0]).returncode == 0


def test_who_may_make_cas_and_not_destroy_their_keys_makes_none_anew():
    need_root()
    rules = default_rules() + f"allow user={ALICE} key=intermediate op=ca-init,ca-read\nallow user={ALICE} key=root op=ca-issue profile=intermediate\n"
    with running(rules=rules) as (stack, admin):
        authority(admin, "root", "Enable")
        before = describe(admin)
        with stack.peer(ALICE) as alice:
            assert orphans(alice)["orphans"] == 0
            assert refusal(anew, alice, without_backup=True).name == "PolicyDenied"
            assert refusal(orphans, alice, "root").name in ("PolicyDenied", "CaNotInitialised")
        assert describe(admin) == before


# The command


def by_hand(stack, answer, *words):
    """(exit code, what was said): the command at a terminal, where this is typed."""
    near, far = pty.openpty()
    try:
        with subprocess.Popen([stack.program("cli/holdfast"), *map(str, words)], stdin=far, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "HOLDFAST_SOCKET": stack.socket}) as process:
            os.write(near, answer.encode())
            _, said = process.communicate(timeout=60)
        return process.returncode, said.decode()
    finally:
        os.close(near)
        os.close(far)


def test_the_command_counts_asks_for_the_name_and_wants_a_backup():
    with running() as (stack, admin):
        leaf(stack, admin, "a")
        authority(admin, "root", "Enable")
        words, before = ("ca", "init", "intermediate", "--anew", "--set", "CN=New", "--algorithm", "p256"), describe(admin)
        there = stack.cli("ca", "init", "intermediate", "--set", "CN=New", check=False)
        assert there.returncode and b"ca rollover" in there.stderr and b"--anew" in there.stderr
        none = stack.cli(*words, "--yes", check=False)
        assert none.returncode == 1 and b"BackupNeeded" in none.stderr, none
        assert by_hand(stack, "intermediate\n", *words)[0] == 1
        backup(stack)
        nobody = stack.cli(*words, check=False, stdin=subprocess.DEVNULL)
        assert nobody.returncode == 2 and b"--yes" in nobody.stderr and b"1 live certificate " in nobody.stderr, nobody
        for wrong in ("y\n", "root\n", "\n", "intermediate2\n"):
            code, said = by_hand(stack, wrong, *words)
            assert code == 1 and "Nothing was done" in said, (wrong, said)
        assert describe(admin)["certificate"] == before["certificate"]
        code, said = by_hand(stack, "intermediate\n", *words)
        assert code == 0 and "1 live certificate " in said, said
        assert describe(admin)["certificate"] != before["certificate"]
        status = stack.cli("ca", "status", "a", check=False)
        assert status.returncode == 10 and status.stdout == b"orphaned\n" and b"holdfast ca issue" in status.stderr, status
        assert b"orphaned" in stack.cli("ca", "list").stdout and json.loads(stack.cli("ca", "list", "orphaned", "--json").stdout)[0]["name"] == "a"
        for verb in (("renew", "a"), ("revoke", "a", "--yes")):
            said = stack.cli("ca", *verb, check=False)
            assert said.returncode and b"CaReplaced" in said.stderr, said
        package = stack.cli("ca", "package", "a", stack.dir / "package", check=False)
        assert package.returncode == 10 and not (stack.dir / "package").exists()
        made = json.loads(stack.cli("ca", "init", "intermediate", "--anew", "--without-backup", "--yes", "--json", "--set", "CN=Third").stdout)
        assert made["state"] == "active"
        assert stack.cli("ca", "init", "intermediate", "--without-backup", "--set", "CN=x", check=False).returncode == 2
        absent = stack.cli("ca", "init", "root", "--name", "none", "--anew", "--yes", "--set", "CN=x", check=False)
        assert absent.returncode == 3 and b"CaNotInitialised" in absent.stderr, absent


# Beside others


def test_in_the_middle_of_issuing_each_certificate_is_of_the_one_or_the_other():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        old, made, refused, end = describe(admin)["certificate"], [], [], threading.Event()
        request = make_request(stack.dir / "r.csr")

        def work(worker):
            with stack.peer(ADMIN) as peer:
                for i in range(2000):
                    if end.is_set():
                        return
                    try:
                        made.append(issue(peer, request, name=f"{worker}-{i}"))
                        if i % 3 == 0:
                            revoke(peer, made[-1]["serial"])
                    except Refused as e:
                        refused.append(e.name)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            workers = [pool.submit(work, i) for i in range(4)]
            try:
                for turn in range(3):
                    begun = len(made)
                    wait_for(lambda: len(made) > begun + 20, "certificates to be issued")
                    while True:
                        try:
                            anew(admin, without_backup=True)
                            break
                        except Refused as e:
                            assert e.name == "OrphansChanged", e
                begun = len(made)
                wait_for(lambda: len(made) > begun + 20, "certificates of the last one")
            finally:
                end.set()
            for worker in workers:
                worker.result()
        assert set(refused) <= {"CaReplaced", "CaNotInitialised"}, set(refused)  # the second: it is not signed yet
        assert len({c["serial"] for c in made}) == len(made)
        new = describe(admin)["certificate"]
        cas = {"old": pem_of(stack, old, "old.ca"), "new": pem_of(stack, new, "new.ca")}
        status = {c["serial"]: c["status"] for c in listed(admin)}
        for c in made[:20] + made[-20:]:
            path = pem_of(stack, c["certificate"], "one.pem")
            good = [name for name, ca in cas.items() if subprocess.run(["openssl", "verify", "-partial_chain", "-trusted", ca, path], capture_output=True).returncode == 0]
            assert good == (["new"] if status[c["serial"]] == "active" or c in made[-5:] else ["old"]) or status[c["serial"]] == "revoked", (good, status[c["serial"]])
        assert published(stack, "crl.pem").read_text().count("BEGIN") == 2
        assert subprocess.run(["openssl", "crl", "-in", published(stack, "own.crl.pem"), "-noout", "-CAfile", cas["new"], "-verify"], capture_output=True,
                              text=True).stderr.count("verify OK") == 1


def test_who_followed_it_and_whom_it_followed_is_over():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        plain(authority(admin, "intermediate", "Rollover"))
        plain(authority(admin, "root", "Rollover"))
        assert describe(admin, "root")["successor"] == "root-2" and describe(admin)["successor"] == "intermediate-2"
        anew_root(admin)
        assert "successor" not in describe(admin, "root") and describe(admin, "root-2")["state"] == "active"
        assert describe(admin)["state"] == describe(admin, "intermediate-2")["state"] == "orphaned"
        assert published(stack, "ca.pem", "root").read_text().count("BEGIN") == 1
        anew(admin, without_backup=True)
        assert "successor" not in describe(admin) and issue(admin, make_request(stack.dir / "r.csr"))["authority"] == "intermediate"
        authority(admin, "root", "Enable")
        assert plain(authority(admin, "intermediate", "Rollover"))["name"] == "intermediate-3"
        anew(admin, "root-2", "root", without_backup=True)
        assert plain(authority(admin, "root", "Rollover"))["name"] == "root-3"


def test_one_whose_root_is_elsewhere_waits_with_a_new_key():
    from ca_outside import Outside, csr, take, wait_ca
    with running(made=False) as (stack, admin):
        outside = Outside(stack.dir)
        wait_ca(admin)
        take(admin, outside.sign(csr(admin, set=["CN=Plant"])) + outside.above())
        old = leaf(stack, admin, "old", ca="plant")[1]
        key, highest = {k["name"]: k["uuid"] for k in admin.keys()}["plant"], number(admin, "plant")
        words = {"outside": True, "algorithm": "p256", "anew": True, "orphans": 1}
        assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "plant", "intermediate", variants(words)).name == "BackupNeeded"
        before = published(stack, "crl.pem", "plant").read_bytes()
        made = plain(admin.manager("CreateAuthority", "ssa{sv}", "plant", "intermediate", variants({**words, "without-backup": True})))
        assert made["state"] == "waiting" and {k["name"]: k["uuid"] for k in admin.keys()}["plant"] != key
        assert published(stack, "crl.pem", "plant").read_bytes() == before and show(admin, "old", "plant")["status"] == "orphaned"
        again = plain(admin.manager("CreateAuthority", "ssa{sv}", "plant", "intermediate", variants({**words, "orphans": 0})))
        assert again["created"] == made["created"]  # who was cut off gets the same
        take(admin, outside.sign(csr(admin, set=["CN=Plant"])) + outside.above())
        assert number(admin, "plant") > highest and published(stack, "crl.pem", "plant").read_bytes() != before
        assert leaf(stack, admin, "new", ca="plant")[1]["status"] == "active"
        assert [c["status"] for c in listed(admin, "plant")] == ["orphaned", "active"]
        assert refusal(revoke, admin, old["serial"], ca="plant").name == "CaReplaced"


# Killed


class Anew(Operation):
    """A root with one below it: afterwards it is the old one, or another that asking again finishes."""
    def prepare(self):
        self.number += 1
        self.root, self.below = f"root-a{self.number}", f"below-a{self.number}"
        with self.stack.peer(ADMIN) as admin:
            create(admin, self.root, self.below)
            self.before = describe(admin, self.root)
        self.file = published(self.stack, "ca.pem", self.root).read_bytes()

    def setup(self):
        super().setup()
        for _ in range(10):  # so that the store has its pages, and each time writes as many
            self.prepare()
            with self.stack.peer(ADMIN) as admin:
                self.act(admin)

    def act(self, admin):
        anew_root(admin, self.root)

    def check(self, admin, state):
        described = describe(admin, self.root)
        is_new = described.get("certificate") != self.before["certificate"]
        assert is_new or not self.acknowledged
        assert describe(admin, self.below)["state"] == ("orphaned" if is_new else "active")
        if described["state"] == "pending":  # the old one is over, and its files are whole until the new one has its own
            assert published(self.stack, "ca.pem", self.root).read_bytes() == self.file
            assert anew_root(admin, self.root)["created"] == described["created"]
            described = describe(admin, self.root)
        assert described["state"] == ("active" if is_new else "at-rest") and described["crl-number"] >= self.before["crl-number"]
        lists = published(self.stack, "own.crl.pem", self.root)
        wait_for(lambda: list_number(lists) == number(admin, self.root), "the list of the root")
        ca = pem_of(self.stack, described["certificate"], "root.now")
        judge = subprocess.run(["openssl", "crl", "-in", lists, "-noout", "-CAfile", ca], capture_output=True, text=True)
        assert "verify OK" in judge.stderr, judge
        wait_for(lambda: published(self.stack, "ca.pem", self.root).read_bytes() == ca.read_bytes(), "the file of the root")
        assert [k["name"] for k in admin.keys()].count(self.root) == 1
        rows = listed(admin, self.root)
        assert [r["status"] for r in rows] == (["orphaned", "orphaned", "active"] if is_new else ["active"] * 2), rows
        if len(list((self.stack.dir / "run/tls").glob("crl@*"))) < 64:  # of so many a list is kept for those below
            chain = published(self.stack, "chain.pem", self.below)
            assert verdict(self.stack, chain, ca=self.below).returncode == 0  # the one below it, with the files that it had


def test_made_anew_and_killed_at_its_calls_it_is_the_one_or_the_other():
    sweep(Anew, sample())


if __name__ == "__main__":
    case.main()
