# SPDX-License-Identifier: Apache-2.0
"""A proxy's life: draining without a failed request, and staying as small as it was."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import threading

import ports
import pytest

from clients import Clients
from proxies import curl, pods, steady


def test_another_process_takes_over_without_a_failed_request(proxy, site):
    """Both listen (SO_REUSEPORT), the old one drains: where SIGUSR2 (test_successor.py) is not possible."""
    port = ports.free_port()
    args = ("--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{site.port}", "--admin", "127.0.0.1:0")
    old = proxy(*args)
    clients = Clients(port)
    pods.wait_for(lambda: clients.done > 100, what="load")
    new = proxy(*args)
    old.signal(signal.SIGTERM)
    assert old.wait() == 0
    at = clients.done
    pods.wait_for(lambda: clients.done > at + 200, what="load on the successor")
    done, failed = clients.finish()
    assert not failed, failed[:5]
    assert new.metric("weir_requests_total") > 0


def test_requests_in_flight_at_sigterm_are_answered(reverse, tmp_path):
    slow = [http.client.HTTPConnection("127.0.0.1", reverse.port, timeout=20) for _ in range(10)]
    for c in slow:
        c.request("GET", "/wait/1000")
    half = socket.create_connection(("127.0.0.1", reverse.port), timeout=20)
    half.sendall(b"PUT /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    reverse.wait_metric("weir_requests_active", 11)
    reverse.signal(signal.SIGTERM)
    reverse.wait_err("event=drain")
    half.sendall(b"def")
    answer = half.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer.lower()
    for c in slow:
        response = c.getresponse()
        assert response.status == 200 and response.read() == b"waited\n"
        assert response.will_close
    assert reverse.wait() == 0
    found = [json.loads(x) for x in reverse.out().splitlines()]
    assert len(found) == 11 and all(x["response_code"] == 200 for x in found)


def test_not_ready_while_draining(reverse):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", reverse.port, timeout=20)) as c:
        c.request("GET", "/wait/1500")
        reverse.wait_metric("weir_requests_active", 1)
        reverse.signal(signal.SIGTERM)
        reverse.wait_err("event=drain")
        done = curl("-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{reverse.admin}/ready")
        assert done.stdout == b"503"
        assert c.getresponse().status == 200
    assert reverse.wait() == 0


def test_an_idle_proxy_ends_at_once(reverse):
    idle = socket.create_connection(("127.0.0.1", reverse.port))
    idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    idle.recv(1000)
    reverse.signal(signal.SIGTERM)
    assert reverse.wait(10) == 0
    idle.close()


def test_a_second_sigterm_cuts(reverse):
    c = http.client.HTTPConnection("127.0.0.1", reverse.port, timeout=20)
    c.request("GET", "/wait/20000")
    reverse.wait_metric("weir_requests_active", 1)
    reverse.signal(signal.SIGTERM)
    reverse.wait_err("event=drain")
    reverse.signal(signal.SIGTERM)
    assert reverse.wait(10) == 1
    c.close()


def load(port, n, *args):
    done = subprocess.run(["h2load", "-n", str(n), "-c", "16", *args, f"http://127.0.0.1:{port}/bytes/2000"],
                          capture_output=True, text=True, timeout=120)
    assert f"{n} succeeded, 0 failed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["http1", "http2", "new-connections", "aborted"])
def test_memory_and_descriptors_do_not_grow(reverse, kind):
    def rounds(times):
        for _ in range(times):
            if kind == "http1":
                load(reverse.port, 2000, "-p", "http/1.1")
            elif kind == "http2":
                load(reverse.port, 2000, "-m", "10")
            else:
                for _ in range(300):
                    with socket.create_connection(("127.0.0.1", reverse.port)) as s:
                        s.sendall(b"GET /bytes/200000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        while s.recv(65536) and kind == "new-connections":
                            pass

    def settled():
        reverse.wait_metric("weir_requests_active", 0)
        reverse.wait_metric("weir_downstream_connections_active", 0)
        return steady(reverse.fds), reverse.rss()
    rounds(2)
    fds, rss = settled()
    rounds(4)
    fds_after, rss_after = settled()
    # Pooled upstream connections may be as many as requests ever were at once; one leaked per request would be thousands.
    at_once = 160
    assert fds_after <= fds + at_once, (fds, fds_after)
    assert rss_after - rss < 3_000_000, (rss, rss_after)
