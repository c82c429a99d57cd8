#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Whatever a stranger sends, the answer is a named error or a closed connection, and the service goes on.

Cases M01-M09 and M13-M17: wrong types, odd names, twisted options, lengths that lie, descriptors of the wrong kind,
callers that leave early, somebody who listens on the bus, and noise.
"""
import contextlib
import fcntl
import os
import random
import socket
import struct
import tempfile
import threading
import time

import case
from jeepney import DBusAddress, MessageFlag, MessageType, new_method_call
from judge import exported, lines
from peer import NAME, ROOT as PATH, Refused, open_socket, secret_fd
from stack import ADMIN, ALICE, DAEMON, MALLORY, ROOT, Stack, wait_for

KEY, MANAGER, AUDIT = NAME + ".Key", NAME + ".Manager", NAME + ".Audit"
MESSAGE_MAX = 64 * 1024
SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8
SEED = int(os.environ.get("HOLDFAST_SEED", "20260811"))
NOISE_SECONDS = float(os.environ.get("HOLDFAST_NOISE_SECONDS", "60"))


@contextlib.contextmanager
def ready(**options):
    with Stack(**options) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.timeout = 20
            admin.create("device-a", "p256")
            yield stack, admin


def refusal(call, *args):
    try:
        call(*args)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def name_of(call, *args):
    return refusal(call, *args).name


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def still_serves(stack, pid):
    assert stack.daemon_pid() == pid, "holdfastd was replaced"
    with stack.peer(ALICE) as alice:
        alice.timeout = 20
        assert alice.sign("device-a", b"still here")


def header_only(length, endian=b"l"):
    """A method call that claims a body of so many bytes."""
    return endian + b"\1\0\1" + struct.pack("<III", length, 1, 0)


# M01, M02, M15


def test_wrong_types_are_invalid_args_and_nothing_is_done():
    with ready() as (_, admin):
        key = f"{PATH}/key/device_2da"
        for interface, member, signature, args in (
                (KEY, "Sign", "s", ("ES256",)), (KEY, "Sign", "ssa{sv}", ("ES256", "text", {})),
                (KEY, "Sign", "sayas", ("ES256", b"x", [])), (KEY, "Sign", "saya{sv}s", ("ES256", b"x", {}, "more")),
                (KEY, "SignMany", "saya{sv}", ("ES256", b"x", {})), (KEY, "Describe", None, ()),
                (KEY, "Destroy", "a{ss}", ({},)), (KEY, "Destroy", "a{sv}a{sv}", ({}, {}))):
            assert name_of(admin.call, key, interface, member, signature, *args) == "InvalidArgs", (member, signature)
        assert name_of(admin.manager, "CreateKey", "sa{sv}", "device-b", {}) == "InvalidArgs"
        assert name_of(admin.manager, "Random", "sa{sv}", "12", {}) == "InvalidArgs"
        assert [k["name"] for k in admin.keys()] == ["device-a"]


def test_unknown_members_interfaces_and_objects_get_the_bus_s_own_errors():
    with ready() as (stack, direct), stack.bus_peer(ADMIN) as bus:
        for peer in (direct, bus):
            assert name_of(peer.manager, "Explode", "a{sv}", {}).endswith(".UnknownMethod")
            other = name_of(peer.call, f"{PATH}/Manager", NAME + ".Nothing", "Status", "a{sv}", {})
            assert other.endswith(".UnknownMethod" if peer is direct else ".AccessDenied"), other  # the bus's own policy
            assert name_of(peer.call, f"{PATH}/Nobody", MANAGER, "Status", "a{sv}", {}).endswith(".UnknownObject")
            assert name_of(peer.call, f"{PATH}/key/device_2da/x", KEY, "Describe", "a{sv}", {}) == "NoSuchKey"
            assert name_of(peer.call, "/", MANAGER, "Status", "a{sv}", {}).endswith(".UnknownMethod")


def test_properties_cannot_be_written():
    with ready() as (_, admin):
        for path, interface, name in ((f"{PATH}/Manager", MANAGER, "State"), (f"{PATH}/key/device_2da", KEY, "State")):
            assert name_of(admin.call, path, "org.freedesktop.DBus.Properties", "Set", "ssv", interface, name,
                           ("s", "ready")).endswith(".PropertyReadOnly")
            assert name_of(admin.call, path, "org.freedesktop.DBus.Properties", "Get", "ss", interface,
                           "Nothing").endswith(".UnknownProperty")


# M04


def test_a_name_is_letters_digits_dots_and_dashes_or_refused():
    names = ["", "a\nb", "\x1b[2J", "‮abc", "é", "../x", "a/b", "a b", "*", "-a", ".a", "x" * 65, "x" * 256, "x" * 65536]
    with ready() as (_, admin):
        for name in names:
            refused = refusal(admin.manager, "CreateKey", "ssa{sv}", name, "p256", {})
            assert refused.name == "InvalidName", name
            assert refused.sentence.isprintable()
            assert name_of(admin.manager, "AddSlot", "sa{sv}", "passphrase",
                           {"secret": ("h", secret_fd(b"x")), "label": ("s", name or "\n")}) == "InvalidName", name


def test_a_path_that_decodes_to_no_name_is_answered_as_an_absent_key_and_logged_without_it():
    paths = ["_", "_ff_fe", "_c3_28", "_0a", "_1b_5b2J", "_e2_80_ae", "_00", "_61" * 64, "_61" * 65, "_61" * 256]
    with ready() as (stack, admin), stack.peer(MALLORY) as mallory:
        mallory.timeout = 5
        for path in paths:
            for member, signature, args in (("Describe", "a{sv}", ({},)), ("Sign", "saya{sv}", ("", b"x", {})),
                                            ("Destroy", "a{sv}", ({},))):
                refused = refusal(mallory.call, f"{PATH}/key/{path}", KEY, member, signature, *args)
                assert refused.name == "NoSuchKey" and refused.sentence.isprintable(), (path, refused)
        log = exported(admin)
        assert all(n.get("name", "a").isprintable() for n in lines(log, "denied"))


# M05, M06


def test_a_duplicate_option_is_refused_and_never_the_last_wins():
    with ready() as (stack, _):
        with open_socket_call(stack, ADMIN) as call:
            twice = [("digest", ("b", False)), ("digest", ("b", True))]
            assert call(f"{PATH}/Manager", MANAGER, "CreateKey", "ssa{sv}", "device-two", "p256", twice) == "InvalidArgs"
        with stack.peer(ADMIN) as admin:
            assert [k["name"] for k in admin.keys()] == ["device-a"]


class Pairs(dict):
    """Serialised in order, each pair as often as it is given."""

    def __init__(self, pairs):
        super().__init__(enumerate(pairs))
        self.pairs = pairs

    def items(self):
        return self.pairs


@contextlib.contextmanager
def open_socket_call(stack, uid):
    with stack.peer(uid) as peer:
        def call(path, interface, member, signature, *args):
            args = [Pairs(a) if isinstance(a, list) else a for a in args]
            try:
                peer.call(path, interface, member, signature, *args)
            except Refused as refused:
                return refused.name
            return None
        yield call


def test_an_unknown_option_or_one_of_another_type_is_refused_by_every_method():
    with ready() as (_, admin):
        for name, value in (("colour", ("s", "red")), ("Digest", ("b", True)), ("digest", ("s", "yes")),
                            ("digest", ("v", ("b", True))), ("digest", ("ab", [True])), ("", ("b", True))):
            assert name_of(admin.manager, "CreateKey", "ssa{sv}", "device-x", "p256", {name: value}) == "InvalidArgs", name
        for member in ("Describe", "Enable", "Disable", "Freeze", "Retire", "Destroy"):
            assert name_of(admin.key, "device-a", member, "a{sv}", {"force": ("b", True)}) == "InvalidArgs"
        for member in ("Status", "Lock", "ListSlots", "ReloadPolicy", "Check", "ListKeys"):
            assert name_of(admin.manager, member, "a{sv}", {"force": ("b", True)}) == "InvalidArgs", member
        many = {f"option-{i}": ("b", True) for i in range(4000)}
        assert name_of(admin.key, "device-a", "Describe", "a{sv}", many) == "InvalidArgs"
        assert admin.describe("device-a")["state"] == "enabled"


def test_variants_within_variants_cost_a_connection_or_an_error_and_nothing_else():
    with ready() as (stack, _):
        pid = stack.daemon_pid()
        for depth in (2, 8, 32, 60):
            value = ("s", "x")
            for _ in range(depth):
                value = ("v", value)
            with stack.peer(ALICE) as alice:
                alice.timeout = 10
                with contextlib.suppress(ConnectionError, OSError):
                    assert name_of(alice.key, "device-a", "Describe", "a{sv}", {"x": value}) == "InvalidArgs", depth
        still_serves(stack, pid)


def test_one_byte_over_64_kib_is_too_large_and_64_kib_is_not():
    with ready() as (_, admin):
        assert admin.sign("device-a", b"x" * MESSAGE_MAX)
        assert name_of(admin.sign, "device-a", b"x" * (MESSAGE_MAX + 1)) == "MessageTooLarge"
        assert name_of(admin.key, "device-a", "SignMany", "saaya{sv}", "", [], {}) == "InvalidArgs"
        assert name_of(admin.key, "device-a", "SignMany", "saaya{sv}", "", [b"x"] * 1025, {}) in ("InvalidArgs", "LimitExceeded")
        for count in (0, 4097, 2 ** 32 - 1):
            assert name_of(admin.manager, "Random", "ua{sv}", count, {}) == "InvalidArgs"


# M03, M05


def test_a_header_that_claims_100_mib_closes_that_connection_and_costs_no_memory():
    with ready() as (stack, _):
        pid = stack.daemon_pid()
        before = resident(pid)
        for endian in (b"l", b"B"):
            sockets = [open_socket(stack.socket, MALLORY) for _ in range(20)]
            for s in sockets:
                length = struct.unpack("<I", struct.pack(">I" if endian == b"B" else "<I", 100 << 20))[0]
                s.sendall(header_only(length, endian) + bytes(4096))
            for s in sockets:
                s.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    assert s.recv(1) == b"", "the connection was not closed"
                s.close()
        assert resident(pid) - before < 4 << 20, (before, resident(pid))
        still_serves(stack, pid)


def test_a_body_that_never_comes_holds_nobody_else_up():
    with ready() as (stack, _):
        pid = stack.daemon_pid()
        waiting = [open_socket(stack.socket, MALLORY) for _ in range(50)]
        for s in waiting:
            s.sendall(header_only(60000)[:-1])
        silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for s in silent:
            s.connect(stack.socket)
        began = time.monotonic()
        still_serves(stack, pid)
        assert time.monotonic() - began < 5
        for s in waiting + silent:
            s.close()


# M07


def sealed(data, seals):
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, seals)
    return fd


def wrong_secrets(directory):
    """Everything that is no sealed memfd of 1 to 1,024 bytes, by name."""
    fifo = os.path.join(directory, "fifo")
    if not os.path.exists(fifo):
        os.mkfifo(fifo)
    plain = os.path.join(directory, "plain")
    with open(plain, "w") as f:
        f.write("a passphrase")
    return {
        "directory": os.open("/", os.O_RDONLY), "O_PATH": os.open(plain, os.O_PATH), "FIFO": os.open(fifo, os.O_RDWR),
        "/proc/self/mem": os.open("/proc/self/mem", os.O_RDWR), "device": os.open("/dev/zero", os.O_RDWR),
        "socket": socket.socket(socket.AF_UNIX).detach(), "plain file": os.open(plain, os.O_RDWR),
        "memfd without seals": sealed(b"a passphrase", 0), "memfd that can shrink": sealed(b"a passphrase", SEAL_ALL & ~0x2),
        "memfd that can be written": sealed(b"a passphrase", SEAL_ALL & ~0x8), "empty memfd": sealed(b"", SEAL_ALL),
        "memfd of 1,025 bytes": sealed(b"x" * 1025, SEAL_ALL),
    }


def test_a_secret_comes_only_in_a_sealed_memfd_and_no_descriptor_is_kept():
    with tempfile.TemporaryDirectory() as directory, ready() as (stack, admin):
        pids = stack.daemon_pid(), stack.signer_pid()
        before = [descriptors(p) for p in pids]
        for what, fd in wrong_secrets(directory).items():
            assert name_of(admin.manager, "AddSlot", "sa{sv}", "passphrase", {"secret": ("h", fd)}) == "InvalidFd", what
            assert name_of(admin.manager, "ChangeSlot", "ua{sv}", 1, {"secret": ("h", fd)}) == "InvalidFd", what
            assert name_of(admin.manager, "Unlock", "a{sv}", {"secret": ("h", fd)}) == "InvalidFd", what
            os.close(fd)
        assert len(admin.manager("ListSlots")) == 1
        wait_for(lambda: [descriptors(p) for p in pids] == before, "all descriptors to be closed")


def test_an_output_is_a_pipe_or_a_writable_file_and_no_descriptor_is_kept():
    with tempfile.TemporaryDirectory() as directory, ready() as (stack, admin):
        pid, before = stack.daemon_pid(), descriptors(stack.daemon_pid())
        reading, writing = os.pipe()
        wrong = {"directory": os.open("/", os.O_RDONLY), "O_PATH": os.open("/etc/passwd", os.O_PATH),
                 "read only": os.open("/etc/passwd", os.O_RDONLY), "device": os.open("/dev/null", os.O_RDWR),
                 "/proc/self/mem": os.open("/proc/self/mem", os.O_RDWR), "end for reading": reading,
                 "sealed memfd": sealed(b"x", SEAL_ALL)}
        for what, fd in wrong.items():
            assert name_of(admin.audit, "Export", "ha{sv}", fd, {}) == "InvalidFd", what
            assert name_of(admin.manager, "Backup", "ha{sv}", fd, {}) == "InvalidFd", what
            assert name_of(admin.manager, "AddSlot", "sa{sv}", "recovery", {"recovery": ("h", fd)}) == "InvalidFd", what
            os.close(fd)
        os.close(writing)
        wait_for(lambda: descriptors(pid) == before, "all descriptors to be closed")


def test_descriptors_nobody_asked_for_are_closed():
    with ready() as (stack, _):
        pid, before = stack.daemon_pid(), descriptors(stack.daemon_pid())
        message = new_method_call(DBusAddress(f"{PATH}/key/device_2da", NAME, KEY), "Sign", "saya{sv}", ("", b"x", {}))
        for count in (1, 2, 16, 17, 253):
            fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
            with open_socket(stack.socket, ALICE) as sock, contextlib.suppress(ConnectionError):
                for serial in range(20):
                    sock.sendmsg([message.serialise(serial=1000 + serial)],
                                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{count}i", *fds))])
            for fd in fds:
                os.close(fd)
        wait_for(lambda: descriptors(pid) == before, "all descriptors to be closed")
        still_serves(stack, pid)


# M08, M09


def test_a_call_that_wants_no_reply_is_done_and_in_the_log():
    with ready() as (stack, admin):
        message = new_method_call(DBusAddress(f"{PATH}/Manager", NAME, MANAGER), "CreateKey", "ssa{sv}",
                                  ("device-silent", "p256", {}))
        message.header.flags |= MessageFlag.no_reply_expected
        admin.connection.send(message)
        wait_for(lambda: "device-silent" in [k["name"] for k in admin.keys()], "the key")
        log = exported(admin)
        assert [r for r in lines(log, "key.create") if r["name"] == "device-silent"]
        refusing = new_method_call(DBusAddress(f"{PATH}/key/nobody", NAME, KEY), "Destroy", "a{sv}", ({},))
        refusing.header.flags |= MessageFlag.no_reply_expected
        admin.connection.send(refusing)
        reply = admin.connection.send_and_get_reply(
            new_method_call(DBusAddress(f"{PATH}/Manager", NAME, MANAGER), "Status", "a{sv}", ({},)), timeout=20)
        assert reply.header.message_type == MessageType.method_return


def test_a_caller_gone_before_the_reply_leaves_whole_operations_and_no_trace_of_himself():
    with ready() as (stack, admin):
        pid, before = stack.daemon_pid(), descriptors(stack.daemon_pid())
        chance = random.Random(SEED)
        call = new_method_call(DBusAddress(f"{PATH}/key/device_2da", NAME, KEY), "Sign", "saya{sv}", ("", b"x" * 200, {}))
        whole = call.serialise(serial=7)
        for _ in range(1000):
            s = open_socket(stack.socket, ALICE)
            s.sendall(whole * chance.randrange(3) + whole[:chance.randrange(len(whole) + 1)])
            s.close()
        for i in range(20):
            s = open_socket(stack.socket, ADMIN)
            s.sendall(new_method_call(DBusAddress(f"{PATH}/Manager", NAME, MANAGER), "CreateKey", "ssa{sv}",
                                      (f"gone-{i}", "ed25519", {})).serialise(serial=9))
            s.close()
        wait_for(lambda: descriptors(pid) == before, "all connections to be gone")
        wait_for(lambda: admin.status()["signer"] == "connected", "the signer")
        for key in admin.keys():
            assert admin.sign(key["name"], b"x"), key
        still_serves(stack, pid)
        stack.verify(exported(admin), stack.auditor_key())


def test_an_answer_may_be_longer_than_a_call():
    with ready() as (stack, admin):
        for n in range(400):
            admin.create(f"many-{n}", "ed25519")
        assert len(admin.keys()) == 401


# M13


def test_a_name_that_somebody_else_has_is_told_and_taken_as_soon_as_it_is_free():
    if not ROOT:
        raise case.Skip("needs the name's user on the bus")
    with ready() as (stack, admin):
        wait_for(lambda: stack.status()["bus"], "the name on the bus")
        with stack.bus_peer(DAEMON) as thief:  # the shipped policy of the bus lets nobody else have it
            thief.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", NAME, 0, to="org.freedesktop.DBus")
            stack.kill(stack.daemon_pid())
            stack.wait_state("ready")
            wait_for(lambda: f"the name {NAME} cannot be had" in stack.log_path.read_text(), "the journal to say so")
            assert not stack.status()["bus"]
            with stack.peer(ADMIN) as direct:
                assert direct.sign("device-a", b"x")
                found = [f for f in direct.manager("Check") if f["code"][1] == "bus"]
                assert [f["severity"][1] for f in found] == ["warning"], found
        wait_for(lambda: stack.status()["bus"], "the name, which is free again")
        with stack.bus_peer(ADMIN) as peer:
            assert peer.sign("device-a", b"x")


# M14


def test_without_the_bus_the_direct_socket_serves_on_and_the_name_comes_back_with_the_bus():
    with ready() as (stack, admin):
        pid = stack.daemon_pid()
        for _ in range(3):
            stack.bus.kill()
            stack.bus.wait()
            assert admin.sign("device-a", b"x")
            stack._start_bus()

            def over_the_bus():
                with contextlib.suppress(OSError, Refused), stack.bus_peer(ADMIN) as peer:
                    return peer.sign("device-a", b"x")
            assert wait_for(over_the_bus, "the name on the bus", 30)
        assert stack.daemon_pid() == pid


# M16


def test_root_listening_on_the_bus_sees_no_secret():
    secrets = [f"a secret number {i}, forty-two bytes in all".encode() for i in range(20)]
    if not ROOT:
        raise case.Skip("a monitor is root")
    with ready() as (stack, admin):
        for name, algorithm in (("data", "aes256"), ("box", "rsa2048"), ("dh", "x25519")):
            admin.create(name, algorithm)
        sealed_data = [bytes(admin.key("data", "Seal", "aya{sv}", s, {})) for s in secrets]
        seen, stop = bytearray(), threading.Event()
        with stack.bus_peer(ADMIN) as monitor, stack.bus_peer(ADMIN) as peer:
            monitor.call("/org/freedesktop/DBus", "org.freedesktop.DBus.Monitoring", "BecomeMonitor", "asu", [], 0,
                         to="org.freedesktop.DBus")
            sock = monitor.connection.sock
            sock.settimeout(0.2)

            def listen():
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError, socket.timeout):
                        seen.extend(sock.recv(65536))
            listener = threading.Thread(target=listen)
            listener.start()
            try:
                for i, data in enumerate(sealed_data):
                    assert name_of(peer.key, "data", "Unseal", "aya{sv}", data, {}) == "UseDirectSocket"
                    assert name_of(peer.key, "data", "Seal", "aya{sv}", b"plain", {}) == "UseDirectSocket"
                    assert name_of(peer.key, "box", "Decrypt", "saya{sv}", "", bytes(256), {}) == "UseDirectSocket"
                    assert name_of(peer.key, "dh", "Agree", "aya{sv}", admin.public_key("dh", "spki"), {}) == "UseDirectSocket"
                    assert bytes(admin.key("data", "Unseal", "aya{sv}", data, {})) == secrets[i]
                peer.sign("device-a", b"the monitor is awake")
                wait_for(lambda: b"the monitor is awake" in seen, "the monitor to hear something")
            finally:
                stop.set()
                listener.join()
        assert not [s for s in secrets if s in seen]


# M17


def noise(chance, samples):
    """Half of it damaged calls, half plain bytes."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(1, 600))
    data = bytearray(chance.choice(samples))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        what = chance.randrange(4)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.randrange(256)
        elif what == 2:
            del data[at:at + chance.randrange(1, 9)]
            if not data:
                return b"l"
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(data)


def samples():
    def sample(path, interface, member, signature, *args):
        return new_method_call(DBusAddress(PATH + path, NAME, interface), member, signature, args).serialise(serial=3)
    return [
        sample("/key/device_2da", KEY, "Sign", "saya{sv}", "ES256", b"data", {"encoding": ("s", "p1363")}),
        sample("/key/device_2da", KEY, "SignMany", "saaya{sv}", "", [b"a", b"b"], {}),
        sample("/key/device_2da", KEY, "CreateCsr", "sa{sv}", "CN=x", {"dns": ("as", ["a", "b"])}),
        sample("/Manager", MANAGER, "Status", "a{sv}", {}),
        sample("/Manager", MANAGER, "ListKeys", "a{sv}", {"pattern": ("s", "*"), "limit": ("u", 3)}),
        sample("/Manager", MANAGER, "Explain", "ssa{sv}", "sign", "device-a", {"groups": ("au", [1, 2])}),
        sample("/Manager", MANAGER, "CreateKey", "ssa{sv}", "noise", "p256", {"digest": ("b", True)}),
        sample("/Audit", AUDIT, "Read", "tua{sv}", 0, 5, {"event": ("s", "key.*"), "since": ("t", 1)}),
    ]


def test_noise_after_a_good_handshake_harms_nobody_else():
    chance, messages, sent = random.Random(SEED), samples(), 0
    with ready() as (stack, _):
        pid, before = stack.daemon_pid(), descriptors(stack.daemon_pid())
        memory = resident(pid)
        end = time.monotonic() + NOISE_SECONDS
        while time.monotonic() < end:
            s = open_socket(stack.socket, chance.choice((ALICE, MALLORY)))
            s.setblocking(False)
            for _ in range(chance.randrange(1, 40)):
                try:
                    s.send(noise(chance, messages))
                    sent += 1
                except (BlockingIOError, ConnectionError):
                    break
            with contextlib.suppress(BlockingIOError, ConnectionError):
                s.recv(65536)
            s.close()
        print(f"seed {SEED}: {sent} messages in {NOISE_SECONDS:.0f} s")
        wait_for(lambda: descriptors(pid) == before, "all connections to be gone")
        assert resident(pid) - memory < 16 << 20, (memory, resident(pid))
        still_serves(stack, pid)
        with stack.peer(ADMIN) as admin:
            stack.verify(exported(admin), stack.auditor_key())


if __name__ == "__main__":
    case.main()
