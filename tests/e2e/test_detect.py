# SPDX-License-Identifier: Apache-2.0
"""What a sidecar makes of a port that nobody has declared: servers that speak first, HTTP, TLS and bytes it does not know, all on one."""

import contextlib
import http.client
import smtplib
import socket
import socketserver
import ssl
import threading

import pytest

import proxies
from backends import Site, server_tls
from twosides import DOCUMENTS, SIDECAR


class Mail(socketserver.StreamRequestHandler):
    """Enough of SMTP for smtplib: says 220 before it has heard anything."""

    def handle(self):
        self.wfile.write(b"220 mail.test\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 fine\r\n")


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, handler, tls=None):
        super().__init__(("127.0.0.2", 0), handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


@pytest.fixture
def sidecar(tmp_path, proxy):
    """sidecar(server) is the sidecar of a pod whose port is the server's and is only said to be TCP."""
    with contextlib.ExitStack() as stack:
        def start(server):
            stack.callback(server.close)
            for args in (["--dir", tmp_path / "ca", "init"],
                         ["--dir", tmp_path / "ca", "--out", tmp_path / "app", "issue", "default/app"]):
                assert proxies.weir("ca", *args).returncode == 0
            say = {"app": server.port, "dir": tmp_path, "protocol": "tcp"}
            (tmp_path / "app.yaml").write_text((DOCUMENTS + SIDECAR).format(**say))
            p = proxy("--config", tmp_path / "app.yaml")
            p.at = ("127.0.0.3", server.port)
            return p
        yield start


def test_a_server_that_speaks_first_is_waited_for_once_per_worker(sidecar):
    p = sidecar(TcpServer(Mail))
    for _ in range(20):
        with smtplib.SMTP(*p.at, timeout=20) as mail:
            assert mail.noop() == (250, b"fine")
    m = p.metrics()
    workers = int(m.get("weir_workers", 8))
    assert 1 <= m["weir_detect_waits_total"] <= workers
    assert m["weir_detect_server_first_total"] == 20 - m["weir_detect_waits_total"]
    assert m["weir_detect_contrary_total"] == 0


def test_http_on_such_a_port_is_http_and_is_not_waited_for(sidecar):
    site = Site(address=("127.0.0.2", 0))
    p = sidecar(site)
    for _ in range(5):
        c = http.client.HTTPConnection(*p.at, timeout=20)
        c.request("GET", "/")
        assert c.getresponse().read() == b"ok\n"
        c.close()
    assert p.metric("weir_requests_total") == 5 and p.metric("weir_detect_waits_total") == 0


def test_a_client_that_speaks_late_is_still_heard(sidecar):
    """Slower than the wait, and before the server: read as if nobody had waited."""
    p = sidecar(Site(address=("127.0.0.2", 0)))
    with socket.create_connection(p.at, timeout=20) as s:
        proxies.pods.wait_for(lambda: p.metric("weir_detect_waits_total") == 1, what="the wait")
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: s.recv(65536), b"")).endswith(b"ok\n")
    assert p.metric("weir_requests_total") == 1 and p.metric("weir_detect_contrary_total") == 1


def test_unknown_bytes_pass_with_half_close(sidecar):
    p = sidecar(TcpServer(Echo))
    with socket.create_connection(p.at, timeout=20) as s:
        sent = bytes(range(256)) * 4000
        threading.Thread(target=lambda: (s.sendall(sent), s.shutdown(socket.SHUT_WR)), daemon=True).start()
        assert b"".join(iter(lambda: s.recv(65536), b"")) == sent
    assert p.metric("weir_requests_total") == 0 and p.metric("weir_relays_total") == 1


def test_the_applications_own_tls_passes(sidecar, certs):
    p = sidecar(TcpServer(Echo, server_tls(certs.server, certs.server_key)))
    context = ssl.create_default_context(cafile=certs.ca)
    with context.wrap_socket(socket.create_connection(p.at, timeout=20), server_hostname="localhost") as s:
        s.sendall(b"secret")
        assert s.recv(100) == b"secret"
