#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each source file names its licence in its first three lines.

What the kernel loads or shares with it (bpf/, include/weir/abi/) is GPL-2.0-only OR BSD-2-Clause, everything else Apache-2.0.
Sources are C, Python, shell and whatever begins with #!.
"""
import os
import re

import lintlib

KERNEL = 'GPL-2.0-only OR BSD-2-Clause'
USER = 'Apache-2.0'
SUFFIXES = ('.c', '.h', '.py', '.sh', '.lua')
IDENTIFIER = re.compile(r'SPDX-License-Identifier: *([^\n*]*[^\n* ])')


def is_source(root, path):
    if path.endswith(SUFFIXES):
        return True
    if '.' in os.path.basename(path):
        return False
    with open(os.path.join(root, path), 'rb') as f:
        return f.read(2) == b'#!'


def licence(path):
    return KERNEL if path.startswith(('bpf/', 'include/weir/abi/')) else USER


def main():
    args = lintlib.arguments(__doc__.splitlines()[0])
    report = lintlib.Report()
    for path in lintlib.files(args.root, [''], ('',)):
        if os.path.islink(os.path.join(args.root, path)) or not is_source(args.root, path):
            continue
        head = '\n'.join(lintlib.read(args.root, path).split('\n', 3)[:3])
        found = IDENTIFIER.search(head)
        if not found:
            report.breach(path, 1, 'no SPDX-License-Identifier in the first three lines')
        elif found.group(1) != licence(path):
            report.breach(path, 1, f'licence is "{found.group(1)}", should be "{licence(path)}"')
    report.exit('spdx')


if __name__ == '__main__':
    main()
