# SPDX-License-Identifier: Apache-2.0
"""Limits of the process with real sockets and several workers: each fires, is counted, and things go on. docs/limits.md."""

import pathlib
import re
import select
import socket
import subprocess

import pytest

import pods
from proxies import curl

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "limits.md"
CONFIG = """\
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: p}}
spec: {{listen: "127.0.0.1:0", to: ["127.0.0.1:{port}"], admin: "127.0.0.1:0", accessLog: text, workers: 2, limits: {{{limits}}}{more}}}
"""


@pytest.fixture
def limited(tmp_path, proxy, site):
    def start(limits, more=""):
        file = tmp_path / f"limits-{len(list(tmp_path.iterdir()))}.yaml"
        file.write_text(CONFIG.format(port=site.port, limits=limits, more=more))
        return proxy("--config", file)
    return start


def connect(p, data=b""):
    s = socket.create_connection(("127.0.0.1", p.port), timeout=20)
    if data:
        s.sendall(data)
    return s


def answer(s):
    """All that comes until the end, however it ends."""
    got = b""
    try:
        while block := s.recv(65536):
            got += block
    except ConnectionError:
        pass
    return got


def refused(connecting, *args):
    """Reset, be it already while it connects."""
    try:
        return answer(connecting(*args)) == b""
    except ConnectionError:
        return True


def fault(p, side, kind):
    return p.metric(f'weir_faults_total{{side="{side}",kind="{kind}"}}')


def test_every_counter_of_the_documentation_is_there_from_the_start(limited):
    """Of every row of every table, at 0 unless it is a size."""
    p = limited("connections: 100")
    metrics = p.metrics()
    text = DOCS.read_text().split("## The agent's door")[0]  # what follows is the agent's to tell
    named = set(re.findall(r"`(weir_[a-z_]+)`", text)) - {"weir_faults_total"}
    assert len(named) > 12
    for name in named:
        assert name in metrics, name
        assert metrics[name] == 0 or name.startswith("weir_memory_"), name
    pairs = set()
    for cell in re.findall(r"\| ([^|]*) \|\n", text):
        for side, kinds in re.findall(r"\b((?:local|downstream|upstream)(?:, upstream)?) ([a-z_]+(?:, [a-z_]+)*)", cell):
            pairs |= {(s, k) for s in side.split(", ") for k in kinds.split(", ")}
    assert len(pairs) > 20
    for side, kind in pairs:
        assert fault(p, side, kind) == 0, (side, kind)
    assert metrics["weir_memory_limit_bytes"] > 0  # the machine's, where nothing is stated


def test_connections_are_counted_by_all_workers_together(limited):
    """However the kernel spreads them, 10 are 10: each of two workers with a share of 5 would refuse some."""
    p = limited("connections: 10, headTimeout: 60s")
    held = [connect(p, b"GET / HTTP/1.1\r\nHost: a\r\n") for _ in range(10)]
    p.wait_metric("weir_downstream_connections_active", 10)
    assert fault(p, "local", "limit_connections") == 0
    assert refused(connect, p)
    assert fault(p, "local", "limit_connections") == 1
    for s in held:
        s.close()
    p.wait_metric("weir_downstream_connections_active", 0)
    assert curl(p.url()).stdout == b"ok\n"


def test_a_source_is_who_the_proxy_header_names(limited):
    p = limited("sourceConnections: 2", ', proxyProtocol: {from: ["127.0.0.0/8"]}')

    def client(ip):
        return connect(p, f"PROXY TCP4 {ip} 127.0.0.1 1000 80\r\n".encode())
    held = [client("192.0.2.1"), client("192.0.2.1")]
    p.wait_metric("weir_downstream_connections_active", 2)
    for s in held:  # both are known by now
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    assert refused(client, "192.0.2.1")
    assert fault(p, "local", "limit_source") == 1
    other = client("192.0.2.2")
    other.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer(other).startswith(b"HTTP/1.1 200")
    held.pop().close()
    p.wait_metric("weir_downstream_connections_active", 1)
    again = client("192.0.2.1")
    again.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer(again).startswith(b"HTTP/1.1 200")


def test_handshakes_wait_their_turn(limited, certs):
    p = limited("handshakes: 1, handshakeTimeout: 5s", f", cert: {certs.server}, key: {certs.server_key}")
    slow = connect(p, b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello
    p.wait_metric("weir_tls_handshakes_active", 1)
    asked = subprocess.Popen(["curl", "-sS", "--cacert", certs.ca, p.url("/", "https")], stdout=subprocess.PIPE)
    p.wait_metric("weir_tls_handshakes_waited_total", 1)
    assert p.metric("weir_tls_handshakes_active") == 1
    slow.close()
    assert asked.communicate(timeout=50)[0] == b"ok\n"
    p.wait_metric("weir_tls_handshakes_active", 0)
    silent, late = connect(p), connect(p, b"\x16\x03\x01\x02\x00\x01")
    assert answer(silent) == b"" and answer(late) == b""
    assert fault(p, "downstream", "timeout_handshake") == 2


def test_a_flood_at_the_memory_limit_is_shed_and_survived(limited):
    """Half heads of 60 KB each, more than there is room for: they end before the room that answers need; then all is as before."""
    p = limited("memory: 24Mi, headTimeout: 60s")
    pid, before = p.pid, p.metric("weir_memory_bytes")
    limit = p.metric("weir_memory_limit_bytes")
    assert limit == 24 << 20
    waiting = connect(p, b"GET / HTTP/1.1\r\nHost: a\r\n")  # begun before; it asks when the memory is gone
    half = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1100) for i in range(54))
    held = [connect(p, half[:30]) for _ in range(700)]  # all are taken on while there is room
    p.wait_metric("weir_downstream_connections_active", 701)
    for s in held:
        try:
            s.sendall(half[30:])
        except ConnectionError:
            pass
    pods.wait_for(lambda: fault(p, "local", "limit_memory") > 0, what="the limit")
    used = p.metric("weir_memory_bytes")
    assert limit * 0.8 < used < limit and p.metric("weir_memory_refused_total") == 0
    waiting.sendall(b"Connection: close\r\n\r\n")  # there is room for an answer, whichever it is
    assert answer(waiting).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))
    ended = select.select(held, [], [], 0)[0]
    refusals = [got for s in ended if (got := answer(s))]  # what was still being sent may have met a reset
    assert refusals
    for got in refusals:
        assert got.startswith(b"HTTP/1.1 503 ") and b"x-weir-reason: limit_memory" in got
        assert b"The proxy is at its memory limit. (OM limit_memory)" in got
    pods.wait_for(lambda: " OM " in p.out(), timeout=10, what="an access line with the flag")
    assert p.rss() < 4 * limit
    for s in held:
        s.close()
    pods.wait_for(lambda: curl(p.url()).stdout == b"ok\n", timeout=20, what="service again")
    p.wait_metric("weir_downstream_connections_active", 0)
    pods.wait_for(lambda: p.metric("weir_memory_bytes") < before + limit / 2, timeout=20, what="the memory back")
    assert p.alive() and p.pid == pid
    for _ in range(20):
        assert curl(p.url()).stdout == b"ok\n"


def test_idle_connections_of_a_crowd_make_room(limited):
    p = limited("connections: 20")
    idle = []
    for _ in range(60):
        s = connect(p, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        idle.append(s)
    assert fault(p, "local", "limit_connections") == 0
    assert p.metric("weir_downstream_connections_shed_total") >= 40
    assert p.metric("weir_downstream_connections_active") <= 20


def test_content_larger_than_the_limit(limited):
    p = limited("bodyBytes: 1Mi")
    for how in ([], ["-H", "Transfer-Encoding: chunked"]):
        whole = curl(*how, "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", p.url("/upload"), input=bytes(1 << 20))
        assert whole.stdout == b"200"
        more = curl(*how, "-w", "%{http_code}", "--data-binary", "@-", p.url("/upload"), input=bytes((1 << 20) + 1))
        assert b"(BL body_too_large)" in more.stdout and more.stdout.endswith(b"413")
    assert fault(p, "downstream", "body_too_large") == 2
