# SPDX-License-Identifier: Apache-2.0
"""Every row of the attack table, sent for real over every way through weir it applies to. What counts is what the server received, read strictly:
nothing, or exactly one message of the one meaning. After each row weir is alive and idle."""

import contextlib

import pytest

import attacks
import hostile
import ways
from proxies import pods

REQUESTS = {"h1": attacks.H1, "h2": attacks.H2}
ANSWERS = {"h1": attacks.H1_ANSWERS, "h2": attacks.H2_ANSWERS}
NAMES = [name for name in ways.ALL if not name.startswith("tls")]


def rows(of):
    """(way, row) for each way: of(transport, client, server) gives the rows."""
    return pytest.mark.parametrize(("way", "row"), [(name, row) for name in NAMES for row in of(*name.split("-"))], indirect=["way"])


@pytest.fixture(scope="module")
def open_ways(tmp_path_factory, certs):
    """Each is opened once, for all rows: what one leaves behind would show in the next."""
    with contextlib.ExitStack() as stack:
        opened = {}

        def get(name):
            if name not in opened:
                opened[name] = stack.enter_context(ways.opened(name, tmp_path_factory.mktemp("way"), certs, hostile.Server))
            return opened[name]
        yield get


@pytest.fixture
def way(request, open_ways):
    return open_ways(request.param)


def send(way, row):
    """A row of H1 or H2 as the client's version says it; the answer."""
    if way.client == "h1":
        data, outcome = attacks.H1[row]
        return h1(way, data, outcome)
    fields, content, trailers, _ = attacks.H2[row]
    return h2(way, fields, content, trailers)


def h1(way, data, outcome):
    first = data.lstrip(b"\r\n").split(b" ", 1)[0]
    return hostile.h1_say(way.port, data, [first] * getattr(outcome, "times", 1), ends=isinstance(outcome, attacks.Passed))


def h2(way, fields, content=None, trailers=None):
    c = hostile.H2Client(way.port)
    try:
        block = c.block(fields)
        end = hostile.END_STREAM if content is None and trailers is None else 0
        c.send(hostile.frame(hostile.HEADERS, end | (hostile.END_HEADERS if len(block) <= 16000 else 0), 1, block[:16000]))
        for at in range(16000, len(block), 16000):
            c.send(hostile.frame(hostile.CONTINUATION, hostile.END_HEADERS if at + 16000 >= len(block) else 0, 1, block[at:at + 16000]))
        if content is not None:
            c.send(hostile.frame(hostile.DATA, hostile.END_STREAM if trailers is None else 0, 1, content))
        if trailers is not None:
            block = c.block(trailers)
            c.send(hostile.frame(hostile.HEADERS, hostile.END_STREAM | (hostile.END_HEADERS if len(block) <= 16000 else 0), 1, block[:16000]))
            for at in range(16000, len(block), 16000):
                c.send(hostile.frame(hostile.CONTINUATION, hostile.END_HEADERS if at + 16000 >= len(block) else 0, 1, block[at:at + 16000]))
        return c.read()
    finally:
        c.close()


def check(way, outcome, answer):
    """Is this what the table says?"""
    way.server.fence()
    got, wrong = list(way.server.messages), way.server.wrong
    assert not wrong, wrong
    assert b"evil" not in repr(got).encode() and b"/smuggled" not in [m.path for m in got]
    if isinstance(outcome, attacks.Passed):
        passed(outcome, answer, got)
        return
    assert not [m for m in got if m.whole] and (outcome.begun or not got), got
    if way.client == "h1":
        assert answer.closed and not answer.cut and len(answer.finals) == 1 and answer.statuses[0] in outcome.statuses, answer
    else:
        assert answer.closed or answer.reset is not None or answer.statuses and answer.statuses[0] in outcome.statuses, answer


def passed(outcome, answer, got):
    assert answer.statuses[:outcome.times] == [200] * outcome.times and not answer.cut, answer
    assert len(answer.finals) <= outcome.times + 1, answer
    assert len(got) == outcome.times, got
    for m in got:
        assert m.whole and (m.method, m.path, m.authority, m.body) == (outcome.method, outcome.path, outcome.authority, outcome.body), m
        for name, value in outcome.has.items():
            assert m.values(name) == [value], m
        names = {n.lower() for n, _ in m.fields}
        assert not names & {*outcome.lacks, b"te-x", b"keep-alive", b"proxy-connection", b"http2-settings", b"x-weir-h1"}, m
        if outcome.trailers is not None:
            assert [(n.lower(), v) for n, v in m.trailers] == outcome.trailers, m


def idle(way):
    seen = [p.metrics() for p in way.proxies]
    return seen[0]["weir_downstream_connections_active"] == 0 and not any(m["weir_requests_active"] for m in seen)


def alive_and_idle(way):
    way.server.reset()
    a = hostile.h1_say(way.port, attacks.get(start=b"GET /probe HTTP/1.1"), ends=True)
    assert a.finals and a.finals[0][0] == 200 and a.finals[0][2] == b"ok\n" and len(a.finals) == 1, a
    pods.wait_for(lambda: idle(way), timeout=15, what="weir to be idle")


@rows(lambda transport, client, server: REQUESTS[client])
def test_request(way, row):
    way.server.reset()
    check(way, REQUESTS[way.client][row][-1], send(way, row))
    alive_and_idle(way)


@rows(lambda transport, client, server: attacks.PATHS if transport == "mesh" else ())
def test_path(way, row):
    said, forwarded = attacks.PATHS[row]
    outcome = attacks.Passed(path=forwarded) if forwarded else attacks.Refused()
    way.server.reset()
    check(way, outcome, h1(way, attacks.get(start=b"GET " + said + b" HTTP/1.1"), outcome) if way.client == "h1" else
          h2(way, attacks.but(path=said)))
    alive_and_idle(way)


@rows(lambda transport, client, server: attacks.FLOODS if client == "h2" else ())
def test_flood(way, row):
    way.server.reset()
    c = hostile.H2Client(way.port)
    try:
        attacks.FLOODS[row](c)
        answer = c.read(stream=None)
        assert answer.closed, answer
    finally:
        c.close()
    way.server.fence()
    assert not way.server.wrong
    alive_and_idle(way)


@rows(lambda transport, client, server: attacks.ODDITIES if client == "h2" else ())
def test_oddity(way, row):
    way.server.reset()
    c = hostile.H2Client(way.port)
    try:
        attacks.ODDITIES[row](c)
        check(way, attacks.Passed(), c.read())
    finally:
        c.close()
    alive_and_idle(way)


@rows(lambda transport, client, server: ANSWERS[server])
def test_answer(way, row):
    said, outcome = ANSWERS[way.upstream][row]
    way.server.reset(said)
    answer = h1(way, attacks.get(), attacks.Passed()) if way.client == "h1" else h2(way, attacks.HEAD)
    assert b"evil" not in repr(answer).encode() and b"POISONED" not in repr(answer).encode()
    wanted = outcome if isinstance(outcome, tuple) else (outcome,)
    if answer.cut or answer.reset is not None or not answer.finals:
        assert attacks.BROKEN in wanted, answer
    else:
        assert answer.statuses in [[s] for s in wanted if s != attacks.BROKEN] or (attacks.BROKEN in wanted and answer.statuses == [502]), answer
        assert answer.statuses != [200] or answer.finals[0][2] == b"ok\n", answer
    alive_and_idle(way)


def every(of=lambda transport, client, server: True):
    return pytest.mark.parametrize("way", [name for name in NAMES if of(*name.split("-"))], indirect=True)


@every()
def test_early_answer(way):
    """0.CL: the server answers before it has read the content. What is left of that is nobody's request."""
    way.server.reset(early=True)
    if way.client == "h1":
        with hostile.connect(way.port) as s:
            s.sendall(attacks.request(attacks.CL + b"%d" % len(attacks.SMUGGLED)))
            data = b""
            while not data.endswith(b"ok\n"):
                piece = s.recv(65536)
                assert piece, data
                data += piece
            hostile.say(s, attacks.SMUGGLED)
            answer = hostile.h1_answer(data + hostile.receive(s), [b"POST"])
    else:
        c = hostile.H2Client(way.port)
        c.headers(1, attacks.POST2 + [(b"content-length", b"%d" % len(attacks.SMUGGLED))], False)
        answer = c.read()
        c.send(hostile.frame(hostile.DATA, hostile.END_STREAM, 1, attacks.SMUGGLED))
        c.close()
    assert answer.statuses == [200], answer
    way.server.fence()
    assert not way.server.wrong
    assert len(way.server.messages) == 1 and not (way.server.messages[0].whole and way.server.messages[0].body != attacks.SMUGGLED)
    alive_and_idle(way)


@every(lambda transport, client, server: client == "h1" and server == "h1")
def test_bytes_behind_an_upgrade(way):
    """Answered with 200, they are a request like any other, and not a tunnel's."""
    way.server.reset()
    ask = attacks.get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
    answer = hostile.h1_say(way.port, ask + attacks.SMUGGLED, [b"GET", b"GET"], ends=True)
    way.server.fence()
    assert answer.statuses == [200, 200] and not way.server.wrong, answer
    assert [m.path for m in way.server.messages] == [b"/", b"/smuggled"]
    assert way.server.messages[1].values(b"x-forwarded-for") == [b"127.0.0.1"]
    alive_and_idle(way)


@every(lambda transport, client, server: server == "h1")
def test_poisoned_connection(way):
    """An answer nobody asked for, behind the one that was: it is for nobody, however often and however they are pooled."""
    for _ in range(10):
        way.server.reset([hostile.OK + attacks.POISON])
        assert hostile.h1_say(way.port, attacks.get(), ends=True).finals[0][2] == b"ok\n"
        way.server.reset()
        assert hostile.h1_say(way.port, attacks.get(start=b"GET /clean HTTP/1.1"), ends=True).finals[0][2] == b"ok\n"
    alive_and_idle(way)


@every(lambda transport, client, server: client == "h1")
def test_not_for_weir(way):
    """TLS and other protocols on the HTTP port: one answer or none, and the end."""
    for data in (b"\x16\x03\x01\x00\x05\x01\0\0\1\0", b"\0" * 100, b"EHLO a\r\n", b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-x\r\n"):
        way.server.reset()
        answer = hostile.h1_say(way.port, data, ends=True)
        way.server.fence()
        assert not way.server.messages and not way.server.wrong and not [s for s in answer.statuses if s < 400], answer
    alive_and_idle(way)
