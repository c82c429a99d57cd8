#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast where no daemon is: usage, exit codes, the form of errors, help, completion.

test_alone.py HOLDFAST COMPLETION
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import case

HOLDFAST, COMPLETION = (os.path.abspath(p) for p in (sys.argv.pop(1), sys.argv.pop(1)))
NOWHERE = {"PATH": os.environ["PATH"], "HOLDFAST_SOCKET": "/nonexistent/bus",
           "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/system_bus"}


def run(*args, stdin=b""):
    return subprocess.run([HOLDFAST, *args], input=stdin, capture_output=True, env=NOWHERE, timeout=30)


def verbs():
    for line in run("help", "--list").stdout.decode().splitlines():
        noun, verb, *options = line.split()
        yield ([] if noun == "-" else [noun]) + [verb], options


def test_usage_errors_exit_with_2_and_say_so_once():
    for args in (["frob"], ["key"], ["key", "frob"], ["sign"], ["sign", "a", "b", "c"], ["status", "x"], ["--no-such"],
                 ["sign", "k", "--no-such"], ["sign", "k", "--scheme"], ["random", "0"], ["random", "4097"], ["random", "x"],
                 ["agree", "k", "--length", "257"], ["slot", "remove", "-1", "--yes"], ["audit", "prune"],
                 ["audit", "show", "--since", "soon"], ["key", "create", "k", "--for", "no such user"],
                 ["key", "csr", "k", "--format", "xml"], ["init", "--unattended", "--slot", "tpm"],
                 ["slot", "add", "tpm2", "--pcr", "7+24"], ["slot", "add", "passphrase", "--pcr", "7"],
                 ["slot", "add", "tpm2-derived"], ["cert", "set", "k"], ["cert", "remove"], ["key", "attest", "k"], ["key", "attest", "k", "--nonce", "abc"],
                 ["attest", "verify", "/dev/null"], ["attest", "verify", "/dev/null", "--nonce", "00", "--nonce-file", "x"],
                 ["exec", "k"], ["exec", "../k", "--", "true"], ["watch", "k"], ["watch", "../k", "--", "true"],
                 ["ca", "init"], ["ca", "init", "leaf"], ["ca", "init", "root", "--csr", "-"], ["ca", "init", "root", "--without-backup"], ["ca", "import", "k"], ["ca", "rollover"], ["ca", "issue"], ["ca", "issue", "--key", "k", "--days", "0"],
                 ["ca", "list", "--ca", "../k"], ["ca", "crl"], ["ca", "crl", "put"], ["ca", "crl", "get"], ["ca", "crl", "list", "x"], ["ca", "ocsp", "/dev/null"],
                 ["ca", "ocsp", "/dev/null", "--signer", "s", "--hours", "0"], ["ca", "package", "k"], ["ca", "diagnose", "k"],
                 ["ca", "diagnose", "k", "--connect", "h:x"], ["ca", "renew", "k", "r", "--rekey"], ["setup", "nginx"], ["setup", "lighttpd", "k"], ["setup", "curl", "../k"]):
        done = run(*args)
        assert done.returncode == 2, (args, done)
        assert args == ["key"] or done.stderr.count(b"\n") == 1, (args, done.stderr)


def test_without_a_daemon_every_verb_that_needs_one_exits_with_7():
    needs_none = (["help"], ["version"], ["audit", "verify"], ["attest", "verify"], ["verify"],
                  ["cert", "check"], ["exec"], ["watch"])
    arguments = {"key create": ["k"], "key import": ["k", "/dev/null"], "cert set": ["k", "--chain", "/dev/null"], "cert remove": ["k"], "cert show": ["k"],
                 "random": ["1"], "slot add": ["credential"],
                 "slot change": ["1"], "slot reseal": ["1"], "key attest": ["k", "--nonce", "00"], "slot remove": ["1"], "policy explain": ["sign"],
                 "policy grant": ["k", "r"], "ca init": ["root"], "ca import": ["k", "/dev/null"], "ca rollover": ["k"], "ca issue": ["--key", "k"], "ca status": ["k"], "ca renew": ["k"],
                 "ca revoke": ["k"], "ca ocsp": ["/dev/null", "--signer", "k"], "ca crl": ["list"], "ca package": ["k", "/tmp/none"],
                 "ca diagnose": ["k", "--connect", "localhost:1"], "setup": ["curl", "k"], "backup": ["/tmp/none"],
                 "restore": [__file__], "init": ["--unattended"], "rekey": ["--unattended"],
                 "recover": ["--accept-rollback"], "audit prune": ["--before", "5", "--archived", "/dev/null"]}
    count = 0
    for words, _ in verbs():
        if words in needs_none:
            continue
        name = " ".join(words)
        takes_key = words[0] in ("sign", "decrypt", "agree", "mac", "seal", "unseal") or (words[0] == "key" and name != "key list")
        done = run(*words, *arguments.get(name, ["k"] if takes_key else []), "--yes")
        assert done.returncode == 7, (name, done)
        assert name == "doctor" or done.stderr.decode().startswith(f"holdfast: {name}: "), done.stderr
        assert name == "doctor" or done.stderr.endswith(b"(DaemonUnavailable)\n"), done.stderr
        count += 1
    assert count > 35, count


def test_json_errors_are_json_on_stdout():
    done = run("--json", "status")
    assert json.loads(done.stdout)["error"]["name"] == "DaemonUnavailable"
    assert json.loads(done.stdout)["error"]["exit"] == 7 == done.returncode


def test_nothing_is_destroyed_without_a_question_or_yes():
    for args in (["key", "destroy", "k"], ["key", "freeze", "k"], ["rekey"], ["slot", "remove", "1"], ["recover"],
                 ["restore", __file__]):
        done = run(*args)
        assert done.returncode == 2 and b"--yes" in done.stderr, (args, done)


def test_init_without_a_terminal_names_the_way_out():
    done = run("init")
    assert done.returncode == 2 and b"--recovery-file" in done.stderr and b"--unattended" in done.stderr


def test_secrets_have_no_option_of_their_own():
    """A passphrase on the command line is in everybody's ps."""
    names = {o for _, options in verbs() for o in options}
    assert not names & {"passphrase", "password", "secret", "recovery-code", "code"}, names
    assert run("slot", "add", "tpm2", "--pin=1234").returncode == 2  # it says that there is one, never which


def test_a_message_over_64_KiB_is_refused_before_the_daemon_is_asked():
    done = run("sign", "k", stdin=bytes(65537))
    assert done.returncode == 2 and b"(MessageTooLarge)" in done.stderr


def test_a_private_key_where_a_public_one_is_asked_for_is_not_sent():
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")
        file.flush()
        for args in (["slot", "add", "tpm2", "--pcr", "11", "--signed-policy", file.name], ["agree", "k", file.name],
                     ["cert", "set", "k", "--chain", file.name], ["cert", "set", "k", "--trust", file.name, "--chain", "/dev/null"]):
            done = run(*args)
            assert done.returncode == 2 and b"holds a private key. Nothing was sent" in done.stderr, (args, done)


def test_files_that_are_not_there_exit_with_3():
    assert run("sign", "k", "/nonexistent/file").returncode == 3
    assert run("audit", "verify", "/nonexistent/file").returncode == 3


def test_what_is_no_log_fails_verification():
    done = run("audit", "verify", "-", stdin=b"hello\n")
    assert done.returncode == 8, done
    done = run("audit", "verify", "-", "--json", stdin=b"hello\n")
    assert done.returncode == 8 and json.loads(done.stdout)["verdict"] == "not-a-log", done


def test_help_shows_every_verb_and_option():
    text = run("help").stdout.decode()
    for words, options in verbs():
        assert re.search(r"^  " + " ".join(words) + r"\b", text, re.MULTILINE), words
        own = run("help", *words).stdout.decode()
        assert own == run(*words, "--help").stdout.decode()
        for option in options:
            assert f"--{option}" in own, (words, option)
    assert run("version").stdout == run("--version").stdout
    assert len(json.loads(run("help", "--json").stdout)) == len(list(verbs()))
    assert {v["noun"] for v in json.loads(run("help", "key", "--json").stdout)} == {"key"}
    assert [v["verb"] for v in json.loads(run("help", "key", "show", "--json").stdout)] == ["show"]
    assert [v["verb"] for v in json.loads(run("help", "sign", "--json").stdout)] == ["sign"]
    assert run("key").returncode == run("key", "--json").returncode == 2 and run("key", "--help").returncode == 0


# Completion, as bash does it

def complete(line, keys=""):
    """The words bash would offer at the end of the line; `keys` stands in for a daemon that lists them."""
    words = line.split(" ")
    script = f"""
        source {COMPLETION}
        holdfast() {{ if [ "$1 $2" = "key list" ]; then printf '%s p256 sign\\n' {keys}; else {HOLDFAST} "$@"; fi; }}
        COMP_WORDS=({' '.join(repr(w) if w else "''" for w in words)})
        COMP_CWORD={len(words) - 1}
        _holdfast
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    out = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, env=NOWHERE, timeout=30)
    assert not out.stderr, out.stderr
    return sorted(w for w in out.stdout.split("\n") if w)


def test_completion_knows_nouns_and_verbs():
    nouns = complete("holdfast ")
    assert {"key", "sign", "audit", "status"} <= set(nouns) and "-" not in nouns
    assert complete("holdfast au") == ["audit"]
    assert {"create", "list", "destroy"} <= set(complete("holdfast key "))
    assert complete("holdfast audit ver") == ["verify"]


def test_completion_knows_the_options_of_the_verb():
    assert complete("holdfast sign k --sc") == ["--scheme"]
    assert complete("holdfast key list --pass") == []
    assert complete("holdfast sign k --scheme RS") == ["RS256", "RS384", "RS512"]
    assert "x25519" in complete("holdfast key create k --algorithm ")


def test_completion_asks_the_daemon_for_keys():
    assert complete("holdfast sign d", keys="device door other") == ["device", "door"]
    assert complete("holdfast key destroy ", keys="device") == ["device"]
    assert complete("holdfast key create d", keys="device") == []


def test_completion_knows_every_operation_of_the_policy():
    table = (pathlib.Path(COMPLETION).parents[2] / "policy/operation.c").read_text()
    names = re.findall(r'\[POLICY_OP_\w+\] = \{\.name = "([\w-]+)"', table)
    assert len(names) > 30 and complete("holdfast policy explain ") == sorted(names)
    assert complete("holdfast policy explain sign d", keys="device other") == ["device"]
    assert complete("holdfast decrypt k --scheme ") == ["RSA-OAEP-256"] and "jwk" in complete("holdfast key public k -f ")
    assert complete("holdfast help key sh") == ["show"]


def test_completion_knows_programs_and_the_identities_that_have_files():
    assert "haproxy" in complete("holdfast setup ") and complete("holdfast setup ng") == ["nginx"]
    with tempfile.TemporaryDirectory(prefix="holdfast-alone-") as directory:
        for name in "web", "worker", ".web.1", "ca@root":
            os.mkdir(os.path.join(directory, name))
        NOWHERE["HOLDFAST_TLS"] = directory
        try:
            assert complete("holdfast exec ") == complete("holdfast setup nginx ") == ["web", "worker"]
            assert complete("holdfast watch ") == ["ca@root", "web", "worker"]
        finally:
            del NOWHERE["HOLDFAST_TLS"]


case.main()
