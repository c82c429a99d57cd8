#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Client -> proxy -> server, and workers -> server: mutual TLS on each leg, and every key of it in Holdfast.

The files are those that `holdfast cert set` makes; curl, nginx and Python are as Debian ships them.
"""
import contextlib
import re
import shutil
import subprocess

import case
from party import Party, free_port, listens, need, ready
from stack import BUILD, wait_for

KEYS = {"client": "p256", "proxy": "rsa3072", "server": "p384"}

NGINX = """
daemon off; env HOLDFAST_SOCKET; worker_processes 2; pid {dir}/{name}.pid; error_log {dir}/{name}.log info;
events {{ worker_connections 64; }}
http {{
    access_log off; ssl_session_cache off; ssl_session_tickets off;
    client_body_temp_path {dir}/{name}1; proxy_temp_path {dir}/{name}2; fastcgi_temp_path {dir}/{name}3; uwsgi_temp_path {dir}/{name}4;
    scgi_temp_path {dir}/{name}5;
    server {{
        listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {own}/fullchain.pem; ssl_certificate_key {own}/key.pem;
        ssl_client_certificate {own}/ca.pem; ssl_verify_client on;
        location / {{ {location} }}
    }}
    {more}
}}
"""

# Passed on as the identity of the proxy, to a server whose name is checked.
PROXY = """proxy_pass https://127.0.0.1:{server}; proxy_set_header X-Client $ssl_client_s_dn;
    proxy_ssl_certificate {own}/fullchain.pem; proxy_ssl_certificate_key {own}/key.pem;
    proxy_ssl_trusted_certificate {own}/ca.pem; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_session_reuse off; proxy_http_version 1.1;"""

# An nginx that returns a page does not read what was posted, one that passes it on does.
SERVER = "proxy_pass http://127.0.0.1:{plain}; add_header X-Said '$ssl_client_s_dn|$http_x_client|$request_method|$request_body';"
PLAIN = "server {{ listen 127.0.0.1:{plain}; location / {{ return 200 'done'; }} }}"

HTTPX = """
import sys, httpx
url, crt, key, ca = sys.argv[1:]
answer = httpx.post(url, cert=(crt, key), verify=ca, content=b"from httpx")
print(answer.status_code, answer.headers["x-said"])
"""


class Chain:
    def __init__(self, stack):
        self.stack, self.party = stack, Party(stack)
        self.tls = stack.dir / "run/tls"
        self.dir = self.party.dir
        self.url = {}
        for name, algorithm in KEYS.items():
            self.certify(name, f"device-{algorithm}")

    def certify(self, name, key):
        crt, _ = self.party.identity(key)
        self.stack.cli("cert", "set", name, "--key", key, "--chain", crt, "--trust", self.party.ca, "--layout", "named")

    def own(self, name):
        """What curl and httpx are given: certificate, key, CA."""
        return [str(self.tls / name / file) for file in (f"{name}.crt", f"{name}.key", "ca.crt")]

    @contextlib.contextmanager
    def nginx(self, name, location, more="", **ports):
        need("nginx")
        conf, port = self.dir / f"{name}.conf", free_port()
        words = {"dir": self.dir, "name": name, "port": port, "own": self.tls / name, **ports}
        conf.write_text(NGINX.format(**words, location=location.format(**words), more=more.format(**words)))
        self.url[name] = f"https://localhost:{port}/"
        with self.party.running("nginx", "-e", self.dir / f"{name}.log", "-c", conf, log=self.dir / f"{name}.out") as process:
            wait_for(lambda: listens(process, port, self.dir / f"{name}.out"), name)
            yield port

    def curl(self, name, url, *words, check=True):
        crt, key, ca = self.own(name)
        return self.party.run("curl", "-sS", "-i", "--noproxy", "*", *words, "--cert", crt, "--key", key, "--cacert", ca, url,
                              check=check)

    def environment(self):
        return ["env", f"HOLDFAST_TLS={self.tls}", f"OPENSSL_MODULES={self.stack.dir}/bin/provider"]

    def program(self, name):
        at = self.stack.dir / "bin/tests/unit/libclient-ssl" / name
        if not at.exists():
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BUILD / "tests/unit/libclient-ssl" / name, at)
        return at


def said(answer):
    """[client of the server, client of the proxy, method, body], as the server saw them."""
    text = answer.stdout.decode()
    assert "200 OK" in text and text.endswith("done"), answer
    return re.search("X-Said: (.*)\r", text, re.IGNORECASE).group(1).split("|")


@contextlib.contextmanager
def chain():
    with ready(*KEYS.values()) as stack:
        c = Chain(stack)
        with c.nginx("server", SERVER, PLAIN, plain=free_port()) as server, c.nginx("proxy", PROXY, server=server):
            yield c


def test_a_request_goes_from_client_to_proxy_to_server_with_all_keys_in_holdfast():
    with chain() as c:
        for version in ("--tls-max", "1.2"), ("--tlsv1.3",):
            assert said(c.curl("client", c.url["proxy"], *version)) == ["CN=device-rsa3072", "CN=device-p256", "GET", ""]
        assert said(c.curl("client", c.url["proxy"], "-d", "hello"))[2:] == ["POST", "hello"]


def test_a_worker_posts_to_the_server_with_curl_and_the_names_it_insists_on():
    with chain() as c:
        body = c.dir / "body"
        body.write_text("from curl")
        crt, key, ca = c.own("client")
        done = c.party.run("curl", "-sS", "-i", "--noproxy", "*", "-X", "POST", c.url["server"], "--cert", crt, "--key", key, "--cacert",
                           ca, "-d", f"@{body}")
        assert said(done) == ["CN=device-p256", "", "POST", "from curl"]


def test_a_worker_posts_to_the_server_with_httpx():
    try:
        subprocess.run(["/usr/bin/python3", "-c", "import httpx"], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        raise case.Skip("needs python3-httpx") from None
    with chain() as c:
        done = c.party.run("/usr/bin/python3", "-c", HTTPX, c.url["server"], *c.own("client"))
        assert done.stdout.decode().strip() == "200 CN=device-p256||POST|from httpx", done


def test_a_worker_with_the_library_is_a_client_of_nginx():
    with chain() as c:
        command = c.party.command(*c.environment(), c.program("talk"), "client", "client")
        for name in "server", "proxy":
            visit = f"{c.url[name].split(':')[2].strip('/')} localhost\n".encode()
            said = c.stack.run(command, input=visit).stdout
            assert re.fullmatch(rb"ok TLSv1\.[23] device-%s\n" % KEYS[name].encode(), said), said


def test_a_key_that_is_disabled_breaks_its_leg_and_its_log_says_why():
    with chain() as c:
        c.stack.cli("key", "disable", "device-rsa3072")
        assert c.curl("client", c.url["proxy"], check=False).returncode
        wait_for(lambda: "KeyDisabled" in (c.dir / "proxy.log").read_text(), "the proxy to say why")
        assert said(c.curl("client", c.url["server"]))[0] == "CN=device-p256"
        c.stack.cli("key", "enable", "device-rsa3072")
        assert said(c.curl("client", c.url["proxy"]))[0] == "CN=device-rsa3072"


def test_a_program_with_the_library_follows_what_cert_set_puts_in():
    with chain() as c:
        command = c.party.command(*c.environment(), c.program("talk"), "mutual", "server")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=c.stack._environment()) as server:
            try:
                port = server.stdout.readline().strip()
                for key in KEYS["server"], KEYS["proxy"], KEYS["client"]:
                    c.certify("server", f"device-{key}")
                    shown = c.curl("client", f"https://localhost:{port}/", "-v", "--http1.0")
                    assert server.stdout.readline() == "ok TLSv1.3 device-p256\n" and f"CN=device-{key}".encode() in shown.stderr
            finally:
                server.terminate()


if __name__ == "__main__":
    case.main()
