#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The small print of a registry: what follows a certificate with a key of its own, what a hold leaves, how long superseded ones are
listed, by which words a certificate is found, how long one may live.
"""
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import threading

import case
from ca import authority, issue, list_number, listed, make_request, published, revoke, running, show, verdict
from judge import exported, lines
from peer import plain, refusal, variants
from stack import ADMIN, wait_for

LOADER = next(p for p in map(str, pathlib.Path("/lib64").glob("ld-linux*.so.*")))
SKEW = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int (*real)(clockid_t id, struct timespec *ts);
static __attribute__((constructor)) void begin(void) { real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"); }
int clock_gettime(clockid_t id, struct timespec *ts)
{
        int r = real(id, ts);
        ts->tv_sec += id == CLOCK_REALTIME ? SECONDS : id == CLOCK_BOOTTIME ? UP : 0;
        return r;
}
"""
PIN = "sha256//" + "A" * 43 + "="


def openssl(*words, **options):
    return subprocess.run(["openssl", *words], capture_output=True, check=True, **options).stdout


def subject_key(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-pubkey")


# With a new key


def install(stack, admin, name="web"):
    admin.create(name, "p256")
    leaf = stack.dir / f"{name}.pem"
    made = issue(admin, profile="server", key=name, name=name, dns=["www.example"], days=10)
    leaf.write_bytes(made["chain"])
    stack.cli("cert", "set", name, "--chain", leaf, "--trust", published(stack, "ca.pem"), "--pin", PIN, "--layout", "local")
    return made


def identity(stack, name="web"):
    return json.loads(stack.cli("cert", "show", name, "--json").stdout)


def referenced(stack, name="web"):
    """Certificate and key of one look at the directory, which must belong together."""
    here = os.open(stack.dir / "run/tls" / name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        def read(file):
            with open(file, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=here)) as f:
                return f.read()
        return openssl("x509", "-noout", "-pubkey", input=read("local.crt")), read("local.key")
    finally:
        os.close(here)


def is_whole(stack, before, first):
    """A new certificate, a new key behind it, and everything else as it was."""
    now, row = identity(stack), json.loads(stack.cli("ca", "show", "web", "--json").stdout)
    key = json.loads(stack.cli("key", "show", "web", "--json").stdout)
    assert now["fingerprint"] == row["fingerprint"] != first["fingerprint"]
    assert now["key-uuid"] == key["uuid"] != before["key-uuid"]
    assert [now[k] for k in ("trust", "pins", "layout")] == [before[k] for k in ("trust", "pins", "layout")]
    certificate, _ = referenced(stack)
    assert certificate == stack.cli("key", "public", "web").stdout
    assert stack.cli("ca", "status", first["serial"], check=False).stdout == b"superseded\n"
    assert [k["state"] for k in json.loads(stack.cli("key", "list", "web", "--retired", "--json").stdout) if k["uuid"] == before["key-uuid"]] == ["retired"]
    stack.cli("sign", before["key-uuid"], input=b"who still has the old files")
    return row


def test_a_new_key_takes_the_place_of_the_old_one_in_one_generation():
    with running() as (stack, admin):
        first, seen, stop = install(stack, admin), set(), threading.Event()
        before, mixed = identity(stack), []
        keys = {}

        def look():
            while not stop.is_set():
                certificate, reference = referenced(stack)
                if keys.setdefault(certificate, reference) != reference:
                    mixed.append(certificate)
                seen.add(certificate)
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            done = stack.cli("ca", "renew", "web", "--rekey", "--days", "20", "-o", stack.dir / "new.pem")
        finally:
            stop.set()
            watcher.join()
        assert before["key-uuid"].encode() in done.stderr
        row = is_whole(stack, before, first)
        assert not mixed and len(set(keys.values())) == len(keys) <= 2
        assert row["expires"] - first["expires"] > 9 * 86400 * 10**6 and row["profile"] == "server"
        assert verdict(stack, stack.dir / "new.pem", "-verify_hostname", "www.example").returncode == 0
        assert subject_key(stack.dir / "new.pem") == stack.cli("key", "public", "web").stdout
        assert [c["status"] for c in listed(admin)] == ["superseded", "active"]


def test_a_new_key_cut_off_at_each_step_is_taken_up_again():
    def retired(admin, uuid):
        admin.key(uuid, "Retire")

    def made(admin, uuid):
        retired(admin, uuid)
        admin.create("web", "p256")

    def issued(admin, uuid):
        made(admin, uuid)
        authority(admin, "intermediate", "Renew", "saya{sv}", "web", b"", variants({"key": "web"}))
    for step in (retired, made, issued):
        with running() as (stack, admin):
            first = install(stack, admin)
            before = identity(stack)
            step(admin, before["key-uuid"])
            assert {**identity(stack), "key": "web", "state": "valid"} == before
            stack.cli("ca", "renew", "web", "--rekey")
            is_whole(stack, before, first)
            assert len(json.loads(stack.cli("key", "list", "web", "--retired", "--json").stdout)) == 2, step.__name__
            assert len(listed(admin)) == 2


def test_a_new_key_is_refused_before_anything_is_done():
    with running() as (stack, admin):
        first = install(stack, admin)
        before = identity(stack)
        issue(admin, make_request(stack.dir / "r.csr"), name="elsewhere")
        for words, code in ((("elsewhere", "--rekey"), 3), (("web", "--rekey", "--days", "0"), 2), (("web", "--rekey", "--key", "web"), 2),
                            (("nobody", "--rekey"), 3)):
            assert stack.cli("ca", "renew", *words, check=False).returncode == code, words
        revoke(admin, first["serial"])
        assert stack.cli("ca", "renew", "web", "--rekey", check=False).returncode == 6
        admin.create("plain", "p256")
        made = issue(admin, key="plain", name="plain", set=["CN=plain"])
        admin.key("plain", "Freeze")
        assert b"frozen" in stack.cli("ca", "renew", "plain", "--rekey", check=False).stderr
        assert show(admin, "plain")["serial"] == made["serial"] and show(admin, "plain")["status"] == "active"
        assert identity(stack) == before and len(listed(admin)) == 3


def test_what_follows_may_be_for_a_key_here():
    with running() as (stack, admin):
        issue(admin, make_request(stack.dir / "r.csr"), name="device")
        admin.create("inside", "p256")
        stack.cli("ca", "renew", "device", "--key", "inside", "-o", stack.dir / "new.pem")
        assert subject_key(stack.dir / "new.pem") == stack.cli("key", "public", "inside").stdout
        again = stack.cli("ca", "renew", show(admin, "device")["serial"], "--key", "none", check=False)
        assert b"NoSuchKey" in again.stderr or again.returncode == 3, again
        both = refusal(authority, admin, "intermediate", "Renew", "saya{sv}", "device", b"x", variants({"key": "inside"}))
        assert both.name == "InvalidArgs"


# Found and shown


def test_a_certificate_is_printed_as_openssl_prints_it():
    with running() as (stack, admin):
        device = {"device_id": "pump-7", "device_type": "pump", "set": ["OU=shop.example"]}
        made = issue(admin, make_request(stack.dir / "r.csr"), **device)
        printed = stack.cli("ca", "show", "pump-7", "--text").stdout
        assert printed == openssl("x509", "-inform", "der", "-noout", "-text", input=made["certificate"])
        assert b"urn:holdfast:deviceId:pump-7" in printed
        assert json.loads(stack.cli("ca", "show", "pump-7", "--text", "--json").stdout)["serial"] == made["serial"]
        stack.cli("ca", "revoke", "pump-7", "--text", "the word is another one there", "--yes")
        assert show(admin, "pump-7")["text"] == "the word is another one there"


def test_serial_and_fingerprint_are_taken_as_other_programs_print_them():
    with running() as (stack, admin):
        made = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        for words in (("-serial",), ("-fingerprint", "-sha256")):
            printed = openssl("x509", "-inform", "der", "-noout", *words, input=made["certificate"]).decode().split("=")[1].strip()
            for which in (printed, printed.lower(), printed.replace(":", "")):
                assert stack.cli("ca", "status", which).stdout == b"active\n", which
        spaced = ":".join(made["serial"][i:i + 2] for i in range(0, 32, 2))
        revoke(admin, spaced.upper())
        assert show(admin, made["fingerprint"].upper())["status"] == "revoked"
        assert stack.cli("ca", "status", spaced[:-1], check=False).returncode == 3


# Other times


@contextlib.contextmanager
def later(stack, days=0, seconds=0, up=0):
    """The same store in a holdfastd whose wall clock is ahead. It refuses LD_PRELOAD, so the loader is asked by its own name."""
    seconds += days * 86400
    program, skew = stack.dir / "bin/daemon/holdfastd", stack.dir / f"skew{seconds}-{up}.so"
    real = program.with_suffix(".real")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", f"-DSECONDS={seconds}", f"-DUP={up}", "-x", "c", "-o", skew, "-"], input=SKEW.encode(), check=True)
    stack.stop()
    program.rename(real)
    program.write_text(f"#!/bin/sh\nexec {LOADER} --preload {skew} {real} \"$@\"\n")
    program.chmod(0o755)
    try:
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            yield admin
    finally:
        stack.stop()
        real.rename(program)


def over(path):
    """Whether a list has run out three days from now, and its number."""
    text = openssl("crl", "-in", path, "-noout", "-nextupdate", "-crlnumber").decode()
    end = openssl("crl", "-in", path, "-noout", "-nextupdate", "-dateopt", "iso_8601").decode().strip().split("=")[1]
    return datetime.datetime.fromisoformat(end.rstrip("Z")) < datetime.datetime.utcnow() + datetime.timedelta(days=3), text


# N16
def test_a_list_that_ran_out_while_the_service_was_down_is_made_anew_at_its_start():
    with running() as (stack, _):
        path = published(stack, "own.crl.pem")
        before = over(path)
        assert before[0]
        with later(stack, 3) as admin:
            wait_for(lambda: not over(path)[0], "the list to be made anew")
            assert list_number(path) == plain(authority(admin, "intermediate", "Describe"))["crl-number"]


def test_an_hour_is_not_longer_where_the_clock_is_put_back_and_the_service_started_again():
    with running() as (stack, admin):
        second = ("CreateAuthority", "ssa{sv}", "second", "intermediate", variants({"set": ["CN=Second"]}))
        authority(admin, "root", "Enable")
        for wall, up, state in ((0, 0, "active"), (600, 3000, "active"), (600, 3601, "at-rest"), (3000, 7200, "at-rest"), (-60, 0, "at-rest"),
                                (3601, 0, "at-rest")):
            with later(stack, seconds=wall, up=up) as admin:
                described = plain(authority(admin, "root", "Describe"))
                assert described["state"] == state and ("awake-until" in described) == (state == "active"), (wall, up, described)
                if state == "at-rest":
                    assert refusal(admin.manager, *second).name == "CaAtRest"
        with later(stack, seconds=-60, up=3601) as admin:
            authority(admin, "root", "Enable")
            admin.manager(*second)


def test_a_superseded_certificate_is_listed_for_90_days_and_found_for_ever():
    with running() as (stack, admin):
        first = issue(admin, make_request(stack.dir / "r.csr"), name="pump")
        second = plain(authority(admin, "intermediate", "Renew", "saya{sv}", "pump", b"", variants({"days": 400})))
        with later(stack, 89) as admin:
            assert [c["status"] for c in listed(admin)] == ["superseded", "active"]
        with later(stack, 91) as admin:
            assert [c["serial"] for c in listed(admin)] == [second["serial"]] and listed(admin, status="superseded") == []
            for which in (first["serial"], first["fingerprint"]):
                assert show(admin, which)["status"] == "superseded"
            assert any(e.get("supersedes") == first["serial"] for e in lines(exported(admin)))
            assert stack.cli("ca", "list", "all").stdout.count(b"pump") == 1


if __name__ == "__main__":
    case.main()
