#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Speed and size of Holdfast beside its peers, as one table: run.py sign | keys | idle | tpm  (all without an argument).

sign   P-256 signatures with the durable log on, in rounds interleaved with openssl speed, ssh-agent and SoftHSM2
keys   the same with 10 and with many keys in the store (HOLDFAST_BENCH_KEYS, 100,000 unless told otherwise)
idle   wake-ups and memory of all processes while nothing happens
tpm    P-256 signatures by a key in the TPM, in rounds interleaved with bare ESAPI and tpm2-pkcs11 on the same swtpm; how
       fair the queue is; what software keys notice of a slow TPM

Each runs on a private Holdfast with a policy of 50 rules and its segments on a disk. Each ends by exporting and
verifying the log, and fails unless the log has exactly as many key.sign lines as signatures came back. A missed target
is said in the table and does not fail the run: machines differ, and the table is what is wanted.
"""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from peer import Refused
from stack import ADMIN, ALICE, BUILD, Stack, skip, wait_for
from swtpm import Swtpm, TpmProxy

ROUNDS = int(os.environ.get("HOLDFAST_BENCH_ROUNDS", "5"))
KEYS = max(int(os.environ.get("HOLDFAST_BENCH_KEYS", "100000")), 10 + 400 * ROUNDS)
RULES = 50
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
TPM2_PKCS11 = "/usr/lib/%s-linux-gnu/libtpm2_pkcs11.so.1" % os.uname().machine
TPM_SLOW = 2.0  # seconds a command
P11_KIT_CLIENT = "/usr/lib/%s-linux-gnu/pkcs11/p11-kit-client.so" % os.uname().machine
MIB = 1 << 20


def rules():
    """The rule that allows is the last one, behind 49 that are nearly right."""
    others = [f"allow user={ALICE} key=other-{i}-* op=sign" if i % 2 else f"allow user={50000 + i} key=device-* op=sign"
              for i in range(RULES - 2)]
    return "\n".join([f"allow user={ADMIN} op=all", *others, f"allow user={ALICE} key=device-* op=sign"]) + "\n"


class Table:
    def __init__(self, title):
        self.title = title
        self.rows = []

    def add(self, figure, value, unit, target=None, at_least=False):
        """target: a value in the same unit, None where there is none."""
        if target is None:
            self.rows.append((figure, f"{value:,.4g} {unit}", "", "", ""))
            return
        ratio = value / target if target else float("inf") if value else 1
        met = value >= target if at_least else value <= target
        by = abs(1 - ratio) * 100 if target else value
        verdict = "met" if met else f"MISSED by {by:.0f} %" if target else f"MISSED by {value:g}"
        sign = ">=" if at_least else "<="
        self.rows.append((figure, f"{value:,.4g} {unit}", f"{sign} {target:,.4g}", f"{ratio:.2f}", verdict))

    def show(self):
        rows = [("figure", "measured", "target", "ratio", ""), *self.rows]
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        print(f"\n{self.title}\n")
        for row in rows:
            print("  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]).rstrip())
        print(flush=True)


class Bench:
    """A Holdfast under load; counts what came back."""

    def __init__(self, stack):
        self.stack = stack
        self.signed = 0
        self.load = self.copy("bench-load")

    def copy(self, name):
        source, target = BUILD / "tests/bench" / name, self.stack.dir / "bin/tests/bench" / name
        if not source.exists():
            skip(f"{name} is not built")
        target.parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(source, target)

    def pids(self, bus=False):
        pids = [self.stack.daemon_pid(), self.stack.signer_pid()]
        return ",".join(str(p) for p in pids + ([self.stack.bus.pid] if bus else []))

    def run(self, *mode, seconds=1.0, calls=0, first=0, keys=1, bus=False, uid=ALICE):
        done = self.stack.run([self.load, "-t", seconds, "-c", calls, "-k", first, "-n", keys, "-p", self.pids(bus),
                               *(["-b"] if bus else []), *mode], uid)
        result = json.loads(done.stdout)
        result["rate"] = result["count"] / result["seconds"]
        if mode[0] != "create":
            self.signed += result["count"]
        return result

    def finish(self):
        """Exports, verifies, counts; gives the verifier's records a second and its memory in bytes."""
        log, key = self.stack.dir / "audit.jsonl", self.stack.dir / "auditor.key"
        key.write_text(self.stack.auditor_key() + "\n")
        self.stack.cli("--quiet", "audit", "export", log)
        seconds, peak = timed([self.stack.program("cli/holdfast"), "--quiet", "audit", "verify", log, "--key", key])
        records = uses = 0
        with open(log, "rb") as f:
            for line in f:
                records += 1
                uses += json.loads(line)["event"] == "key.sign"
        assert uses == self.signed, f"{uses} key.sign lines, but {self.signed} signatures came back"
        print(f"the log verifies; its {uses:,} key.sign lines are the {self.signed:,} signatures that came back")
        return {"records": records, "rate": records / seconds, "memory": peak}


def timed(command):
    """CPU seconds and peak memory in bytes of a command that must succeed. (ru_maxrss would tell of us before exec.)"""
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = status
            assert status == 0, f"{command} gave {status}"
            return usage.ru_utime + usage.ru_stime, peak
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = 1024 * int(line.split()[1])
        time.sleep(0.01)


# Peers

def openssl_speed():
    """P-256 signatures a second of one core."""
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap256"], capture_output=True, text=True, check=True).stdout
    line = next(line for line in out.splitlines() if "ecdsa (nistp256)" in line)
    return float(line.split()[-2])


class Agent:
    def __init__(self, bench, directory):
        self.socket, self.client = directory / "agent", bench.copy("bench-peer-agent")
        key = directory / "agent-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f", key], check=True)
        self.agent = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        wait_for(self.socket.exists, "ssh-agent")
        subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(self.socket)})

    def run(self, seconds):
        return run_peer([self.client, "-t", seconds, self.socket])

    def close(self):
        self.agent.kill()
        self.agent.wait()


class SoftHsm:
    """In the caller's process, and behind p11-kit server."""

    def __init__(self, bench, directory):
        self.client = bench.copy("bench-peer-pkcs11")
        config = directory / "softhsm2.conf"
        (directory / "tokens").mkdir()
        config.write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
        self.env = {**os.environ, "SOFTHSM2_CONF": str(config), "P11_KIT_SERVER_ADDRESS": f"unix:path={directory}/p11"}
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", "1234", "--so-pin", "12345678"],
                       check=True, env=self.env, stdout=subprocess.DEVNULL)
        subprocess.run([self.client, "-g", SOFTHSM, "1234"], check=True, env=self.env)
        self.server = subprocess.Popen(["p11-kit", "server", "-f", "-n", directory / "p11", "--provider", SOFTHSM,
                                        "pkcs11:token=bench"], env=self.env, stdout=subprocess.DEVNULL)
        wait_for((directory / "p11").exists, "p11-kit server")

    def run(self, seconds, threads=1, remote=False):
        return run_peer([self.client, "-t", seconds, "-n", threads, P11_KIT_CLIENT if remote else SOFTHSM, "1234"], self.env)

    def close(self):
        self.server.terminate()
        self.server.wait()


class TpmToken:
    """tpm2-pkcs11 on the same TPM. Its tool leaves objects behind in the TPM, so it works through a proxy that flushes."""

    def __init__(self, bench, directory, tpm):
        self.client = bench.copy("bench-peer-pkcs11")
        store = directory / "tpm2-pkcs11"
        store.mkdir()
        self.env = {**os.environ, "TPM2_PKCS11_STORE": str(store), "TPM2_PKCS11_BACKEND": "esysdb", "TSS2_LOG": "all+NONE",
                    "TPM2_PKCS11_TCTI": tpm.tcti}
        with TpmProxy(tpm) as proxy:
            proxy.on_begin = tpm.flush
            env = {**self.env, "TPM2_PKCS11_TCTI": proxy.tcti, "TPM2TOOLS_TCTI": proxy.tcti}
            for arguments in (["init"], ["addtoken", "--pid=1", "--label=bench", "--userpin=1234", "--sopin=12345678"]):
                subprocess.run(["/usr/bin/python3", shutil.which("tpm2_ptool"), *arguments], check=True, env=env,
                               stdout=subprocess.DEVNULL)
        tpm.flush()
        subprocess.run([self.client, "-g", TPM2_PKCS11, "1234"], check=True, env=self.env)

    def run(self, seconds):
        return run_peer([self.client, "-t", seconds, TPM2_PKCS11, "1234"], self.env)

    def start_and_sign(self):
        """Seconds of a program that signs once."""
        began = time.monotonic()
        self.run(0)
        return time.monotonic() - began


def run_peer(command, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, env=env)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.decode()}"
    result = json.loads(done.stdout)
    return {**result, "rate": result["count"] / result["seconds"]}


# Measures

def one_round(bench, agent, hsm):
    """Short and in turn, so that what else the machine does meets all alike."""
    return {
        "openssl": openssl_speed(),
        "one": bench.run("one"),
        "hsm": hsm.run(0.5),
        "remote": hsm.run(0.5, remote=True),
        "agent": agent.run(0.5),
        "flight": bench.run("flight", "16"),
        "remote16": hsm.run(0.5, threads=16, remote=True),
        "many": bench.run("many", "256"),
        "bus": bench.run("one", bus=True, seconds=0.5),
        "one again": bench.run("one", seconds=0.5),
    }


def median(rounds, figure):
    return statistics.median(figure(r) for r in rounds)


def fill_sign_table(rounds, audit):
    t = Table(f"P-256 signatures, durable log, {RULES} rules; medians of {len(rounds)} rounds")
    limit = median(rounds, lambda r: r["openssl"])
    p50 = {name: median(rounds, lambda r, n=name: r[n]["p50"]) for name in ("one", "hsm", "remote", "agent", "bus")}
    t.add("openssl speed, one core", limit, "/s")
    t.add("ssh-agent, p50", p50["agent"], "us")
    t.add("SoftHSM2 in the process, p50", p50["hsm"], "us")
    t.add("SoftHSM2 behind p11-kit, p50", p50["remote"], "us")
    t.add("SoftHSM2 behind p11-kit, 16 threads", median(rounds, lambda r: r["remote16"]["rate"]), "/s")
    t.add("one caller, p50: not slower than p11-kit", p50["one"], "us", p50["remote"])
    t.add("                 at most half of ssh-agent", p50["one"], "us", p50["agent"] / 2)
    t.add("      (stretch)  SoftHSM2 in the process", p50["one"], "us", p50["hsm"])
    t.add("16 in flight: 0.55 of one core", median(rounds, lambda r: r["flight"]["rate"]), "/s", 0.55 * limit, at_least=True)
    t.add("              2 x p11-kit, 16 threads", median(rounds, lambda r: r["flight"]["rate"]), "/s",
          2 * median(rounds, lambda r: r["remote16"]["rate"]), at_least=True)
    cpu = median(rounds, lambda r: r["flight"]["cpu"] / r["flight"]["count"] * 1e6)
    t.add("16 in flight: CPU a signature, all processes", cpu, "us", 150)
    t.add("      (stretch)", cpu, "us", 120)
    t.add("one caller: CPU a signature, all processes", median(rounds, lambda r: r["one"]["cpu"] / r["one"]["count"] * 1e6), "us")
    t.add("SignMany of 256: 0.85 of one core", median(rounds, lambda r: r["many"]["rate"]), "/s", 0.85 * limit, at_least=True)
    t.add("SignMany of 256: CPU a signature", median(rounds, lambda r: r["many"]["cpu"] / r["many"]["count"] * 1e6), "us")
    t.add("system bus, p50 more than direct", median(rounds, lambda r: r["bus"]["p50"] - r["one again"]["p50"]), "us", 120)
    t.add(f"audit verify, {audit['records']:,} records", audit["rate"], "/s a core", 300000, at_least=True)
    t.add("audit verify, memory", audit["memory"] / MIB, "MiB")
    return t


def measure_sign():
    with Stack(rules=rules()) as stack, tempfile.TemporaryDirectory(dir=stack.dir) as directory:
        bench, directory = Bench(stack), pathlib.Path(directory)
        stack.init()
        bench.run("create", "1", uid=ADMIN)
        peers = Agent(bench, directory), SoftHsm(bench, directory)
        try:
            bench.run("flight", "16", seconds=0.3)
            rounds = [one_round(bench, *peers) for _ in range(ROUNDS)]
        finally:
            for peer in peers:
                peer.close()
        fill_sign_table(rounds, bench.finish()).show()


def memory(pid, field):
    """Rss or Pss in bytes."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(next(line for line in text.splitlines() if line.startswith(field + ":")).split()[1])


def first_signature(stack, bench):
    """Seconds from the start of the launcher to a signature."""
    stack.stop()
    began = time.monotonic()
    stack.start()

    def sign():
        try:
            with stack.peer(ALICE) as peer:
                return peer.sign("device-3", b"first")
        except (OSError, Refused):
            return None
    wait_for(sign, "the first signature")
    bench.signed += 1
    return time.monotonic() - began


def measure_keys():
    """Two Holdfasts in turn, one with 10 keys and one with many."""
    with Stack(bus=False, rules=rules()) as small, Stack(bus=False, rules=rules()) as large:
        few, many = Bench(small), Bench(large)
        for stack in small, large:
            stack.init()
        few.run("create", "8", keys=10, uid=ADMIN)
        made = many.run("create", "8", keys=KEYS, uid=ADMIN)
        rounds = []
        for i in range(4 * ROUNDS):
            # Keys that nobody has touched: each is opened for the first time.
            one_round = {"cold": many.run("one", first=10 + i * 100, keys=100, calls=100, seconds=60)}
            for name, bench in [("few", few), ("many", many)][::-1 if i % 2 else 1]:
                bench.run("one", keys=10, calls=50)
                one_round[name] = bench.run("one", keys=10, seconds=0.3)
            rounds.append(one_round)
        size = memory(large.daemon_pid(), "Rss")
        start = first_signature(large, many)
        fresh = memory(large.daemon_pid(), "Rss")
        for bench in few, many:
            bench.finish()
    few_p50, many_p50, cold_p50 = (median(rounds, lambda r, n=name: r[n]["p50"]) for name in ("few", "many", "cold"))
    t = Table(f"{KEYS:,} keys in the store")
    t.add("10 keys: p50 of a warm key", few_p50, "us")
    t.add(f"{KEYS:,} keys: p50 of a warm key", many_p50, "us", few_p50 * 1.1)
    t.add("a cold key, p50 more", cold_p50 - many_p50, "us", 150)
    t.add("start to first signature", start, "s", 1.5)
    t.add("holdfastd, resident", size / MIB, "MiB", 64)
    t.add("holdfastd, resident after a restart", fresh / MIB, "MiB", 64)
    t.add("making a key, 8 callers", 1e6 / made["rate"], "us")
    t.show()


def switches(pid):
    total = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        total += sum(int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line)
    return total


def measure_idle():
    with Stack(bus=False, rules=rules()) as stack:
        bench = Bench(stack)
        stack.init()
        bench.run("create", "1", keys=1, uid=ADMIN)
        bench.run("one", calls=100)
        bench.finish()  # the export seals the log: nothing is left to do
        pids = {"holdfast-launch": stack.launcher.pid, "holdfastd": stack.daemon_pid(), "holdfast-signer": stack.signer_pid()}
        time.sleep(1)
        before = {name: switches(pid) for name, pid in pids.items()}
        time.sleep(10)
        t = Table("idle, 10 s")
        for name, pid in pids.items():
            t.add(f"{name}: wake-ups", switches(pid) - before[name], "", 0)
        for name, pid in pids.items():
            t.add(f"{name}: PSS", memory(pid, "Pss") / MIB, "MiB")
        t.add("all processes: PSS", sum(memory(pid, "Pss") for pid in pids.values()) / MIB, "MiB", 24)
        t.show()


def main():
    # The sync of the log is what is measured, so not in memory.
    if on_tmpfs(tempfile.gettempdir()):
        tempfile.tempdir = str(BUILD)
        if on_tmpfs(BUILD):
            print("note: there is no disk here; the log is in memory, and figures with its sync are too good")
    measures = {"sign": measure_sign, "keys": measure_keys, "idle": measure_idle, "tpm": measure_tpm}
    for name in sys.argv[1:] or measures:
        measures[name]()


def session_cost():
    """What a salted, encrypted session costs without the rest of the road, and bare ESAPI by turns with it: microseconds."""
    done = subprocess.run([BUILD / "tests/unit/tpm/bench-tpm"], capture_output=True, text=True, check=True)
    medians = {m[1]: float(m[2]) for m in re.finditer(r"^P-256 (.*?) +median +(\d+) us", done.stdout, re.M)}
    return {"holdfast-tpm": medians["through holdfast-tpm"], "bare": medians["bare ESAPI, password session"]}


def tpm_round(bench, esapi, tpm, token):
    return {
        "bare": run_peer([esapi, "-t", 0.5, tpm.tcti]),
        "holdfast": bench.run("one", keys=1),
        "pkcs11": token.run(0.5),
        "program": token.start_and_sign() * 1e6,
        "queue": bench.run("callers", "16"),
        "bare again": run_peer([esapi, "-t", 0.5, tpm.tcti]),
        "session": session_cost(),
    }


def fill_tpm_table(rounds, slow):
    t = Table(f"P-256 signatures by a key in the TPM (swtpm), durable log, {RULES} rules; medians of {len(rounds)} rounds")
    p50 = {name: median(rounds, lambda r, n=name: r[n]["p50"]) for name in ("bare", "holdfast", "pkcs11", "bare again")}
    bare = (p50["bare"] + p50["bare again"]) / 2
    t.add("ESAPI, key loaded, password session, p50", bare, "us")
    t.add("tpm2-pkcs11, key loaded, p50", p50["pkcs11"], "us")
    t.add("tpm2-pkcs11, a program that signs once", median(rounds, lambda r: r["program"]), "us")
    alone, beside = (median(rounds, lambda r, n=name: r["session"][n]) for name in ("holdfast-tpm", "bare"))
    t.add("ESAPI, by turns with the next", beside, "us")
    t.add("holdfast-tpm, salted and encrypted session", alone, "us", 1.5 * beside)
    t.add("Holdfast: policy, log, signature checked", p50["holdfast"], "us", p50["pkcs11"] / 5)
    t.add("         to bare ESAPI", p50["holdfast"] / bare, "x")
    t.add("16 callers", median(rounds, lambda r: r["queue"]["rate"]), "/s")
    t.add("16 callers: longest wait of one, means", median(rounds, lambda r: r["queue"]["max"] / r["queue"]["mean"]), "", 2)
    t.add("software keys, TPM idle, p99", slow["idle"], "us")
    t.add(f"software keys, TPM takes {TPM_SLOW:g} s a command, p99", slow["busy"], "us", 1.5 * slow["idle"])
    return t


def measure_slow_tpm():
    """p99 of software keys while callers of TPM keys stand in a queue that hardly moves, and with nothing else going on."""
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, Stack(bus=False, rules=rules(), tpm=proxy) as stack:
        bench = Bench(stack)
        stack.init()
        bench.run("create", "1", uid=ADMIN)
        with stack.peer(ADMIN) as admin:
            admin.create("device-1", "p256", protection="tpm")
        rounds = []
        for _ in range(ROUNDS):
            idle = bench.run("one", seconds=2)["p99"]
            proxy.rule = proxy.slow(TPM_SLOW)
            waiting = subprocess.Popen([bench.load, "-s", stack.socket, "-k", "1", "-t", "4", "callers", "4"],
                                       stdout=subprocess.PIPE, text=True)
            arrived = proxy.arrived
            wait_for(lambda n=arrived: proxy.arrived > n, "the TPM to be busy")
            busy = bench.run("one", seconds=2)["p99"]
            proxy.rule = None
            bench.signed += json.loads(waiting.communicate()[0])["count"]
            rounds.append((idle, busy))
        bench.finish()
        return {"idle": statistics.median(r[0] for r in rounds), "busy": statistics.median(r[1] for r in rounds)}


def measure_tpm():
    if not os.path.exists(TPM2_PKCS11) or not shutil.which("tpm2_ptool"):
        skip("no tpm2-pkcs11")
    with Swtpm() as tpm, Stack(rules=rules(), tpm=tpm) as stack, tempfile.TemporaryDirectory(dir=stack.dir) as directory:
        bench, esapi = Bench(stack), BUILD / "tests/bench/bench-peer-esapi"
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-0", "p256", protection="tpm")
        token = TpmToken(bench, pathlib.Path(directory), tpm)
        bench.run("callers", "16", seconds=0.3)
        rounds = [tpm_round(bench, esapi, tpm, token) for _ in range(ROUNDS)]
        bench.finish()
    fill_tpm_table(rounds, measure_slow_tpm()).show()


def on_tmpfs(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip() == "tmpfs"


if __name__ == "__main__":
    main()
