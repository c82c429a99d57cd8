#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
TLS without the key: stock programs with a key reference in the place of a private key file.
"""
import base64
import contextlib

import case
from stack import ADMIN, ALICE, ROOT, Stack

SPKI_OF = {"p256": 91, "rsa3072": 422, "ed25519": 44}


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


if __name__ == "__main__":
    case.main()
