#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Attacks on a private CA: callers who go past their rules, its key used for something else, names that hide other names, CAs that
were revoked, lists that cannot be written. Requests as no stock command makes them: tests/unit/ca/test-hostile.c.
"""
import concurrent.futures
import contextlib
import os
import random
import subprocess

import case
from ca import Ca, DEVICE, Issue, authority, create, issue, list_number, listed, make_request, number, published, refusal, revoke, running, \
    sample, show, verdict
from judge import exported, lines
from party import Party
from peer import Refused, plain, variants
from stack import ADMIN, ALICE, BOB, DAEMON, MALLORY, default_rules, need_root, wait_for
from sweep import sweep

SEED = int(os.environ.get("HOLDFAST_SEED", "20261121"))
DENIED = ("PolicyDenied", "CaNotInitialised", "NoSuchKey")


def renew(peer, which, request=b"", ca="intermediate", **options):
    return plain(authority(peer, ca, "Renew", "saya{sv}", which, request, variants(options)))


def self_state(peer, ca):
    return plain(authority(peer, ca, "Describe"))["state"]


def revoked_in(path):
    return subprocess.run(["openssl", "crl", "-in", path, "-noout", "-text"], capture_output=True, text=True, check=True).stdout.upper()


# Requests


def test_mutilated_requests_give_no_certificate_and_leave_no_row():
    with running() as (stack, admin):
        chosen = random.Random(SEED)
        der = subprocess.run(["openssl", "req", "-outform", "der"], input=make_request(stack.dir / "r.csr"), capture_output=True, check=True).stdout
        for _ in range(150):
            bad = bytearray(der)
            if chosen.random() < 0.3:
                bad = bad[:chosen.randrange(1, len(bad))]
            else:
                bad[chosen.randrange(len(bad))] ^= 1 << chosen.randrange(8)
            assert refusal(issue, admin, bytes(bad)).name == "RequestRefused", bad.hex()
        for extra in (der + b"\0", der + der, b"-----BEGIN CERTIFICATE REQUEST-----\n" * 900):
            assert refusal(issue, admin, extra).name in ("RequestRefused", "MessageTooLarge")
        assert listed(admin) == []
        assert not lines(exported(admin), "ca.issue")


def test_a_part_that_is_set_leaves_no_second_one_behind():
    with running() as (stack, admin):
        config = stack.dir / "config"
        config.write_text("[req]\ndistinguished_name=d\nattributes=a\nprompt=no\nreq_extensions=e\n[d]\nCN=x\nOU=a\n1.OU=b\n[e]\nbasicConstraints=CA:FALSE\n[a]\n")
        said = refusal(issue, admin, make_request(stack.dir / "r.csr", *DEVICE, "-config", config), set=["OU=good.example"])
        assert said.name == "RequestRefused" and "OU twice" in said.sentence, said


def test_a_device_cannot_name_itself_after_another():
    with running() as (stack, admin):
        made = issue(admin, make_request(stack.dir / "r.csr", *DEVICE, "-subj", "/CN=pump-8"), device_id="pump-7")
        assert made["name"] == "pump-7"
        subject = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=made["certificate"], capture_output=True)
        assert subject.stdout == b"subject=CN = pump-7\n", subject
        for uri in ("urn:holdfast:deviceId:pump-7", "URN:Holdfast:deviceid:pump-7", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"):
            named = make_request(stack.dir / "r.csr", *DEVICE, "-subj", "/CN=pump-8", "-addext", f"subjectAltName=URI:{uri}")
            assert refusal(issue, admin, named, device_id="pump-8").name == "RequestRefused"
            assert refusal(issue, admin, named).name == "RequestRefused"
            assert refusal(issue, admin, make_request(stack.dir / "s.csr"), uri=[uri]).name == "RequestRefused"


def test_texts_about_a_certificate_bring_nothing_to_a_terminal():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        for bad in ("a\x1b[2J", "a\nb", "\u009b2J", "\u202enimda", "admin\u200b"):
            for options in ({"name": bad}, {"metadata": bad}):
                assert refusal(issue, admin, request, **options).name == "InvalidArgs", options
            made = issue(admin, request)
            assert refusal(revoke, admin, made["serial"], text=bad).name == "InvalidArgs"
        assert refusal(issue, admin, request, name="x" * 257).name == "InvalidArgs"
        assert [c["status"] for c in listed(admin)] == ["active"]


# Callers


def test_who_may_not_gets_nothing_and_changes_nothing():
    need_root()
    rules = default_rules() + f"allow user={ALICE} key=intermediate op=ca-issue profile=device\nallow user={BOB} key=intermediate op=ca-read\n"
    with running(rules=rules) as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        server = issue(admin, request, "server", dns=["a.example"], name="server")
        admin.create("web", "p256")
        before = listed(admin), number(admin), number(admin, "root"), len(admin.keys())

        def attempts(peer):
            for ca in ("root", "intermediate"):
                yield revoke, peer, server["serial"], "keyCompromise", ca
                yield authority, peer, ca, "Enable"
                yield peer.sign, ca, b"message"
                yield peer.destroy, ca
                yield peer.key, ca, "Disable"
                yield peer.key, ca, "CreateCsr", "sa{sv}", "CN=x", {}
            for kind in ("root", "intermediate"):
                yield peer.manager, "CreateAuthority", "ssa{sv}", "mine", kind, variants({"set": ["CN=mine"]})
            for profile in ("server", "root", "intermediate", "ocsp", "none", "../profiles/device", "device.conf", "", "DEVICE", "device "):
                yield issue, peer, request, profile
            yield renew, peer, server["serial"]
            yield renew, peer, server["fingerprint"], request
        for uid in (ALICE, BOB, MALLORY):
            with stack.peer(uid) as peer:
                for call, *arguments in attempts(peer):
                    said = refusal(call, *arguments)
                    assert said.name in DENIED, (uid, arguments, said)
        with stack.peer(ALICE) as alice, stack.peer(MALLORY) as mallory:
            assert refusal(issue, alice, key="web").name == "NoSuchKey"
            assert refusal(issue, alice, key="root").name == "NoSuchKey"
            assert refusal(issue, mallory, request).name in DENIED
        assert (listed(admin), number(admin), number(admin, "root"), len(admin.keys())) == before


def test_the_key_of_a_ca_signs_by_no_other_road():
    if b"__asan_init" in open(os.path.join(os.environ["HOLDFAST_BUILD"], "provider/holdfast.so"), "rb").read():
        raise case.Skip("stock programs do not load a module with a sanitizer")
    with running() as (stack, admin):
        for name in ("root", "intermediate"):
            for member, signature, *arguments in (("Sign", "saya{sv}", "", b"x", {}), ("Sign", "saya{sv}", "ES256", b"x" * 32, variants({"digest": True})),
                                                  ("SignMany", "saaya{sv}", "", [b"x"], {}), ("Mac", "saya{sv}", "", b"x", {}),
                                                  ("Agree", "aya{sv}", b"x" * 65, {}), ("Decrypt", "saya{sv}", "", b"x", {}), ("Seal", "aya{sv}", b"x", {}),
                                                  ("CreateCsr", "sa{sv}", "CN=x", {})):
                said = refusal(admin.key, name, member, signature, *arguments)
                assert said.name in ("PurposeNotPermitted", "InvalidArgs"), (member, said)
        assert refusal(admin.create, "another", "p256", purpose="issue").name in ("InvalidArgs", "PurposeNotPermitted")
        party = Party(stack)
        (party.dir / "message").write_bytes(b"message")
        made = stack.cli("key", "reference", "intermediate", "-o", party.dir / "ref.pem", check=False)
        if made.returncode == 0:
            (party.dir / "ref.pem").chmod(0o644)
            signed = party.run("openssl", "dgst", "-sha256", "-sign", party.dir / "ref.pem", party.dir / "message", uid=ADMIN, check=False)
            assert signed.returncode and not signed.stdout, signed
        stored = party.run("openssl", "dgst", "-sha256", "-sign", "holdfast:intermediate", party.dir / "message", uid=ADMIN, check=False)
        assert stored.returncode and not stored.stdout, stored
        events = [e["event"] for e in lines(exported(admin))]
        assert "key.sign" not in events and events.count("ca.sign") == 4, events
        for name in ("root", "intermediate"):
            assert refusal(admin.destroy, name).name == "KeyInUse"


def test_nothing_is_issued_while_locked_or_without_a_signer():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        made = issue(admin, request)
        admin.manager("Lock")
        for call in ((issue, admin, request), (revoke, admin, made["serial"]), (authority, admin, "root", "Enable"), (renew, admin, made["serial"]),
                     (listed, admin), (show, admin, made["serial"])):
            assert refusal(*call).name == "StoreLocked", call


def test_pages_have_their_limits():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        for i in range(5):
            issue(admin, request, name=f"n{i}")
        for options in ({"limit": 0}, {"limit": 1001}, {"limit": 2**32 - 1}, {"status": "pending"}, {"status": "all"}, {"status": ""}, {"after": "x"},
                        {"after": "1x"}, {"unknown": 1}):
            assert refusal(authority, admin, "intermediate", "List", "a{sv}", variants(options)).name == "InvalidArgs", options
        for after in ("99999999999999999999999", "4000000000"):
            assert authority(admin, "intermediate", "List", "a{sv}", variants({"after": after})) == ([], "")
        assert len(listed(admin, limit=1)) == 5 and len(listed(admin, limit=2, status="active")) == 5
        assert [plain(c)["name"] for c in authority(admin, "root", "List", "a{sv}", {})[0]] == ["root", "intermediate"]


# Names


def test_a_certificate_is_found_by_its_name_whatever_another_ca_issued():
    with running() as (stack, admin):
        hidden = issue(admin, make_request(stack.dir / "r.csr", *DEVICE, "-subj", "/CN=intermediate"), name="intermediate")
        assert hidden["name"] == "intermediate"
        assert show(admin, "intermediate", "root")["authority"] == "root"
        authority(admin, "root", "Enable")
        revoke(admin, "intermediate", "cACompromise", "root")
        assert show(admin, "intermediate", "root")["status"] == "revoked"
        assert show(admin, hidden["serial"])["status"] == "active"


def test_a_certificate_is_found_while_its_successor_is_not_finished():
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        # The key is away between the record and the signature: the successor stays where it is.
        admin.key("intermediate", "Disable")
        assert refusal(renew, admin, "pump").name == "KeyDisabled"
        admin.key("intermediate", "Enable")
        assert show(admin, "pump")["serial"] == first["serial"]
        second = renew(admin, "pump")
        assert show(admin, "pump")["serial"] == second["serial"] and show(admin, first["serial"])["status"] == "superseded"
        assert [c["name"] for c in listed(admin)] == ["pump", "pump"]


def test_lifting_a_hold_makes_no_second_certificate_active():
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        second = renew(admin, "pump")
        assert refusal(revoke, admin, first["serial"], "certificateHold").name == "NothingToDo"
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        assert show(admin, "pump")["serial"] == second["serial"]
        revoke(admin, first["serial"], "keyCompromise")
        assert [c["status"] for c in listed(admin)] == ["revoked", "active"]


def test_a_hold_that_comes_while_a_successor_is_made_leaves_one_active():
    def signed():
        return [e["event"] for e in lines(exported(admin))].count("ca.sign")
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        # The key is away between the record and the signature, and when the list is signed.
        admin.key("intermediate", "Disable")
        assert refusal(renew, admin, "pump").name == refusal(renew, admin, "pump", days=7).name == "KeyDisabled"
        assert refusal(revoke, admin, "pump", "certificateHold").name == "KeyDisabled"
        admin.key("intermediate", "Enable")
        before = signed()
        said = refusal(renew, admin, first["serial"])
        assert said.name == "RequestRefused" and "revoked" in said.sentence, said
        assert signed() == before
        revoke(admin, first["serial"], "removeFromCRL")
        assert [c["status"] for c in listed(admin)] == ["active"]
        second = renew(admin, first["serial"])
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        # The one that was begun besides does not pass by a hold on what came of the other.
        revoke(admin, second["serial"], "certificateHold")
        assert refusal(renew, admin, first["serial"], days=7).name == "RequestRefused"
        revoke(admin, second["serial"], "removeFromCRL")
        third = renew(admin, first["serial"], days=7)
        found = {c["serial"]: c["status"] for c in listed(admin)}
        assert found == {first["serial"]: "superseded", second["serial"]: "superseded", third["serial"]: "active"}


def test_renewals_at_once_leave_one_certificate_active():
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")

        def one(days):
            with stack.peer(ADMIN) as peer, contextlib.suppress(Refused):
                return renew(peer, first["serial"], days=days)["serial"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            serials = set(pool.map(one, range(10, 26))) - {None}
        found = {c["serial"]: c["status"] for c in listed(admin)}
        assert serials < set(found) and found[first["serial"]] == "superseded"
        assert list(found.values()).count("active") == 1
        assert show(admin, "pump")["serial"] in serials


# A CA that is none any more


def test_a_ca_that_was_revoked_issues_nothing_and_still_revokes():
    with running(made=False) as (stack, admin):
        create(admin, **{"path-length": 2})
        admin.manager("CreateAuthority", "ssa{sv}", "site", "intermediate",
                      variants({"set": ["CN=Site"], "parent": "intermediate", "algorithm": "p256"}))
        request = make_request(stack.dir / "r.csr")
        made, below = issue(admin, request), issue(admin, request, ca="site")
        authority(admin, "root", "Enable")
        revoke(admin, "intermediate", "cACompromise", "root")
        for ca, certificate in (("intermediate", made), ("site", below)):
            said = refusal(issue, admin, make_request(stack.dir / "s.csr"), ca=ca)
            assert said.name == "RequestRefused" and "revoked" in said.sentence, said
            assert refusal(renew, admin, certificate["serial"], ca=ca).name == "RequestRefused"
            revoke(admin, certificate["serial"], ca=ca)
        said = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "more", "intermediate", variants({"set": ["CN=M"], "parent": "intermediate"}))
        assert said.name == "RequestRefused", said


# Lists


def test_a_list_that_could_not_be_written_is_written_when_it_can_be():
    need_root()
    with running() as (stack, admin):
        made = issue(admin, make_request(stack.dir / "r.csr"))
        directory, path = published(stack, ""), published(stack, "own.crl.pem")
        before = list_number(path)
        os.chown(directory, 0, 0)
        said = refusal(revoke, admin, made["serial"])
        assert "recorded" in said.sentence and "cannot be written" in said.sentence, said
        assert list_number(path) == before and show(admin, made["serial"])["status"] == "revoked"
        os.chown(directory, DAEMON, DAEMON)
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")
        wait_for(lambda: made["serial"].upper() in revoked_in(path), "the list to have the revocation")
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(made["chain"])
        wait_for(lambda: "revoked" in verdict(stack, leaf).stderr, "the lists of the chain to have it")
        again = list_number(path)
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")
        assert list_number(path) == again  # what is there already is not made anew


def test_doctor_sees_a_list_that_a_root_at_rest_has_lost():
    with running() as (stack, admin):
        assert not [f for f in map(plain, admin.manager("Check")) if f["code"] == "crl"]
        for path in published(stack, "", "root").iterdir():
            path.unlink()
        found = [f for f in map(plain, admin.manager("Check")) if f["code"] == "crl"]
        assert [f["remedy"] for f in found] == ["holdfast ca enable root"], found
        said = stack.cli("ca", "show").stderr
        assert b"root" in said and b"holdfast ca enable root" in said and b"intermediate" not in said
        assert plain(authority(admin, "root", "Describe"))["published"] is False
        authority(admin, "root", "Enable")
        assert not [f for f in map(plain, admin.manager("Check")) if f["code"] == "crl"]


def test_many_revocations_at_once_are_all_in_the_last_list():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        serials = [issue(admin, request, name=f"n{i}")["serial"] for i in range(24)]

        def one(serial):
            with stack.peer(ADMIN) as peer:
                revoke(peer, serial)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(one, serials))
        text = revoked_in(published(stack, "own.crl.pem"))
        assert all(s.upper() in text for s in serials)
        assert list_number(published(stack, "own.crl.pem")) == number(admin)
        numbers = [e["number"] for e in lines(exported(admin)) if "number" in e and e["event"] in ("ca.crl", "ca.revoke") and e.get("name") == "intermediate"]
        assert numbers == sorted(set(numbers))


# Killed at every step


class Renew(Issue):
    """The identity is there after each death, and has one certificate that is active."""
    def prepare(self):
        super().prepare()
        self.name = f"d{self.number}"
        with self.stack.peer(ADMIN) as admin:
            self.first = issue(admin, self.request)

    def act(self, admin):
        self.answer = renew(admin, self.first["serial"], days=30)

    def check(self, admin, state):
        Ca.check(self, admin, state)
        there = show(admin, self.name)
        assert there["status"] == "active" and (not self.acknowledged or there == self.answer)
        after = renew(admin, self.first["serial"], days=30)
        assert not self.acknowledged or after == self.answer
        assert [c["status"] for c in listed(admin) if c["name"] == self.name] == ["superseded", "active"]
        assert show(admin, self.name)["serial"] == after["serial"]


class Hold(Ca):
    """A root that somebody woke revokes its intermediate: numbers rise, and what is recorded is published."""
    def setup(self):
        super().setup()
        with self.stack.peer(ADMIN) as admin:
            authority(admin, "root", "Enable")
            self.serial = show(admin, "intermediate", "root")["serial"]

    def prepare(self):
        with self.stack.peer(ADMIN) as admin:
            if show(admin, self.serial, "root")["status"] == "revoked":
                revoke(admin, self.serial, "removeFromCRL", "root")

    def act(self, admin):
        revoke(admin, self.serial, "certificateHold", "root")

    def check(self, admin, state):
        super().check(admin, state)
        status = show(admin, self.serial, "root")["status"]
        assert status == "revoked" or not self.acknowledged
        assert self_state(admin, "root") == "active"
        path = published(self.stack, "own.crl.pem", "root")
        wait_for(lambda: list_number(path) >= number(admin, "root"), "the last list of the root")
        assert (self.serial.upper() in revoked_in(path)) == (status == "revoked")


def test_renewing_killed_at_its_calls_loses_no_identity():
    sweep(Renew, sample())


def test_a_revocation_by_the_root_killed_at_its_calls_is_published():
    sweep(Hold, sample())


if __name__ == "__main__":
    case.main()
