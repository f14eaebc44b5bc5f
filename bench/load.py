# SPDX-License-Identifier: Apache-2.0
"""The load generators: wrk for HTTP/1.1, h2load for HTTP/2, bench/clients/handshakes.c for new TLS connections,
bench/clients/rate.c for requests at a fixed rate. Each returns the same figures and calls any fault a fault."""
import contextlib
import dataclasses
import json
import os
import re
import resource
import signal
import subprocess

from harness import Failed, pinned
from origins import BODIES, POST_BYTES

HANDSHAKES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'build', 'bench', 'bench_handshakes')
RATE = os.path.join(os.path.dirname(HANDSHAKES), 'bench_rate')
# What TLS clients ask for; `openssl_conf` writes it for those that cannot be told.
CIPHER, GROUP = 'TLS_AES_128_GCM_SHA256', 'X25519'
GRPC_MESSAGE = b'\0\0\0\0\x1b' + b'0123456789abcdefghijklmnopq'

# wrk's own summary, complete; a response callback would slow it, this runs once at the end.
WRK_SCRIPT = '''
function done(s, l, r)
  io.write(string.format('\\nRESULT {"requests":%d,"us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50":%d,"p90":%d,"p99":%d,"max":%d}\\n', s.requests, s.duration, s.bytes, s.errors.connect, s.errors.read, s.errors.write,
    s.errors.status, s.errors.timeout, l:percentile(50), l:percentile(90), l:percentile(99), l.max))
end
'''
WRK_POST = f'wrk.method = "POST"\nwrk.body = string.rep("0123456789abcdef", {POST_BYTES // 16})\n'


@dataclasses.dataclass(frozen=True)
class Load:
    generator: str  # wrk (HTTP/1.1), h2load, full or resumed (a connection for each request), rate (HTTP/1.1)
    path: str
    connections: int
    streams: int = 1
    tls: bool = False
    grpc: bool = False  # unary calls: a message and `te: trailers`
    rate: int = 0  # requests per second, of the generator `rate`

    def url(self, port):
        return f'{"https" if self.tls else "http"}://127.0.0.1:{port}{self.path}'

    @property
    def post(self):
        """What each request carries, or None."""
        return GRPC_MESSAGE if self.grpc else b'0' * POST_BYTES if self.path == '/post' else None


def openssl_conf(folder):
    path = os.path.join(folder, 'openssl.cnf')
    with open(path, 'w', encoding='ascii') as f:
        f.write('openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = TLSv1.3\n'
                f'Ciphersuites = {CIPHER}\nGroups = {GROUP}\n')
    return path


def _written(folder, name, content):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        with open(path, 'wb') as f:
            f.write(content)
    return path


def argv(load, port, folder, seconds=None, requests=None):
    """h2load is given a number of requests rather than seconds, so that it ends with none of them unanswered: each of those would cost some
    proxies a connection upstream. (wrk cannot be told a number.)"""
    if load.generator == 'h2load':
        more = ['-d', _written(folder, 'grpc.message', GRPC_MESSAGE), '-H', 'te: trailers', '-H', 'content-type: application/grpc'] if load.grpc else []
        return ['h2load', '-t1', f'-c{load.connections}', f'-m{load.streams}', f'-n{requests}', f'--tls13-ciphers={CIPHER}',
                f'--groups={GROUP}', *more, load.url(port)]
    if load.generator in ('full', 'resumed'):
        return [HANDSHAKES, str(port), load.path, BODIES[load.path].decode(), os.path.join(folder, 'certs', 'ca.crt'), str(load.connections),
                str(int(seconds * 1000)), load.generator]
    if load.generator == 'rate':
        seconds = max(seconds, 2)  # fewer requests have no 99th percentile worth the name
        return [RATE, str(port), load.path, str(len(BODIES[load.path])), str(load.rate), str(load.connections), str(int(seconds * 1000)), '200']
    script = WRK_SCRIPT + (WRK_POST if load.post else '')
    file = _written(folder, 'post.lua' if load.post else 'get.lua', script.encode())
    return ['wrk', '-t1', f'-c{load.connections}', f'-d{seconds}s', '-s', file, load.url(port)]


def _env(folder):
    return {**os.environ, 'OPENSSL_CONF': os.path.join(folder, 'openssl.cnf')}


def _run(command, core, seconds, folder):
    """(its output, its CPU seconds)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 20,
                           preexec_fn=pinned(core), env=_env(folder), check=False)
    except subprocess.TimeoutExpired as e:
        raise Failed(f'{command[0]} did not end') from e
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = p.stdout.decode(errors='replace')
    if p.returncode != 0:
        raise Failed(f'{command[0]} ended with {p.returncode}: {out.strip()[-200:]}')
    return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def warm(load, port, core, folder):
    """A third of a second of the same load, not measured: fills the pools, so that no measurement pays for connecting upstream. Returns the
    requests per second, roughly, of what is to be given a number of them."""
    if load.generator == 'h2load':
        rate = 0
        for _ in range(3):
            r = _h2load(_run(argv(load, port, folder, requests=max(1024, int(rate / 3))), core, 10, folder)[0])
            rate = r['requests'] / r['seconds']
        return rate
    if load.generator in ('full', 'resumed', 'rate'):
        _run(argv(load, port, folder, 0.3), core, 1, folder)
        return None
    p = subprocess.Popen(argv(load, port, folder, 9), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         preexec_fn=pinned(core), env=_env(folder))
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(0.3)
        p.send_signal(signal.SIGINT)  # it stops and closes; a machine with no time for that is none to measure on, but that is not decided here
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(5)
    finally:
        p.kill()
        p.wait()
    return None


def run(load, port, seconds, core, folder, rate=None):
    """For that long, or about that long at a rate known. {requests, seconds, cpu (of the generator, in seconds), bytes (all that came), latency in us: p50, p90, p99, max, or mean and max}"""
    out, cpu = _run(argv(load, port, folder, seconds, rate and max(1024, int(rate * seconds))), core, seconds, folder)
    r = _h2load(out) if load.generator == 'h2load' else _result(out)
    if r['requests'] == 0:
        raise Failed('not one request was answered')
    if r['bytes'] is None:  # compared by the generator, each
        return {**r, 'cpu': cpu}
    body = len(BODIES[load.path])
    if r['bytes'] < r['requests'] * body:
        raise Failed(f'{r["bytes"]} bytes for {r["requests"]} answers of {body}: bodies are short')
    return {**r, 'cpu': cpu}


def _result(out):
    found = re.search(r'^RESULT (.*)$', out, re.M)
    if not found:
        raise Failed(f'the load generator said nothing to be understood: {out.strip()[-200:]}')
    r = json.loads(found.group(1))
    for kind in ('connect', 'read', 'write', 'status', 'timeout'):
        if r.get(kind):
            raise Failed(f'wrk counted {r[kind]} {kind} errors in {r["requests"]} requests')
    return {'requests': r['requests'], 'seconds': r['us'] / 1e6, 'bytes': r.get('bytes'), 
            'latency': {f'{k}_us': r[k] for k in ('p50', 'p90', 'p99', 'p999', 'max', 'wakeup') if k in r}}


def _h2load(out):
    took = re.search(r'^finished in ([\d.]+)(us|ms|s), ([\d.]+) req/s', out, re.M)
    codes = re.search(r'^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx', out, re.M)
    # Requests still running when time is up are counted neither as done nor as faults.
    faults = re.search(r'^requests:.* (\d+) failed, (\d+) errored, (\d+) timeout', out, re.M)
    traffic = re.search(r'^traffic:.*\((\d+)\) total, .*\((\d+)\) data', out, re.M)
    mean = re.search(r'^time for request:\s+\S+\s+(\S+)\s+(\S+)', out, re.M)
    if not (took and codes and faults and traffic):
        raise Failed(f'h2load said nothing to be understood: {out.strip()[-200:]}')
    done, *bad = (int(x) for x in codes.groups())
    if any(bad) or any(int(x) for x in faults.groups()):
        raise Failed(f'h2load: {codes.group(0)}; {faults.group(0)}')
    latency = {'max_us': _us(mean.group(1)), 'mean_us': _us(mean.group(2))} if mean else {}
    return {'requests': done, 'seconds': _us(took.group(1) + took.group(2)) / 1e6, 'bytes': int(traffic.group(1)), 'latency': latency}


def _us(text):
    number, unit = re.match(r'([\d.]+)(us|ms|s)', text).groups()
    return float(number) * {'us': 1, 'ms': 1e3, 's': 1e6}[unit]
