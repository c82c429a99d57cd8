#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Private CAs through the daemon: an administrator's day by the command, judged by openssl and GnuTLS; who may issue what; what
repeating, killing, restarting, rekeying and restoring leave of serials and lists.
"""
import concurrent.futures
import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess

import case
from judge import exported, lines
from peer import NAME, ROOT as PATH, Refused, path_encode, plain, refusal, variants
from stack import ADMIN, ALICE, BOB, MALLORY, SOURCE, Stack, default_rules, need_root, wait_for
from sweep import Operation, sweep
from tracer import gone

SAMPLE = 6
CROWD = 8
DEATHS = 8
DEVICE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def authority(peer, name, member, signature="a{sv}", *args):
    return peer.call(f"{PATH}/ca/{path_encode(name)}", NAME + ".Authority", member, signature, *(args or ({},)))


def make_request(path, *words):
    """A signing request by stock openssl, whose key never was in Holdfast."""
    subprocess.run(["openssl", "req", "-new", "-nodes", "-keyout", f"{path}.key", "-out", path, *(words or (*DEVICE, "-subj", "/CN=device"))],
                   check=True, capture_output=True)
    return path.read_bytes()


def create(peer, root="root", inter="intermediate", algorithm="p256", **options):
    peer.manager("CreateAuthority", "ssa{sv}", root, "root", variants({"set": ["O=Example", "CN=Root"], "algorithm": algorithm, **options}))
    peer.manager("CreateAuthority", "ssa{sv}", inter, "intermediate",
                 variants({"set": ["O=Example", "CN=Devices"], "algorithm": algorithm, "parent": root}))


def issue(peer, request=b"", profile="device", ca="intermediate", **options):
    return plain(authority(peer, ca, "Issue", "aysa{sv}", request, profile, variants({k.replace("_", "-"): v for k, v in options.items()})))


def listed(peer, ca="intermediate", **options):
    found, after = [], ""
    while True:
        page, after = authority(peer, ca, "List", "a{sv}", variants({"after": after, **options}))
        found += [plain(c) for c in page]
        if not after:
            return found


def show(peer, which, ca="intermediate"):
    return plain(authority(peer, ca, "Show", "sa{sv}", which, {}))


def revoke(peer, which, reason="keyCompromise", ca="intermediate", **options):
    authority(peer, ca, "Revoke", "ssa{sv}", which, reason, variants(options))


def number(peer, ca="intermediate"):
    return plain(authority(peer, ca, "Describe"))["crl-number"]


@contextlib.contextmanager
def running(rules=None, made=True, **options):
    with Stack(bus=False, rules=rules, **options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            if made:
                create(admin)
            yield stack, admin


def published(stack, name, ca="intermediate"):
    return stack.dir / f"run/tls/ca@{ca}" / name


def verdict(stack, certificate, *words, ca="intermediate"):
    """What stock openssl says, with everything that is published and nothing else."""
    return subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", published(stack, "ca.pem", ca), "-untrusted",
                           published(stack, "chain.pem", ca), "-CRLfile", published(stack, "crl.pem", ca), *words, certificate],
                          capture_output=True, text=True)


def list_number(path):
    text = subprocess.run(["openssl", "crl", "-in", path, "-noout", "-crlnumber"], capture_output=True, text=True, check=True).stdout
    return int(text.split("=")[1], 16)


# The administrator's day


def test_root_intermediate_device_list_and_revocation_by_the_command():
    with running(made=False) as (stack, _):
        run, leaf, request = stack.cli, stack.dir / "leaf.pem", stack.dir / "device.csr"
        make_request(request)
        run("ca", "init", "root", "--set", "O=Example", "--set", "CN=Example Root")
        run("ca", "init", "intermediate", "--set", "O=Example", "--set", "CN=Example Devices")
        run("ca", "issue", request, "--device-id", "pump-7", "--set", "OU=shop.example", "-o", leaf)
        assert leaf.read_text().count("BEGIN CERTIFICATE") == 2
        assert verdict(stack, leaf, "-purpose", "sslclient").returncode == 0
        judge = subprocess.run(["certtool", "--verify", "--load-ca-certificate", published(stack, "ca.pem"), "--load-crl",
                                published(stack, "own.crl.pem"), "--infile", leaf], capture_output=True, text=True)
        assert judge.returncode == 0, judge.stdout
        assert run("ca", "status", "pump-7").stdout == b"active\n"
        fingerprint = json.loads(run("ca", "show", "pump-7", "--json").stdout)["fingerprint"]
        stock = subprocess.run(["openssl", "x509", "-in", leaf, "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True)
        assert stock.stdout.split("=")[1].strip().replace(":", "").lower() == fingerprint
        assert run("ca", "status", fingerprint).returncode == 0
        assert run("ca", "status", "nobody", check=False).returncode == 3
        rows = list(csv.DictReader(io.StringIO(run("ca", "list", "--csv").stdout.decode(), newline="")))
        assert [(r["name"], r["domain"], r["status"]) for r in rows] == [("pump-7", "shop.example", "active")]
        assert [c["name"] for c in json.loads(run("ca", "list", "active", "--json").stdout)] == ["pump-7"]
        assert b"intermediate" in run("ca", "show").stdout and b"Example" not in run("ca", "show").stdout
        run("ca", "revoke", "pump-7", "--reason", "keyCompromise", "--text", "stolen", "--yes")
        refused = verdict(stack, leaf)
        assert refused.returncode and "revoked" in refused.stderr, refused
        assert run("ca", "status", fingerprint, check=False).returncode == 10
        assert json.loads(run("ca", "list", "revoked", "--json").stdout)[0]["text"] == "stolen"
        assert json.loads(run("ca", "list", "active", "--json").stdout) == []
        der = run("ca", "show", "pump-7", "--der").stdout
        assert subprocess.run(["openssl", "x509", "-inform", "der", "-noout"], input=der).returncode == 0


def test_each_line_of_the_guide_works():
    guide = (SOURCE / "docs/ca.md").read_text()
    commands = [c for block in re.findall(r"```sh\n(.*?)```", guide, re.S) for c in block.splitlines()]
    assert len(commands) > 20
    with running(made=False) as (stack, _):
        home = stack.dir / "home"
        home.mkdir()
        environment = {"PATH": f"{stack.dir}/bin/cli:{os.environ['PATH']}", "HOLDFAST_SOCKET": stack.socket, "HOME": str(home),
                       "HOLDFAST_TLS": f"{stack.dir}/run/tls", "OPENSSL_MODULES": f"{stack.dir}/bin/provider"}
        for command in commands:
            here = command.replace("/run/holdfast/tls", str(stack.dir / "run/tls"))
            done = subprocess.run(["sh", "-c", here], cwd=home, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (command, done)
        valid = subprocess.run(["sh", "-c", "holdfast verify pump-7.pem --trust $D/ca.pem --crl $D/crl.pem"], cwd=home, capture_output=True,
                               env={**environment, "D": str(published(stack, ""))}, text=True)
        assert valid.returncode == 10 and "[FAIL]" in valid.stdout, valid


def test_chains_of_every_ca_algorithm_are_accepted_by_the_judges():
    with running(made=False) as (stack, admin):
        for algorithm in ("p256", "p384", "rsa3072", "rsa4096"):
            if algorithm != "rsa3072":  # no root of the shipped profile
                create(admin, f"root-{algorithm}", f"inter-{algorithm}", algorithm)
                leaf = stack.dir / f"{algorithm}.pem"
                request = make_request(stack.dir / "r.csr")
                leaf.write_bytes(issue(admin, request, ca=f"inter-{algorithm}")["chain"])
                assert verdict(stack, leaf, ca=f"inter-{algorithm}").returncode == 0, algorithm


def test_three_levels_where_the_path_length_allows():
    with running(made=False) as (stack, admin):
        create(admin, **{"path-length": 2})
        admin.manager("CreateAuthority", "ssa{sv}", "site", "intermediate",
                      variants({"set": ["CN=Site"], "parent": "intermediate", "algorithm": "p256"}))
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"), ca="site")["chain"])
        assert leaf.read_text().count("BEGIN CERTIFICATE") == 3
        assert verdict(stack, leaf, ca="site").returncode == 0
        said = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "below", "intermediate",
                       variants({"set": ["CN=Below"], "parent": "site", "algorithm": "p256"}))
        assert said.name == "RequestRefused" and "path length is 0" in said.sentence


def test_a_ca_has_the_alternative_names_it_was_given():
    with running(made=False) as (stack, admin):
        names = ("--dns", "ca.example", "--ip", "192.0.2.1", "--uri", "https://ca.example", "--email", "ca@example.org")
        stack.cli("ca", "init", "root", "--set", "CN=Root", "--email", "root@example.org")
        stack.cli("ca", "init", "intermediate", "--set", "CN=Devices", *names)
        text = subprocess.run(["openssl", "x509", "-in", published(stack, "chain.pem"), "-noout", "-ext", "subjectAltName"], capture_output=True, text=True).stdout
        for word in ("DNS:ca.example", "IP Address:192.0.2.1", "URI:https://ca.example", "email:ca@example.org"):
            assert word in text, text
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"))["chain"])
        assert verdict(stack, leaf).returncode == 0
        for bad in ({"ip": ["300.1.1.1"]}, {"dns": ["a b"]}, {"uri": ["urn:holdfast:deviceId:x"]}):
            said = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "bad", "root", variants({"set": ["CN=x"], **bad}))
            assert said.name == "RequestRefused", (bad, said)
        assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "bad", "root", variants({"set": ["CN=x"], "dns": ["a.example"] * 65})).name == "LimitExceeded"
        assert "bad" not in [k["name"] for k in admin.keys()]


def test_a_key_here_gets_a_certificate_without_a_request():
    with running() as (stack, admin):
        admin.create("web", "p256")
        leaf = stack.dir / "web.pem"
        leaf.write_bytes(issue(admin, profile="server", key="web", dns=["www.example"])["chain"])
        assert verdict(stack, leaf, "-purpose", "sslserver", "-verify_hostname", "www.example").returncode == 0
        stock = subprocess.run(["openssl", "x509", "-in", leaf, "-noout", "-pubkey"], capture_output=True, check=True).stdout
        assert stock.split() == admin.public_key("web").split()
        run = stack.cli("cert", "set", "web", "--chain", leaf, "--trust", published(stack, "ca.pem"), check=False)
        assert run.returncode == 0, run.stderr
        assert refusal(issue, admin, key="none").name == "NoSuchKey"
        assert refusal(issue, admin, key="root").name == "PurposeNotPermitted"


# What is refused


def test_requests_are_refused_by_name_and_nothing_is_recorded():
    cases = (("-addext", "basicConstraints=critical,CA:TRUE"), "CA:TRUE"), (("-addext", "1.2.3.4=critical,ASN1:NULL"), "1.2.3.4"), \
        (("-addext", "subjectAltName=DNS:a.example"), "dns")
    with running() as (stack, admin):
        before = len(listed(admin))
        for words, word in cases:
            said = refusal(issue, admin, make_request(stack.dir / "r.csr", *DEVICE, "-subj", "/CN=d", *words))
            assert said.name == "RequestRefused" and word in said.sentence, said
        weak = make_request(stack.dir / "r.csr", "-newkey", "rsa:1024", "-subj", "/CN=d")
        assert "weak" in refusal(issue, admin, weak).sentence
        assert refusal(issue, admin, b"hello").name == "RequestRefused"
        assert refusal(issue, admin, b"x" * 40000).name == "MessageTooLarge"
        good = make_request(stack.dir / "r.csr")
        for profile in ("intermediate", "root"):
            assert refusal(issue, admin, good, profile).name == "RequestRefused"
        for profile in ("none", "../device", "Device"):
            assert refusal(issue, admin, good, profile).name == "InvalidArgs"
        broken = stack.dir / "profiles/broken.conf"
        broken.write_text("days = 1\nkeys = p255\n")
        assert "broken.conf:2:8" in refusal(issue, admin, good, "broken").sentence
        broken.write_text("days = 1\nkeys = p256\nusage = digitalSignature\nsubject = CN\n")
        assert issue(admin, good, "broken")["status"] == "active"
        broken.chmod(0o666)
        assert "write" in refusal(issue, admin, good, "broken", name="again").sentence
        assert len(listed(admin)) == before + 1
        assert refusal(revoke, admin, "nobody").name == "NoSuchCertificate"
        assert refusal(revoke, admin, "device", "removeFromCRL").name == "NothingToDo"
        assert refusal(revoke, admin, "device", "hunger").name == "InvalidArgs"


def test_a_root_at_rest_signs_nothing_until_it_is_enabled():
    with running() as (stack, admin):
        described = plain(authority(admin, "root", "Describe"))
        assert described["state"] == "at-rest" and plain(authority(admin, "intermediate", "Describe"))["state"] == "active"
        second = ("CreateAuthority", "ssa{sv}", "second", "intermediate", variants({"set": ["CN=Second"]}))
        assert refusal(admin.manager, *second).name == "CaAtRest"
        assert refusal(revoke, admin, "intermediate", ca="root").name == "CaAtRest"
        assert "second" not in [k["name"] for k in admin.keys()]
        before = list_number(published(stack, "own.crl.pem", "root"))
        authority(admin, "root", "Enable")
        awake = plain(authority(admin, "root", "Describe"))
        assert awake["state"] == "active" and awake["awake-until"] - awake["created"] < 2 * 3600 * 10**6
        assert list_number(published(stack, "own.crl.pem", "root")) > before
        assert refusal(authority, admin, "root", "Enable").name == "NothingToDo"
        admin.manager(*second)
        assert plain(authority(admin, "root", "Describe"))["state"] == "active"  # the hour is not over by that
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"))["chain"])
        assert verdict(stack, leaf).returncode == 0
        revoke(admin, "intermediate", "cACompromise", ca="root")
        assert "revoked" in verdict(stack, leaf).stderr  # the lists of those below have the root's
        events = [e["event"] for e in lines(exported(admin))]
        assert events.count("ca.enable") == 1


def test_a_hold_can_be_lifted_and_nothing_else():
    with running() as (stack, admin):
        leaf = stack.dir / "leaf.pem"
        made = issue(admin, make_request(stack.dir / "r.csr"))
        leaf.write_bytes(made["chain"])
        revoke(admin, made["serial"], "certificateHold")
        assert verdict(stack, leaf).returncode
        revoke(admin, made["serial"], "removeFromCRL")
        assert verdict(stack, leaf).returncode == 0
        assert show(admin, made["fingerprint"])["status"] == "active"
        revoke(admin, made["serial"], "certificateHold")
        revoke(admin, made["serial"], "keyCompromise")
        for reason in ("removeFromCRL", "certificateHold", "superseded"):
            assert refusal(revoke, admin, made["serial"], reason).name == "NothingToDo"
        assert verdict(stack, leaf).returncode


def test_a_ca_exists_once_and_one_that_does_not_says_what_to_do():
    with running() as (_, admin):
        again = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "root", "root", variants({"set": ["CN=Other"]}))
        assert again.name == "CaExists" and "holdfast ca show" in again.sentence
        admin.create("taken", "p256")
        assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "taken", "root", variants({"set": ["CN=X"]})).name in ("CaExists", "KeyExists")
        none = refusal(issue, admin, b"x", ca="nowhere")
        assert none.name == "CaNotInitialised"
        orphan = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "x", "intermediate", variants({"set": ["CN=X"], "parent": "nowhere"}))
        assert orphan.name == "CaNotInitialised" and "holdfast ca init" in orphan.sentence


def test_the_key_of_a_ca_does_nothing_else():
    with running() as (_, admin):
        for name in ("root", "intermediate"):
            assert refusal(admin.sign, name, b"message").name == "PurposeNotPermitted"
            assert refusal(admin.destroy, name).name == "KeyInUse"
            assert refusal(admin.key, name, "CreateCsr", "sa{sv}", "CN=x", {}).name == "PurposeNotPermitted"


def test_rules_say_who_issues_under_which_profile():
    need_root()
    rules = default_rules() + (f"allow user={ALICE} key=intermediate op=ca-issue profile=device\n"
                               f"allow user={BOB} key=intermediate op=ca-read\n")
    with running(rules=rules) as (stack, admin):
        request = make_request(stack.dir / "r.csr", *DEVICE, "-subj", "/CN=d", "-addext", "subjectAltName=URI:http://d")
        with stack.peer(ALICE) as alice, stack.peer(BOB) as bob, stack.peer(MALLORY) as mallory:
            assert issue(alice, request)["status"] == "active"
            assert refusal(issue, alice, request, "server").name in ("PolicyDenied", "CaNotInitialised")
            for profile, verdict_ in (("device", "allow"), ("server", "deny")):
                words = ("policy", "explain", "--user", str(ALICE), "--profile", profile, "ca-issue", "intermediate", "--json")
                assert json.loads(stack.cli(*words).stdout)["verdict"] == verdict_
            assert f"--user {ALICE} --profile server ca-issue" in refusal(issue, alice, request, "server").sentence
            assert refusal(listed, alice).name in ("PolicyDenied", "CaNotInitialised")
            assert len(listed(bob)) == 1
            assert refusal(revoke, bob, "d").name in ("PolicyDenied", "CaNotInitialised")
            hidden, absent = refusal(listed, mallory), refusal(listed, mallory, "nowhere")
            assert hidden.name == absent.name == "CaNotInitialised"
            assert hidden.sentence.replace("intermediate", "X") == absent.sentence.replace("nowhere", "X")
            assert alice.manager("ListAuthorities") == []
            assert [plain(a)["name"] for a in bob.manager("ListAuthorities")] == ["intermediate"]


# Repeating


def test_the_same_words_again_get_the_same_certificate():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        first = issue(admin, request)
        assert issue(admin, request) == first
        other = issue(admin, request, name="other")
        assert other["serial"] != first["serial"]
        assert len(listed(admin)) == 2
        revoke(admin, first["serial"])
        assert issue(admin, request)["serial"] not in (first["serial"], other["serial"])


def test_many_at_once_in_the_same_words_get_one_certificate():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")

        def ask(_):
            with stack.peer(ADMIN) as peer:
                return issue(peer, request)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(24)))
        assert len({a["fingerprint"] for a in answers}) == 1
        assert len(listed(admin)) == 1
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            serials = {c["serial"] for c in pool.map(lambda i: issue_alone(stack, request, f"n{i}"), range(40))}
        assert len(serials) == 40 and len(listed(admin, limit=7)) == 41


def issue_alone(stack, request, name):
    with stack.peer(ADMIN) as peer:
        return issue(peer, request, name=name)


def test_the_same_words_twice_among_what_waits_get_one_certificate():
    with running() as (stack, admin):
        request, names = make_request(stack.dir / "r.csr"), [f"n{i}" for i in range(40)]

        def work(number):
            with stack.peer(ADMIN) as peer:  # each name by two at about the same time, while others keep the store busy
                return [issue(peer, request, name=f"{number // 2}-{name}")["serial"] for name in names]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            made = list(pool.map(work, range(8)))
        assert made[0::2] == made[1::2]
        assert len(listed(admin)) == 4 * len(names)


def test_what_follows_a_certificate_keeps_its_identity_and_supersedes_it():
    with running() as (stack, admin):
        leaf = stack.dir / "leaf.pem"
        device = {"device_id": "pump-7", "device_label": "Pump 7", "device_type": "pump", "firmware": "1.0", "set": ["OU=shop.example"]}
        first = issue(admin, make_request(stack.dir / "r.csr"), metadata="site 4", **device)
        made = plain(authority(admin, "intermediate", "Renew", "saya{sv}", "pump-7", b"", variants({"days": 700})))
        again = plain(authority(admin, "intermediate", "Renew", "saya{sv}", first["serial"], b"", variants({"days": 700})))
        assert again == made and made["serial"] != first["serial"]
        assert made["name"] == "pump-7" and made["metadata"] == "site 4" and made["expires"] - first["expires"] > 300 * 86400 * 10**6
        leaf.write_bytes(made["chain"])
        assert verdict(stack, leaf, "-purpose", "sslclient").returncode == 0

        def text(certificate):
            said = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-text", "-certopt",
                                   "no_serial,no_validity,no_signame,no_sigdump"], input=certificate["certificate"], capture_output=True)
            return said.stdout
        assert text(made) == text(first)
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        assert show(admin, "pump-7")["serial"] == made["serial"] and show(admin, first["serial"])["superseded"]
        third = plain(authority(admin, "intermediate", "Renew", "saya{sv}", "pump-7", make_request(stack.dir / "new.csr", *DEVICE, "-subj", "/CN=x"), {}))
        assert text(third).split(b"Public Key")[0] == text(made).split(b"Public Key")[0] and text(third) != text(made)
        assert refusal(authority, admin, "intermediate", "Renew", "saya{sv}", first["serial"], b"", {}).name == "NothingToDo"
        revoke(admin, third["serial"])
        assert refusal(authority, admin, "intermediate", "Renew", "saya{sv}", third["serial"], b"", {}).name == "NothingToDo"
        assert refusal(authority, admin, "intermediate", "Renew", "saya{sv}", "nobody", b"", {}).name == "NoSuchCertificate"


# What lasts


def test_registry_and_lists_outlive_restart_rekey_and_a_lost_directory():
    with running() as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        first = issue(admin, request)
        revoke(admin, first["serial"])
        second = issue(admin, request)
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(second["chain"])
        before = number(admin)
        for path in published(stack, "").iterdir():
            path.unlink()
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")
        wait_for(lambda: published(stack, "crl.pem").exists(), "the list to be published again")
        with stack.peer(ADMIN) as again:
            assert number(again) == before == list_number(published(stack, "own.crl.pem"))  # the same list: the store has it
            assert [c["status"] for c in listed(again)] == ["revoked", "active"]
            assert show(again, second["serial"]) == second
            assert verdict(stack, leaf).returncode == 0
            again.manager("Rekey", "sa{sv}", "credential", variants({"unattended": True}))
            assert show(again, second["serial"]) == second
            third = issue(again, make_request(stack.dir / "s.csr"))
            leaf.write_bytes(third["chain"])
            assert verdict(stack, leaf).returncode == 0


def test_the_number_of_a_list_rises_through_a_restore():
    with running() as (stack, admin):
        made = issue(admin, make_request(stack.dir / "r.csr"))
        with open(stack.dir / "backup", "wb") as f:
            admin.manager("Backup", "ha{sv}", f.fileno(), {})
        revoke(admin, made["serial"])
        before = number(admin)
        assert list_number(published(stack, "own.crl.pem")) == before
        stack.stop()
        (stack.dir / "state/store/store.db").write_bytes(os.urandom(8192))
        stack.start()
        stack.wait_state("refused")
        with stack.peer(ADMIN) as again:
            with open(stack.dir / "backup", "rb") as f:
                again.manager("Restore", "ha{sv}", f.fileno(), {})
            stack.wait_state("ready")
            assert number(again) < before  # what the backup knew
            revoke(again, made["serial"])
            assert number(again) > before
            assert list_number(published(stack, "own.crl.pem")) > before


def test_the_number_of_a_list_rises_where_the_clock_is_behind_what_was_published():
    with running() as (stack, admin):
        made = issue(admin, make_request(stack.dir / "r.csr"))
        ahead = number(admin) + 400 * 86400 * 10**6
        # As a store that was restored finds it: begun by a clock that was right, and not written everywhere.
        published(stack, "highest").write_text(f"{ahead}\n")
        revoke(admin, made["serial"])
        assert number(admin) == list_number(published(stack, "own.crl.pem")) == ahead + 1
        for odd in ("", "x", "9" * 23, str(2**64 - 1)):
            published(stack, "highest").write_text(odd)
            revoke(admin, issue(admin, make_request(stack.dir / "r.csr"))["serial"])
            assert ahead + 1 < number(admin) < ahead + 10
            assert number(admin) == list_number(published(stack, "own.crl.pem"))


def test_every_signature_has_its_record_before_it():
    with running() as (stack, admin):
        key = stack.auditor_key()
        made = [issue(admin, make_request(stack.dir / "r.csr"), name=f"n{i}") for i in range(5)]
        revoke(admin, made[0]["serial"])
        log = exported(admin)
        stack.verify(log, key)
        events = lines(log)
        recorded = set()
        open_signatures = 0
        for e in events:
            if e["event"] in ("ca.issue", "ca.init"):
                assert e["serial"] not in recorded
                recorded.add(e["serial"])
                open_signatures += 1
            elif e["event"] in ("ca.crl", "ca.revoke", "ca.enable"):
                open_signatures += 1
            elif e["event"] == "ca.sign":
                open_signatures -= 1
                assert open_signatures >= 0
            elif e["event"] == "ca.issued":
                assert e["serial"] in recorded
        assert len(recorded) == 7


# Killed at every step


class Ca(Operation):
    def setup(self):
        super().setup()
        self.issued, self.numbers = {}, []
        with self.stack.peer(ADMIN) as admin:
            create(admin)

    def check(self, admin, state):
        serials = [c["serial"] for c in listed(admin)]
        assert len(serials) == len(set(serials))
        assert not self.numbers or number(admin) >= self.numbers[-1]
        self.numbers.append(number(admin))


class Issue(Ca):
    def prepare(self):
        self.number += 1
        self.request = make_request(self.stack.dir / f"{self.number}.csr", *DEVICE, "-subj", f"/CN=d{self.number}")

    def act(self, admin):
        self.answer = issue(admin, self.request)

    def check(self, admin, state):
        super().check(admin, state)
        again = issue(admin, self.request)
        assert not self.acknowledged or again == self.answer
        assert [c["name"] for c in listed(admin)].count(f"d{self.number}") == 1
        leaf = self.stack.dir / "leaf.pem"
        leaf.write_bytes(again["chain"])
        assert verdict(self.stack, leaf).returncode == 0


class Revoke(Ca):
    def prepare(self):
        self.number += 1
        self.request = make_request(self.stack.dir / f"{self.number}.csr", *DEVICE, "-subj", f"/CN=d{self.number}")
        with self.stack.peer(ADMIN) as admin:
            self.made = issue(admin, self.request)

    def act(self, admin):
        revoke(admin, self.made["serial"])

    def check(self, admin, state):
        super().check(admin, state)
        status = show(admin, self.made["serial"])["status"]
        assert status == "revoked" or not self.acknowledged
        path = published(self.stack, "own.crl.pem")
        assert list_number(path) <= number(admin)
        if status == "active":
            revoke(admin, self.made["serial"])
        wait_for(lambda: self.is_listed(path), "the revocation to be published")

    def is_listed(self, path):
        text = subprocess.run(["openssl", "crl", "-in", path, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
        if self.made["serial"].upper() in text:
            return True
        with self.stack.peer(ADMIN) as admin:  # killed between the change and the file: the next list has it
            with contextlib.suppress(Exception):
                revoke(admin, issue(admin, self.request)["serial"])
        return False


class Wake(Ca):
    """A root that is at rest is enabled, and has a new list."""
    def prepare(self):
        self.number += 1
        self.name = f"root-{self.number}"
        with self.stack.peer(ADMIN) as admin:
            create(admin, self.name, f"below-{self.number}")
            self.before = number(admin, self.name)

    def act(self, admin):
        authority(admin, self.name, "Enable")

    def check(self, admin, state):
        super().check(admin, state)
        described = plain(authority(admin, self.name, "Describe"))
        enabled = described["state"] == "active"
        assert enabled or not self.acknowledged
        assert (described["crl-number"] > self.before) == enabled
        path = published(self.stack, "own.crl.pem", self.name)
        wait_for(lambda: list_number(path) == number(admin, self.name), "the last list")  # an opening makes another one


class Init(Operation):
    def prepare(self):
        self.number += 1
        self.name = f"root-{self.number}"

    def act(self, admin):
        admin.manager("CreateAuthority", "ssa{sv}", self.name, "root", variants({"set": [f"CN={self.name}"], "algorithm": "p256"}))

    def check(self, admin, state):
        with contextlib.suppress(Exception):
            self.act(admin)
        described = plain(authority(admin, self.name, "Describe"))
        assert described["state"] == "active"
        assert len(listed(admin, self.name)) == 1
        keys = [k["name"] for k in admin.keys()]
        assert keys.count(self.name) == 1


class Crowd:
    """Clients that issue, the first of whom also revokes, until a program is killed under them; and what each was told."""

    def __init__(self, stack, request):
        self.stack, self.request, self.rounds, self.last_number = stack, request, 0, 0
        self.asked, self.told, self.revoked = set(), {}, set()

    def work(self, client, pid, enough):
        with contextlib.suppress(Refused, OSError, EOFError), self.stack.peer(ADMIN) as peer:
            for i in range(1000):
                name = f"{self.rounds}-{client}-{i}"
                self.asked.add(name)
                self.told[name] = issue(peer, self.request, name=name)
                if client == 0:
                    revoke(peer, self.told[name]["serial"])
                    self.revoked.add(name)
                if len(self.told) >= enough:
                    os.kill(pid, signal.SIGKILL)

    def die(self, pid, after):
        """By whoever is told of the last of so many certificates, while the others are somewhere on their way."""
        self.rounds += 1
        enough = len(self.told) + after
        with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(lambda client: self.work(client, pid, enough), range(CROWD)))
        wait_for(lambda: gone(pid), f"{pid} to be gone")

    def check(self, admin):
        """What was told is there, and who asks again gets it; what was not becomes one certificate."""
        status = {c["serial"]: c["status"] for c in listed(admin)}
        for name, made in self.told.items():
            if status[made["serial"]] == "active":
                assert name not in self.revoked and issue(admin, self.request, name=name) == made, name
        for name in self.asked - set(self.told):
            self.told[name] = issue(admin, self.request, name=name)
        rows = listed(admin)
        assert sorted(c["name"] for c in rows) == sorted(self.asked)
        assert len({c["serial"] for c in rows}) == len(rows)
        assert number(admin) >= self.last_number
        self.last_number = number(admin)
        assert list_number(published(self.stack, "own.crl.pem")) <= self.last_number


def check_records(log):
    """No signature without its record, none recorded twice; of what was made together all is done or all is undone."""
    recorded, ended, together = {}, {}, 0
    for e in lines(log):
        if e["event"] in ("done", "undone"):
            ended[e["ref"]] = e["event"]
        elif e["event"] in ("ca.issue", "ca.init"):
            assert e["serial"] not in recorded
            recorded[e["serial"]] = e.get("with", e["seq"])
            together += "with" in e
        elif e["event"] == "ca.issued":
            assert e["serial"] in recorded and ended[recorded[e["serial"]]] == "done"
    return together


def sample():
    return 0 if os.environ.get("HOLDFAST_KILL") == "all" else SAMPLE


def test_issuing_killed_at_its_calls_gives_one_certificate():
    sweep(Issue, sample())


def test_a_crowd_killed_while_it_issues_and_revokes_loses_and_doubles_nothing():
    with running() as (stack, admin):
        key, crowd = stack.auditor_key(), Crowd(stack, make_request(stack.dir / "r.csr"))
        for n in range(100 if os.environ.get("HOLDFAST_KILL") == "all" else DEATHS):
            crowd.die(stack.signer_pid() if n % 3 == 2 else stack.daemon_pid(), 1 + 7 * n % 40)
            stack.wait_state("ready")
            with stack.peer(ADMIN) as again:
                crowd.check(again)
        with stack.peer(ADMIN) as again:
            log = exported(again)
        stack.verify(log, key)
        assert check_records(log), "nothing was made together"


def test_revoking_killed_at_its_calls_keeps_numbers_and_revocations():
    sweep(Revoke, sample())


def test_enabling_a_root_killed_at_its_calls_makes_and_publishes_its_list():
    sweep(Wake, sample())


def test_making_a_ca_killed_at_its_calls_is_finished_by_asking_again():
    sweep(Init, sample())


if __name__ == "__main__":
    case.main()
