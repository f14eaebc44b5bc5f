#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a connect() costs under many policies, and while they change. One agent, two pods of this node (a client and a server), as many pods elsewhere as
asked for, each with labels of its own, and policies that all select the server: policy i lets in the i-th pod, the last one the client. Needs root; everything
is in namespaces and a cgroup of its own. Prints one line a case: connect() from the client to the server over veth, both sides' policies included."""
import argparse
import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, 'tests', 'bpf'))

import actor  # noqa: E402
from world import World, cgroup_mount  # noqa: E402


def connects(ip, port, seconds):
    """How many, durations of connect() in ns (sorted, every n-th of very many), and failures."""
    took, failed, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        s = socket.socket()
        t = time.perf_counter_ns()
        try:
            s.connect((ip, port))
            took.append(time.perf_counter_ns() - t)
        except OSError:
            failed += 1
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
    took.sort()
    return len(took), took[::len(took) // 10000 + 1], failed


def accepts(lid):
    s = actor.SOCKS[lid]
    s.settimeout(None)

    def loop():
        while True:
            s.accept()[0].close()
    threading.Thread(target=loop, daemon=True).start()


def pod(name, ip, place=''):
    return (f'apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}{place}}}\n'
            f'status: {{podIP: {ip}}}\n---\n')


def policy(i, who, extra=''):
    return (f'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{i}}}\n'
            f'spec: {{podSelector: {{matchLabels: {{app: server}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {who}}}}}}}{extra}], '
            'ports: [{port: 8080}]}]}\n---\n')


class Node:
    def __init__(self, args):
        self.args, self.w = args, World()
        self.client, self.server = self.w.pod('client'), self.w.pod('server')
        self.dir = os.path.join(self.w.tmp + '-config')
        os.makedirs(self.dir)
        self.agent = None
        places = [pod(p.name, p.v4, f", annotations: {{weir.dev/cgroup: {p.cgroup[len(cgroup_mount()):]}, weir.dev/netns: {p.netns}}}")
                  for p in (self.client, self.server)]
        others = [pod(f'o{i}', f'10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}') for i in range(args.pods)]
        self.write('pods.yaml', ''.join(places + others))
        self.write('agent.yaml', 'apiVersion: weir.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\nspec: '
                   f'{{cgroup: {self.w.cgroup[len(cgroup_mount()):]}, pinDir: {self.w.pins}, admin: {self.dir}/agent.sock}}\n')

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path + '.new', 'w') as f:
            f.write(text)
        os.rename(path + '.new', path)

    def policies(self, n, extra=''):
        self.write('policies.yaml', ''.join(policy(i, f'o{i}' if i < n - 1 else 'client', extra if i == n - 1 else '')
                                            for i in range(n)))

    def start(self):
        self.agent = subprocess.Popen([self.args.weir, 'agent', '--config', self.dir], stderr=open(self.dir + '/agent.log', 'a'))
        self.wait(1)
        return self

    def status(self):
        done = subprocess.run([self.args.weir, 'status', '--agent', self.dir + '/agent.sock', '-o', 'json'], capture_output=True, text=True)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def wait(self, generation):
        end = time.monotonic() + 600
        while time.monotonic() < end:
            s = json.dumps(self.status())
            if '"in_force"' in s and self.generation() >= generation:
                return
            if self.agent.poll() is not None:
                raise SystemExit(open(self.dir + '/agent.log').read()[-2000:])
            time.sleep(0.2)
        raise SystemExit('the agent was not ready in time')

    def generation(self):
        def find(v):
            if isinstance(v, dict):
                if isinstance(v.get('generation'), int):
                    return v['generation']
                return max((find(x) for x in v.values()), default=0)
            return 0
        return find(self.status())

    def reload(self):
        before = self.generation()
        t = time.monotonic()
        self.agent.send_signal(signal.SIGHUP)
        self.wait(before + 1)
        return time.monotonic() - t

    def stop(self):
        if self.agent:
            self.agent.terminate()
            self.agent.wait()
        subprocess.run([self.args.weir, 'agent', '--uninstall', '--pin-dir', self.w.pins, '--cgroup', self.w.cgroup[len(cgroup_mount()):]],
                       capture_output=True)
        self.w.stop()
        subprocess.run(['rm', '-rf', self.dir])


def line(what, n, took, failed, note=''):
    q = statistics.quantiles(took, n=1000)
    print(f'{what:<34} {n:>8} {q[499] / 1000:>8.1f} {q[989] / 1000:>8.1f} {q[998] / 1000:>8.1f} {failed:>7}  {note}', flush=True)


def main():
    p = argparse.ArgumentParser(prog='bench/policy.py')
    p.add_argument('--weir', default=os.path.join(ROOT, 'build', 'weir'))
    p.add_argument('--pods', type=int, default=10000, help='pods elsewhere')
    p.add_argument('--policies', default='0,1,1000,10000')
    p.add_argument('--seconds', type=float, default=5)
    args = p.parse_args()
    node = Node(args)
    try:
        node.policies(0)
        node.start()
        server = node.server.app()
        server.call(accepts, server.call(actor.listen, node.server.v4, 8080))
        client = node.client.app()
        print(f'{args.pods} pods; connect() in us\n{"":<34} {"n":>8} {"p50":>8} {"p99":>8} {"p99.9":>8} {"failed":>7}', flush=True)
        for n in [int(n) for n in args.policies.split(',')]:
            node.policies(n)
            took = node.reload()
            line(f'{n} policies', *client.call(connects, node.server.v4, 8080, args.seconds), note=f'reload {took:.1f} s')
        client.begin(connects, node.server.v4, 8080, args.seconds * 4)
        changes, end = 0, time.monotonic() + args.seconds * 4 - 1
        while time.monotonic() < end:
            changes += 1
            node.policies(n, f', {{ipBlock: {{cidr: 192.0.2.{changes % 250}/32}}}}')
            node.reload()
        line(f'{n} policies, changing', *client.end(), note=f'{changes} changes')
    finally:
        node.stop()


if __name__ == '__main__':
    main()
