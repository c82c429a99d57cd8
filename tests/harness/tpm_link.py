# SPDX-License-Identifier: LGPL-2.1-or-later
"""
holdfast-tpm alone, with the test in the place of the signer: link/tpm.h spoken by hand.

So a test knows every secret that goes through it, and can say what must be nowhere on the wire to the TPM.
"""
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile

from stack import BUILD, ROOT, TPM, end_with_parent

HELLO, STATE, CREATE, OPERATE, SEAL, UNSEAL, COUNTER, REPLY = 1, 2, 3, 5, 6, 7, 9, 128
VERSION = 1
P256, P384, RSA2048, RSA3072, HMAC256 = 1, 2, 3, 4, 5
USE_SIGN, USE_DECRYPT, USE_AGREE, USE_MAC = 1, 2, 3, 4
ECDSA, RSASSA, RSA_RAW, ECDH, HMAC = 1, 2, 3, 4, 5
DEFINE, READ, INCREMENT, REMOVE = 1, 2, 3, 4
NAME_SIZE = 34
HEADER = struct.Struct("<HHHHQ")
MAGIC, LINK_VERSION = 0x484B, 1


class Gone(Exception):
    """holdfast-tpm died over the request."""


def block(data):
    return struct.pack("<I", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        part, self.data = self.data[:n], self.data[n:]
        assert len(part) == n, "an answer ends too early"
        return part

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def block(self):
        return self.take(self.number("I"))

    def blob(self):
        """parent, public, private: as they are put again."""
        return self.take(NAME_SIZE) + block(self.block()) + block(self.block())


class TpmProcess:
    def __init__(self, tpm):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-link-"))
        self.dir.chmod(0o755)
        self.program = self.dir / "holdfast-tpm"
        # By a program: a descriptor of ours that is open for writing would be in what other threads fork meanwhile (ETXTBSY).
        subprocess.run(["cp", BUILD / "tpm/holdfast-tpm", self.program], check=True)
        self.tpm, self.process, self.connection, self.job = tpm, None, None, 0
        self.deaths = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.dir / "signer"))
        (self.dir / "signer").chmod(0o777)
        self.listener.listen(4)
        self.listener.settimeout(20)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        if self.connection:
            self.connection.close()
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        def become():
            if ROOT:
                os.setgroups([])
                os.setresgid(TPM, TPM, TPM)
                os.setresuid(TPM, TPM, TPM)
            end_with_parent()
        self.process = subprocess.Popen(
            [self.program, f"--socket={self.dir}/signer", f"--tcti={self.tpm.tcti}", f"--peer-uid={os.geteuid()}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "ab"), env={}, preexec_fn=become)
        self.connection, _ = self.listener.accept()
        return self

    def restart(self):
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.deaths += 1
        return self.start()

    def ask(self, kind, body=b"", seconds=60):
        """(result, detail, Reader of the rest)."""
        self.job += 1
        self.connection.settimeout(seconds)
        try:
            self.connection.sendall(HEADER.pack(MAGIC, LINK_VERSION, kind, 0, self.job) + body)
            answer = self.connection.recv(1 << 18)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Gone from e
        if not answer:
            raise Gone
        magic, version, got, _, job = HEADER.unpack_from(answer)
        assert (magic, version, got, job) == (MAGIC, LINK_VERSION, REPLY, self.job), answer[:16].hex()
        r = Reader(answer[HEADER.size:])
        return r.number("I"), r.block().decode(errors="replace"), r

    def get(self, kind, body=b""):
        result, detail, r = self.ask(kind, body)
        assert result == 0, (kind, result, detail)
        return r

    # Requests

    def create(self, algorithm, use, auth, parent=b""):
        return self.get(CREATE, bytes([algorithm, use]) + auth + block(parent)).blob()

    @staticmethod
    def operation(blob, auth, op, data):
        return blob + auth + bytes([op]) + block(data)

    def seal(self, secret, mask=0, pin=None):
        r = self.get(SEAL, block(secret) + pcrs(mask) + NO_POLICY + put_pin(pin) + bytes(NAME_SIZE))
        return r.blob(), r.data

    @staticmethod
    def unsealing(blob, values, pin=None):
        return blob + values + NO_POLICY + struct.pack("<I", 0) + put_pin(pin)


NO_POLICY = bytes([0]) + block(b"")


def pcrs(mask):
    return bytes([1]) + struct.pack("<I", mask) + bytes([0])


def put_pin(pin):
    return bytes([pin is not None]) + (pin or bytes(32))
