#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
holdfast verify against two judges, `openssl verify` and GnuTLS' certtool, over a corpus of good and bad chains made here.
"""
import contextlib
import ctypes
import datetime
import functools
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

import case
from certificates import DAY, NOW, Authority, Certificate, build, parts, spare_key, tlv
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from party import need
from site_of_peers import site

BUILD = pathlib.Path(os.environ["HOLDFAST_BUILD"])
HOLDFAST = BUILD / "cli/holdfast"
ANY_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
OTHER_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.55555.2")


class Case:
    """
    A leaf, intermediates, roots and lists, and the verdict. openssl and gnutls are the judges' where they differ by design, and
    then `why` says what the design is.
    """

    def __init__(self, label, good, leaf, others=(), roots=(), crls=None, openssl=None, gnutls=None, why=None, word=None):
        self.label, self.good, self.leaf, self.others, self.roots, self.word = label, good, leaf, others, roots, word
        authorities = [c for c in (*others, *roots) if isinstance(c, Authority)]
        self.crls = [a.crl() for a in authorities] if crls is None else crls
        self.openssl = good if openssl is None else openssl
        self.gnutls = good if gnutls is None else gnutls
        assert why or self.openssl == self.gnutls == good, label
        self.why = why


def holdfast(*words, **options):
    return subprocess.run([HOLDFAST, "verify", *map(str, words)], capture_output=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOLDFAST_TLS": "/nonexistent", "HOLDFAST_SOCKET": "/nonexistent"}, **options)


class Span(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("len", ctypes.c_size_t)]

    def __init__(self, data=b""):
        super().__init__(data, len(data))


class Verification(ctypes.Structure):
    """HfVerification of <holdfast-verify.h>."""
    _fields_ = [("certificates", Span), ("roots", Span), ("crls", Span), ("purpose", ctypes.c_char_p), ("time", ctypes.c_uint64),
                ("signature", Span), ("fd", ctypes.c_int)]


@functools.lru_cache(maxsize=None)
def library():
    """None where it was built with a sanitizer, which this interpreter does not load."""
    path = BUILD / "libclient-ssl/libholdfast-ssl.so.0"
    if b"__asan_init" in path.read_bytes():
        return None
    lib = ctypes.CDLL(str(path))
    lib.hf_ssl_finding.restype = lib.hf_error_sentence.restype = ctypes.c_char_p
    return lib


def hf_verify(**members):
    """(result, word)"""
    lib = library()
    r = lib.hf_verify(ctypes.byref(Verification(**{k: Span(v) if k in ("certificates", "roots", "crls", "signature") else v
                                                   for k, v in members.items()})))
    return r, lib.hf_ssl_finding(None).decode() if r else "none"


def judge_openssl(d, *words):
    for option, name in ("-untrusted", "others.pem"), ("-CRLfile", "crls.pem"):
        words += (option, d / name) if (d / name).stat().st_size else ()
    done = subprocess.run(["openssl", "verify", "-x509_strict", "-auth_level", "2", "-crl_check_all", "-no-CApath", "-no-CAstore",
                           "-CAfile", d / "roots.pem", *words, d / "leaf.pem"], capture_output=True, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def judge_gnutls(d, *words):
    crl = ["--load-crl", d / "crls.pem"] if (d / "crls.pem").stat().st_size else []
    done = subprocess.run(["certtool", "--verify", "--verify-profile", "medium", "--load-ca-certificate", d / "roots.pem", *crl, "--infile",
                           d / "chain.pem", *words], capture_output=True, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def lay_out(d, c):
    files = {"leaf.pem": [c.leaf], "others.pem": c.others, "roots.pem": c.roots, "crls.pem": c.crls, "chain.pem": [c.leaf, *c.others]}
    for name, items in files.items():
        (d / name).write_bytes(b"".join(i.pem for i in items))


@contextlib.contextmanager
def directory():
    with tempfile.TemporaryDirectory(prefix="hf-verify-") as d:
        yield pathlib.Path(d)


# The corpus


def shapes():
    """Chains as people have them: depth and kinds of keys."""
    for kind in "p256", "p384", "rsa2048", "rsa3072", "ed25519", "p521":
        root = Authority("root", kind=kind)
        yield f"{kind} depth 2", root.issue(kind=kind), (), root
        inter = root.under("inter", kind=kind, pathlen=0)
        yield f"{kind} depth 3", inter.issue(kind=kind), (inter,), root
    root = Authority("root", kind="p384", pathlen=2)
    one = root.under("one", kind="rsa2048", pathlen=1)
    two = one.under("two", pathlen=0)
    yield "mixed depth 4", two.issue(kind="ed25519"), (two, one), root


def good_cases():
    for label, leaf, others, root in shapes():
        yield Case(label, True, leaf, others, [root])
        yield Case(f"{label}, others trusted as well", True, leaf, others, [Authority("stranger"), root],
                   crls=[a.crl() for a in (*others, root)])
        yield Case(f"{label}, another is revoked", True, leaf, others, [root],
                   crls=[a.crl(a.issue("other.test")) for a in (*others, root)])
    root = Authority("root")
    inter = root.under("inter")
    yield Case("no extended key usage", True, root.issue(eku=()), [], [root])
    yield Case("no key usage", True, root.issue(ku=None), [], [root])
    yield Case("unknown extension that is not critical", True,
               root.issue(extra=[(x509.UnrecognizedExtension(ANY_EXTENSION, b"\x05\x00"), False)]), [], [root])
    yield Case("chain out of order", True, inter.issue(), [Authority("stranger"), inter], [root], crls=[inter.crl(), root.crl()])
    yield Case("root sent along", True, inter.issue(), [inter, root], [root], crls=[inter.crl(), root.crl()])
    yield Case("last day far away", True, root.issue(days=365 * 20), [], [root])
    yield Case("path of exactly the length", True, root.under("a", pathlen=0).issue(), [root.under("a", pathlen=0)], [root])
    within = x509.NameConstraints([x509.DNSName("fleet.test")], None)
    bounded = root.under("bounded", constraints=within)
    yield Case("inside the name constraints", True, bounded.issue("a.fleet.test"), [bounded], [root])


def one_bad(label, leaf, others, root, **options):
    return Case(label, False, leaf, others, [root], **options)


def bad_validity(root, inter, kind):
    yield one_bad(f"{kind} expired", inter.issue(kind=kind, since=-30, days=-1), [inter], root, word="expired")
    yield one_bad(f"{kind} not yet valid", inter.issue(kind=kind, since=1), [inter], root, word="not-yet-valid")
    old = root.under("old", kind=kind, since=-60, days=-1)
    yield one_bad(f"{kind} intermediate expired", old.issue(kind=kind), [old], root, word="expired")
    early = root.under("early", kind=kind, since=1)
    yield one_bad(f"{kind} intermediate not yet valid", early.issue(kind=kind), [early], root, word="not-yet-valid")
    past = Authority("past", kind=kind, since=-60, days=-1)
    yield one_bad(f"{kind} root expired", past.issue(kind=kind), [], past, word="expired")


def bad_signature(root, inter, kind):
    stranger = spare_key(kind, "stranger")
    yield one_bad(f"{kind} signed by another key", Certificate(build("device.test", spare_key(kind), inter, signer=stranger), None),
                  [inter], root, word="bad-signature")
    forged = Authority("inter", issuer=root, kind=kind, signer=stranger)
    yield one_bad(f"{kind} intermediate signed by another key", forged.issue(kind=kind), [forged], root, word="bad-signature")
    leaf = inter.issue(kind=kind)
    yield one_bad(f"{kind} one letter changed", leaf.changed(b"device.test", b"devise.test"), [inter], root, word="bad-signature")
    yield one_bad(f"{kind} unknown root", inter.issue(kind=kind), [inter], Authority("another", kind=kind), word="untrusted",
                  crls=[inter.crl(), root.crl()])
    yield one_bad(f"{kind} intermediate left out", inter.issue(kind=kind), [], root, word="untrusted", crls=[inter.crl(), root.crl()])
    alone = Authority("device.test", kind=kind, ca=False, ku=("digital_signature",))
    yield one_bad(f"{kind} signed by itself", alone, [], root, crls=[root.crl()], word="untrusted")
    twin = Authority("root", key=stranger)
    yield one_bad(f"{kind} root of the same name", Certificate(build("device.test", spare_key(kind), twin), None), [], root,
                  crls=[root.crl()])


def bad_authority(root, inter, kind):
    leaf = root.issue("leaf", kind=kind)
    below = Certificate(build("below", spare_key(kind), Named("leaf", leaf.key)), None)
    yield one_bad(f"{kind} issued by a leaf", below, [leaf], root, crls=[root.crl()], word="bad-chain")
    no_basic = root.under("nobasic", kind=kind, basic=False)
    yield one_bad(f"{kind} issuer without basic constraints", no_basic.issue(kind=kind), [no_basic], root, word="bad-chain")
    no_ca = root.under("noca", kind=kind, ca=False)
    yield one_bad(f"{kind} issuer that is CA:FALSE", no_ca.issue(kind=kind), [no_ca], root, word="bad-chain")
    no_sign = root.under("nosign", kind=kind, ku=("digital_signature", "crl_sign"))
    yield one_bad(f"{kind} issuer without keyCertSign", no_sign.issue(kind=kind), [no_sign], root, word="bad-chain")
    short = root.under("short", kind=kind, pathlen=0)
    deep = short.under("deep", kind=kind)
    yield one_bad(f"{kind} path too long", deep.issue(kind=kind), [deep, short], root, word="bad-chain")
    within = x509.NameConstraints([x509.DNSName("fleet.test")], None)
    bounded = root.under("bounded", kind=kind, constraints=within)
    yield one_bad(f"{kind} outside the permitted names", bounded.issue(kind=kind), [bounded], root, word="bad-chain")
    without = x509.NameConstraints(None, [x509.DNSName("device.test")])
    barred = root.under("barred", kind=kind, constraints=without)
    yield one_bad(f"{kind} inside the excluded names", barred.issue(kind=kind), [barred], root, word="bad-chain")


class Named:
    """What build() asks of an issuer."""

    def __init__(self, cn, key):
        self.cn, self.key = cn, key


def bad_extension(root, inter, kind):
    unknown = x509.UnrecognizedExtension(ANY_EXTENSION, b"\x05\x00")
    other = x509.UnrecognizedExtension(OTHER_EXTENSION, b"\x05\x00")
    yield one_bad(f"{kind} unknown critical extension", inter.issue(kind=kind, extra=[(unknown, True)]), [inter], root, word="bad-chain")
    odd = root.under("odd", kind=kind, extra=[(unknown, True)])
    yield one_bad(f"{kind} unknown critical extension of an issuer", odd.issue(kind=kind), [odd], root, word="bad-chain")
    twice = inter.issue(kind=kind, extra=[(unknown, False), (other, False)]).changed(
        bytes.fromhex("2b0601040183b20302"), bytes.fromhex("2b0601040183b20301"), inter)
    yield one_bad(f"{kind} extension twice", twice, [inter], root, word="malformed", openssl=True,
                  why="OpenSSL passes unknown extensions over, however many")


def bad_revocation(root, inter, kind):
    leaf = inter.issue(kind=kind)
    also = [root.crl()]
    yield one_bad(f"{kind} revoked", leaf, [inter], root, crls=[inter.crl(leaf), *also], word="revoked")
    yield one_bad(f"{kind} revoked for a reason", leaf, [inter], root, crls=[inter.crl(leaf, reason=x509.ReasonFlags.key_compromise), *also],
                  word="revoked")
    yield one_bad(f"{kind} on hold", leaf, [inter], root, crls=[inter.crl(leaf, reason=x509.ReasonFlags.certificate_hold), *also],
                  word="revoked")
    yield Case(f"{kind} taken off a list again", True, leaf, [inter], [root], crls=[inter.crl(leaf, reason=x509.ReasonFlags.remove_from_crl), *also],
               gnutls=False, why="removeFromCRL belongs into delta lists; certtool does not look at reasons")
    yield one_bad(f"{kind} intermediate revoked", leaf, [inter], root, crls=[inter.crl(), root.crl(inter)], word="revoked")
    passive = "certtool takes the lists as they are: whether one is missing, stale or signed by its issuer is not asked"
    yield one_bad(f"{kind} list missing", leaf, [inter], root, crls=also, gnutls=True, why=passive, word="no-crl")
    yield one_bad(f"{kind} list of the root missing", leaf, [inter], root, crls=[inter.crl()], gnutls=True, why=passive, word="no-crl")
    yield one_bad(f"{kind} list stale", leaf, [inter], root, crls=[inter.crl(last=-10, following=-1), *also], gnutls=True, why=passive,
                  word="crl-stale")
    yield one_bad(f"{kind} list of another issuer", leaf, [inter], root, crls=[Authority("stranger", kind=kind).crl(), *also], gnutls=True,
                  why=passive, word="no-crl")
    forged = inter.crl(key=spare_key(kind, "stranger"))
    yield one_bad(f"{kind} list signed by another key", leaf, [inter], root, crls=[forged, *also], gnutls=True, why=passive, word="crl-invalid")
    yield one_bad(f"{kind} list is a delta", leaf, [inter], root, crls=[inter.crl(extra=[(x509.DeltaCRLIndicator(1), True)], number=2), *also],
                  gnutls=True, why=passive, word="no-crl")
    partial = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    yield one_bad(f"{kind} list is for CAs only", leaf, [inter], root, crls=[inter.crl(extra=[(partial, True)]), *also], gnutls=True, why=passive)
    odd = x509.UnrecognizedExtension(ANY_EXTENSION, b"\x05\x00")
    yield one_bad(f"{kind} unknown critical extension of a list", leaf, [inter], root, crls=[inter.crl(extra=[(odd, True)]), *also], gnutls=True,
                  why=passive)
    mute = root.under("mute", kind=kind, ku=("key_cert_sign", "digital_signature"))
    yield one_bad(f"{kind} issuer may not sign lists", mute.issue(kind=kind), [mute], root, word="crl-invalid", gnutls=True,
                  why=passive)


def bad_strength():
    weak = {"rsa1024": "weak-key", "p224": "weak-key"}
    root = Authority("root")
    for kind, word in weak.items():
        stricter = {"openssl": True, "gnutls": True, "why": "112 bits are enough for both judges, for us P-256 is the least"} if kind == "p224" else {}
        yield one_bad(f"leaf with {kind}", root.issue(key=spare_key(kind)), [], root, word=word, **stricter)
        under = root.under("weak", kind=kind)
        yield one_bad(f"issuer with {kind}", under.issue(), [under], root, word=word, **stricter)
    old = Authority("root", kind="rsa2048")
    yield one_bad("SHA-1", old.issue(digest="sha1"), [], old, word="weak-signature")
    under = old.under("inter", digest="sha1")
    yield one_bad("SHA-1 of an issuer", under.issue(), [under], old, word="weak-signature")
    small = Authority("small", kind="rsa1024")
    yield one_bad("root with rsa1024", small.issue(), [], small, word="weak-key")


def strict_only():
    """What RFC 5280 wants and X509_STRICT checks."""
    lenient = "GnuTLS does not ask for it"
    root = Authority("root")
    bare = root.under("bare", identifiers=False)
    yield one_bad("no key identifiers", bare.issue(identifiers=False), [bare], root, gnutls=True, why=lenient, word="bad-chain")
    soft = root.under("soft", critical_basic=False)
    yield one_bad("basic constraints of a CA not critical", soft.issue(), [soft], root, gnutls=True, why=lenient, word="bad-chain")
    yield one_bad("no subject and no names", root.issue(subject=x509.Name([]), dns=()), [], root, gnutls=True, why=lenient)
    yield one_bad("keyCertSign without being a CA", root.issue(ku=("digital_signature", "key_cert_sign")), [], root, gnutls=True,
                  why=lenient, word="bad-chain")


def mutilated():
    """A certificate with a byte changed, cut or put in, from a fixed seed: whoever signs does not sign this."""
    chance = random.Random(5280)
    root = Authority("root")
    leaf = root.issue()
    for i in range(60):
        at = chance.randrange(4, len(leaf.der))
        der = bytearray(leaf.der)
        der[at] ^= 1 << chance.randrange(8)
        yield one_bad(f"byte {at} changed ({i})", Certificate(bytes(der), None), [], root)
    for i in range(12):
        at = chance.randrange(1, len(leaf.der))
        yield one_bad(f"cut at {at} ({i})", Certificate(leaf.der[:at], None), [], root)
    tbs, algorithm, signature = parts(leaf.der)
    ber = "the judges read BER where it is a certificate still; two encodings would be two fingerprints of one certificate"
    yield one_bad("indefinite length", Certificate(b"\x30\x80" + tbs + algorithm + signature + b"\0\0", None), [], root, word="malformed",
                  openssl=True, gnutls=False, why=ber)
    body = tbs + algorithm + signature
    padded = b"\x30\x83\0" + len(body).to_bytes(2, "big") + body
    yield one_bad("length not the shortest", Certificate(padded, None), [], root, word="malformed", openssl=True, gnutls=True, why=ber)
    yield one_bad("something behind the end", Certificate(leaf.der + b"\0", None), [], root, word="malformed", openssl=True, gnutls=False,
                  why=ber)


def hostile(d):
    """Keys, dates and extensions of those who want to see something crash, or wait."""
    root = Authority("root", days=20000, since=-400)
    odd = "the judges leave keys to whoever uses them"
    rsa = spare_key("rsa2048", "victim")
    leaf = root.issue(key=rsa)
    bits = tlv(2, b"\0" + rsa.public_key().public_numbers().n.to_bytes(256, "big"))
    yield one_bad("RSA with an even exponent", leaf.changed(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x00", root), [], root, word="weak-key",
                  openssl=True, gnutls=True, why=odd)
    yield one_bad("RSA with an even modulus", leaf.changed(bits, bits[:-1] + bytes([bits[-1] ^ 1]), root), [], root, word="weak-key",
                  openssl=True, gnutls=True, why=odd)
    for label, e, n in ("an exponent of 65 bits", (1 << 64) + 1, (1 << 2047) + 1), ("16,384 bits", 65537, (1 << 16383) + 1):
        public = RSAPublicNumbers(e, n).public_key()
        yield one_bad(f"RSA with {label}", Certificate(build("device.test", None, root, public=public), None), [], root, word="weak-key",
                      openssl=True, gnutls=True, why=odd)
    explicit = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit"],
                              capture_output=True, check=True).stdout
    (d / "explicit.pem").write_bytes(explicit)
    (d / "ca.key").write_bytes(root.key_pem)
    (d / "ca.pem").write_bytes(root.pem)
    csr = subprocess.run(["openssl", "req", "-new", "-key", d / "explicit.pem", "-subj", "/CN=device.test"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "x509", "-req", "-days", "9", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-outform", "DER"], input=csr,
                         capture_output=True, check=True).stdout
    yield one_bad("EC with explicit parameters", Certificate(der, None), [], root, word="weak-key")
    point = root.issue().key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    yield one_bad("a point that is not on the curve", root.issue().changed(point, point[:-1] + bytes([point[-1] ^ 1]), root), [], root,
                  word="weak-key", gnutls=True, why="certtool does not look at a leaf's key")
    yield one_bad("a point at infinity", root.issue().changed(point, b"\0" * 65, root), [], root)
    late = datetime.datetime(9999, 12, 31, 23, 59, 59)
    yield Case("without an end (RFC 5280, 4.1.2.5)", True, root.issue(days=(late - NOW).days), [], [root])
    yield Case("until 2107", True, root.issue(days=365 * 81), [], [root])
    yield one_bad("from before 1970", root.issue(since=-365 * 60, days=-365 * 57), [], root, word="expired")
    made = root.issue()
    end = made.x509.not_valid_after.strftime("%y%m%d%H%M%SZ").encode()
    yield one_bad("until a leap second", made.changed(end, end[:-3] + b"60Z", root), [], root, gnutls=True,
                  why="certtool counts the sixtieth second, openssl refuses it")
    yield one_bad("a UTCTime that says it is a GeneralizedTime", made.changed(b"\x17\x0d" + end, b"\x18\x0d" + end, root), [], root)
    dns = [f"{i}.fleet.test" for i in range(2000)]
    bomb = root.under("bomb", constraints=x509.NameConstraints([x509.DNSName(f"{i}.example") for i in range(2000)], None))
    yield one_bad("2,000 names under 2,000 constraints", bomb.issue(dns=dns), [bomb], root)
    nul = root.issue(dns=["device.test.evil"]).changed(b"device.test.evil", b"device.test\0evil", root)
    yield Case("NUL in a name", True, nul, [], [root])


def corpus(d):
    yield from good_cases()
    for kind in "p256", "rsa2048", "ed25519":
        root = Authority("root", kind=kind)
        inter = root.under("inter", kind=kind)
        for family in bad_validity, bad_signature, bad_authority, bad_extension, bad_revocation:
            yield from family(root, inter, kind)
    yield from bad_strength()
    yield from strict_only()
    yield from mutilated()
    yield from hostile(d)


def disagreements(d, c):
    """What somebody says that is not as the table has it."""
    lay_out(d, c)
    begun = time.monotonic()
    done = holdfast(d / "chain.pem", "--trust", d / "roots.pem", *(["--crl", d / "crls.pem"] if c.crls else []))
    if (done.returncode == 0) != c.good or (not c.good and done.returncode not in (8, 10)):
        yield f"{c.label}: holdfast gave {done.returncode}: {done.stdout.decode()} {done.stderr.decode()}"
    if c.word and not any(f"({c.word})" in line for line in done.stderr.decode().splitlines()):
        yield f"{c.label}: holdfast does not say {c.word}: {done.stderr.decode()}"
    said = {"certificates": "chain.pem", "roots": "roots.pem", "crls": "crls.pem"}
    r, word = hf_verify(**{k: (d / v).read_bytes() for k, v in said.items()}) if library() else (c.good - 1, c.word)
    if (r == 0) != c.good or (c.word and c.word != word and f"({c.word})".encode() not in done.stderr):
        yield f"{c.label}: hf_verify() gave {r}, {word}"
    if time.monotonic() - begun > 5:
        yield f"{c.label}: {time.monotonic() - begun:.1f} s"
    for name, expected, judge in (("openssl", c.openssl, judge_openssl), ("certtool", c.gnutls, judge_gnutls)):
        verdict, said = judge(d)
        if verdict != expected:
            yield f"{c.label}: {name} says {verdict}: {said.decode(errors='replace')[:600]}"


def test_two_judges_agree_over_the_corpus():
    with directory() as d:
        cases = list(corpus(d))
        found = [complaint for c in cases for complaint in disagreements(d, c)]
        good = sum(c.good for c in cases)
        print(f"{len(cases)} chains, {good} good and {len(cases) - good} bad; differing by design: "
              f"openssl {sum(c.openssl != c.good for c in cases)}, certtool {sum(c.gnutls != c.good for c in cases)}")
        assert not found, "\n".join(found)
        assert len(cases) >= 200 and good >= 40


# What one sees


def test_the_report_has_a_line_for_each_question():
    root = Authority("root")
    inter = root.under("inter")
    with directory() as d:
        lay_out(d, Case("x", True, inter.issue(days=12, eku=("client",)), [inter], [root]))
        done = holdfast(d / "chain.pem", "--trust", d / "roots.pem", "--crl", d / "crls.pem", "--purpose", "client")
        lines = done.stdout.decode().splitlines()
        assert done.returncode == 0 and lines[0] == "[PASS] Certificate is VALID" and not done.stderr, done
        begins = ["[PASS] Signature: ", "[PASS] Expiry: Valid from ", "[WARN] Days left: 11 days left", "[PASS] Revocation: ",
                  "[PASS] Key usage: May be used as client.", "[PASS] Fingerprint: SHA-256 "]
        assert len(lines) == 7 and all(line.startswith(b) for line, b in zip(lines[1:], begins)), lines
        known = subprocess.run(["openssl", "x509", "-in", d / "leaf.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True).stdout
        assert lines[6].split()[-1] == known.decode().strip().split("=")[1].replace(":", "").lower()
        done = holdfast(d / "chain.pem", "--trust", d / "roots.pem", "--purpose", "server", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 10 and not report["valid"] and report["findings"][0]["finding"] == "wrong-usage", report
        assert [line["state"] for line in report["lines"]] == ["PASS", "PASS", "WARN", "WARN", "FAIL", "PASS"], report


def test_the_exit_code_tells_who_is_not_trusted_from_what_is_not_to_be_used():
    root = Authority("root")
    leaf, late = root.issue(), root.issue(days=-1, since=-9)
    with directory() as d:
        for trust, which, code in ((root, leaf, 0), (root, late, 10), (Authority("another"), leaf, 8)):
            lay_out(d, Case("x", True, which, [], [trust]))
            done = holdfast(d / "chain.pem", "--trust", d / "roots.pem")
            assert done.returncode == code, done
            assert done.stdout.startswith(b"[PASS] Certificate is VALID" if code == 0 else b"[FAIL] Certificate is INVALID")
        lay_out(d, Case("x", True, leaf, [], [root]))
        assert holdfast(d / "chain.pem").returncode == 8  # the system trusts nobody of ours
        assert holdfast(d / "none.pem", "--trust", d / "roots.pem").returncode == 3
        (d / "none.pem").write_bytes(b"hello")
        assert holdfast(d / "none.pem", "--trust", d / "roots.pem").returncode == 10
        assert holdfast(d / "chain.pem", "--trust", d / "none.pem").returncode == 2
        assert holdfast(d / "chain.pem", "--purpose", "everything").returncode == 2


def test_another_time_gives_another_verdict():
    root = Authority("root", days=400)
    with directory() as d:
        lay_out(d, Case("x", True, root.issue(days=30), [], [root]))
        for day, code in ((0, 0), (29, 0), (31, 10), (-3, 10)):
            at = (NOW + day * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
            done = holdfast(d / "chain.pem", "--trust", d / "roots.pem", "--at", at)
            openssl = judge_openssl_at(d, NOW + day * DAY)
            assert (done.returncode, openssl) == (code, code == 0), (day, done, openssl)
        assert holdfast(d / "chain.pem", "--trust", d / "roots.pem", "--at", "tomorrow").returncode == 2


def judge_openssl_at(d, when):
    seconds = int((when - datetime.datetime(1970, 1, 1)).total_seconds())
    return subprocess.run(["openssl", "verify", "-x509_strict", "-attime", str(seconds), "-CAfile", d / "roots.pem", d / "leaf.pem"],
                          capture_output=True).returncode == 0


def test_usages_are_judged_as_openssl_judges_them():
    root = Authority("root")
    with directory() as d:
        for eku in ((), ("client",), ("server",), ("client", "server"), ("code-signing",), ("any",)):
            for inter_eku in (), ("client",), ("server", "client"):
                inter = root.under("inter", eku=inter_eku)
                lay_out(d, Case("x", True, inter.issue(eku=eku), [inter], [root]))
                for purpose, flag in ("client", "sslclient"), ("server", "sslserver"):
                    done = holdfast(d / "chain.pem", "--trust", d / "roots.pem", "--purpose", purpose)
                    judged = judge_openssl(d, "-purpose", flag)[0]
                    assert (done.returncode == 0) == judged, (eku, inter_eku, purpose, done, judged)


def test_what_is_no_certificate_is_refused_in_words():
    root = Authority("root")
    leaf = root.issue()
    with directory() as d:
        (d / "roots.pem").write_bytes(root.pem)
        for content, words in ((b"", b"no certificate"), (leaf.key_pem, b"private key"), (leaf.pem + leaf.key_pem, b"private key"),
                               (leaf.pem * 17, b"more than 16"), (leaf.pem.replace(b"M", b"*", 3), b"not base64"),
                               (root.crl().pem, b"another kind"), (b"x" * 300000, None)):
            (d / "x.pem").write_bytes(content)
            done = holdfast(d / "x.pem", "--trust", d / "roots.pem")
            assert done.returncode == (10 if words else 2) and (words or b"MessageTooLarge") in done.stderr, (words, done)
        with open(d / "large", "wb") as large:
            large.truncate(100 << 20)
        for words in (d / "large", "--trust", d / "roots.pem"), (d / "x.pem", "--trust", d / "large"), \
                (d / "x.pem", "--trust", d / "roots.pem", "--crl", d / "large"):
            (d / "x.pem").write_bytes(leaf.pem)
            done = holdfast(*words)
            assert done.returncode == 2 and b"MessageTooLarge" in done.stderr, done
        for content in leaf.pem.replace(b"\n", b"\r\n"), leaf.pem.rstrip(b"\n"), b"Bag Attributes\n" + leaf.pem, leaf.der:
            (d / "x.pem").write_bytes(content)
            assert holdfast(d / "x.pem", "--trust", d / "roots.pem").returncode == 0, content


# Signed files


def openssl_cms(signature, content, root):
    done = subprocess.run(["openssl", "cms", "-verify", "-inform", "DER", "-in", signature, "-content", content, "-binary", "-CAfile", root,
                           "-purpose", "any", "-no-CApath", "-no-CAstore", "-out", "/dev/null"], capture_output=True, timeout=60)
    return done.returncode == 0, done


def certtool_p7(signature, content, root):
    done = subprocess.run(["certtool", "--p7-verify", "--inder", "--infile", signature, "--load-data", content, "--load-ca-certificate", root],
                          capture_output=True, timeout=60)
    return done.returncode == 0, done


def test_signed_files_verify_with_openssl_and_certtool_and_here():
    need("openssl", "certtool")
    with site("p256", "p384", "rsa3072") as s, directory() as d:
        os.chmod(d, 0o755)
        (d / "root.pem").write_bytes(s.root.pem)
        (d / "firmware").write_bytes(os.urandom(3 << 20))
        (d / "other").write_bytes((d / "firmware").read_bytes()[:-1] + b"x")
        for algorithm in "p256", "p384", "rsa3072":
            s.identity("release", key=f"device-{algorithm}", eku=("code-signing",))
            done = s.holdfast("sign", "release", "--cms", d / "firmware")
            assert done.returncode == 0 and not done.stderr, done
            (d / "sig").write_bytes(done.stdout)
            for name, good in ("firmware", True), ("other", False):
                for judge in openssl_cms, certtool_p7:
                    verdict, said = judge(d / "sig", d / name, d / "root.pem")
                    assert verdict == good, (algorithm, name, said)
                done = holdfast("--cms", d / "sig", "--trust", d / "root.pem", "--purpose", "code-signing", d / name)
                assert done.returncode == (0 if good else 8), done
                assert done.stdout.startswith(b"[PASS] Certificate is VALID" if good else b"[FAIL]"), done
                assert good or b"(altered)" in done.stderr, done
                with open(d / name, "rb") as file:
                    said = hf_verify(signature=(d / "sig").read_bytes(), roots=s.root.pem, purpose=b"code-signing", fd=file.fileno())
                assert said[1] == ("none" if good else "altered"), said


def test_a_signed_file_needs_the_usage_the_time_and_a_trusted_signer():
    with site() as s, directory() as d:
        os.chmod(d, 0o755)
        (d / "root.pem").write_bytes(s.root.pem)
        (d / "stranger.pem").write_bytes(Authority("stranger").pem)
        (d / "file").write_bytes(b"hello")
        for eku, purpose, code in ((("client",), "code-signing", 10), (("client",), "client", 0), (("code-signing",), "code-signing", 0)):
            s.identity("release", eku=eku)
            (d / "sig").write_bytes(s.holdfast("sign", "release", "--cms", d / "file").stdout)
            assert holdfast("--cms", d / "sig", "--trust", d / "root.pem", "--purpose", purpose, d / "file").returncode == code
        late = (NOW + 200 * DAY).strftime("%Y-%m-%d")
        words = "--cms", d / "sig", "--purpose", "code-signing", d / "file"
        assert holdfast(*words, "--trust", d / "root.pem", "--at", late).returncode == 10
        assert holdfast(*words, "--trust", d / "stranger.pem").returncode == 8
        assert holdfast(*words).returncode == 8
        (d / "sig").write_bytes(b"no signature")
        done = holdfast(*words, "--trust", d / "root.pem")
        assert done.returncode == 10 and b"(malformed)" in done.stderr, done
        assert holdfast("--cms", d / "none", d / "file").returncode == 3
        assert holdfast("--cms", d / "sig", d / "none").returncode == 3
        (d / "sig").write_bytes(s.holdfast("sign", "release", "--cms", d / "file").stdout)
        for done in holdfast(*words[:-1], d, "--trust", d / "root.pem"), s.holdfast("sign", "release", "--cms", d):  # not to be read
            assert done.returncode == 1 and b"EISDIR" in done.stderr and not done.stdout, done


def test_what_cannot_sign_a_file_says_why():
    with site("p256", "ed25519") as s, directory() as d:
        os.chmod(d, 0o755)
        (d / "file").write_bytes(b"hello")
        s.identity("late", since=-9, days=-1)
        for words, code, word in ((("late", "--cms", d / "file"), 10, b"(expired)"), (("nobody", "--cms", d / "file"), 10, b"(files-missing)"),
                                  (("late", "--cms", d / "file", "--digest"), 2, b""), (("late", "--cms", d / "none"), 10, b"")):
            done = s.holdfast("sign", *words)
            assert done.returncode == code and word in done.stderr and not done.stdout, done
        s.identity("good")
        assert s.holdfast("sign", "good", "--cms", d / "none").returncode == 3
        s.stack.cli("key", "disable", "device-p256")
        done = s.holdfast("sign", "good", "--cms", d / "file")
        assert done.returncode == 1 and b"(key-unusable)" in done.stderr and b"disabled" in done.stderr, done
        s.identity("edwards", key="device-ed25519")
        done = s.holdfast("sign", "edwards", "--cms", d / "file")
        assert done.returncode == 1 and b"makes no CMS signatures with this kind of key" in done.stderr, done


def test_the_library_verifies_from_bytes_alone():
    if not library():
        raise case.Skip("the library has a sanitizer in it")
    root = Authority("root", days=400)
    leaf = root.issue(eku=("client",))
    good = {"certificates": leaf.pem, "roots": root.pem}
    seconds = int((NOW + 200 * DAY - datetime.datetime(1970, 1, 1)).total_seconds())
    for change, word in (({}, "none"), ({"certificates": leaf.der, "roots": root.der}, "none"), ({"purpose": b"server"}, "wrong-usage"),
                         ({"crls": root.crl().pem}, "none"), ({"crls": root.crl(leaf).der}, "revoked"), ({"time": seconds}, "expired"),
                         ({"crls": b"nothing"}, "crl-invalid"), ({"certificates": b""}, "malformed"), ({"signature": b"x"}, "malformed"),
                         ({"roots": Authority("another").pem}, "untrusted")):
        assert hf_verify(**{**good, **change})[1] == word, (change, hf_verify(**{**good, **change}))
    for change in {"roots": b""}, {"roots": b"nothing"}, {"purpose": b"everything"}, {"time": 1 << 60}:
        assert hf_verify(**{**good, **change}) == (1, "none"), change


def test_an_identity_is_verified_by_its_name():
    with site() as s, directory() as d:
        s.identity("device", crls=[s.inter.crl(), s.root.crl()])
        done = s.holdfast("verify", "device", "--purpose", "client")
        assert done.returncode == 0 and b"[PASS] Revocation: Nothing" in done.stdout, done
        s.identity("device", certificate=s.inter.issue("device", eku=("client",)))
        assert b"(key-mismatch)" in s.holdfast("verify", "device").stderr
        assert s.holdfast("verify", "nobody").returncode == 10


if __name__ == "__main__":
    case.main()
