#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Speed of private CAs, beside what stock openssl signs with such keys on one core in the same run.

Prints a line a figure: certificates a second (one client, and 16 at once) for P-256, P-384 and RSA-4096 CAs, a device from key to
installed certificate, a page of the registry, a revocation. Nothing is judged: machines differ.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from ca import authority, create, issue, make_request, revoke, running  # noqa: E402
from peer import variants  # noqa: E402
from stack import ADMIN  # noqa: E402

SECONDS = float(os.environ.get("HOLDFAST_BENCH_SECONDS", "3"))
CLIENTS = 16
SPEED = {"p256": "ecdsap256", "p384": "ecdsap384", "rsa4096": "rsa4096"}


def bare(algorithm):
    said = subprocess.run(["openssl", "speed", "-seconds", "1", SPEED[algorithm]], capture_output=True, text=True).stdout
    line = said.splitlines()[-1].split()
    return float(line[-2])


def rate(stack, request, ca, clients):
    end = time.monotonic() + SECONDS

    def work(number):
        count = 0
        with stack.peer(ADMIN) as peer:
            while time.monotonic() < end:
                issue(peer, request, ca=ca, name=f"{clients}-{number}-{count}")
                count += 1
        return count
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        made = sum(pool.map(work, range(clients)))
    return made / (time.monotonic() - began)


def timed(function, *args, **options):
    began = time.monotonic()
    function(*args, **options)
    return (time.monotonic() - began) * 1000


def device(stack, admin):
    admin.create("bench", "p256")
    chain = issue(admin, profile="device", ca="inter-p256", key="bench", device_id="bench")["chain"]
    admin.manager("SetCertificate", "saya{sv}", "bench", chain, variants({}))


def main():
    with running(made=False) as (stack, admin):
        request = make_request(stack.dir / "r.csr")
        for algorithm in SPEED:
            create(admin, f"root-{algorithm}", f"inter-{algorithm}", algorithm)
            alone, many = (rate(stack, request, f"inter-{algorithm}", n) for n in (1, CLIENTS))
            print(f"{algorithm:8} issued: {alone:6.0f} /s by one client, {many:6.0f} /s by {CLIENTS}; "
                  f"openssl signs {bare(algorithm):8.0f} /s", flush=True)
        made = issue(admin, request, ca="inter-p256", name="size")
        print(f"size     {len(made['certificate'])} bytes of DER, {len(made['chain'])} bytes of chain")
        print(f"device   key, certificate and installation: {timed(device, stack, admin):.0f} ms")
        print(f"page     of 100: {timed(authority, admin, 'inter-p256', 'List', 'a{sv}', variants({'limit': 100})):.1f} ms")
        print(f"revoke   with its list: {timed(revoke, admin, made['serial'], ca='inter-p256'):.1f} ms")


main()
