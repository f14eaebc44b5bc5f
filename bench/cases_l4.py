# SPDX-License-Identifier: Apache-2.0
"""What the kernel half costs a connection that no proxy sees: two pods of one node over veth, a Service's address, NetworkPolicies for both,
against the same pods without weir. Each size has an agent, cgroups and network namespaces of its own; all end with this process."""
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from statistics import median

import harness
from cases import Case, Figure, Target, reach, register
from harness import Failed
from rounds import Row

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, 'tests', 'bpf'))

ECHO = os.path.join(ROOT, 'build', 'bench', 'bench_echo')
SIZES = (1, 1000, 100000)  # entries: half of them services, half of them policies; 1 = one of each
PORT = 8080


def pod(name, ip, place=''):
    return f'apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}{place}}}\nstatus: {{podIP: {ip}}}\n---\n'


def service(i, endpoint):
    """Service i at an address of its own; its one endpoint."""
    ip = f'10.{96 + i // 62500}.{i // 250 % 250}.{i % 250 + 1}'
    return ip, (f'apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\nspec: {{clusterIP: {ip}, ports: [{{port: {PORT}}}]}}\n---\n'
                f'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{i}, labels: {{kubernetes.io/service-name: s{i}}}}}\n'
                f'addressType: IPv4\nports: [{{port: {PORT}}}]\nendpoints: [{{addresses: [{endpoint}]}}]\n---\n')


def policy(i, who, extra=''):
    """Policy i lets that pod call the servers."""
    return (f'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{i}}}\n'
            f'spec: {{podSelector: {{matchLabels: {{app: server}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {who}}}}}}}{extra}], '
            f'ports: [{{port: {PORT}}}]}}]}}\n---\n')


class Node:
    """A client's and a server's pod; with entries, an agent that has so many."""

    def __init__(self, bench, entries, joined=False):
        import world  # needs root already to be read
        self.bench, self.entries, self.agent, self.processes = bench, entries, None, []
        self.mount = world.cgroup_mount()
        self.w = world.World()
        try:
            self.client, self.server = self.w.pod('client'), self.w.pod('server')
            self.to = self.server.v4
            self.dir = bench.scratch(f'l4.{entries}.{"joined" if joined else "plain"}')
            if entries:
                self.configure(joined)
                self.start()
            self.serve()
        except BaseException:
            self.stop()
            raise

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path + '.new', 'w', encoding='ascii') as f:
            f.write(text)
        os.rename(path + '.new', path)

    def configure(self, joined):
        n = (self.entries + 1) // 2
        joins = ', weir.dev/join: "on"' if joined else ''
        places = [pod(p.name, p.v4, f', annotations: {{weir.dev/cgroup: {p.cgroup[len(self.mount):]}, weir.dev/netns: {p.netns}{joins}}}')
                  for p in (self.client, self.server)]
        # Addresses from 10.128.0.0 on: no service has one of them.
        others = [pod(f'o{i}', f'10.{128 + i // 65536}.{i // 256 % 256}.{i % 256}') for i in range(n - 1)]
        services = [service(i, self.server.v4 if i == n - 1 else f'10.{128 + i // 65536}.{i // 256 % 256}.{i % 256}') for i in range(n)]
        self.to = services[-1][0]
        self.write('pods.yaml', ''.join(places + others))
        self.write('services.yaml', ''.join(text for _, text in services))
        self.write('policies.yaml', ''.join(policy(i, f'o{i}') for i in range(n - 1)))
        self.change(0)
        self.write('agent.yaml', 'apiVersion: weir.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\nspec: '
                   f'{{cgroup: {self.w.cgroup[len(self.mount):]}, pinDir: {self.w.pins}, admin: {self.dir}/agent.sock}}\n')

    def change(self, number):
        """The policy that lets the client in, with something else beside."""
        self.write('last.yaml', policy('-last', 'client', f', {{ipBlock: {{cidr: 192.0.2.{number % 250}/32}}}}'))

    def ask(self, *words):
        done = subprocess.run([self.bench.weir, *words, '--agent', os.path.join(self.dir, 'agent.sock'), '-o', 'json'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def start(self):
        log = os.path.join(self.dir, 'agent.log')
        self.agent = harness.Process([self.bench.weir, 'agent', '--config', self.dir], self.bench.place.load_core, log)
        end = time.monotonic() + 120
        while '"in_force"' not in json.dumps(self.ask('status')):
            if not self.agent.running() or time.monotonic() > end:
                raise Failed(f'the agent with {self.entries:,} entries is not ready: {self.agent.last_words()}')
            time.sleep(0.1)

    def run(self, who, core, *words):
        """The echo program in that pod."""
        pin = harness.pinned(core)

        def enter():
            import actor
            with open(os.path.join(who.cgroup, 'app', 'cgroup.procs'), 'w', encoding='ascii') as f:
                f.write('0')
            actor.setns(who.netns)
            pin()
        return subprocess.Popen([ECHO, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=enter)

    def serve(self):
        p = self.run(self.server, self.bench.place.proxy_core, 'serve', self.server.v4, str(PORT))
        self.processes.append(p)
        if p.stdout.readline() != b'ready\n':
            raise Failed('the server of the pods does not start')

    def measure(self, what, *words):
        p = self.run(self.client, self.bench.place.load_core, what, self.to, str(PORT), str(int(self.bench.seconds * 1000)), *words)
        out = p.communicate(timeout=self.bench.seconds + 30)[0].decode()
        if p.returncode != 0:
            raise Failed(f'{self.entries:,} entries: {out.strip()}')
        r = json.loads(out)
        return {'p50_us': r['p50'], 'p99_us': r['p99'], 'p999_us': r['p999'], 'per_s': r['per_s']}

    def measure_changing(self, what):
        """The same while the policy changes as often as the agent takes it."""
        over, changes = threading.Event(), 0

        def churn():
            nonlocal changes
            while not over.wait(0.2):
                changes += 1
                self.change(changes)
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            return {**self.measure(what), 'changes': changes}
        finally:
            over.set()
            thread.join()

    def counter(self, name):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(os.path.join(self.dir, 'agent.sock'))
            s.sendall(b'counters\n')
            data = b''
            while more := s.recv(65536):
                data += more
        return json.loads(data).get(name, 0)

    def stop(self):
        for p in self.processes:
            p.send_signal(signal.SIGKILL)
            p.wait()
            p.stdout.close()
        if self.agent:
            self.agent.stop()
            subprocess.run([self.bench.weir, 'agent', '--uninstall', '--pin-dir', self.w.pins, '--cgroup', self.w.cgroup[len(self.mount):]],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        self.w.stop()


def row_of(entries):
    return f'{entries:,} entries' if entries > 1 else '1 service, 1 policy'


class Nodes:
    """Made once for all cases of the group; the last of them ends it."""

    def __init__(self):
        self.made = {}

    def get(self, bench, entries, joined=False):
        if (entries, joined) not in self.made:
            self.made[(entries, joined)] = Node(bench, entries, joined)
        return self.made[(entries, joined)]

    def stop(self):
        while self.made:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                self.made.popitem()[1].stop()


def rows(bench, nodes, *words):
    sizes = SIZES[:2] if bench.quick else SIZES
    starters = {'no weir': lambda: Row(functools.partial(nodes.get(bench, 0).measure, *words))}
    for n in sizes:
        starters[row_of(n)] = lambda n=n: Row(functools.partial(nodes.get(bench, n).measure, *words))
    return starters


def run_connect(bench):
    nodes = Nodes()
    try:
        starters = rows(bench, nodes, 'connect')
        starters[f'{row_of(1000)}, changing'] = lambda: Row(functools.partial(nodes.get(bench, 1000).measure_changing, 'connect'))
        return bench.alternate('l4-connect', starters)
    finally:
        nodes.stop()


def run_trips(connections, bench):
    nodes, words = Nodes(), ('trips', str(connections))

    def joined():
        node = nodes.get(bench, 1, True)
        node.measure(*words)
        if not node.counter('join_began'):
            raise Failed('nothing was joined')
        return Row(functools.partial(node.measure, *words))

    try:
        return bench.alternate(f'l4-trips-c{connections}', {**rows(bench, nodes, *words), 'joined': joined})
    finally:
        nodes.stop()


register(Case('l4-connect', group='l4', what='connect() to a service, one echo, close; between two pods of one node, no proxy. Entries: half services, half '
              'NetworkPolicies for the server, the last of which counts', run=run_connect, needs=('root',),
              figures=(Figure('p50_us', 'connect() p50 us', '.2f'), Figure('p99_us', 'p99 us', '.1f'), Figure('p999_us', 'p99.9 us', '.1f'),
                       Figure('per_s', 'connect+echo+close/s', ',.0f', True))))
for n in (1, 16):
    register(Case(f'l4-trips-c{n}', group='l4', what=f'round trips of 64 bytes on {n} established connection{"s" if n > 1 else ""} between the same pods, '
                  'server and client on a core each' + ('; neither sleeps' if n > 1 else '; both sleep between two of them'),
                  run=functools.partial(run_trips, n), needs=('root',),
                  figures=(Figure('per_s', 'round trips/s', ',.0f', True), Figure('p50_us', 'p50 us', '.2f'), Figure('p99_us', 'p99 us', '.1f'))))


def overhead(entries):
    """us of connect() more than without weir, the median over the rounds."""
    def measured(results):
        with_, without = (results.samples.get('l4-connect', {}).get(r) for r in (row_of(entries), 'no weir'))
        return median(a['p50_us'] - b['p50_us'] for a, b in zip(with_, without)) if with_ and without else None
    return measured


reach(Target('l4-connect', '`l4-connect`: us that weir adds to connect(), 100,000 entries', 2, overhead(100000)),
      Target('l4-connect/flat', '`l4-connect`: connect() with 100,000 entries to with one service and policy', 1.05,
             lambda r: r.ratio('l4-connect', row_of(100000), row_of(1))),
      Target('l4-trips', '`l4-trips-c16`: not joined, to no weir', 0.99, lambda r: r.ratio('l4-trips-c16', row_of(100000), 'no weir'), at_least=True),
      Target('l4-trips/joined', '`l4-trips-c16`: joined, to no weir', 1.5, lambda r: r.ratio('l4-trips-c16', 'joined', 'no weir'), at_least=True))
