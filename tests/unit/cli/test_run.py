#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
holdfast exec and holdfast watch: what a program is given, and that no change of an identity is missed.

test_run.py HOLDFAST

The directory of identities is made by hand here, as holdfastd makes it: a symlink NAME to the files of one generation.
"""
import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile

import case
from stack import children, wait_for

HOLDFAST = os.path.abspath(sys.argv.pop(1))
FILES = {"CERT": "cert.pem", "CHAIN": "chain.pem", "FULLCHAIN": "fullchain.pem", "KEY": "key.pem", "BUNDLE": "bundle.pem",
         "CA": "ca.pem", "PINS": "pins.txt"}


class Place:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.tls = self.dir / "tls"
        self.tls.mkdir()
        self.conf = self.dir / "openssl.cnf"
        self.conf.write_text("")

    @property
    def environment(self):
        return {"PATH": os.environ["PATH"], "HOLDFAST_TLS": str(self.tls), "HOLDFAST_OPENSSL_CONF": str(self.conf),
                "HOLDFAST_SOCKET": "/nonexistent/bus", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}

    def switch(self, name, generation, *files):
        """A new generation, in one step."""
        there = self.tls / f".{name}.{generation}"
        there.mkdir()
        for file in files or FILES.values():
            (there / file).write_text(generation)
        (self.tls / ".new").symlink_to(there.name)
        os.rename(self.tls / ".new", self.tls / name)

    def run(self, *words, **options):
        return subprocess.run([HOLDFAST, *map(str, words)], capture_output=True, env=self.environment, timeout=30, text=True, **options)

    @contextlib.contextmanager
    def watching(self, *words):
        """A watcher whose command writes to its standard output; ended by SIGTERM, cleanly."""
        watcher = subprocess.Popen([HOLDFAST, "watch", *map(str, words)], stdout=subprocess.PIPE, env=self.environment, text=True)
        try:
            yield Watcher(watcher)
            watcher.terminate()
            assert watcher.wait(30) == 0
        finally:
            watcher.kill()
            watcher.wait()
            watcher.stdout.close()


class Watcher:
    def __init__(self, process):
        self.process = process

    def line(self):
        assert select.select([self.process.stdout], [], [], 30)[0], "nothing was run"
        return self.process.stdout.readline().strip()

    def is_quiet(self):
        return not select.select([self.process.stdout], [], [], 0)[0]

    def waits(self):
        """Until it sleeps behind its watches: what comes now comes while it waits."""
        proc = pathlib.Path(f"/proc/{self.process.pid}")

        def sleeps():
            with contextlib.suppress(FileNotFoundError):  # watches are being placed anew
                watches = any("inotify wd" in info.read_text() for info in (proc / "fdinfo").iterdir())
                return watches and not children(self.process.pid) and "\nState:\tS" in (proc / "status").read_text()
        wait_for(sleeps, "the watch to wait")


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory(prefix="holdfast-run-") as directory:
        yield Place(directory)


# exec


def test_exec_gives_the_program_the_configuration_and_the_files_of_the_identity():
    with place() as p:
        p.switch("web", "1")
        said = dict(line.split("=", 1) for line in p.run("exec", "web", "--", "env").stdout.splitlines())
        assert said["OPENSSL_CONF"] == str(p.conf) and said["HOLDFAST_IDENTITY"] == "web", said
        for variable, file in FILES.items():
            assert said["HOLDFAST_" + variable] == f"{p.tls}/web/{file}", said


def test_exec_names_no_file_that_is_not_there():
    with place() as p:
        p.switch("web", "1", "cert.pem", "key.pem")
        said = subprocess.run([HOLDFAST, "exec", "web", "--", "env"], env={**p.environment, "HOLDFAST_CA": "/else"}, capture_output=True)
        assert b"HOLDFAST_CA=" not in said.stdout and b"HOLDFAST_PINS=" not in said.stdout and b"HOLDFAST_CERT=" in said.stdout


def test_exec_is_the_program_from_then_on():
    with place() as p:
        p.switch("web", "1")
        assert p.run("exec", "web", "--", "sh", "-c", "exit 42").returncode == 42
        assert p.run("exec", "web", "--", "sh", "-c", "kill -9 $$").returncode == -9
        assert p.run("exec", "web", "--", "echo", "--json", "-q", "--").stdout == "--json -q --\n"
        assert p.run("exec", "web", "--", "cat", input="through").stdout == "through"
        child = subprocess.Popen([HOLDFAST, "exec", "web", "--", "sh", "-c", "echo $$"], env=p.environment, stdout=subprocess.PIPE)
        assert int(child.communicate(timeout=30)[0]) == child.pid


def test_exec_runs_nothing_that_it_cannot_serve():
    with place() as p:
        done = p.run("exec", "web", "--", "touch", p.dir / "ran")
        assert done.returncode == 3 and "cert set web" in done.stderr
        (p.tls / "web").symlink_to("nowhere")
        assert p.run("exec", "web", "--", "touch", p.dir / "ran").returncode == 3
        (p.tls / "web").unlink()
        p.switch("web", "1")
        p.conf.unlink()
        assert p.run("exec", "web", "--", "touch", p.dir / "ran").returncode == 3
        p.conf.write_text("")
        assert not (p.dir / "ran").exists()
        assert p.run("exec", "web", "--", "no-such-program").returncode == 127
        assert p.run("exec", "web", "--", p.conf).returncode == 126


# watch

TELL = "--", "sh", "-c", "cat $HOLDFAST_CERT; echo"


def test_watch_runs_the_command_at_each_change_and_not_before():
    with place() as p:
        p.switch("web", "1")
        with p.watching("web", *TELL) as watcher:
            watcher.waits()
            for generation in "2", "3", "4":
                p.switch("web", generation)
                assert watcher.line() == generation
            assert watcher.is_quiet()


def test_watch_does_not_run_for_another_identity_or_for_one_that_goes():
    with place() as p:
        p.switch("web", "1")
        with p.watching("web", *TELL) as watcher:
            watcher.waits()
            p.switch("mail", "1")
            (p.tls / "web").unlink()
            p.switch("mail", "2")
            p.switch("web", "2")
            assert watcher.line() == "2" and watcher.is_quiet()


def test_watch_waits_for_an_identity_and_for_its_directory_to_come():
    with place() as p:
        shutil.rmtree(p.tls)
        with p.watching("web", *TELL) as watcher:
            watcher.waits()
            p.tls.mkdir()
            watcher.waits()
            p.switch("web", "1")
            assert watcher.line() == "1"


def test_watch_sees_through_symlinks_and_outlives_the_directory():
    with place() as p:
        real, link = p.dir / "real", p.dir / "link"
        p.tls.rename(real)
        link.symlink_to("real")
        p.tls.symlink_to(link)
        p.switch("web", "1")
        with p.watching("web", *TELL) as watcher:
            watcher.waits()
            p.switch("web", "2")
            assert watcher.line() == "2"
            watcher.waits()
            real.rename(p.dir / "old")
            watcher.waits()
            real.mkdir()
            p.switch("web", "3")
            assert watcher.line() == "3"
            other = p.dir / "other"
            other.mkdir()
            tls, p.tls = p.tls, other
            p.switch("web", "4")
            p.tls = tls
            link.unlink()
            link.symlink_to("other")
            assert watcher.line() == "4"


def test_changes_while_the_command_runs_are_made_up_for_by_one_run():
    with place() as p:
        p.switch("web", "1")
        gate = p.dir / "gate"
        os.mkfifo(gate)
        with p.watching("web", "--", "sh", "-c", f"cat $HOLDFAST_CERT; echo; cat {gate}") as watcher:
            watcher.waits()
            p.switch("web", "2")
            assert watcher.line() == "2"
            for generation in range(3, 9):
                p.switch("web", str(generation))
            gate.write_text("")
            assert watcher.line() == "8"
            gate.write_text("")
            watcher.waits()
            assert watcher.is_quiet()


def test_a_command_that_fails_does_not_end_the_watch():
    with place() as p:
        p.switch("web", "1")
        with p.watching("web", "--", "sh", "-c", "cat $HOLDFAST_CERT; echo; exit 9") as watcher:
            watcher.waits()
            for generation in "2", "3":
                p.switch("web", generation)
                assert watcher.line() == generation


def test_a_signal_reaches_the_command_under_way_and_the_watch_ends_after_it():
    with place() as p:
        p.switch("web", "1")
        script = ("import signal as s; s.pthread_sigmask(s.SIG_BLOCK, [s.SIGTERM]); print('begun', flush=True); "
                  "s.sigwait([s.SIGTERM]); print('told')")
        with p.watching("web", "--", "/usr/bin/python3", "-c", script) as watcher:
            watcher.waits()
            p.switch("web", "2")
            assert watcher.line() == "begun"
            watcher.process.send_signal(signal.SIGTERM)
            assert watcher.line() == "told"


def test_what_changed_while_nobody_watched_is_made_up_for_by_seen():
    with place() as p:
        seen = p.dir / "seen"
        p.switch("web", "1")
        with p.watching("web", "--seen", seen, *TELL) as watcher:
            assert watcher.line() == "1"
        p.switch("web", "2")
        with p.watching("web", "--seen", seen, *TELL) as watcher:
            assert watcher.line() == "2"
            watcher.waits()
        with p.watching("web", "--seen", seen, *TELL) as watcher:
            watcher.waits()
            assert watcher.is_quiet()


def test_once_looks_once_and_has_the_status_of_the_command():
    with place() as p:
        once = "watch", "web", "--once", "--seen", p.dir / "seen"
        assert p.run(*once, "--", "true").returncode == 6
        p.switch("web", "1")
        assert p.run(*once, "--", "sh", "-c", "exit 3").returncode == 3
        assert p.run(*once, "--", "no-such-program").returncode == 127
        done = p.run(*once, *TELL)  # what failed is not seen yet
        assert done.returncode == 0 and done.stdout == "1\n"
        assert p.run(*once, *TELL).returncode == 6
        p.switch("web", "2")
        assert p.run(*once, *TELL).stdout == "2\n"


case.main()
