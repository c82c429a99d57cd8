#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
libholdfast-ssl against a running Holdfast and stock openssl: both sides, every refusal, certificates that change.

test_library.py TALK; talk.c is the program under test. TLS directories are made by hand, because most of these are such
as holdfastd would not write.
"""
import contextlib
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys

import case
from pki import DAY, Ca, TlsDirectory, pin, software_key
from stack import ADMIN, ALICE, BOB, BUILD, ROOT, Stack, wait_for

TALK = pathlib.Path(sys.argv.pop(1)).resolve()
HOUR = datetime.timedelta(hours=1)


class Deployment:
    """A key device-ALGORITHM for Alice, with an identity NAME of it in a directory of hand-made files."""

    def __init__(self, stack, algorithms, **key_options):
        if b"__asan_init" in pathlib.Path(stack.program("provider/holdfast.so")).read_bytes():
            raise case.Skip("stock programs do not load a module with a sanitizer")
        self.stack, self.ca, self.other_ca = stack, Ca("tests"), Ca("others")
        self.dir = stack.dir / "work"
        self.dir.mkdir(mode=0o755)
        self.tls = TlsDirectory(self.dir / "tls")
        self.public, self.reference = {}, {}
        for algorithm in algorithms:
            key = f"device-{algorithm}"
            with stack.peer(ADMIN) as admin:
                admin.create(key, algorithm, **key_options)
            self.public[algorithm] = stack.cli("key", "public", key).stdout
            self.reference[algorithm] = stack.cli("key", "reference", key).stdout
            self.identity(algorithm)
        self.peer_key, self.peer_public = self.file("peer.key", software_key()[0]), None
        self.talk = stack.dir / "bin" / TALK.relative_to(BUILD.resolve())
        self.talk.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TALK, self.talk)

    def identity(self, algorithm="p256", name=None, leaf=None, **options):
        """By default a good one, whose peers are those of the tests' CA."""
        leaf = leaf or self.ca.issue(self.public[algorithm], f"{algorithm}-client-and-server")
        return self.tls.set(name or algorithm, leaf, options.pop("reference", self.reference[algorithm]),
                            trust=options.pop("trust", self.ca.pem), **options)

    def file(self, name, content):
        path = self.dir / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def environment(self, uid):
        return {**self.stack._environment(), "HOLDFAST_TLS": str(self.tls.path), "OPENSSL_MODULES": str(self.stack.dir / "bin/provider")}

    def start(self, *words, uid=ALICE):
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if ROOT else []
        return subprocess.Popen([*become, self.talk, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=self.environment(uid))

    @contextlib.contextmanager
    def client(self, name, role="client", *words, uid=ALICE):
        """A function that makes one handshake and says how it went."""
        process = self.start(role, name, *words, uid=uid)

        def visit(port, host="localhost"):
            process.stdin.write(f"{port} {host}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()
        try:
            yield visit
        finally:
            process.stdin.close()
            assert process.wait(30) == 0 and process.stdout.read() == ""

    @contextlib.contextmanager
    def server(self, name, role="mutual", uid=ALICE):
        """(port, a function that gives its next line)."""
        process = self.start(role, name, uid=uid)
        try:
            yield int(process.stdout.readline()), lambda: process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(30)

    def refusal(self, name, role="client", uid=ALICE):
        """What is said to a context that is refused."""
        process = self.start(role, name, uid=uid)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 3, said
        return said.strip()

    def peer(self, **options):
        """Certificate and key files of a peer without Holdfast."""
        issuer = options.pop("issuer", self.ca)
        private, public = options.pop("key", None) or software_key()
        return self.file("peer.crt", issuer.issue(public, options.pop("common", "peer"), **options)), self.file("peer.key", private)

    @contextlib.contextmanager
    def stock_server(self, identity, *words, ca=None):
        """openssl s_server, which wants a certificate of the client; its port."""
        log, (crt, key) = self.dir / "server.log", identity
        command = ["openssl", "s_server", "-accept", "0", "-www", "-Verify", "3", "-verify_return_error", "-CAfile",
                   ca or self.file("ca.pem", self.ca.pem), "-cert", crt, "-key", key, *words]
        with open(log, "wb") as output:
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        try:
            yield wait_for(lambda: (m := re.search(r"ACCEPT \S+:(\d+)", log.read_text(errors="replace"))) and m.group(1), "openssl")
        finally:
            server.terminate()
            server.wait(30)
            server.stdin.close()

    def stock_client(self, port, *words, identity=None, ca=None):
        """openssl s_client; what it printed."""
        own = ["-cert", identity[0], "-key", identity[1]] if identity else []
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca or self.file("ca.pem", self.ca.pem),
                               "-verify_return_error", "-ign_eof", *own, *words], input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True)
        return (done.stdout + done.stderr).decode()


@contextlib.contextmanager
def deployment(*algorithms, key_options=None, **options):
    with Stack(bus=False, **options) as stack:
        stack.init()
        yield Deployment(stack, algorithms or ["p256"], **(key_options or {}))


def test_a_context_does_tls_on_both_sides_with_stock_openssl():
    with deployment("p256", "p384", "rsa3072", "ed25519") as d:
        crt, key = d.peer()
        for version in "-tls1_2", "-tls1_3":
            with d.stock_server((crt, key), version) as port:
                for algorithm in d.public:
                    with d.client(algorithm) as visit:
                        assert re.fullmatch(r"ok TLSv1\.[23] peer", said := visit(port)), said
            for algorithm in d.public:
                with d.server(algorithm) as (port, line):
                    said = d.stock_client(port, version, identity=(crt, key))
                    assert "HTTP/1.0 200 ok" in said and re.fullmatch(r"ok TLSv1\.[23] peer", line()), said


def test_a_context_needs_no_daemon_but_a_signature_does():
    with deployment() as d:
        with d.client("p256") as visit, d.stock_server(d.peer()) as port:
            d.stack.stop()
            said = visit(port)
            assert said.startswith("key-unusable ") and "DaemonUnavailable" in said, said
            d.stack.start()
            d.stack.wait_state("ready")
            assert visit(port) == "ok TLSv1.3 peer"


if __name__ == "__main__":
    case.main()
