#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: weir beside its peers, in turn, on this machine, CPU per request first. bench/README.md says what and how.

Exit status: 0 it ran (figures are never judged here), 1 a proxy gave a wrong answer or an error was counted, 2 it could not run."""
import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
import traceback

import cases
import contenders
import harness
import load
import report
import rounds
import table
from harness import Failed, Skipped

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def names(text):
    return [n for n in text.split(',') if n]


def arguments():
    p = argparse.ArgumentParser(prog='bench/run.py', description='CPU per request and requests per second of weir, its peers and the floor.')
    p.add_argument('--quick', action='store_true', help='two rounds of one second of a few cases, without Envoy and plots')
    p.add_argument('--only', action='extend', type=names, metavar='CASE', help='only these cases or groups of cases; repeatable, or with commas')
    p.add_argument('--proxy', action='extend', type=names, metavar='NAME', help='only these contenders; repeatable, or with commas')
    p.add_argument('--also', action='append', default=[], metavar='NAME=COMMAND', help='another proxy, with {listen} and {target} in its command')
    p.add_argument('--also-pair', action='append', default=[], metavar='NAME=COMMAND', help='the same, both sidecars of a pair at once; {certs} as well')
    p.add_argument('--seconds', type=int, help='length of one measurement (default 1)')
    p.add_argument('--rounds', type=int, help='rounds of all contenders (2 with --quick, else 5)')
    p.add_argument('--list', action='store_true', help='the cases, and no more')
    p.add_argument('--record', action='store_true', help='the tables, plots and samples into bench/RESULTS.md and bench/results, to be committed')
    p.add_argument('--nice', type=int, default=0, metavar='N', help='nice level of everything, -20 to shield a run from other work (root)')
    p.add_argument('--weir', default=os.path.join(ROOT, 'build', 'weir'), metavar='FILE', help='the binary to measure (default build/weir)')
    a = p.parse_args()
    if a.record and (a.quick or a.only or a.proxy):
        p.error('--record is for a whole run: not with --quick, --only or --proxy')
    a.seconds = a.seconds or 1
    a.rounds = a.rounds or (2 if a.quick else 5)
    a.weir = os.path.abspath(a.weir)
    cases.load_all()
    try:
        a.cases = cases.wanted(a.only, a.quick)
    except ValueError as e:
        p.error(str(e))
    return a


def build(*targets):
    """The benchmarks' own programs are not part of the default build."""
    p = subprocess.run(['ninja', '-C', os.path.join(ROOT, 'build'), *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        raise Failed(f'{" ".join(targets)} cannot be built: {p.stdout.decode(errors="replace")[-500:]}')


def measure(bench, wanted):
    """({case: {row: [sample]}}, {case: seconds}). What one case does wrong, or a signal, must not cost what the others measured."""
    samples, took = {}, {}
    for case in wanted:
        began = time.monotonic()
        try:
            cases.check_needs(case)
            samples[case.name] = case.run(bench)
        except Skipped as e:
            bench.note(f'{case.name} is left out: {e}')
        except rounds.FAULTS as e:
            bench.fault(case.name, e)
        except Exception as e:  # a mistake in the case
            traceback.print_exc()
            bench.fault(case.name, repr(e))
        except (SystemExit, KeyboardInterrupt) as e:
            bench.fault(case.name, f'ended by a signal ({e}): neither this case nor those after it are measured')
            return samples, took
        finally:
            took[case.name] = round(time.monotonic() - began)
        rounds.say('')
        print(f'bench: {case.name} took {took[case.name]} s', file=sys.stderr, flush=True)
    return samples, took


def run(args):
    for tool in ('wrk', 'openssl', 'ninja'):
        if not shutil.which(tool):
            raise Failed(f'{tool} is not installed: tools/deps.sh bench')
    build('bench/bench_relay', 'bench/bench_handshakes', 'bench/bench_rate', 'bench/bench_echo')
    folder = os.path.join(ROOT, 'build', 'bench', f'run.{os.getpid()}')
    os.makedirs(folder)
    place = contenders.Place(os.path.join(ROOT, 'build'), folder, secrets.token_hex(16), *harness.cores())
    began, bench = time.monotonic(), None
    try:
        contenders.certificates(place)
        load.openssl_conf(folder)
        peers, found, left_out = contenders.find(place, args, os.path.join(place.build, 'bench', 'bench_relay'))
        bench = rounds.Bench(args, place, found, peers)
        for line in left_out:
            bench.note(line)
        about = report.machine(ROOT, found, args)
        samples, about['case_took_s'] = measure(bench, args.cases)
    finally:
        if bench:
            bench.stop()
        harness.stop_all()
        if bench and not bench.faults:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f'bench: what they wrote is in {folder}', file=sys.stderr)
    about['took_s'] = round(time.monotonic() - began)
    report.write(ROOT, about, table.Results(args.cases, samples), bench, args)
    return 1 if bench.faults else 0


def main():
    args = arguments()
    if args.list:
        for c in cases.CASES:
            print(f'{c.name:<16} {c.group:<10} {"quick" if c.quick else "":<6} {c.what}')
        return 0
    harness.raise_file_limit()
    harness.clean_up_always()
    harness.be_nice(args.nice)
    try:
        return run(args)
    except Failed as e:
        print(f'bench: {e}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
