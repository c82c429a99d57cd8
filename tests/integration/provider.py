#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The OpenSSL provider beside signatures: references that were changed, decryption, agreement, making keys, the store, and
what a program's log says. The judge is openssl, with the provider and without.
"""
import os
import pathlib
import re
import shutil

import case
from judge import exported, lines, signature_is_good
from party import Server, block, curl, need, nginx, party, reference
from stack import ADMIN, ALICE, BOB, BUILD, ROOT, default_rules, wait_for

EVERYTHING = default_rules() + f"allow user={ALICE} key=own-* op=all\n"


def sign(p, pem, digest="sha256", **options):
    (p.dir / "message").write_bytes(b"who signs?")
    return p.run("openssl", "dgst", f"-{digest}", "-sign", pem, p.dir / "message", check=False, **options)


def stock(stack, *words, **options):
    """openssl as Debian ships it: no provider."""
    return stack.run(["openssl", *words], **options).stdout


# References


def test_a_reference_to_another_keys_uuid_does_nothing_and_says_why():
    with party("p256", "rsa3072") as (stack, p):
        with stack.peer(ADMIN) as admin:
            admin.create("device-other", "p256")
            uuid = {name: admin.describe(name)["uuid"].encode() for name in ("device-p256", "device-other", "device-rsa3072")}
        der = block(reference(stack, "device-p256").read_text())
        forged = p.dir / "forged.der"
        for other in "device-other", "device-rsa3072":
            forged.write_bytes(der.replace(uuid["device-p256"], uuid[other]))
            refused = p.run("openssl", "dgst", "-sha256", "-keyform", "DER", "-sign", forged, p.configuration, check=False)
            assert refused.returncode and not refused.stdout, refused
            assert b"holdfast::KeyMismatch" in refused.stderr and b"Print the reference again" in refused.stderr, refused
        with stack.peer(ADMIN) as admin:
            assert not lines(exported(admin), "key.sign")
        assert sign(p, reference(stack, "device-p256")).returncode == 0


def test_the_older_commands_of_openssl_read_and_write_references_too():
    with party("p256", "rsa3072") as (stack, p):
        for command, key in ("ec", "device-p256"), ("rsa", "device-rsa3072"):
            pem = reference(stack, key)
            assert p.run("openssl", command, "-in", pem, "-pubout").stdout == stack.cli("key", "public", key).stdout
            assert b"PRIVATE KEY" not in p.run("openssl", command, "-in", pem, check=False).stdout
        refused = p.run("openssl", "ec", "-in", reference(stack, "device-p256"), "-no_public", check=False)
        assert refused.returncode and not refused.stdout, refused


def test_who_may_not_sign_is_told_about_signing_and_not_about_looking():
    if not ROOT:
        raise case.Skip("needs several users, so root")
    with party("p256") as (stack, p):
        refused = sign(p, reference(stack, "device-p256"), uid=BOB)
        assert re.search(rb"PolicyDenied.*sign.*device-p256", refused.stderr) and b"KeyMismatch" not in refused.stderr, refused


def test_nginx_logs_who_may_not_sign_with_what_and_goes_on():
    need("nginx", "curl")
    if not ROOT:
        raise case.Skip("needs several users, so root")
    with party("p256", "ed25519") as (stack, p):
        server, client = p.identity("device-p256"), p.identity("device-ed25519")
        with nginx(p, server) as (url, errors):
            curl(p, url, client)
            stack.reload_rules(default_rules() + f"deny user={ALICE} key=device-p256 op=sign name=no-web\n")
            assert curl(p, url, client, check=False).returncode == 35
            wait_for(lambda: "PolicyDenied" in errors.read_text(), "nginx to say why")
            said = next(line for line in errors.read_text().splitlines() if "PolicyDenied" in line)
            assert "device-p256" in said and f"uid {ALICE}" in said and "sign" in said, said
            stack.reload_rules(default_rules())
            curl(p, url, client)
            assert not (p.dir / "nginx.log").read_text()


# Decryption


def decryption_key(stack, name="device-box"):
    with stack.peer(ADMIN) as admin:
        admin.create(name, "rsa3072", purpose="decrypt")
    return reference(stack, name), stack.cli("key", "public", name).stdout


OAEP = "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"


def test_a_decryption_key_decrypts_oaep_with_sha256_and_names_what_else_it_refuses():
    with party("p256", "rsa3072", rules=default_rules() + f"allow user={ALICE} key=device-box op=decrypt\n") as (stack, p):
        pem, public = decryption_key(stack)
        (p.dir / "public").write_bytes(public)
        (p.dir / "message").write_bytes(b"for your eyes")

        def there(*options):
            (p.dir / "box").write_bytes(stock(stack, "pkeyutl", "-encrypt", "-pubin", "-inkey", p.dir / "public", *options, "-in",
                                              p.dir / "message"))

        def back(*options, key=pem):
            return p.run("openssl", "pkeyutl", "-decrypt", "-inkey", key, *options, "-in", p.dir / "box", check=False)
        for options in OAEP, (*OAEP, "-pkeyopt", "rsa_oaep_label:00ff41"):
            there(*options)
            assert back(*options).stdout == b"for your eyes"
        assert b"DecryptFailed" in back(*OAEP).stderr  # the label
        for options in (), ("-pkeyopt", "rsa_padding_mode:oaep"), (*OAEP, "-pkeyopt", "rsa_mgf1_md:sha1"):
            there(*options)
            refused = back(*options)
            assert refused.returncode and b"SchemeNotSupported" in refused.stderr and b"OAEP with SHA-256" in refused.stderr
        there(*OAEP)
        refused = back(*OAEP, key=reference(stack, "device-rsa3072"))
        assert refused.returncode and b"for your eyes" not in refused.stdout
        assert b"PurposeNotPermitted" in refused.stderr or b"PolicyDenied" in refused.stderr, refused
        assert b"PurposeNotPermitted" in sign(p, pem).stderr or not ROOT
        box = p.run("openssl", "pkeyutl", "-encrypt", "-inkey", pem, *OAEP, "-in", p.dir / "message").stdout
        (p.dir / "box").write_bytes(box)
        assert back(*OAEP).stdout == (p.dir / "message").read_bytes()


def test_cms_is_decrypted_with_a_reference():
    with party("p256", rules=default_rules() + f"allow user={ALICE} key=device-box op=decrypt\n") as (stack, p):
        pem, public = decryption_key(stack)
        crt, box = p.dir / "box.crt", p.dir / "box.cms"
        (p.dir / "public").write_bytes(public)
        (p.dir / "message").write_bytes(b"a closed letter\n")
        (p.dir / "csr").write_bytes(stock(stack, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", p.dir / "any.key", "-subj", "/CN=box"))
        stock(stack, "x509", "-req", "-in", p.dir / "csr", "-force_pubkey", p.dir / "public", "-CA", p.ca, "-CAkey", p.dir / "ca.key",
              "-out", crt)
        stock(stack, "cms", "-encrypt", "-in", p.dir / "message", "-out", box, "-recip", crt, "-keyopt", "rsa_padding_mode:oaep",
              "-keyopt", "rsa_oaep_md:sha256")
        box.chmod(0o644)
        assert b"a closed letter" in p.run("openssl", "cms", "-decrypt", "-in", box, "-recip", crt, "-inkey", pem).stdout


# Agreement


def test_an_agreement_key_derives_through_hkdf_and_its_bare_secret_stays():
    with party("p256", rules=default_rules() + f"allow user={ALICE} key=device-deal op=agree\n") as (stack, p):
        with stack.peer(ADMIN) as admin:
            admin.create("device-deal", "p384", purpose="agree")
        pem, ours, peer, theirs = reference(stack, "device-deal"), p.dir / "ours", p.dir / "peer", p.dir / "peer.pub"
        ours.write_bytes(stack.cli("key", "public", "device-deal").stdout)
        stock(stack, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", peer)
        theirs.write_bytes(stock(stack, "pkey", "-in", peer, "-pubout"))
        secret = stock(stack, "pkeyutl", "-derive", "-inkey", peer, "-peerkey", ours)
        hkdf = "-kdfopt", "digest:SHA256", "-kdfopt", f"hexkey:{secret.hex()}"
        derive = "openssl", "pkeyutl", "-derive", "-inkey", pem, "-peerkey", theirs
        kdf = "-pkeyopt", "kdf-type:HKDF", "-pkeyopt", "kdf-outlen:42"
        want = stock(stack, "kdf", "-binary", "-keylen", "42", *hkdf, "-kdfopt", "hexsalt:0102", "-kdfopt", "hexinfo:70", "HKDF")
        assert p.run(*derive, *kdf, "-pkeyopt", "hexsalt:0102", "-pkeyopt", "hexinfo:70").stdout == want
        assert p.run(*derive, *kdf).stdout == stock(stack, "kdf", "-binary", "-keylen", "42", *hkdf, "HKDF")
        for options in (), kdf[:2], ("-pkeyopt", "kdf-type:X963KDF", *kdf[2:]), (*kdf, "-pkeyopt", "kdf-digest:SHA384"), \
                (*kdf[:2], "-pkeyopt", "kdf-outlen:257"):
            refused = p.run(*derive, *options, check=False)
            assert refused.returncode and not refused.stdout and b"bare secret" in refused.stderr, (options, refused)


# Making keys


KINDS = {"EC": ("-pkeyopt", "ec_paramgen_curve:P-384"), "RSA": ("-pkeyopt", "rsa_keygen_bits:3072"), "ED25519": (),
         "RSA-PSS": ("-pkeyopt", "rsa_keygen_bits:2048")}
OURS = "-propquery", "?provider=holdfast"
EC = "-pkeyopt", "ec_paramgen_curve:P-256"


def test_openssl_makes_a_key_in_holdfast_and_writes_its_reference():
    with party(rules=EVERYTHING) as (stack, p):
        for kind, options in KINDS.items():
            pem, name = p.dir / f"{kind}.pem", f"own-{kind.lower()}"
            p.run("openssl", "genpkey", *OURS, "-algorithm", kind, *options, "-pkeyopt", f"holdfast-name:{name}", "-out", pem)
            assert f"key {name} stays in Holdfast" in pem.read_text() and "PRIVATE" not in pem.read_text()
            with stack.peer(ADMIN) as admin:
                assert admin.describe(name)["uuid"].encode() in block(pem.read_text())
            crt = p.dir / f"{kind}.crt"
            p.run("openssl", "req", "-x509", "-key", pem, "-subj", f"/CN={name}", "-out", crt)
            assert stock(stack, "verify", "-CAfile", crt, crt)
            if kind == "RSA-PSS":
                assert b"rsassaPss" in stock(stack, "x509", "-in", crt, "-noout", "-text")
                (p.dir / "public").write_bytes(p.run("openssl", "pkey", "-in", pem, "-pubout").stdout)
                (p.dir / "signature").write_bytes(sign(p, pem, "sha384").stdout)
                stock(stack, "dgst", "-sha384", "-verify", p.dir / "public", "-signature", p.dir / "signature", p.dir / "message")
                refused = p.run("openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pkcs1", "-sign", pem, pem, check=False)
                assert refused.returncode and not refused.stdout
            again = p.run("openssl", "genpkey", *OURS, "-algorithm", kind, *options, "-pkeyopt", f"holdfast-name:{name}", check=False)
            assert again.returncode and b"KeyExists" in again.stderr and not again.stdout


def test_req_newkey_makes_a_key_and_a_request_in_one_step():
    with party(rules=EVERYTHING) as (stack, p):
        pem, csr = p.dir / "new.pem", p.dir / "new.csr"
        for kind, options in ("ec", ("-pkeyopt", "ec_paramgen_curve:P-256")), ("rsa:2048", ()), ("ed25519", ()):
            name = f"own-{kind[:3]}"
            p.run("openssl", "req", "-new", "-newkey", kind, *options, "-pkeyopt", f"holdfast-name:{name}", *OURS, "-nodes", "-keyout",
                  pem, "-subj", f"/CN={name}", "-out", csr)
            assert b"verify OK" in stack.run(["openssl", "req", "-in", csr, "-verify", "-noout"]).stderr
            assert stock(stack, "req", "-in", csr, "-pubkey", "-noout") == stack.cli("key", "public", name).stdout
            assert "HOLDFAST KEY REFERENCE" in pem.read_text()


def test_an_rsa_pss_key_that_openssl_made_does_tls():
    with party("p256", rules=EVERYTHING) as (stack, p):
        pem, csr, crt = p.dir / "pss.pem", p.dir / "pss.csr", p.dir / "pss.crt"
        p.run("openssl", "req", "-new", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "holdfast-name:own-pss", *OURS,
              "-nodes", "-keyout", pem, "-subj", "/CN=own-pss", "-addext", "subjectAltName=DNS:localhost", "-out", csr)
        crt.write_bytes(stock(stack, "x509", "-req", "-in", csr, "-days", "1", "-CA", p.ca, "-CAkey", p.dir / "ca.key", "-copy_extensions",
                              "copy"))
        assert b"Public Key Algorithm: rsassaPss" in stock(stack, "x509", "-in", crt, "-noout", "-text")
        with Server(p, (crt, pem)) as server:
            for version in "-tls1_2", "-tls1_3":
                said = server.visit((crt, pem), version).stdout
                assert b"Peer signature type: RSA-PSS" in said, said


def test_alone_the_provider_makes_keys_under_names_of_its_own():
    with party(rules=default_rules() + f"allow user={ALICE} key=openssl-* op=all\n") as (stack, p):
        module = "-provider-path", stack.dir / "bin/provider", "-provider", "holdfast"
        made = stack.run(["openssl", "genpkey", *module, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], uid=ALICE)
        name = re.search(r"key (openssl-[0-9a-f]{8}) stays", made.stdout.decode()).group(1)
        with stack.peer(ADMIN) as admin:
            assert admin.describe(name)["algorithm"] == "p256"
        text = stack.run(["openssl", "pkey", *module, "-provider", "base", "-pubout"], input=made.stdout).stdout
        assert text == stack.cli("key", "public", name).stdout
        shared = stack.run(["openssl", "genpkey", *module, "-provider", "default", "-algorithm", "EC", "-pkeyopt",
                            "ec_paramgen_curve:P-256"], uid=ALICE)
        assert b"PRIVATE KEY" in shared.stdout  # whoever else could make it makes it


def test_who_asks_holdfast_for_a_key_and_says_no_name_gets_no_software_key_instead():
    with party("p256", rules=EVERYTHING) as (stack, p):
        before = stack.cli("key", "list", "--json").stdout
        for query in "provider=holdfast", "?provider=holdfast":
            for kind, options in KINDS.items():
                refused = p.run("openssl", "genpkey", "-propquery", query, "-algorithm", kind, *options, check=False)
                assert refused.returncode and not refused.stdout, (query, kind, refused)
                assert b"holdfast::InvalidName" in refused.stderr and b"holdfast-name:NAME" in refused.stderr, refused
            refused = p.run("openssl", "req", "-new", "-newkey", "ec", *EC, "-propquery", query, "-nodes", "-keyout", "-", "-subj", "/CN=own",
                            check=False)
            assert refused.returncode and b"BEGIN" not in refused.stdout and b"InvalidName" in refused.stderr, refused
        assert b"PRIVATE KEY" in p.run("openssl", "genpkey", "-algorithm", "EC", *EC).stdout  # who asks nobody gets what OpenSSL makes
        assert stack.cli("key", "list", "--json").stdout == before


def test_a_property_query_for_holdfast_leaves_the_keys_of_a_handshake_alone():
    with party("p256", "rsa3072") as (stack, p):
        query = "-propquery", "?provider=holdfast", "-groups", "P-256:P-384"
        with Server(p, p.identity("device-rsa3072"), *query) as server:
            for version in "-tls1_2", "-tls1_3":
                said = server.visit(p.identity("device-p256"), version, *query).stdout
                assert b"Server Temp Key: ECDH, prime256v1" in said or b"Server Temp Key: ECDH, P-256" in said, said


def test_a_query_with_a_choice_takes_our_key_and_one_without_is_refused_by_openssl():
    with party("p256", "rsa3072", "ed25519") as (stack, p):
        for key in "device-p256", "device-rsa3072", "device-ed25519":
            make = "openssl", "req", "-new", "-key", reference(stack, key), "-subj", "/CN=own", "-propquery"
            for query in "?provider=default", "?fips=yes", "?provider!=holdfast", "?provider=holdfast":
                assert b"BEGIN CERTIFICATE REQUEST" in p.run(*make, query).stdout
            refused = p.run(*make, "provider=default", check=False)
            assert refused.returncode and not refused.stdout and b"operation not supported for this keytype" in refused.stderr, refused


def test_wishes_for_a_key_are_heard_and_what_holdfast_does_not_make_is_refused_by_name():
    with party(rules=EVERYTHING) as (stack, p):
        def wish(kind, *options, name="own-wish"):
            return p.run("openssl", "genpkey", *OURS, "-algorithm", kind, "-pkeyopt", f"holdfast-name:{name}",
                         *[word for o in options for word in ("-pkeyopt", o)], check=False)
        wish("RSA", "holdfast-purpose:decrypt")
        with stack.peer(ADMIN) as admin:
            assert admin.describe("own-wish")["purpose"] == "decrypt" and admin.describe("own-wish")["algorithm"] == "rsa2048"
        for kind, *options in ("EC", "ec_paramgen_curve:P-521"), ("RSA", "rsa_keygen_bits:1024"), ("RSA", "rsa_keygen_pubexp:3"), \
                ("RSA-PSS", "rsa_pss_keygen_md:sha256"):
            refused = wish(kind, *options, name="own-odd")
            assert refused.returncode and b"AlgorithmNotSupported" in refused.stderr, (kind, options, refused)
        assert b"TpmUnavailable" in wish("EC", "ec_paramgen_curve:P-256", "holdfast-protection:tpm", name="own-tpm").stderr
        if ROOT:
            assert b"PolicyDenied" in wish("ED25519", name="device-not-mine").stderr


def test_keys_of_others_are_made_and_written_as_without_the_provider():
    for first in False, True:
        with party(first=first) as (stack, p):
            key = p.dir / "key"
            for kind, options in KINDS.items():
                key.write_bytes(p.run("openssl", "genpkey", "-algorithm", kind, *options, "-aes256", "-pass", "pass:secret").stdout)
                assert b"ENCRYPTED PRIVATE KEY" in key.read_bytes()
                public = stock(stack, "pkey", "-in", key, "-passin", "pass:secret", "-pubout")
                assert p.run("openssl", "pkey", "-in", key, "-passin", "pass:secret", "-pubout").stdout == public
                plain = p.run("openssl", "pkey", "-in", key, "-passin", "pass:secret").stdout
                assert plain == stock(stack, "pkey", "-in", key, "-passin", "pass:secret")
                key.write_bytes(plain)
                for form in ("-outform", "DER"), ("-text",), ("-text", "-noout"), ("-pubout", "-outform", "DER"), ("-text_pub", "-noout"):
                    assert p.run("openssl", "pkey", "-in", key, *form).stdout == stock(stack, "pkey", "-in", key, *form), (kind, form)


# Threads and forks


def threads(stack, p, *words):
    """tests/unit/provider/threads.c; HOLDFAST_TSAN_BUILD: it and the provider from a build with -Db_sanitize=thread."""
    build = pathlib.Path(os.environ.get("HOLDFAST_TSAN_BUILD", BUILD))
    program = stack.dir / "bin/provider-threads"
    shutil.copy(build / "tests/unit/provider/provider-threads", program)
    for part in ("provider/holdfast.so", "libclient/libholdfast.so.0") if build != BUILD else ():
        shutil.copy(build / part, stack.dir / "bin" / part)
    return p.run(program, *words)


def test_threads_that_share_keys_sign_at_the_same_time():
    with party("p256", "ed25519") as (stack, p):
        references = [reference(stack, f"device-{algorithm}") for algorithm in ("p256", "ed25519")]
        for n in 1, 8, 40:
            done = threads(stack, p, n, 400 // n, 0, *references)
            assert done.stdout.startswith(b"%d signatures" % (400 // n * n)) and not done.stderr, done
            print(n, "threads:", done.stdout.decode().strip())
        with stack.peer(ADMIN) as admin:
            assert len(lines(exported(admin), "key.sign")) == 3 * 400


def test_a_thousand_forked_children_sign_while_threads_do():
    if "HOLDFAST_TSAN_BUILD" in os.environ:
        raise case.Skip("ThreadSanitizer does not follow forks")
    with party("p256", "ed25519") as (stack, p):
        references = [reference(stack, f"device-{algorithm}") for algorithm in ("p256", "ed25519")]
        done = threads(stack, p, 4, 1000, 1000, *references)
        assert done.stdout.startswith(b"4002 signatures") and not done.stderr, done
        with stack.peer(ADMIN) as admin:
            assert len(lines(exported(admin), "key.sign")) == 4002 + 2 * 1000


# The store


def test_the_store_gives_an_identitys_chain_and_key_and_needs_no_daemon_for_them():
    with party("p256", "ed25519") as (stack, p):
        crt, pem = p.identity("device-p256")
        here = "env", f"HOLDFAST_TLS={stack.dir}/run/tls"

        def show(*words, uri="holdfast:web"):
            return p.run(*here, "openssl", "storeutl", *words, uri).stdout.decode()
        assert "Total found: 0" in show("-certs", uri="holdfast:device-p256")
        stack.cli("cert", "set", "web", "--chain", crt, "--trust", p.ca, "--key", "device-p256")
        everything = show()
        assert everything.count("BEGIN CERTIFICATE") == 1 and "Total found: 2" in everything
        assert block(everything[everything.index("-----BEGIN HOLD"):]) == block(pem.read_text())
        assert "Total found: 1" in show("-certs") and "HOLDFAST" not in show("-certs")
        assert "Total found: 1" in show("-keys") and "CERTIFICATE" not in show("-keys")
        (p.dir / "cms").write_bytes(p.run(*here, "openssl", "cms", "-sign", "-nodetach", "-in", p.configuration, "-signer", "holdfast:web",
                                          "-inkey", "holdfast:web").stdout)
        assert stock(stack, "cms", "-verify", "-in", p.dir / "cms", "-CAfile", p.ca, "-purpose", "any")
        with Server(p, (crt, pem)) as server:
            done = p.run(*here, "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-cert", "holdfast:web", "-key", "holdfast:web",
                         "-CAfile", p.ca, "-verify_return_error", "-ign_eof", input=b"GET / HTTP/1.0\r\n\r\n")
            assert b"HTTP/1.0 200 ok" in done.stdout, (done, server.said())
        assert "Total found: 1" in show("-keys", uri="holdfast:device-ed25519")  # a key that has no identity
        stack.stop()
        assert "Total found: 2" in show()
        assert b"DaemonUnavailable" in p.run("openssl", "storeutl", "holdfast:device-ed25519", check=False).stderr


def test_a_bundle_that_is_damaged_or_too_large_is_no_identity():
    with party("p256") as (stack, p):
        files = p.dir / "files/web"
        files.mkdir(parents=True)
        crt, pem = (path.read_text() for path in p.identity("device-p256"))
        lines_of = pem.splitlines(keepends=True)
        for text, found in (crt + pem, 2), (pem + crt + crt, 3), ("words\n" + crt, 1), (crt + pem * 50, 51), (pem * 300, 0), ("", 0), \
                ("-----BEGIN CERTIFICATE-----\n", 0), (crt + "".join(lines_of[:-2] + lines_of[-1:]), 1):
            (files / "bundle.pem").write_text(text)
            said = p.run("env", f"HOLDFAST_TLS={p.dir}/files", "openssl", "storeutl", "holdfast:web", check=False).stdout.decode()
            assert f"Total found: {found}" in said, (text[:200], found, said[-300:])
        (files / "bundle.pem").unlink()
        os.mkfifo(files / "bundle.pem")
        said = p.run("env", f"HOLDFAST_TLS={p.dir}/files", "timeout", "30", "openssl", "storeutl", "holdfast:web", check=False)
        assert b"Total found: 0" in said.stdout and b"NoSuchKey" in said.stderr, said


def test_a_store_address_that_is_no_name_or_no_key_is_refused():
    with party("p256") as (stack, p):
        for uri in "holdfast:nothing", "holdfast:", "holdfast:../device-p256", "holdfast:a/b", "holdfast:" + "x" * 200:
            refused = p.run("openssl", "storeutl", uri, check=False)
            assert b"BEGIN" not in refused.stdout and (refused.returncode or b"Total found: 0" in refused.stdout), refused


if __name__ == "__main__":
    case.main()
