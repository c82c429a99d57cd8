#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
CAs whose keys are made in the TPM and used there: issuing, lists and the change of a root judged by openssl, and a TPM that
has no P-384.
"""
import contextlib
import struct

import case
from ca import issue, listed, make_request, published, revoke, show
from ca_rollover import describe, from_root, leaf, root_of
from peer import variants
from stack import ADMIN, Stack
from swtpm import CODES, Swtpm, TpmProxy, only, packet

P384 = struct.pack(">H", 4)  # TPM_ECC_NIST_P384
NO_SUCH_CURVE = 0x1E6  # TPM_RC_CURVE of the first parameter


@contextlib.contextmanager
def running():
    with Swtpm() as tpm, TpmProxy(tpm) as proxy, Stack(bus=False, tpm=proxy) as stack:
        yield stack, proxy


def in_tpm(stack, *words):
    return stack.cli("ca", "init", *words, "--protection", "tpm").stdout.decode()


def test_cas_in_the_tpm_issue_revoke_and_follow_each_other():
    with running() as (stack, _):
        stack.init()
        with stack.peer(ADMIN) as admin:
            assert "p384" in in_tpm(stack, "root", "--set", "CN=Root")
            in_tpm(stack, "intermediate", "--set", "CN=Devices")
            root = root_of(stack, admin, "root")
            old = leaf(stack, issue(admin, make_request(stack.dir / "r.csr"), name="old"), "old.pem")
            assert from_root(stack, root, old).returncode == 0
            stack.cli("ca", "enable", "root")
            stack.cli("ca", "rollover", "root")
            stack.cli("ca", "rollover", "intermediate")
            new = leaf(stack, issue(admin, make_request(stack.dir / "s.csr"), name="new"), "new.pem")
            for trusted in (root, root_of(stack, admin, "root-2")):
                assert from_root(stack, trusted, new, "intermediate-2").returncode == 0
            assert {describe(admin, ca)["protection"] for ca in ("root", "root-2", "intermediate", "intermediate-2")} == {"tpm"}
            revoke(admin, "old")
            judge = from_root(stack, root, old)
            assert judge.returncode and "revoked" in judge.stderr, judge
            assert published(stack, "crl.pem").exists() and {c["name"] for c in listed(admin)} >= {"new", "old"}


def test_where_the_tpm_has_no_p384_a_ca_has_p256_and_it_is_said():
    def without_p384(command, forward):
        return packet(NO_SUCH_CURVE) if command[-4:-2] == P384 else forward(command)

    with running() as (stack, proxy):
        proxy.rule = only("TestParms", without_p384)
        stack.init()
        made = stack.cli("ca", "init", "root", "--set", "CN=Root", "--protection", "tpm")
        assert b"p256" in made.stdout and b"makes no P-384 keys" in made.stderr, made
        said = stack.cli("ca", "init", "intermediate", "--set", "CN=Devices", "--protection", "tpm", "--algorithm", "p384", check=False)
        assert said.returncode and b"AlgorithmNotSupported" in said.stderr, said  # what was asked for is not silently another one
        with stack.peer(ADMIN) as admin:
            admin.manager("CreateAuthority", "ssa{sv}", "intermediate", "intermediate", variants({"set": ["CN=Devices"], "protection": "tpm"}))
            certificate = leaf(stack, issue(admin, make_request(stack.dir / "r.csr"), name="device"))
            assert show(admin, "device")["status"] == "active"
            assert from_root(stack, root_of(stack, admin, "root"), certificate).returncode == 0


if __name__ == "__main__":
    case.main()
