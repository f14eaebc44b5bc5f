# SPDX-License-Identifier: Apache-2.0
"""What the lints share: finding files, and C source with comments and strings blanked out.

Standard library only. A lint is a program: it prints `path:line: message` for each breach and exits 1 if there was one.
"""
import argparse
import os
import re
import sys

SKIP_DIRS = re.compile(r'^(build|build-.*|\.git|__pycache__|\.pytest_cache|node_modules)$')


def files(root, folders, suffixes):
    """Paths relative to root, sorted, of files below the folders ('' = all) whose name ends in one of suffixes."""
    found = []
    for folder in folders:
        for where, dirs, names in os.walk(os.path.join(root, folder)):
            dirs[:] = [d for d in dirs if not SKIP_DIRS.match(d)]
            found += [os.path.relpath(os.path.join(where, n), root) for n in names if n.endswith(suffixes)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
        return f.read()


_SKIPPED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _blank(match):
    text = match.group(0)
    if text[0] == '/':
        return re.sub(r'[^\n]', ' ', text)
    return text[0] + ' ' * (len(text) - 2) + text[-1]


def blanked(text):
    """The same text with comments blanked and strings emptied; every other character stays where it was."""
    return _SKIPPED.sub(_blank, text)


def without_directives(text):
    """blanked text without preprocessor lines (and their continuations)."""
    return re.sub(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.M)


class Report:
    def __init__(self):
        self.breaches = 0

    def breach(self, path, line, message):
        self.breaches += 1
        print(f'{path}:{line}: {message}')

    def exit(self, what):
        print(f'{what}: {self.breaches or "no"} breach{"" if self.breaches == 1 else "es"}')
        sys.exit(1 if self.breaches else 0)


def arguments(description, *extra):
    """--root and what the lint adds: (name, keywords) pairs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--root', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
    for name, keywords in extra:
        parser.add_argument(name, **keywords)
    return parser.parse_args()
