# SPDX-License-Identifier: Apache-2.0
"""HTTP through one proxy and through a pair of sidecars: every contender does the same work, and its CPU time per request comes first."""
import contextlib
import dataclasses
import functools
import ssl

import harness
import load as loads
from cases import PEERS, Case, Curve, Figure, Target, draw, reach, register
from contenders import Way
from harness import Failed
from load import Load
from mesh import Joined
from origins import BODIES
from rounds import Row

FIGURES = (Figure('cpu_us', 'CPU us/req', '.2f'), Figure('user_us', 'user'), Figure('system_us', 'sys'),
           Figure('rps', 'req/s', ',.0f', more_is_better=True), Figure('p50_us', 'p50 us', '.0f'), Figure('p90_us', 'p90 us', '.0f'),
           Figure('p99_us', 'p99 us', '.0f'), Figure('load_us', 'load us', '.1f'), Figure('origin_us', 'origin us', '.1f'))
H2_FIGURES = tuple(f for f in FIGURES if f.key not in ('p50_us', 'p90_us', 'p99_us')) + (
    Figure('mean_us', 'mean us', '.0f'), Figure('max_us', 'max us', '.0f'))

HANDSHAKE_FIGURES = (Figure('cpu_us', 'CPU us/connection', '.0f'), Figure('user_us', 'user', '.0f'), Figure('system_us', 'sys', '.0f'),
                     Figure('rps', 'connections/s', ',.0f', more_is_better=True), Figure('p50_us', 'p50 us', '.0f'),
                     Figure('p90_us', 'p90 us', '.0f'), Figure('p99_us', 'p99 us', '.0f'), Figure('load_us', 'load us', '.0f'),
                     Figure('origin_us', 'origin us'))


@dataclasses.dataclass(frozen=True)
class Work:
    """What a case sends through what."""
    name: str
    load: Load
    pair: bool = False
    down: str = 'h1'
    up: str = 'h1'
    origin: str = 'h1'
    joined: str = ''  # all: every socket of client, proxies and origin; upstream: of proxy and origin; local: of each pod, not between them


class Client:
    """Sends single requests as the load generator does, and looks at the answers."""

    def __init__(self, bench, work):
        self.token, self.load = bench.place.token.encode(), work.load
        self.context = None
        if work.load.tls:
            self.context = ssl.create_default_context(cafile=f'{bench.place.certs}/ca.crt')
            self.context.check_hostname = False  # it is called by its address
            self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.h2 = work.load.generator == 'h2load'

    def get(self, port, path, body=None):
        return (harness.get_h2 if self.h2 else harness.get)(port, path, 5, self.context, body)

    def check(self, port):
        """To the byte: wrk counts statuses and bytes only. The token is this run's own server's."""
        for path, expected, body in (('/token', self.token, None), (self.load.path, BODIES[self.load.path], self.load.post)):
            status, got = self.get(port, path, body)
            if status != 200 or got != expected:
                raise Failed(f'{path} was answered with {status} and {len(got)} bytes instead of 200 and {len(expected)}')


class Measured(Row):
    def __init__(self, bench, work, started, origin, cgroup):
        self.bench, self.work, self.origin, self.cgroup = bench, work, origin, cgroup
        self.port, self.chain = started
        self.rate = None
        self.client = Client(bench, work)
        super().__init__(measure=self.sample, stop=self.end)

    def ready(self):
        harness.wait_ready(self.chain, self.port, '/token', self.bench.place.token.encode(), h2=self.client.h2, context=self.client.context)
        if not (self.chain[0] if self.chain else self.origin.process).owns_listener(self.port):
            raise Failed(f'port {self.port} is answered by a stranger')
        with harness.inside(self.cgroup):
            self.rate = loads.warm(self.work.load, self.port, self.bench.place.load_core, self.bench.place.folder)
        return self

    def sample(self):
        place, processes = self.bench.place, (*self.chain, self.origin.process)
        before, slept = [p.cpu() for p in processes], sum(p.sleeps() for p in self.chain)
        with harness.inside(self.cgroup):
            r = loads.run(self.work.load, self.port, self.bench.seconds, place.load_core, place.folder, self.rate)
        slept = sum(p.sleeps() for p in self.chain) - slept
        *own, origin = [harness.cpu_between(b, p.cpu()) for b, p in zip(before, processes)]
        for p in self.chain:
            if not p.running():
                raise Failed(f'{p.argv[0]} ended with {p.popen.returncode}: {p.last_words()}')
        self.client.check(self.port)
        n = r['requests']
        user, system = (sum(s[i] for s in own) / n * 1e6 for i in (0, 1))
        each = {'out_us': sum(own[0]) / n * 1e6, 'in_us': sum(own[1]) / n * 1e6} if len(own) == 2 else {}
        return {'cpu_us': user + system, 'user_us': user, 'system_us': system, 'rps': n / r['seconds'], **r['latency'],
                'load_us': r['cpu'] / n * 1e6, 'origin_us': sum(origin) / n * 1e6, 'sleeps': slept / n,
                'requests': n, **each}

    def end(self):
        for p in self.chain:
            p.stop()


@contextlib.contextmanager
def joined(bench, work):
    """(cgroup of the load, those of the two proxies, that of the origin), None for where we are; and that they were joined is asked of the
    kernel in the end."""
    with contextlib.ExitStack() as stack:
        meshes = []
        for i in range({'': 0, 'all': 1, 'upstream': 1, 'local': 2}[work.joined]):
            meshes.append(Joined(bench.place, bench.weir, f'{work.name}.{i}'))
            stack.callback(meshes[-1].stop)
        groups = [m.cgroup for m in meshes]
        if work.joined == 'all':
            yield groups[0], (groups[0], groups[0]), groups[0]
        elif work.joined == 'upstream':
            yield None, (groups[0], groups[0]), groups[0]
        elif work.joined == 'local':
            yield groups[0], (groups[0], groups[1]), groups[1]
        else:
            yield None, (None, None), None
        for m in meshes:
            if not m.ask('counters')['join_began']:
                bench.fault(work.name, 'nothing was joined')


def run(work, bench):
    with joined(bench, work) as (load_group, groups, origin_group), contextlib.ExitStack() as stack:
        if work.joined:
            with harness.inside(origin_group):
                origin = stack.enter_context(bench.own_origin(work.origin))
        else:
            origin = bench.origin(work.origin)
        way = Way(work.name, origin.port, down=work.down, up=work.up, tls=work.load.tls, pair=work.pair, cgroups=groups)

        def start(contender):
            chain = contender.chain(way)
            if not chain:
                return None
            row = Measured(bench, work, chain, origin, load_group)
            try:
                return row.ready()
            except BaseException:
                row.end()
                raise

        return bench.alternate(work.name, {c.name: functools.partial(start, c) for c in bench.found})


def case(work, group, what, quick=False):
    generator = work.load.generator
    h2, handshakes = generator == 'h2load', generator in ('full', 'resumed')
    needs = (('h2load', 'nghttp') if h2 else () if handshakes else ('wrk',)) + (('nghttpd',) if work.origin == 'h2-batch' else ()) + (
        ('root',) if work.joined else ())
    register(Case(work.name, group=group, what=what, figures=H2_FIGURES if h2 else HANDSHAKE_FIGURES if handshakes else FIGURES,
                  run=functools.partial(run, work), needs=needs, quick=quick))


def wrk(path='/small', connections=32, tls=False):
    return Load('wrk', path, connections, tls=tls)


def h2load(path='/small', tls=False, grpc=False):
    return Load('h2load', path, 8, streams=32, tls=tls, grpc=grpc)


case(Work('h1-c32', wrk()), 'h1', 'GET of 13 bytes, 32 kept-alive connections, HTTP/1.1 on both sides', quick=True)
case(Work('h1-c1', wrk(connections=1)), 'h1', 'the same with 1 connection')
case(Work('h1-c256', wrk(connections=256)), 'h1', 'the same with 256 connections')
case(Work('h1-64k', wrk('/64k')), 'h1-64k', 'answers of 64 KiB')
case(Work('h1-post', wrk('/post'), origin='post'), 'h1-post', 'POST of 16 KiB')
case(Work('h1-joined', wrk(), joined='all'), 'h1-joined', 'h1 with every socket of client, proxy and server joined in the kernel')
case(Work('h2', h2load(), down='h2'), 'h2', '8 connections of 32 streams, HTTP/1.1 upstream', quick=True)
case(Work('h2-joined', h2load(), down='h2', joined='upstream'), 'h2-joined', 'the same, proxy and server joined')
case(Work('h2-h2', h2load(), down='h2', up='h2', origin='h2'), 'h2-h2', '8 connections of 32 streams, HTTP/2 upstream')
case(Work('h2-h2-batch', h2load(), down='h2', up='h2', origin='h2-batch'), 'h2-h2-batch', 'the same with a server that answers many streams with one write')
case(Work('h2-h2-joined', h2load(), down='h2', up='h2', origin='h2', joined='upstream'), 'h2-h2-joined', 'the same, proxy and server joined')
case(Work('tls', wrk(tls=True)), 'tls', 'h1 over TLS 1.3', quick=True)
case(Work('tls-h2', h2load(tls=True), down='h2'), 'tls-h2', 'h2 over TLS 1.3')
case(Work('tls-full', Load('full', '/small', 16, tls=True)), 'tls-full',
     'new TLS 1.3 connections, full handshake (ECDSA P-256, X25519), one GET each, 16 at a time')
case(Work('tls-resumed', Load('resumed', '/small', 16, tls=True)), 'tls-resumed', 'the same, each resumed from a ticket')
case(Work('pair-c32', wrk(), pair=True), 'pair', 'client, sidecar, mutual TLS 1.3, sidecar, server; 32 connections', quick=True)
case(Work('pair-c1', wrk(connections=1), pair=True), 'pair', 'the same with 1 connection')
case(Work('pair-c256', wrk(connections=256), pair=True), 'pair', 'the same with 256 connections')
case(Work('pair-joined', wrk(), pair=True, joined='local'), 'pair-joined', 'pair, with the sockets of client and sidecar, and of sidecar and server, joined')
case(Work('pair-h2', h2load('/grpc', grpc=True), pair=True, down='h2', up='h2', origin='grpc'), 'pair-h2',
     'unary calls as gRPC makes them through a pair, HTTP/2 all the way, 8 connections of 32 streams')


# --- figures to reach: ratios of CPU per request, unless said ---

def to_floor(case):
    return lambda r: r.ratio(case, 'weir', 'floor')


def to_best(case, peers=PEERS):
    """Within the case: round by round."""
    return lambda r: r.ratio(case, 'weir', r.best(case, peers=peers))


def joined_to_best(joined_case, plain):
    """weir joined, to the best peer as it is."""
    return lambda r: r.across((joined_case, 'weir'), (plain, r.best(plain)))


ON_OPENSSL = tuple(p for p in PEERS if p != 'envoy')  # its BoringSSL is another library

for c in ('h1-c1', 'h1-c32', 'h1-c256'):
    reach(Target(f'{c}/floor', f'`{c}`: to the bare relay', 1.10, to_floor(c)), Target(f'{c}/best', f'`{c}`: to the best peer', 1.00, to_best(c)))
for c in ('h1-64k', 'h1-post'):
    reach(Target(f'{c}/best', f'`{c}`: to the best peer', 1.00, to_best(c)))
reach(Target('h1-joined/best', '`h1-joined`: to the best peer of `h1-c32`, on plain loopback', 0.60, joined_to_best('h1-joined', 'h1-c32')),
      Target('h1-joined/floor', '`h1-joined`: to the joined bare relay', 1.20, to_floor('h1-joined')),
      Target('h1-joined/none', 'requests/s of `h1-joined` to no proxy at all on plain loopback (`h1-c32`)', 1.4,
             lambda r: r.across(('h1-joined', 'weir'), ('h1-c32', 'none'), 'rps'), at_least=True),
      Target('h2/best', '`h2`: to the best peer', 0.90, to_best('h2')),
      Target('h2-joined/best', '`h2-joined`: to the best peer of `h2`', 0.65, joined_to_best('h2-joined', 'h2')),
      Target('h2-h2/best', '`h2-h2`: to the best peer', 0.80, to_best('h2-h2')),
      Target('tls/best', '`tls`: to the best peer', 0.90, to_best('tls')),
      Target('tls-h2/best', '`tls-h2`: to the best peer', 0.90, to_best('tls-h2')),
      Target('tls-full/best', '`tls-full`: to the best peer on OpenSSL', 1.00, to_best('tls-full', ON_OPENSSL)),
      Target('tls-resumed/best', '`tls-resumed`: to the best peer on OpenSSL', 1.00, to_best('tls-resumed', ON_OPENSSL)))
for c in ('pair-c1', 'pair-c32', 'pair-c256'):
    reach(Target(f'{c}/best', f'`{c}`: to the best peer', 0.80, to_best(c)))
reach(Target('pair-joined/best', '`pair-joined`: to the best peer of `pair-c32`', 0.55, joined_to_best('pair-joined', 'pair-c32')),
      Target('pair-joined/envoy', "`pair-joined`: to Envoy's `pair-c32`", 0.25, lambda r: r.across(('pair-joined', 'weir'), ('pair-c32', 'envoy'))),
      Target('pair-h2/best', '`pair-h2`: to the best peer', 0.80, to_best('pair-h2')))


def by_connections(group):
    def lines(results):
        out = {}
        for n in (1, 32, 256):
            for row in results.samples.get(f'{group}-c{n}', {}):
                if row != 'none':
                    out.setdefault(row, []).append((n, results.get(f'{group}-c{n}', row)))
        return out
    return lines


draw(Curve('h1-connections', 'h1', 'connections', 'CPU us per request', by_connections('h1')),
     Curve('pair-connections', 'pair', 'connections', 'CPU us per request', by_connections('pair')))
