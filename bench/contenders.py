# SPDX-License-Identifier: Apache-2.0
"""Who takes part, and with which command lines and configuration (bench/conf). A contender makes a chain: the processes the client's
requests go through, the one the client talks to first; the origin server behind it is not part of it."""
import dataclasses
import grp
import os
import pwd
import re
import shlex
import string
import subprocess

import harness
from harness import Failed, Process, free_port

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


@dataclasses.dataclass(frozen=True)
class Way:
    """What the client's requests go through."""
    name: str  # of the case; folders are named after it
    origin: int  # its port
    down: str = 'h1'  # what the client speaks: h1 or h2
    up: str = 'h1'  # what the origin speaks
    tls: bool = False  # the client speaks TLS
    pair: bool = False  # two proxies with mutual TLS between them
    cgroups: tuple = (None, None)  # of the first and of the second proxy; None: where we are


@dataclasses.dataclass(frozen=True)
class Link:
    """One process of a chain. flags are those of bench/conf: tls (a TLS listener), mutual (one that wants certificates), to-tls (mutual TLS
    upstream), h2 and to-h2 (HTTP/2 from the client, and to the server)."""
    name: str
    listen: int
    target: int
    flags: frozenset


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


def filled_in(text, flags, values):
    """A template of bench/conf: a line `@flag text` is there with that flag alone, `@!flag text` without it, `@a,b text` with both; $name is
    a value, $$ a dollar sign."""
    lines = []
    for line in text.splitlines():
        found = re.match(r'( *)@([!a-z][a-z0-9,!-]*) (.*)$', line)
        if found:
            indent, asked, rest = found.groups()
            if not all((f[1:] not in flags) if f.startswith('!') else f in flags for f in asked.split(',')):
                continue
            line = indent + rest
        lines.append(line)
    return string.Template('\n'.join(lines) + '\n').substitute(values)


def configured(place, template, name, flags=(), **values):
    """Writes bench/conf/TEMPLATE filled in, for the process called `name`; returns (file, its folder)."""
    d = place.scratch(name)
    with open(os.path.join(HERE, 'conf', template), encoding='utf-8') as f:
        text = filled_in(f.read(), flags, {'dir': d, 'certs': place.certs, **values})
    path = os.path.join(d, template)
    if 'nginx' in template and os.geteuid() == 0:
        # Its default, nobody, could not read the certificates' folder.
        text = f'user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};\n' + text
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path, d


class Contender:
    name = '?'

    def __init__(self, place, program, libraries=None):
        self.place, self.program = place, program
        self.env = {'LD_LIBRARY_PATH': libraries} if libraries else None

    def version(self):
        return harness.output_of([self.program, '--version'], self.env)

    def able(self, way):
        """Can it do that work? What it cannot do is left out of the case."""
        return way is not None

    def link(self, link):
        """Starts the process of one link."""
        raise NotImplementedError

    def run(self, argv, name):
        return Process(argv, self.place.proxy_core, os.path.join(self.place.scratch(name), 'log'), self.env)

    def chain(self, way):
        """(port to talk to, processes), or None."""
        if not self.able(way):
            return None
        first, name = free_port(), f'{way.name}.{self.name}'
        into = {'tls'} if way.tls else set()
        into |= {'h2'} if way.down == 'h2' else set()
        out = {'to-h2'} if way.up == 'h2' else set()
        if not way.pair:
            with harness.inside(way.cgroups[0]):
                return first, [self.link(Link(name, first, way.origin, frozenset(into | out)))]
        second, between = free_port(), self.between(way)
        with harness.inside(way.cgroups[0]):
            one = self.link(Link(name + '.out', first, second, frozenset(into | {'to-tls'} | ({'to-h2'} if between == 'h2' else set()))))
        with harness.inside(way.cgroups[1]):
            two = self.link(Link(name + '.in', second, way.origin, frozenset(out | {'mutual'} | ({'h2'} if between == 'h2' else set()))))
        return first, [one, two]

    def between(self, way):
        """What it speaks between its two sidecars: HTTP/2 where it can, which shares connections and records."""
        return 'h2' if way.pair else None


class Nginx(Contender):
    """Its only HTTP/2 to upstreams is grpc_pass, used where the upstream speaks nothing else; between sidecars HTTP/1.1 costs it less."""
    name = 'nginx'

    def version(self):
        return harness.output_of([self.program, '-v'], self.env).rpartition('/')[2]

    def between(self, way):
        return way.up

    def start(self, template, name, core=None, flags=(), **values):
        conf, d = configured(self.place, template, name, flags, **values)
        return Process([self.program, '-p', d, '-c', conf], self.place.proxy_core if core is None else core, os.path.join(d, 'log'),
                       self.env)

    def link(self, link):
        return self.start('proxy.nginx.conf', link.name, flags=link.flags, listen=link.listen, target=link.target)


class Haproxy(Contender):
    name = 'haproxy'

    def version(self):
        return re.search(r'version (\S+)', harness.output_of([self.program, '-v'], self.env)).group(1)

    def link(self, link):
        conf, _ = configured(self.place, 'proxy.haproxy.cfg', link.name, link.flags, listen=link.listen, target=link.target)
        return self.run([self.program, '-db', '-f', conf], link.name)


class H2o(Contender):
    """Version 2.2 has neither client certificates nor HTTP/2 upstream."""
    name = 'h2o'

    def version(self):
        return re.search(r'version (\S+)', harness.output_of([self.program, '--version'], self.env)).group(1)

    def able(self, way):
        return not way.pair and way.up == 'h1'

    def link(self, link):
        flags = link.flags | ({'root'} if os.geteuid() == 0 else set())
        conf, _ = configured(self.place, 'proxy.h2o.conf', link.name, flags, listen=link.listen, target=link.target)
        return self.run([self.program, '-m', 'worker', '-c', conf], link.name)


class Nghttpx(Contender):
    name = 'nghttpx'

    def version(self):
        return re.search(r'nghttp2/(\S+)', harness.output_of([self.program, '--version'], self.env)).group(1)

    def link(self, link):
        conf, _ = configured(self.place, 'proxy.nghttpx.conf', link.name, link.flags, listen=link.listen, target=link.target)
        return self.run([self.program, f'--conf={conf}'], link.name)


class Envoy(Contender):
    name = 'envoy'

    def version(self):
        return re.search(r'/(\d+\.\d+\.\d+)/', harness.output_of([self.program, '--version'], self.env)).group(1)

    def link(self, link):
        conf, _ = configured(self.place, 'proxy.envoy.yaml', link.name, link.flags, listen=link.listen, target=link.target)
        return self.run([self.program, '-c', conf, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning'], link.name)


class Weir(Contender):
    """With the flags anyone would use, no configuration file."""
    name = 'weir'

    def version(self):
        found = re.search(r'\d+\.\d+\.\d+\S*', harness.output_of([self.program, 'version'], self.env))
        return found.group(0) if found else '?'

    def link(self, link):
        c = self.place.certs
        scheme = 'https' if 'to-tls' in link.flags else 'h2c' if 'to-h2' in link.flags else 'http'
        argv = [self.program, 'proxy', '--listen', f'127.0.0.1:{link.listen}', '--to', f'{scheme}://127.0.0.1:{link.target}', '--workers', '1',
                '--access-log', 'off']
        if link.flags & {'tls', 'mutual'}:
            argv += ['--cert', f'{c}/server.crt', '--key', f'{c}/server.key']
        if 'mutual' in link.flags:
            argv += ['--client-ca', f'{c}/ca.crt']
        if 'to-tls' in link.flags:
            argv += ['--to-ca', f'{c}/ca.crt', '--to-cert', f'{c}/client.crt', '--to-key', f'{c}/client.key', '--to-sni', 'server.bench']
        return self.run(argv, link.name)


class Relay(Contender):
    """The floor: bytes in, bytes out, no HTTP and, in a pair, no TLS."""
    name = 'floor'

    def version(self):
        return 'bench/floor/relay.c'

    def able(self, way):
        return not way.tls and way.down == way.up

    def link(self, link):
        return self.run([self.program, str(link.listen), f'127.0.0.1:{link.target}'], link.name)


class Nobody(Contender):
    """No proxy at all: the client talks to the origin."""
    name = 'none'

    def __init__(self, place):
        super().__init__(place, None)

    def version(self):
        return 'no proxy'

    def able(self, way):
        return not way.tls and not way.pair and way.down == way.up

    def chain(self, way):
        return (way.origin, []) if self.able(way) else None


class Command(Contender):
    """Any other proxy: NAME=COMMAND with {listen} and {target} for the two ports, and {certs} for the folder of the certificates. Takes part in
    plain HTTP/1.1, through one proxy or, when it is both sidecars, through a pair."""

    def __init__(self, place, text, pair=False):
        self.name, _, self.command = text.partition('=')
        self.pair = pair
        if not self.command or '{listen}' not in self.command or '{target}' not in self.command:
            raise Failed(f'--also {text}: NAME=COMMAND with {{listen}} and {{target}} in the command')
        super().__init__(place, shlex.split(self.command)[0])

    def version(self):
        return self.command

    def able(self, way):
        return not way.tls and way.pair == self.pair and way.down == way.up == 'h1'

    def chain(self, way):
        if not self.able(way):
            return None
        port, values = free_port(), {'{target}': str(way.origin), '{certs}': self.place.certs}
        argv = shlex.split(self.command)
        for name, value in {**values, '{listen}': str(port)}.items():
            argv = [w.replace(name, value) for w in argv]
        with harness.inside(way.cgroups[0]):
            return port, [self.run(argv, f'{way.name}.{self.name}')]


KINDS = {c.name: c for c in (Nginx, Haproxy, H2o, Nghttpx, Envoy)}


def find(place, args, relay):
    """({name: peer}, the contenders that can be had, floor first and weir last, what was left out and why)."""
    peers, left_out = {}, []
    listing = subprocess.run([os.path.join(HERE, 'peers.sh'), os.path.join(place.build, 'peers'), *([] if args.quick else ['envoy'])],
                             stdout=subprocess.PIPE, check=False)
    for line in listing.stdout.decode().splitlines():
        name, program, rest = line.split(' ', 2)
        if program == '-':
            left_out.append(f'{name} is left out: {rest}')
        else:
            peers[name] = KINDS[name](place, program, None if rest == '-' else rest)
    if 'nginx' not in peers:
        raise Failed('without nginx there is no origin server to measure with')
    found = [Relay(place, relay), Nobody(place), *peers.values(), *(Command(place, text) for text in args.also),
             *(Command(place, text, pair=True) for text in args.also_pair)]
    if os.access(args.weir, os.X_OK):
        found.append(Weir(place, args.weir))
    else:
        left_out.append(f'weir is left out: {args.weir} is not there')
    if args.proxy:
        unknown = set(args.proxy) - {c.name for c in found}
        if unknown:
            raise Failed(f'no contender is called {", ".join(sorted(unknown))}: {" ".join(c.name for c in found)}; {"; ".join(left_out)}')
        found = [c for c in found if c.name in args.proxy]
    return peers, found, left_out
