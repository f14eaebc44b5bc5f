# SPDX-License-Identifier: Apache-2.0
"""How the cost of a request grows with connections, and what a second worker adds."""
import functools
import json
import os
import re
import subprocess

import harness
import load as loads
from cases import Case, Curve, Figure, Target, draw, reach, register
from contenders import Way
from harness import Failed, Process
from rounds import Row

FIGURES = (Figure('cpu_us', 'CPU us/req', '.2f'), Figure('user_us', 'user'), Figure('system_us', 'sys'), Figure('rps', 'req/s', ',.0f', True))
SIZES = (1, 32, 256, 1000, 4000)
WHO = {'floor': SIZES, 'nginx': (32, 4000), 'haproxy': (32, 4000), 'envoy': (32, 4000), 'weir': SIZES}
WARM_MS = 300


def row_of(name, n):
    return f'{name} {n:,}'


class Many:
    """One contender under N connections, all of them busy. CPU is read from when they are all connected (wrk would have it read before)."""

    def __init__(self, bench, contender, n):
        self.bench, self.n = bench, n
        self.port, self.chain = contender.chain(Way(f'scale.{n}', bench.origin().port))
        try:
            harness.wait_ready(self.chain, self.port, '/token', bench.place.token.encode())
            if not self.chain[0].owns_listener(self.port):
                raise Failed(f'port {self.port} is answered by a stranger')
        except BaseException:
            self.stop()
            raise

    def measure(self):
        argv = [loads.RATE, str(self.port), '/small', '13', '0', str(self.n), str(int(self.bench.seconds * 1000)), str(WARM_MS)]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=harness.pinned(self.bench.place.load_core)) as p:
            if p.stdout.readline() != 'WARM\n':
                raise Failed(f'{self.n} connections: {p.communicate()[1].strip()}')
            before = [q.cpu() for q in self.chain]
            found = re.match('RESULT (.*)', p.stdout.readline())
            spent = [harness.cpu_between(b, q.cpu()) for b, q in zip(before, self.chain)]
            why = p.communicate(timeout=20)[1].strip()
        if not found or p.returncode:
            raise Failed(f'{self.n} connections: {why}')
        r = json.loads(found.group(1))
        user, system = (sum(s[i] for s in spent) / r['requests'] * 1e6 for i in (0, 1))
        return {'cpu_us': user + system, 'user_us': user, 'system_us': system, 'rps': r['requests'] / r['us'] * 1e6}

    def stop(self):
        for p in self.chain:
            p.stop()


def run_scale(bench):
    def start(contender, n):
        many = Many(bench, contender, n)
        return Row(measure=many.measure, stop=many.stop)

    return bench.alternate('scale', {row_of(c.name, n): functools.partial(start, c, n) for c in bench.found for n in WHO.get(c.name, ())})


def run_workers(bench):
    """On all cores, which the load generator and the origin share: what tells is the CPU time of a request."""
    cores = {bench.place.proxy_core, bench.place.load_core}
    work = loads.Load('wrk', '/small', 64)

    def start(n):
        port = harness.free_port()
        name = f'workers.{n}'
        p = Process([bench.weir, 'proxy', '--listen', f'127.0.0.1:{port}', '--to', f'http://127.0.0.1:{bench.origin().port}', '--workers', str(n),
                     '--access-log', 'off'], bench.place.proxy_core, os.path.join(bench.scratch(name), 'log'))
        harness.wait_ready([p], port, '/token', bench.place.token.encode())
        for task in os.listdir(f'/proc/{p.popen.pid}/task'):
            os.sched_setaffinity(int(task), cores)
        loads.warm(work, port, bench.place.load_core, bench.place.folder)
        return Row(measure=functools.partial(measure, p, port), stop=p.stop)

    def measure(p, port):
        before = p.cpu()
        r = loads.run(work, port, bench.seconds, bench.place.load_core, bench.place.folder)
        user, system = (s / r['requests'] * 1e6 for s in harness.cpu_between(before, p.cpu()))
        return {'cpu_us': user + system, 'user_us': user, 'system_us': system, 'rps': r['requests'] / r['seconds']}

    return bench.alternate('workers', {f'{n} worker{"s" if n > 1 else ""}': functools.partial(start, n) for n in (1, 2)})


def lines(results):
    return {name: found for name, sizes in WHO.items()
            if (found := [(n, v) for n in sizes if (v := results.get('scale', row_of(name, n))) is not None])}


def twofold(results):
    """What two workers could do on cores of their own, as a multiple of one: twice, less what each request costs more."""
    ratio = results.ratio('workers', '2 workers', '1 worker')
    return 2 / ratio if ratio else None


register(Case('scale', group='scale', what='GET of 13 bytes through one proxy on 1 to 4,000 connections, all of them busy; CPU from when all are '
              'connected', figures=FIGURES, run=run_scale))
register(Case('workers', group='scale', what='weir with one and two workers on both cores, 64 connections; load and server run there too', figures=FIGURES,
              run=run_workers, needs=('wrk',)))
reach(Target('scale', '`scale`: CPU per request on 4,000 connections to 32', 1.15, lambda r: r.ratio('scale', row_of('weir', 4000), row_of('weir', 32))),
      Target('workers', '`workers`: what two workers could do to what one does, by CPU per request', 1.8, twofold, at_least=True))
draw(Curve('scale', 'one proxy, HTTP/1.1', 'connections', 'CPU us per request', lines))
