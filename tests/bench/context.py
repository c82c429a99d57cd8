#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long hf_ssl_ctx_new() takes: key, chain and trust of an identity in one call."""
import os
import statistics

from certificates import Authority, Certificate, build
from cryptography.hazmat.primitives import serialization
from run import BUILD, Table, run_peer
from stack import ADMIN, Stack

PROGRAM = BUILD / "tests/bench/bench-context"
LIMIT = 1.0  # milliseconds


def measure(t, stack, algorithm):
    root = Authority("root")
    inter = root.under("inter")
    key, chain, trust = f"device-{algorithm}", stack.dir / "chain.pem", stack.dir / "trust.pem"
    public = serialization.load_pem_public_key(stack.cli("key", "public", key).stdout)
    chain.write_bytes(Certificate(build(key, None, inter, public=public, dns=["localhost"]), None).pem + inter.pem)
    trust.write_bytes(root.pem)
    stack.cli("cert", "set", key, "--chain", chain, "--trust", trust)
    env = {**os.environ, "HOLDFAST_TLS": str(stack.dir / "run/tls"), "OPENSSL_MODULES": str(stack.dir / "bin/provider")}
    again = run_peer([PROGRAM, "1", "0", key], env)
    first = statistics.median(run_peer([PROGRAM, "1", "1", key], env)["p50"] for _ in range(5))
    t.add(f"{algorithm}: hf_ssl_ctx_new(), median", again["p50"] / 1000, "ms", LIMIT)
    t.add(f"{algorithm}: hf_ssl_ctx_new(), 99 of 100", again["p99"] / 1000, "ms")
    t.add(f"{algorithm}: the first of a process", first / 1000, "ms")


def main():
    t = Table("A context of an identity, chains of two certificates")
    with Stack(bus=False) as stack:
        stack.init()
        for algorithm in "p256", "rsa3072":
            with stack.peer(ADMIN) as admin:
                admin.create(f"device-{algorithm}", algorithm)
            measure(t, stack, algorithm)
    t.show()


if __name__ == "__main__":
    main()
