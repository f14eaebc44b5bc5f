# SPDX-License-Identifier: Apache-2.0
"""Servers behind the proxy, on loopback, in the test's own process.

Site: a small well-behaved HTTP/1.1 server whose paths say what to answer. Recorder: takes every byte it is sent down, so
that a test can say what the backend received, and answers as it is told. Both count what they see."""

import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
import time

BLOCK = hashlib.shake_256(b"weir").digest(1 << 20)  # not compressible, the same everywhere


def body_of(n):
    return (BLOCK * (n // len(BLOCK) + 1))[:n]


def sha(data):
    return hashlib.sha256(data).hexdigest()


class SiteHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def chunks_in(self):
        """The content of the request, piece by piece, whatever its framing."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    return
                yield self.rfile.read(size)
                self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left > 0:
                piece = self.rfile.read(min(left, 65536))
                if not piece:
                    raise ConnectionError("cut off")
                left -= len(piece)
                yield piece

    def reply(self, body, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def answer(self):
        self.server.site.count(self)
        part = self.path.split("?")[0].strip("/").split("/")
        kind = getattr(self, "do_" + part[0], None) if part[0].islower() else None
        if kind is None:
            for _ in self.chunks_in():
                pass
            self.reply(b"ok\n")
        else:
            kind(*part[1:])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

    def do_headers(self, *_more):
        """What arrived, as JSON."""
        content = b"".join(self.chunks_in())
        self.reply(json.dumps({"method": self.command, "path": self.path,
                               "headers": [[k, v] for k, v in self.headers.items()],
                               "length": len(content), "name": self.server.site.name}).encode())

    def do_name(self):
        for _ in self.chunks_in():
            pass
        self.reply(self.server.site.name.encode())

    def do_bytes(self, n):
        self.send_response(200)
        self.send_header("Content-Length", n)
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(int(n))

    def do_chunked(self, n):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = body_of(int(n))
        for at in range(0, len(data), 50000):
            piece = data[at:at + 50000]
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def send_body(self, n):
        sent = 0
        while sent < n:
            at = sent % len(BLOCK)
            piece = BLOCK[at:at + min(65536, n - sent)]
            self.wfile.write(piece)
            sent += len(piece)
            self.server.site.sent = sent

    def do_digest(self):
        """SHA-256 and length of what was sent to us."""
        h, n = hashlib.sha256(), 0
        for piece in self.chunks_in():
            h.update(piece)
            n += len(piece)
        self.reply(f"{h.hexdigest()} {n}\n".encode())

    def do_status(self, code):
        for _ in self.chunks_in():
            pass
        self.reply(b"as asked\n", int(code))

    def do_wait(self, ms):
        time.sleep(int(ms) / 1000)
        self.reply(b"waited\n")

    def do_cut(self, n):
        """Promises n bytes and closes after half of them."""
        self.send_response(200)
        self.send_header("Content-Length", n)
        self.end_headers()
        self.wfile.write(body_of(int(n) // 2))
        self.close_connection = True

    def log_message(self, *_args):
        pass


class SiteServer(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, *_args):
        pass  # clients that go away are part of the tests

    def get_request(self):
        found = super().get_request()
        self.site.connections += 1
        return found


class SiteServer6(SiteServer):
    address_family = socket.AF_INET6


class Site:
    def __init__(self, name="site", tls=None, address=("127.0.0.1", 0)):
        self.name = name
        self.server = (SiteServer6 if ":" in address[0] else SiteServer)(address, SiteHandler)
        self.server.site = self
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.connections = self.requests = self.sent = 0
        self.seen = []
        self._lock = threading.Lock()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def count(self, handler):
        with self._lock:
            self.requests += 1
            self.seen.append((handler.command, handler.path))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Recorder:
    """Keeps all bytes of every connection; answers each complete head with what `answer` returns (a function of the
    bytes of the head, or bytes). A strict reader of framing it is not: what weir lets through is the question."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"):
        self.answer = answer
        self.connections = []
        self.log = bytearray()  # of all connections, in the order of arrival
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            got = bytearray()
            self.connections.append(got)
            threading.Thread(target=self._serve, args=(s, got), daemon=True).start()

    def _serve(self, s, got):
        answered = 0
        try:
            while True:
                end = self._end(bytes(got), answered)
                if end is not None:
                    head = bytes(got[answered:end])
                    answered = end
                    s.sendall(self.answer(head) if callable(self.answer) else self.answer)
                    continue
                data = s.recv(65536)
                if not data:
                    return
                got += data
                self.log += data
        except OSError:
            pass
        finally:
            s.close()

    @staticmethod
    def _end(got, at):
        """Where the message that begins at `at` ends; None when it is not all there."""
        head_end = got.find(b"\r\n\r\n", at)
        if head_end < 0:
            return None
        head = got[at:head_end + 4].lower()
        if b"transfer-encoding" in head:
            last = re.compile(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n").search(got, head_end + 4)
            return last.end() if last else None
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head)
        end = head_end + 4 + (int(length.group(1)) if length else 0)
        return end if len(got) >= end else None

    def received(self):
        return bytes(self.log)

    def close(self):
        self.socket.close()


def server_tls(cert, key, alpn=("http/1.1",), client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(list(alpn))
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
