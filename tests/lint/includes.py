#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom (docs/ARCHITECTURE.md). What the tables below do not allow is forbidden.

Quoted includes are weir's own: "room/file.h", from the roots proxy/, include/ and (in bpf/) bpf/. Angle brackets are the
system's and the libraries'. A header kept for its own room is named `*_internal.h` or listed in PRIVATE.
"""
import os
import re

import lintlib

EVERYBODY = {'base', 'weir/abi'}

# room: what it may include besides itself and EVERYBODY. 'room' = all of it, 'room/file.h' = that header only.
ROOMS = {
    'base': set(),
    'sys': set(),
    'http': set(),
    'conf': set(),
    'route': {'conf', 'http/head.h'},
    'inject': {'conf', 'weir_config.h'},
    'lb': {'conf'},
    'tls': set(),
    'obs': {'conf/model.h'},
    'io': {'conf', 'tls', 'sys'},
    'kube': {'conf', 'http', 'io', 'tls', 'sys', 'weir_config.h'},
    'helper': {'sys'},
    'kern': {'conf', 'sys', 'helper'},
    'core': {'route', 'lb', 'tls', 'io', 'conf', 'obs', 'http', 'sys', 'weir_config.h'},
    'node': {'core', 'route', 'lb', 'tls', 'io', 'conf', 'obs', 'http', 'sys', 'kern', 'kube', 'helper', 'weir_config.h'},
    'webhook': {'core', 'inject', 'route', 'lb', 'tls', 'io', 'conf', 'obs', 'http', 'sys', 'kern', 'kube', 'helper', 'weir_config.h'},
    'cli': {'core', 'node', 'webhook', 'inject', 'route', 'lb', 'tls', 'io', 'conf', 'obs', 'http', 'sys', 'kern', 'kube', 'helper', 'weir_config.h'},
    'main.c': {'cli', 'core'},
}

# Within core, what handles requests sees io through the stream vtable and the net alone, so that tests/flow can run it
# over memory; only what makes and joins the threads of the process knows a real loop.
CORE_PROCESS = re.compile(r'^proxy/core/(process|names|reload|listen|server_listen|signals)[^/]*$')
CORE_IO = {'io/stream.h', 'io/net.h'}

# Libraries, by header: which rooms may see them. cli may see all: `weir version` names them.
LIBRARIES = [
    (re.compile(r'^uv\.h$|^uv/'), {'io'}),
    (re.compile(r'^ares'), {'io'}),
    (re.compile(r'^bpf/'), {'kern'}),
    (re.compile(r'^seccomp\.h$'), {'helper'}),
    (re.compile(r'^nghttp2/'), {'http'}),
    (re.compile(r'^llhttp\.h$'), {'http'}),
    (re.compile(r'^openssl/'), {'tls'}),
    (re.compile(r'^yaml\.h$'), {'conf'}),
    (re.compile(r'^jansson\.h$'), {'conf', 'inject', 'webhook', 'kube'}),
    (re.compile(r'^pcre2\.h$'), {'conf', 'route'}),
    (re.compile(r'^sanitizer/'), {'base'}),
]

PURE = {'base', 'http', 'conf', 'inject', 'route', 'lb', 'obs'}
# Doors to the outside; purity.py looks for the symbols, this names the culprit's line.
IMPURE_HEADER = re.compile(
    r'^(unistd|fcntl|poll|dirent|time|pthread|threads|signal|spawn|netdb|syslog|termios|glob|ftw)\.h$'
    r'|^sys/(socket|stat|types_fd|epoll|eventfd|inotify|mman|mount|prctl|random|resource|sendfile|signalfd|statfs|syscall|time|'
    r'timerfd|un|wait|xattr)\.h$|^net/|^netinet/tcp')
# The kernel's side: abi, its own headers, fixed-width types, libbpf's helpers.
BPF_SYSTEM = re.compile(r'^(bpf/bpf_(helpers|endian|core_read|tracing)\.h|linux/[a-z0-9_]+\.h|vmlinux\.h)$')
ABI_SYSTEM = re.compile(r'^(linux/types\.h|stddef\.h|stdint\.h|stdbool\.h|assert\.h|string\.h)$')

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def includes(text):
    """(line, quoted, name); the comments are blanked first, but strings keep what an include needs."""
    no_comments = re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.S)
    for m in INCLUDE.finditer(no_comments):
        yield no_comments.count('\n', 0, m.start()) + 1, m.group(1) == '"', m.group(2)


def room_of(path):
    parts = path.split('/')
    return parts[1] if parts[0] == 'proxy' else parts[0]


def own_name(path):
    """By which name the others include this file."""
    return re.sub(r'^(proxy|include|bpf)/', '', path)


def allowed(room, name):
    target = name.split('/')[0] if not name.startswith('weir/abi/') else 'weir/abi'
    if target in EVERYBODY or target == room:
        return True
    may = ROOMS[room]
    return target in may or name in may


def check_proxy(report, path, line, quoted, name):
    room = room_of(path)
    if not quoted:
        check_library(report, path, line, room, name)
        return
    skeleton = name.endswith('.skel.h')
    if skeleton:
        if room != 'kern':
            report.breach(path, line, f'"{name}": only kern sees the skeleton')
        return
    if room not in ROOMS:
        report.breach(path, line, f'room {room} is not in the table of tests/lint/includes.py')
    elif not allowed(room, name):
        report.breach(path, line, f'room {room} may not include "{name}"')
    elif name.endswith('_internal.h') and name.split('/')[0] != room:
        report.breach(path, line, f'"{name}" is internal to its room')
    elif room == 'core' and name.startswith('io/') and name not in CORE_IO and not CORE_PROCESS.match(path):
        report.breach(path, line, f'core sees io through {", ".join(sorted(CORE_IO))} only, not "{name}"')


def check_library(report, path, line, room, name):
    for pattern, rooms in LIBRARIES:
        if pattern.match(name) and room not in rooms and room != 'cli':
            report.breach(path, line, f'<{name}> belongs to {", ".join(sorted(rooms))}, not to {room}')
    if room in PURE and IMPURE_HEADER.match(name):
        report.breach(path, line, f'pure room {room} may not include <{name}>')


def check_kernel_side(report, path, line, quoted, name):
    abi = path.startswith('include/')
    if quoted:
        if not name.startswith('weir/abi/') and (abi or not is_bpf_header(name)):
            report.breach(path, line, f'"{name}": only weir/abi{"" if abi else " and bpf/"} may be included here')
    elif not (ABI_SYSTEM.match(name) or (not abi and BPF_SYSTEM.match(name))):
        report.breach(path, line, f'<{name}> may not be included here')


def is_bpf_header(name):
    return name.endswith('.bpf.h') or name.startswith('lib/')


def check_own_first(report, path, text):
    """A .c begins with its own header, if it has one: that shows the header to be self-contained."""
    if not path.endswith('.c') or not path.startswith('proxy/'):
        return
    first = next(includes(text), None)
    own = own_name(path)[:-2] + '.h'
    if not first or not os.path.exists(os.path.join(ARGS.root, 'proxy', own)) or first[2] == own:
        return
    # A private header that in its turn begins with the own one will do.
    through = os.path.join('proxy', first[2])
    if first[1] and os.path.exists(os.path.join(ARGS.root, through)):
        if any(name == own for _, _, name in includes(lintlib.read(ARGS.root, through))):
            return
    report.breach(path, first[0], f'the first include is not "{own}"')


ARGS = None


def main():
    global ARGS
    ARGS = lintlib.arguments(__doc__.splitlines()[0])
    report = lintlib.Report()
    for path in lintlib.files(ARGS.root, ['proxy', 'include', 'bpf'], ('.c', '.h')):
        text = lintlib.read(ARGS.root, path)
        check = check_proxy if path.startswith('proxy/') else check_kernel_side
        for line, quoted, name in includes(text):
            check(report, path, line, quoted, name)
        check_own_first(report, path, text)
    report.exit('includes')


if __name__ == '__main__':
    main()
