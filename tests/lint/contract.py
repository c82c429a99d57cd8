#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The bus contract as files: each interface is well-formed and keeps the house rules (a{sv} options last, every member
explained), the bus policy names each interface, shell scripts can be read by the shell, and the settings of holdfastd are the same
in its table, its page and the file that is shipped.
"""
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ["check", "quickstart", ".ci/run", "tests/install-packages", "tests/harness/stage"]
problems = []


def check_interface(path):
    interface = ET.parse(path).getroot().find("interface")
    name = interface.get("name")
    if path.name != f"{name}.xml":
        problems.append(f"{path.name}: holds {name}")
    for method in interface.findall("method"):
        inputs = [a for a in method.findall("arg") if a.get("direction") == "in"]
        if not inputs or (inputs[-1].get("name"), inputs[-1].get("type")) != ("options", "a{sv}"):
            problems.append(f"{name}.{method.get('name')}: the last argument is not options a{{sv}}")
        for arg in method.findall("arg"):
            if arg.get("direction") not in ("in", "out") or not arg.get("name"):
                problems.append(f"{name}.{method.get('name')}: an argument without name or direction")
    return name


def check_settings():
    table = (ROOT / "daemon/config.c").read_text().split("ConfigKey keys[] = {")[1].split("\n};")[0]
    known = set(re.findall(r'[({]"([a-z-]+)"', table))
    page = (ROOT / "docs/man/holdfast.conf.5.scd").read_text()
    shipped = (ROOT / "units/holdfast.conf").read_text()
    for what, found in ("page", re.findall(r"^\*([a-z-]+)=", page, re.M)), ("shipped file", re.findall(r"^#([a-z-]+)=", shipped, re.M)):
        problems.extend(f"setting {key}: not in both the table and the {what}" for key in sorted(known ^ set(found)))
    if len(known) < 15:
        problems.append("too few settings found: this check reads the table wrongly")


def main():
    check_settings()
    names = [check_interface(p) for p in sorted((ROOT / "dbus").glob("*.xml"))]
    policy = ROOT / "dbus/org.holdfast.Keystore1.conf"
    sent = {a.get("send_interface") for a in ET.parse(policy).getroot().iter("allow")}
    problems.extend(f"{policy.name}: {n} cannot be called" for n in names if n not in sent)
    for script in SCRIPTS:
        path = ROOT / script
        if not path.exists():
            continue
        shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
        done = subprocess.run([shell, "-n", path], capture_output=True, text=True)
        if done.returncode != 0:
            problems.append(f"{script}: {done.stderr.strip()}")
    print(*problems, sep="\n")
    sys.exit(1 if problems else 0)


main()
