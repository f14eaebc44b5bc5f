# SPDX-License-Identifier: Apache-2.0
"""httpx over both versions, and properties that hypothesis looks for a counterexample to: whatever is asked arrives at the server, and
whatever it answers arrives at the client, through any pairing."""

import asyncio
import base64
import json
import os
import random
import urllib.parse

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import peers
import ways


def mirror(ex, start, fields):
    """Answers with what it was asked, and with what it was told to answer in x-answer."""
    content, trailers = b"", []
    while (event := ex.next())[0] == "data":
        content += event[1]
    if event[0] == "reset":
        return "close"
    told = json.loads(base64.b64decode(dict((n.lower(), v) for n, v in fields).get("x-answer", "e30=")))
    seen = json.dumps({"method": start["method"], "target": start["target"], "authority": start["authority"],
                       "fields": fields, "content": base64.b64encode(content).decode(), "trailers": trailers}).encode()
    ex.head({"status": told.get("status", 200)}, [*told.get("fields", []), ("content-length", str(len(seen)))])
    if start["method"] != "HEAD" and told.get("status") not in peers.BODILESS:
        ex.data(seen)
    ex.end()
    return None


@pytest.fixture(scope="module", params=ways.ALL)
def way(request, tmp_path_factory, certs):
    with ways.opened(request.param, tmp_path_factory.mktemp("way"), certs, peers.Server) as w:
        w.server.handler = mirror
        yield w


def client_of(way):
    h2 = way.client == "h2"
    return httpx.Client(http1=not h2, http2=h2, verify=way.ca or True, timeout=30, trust_env=False)


@pytest.fixture
def client(way):
    with client_of(way) as c:
        yield c




# ---- httpx as people use it ----

def test_requests_of_every_kind(way, client):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = client.request(method, way.url("/a/b?c=d"), content=b"x" * 1000 if method in ("POST", "PUT", "PATCH") else None)
        assert answer.status_code == 200
        assert answer.http_version == ("HTTP/2" if way.client == "h2" else "HTTP/1.1")
        assert (answer.json()["method"], answer.json()["target"]) == (method, "/a/b?c=d")
    assert client.head(way.url("/")).content == b""


def test_forms_files_json_and_cookies(way, client):
    form = client.post(way.url("/"), data={"a": "1", "b": "ü&="}).json()
    assert urllib.parse.parse_qs(base64.b64decode(form["content"]).decode()) == {"a": ["1"], "b": ["ü&="]}
    sent = client.post(way.url("/"), files={"f": ("name.bin", bytes(range(256)) * 100)}).json()
    assert bytes(range(256)) * 100 in base64.b64decode(sent["content"])
    client.cookies.set("k", "v")
    seen = client.get(way.url("/")).json()
    assert ["cookie", "k=v"] in [[n.lower(), v] for n, v in seen["fields"]]


def test_uploads_of_unknown_length(way, client):
    pieces = [b"piece %d;" % n * n for n in range(100)]
    seen = client.post(way.url("/"), content=iter(pieces)).json()
    assert base64.b64decode(seen["content"]) == b"".join(pieces)


def test_many_at_once(way):
    async def run():
        h2 = way.client == "h2"
        async with httpx.AsyncClient(http1=not h2, http2=h2, verify=way.ca or True, timeout=30, trust_env=False) as c:
            return await asyncio.gather(*(c.get(way.url(f"/{n}")) for n in range(60)))
    answers = asyncio.run(run())
    assert [a.json()["target"] for a in answers] == [f"/{n}" for n in range(60)]


# ---- properties ----

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
# Names with a meaning for a proxy are not a proxy's to pass.
OWN = ("x-forwarded-", "x-envoy-", "l5d-", "x-weir-", "x-request-id", "x-answer", "forwarded", "te", "upgrade", "connection", "via",
       "host", "cookie", "expect", "trailer", "keep-alive", "proxy-", "http2-settings", "transfer-encoding", "content-length", "date",
       "server", "traceparent", "tracestate", "grpc-", "content-type", "accept-encoding", "user-agent", "accept")
names = some.text(TOKEN, min_size=1, max_size=30).map(lambda n: "x-t" + n).filter(
    lambda n: not n.replace("_", "-").startswith(OWN))
values = some.text([chr(c) for c in range(0x21, 0x7f)] + [" ", "\t"], max_size=60).map(lambda v: v.strip(" \t"))
fields = some.lists(some.tuples(names, values), max_size=8)
# Paths in the normal form that routes are matched in: nothing for weir to mend, nor (`/..;a/`) to refuse.
segments = some.text("abcXYZ019-._~!$&'()*+,;=:@", min_size=1, max_size=12).filter(lambda s: s.split(";")[0] not in (".", ".."))
paths = some.tuples(some.lists(segments, max_size=6), some.sampled_from(["", "/"])).map(
    lambda p: "/" + "/".join(p[0]) + (p[1] if p[0] else ""))
queries = some.none() | some.text("abc019-._~!$&'()*+,;=:@/?", max_size=40)
contents = some.none() | some.binary(max_size=200) | some.integers(0, 200_000).map(lambda n: random.Random(n).randbytes(n))
statuses = some.sampled_from([200, 201, 202, 203, 206, 400, 401, 403, 404, 409, 418, 429, 451, 500, 501, 503, 599])


def shape(pairs):
    """What a field list means: names without case, repeated ones joined in order (RFC 9110 5.3)."""
    found = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(v) for name, v in found.items()}


def ask(connection, method, target, sent, content):
    ex = connection.exchange()
    ex.head({"method": method, "target": target}, sent, end=content is None)
    if content is not None:
        ex.data(content)
        ex.end()
    got, start, back = b"", None, None
    while (event := ex.next())[0] in ("interim", "head", "data"):
        if event[0] == "head":
            start, back = event[1], event[2]
        elif event[0] == "data":
            got += event[1]
    assert event[0] == "end", event
    return start["status"], back, json.loads(got)


@pytest.fixture(scope="module")
def kept(way):
    """One connection for all examples: what one leaves behind would spoil the next."""
    c = peers.connect(way.client, way.port, way.ca)
    yield c
    c.close()


EXAMPLES = int(os.environ.get("EXAMPLES", 25))  # of each way


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 25, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(method=some.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]), path=paths, query=queries, sent=fields,
       content=contents, status=statuses, back=fields)
def test_what_is_asked_and_answered_arrives(kept, method, path, query, sent, content, status, back):
    target = path if query is None else f"{path}?{query}"
    told = base64.b64encode(json.dumps({"status": status, "fields": back}).encode()).decode()
    found, got, seen = ask(kept, method, target, [*sent, ("x-answer", told)], content)
    assert found == status
    assert (seen["method"], seen["target"], seen["authority"]) == (method, target, "weir.test")
    assert base64.b64decode(seen["content"]) == (content or b"")
    arrived, returned = shape(seen["fields"]), shape(got)
    for name, value in shape(sent).items():
        assert arrived.get(name) == value, name
    for name, value in shape(back).items():
        assert returned.get(name) == value, name
