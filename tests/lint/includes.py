#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the map of rooms against the #include lines (who may stand on whom), and the pages that show it against both."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUBLIC = ["libclient/holdfast.h", "libclient/holdfast-admin.h"]

# room: rooms it may include besides itself, or single files
MAP = {
    "base": [],
    "crypto": ["base"],
    "x509": ["base"],
    "ca": ["base", "crypto"],
    "link": ["base"],
    "dbus": ["base"],
    "policy": ["base"],
    "store": ["base", "crypto"],
    "seal": ["base", "crypto", "link"],
    "audit": ["base", "crypto"],
    "keystore": ["base", "crypto", "store"],
    "signer": ["base", "crypto", "seal", "link"],
    "tpm": ["base", "link"],
    "daemon": ["base", "crypto", "x509", "ca", "store", "audit", "policy", "keystore", "dbus", "link"],
    "launch": ["base", "link"],
    "libclient": ["base", "dbus"],
    "libclient-ssl": [*PUBLIC, "base", "x509"],
    "provider": [*PUBLIC, "base/cleanup.h", "base/reference.h"],
    "cli": [*PUBLIC, "base", "crypto", "x509", "ca", "dbus", "audit/verify.h", "audit/note.h", "audit/reader.h", "audit/line.h", "audit/event.h"],
}

# Libraries that have one home each: header pattern, rooms that may name it.
LIBRARIES = {
    r"openssl/": ["ca", "crypto", "libclient-ssl", "provider", "signer", "tpm", "x509"],  # signer, tpm: the heap and warm-up of their own process
    r"sodium": ["crypto", "seal", "keystore"],
    r"sqlcipher/|sqlite3\.h": ["store"],
    r"systemd/sd-bus": ["daemon", "libclient", "cli"],
    r"systemd/sd-event": ["daemon", "launch", "libclient"],
    r"seccomp": ["daemon", "signer", "tpm"],
    r"tss2/": ["tpm"],
    r"jansson": ["audit", "cli", "daemon"],
    r"libsmartcols": ["cli"],
}


def allowed(room, target):
    first = target.split("/")[0]
    return first == room or first in MAP[room] or target in MAP[room]


def complaints(room, path):
    text = path.read_text()
    includes = re.findall(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M)
    own = [name for kind, name in includes if kind == '"']
    for name in own:
        if "/" not in name:
            yield f'includes "{name}" without its room'
        elif not allowed(room, name):
            yield f'includes "{name}", which {room}/ may not'
    header = f"{room}/{path.stem}.h"
    if path.suffix == ".c" and (ROOT / header).exists() and not includes[0][1].startswith(room + "/"):
        yield f'does not include its own header "{header}" first'
    for pattern, rooms in LIBRARIES.items():
        for kind, name in includes:
            if kind == "<" and re.match(pattern, name) and room not in rooms:
                yield f"includes <{name}>, which only {', '.join(rooms)} may name"


def page_complaints():
    """The table of docs/architecture.md is MAP; the one of the README is `ls`."""
    table = re.findall(r"^\| `([\w-]+)/` \| .* \| (.*) \|$", (ROOT / "docs/architecture.md").read_text(), re.M)
    shown = {room: may.split() for room, may in table}
    for room in MAP:
        wanted = [name for name in MAP[room] if "/" not in name]
        if room not in ("cli", "libclient-ssl", "provider") and shown.get(room) not in (wanted, ["nothing", "of", "ours"] if not wanted else wanted):
            yield f"docs/architecture.md: {room}/ may include {' '.join(wanted) or 'nothing'}, not {shown.get(room)}"
    rows = re.findall(r"^\| (`[\w-]+`(?: `[\w-]+`)*) \|", (ROOT / "README.md").read_text(), re.M)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    there = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name[0] != "." and not (p / "build.ninja").exists() and any(p.iterdir())}
    for name in sorted(named ^ there):
        yield f"README.md: the map of rooms and `ls` differ in {name}"


def main():
    found = 0
    for complaint in page_complaints():
        print(complaint)
        found += 1
    for room in MAP:
        for path in sorted((ROOT / room).glob("*.[ch]")):
            for complaint in complaints(room, path):
                print(f"{path.relative_to(ROOT)}: {complaint}")
                found += 1
    unknown = [d.name for d in ROOT.iterdir() if d.is_dir() and d.name not in MAP and list(d.glob("*.c"))]
    for room in unknown:
        print(f"{room}/: a room with code that is not in the map")
    sys.exit(1 if found or unknown else 0)


main()
