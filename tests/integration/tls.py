#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
TLS without the key: stock programs with a key reference in the place of a private key file.
"""
import pathlib
import re

import case
from judge import signature_is_good
from party import Server, block, curl, free_port, need, nginx, party, ready, reference, serving
from stack import ADMIN, ALICE, BOB, MALLORY, ROOT, default_rules, wait_for

SPKI_OF = {"p256": 91, "rsa3072": 422, "ed25519": 44}
SIZE_LIMIT = 65536


def test_a_reference_holds_uuid_and_public_key_and_says_that_it_is_no_secret():
    with ready(*SPKI_OF) as stack:
        with stack.peer(ADMIN) as admin:
            admin.create("device-digests", "p256", digest=True)
            for algorithm, size in SPKI_OF.items():
                key = f"device-{algorithm}"
                spki = stack.cli("key", "public", key, "--format", "spki").stdout
                text = stack.cli("key", "reference", key).stdout.decode()
                der = block(text)
                assert text.startswith("# Not a secret: key " + key) and len(spki) == size
                assert der.endswith(spki) and admin.describe(key)["uuid"].encode() in der and b"\x01\x01\xff" not in der[:80]
            assert b"\x01\x01\xff" in block(stack.cli("key", "reference", "device-digests").stdout.decode())[:80]


def test_there_is_no_reference_to_what_has_no_public_half_or_is_not_there():
    with ready() as stack:
        stack.cli("key", "create", "mac", "--algorithm", "hmac-sha256")
        assert stack.cli("key", "reference", "mac", check=False).returncode != 0
        assert stack.cli("key", "reference", "nothing", check=False).returncode == 3
        if ROOT:
            assert b"NoSuchKey" in stack.cli("key", "reference", "mac", uid=ALICE, check=False).stderr


# openssl


def test_what_openssl_signs_with_a_reference_is_good_without_the_provider():
    message = b"signed somewhere else " * 100
    with party("p256", "p384", "rsa3072", "ed25519") as (stack, p):
        (p.dir / "message").write_bytes(message)
        for algorithm in "p256", "p384", "rsa3072":
            public = stack.cli("key", "public", f"device-{algorithm}").stdout
            for digest in "sha256", "sha384", "sha512":
                for key in reference(stack, f"device-{algorithm}"), f"holdfast:device-{algorithm}":
                    signature = p.run("openssl", "dgst", f"-{digest}", "-sign", key, p.dir / "message").stdout
                    assert signature_is_good(public, message, signature, digest)
        signature = p.run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", reference(stack, "device-ed25519"), "-in",
                          p.dir / "message").stdout
        assert signature_is_good(stack.cli("key", "public", "device-ed25519").stdout, message, signature, None)
        for algorithm in "p256", "p384", "rsa3072", "ed25519":
            p.identity(f"device-{algorithm}")  # a request, which stock openssl takes


def test_rsa_pss_has_a_salt_as_long_as_its_digest_whatever_was_said():
    with party("rsa3072") as (stack, p):
        (p.dir / "message").write_bytes(b"salted")
        pem, public = reference(stack, "device-rsa3072"), p.dir / "public"
        public.write_bytes(stack.cli("key", "public", "device-rsa3072").stdout)
        pss = "-sigopt", "rsa_padding_mode:pss"
        for salt in (), ("-sigopt", "rsa_pss_saltlen:-1"), ("-sigopt", "rsa_pss_saltlen:max"), ("-sigopt", "rsa_pss_saltlen:48"):
            (p.dir / "signature").write_bytes(p.run("openssl", "dgst", "-sha384", *pss, *salt, "-sign", pem, p.dir / "message").stdout)
            stack.run(["openssl", "dgst", "-sha384", *pss, "-sigopt", "rsa_pss_saltlen:48", "-verify", public, "-signature",
                       p.dir / "signature", p.dir / "message"])
        refused = p.run("openssl", "dgst", "-sha384", *pss, "-sigopt", "rsa_pss_saltlen:20", "-sign", pem, p.dir / "message", check=False)
        assert refused.returncode and b"SchemeNotSupported" in refused.stderr


def test_cms_that_a_reference_signed_is_verified_without_the_provider():
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        (p.dir / "message").write_bytes(b"a letter")
        for algorithm in "p256", "rsa3072":
            crt, pem = p.identity(f"device-{algorithm}")
            (p.dir / "cms").write_bytes(p.run("openssl", "cms", "-sign", "-nodetach", "-in", p.dir / "message", "-signer", crt,
                                              "-inkey", pem, "-md", "sha256").stdout)
            text = stack.run(["openssl", "cms", "-verify", "-in", p.dir / "cms", "-CAfile", p.ca, "-purpose", "any"]).stdout
            assert b"a letter" in text


def test_a_refusal_is_in_the_error_queue_with_its_name_and_its_sentence():
    with party("p256", rules=default_rules() + f"allow user={ALICE} key=hashes op=sign-digest\n") as (stack, p):
        with stack.peer(ADMIN) as admin:
            admin.create("hashes", "p384", digest=True)
        pem, large = reference(stack, "device-p256"), p.dir / "large"

        def sign(key, file, uid=ALICE, digest="sha256"):
            return p.run("openssl", "dgst", f"-{digest}", "-sign", key, file, uid=uid, check=False)
        (p.dir / "message").write_bytes(b"x" * SIZE_LIMIT)
        large.write_bytes(b"x" * (SIZE_LIMIT + 1))
        assert sign(pem, p.dir / "message").returncode == 0
        assert b"MessageTooLarge" in sign(pem, large).stderr
        assert b"SchemeNotSupported" in sign(pem, p.dir / "message", digest="sha224").stderr
        if ROOT:
            assert re.search(rb"PolicyDenied.*uid %d.*holdfast policy explain" % BOB, sign(pem, p.dir / "message", BOB).stderr)
            assert b"NoSuchKey" in sign(pem, p.dir / "message", MALLORY).stderr
        hashes = reference(stack, "hashes")
        for digest in "sha256", "sha384", "sha512":
            assert signature_is_good(stack.cli("key", "public", "hashes").stdout, large.read_bytes(),
                                     sign(hashes, large, digest=digest).stdout, digest)
        (p.dir / "digest").write_bytes(bytes(32))
        bare = p.run("openssl", "pkeyutl", "-sign", "-inkey", pem, "-in", p.dir / "digest", "-pkeyopt", "digest:sha256", check=False)
        assert bare.returncode and b"holdfast::" in bare.stderr, bare


def test_a_reference_gives_itself_and_no_private_key_and_a_damaged_one_is_refused():
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        for algorithm in SPKI_OF:
            pem = reference(stack, f"device-{algorithm}")
            for cipher in [], ["-aes256", "-passout", "pass:unused"]:
                given = p.run("openssl", "pkey", "-in", pem, *cipher).stdout
                assert b"PRIVATE" not in given and block(given.decode()) == block(pem.read_text())
            der = p.dir / "reference.der"
            der.write_bytes(p.run("openssl", "pkey", "-in", pem, "-outform", "DER").stdout)
            assert der.read_bytes() == block(pem.read_text())
            assert b"PUBLIC KEY" in p.run("openssl", "pkey", "-in", der, "-inform", "DER", "-pubout").stdout
            text = p.run("openssl", "pkey", "-in", pem, "-noout", "-text").stdout
            assert b"Key in Holdfast: " in text and b"rivate" not in text
            if algorithm != "ed25519":  # which openssl cannot check, whose ever it is
                assert b"valid" in p.run("openssl", "pkey", "-in", pem, "-noout", "-check", "-pubcheck").stdout
            assert p.run("openssl", "pkey", "-in", pem, "-pubout").stdout == stack.cli("key", "public", f"device-{algorithm}").stdout
            lines = pem.read_text().splitlines(keepends=True)
            broken = p.dir / "broken.pem"
            for cut in lines[:2] + lines[3:], lines[:-2] + lines[-1:]:
                broken.write_text("".join(cut))
                assert p.run("openssl", "pkey", "-in", broken, "-pubout", check=False).returncode


def test_a_reference_does_not_sign_with_the_key_that_came_after():
    with party("p256") as (stack, p):
        (p.dir / "message").write_bytes(b"who signs?")
        pem, public = reference(stack, "device-p256"), stack.cli("key", "public", "device-p256").stdout
        stack.cli("key", "retire", "device-p256", "-y")
        with stack.peer(ADMIN) as admin:
            admin.create("device-p256", "p256")
        signed = p.run("openssl", "dgst", "-sha256", "-sign", pem, p.dir / "message", check=False)
        assert signed.returncode or signature_is_good(public, b"who signs?", signed.stdout)


# Keys that are not ours


def test_keys_of_others_work_whoever_is_asked_first():
    for first in False, True:
        with party("p256", "rsa3072", first=first) as (stack, p):
            (p.dir / "message").write_bytes(b"not yours")
            kinds = ("EC", "ec_paramgen_curve:P-256"), ("RSA", "rsa_keygen_bits:2048"), ("ED25519", None)
            for kind, option in kinds:
                key, public = p.dir / f"own-{kind}", p.dir / f"own-{kind}.pub"
                key.write_bytes(p.run("openssl", "genpkey", "-algorithm", kind, *(["-pkeyopt", option] if option else [])).stdout)
                public.write_bytes(p.run("openssl", "pkey", "-in", key, "-pubout").stdout)
                assert b"PRIVATE KEY" in p.run("openssl", "pkey", "-in", key).stdout and b"is valid" in p.run(
                    "openssl", "pkey", "-check", "-noout", "-in", key, check=False).stdout + b"is valid" * (kind == "ED25519")
                raw = ["-rawin", "-in", p.dir / "message"]
                signature = p.dir / "signature"
                signature.write_bytes(p.run("openssl", "pkeyutl", "-sign", "-inkey", key, *raw).stdout)
                p.run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-sigfile", signature, *raw)
                p.run("openssl", "req", "-x509", "-key", key, "-subj", "/CN=own", "-out", p.dir / "own.crt")
            p.run("openssl", "pkeyutl", "-derive", "-inkey", p.dir / "own-EC", "-peerkey", p.dir / "own-EC.pub")
            secret = p.dir / "secret"
            secret.write_bytes(p.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", p.dir / "own-RSA.pub", "-in", p.dir / "message").stdout)
            assert p.run("openssl", "pkeyutl", "-decrypt", "-inkey", p.dir / "own-RSA", "-in", secret).stdout == b"not yours"
            for algorithm in "p256", "rsa3072":
                identity = p.identity(f"device-{algorithm}")
                with Server(p, identity, "-groups", "P-256") as server:
                    for version in "-tls1_2", "-tls1_3":
                        server.visit(identity, version)


# Handshakes


def test_openssl_does_mutual_tls_with_references_on_both_sides():
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        identities = [p.identity(f"device-{algorithm}") for algorithm in SPKI_OF]
        for ours in identities:
            with Server(p, ours) as server:
                for version in "-tls1_2", "-tls1_3":
                    for theirs in identities:
                        assert b"Verification: OK" in server.visit(theirs, version).stdout


def test_every_key_signs_with_every_hash_that_tls_1_2_may_choose():
    with party("p256", "p384", "rsa3072") as (stack, p):
        for algorithm, kinds in ("p256", ["ECDSA"]), ("p384", ["ECDSA"]), ("rsa3072", ["RSA", "RSA-PSS"]):
            identity = p.identity(f"device-{algorithm}")
            with Server(p, identity) as server:
                server.visit(identity, "-tls1_3")
                for choice in [f"{kind}+SHA{size}" for kind in kinds for size in (256, 384, 512)]:
                    server.visit(identity, "-tls1_2", "-sigalgs", choice)
            with Server(p, identity, "-client_sigalgs", f"{kinds[0]}+SHA512") as server:
                server.visit(identity, "-tls1_2")


def test_a_restarted_daemon_and_a_disabled_key_are_only_the_next_handshakes_trouble():
    with party("p256", "ed25519") as (stack, p):
        ours, theirs = p.identity("device-p256"), p.identity("device-ed25519")
        with Server(p, ours) as server:
            for version in "-tls1_2", "-tls1_3":
                server.visit(theirs, version)
                stack.kill(stack.daemon_pid())
                stack.wait_state("ready")
                server.visit(theirs, version)
                stack.cli("key", "disable", "device-p256")
                refused = server.visit(theirs, version, check=False)
                assert refused.returncode and b"alert" in refused.stderr
                wait_for(lambda: "KeyDisabled" in server.said(), "the server to say why")
                stack.cli("key", "enable", "device-p256")
                server.visit(theirs, version)
                stack.cli("key", "disable", "device-ed25519")
                refused = server.visit(theirs, version, check=False)
                assert refused.returncode and b"KeyDisabled" in refused.stderr
                stack.cli("key", "enable", "device-ed25519")
                server.visit(theirs, version)


def test_a_key_in_the_tpm_does_tls():
    with party("p256", tpm=True) as (stack, p):
        with stack.peer(ADMIN) as admin:
            admin.create("device-tpm", "p256", protection="tpm")
        ours, theirs = p.identity("device-tpm"), p.identity("device-p256")
        with Server(p, ours) as server:
            for version in "-tls1_2", "-tls1_3":
                server.visit(ours, version)
                server.visit(theirs, version)


# nginx and curl


def test_curl_and_nginx_do_mutual_tls_with_keys_that_neither_has():
    need("nginx", "curl")
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        ec, rsa, ed = (p.identity(f"device-{algorithm}") for algorithm in SPKI_OF)
        with nginx(p, ec, rsa) as (url, errors):
            for theirs in ec, rsa, ed:
                for version in "1.2", "1.3":
                    said = curl(p, url, theirs, "--tlsv" + version, "--tls-max", version).stdout.decode()
                    assert "CN=device-" in said and "TLSv" + version in said, said
            for suite in "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256":
                curl(p, url, ed, "--tls-max", "1.2", "--ciphers", suite)
            stack.kill(stack.daemon_pid())
            stack.wait_state("ready")
            for _ in range(6):  # both workers, likely
                curl(p, url, ed)
            stack.cli("key", "disable", "device-p256")
            assert curl(p, url, ed, "--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", check=False).returncode == 35
            wait_for(lambda: "KeyDisabled" in errors.read_text(), "nginx to say why")
            curl(p, url, ed, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256")
            assert pathlib.Path(p.dir / "nginx.pid").exists()


def test_one_file_with_certificate_and_reference_is_taken_in_either_order():
    with party("p256", "rsa3072") as (stack, p):
        with Server(p, p.identity("device-p256")) as server:
            crt, pem = p.identity("device-rsa3072")
            bundle = p.dir / "bundle.pem"
            for parts in (crt, pem), (pem, crt), (crt, p.ca, pem):
                bundle.write_text("".join(part.read_text() for part in parts))
                server.visit((bundle, bundle))
                assert b"200 ok" in curl(p, f"https://localhost:{server.port}/", (bundle, bundle), "-i", "--http1.0").stdout


# Threads and forks

CPYTHON = """
import os, socket, ssl, sys, threading
port, crt, pem, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(crt, pem)
done = []
def visit(times):
    for _ in range(times):
        with socket.create_connection(("localhost", port)) as s, context.wrap_socket(s, server_hostname="localhost") as t:
            t.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            assert t.recv(8) == b"HTTP/1.1"
            done.append(1)
visit(1)
threads = [threading.Thread(target=visit, args=(8,)) for _ in range(4)]
for t in threads:
    t.start()
children = []
for _ in range(12):
    child = os.fork()
    if child == 0:
        before = len(done)
        try:
            visit(1)
        finally:
            os._exit(len(done) == before)
    children.append(child)
for t in threads:
    t.join()
failed = [os.waitpid(c, 0)[1] for c in children]
visit(1)
print(len(done), sum(1 for f in failed if f))
"""


def test_threads_and_forked_children_of_a_python_program_sign_each_for_itself():
    with party("p256", "ed25519") as (stack, p):
        crt, pem = p.identity("device-p256")
        with nginx(p, p.identity("device-p256")) as (url, _):
            done = p.run("/usr/bin/python3", "-c", CPYTHON, url.split(":")[2].strip("/"), crt, pem, p.ca)
            assert done.stdout.split() == [b"34", b"0"] and not done.stderr, done


NODE = """
const tls = require('tls'), fs = require('fs'), [port, crt, pem, ca] = process.argv.slice(1);
const s = tls.connect({port, host: '127.0.0.1', servername: 'localhost', cert: fs.readFileSync(crt), key: fs.readFileSync(pem),
                       ca: fs.readFileSync(ca)}, () => s.write('GET / HTTP/1.0\\r\\n\\r\\n'));
s.on('data', d => process.stdout.write(d)); s.on('error', e => { console.error(e); process.exit(1); });
"""


def test_node_takes_a_reference_for_its_key():
    need("node")
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        identities = [p.identity(f"device-{algorithm}") for algorithm in SPKI_OF]
        with nginx(p, identities[0]) as (url, _):
            for crt, pem in identities:
                said = p.run("node", "-e", NODE, url.split(":")[2].strip("/"), crt, pem, p.ca).stdout
                assert f"CN={crt.stem}".encode() in said, said


# mosquitto, stunnel, HAProxy


def test_mosquitto_and_its_clients_do_mutual_tls():
    need("mosquitto", "mosquitto_pub", "mosquitto_sub")
    with party("p256", "rsa3072") as (stack, p):
        (crt, pem), (client_crt, client_pem) = p.identity("device-rsa3072"), p.identity("device-p256")
        port, conf = free_port(), p.dir / "mosquitto.conf"
        conf.write_text(f"listener {port} 127.0.0.1\ncafile {p.ca}\ncertfile {crt}\nkeyfile {pem}\nrequire_certificate true\n"
                        "use_identity_as_username true\nallow_anonymous false\n")
        client = "-h", "localhost", "-p", str(port), "--cafile", p.ca, "--cert", client_crt, "--key", client_pem, "-t", "news"
        with serving(p, "mosquitto", port, "mosquitto", "-c", conf) as log:
            p.run("mosquitto_pub", *client, "-r", "-m", "hello")
            assert p.run("mosquitto_sub", *client, "-C", "1", "-W", "20").stdout == b"hello\n"
            stack.cli("key", "disable", "device-rsa3072")
            assert p.run("mosquitto_pub", *client, "-m", "again", check=False).returncode
            wait_for(lambda: "KeyDisabled" in log.read_text(), "mosquitto to say why")


def test_stunnel_and_haproxy_carry_a_request_with_references_on_each_leg():
    need("stunnel", "haproxy", "nginx", "curl")
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        ec, rsa, ed = (p.identity(f"device-{algorithm}") for algorithm in SPKI_OF)
        front, middle = free_port(), free_port()
        bundle, haproxy, stunnel = p.dir / "both.pem", p.dir / "haproxy.cfg", p.dir / "stunnel.conf"
        bundle.write_text(rsa[0].read_text() + rsa[1].read_text())
        with nginx(p, ec) as (url, _):
            server = url.split(":")[2].strip("/")
            haproxy.write_text("defaults\n mode http\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n"
                               f"listen leg\n bind 127.0.0.1:{middle} ssl crt {bundle} ca-file {p.ca} verify required\n"
                               f" server s 127.0.0.1:{server} ssl crt {bundle} ca-file {p.ca} verify required verifyhost localhost\n")
            stunnel.write_text(f"foreground = yes\npid =\n[leg]\nclient = yes\naccept = 127.0.0.1:{front}\n"
                               f"connect = 127.0.0.1:{middle}\ncert = {ed[0]}\nkey = {ed[1]}\nCAfile = {p.ca}\nverifyChain = yes\n")
            with serving(p, "haproxy", middle, "haproxy", "-db", "-f", haproxy), serving(p, "stunnel", front, "stunnel", stunnel):
                assert b"CN=device-rsa3072" in p.run("curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{front}/").stdout


if __name__ == "__main__":
    case.main()
