# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A Holdfast with identities made by hand, and stock servers beside it whose certificates can be what they like.

    with site("p256") as s, s.openssl("-tls1_2") as address:
        s.identity("device")
        s.expect(None, 0, "device", address)
"""
import contextlib
import pathlib
import subprocess
import tempfile

import case
from certificates import Authority, Certificate, build
from cryptography.hazmat.primitives import serialization
from party import free_port, listens, need, ready, reference
from stack import ALICE, ROOT, wait_for


class Site:
    """A Holdfast, a directory of identities made by hand, and a CA for both sides."""

    def __init__(self, stack):
        if b"__asan_init" in pathlib.Path(stack.program("provider/holdfast.so")).read_bytes():
            raise case.Skip("the command does not load a module with another sanitizer")
        self.stack, self.dir = stack, stack.dir / "site"
        self.tls = self.dir / "tls"
        self.tls.mkdir(parents=True)
        self.root = Authority("root", since=-400)
        self.inter = self.root.under("inter", pathlen=0, since=-400)
        self.server = self.inter.issue("localhost", eku=("server",))

    def public(self, key):
        return serialization.load_pem_public_key(self.stack.cli("key", "public", key).stdout)

    def certificate(self, key, issuer=None, **options):
        options.setdefault("eku", ("client",))
        return Certificate(build(key, None, issuer or self.inter, public=self.public(key), **options), None)

    def identity(self, name, key="device-p256", trust=None, pins=(), crls=(), certificate=None, files=None, **options):
        d = self.tls / name
        d.mkdir(exist_ok=True)
        content = {"cert.pem": (certificate or self.certificate(key, **options)).pem, "chain.pem": self.inter.pem,
                   "key.pem": reference(self.stack, key).read_bytes(), "ca.pem": (trust or self.root).pem,
                   "pins.txt": "".join(f"{p}\n" for p in pins).encode(), "crl.pem": b"".join(c.pem for c in crls), **(files or {})}
        content["fullchain.pem"] = content["cert.pem"] + content["chain.pem"]
        content["bundle.pem"] = content["fullchain.pem"] + content["key.pem"]
        for file, data in content.items():
            (d / file).unlink(missing_ok=True)
            if data:
                (d / file).write_bytes(data)
        return name

    @property
    def environment(self):
        modules = pathlib.Path(self.stack.program("provider/holdfast.so")).parent
        return f"HOLDFAST_TLS={self.tls}", f"OPENSSL_MODULES={modules}", "SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/dev/null"

    def holdfast(self, *words, prefix=(), modules=None, **options):
        """The command as Alice, who trusts nobody but whom an identity trusts."""
        command = [*prefix, "env", *self.environment, *([f"OPENSSL_MODULES={modules}"] if modules else []),
                   self.stack.program("cli/holdfast"), *words]
        return self.stack.run(command, uid=ALICE if ROOT else None, check=False, **options)

    def check(self, name, address=None, *words, prefix=(), **options):
        return self.holdfast("cert", "check", name, *(["--connect", address] if address else []), *words, prefix=prefix, **options)

    def expect(self, word, code, *arguments, says="", **options):
        done = self.check(*arguments, **options)
        assert done.returncode == code and (not word or f"({word})".encode() in done.stderr), (word, code, done)
        assert says.encode() in done.stderr, (says, done)
        return done

    def peer_files(self, leaf, others):
        d = pathlib.Path(tempfile.mkdtemp(dir=self.dir))
        (d / "cert.pem").write_bytes(leaf.pem)
        (d / "chain.pem").write_bytes(b"".join(o.pem for o in others))
        (d / "full.pem").write_bytes(b"".join(o.pem for o in (leaf, *others)))
        (d / "key.pem").write_bytes(leaf.key_pem)
        (d / "ca.pem").write_bytes(self.root.pem)
        return d

    @contextlib.contextmanager
    def program(self, d, port, *words):
        log = d / "log"
        with open(log, "wb") as output:
            server = subprocess.Popen([str(w) for w in words], stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=d)
        try:
            wait_for(lambda: listens(server, port, log), words[0])
            yield log
        finally:
            server.terminate()  # killed, nginx would leave its workers behind
            server.wait(30)
            server.stdin.close()

    @contextlib.contextmanager
    def openssl(self, *words, leaf=None, others=None, trust=None):
        """s_server with a certificate of the site's; yields its address."""
        d, port = self.peer_files(leaf or self.server, (self.inter,) if others is None else others), free_port()
        if trust:
            (d / "ca.pem").write_bytes(trust.pem)
        with self.program(d, port, "openssl", "s_server", "-accept", port, "-cert", "cert.pem", "-key", "key.pem", "-www",
                          "-CAfile", "ca.pem", *(("-cert_chain", "chain.pem") if (d / "chain.pem").stat().st_size else ()), *words):
            yield f"localhost:{port}"

    @contextlib.contextmanager
    def nginx(self, trust=None):
        d, port = self.peer_files(self.server, (self.inter,)), free_port()
        (d / "ca.pem").write_bytes((trust or self.root).pem)
        temporary = " ".join(f"{kind}_temp_path {d}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (d / "nginx.conf").write_text(f"""daemon off; pid {d}/pid; error_log {d}/error.log; events {{ }}
            http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {d}/full.pem;
            ssl_certificate_key {d}/key.pem; ssl_client_certificate {d}/ca.pem; ssl_verify_client on; ssl_verify_depth 3;
            location / {{ return 200 "hello\\n"; }} }} }}""")
        with self.program(d, port, "nginx", "-e", d / "error.log", "-c", d / "nginx.conf"):
            yield f"localhost:{port}"


@contextlib.contextmanager
def site(*algorithms):
    need("openssl", "nginx")
    with ready(*(algorithms or ("p256",))) as stack:
        yield Site(stack)
