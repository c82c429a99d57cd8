# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A CA of the tests, and TLS directories made by hand.

    ca = Ca("tests")
    leaf = ca.issue(spki_pem, "device", dns=["localhost"])
    tls = TlsDirectory(stack.dir / "tls")
    tls.set("telemetry", leaf, reference, trust=ca.pem)

A directory is switched as holdfastd does it: a new generation, then the link. What it would refuse can be made here too.
"""
import base64
import datetime
import hashlib
import ipaddress
import itertools
import os
import shutil

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USAGES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def software_key():
    """(private PEM, public PEM) of a key that anybody can copy, for peers without Holdfast."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def pin(public):
    """As curl and pins.txt have it, of a public key in PEM."""
    key = serialization.load_pem_public_key(public)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Ca:
    def __init__(self, common, parent=None):
        self.common, self.key = common, ec.generate_private_key(ec.SECP256R1())
        signer = parent or self
        self.certificate = self._builder(self.key.public_key(), common, signer.common, now() - DAY, now() + 90 * DAY).add_extension(
            x509.BasicConstraints(True, None), True).sign(signer.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(PEM)

    @staticmethod
    def _builder(public, subject, issuer, begin, end):
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(public)
                .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end))

    def issue(self, public, common, dns=("localhost",), ip=(), usage=("client", "server"), begin=-DAY, end=30 * DAY):
        """A certificate in PEM for a public key in PEM; begin and end are counted from now."""
        names = [x509.DNSName(n) for n in dns] + [x509.IPAddress(ipaddress.ip_address(a)) for a in ip]
        b = self._builder(serialization.load_pem_public_key(public), common, self.common, now() + begin, now() + end)
        b = b.add_extension(x509.BasicConstraints(False, None), True).add_extension(x509.SubjectAlternativeName(names), False)
        b = b.add_extension(x509.ExtendedKeyUsage([USAGES[u] for u in usage]), False) if usage else b
        return b.sign(self.key, hashes.SHA256()).public_bytes(PEM)

    def crl(self, *revoked):
        """A revocation list in PEM of certificates in PEM."""
        b = x509.CertificateRevocationListBuilder().issuer_name(name(self.common)).last_update(now() - DAY).next_update(now() + DAY)
        for pem in revoked:
            serial = x509.load_pem_x509_certificate(pem).serial_number
            b = b.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - DAY / 2).build())
        return b.sign(self.key, hashes.SHA256()).public_bytes(PEM)


class TlsDirectory:
    def __init__(self, path):
        self.path, self.count = path, itertools.count(1)
        path.mkdir(mode=0o755)

    def set(self, identity, leaf, reference, chain=b"", trust=None, pins=(), **files):
        """One generation, switched to; a file that is None is left out, others replace the usual content."""
        generation = self.path / f".{identity}.{next(self.count)}"
        generation.mkdir(mode=0o755)
        content = {"cert": leaf, "chain": chain, "fullchain": leaf + chain, "key": reference, "bundle": leaf + chain + reference,
                   "ca": trust, **files}
        for stem, data in content.items():
            if data is not None:
                (generation / f"{stem}.pem").write_bytes(data)
        if pins:
            (generation / "pins.txt").write_text("".join(p + "\n" for p in pins))
        link = self.path / f".{identity}.link"
        link.symlink_to(generation.name)
        os.replace(link, self.path / identity)
        self.forget(identity, keep={generation.name})
        return self.path / identity

    def forget(self, identity, keep=()):
        for old in self.path.glob(f".{identity}.*"):
            if old.name not in keep:
                shutil.rmtree(old)

    def remove(self, identity):
        (self.path / identity).unlink()
        self.forget(identity)
