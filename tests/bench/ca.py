#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Speed of private CAs, beside what stock openssl signs with such keys on one core in the same run.

Prints a line a figure: certificates a second (one client, and 16 at once) for P-256, P-384 and RSA-4096 CAs, a device from key to
installed certificate, a revocation; then pages and searches in a registry of HOLDFAST_BENCH_CERTIFICATES (100,000 unless told
otherwise, which takes a minute or two). Nothing is judged: machines differ.
"""
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from ca import authority, create, issue, make_request, revoke, running, show  # noqa: E402
from peer import variants  # noqa: E402
from stack import ADMIN, BUILD  # noqa: E402

SECONDS = float(os.environ.get("HOLDFAST_BENCH_SECONDS", "3"))
CERTIFICATES = int(os.environ.get("HOLDFAST_BENCH_CERTIFICATES", "100000"))
CLIENTS = 16
SPEED = {"p256": "ecdsap256", "p384": "ecdsap384", "rsa4096": "rsa4096"}


def bare(algorithm):
    said = subprocess.run(["openssl", "speed", "-seconds", "1", SPEED[algorithm]], capture_output=True, text=True).stdout
    line = said.splitlines()[-1].split()
    return float(line[-2])


def rate(stack, request, ca, clients):
    source, program = BUILD / "tests/bench/bench-issue", stack.dir / "bin/bench-issue"
    if not program.exists():
        shutil.copy(source, program)
    done = json.loads(stack.run([program, "-t", SECONDS, ca, request, clients], ADMIN).stdout)
    return done["count"] / done["seconds"]


def timed(function, *args, **options):
    began = time.monotonic()
    function(*args, **options)
    return (time.monotonic() - began) * 1000


def device(stack, admin):
    admin.create("bench", "p256")
    chain = issue(admin, profile="device", ca="inter-p256", key="bench", device_id="bench")["chain"]
    admin.manager("SetCertificate", "saya{sv}", "bench", chain, variants({}))


def fill(stack, request, ca):
    def work(number):
        with stack.peer(ADMIN) as peer:
            for i in range(number, CERTIFICATES, CLIENTS):
                issue(peer, request, ca=ca, name=f"pump-{i}")
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))


def page(admin, ca, **options):
    return authority(admin, ca, "List", "a{sv}", variants(options))


def registry(stack, admin, request):
    """Half of the certificates are behind the one that is looked for."""
    ca = "inter-full"
    create(admin, "root-full", ca)
    fill(stack, request, ca)
    last, after = "", ""
    while True:
        rows, after = page(admin, ca, after=after, limit=1000)
        if not after:
            break
        last = after
    one = show(admin, f"pump-{CERTIFICATES // 2}", ca)
    wanted = {"first page of 100": lambda: page(admin, ca, limit=100),
              "last page": lambda: page(admin, ca, after=last, limit=100),
              "page of none revoked": lambda: page(admin, ca, status="revoked", limit=100),
              **{f"search by {what}": lambda what=what: show(admin, one[what], ca) for what in ("name", "serial", "fingerprint")}}
    for what, function in wanted.items():
        times = sorted(timed(function) for _ in range(25))
        print(f"registry of {CERTIFICATES:,}: {what:21} {statistics.median(times):6.1f} ms, at most {times[-1]:.1f} ms", flush=True)


def main():
    with running(made=False) as (stack, admin):
        file = stack.dir / "r.csr"
        request = make_request(file)
        for algorithm in SPEED:
            create(admin, f"root-{algorithm}", f"inter-{algorithm}", algorithm)
            alone, many = (rate(stack, file, f"inter-{algorithm}", n) for n in (1, CLIENTS))
            print(f"{algorithm:8} issued: {alone:6.0f} /s by one client, {many:6.0f} /s by {CLIENTS}; "
                  f"openssl signs {bare(algorithm):8.0f} /s", flush=True)
        made = issue(admin, request, ca="inter-p256", name="size")
        print(f"size     {len(made['certificate'])} bytes of DER, {len(made['chain'])} bytes of chain")
        print(f"device   key, certificate and installation: {timed(device, stack, admin):.0f} ms")
        print(f"revoke   with its list: {timed(revoke, admin, made['serial'], ca='inter-p256'):.1f} ms", flush=True)
        registry(stack, admin, request)


if __name__ == "__main__":
    main()
