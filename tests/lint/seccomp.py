#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/seccomp.md shows the tables of the filters as they are in the source; --write makes the page from them."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGE = SOURCE / "docs/seccomp.md"
INTRO = """# System calls

Each program closes a filter over itself when it has what it needs. The tables are `signer/filter.c`,
`tpm/filter.c` and `daemon/filter.c`; the tests try every system call number in a child under each filter.

`holdfast-signer` has no file, no way to open or connect to anything, and no other process. What is not in its table
ends it. `holdfast-tpm` can open the TPM's device again and connect to Unix sockets, the signer's and a software TPM's;
what is not in its table ends it. `holdfastd` keeps files and Unix sockets; what is not in its table fails with EPERM, and what only a
taken-over process would call ends it. Neither can make memory executable or run another program.
"""


def rules(path):
    text = (SOURCE / path).read_text()
    found = re.findall(r'(ANY|ONLY|NO_EXEC)\("(\w+)",\s*"([^"]+)"', text)
    return [(call, why + (" (limited)" if kind != "ANY" else "")) for kind, call, why in found]


def deadly():
    text = (SOURCE / "daemon/filter.c").read_text()
    return re.findall(r'\{"(\w+)", "([^"]+)"\}', text)


def table(rows):
    return "".join(f"| `{call}` | {why} |\n" for call, why in rows)


def page():
    head = "| call | for |\n| --- | --- |\n"
    return (INTRO + "\n## holdfast-signer\n\n" + head + table(rules("signer/filter.c")) + "| `tgkill` | abort(), its own process (limited) |\n"
            + "\n## holdfast-tpm\n\n" + head + table(rules("tpm/filter.c")) + "| `tgkill` | abort(), its own process (limited) |\n"
            + "\n## holdfastd\n\n" + head + table(rules("daemon/filter.c"))
            + "\n`clone3` answers ENOSYS, so that threads are made by `clone`, whose flags a filter can see. These end it:\n\n"
            + "| call | because |\n| --- | --- |\n" + table(deadly()))


if sys.argv[1:] == ["--write"]:
    PAGE.write_text(page())
elif PAGE.read_text() != page():
    sys.exit("docs/seccomp.md is not what the filters are; run tests/lint/seccomp.py --write")
