# SPDX-License-Identifier: Apache-2.0
"""Real clients and servers with two proxies and mTLS between them."""

import socket
import threading

import pytest

from proxies import curl
from twosides import TwoSides


class Raw:
    """Answers each request with fixed bytes and keeps what it received."""

    def __init__(self, answer):
        self.answer, self.got = answer, []
        self.listener = socket.create_server(("127.0.0.2", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s:
            data = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return
                data += more
                while b"\r\n\r\n" in data:
                    head, data = data.split(b"\r\n\r\n", 1)
                    self.got.append(head)
                    s.sendall(self.answer)

    def close(self):
        self.listener.close()


@pytest.fixture
def raw():
    made = []

    def make(answer):
        made.append(Raw(answer))
        return made[-1]
    yield make
    for r in made:
        r.close()


def test_spelling_and_reason_survive_the_mesh(tmp_path, proxy, raw):
    app = raw(b"HTTP/1.1 200 Quite Fine\r\nX-OddLY: 1\r\nx-low: 2\r\nContent-Length: 3\r\n\r\nok\n")
    two = TwoSides(tmp_path, proxy, app.port)
    done = curl("-i", "-H", "X-CamelCASE: 1", "-H", "x-lower: 2", f"http://127.0.0.1:{two.port}/a")
    lines = done.stdout.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 Quite Fine"
    assert b"X-OddLY: 1" in lines and b"x-low: 2" in lines and lines[-1] == b"ok\n"
    got = app.got[0].split(b"\r\n")
    assert got[0] == b"GET /a HTTP/1.1"
    assert b"X-CamelCASE: 1" in got and b"x-lower: 2" in got and b"Accept: */*" in got
    assert not [line for line in got + lines if b"weir-h1" in line.lower()]
    assert any(line.lower().startswith(b"x-forwarded-client-cert:") and b"/sa/edge" in line
               for line in got)


def test_http_1_0_without_host(tmp_path, proxy, raw):
    app = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    two = TwoSides(tmp_path, proxy, app.port)
    done = curl("-0", "-H", "Host:", f"http://127.0.0.1:{two.port}/")
    assert done.stdout == b"ok\n"
    assert b"\r\nHost: \r\n" in app.got[0] + b"\r\n"


def test_one_connection_carries_many_clients(tmp_path, proxy, raw):
    app = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    two = TwoSides(tmp_path, proxy, app.port)
    for _ in range(5):
        assert curl(f"http://127.0.0.1:{two.port}/").stdout == b"ok\n"
    handshakes = int(two.sidecar.metric("weir_tls_handshakes_total"))
    workers = max(1, int(two.edge.metrics().get("weir_workers", 8)))
    assert 1 <= handshakes <= workers
