# SPDX-License-Identifier: Apache-2.0
"""The server behind the contenders, the same for all of them, on the core of the load. Kinds:

h1    nginx, answers from memory
h2    the same over HTTP/2 by prior knowledge: each answer is written by itself
h2-batch  nghttpd, small files: answers many streams with one write
post  haproxy: waits for the whole of a body and answers with its length; 400 when that is not POST_BYTES
grpc  the same over HTTP/2 by prior knowledge, for GRPC_BYTES. nghttpd would answer before it has the message, which no unary call does"""
import os

from contenders import configured
from harness import Failed, Process, free_port, wait_ready

BODIES = {'/0': b'', '/small': b'hello, world\n', '/1k': b'0123456789abcdef' * 64, '/64k': b'0123456789abcdef' * 4096}
POST_BYTES, GRPC_BYTES = 16384, 32
BODIES['/post'] = str(POST_BYTES).encode()
BODIES['/grpc'] = str(GRPC_BYTES).encode()


class Origin:
    def __init__(self, place, peers, kind='h1'):
        self.place, self.peers, self.kind, self.port = place, peers, kind, free_port()
        self.name = f'origin.{kind}.{self.port}'
        self.process = {'h1': self._nginx, 'h2': self._nginx, 'h2-batch': self._nghttpd, 'grpc': self._haproxy, 'post': self._haproxy}[kind]()
        try:
            wait_ready([self.process], self.port, '/token', place.token.encode(), h2=kind != 'h1' and kind != 'post')
            if not self.process.owns_listener(self.port):
                raise Failed(f'port {self.port} is answered by a stranger')
        except BaseException:
            self.stop()
            raise

    def _nginx(self):
        return self.peers['nginx'].start('origin.nginx.conf', self.name, self.place.load_core, flags={self.kind}, listen=self.port, token=self.place.token,
                                         kib='0123456789abcdef' * 64, kib64='$k' * 64)

    def _haproxy(self):
        if 'haproxy' not in self.peers:
            raise Failed('without haproxy there is no origin that reads bodies')
        grpc = self.kind == 'grpc'
        conf, d = configured(self.place, 'origin.haproxy.cfg', self.name, {'h2'} if grpc else (), listen=self.port, token=self.place.token,
                             bytes=GRPC_BYTES if grpc else POST_BYTES)
        haproxy = self.peers['haproxy']
        return Process([haproxy.program, '-db', '-f', conf], self.place.load_core, os.path.join(d, 'log'), haproxy.env)

    def _nghttpd(self):
        d = self.place.scratch(self.name)
        for path, body in {**BODIES, '/token': self.place.token.encode()}.items():
            with open(os.path.join(d, path[1:]), 'wb') as f:
                f.write(body)
        return Process(['nghttpd', '--no-tls', '-a', '127.0.0.1', '-m', '1024', '-d', d, str(self.port)], self.place.load_core,
                       os.path.join(d, 'log'))

    def stop(self):
        self.process.stop()
