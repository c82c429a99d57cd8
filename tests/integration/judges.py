#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Stock servers and clients over a longer time: reloads, a daemon that goes away under load, keys of the TPM, and what root
finds in their memory after a handshake.
"""
import os
import re
import shutil
import signal
import subprocess

import case
from party import Party, Server, curl, free_port, listens, need, nginx, party, ready
from scan import family, make_keys, needles, scan
from stack import ADMIN, ROOT, children, wait_for

EC, RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"


# nginx


def test_a_reload_of_nginx_takes_the_new_reference_and_both_keys_go_on():
    need("nginx", "curl")
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        with stack.peer(ADMIN) as admin:
            admin.create("device-next", "p384")
        ec, rsa, client = (p.identity(f"device-{name}") for name in ("p256", "rsa3072", "ed25519"))
        following = p.identity("device-next")
        with nginx(p, ec, rsa) as (url, _):
            master = int((p.dir / "nginx.pid").read_text())
            before = wait_for(lambda: len(children(master)) == 2 and set(children(master)), "two workers")

            def subject(suite):
                done = curl(p, url, client, "-v", "--tls-max", "1.2", "--ciphers", suite)
                return re.search(rb"subject: CN=(\S+)", done.stderr).group(1)
            assert (subject(EC), subject(RSA)) == (b"device-p256", b"device-rsa3072")
            for part, new in zip(ec, following):
                shutil.copy(new, part)
            os.kill(master, signal.SIGHUP)
            wait_for(lambda: len(children(master)) == 2 and not before & set(children(master)), "new workers")
            for _ in range(4):
                assert (subject(EC), subject(RSA)) == (b"device-next", b"device-rsa3072")


def test_nginx_under_load_outlives_the_daemon_and_the_key():
    need("nginx", "curl")
    with party("p256", "ed25519") as (stack, p):
        server, client = p.identity("device-p256"), p.identity("device-ed25519")
        with nginx(p, server) as (url, errors):
            master = int((p.dir / "nginx.pid").read_text())
            workers = wait_for(lambda: len(children(master)) == 2 and children(master), "two workers")
            crt, pem = client
            loop = ("for i in $(seq 60); do curl -sS -o /dev/null --cert %s --key %s --cacert %s --noproxy '*' %s && echo ok || echo no; "
                    "done" % (crt, pem, p.ca, url))
            load = subprocess.Popen(p.command("sh", "-c", loop), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=stack._environment())
            assert load.stdout.readline() == b"ok\n"
            stack.kill(stack.daemon_pid())
            stack.wait_state("ready")
            stack.cli("key", "disable", "device-p256")
            wait_for(lambda: "KeyDisabled" in errors.read_text(), "nginx to say why")
            stack.cli("key", "enable", "device-p256")
            said, _ = load.communicate(timeout=100)
            assert said.endswith(b"ok\n") and b"no\n" in said, said
            curl(p, url, client)
            assert children(master) == workers and "exited on signal" not in errors.read_text()
            assert "DaemonUnavailable" in errors.read_text() or said.count(b"no\n") < 60


# Keys in the TPM


def test_keys_of_the_tpm_and_software_keys_do_tls_with_each_other_in_both_versions():
    with party("p384", "ed25519", tpm=True) as (stack, p):
        with stack.peer(ADMIN) as admin:
            for algorithm in "p256", "p384", "rsa2048":
                admin.create(f"device-tpm-{algorithm}", algorithm, protection="tpm")
        chip = [p.identity(f"device-tpm-{algorithm}") for algorithm in ("p256", "p384", "rsa2048")]
        soft = [p.identity(f"device-{algorithm}") for algorithm in ("p384", "ed25519")]
        for ours in chip:
            with Server(p, ours) as server:
                for version in "-tls1_2", "-tls1_3":
                    for theirs in soft + [ours]:
                        server.visit(theirs, version)
        with Server(p, soft[0]) as server:
            for theirs in chip:
                server.visit(theirs, "-tls1_2")
                server.visit(theirs, "-tls1_3")
            for choice in "ECDSA+SHA256", "ECDSA+SHA512":
                server.visit(chip[1], "-tls1_2", "-sigalgs", choice)


# Memory


def look(name, pid, wanted):
    """What root finds in it and all its children."""
    found, readable = {}, 0
    for process in family(pid):
        hits, size = scan(process, wanted)
        found, readable = found | hits, readable + size
    print(f"{name}: {len(found)} hits in {readable >> 10} KiB of {len(family(pid))} processes")
    assert readable > 1000000, "nothing could be read"
    return found


def import_keys(stack):
    """Keys of openssl under the names device-scan-ec and device-scan-rsa: their files, and their numbers in all forms."""
    files, wanted = {}, {}
    with stack.peer(ADMIN) as admin:
        for name, (path, der) in make_keys(stack.dir).items():
            with open(path, "rb") as pem:
                admin.manager("ImportKey", "sha{sv}", f"device-{name}", pem.fileno(), {})
            path.chmod(0o644)
            files[f"device-{name}"] = path
            wanted |= needles(name, der)
    return files, wanted


def test_root_finds_no_key_in_a_program_that_did_a_handshake_and_does_find_it_with_a_key_file():
    need("nginx", "curl", "mosquitto", "mosquitto_sub")
    if not ROOT:
        raise case.Skip("reads other processes' memory, so root")
    with ready(daemon_args=["--import=yes"]) as stack:
        p = Party(stack)
        files, wanted = import_keys(stack)
        ec, rsa = (p.identity(name) for name in files)
        plain = [(crt, path) for (crt, _), path in zip((ec, rsa), files.values())]
        for kind, pair in ("reference", (ec, rsa)), ("key file", plain):
            found = handshakes(p, kind, pair, wanted)
            for name, hits in found.items():
                if kind == "reference":
                    assert not hits, (name, hits)
                else:
                    assert hits, (name, "the scan finds nothing where a key file was read")


def handshakes(p, kind, pair, wanted):
    """{program: what was found in it} after it did a handshake with one of these identities."""
    found, server, client = {}, pair[1], pair[0]
    with nginx(p, *pair) as (url, _):
        for version in "1.2", "1.3":
            for suite in EC, RSA:
                curl(p, url, client, "--tls-max", version, "--ciphers", suite)
        found["nginx"] = look(f"nginx, {kind}", int((p.dir / "nginx.pid").read_text()), wanted)
    crt, pem = server
    log, answered = p.dir / "waiting.log", p.dir / "client.log"
    serve = ("openssl", "s_server", "-accept", "0", "-Verify", "1", "-CAfile", p.ca, "-cert", crt, "-key", pem)
    with p.running(*serve, log=log) as waiting:  # it answers nothing, so the client is still there when it is looked at
        port = wait_for(lambda: re.search(r"ACCEPT \S+:(\d+)", log.read_text(errors="replace")), "the server").group(1)
        ask = ("curl", "-sS", "--cert", client[0], "--key", client[1], "--cacert", p.ca, "--noproxy", "*", f"https://localhost:{port}/")
        with p.running(*ask, log=answered) as asking:
            wait_for(lambda: "GET / HTTP" in log.read_text(errors="replace"), "the request")
            found["curl"] = look(f"curl, {kind}", asking.pid, wanted)
            found["s_server"] = look(f"s_server, {kind}", waiting.pid, wanted)
    port, conf = free_port(), p.dir / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\ncafile {p.ca}\ncertfile {crt}\nkeyfile {pem}\nrequire_certificate true\n"
                    "use_identity_as_username true\nallow_anonymous false\n")
    options = "-h", "localhost", "-p", str(port), "--cafile", p.ca, "--cert", client[0], "--key", client[1], "-t", "news"
    with p.running("mosquitto", "-c", conf, log=p.dir / "mosquitto.log") as broker:
        wait_for(lambda: listens(broker, port, p.dir / "mosquitto.log"), "mosquitto")
        p.run("mosquitto_pub", *options, "-r", "-m", "hello")
        found["mosquitto"] = look(f"mosquitto, {kind}", broker.pid, wanted)
    return found


if __name__ == "__main__":
    case.main()
