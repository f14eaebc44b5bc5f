#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No loop of the BPF object is entered again by falling through: Linux 6.1 refuses such a program ("back-edge from insn ...").

Its verifier takes a way back only from a jump (push_insn() in kernel/bpf/verifier.c). Clang's block placement puts the end of a
loop right before its head when that saves a jump, so that a program loads on newer kernels alone. bpf/meson.build turns that off.
"""
import re
import subprocess
import sys

FUNCTION = re.compile(r'^[0-9a-f]+ <(?!LBB\d)(\w+)>:')
INSTRUCTION = re.compile(r'^\s*(\d+):\s+(.+?)\s*$')
GOTO = re.compile(r'\bgoto ([+-]\w+)')


def functions(listing):
    """{name: [(number, text)]} of what llvm-objdump prints."""
    found, code = {}, None
    for line in listing.splitlines():
        if m := FUNCTION.match(line):
            code = found.setdefault(m.group(1), [])
        elif (m := INSTRUCTION.match(line)) and code is not None:
            code.append((int(m.group(1)), m.group(2)))
    return found


def ways(code):
    """For each instruction [(index of the next one, whether that is a jump's way)]."""
    at = {number: i for i, (number, _) in enumerate(code)}
    for i, (number, text) in enumerate(code):
        jump, following = GOTO.search(text), [i + 1] if i + 1 < len(code) else []
        if text == 'exit':
            yield []
        elif jump:
            target = at[number + 1 + int(jump.group(1), 0)]
            yield [(n, True) for n in ([] if text.startswith('goto') else following) + [target]]
        else:
            yield [(n, False) for n in following]


def refused(code):
    """(from, to) of each way back that is no jump's, found as the kernel does: depth first, back into what is on the way."""
    after = list(ways(code))
    seen, path, found = {0}, [(0, iter(after[0]))], []
    walked = {0}
    while path:
        i, rest = path[-1]
        for n, jumps in rest:
            if n not in seen:
                seen.add(n)
                walked.add(n)
                path.append((n, iter(after[n])))
                break
            if n in walked and not jumps:
                found.append((code[i], code[n]))
        else:
            walked.discard(i)
            path.pop()
    return found


def main():
    listing = subprocess.run(['llvm-objdump', '-d', '--no-show-raw-insn', sys.argv[1]], capture_output=True, text=True, check=True).stdout
    found = functions(listing)
    breaches = [(name, *way) for name, code in found.items() if code for way in refused(code)]
    for name, (number, text), (_, to) in breaches:
        print(f'{name}: insn {number}: "{text}" falls back into "{to}", where a loop begins')
    if not found:
        print('no function found')
    print(f'{len(found)} functions, {len(breaches)} breaches')
    return 1 if breaches or not found else 0


if __name__ == '__main__':
    sys.exit(main())
