#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Keys that are made and used in the TPM, and a store that is sealed to it.

A real TPM in software (swtpm), one a test. Judges are openssl and tpm2-tools.
"""
import base64
import contextlib
import hashlib
import json
import os
import subprocess
import tempfile

import case
from judge import exported, lines, signature_is_good
from peer import refusal, secret_fd, variants
from stack import ADMIN, ALICE, Stack, wait_for
from swtpm import LOADED_SESSIONS, SAVED_SESSIONS, TRANSIENT, Swtpm, sealed, signs

MESSAGE = b"from inside"
PIN = b"4711"


@contextlib.contextmanager
def ready(**options):
    """The store opens by the credential; the TPM holds keys."""
    with Stack(tpm=True, **options) as stack:
        stack.init()
        yield stack


def openssl(*arguments, check=True, **kwargs):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=check, **kwargs)


def file_of(stack, name, content):
    path = stack.dir / name
    path.write_bytes(content)
    return path


def code(stack):
    """The recovery code, as a file that the command line takes."""
    return stack.dir / "code"


def unlock(stack, path, check=True):
    return stack.cli("unlock", "--passphrase-file", path, check=check)


# Keys


def test_keys_of_the_tpm_sign_by_every_road_and_openssl_agrees():
    with ready() as stack, stack.peer(ADMIN) as admin, stack.bus_peer(ADMIN) as bus:
        for algorithm, digest in (("p256", "sha256"), ("p384", "sha384"), ("rsa2048", "sha256")):
            name = "device-" + algorithm
            assert admin.create(name, algorithm, protection="tpm")["protection"] == "tpm"
            public = admin.public_key(name)
            for peer in (admin, bus):
                assert signature_is_good(public, MESSAGE, peer.sign(name, MESSAGE), digest), name
            by_cli = stack.cli("sign", name, "-", input=MESSAGE).stdout
            assert signature_is_good(public, MESSAGE, by_cli, digest), name
        described = {k["name"]: k["protection"] for k in admin.keys()}
        assert set(described.values()) == {"tpm"}, described
        with stack.peer(ALICE) as alice:
            assert signature_is_good(admin.public_key("device-p256"), MESSAGE, alice.sign("device-p256", MESSAGE))


def test_a_request_for_a_certificate_is_signed_in_the_tpm_and_openssl_checks_it():
    with ready() as stack:
        for algorithm in ("p256", "rsa2048"):
            stack.cli("key", "create", algorithm, "-a", algorithm, "--protection", "tpm")
            csr = file_of(stack, "csr.pem", stack.cli("key", "csr", algorithm, "CN=device-7,O=Example").stdout)
            said = openssl("req", "-in", csr, "-verify", "-noout", "-subject")
            assert b"device-7" in said.stdout, said
            assert b"verify OK" in said.stderr + said.stdout, said


def test_rsa_signs_pss_and_decrypts_oaep_in_the_tpm():
    with ready() as stack, stack.peer(ADMIN) as admin:
        admin.create("device-sign", "rsa2048", protection="tpm")
        public = file_of(stack, "public.pem", admin.public_key("device-sign"))
        signature = file_of(stack, "sig", admin.sign("device-sign", MESSAGE, "PS256"))
        openssl("dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-verify", public,
                "-signature", signature, file_of(stack, "message", MESSAGE))
        admin.create("device-open", "rsa2048", purpose="decrypt", protection="tpm")
        public = file_of(stack, "public.pem", admin.public_key("device-open"))
        hidden = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public, "-in", stack.dir / "message", "-pkeyopt",
                         "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256").stdout
        assert bytes(admin.key("device-open", "Decrypt", "saya{sv}", "", hidden, {})) == MESSAGE
        spoiled = hidden[:-1] + bytes([hidden[-1] ^ 1])
        refusal(admin.key, "device-open", "Decrypt", "saya{sv}", "", spoiled, {})


def test_two_sides_agree_when_one_of_them_is_in_the_tpm():
    with ready() as stack, stack.peer(ADMIN) as admin:
        for curve in ("p256", "p384"):
            for name, protection in (("tpm", "tpm"), ("soft", "software")):
                admin.create(f"{name}-{curve}", curve, purpose="agree", protection=protection)
            shared = [bytes(admin.key(f"{mine}-{curve}", "Agree", "aya{sv}", admin.public_key(f"{other}-{curve}", "spki"), {}))
                      for mine, other in (("tpm", "soft"), ("soft", "tpm"))]
            assert shared[0] == shared[1] and len(shared[0]) >= 32


def test_a_mac_is_made_in_the_tpm():
    with ready() as stack, stack.peer(ADMIN) as admin:
        admin.create("device-mac", "hmac-sha256", protection="tpm")
        def mac(message):
            return bytes(admin.key("device-mac", "Mac", "saya{sv}", "", message, {}))
        for message in (MESSAGE, b"0" * 65536):  # as long as with a software key
            one, again, other = mac(message), mac(message), mac(message[1:])
            assert one == again != other and len(one) == 32


def test_what_the_tpm_cannot_make_is_refused_by_name_and_not_made_elsewhere():
    with ready() as stack, stack.peer(ADMIN) as admin:
        for algorithm in ("ed25519", "rsa4096", "x25519", "aes256"):
            said = refusal(admin.create, "device-no", algorithm, protection="tpm")
            assert said.name == "AlgorithmNotSupported", said
            assert f"makes no {algorithm} keys, only p256 p384 rsa2048 rsa3072 hmac-sha256." in str(said), said
        assert admin.keys() == []


def test_without_a_tpm_a_key_of_it_is_refused_by_name():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.create, "device-no", "p256", protection="tpm").name == "TpmUnavailable"
            assert admin.keys() == []


def test_keys_of_the_tpm_survive_a_cold_boot():
    with ready() as stack:
        with stack.peer(ADMIN) as admin:
            for algorithm in ("p256", "rsa2048"):
                admin.create("device-" + algorithm, algorithm, protection="tpm")
            public = {a: admin.public_key("device-" + a) for a in ("p256", "rsa2048")}
        stack.stop()
        stack.tpm.restart()
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            for algorithm, pem in public.items():
                assert signature_is_good(pem, MESSAGE, admin.sign("device-" + algorithm, MESSAGE))


def test_three_crashes_in_a_row_do_not_lock_the_tpm():
    with ready() as stack:
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256", protection="tpm")
            public = admin.public_key("device-a")
            for _ in range(4):
                admin.sign("device-a", MESSAGE)
                stack.tpm.kill()
                stack.tpm.start()
            assert stack.tpm.property(0x20E) == 0, "TPM_PT_LOCKOUT_COUNTER"  # nothing of ours counts attempts
            assert signature_is_good(public, MESSAGE, admin.sign("device-a", MESSAGE))


def test_nothing_is_left_in_the_tpm():
    with ready() as stack, stack.peer(ADMIN) as admin:
        for algorithm in ("p256", "p384", "rsa2048", "hmac-sha256"):
            admin.create("key-" + algorithm, algorithm, protection="tpm")
        for _ in range(50):
            for algorithm in ("p256", "p384", "rsa2048"):
                admin.sign("key-" + algorithm, MESSAGE)
            admin.key("key-hmac-sha256", "Mac", "saya{sv}", "", MESSAGE, {})
        assert len(stack.tpm.handles(TRANSIENT)) <= 1, stack.tpm.handles(TRANSIENT)
        assert len(stack.tpm.handles(LOADED_SESSIONS)) + len(stack.tpm.handles(SAVED_SESSIONS)) <= 1
        assert stack.stop() == 0
        for kind in (TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS):
            assert stack.tpm.handles(kind) == [], hex(kind)


def test_a_key_of_another_program_is_taken_in_and_signs():
    with ready(daemon_args=["--import=yes"]) as stack, tempfile.TemporaryDirectory() as directory:
        tool = stack.tpm.tool
        tool("createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc:null:aes128cfb", "-c", f"{directory}/primary", "-a",
             "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
        stack.tpm.flush()
        tool("create", "-Q", "-C", f"{directory}/primary", "-g", "sha256", "-G", "ecc256:ecdsa-sha256", "-u", f"{directory}/public",
             "-r", f"{directory}/private", "-f", "pem", "-o", f"{directory}/public.pem", "-a",
             "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
        stack.tpm.flush()
        tool("encodeobject", "-Q", "-C", f"{directory}/primary", "-u", f"{directory}/public", "-r", f"{directory}/private", "-o",
             f"{directory}/key.pem")
        stack.tpm.flush()
        os.chmod(f"{directory}/key.pem", 0o644)
        os.chmod(directory, 0o755)
        stack.cli("key", "import", "device-in", f"{directory}/key.pem", "--protection", "tpm")
        with stack.peer(ADMIN) as admin, open(f"{directory}/public.pem", "rb") as public:
            assert signature_is_good(public.read(), MESSAGE, admin.sign("device-in", MESSAGE))
            assert admin.describe("device-in")["protection"] == "tpm"


def wants_authorisation(stack, counts):
    """A TSS2 PRIVATE KEY by tpm2-tools whose authorisation is "secret"."""
    tool, d = stack.tpm.tool, stack.dir
    tool("createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc:null:aes128cfb", "-c", d / "primary", "-a",
         "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
    stack.tpm.flush()
    tool("create", "-Q", "-C", d / "primary", "-G", "ecc256", "-p", "secret", "-u", d / "public", "-r", d / "private", "-f", "pem",
         "-o", d / "public.pem", "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth" + ("" if counts else "|noda"))
    stack.tpm.flush()
    (d / "key.pem").unlink(missing_ok=True)
    tool("encodeobject", "-Q", "-C", d / "primary", "-u", d / "public", "-r", d / "private", "-p", "-o", d / "key.pem")
    stack.tpm.flush()
    return d / "key.pem"


def test_a_key_file_that_wants_an_authorisation_says_what_a_wrong_one_cost_and_is_taken_in_with_the_right_one():
    with ready(daemon_args=["--import=yes"]) as stack:
        stack.tpm.allow_tries(5)
        wrong, right = file_of(stack, "wrong", b"Secret"), file_of(stack, "right", b"secret")
        for name, counts, left in (("counts", True, (b"4 tries left", b"3 tries left")), ("not", False, (b"kept.", b"kept."))):
            key = wants_authorisation(stack, counts)
            how = ["key", "import", f"device-{name}", key, "--protection", "tpm"]
            said = stack.cli(*how, check=False)
            assert b"UnlockFailed" in said.stderr and b"--passphrase-file" in said.stderr and left[0] in said.stderr, said
            said = stack.cli(*how, "--passphrase-file", wrong, check=False)
            assert b"UnlockFailed" in said.stderr and b"another authorisation" in said.stderr and left[1] in said.stderr, said
            stack.cli(*how, "--passphrase-file", right)
            with stack.peer(ADMIN) as admin:
                public = (stack.dir / "public.pem").read_bytes()
                assert signature_is_good(public, MESSAGE, admin.sign(f"device-{name}", MESSAGE))
        assert stack.cli("key", "import", "soft", key, "--passphrase-file", right, check=False).returncode == 2
        with stack.peer(ADMIN) as admin, open(key, "rb") as file:
            asked = variants({"protection": "tpm", "secret": ("h", secret_fd(b"x" * 65))})
            assert refusal(admin.manager, "ImportKey", "sha{sv}", "device-long", file, asked).name == "InvalidArgs"


def test_a_key_that_counts_is_not_tried_while_the_tpm_is_locked():
    with ready(daemon_args=["--import=yes"]) as stack:
        stack.tpm.allow_tries(1, forget=1000, locked=1000)
        key, right = wants_authorisation(stack, True), file_of(stack, "right", b"secret")
        how = ["key", "import", "device-in", key, "--protection", "tpm"]
        stack.cli(*how, check=False)
        said = stack.cli(*how, "--passphrase-file", right, check=False)
        assert said.returncode != 0 and b"TpmLockout" in said.stderr, said
        stack.tpm.unlock()
        stack.cli(*how, "--passphrase-file", right)


def test_a_key_of_tpm2_openssl_with_a_password_is_taken_in():
    with ready(daemon_args=["--import=yes"]) as stack:
        key = stack.dir / "key.pem"
        env = {"PATH": "/usr/bin:/bin", "TPM2OPENSSL_TCTI": stack.tpm.tcti}
        tpm = ["-provider", "tpm2", "-provider", "default"]
        openssl("genpkey", *tpm, "-algorithm", "EC", "-pkeyopt", "group:P-256", "-pkeyopt", "user-auth:secret", "-out", key, env=env)
        assert b"TSS2 PRIVATE KEY" in key.read_bytes()
        stack.tpm.flush()
        key.chmod(0o644)
        stack.cli("key", "import", "device-in", key, "--protection", "tpm", "--passphrase-file", file_of(stack, "right", b"secret"))
        public = openssl("pkey", *tpm, "-in", key, "-passin", "pass:secret", "-pubout", env=env).stdout
        stack.tpm.flush()
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(public, MESSAGE, admin.sign("device-in", MESSAGE))


def test_a_key_of_another_program_that_cannot_do_a_scheme_says_so_and_stands_in_nobodys_way():
    with ready(daemon_args=["--import=yes"]) as stack:
        tool, d = stack.tpm.tool, stack.dir
        tool("createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc:null:aes128cfb", "-c", d / "primary", "-a",
             "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
        stack.tpm.flush()
        tool("create", "-Q", "-C", d / "primary", "-g", "sha256", "-G", "ecc384:ecdsa-sha256", "-u", d / "public", "-r", d / "private",
             "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
        stack.tpm.flush()
        tool("encodeobject", "-Q", "-C", d / "primary", "-u", d / "public", "-r", d / "private", "-o", d / "key.pem")
        stack.tpm.flush()
        stack.cli("key", "import", "device-in", d / "key.pem", "--protection", "tpm")
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256", protection="tpm")
            for _ in range(3):
                assert refusal(admin.sign, "device-in", MESSAGE).name == "SchemeNotSupported"  # ES384 is with SHA-384
                admin.sign("device-a", MESSAGE)
        assert "connection ended" not in stack.log_path.read_text()


# Attestation


def test_a_statement_about_a_key_is_checked_without_the_daemon():
    with Swtpm(ek_certificate=True) as tpm, Stack(tpm=tpm) as stack:
        stack.init()
        stack.cli("key", "create", "device-a", "--protection", "tpm")
        stack.cli("key", "create", "soft")
        nonce = os.urandom(20).hex()
        statement = file_of(stack, "statement", stack.cli("key", "attest", "device-a", "--nonce", nonce).stdout)
        ask = ["attest", "verify", statement, "--nonce", nonce]
        away = {"env": {"PATH": "/usr/bin:/bin", "HOLDFAST_SOCKET": "/nonexistent"}}

        def verify(*arguments):
            return subprocess.run([stack.program("cli/holdfast"), *map(str, arguments)], capture_output=True, **away)
        said = verify(*ask)
        assert said.returncode in (0, 11), said
        assert verify("attest", "verify", statement, "--nonce", os.urandom(20).hex()).returncode not in (0, 11)
        content = statement.read_bytes()
        held = json.loads(content)
        for field, value in held.items():
            if isinstance(value, str) and len(value) > 40 and not field.startswith("ek_"):  # that is for --ek-root
                middle = len(value) // 2
                other = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1:]
                statement.write_text(json.dumps({**held, field: other}))
                assert verify(*ask).stdout != said.stdout or verify(*ask).returncode != said.returncode, field
        refused = stack.cli("key", "attest", "soft", "--nonce", nonce, check=False)
        assert refused.returncode != 0 and b"NotSupported" in refused.stderr, refused


# Slots


def test_a_sealed_store_opens_by_itself():
    with sealed() as stack:
        for restart in (stack.restart, lambda: stack.kill(stack.signer_pid()), lambda: stack.kill(stack.tpm_pid())):
            restart()
            stack.wait_state("ready")
            with stack.peer(ADMIN) as admin:
                assert admin.sign("device-tpm", MESSAGE)
        stack.stop()
        stack.tpm.restart()
        stack.start()
        stack.wait_state("ready")


def test_a_changed_pcr_locks_and_is_named_the_code_opens_and_reseal_adopts():
    with sealed("--pcr", "4+7") as stack:
        stack.stop()
        stack.tpm.extend(7)
        stack.start()
        stack.wait_state("locked")
        said = stack.cli("unlock", check=False, input=b"")
        assert said.returncode != 0 and b"sha256:7" in said.stderr and b"4+7" not in said.stderr.replace(b"4+7)", b""), said
        assert b"PcrChanged" in said.stderr or b"pcr-changed" in said.stderr, said
        unlock(stack, code(stack))
        slot = next(s for s in json.loads(stack.cli("slot", "list", "--json").stdout) if s["kind"] == "tpm2")
        stack.cli("slot", "reseal", slot["id"])
        for _ in range(2):
            stack.restart()
            stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert lines(exported(admin), "slot.reseal") or lines(exported(admin), "slot.change")


def test_a_key_that_another_program_makes_persistent_does_not_make_it_another_tpm():
    with sealed() as stack:
        stack.stop()
        stack.tpm.tool("createprimary", "-Q", "-C", "o", "-G", "rsa2048", "-c", stack.dir / "primary")
        stack.tpm.tool("evictcontrol", "-Q", "-C", "o", "-c", stack.dir / "primary", "0x81000001")
        stack.tpm.flush()
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(admin.public_key("device-tpm"), MESSAGE, admin.sign("device-tpm", MESSAGE))
            admin.create("device-more", "p256", protection="tpm")
        stack.stop()
        stack.tpm.tool("evictcontrol", "-Q", "-C", "o", "-c", "0x81000001")
        stack.start()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            admin.sign("device-more", MESSAGE)


def test_a_password_of_the_tpms_owner_is_no_other_tpm_and_no_lost_counter():
    with sealed() as stack:
        stack.stop()
        stack.tpm.tool("changeauth", "-c", "o", "password")
        stack.start()
        stack.wait_state("locked")
        unlock(stack, code(stack))
        stack.wait_state("ready")
        said = stack.cli("status").stdout
        assert b"authorization" in said and b"not there" not in said, said
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(admin.public_key("device-soft"), MESSAGE, admin.sign("device-soft", MESSAGE))
        stack.tpm.tool("changeauth", "-c", "o", "-p", "password")
        signs(stack, "device-tpm")


def policy_key(stack):
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", stack.dir / "policy.pem")
    openssl("pkey", "-in", stack.dir / "policy.pem", "-pubout", "-out", stack.dir / "policy-public.pem")
    return stack.dir / "policy-public.pem"


def sign_pcrs(stack, pcr, values):
    """
    What systemd-measure(1) writes: for a PCR and each value it may have, PolicyPCR's digest and its signature. Before them
    many of another key, which are none of this slot's business.
    """
    selection = bytes.fromhex("00000001000b03") + (1 << pcr).to_bytes(3, "little")
    entries = [{"pcrs": [pcr], "pkfp": "5a" * 32, "pol": bytes([i] * 32).hex(), "sig": "AAEC"} for i in range(40)]
    for value in values:
        policy = hashlib.sha256(bytes(32) + bytes.fromhex("0000017f") + selection + hashlib.sha256(value).digest()).digest()
        (stack.dir / "policy.bin").write_bytes(policy)
        signature = openssl("dgst", "-sha256", "-sign", stack.dir / "policy.pem", stack.dir / "policy.bin").stdout
        key = openssl("rsa", "-in", stack.dir / "policy.pem", "-RSAPublicKey_out", "-outform", "DER").stdout
        entries.append({"pcrs": [pcr], "pkfp": hashlib.sha256(key).hexdigest(), "pol": policy.hex(),
                        "sig": base64.b64encode(signature).decode()})
    path = stack.dir / "signature.json"
    path.write_text(json.dumps({"sha256": entries}))
    path.chmod(0o644)
    return path


def after_extend(value, digest=b"\x5a" * 32):
    return hashlib.sha256(value + digest).digest()


def test_a_signed_policy_survives_an_announced_update_and_no_other():
    with Stack(tpm=True) as stack:
        start = bytes(32)
        signatures = stack.dir / "signature.json"
        (stack.dir / "holdfast.conf").write_text(f"pcr-signature={signatures}\n")
        stack.init()
        key = policy_key(stack)
        sign_pcrs(stack, 11, [start])
        said = stack.cli("slot", "add", "tpm2", "--pcr", "11", "--signed-policy", file_of(stack, "none", b""), check=False)
        assert said.returncode == 2, said  # else the slot would be without one
        with stack.peer(ADMIN) as admin:
            asked = variants({"pcr": "11", "policy-key": b""})
            assert refusal(admin.manager, "AddSlot", "sa{sv}", "tpm2", asked).name == "InvalidArgs"
        stack.cli("slot", "add", "tpm2", "--pcr", "11", "--signed-policy", key)
        of_file = json.loads(signatures.read_text())["sha256"][-1]["pkfp"]
        wait_for(lambda: of_file in stack.cli("slot", "list", "--json").stdout.decode(), "the slot to name its policy key")
        stack.stop()
        (stack.dir / "credential").write_bytes(b"the credential is another one from here on")
        stack.start()
        stack.wait_state("ready")
        stack.stop()
        stack.tpm.extend(11)  # the update, announced by a signature that comes with it
        sign_pcrs(stack, 11, [start, after_extend(start)])
        stack.start()
        stack.wait_state("ready")
        stack.stop()
        stack.tpm.extend(11)  # and something that nobody announced
        stack.start()
        stack.wait_state("locked")


def test_wrong_pins_say_how_many_tries_are_left_and_how_long_it_is_locked():
    with Stack(credential=None, tpm=True) as stack:
        stack.tpm.allow_tries(3, forget=1000, locked=1000)
        stack.wait_signer()
        stack.cli("init", "--slot", "tpm2", "--pcr", "7", "--pin", "--recovery-file", code(stack), "--passphrase-file",
                  file_of(stack, "pin", PIN))
        stack.restart()
        stack.wait_state("locked")
        wrong = file_of(stack, "wrong", b"0815")
        said = [unlock(stack, wrong, check=False) for _ in range(4)]
        assert all(s.returncode != 0 for s in said)
        assert b"2 tries" in said[0].stderr and b"1 tr" in said[1].stderr, said
        assert b"1000" in said[-1].stderr and b"?" not in said[-1].stderr, said[-1]
        assert unlock(stack, stack.dir / "pin", check=False).returncode != 0, "a locked TPM takes no PIN"
        unlock(stack, code(stack))
        stack.tpm.unlock()
        stack.restart()
        stack.wait_state("locked")
        unlock(stack, stack.dir / "pin")


def test_the_right_pin_opens_without_a_failed_try():
    with Stack(credential=None, tpm=True) as stack:
        stack.wait_signer()
        stack.cli("init", "--slot", "tpm2", "--pin", "--recovery-file", code(stack), "--passphrase-file",
                  file_of(stack, "pin", PIN))
        for _ in range(3):
            stack.restart()
            stack.wait_state("locked")
            unlock(stack, stack.dir / "pin")
        unlock_by_code = stack.dir / "code"
        stack.restart()
        unlock(stack, unlock_by_code)
        assert stack.tpm.property(0x20E) == 0, "the recovery code was tried as a PIN"


def test_a_derived_slot_opens_by_the_device_key_and_is_never_alone():
    with ready() as stack:
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256", protection="tpm")
            fingerprint = hashlib.sha256(admin.public_key("device-a", "spki")).hexdigest()
        stack.cli("slot", "add", "tpm2-derived", "--key", "device-a")
        slots = json.loads(stack.cli("slot", "list", "--json").stdout)
        derived = next(s for s in slots if s["kind"] == "tpm2-derived")
        assert fingerprint in json.dumps(derived), derived
        with stack.peer(ADMIN) as admin:
            assert refusal(admin.destroy, "device-a").name == "KeyNeeded"
        stack.stop()
        (stack.dir / "credential").write_bytes(b"the credential is another one from here on")
        stack.start()
        stack.wait_state("ready")
        stack.cli("slot", "add", "recovery", "--recovery-file", code(stack))
        for slot in slots:
            if slot["kind"] == "credential":
                stack.cli("slot", "remove", slot["id"], "--yes")
        recovery = next(s for s in json.loads(stack.cli("slot", "list", "--json").stdout) if s["kind"] == "recovery")
        said = stack.cli("slot", "remove", recovery["id"], "--yes", check=False)
        assert said.returncode != 0, "a derived slot was left alone"
        # Another device key takes the first one's place; only then may that one go.
        stack.cli("key", "create", "device-b", "--protection", "tpm")
        number = int(stack.cli("slot", "change", derived["id"], "--key", "device-b").stdout)
        now = next(s for s in json.loads(stack.cli("slot", "list", "--json").stdout) if s["kind"] == "tpm2-derived")
        assert number == now["id"] != derived["id"], now
        gone = stack.cli("slot", "change", derived["id"], "--key", "device-b", check=False)
        assert b"NoSuchSlot" in gone.stderr, gone
        with stack.peer(ADMIN) as admin:
            admin.destroy("device-a")
            assert refusal(admin.destroy, "device-b").name == "KeyNeeded"
        stack.restart()
        stack.wait_state("ready")


def test_a_rekey_leaves_the_keys_of_the_tpm_as_they_are():
    with sealed() as stack:
        with stack.peer(ADMIN) as admin:
            public = admin.public_key("device-tpm")
        stack.cli("rekey", "--slot", "tpm2", "--pcr", "7", "--recovery-file", stack.dir / "code-2", "--yes")
        stack.restart()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as admin:
            assert signature_is_good(public, MESSAGE, admin.sign("device-tpm", MESSAGE))


# Words


def test_status_and_doctor_say_in_words_what_protects_the_keys():
    with sealed() as stack:
        said = stack.cli("status").stdout.decode()
        assert "TPM" in said and "IBM" in said, said
        found = stack.cli("doctor", check=False).stdout.decode()
        assert "TPM" in found, found
    with Stack() as stack:
        stack.init()
        said = stack.cli("status").stdout.decode() + stack.cli("doctor", check=False).stdout.decode()
        assert "TPM" in said, said


def test_a_slot_that_makes_sealing_useless_is_named():
    def warned(stack):
        said = stack.cli("--json", "doctor", check=False).stdout
        return [f for f in json.loads(said) if f["code"] == "slots"]
    with sealed() as stack:
        assert not warned(stack)
        stack.cli("slot", "add", "passphrase", "--passphrase-file", file_of(stack, "passphrase", b"somebody has to say it"))
        assert not warned(stack)
        stack.cli("slot", "add", "tpm2", "--label", "loose")
        found, = warned(stack)
        assert "whatever the PCRs are" in found["detail"] and "sha256:7" in found["detail"], found
        stack.cli(*found["remedy"].split()[1:], "--yes")
        assert not warned(stack)
    with ready() as stack:  # by a credential
        stack.cli("slot", "add", "tpm2", "--label", "loose")
        assert not warned(stack)
        stack.cli("slot", "add", "tpm2", "--pcr", "7")
        assert len(warned(stack)) == 1


if __name__ == "__main__":
    case.main()
