#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast against a running Holdfast: what a person and a script see of every verb. Stock openssl is the judge."""
import base64
import json
import os
import pathlib
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time

import case
from stack import ALICE, BOB, MALLORY, ROOT, Stack

PASSPHRASE = b"correct horse battery staple"


def initialised(test, **options):
    with Stack(**options) as stack:
        stack.init()
        test(stack)


def cli(stack, *args, code=0, **kwargs):
    """Output of a command that must end with this code."""
    done = stack.cli(*args, check=False, **kwargs)
    assert done.returncode == code, (args, done)
    return done.stdout


def as_json(stack, *args, **kwargs):
    return json.loads(cli(stack, *args, "--json", **kwargs))


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Terminal:
    """A person at a terminal of his own: waits for a text, types an answer."""

    def __init__(self, stack, *args):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whatever started the tests may ignore it
            os.execve(stack.program("cli/holdfast"), ["holdfast", *args], stack._environment())

    def read_until(self, what, seconds=20):
        end = time.monotonic() + seconds
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, (what, self.text)
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                piece = b""
            assert piece, (what, self.text)
            self.text += piece
        seen, self.text = self.text.split(what, 1)
        return seen

    def type(self, line):
        os.write(self.fd, line + b"\n")

    def end(self):
        rest = b""
        while True:
            try:
                piece = os.read(self.fd, 4096)
            except OSError:
                break
            if not piece:
                break
            rest += piece
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status), self.text + rest


# Making and opening the store

def init_at_a_terminal(stack):
    """Answers the passphrase and the recovery code."""
    terminal = Terminal(stack, "init")
    for _ in range(2):
        terminal.read_until(b": ")
        terminal.type(PASSPHRASE)
    terminal.read_until(b"from the device):")
    code = terminal.read_until(b"Type the recovery code back: ").strip().split()[0]
    return terminal, code


def test_init_shows_the_code_once_and_asks_it_back():
    with Stack(credential=None) as stack:
        terminal, code = init_at_a_terminal(stack)
        terminal.type(b"WRONG-CODE")
        terminal.read_until(b"That was not the code.")
        terminal.read_until(b"Type the recovery code back: ")
        terminal.type(code)
        status, said = terminal.end()
        assert status == 0 and b"Checkpoint key: SHA256:" in said, said
        assert PASSPHRASE not in said and code not in said
        stack.wait_state("ready")
        cli(stack, "lock")
        cli(stack, "unlock", "--passphrase-file", "-", input=b"wrong", code=5)
        cli(stack, "unlock", "--passphrase-file", "-", input=PASSPHRASE + b"\n")
        cli(stack, "unlock", code=6)
        cli(stack, "lock")
        cli(stack, "unlock", "--passphrase-file", "-", input=code)


def test_passphrases_that_differ_make_nothing():
    with Stack(credential=None) as stack:
        terminal = Terminal(stack, "init")
        terminal.read_until(b": ")
        terminal.type(PASSPHRASE)
        terminal.read_until(b": ")
        terminal.type(b"something else")
        status, _ = terminal.end()
        assert status == 2
        assert stack.wait_state("uninitialised")


def test_an_interrupted_question_gives_the_echo_back():
    with Stack(credential=None) as stack:
        terminal = Terminal(stack, "init")
        terminal.read_until(b": ")
        assert not termios.tcgetattr(terminal.fd)[3] & termios.ECHO
        os.write(terminal.fd, b"\x03")
        terminal.read_until(b"\n")
        _, status = os.waitpid(terminal.pid, 0)
        assert os.WTERMSIG(status) == signal.SIGINT
        assert termios.tcgetattr(terminal.fd)[3] & termios.ECHO
        os.close(terminal.fd)


def test_init_for_scripts_keeps_the_code_in_a_new_file():
    with Stack(credential=None) as stack:
        secret, code = stack.dir / "secret", stack.dir / "code"
        secret.write_bytes(PASSPHRASE + b"\n")
        result = as_json(stack, "init", "--passphrase-file", secret, "--recovery-file", code)
        assert result["fingerprint"].startswith("SHA256:")
        assert code.stat().st_mode & 0o777 == 0o600
        stack.wait_state("ready")
        cli(stack, "init", "--unattended", code=6)
        cli(stack, "lock")
        cli(stack, "unlock", "--passphrase-file", code)


def test_no_recovery_code_comes_into_force_that_nobody_gets():
    def test(stack):
        old, there = stack.dir / "old", stack.dir / "there"
        cli(stack, "slot", "add", "recovery", "--recovery-file", old)
        there.write_text("something else\n")
        for path, code in ((there, 1), (stack.dir / "no/such/place", 3)):
            before = as_json(stack, "slot", "list")
            cli(stack, "slot", "add", "recovery", "--label", "more", "--recovery-file", path, code=code)
            cli(stack, "slot", "change", "2", "--recovery-file", path, code=code)
            cli(stack, "rekey", "--yes", "--slot", "credential", "--recovery-file", path, code=code)
            assert as_json(stack, "slot", "list") == before
        assert there.read_text() == "something else\n"
        unused = stack.dir / "unused"
        cli(stack, "slot", "add", "recovery", "--recovery-file", unused, code=1)  # the label is there already
        assert not unused.exists()
        cli(stack, "lock")
        cli(stack, "unlock", "--passphrase-file", old)
    initialised(test)


def test_a_slot_that_cannot_be_says_why():
    with Stack(credential=None) as stack:
        said = stack.cli("init", "--unattended", check=False)
        assert said.returncode == 5 and b"has no credential" in said.stderr, said
        secret = stack.dir / "secret"
        secret.write_bytes(PASSPHRASE)
        cli(stack, "init", "--passphrase-file", secret, "--recovery-file", stack.dir / "code")
        said = stack.cli("slot", "add", "credential", check=False)
        assert said.returncode == 5 and b"has no credential" in said.stderr, said
        said = stack.cli("slot", "reseal", "1", check=False)
        assert said.returncode == 6 and b"bound to no values of PCRs" in said.stderr, said


def test_a_secret_that_no_slot_would_have_is_refused():
    def test(stack):
        for kind in ("credential", "recovery", "tpm2", "tpm2-derived"):
            said = stack.cli("slot", "add", kind, "--passphrase-file", "-", input=PASSPHRASE, check=False)
            assert said.returncode == 2 and b"Nothing was done" in said.stderr, (kind, said)
        assert len(as_json(stack, "slot", "list")) == 1
    initialised(test)


def test_slots_are_added_changed_and_removed_but_the_last_stays():
    def test(stack):
        assert cli(stack, "slot", "add", "passphrase", "--label", "ops", "--passphrase-file", "-", input=PASSPHRASE) == b"2\n"
        assert [s["kind"] for s in as_json(stack, "slot", "list")] == ["credential", "passphrase"]
        cli(stack, "slot", "change", "2", "--passphrase-file", "-", input=b"another")
        cli(stack, "slot", "remove", "1", "--yes")
        cli(stack, "slot", "remove", "2", "--yes", code=4)
        cli(stack, "slot", "remove", "9", "--yes", code=3)
        cli(stack, "lock")
        cli(stack, "unlock", "--passphrase-file", "-", input=PASSPHRASE, code=5)
        cli(stack, "unlock", "--passphrase-file", "-", input=b"another")
    initialised(test)


# Keys

def test_a_key_lives_and_dies_by_its_verbs():
    def test(stack):
        assert as_json(stack, "key", "create", "door")["algorithm"] == "p256"
        cli(stack, "key", "create", "door", code=1)
        cli(stack, "key", "disable", "door")
        cli(stack, "key", "disable", "door", code=6)
        cli(stack, "sign", "door", input=b"x", code=4)
        cli(stack, "key", "enable", "door")
        uuid = as_json(stack, "key", "show", "door")["uuid"]
        cli(stack, "key", "retire", "door")
        cli(stack, "key", "show", "door", code=3)
        assert as_json(stack, "key", "show", uuid)["name"] == "door"
        cli(stack, "key", "create", "door")
        assert len(as_json(stack, "key", "list")) == 1 and len(as_json(stack, "key", "list", "--retired")) == 2
        cli(stack, "key", "disable", "door")
        warned = stack.cli("key", "freeze", "door", check=False)
        assert warned.returncode == 2 and b"can never be enabled" in warned.stderr and b"--yes" in warned.stderr, warned
        cli(stack, "key", "enable", "door")
        assert b"enabled" not in stack.cli("key", "freeze", "door", check=False).stderr
        cli(stack, "key", "freeze", "door", "--yes")
        cli(stack, "key", "destroy", "door", "--yes", code=4)
        cli(stack, "key", "destroy", uuid, "--yes")
        cli(stack, "key", "show", uuid, code=3)
    initialised(test)


def test_lists_have_a_legend_unless_not_wanted_and_a_pattern():
    def test(stack):
        for name in ("a-one", "a-two", "b"):
            cli(stack, "key", "create", name, "-a", "ed25519")
        lines = cli(stack, "key", "list", "a-*").decode().splitlines()
        assert lines[0].startswith("NAME") and [line.split()[0] for line in lines[1:]] == ["a-one", "a-two"]
        assert cli(stack, "key", "list", "b", "--no-legend").split()[0] == b"b"
        assert cli(stack, "key", "list", "none") == b""
        assert as_json(stack, "key", "list", "none") == []
    initialised(test)


def test_the_rule_of_a_key_for_a_user_is_printed_written_and_in_force():
    def test(stack):
        if not ROOT:
            raise case.Skip("needs root")
        environment = {**stack._environment(), "HOLDFAST_POLICY_DIR": str(stack.dir / "policy.d")}
        command = [stack.program("cli/holdfast"), "key", "create", "mail", "--for", "nobody", "--json"]
        done = subprocess.run(command, capture_output=True, env=environment, check=True)
        assert json.loads(done.stdout)["rule"] == "allow user=nobody key=mail op=use"
        file = stack.dir / "policy.d" / "50-mail.conf"
        assert file.read_text() == "allow user=nobody key=mail op=use\n" and file.stat().st_mode & 0o777 == 0o644
        assert cli(stack, "sign", "mail", input=b"x", uid=65534)
        cli(stack, "sign", "mail", input=b"x", uid=BOB, code=3)
        # the next key of the name finds its rule there
        cli(stack, "key", "retire", "mail")
        subprocess.run(command, capture_output=True, env=environment, check=True)
        assert cli(stack, "sign", "mail", input=b"x", uid=65534)
        # never over an old file that says something else
        cli(stack, "key", "destroy", "mail", "--yes")
        file.write_text("# mine\n")
        failed = subprocess.run(command, capture_output=True, env=environment)
        assert failed.returncode == 1 and "The key is made" in json.loads(failed.stdout)["error"]["sentence"]
        assert file.read_text() == "# mine\n"
        # a rule beside one that nobody understands
        other = stack.dir / "policy.d" / "60-other.conf"
        other.write_text("allow user=nobody op=sing\n")
        command[3] = "later"
        failed = subprocess.run(command, capture_output=True, env=environment)
        assert failed.returncode == 1 and "not in force" in json.loads(failed.stdout)["error"]["sentence"]
        other.unlink()
        # a number is a user, too, as it is in rules
        command[3:6] = ["post", "--for", str(BOB)]
        subprocess.run(command, capture_output=True, env=environment, check=True)
        assert cli(stack, "sign", "post", input=b"x", uid=BOB)
    initialised(test)


def test_signatures_are_good_to_openssl():
    def test(stack):
        message = stack.dir / "message"
        message.write_bytes(b"a statement")
        for algorithm, options in (("p256", []), ("p384", ["-s", "ES384"]), ("rsa2048", ["-s", "RS256"])):
            cli(stack, "key", "create", algorithm, "-a", algorithm)
            sig, public = stack.dir / "sig", stack.dir / "public"
            cli(stack, "sign", algorithm, message, "-o", sig, *options)
            cli(stack, "key", "public", algorithm, "-o", public)
            digest = "-sha384" if algorithm == "p384" else "-sha256"
            openssl("dgst", digest, "-verify", public, "-signature", sig, message)
            plain = cli(stack, "sign", algorithm, message, *options, "--base64")
            assert len(base64.b64decode(plain)) >= 64
        assert len(base64.b64decode(as_json(stack, "sign", "p256", message, "-e", "p1363")["signature"])) == 64
        csr = stack.dir / "csr"
        cli(stack, "key", "csr", "p256", "CN=device-7,O=Example", "--dns", "device.example", "--ip", "192.0.2.1", "-o", csr)
        openssl("req", "-in", csr, "-verify", "-noout")
    initialised(test)


def test_digests_are_signed_only_by_keys_made_for_it():
    def test(stack):
        cli(stack, "key", "create", "plain")
        cli(stack, "key", "create", "digests", "--digest")
        cli(stack, "sign", "plain", "--digest", input=bytes(32), code=4)
        cli(stack, "sign", "digests", "--digest", input=bytes(32))
        cli(stack, "sign", "digests", "--digest", input=bytes(31), code=2)
        cli(stack, "sign", "digests", input=bytes(32), code=4)
    initialised(test)


def test_data_keys_seal_mac_decrypt_and_agree():
    def test(stack):
        d = stack.dir
        cli(stack, "key", "create", "data", "-a", "aes256")
        (d / "aad").write_bytes(b"\0binary\n")
        sealed = cli(stack, "seal", "data", "--aad", f"@{d}/aad", input=b"my data")
        assert cli(stack, "unseal", "data", "--aad", f"@{d}/aad", input=sealed) == b"my data"
        cli(stack, "unseal", "data", input=sealed, code=8)
        cli(stack, "unseal", "data", "--aad", f"@{d}/aad", "-o", d / "opened", input=sealed)
        assert (d / "opened").stat().st_mode & 0o777 == 0o600
        cli(stack, "key", "create", "mac", "-a", "hmac-sha256")
        assert len(cli(stack, "mac", "mac", input=b"x")) == 32
        cli(stack, "key", "create", "rsa", "-a", "rsa2048", "-p", "decrypt")
        cli(stack, "key", "public", "rsa", "-o", d / "rsa.pem")
        (d / "plain").write_bytes(b"for you")
        openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", d / "rsa.pem", "-in", d / "plain", "-out", d / "cipher", "-pkeyopt",
                "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256")
        assert cli(stack, "decrypt", "rsa", d / "cipher") == b"for you"
        cli(stack, "decrypt", "rsa", input=bytes(256), code=8)
        cli(stack, "--bus", "decrypt", "rsa", d / "cipher", code=1)
        for name in ("left", "right"):
            cli(stack, "key", "create", name, "-a", "x25519")
            cli(stack, "key", "public", name, "-o", d / name)
        one = cli(stack, "agree", "left", d / "right", "--info", "test", "--length", "48")
        two = cli(stack, "agree", "right", d / "left", "--info", "test", "--length", "48")
        assert one == two and len(one) == 48
        assert len(cli(stack, "random", "4096")) == 4096
    initialised(test)


def test_a_key_is_imported_only_where_it_is_allowed():
    def make(stack):
        pem = stack.dir / "key.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pem)
        return pem

    def allowed(stack):
        cli(stack, "key", "import", "old", make(stack))
        assert as_json(stack, "key", "show", "old")["imported"] is True
        # what is no such file is told as what it should be
        encrypted = stack.dir / "encrypted.pem"
        openssl("pkcs8", "-topk8", "-in", make(stack), "-out", encrypted, "-passout", "pass:x")
        assert "unencrypted" in as_json(stack, "key", "import", "new", encrypted, code=2)["error"]["sentence"]
        large = stack.dir / "large"
        large.write_bytes(bytes(65537))
        for words, code, said in (((large,), 2, "more than 65536 bytes"), ((stack.dir,), 2, "neither a file nor a pipe"),
                                  ((stack.dir / "key.pem", "-p", "decrypt"), 4, "cannot have purpose 'decrypt'")):
            assert said in as_json(stack, "key", "import", "new", *words, code=code)["error"]["sentence"], words

    def refused(stack):
        cli(stack, "key", "import", "old", make(stack), code=4)
    initialised(allowed, daemon_args=["--import=yes"])
    initialised(refused)


def test_a_backup_comes_back_and_a_rekey_ends_other_slots():
    with Stack() as one, Stack() as other:
        one.init()
        cli(one, "key", "create", "k")
        cli(one, "slot", "add", "passphrase", "--passphrase-file", "-", input=PASSPHRASE)
        public = cli(one, "key", "public", "k")
        backup, code = one.dir / "backup", one.dir / "code"
        assert as_json(one, "backup", backup)["keys"] == 1
        assert backup.stat().st_mode & 0o777 == 0o600
        cli(one, "backup", backup, code=2)  # not over an old one without a word
        cli(other, "restore", backup, "--yes", "--passphrase-file", "-", input=b"wrong", code=5)
        assert b"not known" in cli(other, "restore", backup, "--yes", "--passphrase-file", "-", input=PASSPHRASE)
        other.wait_state("ready")
        assert cli(other, "key", "public", "k") == public
        assert cli(other, "sign", "k", input=b"x")

        old_key = as_json(one, "audit", "key")["vkey"]
        new_key = as_json(one, "rekey", "--yes", "--slot", "credential", "--recovery-file", code)["vkey"]
        log = one.dir / "log.jsonl"
        cli(one, "audit", "export", log)
        assert new_key != old_key and new_key.encode() in cli(one, "audit", "verify", log, "--key", old_key)
        said = one.cli("audit", "verify", log, "--key", new_key, check=False)
        assert said.returncode == 8 and b"after a rekey" in said.stderr, said
        assert sorted(s["kind"] for s in as_json(one, "slot", "list")) == ["credential", "recovery"]
        cli(one, "lock")
        cli(one, "unlock", "--passphrase-file", "-", input=PASSPHRASE, code=5)
        cli(one, "unlock", "--passphrase-file", code)
        assert cli(one, "key", "public", "k") == public


def test_a_backup_or_an_export_that_fails_leaves_what_was_there():
    def test(stack):
        place = stack.dir / "place"
        place.mkdir()
        backup, export, other, fifo = (place / n for n in ("backup", "export", "other", "fifo"))
        cli(stack, "backup", backup)
        cli(stack, "audit", "export", export)
        before = backup.read_bytes(), export.read_bytes()
        os.mkfifo(fifo)
        for path in (fifo, "/dev/null", place, "-"):
            cli(stack, "backup", path, "--yes", code=2)
            cli(stack, "restore", path, "--yes", code=3 if path == "-" else 2)
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and fifo.is_fifo()
        cli(stack, "audit", "export", "/dev/null")
        other.symlink_to(backup)
        cli(stack, "backup", other, code=2)
        cli(stack, "backup", other, "--yes")
        assert other.is_symlink() and backup.read_bytes() != before[0]
        before = backup.read_bytes(), export.read_bytes()
        said = stack.cli("backup", backup, check=False)
        assert b"exists. Replace it?" in said.stderr, said
        stack.stop()
        cli(stack, "backup", backup, "--yes", code=7)
        cli(stack, "audit", "export", export, code=7)
        assert (backup.read_bytes(), export.read_bytes()) == before
        assert sorted(p.name for p in place.iterdir()) == ["backup", "export", "fifo", "other"]
        stack.start()
    initialised(test)


def test_who_wants_an_older_state_back_follows_the_sentence():
    def test(stack):
        cli(stack, "key", "create", "k")
        cli(stack, "slot", "add", "passphrase", "--passphrase-file", "-", input=PASSPHRASE)
        backup = stack.dir / "backup"
        cli(stack, "backup", backup)
        cli(stack, "key", "create", "later")
        told = stack.cli("restore", backup, "--yes", check=False)
        assert told.returncode == 1 and b"move store.db out" in told.stderr, told
        for file in (stack.state / "store").glob("store.db*"):
            file.unlink()
        stack.kill(stack.daemon_pid(), signal.SIGTERM)
        stack.wait_state("refused")
        assert as_json(stack, "status")["error"] == "StoreDamaged"
        findings = {f["code"]: f for f in as_json(stack, "doctor", code=1)}
        assert findings["store"]["remedy"] == "holdfast restore FILE"
        said = cli(stack, "restore", backup, "--yes", "--passphrase-file", "-", input=PASSPHRASE)
        assert re.search(rb"Changes lost: 2\n", said) and re.search(rb" key\.create +later ", said) and b"store.restore" not in said
        stack.wait_state("ready")
        assert [k["name"] for k in as_json(stack, "key", "list")] == ["k"]
        assert b"the log goes on" in cli(stack, "audit", "show", "--event", "store.restore")
    initialised(test)


# Policy and audit

def test_refusals_are_named_and_explained():
    def test(stack):
        if not ROOT:
            raise case.Skip("needs several users")
        cli(stack, "key", "create", "device-1")
        assert cli(stack, "sign", "device-1", input=b"x", uid=ALICE)
        denied = stack.cli("sign", "device-1", input=b"x", uid=BOB, check=False)
        assert denied.returncode == 4 and denied.stderr.endswith(b"(PolicyDenied)\n") and b"policy explain" in denied.stderr
        unknown = stack.cli("sign", "device-1", input=b"x", uid=MALLORY, check=False)
        assert unknown.returncode == 3 and unknown.stderr.endswith(b"(NoSuchKey)\n")
        why = as_json(stack, "policy", "explain", "sign", "device-1", "--user", str(BOB))
        assert why["verdict"] == "deny" and "allow" in why["suggestion"]
        assert as_json(stack, "policy", "explain", "sign", "device-1", "--user", str(ALICE))["verdict"] == "allow"
        cli(stack, "policy", "explain", "no-such-operation", code=2)
        stack.set_rules("allow nonsense\n", "20-bad.conf")
        bad = stack.cli("policy", "reload", check=False)
        assert bad.returncode == 1 and b"20-bad.conf:1" in bad.stderr, bad
    initialised(test)


def test_the_command_in_a_refusal_can_be_copied_and_run():
    def test(stack):
        if not ROOT:
            raise case.Skip("needs several users")
        cli(stack, "key", "create", "device-1")
        for uid, args in ((BOB, ("sign", "device-1")), (MALLORY, ("sign", "device-1")), (MALLORY, ("key", "show", "device-1")),
                          (BOB, ("key", "create", "mine")), (BOB, ("audit", "show")), (BOB, ("random", "1"))):
            said = stack.cli(*args, input=b"x", uid=uid, check=False).stderr.decode()
            command = said[said.index("holdfast policy explain"):said.rindex(" (")].split()
            why = as_json(stack, *command[1:])
            assert why["verdict"] == "deny", (command, why)
            # the line suggested is the one that was missing
            stack.set_rules(why["suggestion"] + "\n", "90-suggested.conf")
            cli(stack, "policy", "reload")
            assert as_json(stack, *command[1:])["verdict"] == "allow", why
            cli(stack, *args, input=b"x", uid=uid)
            stack.set_rules("", "90-suggested.conf")
            cli(stack, "policy", "reload")
        assert as_json(stack, "policy", "explain", "sign", "device-1", "--user", "nobody")["verdict"] == "deny"
        by_name = as_json(stack, "policy", "explain", "sign", "device-1", "--user", "nobody")
        assert "65534" in by_name["text"] and by_name["suggestion"] == "allow user=nobody key=device-1 op=sign", by_name
        by_number = as_json(stack, "policy", "explain", "sign", "device-1", "--user", "65534")
        assert by_number["suggestion"] == "allow user=65534 key=device-1 op=sign", by_number
    initialised(test)


def test_explain_shows_a_stranger_no_rules_of_others():
    def test(stack):
        if not ROOT:
            raise case.Skip("needs several users")
        stack.set_rules("allow user=12345 key=very-private op=sign\n", "60-other.conf")
        cli(stack, "policy", "reload")
        assert b"very-private" in cli(stack, "policy", "explain", "sign", "very-private", "--user", str(MALLORY))
        assert b"12345" not in cli(stack, "policy", "explain", "sign", "very-private", uid=MALLORY)
        assert b"very-private" not in cli(stack, "policy", "explain", "sign", "x", uid=MALLORY)
    initialised(test)


def test_wrong_arguments_are_told_with_the_right_ones():
    def test(stack):
        cli(stack, "key", "create", "k")
        for args, code, said in ((("policy", "explain", "frob"), 2, b"holdfast-policy"),
                                 (("key", "public", "k", "-f", "xml"), 2, b"pem, spki, jwk or ssh"),
                                 (("key", "csr", "k", "CN=x,nonsense"), 2, b"CN=device-7"),
                                 (("key", "create", "z", "-p", "decrypt"), 4, b"p256 cannot be made for purpose 'decrypt'"),
                                 (("key", "create", "z", "-p", "walk"), 2, b"sign, decrypt, agree"),
                                 (("slot", "add", "banana"), 2, b"recovery, tpm2 or tpm2-derived"),
                                 (("sign", "k", "-e", "hex"), 2, b"der or p1363"),
                                 (("audit", "show", "--event", "k["), 2, b"pattern"),
                                 (("audit", "show", "--caller", "no-such-user"), 2, b"no user 'no-such-user'"),
                                 (("audit", "prune", "--yes", "--before", "3", "--archived", "/dev/null"), 2, b"note")):
            done = stack.cli(*args, input=b"x", check=False)
            assert done.returncode == code and said in done.stderr and done.stdout == b"", (args, done)
    initialised(test)


def test_the_log_is_shown_filtered_exported_and_verified():
    def test(stack):
        cli(stack, "key", "create", "k")
        for _ in range(3):
            cli(stack, "sign", "k", input=b"x")
        lines = cli(stack, "audit", "show", "--event", "key.sign", "--json").splitlines()
        assert len(lines) == 3 and all(json.loads(line)["name"] == "k" for line in lines)
        assert len(cli(stack, "audit", "show", "--event", "key.sign", "-n", "2", "--no-legend").splitlines()) == 2
        assert cli(stack, "audit", "show", "--since", "2099-01-01", "--no-legend") == b""
        assert len(cli(stack, "audit", "tail", "-n", "4", "--no-legend").splitlines()) == 4
        log, key = stack.dir / "log.jsonl", stack.dir / "vkey"
        key.write_text(as_json(stack, "audit", "key")["vkey"] + "\n")
        cli(stack, "audit", "export", log)
        assert cli(stack, "audit", "export")[:7] == b'{"seq":'
        assert b"complete up to checkpoint" in cli(stack, "audit", "verify", log, "--key", key)
        assert b"signer unknown" in cli(stack, "audit", "verify", log, code=11)
        data = bytearray(log.read_bytes())
        at = data.index(b'"name":"k"', data.index(b'"key.sign"')) + 8
        data[at] = ord("j")
        log.write_bytes(data)
        bad = stack.cli("audit", "verify", log, "--key", key, check=False)
        assert bad.returncode == 8 and b"(changed)" in bad.stderr and bad.stdout == b"", bad
        report = json.loads(stack.cli("audit", "verify", log, "--key", key, "--json", check=False).stdout)
        assert report["verdict"] == "changed" and report["bad-sequence"] > 0
    initialised(test)


def test_tail_shows_the_last_records_that_are_wanted_however_far_back():
    def test(stack):
        for name in ("a", "b", "c"):
            cli(stack, "key", "create", name)
        for _ in range(40):
            cli(stack, "random", "1")
        names = [json.loads(line)["name"] for line in
                 cli(stack, "audit", "tail", "-n", "2", "--event", "key.create", "--json").splitlines()]
        assert names == ["b", "c"], names
        assert len(cli(stack, "audit", "tail", "-n", "99", "--event", "key.create", "--no-legend").splitlines()) == 3
        assert cli(stack, "audit", "tail", "--event", "ca.*") == b""
    initialised(test)


def test_a_cut_log_is_told_by_the_note_kept_outside():
    def test(stack):
        cli(stack, "key", "create", "k")
        log, key, note = stack.dir / "log.jsonl", stack.dir / "vkey", stack.dir / "note"
        cli(stack, "audit", "export", log)
        key.write_bytes(cli(stack, "audit", "key"))
        note.write_bytes(cli(stack, "audit", "note"))
        cli(stack, "audit", "verify", log, "--key", key, "--expect", note)
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[:-3]))
        cli(stack, "audit", "verify", log, "--key", key)
        bad = stack.cli("audit", "verify", log, "--key", key, "--expect", note, check=False)
        assert bad.returncode == 8 and b"(truncated)" in bad.stderr and b"The log is cut" in bad.stderr, bad
        log.write_bytes(lines[0] + lines[1] + lines[3])
        bad = stack.cli("audit", "verify", log, "--key", key, check=False)
        assert bad.returncode == 8 and b"Record 2 (line 3)" in bad.stderr and b"(missing)" in bad.stderr, bad
    initialised(test)


def test_an_export_that_goes_on_is_verified_behind_the_one_before():
    def test(stack):
        first, more, key = stack.dir / "first", stack.dir / "more", stack.dir / "vkey"
        key.write_bytes(cli(stack, "audit", "key"))
        lines = as_json(stack, "audit", "export", first)["lines"]
        cli(stack, "key", "create", "k")
        cli(stack, "audit", "export", more, "--from", str(lines))
        bad = stack.cli("audit", "verify", more, "--key", key, check=False)
        assert bad.returncode == 8 and b"begins inside a segment" in bad.stderr and b"(missing)" in bad.stderr, bad
        first.write_bytes(first.read_bytes() + more.read_bytes())
        assert b"unsealed tail: 0" in cli(stack, "audit", "verify", first, "--key", key)
    initialised(test)


def test_tail_follows():
    def test(stack):
        cli(stack, "key", "create", "k")
        tail = subprocess.Popen([stack.program("cli/holdfast"), "audit", "tail", "-f", "-n", "1", "--json", "--event", "key.*"],
                                stdout=subprocess.PIPE, env=stack._environment())
        try:
            # the last record of this kind, although others came behind it
            assert json.loads(tail.stdout.readline())["event"] == "key.create"
            pathlib.Path(stack.dir / "message").write_bytes(b"x")
            for _ in range(2):
                cli(stack, "sign", "k", stack.dir / "message")
            seen = [json.loads(tail.stdout.readline())["event"] for _ in range(2)]
            assert seen == ["key.sign", "key.sign"], seen
        finally:
            tail.kill()
            tail.wait()
    initialised(test)


def test_an_export_that_nobody_reads_to_its_end_ends_like_any_other_tool():
    def test(stack):
        cli(stack, "key", "create", "k", "--algorithm", "ed25519")
        with stack.peer() as peer:
            for _ in range(400):
                peer.sign("k", b"to fill a pipe")
        done = stack.run(["bash", "-c", f"{stack.program('cli/holdfast')} audit export | head -c 7; echo ${{PIPESTATUS[0]}}"])
        assert done.stdout == b'{"seq":' + str(128 + signal.SIGPIPE).encode() + b"\n" and not done.stderr, done
    initialised(test)


def test_status_and_doctor_speak_json_and_english():
    def test(stack):
        status = as_json(stack, "status")
        assert status["state"] == "ready" and isinstance(status["keys"], int)
        assert b"State: ready" in cli(stack, "status")
        findings = as_json(stack, "doctor")
        assert {"direct-socket", "system-bus"} <= {f["code"] for f in findings}
        assert all(set(f) == {"severity", "code", "detail", "remedy"} for f in findings)
        if ROOT:
            assert set(as_json(stack, "status", uid=MALLORY)) <= {"state", "reason", "error", "version"}
        cli(stack, "restore", stack.dir / "holdfast.conf", "--yes", code=1)  # not over a store that can be opened
        cli(stack, "lock")
        cli(stack, "lock", code=6)
        assert b"store.init" in cli(stack, "audit", "tail", "-n", "99")  # the log is read while it is locked
        cli(stack, "audit", "tail", "-f", code=5)
        assert as_json(stack, "status")["state"] == "locked"
        assert b"Keys:" not in cli(stack, "status")  # nobody can count them now
        assert {"store": "holdfast unlock"}.items() <= {f["code"]: f["remedy"] for f in as_json(stack, "doctor")}.items()
        if ROOT:
            seen = stack.cli("doctor", uid=MALLORY, check=False)
            assert seen.returncode == 4 and b"direct-socket" in seen.stdout and b"PolicyDenied" not in seen.stdout
        cli(stack, "sign", "k", input=b"x", code=5)
    initialised(test)


case.main()
