#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
holdfast setup: each recipe is obeyed by the stock program it is for, with exactly the lines that were printed.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import case
from party import Party, free_port, listens, need, ready, serving
from stack import ALICE, BOB, ROOT, Stack, default_rules, need_root, wait_for

NAME = "device-p256"


class Site:
    """Alice's identity with its files, and a directory for what setup writes."""

    def __init__(self, stack):
        self.stack, self.party = stack, Party(stack)
        self.dir = self.party.dir
        self.units = self.dir / "units"
        self.tls = stack.dir / "run/tls"

    def certify(self, key):
        crt, csr = self.dir / f"{key}.crt", self.stack.cli("key", "csr", key, f"CN={key}", "--dns", "localhost").stdout
        crt.write_bytes(subprocess.run(["openssl", "x509", "-req", "-days", "1", "-CA", self.party.ca, "-CAkey", self.dir / "ca.key",
                                        "-copy_extensions", "copy"], input=csr, check=True, capture_output=True).stdout)
        self.stack.cli("cert", "set", key, "--chain", crt, "--trust", self.party.ca)
        return key

    def setup(self, *words, uid=None, check=True, prefix=()):
        command = [*prefix, "env", f"HOLDFAST_TLS={self.tls}", f"HOLDFAST_OPENSSL_CONF={self.party.configuration}",
                   f"HOLDFAST_UNIT_DIR={self.units}", f"HOLDFAST_POLICY_DIR={self.stack.dir}/policy.d",
                   self.stack.program("cli/holdfast"), "setup", *words]
        return self.stack.run(command, uid=uid, check=check)

    def plan(self, *words, **options):
        return json.loads(self.setup(*words, "--json", **options).stdout)

    def curl(self, url, key=NAME, **options):
        """As a person would: the three printed lines, in a shell, with the URL behind them."""
        lines = self.plan("curl", key)["lines"]
        return self.party.run("sh", "-ec", "\n".join(lines) + f" -sS --noproxy '*' {url}", **options)


@contextlib.contextmanager
def site(*algorithms, **options):
    with ready(*(algorithms or ("p256",)), **options) as stack:
        s = Site(stack)
        for algorithm in algorithms or ("p256",):
            s.certify(f"device-{algorithm}")
        yield s


def indented(lines):
    return "".join(f"  {line}\n" for line in lines)


# The programs


@contextlib.contextmanager
def nginx(s, uid=ALICE):
    """With the printed lines; gives its address and its error log."""
    place = s.dir / "nginx"
    place.mkdir()
    os.chown(place, uid, uid)
    port, conf, errors = free_port(), s.dir / "nginx.conf", place / "error.log"
    lines = s.plan("nginx", NAME)["lines"]
    assert len(lines) == 2
    conf.write_text(f"daemon off; env HOLDFAST_SOCKET; pid {place}/pid; error_log {errors} info;\nevents {{}}\nhttp {{ access_log off;"
                    + "".join(f" {t}_temp_path {place}/{t};" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                    + f"\nserver {{ listen 127.0.0.1:{port} ssl; ssl_client_certificate {s.party.ca}; ssl_verify_client on;\n"
                    + indented(lines) + ' location / { return 200 "$ssl_client_s_dn"; } } }\n')
    with serving(s.party, "nginx", port, "nginx", "-e", errors, "-c", conf, uid=uid):
        yield f"https://localhost:{port}/", errors


def test_nginx_and_curl_do_mutual_tls_with_the_printed_lines():
    need("nginx", "curl")
    with site() as s, nginx(s) as (url, _):
        assert s.curl(url).stdout == b"CN=device-p256"


def test_apache_serves_with_the_printed_lines():
    need("apache2", "curl")
    with site("p256", "rsa3072") as s:
        port, conf, modules = free_port(), s.dir / "apache.conf", pathlib.Path("/usr/lib/apache2/modules")
        lines = s.plan("apache", "device-rsa3072")["lines"]
        load = "".join(f"LoadModule {m}_module {modules}/mod_{m}.so\n" for m in ("mpm_event", "ssl", "authz_core", "socache_shmcb")
                       if (modules / f"mod_{m}.so").exists())
        (s.dir / "www").mkdir()
        (s.dir / "www/page").write_text("from apache")
        conf.write_text(f"{load}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {s.dir}/pid\nErrorLog {s.dir}/error.log\n"
                        f"DefaultRuntimeDir {s.dir}\nDocumentRoot {s.dir}/www\n<VirtualHost *:{port}>\nSSLEngine on\n"
                        f"SSLVerifyClient require\nSSLCACertificateFile {s.party.ca}\n{indented(lines)}</VirtualHost>\n")
        with serving(s.party, "apache", port, "apache2", "-D", "FOREGROUND", "-f", conf):
            assert s.curl(f"https://localhost:{port}/page").stdout == b"from apache", (s.dir / "error.log").read_text()


def test_mosquitto_serves_with_the_printed_lines():
    need("mosquitto", "mosquitto_pub", "mosquitto_sub")
    with site() as s:
        port, conf = free_port(), s.dir / "mosquitto.conf"
        conf.write_text(f"listener {port} 127.0.0.1\ncafile {s.party.ca}\nrequire_certificate true\nallow_anonymous true\n"
                        + "\n".join(s.plan("mosquitto", NAME)["lines"]) + "\n")
        files = s.tls / NAME
        client = "-h", "localhost", "-p", str(port), "--cafile", s.party.ca, "--cert", files / "fullchain.pem", "--key", files / "key.pem"
        with serving(s.party, "mosquitto", port, "mosquitto", "-c", conf):
            s.party.run("mosquitto_pub", *client, "-t", "news", "-r", "-m", "hello")
            assert s.party.run("mosquitto_sub", *client, "-t", "news", "-C", "1", "-W", "20").stdout == b"hello\n"


def test_stunnel_and_haproxy_serve_with_the_printed_lines():
    need("stunnel", "haproxy", "curl")
    with site() as s:
        back, plain = free_port(), free_port()
        haproxy, stunnel = s.dir / "haproxy.cfg", s.dir / "stunnel.conf"
        (line,) = s.plan("haproxy", NAME)["lines"]
        haproxy.write_text("defaults\n mode http\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n"
                           f"frontend f\n bind 127.0.0.1:{back} {line} ca-file {s.party.ca} verify required\n"
                           " http-request return status 200 content-type text/plain string done\n")
        stunnel.write_text(f"foreground = yes\npid =\n[leg]\nclient = yes\naccept = 127.0.0.1:{plain}\nconnect = 127.0.0.1:{back}\n"
                           f"CAfile = {s.party.ca}\nverifyChain = yes\n" + "\n".join(s.plan("stunnel", NAME)["lines"]) + "\n")
        with serving(s.party, "haproxy", back, "haproxy", "-db", "-f", haproxy), serving(s.party, "stunnel", plain, "stunnel", stunnel):
            assert s.party.run("curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{plain}/").stdout == b"done"
            assert s.curl(f"https://localhost:{back}/").stdout == b"done"


def test_curl_is_told_no_anchors_that_the_identity_does_not_have():
    with site() as s:
        assert "--cacert" in s.plan("curl", NAME)["lines"][-1] and s.plan("curl", NAME)["present"] is True
        assert "--cacert" in s.plan("curl", "tomorrow")["lines"][-1] and s.plan("curl", "tomorrow")["present"] is False
        s.stack.cli("cert", "set", NAME, "--chain", s.dir / f"{NAME}.crt")
        assert "--cacert" not in s.plan("curl", NAME)["lines"][-1]


# A chroot


@contextlib.contextmanager
def haproxy_in(jail, s, port):
    """HAProxy that binds as root and then locks itself in and becomes Alice, as Debian's does; it knows of no socket but the
    usual one."""
    conf, log = s.dir / "haproxy.cfg", s.dir / "haproxy.log"
    conf.write_text(f"global\n chroot {jail}\n uid {ALICE}\n gid {ALICE}\ndefaults\n mode http\n timeout connect 20s\n"
                    f" timeout client 20s\n timeout server 20s\nfrontend f\n bind 127.0.0.1:{port} {s.plan('haproxy', NAME)['lines'][0]}\n"
                    " http-request return status 200 content-type text/plain string jailed\n")
    environment = {k: v for k, v in s.stack._environment().items() if k not in ("HOLDFAST_SOCKET", "DBUS_SYSTEM_BUS_ADDRESS")}
    with open(log, "wb") as output:
        server = subprocess.Popen(["haproxy", "-db", "-f", conf], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                  env={**environment, "OPENSSL_CONF": str(s.party.configuration)})
    try:
        wait_for(lambda: listens(server, port, log), "haproxy")
        yield conf
    finally:
        server.terminate()
        server.wait(30)


def test_haproxy_signs_in_its_chroot_and_policy_sees_which_socket_it_came_by():
    need_root()
    need("haproxy", "curl")
    with tempfile.TemporaryDirectory(prefix="holdfast-jail-") as directory:
        jail = pathlib.Path(directory)
        jail.chmod(0o755)
        inside = jail / "run/holdfast/bus"
        rules = f"allow user=0 op=all\nallow user={ALICE} key={NAME} op=sign socket={inside}\nallow user={BOB} key=device-* op=sign\n"
        with site(rules=rules, launcher_args=[f"--listen={inside}"]) as s:
            assert inside.stat().st_mode & 0o7777 == 0o666 and inside.parent.stat().st_uid == 0
            port = free_port()
            url = f"https://localhost:{port}/"
            with haproxy_in(jail, s, port) as conf:
                assert s.curl(url, uid=BOB).stdout == b"jailed"
                asked = s.plan("haproxy", NAME, "--config", conf, "--user", str(ALICE))
                assert asked["rule"]["state"] == "there" and f"socket={inside}" in asked["rule"]["text"], asked["rule"]
                assert any(f["content"].endswith(f"[Socket]\nListenStream={inside}\n") for f in asked["files"])
                assert "systemctl restart holdfastd.socket holdfastd.service" in asked["commands"]
            outside = s.party.run("openssl", "dgst", "-sha256", "-sign", s.tls / NAME / "key.pem", s.party.ca, uid=ALICE, check=False)
            assert outside.returncode and b"NoSuchKey" in outside.stderr, outside
            explain = "policy", "explain", "sign", NAME, "--user", str(ALICE), "--json"
            assert json.loads(s.stack.cli(*explain).stdout)["verdict"] == "deny"
            assert json.loads(s.stack.cli(*explain, "--socket", inside).stdout)["verdict"] == "allow"
            assert b"PolicyDenied" in s.stack.cli("policy", "explain", "sign", NAME, "--socket", inside, uid=ALICE, check=False).stderr
            s.stack.reload_rules(rules.replace(f"socket={inside}", "socket=system-bus"))
            with haproxy_in(jail, s, port):
                assert s.curl(url, uid=BOB, check=False).returncode == 35
        assert not inside.exists()


def test_a_socket_where_others_could_exchange_it_is_not_made():
    need_root()
    with tempfile.TemporaryDirectory(prefix="holdfast-jail-") as directory:
        os.chown(directory, ALICE, ALICE)
        stack = Stack(bus=False, launcher_args=[f"--listen={directory}/run/bus"])
        try:
            stack.start()
            raise AssertionError("it was made")
        except RuntimeError:
            assert "nobody else able to write" in stack.log_path.read_text()
        finally:
            stack.__exit__(None, None, None)
        assert os.listdir(directory) == []


# Who signs


def test_the_user_is_read_from_the_configuration_and_the_answer_says_where():
    with site() as s:
        conf = s.dir / "program.conf"
        for program, text, user in (("nginx", "# user root;\nuser www-data;\nevents {}\n", "www-data"),
                                    ("nginx", "worker_processes 2; user daemon daemon; # user root;\n", "daemon"),
                                    ("haproxy", "global\n\tuser daemon # the workers\n\tgroup x\n", "daemon"),
                                    ("haproxy", "userlist u\n user root password secret\n", "haproxy"),
                                    ("apache", ": ${APACHE_RUN_USER:=daemon}\nexport APACHE_RUN_USER\n", "daemon"),
                                    ("apache", "export APACHE_RUN_USER=daemon\n", "daemon"),
                                    ("stunnel", "; setuid = root\nsetuid=daemon\n", "daemon"),
                                    ("mosquitto", "listener 8883\n", "mosquitto")):
            conf.write_text(text)
            plan = s.plan(program, NAME, "--config", conf, check=False)
            assert "error" in plan and f"no user '{user}'" in plan["error"]["sentence"] or plan["user"] == user, (text, plan)
            if "user" in plan:
                assert (str(conf) in plan["user-from"]) == ("default" not in plan["user-from"]), plan
        assert s.plan("nginx", NAME, "--config", conf, "--user", "daemon")["user"] == "daemon"
        assert s.setup("nginx", NAME, "--config", "/nonexistent", check=False).returncode == 3


def test_the_missing_rule_is_shown_and_written_and_then_the_first_try_works():
    need_root()
    need("curl", "nginx")
    with site() as s:
        assert s.plan("nginx", NAME, "--user", str(ALICE))["rule"]["state"] == "there"
        rule = s.plan("nginx", NAME, "--user", str(BOB))["rule"]
        assert rule["state"] == "missing" and rule["text"] == f"allow user={BOB} key={NAME} op=sign", rule
        with nginx(s, uid=BOB) as (url, errors):
            assert s.curl(url, check=False).returncode == 35
            named = rf"PolicyDenied.*uid {BOB}.*{NAME}|PolicyDenied.*{NAME}.*uid {BOB}"
            wait_for(lambda: re.search(named, errors.read_text()), "nginx to say who may not sign with what")
            plan = s.plan("nginx", NAME, "--user", str(BOB), "--write")
            assert plan["rule"]["state"] == "written" and pathlib.Path(plan["rule"]["path"]).read_text() == rule["text"] + "\n"
            assert s.curl(url).stdout == b"CN=device-p256"
        again = s.plan("nginx", NAME, "--user", str(BOB), "--write")
        assert again["rule"]["state"] == "there" and {f["state"] for f in again["files"]} == {"same"}, again


def test_the_rule_is_about_the_key_of_the_identity_whatever_its_name():
    need_root()
    with site() as s:
        s.stack.cli("cert", "set", "web", "--key", NAME, "--chain", s.dir / f"{NAME}.crt")
        rule = s.plan("nginx", "web", "--user", str(BOB))["rule"]
        assert rule["text"] == f"allow user={BOB} key={NAME} op=sign" and rule["path"].endswith("/50-web-nginx.conf"), rule
        rule = s.plan("nginx", "tomorrow", "--user", str(BOB))["rule"]
        assert rule["text"] == f"allow user={BOB} key=tomorrow op=sign", rule


def test_a_key_that_was_made_for_digests_has_a_rule_of_its_own_word():
    need_root()
    with site() as s:
        s.stack.cli("key", "create", "device-digests", "--digest")
        crt, public = s.dir / "digests.crt", s.dir / "digests.pem"
        public.write_bytes(s.stack.cli("key", "public", "device-digests").stdout)
        subprocess.run(["openssl", "x509", "-new", "-force_pubkey", public, "-subj", "/CN=d", "-days", "1", "-CA", s.party.ca,
                        "-CAkey", s.dir / "ca.key", "-out", crt], check=True, capture_output=True)
        s.stack.cli("cert", "set", "device-digests", "--chain", crt)
        rule = s.plan("nginx", "device-digests", "--user", str(BOB))["rule"]
        assert rule["text"] == f"allow user={BOB} key=device-digests op=sign-digest", rule


def test_a_rule_that_forbids_is_named_and_nothing_is_added_to_it():
    need_root()
    with site(rules=default_rules() + f"deny user={BOB} key={NAME} op=sign\n") as s:
        done = s.setup("nginx", NAME, "--user", str(BOB), "--write", check=False)
        assert done.returncode == 4 and f"deny user={BOB}" in done.stderr.decode(), done
        assert not (s.stack.dir / f"policy.d/50-{NAME}-nginx.conf").exists()


# What is written


def test_nothing_is_written_unless_asked_and_never_over_what_somebody_else_wrote():
    need_root()
    with site() as s:
        s.setup("nginx", NAME, "--user", str(ALICE))
        assert not s.units.exists()
        assert s.setup("nginx", NAME, "--write", uid=ALICE, check=False).returncode == 4 and not s.units.exists()
        plan = s.plan("nginx", NAME, "--user", str(ALICE), "--write")
        files = [pathlib.Path(f["path"]) for f in plan["files"]]
        assert len(files) == 3 and all(f.read_text() == g["content"] for f, g in zip(files, plan["files"]))
        assert all(f.stat().st_mode & 0o777 == 0o644 for f in files)
        files[0].write_text(files[0].read_text() + "# changed\n")  # still ours by its first line
        files[1].write_text("[Path]\n")
        states = [f["state"] for f in s.plan("nginx", NAME, "--user", str(ALICE))["files"]]
        assert states == ["old", "foreign", "same"]
        done = s.setup("nginx", NAME, "--user", str(ALICE), "--write", check=False)
        assert done.returncode == 1 and str(files[1]) in done.stderr.decode() and b"then\n" in done.stdout
        assert files[1].read_text() == "[Path]\n" and "# changed" not in files[0].read_text()


def test_what_a_unit_would_read_as_something_else_is_not_put_into_one():
    with site() as s:
        conf = s.dir / "program.conf"
        for unit in ("nginx", "-x.service", ".service", "a b.service", "a\nExecStart=.service", "%i.service", "../x.service", "x" * 130 + ".service"):
            done = s.setup("nginx", NAME, f"--unit={unit}", "--write", check=False)
            assert done.returncode in ((2,) if ROOT else (2, 4)) and b"[Service]" not in done.stdout, unit
        for chroot in ("jail", "../jail", "/jail%i", '"/jail"', "/jail\\x20"):
            conf.write_text(f"global\n chroot {chroot}\n")
            done = s.setup("haproxy", NAME, "--config", conf, "--user", str(ALICE), check=False)
            assert done.returncode == 2 and b"ListenStream" not in done.stdout, chroot
        assert not s.units.exists()


def test_systemd_finds_nothing_wrong_with_the_units():
    need("systemd-analyze")
    with site() as s:
        conf = s.dir / "haproxy.cfg"
        conf.write_text(f"global\n chroot {s.dir}/jail\n")
        plan = s.plan("haproxy", NAME, "--config", conf, "--user", str(ALICE))
        assert f"ListenStream={s.dir}/jail/run/holdfast/bus\n" in next(f["content"] for f in plan["files"] if "socket.d" in f["path"])
        s.units.mkdir()
        own = []
        for file in plan["files"]:
            path = s.units / os.path.relpath(file["path"], s.units)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
            own += [path] if path.parent == s.units else []
        shutil.copy(pathlib.Path(__file__).parents[2] / "units/holdfastd.socket", s.units)
        (s.units / "holdfastd.service").write_text("[Service]\nExecStart=/bin/true\n")
        (s.units / "haproxy.service").write_text("[Service]\nExecStart=/bin/true\n")
        done = s.stack.run(["systemd-analyze", "verify", "--man=no", *own, s.units / "haproxy.service", s.units / "holdfastd.socket"],
                           check=False)
        said = [line for line in done.stderr.decode().splitlines() if str(s.units) in line or "holdfast" in line]
        assert done.returncode == 0 and not said, said


# systemd itself, in a namespace of its own

SYSTEMD = """
set -e
mount -t proc proc /proc; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /etc/systemd/system
mkdir -p /run/holdfast; ln -s {tls} /run/holdfast/tls
cp {units}/*.path {units}/*.service /etc/systemd/system
cat >/etc/systemd/system/nginx.service <<'EOF'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecReload=/bin/sh -c 'readlink {tls}/{name} >>{said}'
EOF
cat >/etc/systemd/system/test.target <<'EOF'
[Unit]
DefaultDependencies=no
Wants=nginx.service {stem}.path up.service
After=nginx.service {stem}.path
EOF
for unit in {stem}.path {stem}.service; do
        mkdir /etc/systemd/system/$unit.d; printf '[Unit]\\nDefaultDependencies=no\\n' >/etc/systemd/system/$unit.d/test.conf
done
cat >/etc/systemd/system/up.service <<'EOF'
[Unit]
DefaultDependencies=no
After=test.target
[Service]
ExecStart=/bin/sh -c 'echo up >{said}'
EOF
export container=test
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
"""


@contextlib.contextmanager
def systemd(s):
    """The real one as process 1 of a namespace, with the units that were written; gives the file nginx's reloads write to."""
    need("unshare", "systemctl")
    said, log = s.dir / "said", s.dir / "systemd.log"
    script = SYSTEMD.format(tls=s.tls, units=s.units, name=NAME, said=said, stem=f"holdfast-nginx-{NAME}")
    with open(log, "wb") as output:
        init = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "bash", "-c", script],
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        try:
            wait_for(lambda: said.exists() and said.read_text() or init.poll() is not None, "systemd", 20)
        except TimeoutError:
            pass
        if not said.exists():
            raise case.Skip("systemd does not start here: " + log.read_text()[-300:])
        yield said
    finally:
        init.kill()
        init.wait()


def test_systemd_reloads_the_program_when_its_certificate_changes_and_not_for_another():
    need_root()
    with site("p256", "ed25519") as s:
        s.plan("nginx", NAME, "--user", str(ALICE), "--write")
        with systemd(s) as said:
            def times():
                return said.read_text().splitlines()[1:]
            for expected in range(1, 4):
                s.certify("device-ed25519")
                s.certify(NAME)
                now = os.readlink(s.tls / NAME)
                wait_for(lambda: now in times(), "nginx to be reloaded")
            assert len(times()) <= expected + 1, times()  # the first look finds something new, whatever it was for


if __name__ == "__main__":
    case.main()
