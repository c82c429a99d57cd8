#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A caller is who the kernel says connected, and nothing that he says, forks, inherits or names changes that.

Cases I01-I05, and rules by unit on real processes in real cgroups, by label where the kernel labels sockets.
"""
import array
import contextlib
import ctypes
import os
import pathlib
import socket
import struct
import tempfile

import case
from judge import exported, lines
from peer import Refused, plain
from stack import ADMIN, ALICE, BOB, MALLORY, ROOT, Stack

MESSAGE = b"it is me"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, SYS_CLONE3 = 0x20000, 435
SO_PEERSEC = 31


@contextlib.contextmanager
def ready(rules=None, bus=False):
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack(bus=bus, rules=rules) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "ed25519")
            yield stack, admin


def refused_as(call, *args):
    try:
        call(*args)
    except Refused as refused:
        return refused.name
    return None


def in_child(function, pid=0):
    """Runs it in a fork, with this pid if one is given; what it returns (a short text) comes back."""
    reading, writing = os.pipe()
    child = fork_with(pid) if pid else os.fork()
    if child == 0:
        try:
            os.write(writing, str(function()).encode())
        except BaseException as e:
            os.write(writing, f"{type(e).__name__}: {e}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def fork_with(pid):
    wanted = (ctypes.c_int * 1)(pid)
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    child = LIBC.syscall(SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if child < 0:
        raise case.Skip(f"clone3 with a chosen pid: {os.strerror(ctypes.get_errno())}")
    return child


def signs(stack, connect=None, key="device-a"):
    """'None' or the name of the refusal, as text."""
    with (connect or stack.peer)() as peer:
        peer.timeout = 20
        return refused_as(peer.sign, key, MESSAGE)


# I01


def test_a_pid_that_comes_back_under_another_user_is_another_caller():
    with ready() as (stack, _):
        near, far = socket.socketpair()

        def connect_and_leave():
            os.setresuid(ALICE, ALICE, ALICE)
            peer = stack.peer()
            far.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [peer.connection.sock.fileno()]))])
            return os.getpid()
        pid = int(in_child(connect_and_leave))
        _, ancillary, _, _ = near.recvmsg(1, socket.CMSG_SPACE(4))
        kept = struct.unpack("i", ancillary[0][2])[0]

        def as_mallory():
            os.setresuid(MALLORY, MALLORY, MALLORY)
            assert os.getpid() == pid
            return signs(stack)
        for _ in range(20):
            assert in_child(as_mallory, pid=pid) == "NoSuchKey"
        os.close(kept)


# I02


def test_the_effective_user_counts_and_not_the_real_one():
    with ready(bus=True) as (stack, _):
        for connect in (stack.peer, stack.bus_peer):
            def with_ids(real, effective):
                def become():
                    os.setgroups([])
                    os.setresuid(real, effective, effective)
                    return signs(stack, connect)
                return in_child(become)
            assert with_ids(MALLORY, ALICE) == "None"
            assert with_ids(ALICE, MALLORY) == "NoSuchKey"
            assert with_ids(0, MALLORY) == "NoSuchKey"


# I03


def test_root_of_a_user_namespace_is_who_he_is_outside():
    with ready() as (stack, _):
        inside = ["unshare", "--user", "--map-root-user"]
        if stack.run([*inside, "id", "-u"], uid=MALLORY, check=False).stdout != b"0\n":
            raise case.Skip("no user namespaces for users")
        sign = [*inside, stack.program("cli/holdfast"), "sign", "device-a"]
        assert stack.run(sign, uid=MALLORY, check=False, input=MESSAGE).returncode == 3
        assert stack.run(sign, uid=ALICE, input=MESSAGE).stdout
        made = [*inside, stack.program("cli/holdfast"), "key", "create", "mine"]
        assert stack.run(made, uid=MALLORY, check=False).returncode == 4


# I04


def test_a_connection_keeps_the_identity_of_who_opened_it():
    with ready() as (stack, admin):
        with stack.peer(ALICE) as alice:
            def use_it_as_mallory():
                os.setgroups([])
                os.setresuid(MALLORY, MALLORY, MALLORY)
                return refused_as(alice.sign, "device-a", MESSAGE)
            assert in_child(use_it_as_mallory) == "None"
        with stack.peer(MALLORY) as mallory:
            assert in_child(lambda: refused_as(mallory.sign, "device-a", MESSAGE)) == "NoSuchKey", "root's use of it is Mallory's"
        assert {r["uid"] for r in lines(exported(admin), "key.sign")} == {ALICE}


# I05


def test_every_uid_the_kernel_has_is_a_uid_and_none_is_root():
    odd = (65534, 2 ** 31 - 1, 2 ** 31, 4000000000, 2 ** 32 - 2)
    with ready() as (stack, _):
        for uid in odd:
            with stack.peer(uid) as peer:
                assert refused_as(peer.sign, "device-a", MESSAGE) == "NoSuchKey", uid
                assert refused_as(peer.create, "mine", "p256") == "PolicyDenied", uid
                assert set(peer.status()) == {"state", "reason", "error", "version"}, uid
        for uid in odd:
            stack.reload_rules(f"allow user={ADMIN} op=all\nallow user={uid} op=sign key=device-*\n")
            for other in odd:
                with stack.peer(other) as peer:
                    assert refused_as(peer.sign, "device-a", MESSAGE) == (None if other == uid else "NoSuchKey"), (uid, other)
        with stack.peer(ADMIN) as admin:
            stamped = {r["uid"] for r in lines(exported(admin)) if "uid" in r}
            assert set(odd) <= stamped, stamped
            for wrong in (2 ** 32 - 1, 2 ** 32, 2 ** 64, -1):
                assert refused_as(stack.reload_rules, f"allow user={wrong} op=all\n") in ("PolicyInvalid",), wrong


# Units


@contextlib.contextmanager
def systemd_hierarchy():
    """Where cgroups named by systemd can be made: the one there is, or one mounted for this process alone."""
    for line in open("/proc/mounts"):
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and "name=systemd" in options.split(",") and "rw" in options.split(","):
            yield pathlib.Path(where)
            return
    with tempfile.TemporaryDirectory() as directory:
        LIBC.unshare(CLONE_NEWNS)
        LIBC.mount(b"none", b"/", None, 0x4000 | 0x40000, None)  # MS_REC, MS_PRIVATE
        if LIBC.mount(b"cgroup", directory.encode(), b"cgroup", 0, b"none,name=systemd"):
            raise case.Skip(f"no cgroup hierarchy of systemd: {os.strerror(ctypes.get_errno())}")
        try:
            yield pathlib.Path(directory)
        finally:
            LIBC.umount2(directory.encode(), 2)


@contextlib.contextmanager
def cgroup(path):
    with systemd_hierarchy() as top:
        parts = pathlib.PurePath(path).parts
        made = [top.joinpath(*parts[:i + 1]) for i in range(len(parts))]
        made = [p for p in made if not p.exists()]
        for p in made:
            p.mkdir()
        try:
            yield top / path
        finally:
            for p in reversed(made):
                p.rmdir()


def signs_in(stack, path, uid, connect):
    with cgroup(path) as place:
        def enter():
            (place / "cgroup.procs").write_text(str(os.getpid()))
            os.setgroups([])
            os.setresuid(uid, uid, uid)
            return signs(stack, connect)
        return in_child(enter)


def test_a_rule_by_unit_holds_for_processes_of_that_unit_and_no_other():
    web = "hf-test-web.service"
    rules = f"allow user={ADMIN} op=all\nallow user={ALICE} unit={web} op=sign key=device-a\n"
    with ready(rules, bus=True) as (stack, admin):
        assert signs_in(stack, f"system.slice/{web}", ALICE, stack.peer) == "None"
        assert signs_in(stack, f"system.slice/{web}", BOB, stack.peer) == "NoSuchKey", "the user must fit, too"
        assert signs_in(stack, "system.slice/hf-test-other.service", ALICE, stack.peer) == "NoSuchKey"
        own = f"user.slice/user-{ALICE}.slice/user@{ALICE}.service/app.slice/{web}"
        assert signs_in(stack, own, ALICE, stack.peer) == "NoSuchKey", "a unit of the user's own manager"
        assert signs_in(stack, f"system.slice/hf-test-other.service/{web}", ALICE, stack.peer) == "NoSuchKey", "a delegated one"
        assert signs_in(stack, f"system.slice/{web}", ALICE, stack.bus_peer) == "NoSuchKey", "not proven on the bus"
        with stack.peer(ALICE) as alice:
            assert refused_as(alice.sign, "device-a", MESSAGE) == "NoSuchKey"
        of_unit = [r for r in lines(exported(admin), "key.sign") if r.get("unit") == web]
        assert len(of_unit) == 1, of_unit
        said = plain(admin.manager("Explain", "ssa{sv}", "sign", "device-a", {"user": ("u", ALICE), "unit": ("s", web)}))
        assert said["verdict"] == "allow" and web in said["rule"], said


def label_of(stack):
    """What the kernel says of a connection of ours; SO_PEERSEC of our end is the daemon's, so a socket of our own is asked."""
    path = stack.dir / "label"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as connecting:
        listening.bind(str(path))
        listening.listen()
        connecting.connect(str(path))
        try:
            return listening.accept()[0].getsockopt(socket.SOL_SOCKET, SO_PEERSEC, 256).rstrip(b"\0").decode()
        except OSError as e:
            raise case.Skip(f"this kernel labels no sockets: SO_PEERSEC says {os.strerror(e.errno)}") from e


def test_a_rule_by_label_holds_for_processes_of_that_label_and_no_other():
    with ready() as (stack, _):
        label = label_of(stack)
        stack.reload_rules(f"allow user={ADMIN} op=all\n"
                           f"allow user={ALICE} label=\"{label}\" op=sign key=device-a\n"
                           f"allow user={BOB} label=\"{label}-not\" op=sign key=device-a\n")
        for uid, said in ((ALICE, None), (BOB, "NoSuchKey")):
            with stack.peer(uid) as peer:
                assert refused_as(peer.sign, "device-a", MESSAGE) == said


if __name__ == "__main__":
    case.main()
