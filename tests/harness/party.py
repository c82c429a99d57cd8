# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What a deployment with the OpenSSL provider has: the shipped configuration, a CA of stock openssl, references and their
certificates, and stock servers that use them.

    with party("p256", "rsa3072") as (stack, p):
        with Server(p, p.identity("device-p256")) as server:
            server.visit(p.identity("device-rsa3072"))
"""
import base64
import contextlib
import pathlib
import re
import shutil
import socket
import subprocess

import case
from stack import ADMIN, ALICE, ROOT, SOURCE, Stack, wait_for


class Party:
    """What a deployment has: the shipped configuration, a CA of stock openssl, references and their certificates."""

    def __init__(self, stack, first=False):
        if b"__asan_init" in pathlib.Path(stack.program("provider/holdfast.so")).read_bytes():
            raise case.Skip("stock programs do not load a module with a sanitizer")
        self.stack, self.dir = stack, stack.dir / "tls"
        self.dir.mkdir()
        if ROOT:
            shutil.chown(self.dir, ALICE)
        module = f"module = {stack.program('provider/holdfast.so')}\n"
        text = (SOURCE / "provider/openssl.cnf").read_text().replace("[holdfast_sect]\n", "[holdfast_sect]\n" + module)
        if first:
            text = text.replace("default = default_sect\nholdfast = holdfast_sect", "holdfast = holdfast_sect\ndefault = default_sect")
            text = text.replace("default_properties = ?provider!=holdfast", "default_properties = ?provider=holdfast")
        self.configuration = self.dir / "openssl.cnf"
        self.configuration.write_text(text)
        self.ca = self.dir / "ca.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=tests", "-keyout", self.dir / "ca.key", "-out", self.ca], check=True, capture_output=True)

    def command(self, *words, uid=ALICE):
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if ROOT else []
        return [*become, "env", f"OPENSSL_CONF={self.configuration}", *map(str, words)]

    def run(self, *words, uid=ALICE, **options):
        return self.stack.run(self.command(*words, uid=uid), **options)

    @contextlib.contextmanager
    def running(self, *words, log, uid=ALICE):
        """A server; ended with its block."""
        with open(log, "wb") as output:
            server = subprocess.Popen(self.command(*words, uid=uid), stdin=subprocess.PIPE, stdout=output, stderr=output,
                                      env=self.stack._environment())
        try:
            yield server
        finally:
            server.terminate()
            server.wait(30)
            server.stdin.close()

    def identity(self, key):
        """(certificate, reference); the request is signed through the provider, the certificate by stock openssl."""
        pem, crt = reference(self.stack, key), self.dir / f"{key}.crt"
        csr = self.run("openssl", "req", "-new", "-key", pem, "-subj", f"/CN={key}", "-addext",
                       "subjectAltName=DNS:localhost").stdout
        signed = subprocess.run(["openssl", "x509", "-req", "-days", "1", "-CA", self.ca, "-CAkey", self.dir / "ca.key",
                                 "-copy_extensions", "copy"], input=csr, check=True, capture_output=True)
        crt.write_bytes(signed.stdout)
        return crt, pem


@contextlib.contextmanager
def party(*algorithms, first=False, **options):
    with ready(*algorithms, **options) as stack:
        yield stack, Party(stack, first)


class Server:
    """openssl s_server as Alice, which wants a certificate of the client."""

    def __init__(self, p, identity, *words):
        self.party, self.identity, self.words, self.log = p, identity, words, p.dir / "server.log"

    def __enter__(self):
        crt, pem = self.identity
        self.context = self.party.running("openssl", "s_server", "-accept", "0", "-www", "-Verify", "1", "-verify_return_error",
                                          "-CAfile", self.party.ca, "-cert", crt, "-key", pem, *self.words, log=self.log)
        self.process = self.context.__enter__()
        self.port = wait_for(self.listens_at, "the server")
        return self

    def listens_at(self):
        assert self.process.poll() is None, self.said()
        found = re.search(r"ACCEPT \S+:(\d+)", self.said())
        return found and found.group(1)

    def __exit__(self, *what):
        assert self.process.poll() is None, self.said()
        return self.context.__exit__(*what)

    def said(self):
        return self.log.read_text(errors="replace")

    def visit(self, identity, *words, check=True):
        """One handshake from Alice; what the page says."""
        crt, pem = identity
        done = self.party.run("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-cert", crt, "-key", pem, "-CAfile",
                              self.party.ca, "-verify_return_error", "-ign_eof", *words, input=b"GET / HTTP/1.0\r\n\r\n", check=False)
        if check:
            assert done.returncode == 0 and b"HTTP/1.0 200 ok" in done.stdout, (done, self.said())
        return done


@contextlib.contextmanager
def ready(*algorithms, **options):
    """A Holdfast with a key device-ALGORITHM of each, which Alice may sign with."""
    with Stack(bus=False, **options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            for algorithm in algorithms:
                admin.create(f"device-{algorithm}", algorithm)
        yield stack


def reference(stack, key):
    path = stack.dir / f"{key}.pem"
    stack.cli("key", "reference", key, "-o", path)
    path.chmod(0o644)
    return path


def block(text):
    """The DER between the marks."""
    lines = text.splitlines()
    begin, end = (lines.index(f"-----{m} HOLDFAST KEY REFERENCE-----") for m in ("BEGIN", "END"))
    return base64.b64decode("".join(lines[begin + 1:end]))


NGINX = """
daemon off; env HOLDFAST_SOCKET; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off; ssl_session_cache off; ssl_session_tickets off;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3; {certificates}
        ssl_client_certificate {ca}; ssl_verify_client on;
        location / {{ return 200 "$ssl_client_s_dn $ssl_protocol\\n"; }}
    }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(server, port, log):
    assert server.poll() is None, log.read_text()
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def need(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/sbin:/usr/bin"):
            raise case.Skip(f"needs {program}")


@contextlib.contextmanager
def nginx(p, *identities):
    port, conf = free_port(), p.dir / "nginx.conf"
    certificates = " ".join(f"ssl_certificate {crt}; ssl_certificate_key {pem};" for crt, pem in identities)
    conf.write_text(NGINX.format(dir=p.dir, port=port, certificates=certificates, ca=p.ca))
    with p.running("nginx", "-e", p.dir / "error.log", "-c", conf, log=p.dir / "nginx.log") as server:
        wait_for(lambda: listens(server, port, p.dir / "nginx.log"), "nginx")
        yield f"https://localhost:{port}/", p.dir / "error.log"


def curl(p, url, identity, *words, **options):
    crt, pem = identity
    return p.run("curl", "-sS", "--cert", crt, "--key", pem, "--cacert", p.ca, "--noproxy", "*", *words, url, **options)


@contextlib.contextmanager
def serving(p, name, port, *words, uid=ALICE):
    """A server of its own that listens at port."""
    log = p.dir / f"{name}.log"
    with p.running(*words, log=log, uid=uid) as server:
        wait_for(lambda: listens(server, port, log), name)
        yield log
