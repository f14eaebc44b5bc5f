# SPDX-License-Identifier: Apache-2.0
"""Who takes part, and with which command lines and configuration (bench/conf). A chain is the list of processes of one contender in one
shape of work, the one the client talks to first; the origin server behind it is not part of it."""
import contextlib
import json
import os
import pwd
import grp
import re
import shlex
import signal
import socket
import string
import subprocess
import sys
import time

from harness import Failed, Process, free_port, wait_ready

HERE = os.path.dirname(os.path.abspath(__file__))


class Place:
    """Where things are on this machine, and where a run may write."""

    def __init__(self, build, folder, token, proxy_core, load_core):
        self.build, self.folder, self.token = build, folder, token
        self.proxy_core, self.load_core = proxy_core, load_core
        self.certs = os.path.join(folder, 'certs')

    def scratch(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path


def certificates(place):
    """A CA, server.bench and client.bench: ECDSA P-256, alive for a week, made anew for each run."""
    d = place.scratch('certs')

    def run(*argv):
        p = subprocess.run(argv, cwd=d, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if p.returncode != 0:
            raise Failed(f'{shlex.join(argv)}: {p.stdout.decode(errors="replace")[-300:]}')

    key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')
    run('openssl', 'req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '7', '-subj', '/CN=bench CA',
        '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
    for name in ('server', 'client'):
        with open(os.path.join(d, 'ext'), 'w', encoding='ascii') as f:
            f.write('basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n'
                    f'subjectAltName=DNS:{name}.bench,URI:spiffe://bench/ns/default/sa/{name}\n')
        run('openssl', 'req', *key, '-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}.bench')
        run('openssl', 'x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '7',
            '-extfile', 'ext', '-out', f'{name}.crt')
        with open(os.path.join(d, f'{name}.pem'), 'w', encoding='ascii') as out:
            for part in ('crt', 'key'):
                with open(os.path.join(d, f'{name}.{part}'), encoding='ascii') as f:
                    out.write(f.read())


def _configured(place, template, name, **values):
    """Writes bench/conf/TEMPLATE filled in, for the process called `name`; returns (file, its folder)."""
    d = place.scratch(name)
    with open(os.path.join(HERE, 'conf', template), encoding='utf-8') as f:
        text = string.Template(f.read()).substitute(dir=d, certs=place.certs, **values)
    path = os.path.join(d, template)
    if 'nginx' in template and os.geteuid() == 0:
        # Its default, nobody, could not read the certificates' folder.
        text = f'user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};\n' + text
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path, d


class Nginx:
    name = 'nginx'

    def __init__(self, place, program, libraries=None):
        self.place, self.program = place, program
        self.env = {'LD_LIBRARY_PATH': libraries} if libraries else None

    def version(self):
        p = subprocess.run([self.program, '-v'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(self.env or {})},
                           check=False)
        return p.stdout.decode().strip().rpartition('/')[2]

    def start(self, template, name, core=None, **values):
        conf, d = _configured(self.place, template, name, **values)
        return Process([self.program, '-p', d, '-c', conf], self.place.proxy_core if core is None else core, os.path.join(d, 'log'),
                       self.env)

    def chain(self, shape, case, origin):
        if shape == 'pair':
            first, second = free_port(), free_port()
            return first, [self.start('out.nginx.conf', f'{case}.nginx.out', listen=first, target=second),
                           self.start('in.nginx.conf', f'{case}.nginx.in', listen=second, target=origin)]
        port = free_port()
        return port, [self.start('h1.nginx.conf', f'{case}.nginx', listen=port, target=origin, http2='http2' if shape == 'h2' else '')]


class Haproxy:
    name = 'haproxy'
    # Between its two sidecars haproxy is far better off with HTTP/2 than with HTTP/1.1, so it gets it.
    alpn = 'h2'

    def __init__(self, place, program, libraries=None):
        self.place, self.program = place, program
        self.env = {'LD_LIBRARY_PATH': libraries} if libraries else None

    def version(self):
        p = subprocess.run([self.program, '-v'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(self.env or {})},
                           check=False)
        return re.search(r'version (\S+)', p.stdout.decode()).group(1)

    def start(self, template, name, **values):
        conf, d = _configured(self.place, template, name, **values)
        return Process([self.program, '-db', '-f', conf], self.place.proxy_core, os.path.join(d, 'log'), self.env)

    def chain(self, shape, case, origin):
        if shape == 'pair':
            first, second = free_port(), free_port()
            return first, [self.start('out.haproxy.cfg', f'{case}.haproxy.out', listen=first, target=second, alpn=self.alpn),
                           self.start('in.haproxy.cfg', f'{case}.haproxy.in', listen=second, target=origin, alpn=self.alpn)]
        port = free_port()
        return port, [self.start('h1.haproxy.cfg', f'{case}.haproxy', listen=port, target=origin)]


class Weir:
    name = 'weir'

    def __init__(self, place, program):
        self.place, self.program = place, program

    def version(self):
        p = subprocess.run([self.program, 'version'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found = re.search(r'\d+\.\d+\.\d+\S*', p.stdout.decode())
        return found.group(0) if found else '?'

    def start(self, name, port, *flags):
        d = self.place.scratch(name)
        return Process([self.program, 'proxy', '--listen', f'127.0.0.1:{port}', '--workers', '1', '--access-log', 'off', *flags],
                       self.place.proxy_core, os.path.join(d, 'log'))

    def chain(self, shape, case, origin):
        c = self.place.certs
        first = free_port()
        if shape != 'pair':
            return first, [self.start(f'{case}.weir', first, '--to', f'http://127.0.0.1:{origin}')]
        second = free_port()
        return first, [
            self.start(f'{case}.weir.out', first, '--to', f'https://127.0.0.1:{second}', '--to-ca', f'{c}/ca.crt', '--to-cert',
                       f'{c}/client.crt', '--to-key', f'{c}/client.key', '--to-sni', 'server.bench'),
            self.start(f'{case}.weir.in', second, '--to', f'http://127.0.0.1:{origin}', '--cert', f'{c}/server.crt', '--key',
                       f'{c}/server.key', '--client-ca', f'{c}/ca.crt')]


class Relay:
    """The floor: bytes in, bytes out, no HTTP and, in a pair, no TLS."""
    name = 'floor'

    def __init__(self, place, program):
        self.place, self.program = place, program

    def version(self):
        return 'bench/floor/relay.c'

    def start(self, name, port, target):
        d = self.place.scratch(name)
        return Process([self.program, str(port), f'127.0.0.1:{target}'], self.place.proxy_core, os.path.join(d, 'log'))

    def chain(self, shape, case, origin):
        if shape == 'h2':
            return None, []
        first = free_port()
        if shape != 'pair':
            return first, [self.start(f'{case}.floor', first, origin)]
        second = free_port()
        return first, [self.start(f'{case}.floor.out', first, second), self.start(f'{case}.floor.in', second, origin)]


class Command:
    """Any other proxy: NAME=COMMAND with {listen} and {target} for the two ports. Takes part in what is not a pair."""

    def __init__(self, place, text):
        self.place = place
        self.name, _, self.command = text.partition('=')
        if not self.command or '{listen}' not in self.command or '{target}' not in self.command:
            raise Failed(f'--also {text}: NAME=COMMAND with {{listen}} and {{target}} in the command')

    def version(self):
        return self.command

    def chain(self, shape, case, origin):
        if shape != 'h1':
            return None, []
        port, d = free_port(), self.place.scratch(f'{case}.{self.name}')
        argv = [w.replace('{listen}', str(port)).replace('{target}', str(origin)) for w in shlex.split(self.command)]
        return port, [Process(argv, self.place.proxy_core, os.path.join(d, 'log'))]


def start_origin(place, nginx):
    """The server behind all of them, on the core of the load."""
    port = free_port()
    p = nginx.start('origin.nginx.conf', 'origin', place.load_core, listen=port, token=place.token, kib='0123456789abcdef' * 64,
                    kib64='$k' * 64)
    wait_ready([p], port, '/token', place.token.encode())
    if not p.owns_listener(port):
        raise Failed(f'port {port} is answered by a stranger')
    return port, p


class Joined:
    """A cgroup whose sockets weir joins (weir run --join on): every process in it is declared not to splice, which wrk, the origin and
    all contenders as configured here keep."""

    def __init__(self, place, weir, case):
        d = place.scratch(f'{case}.joined')
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


def find(place, weir, relay, also, only):
    """The contenders that can be had, floor first and weir last; a line on stderr for each that cannot."""
    peers = {}
    listing = subprocess.run([os.path.join(HERE, 'peers.sh'), os.path.join(place.build, 'peers')], stdout=subprocess.PIPE, check=False)
    for line in listing.stdout.decode().splitlines():
        name, program, rest = line.split(' ', 2)
        if program == '-':
            print(f'bench: {name} is left out: {rest}', file=sys.stderr)
        else:
            peers[name] = (program, None if rest == '-' else rest)
    if 'nginx' not in peers:
        raise Failed('without nginx there is no origin server to measure with')
    nginx = Nginx(place, *peers['nginx'])
    found = [Relay(place, relay), nginx]
    if 'haproxy' in peers:
        found.append(Haproxy(place, *peers['haproxy']))
    found.extend(Command(place, text) for text in also)
    if os.access(weir, os.X_OK):
        found.append(Weir(place, weir))
    else:
        print(f'bench: weir is left out: {weir} is not there', file=sys.stderr)
    if only:
        unknown = set(only) - {c.name for c in found}
        if unknown:
            raise Failed(f'no contender is called {", ".join(sorted(unknown))}')
        found = [c for c in found if c.name in only]
    return nginx, found
