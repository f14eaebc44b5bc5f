#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes of files, functions (lines with code in them), parameter lists, nesting and vtables.

An exception is one comment line `lint: size <reason>`: among the first 25 lines of a file it is about the file's length,
within a function or in the three lines above it, about that function (or struct, or declaration). Without a reason it does not count.
With -v, functions longer than the wanted 40 lines are told as well; they are no breach.
"""
import re

import lintlib

FILE, HEADER = 600, 150
FUNCTION, WANTED, PROGRAM = 80, 40, 30
PARAMETERS, NESTING, VTABLE = 5, 3, 8

EXCEPTION = re.compile(r'lint: size +(?!\*/)\S')
CONTROL = re.compile(r'\b(if|for|while|switch|do|else|WEIR_LIST_FOREACH\w*|bpf_for\w*)\b')
# A callback with such a parameter has the signature its library asks for.
FOREIGN = re.compile(r'\b(SSL|X509_STORE_CTX|nghttp2_\w+|uv_\w+|llhttp_\w+)\b')
NOT_FUNCTIONS = {'if', 'for', 'while', 'switch', 'return', 'sizeof', '_Static_assert', '__attribute__', 'defined'}


def line_of(text, at):
    return text.count('\n', 0, at) + 1


def excepted(lines, first, last):
    """Is there an exception from three lines above `first` to `last` (1-based)?"""
    return any(EXCEPTION.search(l) for l in lines[max(0, first - 4):last])


def closing(text, at, pair):
    depth = 0
    for i in range(at, len(text)):
        if text[i] == pair[0]:
            depth += 1
        elif text[i] == pair[1]:
            depth -= 1
            if depth == 0:
                return i
    return len(text) - 1


def top_level(text):
    """(start, body or None, end) of each declaration and definition outside of braces."""
    at, start = 0, 0
    while at < len(text):
        c = text[at]
        if c == '(':
            at = closing(text, at, '()')
        elif c == ';':
            yield start, None, at
            start = at + 1
        elif c == '{':
            end = closing(text, at, '{}')
            yield start, at, end
            # `struct x { ... } y;` and initialisers go on to their semicolon, functions do not
            start = at = end
            start += 1
        at += 1


def signature(head):
    """(name, parameters) when head is that of a function, else None."""
    head = re.sub(r'__attribute__\s*\(\(.*?\)\)|WEIR_PRINTF\s*\([^)]*\)', ' ', head, flags=re.S)
    if '=' in head.split('(')[0] or re.match(r'\s*(typedef|extern\s+const)\b', head):
        return None
    head = re.sub(r'\b(SEC|__ksym|__noinline|__always_inline)\b(\s*\([^)]*\))?', ' ', head)
    m = re.search(r'(\w+)\s*\(', head)
    if not m or m.group(1) in NOT_FUNCTIONS or not re.search(r'\w[\s*]+$', head[:m.start(1)]):
        return None
    inside = head[m.end():closing(head, m.end() - 1, '()')].strip()
    if head[closing(head, m.end() - 1, '()') + 1:].strip():
        return None
    return m.group(1), parameters(inside)


def parameters(inside):
    if inside in ('', 'void'):
        return 0
    depth = n = 0
    for c in inside:
        depth += (c in '([{') - (c in ')]}')
        n += c == ',' and depth == 0
    # A format and what it formats are one thing to say.
    return n + 1 - bool(re.search(r',\s*(\.\.\.|va_list\s+\w+)$', inside))


def nesting(body):
    """Deepest nesting of braced control blocks in a function body (its own braces are not counted)."""
    stack, deepest, since = [], 0, 0
    for at, c in enumerate(body):
        if c == '{':
            before = body[since:at]
            control = bool(stack) and bool(CONTROL.search(before)) and '=' not in before.rsplit(')', 1)[-1]
            stack.append(control)
            deepest = max(deepest, sum(stack))
        elif c == '}' and stack:
            stack.pop()
        if c in '{};':
            since = at + 1
    return deepest


class Sizes:
    def __init__(self, report, verbose):
        self.report, self.verbose = report, verbose

    def file(self, path, text):
        lines = text.splitlines()
        limit = HEADER if path.endswith('.h') else FILE
        if len(lines) > limit and not any(EXCEPTION.search(l) for l in lines[:25]):
            self.report.breach(path, 1, f'{len(lines)} lines, more than {limit}')
        code = lintlib.without_directives(lintlib.blanked(text))
        for start, body, end in top_level(code):
            start += len(code[start:]) - len(code[start:].lstrip())
            first, last = line_of(code, start), line_of(code, end)
            if not excepted(lines, first, last):
                self.declaration(path, code, (start, body, end), first, last)

    def declaration(self, path, code, place, first, last):
        start, body, end = place
        head = code[start:end if body is None else body]
        struct = re.match(r'\s*struct\s+(\w*_ops|\w*_vtable)\s*$', head)
        if struct and body is not None:
            n = len(re.findall(r'\(\s*\*\s*\w+\s*\)\s*\(', code[body:end]))
            if n > VTABLE:
                self.report.breach(path, first, f'struct {struct.group(1)} has {n} functions, more than {VTABLE}')
        found = signature(head)
        if not found:
            return
        name, n = found
        if n > PARAMETERS and not FOREIGN.search(head):
            self.report.breach(path, first, f'{name} has {n} parameters, more than {PARAMETERS}')
        if body is not None:
            self.function(path, name, code[start:end + 1], (first, body - start))

    def function(self, path, name, text, place):
        first, body = place
        length = len([l for l in text.splitlines() if l.strip()])  # comments are blanked already
        program = re.match(r'\s*SEC\s*\(', text)
        limit = PROGRAM if program else FUNCTION
        if length > limit:
            self.report.breach(path, first, f'{name} has {length} lines, more than {limit}')
        elif self.verbose and length > WANTED:
            print(f'{path}:{first}: note: {name} has {length} lines, {WANTED} are wanted')
        deep = nesting(text[body:])
        if deep > NESTING:
            self.report.breach(path, first, f'{name} nests {deep} deep, more than {NESTING}')


def main():
    args = lintlib.arguments(__doc__.splitlines()[0], ('-v', {'action': 'store_true', 'help': 'also what is merely long'}))
    report = lintlib.Report()
    sizes = Sizes(report, args.v)
    for path in lintlib.files(args.root, ['proxy', 'include', 'bpf'], ('.c', '.h')):
        sizes.file(path, lintlib.read(args.root, path))
    report.exit('sizes')


if __name__ == '__main__':
    main()
