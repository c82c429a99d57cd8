#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual page of the bus interfaces against their XML: every method with its arguments, every property, and no other; and
its list of errors against their table.

check-bus-page.py PAGE ERRORS.C XML...

In the page a method is a line  *Name*(_type_ _argument_, ...) -> (_type_ _argument_, ...)  under the heading of its
interface; a property is  *Name* _type_ (read).
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

page, table, *files = sys.argv[1:]


def arguments(method, direction):
    return ", ".join(f"{a.get('type')} {a.get('name')}" for a in method.iter("arg") if a.get("direction") == direction)


wanted = set()
for file in files:
    for interface in ElementTree.parse(file).getroot().iter("interface"):
        name = interface.get("name")
        for method in interface.iter("method"):
            wanted.add(f"{name}: {method.get('name')}({arguments(method, 'in')}) -> ({arguments(method, 'out')})")
        for item in interface.iter("property"):
            wanted.add(f"{name}: {item.get('name')} {item.get('type')} ({item.get('access')})")

found = set()
interface = None
for line in open(page):
    heading = re.match(r"## (org\.holdfast\.[\w.]+)", line)
    if heading:
        interface = heading.group(1)
    elif line.startswith("# "):
        interface = None
    elif interface and re.match(r"\*\w+\*(\(.*\) -> \(.*\)| _\w+_ \(\w+\))$", line.rstrip("\n")):
        # argument names have underscores of their own, written \_ in scdoc
        text = line.strip().replace("\\_", "\0").replace("*", "").replace("_", "").replace("\0", "_")
        found.add(f"{interface}: {text}")

for text in sorted(wanted - found):
    print("not in the page:", text)
for text in sorted(found - wanted):
    print("not in the XML:", text)
errors = set(re.findall(r"NAME\((\w+)\)", open(table).read())) - {"bus"}
listed = set(re.findall(r"\*(\w+)\*", open(page).read().split("\n# ERRORS\n\n")[1].split("\n\n")[0]))
for text in sorted(errors ^ listed):
    print("not in the page, or not in the table of errors:", text)
too_few = len(wanted) < 30 or len(errors) < 30
if too_few:
    print("too few members or errors found: this check reads them wrongly")
sys.exit(bool(wanted ^ found) or bool(errors ^ listed) or too_few)
