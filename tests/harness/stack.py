# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A whole Holdfast of one's own: private system bus, launcher, signer and daemon in a temporary directory.

    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device", "p256")

As root every part has its own uid (numbers, nothing is added to the system); anybody else gets one uid for all, and
tests that need several call need_root(). Everything started is ended by pid and the directory removed, also when
the test fails; then the end of the log is printed.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from peer import Peer, Refused, plain, variants

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOLDFAST_BUILD", SOURCE / "build"))
ROOT = os.geteuid() == 0
SKIPPED = 77

DAEMON, SIGNER, ALICE, BOB, MALLORY, TPM = range(61001, 61007) if ROOT else (os.geteuid(),) * 6
ADMIN = os.geteuid()


def need_root():
    if not ROOT:
        skip("needs several users, so root")


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def default_rules():
    """The administrator is whoever runs the tests; Alice signs, Bob may know of it, Mallory may nothing."""
    if not ROOT:
        return f"allow user={ADMIN} op=all\n"
    return (f"allow user={ADMIN} op=all\n"
            f"allow user={ALICE} key=device-* op=sign\n"
            f"allow user={BOB} key=device-* op=describe\n")


def wait_for(condition, what, seconds=30):
    """Polls a condition that has no event to wait for; the answer is the condition's value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.002)


def end_with_parent():
    """In a child before exec: SIGTERM if this test is killed, so that nothing is left even then."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def children(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def program_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class Stack:
    def __init__(self, bus=True, credential=b"a credential of the tests, 32 bytes and more", rules=None, daemon_args=(),
                 signer_args=(), launcher_args=(), keep_directory=None, backoff=100, tpm=None):
        self.with_bus = bus
        self.credential = credential
        self.rules = default_rules() if rules is None else rules
        self.daemon_args = list(daemon_args)
        self.signer_args = list(signer_args)
        self.launcher_args = list(launcher_args)
        self.backoff = backoff  # longest pause of the launcher before a restart, in milliseconds
        self.dir = pathlib.Path(keep_directory or tempfile.mkdtemp(prefix="holdfast-test-"))
        self.dir.chmod(0o755)
        self.launcher = self.bus = None
        self.tpm, self.own_tpm = tpm, None  # True: a TPM of its own; or something that has a .tcti and its own life
        if tpm is True:
            from swtpm import Swtpm
            self.tpm = self.own_tpm = Swtpm(self.dir / "tpm")
        self.log_path = self.dir / "log"
        subprocess.run([SOURCE / "tests/harness/stage", BUILD, self.dir, str(DAEMON)], check=True)
        self.set_rules(self.rules)
        if credential is not None:
            path = self.dir / "credential"
            path.write_bytes(credential)
            path.chmod(0o600)

    # Starting and stopping

    def __enter__(self):
        try:
            if self.own_tpm:
                self.own_tpm.start()
            return self.start()
        except BaseException:
            self._end(failed=True)
            raise

    def __exit__(self, kind, value, trace):
        self._end(failed=kind is not None and kind is not SystemExit)

    def _end(self, failed):
        with contextlib.suppress(Exception):
            self.stop()
        if self.bus:
            self.bus.kill()
            self.bus.wait()
        if self.own_tpm:
            self.own_tpm.end()
        if failed and self.log_path.exists():
            print("--- end of the log", self.log_path.read_text(errors="replace")[-6000:], "---", sep="\n", flush=True)
        if not os.environ.get("HOLDFAST_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        if self.with_bus and not self.bus:
            self._start_bus()
        read, write = os.pipe()
        with open(self.log_path, "ab") as log:
            self.launcher = subprocess.Popen(self._launch_command(write), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             pass_fds=[write], env=self._environment(), preexec_fn=end_with_parent)
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line.startswith("ready:"):
            raise RuntimeError(f"holdfast-launch ended with {self.launcher.wait()} before it was ready")
        return self

    def _launch_command(self, ready_fd):
        command = [self.program("launch/holdfast-launch"), f"--directory={self.dir}", f"--ready-fd={ready_fd}",
                   f"--daemon={self.program('daemon/holdfastd')}", f"--signer={self.program('signer/holdfast-signer')}",
                   f"--backoff-max={self.backoff}", *self.launcher_args]
        if ROOT:
            command += [f"--daemon-uid={DAEMON}", f"--signer-uid={SIGNER}", f"--tpm-uid={TPM}"]
        if self.credential is not None:
            command.append(f"--credential={self.dir}/credential")
        if self.tpm:
            command += [f"--tpm={self.program('tpm/holdfast-tpm')}", f"--tcti={self.tpm.tcti}"]
        command += [f"--signer-arg={a}" for a in self.signer_args]
        return command + ["--", f"--config={self.dir}/holdfast.conf", f"--bus={'system' if self.with_bus else 'none'}",
                          f"--policy-directories={self.dir}/policy.d", f"--policy-owner={os.geteuid()}",
                          f"--profile-directories={self.dir}/profiles", *self.daemon_args]

    def _start_bus(self):
        read, write = os.pipe()
        with open(self.dir / "bus.log", "ab") as log:
            self.bus = subprocess.Popen(["dbus-daemon", f"--config-file={self.dir}/bus.conf", "--nofork", "--nopidfile",
                                         f"--print-address={write}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        pass_fds=[write], preexec_fn=end_with_parent,
                                        env={**self._environment(), "LD_PRELOAD": "libnss_wrapper.so",
                                             "NSS_WRAPPER_PASSWD": str(self.dir / "passwd"),
                                             "NSS_WRAPPER_GROUP": str(self.dir / "group")})
        os.close(write)
        with os.fdopen(read) as address:
            if not address.readline():
                raise RuntimeError("dbus-daemon did not start: " + (self.dir / "bus.log").read_text())

    def stop(self):
        """In order; the launcher's exit status."""
        if not self.launcher:
            return None
        self.launcher.terminate()
        try:
            return self.launcher.wait(30)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait()
            raise
        finally:
            self.launcher = None

    def restart(self):
        self.stop()
        return self.start()

    # Processes

    def _pid(self, name):
        def find():
            return next((p for p in children(self.launcher.pid) if program_of(p) == name[:15]), None)
        return wait_for(find, f"{name} to run")

    def daemon_pid(self):
        return self._pid("holdfastd")

    def signer_pid(self):
        return self._pid("holdfast-signer")

    def tpm_pid(self):
        return self._pid("holdfast-tpm")

    def kill(self, pid, with_signal=signal.SIGKILL):
        """And waits until it is gone (the launcher reaps it)."""
        os.kill(pid, with_signal)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), f"{pid} to be gone")

    # Talking to it

    @property
    def socket(self):
        return str(self.dir / "run/bus")

    @property
    def bus_address(self):
        return f"unix:path={self.dir}/system_bus"

    @property
    def state(self):
        return self.dir / "state"

    def peer(self, uid=None, groups=()):
        return Peer(self.socket, uid, groups)

    def bus_peer(self, uid=None, groups=()):
        return Peer(str(self.dir / "system_bus"), uid, groups)

    def status(self):
        with self.peer() as p:
            return p.status()

    def wait_state(self, state, seconds=30):
        """After a start the store opens by itself; the bus answers before that."""
        def is_so():
            with contextlib.suppress(OSError, Refused):
                now = self.status()
                return now if now["state"] == state else None
        return wait_for(is_so, f"state {state}", seconds)

    def wait_signer(self):
        wait_for(lambda: self.status().get("signer") == "connected", "the signer")

    def init(self, slot="credential", **options):
        """Makes the store without questions."""
        self.wait_signer()
        with self.peer() as p:
            result = plain(p.manager("Initialise", "sa{sv}", slot, variants({"unattended": True, **options})))
        self.wait_state("ready")
        return result

    def program(self, name):
        return str(self.dir / "bin" / name)

    def _environment(self):
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        return {**env, "DBUS_SYSTEM_BUS_ADDRESS": self.bus_address, "HOLDFAST_SOCKET": self.socket}

    def run(self, command, uid=None, check=True, groups=(), **kwargs):
        """A program as another user, its output captured."""
        def become():
            if uid is not None and os.geteuid() != uid:
                os.setgroups(list(groups))
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
        kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
        if "input" in kwargs:
            kwargs.pop("stdin")
        done = subprocess.run([str(c) for c in command], capture_output=True, env=self._environment(), timeout=120,
                              preexec_fn=become, cwd="/", **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{command} gave {done.returncode}: {done.stdout.decode()} {done.stderr.decode()}")
        return done

    def cli(self, *args, uid=None, check=True, **kwargs):
        return self.run([self.program("cli/holdfast"), *args], uid, check, **kwargs)

    # Auditor

    def auditor_key(self):
        """The checkpoint key as the auditor notes it."""
        with self.peer(ADMIN) as p:
            return plain(p.audit("GetKey"))["vkey"]

    def verify(self, log, key, check=True):
        """An exported log, by a verifier that has no daemon."""
        path = self.dir / "audit.jsonl"
        path.write_bytes(log)
        return self.run([self.program("cli/holdfast"), "audit", "verify", path, *(["--key", key] if key else [])], check=check)

    # Policy

    def set_rules(self, text, name="10-test.conf"):
        path = self.dir / "policy.d" / name
        path.write_text(text)
        path.chmod(0o644)

    def reload_rules(self, text):
        self.set_rules(text)
        with self.peer() as p:
            return p.manager("ReloadPolicy")
