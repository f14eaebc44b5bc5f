# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 towards clients and towards servers, by prior knowledge and by ALPN, with curl, nghttp, h2load and python-h2."""

import json
import re
import shutil
import socket
import ssl
import subprocess

import h2.config
import h2.connection
import h2.events
import ports
import pytest

from backends import body_of, sha
from proxies import curl, pods


class H2Client:
    """One connection; enough of a client to do to weir what curl will not."""

    def __init__(self, port, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()
        self.closed = False

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def send(self, headers, end=True, extra=()):
        stream = self.h2.get_next_available_stream_id()
        base = {":method": "GET", ":scheme": "http", ":authority": "weir.test", ":path": "/"}
        base.update(headers)
        self.h2.send_headers(stream, [(k, v) for k, v in base.items() if v is not None] +
                             list(extra), end_stream=end)
        self.flush()
        return stream

    def data(self, stream, data, end=True):
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    def collect(self, *streams):
        """{stream: (status or reset reason, body)} when all have ended; None for those cut off."""
        found = {s: [None, b""] for s in streams}
        open_ones = set(streams)
        while open_ones:
            data = self.socket.recv(65536)
            if not data:
                self.closed = True
                break
            for event in self.h2.receive_data(data):
                s = getattr(event, "stream_id", None)
                if isinstance(event, h2.events.ResponseReceived):
                    found[s][0] = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    found[s][1] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, s)
                elif isinstance(event, h2.events.StreamEnded):
                    open_ones.discard(s)
                elif isinstance(event, h2.events.StreamReset):
                    found[s][0] = f"reset {int(event.error_code)}"
                    open_ones.discard(s)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.closed = True
                    open_ones = set()
            self.flush()
        return {s: tuple(v) for s, v in found.items()}

    def get(self, path="/", **headers):
        s = self.send({":path": path, **headers})
        return self.collect(s)[s]


@pytest.fixture
def client(reverse):
    c = H2Client(reverse.port)
    yield c
    c.socket.close()


def test_curl_with_prior_knowledge(reverse):
    done = curl("--http2-prior-knowledge", "-w", "%{http_version}", reverse.url("/"))
    assert done.stdout == b"ok\n2"


def test_http1_and_http2_on_one_listener(reverse):
    done = curl("-w", "%{http_version} ", "--http1.1", reverse.url(), "--next",
                "-w", "%{http_version} ", "--http2-prior-knowledge", reverse.url())
    assert done.stdout == b"ok\n1.1 ok\n2 "


def test_an_h2c_upgrade_is_not_taken_up(reverse):
    done = curl("--http2", "-w", "%{http_version}", reverse.url())
    assert done.stdout == b"ok\n1.1"


@pytest.mark.parametrize("size", [0, 1, 16384, 65536, 1_000_000, 50_000_000])
def test_bodies_are_byte_exact_both_ways(reverse, tmp_path, size):
    file = tmp_path / "in"
    file.write_bytes(body_of(size))
    up = curl("--http2-prior-knowledge", "-T", file, reverse.url("/digest"))
    assert up.stdout.decode().split() == [sha(body_of(size)), str(size)], up.stderr
    down = curl("--http2-prior-knowledge", reverse.url(f"/bytes/{size}"))
    assert sha(down.stdout) == sha(body_of(size))


def test_many_streams_at_once_are_all_answered(client):
    streams = {client.send({":path": f"/bytes/{n * 1000}"}): n for n in range(60)}
    found = client.collect(*streams)
    assert all(found[s] == ("200", body_of(n * 1000)) for s, n in streams.items())


def test_a_stalled_stream_does_not_stop_the_others(client):
    client.h2.update_settings({4: 10_000})  # SETTINGS_INITIAL_WINDOW_SIZE
    client.flush()
    stalled = client.send({":path": "/bytes/5000000"})
    got = 0
    while got < 10_000:  # its whole window, given back nothing
        for event in client.h2.receive_data(client.socket.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                got += len(event.data)
        client.flush()
    others = [client.send({":path": "/bytes/100"}) for _ in range(5)]
    found = client.collect(*others)
    assert all(found[s] == ("200", body_of(100)) for s in others)
    client.h2.reset_stream(stalled, 8)
    client.flush()
    assert client.get()[0] == "200"


def test_fields_reach_a_http1_server(client):
    s = client.send({":path": "/headers", ":method": "POST"}, end=False,
                    extra=[("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")])
    client.data(s, b"hello")
    seen = json.loads(client.collect(s)[s][1])
    fields = {k.lower(): v for k, v in seen["headers"]}
    assert seen["method"] == "POST" and seen["length"] == 5
    assert fields["host"] == "weir.test" and fields["x-one"] == "1"
    assert fields["cookie"] == "a=1; b=2"
    assert not [k for k in fields if k.startswith(":")]


def test_nghttp(reverse):
    done = subprocess.run(["nghttp", "-v", reverse.url("/bytes/1000")], capture_output=True,
                          timeout=30)
    assert done.returncode == 0 and b":status: 200" in done.stdout


def h2load(*args):
    done = subprocess.run(["h2load", *map(str, args)], capture_output=True, text=True, timeout=60)
    found = re.search(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed", done.stdout)
    assert found, done.stdout + done.stderr
    return [int(n) for n in found.groups()]


@pytest.mark.parametrize("version", ["h2c", "http/1.1"])
def test_h2load(reverse, version):
    assert h2load("-n", 2000, "-c", 8, "-m", 10 if version == "h2c" else 1, "-p", version,
                  reverse.url()) == [2000, 2000, 0]
    assert reverse.metric("weir_requests_total") == 2000


@pytest.mark.skipif(not shutil.which("nghttpd"), reason="needs nghttpd (nghttp2-server)")
@pytest.mark.parametrize("scheme", ["h2c", "https"])
def test_an_http2_upstream(proxy, certs, tmp_path, scheme):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(body_of(3_000_000))
    port = ports.free_port()
    server = subprocess.Popen(
        ["nghttpd", "-a", "127.0.0.1", "-d", tmp_path / "www", str(port),
         *(["--no-tls"] if scheme == "h2c" else [certs.server_key, certs.server])],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        p = proxy("--listen", "127.0.0.1:0", "--to", f"{scheme}://127.0.0.1:{port}",
                  "--to-ca", certs.ca, "--admin", "127.0.0.1:0", wait=True)
        for flag in ("--http1.1", "--http2-prior-knowledge"):
            done = curl("-f", "--retry", "5", "--retry-all-errors", flag, p.url("/file"))
            assert sha(done.stdout) == sha(body_of(3_000_000)), done.stderr
        before = p.metric("weir_upstream_connections_total")
        done = curl(p.url("/file?[1-20]"), "-o", "/dev/null", "-w", "%{http_code}\n")
        assert done.stdout == b"200\n" * 20
        assert p.metric("weir_upstream_connections_total") <= before + 2, "streams share no connection"
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(not shutil.which("nghttpd"), reason="needs nghttpd (nghttp2-server)")
def test_requests_that_come_together_to_a_cold_tls_server_share_one_handshake(proxy, certs, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(b"x")
    port = ports.free_port()
    server = subprocess.Popen(["nghttpd", "-a", "127.0.0.1", "-d", tmp_path / "www", str(port), certs.server_key, certs.server],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pods.wait_for(lambda: curl("-k", f"https://127.0.0.1:{port}/file").returncode == 0, what="nghttpd")
        conf = tmp_path / "proxy.yaml"
        conf.write_text(f"""apiVersion: weir.dev/v1alpha1
kind: Proxy
spec: {{listen: "127.0.0.1:0", to: ["https://127.0.0.1:{port}"], toCA: {certs.ca}, admin: "127.0.0.1:0", workers: 1}}
""")
        p = proxy("--config", conf)
        assert h2load("-n", 60, "-c", 4, "-m", 15, "-p", "h2c", p.url("/file")) == [60, 60, 0]
        assert p.metric("weir_upstream_connections_total") == 1
    finally:
        server.kill()
        server.wait()


def test_http2_between_two_proxies(proxy, site):
    inner = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}")
    outer = proxy("--listen", "127.0.0.1:0", "--to", f"h2c://127.0.0.1:{inner.port}",
                  "--admin", "127.0.0.1:0")
    for flag in ("--http1.1", "--http2-prior-knowledge"):
        done = curl(flag, outer.url("/bytes/5000000"))
        assert sha(done.stdout) == sha(body_of(5_000_000))
    assert h2load("-n", 1000, "-c", 8, "-p", "http/1.1", outer.url()) == [1000, 1000, 0]
    assert outer.metric("weir_upstream_connections_total") <= 4


def test_graceful_goaway_lets_requests_finish(reverse):
    c = H2Client(reverse.port)
    s = c.send({":path": "/wait/700"})
    reverse.wait_metric("weir_requests_active", 1)
    reverse.signal(15)
    # python-h2 takes a GOAWAY for the end of everything, so the frames are read here.
    frames, stream, ended = [], c.socket.makefile("rb"), False
    while not ended:
        head = stream.read(9)
        assert len(head) == 9, f"closed without an answer after {frames}"
        payload = stream.read(int.from_bytes(head[:3], "big"))
        frames.append((head[3], int.from_bytes(head[5:9], "big"), payload))
        ended = head[3] in (0, 1) and head[4] & 1 and frames[-1][1] == s
    goaways = [p for kind, _, p in frames if kind == 7]
    assert goaways and all(int.from_bytes(p[4:8], "big") == 0 for p in goaways)
    assert [kind for kind, on, _ in frames if on == s] == [1, 0]  # HEADERS, DATA
    assert reverse.wait() == 0


def test_alpn_chooses_http2(proxy, site, certs):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--cert", certs.server,
              "--key", certs.server_key)
    context = ssl.create_default_context(cafile=certs.ca)
    context.set_alpn_protocols(["h2"])
    c = H2Client(p.port, context)
    assert c.socket.selected_alpn_protocol() == "h2"
    assert c.get(**{":scheme": "https"})[0] == "200"
    c.socket.close()
