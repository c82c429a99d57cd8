#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
One CA takes the place of another: cross certificates judged by openssl from either root, who issues then, whose lists are
published, and what is left by a stop at any step.
"""
import subprocess

import case
from ca import authority, issue, list_number, listed, make_request, number, published, revoke, running, sample, show
from judge import exported, lines
from peer import plain, refusal, variants
from stack import ADMIN, ALICE, default_rules, need_root, wait_for
from sweep import Operation, sweep


def rollover(peer, name, **options):
    return plain(authority(peer, name, "Rollover", "a{sv}", variants(options)))


def describe(peer, name):
    return plain(authority(peer, name, "Describe"))


def leaf(stack, made, name="leaf.pem"):
    path = stack.dir / name
    path.write_bytes(made["chain"])
    return path


def root_of(stack, admin, name):
    path = stack.dir / f"{name}.root"
    path.write_bytes(subprocess.run(["openssl", "x509", "-inform", "der"], input=describe(admin, name)["certificate"], capture_output=True, check=True).stdout)
    return path


def from_root(stack, root, certificate, ca="intermediate"):
    """With one root alone, and besides it what the other side sends or a server was given."""
    return subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", root, "-untrusted", published(stack, "chain.pem", ca),
                           "-untrusted", certificate, "-CRLfile", published(stack, "crl.pem", ca), certificate], capture_output=True, text=True)


def at_server(stack, certificate, ca):
    """What a server finds that was given the files of this CA, and is shown a certificate with its chain."""
    return from_root(stack, published(stack, "ca.pem", ca), certificate, ca)


def test_roots_follow_each_other_and_each_certificate_leads_to_either():
    with running() as (stack, admin):
        old = leaf(stack, issue(admin, make_request(stack.dir / "r.csr"), name="old"), "old.pem")
        said = refusal(rollover, admin, "root")
        assert said.name == "CaAtRest" and "ca enable root" in said.sentence, said
        authority(admin, "root", "Enable")
        stack.cli("ca", "rollover", "root")
        first, second = root_of(stack, admin, "root"), root_of(stack, admin, "root-2")
        assert first.read_bytes() != second.read_bytes() and describe(admin, "root")["successor"] == "root-2"
        made = stack.cli("ca", "rollover", "intermediate", "--json")
        assert b"root-2" in made.stdout and describe(admin, "intermediate-2")["parent"] == "root-2"
        new = leaf(stack, issue(admin, make_request(stack.dir / "s.csr"), name="new"), "new.pem")
        assert show(admin, "new")["authority"] == "intermediate-2"
        for certificate, ca in ((old, "intermediate"), (new, "intermediate-2")):
            for root in (first, second):
                judge = from_root(stack, root, certificate, ca)
                assert judge.returncode == 0, (certificate, root, judge)
                again = stack.dir / "again.pem"  # with the chain of today, which has the cross certificate
                stack.cli("ca", "show", certificate.stem, "--pem", "-o", again)
                assert stack.cli("verify", again, "--trust", root, check=False).returncode == 0
                again.unlink()
            for server in ("intermediate", "intermediate-2"):  # a server goes on with the files that it has
                assert at_server(stack, certificate, server).returncode == 0
        revoke(admin, "old")
        revoke(admin, "new")
        for certificate in (old, new):
            for server in ("intermediate", "intermediate-2"):
                assert "revoked" in at_server(stack, certificate, server).stderr
        for name in ("root", "root-2", "intermediate", "intermediate-2"):
            assert list_number(published(stack, "own.crl.pem", name)) == number(admin, name)
        assert describe(admin, "root-2")["state"] == "at-rest"  # it signed its first intermediate


def test_the_old_name_stands_for_both_and_renewals_come_from_the_new_one():
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        authority(admin, "root", "Enable")
        made = rollover(admin, "intermediate", days=900)
        assert made["name"] == "intermediate-2" and made["not-after"] - made["not-before"] < 901 * 86400 * 10**6
        assert refusal(rollover, admin, "intermediate").name == "CaExists"
        assert show(admin, "pump") == first
        renewed = plain(authority(admin, "intermediate", "Renew", "saya{sv}", "pump", b"", {}))
        assert renewed["authority"] == "intermediate-2" and show(admin, "pump")["serial"] == renewed["serial"]
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        assert at_server(stack, leaf(stack, renewed), "intermediate").returncode == 0
        assert [c["serial"] for c in listed(admin, "intermediate-2")] == [renewed["serial"]]
        assert refusal(show, admin, first["serial"], "intermediate-2").name == "NoSuchCertificate"
        third = rollover(admin, "intermediate-2")
        assert third["name"] == "intermediate-3"
        assert issue(admin, make_request(stack.dir / "s.csr"))["authority"] == "intermediate-3"
        log = exported(admin)
        stack.verify(log, stack.auditor_key())
        events = [e["event"] for e in lines(log)]
        assert events.count("ca.rollover") == events.count("ca.rolled") == 2


def test_who_may_only_issue_rolls_nothing_over():
    need_root()
    with running(rules=default_rules() + f"allow user={ALICE} key=intermediate op=ca-issue,ca-read\n") as (stack, admin):
        authority(admin, "root", "Enable")
        with stack.peer(ALICE) as alice:
            assert refusal(rollover, alice, "intermediate").name in ("PolicyDenied", "CaNotInitialised")
            rollover(admin, "intermediate")
            assert issue(alice, make_request(stack.dir / "r.csr"))["authority"] == "intermediate-2"
            assert refusal(issue, alice, make_request(stack.dir / "r.csr"), ca="intermediate-2").name in ("PolicyDenied", "CaNotInitialised")


class Rollover(Operation):
    def setup(self):
        super().setup()
        self.name = "root"
        with self.stack.peer(ADMIN) as admin:
            admin.manager("CreateAuthority", "ssa{sv}", "root", "root", variants({"set": ["CN=Root"], "algorithm": "p256"}))

    def prepare(self):
        self.number += 1
        with self.stack.peer(ADMIN) as admin:
            self.name = f"root-a{self.number}"
            admin.manager("CreateAuthority", "ssa{sv}", self.name, "root", variants({"set": ["CN=Root"], "algorithm": "p256"}))

    def act(self, admin):
        rollover(admin, self.name)

    def check(self, admin, state):
        described = describe(admin, self.name)
        rolled = "successor" in described
        assert rolled or not self.acknowledged
        next_name = f"{self.name}-2"
        if not rolled:  # nothing is to be seen or used
            assert not published(self.stack, "ca.pem", next_name).exists()
            assert published(self.stack, "ca.pem", self.name).read_text().count("BEGIN") == 1
            rollover(admin, self.name)
        wait_for(lambda: published(self.stack, "crl.pem", next_name).exists(), "the list of the new root")
        rows = listed(admin, self.name)
        assert [r["status"] for r in rows] == ["active"] * 4, rows
        assert len({r["serial"] for r in rows}) == 4
        assert [k["name"] for k in admin.keys()].count(next_name) == 1
        for ca, other in ((self.name, next_name), (next_name, self.name)):
            cross = published(self.stack, "chain.pem", ca)  # its first one, which the other root signed
            judge = from_root(self.stack, root_of(self.stack, admin, other), cross, ca)
            assert published(self.stack, "ca.pem", ca).read_text().count("BEGIN") == 2 and judge.returncode == 0, judge


def test_a_rollover_killed_at_its_calls_leaves_nothing_or_all():
    sweep(Rollover, sample())


if __name__ == "__main__":
    case.main()
