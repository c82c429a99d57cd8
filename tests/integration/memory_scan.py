#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Root reads all memory of every process that had to do with a key and does not find it.

The keys are made by openssl and imported, so their numbers are known here (tests/harness/scan.py). A program that holds the
same keys in plain heap is scanned in the same way and must give hits, or the scan proves nothing. The signer by itself
is also tested in tests/unit/signer/test-memory.c.
"""
import pathlib
import subprocess

import case
from peer import plain
from scan import family, make_keys, needles, scan
from stack import ADMIN, ROOT, Stack

SIGNATURES = 200

HOLDER = """
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
keys = [load_pem_private_key(open(p, "rb").read(), None) for p in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""

CLIENT = """
import sys
sys.path.insert(0, sys.argv[1])
from peer import Peer
peer = Peer(sys.argv[2])
for _ in range(20):
    for key in sys.argv[3:]:
        peer.sign(key, b"from a client")
print("ready", flush=True)
sys.stdin.read()
"""


def started(command):
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


def test_root_finds_no_key_in_any_process_and_does_find_it_where_it_is_plain():
    if not ROOT:
        raise case.Skip("reads other processes' memory, so root")
    with Stack(bus=True, daemon_args=["--import=yes"]) as stack:
        stack.init()
        keys = make_keys(stack.dir)
        wanted = {}
        for name, (_, der) in keys.items():
            wanted |= needles(name, der)

        holder = started(["/usr/bin/python3", "-c", HOLDER, *[path for path, _ in keys.values()]])
        client = None
        try:
            found, readable = scan(holder.pid, wanted)
            print(f"control: {len(found)} hits in {readable >> 20} MiB: {sorted(found)}")
            assert any("scan-ec" in f for f in found) and any("scan-rsa" in f for f in found), "the scan finds nothing at all"

            with stack.peer(ADMIN) as admin:
                for name, (path, _) in keys.items():
                    with open(path, "rb") as pem:
                        admin.manager("ImportKey", "sha{sv}", name, pem.fileno(), {})
                for _ in range(SIGNATURES):
                    for name in keys:
                        assert admin.sign(name, b"scan")
                secret = plain(admin.manager("Status"))["secret-memory"] == "secret"
            harness = pathlib.Path(__file__).resolve().parents[1] / "harness"
            client = started(["/usr/bin/python3", "-c", CLIENT, harness, stack.socket, *keys])

            processes = {"holdfastd": stack.daemon_pid(), "client": client.pid, "bus": stack.bus.pid}
            if secret:
                processes["signer"] = stack.signer_pid()
            for pid in family(stack.launcher.pid):
                if pid not in processes.values() and (secret or pid != stack.signer_pid()):
                    processes[f"launcher {pid}"] = pid
            for name, pid in processes.items():
                found, readable = scan(pid, wanted)
                print(f"{name}: {len(found)} hits in {readable >> 10} KiB")
                assert readable > 100000, "nothing could be read"
                assert not found, (name, found)
            if not secret:
                print("the kernel has no memfd_secret here: the signer was not scanned")
        finally:
            for process in (holder, client):
                if process:
                    process.stdin.close()
                    process.wait()


def test_a_key_leaves_no_bytes_in_files_log_or_environment():
    if not ROOT:
        raise case.Skip("reads other processes' files, so root")
    with Stack(bus=False, daemon_args=["--import=yes"]) as stack:
        stack.init()
        keys = make_keys(stack.dir)
        wanted = {}
        with stack.peer(ADMIN) as admin:
            for name, (path, der) in keys.items():
                wanted |= needles(name, der)
                with open(path, "rb") as pem:
                    admin.manager("ImportKey", "sha{sv}", name, pem.fileno(), {})
                admin.sign(name, b"scan")
        wanted["credential"] = stack.credential[:32]
        files = [p for p in (*stack.state.rglob("*"), stack.log_path) if p.is_file()]
        files += [pathlib.Path(f"/proc/{pid}/{what}") for pid in (stack.daemon_pid(), stack.signer_pid())
                  for what in ("environ", "cmdline")]
        for path in files:
            content = path.read_bytes()
            assert not [n for n, needle in wanted.items() if needle in content], path


if __name__ == "__main__":
    case.main()
