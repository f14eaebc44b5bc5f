# SPDX-License-Identifier: Apache-2.0
"""Requests (and answers) that mean different things to two parsers. What counts is what the server received: nothing, or
exactly one request of the one meaning. After each attack the proxy is alive and idle."""

import re
import socket

import pytest

from backends import Recorder
from proxies import curl

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """One proxy before one recorder for all attacks: what one leaves behind would show in the next."""
    from proxies import Proxy
    recorder = Recorder()
    p = Proxy(tmp_path_factory.mktemp("chain"), "--listen", "127.0.0.1:0", "--to",
              f"127.0.0.1:{recorder.port}", "--admin", "127.0.0.1:0").ready()
    yield p, recorder
    assert p.stop() == 0, p.err()
    recorder.close()


def talk(port, data, more=b""):
    """Everything the proxy answers until it closes, or is silent after an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(data)
        answer = b""
        s.settimeout(10)
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    return answer
                answer += piece
                if more:
                    s.sendall(more)
                    more = b""
                s.settimeout(0.3)
        except TimeoutError:
            return answer
        except ConnectionResetError:
            return answer


def statuses(answer):
    return [int(n) for n in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]


def request(*lines, body=b"", start=b"POST / HTTP/1.1", host=b"Host: a"):
    return b"\r\n".join([start, *([host] if host else []), *lines]) + b"\r\n\r\n" + body


CL, TE = b"Content-Length: ", b"Transfer-Encoding: "
CHUNKED_EMPTY = b"0\r\n\r\n"

# name: (bytes, accepted statuses)
REFUSED = {
    "CL.TE": (request(CL + b"6", TE + b"chunked", body=CHUNKED_EMPTY + b"G"), {400}),
    "TE.CL": (request(TE + b"chunked", CL + b"4", body=b"5c\r\n" + SMUGGLED), {400}),
    "TE-vertical-tab": (request(TE + b"\x0bchunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-quoted": (request(TE + b'"chunked"', body=CHUNKED_EMPTY), {400, 501}),
    "TE-comma-first": (request(TE + b",chunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-gzip-chunked": (request(TE + b"gzip, chunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-identity": (request(TE + b"identity", body=b""), {400, 501}),
    "TE-identity-chunked": (request(TE + b"identity, chunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-twice": (request(TE + b"chunked", TE + b"chunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-twice-identity": (request(TE + b"chunked", TE + b"identity", body=CHUNKED_EMPTY), {400, 501}),
    "TE-chunked-twice": (request(TE + b"chunked, chunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-parameter": (request(TE + b"chunked;x=y", body=CHUNKED_EMPTY), {400, 501}),
    "TE-xchunked": (request(TE + b"xchunked", body=CHUNKED_EMPTY), {400, 501}),
    "TE-space-before-colon": (request(b"Transfer-Encoding : chunked", body=CHUNKED_EMPTY), {400}),
    "TE-in-1.0": (request(TE + b"chunked", start=b"POST / HTTP/1.0", body=CHUNKED_EMPTY), {400}),
    "CL-twice": (request(CL + b"5", CL + b"6", body=b"hello"), {400}),
    "CL-twice-same": (request(CL + b"5", CL + b"5", body=b"hello"), {400}),
    "CL-list": (request(CL + b"5, 5", body=b"hello"), {400}),
    "CL-plus": (request(CL + b"+5", body=b"hello"), {400}),
    "CL-minus": (request(CL + b"-5", body=b"hello"), {400}),
    "CL-hex": (request(CL + b"0x5", body=b"hello"), {400}),
    "CL-underscore": (request(CL + b"1_0", body=b"0123456789"), {400}),
    "CL-2^64": (request(CL + b"18446744073709551616", body=b""), {400}),
    "CL-2^64+5": (request(CL + b"18446744073709551621", body=b"hello"), {400}),
    "CL-empty": (request(b"Content-Length:", body=b""), {400}),
    "CL-words": (request(CL + b"five", body=b"hello"), {400}),
    "bare-LF-lines": (b"GET / HTTP/1.1\nHost: a\n\n", {400}),
    "bare-LF-one": (b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", {400}),
    "bare-CR": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", {400}),
    "NUL-in-value": (request(b"X: a\0b", start=b"GET / HTTP/1.1"), {400}),
    "obs-fold": (request(b"X: a\r\n b", start=b"GET / HTTP/1.1"), {400}),
    "space-before-colon": (request(b"X : a", start=b"GET / HTTP/1.1"), {400}),
    "no-colon": (request(b"X", start=b"GET / HTTP/1.1"), {400}),
    "empty-name": (request(b": a", start=b"GET / HTTP/1.1"), {400}),
    "space-first": (b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", {400}),
    "chunk-0x": (request(TE + b"chunked", body=b"0x3\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-plus": (request(TE + b"chunked", body=b"+3\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-space": (request(TE + b"chunked", body=b" 3\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-2^64": (request(TE + b"chunked", body=b"10000000000000003\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-bare-LF": (request(TE + b"chunked", body=b"3\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-ext-LF": (request(TE + b"chunked", body=b"3;a\nb\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk-no-end": (request(TE + b"chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"), {400}),
    "no-Host": (request(start=b"GET / HTTP/1.1", host=None), {400}),
    "two-Hosts": (request(b"Host: b", start=b"GET / HTTP/1.1"), {400}),
    "Host-list": (request(start=b"GET / HTTP/1.1", host=b"Host: a, b"), {400}),
    "Host-userinfo": (request(start=b"GET / HTTP/1.1", host=b"Host: u@a"), {400}),
    "Host-path": (request(start=b"GET / HTTP/1.1", host=b"Host: a/b"), {400}),
    "Host-port-words": (request(start=b"GET / HTTP/1.1", host=b"Host: a:b"), {400}),
    "Host-space": (request(start=b"GET / HTTP/1.1", host=b"Host: a b"), {400}),
    "target-no-slash": (request(start=b"GET a HTTP/1.1"), {400}),
    "target-fragment": (request(start=b"GET /a#b HTTP/1.1"), {400}),
    "target-space": (request(start=b"GET /a b HTTP/1.1"), {400}),
    "CONNECT": (request(start=b"CONNECT a:1 HTTP/1.1"), {400, 403, 405, 501}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {400}),
    "HTTP/2.0-line": (request(start=b"GET / HTTP/2.0"), {400, 505}),
    "HTTP/3.7": (request(start=b"GET / HTTP/3.7"), {400, 505}),
    "HTTP/1.1x": (request(start=b"GET / HTTP/1.1x"), {400}),
    "unknown-method": (request(start=b"GERT / HTTP/1.1"), {501}),
    "lower-case-method": (request(start=b"get / HTTP/1.1"), {400, 501}),
    "Expect-junk": (request(b"Expect: 100-continue, x", CL + b"1", body=b"x"), {417}),
    "long-target": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "many-fields": (request(*[b"X-%d: 1" % n for n in range(150)], start=b"GET / HTTP/1.1"), {431}),
    "large-head": (request(b"X: " + b"a" * 70000, start=b"GET / HTTP/1.1"), {431}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_request_is_refused_and_the_server_sees_no_second_one(chain, name):
    p, recorder = chain
    data, accepted = REFUSED[name]
    before = len(recorder.received())
    answer = talk(p.port, data)
    seen = statuses(answer)
    assert seen and seen[0] in accepted, answer[:300]
    assert len(seen) == 1, f"{seen}: the connection was not closed after a refusal"
    got = recorder.received()[before:]
    assert b"smuggled" not in got
    # Chunk syntax breaks after the head has gone on; then the request must not be completed.
    assert got.count(b" HTTP/1.1\r\n") <= (1 if name.startswith("chunk-") else 0), got
    assert not got.endswith(CHUNKED_EMPTY), got
    # It is alive and serves the next one.
    assert curl(p.url("/next")).stdout == b"ok\n"


def test_a_get_with_a_length_keeps_its_body(chain):
    p, recorder = chain
    before = len(recorder.received())
    body = SMUGGLED
    answer = talk(p.port, request(CL + str(len(body)).encode(), start=b"GET /one HTTP/1.1", body=body))
    assert statuses(answer) == [200]
    head, _, content = recorder.received()[before:].partition(b"\r\n\r\n")
    assert content == body and (CL + str(len(body)).encode()).lower() in head.lower()


def test_te_in_any_case_is_chunked_and_goes_on_as_one_framing(chain):
    p, recorder = chain
    before = len(recorder.received())
    answer = talk(p.port, request(TE + b"cHuNkEd", body=b"3;ext=1\r\nabc\r\n0\r\n\r\n"))
    assert statuses(answer) == [200]
    head, _, content = recorder.received()[before:].partition(b"\r\n\r\n")
    assert head.lower().count(b"transfer-encoding: chunked") == 1
    assert b"content-length" not in head.lower()
    assert b"ext" not in content and content.endswith(CHUNKED_EMPTY)


def test_the_authority_of_an_absolute_target_replaces_host(chain):
    p, recorder = chain
    before = len(recorder.received())
    assert statuses(talk(p.port, request(start=b"GET http://inside/x HTTP/1.1"))) == [200]
    head = recorder.received()[before:].lower()
    assert b"\r\nhost: inside\r\n" in head and head.startswith(b"get /x http/1.1")
    assert head.count(b"host:") == 1


@pytest.mark.parametrize("nominated", [b"Host", b"Content-Length", b"X-Forwarded-For"])
def test_connection_cannot_nominate_away_what_we_rely_on(chain, nominated):
    p, recorder = chain
    before = len(recorder.received())
    answer = talk(p.port, request(b"Connection: " + nominated, CL + b"5", body=b"hello"))
    got = recorder.received()[before:]
    if statuses(answer) == [200]:
        assert b"\r\nhost: a\r\n" in got.lower() and b"content-length: 5" in got.lower()
        assert b"x-forwarded-for: 127.0.0.1" in got.lower()
    else:
        assert statuses(answer) == [400] and got == b""


def test_trailers_do_not_become_headers(chain):
    p, recorder = chain
    before = len(recorder.received())
    body = b"3\r\nabc\r\n0\r\nContent-Length: 5\r\nHost: evil\r\nX-Trailer: 1\r\n\r\n"
    answer = talk(p.port, request(TE + b"chunked", body=body))
    got = recorder.received()[before:].lower()
    assert statuses(answer) in ([200], [400])
    assert b"evil" not in got and b"content-length" not in got


def test_bytes_after_a_complete_answer_poison_nobody(proxy):
    """The server sends a second answer nobody asked for: the next client must not get it."""
    def answer(head):
        return OK + (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nPOISONED\n"
                     if b"/poison" in head else b"")
    server = Recorder(answer)
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}", "--workers", "1")
    for _ in range(10):
        assert curl(p.url("/poison")).stdout == b"ok\n"
        assert curl(p.url("/clean")).stdout == b"ok\n"
    server.close()


ANSWERS = {
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nok\n",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length-sign": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nok\n",
    "te-unknown": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nok\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nok\n",
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "101-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "1xx-flood": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK,
    "status-99": b"HTTP/1.1 99 Low\r\nContent-Length: 3\r\n\r\nok\n",
    "header-bomb": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"Content-Length: 3\r\n\r\nok\n",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_malformed_answer_is_502_and_not_passed_on(proxy, name):
    server = Recorder(ANSWERS[name])
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}", "--workers", "1")
    answer = talk(p.port, request(start=b"GET / HTTP/1.1"))
    final = [s for s in statuses(answer) if s >= 200]
    assert final == [502], answer[:300]
    server.close()


def test_an_early_answer_does_not_leave_the_body_as_the_next_request(proxy):
    """0.CL: the server answers before it has read the body; what is left of the body is not a request."""
    class Early(Recorder):
        def _serve(self, s, got):
            while b"\r\n\r\n" not in got:
                got += s.recv(100)
            s.sendall(OK)
            try:
                while data := s.recv(65536):
                    got += data
            except OSError:
                pass

    server = Early()
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}", "--workers", "1")
    head = request(CL + str(len(SMUGGLED)).encode())
    answer = talk(p.port, head, more=SMUGGLED)
    assert statuses(answer) == [200], answer
    for connection in server.connections:
        assert bytes(connection).count(b" HTTP/1.1\r\n") <= 2
        assert b"GET /smuggled" not in bytes(connection) or \
            bytes(connection).split(b"\r\n\r\n", 1)[1] == SMUGGLED
    server.close()


def test_after_all_of_it_the_proxy_is_idle(chain):
    p, _ = chain
    p.wait_metric("weir_requests_active", 0)
    p.wait_metric("weir_downstream_connections_active", 0)
