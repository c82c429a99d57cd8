# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A TPM of one's own: swtpm behind a Unix socket, and what may stand between it and holdfast-tpm.

Swtpm      the TPM itself: started, stopped in order, killed, reset, cleared, locked, its state copied and put back
TpmProxy   in the middle: every command passes a rule, a function of (command, forward) that gives the response back
Hostile    a proxy that spoils responses, from a seed

swtpm's protocol is the TPM's own: a connection, a command, a response; libtss2-tcti-swtpm makes a new connection for
each command, so the proxy closes each (else a size that promises too much would be waited for), and one to PATH.ctrl
when it begins. There is no resource manager: three objects and three sessions in
all, so whoever leaks one is found out at once.
"""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from peer import Refused
from stack import ADMIN, ROOT, TPM, Stack, end_with_parent, wait_for

HEADER = struct.Struct(">HII")  # tag, size, command or response code: TCG TPM 2.0 Part 3, section 5
NO_SESSIONS = 0x8001
TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS = 0x80000000, 0x02000000, 0x03000000
CODES = {"NV_Increment": 0x134, "Clear": 0x126, "Create": 0x153, "CreatePrimary": 0x131, "ECDH_ZGen": 0x154, "HMAC": 0x155,
         "Load": 0x157, "RSA_Decrypt": 0x159, "Sign": 0x15D, "Unseal": 0x15E, "ContextLoad": 0x161, "ContextSave": 0x162,
         "FlushContext": 0x165, "StartAuthSession": 0x176, "GetCapability": 0x17A, "GetRandom": 0x17B, "Startup": 0x144,
         "Shutdown": 0x145, "ReadClock": 0x181, "PCR_Read": 0x17E, "PCR_Extend": 0x182, "NV_Read": 0x14E,
         "NV_DefineSpace": 0x12A, "Certify": 0x148, "TestParms": 0x18A, "PolicyPCR": 0x17F, "ReadPublic": 0x173}


def code_of(command):
    return HEADER.unpack_from(command)[2] if len(command) >= HEADER.size else 0


def packet(code, body=b"", tag=NO_SESSIONS):
    return HEADER.pack(tag, HEADER.size + len(body), code) + body


def read_packet(sock):
    """One command or response; empty at the end of the connection."""
    data = b""
    size = HEADER.size
    while len(data) < size:
        part = sock.recv(65536)
        if not part:
            return data
        data += part
        if len(data) >= HEADER.size:
            size = max(HEADER.unpack_from(data)[1], HEADER.size)
    return data


def transact(path, command, seconds=60):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect(str(path))
        sock.sendall(command)
        return read_packet(sock)


class Swtpm:
    """Runs as the user of holdfast-tpm, because the modes of its sockets keep others out."""

    def __init__(self, directory=None, ek_certificate=False, uid=TPM):
        self.uid = uid
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="holdfast-tpm-"))
        self.dir.mkdir(exist_ok=True)
        self.dir.chmod(0o755)
        self.state = self.dir / "state"
        self.path = self.dir / "sock"
        self.process = None
        self._own(self.dir)
        self.state.mkdir(exist_ok=True)
        if ek_certificate:
            self._certify()
        self._own_all()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end()

    @property
    def tcti(self):
        return f"swtpm:path={self.path}"

    def _own(self, path):
        if ROOT:
            os.chown(path, self.uid, self.uid)

    def _own_all(self):
        for path in (self.state, *self.state.iterdir()):
            self._own(path)

    def _certify(self):
        """An endorsement key with a certificate, as the maker of a TPM puts it in; the CA is made on the fly."""
        ca = self.dir / "ca"
        ca.mkdir()
        (self.dir / "localca.conf").write_text(
            f"statedir = {ca}\nsigningkey = {ca}/key.pem\nissuercert = {ca}/issuer.pem\ncertserial = {ca}/serial\n")
        (self.dir / "options.conf").write_text("")
        (self.dir / "setup.conf").write_text(f"create_certs_tool = {shutil.which('swtpm_localca') or '/usr/bin/swtpm_localca'}\n"
                                             f"create_certs_tool_config = {self.dir}/localca.conf\n"
                                             f"create_certs_tool_options = {self.dir}/options.conf\n")
        done = subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", self.state, "--ecc", "--create-ek-cert", "--config",
                               self.dir / "setup.conf", "--overwrite"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    # Life

    def start(self):
        for path in (self.path, f"{self.path}.ctrl"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

        def become():
            if ROOT:
                os.setgroups([])
                os.setresgid(self.uid, self.uid, self.uid)
                os.setresuid(self.uid, self.uid, self.uid)
            end_with_parent()
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--server", f"type=unixio,path={self.path}",
             "--ctrl", f"type=unixio,path={self.path}.ctrl", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stdout=open(self.dir / "log", "ab"), stderr=subprocess.STDOUT, preexec_fn=become)

        def answers():
            if self.process.poll() is not None:
                raise RuntimeError("swtpm: " + (self.dir / "log").read_text())
            with contextlib.suppress(OSError):
                return self.command(packet(CODES["GetCapability"], struct.pack(">III", 6, 0x100, 1)))
        wait_for(answers, "swtpm")
        return self

    def control(self, *arguments):
        subprocess.run(["swtpm_ioctl", "--unix", f"{self.path}.ctrl", *arguments], check=True, capture_output=True)

    def stop(self):
        """As a machine does that is switched off in order."""
        self.command(packet(CODES["Shutdown"], struct.pack(">H", 0)))
        self.control("-s")
        self.process.wait(20)
        self.process = None

    def kill(self):
        """As a machine does that loses its power."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self):
        """And everything of it is gone."""
        if self.process:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def restart(self):
        self.stop()
        return self.start()

    def reset(self):
        """A reboot of the machine's firmware: sessions and objects are gone, PCRs are as at the start."""
        self.control("-i")
        answer = self.command(packet(CODES["Startup"], struct.pack(">H", 0)))
        assert code_of(answer) == 0, answer.hex()

    def freeze(self):
        """It takes commands and answers none."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    # State

    def copy_state(self):
        """Of a TPM that does not run."""
        assert not self.process
        to = self.dir / f"copy-{len(list(self.dir.glob('copy-*')))}"
        shutil.copytree(self.state, to)
        return to

    def restore_state(self, copy):
        assert not self.process
        shutil.rmtree(self.state)
        shutil.copytree(copy, self.state)
        self._own_all()

    # Talking to it

    def command(self, command):
        return transact(self.path, command)

    def tool(self, name, *arguments, check=True, through=None, **kwargs):
        """A program of tpm2-tools: tool("pcrextend", "7:sha256=..."); through a proxy if need be."""
        done = subprocess.run(["tpm2_" + name, "-T", (through or self).tcti, *map(str, arguments)], capture_output=True, timeout=60, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"tpm2_{name} {arguments} gave {done.returncode}: {done.stderr.decode()}")
        return done

    def extend(self, pcr, digest=b"\x5a" * 32):
        self.tool("pcrextend", f"{pcr}:sha256={digest.hex()}")

    def clear(self):
        self.tool("clear")

    def allow_tries(self, tries=3, forget=1000, locked=1000):
        """Of wrong authorisations; seconds until one is forgotten, and until the lockout's own may be tried again."""
        self.tool("dictionarylockout", "-s", "-n", tries, "-t", forget, "-l", locked)

    def lock_out(self):
        """By wrong tries at an object that counts them."""
        with tempfile.TemporaryDirectory() as directory:
            d = pathlib.Path(directory)
            self.tool("createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", d / "primary")
            self.flush()
            self.tool("create", "-Q", "-C", d / "primary", "-g", "sha256", "-i", "-", "-p", "right", "-u", d / "public", "-r",
                      d / "private", input=b"bait")
            self.flush()
            self.tool("load", "-Q", "-C", d / "primary", "-u", d / "public", "-r", d / "private", "-c", d / "bait")
            self.flush()
            for _ in range(64):
                if self.permanent() & 0x200:  # TPMA_PERMANENT inLockout
                    return
                self.tool("unseal", "-c", d / "bait", "-p", "wrong", check=False)
                self.flush()
        raise AssertionError("no lockout")

    def unlock(self):
        self.tool("dictionarylockout", "-c")

    def flush(self):
        """What tpm2-tools leave behind, as they do without a resource manager."""
        for handle in self.handles(TRANSIENT):
            self.command(packet(CODES["FlushContext"], struct.pack(">I", handle)))

    def property(self, number):
        answer = self.command(packet(CODES["GetCapability"], struct.pack(">III", 6, number, 1)))
        return struct.unpack_from(">I", answer, len(answer) - 4)[0]

    def permanent(self):
        return self.property(0x200)

    def handles(self, first):
        """Of one range: transient objects, loaded or saved sessions."""
        answer = self.command(packet(CODES["GetCapability"], struct.pack(">III", 1, first, 254)))
        count = struct.unpack_from(">I", answer, HEADER.size + 5)[0]
        return list(struct.unpack_from(f">{count}I", answer, HEADER.size + 9))


@contextlib.contextmanager
def sealed(*options, tpm=True, **kwargs):
    """A Holdfast with a store sealed to its TPM (PCR 7 unless `options` of `holdfast init` say more) and a recovery code,
    and in it a key of each protection: device-tpm and device-soft."""
    with Stack(credential=None, tpm=tpm, **kwargs) as stack:
        stack.wait_signer()
        stack.cli("init", "--slot", "tpm2", "--recovery-file", stack.dir / "code", *(options or ("--pcr", "7")))
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.create("device-tpm", "p256", protection="tpm")
            admin.create("device-soft", "p256")
        yield stack


def take_over(stack):
    """What an operator does where the TPM is another one: the code tells whose store it is, recover says that it is meant."""
    if stack.status()["state"] == "locked":
        said = stack.cli("unlock", "--passphrase-file", stack.dir / "code", check=False)
        assert said.returncode != 0 and b"TpmIdentityChanged" in said.stderr, said
        assert stack.status()["state"] == "foreign"
    stack.cli("recover", "--yes", "--passphrase-file", stack.dir / "code", "--slot", "tpm2", "--pcr", "7")
    stack.wait_state("ready")


def signs(stack, key, seconds=5, message=b"again"):
    """Waits until a key signs: what a caller does who tries again. Five seconds are promised after the TPM's return."""
    def sign():
        with contextlib.suppress(OSError, Refused), stack.peer(ADMIN) as admin:
            return admin.sign(key, message)
    return wait_for(sign, f"{key} to sign", seconds)


class TpmProxy:
    """A socket in front of a TPM. `rule` may be set at any time; it may give back bytes, a list of pieces which are sent
    one by one, or None: the connection is cut without an answer."""

    def __init__(self, tpm, directory=None):
        self.tpm = tpm
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="holdfast-proxy-"))
        self.dir.chmod(0o755)
        self.path = self.dir / "sock"
        self.rule = None
        self.on_begin = lambda: None  # called when a program opens the TPM: its TCTI connects and says nothing
        self.record = None  # a list: (command, response) pairs as they pass
        self.arrived = self.passed = 0
        self.error = None
        self._ended = threading.Event()
        self._listener = None

    @property
    def tcti(self):
        return f"swtpm:path={self.path}"

    def __enter__(self):
        os.symlink(f"{self.tpm.path}.ctrl", f"{self.path}.ctrl")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self.path.chmod(0o777)
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind, *_):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.error and not kind:
            raise self.error

    def forward(self, command):
        return transact(self.tpm.path, command, 120)

    def wait(self, seconds):
        """For rules that are slow; ends with the proxy."""
        self._ended.wait(seconds)

    def _accept(self):
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._serve(connection)  # one after the other, as a TPM does
            except Exception as error:  # of a rule: the test's own mistake
                self.error = error

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            command = read_packet(connection)
            if not command:
                self.on_begin()
                return
            rule = self.rule
            self.arrived += 1
            response = rule(command, self.forward) if rule else self.forward(command)
            self.passed += 1
            if self.record is not None:
                self.record.append((command, response))
            for piece in [response] if isinstance(response, bytes) else response or []:
                connection.sendall(piece)

    # Rules

    def slow(self, seconds):
        def rule(command, forward):
            self.wait(seconds)
            return forward(command)
        return rule


def cut(command, forward):
    """The command arrives nowhere."""


def cut_after(command, forward):
    """It is done, but its answer is lost."""
    forward(command)


def only(name, rule):
    """The rule for one kind of command, the truth for all others."""
    return lambda command, forward: rule(command, forward) if code_of(command) == CODES[name] else forward(command)


def once(rule):
    """For the first command that meets it."""
    done = []

    def first(command, forward):
        if done:
            return forward(command)
        done.append(True)
        return rule(command, forward)
    return first


def answer_code(code):
    """A response that is only a code: 0x922 is TPM_RC_RETRY."""
    return lambda command, forward: packet(code)


def flipped(data, bit):
    """A number too high comes in again at the front: answers are not all of one length."""
    spoiled = bytearray(data)
    bit %= 8 * len(data)
    spoiled[bit // 8] ^= 0x80 >> bit % 8
    return bytes(spoiled)


class Hostile(TpmProxy):
    """Spoils `share` of the responses. `spoiled` counts them."""

    def __init__(self, tpm, seed=1, share=0.5, directory=None):
        super().__init__(tpm, directory)
        self.random = random.Random(seed)
        self.share = share
        self.spoiled = 0
        self.old = [packet(0)]
        self.rule = self.spoil

    def spoil(self, command, forward):
        response = forward(command)
        if self.random.random() >= self.share:
            return response
        self.spoiled += 1
        self.old = [*self.old[-31:], response]
        return self.random.choice(self.WAYS)(self, response)

    def _length(self, data, at, size):
        """A length field, or what could be one, says something else."""
        spoiled = bytearray(data)
        value = self.random.choice([0, 1, 0x7f, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff,
                                    len(data), len(data) + 1, self.random.randrange(1 << 32)])
        spoiled[at:at + size] = (value % (1 << 8 * size)).to_bytes(size, "big")
        return bytes(spoiled)

    def _bits(self, data):
        for _ in range(self.random.choice([1, 1, 1, 2, 8, 64])):
            data = flipped(data, self.random.randrange(8 * len(data)))
        return data

    def _header(self, data):
        return self._length(data, *self.random.choice([(0, 2), (2, 4), (6, 4)]))

    def _inner(self, data):
        size = self.random.choice([2, 2, 4])
        if len(data) < HEADER.size + size:
            return self._header(data)
        return self._length(data, self.random.randrange(HEADER.size, len(data) - size + 1), size)

    def _short(self, data, honest):
        data = data[:self.random.randrange(len(data) + 1)]
        return self._honest(data) if honest else data

    def _long(self, data, honest):
        data += self.random.randbytes(self.random.choice([1, 2, 16, 4096, 60000]))
        return self._honest(data) if honest else data

    @staticmethod
    def _honest(data):
        """With a size in the header that is true."""
        return data[:2] + struct.pack(">I", len(data)) + data[6:] if len(data) >= HEADER.size else data

    def _noise(self, data):
        body = self.random.randbytes(self.random.choice([0, 4, 64, len(data), 4000]))
        return packet(0, body, self.random.choice([NO_SESSIONS, 0x8002]))

    WAYS = [
        _bits, _bits, _header, _inner, _inner, _inner, _noise,
        lambda self, data: self._short(data, False), lambda self, data: self._short(data, True),
        lambda self, data: self._long(data, False), lambda self, data: self._long(data, True),
        lambda self, data: self.random.choice(self.old),
        lambda self, data: packet(self.random.choice([0x101, 0x100, 0x902, 0x903, 0x908, 0x922, 0x921, 0x98e, 0x99d, 0x18b,
                                                      self.random.randrange(1 << 32)])),
    ]
