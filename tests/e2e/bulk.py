# SPDX-License-Identifier: Apache-2.0
"""Much content, fast: a file in memory of which every MiB is different, servers of both versions that give it out and take it in, and a client
(curl) that does the same. Digests are made on the fly at both ends."""

import functools
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import ports
from backends import BLOCK
from proxies import pods

READ = 1 << 20
MEMORY = "/dev/shm"


@functools.lru_cache(maxsize=None)
def digest(n):
    h = hashlib.sha256()
    for piece in pieces(n):
        h.update(piece)
    return h.hexdigest()


def pieces(n):
    """The content of n bytes: BLOCK again and again, numbered."""
    at = 0
    while at < n:
        piece = (at // READ).to_bytes(8, "big") + BLOCK[8:]
        yield piece[:n - at]
        at += READ


class Files:
    """Content of some sizes as files in memory, /N; the directory is removed at the end."""

    def __init__(self, sizes):
        self.dir = tempfile.mkdtemp(prefix="weir-bulk-", dir=MEMORY)
        for n in sizes:
            with open(self.path(n), "wb") as f:
                f.writelines(pieces(n))

    def path(self, n):
        return os.path.join(self.dir, str(n))

    def close(self):
        shutil.rmtree(self.dir)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path = self.server.files.path(int(self.path.strip("/")))
        self.send_response(200)
        self.send_header("Content-Length", str(os.path.getsize(path)))
        self.end_headers()
        with open(path, "rb") as f:
            while piece := f.read(READ):
                self.wfile.write(piece)

    def do_PUT(self):
        h = hashlib.sha256()
        for piece in self._content():
            h.update(piece)
        answer = h.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _content(self):
        left = self.headers.get("Content-Length")
        if left is None:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(left)
        while left > 0:
            piece = self.rfile.read1(min(left, READ))
            if not piece:
                raise ConnectionError("cut off")
            left -= len(piece)
            yield piece

    def log_message(self, *_args):
        pass


class H1Server:
    """GET /N gives the file, PUT answers with the digest of what came."""

    def __init__(self, files, address, tls):
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args):
                pass  # clients that go away are part of the tests
        self.server = Server((address, 0), Handler)
        self.server.files = files
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class H2Server:
    """nghttpd: GET /N gives the file, PUT gives back what came."""

    def __init__(self, files, address, tls, certs):
        self.port = ports.free_port(address)
        key = [certs.server_key, certs.server] if tls else []
        self.process = subprocess.Popen(["nghttpd", "-a", address, "-d", files.dir, "--echo-upload", *([] if tls else ["--no-tls"]),
                                         "-w", "20", "-W", "22", str(self.port), *key],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": files.dir})
        pods.wait_for(lambda: self._listens(address), what="nghttpd")

    def _listens(self, address):
        with socket.socket() as s:
            return s.connect_ex((address, self.port)) == 0

    def close(self):
        self.process.kill()
        self.process.wait()


def server_of(files, certs):
    return lambda version, address, tls: H2Server(files, address, tls, certs) if version == "h2" else H1Server(files, address, tls)


class Curl:
    """One transfer; what is received goes through SHA-256 unless it is given away."""

    def __init__(self, way, *args, **kwargs):
        self.process = subprocess.Popen(["curl", "-sS", "--fail", "--max-time", "300", *way.curl_flags(), *map(str, args)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def digest(self):
        h, n = hashlib.sha256(), 0
        while piece := self.process.stdout.read1(READ):
            h.update(piece)
            n += len(piece)
        code = self.process.wait()
        assert code == 0, self.process.stderr.read()
        return n, h.hexdigest()

    def text(self):
        out, err = self.process.communicate()
        assert self.process.returncode == 0, err
        return out.decode()


def get(way, n):
    return Curl(way, way.url(f"/{n}")).digest()


def put(way, files, n, framing="length"):
    """The digest of what the server received; its HTTP/2 form sends it all back."""
    with open(files.path(n), "rb") as f:
        source = ["-T", "-"] if framing == "stream" else ["-T", files.path(n)]
        curl = Curl(way, *source, way.url("/put"), stdin=f)
    return curl.digest()[1] if way.upstream == "h2" else curl.text()
