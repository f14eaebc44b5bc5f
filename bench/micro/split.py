#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two callgrind profiles of N and M requests -> instructions per request, by room. What libc does is charged to the room that called it; nghttp2 and OpenSSL,
which call back, stand apart.
The harness, which stands where io and the kernel stand in the real program, is shown apart."""
import re
import sys
from collections import Counter

ROOM = re.compile(r'proxy/(\w+)/')
LIBRARY = re.compile(r'/lib(nghttp2|ssl|crypto)\.so')


class Profile:
    def __init__(self, path):
        self.files, self.functions, self.objects = {}, {}, {}
        self.own = Counter()    # (room, function) -> instructions
        self.rooms = Counter()  # room -> instructions, libc's included
        self._read(path)

    @staticmethod
    def _name(table, text):
        number, _, rest = text.partition(' ')
        if rest:
            table[number] = rest
        return table.get(number, text)

    @staticmethod
    def room(file, function, thing):
        found = ROOM.search(file)
        if found:
            return found.group(1)
        found = LIBRARY.search(thing)
        if found:
            return 'nghttp2' if found.group(1) == 'nghttp2' else 'openssl'
        if function.startswith(('llhttp', 'llparse')):
            return 'llhttp'
        if 'tests/' in file or 'bench/' in file:
            return '(harness)'
        return 'libc'

    def _read(self, path):
        home = called_file = callee = thing = called_thing = ''
        room, in_call = 'libc', False
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                key, eq, rest = line.rstrip('\n').partition('=')
                if eq and key == 'ob':
                    thing = called_thing = self._name(self.objects, rest)
                elif eq and key == 'cob':
                    called_thing = self._name(self.objects, rest)
                elif eq and key == 'fl':
                    home = called_file = self._name(self.files, rest)
                elif eq and key in ('fi', 'fe'):
                    self._name(self.files, rest)
                elif eq and key == 'fn':
                    function = self._name(self.functions, rest)
                    room = self.room(home, function, thing)
                elif eq and key in ('cfi', 'cfl'):
                    called_file = self._name(self.files, rest)
                elif eq and key == 'cfn':
                    callee = self._name(self.functions, rest)
                elif eq and key == 'calls':
                    in_call = True
                elif key[:1].isdigit() or key[:1] in ('+', '-', '*'):
                    cost = int(key.split()[-1])
                    if in_call:
                        in_call = False
                        if room != 'libc' and self.room(called_file, callee, called_thing) == 'libc':
                            self.rooms[room] += cost
                        called_file, called_thing = home, thing
                        continue
                    self.own[(room, function)] += cost
                    if room != 'libc':
                        self.rooms[room] += cost


def main():
    case, first, few, second, many = sys.argv[1:6]
    requests = int(many) - int(few)
    a, b = Profile(first), Profile(second)
    rooms = {r: (b.rooms[r] - a.rooms[r]) / requests for r in b.rooms}
    total = sum(n for r, n in rooms.items() if r != '(harness)')
    parts = ', '.join(f'{r} {n:.0f}' for r, n in sorted(rooms.items(), key=lambda x: -x[1]) if n >= 1)
    print(f'{case:<12} {total:7.0f} instructions per request: {parts}')
    if '--functions' in sys.argv:
        per = {k: (b.own[k] - a.own[k]) / requests for k in b.own}
        for (where, function), n in sorted(per.items(), key=lambda x: -x[1])[:45]:
            print(f'  {n:8.1f}  {where:<10} {function}')


if __name__ == '__main__':
    main()
