#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
crl.pem beside ca.pem: what is in it and when it changes; and stock nginx and mosquitto, started with the lines of `holdfast setup`
and reloaded by `holdfast watch`, refuse a client soon after it was revoked, while the others go on.
"""
import base64
import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import time

import case
from ca import create, issue, list_number, make_request, published, revoke, running
from party import Party, free_port, need, serving
from stack import ALICE, ROOT, SOURCE, wait_for

WITHIN = 5  # seconds from `ca revoke` to the refusal


def lists_in(path):
    """[(issuer, serials)] in order, as openssl reads them."""
    blocks = re.findall(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n", path.read_text(), re.S)
    found = []
    for block in blocks:
        text = subprocess.run(["openssl", "crl", "-noout", "-text"], input=block, capture_output=True, text=True, check=True).stdout
        found.append((re.search(r"Issuer: .*CN = (\S+)", text)[1], set(re.findall(r"Serial Number: ([0-9A-F]+)", text))))
    return found


class Site:
    """An identity `web` that trusts the root of a CA here, and clients of that CA whose keys are elsewhere."""

    def __init__(self, stack, admin):
        self.stack, self.admin, self.party = stack, admin, Party(stack)
        self.dir, self.tls = self.party.dir, stack.dir / "run/tls"
        admin.create("device-web", "p256")
        self.identity("web")

    def identity(self, name, ca="intermediate", trust=None):
        chain = self.dir / f"{name}-{ca}.pem"
        chain.write_bytes(issue(self.admin, key="device-web", profile="server", name=name, ca=ca, dns=["localhost"])["chain"])
        self.stack.cli("cert", "set", name, "--key", "device-web", "--chain", chain, "--trust", trust or published(self.stack, "ca.pem", ca))

    def client(self, name, ca="intermediate"):
        """(certificate with its chain, key)"""
        request = make_request(self.dir / f"{name}.csr")
        chain = self.dir / f"{name}.pem"
        chain.write_bytes(issue(self.admin, request, name=name, ca=ca)["chain"])
        key = self.dir / f"{name}.csr.key"
        key.chmod(0o644)
        return chain, key

    def generation(self, name="web"):
        return os.readlink(self.tls / name)

    def lines(self, program):
        done = self.stack.run(["env", f"HOLDFAST_TLS={self.tls}", f"HOLDFAST_OPENSSL_CONF={self.party.configuration}",
                               f"HOLDFAST_POLICY_DIR={self.stack.dir}/policy.d", self.stack.program("cli/holdfast"), "setup", program, "web",
                               "--json"])
        return json.loads(done.stdout)["lines"]

    @contextlib.contextmanager
    def watching(self, *command):
        log = self.dir / "watch.log"
        words = ["env", f"HOLDFAST_TLS={self.tls}", self.stack.program("cli/holdfast"), "watch", "web", "--", *command]
        with self.party.running(*words, log=log) as process:
            yield process


@contextlib.contextmanager
def site():
    with running() as (stack, admin):
        yield Site(stack, admin)


def visit(s, url, client):
    crt, key = client
    return s.party.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "--cert", crt, "--key", key, "--cacert",
                       s.tls / "web/ca.pem", url, check=False)


@contextlib.contextmanager
def nginx(s):
    place = s.dir / "nginx"
    place.mkdir()
    if ROOT:
        os.chown(place, ALICE, ALICE)
    lines = s.lines("nginx")
    assert any("ssl_crl" in line and str(s.tls / "web/crl.pem") in line for line in lines), lines
    port, conf = free_port(), s.dir / "nginx.conf"
    conf.write_text(f"daemon off; env HOLDFAST_SOCKET; pid {place}/pid; error_log {place}/error.log info;\nevents {{}}\nhttp {{ access_log off;"
                    + "".join(f" {t}_temp_path {place}/{t};" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                    + f"\nserver {{ listen 127.0.0.1:{port} ssl; ssl_client_certificate {s.tls}/web/ca.pem; ssl_verify_client on;\n"
                    + "\n".join(lines) + ' location / { return 200 "well"; } } }\n')
    with serving(s.party, "nginx", port, "nginx", "-e", place / "error.log", "-c", conf):
        with s.watching("sh", "-c", f"kill -HUP $(cat {place}/pid)"):
            yield f"https://localhost:{port}/"


@contextlib.contextmanager
def mosquitto(s):
    lines = s.lines("mosquitto")
    assert f"crlfile {s.tls}/web/crl.pem" in lines, lines
    port, conf = free_port(), s.dir / "mosquitto.conf"
    pid = s.dir / "mosquitto.pid"
    conf.write_text(f"listener {port} 127.0.0.1\ncafile {s.tls}/web/ca.pem\nrequire_certificate true\nuse_identity_as_username true\n"
                    "allow_anonymous false\n" + "\n".join(lines) + "\n")
    start = f"echo $$ > {pid}; exec mosquitto -c {conf}"
    with serving(s.party, "mosquitto", port, "sh", "-c", start):
        with s.watching("sh", "-c", f"kill -HUP $(cat {pid})"):
            yield port


# crl.pem


def test_an_identity_that_trusts_a_ca_here_has_the_lists_of_its_whole_chain():
    with site() as s:
        assert sorted(lists_in(s.tls / "web/crl.pem")) == [("Devices", set()), ("Root", set())]
        made = issue(s.admin, make_request(s.dir / "x.csr"), name="x")
        before = s.generation()
        revoke(s.admin, "x")
        assert s.generation() != before
        assert dict(lists_in(s.tls / "web/crl.pem"))["Devices"] == {made["serial"].upper()}
        kept = sorted(f.name for f in (s.tls / "web").iterdir())
        assert kept == ["bundle.pem", "ca.pem", "cert.pem", "chain.pem", "crl.pem", "fullchain.pem", "key.pem"]
        before = s.generation()
        s.stack.cli("ca", "enable", "root")
        assert s.generation() != before
        assert list_number(published(s.stack, "own.crl.pem", "root")) > 0


def test_a_ca_that_comes_later_brings_its_list_and_another_root_does_not():
    with site() as s:
        s.stack.cli("ca", "enable", "root")
        s.stack.cli("ca", "init", "intermediate", "--name", "servers", "--set", "CN=Servers", "--algorithm", "p256")
        assert {issuer for issuer, _ in lists_in(s.tls / "web/crl.pem")} == {"Root", "Devices", "Servers"}
        before = s.generation()
        create(s.admin, "elsewhere", "others")
        assert s.generation() == before
        s.identity("far", "others")
        assert len(lists_in(s.tls / "far/crl.pem")) == 2
        before, far = s.generation(), s.generation("far")
        issue(s.admin, make_request(s.dir / "x.csr"), name="x", ca="others")
        revoke(s.admin, "x", ca="others")
        assert s.generation() == before and s.generation("far") != far


def test_anchors_of_somebody_else_and_no_anchors_have_no_lists():
    with site() as s:
        s.identity("foreign", trust=s.party.ca)
        assert not (s.tls / "foreign/crl.pem").exists()
        s.stack.cli("cert", "set", "web", "--key", "device-web", "--chain", s.dir / "web-intermediate.pem")
        assert not (s.tls / "web/crl.pem").exists()


def test_lists_outlive_a_restart_and_are_put_right_at_the_opening():
    with site() as s:
        before = (s.tls / "web/crl.pem").read_bytes()
        generation = s.generation()
        s.stack.restart()
        s.stack.wait_state("ready")
        assert s.generation() == generation
        (s.tls / "web/crl.pem").write_bytes(b"somebody else's")
        s.stack.restart()
        s.stack.wait_state("ready")
        assert (s.tls / "web/crl.pem").read_bytes() == before


# Stale lists


def days(path):
    """How long it holds."""
    dates = [datetime.datetime.strptime(subprocess.run(["openssl", "crl", "-in", path, "-noout", which], capture_output=True, text=True,
                                                       check=True).stdout.split("=")[1].strip(), "%b %d %H:%M:%S %Y %Z")
             for which in ("-lastupdate", "-nextupdate")]
    return (dates[1] - dates[0]) / datetime.timedelta(days=1)


def test_lists_that_are_not_to_run_out_hold_for_ten_years_and_follow_the_setting():
    with site() as s:
        own, web = published(s.stack, "own.crl.pem"), s.tls / "web/crl.pem"
        assert days(own) == 2 and days(published(s.stack, "own.crl.pem", "root")) == 400
        for setting, life in ("ignore", 3650), ("fail", 2):
            s.stack.daemon_args = [f"--crl-stale={setting}"]
            s.stack.restart()
            s.stack.wait_state("ready")
            wait_for(lambda: days(own) == life, f"the list with {setting}")
            wait_for(lambda: own.read_text() in web.read_text(), "the identity to have it")
            if setting == "ignore":  # awake for an hour, it follows by itself then
                assert days(published(s.stack, "own.crl.pem", "root")) == 400
                s.stack.cli("ca", "enable", "root")
            wait_for(lambda: days(published(s.stack, "own.crl.pem", "root")) == (400 if life == 2 else life), "the root's")


# Carrying lists out


def hook(s, *words):
    """What the unit runs, with the administrator's program."""
    unit = (SOURCE / "units/holdfast-crl-publish@.service").read_text()
    command = re.search(r"^ExecStart=@bindir@/holdfast (watch .*)$", unit, re.M)[1].replace("%i", "intermediate")
    command = command.replace("%S/holdfast-crl-publish/intermediate", str(s.dir / "seen")).replace("/etc/holdfast/crl-publish", str(s.dir / "hook"))
    return ["env", f"HOLDFAST_TLS={s.tls}", s.stack.program("cli/holdfast"), *command.split(), *words]


def test_a_hook_carries_each_new_list_out_and_the_one_that_nobody_watched():
    with site() as s:
        out, program = s.dir / "out", s.dir / "hook"
        program.write_text(f'#!/bin/sh -e\ncp "$HOLDFAST_CRL" {out}.new\nmv {out}.new {out}-$1\n')
        program.chmod(0o755)
        carried = s.dir / "out-intermediate"
        made = [issue(s.admin, make_request(s.dir / f"{name}.csr"), name=name)["serial"].upper() for name in ("one", "two")]
        known = lambda: dict(lists_in(carried))["Devices"]
        with s.party.running(*hook(s), log=s.dir / "hook.log"):
            wait_for(carried.exists, "the list that was there before")
            assert known() == set()
            s.stack.cli("ca", "revoke", "one", "--yes")
            wait_for(lambda: known() == {made[0]}, "the hook after a revocation")
            assert carried.read_bytes() == published(s.stack, "crl.pem").read_bytes()
        s.stack.cli("ca", "revoke", "two", "--yes")
        assert known() == {made[0]}
        with s.party.running(*hook(s), log=s.dir / "hook.log"):
            wait_for(lambda: known() == set(made), "what nobody watched")


def test_a_hook_that_fails_is_told_and_runs_with_the_next_list():
    with site() as s:
        program, tries = s.dir / "hook", s.dir / "tries"
        program.write_text(f'#!/bin/sh\necho "$1" >> {tries}\nexit 7\n')
        program.chmod(0o755)
        issue(s.admin, make_request(s.dir / "x.csr"), name="x")
        with s.party.running(*hook(s), log=s.dir / "hook.log"):
            wait_for(tries.exists, "the first try")
            wait_for(lambda: "ended with 7" in (s.dir / "hook.log").read_text(), "what the watch says")
            s.stack.cli("ca", "revoke", "x", "--yes")
            wait_for(lambda: tries.read_text() == "intermediate\n" * 2, "the second try")
        assert not (s.dir / "seen").exists()


# Stock servers


def refused_in_time(s, began, is_refused, what):
    wait_for(is_refused, what, 20)
    took = time.monotonic() - began
    print(f"refused {took:.2f} s after `ca revoke` began")
    assert took < WITHIN, took


def test_nginx_refuses_a_revoked_client_within_five_seconds_and_no_other():
    need("nginx", "curl")
    with site() as s:
        bad, good = s.client("bad"), s.client("good")
        with nginx(s) as url:
            assert [visit(s, url, c).stdout for c in (bad, good)] == [b"200", b"200"]
            began = time.monotonic()
            s.stack.cli("ca", "revoke", "bad", "--reason", "keyCompromise", "--yes")
            # The workers with the old list accept until they have ended.
            ended = lambda: re.search("worker process [0-9]+ exited with code 0", (s.dir / "nginx/error.log").read_text())
            refused_in_time(s, began, lambda: ended() and visit(s, url, bad).stdout == b"400", "nginx to refuse the revoked client")
            assert visit(s, url, good).stdout == b"200"
            assert visit(s, url, bad).stdout == b"400"


def test_nginx_with_either_root_accepts_clients_of_either_ca_and_refuses_the_revoked():
    need("nginx", "curl")
    with site() as s:
        old, new, roots = s.client("old"), {}, {}
        s.stack.cli("ca", "enable", "root")
        s.stack.cli("ca", "rollover", "root")
        s.stack.cli("ca", "rollover", "intermediate")
        new = s.client("new")
        s.stack.cli("ca", "show", "old", "--pem", "-o", s.dir / "old-today.pem")  # with the cross certificate
        for name in ("root", "root-2"):
            described = json.loads(s.stack.cli("ca", "show", "--ca", name, "--json").stdout)
            roots[name] = s.dir / f"{name}.anchor"
            roots[name].write_bytes(subprocess.run(["openssl", "x509", "-inform", "der"], input=base64.b64decode(described["certificate"]),
                                                   capture_output=True, check=True).stdout)
        for name, trust in roots.items():
            s.identity("web", trust=trust)
            assert (s.tls / "web/ca.pem").read_bytes() == trust.read_bytes()
            assert len(lists_in(s.tls / "web/crl.pem")) == 4
            shown = [(s.dir / "old-today.pem", old[1]), new]
            with nginx(s) as url:
                assert [visit(s, url, c).stdout for c in shown] == [b"200", b"200"], (name, (s.dir / "nginx/error.log").read_text())
                held = "new" if name == "root" else "old"
                s.stack.cli("ca", "revoke", held, "--reason", "certificateHold")
                wait_for(lambda: visit(s, url, shown[held == "new"]).stdout == b"400", "nginx to refuse the one that is held", 20)
                s.stack.cli("ca", "revoke", held, "--reason", "removeFromCRL")
                wait_for(lambda: [visit(s, url, c).stdout for c in shown] == [b"200", b"200"], "nginx to accept both again", 20)
            shutil.rmtree(s.dir / "nginx")


def test_mosquitto_refuses_a_revoked_client_within_five_seconds_and_no_other():
    need("mosquitto", "mosquitto_pub")
    with site() as s:
        bad, good = s.client("bad"), s.client("good")

        def publish(client, port):
            crt, key = client
            return s.party.run("mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", s.tls / "web/ca.pem", "--cert", crt, "--key",
                               key, "-t", "news", "-m", "hello", check=False).returncode

        with mosquitto(s) as port:
            assert [publish(c, port) for c in (bad, good)] == [0, 0]
            began = time.monotonic()
            s.stack.cli("ca", "revoke", "bad", "--reason", "keyCompromise", "--yes")
            refused_in_time(s, began, lambda: publish(bad, port) != 0, "mosquitto to refuse the revoked client")
            assert publish(good, port) == 0 and publish(bad, port) != 0


def test_mosquitto_refuses_two_that_were_revoked_within_a_second():
    need("mosquitto", "mosquitto_pub")
    with site() as s:
        clients = {name: s.client(name) for name in ("one", "two", "good")}

        def publish(name, port):
            crt, key = clients[name]
            return s.party.run("mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", s.tls / "web/ca.pem", "--cert", crt, "--key",
                               key, "-t", "news", "-m", "hello", check=False).returncode

        with mosquitto(s) as port:
            assert [publish(name, port) for name in clients] == [0, 0, 0]
            began = time.monotonic()
            for name in "one", "two":
                revoke(s.admin, name)
            between = time.monotonic() - began
            refused_in_time(s, began, lambda: publish("one", port) and publish("two", port), "mosquitto to refuse both")
            print(f"revoked within {between:.2f} s")
            assert publish("good", port) == 0 and publish("two", port) and publish("one", port)


if __name__ == "__main__":
    case.main()
