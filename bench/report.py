# SPDX-License-Identifier: Apache-2.0
"""What a run leaves: tables on standard output, build/bench/{results.json,results.md} and, to be committed, bench/RESULTS.md and bench/results."""
import datetime
import json
import os
import platform
import shutil
import subprocess

import cases
import harness
import plots
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
            'seconds': args.seconds, 'rounds': args.rounds, 'nice': args.nice, 'quick': args.quick, 'only': args.only or [],
            'also': args.also + args.also_pair}


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


def as_markdown(about, results, bench, judged, reasons, pictures=()):
    out = ['# Benchmark results', 'Written by `make bench`; [README.md](README.md) says how to read it.', header(about)]
    out += ['\n'.join([f'* {n}' for n in bench.notes] + [f'* **{f}**' for f in bench.faults])] if bench.notes or bench.faults else []
    if any(t['reached'] is not None for t in judged):
        out += ['## Figures to reach', targets.summary(judged) + '.', targets.markdown(judged, reasons)]
    if pictures:
        out += ['## Plots', '\n'.join(f'![{os.path.splitext(os.path.basename(p))[0]}]({p})' for p in pictures)]
    out += ['## Tables', '`*` is the best peer of the case.', table.markdown(results)]
    return '\n\n'.join(out) + '\n'


def _plots(results, bench, folder, args):
    if args.quick:
        return []
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        return plots.write(results, cases.CURVES, folder)
    except ImportError:
        bench.note('no plots: python3-matplotlib is not installed: tools/deps.sh plots')
        return []


def _put(path, content):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(content)


def _record(root, folder, pictures, json_text, markdown):
    """Into the repository: what is older goes."""
    into = os.path.join(root, 'bench', 'results')
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(into)
    for name in pictures:
        shutil.copyfile(os.path.join(folder, name), os.path.join(into, name))
    _put(os.path.join(into, 'results.json'), json_text)
    _put(os.path.join(root, 'bench', 'RESULTS.md'), markdown)


def write(root, about, results, bench, args):
    judged = targets.judge(cases.TARGETS, results)
    with open(os.path.join(root, 'bench', 'README.md'), encoding='utf-8') as f:
        reasons = targets.tried(f.read())
    folder = os.path.join(root, 'build', 'bench')
    pictures = _plots(results, bench, os.path.join(folder, 'plots'), args)
    text = as_json(about, results, bench, judged)
    _put(os.path.join(folder, 'results.json'), text)
    _put(os.path.join(folder, 'results.md'), as_markdown(about, results, bench, judged, reasons, [f'plots/{p}' for p in pictures]))
    if args.record:
        _record(root, os.path.join(folder, 'plots'), pictures, text,
                as_markdown(about, results, bench, judged, reasons, [f'results/{p}' for p in pictures]))
    print(header(about) + '\n')
    print(table.text(results))
    if lines := targets.text(judged):
        print(lines + '\n' + targets.summary(judged) + '\n')
    for line in bench.notes + bench.faults:
        print(line)
    print('* the best peer. build/bench/results.json has every sample, build/bench/results.md the tables'
          + (', build/bench/plots the plots.' if pictures else '.') + (' Recorded in bench/RESULTS.md and bench/results.' if args.record else ''))
