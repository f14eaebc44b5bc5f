#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT.c NAME FILE...: the texts of the files, joined by "---", as one C string each of `const char *const NAME[]`, which ends with NULL."""
import sys

out, name, *files = sys.argv[1:]
with open(out, 'w', encoding='utf-8') as f:
    f.write(f'extern const char *const {name}[];\nconst char *const {name}[] = {{\n')
    for path in files:
        for line in open(path, encoding='utf-8'):
            text = line.rstrip('\n').replace('\\', '\\\\').replace('"', '\\"')
            f.write(f'    "{text}\\n"\n')
        f.write('    ,\n')
    f.write('    0,\n};\n')
