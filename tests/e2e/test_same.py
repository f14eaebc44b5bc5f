# SPDX-License-Identifier: Apache-2.0
"""The same messages over every way through weir: the server must see, and the client must get, what was said, whatever carried it. Random, from
seeds; more of them with WEIR_SEEDS=first-last. What may differ is listed in docs/testing.md and, as code, here."""

import contextlib
import os
import random

import pytest

import hostile
import ways
from hostile import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, frame

NAMES = [name for name in ways.ALL if not name.startswith("tls")]
FIRST, LAST = map(int, os.environ.get("WEIR_SEEDS", "1-3").split("-"))
MESSAGES = 25  # for each seed, one after the other on one connection

# Framing and hop-by-hop fields, and what weir adds: compared by other means or not at all.
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"te", b"keep-alive"}
ADDED = {b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-client-cert"}

TOKEN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
TEXT = bytes(c for c in range(0x20, 0x100) if c != 0x7f) + b"\t"
SEGMENT = b"abcXYZ019-._~!$&'()*+,;=:@"


class Gen:
    """Random messages; paths are in weir's normal form."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def text(self, alphabet, low, high):
        return bytes(self.r.choice(alphabet) for _ in range(self.r.randint(low, high)))

    def field(self, prefix):
        return prefix + self.text(TOKEN, 0, 12), self.text(TEXT, 0, 40).strip(b" \t")

    def fields(self, prefix, most):
        found = [self.field(prefix) for _ in range(self.r.randint(0, most))]
        if found and self.r.random() < 0.4:  # the same name again, perhaps spelt otherwise
            name = self.r.choice(found)[0]
            found.insert(self.r.randrange(len(found) + 1), (self.r.choice([name, name.upper()]), self.text(TEXT, 0, 9).strip(b" \t")))
        return found

    def segment(self):
        s = b"".join(b"%%%02X" % self.r.choice([0x20, 0x25, 0x3f, 0xc3, 0xff]) if self.r.random() < 0.1 else bytes([self.r.choice(SEGMENT)])
                     for _ in range(self.r.randint(1, 8)))
        return s.replace(b".", b"x") if s.strip(b".") == b"" or s.startswith((b".;", b"..;")) else s

    def target(self):
        path = b"".join(b"/" + self.segment() for _ in range(self.r.randint(0, 4))) or b"/"
        path += self.r.choice([b"", b"/"]) if path != b"/" else b""
        return path + (b"?" + self.text(SEGMENT + b"/?%", 0, 20) if self.r.random() < 0.5 else b"")

    def body(self):
        return self.r.choice([b"", self.r.randbytes(1), self.r.randbytes(self.r.randint(1, 300)), self.r.randbytes(self.r.randint(1, 40000))])

    def request(self):
        method = self.r.choice([b"GET", b"GET", b"HEAD", b"POST", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND"])
        m = hostile.Message(method, self.target(), self.r.choice([b"a", b"weir.test:8080", b"A.Example", b"[::1]", b"10.0.0.1:1"]), self.fields(b"X-", 6))
        m.sized = self.r.choice([True, False, None]) if method not in (b"HEAD", b"OPTIONS") else None  # a length, a stream, no content
        m.body = self.body() if m.sized is not None else b""
        m.trailers = self.fields(b"x-t-", 3) if m.sized is False else []
        m.cookies = [self.text(b"abc=;019", 1, 10).strip(b"; ") or b"a" for _ in range(self.r.choice([0, 0, 1, 3]))]
        m.te, m.expect = self.r.random() < 0.5, len(m.body) > 0 and self.r.random() < 0.2
        return m

    def answer(self, request):
        m = hostile.Message(None, None, None, self.fields(b"X-", 6) + [(b"Set-Cookie", b"a=%d" % n) for n in range(self.r.choice([0, 0, 2]))])
        m.status = self.r.choice([200, 200, 201, 204, 206, 304, 404, 418, 500, 503])
        m.bodiless = request.method == b"HEAD" or m.status in (204, 304)
        m.sized = self.r.choice([True, False])
        m.body = b"" if m.bodiless else self.body()
        m.trailers = self.fields(b"x-t-", 3) if not m.sized and not m.bodiless else []
        m.interims = self.r.choice([0, 0, 0, 1, 3])
        return m


# ---- said in either version ----

def pieces(r, body):
    while body:
        n = r.randint(1, min(len(body), 12000))
        yield body[:n]
        body = body[n:]


def h1_bytes(start, m, r, extra=()):
    fields = [*extra, *m.fields]
    if m.sized and not getattr(m, "bodiless", False):
        fields.append((b"Content-Length", b"%d" % len(m.body)))
    elif m.sized is False and not getattr(m, "bodiless", False):
        fields.append((b"Transfer-Encoding", b"chunked"))
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces(r, m.body))
        body += b"0\r\n" + b"".join(b"%b: %b\r\n" % f for f in m.trailers) + b"\r\n"
        return start + b"".join(b"%b: %b\r\n" % f for f in fields) + b"\r\n" + body
    return start + b"".join(b"%b: %b\r\n" % f for f in fields) + b"\r\n" + m.body


def block_frames(block, stream, end):
    parts = [block[at:at + 16000] for at in range(0, len(block), 16000)] or [b""]
    return b"".join(frame(CONTINUATION if n else HEADERS, (end if n == 0 else 0) | (END_HEADERS if n == len(parts) - 1 else 0), stream, p)
                    for n, p in enumerate(parts))


def h2_bytes(encoder, stream, pseudo, m, r, extra=()):
    fields = [*pseudo, *((n.lower(), v) for n, v in [*extra, *m.fields])]
    if m.sized and not getattr(m, "bodiless", False):
        fields.append((b"content-length", b"%d" % len(m.body)))
    parts, trailers = list(pieces(r, m.body)), [(n.lower(), v) for n, v in m.trailers]
    out = block_frames(encoder.encode(fields), stream, 0 if parts or trailers else END_STREAM)
    for n, p in enumerate(parts):
        out += frame(DATA, END_STREAM if n == len(parts) - 1 and not trailers else 0, stream, p)
    return out + (block_frames(encoder.encode(trailers), stream, END_STREAM) if trailers else b"")


def server_says(m, r, version):
    """What hostile.Server is to answer with."""
    if version == "h1":
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * m.interims
        return hints + h1_bytes(b"HTTP/1.1 %d Fine\r\n" % m.status, m, r)

    def say(encoder, stream):
        hints = [block_frames(encoder.encode([(b":status", b"103"), (b"link", b"</a>")]), stream, 0) for _ in range(m.interims)]
        return b"".join(hints) + h2_bytes(encoder, stream, [(b":status", b"%d" % m.status)], m, r)
    return say


class H1Client:
    def __init__(self, port):
        self.socket = hostile.connect(port)

    def ask(self, m, r):
        extra = [(b"Host", m.authority), *([(b"TE", b"trailers"), (b"Connection", b"TE")] if m.te else []),
                 *([(b"Expect", b"100-continue")] if m.expect else []), *([(b"Cookie", b"; ".join(m.cookies))] if m.cookies else [])]
        self.socket.sendall(h1_bytes(m.method + b" " + m.path + b" HTTP/1.1\r\n", m, r, extra))
        data = b""
        while piece := self.socket.recv(1 << 16):
            data += piece
            a = hostile.h1_answer(data, [m.method])
            if a.finals and not a.cut:
                return a
        raise AssertionError(f"closed after {data[:300]}")

    def close(self):
        self.socket.close()


class H2Client(hostile.H2Client):
    stream = -1

    def ask(self, m, r):
        self.stream += 2
        pseudo = [(b":method", m.method), (b":scheme", b"http"), (b":authority", m.authority), (b":path", m.path)]
        extra = [*([(b"te", b"trailers")] if m.te else []), *([(b"expect", b"100-continue")] if m.expect else []), *((b"cookie", c) for c in m.cookies)]
        self.send(h2_bytes(self.encoder, self.stream, pseudo, m, r, extra))
        return self.read(self.stream)


# ---- is it the same? ----

def plain(fields, spelling):
    """In order, without what is looked at elsewhere."""
    skip = FRAMING | ADDED | {b"cookie", b"expect"}
    return [(n if spelling else n.lower(), v) for n, v in fields if n.lower() not in skip and not n.startswith(b":")]


def values(fields, name):
    return [v for n, v in fields if n.lower() == name]


def length(fields, body):
    """What Content-Length says; that there is nothing may be said or not."""
    said = values(fields, b"content-length")
    return None if not said or (said == [b"0"] and not body) else said


def check_request(way, said, got):
    spelling = way.h1_both
    assert (got.method, got.path, got.authority) == (said.method, said.path, said.authority)
    assert plain(got.fields, spelling) == plain(said.fields, spelling)
    assert b"; ".join(got.values(b"cookie")) == b"; ".join(said.cookies)
    assert got.values(b"expect") == ([b"100-continue"] if said.expect else [])
    assert got.body == said.body and got.whole
    assert length(got.fields, got.body) == ([b"%d" % len(said.body)] if said.sized and said.body else None)
    assert plain(got.trailers, False) == plain(said.trailers, False)
    for name in ADDED - {b"x-forwarded-client-cert"}:
        assert len(got.values(name)) == 1
    assert len(got.values(b"x-forwarded-client-cert")) == (way.transport == "mesh")


def check_answer(way, request, said, answer):
    spelling = way.h1_both
    assert len(answer.finals) == 1 and not answer.cut and answer.reset is None, answer
    status, fields, body, trailers = answer.finals[0]
    assert (status, body, len(answer.interims)) == (said.status, said.body, said.interims)
    assert plain(fields, spelling) == plain(said.fields, spelling)
    if not said.bodiless:
        assert length(fields, body) == ([b"%d" % len(said.body)] if said.sized and said.body else None)
    if way.client == "h2" or request.te:
        assert plain(trailers, False) == plain(said.trailers, False)
    else:
        assert trailers == []  # who did not say TE: trailers


@pytest.fixture(scope="module")
def open_ways(tmp_path_factory, certs):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(ways.opened(name, tmp_path_factory.mktemp("way"), certs, hostile.Server)) for name in NAMES]


@pytest.mark.parametrize("seed", range(FIRST, LAST + 1))
def test_every_way_says_the_same(open_ways, seed):
    for way in open_ways:
        gen, r = Gen(seed), random.Random(seed)
        client = (H1Client if way.client == "h1" else H2Client)(way.port)
        for n in range(MESSAGES):
            request = gen.request()
            said = gen.answer(request)
            way.server.reset(server_says(said, r, way.upstream))
            try:
                answer = client.ask(request, r)
                way.server.fence()
                assert not way.server.wrong and len(way.server.messages) == 1, (way.server.wrong, way.server.messages)
                check_request(way, request, way.server.messages[0])
                check_answer(way, request, said, answer)
            except Exception as e:
                raise AssertionError(f"seed {seed}, message {n}, {way.name}:\n{request}\n{way.server.messages}\n{answer if 'answer' in locals() else ''}") from e
        client.close()
