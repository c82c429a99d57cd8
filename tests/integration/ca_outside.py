#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Intermediates whose root is elsewhere: the request that goes out, the certificates that are taken and those that are not, with a
root that stock openssl made and stock openssl as judge.
"""
import subprocess

import case
from ca import authority, issue, make_request, number, published, revoke, running, sample
from judge import exported, lines
from peer import plain, refusal, variants
from stack import ADMIN, wait_for
from sweep import Operation, sweep

CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid")


def openssl(*words, input=None):
    return subprocess.run(["openssl", *map(str, words)], input=input, capture_output=True, check=True).stdout


class Outside:
    """A CA of somebody else."""
    def __init__(self, directory, name="outside", *extensions, parent=None):
        self.dir, self.name, self.parent = directory, name, parent
        self.key, self.pem = directory / f"{name}.key", directory / f"{name}.pem"
        words = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", self.key, "-subj", f"/O=Group/CN={name}"]
        if parent:
            self.pem.write_bytes(parent.sign(openssl(*words), *(extensions or CA)))
        else:
            config = directory / "root.config"
            config.write_text("[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\n" + "\n".join(extensions or CA[:3]) + "\n")
            openssl(*words, "-x509", "-days", "3000", "-out", self.pem, "-config", config)

    def sign(self, csr, *extensions, days=900, more=()):
        file = self.dir / "extensions"
        file.write_text("\n".join(extensions or CA) + "\n")
        return openssl("x509", "-req", "-CA", self.pem, "-CAkey", self.key, "-days", days, "-extfile", file, *more, input=csr)

    def above(self):
        return self.pem.read_bytes() + (self.parent.above() if self.parent else b"")

    def crl(self):
        (self.dir / "index").write_text("")
        (self.dir / "config").write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.dir}/index\ndefault_md=sha384\ndefault_crl_days=30\ncrl_extensions=e\n"
                                         "[e]\nauthorityKeyIdentifier=keyid\n")
        return openssl("ca", "-config", self.dir / "config", "-gencrl", "-cert", self.pem, "-keyfile", self.key, "-crlexts", "e")


def wait_ca(peer, name="plant", algorithm="p256"):
    return plain(peer.manager("CreateAuthority", "ssa{sv}", name, "intermediate", variants({"outside": True, "algorithm": algorithm})))


def csr(peer, name="plant", **options):
    return openssl("req", "-inform", "der", input=bytes(authority(peer, name, "CreateCsr", "a{sv}", variants(options))))


def take(peer, chain, name="plant"):
    return plain(authority(peer, name, "Import", "aya{sv}", chain, {}))


def judged(stack, leaf, root, lists, ca="plant"):
    (stack.dir / "lists.pem").write_bytes(published(stack, "crl.pem", ca).read_bytes() + b"".join(lists))
    words = ("-CAfile", root, "-untrusted", published(stack, "chain.pem", ca), "-CRLfile", stack.dir / "lists.pem", leaf)
    return subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", *map(str, words)], capture_output=True, text=True)


def test_request_out_certificate_in_issue_revoke_by_the_command():
    with running(made=False) as (stack, admin):
        outside, run = Outside(stack.dir), stack.cli
        request, chain, leaf = stack.dir / "plant.csr", stack.dir / "plant.pem", stack.dir / "leaf.pem"
        run("ca", "init", "intermediate", "--name", "plant", "--set", "O=Example", "--set", "CN=Plant", "--csr", request)
        text = openssl("req", "-in", request, "-noout", "-text", "-verify").decode()
        assert "O = Example, CN = Plant" in text and "CA:TRUE" in text and "Certificate Sign, CRL Sign" in text
        assert plain(authority(admin, "plant", "Describe"))["state"] == "waiting"
        device = stack.dir / "device.csr"
        make_request(device)
        refused = run("ca", "issue", device, "--ca", "plant", check=False)
        assert refused.returncode == 3 and b"CaNotInitialised" in refused.stderr and b"holdfast ca import plant" in refused.stderr, refused
        chain.write_bytes(outside.sign(request.read_bytes()) + outside.above())
        run("ca", "import", "plant", chain)
        assert plain(authority(admin, "plant", "Describe"))["state"] == "active"
        run("ca", "issue", device, "--ca", "plant", "--device-id", "pump-7", "-o", leaf)
        assert judged(stack, leaf, outside.pem, [outside.crl()]).returncode == 0
        trust = ("--trust", published(stack, "ca.pem", "plant"))
        assert published(stack, "ca.pem", "plant").read_bytes() == outside.pem.read_bytes()
        assert run("verify", leaf, *trust).returncode == 0
        run("verify", leaf, *trust, "--crl", stack.dir / "lists.pem")
        run("ca", "revoke", "pump-7", "--ca", "plant", "--reason", "keyCompromise", "--yes")
        said = judged(stack, leaf, outside.pem, [outside.crl()])
        assert said.returncode and "revoked" in said.stderr, said
        assert run("verify", leaf, *trust, "--crl", stack.dir / "lists.pem", check=False).returncode == 10
        events = [e["event"] for e in lines(exported(admin))]
        assert events.index("ca.wait") < events.index("ca.csr") < events.index("ca.import") < events.index("ca.issue")


def test_two_cas_above_and_one_below_that_is_ours():
    with running(made=False) as (stack, admin):
        top = Outside(stack.dir, "top")
        middle = Outside(stack.dir, "middle", parent=top)
        wait_ca(admin, algorithm="rsa3072")
        take(admin, middle.sign(csr(admin, set=["CN=Plant"])) + top.above() + middle.pem.read_bytes())  # in any order
        assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "plant", "intermediate", variants({"set": ["CN=x"]})).name == "CaExists"
        admin.manager("CreateAuthority", "ssa{sv}", "line", "intermediate", variants({"set": ["CN=Line"], "parent": "plant", "algorithm": "p256"}))
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"), ca="line")["chain"])
        assert leaf.read_text().count("BEGIN CERTIFICATE") == 4
        judge = judged(stack, leaf, top.pem, [top.crl(), middle.crl()], ca="line")
        assert judge.returncode == 0, judge


def test_certificates_that_do_not_hold_are_refused_by_name_and_the_ca_goes_on_waiting():
    def other(*words):
        return openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=Plant", *words)

    with running(made=False) as (stack, admin):
        outside, narrow = Outside(stack.dir), Outside(stack.dir, "narrow", "basicConstraints=critical,CA:TRUE,pathlen:0", *CA[1:3])
        unsigned = Outside(stack.dir, "stranger")
        wait_ca(admin)
        asked = csr(admin, set=["CN=Plant"])
        good = outside.sign(asked)
        above = outside.above()
        cases = [
            (outside.sign(other()) + above, "key-mismatch"),
            (outside.sign(asked, "basicConstraints=critical,CA:FALSE", *CA[1:]) + above, "no certificate of a CA"),
            (outside.sign(asked, CA[0], "keyUsage=critical,cRLSign", *CA[2:]) + above, "no certificate of a CA"),
            (outside.sign(asked, CA[0], "keyUsage=critical,keyCertSign", *CA[2:]) + above, "cRLSign"),
            (outside.sign(asked, CA[0], *CA[2:]) + above, "cRLSign"),
            (good, "does not reach its root"),
            (good + unsigned.above(), "untrusted"),
            (good + above + unsigned.above(), "does not belong"),
            (above + good, "does not belong"),
            (narrow.sign(asked) + narrow.above(), "path length"),
            (outside.sign(asked, days=-1) + above, "expired"),
            (outside.sign(asked, *CA, "1.2.3.4=critical,ASN1:NULL") + above, "bad-chain"),
            (outside.sign(asked, *CA[:2], CA[3], "subjectKeyIdentifier=none") + above, "bad-chain"),
            (openssl("x509", "-req", "-signkey", outside.key, "-days", "10", input=asked), ""),
            (good[:300], "malformed"),
            (b"", "malformed"),
            (outside.key.read_bytes() + good + above, "malformed"),
            (b"x" * 70000, "malformed"),
        ]
        for chain, word in cases:
            said = refusal(take, admin, chain)
            assert said.name == "CertificateUnusable" and word in said.sentence, (word, said)
            assert "othing was" in said.sentence, said
        assert plain(authority(admin, "plant", "Describe"))["state"] == "waiting"
        assert refusal(issue, admin, make_request(stack.dir / "r.csr"), ca="plant").name == "CaNotInitialised"
        assert refusal(revoke, admin, "x", ca="plant").name in ("CaNotInitialised", "NoSuchCertificate")
        assert not published(stack, "crl.pem", "plant").exists()
        below = refusal(admin.manager, "CreateAuthority", "ssa{sv}", "below", "intermediate", variants({"set": ["CN=x"], "parent": "plant"}))
        assert below.name == "CaNotInitialised" and "waits" in below.sentence, below
        assert refusal(csr, admin, set=["GN=x"]).name == "RequestRefused"
        assert refusal(csr, admin).name == "RequestRefused"  # no CN
        assert refusal(csr, admin, set=["CN=x"], ip=["300.1"]).name == "RequestRefused"
        named = openssl("req", "-noout", "-text", input=csr(admin, set=["CN=x"], uri=["https://ca.example"])).decode()
        assert "URI:https://ca.example" in named
        for options in ({"set": ["CN=x"]}, {"days": 4}, {"path-length": 0}):
            assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "y", "intermediate", variants({"outside": True, **options})).name == "InvalidArgs"
        assert refusal(admin.manager, "CreateAuthority", "ssa{sv}", "y", "root", variants({"outside": True})).name == "InvalidArgs"
        take(admin, good + above)
        events = [e["event"] for e in lines(exported(admin))]
        assert events.count("ca.import") == 1 and events.count("ca.wait") == 1


def test_a_ca_of_our_own_root_takes_no_certificate_and_asks_for_none():
    with running() as (stack, admin):
        outside = Outside(stack.dir)
        for name in ("root", "intermediate"):
            assert refusal(csr, admin, name, set=["CN=x"]).name == "CaExists"
            assert refusal(take, admin, outside.above(), name).name == "CaExists"
        assert refusal(wait_ca, admin, "intermediate").name == "CaExists"


def test_the_next_certificate_keeps_subject_and_key_and_what_was_issued_goes_on():
    with running(made=False) as (stack, admin):
        outside = Outside(stack.dir)
        wait_ca(admin)
        take(admin, outside.sign(csr(admin, set=["CN=Plant"]), days=20) + outside.above())
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"), ca="plant")["chain"])
        before = number(admin, "plant")
        assert wait_ca(admin)["state"] == "active"
        again = csr(admin)
        said = refusal(csr, admin, set=["CN=Other"])
        assert said.name == "RequestRefused" and "subject" in said.sentence
        assert "subject" in refusal(take, admin, outside.sign(again, more=("-subj", "/CN=Other")) + outside.above()).sentence
        told = take(admin, outside.sign(again, days=700) + outside.above())
        assert told["not-after"] - told["not-before"] > 600 * 86400 * 10**6 and number(admin, "plant") > before
        assert judged(stack, leaf, outside.pem, [outside.crl()]).returncode == 0


class Import(Operation):
    def setup(self):
        super().setup()
        self.outside = Outside(self.stack.dir)

    def prepare(self):
        self.number += 1
        self.name = f"plant-{self.number}"
        with self.stack.peer(ADMIN) as admin:
            wait_ca(admin, self.name)
            self.chain = self.outside.sign(csr(admin, self.name, set=["CN=Plant"])) + self.outside.above()

    def act(self, admin):
        take(admin, self.chain, self.name)

    def check(self, admin, state):
        found = plain(authority(admin, self.name, "Describe"))["state"]
        assert found == "active" or (found == "waiting" and not self.acknowledged), found
        if found == "waiting":
            assert not published(self.stack, "crl.pem", self.name).exists()
            take(admin, self.chain, self.name)
        wait_for(lambda: published(self.stack, "crl.pem", self.name).exists(), "the list to be published")
        leaf = self.stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(self.stack.dir / "r.csr"), ca=self.name)["chain"])
        judge = judged(self.stack, leaf, self.outside.pem, [self.outside.crl()], self.name)
        assert judge.returncode == 0, judge


def test_importing_killed_at_its_calls_takes_the_certificate_or_goes_on_waiting():
    sweep(Import, sample())


if __name__ == "__main__":
    case.main()
