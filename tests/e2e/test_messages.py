# SPDX-License-Identifier: Apache-2.0
"""What HTTP says that is not head-then-content: interim answers, early answers, both ends talking at once, trailers, ends without a
length; over every way through weir."""

import socket
import threading

import pytest

import peers
import ways
from backends import body_of
from proxies import pods


@pytest.fixture(scope="module", params=ways.ALL)
def way(request, tmp_path_factory, certs):
    with ways.opened(request.param, tmp_path_factory.mktemp("way"), certs, peers.Server) as w:
        yield w


@pytest.fixture
def client(way):
    c = peers.connect(way.client, way.port, way.ca)
    yield c
    c.close()


def over(condition):
    """Only the ways for which there is such a thing."""
    names = [name for name in ways.ALL if condition(*name.split("-"))]
    return pytest.mark.parametrize("way", names, indirect=True, scope="module")


from_h1 = over(lambda transport, client, server: client == "h1")


def ask(client, method="GET", target="/", fields=(), content=None, trailers=(), end=None):
    ex = client.exchange()
    ex.head({"method": method, "target": target}, fields, end=content is None if end is None else end)
    if content is not None:
        ex.data(content)
        ex.end(trailers)
    return ex


def finish(ex):
    """(status, fields, content, trailers) of the final answer, and the interim ones."""
    interims, content = [], b""
    while True:
        event = ex.next()
        assert event[0] != "reset", event
        if event[0] == "interim":
            interims.append((event[1], event[2]))
        elif event[0] == "head":
            start, fields = event[1], event[2]
        elif event[0] == "data":
            content += event[1]
        else:
            return start["status"], lower(fields), content, event[1], interims


def lower(fields):
    return {name.lower(): value for name, value in fields}


def everything(ex):
    content = b""
    while True:
        event = ex.next()
        if event[0] == "data":
            content += event[1]
        elif event[0] == "end":
            return content, event[1]
        else:
            raise AssertionError(event)


def say(ex, status=200, fields=(), content=b"ok\n"):
    ex.head({"status": status}, [("Content-Length", str(len(content))), *fields])
    ex.data(content)
    ex.end()


def test_head_keeps_the_length_and_has_no_content(way, client):
    def handler(ex, start, _fields):
        if start["method"] == "HEAD":
            ex.head({"status": 200}, [("Content-Length", "12345")], end=True)
        else:
            say(ex)
    way.server.handler = handler
    for _ in range(3):
        status, fields, content, _, _ = finish(ask(client, "HEAD"))
        assert (status, fields["content-length"], content) == (200, "12345", b"")
        assert finish(ask(client))[2] == b"ok\n"


def test_options_of_the_whole_server(way, client):
    seen = []

    def handler(ex, start, _fields):
        seen.append((start["method"], start["target"], start["authority"]))
        say(ex, fields=[("Allow", "GET, OPTIONS")])
    way.server.handler = handler
    status, fields, _, _, _ = finish(ask(client, "OPTIONS", "*"))
    assert (status, fields["allow"]) == (200, "GET, OPTIONS")
    assert seen == [("OPTIONS", "*", "weir.test")]


def test_early_hints_pass_before_the_answer(way, client):
    go = threading.Event()

    def handler(ex, _start, _fields):
        ex.interim(103, [("Link", "</a.css>; rel=preload"), ("X-Hint", "1")])
        ex.interim(103, [("Link", "</b.js>; rel=preload")])
        assert go.wait(20)
        say(ex)
    way.server.handler = handler
    ex = ask(client)
    first, second = ex.next(), ex.next()  # while the final answer does not exist yet
    go.set()
    assert first[:2] == second[:2] == ("interim", 103)
    assert lower(first[2])["link"] == "</a.css>; rel=preload" and lower(first[2])["x-hint"] == "1"
    assert lower(second[2])["link"] == "</b.js>; rel=preload"
    assert finish(ex)[0] == 200


def test_100_continue_is_the_servers_to_say(way, client):
    def handler(ex, _start, fields):
        assert lower(fields)["expect"] == "100-continue"
        ex.interim(100)
        say(ex, content=everything(ex)[0])
    way.server.handler = handler
    ex = ask(client, "POST", fields=[("Expect", "100-continue"), ("Content-Length", "5")], end=False)
    event = ex.next()
    assert event[:2] == ("interim", 100)
    ex.data(b"hello")
    ex.end()
    assert finish(ex)[2] == b"hello"


def test_an_expectation_may_be_refused(way, client):
    way.server.handler = lambda ex, _start, _fields: say(ex, 417, [("Connection", "close")] if way.upstream == "h1" else []) or "close"
    ex = ask(client, "POST", fields=[("Expect", "100-continue"), ("Content-Length", "5")], end=False)
    event = ex.next()
    assert event[0] == "head" and event[1]["status"] == 417


def test_an_early_answer_while_the_content_still_comes(way, client):
    """Complete and unharmed at the client, though the server never reads the rest."""
    def handler(ex, _start, _fields):
        assert ex.next()[0] == "data"
        say(ex, 413, content=b"too much\n" * 1000)
        return "close" if way.upstream == "h1" else None
    way.server.handler = handler
    ex = ask(client, "POST", fields=[("Content-Length", "100000000")], end=False)
    ex.data(b"x" * 1000)
    event = ex.next()
    assert event[0] == "head" and event[1]["status"] == 413
    content = b""
    while (event := ex.next())[0] == "data":
        content += event[1]
    assert event[0] == "end" and content == b"too much\n" * 1000
    for p in way.proxies:
        p.wait_metric("weir_requests_active", 0)
    other = peers.connect(way.client, way.port, way.ca)
    way.server.handler = lambda ex, _start, _fields: say(ex)
    assert finish(ask(other))[0] == 200
    other.close()


def test_both_ends_talk_at_once(way, client):
    """The answer begins before the request has ended, and each piece comes back before the next is sent."""
    def handler(ex, _start, _fields):
        ex.head({"status": 200}, [("X-Early", "1")])
        while (event := ex.next())[0] == "data":
            ex.data(event[1])
        ex.end()
    way.server.handler = handler
    ex = ask(client, "POST", end=False)
    assert ex.next()[0] == "head"
    for n in range(20):
        piece, got = f"piece {n};".encode(), b""
        ex.data(piece)
        while len(got) < len(piece):
            event = ex.next()
            assert event[0] == "data", event
            got += event[1]
        assert got == piece
    ex.end()
    assert ex.next()[0] == "end"


def test_trailers_both_ways(way, client):
    seen = {}

    def handler(ex, _start, fields):
        seen["te"] = lower(fields).get("te")
        seen["content"], seen["trailers"] = everything(ex)
        ex.head({"status": 200}, [("Trailer", "x-sum")])
        ex.data(b"answer")
        ex.end([("X-Sum", "42"), ("x-empty", "")])
    way.server.handler = handler
    ex = ask(client, "POST", fields=[("Trailer", "x-check"), ("TE", "trailers")], content=b"question", trailers=[("X-Check", "7")])
    status, _, content, trailers, _ = finish(ex)
    assert (status, content) == (200, b"answer")
    assert seen["content"] == b"question" and lower(seen["trailers"]) == {"x-check": "7"}
    assert lower(trailers) == {"x-sum": "42", "x-empty": ""}


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content(way, client, status):
    way.server.handler = lambda ex, _start, _fields: ex.head({"status": status}, [("ETag", '"a"')], end=True)
    for _ in range(3):
        found, fields, content, _, _ = finish(ask(client))
        assert (found, fields["etag"], content) == (status, '"a"', b"")


def test_lengths_stay_lengths_and_streams_stay_streams(way, client):
    seen = []

    def handler(ex, _start, fields):
        seen.append(lower(fields).get("content-length"))
        content = everything(ex)[0]
        ex.head({"status": 200}, [("Content-Length", str(len(content)))] if seen[-1] else [])
        ex.data(content)
        ex.end()
    way.server.handler = handler
    content = body_of(70_000)
    _, fields, back, _, _ = finish(ask(client, "PUT", fields=[("Content-Length", "70000")], content=content))
    assert fields["content-length"] == "70000" and back == content
    _, fields, back, _, _ = finish(ask(client, "PUT", content=content))
    assert "content-length" not in fields and back == content
    assert seen == ["70000", None]


def test_empty_content_of_every_kind(way, client):
    def handler(ex, _start, _fields):
        assert everything(ex)[0] == b""
        ex.head({"status": 200})  # a stream, with nothing in it
        ex.end()
    way.server.handler = handler
    assert finish(ask(client, "POST", fields=[("Content-Length", "0")], end=True))[2] == b""
    assert finish(ask(client, "POST", content=b""))[2] == b""
    assert finish(ask(client, "GET"))[2] == b""


def test_cookies_and_repeated_fields(way, client):
    seen = []

    def handler(ex, _start, fields):
        seen.extend((n.lower(), v) for n, v in fields)
        say(ex, fields=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-Many", "1"), ("X-Many", "2")])
    way.server.handler = handler
    ex = ask(client, fields=[("Cookie", "a=1"), ("Cookie", "b=2")] if way.client == "h2" else [("Cookie", "a=1; b=2")])
    event = ex.next()
    fields = [(n.lower(), v) for n, v in event[2]]
    assert "; ".join(v for n, v in seen if n == "cookie") == "a=1; b=2"
    assert way.upstream == "h2" or [n for n, _ in seen].count("cookie") == 1
    assert [v for n, v in fields if n == "set-cookie"] == ["a=1; Path=/", "b=2"]
    assert ", ".join(v for n, v in fields if n == "x-many") == "1, 2"


def test_a_large_head_passes_and_too_large_a_one_is_refused(way):
    seen = []

    def handler(ex, _start, fields):
        seen.append(len(lower(fields)["x-large"]))
        say(ex, fields=[("X-Back", "b" * 60_000)])
    way.server.handler = handler
    c = peers.connect(way.client, way.port, way.ca)
    status, fields, _, _, _ = finish(ask(c, fields=[("X-Large", "a" * 60_000)]))
    assert (status, seen, len(fields["x-back"])) == (200, [60_000], 60_000)
    ex = ask(c, fields=[("X-Large", "a" * 70_000)])
    event = ex.next()
    assert event[0] == "reset" or event[1]["status"] == 431
    assert seen == [60_000]
    c.close()


def test_an_answer_that_breaks_off_never_looks_complete(way, client):
    def handler(ex, _start, _fields):
        ex.head({"status": 200})
        ex.data(b"half of it")
        ex.reset()
    way.server.handler = handler
    ex = ask(client)
    event = ex.next()
    if event[0] == "head" and event[1]["status"] == 502:
        return  # it was known to be broken before any of it had left
    while event[0] in ("head", "data"):
        event = ex.next()
    assert event[0] == "reset"


def test_a_client_that_leaves_is_felt_by_the_server(way, client):
    felt = threading.Event()

    def handler(ex, _start, _fields):
        ex.head({"status": 200})
        ex.data(b"first")
        try:
            while ex.next()[0] not in ("reset", "end"):
                pass
            while not felt.is_set():  # HTTP/1: only writing tells
                ex.data(b"x" * 1000)
                if way.upstream == "h2":
                    felt.set()
        except OSError:
            felt.set()
    way.server.handler = handler
    ex = ask(client, "POST", end=False)
    assert [ex.next()[0], ex.next()[0]] == ["head", "data"]
    ex.reset()
    assert felt.wait(20)
    for p in way.proxies:
        p.wait_metric("weir_requests_active", 0)


@over(lambda transport, client, server: server == "h1")
def test_an_answer_that_ends_with_the_connection(way, client):
    """HTTP/1 servers may say neither length nor chunks."""
    content = body_of(300_000)

    def handler(ex, _start, _fields):
        ex.socket.sendall(b"HTTP/1.1 200 Fine\r\nConnection: close\r\n\r\n" + content)
        return "close"
    way.server.handler = handler
    assert finish(ask(client))[2] == content
    assert finish(ask(client))[2] == content, "the client's connection was not kept"


# ---- HTTP/1 clients only ----

@over(lambda transport, client, server: client == "h1" and transport != "tls")  # Python's ssl has no half-close
def test_a_client_that_has_said_all_still_gets_its_answer(way, client):
    go = threading.Event()

    def handler(ex, _start, _fields):
        content = everything(ex)[0]
        assert go.wait(20)
        say(ex, content=content * 1000)
    way.server.handler = handler
    ex = ask(client, "POST", content=b"all of it")
    client.socket.shutdown(socket.SHUT_WR)
    pods.wait_for(lambda: way.proxies[0].metric("weir_requests_active") == 1, what="the request")
    go.set()
    assert finish(ex)[2] == b"all of it" * 1000


@from_h1
def test_pipelined_requests_are_answered_in_order(way, client):
    def handler(ex, start, _fields):
        everything(ex)
        say(ex, content=start["target"].encode())
    way.server.handler = handler
    client.socket.sendall(b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" % n for n in range(50)))
    for n in range(50):
        ex = client.exchange()
        assert finish(ex)[2] == b"/%d" % n


@from_h1
def test_absolute_form_and_chunk_extensions(way, client):
    seen = []

    def handler(ex, start, _fields):
        seen.append((start["target"], start["authority"], everything(ex)[0]))
        say(ex)
    way.server.handler = handler
    client.socket.sendall(b"POST http://weir.test/a?b HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"3;name=value\r\nabc\r\n2;x=\"y;z\"\r\nde\r\n0;last\r\n\r\n")
    assert finish(client.exchange())[0] == 200
    assert seen == [("/a?b", "weir.test", b"abcde")]


@over(lambda transport, client, server: client == server == "h1")
def test_spelling_and_reason_are_kept_between_http1_ends(way, client):
    seen = []

    def handler(ex, _start, fields):
        seen.extend(n for n, _ in fields)
        ex.head({"status": 200, "reason": "As Fine As Can Be"}, [("X-OddLY", "1"), ("x-low", "2"), ("Content-Length", "0")])
    way.server.handler = handler
    ex = ask(client, fields=[("X-CamelCASE", "1"), ("x-lower", "2")])
    _, start, fields = ex.next()
    names = [n for n, _ in fields]
    assert start["reason"] == "As Fine As Can Be" and "X-OddLY" in names and "x-low" in names
    assert "X-CamelCASE" in seen and "x-lower" in seen


@from_h1
def test_http10_clients_get_no_chunks_and_no_interim_answers(way, client):
    def handler(ex, _start, _fields):
        ex.interim(103, [("Link", "</a>")])
        ex.head({"status": 200})
        ex.data(b"streamed ")
        ex.data(b"answer")
        ex.end()
    way.server.handler = handler
    client.socket.sendall(b"GET / HTTP/1.0\r\nHost: weir.test\r\n\r\n")
    head, _, content = client.file.read().partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0] and b"chunked" not in head.lower() and b"103" not in head
    assert content == b"streamed answer"
