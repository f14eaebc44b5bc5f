# SPDX-License-Identifier: Apache-2.0
"""A gateway with many HTTPRoutes: what a request costs among them, how long a change of one of them takes, and whether requests are lost
meanwhile. Only weir: the peers' configuration languages have nothing that means the same at 10,000."""
import functools
import json
import os
import re
import subprocess
import threading
import time

import harness
from cases import Case, Figure, Target, reach, register
from harness import Failed, Process
from load import WRK_SCRIPT
from rounds import Row

SIZES = (10, 1000, 10000)
ASKED = 10  # routes the requests go round, spread over all
CONNECTIONS = 32
RELOADS = 4

HEAD = '''apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{gatewayClassName: weir, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: edge}}
spec: {{admin: "127.0.0.1:0", workers: 1, accessLog: "off"}}
---
apiVersion: v1
kind: Service
metadata: {{name: api}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: api, labels: {{kubernetes.io/service-name: api}}}}
addressType: IPv4
ports: [{{name: http, port: {origin}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
'''
ROUTE = '''---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{i}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [host-{host:05}.example.com]
  rules:
  - matches: [{{path: {{value: /team/app-{i:05}}}}}]
    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /small}}}}}},
              {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-version, value: "{version}"}}]}}}}]
    backendRefs: [{{name: api, port: 80}}]
'''
# Ten of the routes in turn, written beforehand.
WRK_ROUTES = '''
local asked, i = {{}}, 0
function init(args)
  for k, r in ipairs({{{routes}}}) do
    asked[k] = wrk.format("GET", r[1], {{["Host"] = r[2]}})
  end
end
function request()
  i = i % #asked + 1
  return asked[i]
end
'''


def path_of(i):
    return f'/team/app-{i:05}/items/42'


def host_of(i):
    return f'host-{i // 10:05}.example.com'


class Gateway:
    """weir with N routes to the origin, ten to a host name."""

    def __init__(self, bench, n):
        self.bench, self.n, self.port, self.version = bench, n, harness.free_port(), 0
        self.folder = bench.scratch(f'routes.{n}.{self.port}')
        self.config = os.path.join(self.folder, 'config.yaml')
        self.log = os.path.join(self.folder, 'log')
        self.origin = bench.origin().port
        self.text = HEAD.format(port=self.port, origin=self.origin) + ''.join(ROUTE.format(i=i, host=i // 10, version=0) for i in range(1, n))
        self.write()
        self.asked = [k * (n - 1) // (ASKED - 1) for k in range(ASKED)]
        with open(os.path.join(self.folder, 'wrk.lua'), 'w', encoding='ascii') as f:
            f.write(WRK_SCRIPT + WRK_ROUTES.format(routes=', '.join(f'{{"{path_of(i)}", "{host_of(i)}"}}' for i in self.asked)))
        self.process = Process([bench.weir, 'proxy', '--config', self.config], bench.place.proxy_core, self.log)
        try:
            self.wait('event=ready', 0, 60)
            self.check()
            self.wrk(0.3)
        except BaseException:
            self.process.stop()
            raise

    def write(self):
        """Route 0 in a new version, and the others as they are."""
        self.version += 1
        with open(self.config + '.new', 'w', encoding='ascii') as f:
            f.write(self.text + ROUTE.format(i=0, host=0, version=self.version))
        os.rename(self.config + '.new', self.config)

    def said(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait(self, what, seen, seconds):
        """Until the log holds it more often than `seen`."""
        end = time.monotonic() + seconds
        while self.said().count(what) <= seen:
            if not self.process.running() or time.monotonic() > end:
                raise Failed(f'{self.n} routes: no {what}: {self.process.last_words()}')
            time.sleep(0.001)

    def check(self):
        for i in self.asked:
            p = subprocess.run(['curl', '-sS', '-w', ' %{http_code}', '-H', f'Host: {host_of(i)}', f'http://127.0.0.1:{self.port}{path_of(i)}'],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
            if p.stdout != b'hello, world\n 200':
                raise Failed(f'{self.n} routes: {path_of(i)} is answered with {p.stdout[:200]!r}')

    def wrk(self, seconds):
        whole = max(1, round(seconds))
        p = subprocess.run(['wrk', '-t1', f'-c{CONNECTIONS}', f'-d{whole}s', '-s', os.path.join(self.folder, 'wrk.lua'),
                            f'http://127.0.0.1:{self.port}'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=whole + 20, preexec_fn=harness.pinned(self.bench.place.load_core), check=False)
        found = re.search(rb'^RESULT (.*)$', p.stdout, re.M)
        if not found:
            raise Failed(f'wrk said nothing to be understood: {p.stdout[-200:]!r}')
        return json.loads(found.group(1))

    @staticmethod
    def failed(r):
        return sum(r[k] for k in ('connect', 'read', 'write', 'status', 'timeout'))

    def measure(self):
        before = self.process.cpu()
        r = self.wrk(self.bench.seconds)
        user, system = (s / r['requests'] * 1e6 for s in harness.cpu_between(before, self.process.cpu()))
        if self.failed(r):
            raise Failed(f'{self.failed(r)} of {r["requests"]} requests failed')
        self.check()
        return {'cpu_us': user + system, 'user_us': user, 'system_us': system, 'rps': r['requests'] / r['us'] * 1e6, **self.reload()}

    def reload(self):
        """Changes of one route under load."""
        seconds, took, under_load = 2, [], {}
        thread = threading.Thread(target=lambda: under_load.update(self.wrk(seconds)))
        thread.start()
        end = time.monotonic() + seconds
        while len(took) < RELOADS and time.monotonic() < end:
            seen = self.said().count('event=reload result=live')
            self.write()
            began = time.monotonic()
            self.wait('event=reload result=live', seen, 30)
            took.append((time.monotonic() - began) * 1e3)
            time.sleep(0.1)
        thread.join()
        if 'result=refused' in self.said():
            raise Failed(f'a change was refused: {self.process.last_words()}')
        took.sort()
        return {'reload_ms': took[len(took) // 2], 'lost': self.failed(under_load), 'requests': under_load['requests']}


def run(bench):
    def start(n):
        gateway = Gateway(bench, n)
        return Row(measure=gateway.measure, stop=gateway.process.stop)

    return bench.alternate('routes', {f'{n:,} routes': functools.partial(start, n) for n in SIZES})


register(Case('routes', group='routes', what='a gateway with that many HTTPRoutes, ten to a host name; requests go round ten of them; then one route is '
              'changed four times under the same load', run=run, needs=('wrk', 'curl'),
              figures=(Figure('cpu_us', 'CPU us/req', '.2f'), Figure('user_us', 'user'), Figure('system_us', 'sys'), Figure('rps', 'req/s', ',.0f', True),
                       Figure('reload_ms', 'reload ms', '.0f'), Figure('requests', 'requests meanwhile', ',.0f'), Figure('lost', 'lost', '.0f'))))


def lost(results):
    found = [s['lost'] for rows in (results.samples.get('routes', {}),) for samples in rows.values() for s in samples]
    return sum(found) if found else None


reach(Target('routes', '`routes`: 10,000 to 10', 1.05, lambda r: r.ratio('routes', '10,000 routes', '10 routes')),
      Target('routes/lost', '`routes`: requests lost while routes change', 0, lost, form='.0f'))
