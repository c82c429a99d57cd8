#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
One CA takes the place of another: cross certificates judged by openssl from any root of the line, who issues then, what the new one
has of the old one, whose lists are published, roots that are elsewhere, and what is left by a stop at any step.
"""
import json
import re
import subprocess

import case
from ca import authority, create, issue, list_number, listed, make_request, number, published, revoke, running, sample, show
from ca_outside import Outside, csr, judged, openssl, take, wait_ca
from ca_registry import install, later
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


def text_of(path, *words):
    return openssl("x509", "-in", path, "-noout", *words).decode()


def pieces(path):
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", path.read_text(), re.S)


def certificate_of(stack, admin, name):
    return root_of(stack, admin, name)


def days_of(description):
    return round((description["not-after"] - description["not-before"]) / 86400 / 10**6)


def test_three_roots_in_a_line_lead_to_each_other_whichever_is_trusted():
    with running() as (stack, admin):
        leaves = [leaf(stack, issue(admin, make_request(stack.dir / "0.csr"), name="leaf-0"), "leaf-0.pem")]
        for n in (1, 2):
            authority(admin, "root" if n == 1 else f"root-{n}", "Enable")
            rollover(admin, "root" if n == 1 else f"root-{n}")
            rollover(admin, "intermediate" if n == 1 else f"intermediate-{n}")
            leaves.append(leaf(stack, issue(admin, make_request(stack.dir / f"{n}.csr"), name=f"leaf-{n}"), f"leaf-{n}.pem"))
        roots = [root_of(stack, admin, name) for name in ("root", "root-2", "root-3")]
        for n, ca in enumerate(("intermediate", "intermediate-2", "intermediate-3")):
            assert len(pieces(published(stack, "chain.pem", ca))) == (4 if n == 1 else 3)  # itself, and a certificate a step
            assert len(pieces(published(stack, "ca.pem", ca))) == 3
            stack.cli("ca", "show", f"leaf-{n}", "--pem", "-o", stack.dir / "again.pem")
            for root in roots:
                judge = from_root(stack, root, leaves[n], ca)
                assert judge.returncode == 0, (n, root, judge)
                assert stack.cli("verify", stack.dir / "again.pem", "--trust", root, check=False).returncode == 0, (n, root)
            (stack.dir / "again.pem").unlink()


def test_the_new_one_has_days_names_and_path_length_of_the_old_one():
    with running(made=False) as (stack, admin):
        run = stack.cli
        run("ca", "init", "root", "--set", "O=Example", "--set", "CN=Root", "--algorithm", "p256", "--days", "900", "--path-length", "3",
            "--uri", "https://ca.example", "--email", "ca@example.org")
        run("ca", "init", "intermediate", "--set", "O=Example", "--set", "CN=Devices", "--algorithm", "p384", "--days", "300",
            "--path-length", "1", "--dns", "ca.example", "--ip", "192.0.2.7")
        run("ca", "enable", "root")
        run("ca", "init", "intermediate", "--name", "long", "--set", "CN=Long", "--algorithm", "p256", "--days", "9000")
        for name in ("intermediate", "root", "long"):
            run("ca", "rollover", name)
            run("ca", "enable", "root-2", check=False)
        for name in ("intermediate", "root"):
            old, new = (certificate_of(stack, admin, n) for n in (name, f"{name}-2"))
            assert days_of(describe(admin, name)) == days_of(describe(admin, f"{name}-2")) == (300 if name == "intermediate" else 900)
            for words in (("-subject",), ("-ext", "subjectAltName,basicConstraints,keyUsage")):
                assert text_of(old, *words) == text_of(new, *words), (name, words)
            assert text_of(old, "-pubkey") != text_of(new, "-pubkey")
            assert describe(admin, name)["algorithm"] == describe(admin, f"{name}-2")["algorithm"]
        assert "URI:https://ca.example" in text_of(new, "-ext", "subjectAltName") and "pathlen:3" in text_of(new, "-ext", "basicConstraints")
        cross = published(stack, "chain.pem", "root-2")
        for words in (("-subject",), ("-ext", "subjectAltName,basicConstraints,keyUsage")):
            assert text_of(cross, *words) == text_of(new, *words)
        # What was cut short by its issuer's end lives as long as its profile says, or as that allows.
        assert days_of(describe(admin, "long")) == 900 == days_of(describe(admin, "long-2"))
        # Levels below it are as before.
        run("ca", "init", "intermediate", "--name", "line", "--parent", "intermediate", "--set", "CN=Line", "--algorithm", "p256")
        assert describe(admin, "line")["parent"] == "intermediate-2" and describe(admin, "line")["path-length"] == 0
        low = leaf(stack, issue(admin, make_request(stack.dir / "r.csr"), ca="line"))
        assert at_server(stack, low, "line").returncode == 0
        assert describe(admin, rollover(admin, "intermediate-2", days=50)["name"])["path-length"] == 1
        assert days_of(describe(admin, "intermediate-3")) == 50
        assert rollover(admin, "line")["parent"] == "intermediate-3"
        again = leaf(stack, issue(admin, make_request(stack.dir / "s.csr"), ca="line"))
        assert at_server(stack, again, "line-2").returncode == 0 and at_server(stack, low, "line-2").returncode == 0


def test_what_the_profile_allows_no_more_is_said_and_nothing_is_made():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        (stack.dir / "profiles/intermediate.conf").write_text("authority = yes\ndays = 100\nmax-days = 200\nkeys = p384\nsubject = O, CN!\n"
                                                              "usage = keyCertSign, cRLSign\n")
        said = refusal(rollover, admin, "intermediate")
        assert said.name == "RequestRefused" and "p256" in said.sentence and "Nothing was changed" in said.sentence, said
        (stack.dir / "profiles/intermediate.conf").write_text("authority = yes\ndays = 100\nmax-days = 200\nkeys = p256\nsubject = O, CN!\n"
                                                              "usage = keyCertSign, cRLSign\n")
        assert "200 days at most" in refusal(rollover, admin, "intermediate").sentence
        assert len(admin.keys()) == 2 and "successor" not in describe(admin, "intermediate")
        assert days_of(rollover(admin, "intermediate", days=150)) == 150


def test_lists_of_both_are_made_anew_each_day_and_renewals_come_from_the_new_one():
    with running() as (stack, admin):
        issue(admin, make_request(stack.dir / "r.csr"), name="old")
        gone = issue(admin, make_request(stack.dir / "g.csr"), name="gone")
        authority(admin, "root", "Enable")
        rollover(admin, "root")
        rollover(admin, "intermediate")
        new = issue(admin, make_request(stack.dir / "s.csr"), name="new")
        revoke(admin, "gone")
        before = [number(admin, name) for name in ("intermediate", "intermediate-2")]
        with later(stack, 3) as admin:
            for name, was in zip(("intermediate", "intermediate-2"), before):
                wait_for(lambda: list_number(published(stack, "own.crl.pem", name)) > was, f"the list of {name} to be made anew")
            wait_for(lambda: all(published(stack, "crl.pem", name).read_text().count("BEGIN") == 4 for name in ("intermediate", "intermediate-2")),
                     "four lists for everybody")
            text = openssl("crl", "-in", published(stack, "own.crl.pem"), "-noout", "-text").decode()
            assert gone["serial"].upper() in text
        with stack_again(stack) as admin:
            renewed = json.loads(stack.cli("ca", "renew", "old", "--json").stdout)
            assert renewed["authority"] == "intermediate-2" and renewed["status"] == "active"
            assert json.loads(stack.cli("ca", "renew", "new", "--json").stdout)["authority"] == "intermediate-2"
            assert json.loads(stack.cli("ca", "list", "superseded", "--json").stdout)[0]["authority"] == "intermediate"
            assert show(admin, new["serial"])["status"] == "superseded"


def test_an_identity_that_trusts_the_old_root_gets_its_next_certificate_and_key_from_the_new_ca():
    with running() as (stack, admin):
        install(stack, admin)
        install(stack, admin, "app")
        authority(admin, "root", "Enable")
        rollover(admin, "root")
        rollover(admin, "intermediate")
        anchor = published(stack, "ca.pem").read_bytes()
        made = json.loads(stack.cli("ca", "renew", "web", "--rekey", "--json").stdout)
        assert made["authority"] == "intermediate-2"
        renewed = stack.dir / "app-next.pem"
        stack.cli("ca", "renew", "app", "-o", renewed)
        stack.cli("cert", "set", "app", "--chain", renewed, "--trust", root_of(stack, admin, "root"))
        for name in ("web", "app"):
            files = stack.dir / "run/tls" / name
            assert b"VALID" in stack.cli("verify", files / "fullchain.pem", "--trust", files / "ca.pem", "--crl", files / "crl.pem").stdout
            judge = subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", files / "ca.pem", "-untrusted",
                                    files / "fullchain.pem", "-CRLfile", files / "crl.pem", files / "cert.pem"], capture_output=True, text=True)
            assert judge.returncode == 0, judge
        assert anchor.count(b"BEGIN") == 2 and (stack.dir / "run/tls/web/ca.pem").read_text().count("BEGIN") == 1


def test_when_the_old_ones_have_run_out_nobody_is_told_of_their_lists():
    with running(made=False) as (stack, admin):
        create(admin, days=100)
        authority(admin, "root", "Enable")
        rollover(admin, "root", days=3000)
        rollover(admin, "intermediate", days=2000)
        before = number(admin, "intermediate")
        with later(stack, 500) as admin:
            wait_for(lambda: number(admin, "intermediate-2") > before and describe(admin, "intermediate-2")["published"], "the next list")
            said = stack.cli("doctor", check=False).stdout.decode()
            assert "list of root-2 is over" in said, said
            assert "list of root " not in said and "list of intermediate " not in said, said
            assert number(admin, "intermediate") == before
            assert refusal(issue, admin, make_request(stack.dir / "r.csr"), ca="root").name == "CaAtRest"
            made = issue(admin, make_request(stack.dir / "r.csr"))
            assert made["authority"] == "intermediate-2"


def stack_again(stack):
    stack.start()
    stack.wait_state("ready")
    return stack.peer(ADMIN)


# Roots that are elsewhere


def test_where_the_root_is_elsewhere_a_request_goes_out_and_the_old_one_issues_until_the_certificate_is_in():
    with running(made=False) as (stack, admin):
        run, outside = stack.cli, Outside(stack.dir)
        wait_ca(admin)
        said = run("ca", "rollover", "plant", "--csr", "-", check=False)
        assert said.returncode == 8 and b"waits for its own certificate" in said.stderr, said
        take(admin, outside.sign(csr(admin, set=["O=Example", "CN=Plant"], uri=["https://plant.example"]),
                                 "subjectAltName=URI:https://plant.example", *CONSTRAINED) + outside.above())
        old = leaf(stack, issue(admin, make_request(stack.dir / "r.csr"), ca="plant", name="old"), "old.pem")
        said = run("ca", "rollover", "plant", check=False)
        assert said.returncode == 8 and b"holdfast ca rollover plant --csr FILE" in said.stderr, said
        assert b"for how many days" in run("ca", "rollover", "plant", "--csr", "-", "--days", "9", check=False).stderr
        request, chain = stack.dir / "plant-2.csr", stack.dir / "plant-2.pem"
        told = run("ca", "rollover", "plant", "--csr", request)
        assert b"holdfast ca import plant-2" in told.stderr
        text = openssl("req", "-in", request, "-noout", "-text", "-verify").decode()
        assert "O = Example, CN = Plant" in text and "URI:https://plant.example" in text and "CA:TRUE" in text
        assert openssl("req", "-in", request, "-noout", "-pubkey") == openssl("req", "-in", "/dev/stdin", "-noout", "-pubkey",
                                                                              input=run("ca", "rollover", "plant", "--csr", "-").stdout)
        assert describe(admin, "plant-2")["state"] == "waiting" and describe(admin, "plant-2")["follows"] == "plant"
        assert "successor" not in describe(admin, "plant") and not published(stack, "crl.pem", "plant-2").exists()
        between = issue(admin, make_request(stack.dir / "s.csr"), ca="plant", name="between")
        assert between["authority"] == "plant"
        elsewhere = Outside(stack.dir, "elsewhere")  # they have rolled over as well
        chain.write_bytes(outside.sign(request.read_bytes()) + elsewhere.above())
        assert b"Nothing was changed" in run("ca", "import", "plant-2", chain, check=False).stderr
        chain.write_bytes(elsewhere.sign(request.read_bytes()) + elsewhere.above())
        said = run("ca", "import", "plant", chain, check=False)
        assert said.returncode == 10 and b"key identifier" in said.stderr, said
        run("ca", "import", "plant-2", chain)
        assert describe(admin, "plant")["successor"] == "plant-2"
        new = leaf(stack, issue(admin, make_request(stack.dir / "t.csr"), ca="plant", name="new"), "new.pem")
        assert show(admin, "new", "plant")["authority"] == "plant-2"
        assert refusal(rollover, admin, "plant", outside=True).name == "CaExists"
        for ca in ("plant", "plant-2"):
            assert sorted(pieces(published(stack, "ca.pem", ca))) == sorted(pieces(outside.pem) + pieces(elsewhere.pem))
            assert published(stack, "crl.pem", ca).read_text().count("BEGIN") == 2
        lists = [outside.crl(), elsewhere.crl()]
        for certificate, root, ca in ((old, outside, "plant"), (new, elsewhere, "plant-2")):
            assert judged(stack, certificate, root.pem, lists, ca).returncode == 0
            for server in ("plant", "plant-2"):
                judge = judged(stack, certificate, published(stack, "ca.pem", server), lists, ca)
                assert judge.returncode == 0, judge
        renewed = plain(authority(admin, "plant", "Renew", "saya{sv}", "old", b"", {}))
        assert renewed["authority"] == "plant-2"
        for which in ("new", "between"):
            run("ca", "revoke", which, "--ca", "plant", "--yes")
        assert "revoked" in judged(stack, new, elsewhere.pem, lists, "plant-2").stderr
        log = exported(admin)
        stack.verify(log, stack.auditor_key())
        assert [e.get("follows") for e in lines(log) if e["event"] == "ca.wait"] == [None, "plant"]


CONSTRAINED = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash",
               "authorityKeyIdentifier=keyid")


def test_a_ca_whose_issuer_is_here_asks_nobody_and_the_next_one_elsewhere_follows_the_last():
    with running() as (stack, admin):
        authority(admin, "root", "Enable")
        said = stack.cli("ca", "rollover", "intermediate", "--csr", "-", check=False)
        assert said.returncode == 8 and b"without --csr" in said.stderr, said
        assert len(admin.keys()) == 2
        outside = Outside(stack.dir)
        wait_ca(admin)
        take(admin, outside.sign(csr(admin, set=["CN=Plant"])) + outside.above())
        for n in (2, 3):
            of = "plant" if n == 2 else "plant-2"
            assert rollover(admin, of, outside=True)["name"] == f"plant-{n}"
            assert refusal(rollover, admin, f"plant-{n}", outside=True).name == "RequestRefused"  # it waits itself
            take(admin, outside.sign(csr(admin, f"plant-{n}")) + outside.above(), f"plant-{n}")
        assert issue(admin, make_request(stack.dir / "r.csr"), ca="plant")["authority"] == "plant-3"
        assert len(pieces(published(stack, "ca.pem", "plant"))) == 1
        assert published(stack, "crl.pem", "plant").read_text().count("BEGIN") == 3


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


class RolloverOutside(Operation):
    def setup(self):
        super().setup()
        self.outside = Outside(self.stack.dir)

    def prepare(self):
        self.number += 1
        self.name = f"plant-a{self.number}"
        with self.stack.peer(ADMIN) as admin:
            wait_ca(admin, self.name)
            take(admin, self.outside.sign(csr(admin, self.name, set=["CN=Plant"])) + self.outside.above(), self.name)

    def bring(self, admin):
        take(admin, self.outside.sign(csr(admin, f"{self.name}-2")) + self.outside.above(), f"{self.name}-2")

    def act(self, admin):
        rollover(admin, self.name, outside=True)
        self.bring(admin)

    def check(self, admin, state):
        done = "successor" in describe(admin, self.name)
        assert done or not self.acknowledged
        by = issue(admin, make_request(self.stack.dir / "r.csr"), ca=self.name)["authority"]
        assert by == (f"{self.name}-2" if done else self.name)
        if not done:
            assert rollover(admin, self.name, outside=True)["state"] == "waiting"
            self.bring(admin)
        wait_for(lambda: published(self.stack, "crl.pem", f"{self.name}-2").exists(), "the list of the new one")
        assert [k["name"] for k in admin.keys() if k["name"].startswith(self.name + "-")] == [f"{self.name}-2"]
        certificate = leaf(self.stack, issue(admin, make_request(self.stack.dir / "r.csr"), ca=self.name))
        judge = judged(self.stack, certificate, self.outside.pem, [self.outside.crl()], f"{self.name}-2")
        assert judge.returncode == 0, judge


def test_a_rollover_to_elsewhere_killed_at_its_calls_leaves_the_old_one_in_use_or_the_new_one():
    sweep(RolloverOutside, sample())


if __name__ == "__main__":
    case.main()
