# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on both sides, with curl and with sockets."""

import hashlib
import http.client
import json
import socket

import pytest

from backends import Recorder, body_of, sha
from proxies import curl, steady

SIZES = [0, 1, 1023, 16384, 65536, 65537, 1_000_000, 50_000_000]


def answer(s):
    """Status and content of the next response, in however many pieces it comes."""
    response = http.client.HTTPResponse(s)
    response.begin()
    return response.status, response.read()


def test_curl_gets_an_answer(reverse):
    done = curl("-i", reverse.url("/"))
    assert done.stdout.startswith(b"HTTP/1.1 200 ")
    assert done.stdout.endswith(b"\r\n\r\nok\n")


def test_requests_of_one_client_share_one_connection_each_side(reverse, site):
    done = curl("-v", reverse.url("/[1-50]"))
    assert done.stdout == b"ok\n" * 50
    assert done.stderr.count(b"Connected to") == 1
    assert site.requests == 50
    assert site.connections == 1


def test_head_has_the_length_and_no_body(reverse):
    done = curl("-I", reverse.url("/bytes/12345"))
    assert b"content-length: 12345" in done.stdout.lower()
    again = curl("-I", reverse.url("/bytes/5"), "--next", reverse.url("/bytes/5"))
    assert again.stdout.endswith(body_of(5))


@pytest.mark.parametrize("size", SIZES)
def test_a_download_is_byte_exact(reverse, tmp_path, size):
    out = tmp_path / "out"
    done = curl("-o", out, reverse.url(f"/bytes/{size}"))
    assert done.returncode == 0, done.stderr
    data = out.read_bytes() if out.exists() else b""
    assert len(data) == size and sha(data) == sha(body_of(size))


@pytest.mark.parametrize("framing,size", [("length", n) for n in SIZES] +
                         [("chunked", n) for n in SIZES if n > 0])  # curl 7.88 hangs on empty chunked ones
def test_an_upload_is_byte_exact(reverse, tmp_path, size, framing):
    file = tmp_path / "in"
    file.write_bytes(body_of(size))
    extra = ["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else []
    done = curl("-T", file, *extra, reverse.url("/digest"))
    assert done.stdout.decode().split() == [sha(body_of(size)), str(size)], done.stderr


def test_an_empty_chunked_upload(reverse):
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.sendall(b"PUT /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        status, content = answer(s)
    assert status == 200 and content.decode().split() == [sha(b""), "0"]


def test_a_chunked_answer_is_byte_exact(reverse):
    done = curl("-i", reverse.url("/chunked/3000000"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert sha(body) == sha(body_of(3_000_000))


def test_expect_100_continue_is_answered_before_the_body(reverse):
    data = body_of(100_000)
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.sendall(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(data)
        status, content = answer(s)
    assert status == 200 and sha(data).encode() in content


def test_curl_with_100_continue(reverse, tmp_path):
    file = tmp_path / "in"
    file.write_bytes(body_of(2_000_000))
    done = curl("-v", "-H", "Expect: 100-continue", "-T", file, reverse.url("/digest"))
    assert b"100 Continue" in done.stderr
    assert done.stdout.split()[0].decode() == sha(body_of(2_000_000))


def test_a_slow_reader_holds_the_server_back_and_gets_every_byte(reverse, site):
    size = 50_000_000
    before = reverse.rss()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(30)
        s.connect(("127.0.0.1", reverse.port))
        s.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        held = steady(lambda: site.sent)
        assert 0 < held < size / 2, "the server was not held back"
        assert reverse.rss() - before < 8_000_000
        data, stream = hashlib.sha256(), s.makefile("rb")
        while stream.readline() not in (b"\r\n", b""):
            pass
        left = size
        while left > 0:
            piece = stream.read(min(left, 100_000))
            assert piece, f"cut off with {left} bytes to go"
            data.update(piece)
            left -= len(piece)
    assert data.hexdigest() == sha(body_of(size))


def test_a_slow_server_holds_the_client_back(proxy):
    class Deaf(Recorder):
        def _serve(self, s, got):
            got += s.recv(1000)
            self.held = s  # and reads no more

    server = Deaf()
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}")
    before, sent = p.rss(), 0
    with socket.create_connection(("127.0.0.1", p.port)) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n")
        s.settimeout(1)
        try:
            while sent < 500_000_000:
                sent += s.send(b"x" * 65536)
        except TimeoutError:
            pass
        assert sent < 100_000_000, "the client was not held back"
        assert p.rss() - before < 8_000_000
    server.held.close()
    server.close()


def test_a_server_that_cuts_its_answer_is_not_hidden(reverse):
    done = curl(reverse.url("/cut/100000"))
    # Closed or reset with bytes outstanding: never a complete answer.
    assert done.returncode in (18, 56), (done.returncode, done.stderr)
    assert len(done.stdout) <= 50_000


def test_a_client_that_goes_away_does_not_hurt_the_others(reverse, site):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", reverse.port)) as s:
            s.sendall(b"GET /bytes/10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(1000)
    assert curl(reverse.url("/")).stdout == b"ok\n"
    reverse.wait_metric("weir_requests_active", 0)
    reverse.wait_metric("weir_downstream_connections_active", 0)


def test_pipelined_requests_are_answered_in_order(reverse):
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.sendall(b"".join(b"GET /status/%d HTTP/1.1\r\nHost: a\r\n\r\n" % c
                           for c in (200, 404, 201, 500, 202)))
        stream = s.makefile("rb")
        seen = []
        for _ in range(5):
            seen.append(int(stream.readline().split()[1]))
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            stream.read(length)
    assert seen == [200, 404, 201, 500, 202]


@pytest.mark.parametrize("code", [200, 201, 204, 301, 304, 400, 404, 418, 500, 503])
def test_statuses_pass_unchanged(reverse, code):
    done = curl("-o", "/dev/null", "-w", "%{http_code}", reverse.url(f"/status/{code}"))
    assert done.stdout.decode() == str(code)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_and_paths_pass_unchanged(reverse, method):
    done = curl("-X", method, "--path-as-is", reverse.url("/headers/a%20b//c;d?x=1&y=%2F"))
    seen = json.loads(done.stdout)
    assert (seen["method"], seen["path"]) == (method, "/headers/a%20b//c;d?x=1&y=%2F")


def test_header_case_is_kept_for_http1(reverse):
    done = curl("-H", "X-MiXed-Case: Yes", reverse.url("/headers"))
    assert ["X-MiXed-Case", "Yes"] in json.loads(done.stdout)["headers"]


def test_hop_by_hop_headers_stop_here(reverse):
    done = curl("-H", "Connection: keep-alive, x-drop", "-H", "x-drop: 1", "-H", "Keep-Alive: 5",
                "-H", "Proxy-Connection: keep-alive", "-H", "TE: gzip", "-H", "Upgrade: h2c",
                "-H", "HTTP2-Settings: AAMAAABkAAQAAP__", reverse.url("/headers"))
    names = {k.lower() for k, _ in json.loads(done.stdout)["headers"]}
    assert not names & {"x-drop", "keep-alive", "proxy-connection", "upgrade", "http2-settings"}


def test_identity_headers_from_outside_are_stripped(reverse):
    done = curl("-H", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/default/sa/root",
                reverse.url("/headers"))
    values = " ".join(v for _, v in json.loads(done.stdout)["headers"])
    assert "spiffe" not in values


def test_http10_without_keep_alive_is_closed_after_the_answer(reverse):
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = s.makefile("rb").read()
    assert data.startswith(b"HTTP/1.") and b" 200 " in data[:20] and data.endswith(b"ok\n")


def test_a_request_arriving_byte_by_byte(reverse):
    with socket.create_connection(("127.0.0.1", reverse.port), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            s.sendall(bytes([b]))
        status, content = answer(s)
    assert status == 200 and sha(b"abc").encode() in content


def test_several_upstreams_share_the_requests(proxy):
    from backends import Site
    sites = [Site("a"), Site("b")]
    p = proxy("--listen", "127.0.0.1:0", *[x for s in sites for x in ("--to", f"127.0.0.1:{s.port}")])
    curl(p.url("/[1-100]"))
    assert [s.requests for s in sites] == [50, 50] or all(s.requests >= 20 for s in sites)
    assert sum(s.requests for s in sites) == 100
    for s in sites:
        s.close()


def test_a_dead_upstream_is_503_with_a_reason_and_the_living_one_is_used(proxy, site):
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        dead = gone.getsockname()[1]
        p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{dead}")
        done = curl("-i", p.url("/"))
        assert done.stdout.startswith(b"HTTP/1.1 503 ") and b"connect_failed" in done.stdout
        both = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{dead}",
                     "--to", f"127.0.0.1:{site.port}")
        assert curl("-f", both.url("/[1-20]")).stdout == b"ok\n" * 20


def test_a_pooled_connection_the_server_closed_costs_no_request(proxy):
    """The keep-alive race: the server closes after each answer without having said so."""
    class Rude(Recorder):
        def _serve(self, s, got):
            got += s.recv(65536)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            s.close()

    server = Rude()
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}")
    done = curl("-f", p.url("/[1-100]"))
    assert done.stdout == b"ok\n" * 100, done.stderr
    server.close()


def test_two_hundred_clients_at_once(reverse):
    clients = [http.client.HTTPConnection("127.0.0.1", reverse.port, timeout=20)
               for _ in range(200)]
    for c in clients:
        c.request("GET", "/wait/100")
    assert [c.getresponse().read() for c in clients] == [b"waited\n"] * 200
    for c in clients:
        c.close()
