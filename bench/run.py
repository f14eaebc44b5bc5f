#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: weir beside its peers, in turn, on this machine, CPU per request first. bench/README.md says what and how.

Exit status: 0 it ran (figures are never judged here), 1 a proxy gave a wrong answer or an error was counted, 2 it could not run."""
import argparse
import dataclasses
import datetime
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time

import contenders
import harness
import load
import table
from harness import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BODIES = {'/0': b'', '/small': b'hello, world\n', '/1k': b'0123456789abcdef' * 64, '/64k': b'0123456789abcdef' * 4096}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    shape: str  # h1: one proxy; pair: two with mutual TLS between; h2: one proxy, HTTP/2 from the client
    path: str
    connections: int
    quick: bool = False
    streams: int = 1
    joined: bool = False  # every socket of client, proxies and origin joined in the kernel

    @property
    def body(self):
        return len(BODIES[self.path])


CASES = (
    Case('h1', 'h1', '/small', 32, quick=True),
    Case('h1-1k', 'h1', '/1k', 32, quick=True),
    Case('h1-0', 'h1', '/0', 32),
    Case('h1-64k', 'h1', '/64k', 32),
    Case('h1-joined', 'h1', '/small', 32, joined=True),
    Case('h1-64k-joined', 'h1', '/64k', 32, joined=True),
    Case('h1-c1', 'h1', '/small', 1),
    Case('h1-c256', 'h1', '/small', 256),
    Case('pair', 'pair', '/small', 32, quick=True),
    Case('pair-64k', 'pair', '/64k', 32),
    Case('pair-joined', 'pair', '/small', 32, joined=True),
    Case('pair-c256', 'pair', '/small', 256),
    Case('h2', 'h2', '/small', 8, streams=32),
)


def arguments():
    p = argparse.ArgumentParser(prog='bench/run.py', description='CPU per request and requests per second of weir, its peers and the floor.')
    p.add_argument('--quick', action='store_true', help='three rounds of one second of the cases h1, h1-1k and pair')
    p.add_argument('--case', action='append', metavar='NAME', help=f'only this case; repeatable: {" ".join(c.name for c in CASES)}')
    p.add_argument('--only', action='append', metavar='NAME', help='only this contender; repeatable')
    p.add_argument('--also', action='append', default=[], metavar='NAME=COMMAND', help='another proxy, {listen} and {target} in its command')
    p.add_argument('--seconds', type=int, help='length of one measurement (1 with --quick, else 3)')
    p.add_argument('--rounds', type=int, help='rounds of all contenders (3 with --quick, else 5)')
    p.add_argument('--repeat', type=int, default=1, metavar='N', help='everything N times from the start; the rounds are pooled')
    p.add_argument('--markdown', action='store_true', help='the table as Markdown')
    p.add_argument('--nice', type=int, default=0, metavar='N', help='nice level of everything, -20 to shield a run from other work (root)')
    p.add_argument('--weir', default=os.path.join(ROOT, 'build', 'weir'), metavar='FILE', help='the binary to measure (default build/weir)')
    a = p.parse_args()
    a.seconds = a.seconds or (1 if a.quick else 3)
    a.rounds = a.rounds or (3 if a.quick else 5)
    names = {c.name for c in CASES}
    for wanted in a.case or ():
        if wanted not in names:
            p.error(f'no case is called {wanted}: {" ".join(sorted(names))}')
    return a


def say(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def build_relay():
    """The floor is not part of the default build."""
    build = os.path.join(ROOT, 'build')
    p = subprocess.run(['ninja', '-C', build, 'bench/bench_relay'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode != 0:
        raise Failed(f'the floor does not build: {p.stdout.decode(errors="replace")[-500:]}')
    return os.path.join(build, 'bench', 'bench_relay')


class Runner:
    def __init__(self, place, args, nginx, origin_port, origin):
        self.place, self.args, self.nginx, self.origin_port, self.origin = place, args, nginx, origin_port, origin

    def measure(self, case, port, processes, seconds):
        generator = load.h2load if case.shape == 'h2' else load.wrk
        before = [p.cpu() for p in (*processes, self.origin)]
        slept = sum(p.sleeps() for p in processes)
        r = generator(port, case, seconds, self.place.load_core, self.place.folder)
        slept = sum(p.sleeps() for p in processes) - slept
        after = [p.cpu() for p in (*processes, self.origin)]
        spent = [harness.cpu_between(b, a) for b, a in zip(before, after)]
        n = r['requests']
        *own, origin = spent
        user, system = (sum(s[i] for s in own) / n * 1e6 for i in (0, 1))
        return {'cpu_us': user + system, 'user_us': user, 'system_us': system, 'rps': n / r['seconds'], 'requests': n,
                'sleeps_per_request': slept / n, 'origin_us': sum(origin) / n * 1e6, 'bytes_per_request': r['bytes_per_request'], 'latency_us': r['latency_us'],
                'cpu_us_each': [sum(s) / n * 1e6 for s in own]}

    def check(self, case, port, processes):
        """The answer itself, to the byte, by one request: wrk counts statuses and bytes only."""
        for p in processes:
            if not p.running():
                raise Failed(f'{p.argv[0]} ended with {p.popen.returncode}: {p.last_words()}')
        if case.shape == 'h2':
            return
        for path in ('/token', case.path):
            status, body = harness.get(port, path)
            expected = self.place.token.encode() if path == '/token' else BODIES[path]
            if status != 200 or body != expected:
                raise Failed(f'{path} was answered with {status} and {len(body)} bytes instead of 200 and {len(expected)}')

    def start(self, case, contender, origin_port):
        port, chain = contender.chain(case.shape, case.name, origin_port)
        if not chain:
            return None
        if case.shape == 'h2':
            wait_h2(port, chain)
        else:
            harness.wait_ready(chain, port, '/token', self.place.token.encode())
        if not chain[0].owns_listener(port):
            raise Failed(f'port {port} is answered by a stranger')
        return port, chain

    def joined_case(self, case, found, faults):
        """The same with an origin of its own in the cgroup whose sockets are joined; that they were is asked of the kernel."""
        try:
            joined = contenders.Joined(self.place, self.args.weir, case.name)
        except Failed as e:
            faults.append(f'{case.name}: {e}')
            print(f'bench: {faults[-1]}', file=sys.stderr)
            return {}
        with harness.inside(joined.cgroup):
            port, plain = self.origin_port, self.origin
            self.origin_port, self.origin = contenders.start_origin(self.place, self.nginx)
            try:
                samples = self.case(case, found, faults)
                if samples and not joined.ask('counters')['join_began']:
                    faults.append(f'{case.name}: nothing was joined')
            finally:
                self.origin.stop()
                self.origin_port, self.origin = port, plain
                joined.stop()
        return samples

    def case(self, case, found, faults):
        """Rounds of A B C, A B C ...; a contender with a fault leaves the case, and the run fails in the end."""
        running, samples = {}, {}

        def drop(name, why):
            faults.append(f'{case.name}: {name}: {why}')
            print(f'bench: {faults[-1]}', file=sys.stderr)
            for p in running.pop(name, (0, []))[1]:
                p.stop()
            samples.pop(name, None)

        for c in found:
            try:
                started = self.start(case, c, self.origin_port)
                if started:
                    running[c.name] = started
                    load.warm(started[0], case, self.place.load_core)
                    samples[c.name] = []
            except Failed as e:
                drop(c.name, e)
        for n in range(self.args.rounds):
            for name in list(running):
                say(f'{case.name}: round {n + 1} of {self.args.rounds}, {name}')
                try:
                    samples[name].append(self.measure(case, *running[name], self.args.seconds))
                    self.check(case, *running[name])
                except (Failed, OSError) as e:
                    drop(name, e)
        for _, chain in running.values():
            for p in chain:
                p.stop()
        return samples


def wait_h2(port, chain):
    """HTTP/2 by prior knowledge: h2load itself must get one right answer."""
    end, out = time.monotonic() + 5, ''
    while time.monotonic() < end:
        p = subprocess.run(['h2load', '-n1', '-c1', f'http://127.0.0.1:{port}/small'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=10, check=False)
        out = p.stdout.decode(errors='replace')
        if '1 2xx' in out:
            for q in chain:
                q.settle()
            return
        time.sleep(0.05)
    raise Failed('speaks no HTTP/2 by prior knowledge')


def machine(found):
    def first(path, key):
        try:
            with open(path, encoding='utf-8') as f:
                return next((line.split(':', 1)[1].strip() for line in f if line.startswith(key)), '?')
        except OSError:
            return '?'

    tools = {'wrk': subprocess.run(['wrk', '-v'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode().split('\n')[0]}
    return {'date': datetime.date.today().isoformat(), 'kernel': platform.release(), 'cpu': first('/proc/cpuinfo', 'model name'),
            'cores': len(os.sched_getaffinity(0)), 'versions': {**{c.name: c.version() for c in found}, **tools}}


def header(about, args):
    v = about['versions']
    who = ', '.join(f'{n} {v[n]}' for n in v if n not in ('floor', 'wrk'))
    return (f'{about["date"]}, Linux {about["kernel"]}, {about["cpu"]} ({about["cores"]} cores); {who}; '
            f'{args.rounds * args.repeat} rounds of {args.seconds} s each')


def run(args):
    for tool in ('wrk', 'openssl', 'ninja'):
        if not shutil.which(tool):
            raise Failed(f'{tool} is not installed: tools/deps.sh bench')
    wanted = [c for c in CASES if (c.name in args.case if args.case else c.quick or not args.quick)]
    if not shutil.which('h2load'):
        print('bench: h2 is left out: h2load (package nghttp2-client) is not installed', file=sys.stderr)
        wanted = [c for c in wanted if c.shape != 'h2']
    out = os.path.join(ROOT, 'build', 'bench')
    folder = os.path.join(out, f'run.{os.getpid()}')
    os.makedirs(folder)
    place = contenders.Place(os.path.join(ROOT, 'build'), folder, secrets.token_hex(16), *harness.cores())
    rounds, faults = {c.name: {} for c in wanted}, []
    try:
        contenders.certificates(place)
        nginx, found = contenders.find(place, args.weir, build_relay(), args.also, args.only)
        about = machine(found)
        for _ in range(args.repeat):
            port, origin = contenders.start_origin(place, nginx)
            runner = Runner(place, args, nginx, port, origin)
            for case in wanted:
                run_case = runner.joined_case if case.joined else runner.case
                for name, samples in run_case(case, found, faults).items():
                    rounds[case.name].setdefault(name, []).extend(samples)
            origin.stop()
        say('')
    finally:
        harness.stop_all()
        if not faults:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f'bench: what they wrote is in {folder}', file=sys.stderr)
    results = {name: table.summarise(r) for name, r in rounds.items()}
    report(args, out, about, results, faults)
    return 1 if faults else 0


def report(args, out, about, results, faults):
    with open(os.path.join(out, 'results.json'), 'w', encoding='utf-8') as f:
        json.dump({'about': about, 'seconds': args.seconds, 'rounds': args.rounds * args.repeat, 'results': results, 'faults': faults}, f,
                  indent=1)
        f.write('\n')
    print(header(about, args))
    print()
    print(table.markdown(results) if args.markdown else table.text(results))
    print(f'\n* the best peer. {os.path.relpath(os.path.join(out, "results.json"))} has every sample.' if not args.markdown else '')


def main():
    args = arguments()
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
