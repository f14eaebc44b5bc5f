#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/attacks.md names tests that exist, and every row of the attack table (tests/e2e/attacks.py) is named by it."""
import ast
import fnmatch
import os
import re

import lintlib

DOCUMENT, TABLE = 'docs/attacks.md', 'e2e/attacks.py'
SPAN = re.compile(r'`([\w./]+\.(?:py|c)): ([^`]+)`')


def rows(root):
    """TABLE/row -> line."""
    found = {}
    for node in ast.parse(lintlib.read(root, 'tests/' + TABLE)).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and node.targets[0].id.isupper():
            found.update({f'{node.targets[0].id}/{key.value}': key.lineno for key in node.value.keys
                          if isinstance(key, ast.Constant) and isinstance(key.value, str)})
    return found


def names(root, path):
    """Functions defined in a test file."""
    text = lintlib.read(root, 'tests/' + path)
    return set(re.findall(r'^def (\w+)\(' if path.endswith('.py') else r'^\w[\w *]*?(\w+)\([^;]*?\) \{', text, re.M | re.S))


def main():
    args = lintlib.arguments(__doc__.splitlines()[0])
    report, table, named = lintlib.Report(), rows(args.root), set()
    for number, line in enumerate(lintlib.read(args.root, DOCUMENT).split('\n'), 1):
        spans = SPAN.findall(line)
        if line.startswith('| ') and not line.startswith('| attack |') and not spans:
            report.breach(DOCUMENT, number, 'an attack without a test')
        for path, wanted in spans:
            if not os.path.exists(os.path.join(args.root, 'tests', path)):
                report.breach(DOCUMENT, number, f'there is no tests/{path}')
                continue
            known = set(table) if path == TABLE else names(args.root, path)
            for name in wanted.split(', '):
                hits = fnmatch.filter(known, name.replace('[', '[[]'))
                if not hits:
                    report.breach(DOCUMENT, number, f'tests/{path} has no "{name}"')
                named.update(hits if path == TABLE else ())
    for row in sorted(set(table) - named):
        report.breach('tests/' + TABLE, table[row], f'row "{row}" is missing in {DOCUMENT}')
    report.exit('attacks')


if __name__ == '__main__':
    main()
