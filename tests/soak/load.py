# SPDX-License-Identifier: Apache-2.0
"""The traffic of the soak: each kind of client is a function that makes one round and raises when anything is not as it should be."""

import asyncio
import hashlib
import http.client
import os
import random
import re
import socket
import ssl
import subprocess
import threading
import time

import grpc
import websockets

from backends import body_of, sha
from grpcsite import Client

RST = b"\1\0\0\0\0\0\0\0"


class Failed(Exception):
    """What a client got that it should not have."""


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.good, self.bad, self.samples = {}, {}, []

    def count(self, kind, n=1):
        with self.lock:
            self.good[kind] = self.good.get(kind, 0) + n

    def fail(self, kind, why):
        with self.lock:
            self.bad[kind] = self.bad.get(kind, 0) + 1
            if len(self.samples) < 50:
                self.samples.append(f"{time.strftime('%H:%M:%S')} {kind}: {why}")

    def totals(self):
        with self.lock:
            return sum(self.good.values()), sum(self.bad.values())


def check(condition, why):
    if not condition:
        raise Failed(why)


class Clients:
    """`http` and `https` are the gateway's ports, `ca` the file that its certificate is verified with."""

    def __init__(self, http_port, https_port, ca, directory):
        self.http, self.https, self.ca = http_port, https_port, ca
        self.upload = os.path.join(directory, "upload")
        with open(self.upload, "wb") as f:
            f.write(body_of(3_000_000))
        self.upload_sum = sha(body_of(3_000_000))
        self.grpc = None

    def rounds(self):
        """(name, function, seconds between its rounds)"""
        return [("keepalive", self.keepalive, 0.2), ("h2load", self.h2load, 5), ("wrk", self.wrk, 15),
                ("curl", self.curl, 2), ("grpc", self.grpc_calls, 0.5), ("websocket", self.websocket, 1),
                ("abort", self.abort, 0.3), ("slow-reader", self.slow_reader, 1), ("slow-writer", self.slow_writer, 1)]

    def connect(self, tls=False):
        s = socket.create_connection(("127.0.0.1", self.https if tls else self.http), timeout=30)
        if tls:
            s = ssl.create_default_context(cafile=self.ca).wrap_socket(s, server_hostname="localhost")
        return s

    def keepalive(self):
        """A connection that is used a few times; sizes at random."""
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        n = 0
        for _ in range(random.randint(1, 30)):
            size = random.choice([0, 1, 100, 5000, 70_000, 400_000])
            c.request("GET", f"/bytes/{size}")
            answer = c.getresponse()
            data = answer.read()
            check(answer.status == 200 and data == body_of(size), f"{answer.status} {data[:200]}")
            n += 1
        c.close()
        return n

    def _tool(self, argv, pattern):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        found = re.search(pattern, done.stdout, re.S)
        check(done.returncode == 0 and found, done.stdout[-500:] + done.stderr[-500:])
        return found

    def h2load(self):
        url = f"https://localhost:{self.https}/bytes/1000" if random.random() < 0.5 else f"http://localhost:{self.http}/bytes/1000"
        found = self._tool(["h2load", "-n", "300", "-c", "4", "-m", "10", url], r"(\d+) succeeded, (\d+) failed.*?status codes: (\d+) 2xx")
        check(found.groups() == ("300", "0", "300"), found.group(0))
        return 300

    def wrk(self):
        found = self._tool(["wrk", "-t1", "-c8", "-d1s", f"http://127.0.0.1:{self.http}/"], r"(\d+) requests in(.*)")
        check("Non-2xx" not in found.group(2) and "Socket errors" not in found.group(2), found.group(0))
        return int(found.group(1))

    def curl(self):
        for flags, url in ((["--http1.1"], f"http://127.0.0.1:{self.http}"), (["--http2-prior-knowledge"], f"http://127.0.0.1:{self.http}"),
                           (["--http2", "--cacert", self.ca], f"https://localhost:{self.https}")):
            done = subprocess.run(["curl", "-sS", "-4", "--max-time", "60", *flags, "-T", self.upload, url + "/digest"],
                                  capture_output=True, timeout=90, check=False)
            check(done.returncode == 0 and done.stdout.decode().split() == [self.upload_sum, "3000000"], done.stdout[:300] + done.stderr)
        return 3

    def grpc_calls(self):
        """A channel lives for a while, then there is a new one."""
        if self.grpc is None or random.random() < 0.05:
            if self.grpc:
                self.grpc.close()
            self.grpc = Client(f"127.0.0.1:{self.http}")
        c = self.grpc
        data = body_of(random.choice([0, 10, 20_000, 300_000]))
        try:
            check(c.unary("Unary", data) == data, "another message")
            check(len(list(c.stream("Stream", b"20 5000"))) == 20, "messages of the stream are missing")
            check(list(c.chat(iter([data, b"x"]))) == [data, b"x"], "the chat is not what was said")
            check(c.collect(iter([b"a", b"b"])) == b"2 " + hashlib.sha256(b"ab").hexdigest().encode(), "wrong digest")
        except grpc.RpcError as e:
            raise Failed(f"{e.code()} {e.details()}") from None
        call = c.stream("Watch")
        next(call)
        call.cancel()
        return 5

    def websocket(self):
        async def talk():
            async with websockets.connect(f"ws://127.0.0.1:{self.http}/ws", max_size=1 << 24) as ws:
                for n in range(20):
                    message = "m" * random.choice([1, 200, 70_000])
                    await ws.send(message)
                    check(await asyncio.wait_for(ws.recv(), 30) == message, f"message {n}")
                    await asyncio.sleep(random.random() / 20)
        asyncio.run(talk())
        return 1

    def abort(self):
        """Leaves at any moment, by FIN or RST, in either version; nobody asks what it got."""
        try:
            with self.connect(tls=random.random() < 0.3) as s:
                if random.random() < 0.6:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                what = random.randrange(5)
                if what == 0:
                    s.sendall(b"GET / HT")
                elif what == 1:
                    s.sendall(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * random.randrange(100_000))
                elif what == 2:
                    s.sendall(b"GET /bytes/5000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                    s.recv(random.randrange(1, 200_000))
                elif what == 3:
                    s.sendall(b"GET /wait/100 HTTP/1.1\r\nHost: a\r\n\r\n")
                else:
                    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
                time.sleep(random.random() / 10)
        except OSError:
            pass
        return 1

    def slow_reader(self):
        size, got = 400_000, bytearray()
        with self.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
            while data := s.recv(8192):
                got += data
                time.sleep(0.02)
        check(bytes(got).partition(b"\r\n\r\n")[2] == body_of(size), f"{len(got)} bytes")
        return 1

    def slow_writer(self):
        data = body_of(3000)
        with self.connect(tls=True) as s:
            s.sendall(b"PUT /digest HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n")
            for at in range(0, len(data), 100):
                s.sendall(data[at:at + 100])
                time.sleep(0.03)
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        check(sha(data).encode() in answer, answer[:300])
        return 1


def run(tally, stop, name, one_round, pause):
    """Rounds of one kind of client until `stop`."""
    while not stop.is_set():
        try:
            tally.count(name, one_round())
        except Exception as e:  # noqa: BLE001: whatever it was, it is a failure to be told
            tally.fail(name, f"{type(e).__name__} {e}"[:1000])
        stop.wait(pause * random.uniform(0.5, 1.5))
