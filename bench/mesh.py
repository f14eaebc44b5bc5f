# SPDX-License-Identifier: Apache-2.0
"""Cgroups whose sockets weir joins."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from harness import Failed, Process


class Joined:
    """A cgroup whose sockets weir joins (weir run --join on): every process in it is declared not to splice, which wrk, the origin and
    all contenders as configured here keep."""

    def __init__(self, place, weir, name):
        d = place.scratch(f'{name}.joined')
        self.weir, self.told = weir, os.path.join(d, 'told')
        script = f'echo $$ $WEIR_AGENT $(tail -n 1 /proc/self/cgroup) > {self.told}.new; mv {self.told}.new {self.told}; exec sleep infinity'
        self.process = Process([weir, 'run', '--join', 'on', '--log', os.path.join(d, 'log'), '--', 'sh', '-c', script], place.load_core,
                               os.path.join(d, 'log'))
        end = time.monotonic() + 15
        while not os.path.exists(self.told):
            if not self.process.running() or time.monotonic() > end:
                raise Failed(f'sockets cannot be joined here: {self.process.last_words()}')
            time.sleep(0.05)
        with open(self.told, encoding='ascii') as f:
            pid, self.socket, relative = f.read().split()
        self.pid = int(pid)
        self.cgroup = _cgroup2() + relative.partition('::')[2]
        if self.ask('join')['state'] != 'on':
            raise Failed(f'sockets cannot be joined here: {self.ask("join")}')

    def ask(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.socket)
            s.sendall(line.encode() + b'\n')
            data = b''
            while more := s.recv(65536):
                data += more
        return json.loads(data)

    def stop(self):
        """Its command first: weir run then takes its mesh away."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            os.kill(self.pid, signal.SIGKILL)
            self.process.popen.wait(10)
        self.process.stop()


def _cgroup2():
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        for line in f:
            left, right = line.split(' - ')
            if right.split()[0] == 'cgroup2':
                return left.split()[4]
    raise Failed('cgroup2 is not mounted')
