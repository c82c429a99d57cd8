#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
libholdfast-ssl against a running Holdfast and stock openssl: both sides, every refusal, certificates that change.

The programs under test are talk.c, threads.c, fetch.c and docs/examples/tls.c. TLS directories are made by hand, because most of these are such
as holdfastd would not write.
"""
import base64
import contextlib
import datetime
import hashlib
import ipaddress
import pathlib
import re
import shutil
import subprocess

import case
from certificates import NOW, Authority, Certificate, build, make_key
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from stack import ADMIN, ALICE, BOB, BUILD, ROOT, SOURCE, Stack, wait_for
from tls_directory import TlsDirectory

PROGRAMS = "tests/unit/libclient-ssl"
HOUR = 1 / 24  # in days


def pin(key):
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def issue(issuer, public, cn, dns=("localhost",), ip=(), **options):
    """A leaf for a public key."""
    names = [x509.DNSName(n) for n in dns] + [x509.IPAddress(ipaddress.ip_address(a)) for a in ip]
    return Certificate(build(cn, None, issuer, public=public, extra=[(x509.SubjectAlternativeName(names), False)], **options), None)


class Deployment:
    """A key device-ALGORITHM for Alice, with an identity NAME of it in a directory of hand-made files."""

    def __init__(self, stack, algorithms, **key_options):
        if b"__asan_init" in pathlib.Path(stack.program("provider/holdfast.so")).read_bytes():
            raise case.Skip("stock programs do not load a module with a sanitizer")
        self.stack, self.ca, self.other_ca = stack, Authority("tests"), Authority("others")
        self.dir = stack.dir / "work"
        self.dir.mkdir(mode=0o755)
        self.tls = TlsDirectory(self.dir / "tls")
        self.public, self.reference = {}, {}
        for algorithm in algorithms:
            key = f"device-{algorithm}"
            with stack.peer(ADMIN) as admin:
                admin.create(key, algorithm, **key_options)
            self.public[algorithm] = serialization.load_pem_public_key(stack.cli("key", "public", key).stdout)
            self.reference[algorithm] = stack.cli("key", "reference", key).stdout
            self.identity(algorithm)

    def leaf(self, algorithm="p256", cn="device", **options):
        return issue(self.ca, self.public[algorithm], cn, **options).pem

    def program(self, name):
        """Where Alice can run it, and it finds its libraries as in the build."""
        at = self.stack.dir / "bin" / PROGRAMS / name
        if not at.exists():
            at.parent.mkdir(parents=True, exist_ok=True)
            if not (BUILD / PROGRAMS / name).exists():
                raise case.Skip(f"{name} is not built here")
            shutil.copy(BUILD / PROGRAMS / name, at)
        return at

    def identity(self, algorithm="p256", name=None, leaf=None, **options):
        """By default a good one, whose peers are those of the tests' CA."""
        leaf = leaf or self.leaf(algorithm, f"{algorithm}-client-and-server")
        return self.tls.set(name or algorithm, leaf, options.pop("reference", self.reference[algorithm]),
                            trust=options.pop("trust", self.ca.pem), **options)

    def file(self, name, content):
        path = self.dir / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def environment(self):
        return {**self.stack._environment(), "HOLDFAST_TLS": str(self.tls.path), "OPENSSL_MODULES": str(self.stack.dir / "bin/provider")}

    def start(self, *words, uid=ALICE, program="talk", before=(), **environment):
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if ROOT else []
        return subprocess.Popen([*become, *before, self.program(program), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=None if program == "talk" else subprocess.PIPE, text=True,
                                env={**self.environment(), **environment})

    @contextlib.contextmanager
    def client(self, name, role="client", *words, uid=ALICE, **environment):
        """A function that makes one handshake and says how it went."""
        process = self.start(role, name, *words, uid=uid, **environment)

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

    def peer(self, key=None, issuer=None, cn="peer", **options):
        """Certificate and key files of a peer without Holdfast."""
        key = key or make_key("p256")
        leaf = Certificate(issue(issuer or self.ca, key.public_key(), cn, **options).der, key)
        return self.file("peer.crt", leaf.pem), self.file("peer.key", leaf.key_pem)

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
        d.stack.stop()
        with d.client("p256") as visit, d.stock_server(d.peer()) as port:
            said = visit(port)
            assert said.startswith("key-unusable ") and "DaemonUnavailable" in said, said
            d.stack.start()
            d.stack.wait_state("ready")
            assert visit(port) == "ok TLSv1.3 peer"


def test_a_key_in_the_tpm_does_tls_on_both_sides():
    with deployment("p256", tpm=True, key_options={"protection": "tpm"}) as d:
        with d.stack.peer(ADMIN) as admin:
            assert admin.describe("device-p256")["protection"] == "tpm"
        with d.client("p256") as visit, d.server("p256") as (port, line):
            for _ in range(2):
                assert visit(port) == "ok TLSv1.3 p256-client-and-server" == line()


def test_who_may_not_sign_hears_the_daemons_sentence():
    if not ROOT:
        raise case.Skip("needs several users, so root")
    with deployment() as d, d.stock_server(d.peer()) as port, d.client("p256", uid=BOB) as visit:
        said = visit(port)
        assert said.startswith("key-unusable PolicyDenied ") and f"uid {BOB}" in said, said
        d.stack.cli("key", "disable", "device-p256")
        with d.client("p256") as alice:
            assert alice(port).startswith("key-unusable KeyDisabled ")


# An identity that cannot be used


def test_an_unusable_identity_is_refused_with_its_finding():
    with deployment("p256", "ed25519") as d:
        private = Certificate(None, make_key("p256")).key_pem
        for finding, role, options in (
                ("files-missing NoSuchIdentity", "client", {"key": None}),
                ("files-missing NoSuchIdentity", "client", {"cert": None}),
                ("files-missing NoSuchIdentity", "mutual", {"trust": None}),
                ("malformed CertificateUnusable", "client", {"cert": b"not a certificate"}),
                ("malformed CertificateUnusable", "client", {"cert": d.leaf() + private}),
                ("malformed CertificateUnusable", "client", {"key": private}),
                ("malformed CertificateUnusable", "client", {"key": d.reference["p256"].replace(b"\nM", b"\nN", 1)}),
                ("malformed CertificateUnusable", "client", {"trust": b"no anchors"}),
                ("malformed CertificateUnusable", "client", {"trust": b""}),
                ("malformed CertificateUnusable", "client", {"pins": [""]}),
                ("malformed CertificateUnusable", "client", {"pins": ["sha256//AAAA"]}),
                ("key-mismatch CertificateUnusable", "client", {"reference": d.reference["ed25519"]}),
                ("expired CertificateUnusable", "client", {"leaf": d.leaf(days=-HOUR)}),
                ("not-yet-valid CertificateUnusable", "client", {"leaf": d.leaf(since=HOUR)}),
                ("wrong-usage CertificateUnusable", "server", {"leaf": d.leaf(eku=["client"])}),
                ("wrong-usage CertificateUnusable", "client", {"leaf": d.leaf(eku=["server"])}),
                ("untrusted CertificateUnusable", "client", {"chain": d.other_ca.pem})):
            d.identity(name="broken", **options)
            said = d.refusal("broken", role)
            assert said.startswith(finding + " broken: "), (finding, options, said)
        assert d.refusal("nobody").startswith("files-missing NoSuchIdentity nobody: ")
        for name in "../p256", ".p256.1", "", "a" * 65:
            assert d.refusal(name).startswith("none InvalidName "), name


def test_a_server_asks_clients_where_it_has_anchors():
    with deployment() as d:
        d.identity(name="open", trust=None)
        with d.server("open", "server") as (port, line):
            assert "HTTP/1.0 200 ok" in d.stock_client(port) and line() == "ok TLSv1.3 -"
        with d.server("p256", "server") as (port, line):
            d.stock_client(port)
            assert line().startswith("files-missing CertificateUnusable ")
            assert "HTTP/1.0 200 ok" in d.stock_client(port, identity=d.peer()) and line() == "ok TLSv1.3 peer"


# Peers that are refused


def test_a_server_that_is_not_the_one_meant_is_refused():
    with deployment() as d:
        good = make_key("p256")
        d.identity(name="pinned", pins=["sha256//" + "A" * 43 + "=", pin(good)])
        with d.client("p256") as visit, d.client("pinned") as pinned:
            for finding, options in (
                    ("untrusted", {"issuer": d.other_ca}), ("expired", {"days": -HOUR}), ("not-yet-valid", {"since": HOUR}),
                    ("wrong-usage", {"eku": ["client"]}), ("host-mismatch", {"dns": ["elsewhere"]})):
                with d.stock_server(d.peer(key=good, **options)) as port:
                    for one in visit, pinned:
                        assert one(port).startswith(f"{finding} CertificateUnusable "), finding
            with d.stock_server(d.peer(key=good, dns=["localhost", "*.example.org"], ip=["127.0.0.1"])) as port:
                for host in "localhost", "127.0.0.1", "a.example.org", "sni:localhost":
                    assert visit(port, host) == "ok TLSv1.3 peer" == pinned(port, host), host
                for host in "127.0.0.2", "a.b.example.org", "example.org", "sni:elsewhere", "peer":
                    assert visit(port, host).startswith("host-mismatch "), host
                assert "hf_ssl_set_host" in (said := visit(port, "-")) and said.startswith("none InvalidArgs "), said
            with d.stock_server(d.peer()) as port:
                assert pinned(port).startswith("pin-mismatch ") and visit(port) == "ok TLSv1.3 peer"


def test_a_client_without_anchors_trusts_what_the_system_trusts():
    with deployment() as d, d.stock_server(d.peer()) as port:
        d.identity(name="open", trust=None)
        with d.client("open", SSL_CERT_FILE=str(d.file("system.pem", d.ca.pem))) as visit, d.client("open") as stranger:
            assert visit(port) == "ok TLSv1.3 peer" and stranger(port).startswith("untrusted ")
            d.identity(name="open", trust=d.other_ca.pem)
            assert visit(port).startswith("untrusted "), "its own anchors come first"


def test_old_versions_and_a_peer_that_refuses_us_have_their_words():
    with deployment() as d, d.client("p256") as visit:
        with d.stock_server(d.peer(), "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0") as port:
            assert visit(port).startswith("no-common-version ")
        with d.stock_server(d.peer(), ca=d.file("other.pem", d.other_ca.pem)) as port:
            assert re.match("refused-by-peer .*unknown CA", visit(port))
        with d.server("p256") as (port, line):
            d.stock_client(port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", identity=d.peer())
            assert line().startswith("no-common-version ")
            d.stock_client(port, identity=d.peer(), ca=d.file("other.pem", d.other_ca.pem))
            assert line().startswith("refused-by-peer ")


def test_a_client_that_is_not_trusted_is_refused():
    with deployment() as d:
        good = make_key("p256")
        d.identity(name="pinned", pins=[pin(good)])
        with d.server("p256") as (port, line), d.server("pinned") as (pinned_port, pinned_line):
            for finding, options in (("untrusted", {"issuer": d.other_ca}), ("expired", {"days": -HOUR}),
                                     ("not-yet-valid", {"since": HOUR}), ("wrong-usage", {"eku": ["server"]})):
                for version in "-tls1_2", "-tls1_3":
                    assert "200 ok" not in d.stock_client(port, version, identity=d.peer(**options))
                    assert line().startswith(f"{finding} CertificateUnusable "), finding
            d.stock_client(pinned_port, identity=d.peer())
            assert pinned_line().startswith("pin-mismatch ")
            assert "200 ok" in d.stock_client(pinned_port, identity=d.peer(key=good)) and pinned_line() == "ok TLSv1.3 peer"


def test_a_revoked_server_is_refused_by_a_context_with_a_list():
    with deployment() as d:
        crt, key = d.peer()
        served = Certificate(x509.load_pem_x509_certificate(crt.read_bytes()).public_bytes(serialization.Encoding.DER), None)
        with d.stock_server((crt, key)) as port:
            for finding, revoked in ("revoked CertificateUnusable", [served]), ("ok TLSv1.3 peer", []):
                with d.client("p256", "use", d.file("list.pem", d.ca.crl(*revoked).pem)) as visit:
                    assert visit(port).startswith(finding)
            with d.client("p256", "use", d.file("list.pem", d.other_ca.crl().pem)) as visit:
                assert visit(port).startswith("no-crl ")


def test_who_is_in_the_identitys_list_is_refused_and_resumes_nothing_while_other_cas_need_no_list():
    with deployment() as d, d.server("p256") as (port, line):
        session, peer = d.dir / "session", d.peer()
        served = Certificate(x509.load_pem_x509_certificate(peer[0].read_bytes()).public_bytes(serialization.Encoding.DER), None)
        d.identity(crl=d.ca.crl().pem)
        assert "200 ok" in d.stock_client(port, "-sess_out", session, identity=peer) and line().endswith("peer")
        d.identity(crl=d.ca.crl(served).pem)
        assert "200 ok" not in d.stock_client(port, "-sess_in", session, identity=peer)
        assert line().startswith("revoked CertificateUnusable ")
        d.identity(crl=d.ca.crl().pem, trust=d.ca.pem + d.other_ca.pem)
        assert "200 ok" in d.stock_client(port, identity=peer) and line().endswith("peer")
        assert "200 ok" in d.stock_client(port, identity=d.peer(issuer=d.other_ca)) and line().endswith("peer")


# Certificates that change


def test_new_connections_use_the_new_certificate_and_open_ones_go_on():
    with deployment("p256", "ed25519") as d:
        with d.server("p256") as (port, line), d.client("p256") as visit:
            assert visit(port) == "ok TLSv1.3 p256-client-and-server" == line()
            ca, (crt, key) = d.file("ca.pem", d.ca.pem), d.peer()
            held = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca, "-cert", crt, "-key", key,
                                     "-ign_eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert line() == "ok TLSv1.3 peer"
            d.identity(leaf=d.leaf("p256", "renewed"), name="p256")
            held.stdin.write(b"GET / HTTP/1.0\r\n\r\n")
            held.stdin.flush()
            assert b"HTTP/1.0 200 ok" in held.communicate(timeout=30)[0]
            assert visit(port) == "ok TLSv1.3 renewed" == line()
            d.identity("ed25519", name="p256", leaf=d.leaf("ed25519", "rekeyed"))
            assert visit(port) == "ok TLSv1.3 rekeyed" == line()


def test_a_generation_that_cannot_be_used_ends_handshakes_until_there_is_a_better_one():
    with deployment() as d, d.stock_server(d.peer()) as port, d.client("p256") as visit:
        assert visit(port) == "ok TLSv1.3 peer"
        d.identity(cert=b"torn")
        assert visit(port).startswith("malformed ")
        d.identity(trust=None)
        assert visit(port).startswith("files-missing "), "trust became wider"
        d.tls.remove("p256")
        assert visit(port).startswith("files-missing ")
        d.identity(trust=d.other_ca.pem)
        assert visit(port).startswith("untrusted ")
        d.identity()
        assert visit(port) == "ok TLSv1.3 peer"
        d.tls.path.rename(d.dir / "away")
        assert visit(port) == "ok TLSv1.3 peer", "the directory cannot be reached, as in a chroot"


def test_a_certificate_that_expires_meanwhile_is_not_used_any_more():
    with deployment() as d:
        soon = datetime.datetime.utcnow() + datetime.timedelta(seconds=3)
        d.identity(leaf=d.leaf(days=(soon - NOW) / datetime.timedelta(days=1)))
        with d.stock_server(d.peer()) as port, d.client("p256") as visit:
            assert visit(port) == "ok TLSv1.3 peer"
            said = wait_for(lambda: (now := visit(port)) != "ok TLSv1.3 peer" and now, "the end of its validity")
            assert said.startswith("expired CertificateUnusable p256: ")


def test_a_session_is_resumed_only_under_the_trust_it_was_made_under():
    with deployment() as d, d.server("p256") as (port, line):
        session, peer = d.dir / "session", d.peer()
        for version in "-tls1_2", "-tls1_3":
            d.identity()
            d.stock_client(port, version, "-sess_out", session, identity=peer)
            assert line().endswith("peer")
            for _ in range(2):
                said = d.stock_client(port, version, "-sess_in", session, identity=peer)
                assert "Reused, " in said and line().endswith("peer, resumed"), said
                d.identity()
            d.identity(trust=d.ca.pem + d.other_ca.pem)
            said = d.stock_client(port, version, "-sess_in", session, identity=peer)
            assert "Reused, " not in said and "200 ok" in said and line().endswith("peer")


# The key alone


def test_a_key_alone_signs_with_files_and_without():
    with deployment("p256", "rsa3072", "ed25519") as d:
        def key(name):
            process = d.start("key", name)
            said, _ = process.communicate(timeout=30)
            return process.returncode, said

        for name in *d.public, *(f"device-{algorithm}" for algorithm in d.public):  # of files, of the daemon
            assert key(name) == (0, ""), name
        assert key("nothing")[1].startswith("none NoSuchKey ") and key("../p256")[1].startswith("none InvalidName ")
        d.identity(name="damaged", key=d.reference["p256"][:-40])
        assert key("damaged")[1].startswith("none InvalidArgs ")
        d.identity(name="secret", key=Certificate(None, make_key("p256")).key_pem)
        assert key("secret")[1].startswith("none InvalidArgs "), "a private key was taken for a reference"


# Threads and forks


def run_with_switches(d, process):
    """A generation for each of its steps, of two kinds of key; its last words."""
    leaves = [(a, d.leaf(a, f"{a}-{n}")) for n in range(12) for a in d.public]
    for number, line in enumerate(process.stdout):
        if line != "step\n":
            return line
        algorithm, leaf = leaves[number % len(leaves)]
        d.identity(algorithm, name="p256", leaf=leaf)
    return ""


def test_threads_under_thread_sanitizer_share_contexts_while_generations_switch():
    with deployment("p256", "ed25519") as d:
        options = f"suppressions={SOURCE}/{PROGRAMS}/tsan.supp:exitcode=66"
        process = d.start("p256", "40", program="threads-tsan", before=["setarch", "-R"], TSAN_OPTIONS=options)
        last = run_with_switches(d, process)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 0 and "ThreadSanitizer" not in complaints, complaints
        made, different = map(int, last.split()[1:])
        assert made == 2 * (4 * 40 + 1) and different > 2, last


def test_forked_children_of_threads_go_on_each_for_itself():
    with deployment("p256", "ed25519") as d:
        process = d.start("p256", "40", "fork", program="threads")
        last = run_with_switches(d, process)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 0 and last.startswith("done "), complaints


# As programs have it


def test_the_example_of_the_documentation_says_hello():
    with deployment() as d, d.stock_server(d.peer()) as port:
        process = d.start("localhost:" + port, program="example-tls")
        said, complaints = process.communicate(timeout=30)
        assert process.returncode == 1 and "There is no telemetry" in complaints and "(files-missing)" in complaints, complaints
        d.identity(name="telemetry")
        process = d.start("localhost:" + port, program="example-tls")
        said, complaints = process.communicate(timeout=30)
        assert process.returncode == 0 and "HTTP/1.0 200 ok" in said, complaints


def test_libcurl_takes_an_identity_by_its_callback():
    with deployment() as d:
        def fetch(name, url, *words):
            process = d.start(name, url, *words, program="fetch")
            said, complaints = process.communicate(timeout=30)
            return process.returncode, said + complaints

        with d.stock_server(d.peer(ip=["127.0.0.1"])) as port:
            for host in "localhost", "127.0.0.1":
                assert fetch("p256", f"https://{host}:{port}/")[0] == 0
            code, said = fetch("nobody", f"https://localhost:{port}/")
            assert code == 58 and "There is no nobody" in said and "(files-missing)" in said, said
        with d.stock_server(d.peer(issuer=d.other_ca)) as port:
            for words in (), ("no-verify",):
                code, said = fetch("p256", f"https://localhost:{port}/", *words)
                assert code and "(untrusted)" in said, said
        with d.stock_server(d.peer(dns=["elsewhere"])) as port:
            for words in (), ("no-verify",):
                code, said = fetch("p256", f"https://localhost:{port}/", *words)
                assert code and "(host-mismatch)" in said, said


if __name__ == "__main__":
    case.main()
