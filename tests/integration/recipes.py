#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The recipes of the README, line by line

Takes the lines out of README.md and runs exactly these, with stock nginx and curl: in a mount and network
namespace of our own, where Holdfast is at its real places, port 443 is free, and nothing of the machine is touched.
"""
import array
import contextlib
import fcntl
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys

import case
from party import listens, need
from stack import BUILD, ROOT, SOURCE, Stack, skip, wait_for

INSIDE = "HOLDFAST_TEST_NAMESPACE"
TELEMETRY = 61007
WORK = pathlib.Path("/run/recipes")


def enter_namespace():
    """Runs this file again inside; comes back only when there already."""
    if os.environ.get(INSIDE):
        return
    if not ROOT or not shutil.which("unshare"):
        skip("needs root and namespaces")
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode != 0:
        skip("mount and network namespaces are not permitted here")
    os.execvpe("unshare", ["unshare", "--mount", "--net", "--propagation", "private", "/usr/bin/python3", *sys.argv],
               {**os.environ, INSIDE: "yes"})


def mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        skip(f"mount {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def make_place():
    """A machine on which Holdfast was just installed, with a user telemetry."""
    modules = re.search(r'"(.*)"', subprocess.run(["openssl", "version", "-m"], check=True, capture_output=True, text=True).stdout)[1]
    mount("-t", "tmpfs", "tmpfs", "/run")
    for layered in "/etc", modules:
        upper = pathlib.Path("/run/layers") / layered.strip("/").replace("/", "-")
        (upper / "upper").mkdir(parents=True)
        (upper / "work").mkdir()
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={layered},upperdir={upper}/upper,workdir={upper}/work", layered)
    mount("-t", "tmpfs", "tmpfs", "/var/log")
    os.mkdir("/var/log/nginx")
    WORK.mkdir()
    shutil.copy(BUILD / "provider/holdfast.so", modules)
    os.makedirs("/etc/holdfast/policy.d", exist_ok=True)
    shutil.copy(SOURCE / "provider/openssl.cnf", "/etc/holdfast/openssl.cnf")
    with open("/etc/passwd", "a") as users:
        users.write(f"telemetry:x:{TELEMETRY}:{TELEMETRY}::/:/bin/sh\n")
    with socket.socket() as s:  # the loopback interface of this namespace is down
        fcntl.ioctl(s, 0x8914, array.array("b", b"lo".ljust(16, b"\0") + (0x49).to_bytes(2, "little").ljust(16, b"\0")))


@contextlib.contextmanager
def machine():
    """Holdfast at its real places, its store open."""
    if b"__asan_init" in (BUILD / "provider/holdfast.so").read_bytes():
        raise case.Skip("stock programs do not load a module with a sanitizer")
    shutil.rmtree("/etc/holdfast/policy.d")
    with Stack(bus=False, rules="allow user=root op=all\n") as stack:
        os.symlink(stack.dir / "run", "/run/holdfast")
        os.symlink(stack.dir / "policy.d", "/etc/holdfast/policy.d")
        pathlib.Path("/etc/ld.so.conf.d/holdfast.conf").write_text(f"{stack.dir}/bin/libclient\n")
        subprocess.run(["ldconfig", "-X"], check=True)
        try:
            stack.init()
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.crt"], check=True, capture_output=True, cwd=WORK)
            yield stack
        finally:
            for link in "/run/holdfast", "/etc/holdfast/policy.d":
                os.unlink(link)
            os.mkdir("/etc/holdfast/policy.d")


def certify(key):
    """The CA's part: NAME.crt out of NAME.csr."""
    subprocess.run(["openssl", "x509", "-req", "-days", "1", "-CA", "ca.crt", "-CAkey", "ca.key", "-copy_extensions", "copy", "-in",
                    f"{key}.csr", "-out", f"{key}.crt"], check=True, capture_output=True, cwd=WORK)


def shell(stack, lines, user=None):
    """As a person types it, in a directory of his own, with nothing set but the PATH to the command."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    done = subprocess.run([*become, "sh", "-ec", "\n".join(lines)], capture_output=True, cwd=WORK, timeout=60,
                          env={"PATH": f"{stack.dir}/bin/cli:/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.returncode == 0, (lines, done)
    return done.stdout


def block(heading, number):
    """The lines of a block of the README, without their prompts."""
    section = (SOURCE / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)[number].splitlines()
    return [re.sub(r"^[#$] ", "", line) for line in lines]


@contextlib.contextmanager
def nginx_as_a_service(environment):
    log = WORK / "nginx.log"
    with open(log, "wb") as output:
        server = subprocess.Popen(["nginx", "-g", "daemon off;"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                                  env={"PATH": "/usr/sbin:/usr/bin", **environment})
    try:
        wait_for(lambda: listens(server, 443, log), "nginx")
        yield
    finally:
        server.terminate()
        server.wait(30)


def drop_in(unit):
    """What systemd would set: the environment out of the drop-in that setup wrote."""
    text = pathlib.Path(f"/etc/systemd/system/{unit}.d/holdfast.conf").read_text()
    return dict(shlex.split(line.removeprefix("Environment="))[0].split("=", 1)
                for line in text.splitlines() if line.startswith("Environment="))


def test_the_lines_of_the_readme_are_mutual_tls_between_nginx_and_curl():
    need("nginx", "curl")
    with machine() as stack:
        commands, nginx, curl = (block("TLS with a key that stays here", n) for n in range(3))
        assert len(nginx) == 2 and len(curl) == 3, (nginx, curl)
        asks = next(i for i, line in enumerate(commands) if line.endswith(".csr"))
        shell(stack, commands[:asks + 1])
        certify("device")
        said = shell(stack, commands[asks + 1:]).decode()
        assert all(line in said for line in nginx), said
        assert "user=www-data" in pathlib.Path("/etc/holdfast/policy.d/50-device-nginx.conf").read_text()
        assert all(line in shell(stack, ["holdfast setup curl device"]).decode() for line in
                   [line.rsplit(" https:", 1)[0] for line in curl])
        pathlib.Path("/etc/nginx/conf.d/recipe.conf").write_text(
            "server { listen 443 ssl; server_name localhost; ssl_client_certificate /run/holdfast/tls/device/ca.pem; ssl_verify_client on;\n"
            + "\n".join(nginx) + '\nlocation / { return 200 "$ssl_client_s_dn"; } }\n')
        with nginx_as_a_service(drop_in("nginx.service")):
            assert shell(stack, curl, user=TELEMETRY) == b"CN=localhost"
            assert shell(stack, ["holdfast exec device -- sh -c 'curl -sS --cert $HOLDFAST_FULLCHAIN --key $HOLDFAST_KEY "
                                 "--cacert $HOLDFAST_CA https://localhost/'"], user=TELEMETRY) == b"CN=localhost"


if __name__ == "__main__":
    enter_namespace()
    make_place()
    case.main()
