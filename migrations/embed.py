# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns the numbered SQL files into one C table: embed.py OUTPUT 001-initial.sql 002-... in order."""
import os
import sys

output, sources = sys.argv[1], sys.argv[2:]
with open(output, 'w', encoding='ascii') as out:
    out.write('/* Made from migrations/ at build time. */\n#include "store/schema.h"\n\n')
    out.write('const char *const store_migrations[] = {\n')
    for number, source in enumerate(sources, 1):
        assert os.path.basename(source).startswith('%03d-' % number), source
        with open(source, encoding='ascii') as sql:
            for line in sql.read().splitlines():
                if not line.startswith('--'):
                    out.write('        "%s\\n"\n' % line.replace('\\', '\\\\').replace('"', '\\"'))
        out.write('        ,\n')
    out.write('};\n\nconst unsigned store_migrations_count = %d;\n' % len(sources))
