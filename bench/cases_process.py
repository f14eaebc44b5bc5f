# SPDX-License-Identifier: Apache-2.0
"""The process itself: what an idle connection holds of its memory, and what starting takes."""
import functools
import os
import select
import socket
import ssl
import time

import harness
from cases import Case, Figure, Target, reach, register
from contenders import Link, Nobody, Way
from harness import Failed
from rounds import Row

KINDS = {'plain': frozenset(), 'tls': frozenset({'tls'}), 'h2': frozenset({'tls', 'h2'}), 'mutual': frozenset({'mutual', 'h2'})}
WORDS = {'plain': 'HTTP/1.1', 'tls': 'TLS 1.3, HTTP/1.1', 'h2': 'TLS 1.3, HTTP/2', 'mutual': 'TLS 1.3 with a client certificate, HTTP/2, as between sidecars'}
PLAIN, TLS, QUICK = 8000, 1000, 500  # connections at most; a proxy by default takes half of its 20,000 descriptors
WARM = 100
SETTLE_S = 0.5

H2_PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\4\0\0\0\0\0'
H2_BLOCK = b'\x82\x87\x04\x06/small\x01\x05bench'  # :method GET, :scheme https, :path and :authority as literals
H2_GET = len(H2_BLOCK).to_bytes(3, 'big') + b'\1\5\0\0\0\1' + H2_BLOCK
END_STREAM = 1


def rss(process):
    total = 0
    for pid in process.pids:
        try:
            with open(f'/proc/{pid}/statm', encoding='ascii') as f:
                total += int(f.read().split()[1])
        except OSError:
            pass
    return total * os.sysconf('SC_PAGE_SIZE')


def exactly(s, n):
    data = b''
    while len(data) < n:
        got = s.recv(n - len(data))
        if not got:
            raise Failed('a connection was closed before its answer')
        data += got
    return data


def answered_h2(s):
    """One GET on stream 1, to its end."""
    s.sendall(H2_PREFACE + H2_GET)
    while True:
        head = exactly(s, 9)
        size, kind, flags, stream = int.from_bytes(head[:3], 'big'), head[3], head[4], int.from_bytes(head[5:], 'big')
        payload = exactly(s, size)
        if kind == 4 and not flags & 1:
            s.sendall(b'\0\0\0\4\1\0\0\0\0')
        elif kind in (3, 7):
            raise Failed(f'HTTP/2 frame {kind}: {payload!r}')
        elif stream == 1 and kind in (0, 1) and flags & END_STREAM:
            return


def answered(s):
    s.sendall(b'GET /small HTTP/1.1\r\nHost: bench\r\n\r\n')
    data = b''
    while not data.endswith(b'hello, world\n'):
        got = s.recv(4096)
        if not got:
            raise Failed('a connection was closed before its answer')
        data += got
    if not data.startswith(b'HTTP/1.1 200 '):
        raise Failed(f'answered with {data[:40]!r}')


class Clients:
    def __init__(self, bench, kind, port):
        self.kind, self.port, self.open, self.context = kind, port, [], None
        if KINDS[kind]:
            c = bench.place.certs
            self.context = ssl.create_default_context(cafile=f'{c}/ca.crt')
            self.context.check_hostname = False
            self.context.minimum_version = ssl.TLSVersion.TLSv1_3
            self.context.set_alpn_protocols(['h2' if 'h2' in KINDS[kind] else 'http/1.1'])
            if kind == 'mutual':
                self.context.load_cert_chain(f'{c}/client.crt', f'{c}/client.key')

    def more(self, n):
        for _ in range(n):
            s = socket.create_connection(('127.0.0.1', self.port), timeout=20)
            if self.context:
                s = self.context.wrap_socket(s)
            self.open.append(s)
            (answered_h2 if 'h2' in KINDS[self.kind] else answered)(s)

    def all_there(self):
        """None was closed: those would hold nothing."""
        poll = select.poll()
        for s in self.open:
            poll.register(s, select.POLLRDHUP)
        gone = len(poll.poll(0))
        if gone:
            raise Failed(f'{gone} of {len(self.open)} idle connections were closed')

    def close(self):
        while self.open:
            self.open.pop().close()


def idle(bench, kind, port, process):
    n = QUICK if bench.quick else PLAIN if kind == 'plain' else TLS
    clients = Clients(bench, kind, port)
    try:
        clients.more(WARM)
        time.sleep(SETTLE_S)
        process.settle()
        before = rss(process)
        clients.more(n)
        time.sleep(SETTLE_S)
        clients.all_there()
        return {'kib': (rss(process) - before) / n / 1024, 'rss_mb': rss(process) / 1e6, 'connections': n}
    finally:
        clients.close()


def connected(process, port, seconds=10):
    """Polled without a pause: until a connection is accepted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return socket.create_connection(('127.0.0.1', port), timeout=5)
        except OSError:
            if not process.running():
                raise Failed(f'ended with {process.popen.returncode}: {process.last_words()}') from None
    raise Failed(f'nothing listens after {seconds} s: {process.last_words()}')


def start(bench, case, contender, kind='plain'):
    """(port, process) of one proxy before the origin."""
    port = harness.free_port()
    return port, contender.link(Link(f'{case}.{contender.name}', port, bench.origin().port, KINDS[kind]))


def takes_part(bench, contender, kind):
    pair = kind == 'mutual'
    way = Way(f'conns-{kind}', bench.origin().port, down='h2' if 'h2' in KINDS[kind] and not pair else 'h1', tls=bool(KINDS[kind]),
              pair=pair)
    return not isinstance(contender, Nobody) and contender.able(way)


def in_turn(bench, case, measure, found, rounds=None):
    """A fresh process for each measurement."""
    return bench.alternate(case, {name: functools.partial(Row, functools.partial(measure, c)) for name, c in found.items()}, rounds)


def run_idle(kind, bench):
    case = f'conns-{kind}'

    def measure(contender):
        port, process = start(bench, case, contender, kind)
        try:
            connected(process, port).close()
            return idle(bench, kind, port, process)
        finally:
            process.stop()

    return in_turn(bench, case, measure, {c.name: c for c in bench.found if takes_part(bench, c, kind)}, 1 if bench.quick else 2)


def run_start(bench):
    def measure(contender):
        port, process = start(bench, 'start', contender)
        began = time.monotonic()  # the program has just been executed: Popen returns then
        try:
            with connected(process, port) as s:
                answered(s)
            took = time.monotonic() - began
            time.sleep(SETTLE_S)
            process.settle()
            return {'ready_ms': took * 1e3, 'rss_mb': rss(process) / 1e6,
                    'binary_mb': os.path.getsize(os.path.realpath(contender.program)) / 1e6}
        finally:
            process.stop()

    found = {c.name: c for c in bench.found if takes_part(bench, c, 'plain')}
    return in_turn(bench, 'start', measure, found)


IDLE = (Figure('kib', 'KiB per idle connection', '.2f'), Figure('connections', 'connections', ',.0f'), Figure('rss_mb', 'RSS MB', '.1f'))
for kind, words in WORDS.items():
    register(Case(f'conns-{kind}', group='conns', what=f'resident memory of an idle connection that has had one answer: {words}', figures=IDLE,
                  run=functools.partial(run_idle, kind)))
register(Case('start', group='start', what='from exec to the first answer, resident memory then, size of the program alone (peers have shared '
              'libraries, weir none)', run=run_start,
              figures=(Figure('ready_ms', 'ready ms'), Figure('rss_mb', 'RSS MB'), Figure('binary_mb', 'program MB'))))
reach(Target('conns-plain', '`conns-plain`: KiB per connection', 0.8, lambda r: r.get('conns-plain', 'weir')),
      Target('conns-tls', '`conns-tls`: KiB per connection', 15, lambda r: r.get('conns-tls', 'weir')),
      Target('start/ready', '`start`: ms until ready', 20, lambda r: r.get('start', 'weir', 'ready_ms'), form='.1f'),
      Target('start/rss', '`start`: RSS in MB', 8, lambda r: r.get('start', 'weir', 'rss_mb'), form='.1f'),
      Target('start/binary', '`start`: MB of the binary', 8, lambda r: r.get('start', 'weir', 'binary_mb'), form='.1f'))
