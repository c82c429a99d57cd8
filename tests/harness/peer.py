# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A D-Bus client on the direct socket or the private system bus, as any user.

The kernel notes who a caller is when he connects, so a root test becomes another user for the length of connect()
and comes back; every call on that connection is then that user's. Errors of the bus are raised as Refused with the
bare name ("NoSuchKey") and the sentence.
"""
import contextlib
import os
import socket
import threading

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
from jeepney.auth import BEGIN
from jeepney.io.blocking import DBusConnection

NAME = "org.holdfast.Keystore1"
ROOT = "/org/holdfast/Keystore1"
PREFIX = NAME + ".Error."


class Refused(Exception):
    def __init__(self, name, sentence):
        super().__init__(f"{name}: {sentence}")
        self.name = name.removeprefix(PREFIX)
        self.full_name = name
        self.sentence = sentence


_identity = threading.RLock()  # who we are is the whole process's


@contextlib.contextmanager
def as_user(uid, groups=()):
    """Effective identity of another user, for a connect()."""
    with _identity:
        if uid is None or os.geteuid() == uid:
            yield
            return
        own_groups = os.getgroups()
        os.setgroups(list(groups))
        os.setegid(uid)
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(own_groups)


def refusal(call, *args, **options):
    """What was said to a call that must be refused."""
    try:
        call(*args, **options)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def _line(sock):
    data = b""
    while not data.endswith(b"\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError("closed during authentication")
        data += byte
    return data


def open_socket(path, uid=None, groups=()):
    """Connected and authenticated by EXTERNAL, descriptors agreed on."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with as_user(uid, groups):
            sock.connect(path)
            effective = os.geteuid()
            # The bus reads credentials with the first bytes, so they are sent as that user too.
            sock.sendall(b"\0AUTH EXTERNAL " + str(effective).encode().hex().encode() + b"\r\n")
        answer = _line(sock)
        if not answer.startswith(b"OK"):
            raise ConnectionError(answer.decode(errors="replace"))
        sock.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        if not _line(sock).startswith(b"AGREE_UNIX_FD"):
            raise ConnectionError("no descriptors")
        sock.sendall(BEGIN)
    except BaseException:
        sock.close()
        raise
    return sock


class Peer:
    def __init__(self, path, uid=None, groups=(), timeout=60):
        self.timeout = timeout
        sock = open_socket(path, uid, groups)
        try:
            self.connection = DBusConnection(sock, enable_fds=True)  # says Hello
        except BaseException:
            sock.close()
            raise

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, path, interface, member, signature=None, *args, to=NAME):
        address = DBusAddress(path, bus_name=to, interface=interface)
        message = new_method_call(address, member, signature, args)
        reply = self.connection.send_and_get_reply(message, timeout=self.timeout)
        if reply.header.message_type == MessageType.error:
            sentence = reply.body[0] if reply.body else ""
            raise Refused(reply.header.fields[HeaderFields.error_name], sentence)
        return reply.body[0] if len(reply.body) == 1 else reply.body or None

    # The contract, in the words of the tests.

    def manager(self, member, signature="a{sv}", *args):
        return self.call(ROOT + "/Manager", NAME + ".Manager", member, signature, *(args or ({},)))

    def audit(self, member, signature="a{sv}", *args):
        return self.call(ROOT + "/Audit", NAME + ".Audit", member, signature, *(args or ({},)))

    def key(self, name, member, signature="a{sv}", *args):
        return self.call(f"{ROOT}/key/{path_encode(name)}", NAME + ".Key", member, signature, *(args or ({},)))

    def status(self):
        return plain(self.manager("Status"))

    def create(self, name, algorithm, **options):
        path, description = self.manager("CreateKey", "ssa{sv}", name, algorithm, variants(options))
        return plain(description)

    def sign(self, name, message, scheme="", **options):
        return bytes(self.key(name, "Sign", "saya{sv}", scheme, message, variants(options)))

    def describe(self, name):
        return plain(self.key(name, "Describe"))

    def public_key(self, name, form="pem"):
        return bytes(self.key(name, "GetPublicKey", "sa{sv}", form, {}))

    def destroy(self, name):
        self.key(name, "Destroy")

    def keys(self):
        found, _ = self.manager("ListKeys")
        return [plain(k) for k in found]

    def export(self, output, **options):
        """Writes the log to a file object opened for writing; gives the number of lines."""
        return self.audit("Export", "ha{sv}", output.fileno(), variants(options))


def path_encode(name):
    """As sd_bus_path_encode(3): everything but letters and (not leading) digits becomes _xx."""
    if not name:
        return "_"
    return "".join(c if c.isascii() and (c.isalpha() or (c.isdigit() and i > 0)) else f"_{ord(c):02x}"
                   for i, c in enumerate(name))


def variants(options):
    kinds = {bool: "b", int: "u", str: "s", bytes: "ay", list: "as"}
    return {k: v if isinstance(v, tuple) else (kinds[type(v)], v) for k, v in options.items()}


def plain(dictionary):
    return {k: bytes(v[1]) if v[0] == "ay" else v[1] for k, v in dictionary.items()}


def secret_fd(data):
    """A sealed memfd, the only way a secret travels."""
    import fcntl

    fd = os.memfd_create("secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: seal, shrink, grow, write
    return fd
