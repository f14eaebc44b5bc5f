#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Structs shared by kernel and user code have one layout: the linked BPF object's BTF against the host compiler's DWARF.

Each struct that include/weir/abi asserts the size of must be in both, with the same members, types, offsets and sizes.
Asserts in the headers hold each compiler to a number; this holds the two results to each other.
"""
import os
import re
import shutil
import subprocess
import sys

import lintlib

MEMBER = re.compile(r'^\s+(.+?)\s+([\w\[\]]+);\s+/\*\s+(\d+)\s+(\d+)\s+\*/', re.M)
SIZE = re.compile(r'/\* size: (\d+)')
SKIPPED = 77  # what meson takes as "skipped"


def shared(root):
    names = []
    for path in lintlib.files(root, ['include/weir/abi'], ('.h',)):
        names += re.findall(r'^WEIR_ABI_SIZE\((\w+),', lintlib.read(root, path), re.M)
    return names


def layout(fmt, obj, name):
    """(size, members) or None when the object has no such struct."""
    out = subprocess.run(['pahole', '-F', fmt, '-C', name, obj], capture_output=True, text=True).stdout
    size = SIZE.search(out)
    return (int(size.group(1)), MEMBER.findall(out)) if size else None


def main():
    root, bpf, user = sys.argv[1:4]
    if not shutil.which('pahole'):
        print('pahole is not installed: skipped')
        return SKIPPED
    names, breaches = shared(root), 0
    for name in names:
        kernel, host = layout('btf', bpf, name), layout('dwarf', user, name)
        if kernel is None or host is None:
            where = [os.path.basename(o) for o, found in ((bpf, kernel), (user, host)) if found is None]
            print(f'struct {name}: not in {" and ".join(where)}')
            breaches += 1
        elif kernel != host:
            print(f'struct {name}: kernel {kernel} is not user {host}')
            breaches += 1
    if not names:
        print('no shared struct found in include/weir/abi')
        breaches = 1
    print(f'{len(names)} structs, {breaches} breaches')
    return 1 if breaches else 0


if __name__ == '__main__':
    sys.exit(main())
