#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manual pages: scdoc builds them, mandoc finds nothing wrong, and holdfast(1) has every verb, option and exit code.

check-man.py HOLDFAST ERRORS-HEADER PAGE.scd...
"""
import pathlib
import re
import shutil
import subprocess
import sys

holdfast, header, *pages = sys.argv[1:]
if not shutil.which("scdoc") or not shutil.which("mandoc"):
    print("skipped: no scdoc or no mandoc")
    sys.exit(77)

failures = []
for page in pages:
    built = subprocess.run(["scdoc"], input=open(page, "rb").read(), capture_output=True)
    if built.returncode:
        failures.append(f"{page}: {built.stderr.decode().strip()}")
        continue
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=built.stdout, capture_output=True).stdout.decode()
    # empty paragraphs around headings are scdoc's own way of writing
    failures += [f"{page}: {line}" for line in lint.splitlines() if "skipping paragraph macro" not in line]

text = next(open(p).read() for p in pages if p.endswith("/holdfast.1.scd"))
listing = subprocess.run([holdfast, "help", "--list"], check=True, capture_output=True, text=True).stdout
common = None
for line in listing.splitlines():
    noun, verb, *options = line.split()
    name = verb if noun == "-" else f"{noun} {verb}"
    if not re.search(rf"\*{name}\*", text):
        failures.append(f"holdfast(1) lacks the verb {name}")
    failures += [f"holdfast(1) lacks --{o}, an option of {name}" for o in options if not re.search(rf"--{o}\b", text)]
if len(listing.splitlines()) < 35:
    failures.append("too few verbs: this check reads the list wrongly")
for code in re.findall(r"EXIT_CODE_\w+ = (\d+)", open(header).read()):
    if f"*{code}*\n" not in text:
        failures.append(f"holdfast(1) lacks the exit status {code}")

here = pathlib.Path(__file__).resolve().parents[2]
for word in re.findall(r'= \{"([a-z-]+)", FINDING_CLASS', (here / "x509/finding.c").read_text()):
    failures += [f"{p} lacks the finding {word}" for p in pages if p.endswith(("/holdfast.1.scd", "/libholdfast-ssl.3.scd")) and
                 word != "none" and f"*{word}*" not in open(p).read()]

print("\n".join(failures) or f"{len(pages)} pages")
sys.exit(bool(failures))
