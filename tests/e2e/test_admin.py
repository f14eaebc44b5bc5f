# SPDX-License-Identifier: Apache-2.0
"""The admin address, the access log, and what both say about requests."""

import json
import re
import signal
import socket
import urllib.error

import pytest

from proxies import curl, pods


def lines(proxy, n):
    """The first n access lines."""
    def look():
        found = proxy.out().splitlines(keepends=True)
        return found if len(found) >= n and found[-1].endswith("\n") else None
    return pods.wait_for(look, what=f"{n} access lines")


def test_the_admin_address(reverse):
    assert reverse.get_admin("/live") == "live\n"
    assert reverse.get_admin("/ready") == "ready\n"
    status = json.loads(reverse.get_admin("/status"))
    assert status["pid"] == reverse.pid and status["generation"] == 1
    with pytest.raises(urllib.error.HTTPError) as e:
        reverse.get_admin("/nothing")
    assert e.value.code == 404
    done = curl("-X", "POST", "-o", "/dev/null", "-w", "%{http_code}",
                f"http://127.0.0.1:{reverse.admin}/metrics")
    assert done.stdout == b"405"


def test_metrics_are_prometheus_text_and_count(reverse):
    before = reverse.metrics()
    curl(reverse.url("/bytes/[1000-1009]"), "-o", "/dev/null")
    curl(reverse.url("/status/404"), reverse.url("/status/500"))
    after = reverse.metrics()

    def moved(name):
        return after[name] - before.get(name, 0)
    assert moved("weir_requests_total") == 12
    assert moved('weir_responses_total{class="2xx"}') == 10
    assert moved('weir_responses_total{class="4xx"}') == 1
    assert moved('weir_responses_total{class="5xx"}') == 1
    assert moved("weir_downstream_sent_bytes_total") > 10045
    assert after["weir_requests_active"] == 0
    assert after["weir_request_duration_seconds_count"] == 12
    text = reverse.get_admin("/metrics")
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or \
            re.fullmatch(r"[a-zA-Z_:][\w:]*(\{[^}]*\})? [-+0-9.eInfNa]+", line), line
    names = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_admin_answers_while_all_is_busy(proxy, recorder):
    recorder.answer = b""  # never
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{recorder.port}", "--admin",
              "127.0.0.1:0", "--workers", "1")
    held = []
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", p.port))
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        held.append(s)
    p.wait_metric("weir_requests_active", 50)
    assert p.get_admin("/ready") == "ready\n"
    for s in held:
        s.close()
    p.signal(signal.SIGTERM)
    p.wait_err("event=drain")
    p.signal(signal.SIGTERM)
    assert p.wait() == 1


def test_one_json_line_per_request(reverse):
    curl("-A", "tester/1", reverse.url("/bytes/1234?q=1"))
    curl("-X", "POST", "-d", "hello", reverse.url("/status/404"))
    first, second = [json.loads(x) for x in lines(reverse, 2)]
    assert (first["method"], first["path"], first["response_code"]) == ("GET", "/bytes/1234?q=1", 200)
    assert first["bytes_sent"] == 1234 and first["user_agent"] == "tester/1"
    assert first["authority"] == f"127.0.0.1:{reverse.port}" and first["protocol"] == "HTTP/1.1"
    assert first["downstream_remote_address"].startswith("127.0.0.1:")
    assert (second["response_code"], second["bytes_received"]) == (404, 5)
    assert first["request_id"] != second["request_id"]


def test_text_lines_are_in_envoys_order(proxy, site):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--access-log", "text")
    curl(p.url("/bytes/77"))
    line = lines(p, 1)[0]
    assert re.match(r'\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET /bytes/77 HTTP/1\.1" 200 - 0 77 \d+ ', line), line


def test_no_lines_unless_asked(proxy, site):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}")
    curl(p.url())
    assert p.stop() == 0 and p.out() == ""


def test_a_request_cannot_forge_a_line(reverse):
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.sendall(b'GET /x"\\%0a HTTP/1.1\r\nHost: a\r\nUser-Agent: "} {"\xff\xc3\xa9\r\nConnection: close\r\n\r\n')
        while s.recv(4096):
            pass
    found = lines(reverse, 1)
    assert len(found) == 1 and json.loads(found[0])["method"] == "GET"
    assert all(32 <= ord(c) < 127 for c in found[0].rstrip("\n"))


def test_a_refused_request_says_why(proxy):
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{gone.getsockname()[1]}",
                  "--access-log", "json")
        curl(p.url())
        line = json.loads(lines(p, 1)[0])
    assert line["response_code"] == 503 and line["response_flags"] == "UF"
    assert line["reason"] == "connect_failed"


def test_a_reader_of_the_log_that_stops_reading_stops_no_request(proxy, site):
    import os
    import subprocess

    import proxies
    read, write = os.pipe()
    process = subprocess.Popen(
        [proxies.WEIR, "proxy", "--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}",
         "--access-log", "json"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    try:
        port = None
        while port is None:
            found = re.search(r"direction=reverse \S+ port=(\d+)", process.stderr.readline())
            port = int(found.group(1)) if found else None
        done = subprocess.run(["h2load", "-p", "http/1.1", "-n", "6000", "-c", "8",
                               f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=60)
        assert "6000 succeeded, 0 failed" in done.stdout, done.stdout
    finally:
        process.kill()
        process.communicate()
        os.close(read)
