#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What a key reference costs nginx, beside the same nginx with a key file, in rounds interleaved on the same machine:
full TLS 1.3 handshakes a second and one by one, 1,000 at the same moment, and 1 GiB over mutual TLS.

Where the time goes is said in CPU a handshake of each process. The log is durable, and at the end it has a line for
each handshake. A missed target is said in the table and does not fail the run; a failed handshake does.
"""
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

from judge import exported, lines
from party import Party, free_port, listens
from run import RULES, Table, median, on_tmpfs, rules, run_peer
from stack import ADMIN, BUILD, Stack, children, skip, wait_for

ROUNDS = int(os.environ.get("HOLDFAST_BENCH_ROUNDS", "5"))
SIZE = 1 << 30
CLIENTS = 8
TICK = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; env HOLDFAST_SOCKET; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off; ssl_session_cache off; ssl_session_tickets off; sendfile on;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    ssl_certificate {crt}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_client_certificate {ca};
    server {{
        listen 127.0.0.1:{port} ssl backlog=2048; ssl_verify_client optional; root {files};
        location = / {{ return 200 "ok"; }}
        location /large {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} }}
    }}
}}
"""


class Nginx:
    """One of the two; knows what its processes have used."""

    def __init__(self, p, name, crt, key):
        self.party, self.port, self.dir = p, free_port(), p.dir / name
        self.dir.mkdir()
        self.dir.chmod(0o777)
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=self.port, crt=crt, key=key, ca=p.ca, files=p.dir))
        without = ["env", "-u", "OPENSSL_CONF"] if name == "file" else []
        self.command = *without, "nginx", "-e", self.dir / "error.log", "-c", conf

    @contextlib.contextmanager
    def running(self):
        log = self.dir / "nginx.log"
        with self.party.running(*self.command, log=log) as master:
            wait_for(lambda: listens(master, self.port, log), "nginx")
            wait_for(lambda: len(children(master.pid)) == 2, "its workers")
            self.pids = children(master.pid)
            yield self


def cpu(pids):
    """Seconds that they have used."""
    fields = (pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids)
    return sum(int(f[11]) + int(f[12]) for f in fields) / TICK


class Bench:
    def __init__(self, stack, p):
        self.stack, self.party, self.handshakes = stack, p, 0
        self.client = BUILD / "tests/bench/bench-handshake"

    def ours(self):
        return {"holdfastd": [self.stack.daemon_pid()], "holdfast-signer": [self.stack.signer_pid()]}

    def run(self, server, *words):
        """Handshakes with this server, and the CPU seconds of each process."""
        processes = {"nginx": server.pids, **self.ours()}
        before = {name: cpu(pids) for name, pids in processes.items()}
        result = run_peer([self.client, *words[:-1], server.port, self.party.ca, words[-1]])
        result["each"] = {name: (cpu(pids) - before[name]) / result["count"] * 1e6 for name, pids in processes.items()}
        if server.dir.name == "reference":
            self.handshakes += result["count"]
        return result

    def transfer(self, server, identity):
        crt, key = identity
        begin = time.monotonic()
        done = self.party.run("curl", "-sS", "-f", "-o", "/dev/null", "-w", "%{size_download}", "--cert", crt, "--key", key, "--cacert",
                              self.party.ca, "--noproxy", "*", f"https://localhost:{server.port}/large")
        assert int(done.stdout) == SIZE, done
        return SIZE / (time.monotonic() - begin)


def key_file(p):
    """An identity as it is without Holdfast."""
    key, crt = p.dir / "plain.key", p.dir / "plain.crt"
    csr = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                          "-subj", "/CN=plain", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True).stdout
    crt.write_bytes(subprocess.run(["openssl", "x509", "-req", "-days", "1", "-CA", p.ca, "-CAkey", p.dir / "ca.key", "-copy_extensions",
                                    "copy"], input=csr, check=True, capture_output=True).stdout)
    key.chmod(0o644)
    return crt, key


def one_round(bench, servers, identities):
    result = {}
    for name, server in servers.items():
        result[name] = {"many": bench.run(server, "-t", "1", CLIENTS), "one": bench.run(server, "-t", "0.5", 1),
                        "speed": bench.transfer(server, identities[name])}
    return result


def fill_table(rounds, crowd):
    t = Table(f"nginx, P-256, TLS 1.3, durable log, {RULES} rules; medians of {len(rounds)} rounds")

    def of(name, *path):
        def figure(r):
            value = r[name]
            for step in path:
                value = value[step]
            return value
        return median(rounds, figure)
    file_rate = of("file", "many", "rate")
    t.add(f"key file: handshakes of {CLIENTS} clients", file_rate, "/s")
    t.add("reference: 0.7 of that", of("reference", "many", "rate"), "/s", 0.7 * file_rate, at_least=True)
    t.add("      of the key file's", of("reference", "many", "rate") / file_rate, "")
    t.add("key file: one handshake, p50", of("file", "one", "p50"), "us")
    t.add("reference: one handshake, p50 more", of("reference", "one", "p50") - of("file", "one", "p50"), "us", 200)
    t.add("reference: one handshake, p99", of("reference", "one", "p99"), "us")
    t.add("1,000 at the same moment: failed", 1000 - crowd["count"], "", 0)
    t.add("      the last one after", crowd["max"] / 1e6, "s")
    t.add("key file: 1 GiB over mutual TLS", of("file", "speed") / 1e6, "MB/s")
    t.add("reference: 0.98 of that", of("reference", "speed") / 1e6, "MB/s", 0.98 * of("file", "speed") / 1e6, at_least=True)
    for name in "file", "reference":
        for process in ("nginx",) if name == "file" else ("nginx", "holdfastd", "holdfast-signer"):
            t.add(f"{name}: CPU a handshake, {process}", of(name, "many", "each", process), "us")
    return t


def main():
    if on_tmpfs(tempfile.gettempdir()):
        tempfile.tempdir = str(BUILD)
        if on_tmpfs(BUILD):
            print("note: there is no disk here; the log is in memory, and figures with its sync are too good")
    if not (BUILD / "tests/bench/bench-handshake").exists():
        skip("bench-handshake is not built")
    with Stack(bus=False, rules=rules()) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-web", "p256")
        p = Party(stack)
        os.truncate(os.open(p.dir / "large", os.O_CREAT | os.O_RDWR, 0o644), SIZE)
        identities = {"file": key_file(p), "reference": p.identity("device-web")}
        bench = Bench(stack, p)
        with contextlib.ExitStack() as all_of_them:
            servers = {name: all_of_them.enter_context(Nginx(p, name, *pair).running()) for name, pair in identities.items()}
            for server in servers.values():
                bench.run(server, "-t", "0.3", CLIENTS)
            rounds = [one_round(bench, servers, identities) for _ in range(ROUNDS)]
            crowd = bench.run(servers["reference"], "-1", 1000)
            with stack.peer(ADMIN) as admin:
                signed = len(lines(exported(admin), "key.sign"))
        expected = bench.handshakes + 2 * ROUNDS + 1  # both ends of each transfer, and the request for the certificate
        assert signed == expected, f"{signed} key.sign lines, but {expected} signatures"
        print(f"the log has a line for each of the {bench.handshakes:,} handshakes")
    fill_table(rounds, crowd).show()


if __name__ == "__main__":
    main()
