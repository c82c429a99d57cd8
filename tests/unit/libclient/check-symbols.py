#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library exports what its public headers declare, nothing else; the manual page names each function.

check-symbols.py LIBRARY HEADER... --page MANPAGE
"""
import re
import subprocess
import sys

arguments = sys.argv[1:]
page = arguments[arguments.index("--page") + 1]
library, *headers = arguments[:arguments.index("--page")]

declared = set()
for header in headers:
    declared |= set(re.findall(r"^HF_EXPORT .*?(hf_\w+)\(", open(header).read(), re.MULTILINE))

listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
exported = {line.split()[2] for line in listing.splitlines() if line.split()[1] in "TDBRW"}
versioned = {name for name in exported if name.endswith("@@HOLDFAST_0")}
names = {name.split("@")[0] for name in exported}

failures = []
if exported != versioned:
    failures.append(f"without the version HOLDFAST_0: {sorted(exported - versioned)}")
if names != declared:
    failures.append(f"exported but not declared: {sorted(names - declared)}; "
                    f"declared but not exported: {sorted(declared - names)}")
text = open(page).read().replace("\\", "")
missing = sorted(name for name in declared if name not in text)
if missing:
    failures.append(f"not in {page}: {missing}")
if len(declared) < 6:
    failures.append(f"only {len(declared)} functions found: this test reads the headers wrongly")

print("\n".join(failures) or f"{len(declared)} functions")
sys.exit(1 if failures else 0)
