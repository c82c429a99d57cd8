#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Somebody on the wire between holdfast-tpm and the TPM: what he learns, and what he can spoil.

T1, T2, T3, T14 of docs/faults.md. Secrets are known to the test because it plays the signer (tests/harness/tpm_link.py);
the whole service stands behind a hostile TPM in the last two tests. HOLDFAST_FUZZ_TPM=100000 spoils so many responses.
"""
import contextlib
import os
import random
import struct
import threading
import time
import tty

import case
from judge import signature_is_good
from peer import Refused
from stack import ADMIN, Stack, wait_for
from swtpm import CODES, HEADER, LOADED_SESSIONS, Hostile, Swtpm, TpmProxy, code_of, flipped, once, only, packet, sealed, signs
from tpm_link import (COUNTER, CREATE, DEFINE, ECDSA, HMAC, HMAC256, INCREMENT, NAME_SIZE, OPERATE, P256, READ, REMOVE, STATE, UNSEAL,
                      USE_MAC, USE_SIGN, Gone, TpmProcess, block)

MESSAGE = b"on the wire"
OPERATIONS = int(os.environ.get("HOLDFAST_TPM_OPERATIONS", "1000"))
FUZZ = int(os.environ.get("HOLDFAST_FUZZ_TPM", "0"))
SHARES = [0.5, 0.2, 0.05]  # of the answers: with many nothing gets far, with few everything
FUZZ_SECONDS = 20  # unless the number is given
SEED = int(os.environ.get("HOLDFAST_SEED", "20261121"))
INDEX = 0x01800123
NV_INDEX = 0x01000000  # the first there could be


def traces(wire, secret):
    """Places where eight bytes of the secret in a row, from any position, went over the wire."""
    return [(i, wire.find(secret[i:i + 8])) for i in range(len(secret) - 7) if secret[i:i + 8] in wire]


def everything(record):
    return b"\0".join(command + b"\0" + (response or b"") for command, response in record)


def test_T14_no_secret_is_on_the_wire_in_a_thousand_operations():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, TpmProcess(proxy) as process:
        proxy.record = []
        secrets = {name: os.urandom(32) for name in ("a key's authorisation", "the MAC key's authorisation", "a PIN",
                                                     "the counter's authorisation", "what is sealed")}
        auth, mac_auth, pin, counter_auth, sealed_bytes = secrets.values()
        key = process.create(P256, USE_SIGN, auth)
        mac = process.create(HMAC256, USE_MAC, mac_auth)
        blob, values = process.seal(sealed_bytes, mask=1 << 7, pin=pin)
        counting = struct.pack("<I", INDEX) + counter_auth + key[:NAME_SIZE]
        process.get(COUNTER, bytes([DEFINE]) + counting)
        macs = set()
        for i in range(OPERATIONS // 4):
            process.get(OPERATE, process.operation(key, auth, ECDSA, os.urandom(32)))
            macs.add(process.get(OPERATE, process.operation(mac, mac_auth, HMAC, b"the same message")).block())
            if i % 50 == 0:
                process.get(OPERATE, process.operation(mac, mac_auth, HMAC, sealed_bytes * 100))  # a sequence
            assert process.get(UNSEAL, process.unsealing(blob, values, pin)).block() == sealed_bytes
            process.get(COUNTER, bytes([INCREMENT]) + counting)
        assert len(macs) == 1
        process.get(COUNTER, bytes([REMOVE]) + counting)
        wire = everything(proxy.record)
        assert len(proxy.record) > OPERATIONS, len(proxy.record)
        # A MAC may be a slot's secret (tpm2-derived), so it travels encrypted, too.
        for name, secret in {**secrets, "a MAC": macs.pop()}.items():
            assert not traces(wire, secret), f"{name} is on the wire"
        # The search finds what is there: the same bytes in a command without encryption.
        proxy.record = []
        tpm.tool("nvdefine", "-C", "o", "-s", "32", "0x1500010", through=proxy)
        tpm.tool("nvwrite", "-C", "o", "-i", "-", "0x1500010", input=sealed_bytes, through=proxy)
        assert traces(everything(proxy.record), sealed_bytes), "the search is blind"


def test_T14_no_pin_of_a_whole_service_is_on_the_wire():
    pin = b"a PIN that is long enough to be found"
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, Stack(credential=None, tpm=proxy) as stack:
        (stack.dir / "pin").write_bytes(pin)
        proxy.record = []
        stack.wait_signer()
        stack.cli("init", "--slot", "tpm2", "--pcr", "7", "--pin", "--recovery-file", stack.dir / "code", "--passphrase-file",
                  stack.dir / "pin")
        with stack.peer(ADMIN) as admin:
            admin.create("device-tpm", "p256", protection="tpm")
        stack.restart()
        stack.cli("unlock", "--passphrase-file", stack.dir / "pin")
        signs(stack, "device-tpm")
        assert [c for c, _ in proxy.record if code_of(c) == CODES["Unseal"]], "nothing was unsealed"
        wire = everything(proxy.record)
        assert not traces(wire, pin) and not traces(wire, (stack.dir / "code").read_bytes().strip())


def test_T1_each_flipped_bit_of_an_unseal_is_noticed():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, TpmProcess(proxy) as process:
        secret = os.urandom(32)
        blob, values = process.seal(secret, mask=1 << 7)
        ask = process.unsealing(blob, values)
        seen = []
        proxy.rule = only("Unseal", lambda c, f: seen.append(f(c)) or seen[-1])
        assert process.get(UNSEAL, ask).block() == secret
        bits = 8 * len(seen[0])
        for bit in range(bits):
            proxy.rule = only("Unseal", lambda c, f, bit=bit: flipped(f(c), bit))
            try:
                result, _, rest = process.ask(UNSEAL, ask, 120)
            except Gone:
                process.restart()
                continue
            assert result != 0, f"bit {bit} of {bits} was not noticed: {rest.data.hex()}"
            assert secret not in rest.data
        proxy.rule = None
        assert process.get(UNSEAL, ask).block() == secret
        print(f"{bits} bits turned, each noticed; holdfast-tpm died {process.deaths} times")


def test_T1_each_flipped_bit_of_a_signature_is_noticed():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, TpmProcess(proxy) as process:
        auth = os.urandom(32)
        ask = process.operation(process.create(P256, USE_SIGN, auth), auth, ECDSA, os.urandom(32))
        seen = []
        proxy.rule = only("Sign", lambda c, f: seen.append(f(c)) or seen[-1])
        process.get(OPERATE, ask)
        for bit in random.Random(SEED).sample(range(8 * len(seen[0])), 200):
            proxy.rule = only("Sign", lambda c, f, bit=bit: flipped(f(c), bit))
            try:
                result, _, _ = process.ask(OPERATE, ask, 120)
            except Gone:
                process.restart()
                continue
            assert result != 0, f"bit {bit} was not noticed"


def test_T2_nothing_of_a_counter_is_said_under_another_salt_key():
    """Or somebody in the TPM's place would learn the authorisation under a key of his own."""
    with Swtpm() as first, Swtpm() as second, TpmProxy(first) as proxy, TpmProcess(proxy) as process:
        auth = os.urandom(32)
        key = process.create(P256, USE_SIGN, auth)
        counting = struct.pack("<I", INDEX) + auth + key[:NAME_SIZE]
        process.get(COUNTER, bytes([DEFINE]) + counting)
        process.restart()
        proxy.tpm, proxy.record = second, []
        changed = process.ask(OPERATE, process.operation(key, auth, ECDSA, bytes(32)))[0]
        assert changed != 0
        for action in (DEFINE, READ, INCREMENT, REMOVE):
            assert process.ask(COUNTER, bytes([action]) + counting)[0] == changed
        said = {code_of(command) for command, _ in proxy.record}
        assert CODES["CreatePrimary"] in said and CODES["ReadPublic"] in said, "it was not looked at"
        assert not said & {CODES[c] for c in ("StartAuthSession", "NV_Read", "NV_Increment", "NV_DefineSpace")}, said
        assert second.handles(NV_INDEX) == []


def test_T2_another_tpm_behind_the_same_socket_is_refused_by_name():
    with Swtpm() as first, Swtpm() as second, TpmProxy(first) as proxy, sealed(tpm=proxy) as stack:
        proxy.tpm = second
        with stack.peer(ADMIN) as admin:
            try:
                admin.sign("device-tpm", MESSAGE)
                raise AssertionError("signed")
            except Refused as refused:
                assert refused.name == "TpmIdentityChanged", refused
            assert signature_is_good(admin.public_key("device-soft"), MESSAGE, admin.sign("device-soft", MESSAGE))
            assert {k["name"] for k in admin.keys()} == {"device-tpm", "device-soft"}
        proxy.tpm = first
        signs(stack, "device-tpm")


class Node:
    """A character device in front of a TPM, as /dev/tpm0 is: a terminal that changes no byte."""

    def __init__(self, tpm):
        self.tpm = tpm
        self.ours, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        os.chmod(os.ttyname(self.theirs), 0o666)
        self.tcti = f"device:{os.ttyname(self.theirs)}"
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.close(self.theirs)  # the last one: reading ends
        self.thread.join()
        os.close(self.ours)

    def serve(self):
        data = b""
        with contextlib.suppress(OSError):
            while True:
                data += os.read(self.ours, 4096)
                if len(data) >= HEADER.size and len(data) >= HEADER.unpack_from(data)[1]:
                    os.write(self.ours, self.tpm.command(data))
                    data = b""


def test_a_device_node_is_a_road_as_good_as_a_socket():
    """Also behind the system-call filter. What a kernel's resource manager adds (/dev/tpmrm0) nothing here has."""
    with Swtpm() as tpm, Node(tpm) as node, TpmProcess(node) as process:
        auth, secret = os.urandom(32), os.urandom(32)
        key = process.create(P256, USE_SIGN, auth)
        blob, values = process.seal(secret, mask=1 << 7)
        for _ in range(20):
            assert len(process.get(OPERATE, process.operation(key, auth, ECDSA, os.urandom(32))).block()) == 64
            assert process.get(UNSEAL, process.unsealing(blob, values)).block() == secret
        process.restart()
        process.get(OPERATE, process.operation(key, auth, ECDSA, os.urandom(32)))
        assert process.deaths == 1


def room_for_another_user(tpm):
    """Within the time that is promised for what was left behind."""
    wait_for(lambda: tpm.tool("dictionarylockout", "-c", check=False).returncode == 0, "room for another user of the TPM", 5)


def test_T3_policy_sessions_that_a_killed_one_left_behind_go():
    """Among the loaded sessions they are listed with the type which elsewhere says "saved"."""
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, TpmProcess(proxy) as process:
        blob, values = process.seal(b"s" * 32, mask=1 << 7)
        for _ in range(3):
            process.restart()
            proxy.rule = only("PolicyPCR", lambda command, forward: process.process.kill() or forward(command))
            try:
                process.ask(UNSEAL, process.unsealing(blob, values))
                raise AssertionError("answered")
            except Gone:
                proxy.rule = None
        process.restart()
        wait_for(lambda: process.ask(UNSEAL, process.unsealing(blob, values))[0] == 0, "what was sealed", 5)
        room_for_another_user(tpm)
        wait_for(lambda: len(tpm.handles(LOADED_SESSIONS)) <= 1, "what was left behind to go", 10)


def test_T3_sessions_whose_handle_never_came_through_go_also_when_nothing_broke():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, TpmProcess(proxy) as process:
        auth = os.urandom(32)
        sign = process.operation(process.create(P256, USE_SIGN, auth), auth, ECDSA, os.urandom(32))
        blob, values = process.seal(b"s" * 32, mask=1 << 7)
        for _ in range(2):
            def lost(command, forward):
                forward(command)
                return packet(0x921)
            proxy.rule = only("StartAuthSession", once(lost))
            process.ask(UNSEAL, process.unsealing(blob, values))
        proxy.rule = None
        assert process.ask(OPERATE, sign)[0] == 0
        room_for_another_user(tpm)


class Fuzz:
    """Workers share the number; what they wait for most is holdfast-tpm's own patience, so several at once are faster."""

    WORKERS = 6

    def __init__(self):
        self.began = time.monotonic()
        self.hostile = []
        self.failures = []

    def enough(self):
        return self.spoiled() >= FUZZ if FUZZ else time.monotonic() - self.began > FUZZ_SECONDS

    def spoiled(self):
        return sum(h.spoiled for h in self.hostile)

    def run(self, work):
        def guarded(seed):
            try:
                work(self, seed)
            except BaseException as e:
                self.failures.append(e)
        threads = [threading.Thread(target=guarded, args=(SEED + i,)) for i in range(self.WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def test_T3_spoiled_answers_kill_at_most_holdfast_tpm():
    """As fast as it goes: the test in the place of the signer."""
    counts = {"requests": 0, "deaths": 0}

    def work(fuzz, seed):
        with Swtpm() as tpm, Hostile(tpm, seed, share=0) as hostile, TpmProcess(hostile) as process:
            fuzz.hostile.append(hostile)
            auth, secret = os.urandom(32), os.urandom(32)
            key = process.create(P256, USE_SIGN, auth)
            blob, values = process.seal(secret, mask=1 << 7, pin=auth)
            asks = [(OPERATE, process.operation(key, auth, ECDSA, secret)), (UNSEAL, process.unsealing(blob, values, auth)),
                    (CREATE, bytes([P256, USE_SIGN]) + auth + block(b"")), (STATE, b"\1")]
            hostile.share = SHARES[seed % len(SHARES)]
            while not fuzz.enough() and not fuzz.failures:
                kind, body = asks[counts["requests"] % len(asks)]
                counts["requests"] += 1
                try:
                    result, _, rest = process.ask(kind, body, 120)
                    if kind == UNSEAL and result == 0:
                        assert rest.block() == secret, "a false secret was believed"
                except Gone:
                    process.restart()
            hostile.share = 0
            (_, sign), (_, unseal), *_ = asks
            wait_for(lambda: process.ask(OPERATE, sign)[0] == 0, "a signature again", 10)
            # Who spoils nonces makes right PINs wrong; and sessions whose handle never came through are in others' way for a moment.
            room_for_another_user(tpm)
            wait_for(lambda: process.ask(UNSEAL, unseal)[0] == 0, "what was sealed again", 10)
            counts["deaths"] += process.deaths
    fuzz = Fuzz()
    fuzz.run(work)
    print(f"{fuzz.spoiled()} spoiled answers to {counts['requests']} requests, holdfast-tpm died {counts['deaths']} times")


def test_T3_signer_and_daemon_outlive_a_hostile_tpm():
    good = [0]

    def work(fuzz, seed):
        with Swtpm() as tpm, Hostile(tpm, seed, share=0) as hostile, sealed(tpm=hostile, bus=False, backoff=10) as stack:
            pids = stack.daemon_pid(), stack.signer_pid()
            with stack.peer(ADMIN) as admin:
                public = admin.public_key("device-tpm")
                fuzz.hostile.append(hostile)
                hostile.share = SHARES[seed % len(SHARES)]
                while not fuzz.enough() and not fuzz.failures:
                    with contextlib.suppress(Refused):
                        signature = admin.sign("device-tpm", MESSAGE)
                        assert signature_is_good(public, MESSAGE, signature), "a false signature was released"
                        good[0] += 1
                    admin.sign("device-soft", MESSAGE)
            hostile.share = 0
            signs(stack, "device-tpm", 10)
            assert (stack.daemon_pid(), stack.signer_pid()) == pids, "a hostile TPM killed more than holdfast-tpm"
    fuzz = Fuzz()
    fuzz.run(work)
    print(f"{fuzz.spoiled()} spoiled answers, {good[0]} good signatures among them")


if __name__ == "__main__":
    case.main()
