#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Revocation lists of CAs elsewhere, made by stock openssl: which are taken and which are not, where they go, and that a number never goes
back, through restarts, backups and moves.
"""
import contextlib
import datetime
import fcntl
import json
import os
import re
import shutil
import subprocess
import time

import case
from ca import issue, list_number, make_request, published, revoke, running
from ca_outside import CA, Outside, csr, openssl, take, wait_ca
from crl import Site, lists_in, nginx, refused_in_time, visit
from judge import exported, lines
from party import need
from peer import Refused, plain, refusal, variants
from stack import ADMIN, ALICE, Stack, wait_for

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Elsewhere(Outside):
    """A CA of somebody else that also revokes and signs lists, as its administrator wants them."""

    def __init__(self, directory, name="elsewhere", *extensions, parent=None):
        super().__init__(directory, name, *extensions, parent=parent)
        self.revoked, self.serial = [], 1

    @staticmethod
    def hex(number):
        text = f"{number:X}"
        return "0" * (len(text) % 2) + text

    def client(self, name):
        """(certificate, key)"""
        key, crt = self.dir / f"{name}.key", self.dir / f"{name}.crt"
        request = openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", f"/CN={name}")
        self.serial += 1
        crt.write_bytes(self.sign(request, "extendedKeyUsage=clientAuth", more=("-set_serial", str(self.serial))))
        key.chmod(0o644)
        return crt, key

    def crl(self, number=None, days=30, extensions=(), digest="sha384", last=None, next_=None, cert=None, out="PEM", key_identifier=True):
        index, config, numbers = self.dir / f"{self.name}.index", self.dir / f"{self.name}.config", self.dir / f"{self.name}.number"
        index.write_text("".join(f"R\t350101000000Z\t{when}\t{self.hex(serial)}\tunknown\t/CN=x\n" for serial, when in self.revoked))
        numbers.write_text(self.hex(number or 0) + "\n")
        config.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={index}\ndefault_md={digest}\n" + (f"crlnumber={numbers}\n" if number else "") +
                          "[e]\n" + "authorityKeyIdentifier=keyid\n" * key_identifier + "\n".join(extensions) + "\n")
        dates = ["-crl_lastupdate", last] if last else []
        dates += ["-crl_nextupdate", next_] if next_ else ["-crldays", days]
        pem = openssl("ca", "-config", config, "-gencrl", "-cert", cert or self.pem, "-keyfile", self.key, *(("-crlexts", "e") if key_identifier or extensions else ()), *dates)
        return pem if out == "PEM" else openssl("crl", "-outform", "DER", input=pem)

    def revoke(self, serial):
        self.revoked.append((serial, time.strftime("%y%m%d%H%M%SZ", time.gmtime())))


def sealed(data, seals=SEALS):
    fd = os.memfd_create("crl", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data) if len(data) < 1 << 20 else [os.write(fd, data[i:i + (1 << 20)]) for i in range(0, len(data), 1 << 20)]
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return os.fdopen(fd, "rb")


def put(peer, data, **options):
    with sealed(data) as file:
        return plain(peer.manager("PutRevocationList", "ha{sv}", file.fileno(), variants(options)))


def reason(peer, data, **options):
    """The word a list was refused with."""
    said = refusal(put, peer, data, **options)
    assert said.name == "RevocationListRefused", said
    return re.search(r"\(([a-z-]+)\)\. Nothing was changed", said.sentence)[1]


def listed(peer):
    return [plain(one) for one in peer.manager("ListRevocationLists", "a{sv}", {})]


@contextlib.contextmanager
def trusting(made=True):
    """An identity `web` that trusts the root of a CA here and one elsewhere."""
    with running(made=made) as (stack, admin):
        site = Site(stack, admin)
        far = Elsewhere(site.dir)
        both = site.dir / "both.pem"
        both.write_bytes(published(stack, "ca.pem").read_bytes() + far.pem.read_bytes())
        site.identity("web", trust=both)
        yield site, far


def issuers(path):
    return sorted(issuer for issuer, _ in lists_in(path))


# Taken


def test_a_list_of_an_anchor_is_beside_it_at_once_and_stays():
    with trusting() as (s, far):
        web = s.tls / "web/crl.pem"
        assert issuers(web) == ["Devices", "Root"]
        far.revoke(7)
        before = s.generation()
        said = put(s.admin, far.crl(1))
        assert said["issuer"] == "CN=elsewhere,O=Group" and said["number"] == "01" and said["entries"] == 1 and said["used"], said
        assert dict(lists_in(web))["elsewhere"] == {"07"} and issuers(web) == ["Devices", "Root", "elsewhere"]
        assert s.generation() != before
        assert (s.tls / os.path.basename(said["directory"]) / "own.crl.pem").exists()
        before, content = s.generation(), web.read_bytes()
        s.stack.restart()
        s.stack.wait_state("ready")
        assert s.generation() == before and web.read_bytes() == content
        with s.stack.peer(ADMIN) as admin:
            assert [one for one in listed(admin) if "issuer" in one] == [{k: v for k, v in said.items() if k != "entries"}]
            event = [e for e in lines(exported(admin)) if e["event"] == "ca.crl-put"]
        assert len(event) == 1 and event[0]["issuer"] == "CN=elsewhere,O=Group" and event[0]["crl-number"] == "01" and event[0]["entries"] == 1, event


def test_the_command_hands_in_pem_and_der_and_lists_what_there_is():
    with trusting() as (s, far):
        file = s.dir / "far.crl"
        for number, out in (1, "PEM"), (2, "DER"):
            file.write_bytes(far.crl(number, out=out))
            s.stack.cli("ca", "crl", "put", file)
            again = s.stack.cli("ca", "crl", "put", file, check=False)
            assert b"NothingToDo" in again.stderr, again
        rows = json.loads(s.stack.cli("ca", "crl", "list", "--json").stdout)
        assert sorted(row.get("authority", row.get("issuer")) for row in rows) == ["CN=elsewhere,O=Group", "intermediate", "root"]
        text = s.stack.cli("ca", "crl", "list").stdout.decode()
        assert "CN=elsewhere,O=Group" in text and "02" in text, text
        refused = s.stack.cli("ca", "crl", "put", "/dev/null", check=False)
        assert refused.returncode == 8 and b"RevocationListRefused" in refused.stderr and b"(malformed)" in refused.stderr, refused
        assert s.stack.cli("ca", "crl", "put", s.dir / "none", check=False).returncode == 3


def test_the_root_elsewhere_of_a_ca_here_brings_its_list_to_the_cas_servers():
    with running(made=False) as (stack, admin):
        top = Elsewhere(stack.dir, "top")
        middle = Elsewhere(stack.dir, "middle", parent=top)
        wait_ca(admin)
        take(admin, middle.sign(csr(admin, set=["CN=Plant"])) + middle.above())
        crl = published(stack, "crl.pem", "plant")
        assert issuers(crl) == ["Plant"]
        put(admin, top.crl(1))
        put(admin, middle.crl(1))
        assert issuers(crl) == ["Plant", "middle", "top"]
        leaf = stack.dir / "leaf.pem"
        leaf.write_bytes(issue(admin, make_request(stack.dir / "r.csr"), name="x", ca="plant")["chain"])
        words = ("-CAfile", top.pem, "-untrusted", published(stack, "chain.pem", "plant"), "-CRLfile", crl, leaf)
        judge = lambda: subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", *map(str, words)], capture_output=True, text=True)
        assert judge().returncode == 0, judge()
        revoke(admin, "x", ca="plant")
        assert issuers(crl) == ["Plant", "middle", "top"] and "revoked" in judge().stderr


def test_a_ca_between_is_known_by_its_chain():
    with trusting() as (s, far):
        below = Elsewhere(s.dir, "below", parent=far)
        stranger = Elsewhere(s.dir, "stranger")
        under = Elsewhere(s.dir, "under", parent=stranger)
        assert reason(s.admin, below.crl(1)) == "unknown-issuer"
        assert reason(s.admin, below.crl(1), chain=b"nonsense") == "unknown-issuer"
        assert reason(s.admin, under.crl(1), chain=under.above()) == "unknown-issuer"
        assert reason(s.admin, stranger.crl(1), chain=stranger.above()) == "unknown-issuer"
        file, chain = s.dir / "below.crl", s.dir / "below.chain"
        file.write_bytes(below.crl(1))
        chain.write_bytes(below.pem.read_bytes())
        s.stack.cli("ca", "crl", "put", file, "--chain", chain)
        assert issuers(s.tls / "web/crl.pem") == ["Devices", "Root", "below"]


def test_nginx_refuses_whom_a_ca_elsewhere_revoked_without_a_restart():
    need("nginx", "curl")
    with trusting() as (s, far):
        bad, good = far.client("bad"), far.client("good")
        put(s.admin, far.crl(1))
        with nginx(s) as url:
            assert [visit(s, url, c).stdout for c in (bad, good)] == [b"200", b"200"]
            far.revoke(2)
            file = s.dir / "next.crl"
            file.write_bytes(far.crl(2))
            began = time.monotonic()
            s.stack.cli("ca", "crl", "put", file)
            ended = lambda: re.search("worker process [0-9]+ exited with code 0", (s.dir / "nginx/error.log").read_text())
            refused_in_time(s, began, lambda: ended() and visit(s, url, bad).stdout == b"400", "nginx to refuse whom the other CA revoked")
            assert [visit(s, url, c).stdout for c in (bad, good)] == [b"400", b"200"]


# Not taken


def test_what_is_no_list_or_not_whole_is_refused_and_named():
    with trusting() as (s, far):
        good = far.crl(5, out="DER")
        cases = {"malformed": [b"", b"hello", good[:-1], good[:40], good + b"\0", b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n",
                               far.pem.read_bytes(), b"\x30\x80" + good[4:]],
                 "several-lists": [far.crl(5) + far.crl(6)],
                 "delta": [far.crl(5, extensions=["2.5.29.27=critical,ASN1:INTEGER:4"])],
                 "partial": [far.crl(5, extensions=[f"issuingDistributionPoint=critical,@i\n[i]\n{what}"])
                             for what in ("onlyuser=TRUE", "onlyCA=TRUE", "onlysomereasons=keyCompromise")],
                 "indirect": [far.crl(5, extensions=["issuingDistributionPoint=critical,@i\n[i]\nindirectCRL=TRUE"])],
                 "unknown-critical": [far.crl(5, extensions=["1.2.3.4=critical,ASN1:NULL"])],
                 "weak-signature": [far.crl(5, digest="sha1")],
                 "stale": [far.crl(5, last="20200101000000Z", next_="20200201000000Z")],
                 "not-yet-valid": [far.crl(5, last="20990101000000Z", next_="20990201000000Z")]}
        for word, lists in cases.items():
            for data in lists:
                assert reason(s.admin, data) == word, (word, data[:60])
        assert not [one for one in listed(s.admin) if "issuer" in one]
        assert issuers(s.tls / "web/crl.pem") == ["Devices", "Root"]
        put(s.admin, good)


def test_no_bit_of_a_list_can_be_turned():
    with trusting() as (s, far):
        good = far.crl(5, out="DER")
        assert far.crl(5, out="DER")  # stock openssl reads it
        for at in range(0, 8 * len(good), 13):
            bad = bytearray(good)
            bad[at // 8] ^= 1 << at % 8
            assert reason(s.admin, bytes(bad)) not in ("older", "ours")
        put(s.admin, good)


def test_another_ca_is_none_whatever_name_or_key_it_has():
    with trusting() as (s, far):
        stranger = Elsewhere(s.dir, "stranger")
        (s.dir / "twin").mkdir()
        twin = Elsewhere(s.dir / "twin", "elsewhere")  # its name, another key
        assert reason(s.admin, stranger.crl(9)) == "unknown-issuer"
        assert reason(s.admin, twin.crl(9)) == "unknown-issuer"
        assert reason(s.admin, twin.crl(9, key_identifier=False)) == "bad-signature"
        renamed = s.dir / "renamed.pem"  # another's name, its key
        config = s.dir / "renamed.config"
        config.write_text("[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\n" + "\n".join(CA[:3]) + "\n")
        openssl("req", "-x509", "-key", far.key, "-subj", "/O=Group/CN=Renamed", "-days", "30", "-out", renamed, "-config", config)
        assert reason(s.admin, far.crl(9, cert=renamed)) == "unknown-issuer"
        assert reason(s.admin, published(s.stack, "own.crl.pem").read_bytes()) == "ours"
        assert reason(s.admin, published(s.stack, "own.crl.pem", "root").read_bytes()) == "ours"


def test_a_ca_that_may_not_sign_lists_signs_none():
    with running() as (stack, admin):
        s = Site(stack, admin)
        far = Elsewhere(s.dir, "elsewhere", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash")
        s.identity("web", trust=far.pem)
        assert reason(admin, far.crl(1)) == "no-crl-sign"


def test_numbers_and_dates_never_go_back():
    with trusting() as (s, far):
        when = lambda ago: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - ago))
        held = far.crl(300, last=when(600))
        put(s.admin, held)
        assert refusal(put, s.admin, held).name == "NothingToDo"
        far.revoke(3)
        for worse in (far.crl(299), far.crl(2), far.crl(300, last=when(500)), far.crl(301, last=when(3600)), far.crl(None), far.crl(255)):
            assert reason(s.admin, worse) == "older"
        assert dict(lists_in(s.tls / "web/crl.pem"))["elsewhere"] == set()
        put(s.admin, far.crl(2 ** 158, last=when(400)))
        assert reason(s.admin, far.crl(2 ** 158 - 1)) == "older"
        assert dict(lists_in(s.tls / "web/crl.pem"))["elsewhere"] == {"03"}


def test_lists_without_numbers_follow_by_date():
    with trusting() as (s, far):
        when = lambda ago: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - ago))
        put(s.admin, far.crl(last=when(600)))
        assert reason(s.admin, far.crl(last=when(601))) == "older"
        put(s.admin, far.crl(last=when(599)))
        put(s.admin, far.crl(1, last=when(599)))
        assert reason(s.admin, far.crl(last=when(10))) == "older"


def test_only_a_sealed_file_of_a_bounded_size_is_read():
    with trusting() as (s, far):
        good = far.crl(1)
        with sealed(good, 0) as file, open("/dev/zero", "rb") as zero, open(os.devnull, "rb") as null:
            for fd in file.fileno(), zero.fileno(), null.fileno():
                assert refusal(s.admin.manager, "PutRevocationList", "ha{sv}", fd, {}).name == "InvalidFd"
        read, write = os.pipe()
        assert refusal(s.admin.manager, "PutRevocationList", "ha{sv}", read, {}).name == "InvalidFd"
        os.close(read), os.close(write)
        assert reason(s.admin, b"x" * (25 << 20)) == "too-large"
        assert reason(s.admin, b"\x30\x84\x01\x7f\xff\xfa" + b"\0" * (24 << 20 - 6)) in ("too-large", "malformed")
        assert refusal(put, s.admin, good, trust=b"x").name == "InvalidArgs"
        with s.stack.peer(ALICE) as alice:
            assert refusal(put, alice, good).name == "PolicyDenied"
        put(s.admin, good)


def test_a_list_of_100000_entries_is_taken_and_used():
    with trusting() as (s, far):
        far.revoked = [(1000 + i, "260101000000Z") for i in range(100_000)]
        data = far.crl(1, out="DER")
        began = time.monotonic()
        said = put(s.admin, data)
        print(f"{len(data)} bytes of {said['entries']} entries taken in {time.monotonic() - began:.2f} s")
        assert said["entries"] == 100_000 and time.monotonic() - began < 20
        assert len(dict(lists_in(s.tls / "web/crl.pem"))["elsewhere"]) == 100_000


def test_of_64_lists_the_one_that_is_over_makes_room_and_no_other():
    with running() as (stack, admin):
        s = Site(stack, admin)
        cas = [Elsewhere(s.dir, f"ca{i}") for i in range(66)]
        anchors = s.dir / "anchors.pem"
        anchors.write_bytes(b"".join(ca.pem.read_bytes() for ca in cas))
        s.identity("web", trust=anchors)
        soon = time.time() + 12
        put(admin, cas[0].crl(1, next_=time.strftime("%Y%m%d%H%M%SZ", time.gmtime(soon))))
        for ca in cas[1:64]:
            put(admin, ca.crl(1))
        if time.time() < soon - 1:
            assert refusal(put, admin, cas[64].crl(1)).name == "LimitExceeded"
        wait_for(lambda: time.time() > soon + 1, "the first list to be over", 40)
        put(admin, cas[64].crl(1))
        assert refusal(put, admin, cas[65].crl(1)).name == "LimitExceeded"
        assert issuers(s.tls / "web/crl.pem") == sorted(f"ca{i}" for i in range(1, 65))


# Moved


def moved(s, backup):
    """The store in a machine that has neither its directory nor what it published."""
    s.stack.stop()
    for path in (s.stack.dir / "state").glob("store*"):
        shutil.rmtree(path)
    for path in s.tls.iterdir():
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    s.stack.start()
    assert s.stack.wait_state("uninitialised")
    with s.stack.peer(ADMIN) as admin, open(backup, "rb") as file:
        admin.manager("Restore", "ha{sv}", file.fileno(), {})
    s.stack.wait_state("ready")


def everything(s):
    return {f"{place.name}/{path.name}": path.read_bytes() for place in s.tls.iterdir() if place.name[0] != "." for path in place.glob("*.pem")}


def test_a_moved_store_publishes_each_last_list_at_once_whoever_has_the_key():
    with trusting() as (s, far):
        backup = s.dir / "backup"
        made = issue(s.admin, make_request(s.dir / "x.csr"), name="x")
        revoke(s.admin, made["serial"])
        put(s.admin, far.crl(7))
        for key in "root", "intermediate":
            s.stack.cli("key", "disable", key, "--yes")
        with open(backup, "wb") as file:
            s.admin.manager("Backup", "ha{sv}", file.fileno(), {})
        before = everything(s)
        assert {"ca@root/own.crl.pem", "ca@intermediate/own.crl.pem", "ca@intermediate/crl.pem", "web/crl.pem"} <= set(before)
        moved(s, backup)
        assert everything(s) == before
        numbers = {ca: list_number(published(s.stack, "own.crl.pem", ca)) for ca in ("root", "intermediate")}
        doctor = [one["detail"] for one in json.loads(s.stack.cli("doctor", "--json", check=False).stdout) if one["code"] == "crl"]
        assert not doctor, doctor
        with s.stack.peer(ADMIN) as admin:
            assert reason(admin, far.crl(6)) == "older"
            assert refusal(revoke, admin, made["serial"], "removeFromCRL").name in ("KeyDisabled", "NothingToDo")
            s.stack.cli("key", "enable", "intermediate")
            second = issue(admin, make_request(s.dir / "y.csr"), name="y")
            revoke(admin, second["serial"])
            assert list_number(published(s.stack, "own.crl.pem")) > numbers["intermediate"]
            assert list_number(published(s.stack, "own.crl.pem", "root")) == numbers["root"]


def test_an_older_backup_takes_nothing_back_that_was_published():
    with trusting() as (s, far):
        backup = s.dir / "backup"
        put(s.admin, far.crl(1))
        with open(backup, "wb") as file:
            s.admin.manager("Backup", "ha{sv}", file.fileno(), {})
        far.revoke(9)
        put(s.admin, far.crl(5))
        made = issue(s.admin, make_request(s.dir / "x.csr"), name="x")
        revoke(s.admin, made["serial"])
        before = everything(s)
        s.stack.stop()
        (s.stack.dir / "state/store/store.db").write_bytes(os.urandom(8192))
        s.stack.start()
        s.stack.wait_state("refused")
        with s.stack.peer(ADMIN) as admin:
            with open(backup, "rb") as file:
                admin.manager("Restore", "ha{sv}", file.fileno(), {})
            s.stack.wait_state("ready")
            assert everything(s) == before
            assert [one["number"] for one in listed(admin) if "issuer" in one] == ["01"]
            for number in 2, 4:
                assert reason(admin, far.crl(number)) == "older"
            put(admin, far.crl(6))


def test_a_list_that_was_kept_and_not_published_is_there_when_the_store_opens():
    with trusting() as (s, far):
        put(s.admin, far.crl(1))
        before = everything(s)
        shutil.rmtree(s.tls / [name for name in before if name.startswith("crl@")][0].split("/")[0])
        for ca in "root", "intermediate":
            published(s.stack, "own.crl.pem", ca).unlink()
        s.stack.kill(s.stack.daemon_pid())
        s.stack.wait_state("ready")
        assert everything(s) == before


# Told


def test_doctor_names_one_that_is_soon_over_while_somebody_trusts_it():
    with trusting() as (s, far):
        doctor = lambda: [one["detail"] for one in json.loads(s.stack.cli("doctor", "--json", check=False).stdout) if one["code"] == "crl"]
        when = lambda ago: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - ago))
        put(s.admin, far.crl(1, last=when(9000)))
        assert not doctor()
        put(s.admin, far.crl(2, last=when(7200), next_=when(-1200)))
        assert any("CN=elsewhere,O=Group runs out in" in detail for detail in doctor()), doctor()
        s.identity("web")
        assert not doctor()
        assert [one["used"] for one in listed(s.admin) if "issuer" in one] == [False]
        assert issuers(s.tls / "web/crl.pem") == ["Devices", "Root"]


if __name__ == "__main__":
    case.main()
