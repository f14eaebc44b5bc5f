# SPDX-License-Identifier: Apache-2.0
"""The load generators: wrk for HTTP/1.1, h2load for HTTP/2. Each returns the same record and calls any fault a fault."""
import json
import os
import re
import signal
import subprocess

from harness import Failed, pinned

# wrk's own summary, complete; a response callback would slow it, this runs once at the end.
WRK_SCRIPT = '''
function done(s, l, r)
  io.write(string.format('\\nRESULT {"requests":%d,"us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50":%d,"p90":%d,"p99":%d,"max":%d}\\n', s.requests, s.duration, s.bytes, s.errors.connect, s.errors.read, s.errors.write,
    s.errors.status, s.errors.timeout, l:percentile(50), l:percentile(90), l:percentile(99), l.max))
end
'''


def _run(argv, core, seconds):
    try:
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 20,
                           preexec_fn=pinned(core), check=False)
    except subprocess.TimeoutExpired as e:
        raise Failed(f'{argv[0]} did not end') from e
    out = p.stdout.decode(errors='replace')
    if p.returncode != 0:
        raise Failed(f'{argv[0]} ended with {p.returncode}: {out.strip()[-200:]}')
    return out


def warm(port, case, core):
    """A third of a second of the same load, not measured: fills the pools, so that no measurement pays for connecting upstream."""
    url = f'http://127.0.0.1:{port}{case.path}'
    if case.shape == 'h2':
        _run(['h2load', '-t1', f'-c{case.connections}', f'-m{case.streams}', '-D300ms', url], core, 1)
        return
    p = subprocess.Popen(['wrk', '-t1', f'-c{case.connections}', '-d9s', url], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, preexec_fn=pinned(core))
    try:
        p.wait(0.3)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGINT)
        p.wait(5)
    finally:
        p.kill()
        p.wait()


def wrk(port, case, seconds, core, folder):
    script = os.path.join(folder, 'wrk.lua')
    if not os.path.exists(script):
        with open(script, 'w', encoding='ascii') as f:
            f.write(WRK_SCRIPT)
    out = _run(['wrk', '-t1', f'-c{case.connections}', f'-d{seconds}s', '-s', script, f'http://127.0.0.1:{port}{case.path}'], core, seconds)
    found = re.search(r'^RESULT (.*)$', out, re.M)
    if not found:
        raise Failed(f'wrk said nothing to be understood: {out.strip()[-200:]}')
    r = json.loads(found.group(1))
    for kind in ('connect', 'read', 'write', 'status', 'timeout'):
        if r[kind]:
            raise Failed(f'wrk counted {r[kind]} {kind} errors in {r["requests"]} requests')
    return _checked(r['requests'], r['us'] / 1e6, r['bytes'], case, {k: r[k] for k in ('p50', 'p90', 'p99', 'max')})


def h2load(port, case, seconds, core, folder):
    streams = case.streams
    out = _run(['h2load', '-t1', f'-c{case.connections}', f'-m{streams}', f'-D{seconds}', f'http://127.0.0.1:{port}{case.path}'],
               core, seconds)
    took = re.search(r'^finished in ([\d.]+)s, ([\d.]+) req/s', out, re.M)
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
    latency = {'max': _us(mean.group(1)), 'mean': _us(mean.group(2))} if mean else {}
    return _checked(done, float(took.group(1)), int(traffic.group(1)), case, latency)


def _us(text):
    number, unit = re.match(r'([\d.]+)(us|ms|s)', text).groups()
    return float(number) * {'us': 1, 'ms': 1e3, 's': 1e6}[unit]


def _checked(requests, seconds, size, case, latency):
    if requests == 0:
        raise Failed('not one request was answered')
    if size < requests * case.body:
        raise Failed(f'{size} bytes for {requests} answers of {case.body}: bodies are short')
    return {'requests': requests, 'seconds': seconds, 'bytes_per_request': size / requests, 'latency_us': latency}
