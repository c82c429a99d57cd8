#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the interface files as C strings, so that Introspect answers with the contract itself."""
import sys

out, *inputs = sys.argv[1:]


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(f'        "{line}\\n"' for line in escaped.splitlines())


with open(out, "w", encoding="ascii") as f:
    f.write('#include "daemon/xml.h"\n\n')
    doctype = ""
    for path in inputs:
        text = open(path, encoding="ascii").read()
        doctype = text[:text.index(">") + 1] + "\n"
        name = path.rsplit(".", 2)[1].lower()
        f.write(f"const char xml_{name}[] =\n{quoted(text)};\n\n")
    f.write(f"const char xml_doctype[] =\n{quoted(doctype)};\n")
