#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
How long a certificate takes to be verified off line: hf_verify() with everything read anew, the command from start to end, and
`openssl verify` beside it. Chains of three certificates with the revocation lists of both CAs.
"""
import datetime
import pathlib
import statistics
import subprocess
import tempfile
import time

from certificates import DER, NOW, Authority, RevocationList, digest_for, name
from cryptography import x509
from run import BUILD, Table, run_peer

LIMIT = 5.0  # milliseconds
LARGE = 100000  # entries of a list


def large_list(authority):
    entry = x509.RevokedCertificateBuilder().revocation_date(NOW)
    builder = (x509.CertificateRevocationListBuilder().issuer_name(name(authority.cn)).last_update(NOW)
               .next_update(NOW + datetime.timedelta(days=2)).add_extension(x509.CRLNumber(7), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False))
    builder = type(builder)(builder._issuer_name, builder._last_update, builder._next_update, builder._extensions,
                            [entry.serial_number(2**120 + 977 * i).build() for i in range(LARGE)])
    return RevocationList(builder.sign(authority.key, digest_for(authority.key)).public_bytes(DER))


def command(*words):
    """Milliseconds from start to end, the median of 15."""
    times = []
    for _ in range(15):
        begin = time.monotonic()
        subprocess.run([str(w) for w in words], check=True, capture_output=True)
        times.append((time.monotonic() - begin) * 1000)
    return statistics.median(times)


def measure(t, d, label, leaf, inter, root, lists, limit):
    (d / "chain").write_bytes(leaf.pem + inter.pem)
    (d / "root").write_bytes(root.pem)
    (d / "inter").write_bytes(inter.pem)
    (d / "lists").write_bytes(b"".join(entry.pem for entry in lists))
    files = d / "chain", d / "root", d / "lists"
    took = run_peer([BUILD / "tests/bench/bench-verify", "1", *files])
    t.add(f"{label}: hf_verify(), median", took["p50"] / 1000, "ms", limit)
    t.add(f"{label}: hf_verify(), 99 of 100", took["p99"] / 1000, "ms")
    t.add(f"{label}: holdfast verify, the whole command", command(BUILD / "cli/holdfast", "verify", files[0], "--trust", files[1], "--crl", files[2]),
          "ms")
    t.add(f"{label}: openssl verify, the whole command",
          command("openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", files[1], "-untrusted", d / "inter", "-CRLfile", files[2], files[0]),
          "ms")


def main():
    t = Table("Verification off line, chains of three certificates with lists")
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as directory:
        d = pathlib.Path(directory)
        for kind in "p256", "p384", "rsa3072", "rsa4096":
            root = Authority("root", kind=kind)
            inter = root.under("inter", kind=kind)
            measure(t, d, kind, inter.issue(kind=kind), inter, root, [inter.crl(), root.crl()], LIMIT)
        root = Authority("root")
        inter = root.under("inter")
        measure(t, d, f"p256, {LARGE:,} revoked", inter.issue(), inter, root, [large_list(inter), root.crl()], None)
    t.show()


if __name__ == "__main__":
    main()
