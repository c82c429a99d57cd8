#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Answers about single certificates (ca ocsp): what the registry says, signed by a delegated signer whose key is in Holdfast, judged by
`openssl ocsp` as a client; who may not answer; what is answered to requests that are none.
"""
import base64
import contextlib
import json
import os
import pwd
import re
import subprocess
import sys
import textwrap
from urllib.parse import quote

import case
from ca import authority, create, issue, make_request, published, revoke, running, show, verdict
from judge import exported, lines
from peer import plain
from stack import MALLORY, SOURCE, default_rules

RESPONDER = {"set": ["CN=Example OCSP"], "profile": "ocsp"}


def openssl(*words, check=True, **options):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, check=check, timeout=60, **options)


class Site:
    """A CA with an identity that answers for it, and files of what it issued."""

    def __init__(self, stack, admin):
        self.stack, self.admin, self.dir = stack, admin, stack.dir
        self.issuer, self.root = published(stack, "chain.pem"), published(stack, "ca.pem")

    def signer(self, name="ocsp", algorithm="p256", ca="intermediate", **options):
        self.admin.create(name, algorithm)
        chain = self.dir / f"{name}.pem"
        chain.write_bytes(issue(self.admin, ca=ca, key=name, **{"name": name, **RESPONDER, **options})["chain"])
        self.stack.cli("cert", "set", name, "--chain", chain)

    def device(self, name, **options):
        path = self.dir / f"{name}.pem"
        path.write_bytes(issue(self.admin, make_request(self.dir / f"{name}.csr"), name=name, **options)["chain"])
        return path

    def request(self, *words, nonce=True):
        path = self.dir / "request.der"
        openssl("ocsp", "-reqout", path, *([] if nonce else ["-no_nonce"]), "-issuer", self.issuer, *words)
        return path

    def holdfast(self, *words, check=True, modules=None, **options):
        where = f"HOLDFAST_TLS={self.dir}/run/tls", f"OPENSSL_MODULES={modules or self.dir / 'bin/provider'}"
        return self.stack.run(["env", *where, self.stack.program("cli/holdfast"), *words], check=check, **options)

    def answer(self, request, *words, signer="ocsp", **options):
        return self.holdfast("ca", "ocsp", request, "--signer", signer, *words, **options)

    def verdict(self, response, *words, root=None):
        """What stock openssl makes of an answer as a client that trusts the root: with certificates their status, without them whether the
        nonce is that of the last request."""
        path = self.dir / "response.der"
        path.write_bytes(response)
        asked = ("-issuer", self.issuer, *words) if words else ("-reqin", self.dir / "request.der")
        done = openssl("ocsp", *asked, "-no_nonce", "-respin", path, "-CAfile", root or self.root, "-verify_other", self.issuer, check=False)
        return (done.stdout + done.stderr).decode()

    def asked(self, certificate, *words, root=None, **options):
        request = self.request("-cert", certificate)
        return self.verdict(self.answer(request, *words, **options).stdout, "-cert", certificate, root=root)


@contextlib.contextmanager
def site(signer=True, **options):
    with running(**options) as (stack, admin):
        s = Site(stack, admin)
        if signer:
            s.signer()
        yield s


def error(response):
    """The name of an answer without a signature."""
    said = openssl("ocsp", "-respin", "/dev/stdin", "-resp_text", "-noverify", input=response, check=False)
    return (said.stdout + said.stderr).decode()


def test_openssl_is_told_good_revoked_and_unknown():
    with site() as s:
        device, other = s.device("pump-7"), s.device("pump-8")
        said = s.asked(device)
        assert "Response verify OK" in said and f"{device}: good" in said and "nonce" not in said.lower(), said
        revoke(s.admin, "pump-7", "keyCompromise")
        said = s.asked(device)
        assert "Response verify OK" in said and f"{device}: revoked" in said and "Reason: keyCompromise" in said, said
        revoke(s.admin, "pump-8", "unspecified")
        said = s.asked(other)
        assert f"{other}: revoked" in said and "Reason" not in said and "Revocation Time" in said, said
        request = s.request("-serial", "0x1234567890")
        said = s.verdict(s.answer(request).stdout, "-serial", "0x1234567890")
        assert "Response verify OK" in said and "0x1234567890: unknown" in said, said


def test_a_hold_is_told_and_so_is_its_end():
    with site() as s:
        device = s.device("pump-7")
        revoke(s.admin, "pump-7", "certificateHold")
        assert "Reason: certificateHold" in s.asked(device)
        revoke(s.admin, "pump-7", "removeFromCRL")
        assert f"{device}: good" in s.asked(device)


def test_a_superseded_certificate_is_not_revoked_and_a_name_is_no_serial():
    with site() as s:
        device = s.device("pump-7")
        authority(s.admin, "intermediate", "Renew", "saya{sv}", "pump-7", b"", {})
        assert f"{device}: good" in s.asked(device)
        serial = "ab" * 16
        s.device(serial)
        assert show(s.admin, serial)["name"] == serial
        request = s.request("-serial", "0x" + serial)
        assert f"{serial}: unknown" in s.verdict(s.answer(request).stdout, "-serial", "0x" + serial)


def test_several_certificates_any_usual_hash_and_no_nonce_get_one_answer():
    with site() as s:
        good, bad = s.device("good"), s.device("bad")
        revoke(s.admin, "bad", "superseded")
        for digest in "sha1", "sha256", "sha384", "sha512":
            words = f"-{digest}", "-cert", good, f"-{digest}", "-cert", bad, f"-{digest}", "-serial", "0x77"
            said = s.verdict(s.answer(s.request(*words, nonce=False)).stdout, *words)
            assert "Response verify OK" in said and f"{good}: good" in said and f"{bad}: revoked" in said and "0x77: unknown" in said, said
        words = [w for _ in range(32) for w in ("-cert", good)]
        assert "Response verify OK" in s.verdict(s.answer(s.request(*words)).stdout, *words)


def test_every_algorithm_of_the_profile_answers():
    with site(signer=False) as s:
        device = s.device("pump-7")
        for algorithm in "p256", "p384", "rsa3072":
            s.signer(algorithm, algorithm)
            said = s.asked(device, signer=algorithm)
            assert "Response verify OK" in said and f"{device}: good" in said, (algorithm, said)


def test_an_answer_echoes_the_nonce_and_is_none_to_another_request():
    with site() as s:
        device = s.device("pump-7")
        response = s.answer(s.request("-cert", device)).stdout
        assert s.verdict(response).strip() == "Response verify OK"
        s.request("-cert", device)  # with a nonce of its own
        assert "Nonce Verify error" in s.verdict(response)
        altered = bytearray(response)
        altered[-1] ^= 1  # in the certificate of the signer
        assert "Response verify OK" not in s.verdict(bytes(altered), "-cert", device)


def test_an_answer_holds_for_so_many_hours_and_names_its_signer_by_key():
    with site() as s:
        device = s.device("pump-7")
        request = s.request("-cert", device)
        for words, hours in ((), 24), (("--hours", "1"), 1):
            path = s.dir / "answer.der"
            s.answer(request, *words, "-o", path)
            text = openssl("ocsp", "-respin", path, "-resp_text", "-noverify").stdout.decode()
            lines = dict(line.strip().partition(": ")[::2] for line in text.splitlines())
            dates = [subprocess.run(["date", "-d", lines[k], "+%s"], capture_output=True, text=True, check=True).stdout
                     for k in ("This Update", "Next Update")]
            assert int(dates[1]) - int(dates[0]) == hours * 3600, lines
            assert len(lines["Responder Id"]) == 40, lines
        assert json.loads(s.answer(request, "--json").stdout).keys() == {"response"}
        for hours in "0", "721", "x":
            assert s.answer(request, "--hours", hours, check=False).returncode == 2


def test_standard_input_and_output_are_enough_for_a_server():
    with site() as s:
        device = s.device("pump-7")
        request = s.request("-cert", device).read_bytes()
        done = s.answer("-", input=request)
        assert f"{device}: good" in s.verdict(done.stdout, "-cert", device) and not done.stderr


def test_a_request_in_the_path_of_a_get_is_read_in_every_usual_form():
    with site() as s:
        device = s.device("pump-7")
        text = base64.b64encode(s.request("-cert", device).read_bytes()).decode()
        lower = re.sub("%..", lambda escape: escape.group().lower(), quote(text, safe=""))
        for path in (text, "/" + text, quote(text, safe=""), "/" + lower):
            done = s.answer("-", input=path.encode())
            assert "Response verify OK" in s.verdict(done.stdout) and f"{device}: good" in s.verdict(done.stdout, "-cert", device), path
        for odd in ("/", "M", "/" + text[:-5], text + "=", text.replace("M", "%4", 1), "M%", "/M%2", "//" + text):
            assert "malformedrequest" in error(s.answer("-", input=odd.encode()).stdout), odd


def test_certificates_name_the_responder_and_the_list_of_their_profile():
    with site(signer=False) as s:
        plain_profile = (SOURCE / "ca/profiles/device.conf").read_text()
        guide = (SOURCE / "docs/ca.md").read_text()
        urls = textwrap.dedent(re.search(r"(    \S+-url = .*\n)+", guide).group())
        (s.dir / "profiles/device.conf").write_text(plain_profile + urls)
        device = s.device("pump-7", profile="device")
        text = openssl("x509", "-in", device, "-noout", "-text").stdout.decode()
        for place in ("OCSP - URI:http://ocsp.example/intermediate", "CA Issuers - URI:http://pki.example/intermediate.cer",
                      "URI:http://pki.example/intermediate.crl"):
            assert place in text, text
        assert verdict(s.stack, device, "-purpose", "sslclient").returncode == 0
        s.stack.cli("ca", "renew", "pump-7", "-o", device)
        assert openssl("x509", "-in", device, "-noout", "-ocsp_uri").stdout == b"http://ocsp.example/intermediate\n"
        (s.dir / "profiles/device.conf").write_text(plain_profile + "max-days = 400\n")
        done = s.stack.cli("ca", "renew", "pump-7", "--days", "401", check=False)
        assert b"profile device gives 400 days at most" in done.stderr and done.returncode != 0, done
        s.stack.cli("ca", "renew", "pump-7", "--days", "400", "-o", device)
        assert openssl("x509", "-in", device, "-noout", "-ocsp_uri").stdout == b""


def test_an_http_server_with_the_script_of_the_guide_answers_openssl():
    guide = (SOURCE / "docs/ca.md").read_text()
    script = textwrap.dedent(re.search(r"\n    #!/bin/sh\n(    .*\n)+", guide).group()).strip()
    with site() as s:
        device, scripts = s.device("pump-7"), s.dir / "cgi-bin"
        scripts.mkdir()
        (scripts / "ocsp").write_text(script + "\n")
        (scripts / "ocsp").chmod(0o755)
        nobody = pwd.getpwnam("nobody").pw_uid  # as whom that server runs its scripts
        s.stack.reload_rules(f"{default_rules()}allow user={nobody} key=intermediate op=ca-read\nallow user={nobody} key=ocsp op=describe,sign\n")
        environment = {**s.stack._environment(), "PATH": f"{s.dir}/bin/cli:{os.environ['PATH']}", "HOLDFAST_TLS": f"{s.dir}/run/tls",
                       "OPENSSL_MODULES": f"{s.dir}/bin/provider"}
        said_there = s.dir / "http.log"
        server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "--cgi", "--bind", "127.0.0.1", "0"], cwd=s.dir, env=environment,
                                  stdout=subprocess.PIPE, stderr=said_there.open("wb"), text=True)
        try:
            port = re.search(r"port (\d+)", server.stdout.readline())[1]
            words = ("ocsp", "-url", f"http://127.0.0.1:{port}/cgi-bin/ocsp", "-issuer", s.issuer, "-cert", device, "-CAfile", s.root,
                     "-verify_other", s.issuer, "-timeout", 20)
            said = openssl(*words)
            assert b"Response verify OK" in said.stderr and f"{device}: good".encode() in said.stdout, said
            revoke(s.admin, "pump-7", "keyCompromise")
            assert f"{device}: revoked".encode() in openssl(*words).stdout
            other, path = s.device("pump-8"), "//"
            for n in range(9, 99):  # that server makes one slash of two
                if "//" not in path:
                    break
                other = s.device(f"pump-{n}")
                path = base64.b64encode(s.request("-cert", other, nonce=False).read_bytes()).decode()
            got = subprocess.run(["curl", "-sSf", "--max-time", "20", f"http://127.0.0.1:{port}/cgi-bin/ocsp/{quote(path, safe='')}"],
                                 capture_output=True, check=True).stdout
            verdict_there = s.verdict(got, "-cert", other)
            assert f"{other}: good" in verdict_there, (path, verdict_there, said_there.read_text())
        finally:
            server.kill()
            server.wait()


def test_who_is_no_signer_of_this_ca_is_refused():
    with site() as s:
        device = s.device("pump-7")
        request = s.request("-cert", device)
        s.signer("web", profile="server", dns=["www.example"])
        s.admin.manager("CreateAuthority", "ssa{sv}", "lone", "root", {"algorithm": ("s", "p256"), "set": ("as", ["CN=Lone"])})
        s.signer("stranger", ca="lone")
        for name, word in ("web", b"OCSPSigning"), ("stranger", b"not issued by this CA"):
            done = s.answer(request, signer=name, check=False)
            assert done.returncode == 10 and word in done.stderr and b"not-an-ocsp-signer" in done.stderr and not done.stdout, done
        done = s.answer(request, signer="none", check=False)
        assert done.returncode == 10 and not done.stdout, done
        assert s.answer(request, "--ca", "none", check=False).returncode == 3
        revoke(s.admin, "ocsp", "keyCompromise")
        done = s.answer(request, check=False)
        assert done.returncode == 10 and b"is revoked" in done.stderr and not done.stdout, done


def test_across_a_rollover_each_certificate_is_answered_for_by_whom_its_own_ca_named():
    with site() as s:
        old, held = s.device("pump-7"), s.device("pump-8")
        authority(s.admin, "root", "Enable")
        for name in "root", "intermediate":
            authority(s.admin, name, "Rollover")
        new = s.device("pump-9")
        assert show(s.admin, "pump-9")["authority"] == "intermediate-2"
        both = ("--signer", "ocsp-2")  # behind --signer ocsp
        s.issuer = published(s.stack, "chain.pem")
        assert f"{old}: good" in s.asked(old)
        s.issuer = published(s.stack, "chain.pem", "intermediate-2")
        assert "unauthorized" in error(s.answer(s.request("-cert", new)).stdout)  # nobody answers for the new one yet
        s.signer("ocsp-2", ca="intermediate-2", set=["CN=Example OCSP 2"])
        for certificate, ca in (old, "intermediate"), (held, "intermediate"), (new, "intermediate-2"):
            s.issuer = published(s.stack, "chain.pem", ca)
            for root in ("root", "root-2"):
                said = s.asked(certificate, *both, root=published(s.stack, "ca.pem", root))
                assert "Response verify OK" in said and f"{certificate}: good" in said, said
        revoke(s.admin, "pump-8", "keyCompromise")
        revoke(s.admin, "pump-9", "superseded")
        said = s.asked(new, *both)
        assert "Response verify OK" in said and f"{new}: revoked" in said, said
        s.issuer = published(s.stack, "chain.pem")
        said = s.asked(held, *both)
        assert "Response verify OK" in said and f"{held}: revoked" in said, said
        # A number of the one is none of the other.
        words = "-serial", "0x" + show(s.admin, "pump-9")["serial"]
        assert f"{words[1]}: unknown" in s.verdict(s.answer(s.request(*words), *both).stdout, *words)
        # The old one goes on naming who answers for it: the next certificate of that one comes from it.
        s.stack.cli("ca", "renew", "ocsp", "-o", s.dir / "renewed.pem")
        assert show(s.admin, "ocsp")["authority"] == "intermediate"
        s.stack.cli("cert", "set", "ocsp", "--chain", s.dir / "renewed.pem")
        s.stack.cli("ca", "renew", "pump-7", "-o", s.dir / "next.pem")
        assert show(s.admin, "pump-7")["authority"] == "intermediate-2"
        said = s.asked(old, *both)
        assert "Response verify OK" in said and f"{old}: good" in said, said
        # Whom the one has named does not answer for the other.
        revoke(s.admin, "ocsp-2", "keyCompromise", ca="intermediate-2")
        assert f"{old}: good" in s.asked(old, *both)
        s.issuer = published(s.stack, "chain.pem", "intermediate-2")
        done = s.answer(s.request("-cert", new), *both, check=False)
        assert done.returncode == 10 and b"is revoked" in done.stderr and not done.stdout, done


def test_roots_answer_for_their_intermediates_before_and_after_a_rollover():
    with site(signer=False) as s:
        authority(s.admin, "root", "Enable")
        s.signer("for-root", ca="root")
        s.issuer = s.root
        certificate = s.dir / "intermediate.pem"
        certificate.write_bytes(published(s.stack, "chain.pem").read_bytes())
        words = "--ca", "root"
        assert "Response verify OK" in s.asked(certificate, *words, signer="for-root")
        authority(s.admin, "root", "Rollover")
        authority(s.admin, "intermediate", "Rollover")
        authority(s.admin, "root-2", "Enable")
        s.signer("for-root-2", ca="root-2")
        later = s.dir / "intermediate-2.pem"
        later.write_bytes(published(s.stack, "chain.pem", "intermediate-2").read_bytes())
        for ca, which in ("root", certificate), ("root-2", later):
            s.issuer = s.dir / f"{ca}.pem"
            s.issuer.write_bytes(openssl("x509", "-inform", "der", input=plain(authority(s.admin, ca, "Describe"))["certificate"]).stdout)
            said = s.asked(which, *words, "--signer", "for-root-2", signer="for-root", root=s.issuer)
            assert "Response verify OK" in said and f"{which}: good" in said, said


def test_who_trusts_another_root_does_not_trust_the_answer():
    with site() as s:
        device = s.device("pump-7")
        s.admin.manager("CreateAuthority", "ssa{sv}", "lone", "root", {"algorithm": ("s", "p256"), "set": ("as", ["CN=Lone"])})
        response = s.answer(s.request("-cert", device)).stdout
        said = s.verdict(response, "-cert", device, root=published(s.stack, "ca.pem", "lone"))
        assert "Response Verify Failure" in said and "Response verify OK" not in said, said


def test_requests_that_are_none_are_answered_so_and_nothing_is_signed():
    with site() as s:
        device, path = s.device("pump-7"), s.dir / "r.der"
        good = s.request("-cert", device).read_bytes()
        long = openssl("ocsp", "-reqout", "/dev/stdout", "-issuer", s.issuer, *(["-cert", device] * 33)).stdout
        lone = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj",
                       "/CN=Example").stdout
        (s.dir / "lone.pem").write_bytes(lone)
        elsewhere = openssl("ocsp", "-reqout", "/dev/stdout", "-issuer", s.dir / "lone.pem", "-cert", device).stdout
        cases = {"malformedrequest": [b"", b"x", good[:-1], good + b"\0", os.urandom(300), b"\x30\x84\xff\xff\xff\xff"],
                 "unauthorized": [long, elsewhere]}

        def uses():
            return [e for e in lines(exported(s.admin)) if e["event"] == "key.sign" and e.get("name") == "ocsp"]
        for word, requests in cases.items():
            for request in requests:
                path.write_bytes(request)
                done = s.answer(path)
                assert f"Responder Error: {word}" in error(done.stdout) and done.stderr, (word, request, error(done.stdout))
        assert not uses()
        s.answer(s.request("-cert", device))
        assert len(uses()) == 1
        path.write_bytes(good + bytes(20000))
        done = s.answer(path, check=False)
        assert done.returncode == 2 and b"MessageTooLarge" in done.stderr and not done.stdout, done


def test_who_may_not_read_the_registry_or_use_the_key_answers_nothing():
    with site() as s:
        device = s.device("pump-7")
        request = s.request("-cert", device)
        may = f"allow user={MALLORY} key=intermediate op=ca-read\n", f"allow user={MALLORY} key=ocsp op=describe,sign\n"
        for rules, code in ("", 3), (may[0], 1), (may[1], 3), (may[0] + may[1], 0):
            s.stack.reload_rules(default_rules() + rules)
            done = s.answer(request, uid=MALLORY, check=False)
            assert done.returncode == code and bool(done.stdout) == (code == 0), (rules, done)


if __name__ == "__main__":
    case.main()
