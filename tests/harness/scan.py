# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Root reads all memory of a process and looks for the numbers of keys that openssl made: as OpenSSL keeps them
(little-endian limbs), big-endian, in hexadecimal, as DER and as base64 of a PEM file.
"""
import base64
import pathlib
import re
import subprocess

from stack import children

CHUNK = 1 << 20


def numbers(der):
    """The secret integers of a PKCS#8 file, by name."""
    from cryptography.hazmat.primitives.serialization import load_der_private_key
    key = load_der_private_key(der, None)
    n = key.private_numbers()
    if hasattr(n, "private_value"):
        return {"d": n.private_value}
    return {"d": n.d, "p": n.p, "q": n.q, "dP": n.dmp1, "dQ": n.dmq1, "qInv": n.iqmp}


def needles(name, der):
    found = {}
    for number, value in numbers(der).items():
        size = (value.bit_length() + 7) // 8
        big = value.to_bytes(size, "big")
        forms = {"big-endian": big, "limbs": big[::-1], "hex": big.hex().encode(), "HEX": big.hex().upper().encode(),
                 "base64": base64.b64encode(big)[:-4]}
        found |= {f"{name} {number} {form}": text[:40] for form, text in forms.items()}
    body = base64.b64encode(der)
    found[f"{name} PEM"] = body[len(body) // 2:len(body) // 2 + 40]
    return found


def maps(pid):
    for line in open(f"/proc/{pid}/maps"):
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
        if match and "[vvar" not in line and "[vsyscall]" not in line:
            yield int(match[1], 16), int(match[2], 16)


def scan(pid, wanted):
    """Names of what was found, and the number of bytes that could be read."""
    found, readable, overlap = {}, 0, max(len(n) for n in wanted.values())
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end in maps(pid):
            at, tail = begin, b""
            while at < end:
                try:
                    memory.seek(at)
                    data = memory.read(min(CHUNK, end - at))
                except (OSError, OverflowError):
                    data = b""  # memory that not even root reads
                if not data:
                    break
                readable += len(data)
                text = tail + data
                for name, needle in wanted.items():
                    if needle in text:
                        found[name] = hex(at)
                tail, at = text[-overlap:], at + len(data)
    return found, readable


def make_keys(directory):
    keys = {}
    for name, arguments in {"scan-ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                            "scan-rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}.items():
        path = pathlib.Path(directory) / f"{name}.pem"
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", *arguments, "-out", path], check=True, stderr=subprocess.DEVNULL)
        der = subprocess.run(["openssl", "pkey", "-in", path, "-outform", "DER"], check=True, capture_output=True).stdout
        keys[name] = (path, to_pkcs8(path))
        assert der
    return keys


def to_pkcs8(path):
    return subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", path, "-outform", "DER"], check=True,
                          capture_output=True).stdout


def family(pid):
    """It and all its descendants."""
    return [pid] + [p for child in children(pid) for p in family(child)]
