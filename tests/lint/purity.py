#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pure rooms reference no socket, clock, thread, file or libuv symbol, and nobody has writable globals.

Looks at the symbols of the rooms' static libraries in a build directory with nm(1). The list is one of what is allowed: a
symbol that is neither weir's own, nor C without side effects, nor of the room's library, is a breach. So a new dependency has to be
named here, where it can be seen.
"""
import os
import re
import subprocess
import sys

import lintlib

# C that computes and does nothing else.
C_PURE = r'''
    bcmp|bzero|mem(chr|rchr|cmp|cpy|move|set|mem)|rawmemchr|mempcpy
    str(n?len|chr|rchr|chrnul|n?cmp|n?casecmp|spn|cspn|pbrk|str|casestr|n?cpy|n?cat|sep|tok_r|tol|toll|toul|toull|tod|tof)
    (__)?(v?s?nprintf|vsnprintf|sprintf)(_chk)?|sscanf
    __isoc(99|23)_(sscanf|strto\w+)
    __(mem|str)\w+_chk|__explicit_bzero_chk|explicit_bzero
    __ctype_\w+|is(alpha|digit|alnum|space|upper|lower|xdigit|print|punct|cntrl)|to(upper|lower)
    qsort|bsearch|abs|labs|div
    inet_(pton|ntop)|[hn]to[nh][sl]
    timegm|gmtime_r
    (ceil|floor|round|lround|llround|log|log2|exp|exp2|pow|sqrt|fabs|ldexp|frexp|fmod)[fl]?
    __errno_location|__assert_fail|abort|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_
    __(u?div|u?mod|mul|ashl|ashr|lshr|popcount|clz|ctz|bswap)\w*[dst]i[234]|__(float|fix|trunc|extend)\w+
    __(asan|ubsan|tsan|sanitizer|msan)_\w+|__sanitizer_\w+|__gcov_\w+|__llvm_\w+
'''
HEAP = r'(malloc|calloc|realloc|reallocarray|free|malloc_usable_size)'

# room: its library's symbols. Heap calls go through base/mem.c alone.
ALLOWED = {
    'base': HEAP,
    'http': r'nghttp2_\w+|llhttp_\w+',
    'conf': r'yaml_\w+|json_\w+|jansson_\w+|pcre2_\w+_8',
    'route': r'pcre2_\w+_8',
    'lb': None,
    'obs': None,
    # Only the objects named in TLS_PURE.
    'tls': r'(SSL|BIO|X509|ASN1|PEM|EVP|ERR|OBJ|OPENSSL|GENERAL|EXTENDED|BASIC|AUTHORITY|CRYPTO|OSSL|BN|i2d|d2i|a2i|RAND|TLS)_\w+',
}
TLS_PURE = re.compile(r'(engine|identity|svid|verify|reason)\.c\.o$')

# What the allowed libraries offer and a pure room may nevertheless not touch: files, descriptors, sockets, clocks.
DENIED = re.compile(
    r'yaml_\w+_set_(in|out)put_file|json_(load|dump)(_file|f|fd)|\w*_file(_\w+)?|\w+_fp|BIO_(s|new)_(fd|socket|connect|accept|file)'
    r'|SSL_set_[rw]?fd|BIO_sock\w*|X509_gmtime_adj|X509_time_adj\w*|X509_cmp_current_time|RAND_(load|write)\w+')

# Writable globals that are meant: (room, symbol). Each is explained where it is defined.
GLOBALS = {
    ('base', 'fail_countdown'), ('base', 'fail_sticky'), ('base', 'fail_met'),  # tests' switch: base/mem.h
    ('base', 'untold'), ('base', 'exempt'), ('base', 'told'), ('base', 'bound'), ('base', 'high_mark'), ('base', 'high'), ('base', 'refused'),  # the heap's count
    ('sys', 'min_level'),  # one level per process: sys/log.h
    ('tls', 'why'),  # per thread: text of the last refusal
}


def pattern(room):
    own = [p for p in (ALLOWED[room],) if p]
    return re.compile('^(' + '|'.join(C_PURE.split() + own) + ')$')


def nm(library, *options):
    return subprocess.run(['nm', *options, library], check=True, capture_output=True, text=True).stdout


def undefined(library):
    """(object, symbol) of what the library does not define itself."""
    defined, wanted, member = set(), [], '?'
    for line in nm(library).splitlines():
        if line.endswith(':'):
            member = line[:-1]
            continue
        fields = line.split()
        if len(fields) == 2 and fields[0] in 'Uwv':
            wanted.append((member, fields[1].split('@')[0]))
        elif len(fields) == 3 and fields[1].isupper():
            defined.add(fields[2])
    return [(m, s) for m, s in wanted if s not in defined]


def check_symbols(report, room, library):
    ok = pattern(room)
    for member, symbol in undefined(library):
        if room == 'tls' and not TLS_PURE.search(member):
            continue
        own = symbol.startswith('weir_')
        if own or (ok.match(symbol) and not DENIED.fullmatch(symbol)):
            continue
        report.breach(library, 0, f'{member} of pure room {room} references {symbol}')


def check_own_rooms(report, room, library, exports):
    """A weir_ symbol has to come from a room the pure one may use: no way around through sys or io."""
    for member, symbol in undefined(library):
        home = exports.get(symbol)
        if home in IMPURE and not (room == 'tls' and not TLS_PURE.search(member)):
            report.breach(library, 0, f'{member} of pure room {room} references {symbol} of {home}')


IMPURE = {'sys', 'io', 'kern', 'core', 'node', 'cli', 'k8s', 'kube'}


def exported(libraries):
    homes = {}
    for room, library in libraries.items():
        for line in nm(library, '--defined-only', '--extern-only').splitlines():
            fields = line.split()
            if len(fields) == 3:
                homes[fields[2]] = room
    return homes


def check_globals(report, room, library):
    member = '?'
    if '__asan_' in nm(library, '-u'):
        return  # instrumentation adds its own
    for line in nm(library, '--format=sysv', '--defined-only').splitlines():
        fields = [f.strip() for f in line.split('|')]
        if len(fields) < 7:
            named = re.search(r'\[(.*)\]', line)
            member = named.group(1) if named else member
            continue
        name, section = fields[0], fields[6]
        if re.match(r'\.(data|bss|tdata|tbss)$|\*COM\*', section) or (
                re.match(r'\.(data|bss)\.', section) and not section.startswith('.data.rel.ro')):
            # static locals: gcc says name.0, clang function.name
            if name and not name.startswith('.') and not any((room, n) in GLOBALS for n in name.split('.')):
                report.breach(library, 0, f'{member}: writable global {name} in {section}')


def main():
    args = lintlib.arguments(__doc__.splitlines()[0], ('build', {'help': 'build directory'}))
    report = lintlib.Report()
    folder = os.path.join(args.build, 'proxy')
    libraries = {f[8:-2]: os.path.join(folder, f) for f in sorted(os.listdir(folder))
                 if f.startswith('libweir-') and f.endswith('.a')}
    missing = set(ALLOWED) - set(libraries)
    if missing:
        sys.exit(f'purity: no library of {", ".join(sorted(missing))} in {folder}')
    exports = exported(libraries)
    for room, library in libraries.items():
        if room in ALLOWED:
            check_symbols(report, room, library)
            check_own_rooms(report, room, library, exports)
        check_globals(report, room, library)
    report.exit('purity')


if __name__ == '__main__':
    main()
