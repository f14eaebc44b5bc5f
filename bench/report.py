# SPDX-License-Identifier: Apache-2.0
"""What a run leaves: tables on standard output, build/bench/{results.json,results.md} and, to be committed, bench/RESULTS.md and bench/results."""
import datetime
import json
import os
import platform
import subprocess

import cases
import harness
import table
import targets


def _first(path, key):
    try:
        with open(path, encoding='utf-8') as f:
            return next((line.split(':', 1)[1].strip() for line in f if line.startswith(key)), '?')
    except OSError:
        return '?'


def machine(root, found, args):
    """Where, when and with what."""
    versions = {c.name: c.version() for c in found}
    versions['wrk'] = harness.output_of(['wrk', '-v']).split('[')[0].strip()
    versions['openssl'] = harness.output_of(['openssl', 'version']).split('(')[0].strip()
    git = subprocess.run(['git', '-C', root, 'rev-parse', '--short', 'HEAD'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return {'date': datetime.date.today().isoformat(), 'kernel': platform.release(), 'cpu': _first('/proc/cpuinfo', 'model name'),
            'cores': len(os.sched_getaffinity(0)), 'commit': git.stdout.decode().strip() or '?', 'versions': versions,
            'seconds': args.seconds, 'rounds': args.rounds, 'nice': args.nice, 'quick': args.quick, 'only': args.only or []}


def header(about):
    v = about['versions']
    who = ', '.join(f'{n} {v[n]}' for n in v if n not in ('floor', 'none', 'wrk', 'openssl'))
    return (f'{about["date"]}, commit {about["commit"]}, Linux {about["kernel"]}, {about["cpu"]} ({about["cores"]} cores); {who}; {v["openssl"]}, '
            f'{v["wrk"]}; {about["rounds"]} rounds of {about["seconds"]} s, nice {about["nice"]}; {about["took_s"]} s in all')


def rounded(value):
    """Five digits are more than was measured."""
    if isinstance(value, float):
        return float(f'{value:.5g}')
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


def as_json(about, results, bench, judged):
    """One line a sample: the file is for programs, and for diffs."""
    whole = {'about': about, 'faults': bench.faults, 'notes': bench.notes, 'targets': judged}
    head = json.dumps(rounded(whole), indent=1)[:-2]
    body = []
    for case in results.cases:
        rows = []
        for row, samples in results.samples[case.name].items():
            inner = ',\n    '.join(json.dumps(rounded(s)) for s in samples)
            rows.append(f'   {json.dumps(row)}: [\n    {inner}\n   ]')
        body.append(f'  {json.dumps(case.name)}: {{\n' + ',\n'.join(rows) + '\n  }')
    return head + ',\n "samples": {\n' + ',\n'.join(body) + '\n }\n}\n'


def as_markdown(about, results, bench, judged, reasons):
    out = ['# Benchmark results', 'Written by `make bench`; [README.md](README.md) says how to read it.', header(about)]
    out += [f'* {n}' for n in bench.notes] + [f'* **{f}**' for f in bench.faults]
    if any(t['reached'] is not None for t in judged):
        out += ['## Figures to reach', targets.summary(judged) + '.', targets.markdown(judged, reasons)]
    out += ['## Tables', '`*` is the best peer of the case.', table.markdown(results)]
    return '\n\n'.join(out) + '\n'


def write(root, about, results, bench, args):
    judged = targets.judge(cases.TARGETS, results)
    with open(os.path.join(root, 'bench', 'README.md'), encoding='utf-8') as f:
        reasons = targets.tried(f.read())
    folder = os.path.join(root, 'build', 'bench')
    files = {os.path.join(folder, 'results.json'): as_json(about, results, bench, judged),
             os.path.join(folder, 'results.md'): as_markdown(about, results, bench, judged, reasons)}
    for path, content in files.items():
        with open(path, 'w', encoding='utf-8') as f:
            f.write(content)
    print(header(about) + '\n')
    print(table.text(results))
    if text := targets.text(judged):
        print(text + '\n' + targets.summary(judged) + '\n')
    for line in bench.notes:
        print(line)
    print('* the best peer. build/bench/results.json has every sample, build/bench/results.md the tables.')
