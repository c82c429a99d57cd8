# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges from outside: the stock openssl command, and the exported log as plain JSON lines."""
import json
import pathlib
import subprocess
import tempfile


def signature_is_good(pem, message, signature, digest="sha256"):
    """ECDSA and RSA by `openssl dgst`, Ed25519 (digest None) by `openssl pkeyutl`."""
    with tempfile.TemporaryDirectory() as directory:
        d = pathlib.Path(directory)
        for name, content in {"key": pem, "message": message, "signature": signature}.items():
            (d / name).write_bytes(content)
        if digest:
            command = ["openssl", "dgst", f"-{digest}", "-verify", d / "key", "-signature", d / "signature", d / "message"]
        else:
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", d / "key", "-rawin", "-in", d / "message",
                       "-sigfile", d / "signature"]
        return subprocess.run(command, capture_output=True).returncode == 0


def exported(peer):
    """The whole log as the daemon exports it: bytes."""
    with tempfile.TemporaryFile() as output:
        peer.export(output)
        output.seek(0)
        return output.read()


def lines(log, event=None):
    """Its records; event chooses."""
    records = [json.loads(line) for line in log.splitlines()]
    return [r for r in records if event is None or r.get("event") == event]


def flip(log, line, offset=100):
    """A copy with one bit of one line (from 1) turned."""
    parts = log.splitlines(keepends=True)
    damaged = bytearray(parts[line - 1])
    damaged[min(offset, len(damaged) - 3)] ^= 1
    parts[line - 1] = bytes(damaged)
    return b"".join(parts)
