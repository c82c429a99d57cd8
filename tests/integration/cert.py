#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Identities: certificates put beside keys by hand, the files that programs find of them, and what becomes of both when the
store is locked, copied, rekeyed, or somebody else writes in the directory.
"""
import base64
import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import threading

import case
from certificates import DAY, NOW, Authority, Certificate, build, spare_key
from cryptography.hazmat.primitives import serialization
from judge import exported, lines, signature_is_good
from party import Party, curl, need, nginx, ready
from peer import NAME, ROOT as PATH, path_encode, plain, refusal, variants
from stack import ADMIN, ALICE, BOB, DAEMON, MALLORY, Stack, default_rules, need_root, wait_for

PIN = "sha256//" + base64.b64encode(hashlib.sha256(b"a peer").digest()).decode()


class Site:
    """A Holdfast with keys, and a CA with an intermediate one."""

    def __init__(self, stack):
        self.stack = stack
        self.tls = stack.dir / "run/tls"
        self.root = Authority("root")
        self.inter = self.root.under("inter", pathlen=0)

    def public(self, key):
        return serialization.load_pem_public_key(self.stack.cli("key", "public", key).stdout)

    def leaf(self, key, issuer=None, **options):
        options.setdefault("dns", ("localhost",))
        return Certificate(build(key, None, issuer or self.inter, public=self.public(key), **options), None).pem

    def chain(self, key, **options):
        return self.leaf(key, **options) + self.inter.pem

    def set(self, name, chain, *words, trust=None, check=True, **options):
        path = self.stack.dir / "chain.pem"
        path.write_bytes(chain)
        if trust:
            (self.stack.dir / "trust.pem").write_bytes(trust)
            words += ("--trust", self.stack.dir / "trust.pem")
        return self.stack.cli("cert", "set", name, "--chain", path, *words, check=check, **options)

    def file(self, name, file):
        return (self.tls / name / file).read_bytes()

    def listed(self, **options):
        return json.loads(self.stack.cli("cert", "list", "--json", **options).stdout)

    def shown(self, name, **options):
        return json.loads(self.stack.cli("cert", "show", name, "--json", **options).stdout)

    def log(self, event=None):
        with self.stack.peer(ADMIN) as admin:
            return lines(exported(admin), event)

    def journal(self):
        return self.stack.log_path.read_text()


@contextlib.contextmanager
def site(*algorithms, **options):
    with ready(*(algorithms or ("p256",)), **options) as stack:
        yield Site(stack)


def identity(peer, name, member, signature="a{sv}", *args):
    return peer.call(f"{PATH}/identity/{path_encode(name)}", NAME + ".Identity", member, signature, *(args or ({},)))


# Files


def test_the_files_of_each_layout_are_there_and_hold_no_secret():
    with site("p256", "rsa3072") as s:
        leaf = s.leaf("device-p256")
        s.set("device-p256", leaf + s.inter.pem, "--pin", PIN, trust=s.root.pem)
        assert s.file("device-p256", "cert.pem") == leaf and s.file("device-p256", "chain.pem") == s.inter.pem
        assert s.file("device-p256", "fullchain.pem") == leaf + s.inter.pem and s.file("device-p256", "ca.pem") == s.root.pem
        reference = s.file("device-p256", "key.pem")
        assert reference == s.stack.cli("key", "reference", "device-p256").stdout and b"Not a secret" in reference
        assert s.file("device-p256", "bundle.pem") == leaf + s.inter.pem + reference
        assert s.file("device-p256", "pins.txt") == PIN.encode() + b"\n"
        assert sorted(os.listdir(s.tls / "device-p256")) == ["bundle.pem", "ca.pem", "cert.pem", "chain.pem", "fullchain.pem",
                                                             "key.pem", "pins.txt"]
        for path in [s.tls / "device-p256" / f for f in os.listdir(s.tls / "device-p256")]:
            assert path.stat().st_mode & 0o777 == 0o644 and path.stat().st_uid == DAEMON and b"PRIVATE" not in path.read_bytes()
        assert (s.tls / "device-p256/").stat().st_mode & 0o777 == 0o755
        s.set("device-rsa3072", s.chain("device-rsa3072"), "--layout", "local", trust=s.root.pem)
        assert {"local.crt", "local.key", "ca.crt"} < set(os.listdir(s.tls / "device-rsa3072"))
        s.set("device-rsa3072", s.chain("device-rsa3072"), "--layout", "named")
        there = set(os.listdir(s.tls / "device-rsa3072"))
        assert {"device-rsa3072.crt", "device-rsa3072.key", "fingerprint.txt"} < there
        assert not there & {"local.crt", "ca.crt", "ca.pem", "pins.txt"}
        printed = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True,
                                 input=s.file("device-rsa3072", "cert.pem")).stdout
        assert printed.strip().endswith(s.file("device-rsa3072", "fingerprint.txt").strip())


def test_a_chain_is_written_in_order_and_without_what_was_around_it():
    with site() as s:
        first = s.root.under("first")
        second = first.under("second")
        leaf = s.leaf("device-p256", issuer=second)
        s.set("device-p256", b"for people\n" + leaf + b"more\n" + first.pem + s.root.pem + second.pem)
        assert s.file("device-p256", "fullchain.pem") == leaf + second.pem + first.pem + s.root.pem


def test_an_identity_may_have_another_name_than_its_key_and_be_changed():
    with site("p256", "p384") as s:
        s.set("web", s.chain("device-p256"), "--key", "device-p256")
        uuid = s.shown("web")["key-uuid"]
        before = s.shown("web")
        s.set("web", s.chain("device-p384"), "--key", "device-p384", "--layout", "named")
        after = s.shown("web")
        assert (after["key"], after["layout"], after["version"]) == ("device-p384", "named", 2)
        assert after["created"] == before["created"] < after["changed"] and after["fingerprint"] != before["fingerprint"]
        s.set("web", s.chain("device-p256"), "--key", uuid)
        assert [(i["name"], i["key"], i["state"]) for i in s.listed()] == [("web", "device-p256", "valid")]
        assert s.shown("web")["chain"].encode() == s.file("web", "fullchain.pem")
        assert [r["identity"] for r in s.log("cert.set")] == ["web"] * 3


def test_a_removed_one_takes_its_files_along_and_leaves_the_key():
    with site() as s, s.stack.peer(ADMIN) as admin:
        s.set("device-p256", s.chain("device-p256"))
        assert refusal(admin.destroy, "device-p256").name == "KeyInUse"
        s.stack.cli("cert", "remove", "device-p256", "--yes")
        assert os.listdir(s.tls) == [] and s.listed() == []
        assert s.stack.cli("cert", "remove", "device-p256", "--yes", check=False).returncode == 3
        assert signature_is_good(admin.public_key("device-p256"), b"still", admin.sign("device-p256", b"still"))
        removed = s.log("cert.removed")
        assert [(r["identity"], r["name"]) for r in removed] == [("device-p256", "device-p256")]
        admin.destroy("device-p256")


def test_the_command_says_what_is_there():
    with site() as s:
        s.set("device-p256", s.chain("device-p256"), "--pin", PIN)
        table = s.stack.cli("cert", "list").stdout.decode().splitlines()
        assert table[0].split()[:3] == ["NAME", "KEY", "ISSUER"] and table[1].split()[:4] == ["device-p256", "device-p256", "manual", "valid"]
        text = s.stack.cli("cert", "show", "device-p256").stdout.decode()
        assert PIN in text and "Not after" in text and "BEGIN" not in text
        assert s.listed() and not json.loads(s.stack.cli("cert", "list", "nothing*", "--json").stdout)
        assert s.stack.cli("cert", "show", "nothing", check=False).returncode == 3


def test_lists_come_in_pages():
    with site() as s, s.stack.peer(ADMIN) as admin:
        for name in "e", "a", "d", "b", "c":
            s.set(name, s.chain("device-p256"), "--key", "device-p256")
        found, after = [], ""
        while True:
            page, after = admin.manager("ListIdentities", "a{sv}", variants({"limit": 2, "after": after}))
            found += [plain(i)["name"] for i in page]
            if not after:
                break
        assert found == ["a", "b", "c", "d", "e"]
        assert refusal(admin.manager, "ListIdentities", "a{sv}", variants({"limit": 0})).name == "InvalidArgs"
        assert refusal(admin.manager, "ListIdentities", "a{sv}", variants({"colour": "red"})).name == "InvalidArgs"


# What is refused


def refused(s, name, chain, *words, finding=None, error="CertificateUnusable", **options):
    done = s.set(name, chain, *words, check=False, **options)
    assert done.returncode and error.encode() in done.stderr, done
    assert finding is None or f"({finding})".encode() in done.stderr, done
    return done


def test_what_cannot_be_used_is_refused_by_its_finding_and_changes_nothing():
    with site("p256", "p384") as s:
        other = Authority("other")
        key = "device-p256"
        good = s.chain(key)
        s.set(key, good)
        refused(s, key, s.chain("device-p384"), finding="key-mismatch")
        refused(s, key, s.leaf(key, since=-5, days=-1) + s.inter.pem, finding="expired")
        refused(s, key, s.leaf(key) + Authority("old", issuer=s.root, since=-9, days=-1).pem, finding="untrusted")
        refused(s, key, s.leaf(key) + other.pem, finding="untrusted")
        forged = Certificate(build(key, None, s.inter, public=s.public(key), signer=spare_key("p256", "forger")), None).pem
        refused(s, key, forged + s.inter.pem, finding="bad-signature")
        refused(s, key, s.inter.pem + s.leaf(key), finding="key-mismatch")
        for nothing in b"", b"no certificate", good[:-200], good.replace(b"M", b"*", 1):
            refused(s, key, nothing, finding="malformed")
        refused(s, key, good, trust=b"nothing to trust", finding="malformed")
        refused(s, key, s.leaf(key) + b"".join(Authority(f"i{n}", issuer=s.root).pem for n in range(16)))
        assert s.file(key, "fullchain.pem") == good and len(s.log("cert.set")) == 1
        told = [line for line in s.journal().splitlines() if line.startswith("cert set: identity=")]
        assert any(line == f"cert set: identity={key} finding=expired" for line in told), told
        assert "CN" not in "".join(told) and "BEGIN" not in "".join(told)


def test_a_private_key_beside_the_chain_never_leaves_the_command():
    with site() as s:
        done = refused(s, "device-p256", s.chain("device-p256") + Authority("leak").key_pem, error="Usage")
        assert done.returncode == 2 and b"private key" in done.stderr
        with s.stack.peer(ADMIN) as admin:
            pem = s.chain("device-p256") + Authority("leak").key_pem
            assert refusal(admin.manager, "SetCertificate", "saya{sv}", "device-p256", pem, {}).name == "CertificateUnusable"


def test_what_should_be_known_is_a_warning():
    with site() as s:
        key = "device-p256"
        for chain, trust, word in ((s.chain(key, since=2, days=9), None, b"not-yet-valid"),
                                   (s.chain(key, eku=("code-signing",)), None, b"wrong-usage"),
                                   (s.chain(key), Authority("other").pem, b"untrusted")):
            done = s.set(key, chain, trust=trust)
            assert b"Warning: " in done.stderr and word in done.stderr, (word, done.stderr)
        assert b"Warning" not in s.set(key, s.chain(key), trust=s.root.pem).stderr
        s.set(key, s.chain(key, since=2, days=9))
        assert s.listed()[0]["state"] == "not-yet-valid"


def test_arguments_beyond_their_bounds_are_refused():
    with site() as s, s.stack.peer(ADMIN) as admin:
        good = s.chain("device-p256")

        def set_it(name="device-p256", pem=good, **options):
            return refusal(admin.manager, "SetCertificate", "saya{sv}", name, pem, variants(options)).name
        for pin in "sha256//", "sha256//AAAA", PIN[:-1], PIN + ";" + PIN, "sha1//" + PIN[8:], PIN.replace("sha256", "SHA256"):
            assert set_it(pins=[pin]) == "InvalidArgs", pin
        assert set_it(pins=[PIN[:-3] + f"{n:x}" + PIN[-2:] for n in range(17)]) == "InvalidArgs"
        assert set_it(layout="flat") == set_it(colour="red") == "InvalidArgs"
        named_ca = refusal(admin.manager, "SetCertificate", "saya{sv}", "ca", good, variants({"key": "device-p256", "layout": "named"}))
        assert named_ca.name == "InvalidArgs" and "ca.crt" in str(named_ca)
        assert set_it(name="../up") == set_it(name="") == set_it(key="../up") == "InvalidName"
        assert set_it(name="nothing") == set_it(key="nothing") == "NoSuchKey"
        anchors = b"".join(Authority(f"anchor {n}", key=spare_key("p256", "anchor")).pem for n in range(90))
        assert len(anchors) > 49152 and set_it(trust=anchors) == "LimitExceeded"
        admin.create("mac", "hmac-sha256")
        assert set_it(key="mac") == "NotSupported"
        assert s.listed() == []


# Who may


def test_policy_decides_by_the_key_and_by_the_name():
    need_root()
    rules = default_rules() + (f"allow user={ALICE} key=device-* op=cert-set\nallow user={ALICE} op=list\n"
                               f"allow user={BOB} op=list\nallow user={MALLORY} op=list\n")
    with site("p256", rules=rules) as s:
        chain = s.chain("device-p256")
        with s.stack.peer(ADMIN) as admin:
            admin.create("other", "p256")
        s.set("device-p256", chain, uid=ALICE)
        s.set("device-two", chain, "--key", "device-p256", uid=ALICE)
        assert b"PolicyDenied" in s.set("web", chain, "--key", "device-p256", uid=ALICE, check=False).stderr
        assert b"NoSuchKey" in s.set("device-p256", chain, "--key", "other", uid=ALICE, check=False).stderr
        assert b"PolicyDenied" in s.stack.cli("cert", "remove", "device-two", "--yes", uid=ALICE, check=False).stderr
        assert b"PolicyDenied" in s.set("device-p256", chain, uid=BOB, check=False).stderr
        assert [i["name"] for i in s.listed(uid=BOB)] == ["device-p256", "device-two"] and s.listed(uid=MALLORY) == []
        with s.stack.peer(MALLORY) as mallory:
            hidden, absent = (refusal(identity, mallory, n, "Describe") for n in ("device-two", "device-six"))
            assert hidden.name == absent.name == "NoSuchIdentity"
            assert hidden.sentence.replace("two", "six") == absent.sentence
            assert refusal(identity, mallory, "device-two", "RemoveCertificate").name == "NoSuchIdentity"
        denied = [(r["wanted"], r["uid"]) for r in s.log("denied")]
        assert ("cert-set", BOB) in denied and ("cert-remove", MALLORY) in denied


def test_properties_say_what_the_description_says():
    with site() as s, s.stack.peer(ADMIN) as admin:
        s.set("web.1", s.chain("device-p256"), "--key", "device-p256")
        d = plain(identity(admin, "web.1", "Describe"))
        path = f"{PATH}/identity/{path_encode('web.1')}"
        p = plain(admin.call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", NAME + ".Identity"))
        assert (p["Name"], p["Key"], p["Issuer"], p["State"]) == (d["name"], d["key-uuid"], "manual", "valid")
        assert p["NotAfter"] == d["not-after"] and p["Chain"] == d["chain"]
        value = admin.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", NAME + ".Identity", "Layout")
        assert value == ("s", "pem")


# Programs


def test_nginx_and_curl_use_the_files_as_they_lie_there():
    need("nginx", "curl")
    with site("p256", "rsa3072") as s:
        p = Party(s.stack)
        s.set("device-rsa3072", s.chain("device-rsa3072", eku=("server",)), trust=s.root.pem)
        s.set("client", s.chain("device-p256", eku=("client",)), "--key", "device-p256", "--layout", "named", trust=s.root.pem)
        p.ca = s.tls / "client/ca.pem"
        server = s.tls / "device-rsa3072/fullchain.pem", s.tls / "device-rsa3072/key.pem"
        with nginx(p, server) as (url, _):
            for pair in ("fullchain.pem", "key.pem"), ("bundle.pem", "bundle.pem"), ("client.crt", "client.key"):
                assert b"CN=device-p256" in curl(p, url, tuple(s.tls / "client" / f for f in pair)).stdout
            with p.dir.joinpath("body").open("wb") as body:
                body.write(b"data")
            done = p.run("curl", "-sS", "-X", "POST", url, "--cert", s.tls / "client/client.crt", "--key", s.tls / "client/client.key",
                         "--cacert", s.tls / "client/ca.crt", "--noproxy", "*", "-d", f"@{p.dir}/body")
            assert b"CN=device-p256" in done.stdout


def test_a_program_in_a_loop_never_finds_a_torn_pair_while_certificates_are_changed():
    need("nginx", "curl")
    with site("p256", "p384", "rsa3072") as s:
        p = Party(s.stack)
        s.set("device-rsa3072", s.chain("device-rsa3072"), trust=s.root.pem)
        pairs = [(k, s.chain(k)) for k in ("device-p256", "device-p384")]
        s.set("client", pairs[0][1], "--key", pairs[0][0], trust=s.root.pem)
        bundles = {chain + s.stack.cli("key", "reference", key).stdout for key, chain in pairs}
        p.ca = s.tls / "client/ca.pem"
        stop, torn, reads = threading.Event(), [], []

        def read():
            while not stop.is_set():
                content = (s.tls / "client/bundle.pem").read_bytes()
                reads.append(1)
                if content not in bundles:
                    torn.append(content)
        thread = threading.Thread(target=read)
        thread.start()
        try:
            with nginx(p, (s.tls / "device-rsa3072/bundle.pem", s.tls / "device-rsa3072/bundle.pem")) as (url, _):
                for i in range(12):
                    # what curl reads before and after is of one key: the chain alone is another
                    key, chain = pairs[i // 6]
                    s.set("client", chain if i % 2 else s.leaf(key) + s.inter.pem, "--key", key, trust=s.root.pem)
                    bundles.add(s.file("client", "bundle.pem"))
                    done = curl(p, url, (s.tls / "client/bundle.pem",) * 2)
                    assert f"CN={key}".encode() in done.stdout, done
        finally:
            stop.set()
            thread.join()
        assert reads and not [t for t in torn if t not in bundles]


# The store and the files


def test_the_files_stay_while_the_store_is_locked_and_programs_start():
    with site() as s:
        s.set("device-p256", s.chain("device-p256"), trust=s.root.pem)
        before = s.file("device-p256", "bundle.pem")
        inode = (s.tls / "device-p256/").stat().st_ino
        s.stack.cli("lock")
        s.stack.wait_state("locked")
        assert s.file("device-p256", "bundle.pem") == before
        s.stack.cli("unlock")
        assert (s.tls / "device-p256/").stat().st_ino == inode and not s.log("tls.rewritten")
        s.stack.restart()
        assert s.file("device-p256", "bundle.pem") == before and (s.tls / "device-p256/").stat().st_ino == inode


def test_what_somebody_wrote_there_is_put_right_at_the_next_opening_and_recorded():
    with site("p256", "p384") as s:
        s.set("device-p256", s.chain("device-p256"), trust=s.root.pem)
        s.set("device-p384", s.chain("device-p384"))
        good = s.file("device-p256", "ca.pem")
        s.stack.cli("lock")
        (s.tls / "device-p256/ca.pem").write_bytes(Authority("mallory").pem)
        (s.tls / "device-p384").unlink()
        subprocess.run(["ln", "-s", os.readlink(s.tls / "device-p256").replace("device-p256", "stranger"), s.tls / "stranger"], check=True)
        s.stack.cli("unlock")
        assert s.file("device-p256", "ca.pem") == good and s.file("device-p384", "cert.pem")
        assert not os.path.lexists(s.tls / "stranger")
        assert [(r["identity"], r["reason"]) for r in s.log("tls.rewritten")] == [
            ("device-p256", "changed"), ("device-p384", "missing"), ("stranger", "no identity")]
        assert "device-p256 were not as the store says (changed)" in s.journal()


def test_a_directory_in_the_place_of_an_identity_is_moved_aside():
    with site() as s:
        for again in False, True:
            if again:
                (s.tls / "device-p256").unlink()
            (s.tls / "device-p256").mkdir(mode=0o700)
            (s.tls / "device-p256/mine").write_text("words")
            s.set("device-p256", s.chain("device-p256"))
            assert s.file("device-p256", "cert.pem")
        aside = sorted(n for n in os.listdir(s.tls) if ".replaced-" in n)
        assert len(aside) == 2 and all((s.tls / a / "mine").read_text() == "words" for a in aside), aside
        assert f"it is {aside[0]} now" in s.journal()
        s.stack.cli("cert", "remove", "device-p256", "--yes")
        assert sorted(os.listdir(s.tls)) == aside


def test_a_directory_that_cannot_be_written_refuses_before_anything_is_done():
    with site() as s:
        s.set("device-p256", s.chain("device-p256"))
        before = s.shown("device-p256")
        (s.stack.dir / "state-tls").rename(s.stack.dir / "gone")
        done = s.set("device-p256", s.chain("device-p256"), check=False)
        assert done.returncode and b"Nothing was changed" in done.stderr and s.shown("device-p256") == before
        (s.stack.dir / "gone").rename(s.stack.dir / "state-tls")
        (s.stack.dir / "state-tls").chmod(0o777)
        assert b"StoreUnsafe" in s.set("device-p256", s.chain("device-p256"), check=False).stderr
        (s.stack.dir / "state-tls").chmod(0o755)
        s.set("device-p256", s.chain("device-p256"))
        assert [r["event"] for r in s.log() if r["event"].startswith("cert.")] == ["cert.set"] * 2


def test_a_backup_and_a_rekey_carry_identities():
    with site() as s:
        s.set("web", s.chain("device-p256"), "--key", "device-p256", "--pin", PIN, trust=s.root.pem)
        shown, bundle = s.shown("web"), s.file("web", "bundle.pem")
        s.stack.cli("rekey", "--slot", "credential", "--unattended", "--yes")
        assert s.shown("web") == shown and s.file("web", "bundle.pem") == bundle
        backup = s.stack.dir / "backup"
        s.stack.cli("backup", backup)
        s.stack.cli("cert", "remove", "web", "--yes")
        s.stack.stop()
        state = s.stack.state
        state.rename(s.stack.dir / "aside")
        s.stack.start()
        s.stack.cli("restore", backup, "--yes")
        s.stack.wait_state("ready")
        assert s.shown("web") == shown and s.file("web", "bundle.pem") == bundle
        assert [(r["identity"], r["reason"]) for r in s.log("tls.rewritten")][-1:] == [("web", "missing")]


# Who looks after them


def findings(s, code="certificate"):
    done = s.stack.cli("doctor", "--json", check=False)
    return [(f["severity"], f["detail"], f["remedy"]) for f in json.loads(done.stdout) if f["code"] == code]


def test_an_identity_whose_key_was_retired_and_replaced_says_which_key_it_has():
    with site() as s, s.stack.peer(ADMIN) as admin:
        s.set("web", s.chain("device-p256"), "--key", "device-p256")
        old = admin.describe("device-p256")["uuid"]
        s.stack.cli("key", "disable", "device-p256")
        assert [i["state"] for i in s.listed()] == ["key-unusable"]
        assert [remedy for _, detail, remedy in findings(s) if "disabled" in detail] == ["holdfast key enable device-p256"]
        s.stack.cli("lock")
        s.stack.cli("unlock")
        assert "identity=web finding=key-unusable" in s.journal()
        s.stack.cli("key", "enable", "device-p256")
        s.stack.cli("key", "retire", "device-p256")
        admin.create("device-p256", "p256")
        assert [(i["key"], i["key-uuid"], i["state"]) for i in s.listed()] == [(old, old, "key-retired")]
        assert old.encode() in s.stack.cli("cert", "list").stdout and s.shown("web")["key"] == old
        (severity, detail, remedy), = [f for f in findings(s) if "retired" in f[1]]
        assert severity == "warning" and "holdfast key csr" in remedy and "holdfast cert set web" in remedy, (detail, remedy)
        assert s.stack.cli("key", "show", s.listed()[0]["key"])
        s.set("web", s.chain("device-p256"), "--key", "device-p256")
        assert [(i["key"], i["state"]) for i in s.listed()] == [("device-p256", "valid")]


def test_doctor_names_each_identity_in_trouble_and_what_to_do():
    with site("p256", "p384") as s, s.stack.peer(ADMIN) as admin:
        assert findings(s) == []
        s.set("good", s.chain("device-p256"), "--key", "device-p256", trust=s.root.pem)
        [(severity, detail, _)] = findings(s)
        assert severity == "ok" and detail.startswith("1 identity is in order")
        s.set("soon", s.chain("device-p256", days=20), "--key", "device-p256")
        s.set("late", s.chain("device-p256", days=3), "--key", "device-p256")
        s.set("early", s.chain("device-p256", since=2, days=90), "--key", "device-p256")
        s.set("off", s.chain("device-p384"), "--key", "device-p384")
        admin.key("device-p384", "Disable")
        (s.tls / "good/ca.pem").unlink()
        found = {detail.split(":")[0].removeprefix("identity "): (severity, detail, remedy) for severity, detail, remedy in findings(s)}
        assert set(found) == {"good", "soon", "late", "early", "off"}
        assert found["soon"][0] == "warning" and "expires in 19 days" in found["soon"][1] and "cert set soon" in found["soon"][2]
        assert found["late"][0] == "error" and "(not-yet-valid)" in found["early"][1] and "disabled" in found["off"][1]
        assert "not as the store says" in found["good"][1]
        for command in found["good"][2].split("; "):
            s.stack.cli(*command.split()[1:])
        assert "good" not in str(findings(s))
        (s.stack.dir / "state-tls").chmod(0o777)
        assert any("state-tls" in detail and "chmod 755" in remedy for _, detail, remedy in findings(s, "files"))


def test_a_certificate_that_expires_is_told_in_the_list_by_doctor_and_at_the_next_opening():
    with site() as s:
        s.set("web", s.chain("device-p256", days=datetime.timedelta(seconds=(datetime.datetime.utcnow() - NOW).seconds + 2) / DAY),
              "--key", "device-p256")
        wait_for(lambda: s.listed()[0]["state"] == "expired", "the last second")
        assert [(severity, "(expired)" in detail) for severity, detail, _ in findings(s)] == [("error", True)]
        s.stack.restart()
        s.stack.wait_state("ready")
        assert s.file("web", "cert.pem") and "identity=web finding=expired" in s.journal()


def test_who_owns_the_certificate_of_a_lost_key_is_told():
    need("swtpm")
    with Stack(bus=False, tpm=True) as stack:
        stack.init()
        s = Site(stack)
        stack.cli("key", "create", "device-tpm", "--protection", "tpm")
        stack.cli("key", "create", "device-soft")
        s.set("telemetry", s.chain("device-tpm"), "--key", "device-tpm")
        s.set("web", s.chain("device-soft"), "--key", "device-soft")
        backup = stack.dir / "backup"
        stack.cli("backup", backup)
        stack.tpm.clear()
        stack.restart()
        stack.wait_state("foreign")
        state = stack.dir / "as it was"
        stack.stop()
        subprocess.run(["cp", "-a", stack.state, state], check=True)
        stack.start()
        stack.wait_state("foreign")
        restored = json.loads(stack.cli("restore", backup, "--yes", "--json").stdout)
        assert restored["identities-lost"] == ["telemetry"], restored
        stack.stop()
        subprocess.run(["rm", "-rf", stack.state], check=True)
        state.rename(stack.state)
        stack.start()
        stack.wait_state("foreign")
        said = stack.cli("recover", "--yes").stderr.decode()
        assert "identity telemetry" in said and "web" not in said
        stack.wait_state("ready")
        assert stack.status()["identities-lost"] == ["telemetry"] and stack.status()["identities"] == 2
        assert [r["identities"] for r in s.log("key.lost")] == ["telemetry"]
        assert {i["name"]: i["state"] for i in s.listed()} == {"telemetry": "key-lost", "web": "valid"}
        assert any("identity telemetry: its key was in a TPM" in detail for _, detail, _ in findings(s))
        assert b"KeyLost" in s.set("telemetry", s.chain("device-tpm"), "--key", "device-tpm", check=False).stderr
        stack.cli("cert", "remove", "telemetry", "--yes")
        assert "identities-lost" not in stack.status()


if __name__ == "__main__":
    case.main()
