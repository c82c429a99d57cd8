# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Certificates to order, good and bad, without a CA program: every field can be what it must not be.

    root = Authority("root")
    leaf = root.issue("device", dns=["device.test"])
    leaf.pem, leaf.key_pem, root.crl().pem
"""
import base64
import datetime
import functools
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

warnings.filterwarnings("ignore", "SHA1 signatures")  # made to be refused

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
USAGES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH,
          "code-signing": ExtendedKeyUsageOID.CODE_SIGNING, "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
KU = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
CA_KU = ("key_cert_sign", "crl_sign")


def make_key(kind):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    curves = {"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
    return ec.generate_private_key(curves[kind]()) if kind in curves else ed25519.Ed25519PrivateKey.generate()


@functools.lru_cache(maxsize=None)
def spare_key(kind, number=0):
    """RSA keys take their time, so they are used again."""
    return make_key(kind)


def digest_for(key, name="sha256"):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else {"sha1": hashes.SHA1, "sha256": hashes.SHA256,
                                                                     "sha384": hashes.SHA384}[name]()


def sign(key, data, digest="sha256"):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    chosen = digest_for(key, digest)
    return key.sign(data, padding.PKCS1v15(), chosen) if isinstance(key, rsa.RSAPrivateKey) else key.sign(data, ec.ECDSA(chosen))


def tlv(tag, content):
    n = len(content)
    size = bytes([n]) if n < 128 else bytes([0x80 + (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + content


def parts(der):
    """The values inside a constructed one."""
    def one(at):
        n, size = der[at + 1], 2
        if n & 0x80:
            size += n & 0x7f
            n = int.from_bytes(der[at + 2:at + size], "big")
        return at + size, at + size + n
    at, end = one(0)
    while at < end:
        _, after = one(at)
        yield der[at:after]
        at = after


def pem(der, label="CERTIFICATE"):
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[i:i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


class Certificate:
    def __init__(self, der, key):
        self.der, self.key = der, key

    @property
    def pem(self):
        return pem(self.der)

    @property
    def key_pem(self):
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def x509(self):
        return x509.load_der_x509_certificate(self.der)

    def changed(self, old, new, signer=None):
        """Bytes of what is signed replaced, and signed again by signer's key if one is given; lengths stay."""
        tbs, algorithm, signature = parts(self.der)
        assert old in tbs and len(old) == len(new)
        tbs = tbs.replace(old, new, 1)
        if signer:
            signature = tlv(3, b"\0" + sign(signer.key, tbs))
        return type(self)(tlv(0x30, tbs + algorithm + signature), self.key)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority(Certificate):
    """A CA: a certificate that issues others and lists the revoked ones."""

    def __init__(self, cn, issuer=None, kind="p256", key=None, **options):
        key = key or spare_key(kind, cn)
        options.setdefault("ku", CA_KU)
        made = build(cn, key, issuer, ca=options.pop("ca", True), days=options.pop("days", 3650), eku=options.pop("eku", ()), **options)
        super().__init__(made, key)
        self.cn, self.issuer, self.digest = cn, issuer, options.get("digest", "sha256")

    def issue(self, cn="device.test", kind="p256", key=None, **options):
        key = key or spare_key(kind, cn)
        options.setdefault("dns", [cn])
        return Certificate(build(cn, key, self, **options), key)

    def under(self, cn, **options):
        return Authority(cn, issuer=self, **options)

    def crl(self, *revoked, key=None, issuer_name=None, last=-1, following=30, number=1, digest="sha256", reason=None, at=-1, extra=()):
        signer = key or self.key
        builder = (x509.CertificateRevocationListBuilder().issuer_name(name(issuer_name or self.cn)).last_update(NOW + last * DAY)
                   .next_update(NOW + following * DAY).add_extension(x509.CRLNumber(number), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.x509.serial_number).revocation_date(NOW + at * DAY)
            if reason:
                entry = entry.add_extension(x509.CRLReason(reason), False)
            builder = builder.add_revoked_certificate(entry.build())
        return RevocationList(builder.sign(signer, digest_for(signer, digest)).public_bytes(DER))


class RevocationList:
    def __init__(self, der):
        self.der, self.pem = der, pem(der, "X509 CRL")


def build(cn, key, issuer, ca=False, pathlen=None, days=90, since=-1, ku=("digital_signature",), eku=("client", "server"), dns=(), extra=(),
          digest="sha256", serial=None, constraints=None, identifiers=True, subject=None, basic=True, public=None, critical_basic=True,
          issuer_name=None, authority=None, signer=None):
    signer = signer or (issuer.key if issuer else key)
    public = public or key.public_key()
    b = (x509.CertificateBuilder().subject_name(subject if subject is not None else name(cn))
         .issuer_name(name(issuer_name or (issuer.cn if issuer else cn))).public_key(public)
         .serial_number(serial or x509.random_serial_number()).not_valid_before(NOW + since * DAY).not_valid_after(NOW + days * DAY))
    if basic:
        b = b.add_extension(x509.BasicConstraints(ca, pathlen), critical_basic)
    if ku is not None:
        b = b.add_extension(x509.KeyUsage(**{u: u in ku for u in KU}, encipher_only=False, decipher_only=False), True)
    if eku:
        b = b.add_extension(x509.ExtendedKeyUsage([USAGES[u] for u in eku]), False)
    if dns:
        b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), False)
    if constraints:
        b = b.add_extension(constraints, True)
    if identifiers:
        b = b.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        b = b.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority or (issuer.key if issuer else key).public_key()),
                            False)
    for extension, critical in extra:
        b = b.add_extension(extension, critical)
    return b.sign(signer, digest_for(signer, digest)).public_bytes(DER)
