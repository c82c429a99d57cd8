#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What a private CA hands out, used by another user against a real nginx with the lines of its README as they are written; and why a
server rejects a certificate, each cause brought about against a real nginx.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import case
from ca import issue, make_request, published, revoke, running
from party import Party, free_port, listens, need
from stack import ALICE, BOB, ROOT, SOURCE, wait_for

NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; events {{ }}
http {{
    access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port} ssl; ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.csr.key;
        ssl_client_certificate {trust}; ssl_verify_client on; ssl_verify_depth 3; {more}
        location / {{ return 200 "hello\\n"; }}
        location = /health {{ return 200 "well\\n"; }}
        location = /gone {{ return 410; }}
    }}
}}
"""

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
QUESTIONS = ["expired", "revoked", "wrong-ca", "fingerprint-registered", "status-active", "server-trusts-ca"]


class Site:
    """A Holdfast with a CA, and an nginx whose clients need a certificate of it."""

    def __init__(self, stack, admin):
        self.stack, self.admin, self.party = stack, admin, Party(stack)
        self.dir = stack.dir / "site"
        self.dir.mkdir()
        request = make_request(self.dir / "server.csr")
        (self.dir / "server.pem").write_bytes(issue(admin, request, "server", name="server", dns=["localhost"], days=300)["chain"])

    @contextlib.contextmanager
    def nginx(self, trust=None, more="", offset=None):
        port, log = free_port(), self.dir / "log"
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=port, trust=trust or published(self.stack, "ca.pem"), more=more))
        preload = {"LD_PRELOAD": FAKETIME, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if offset else {}
        with open(log, "wb") as output:
            server = subprocess.Popen(["nginx", "-e", self.dir / "error.log", "-c", conf], stdout=output, stderr=output,
                                      env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/bin", **preload})
        try:
            wait_for(lambda: listens(server, port, log), "nginx")
            yield f"localhost:{port}"
        finally:
            server.terminate()
            server.wait(30)

    def holdfast(self, *words, uid=None, prefix=(), **options):
        modules = pathlib.Path(self.stack.program("provider/holdfast.so")).parent
        return self.stack.run([*prefix, "env", f"HOLDFAST_TLS={self.stack.dir}/run/tls", f"OPENSSL_MODULES={modules}",
                               f"HOLDFAST_OPENSSL_CONF={self.party.configuration}", self.stack.program("cli/holdfast"), *words],
                              uid, False, **options)

    def client(self, name="pump-7", key="device-p256", ca="intermediate"):
        """A certificate for a key of this Holdfast, installed."""
        with contextlib.suppress(Exception):
            self.admin.create(key, "p256")
        chain = self.dir / f"{name}.pem"
        chain.write_bytes(issue(self.admin, key=key, name=name, ca=ca, days=30, set=[f"CN={name}"])["chain"])
        done = self.holdfast("cert", "set", name, "--key", key, "--chain", chain, "--trust", published(self.stack, "ca.pem"))
        assert done.returncode == 0, done
        return name

    def package(self, name, directory, *words):
        done = self.holdfast("ca", "package", name, directory, *words)
        assert done.returncode == 0, done
        return done

    def diagnose(self, name, address, *words, **options):
        """(exit code, {question: answer}, the report)"""
        done = self.holdfast("ca", "diagnose", name, "--connect", address, "--json", *words, **options)
        found = json.loads(done.stdout)
        assert "questions" in found, done
        assert [q["question"] for q in found["questions"]] == QUESTIONS
        return done.returncode, {q["question"]: q["answer"] for q in found["questions"]}, found


@contextlib.contextmanager
def site():
    need("nginx", "curl")
    with running() as (stack, admin):
        yield Site(stack, admin)


def code(readme, heading):
    """The lines of the README below this heading, as they are written."""
    block = re.search(rf"{heading}\n\n((?:    .*\n)+)", readme).group(1)
    return "".join(line[4:] + "\n" for line in block.splitlines())


def unpack(s, package, uid):
    """Taken over by somebody else, who owns what he has."""
    place = s.dir / f"of-{uid}"
    place.mkdir()
    if ROOT:
        shutil.chown(place, uid)
    s.stack.run(["cp", "-r", package, place / "package"], uid)
    return place / "package"


def use(s, here, uid, address, before=""):
    """curl, Python and test-connection, as README has them."""
    readme = (here / "README").read_text()
    start = f"set -e\ncd {here}\nexport URL=https://{address}/health no_proxy=*\n{before}"
    curl = s.stack.run(["sh", "-c", start + code(readme, "curl:")], uid)
    assert curl.stdout == b"well\n", curl
    (here.parent / "lines.py").write_text(code(readme, "Python:"))
    python = s.stack.run(["sh", "-c", start + f"/usr/bin/python3 {here.parent}/lines.py"], uid)
    assert python.stdout == b"200\n", python
    done = s.stack.run(["sh", "-c", f"export no_proxy=*; {here}/test-connection https://{address}/health"], uid)
    assert done.stdout.startswith(b"[ OK ]"), done
    gone = s.stack.run(["sh", "-c", f"export no_proxy=*; {here}/test-connection https://{address}/gone"], uid, False)
    assert gone.returncode == 1 and b"410" in gone.stderr, gone


def private_keys(directory):
    return [f for f in directory.iterdir() if b"PRIVATE KEY-----" in f.read_bytes()]


# Packages


def test_a_package_for_a_key_of_elsewhere_works_beside_that_key_for_another_user():
    with site() as s:
        made = issue(s.admin, make_request(s.dir / "pump.csr"), name="pump-7", device_id="pump-7")
        found = json.loads(s.package("pump-7", s.dir / "out", "--json").stdout)
        assert found["key-reference"] is False and found["fingerprint"] == made["fingerprint"]
        names = {"pump-7.crt", "chain.crt", "ca.crt", "fingerprint.txt", "README", "test-connection"}
        assert set(found["files"]) == names == {f.name for f in (s.dir / "out").iterdir()}
        assert not private_keys(s.dir / "out")
        assert (s.dir / "out/pump-7.crt").read_bytes() == made["chain"]
        assert (s.dir / "out/fingerprint.txt").read_text().strip() == made["fingerprint"]
        here = unpack(s, s.dir / "out", BOB)
        key = here.parent / "the.key"
        shutil.copy(s.dir / "pump.csr.key", key)
        if ROOT:
            shutil.chown(key, BOB)
        refused = s.stack.run([here / "test-connection", "https://localhost:1/"], BOB, False)
        assert refused.returncode == 3 and b"pump-7.key is not here" in refused.stderr, refused
        link = re.search(r"ln -s .*", (here / "README").read_text()).group(0).replace("/path/to/the/private/key", str(key))
        with s.nginx() as address:
            use(s, here, BOB, address, link.replace("ln -s", "ln -sf") + "\n")


def test_a_package_for_a_key_here_has_its_reference_and_works_for_who_may_sign():
    with site() as s:
        s.client()
        found = json.loads(s.package("pump-7", s.dir / "out", "--json").stdout)
        assert found["key-reference"] is True and "pump-7.key" in found["files"]
        assert not private_keys(s.dir / "out")
        assert b"HOLDFAST KEY REFERENCE" in (s.dir / "out/pump-7.key").read_bytes()
        here = unpack(s, s.dir / "out", ALICE)
        with s.nginx() as address:
            use(s, here, ALICE, address, re.search(r"export OPENSSL_CONF=.*", (here / "README").read_text()).group(0) + "\n")


def test_a_package_is_written_whole_into_a_new_or_empty_directory_or_not_at_all():
    with site() as s:
        made = issue(s.admin, make_request(s.dir / "pump.csr"), name="pump-7")
        out = s.dir / "made"
        out.mkdir()
        s.package(made["serial"], f"{out}/")
        before = {f.name: f.read_bytes() for f in out.iterdir()}
        assert "pump-7.crt" in before and os.stat(out).st_mode & 0o777 == 0o755 and os.access(out / "test-connection", os.X_OK)
        (s.dir / "file").write_text("mine")
        for taken in (out, s.dir / "file"):
            refused = s.holdfast("ca", "package", "pump-7", taken)
            assert refused.returncode == 2 and b"Nothing was written" in refused.stderr, refused
        assert s.holdfast("ca", "package", "pump-7", s.dir / "none/below").returncode == 3
        assert s.holdfast("ca", "package", "nobody", s.dir / "nobody").returncode == 3
        full = s.dir / "full"
        cut = s.holdfast("ca", "package", "pump-7", full, prefix=["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=600"])
        assert cut.returncode != 0 and not full.exists(), cut
        assert {f.name: f.read_bytes() for f in out.iterdir()} == before and (s.dir / "file").read_text() == "mine"
        if ROOT:
            denied = s.holdfast("ca", "package", "pump-7", s.dir / "stolen", uid=BOB)
            assert denied.returncode and not (s.dir / "stolen").exists(), denied
        revoke(s.admin, made["serial"])
        refused = s.holdfast("ca", "package", "pump-7", s.dir / "revoked")
        assert refused.returncode == 10 and b"(NotActive)" in refused.stderr, refused
        issue(s.admin, make_request(s.dir / "odd.csr", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=.. $(id)"))
        refused = s.holdfast("ca", "package", ".. $(id)", s.dir / "odd")
        assert refused.returncode == 1 and b"(InvalidName)" in refused.stderr and not (s.dir / "odd").exists(), refused
        left = [f.name for f in s.dir.iterdir() if f.name.startswith(("made.", "file.", "full.", "stolen", "revoked", "odd.")) and f.is_dir()]
        assert left == [], left


# Questions


def failing(answers):
    return [q for q, a in answers.items() if a == "fail"]


def test_a_connection_that_works_has_six_good_answers():
    with site() as s:
        name = s.client()
        with s.nginx(more=f"ssl_crl {published(s.stack, 'crl.pem')};") as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 0 and set(answers.values()) == {"ok"} and found["as-itself"], found
            guide = re.search(r"    holdfast (ca diagnose .*)", (SOURCE / "docs/ca.md").read_text()).group(1)
            lines = s.holdfast(*guide.replace("localhost:8443", address).split()).stdout.decode().splitlines()
            assert len(lines) == 6 and all(line.startswith("[ OK ] ") for line in lines), lines


def test_expired_by_everybodys_clock():
    need("faketime")
    with site() as s:
        name = s.client()
        with s.nginx(offset="+40d") as address:
            status, answers, found = s.diagnose(name, address, prefix=["faketime", "-f", "+40d"])
            assert status == 10 and answers["expired"] == "fail", found
            assert found["questions"][0]["finding"] == "expired" and "Renew" in found["questions"][0]["remedy"], found
            assert answers["wrong-ca"] == answers["fingerprint-registered"] == "ok", found
        with s.nginx() as address:  # whose clock is right
            status, answers, found = s.diagnose(name, address, prefix=["faketime", "-f", "+40d"])
            assert status == 10 and found["questions"][0]["finding"] == "clock-skew", found


def test_revoked_on_the_list_and_in_the_registry():
    with site() as s:
        name = s.client()
        revoke(s.admin, name)
        with s.nginx(more=f"ssl_crl {published(s.stack, 'crl.pem')};") as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 10 and failing(answers) == ["revoked", "status-active"], found
            assert found["questions"][1]["finding"] == "revoked" and found["questions"][1]["remedy"], found
            lines = s.holdfast("ca", "diagnose", name, "--connect", address).stdout.decode().splitlines()
            assert [line[:6] for line in lines] == ["[ OK ]", "[FAIL]", "[ OK ]", "[ OK ]", "[FAIL]", "[ OK ]"], lines


def another_ca(s, name, root):
    s.holdfast("ca", "init", "root", "--name", root, "--algorithm", "p256", "--set", "CN=Other Root")
    done = s.holdfast("ca", "init", "intermediate", "--name", name, "--parent", root, "--algorithm", "p256", "--set", "CN=Other")
    assert done.returncode == 0, done


def test_of_the_wrong_ca():
    with site() as s:
        another_ca(s, "other", "other-root")
        name = s.client(ca="other")
        with s.nginx() as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 8 and failing(answers) == ["wrong-ca", "fingerprint-registered", "server-trusts-ca"], found
            assert answers["revoked"] == answers["status-active"] == "unknown" and found["questions"][2]["finding"] == "untrusted", found


def test_a_fingerprint_that_is_not_registered():
    with site() as s:
        done = s.holdfast("ca", "init", "intermediate", "--name", "second", "--algorithm", "p256", "--set", "CN=Second")
        if done.returncode:  # the root is at rest
            assert s.holdfast("ca", "enable", "root").returncode == 0
            done = s.holdfast("ca", "init", "intermediate", "--name", "second", "--algorithm", "p256", "--set", "CN=Second")
        assert done.returncode == 0, done
        name = s.client(ca="second")
        with s.nginx() as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 8 and answers["fingerprint-registered"] == "fail" and answers["wrong-ca"] == "ok", found
            assert answers["server-trusts-ca"] == "ok" and found["questions"][3]["finding"] == "not-registered", found
            assert s.diagnose(name, address, "--ca", "second")[0] == 0


def test_a_status_that_is_not_active():
    with site() as s:
        name = s.client()
        assert s.holdfast("ca", "renew", name, "-o", s.dir / "new.pem").returncode == 0
        with s.nginx() as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 10 and failing(answers) == ["status-active"], found
            assert "superseded" in found["questions"][4]["sentence"] and "holdfast ca show" in found["questions"][4]["remedy"], found


def test_a_server_that_does_not_trust_the_ca():
    with site() as s:
        another_ca(s, "other", "other-root")
        name = s.client()
        with s.nginx(trust=published(s.stack, "ca.pem", "other")) as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 8 and failing(answers) == ["server-trusts-ca"], found
            assert found["questions"][5]["finding"] == "server-trusts-others" and "ssl_client_certificate" in found["questions"][5]["remedy"]
        # by its own old list it refuses one that nothing here speaks against
        old = s.dir / "old.crl"
        revoke(s.admin, name, "certificateHold")
        shutil.copy(published(s.stack, "crl.pem"), old)
        revoke(s.admin, name, "removeFromCRL")
        with s.nginx(more=f"ssl_crl {old};") as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 8 and failing(answers) == ["server-trusts-ca"], found
            assert found["questions"][5]["finding"] == "refused-by-peer", found


def test_without_the_key_a_server_that_names_its_cas_is_understood():
    with site() as s:
        another_ca(s, "other", "other-root")
        issue(s.admin, make_request(s.dir / "pump.csr"), name="pump-7")
        with s.nginx() as address:
            status, answers, found = s.diagnose("pump-7", address)
            assert status == 0 and set(answers.values()) == {"ok"} and not found["as-itself"], found
        with s.nginx(trust=published(s.stack, "ca.pem", "other")) as address:
            status, answers, found = s.diagnose("pump-7", address)
            assert status == 8 and failing(answers) == ["server-trusts-ca"], found
        strange = s.dir / "strange.pem"
        strange.write_bytes(issue(s.admin, make_request(s.dir / "x.csr"), name="x", ca="other")["chain"])
        with s.nginx() as address:
            status, answers, found = s.diagnose("pump-7", address, "--chain", strange)
            assert status == 8 and "wrong-ca" in failing(answers), found
            if ROOT:
                denied = s.holdfast("ca", "diagnose", "pump-7", "--connect", address, uid=BOB)
                assert denied.returncode not in (0, 8, 10), denied


def test_a_server_that_is_not_there_or_is_a_stranger_is_told_as_such():
    with site() as s:
        name = s.client()
        status, answers, found = s.diagnose(name, f"localhost:{free_port()}")
        assert status == 1 and failing(answers) == ["server-trusts-ca"] and found["questions"][5]["finding"] == "unreachable", found
        another_ca(s, "other", "other-root")
        (s.dir / "server.pem").write_bytes(issue(s.admin, make_request(s.dir / "server.csr"), "server", ca="other", name="x",
                                                 dns=["localhost"])["chain"])
        with s.nginx() as address:
            status, answers, found = s.diagnose(name, address)
            assert status == 8 and found["questions"][5]["finding"] == "untrusted", found
        assert s.holdfast("ca", "diagnose", "nobody", "--connect", "localhost:1").returncode == 3
        assert s.holdfast("ca", "diagnose", name).returncode == 2


if __name__ == "__main__":
    case.main()
