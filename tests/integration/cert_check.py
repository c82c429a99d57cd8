#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
holdfast cert check: each finding provoked with stock openssl and nginx, and what the journal is told.
"""
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading

import case
from certificates import DAY, NOW, Authority
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from party import block, free_port, need, reference
from site_of_peers import site
from stack import ADMIN, SOURCE, need_root


MUTUAL = ("-Verify", "3", "-verify_return_error")


def test_a_peer_that_fits_is_told_as_such():
    with site("p256", "rsa3072", "ed25519") as s:
        for algorithm in "p256", "rsa3072", "ed25519":
            s.identity(algorithm, key=f"device-{algorithm}")
            s.expect(None, 0, algorithm)
            for version in "-tls1_2", "-tls1_3":
                with s.openssl("-num_tickets", "0", version, *MUTUAL) as address:
                    done = s.expect(None, 0, algorithm, address, says="takes it, and is who it should be (TLSv1." + version[-1])
                    report = json.loads(s.check(algorithm, address, "--json").stdout)
                    assert report["findings"] == [] and report["peer"]["version"] == "TLSv1." + version[-1], (done, report)
                    assert report["peer"]["fingerprint"] == hashlib.sha256(s.server.der).hexdigest()
        with s.nginx() as address:
            s.expect(None, 0, "p256", address)
        with s.openssl() as address:  # which asks for nothing
            s.expect(None, 0, "p256", address)


def test_what_cert_set_put_there_is_checked_and_verified_by_its_name():
    with site() as s:
        (s.dir / "chain.pem").write_bytes(s.certificate("device-p256").pem + s.inter.pem)
        (s.dir / "ca.pem").write_bytes(s.root.pem)
        s.stack.cli("cert", "set", "device", "--key", "device-p256", "--chain", s.dir / "chain.pem", "--trust", s.dir / "ca.pem")
        s.tls = s.stack.dir / "run/tls"
        with s.openssl(*MUTUAL) as address:
            s.expect(None, 0, "device", address)
        assert s.holdfast("verify", "device", "--purpose", "client").stdout.startswith(b"[PASS] Certificate is VALID\n")
        s.stack.cli("cert", "remove", "device", "--yes")
        s.expect("files-missing", 10, "device")


def test_a_file_that_programs_read_and_is_gone_or_another_is_told():
    with site() as s:
        (s.dir / "chain.pem").write_bytes(s.certificate("device-p256").pem + s.inter.pem)
        (s.dir / "ca.pem").write_bytes(s.root.pem)
        s.tls = s.stack.dir / "run/tls"
        usual = "chain.pem", "fullchain.pem", "bundle.pem"
        for layout, more in ("pem", ()), ("local", ("local.crt", "local.key", "ca.crt")), ("named", ("device.crt", "device.key", "ca.crt",
                                                                                                    "fingerprint.txt")):
            s.stack.cli("cert", "set", "device", "--key", "device-p256", "--chain", s.dir / "chain.pem", "--trust", s.dir / "ca.pem",
                        "--layout", layout)
            s.expect(None, 0, "device")
            for file in (*usual, *more):
                path = s.tls / "device" / file
                before = path.read_bytes()
                path.unlink()
                s.expect("files-missing", 10, "device", says=f"There is no {file}. ")
                path.write_bytes(before + b"\n")
                if file not in ("chain.pem", "fingerprint.txt"):
                    s.expect("files-missing", 10, "device", says=f"There is no {file} with what is in ")
                path.write_bytes(before)
            s.expect(None, 0, "device")
        for name in "local", "ca":  # names that a file of another identity has
            s.stack.cli("cert", "set", name, "--key", "device-p256", "--chain", s.dir / "chain.pem", "--trust", s.dir / "ca.pem", "--layout",
                        "local")
            s.expect(None, 0, name)
        (s.tls / "device/bundle.pem").unlink()
        (s.tls / "device/device.key").unlink()
        s.expect("files-missing", 10, "device", says="There is no bundle.pem, device.key. ")
        s.stack.cli("lock")
        s.stack.cli("unlock")
        s.expect(None, 0, "device")  # as the remedy says


def test_what_is_wrong_with_our_own_files_needs_no_peer():
    with site("p256", "p384") as s:
        s.expect("files-missing", 10, "nobody")
        s.identity("half", files={"key.pem": b""})
        s.expect("files-missing", 10, "half", says="key.pem")
        s.identity("late", since=-9, days=-1)
        s.expect("expired", 10, "late", "localhost:1", says="holdfast cert set")
        s.identity("early", since=1)
        s.expect("not-yet-valid", 10, "early", says="synchronised")
        s.identity("other", certificate=s.certificate("device-p384"))
        s.expect("key-mismatch", 10, "other")
        s.identity("server", eku=("server",))
        s.expect("wrong-usage", 10, "server", "localhost:1")
        s.identity("both", eku=("client", "server"))
        s.expect(None, 0, "both", None, "--purpose", "client-server")
        s.expect("too-broad", 10, "both", None, "--purpose", "client-only")
        assert s.check("both", None, "--purpose", "all").returncode == 2
        s.identity("broken", files={"cert.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
        s.expect("malformed", 10, "broken")
        s.identity("reference", files={"key.pem": b"no reference"})
        s.expect("malformed", 10, "reference", says="key.pem is not a key reference")
        good = reference(s.stack, "device-p256").read_text()
        der = block(good)
        at = der.index(b"\x0c\x24") + 2
        plain = der[:at] + der[at:at + 36].replace(b"-", b"") + b"0000" + der[at + 36:]
        s.identity("dashes", files={"key.pem": (good[:good.index("BEGIN") + 5] + " HOLDFAST KEY REFERENCE-----\n" +
                                                base64.encodebytes(plain).decode() + "-----END HOLDFAST KEY REFERENCE-----\n").encode()})
        s.expect("malformed", 10, "dashes", says="key.pem is not a key reference")
        s.identity("stray", files={"chain.pem": Authority("stranger").pem})
        s.expect("untrusted", 8, "stray")
        done = s.expect("files-missing", 10, "nobody", None, "--json")
        assert json.loads(done.stdout)["findings"][0]["finding"] == "files-missing"
        s.identity("good")
        for words in ("../good",), ("good", None, "--connect", "host:port"), ("good", None, "--connect", ""), ("good", None, "--timeout", "0"):
            assert s.check(*words).returncode == 2, words


def test_what_is_wrong_with_the_peers_certificate_is_named():
    with site() as s:
        s.identity("device")
        bad = {"expired": (s.inter.issue("localhost", since=-9, days=-1), (s.inter,), 10),
               "not-yet-valid": (s.inter.issue("localhost", since=1), (s.inter,), 10),
               "untrusted": (Authority("stranger").issue("localhost"), (), 8),
               "host-mismatch": (s.inter.issue("elsewhere.test"), (s.inter,), 10),
               "wrong-usage": (s.inter.issue("localhost", eku=("client",)), (s.inter,), 10),
               "weak-key": (s.inter.issue("localhost", kind="rsa1024"), (s.inter,), 10)}
        for word, (leaf, others, code) in bad.items():
            for version in "-tls1_2", "-tls1_3":
                with s.openssl(version, "-cipher", "DEFAULT:@SECLEVEL=0", leaf=leaf, others=others) as address:
                    s.expect(word, code, "device", address)
        with s.openssl(others=()) as address:  # the intermediate is not sent
            s.expect("untrusted", 8, "device", address, says="whole chain")
        old = Authority("old", kind="rsa2048")
        s.identity("trusting", trust=old)
        with s.openssl("-cipher", "DEFAULT:@SECLEVEL=0", leaf=old.issue("localhost", digest="sha1"), others=()) as address:
            s.expect("weak-signature", 10, "trusting", address)


def test_pins_and_revocation_lists_of_the_identity_hold():
    def pin(certificate):
        spki = certificate.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    with site() as s, s.openssl() as address:
        s.identity("pinned", pins=[pin(s.root), pin(s.server)])
        s.expect(None, 0, "pinned", address)
        s.identity("pinned", pins=[pin(s.root)])
        s.expect("pin-mismatch", 8, "pinned", address)
        s.identity("listed", crls=[s.inter.crl(), s.root.crl()])
        s.expect(None, 0, "listed", address)
        s.identity("listed", crls=[s.inter.crl(s.server), s.root.crl()])
        s.expect("revoked", 10, "listed", address)
        s.identity("listed", crls=[s.inter.crl(), s.root.crl(last=-9, following=-1)])
        s.expect("crl-stale", 10, "listed", address)
        s.identity("listed", crls=[s.inter.crl()])
        s.expect("no-crl", 10, "listed", address)


def test_nothing_in_common_is_named():
    with site("p256", "ed25519") as s:
        s.identity("device")
        rsa = s.inter.issue("localhost", kind="rsa2048")
        for words, word in ((("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "no-common-version"),
                            (("-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"), "no-common-cipher"),
                            (("-tls1_3", "-groups", "brainpoolP256r1"), "no-common-cipher"),
                            (("-tls1_2", "-sigalgs", "RSA+SHA1", "-cipher", "DEFAULT:@SECLEVEL=0"), "no-common-signature-algorithm"),
                            (("-tls1_2", *MUTUAL, "-client_sigalgs", "RSA+SHA256"), "no-common-signature-algorithm"),
                            (("-tls1_3", *MUTUAL, "-client_sigalgs", "rsa_pss_rsae_sha256"), "no-common-signature-algorithm")):
            with s.openssl(*words, leaf=rsa) as address:
                s.expect(word, 1, "device", address)


def test_a_peer_that_refuses_us_is_quoted():
    stranger = Authority("stranger")
    with site() as s:
        s.identity("device")
        for version in "-tls1_2", "-tls1_3":
            for words in (), ("-num_tickets", "0"), ("-alpn", "http/1.1"):
                with s.openssl(version, *MUTUAL, *words, trust=stranger) as address:
                    s.expect("refused-by-peer", 1, "device", address, says="unknown CA (48)")
        with s.openssl("-alpn", "mqtt", *MUTUAL) as address:  # a peer that knows no HTTP
            s.expect(None, 0, "device", address)
        with s.nginx(trust=stranger) as address:
            s.expect("refused-by-peer", 1, "device", address, says="HTTP 400 (The SSL certificate error)")


def test_a_wrong_clock_is_told_from_a_bad_certificate():
    need("faketime")
    with site() as s:
        s.identity("device", since=-40, days=40)
        s.server = s.inter.issue("localhost", since=-20, days=20)
        s.identity("young", days=20)
        for who, offset, word in (("device", "-30d", "not-yet-valid"), ("device", "+30d", "expired"), ("young", "-30d", "not-yet-valid")):
            with s.nginx() as address:
                done = s.expect("clock-skew", 10, who, address, prefix=["faketime", "-f", offset])
                here = (NOW + int(offset[:-1]) * DAY).strftime("%Y-%m-%d")
                assert here.encode() in done.stderr and NOW.strftime("%Y-%m-%d").encode() in done.stderr, done
                assert f"({word})".encode() in done.stderr, done  # besides
        s.server = s.inter.issue("localhost", since=-20, days=-1)
        with s.nginx() as address:
            done = s.expect("expired", 10, "device", address)
            assert b"clock" not in done.stderr, done


def test_a_key_that_may_not_sign_is_told_in_the_daemons_words():
    with site() as s:
        s.identity("device")
        for version in "-tls1_2", "-tls1_3":
            with s.openssl(version, *MUTUAL) as address:
                s.stack.cli("key", "disable", "device-p256")
                s.expect("key-unusable", 1, "device", address, says="disabled")
                s.stack.cli("key", "enable", "device-p256")
                s.expect(None, 0, "device", address)


def test_a_provider_that_is_missing_or_broken_is_told_and_the_doctor_says_what_to_do():
    with site() as s:
        s.identity("device")
        modules, real = s.dir / "modules", pathlib.Path(s.stack.program("provider/holdfast.so"))
        modules.mkdir()

        def doctor(directory, conf="/nowhere.cnf"):
            done = s.holdfast("--json", "doctor", prefix=("env", f"HOLDFAST_OPENSSL_CONF={conf}"), modules=directory)
            return {f["code"]: (f["severity"], f["detail"], f["remedy"]) for f in json.loads(done.stdout)}
        with s.openssl("-tls1_3", *MUTUAL) as address:
            for content, why in (None, "No such file"), (b"no library", "file too short"):
                if content:
                    (modules / "holdfast.so").write_bytes(content)
                done = s.expect("key-unusable", 1, "device", address, says="OpenSSL cannot load holdfast.so: ", modules=modules)
                assert why.encode() in done.stderr and b"holdfast doctor" in done.stderr, done
                severity, detail, remedy = doctor(modules)["openssl-provider"]
                assert severity == "warning" and why in detail and "OPENSSL_MODULES" in remedy, (detail, remedy)
        found = doctor(real.parent)
        assert found["openssl-provider"][0] == "ok" and "/nowhere.cnf" in found["openssl-configuration"][1], found
        assert "openssl-configuration" not in doctor(real.parent, SOURCE / "provider/openssl.cnf")


def test_who_may_not_sign_is_told_in_a_whole_sentence_of_the_daemon():
    need_root()
    with site() as s:
        s.identity("device")
        s.stack.reload_rules(f"allow user={ADMIN} op=all\n")
        with s.openssl("-tls1_3", *MUTUAL) as address:
            s.expect("key-unusable", 1, "device", address, says="or you may not know of it. See `holdfast status`")


@contextlib.contextmanager
def listening(answer):
    """A peer that is none: takes connections and does answer(connection)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])
                    answer(kept[-1])
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"localhost:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


def test_a_peer_that_is_no_peer_holds_nobody_up():
    with site() as s:
        s.identity("device")
        s.expect("unreachable", 1, "device", f"localhost:{free_port()}", says="refused")
        s.expect("unreachable", 1, "device", "host.invalid:443")
        with listening(lambda c: None) as address:
            s.expect("timed-out", 1, "device", address, "--timeout", "1")
        with listening(lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as address:
            s.expect("not-tls", 1, "device", address)
        with listening(lambda c: (c.recv(4096), c.close())) as address:
            assert s.check("device", address).returncode == 1
        with listening(lambda c: c.sendall(bytes.fromhex("160303ffff") + bytes(65535))) as address:
            assert s.check("device", address, "--timeout", "2").returncode == 1


def test_the_journal_learns_identity_finding_and_peer_and_nothing_of_certificates():
    need_root()
    with site() as s, s.openssl(leaf=s.inter.issue("elsewhere.test")) as address:
        s.identity("device")
        with tempfile.TemporaryDirectory(prefix="hf-journal-") as d:
            os.chmod(d, 0o755)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.bind(f"{d}/socket")
                os.chmod(f"{d}/socket", 0o777)
                journal.settimeout(30)
                inside = f"mount -t tmpfs none /run && mkdir -p /run/systemd && ln -s {d} /run/systemd/journal"
                done = subprocess.run(["unshare", "--mount", "sh", "-c", inside + ' && exec "$@"', "sh", "env", *s.environment,
                                       f"HOLDFAST_SOCKET={s.stack.socket}",
                                       s.stack.program("cli/holdfast"), "cert", "check", "device", "--connect", address], capture_output=True)
                assert done.returncode == 10 and b"(host-mismatch)" in done.stderr, done
                line = journal.recv(65536)
        assert f"MESSAGE=identity=device finding=host-mismatch peer={address}\n".encode() in line, line
        serial = s.server.x509.serial_number
        for needle in b"elsewhere", b"CN=", b"inter", b"BEGIN", str(serial).encode(), f"{serial:x}".encode():
            assert needle not in line.replace(b"finding=host-mismatch", b""), (needle, line)


if __name__ == "__main__":
    case.main()
