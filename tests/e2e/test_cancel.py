# SPDX-License-Identifier: Apache-2.0
"""Either end goes away at every phase of an exchange, politely or not, over every way through weir: nothing stays behind, neither a request
nor a connection nor a descriptor, and the next exchange is unharmed."""

import contextlib
import os
import socket
import ssl
import threading

import h2.config
import h2.connection
import pytest

import peers
import ways
from backends import BLOCK
from proxies import pods, steady

ROUNDS = 3
BUFFERS = 24 << 20  # bytes: what one exchange whose sink stands still may hold in a proxy, both connections' windows included


@pytest.fixture(scope="module", params=ways.ALL)
def way(request, tmp_path_factory, certs):
    with ways.opened(request.param, tmp_path_factory.mktemp("way"), certs, peers.Server) as w:
        w.server.handler = answer
        get(w)
        w.base = [sockets(p) for p in w.proxies]
        yield w


def sockets(p):
    """Open ones that are not connections. (Each of libuv's loops opens /dev/null at its first accept.)"""
    def count():
        n = 0
        for fd in os.listdir(f"/proc/{p.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                n += os.readlink(f"/proc/{p.pid}/fd/{fd}").startswith("socket:")
        m = p.metrics()  # behind the count, which would count the connection of the question
        return n - m["weir_downstream_connections_active"] - m["weir_upstream_connections_active"]
    return steady(count)


def answer(ex, _start, _fields):
    while ex.next()[0] not in ("end", "reset"):
        pass
    ex.head({"status": 200}, [("Content-Length", "3")])
    ex.data(b"ok\n")
    ex.end()


def get(way):
    c = peers.connect(way.client, way.port, way.ca)
    ex = c.exchange()
    ex.head({"method": "GET", "target": "/"}, end=True)
    assert ex.next()[1]["status"] == 200 and ex.next() == ("data", b"ok\n") and ex.next()[0] == "end"
    c.close()


def nothing_is_left(way):
    for p in way.proxies:
        p.wait_metric("weir_requests_active", 0)
    way.server.handler = answer
    get(way)
    for p, base in zip(way.proxies, way.base):
        if p is way.proxies[0]:
            p.wait_metric("weir_downstream_connections_active", 0)
        assert sockets(p) == base


def leave(c, how):
    """Ends a client's connection, by FIN or by RST."""
    with contextlib.suppress(OSError):  # weir may have ended it already
        if how == "reset":
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if isinstance(c, peers.H2Connection) and how == "reset":
            with c.moved:  # the reader would keep the descriptor, and with it the connection, alive
                c.socket.shutdown(socket.SHUT_RD)
    c.close()


class Leaver:
    """Clients that leave in one phase of their exchange."""

    def __init__(self, way, phase, how):
        self.way, self.phase, self.how = way, phase, how
        self.reached, self.over = threading.Semaphore(0), threading.Event()

    def handler(self, ex, start, fields):
        self.reached.release()
        if self.phase == "waiting":
            self.over.wait(20)
        if self.phase != "answer":
            return answer(ex, start, fields)
        ex.head({"status": 200})
        with contextlib.suppress(OSError):
            while not self.over.is_set():
                ex.data(b"x" * 10_000)
        return "close"

    def begin(self):
        way = self.way
        c = peers.connect(way.client, way.port, way.ca)
        ex = c.exchange()
        if self.phase == "head" and way.client == "h1":
            c.socket.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nX-Half: ")
        elif self.phase == "head":
            ex.head({"method": "GET", "target": "/"}, end=True)
            while not ex.over:
                ex.next()  # nothing of python-h2's own comes between the pieces of the frame now
            c.socket.sendall(b"\0\0\x20\1\4\0\0\0\3\x83\x86")
        elif self.phase == "content":
            ex.head({"method": "POST", "target": "/"}, [("Content-Length", "1000000")])
            ex.data(b"x" * 50_000)
            assert self.reached.acquire(timeout=20)
        else:
            ex.head({"method": "GET", "target": "/"}, end=True)
            assert self.reached.acquire(timeout=20)
            if self.phase == "answer":
                assert [ex.next()[0], ex.next()[0]] == ["head", "data"]
        return c

    def run(self):
        self.way.server.handler = self.handler
        clients = [self.begin() for _ in range(ROUNDS)]
        for c in clients:
            leave(c, self.how)
        if self.phase == "waiting" and self.how == "close" and self.way.client == "h1":
            self.over.set()  # who has said all may still be listening
        for p in self.way.proxies:
            p.wait_metric("weir_requests_active", 0)
        self.over.set()


def test_a_client_leaves_in_any_phase(way):
    for phase in ("head", "content", "waiting", "answer"):
        for how in ("close", "reset"):
            Leaver(way, phase, how).run()
    nothing_is_left(way)


def break_off(way, phase, how):
    """A handler that ends the server's connection in one phase of the exchange."""
    def handler(ex, _start, _fields):
        connection = ex.connection
        with contextlib.suppress(OSError):
            if phase == "head":
                connection.socket.sendall(b"HTTP/1.1 200 Fine\r\nX-Half: " if way.upstream == "h1" else b"\0\0\x20\1\4\0\0\0\1\x88")
            elif phase == "content":
                ex.head({"status": 200}, [("Content-Length", "1000000")])
                ex.data(b"x" * 50_000)
            if how == "reset":
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if way.upstream == "h1":
            connection.close()
        else:
            peers.shut(connection.socket)
        return "close"
    return handler


def test_a_server_leaves_in_any_phase(way):
    for phase in ("before", "head", "content"):
        for how in ("close", "reset"):
            way.server.handler = break_off(way, phase, how)
            for _ in range(ROUNDS):
                c = peers.connect(way.client, way.port, way.ca)
                ex = c.exchange()
                with contextlib.suppress(OSError):
                    ex.head({"method": "POST", "target": "/"}, [("Content-Length", "10")])
                    ex.data(b"0123456789")
                    ex.end()
                event, got = ex.next(), 0
                if event[0] == "head" and event[1]["status"] == 200:
                    while (event := ex.next())[0] == "data":
                        got += len(event[1])
                    assert event[0] == "reset" and got <= 50_000, "an answer cut short looks complete"
                else:
                    assert event[0] == "reset" or event[1]["status"] in (502, 503), event
                c.close()
    nothing_is_left(way)


def test_a_reader_that_stands_still_holds_the_server_back(way):
    """Then reads on, and has every byte."""
    sent, size = [0], 200 << 20

    def handler(ex, _start, _fields):
        ex.head({"status": 200}, [("Content-Length", str(size))])
        with contextlib.suppress(OSError):
            while sent[0] < size:
                ex.data(BLOCK)
                sent[0] += len(BLOCK)
        return "close"
    way.server.handler = handler
    before = [p.rss() for p in way.proxies]
    c = peers.connect("h1", way.port, way.ca) if way.client == "h1" else Unread(way)
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    if way.client == "h2":
        c.ask()
    else:
        c.socket.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    pods.wait_for(lambda: sent[0] > 0, what="the answer to begin")
    held = steady(lambda: sent[0], times=4, pause=0.1)
    assert held < 64 << 20, f"{held >> 20} MiB went somewhere"
    for p, rss in zip(way.proxies, before):
        assert p.rss() - rss < BUFFERS * (10 if "san" in pods.WEIR else 1)
    c.close()
    nothing_is_left(way)


def test_a_server_that_stands_still_holds_the_client_back(way):
    over, sent = threading.Event(), [0]

    def handler(ex, start, fields):
        ex.connection.credit = False  # HTTP/2; in HTTP/1 not to read is enough
        over.wait(60)
        if way.upstream == "h2":
            ex.reset()  # who has stopped a client does not hear of its end: the server's, or limits.bodyTimeout, is the exchange's
        return "close"
    way.server.handler = handler
    before = [p.rss() for p in way.proxies]
    c = peers.connect(way.client, way.port, way.ca)
    ex = c.exchange()
    ex.head({"method": "POST", "target": "/"}, [("Content-Length", str(1 << 30))])

    def write():
        with contextlib.suppress(OSError):
            while sent[0] < 200 << 20 and not over.is_set():
                ex.data(BLOCK[:65536])
                sent[0] += 65536
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    held = steady(lambda: sent[0], times=4, pause=0.1)
    assert 0 < held < 64 << 20, f"{held >> 20} MiB went somewhere"
    for p, rss in zip(way.proxies, before):
        assert p.rss() - rss < BUFFERS * (10 if "san" in pods.WEIR else 1)
    over.set()
    peers.shut(c.socket)
    writer.join(30)
    c.close()
    nothing_is_left(way)


class Unread:
    """An HTTP/2 client with large windows that asks and then reads nothing."""

    def __init__(self, way):
        self.socket = socket.create_connection(("127.0.0.1", way.port), timeout=20)
        self.scheme = "http"
        if way.ca:
            context = ssl.create_default_context(cafile=way.ca)
            context.set_alpn_protocols(["h2"])
            self.socket, self.scheme = context.wrap_socket(self.socket, server_hostname="localhost"), "https"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration())
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 30)

    def close(self):
        self.socket.close()

    def ask(self):
        self.h2.send_headers(1, [(":method", "GET"), (":scheme", self.scheme), (":authority", "a"), (":path", "/")], end_stream=True)
        self.h2.increment_flow_control_window(1 << 30, 1)
        self.socket.sendall(self.h2.data_to_send())
