#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make micro-check: instructions of codecs, router, balancer, policy matcher and whole exchanges, counted by callgrind, against those recorded
in bench/micro/baseline.tsv. Instructions, never time: the same in every run of one build with one compiler and C library.

    bench/micro/check.py [--build DIR] [--case NAME]...    ends with 1 when a case costs more than 2% more than recorded
    bench/micro/check.py --update                          records what is counted now; commit it with the change that is worth it

A baseline belongs to a compiler, the libraries whose code is counted and the processor's kind; for another one figures are shown and nothing
is judged, which is said."""
import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASELINE = os.path.join(ROOT, 'bench', 'micro', 'baseline.tsv')
MAY_GROW = 0.02

# name: (program of the build folder, words of which N is the number of times, few, many): the difference leaves start-up and end out.
CASES = {
    'h1 codec': ('bench/bench_h1_codec', ('N',), 500, 2500),
    'h2 codec': ('bench/bench_h2_exchange', ('N', '1'), 500, 2500),
    'router, 10 routes': ('tests/unit/route/bench_route_decide', ('10', 'N'), 500, 4500),
    'router, 10,000 routes': ('tests/unit/route/bench_route_decide', ('10000', 'N'), 500, 4500),
    'balancer': ('bench/bench_pieces', ('balancer', 'N'), 500, 4500),
    'policy matcher': ('bench/bench_pieces', ('policy', 'N'), 500, 2500),
    'exchange h1': ('bench/bench_exchange', ('h1', 'N'), 500, 2500),
    'exchange h1-browser': ('bench/bench_exchange', ('h1-browser', 'N'), 500, 2500),
    'exchange h1-post': ('bench/bench_exchange', ('h1-post', 'N'), 500, 2500),
    'exchange h1-log': ('bench/bench_exchange', ('h1-log', 'N'), 500, 2500),
    'exchange pair': ('bench/bench_exchange', ('pair', 'N'), 500, 2500),
    'exchange among 1,000 routes': ('bench/bench_exchange', ('routes-1000', 'N'), 500, 2500),
}


class Failed(Exception):
    pass


def said_by(*argv):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    return p.stdout if p.returncode == 0 else ''


def version_in(text):
    found = re.search(r'\d+\.\d+(\.\d+)?', text)
    return found.group(0) if found else '?'


def compiler_of(build):
    """The C compiler of that build folder and how it optimises, from ninja's own rule: not every meson tells."""
    with open(os.path.join(build, 'build.ninja'), encoding='utf-8') as f:
        found = re.search(r'^rule c_COMPILER\n command = (\S+)', f.read(), re.M)
    text = said_by(found.group(1), '--version') if found else ''
    options = json.loads(said_by('meson', 'introspect', '--buildoptions', build) or '[]')
    kind = next((o['value'] for o in options if o['name'] == 'buildtype'), '?')
    return 'clang' if 'clang' in text else 'gcc' if text else '?', version_in(text.splitlines()[0].rpartition(')')[2] if 'clang' not in text else text), kind


def key_of(build):
    """What the counts depend on besides our own code."""
    name, version, kind = compiler_of(build)
    with open('/proc/cpuinfo', encoding='ascii') as f:
        flags = f.read()
    wide = 'avx512' if ' avx512f' in flags else 'avx2' if ' avx2' in flags else 'plain'
    libc = version_in(said_by('getconf', 'GNU_LIBC_VERSION'))
    nghttp2 = version_in(said_by('pkg-config', '--modversion', 'libnghttp2'))
    pcre2 = version_in(said_by('pkg-config', '--modversion', 'libpcre2-8'))
    return f'{name} {version} {kind}, glibc {libc}, nghttp2 {nghttp2}, pcre2 {pcre2}, valgrind {version_in(said_by("valgrind", "--version"))}, ' \
           f'{platform.machine()} {wide}'


def collected(argv, folder):
    """Instructions of one run. The environment is empty and the name of fixed length, since both move the stack."""
    out = os.path.join(folder, 'callgrind.out')
    p = subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}', *argv], env={'PATH': os.environ['PATH']}, cwd=folder,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    found = re.search(r'Collected : (\d+)', p.stdout)
    if p.returncode != 0 or not found:
        raise Failed(f'{" ".join(argv)} ended with {p.returncode}: {p.stdout.strip()[-400:]}')
    return int(found.group(1))


def count(build, name, folder):
    """Instructions of one time."""
    program, words, few, many = CASES[name]
    path = os.path.join(build, program)

    def run(n):
        return collected([path, *(str(n) if w == 'N' else w for w in words)], folder)

    return (run(many) - run(few)) / (many - few)


def read(text):
    """{key: {case: instructions}}"""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith('#'):
            key, case, n = line.split('\t')
            found.setdefault(key, {})[case] = float(n)
    return found


def written(baselines):
    head = '# make micro-check: instructions of one time. Written by bench/micro/check.py --update: compiler and libraries, case, instructions.\n'
    return head + ''.join(f'{key}\t{case}\t{n:.1f}\n' for key in sorted(baselines) for case, n in baselines[key].items())


def judged(counted, recorded):
    """(lines to show, the cases that grew too much). recorded: of this key, or None."""
    lines, grown = [], []
    for case, n in counted.items():
        was = recorded.get(case) if recorded else None
        change = '' if not was else f'{n / was - 1:+8.2%}'
        if was and n > was * (1 + MAY_GROW):
            grown.append(case)
            change += f'  more than {MAY_GROW:.0%}'
        elif was and n < was * (1 - MAY_GROW):
            change += '  less: worth recording (--update)'
        lines.append(f'{case:<30} {n:>10.1f} {"not recorded" if not was else f"{was:>10.1f}"} {change}'.rstrip())
    return lines, grown


def arguments():
    p = argparse.ArgumentParser(prog='bench/micro/check.py', description='instructions against those recorded')
    p.add_argument('--build', default=os.path.join(ROOT, 'build'), help='build folder (default build)')
    p.add_argument('--case', action='append', choices=CASES, help='only this case; repeatable')
    p.add_argument('--update', action='store_true', help='record what is counted')
    return p.parse_args()


def main():
    args = arguments()
    build, names = os.path.abspath(args.build), args.case or list(CASES)
    if not shutil.which('valgrind'):
        print('micro-check: valgrind is not installed: tools/deps.sh micro', file=sys.stderr)
        return 2
    p = subprocess.run(['ninja', '-C', build, *sorted({CASES[n][0] for n in names})], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        print(p.stdout.decode(errors='replace')[-2000:], file=sys.stderr)
        return 2
    key = key_of(build)
    with open(BASELINE, encoding='utf-8') as f:
        baselines = read(f.read())
    recorded = baselines.get(key)
    print(f'micro-check: {key}')
    try:
        with tempfile.TemporaryDirectory(prefix='weir-micro-') as folder:
            counted = {name: count(build, name, folder) for name in names}
    except Failed as e:
        print(f'micro-check: {e}', file=sys.stderr)
        return 2
    lines, grown = judged(counted, recorded)
    print(f'{"case":<30} {"now":>10} {"recorded":>12} {"change":>8}')
    print('\n'.join(lines))
    if args.update:
        baselines.setdefault(key, {}).update({c: round(n, 1) for c, n in counted.items()})
        with open(BASELINE, 'w', encoding='utf-8') as f:
            f.write(written(baselines))
        print(f'micro-check: recorded in {os.path.relpath(BASELINE, ROOT)}')
        return 0
    if recorded is None:
        print('micro-check: NOTHING IS JUDGED: no baseline is recorded for this compiler and these libraries, only for\n  ' + '\n  '.join(sorted(baselines)))
        return 0
    if grown:
        print(f'micro-check: {", ".join(grown)}: more instructions than recorded; find out why, or record them with the reason (bench/micro/check.py --update)')
    return 1 if grown else 0


if __name__ == '__main__':
    sys.exit(main())
