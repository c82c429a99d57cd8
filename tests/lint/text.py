#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small things a reader should not have to look for: sizes, licence lines, forgotten notes, paths of one machine."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX, COLUMNS_MAX = 700, 130
FORGOTTEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!XXX)")
MACHINE = re.compile(r"(?<![\w.])/(work|root|home/[a-z]+)/[a-z]")
LINE_COMMENT = re.compile(r"^\s*//|;\s*//")


def files():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listed.returncode == 0:
        return [ROOT / f for f in listed.stdout.splitlines() if (ROOT / f).is_file()]
    return [p for p in ROOT.rglob("*") if p.is_file() and ".git" not in p.parts and "build" not in p.parts[0:2]]


def complaints(path, text):
    code = path.suffix in (".c", ".h")
    lines = text.splitlines()
    if path.suffix in (".c", ".h", ".py", ".sh", ".service", ".socket") and "SPDX-License-Identifier" not in text[:400]:
        yield 1, "has no SPDX line"
    if code and len(lines) > LINES_MAX:
        yield len(lines), f"is longer than {LINES_MAX} lines"
    for number, line in enumerate(lines, 1):
        if code and len(line) > COLUMNS_MAX and "tests" not in path.parts:
            yield number, f"is wider than {COLUMNS_MAX} columns"
        if code and LINE_COMMENT.search(line):
            yield number, "has a // comment"
        if code and "\t" in line:
            yield number, "has a tab"
        if path.name != "text.py" and FORGOTTEN.search(line):
            yield number, "has a forgotten note"
        if path.name != "text.py" and MACHINE.search(line):
            yield number, "names a path of somebody's machine"
        if line != line.rstrip() and path.suffix not in (".md", ".json", ".jsonl"):
            yield number, "ends in blanks"


def main():
    found = 0
    for path in files():
        if "vectors" in path.parts or "fuzz" in path.parts and "corpus" in path.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, complaint in complaints(path, text):
            print(f"{path.relative_to(ROOT)}:{number}: {complaint}")
            found += 1
    sys.exit(1 if found else 0)


main()
