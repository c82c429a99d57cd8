#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The shipped units, obeyed

Starts the programs from the unit files and nothing else: sockets with their owners and modes from the .socket units,
ExecStart=, User=, LoadCredential= and limits from the .service units, users from sysusers.d, directories from
tmpfiles.d, shipped policy and configuration, all at their real places. That is possible without touching the machine
in a mount namespace of our own, with private /run and /var/lib and a layer over /etc. Only the programs' directory is
replaced.
"""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import case
from judge import signature_is_good
from peer import Peer, plain, variants
from stack import BUILD, ROOT, SOURCE, skip, wait_for
from swtpm import Swtpm

INSIDE = "HOLDFAST_TEST_NAMESPACE"
UNITS = SOURCE / "units"
USERS_FROM = 61001
CREDENTIAL = b"the credential that the service manager hands over"
programs = pathlib.Path("/run/holdfast-test-programs")


def enter_namespace():
    """Runs this file again inside; comes back only when there already."""
    if os.environ.get(INSIDE):
        return
    if not ROOT or not shutil.which("unshare"):
        skip("needs root and mount namespaces")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        skip("mount namespaces are not permitted here")
    os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", "/usr/bin/python3", *sys.argv],
               {**os.environ, INSIDE: "yes"})


def mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        skip(f"mount {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def make_place():
    """A machine on which Holdfast was just installed."""
    mount("-t", "tmpfs", "tmpfs", "/run")
    mount("-t", "tmpfs", "tmpfs", "/var/lib")
    for directory in ("/run/etc-upper", "/run/etc-work", "/run/dbus", "/run/credstore"):
        os.mkdir(directory)
    mount("-t", "overlay", "overlay", "-o", "lowerdir=/etc,upperdir=/run/etc-upper,workdir=/run/etc-work", "/etc")
    os.chmod("/run", 0o755)
    for room, name in (("daemon", "holdfastd"), ("signer", "holdfast-signer"), ("tpm", "holdfast-tpm"), ("cli", "holdfast"),
                       ("libclient", "libholdfast.so.0")):
        (programs / room).mkdir(parents=True, exist_ok=True)
        shutil.copy(BUILD / room / name, programs / room / name)
    obey_sysusers()
    obey_tmpfiles()
    shutil.copy(UNITS / "holdfast.conf", "/etc/holdfast/holdfast.conf")
    shutil.copy(SOURCE / "policy/rules/10-admin.conf", "/etc/holdfast/policy.d/10-admin.conf")
    pathlib.Path("/etc/holdfast/policy.d/50-test.conf").write_text("allow user=root key=device-* op=sign\n")
    pathlib.Path("/run/credstore/holdfast.unlock").write_bytes(CREDENTIAL)


def obey_sysusers():
    uid = USERS_FROM
    for line in (UNITS / "sysusers.conf").read_text().splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        with open("/etc/group", "a") as groups, open("/etc/passwd", "a") as users:
            groups.write(f"{words[1]}:x:{uid}:\n")
            if words[0] == "u":
                users.write(f"{words[1]}:x:{uid}:{uid}::{words[4] if len(words) > 4 else '/'}:/usr/sbin/nologin\n")
        uid += 1


def obey_tmpfiles():
    for line in (UNITS / "tmpfiles.conf").read_text().splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "L":
            os.symlink(words[6], words[1])
        elif words:
            assert words[0] == "d", line
            os.makedirs(words[1], exist_ok=True)
            os.chmod(words[1], int(words[2], 8))
            os.chown(words[1], pwd.getpwnam(words[3]).pw_uid, grp.getgrnam(words[4]).gr_gid)


class Unit:
    """Directives of a unit file; the last value counts."""

    def __init__(self, name):
        path = BUILD / "units" / name
        text = (path if path.exists() else UNITS / name).read_text()
        self.name = name
        self.values = dict(re.findall(r"^([A-Za-z]+)=(.*)$", text, re.M))

    def __getitem__(self, key):
        return self.values[key]

    def get(self, key, otherwise=None):
        return self.values.get(key, otherwise)

    def command(self):
        words = shlex.split(self["ExecStart"])
        name = pathlib.Path(words[0]).name
        found = [p for p in programs.glob("*/*") if p.name == name]
        assert found, f"{self.name}: nothing installs {words[0]}"
        return [str(found[0]), *words[1:]]


def listen(unit):
    """What systemd does for a .socket unit without Accept=."""
    kind = socket.SOCK_STREAM if unit.get("ListenStream") else socket.SOCK_SEQPACKET
    path = unit.get("ListenStream") or unit["ListenSequentialPacket"]
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path)
    os.chmod(path, int(unit.get("SocketMode", "0666"), 8))
    if unit.get("SocketUser"):
        os.chown(path, pwd.getpwnam(unit["SocketUser"]).pw_uid, -1)
    sock.listen(int(unit.get("Backlog", "128")))
    return sock


def load_credentials(unit, user):
    if not unit.get("LoadCredential"):
        return {}
    directory = pathlib.Path("/run/credentials") / unit.name
    directory.mkdir(parents=True)
    name = unit["LoadCredential"]
    shutil.copy(pathlib.Path("/run/credstore") / name, directory / name)
    os.chmod(directory / name, 0o400)
    for path in (directory, directory / name):
        os.chown(path, user.pw_uid, user.pw_gid)
    return {"CREDENTIALS_DIRECTORY": str(directory)}


def limit(value):
    units = {"K": 10, "M": 20, "G": 30}
    return int(value[:-1]) << units[value[-1]] if value[-1] in units else int(value)


class Service:
    """A Type=notify service with what sockets it inherits."""

    def __init__(self, unit, *socket_units):
        assert unit["Type"] == "notify"
        self.unit = unit
        user = pwd.getpwnam(unit["User"])
        if unit.get("StateDirectory"):
            state = pathlib.Path("/var/lib") / unit["StateDirectory"]
            state.mkdir(mode=int(unit["StateDirectoryMode"], 8), exist_ok=True)
            os.chown(state, user.pw_uid, user.pw_gid)
        notify = f"/run/notify-{unit.name}"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(notify)
        os.chmod(notify, 0o666)
        environment = {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": notify, **load_credentials(unit, user)}
        if socket_units:
            environment.update({"LISTEN_FDS": str(len(socket_units)),
                                "LISTEN_FDNAMES": ":".join(u["FileDescriptorName"] for u in socket_units)})
        sockets = [listen(u) for u in socket_units]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(user, sockets, environment)
            finally:
                os._exit(127)

    def _become(self, user, sockets, environment):
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        for i, sock in enumerate(sockets):
            os.dup2(sock.fileno(), 100 + i)
        for i in range(len(sockets)):
            os.dup2(100 + i, 3 + i)
        os.closerange(3 + len(sockets), 1024)
        for name, value in self.unit.values.items():
            if name.startswith("Limit"):
                number = limit(value)
                try:
                    resource.setrlimit(getattr(resource, "RLIMIT_" + name[5:]), (number, number))
                except ValueError:
                    pass  # above what this machine lets us raise
        os.umask(int(self.unit["UMask"], 8))
        os.setgroups([grp.getgrnam(g).gr_gid for g in self.unit.get("SupplementaryGroups", "").split()])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        command = self.unit.command()
        os.execve(command[0], command, {**environment, "LISTEN_PID": str(os.getpid())})

    def wait_ready(self):
        self.notify.settimeout(20)
        while b"READY=1" not in self.notify.recv(4096).split(b"\n"):
            pass

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        return os.waitpid(self.pid, 0)[1]


def start_bus():
    subprocess.run([SOURCE / "tests/harness/stage", BUILD, "/run/stage", str(pwd.getpwnam("holdfast").pw_uid)], check=True)
    conf = pathlib.Path("/run/stage/bus.conf")
    conf.write_text(conf.read_text().replace("/run/stage/system_bus", "/run/dbus/system_bus_socket"))
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={conf}", "--nofork", "--nopidfile"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists("/run/dbus/system_bus_socket"), "the bus")
    return bus


def status():
    with Peer("/run/holdfast/bus") as peer:
        return peer.status()


@contextlib.contextmanager
def tpm():
    """The machine's device: the unit names it, and here stands swtpm in its place."""
    with Swtpm("/run/tpm", uid=pwd.getpwnam("holdfast-tpm").pw_uid) as swtpm:
        unit = Unit("holdfast-tpm.service")
        device = unit["DeviceAllow"].split()[0]
        assert unit["ConditionPathExists"] == device and f"--tcti=device:{device}" in unit["ExecStart"], unit.values
        unit.values["ExecStart"] = unit["ExecStart"].replace(f"device:{device}", swtpm.tcti)
        yield unit


def test_the_shipped_units_start_a_keystore_that_signs():
    make_place()
    with tpm() as tpm_unit:
        keystore(tpm_unit)


def keystore(tpm_unit):
    bus = start_bus()
    services = []
    try:
        # In the order that nobody promises.
        signer = Unit("holdfast-signer.service")
        services.append(Service(signer, *map(Unit, reversed(signer["Sockets"].split()))))
        services.append(Service(tpm_unit))
        services.append(Service(Unit("holdfastd.service"), Unit("holdfastd.socket")))
        for service in services:
            service.wait_ready()
        wait_for(lambda: status().get("signer") == "connected", "the signer")
        first_boot()
        wait_for(lambda: status()["state"] == "ready", "the store")
        use_it()
        ends = [services.pop().stop() for _ in (1, 2, 3)]
        assert all(end in (0, signal.SIGTERM) for end in ends), ends  # what systemd takes for a clean end
    finally:
        for service in services:
            service.stop()
        bus.kill()
        bus.wait()


def first_boot():
    unit = Unit("holdfast-first-boot.service")
    condition = unit["ConditionPathExists"]
    assert condition.startswith("!") and not os.path.exists(condition[1:])
    done = subprocess.run(unit.command(), capture_output=True, timeout=60)
    assert done.returncode == 0, done
    assert os.path.exists(condition[1:]), "the condition would let it run again"


def use_it():
    message = b"from the units"
    for path in ("/run/holdfast/bus", "/run/dbus/system_bus_socket"):
        with Peer(path) as root:
            name = "device-" + path.split("/")[2]
            root.create(name, "p256", protection="tpm")
            assert signature_is_good(root.public_key(name), message, root.sign(name, message))
            answer = plain(root.manager("Explain", "ssa{sv}", "sign", name, variants({})))
            assert answer["verdict"] == "allow", answer
            root.manager("SetCertificate", "saya{sv}", name, certificate(root.public_key(name)), {})
            bundle = pathlib.Path(f"/run/holdfast/tls/{name}/bundle.pem")
            assert bundle.owner() == "holdfast" and bundle.stat().st_mode & 0o777 == 0o644 and b"KEY REFERENCE" in bundle.read_bytes()


def certificate(public):
    """By a CA that nobody keeps."""
    with tempfile.TemporaryDirectory() as directory:
        d = pathlib.Path(directory)
        (d / "public").write_bytes(public)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=ca", "-keyout", d / "ca.key", "-out", d / "ca"], check=True, capture_output=True)
        return subprocess.run(["openssl", "x509", "-new", "-force_pubkey", d / "public", "-subj", "/CN=device", "-days", "1", "-CA",
                               d / "ca", "-CAkey", d / "ca.key"], check=True, capture_output=True).stdout


if __name__ == "__main__":
    enter_namespace()
    case.main()
