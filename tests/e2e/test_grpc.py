# SPDX-License-Identifier: Apache-2.0
"""gRPC's own client and server through weir: by prior knowledge, over TLS with ALPN, and through two proxies with mTLS between them."""

import hashlib
import json
import threading
import time

import grpc
import ports
import pytest

from backends import body_of
from grpcsite import Client, GrpcSite
from proxies import pods
from twosides import TwoSides

Code = grpc.StatusCode


def dial(proxy, tmp_path, certs, kind, site):
    """Target, CA file and the proxies of one way to the site."""
    if kind == "mesh":
        two = TwoSides(tmp_path, proxy, site.port, "kubernetes.io/h2c")
        return f"127.0.0.1:{two.port}", None, [two.edge, two.sidecar]
    tls = ("--cert", certs.server, "--key", certs.server_key, "--to-ca", certs.ca) if kind == "tls" else ()
    scheme = "https" if kind == "tls" else "h2c"
    p = proxy("--listen", "127.0.0.1:0", "--to", f"{scheme}://127.0.0.1:{site.port}", "--admin", "127.0.0.1:0",
              "--access-log", "json", *tls)
    return f"localhost:{p.port}" if tls else f"127.0.0.1:{p.port}", certs.ca if tls else None, [p]


class Way:
    """A server, what is in front of it, and a client."""

    def __init__(self, proxy, tmp_path, certs, kind):
        self.site = GrpcSite("127.0.0.2" if kind == "mesh" else "127.0.0.1",
                             tls=(certs.server_key, certs.server) if kind == "tls" else None)
        self.target, self.ca, self.proxies = dial(proxy, tmp_path, certs, kind, self.site)
        self.client = self.another()

    def another(self, *options, **kwargs):
        return Client(self.target, self.ca, options, **kwargs)

    def close(self):
        self.client.close()
        self.site.close()


@pytest.fixture(params=["h2c", "tls", "mesh"])
def way(request, proxy, tmp_path, certs):
    w = Way(proxy, tmp_path, certs, request.param)
    yield w
    w.close()


@pytest.fixture
def plain(proxy, tmp_path, certs):
    w = Way(proxy, tmp_path, certs, "h2c")
    yield w
    w.close()


def failure(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as raised:
        result = call(*args, **kwargs)
        list(result)
    return raised.value


# ---- the four kinds of call ----

def test_unary(way):
    for size in (0, 1, 16_384, 1_000_000):
        assert way.client.unary("Unary", body_of(size)) == body_of(size)


def test_client_stream(way):
    messages = [body_of(n * 997 % 50_000) for n in range(200)]
    found = way.client.collect(iter(messages))
    assert found == f"200 {hashlib.sha256(b''.join(messages)).hexdigest()}".encode()


def test_server_stream(way):
    found = list(way.client.stream("Stream", b"300 10000"))
    assert [len(m) for m in found] == [10_000] * 300
    assert [int.from_bytes(m[:4], "big") for m in found] == list(range(300))


def test_bidirectional_stream_moves_a_message_at_a_time(way):
    """Each message is sent only after the answer to the one before it."""
    turn = threading.Semaphore(1)

    def requests():
        for n in range(50):
            assert turn.acquire(timeout=20)
            yield f"message {n}".encode()
    found = []
    for message in way.client.chat(requests()):
        found.append(message)
        turn.release()
    assert found == [f"message {n}".encode() for n in range(50)]


def test_bidirectional_stream_of_much_both_ways_at_once(way):
    messages = [n.to_bytes(4, "big") + body_of(40_000) for n in range(250)]
    assert list(way.client.chat(iter(messages))) == messages


def test_messages_of_ten_megabytes(way):
    big = body_of(10 << 20)
    assert way.client.unary("Unary", big) == big
    assert list(way.client.stream("Stream", b"2 10485760"))[1][:4] == b"\0\0\0\1"
    assert way.client.collect(iter([big, big])) == f"2 {hashlib.sha256(big + big).hexdigest()}".encode()


def test_many_calls_at_once_share_connections(way):
    assert way.client.unary("Unary", b"first") == b"first"  # over TLS the server's ALPN says whether it speaks HTTP/2
    calls = [way.client.future("Unary", body_of(n * 37)) for n in range(500)]
    assert [c.result() for c in calls] == [body_of(n * 37) for n in range(500)]
    workers = int(way.proxies[0].metrics().get("weir_workers", 8))
    assert way.proxies[0].metric("weir_upstream_connections_total") <= max(workers, 5)


# ---- statuses, metadata, compression ----

@pytest.mark.parametrize("code", [3, 5, 7, 14, 16])
def test_trailers_only_errors(way, code):
    e = failure(way.client.unary, "Fail", f"{code} because ü %".encode())
    assert (e.code().value[0], e.details()) == (code, "because ü %")
    assert ("site", "a") in e.trailing_metadata()


def test_an_error_behind_messages(way):
    call, found = way.client.stream("FailLate"), []
    with pytest.raises(grpc.RpcError):
        for message in call:
            found.append(message)
    assert found == [b"one"]
    assert (call.code(), call.details()) == (Code.DATA_LOSS, "half way: 50 %, ü")
    assert ("why-bin", b"\x00\xff\n") in call.trailing_metadata()


def test_an_unknown_method_is_the_servers_to_refuse(way):
    assert failure(way.client.unary, "NoSuch").code() == Code.UNIMPLEMENTED


def test_metadata_both_ways(way):
    sent = [("x-text", "a b, c"), ("x-text", "second"), ("blob-bin", bytes(range(256))), ("empty-bin", b"")]
    answer, call = way.client.with_call("Meta", metadata=sent)
    seen = json.loads(answer)
    for name, value in sent:
        assert [name, value.hex() if isinstance(value, bytes) else value] in seen
    assert [v for k, v in seen if k == "x-text"] == ["a b, c", "second"]
    assert ("first-bin", bytes(range(256))) in call.initial_metadata() and ("first", "1") in call.initial_metadata()
    assert ("last-bin", b"\xff\x00") in call.trailing_metadata() and ("last", "2") in call.trailing_metadata()


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(way, how):
    client = way.another(compression=how)
    text = b"the same again and again " * 100_000
    assert client.unary("Unary", text) == text
    assert list(client.chat(iter([text, b"", text]))) == [text, b"", text]
    client.close()


# ---- deadlines and cancellation ----

def test_a_deadline_reaches_the_server(way):
    left = json.loads(way.client.unary("Deadline", timeout=20))
    assert 0 < left < 30  # gRPC rounds what it writes up, by a tenth of a second here; no deadline at all would be years


def test_a_deadline_passed_at_the_client_ends_the_call_at_the_server(way):
    e = failure(way.client.unary, "Wait", b"30000", timeout=0.3)
    assert e.code() == Code.DEADLINE_EXCEEDED
    assert way.site.cancelled.acquire(timeout=10)
    assert way.client.unary("Unary", b"next") == b"next"
    for p in way.proxies:
        p.wait_metric("weir_requests_active", 0)


def test_cancellation_reaches_the_server(way):
    call = way.client.stream("Watch")
    assert next(call) == b"watching"
    call.cancel()
    assert way.site.cancelled.acquire(timeout=10)
    waiting = way.client.future("Wait", b"30000")
    pods.wait_for(lambda: way.site.seen[-1][0] == "Wait", what="the call at the server")
    waiting.cancel()
    assert way.site.cancelled.acquire(timeout=10)
    assert way.client.unary("Unary", b"next") == b"next"


def test_a_client_that_dies_cancels_its_calls(way):
    client = way.another()
    calls = [client.stream("Watch") for _ in range(5)]
    assert [next(c) for c in calls] == [b"watching"] * 5
    client.close()
    for _ in calls:
        assert way.site.cancelled.acquire(timeout=10)
    for p in way.proxies:
        p.wait_metric("weir_requests_active", 0)


# ---- answers of weir's own ----

ROUTED = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{gatewayClassName: weir, listeners: [{{name: in, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [grpc.test]
  rules:
  - matches: [{{method: {{service: weir.Test, method: Unary}}, headers: [{{name: x-site, value: b}}]}}]
    backendRefs: [{{name: b, port: 80}}]
  - matches: [{{method: {{service: weir.Test}}}}]
    backendRefs: [{{name: a, port: 80}}]
  - matches: [{{method: {{service: weir.Other, method: Unary}}}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{set: [{{name: x-set, value: by-route}}]}}
    backendRefs: [{{name: b, port: 80}}]
  - matches: [{{method: {{service: weir.Gone}}}}]
    backendRefs: [{{name: gone, port: 80}}]
  - matches: [{{method: {{service: weir.Down}}}}]
    backendRefs: [{{name: down, port: 80}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: edge}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]
  action: DENY
  rules: [{{to: [{{operation: {{paths: [/weir.Test/Collect]}}}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: timed}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [timed.test]
  rules:
  - matches: [{{path: {{value: /weir.Test}}}}]
    timeouts: {{request: 300ms}}
    backendRefs: [{{name: a, port: 80}}]
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: grpc, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: grpc, port: {port}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
"""


class Routed:
    def __init__(self, proxy, tmp_path):
        self.a, self.b = GrpcSite(name="a"), GrpcSite(name="b")
        self.port = ports.free_port()
        services = {"a": self.a.port, "b": self.b.port, "down": ports.free_port()}
        (tmp_path / "routed.yaml").write_text(ROUTED.format(port=self.port) + "".join(
            SERVICE.format(name=n, port=p) for n, p in services.items()) +
            "---\napiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: edge}\nspec: {admin: '127.0.0.1:0'}\n")
        self.proxy = proxy("--config", tmp_path / "routed.yaml")
        self.client, self.timed = self.named("grpc.test"), self.named("timed.test")

    def named(self, host):
        return Client(f"127.0.0.1:{self.port}", None, [("grpc.default_authority", host)])

    def close(self):
        for x in (self.client, self.timed, self.a, self.b):
            x.close()


@pytest.fixture
def routed(proxy, tmp_path):
    r = Routed(proxy, tmp_path)
    yield r
    r.close()


def test_grpcroute_by_service_method_and_header(routed):
    def served_by(**kwargs):
        service = kwargs.pop("service", "weir.Test")
        call = routed.client.channel.unary_unary(f"/{service}/Unary").with_call(b"x", timeout=20, **kwargs)[1]
        return dict(call.trailing_metadata())["site"]
    assert served_by() == "a"
    assert served_by(metadata=[("x-site", "b")]) == "b"
    assert served_by(metadata=[("x-site", "c")]) == "a"
    assert served_by(service="weir.Other") == "b"
    assert ("x-set", "by-route") in routed.b.seen[-1][1]


@pytest.mark.parametrize("service,method,code", [
    ("weir.Nowhere", "Unary", Code.UNIMPLEMENTED),  # 404, no route
    ("weir.Other", "Meta", Code.UNIMPLEMENTED),     # a method no rule names
    ("weir.Test", "Collect", Code.PERMISSION_DENIED),  # 403, by policy
    ("weir.Gone", "Unary", Code.UNAVAILABLE),       # no such Service: what GRPCRoute says
    ("weir.Down", "Unary", Code.UNAVAILABLE),       # 503, nobody listens
])
def test_local_answers_have_a_grpc_status(routed, service, method, code):
    e = failure(routed.client.unary, method, service=service)
    assert e.code() == code and e.details().startswith("weir: "), e
    stream = routed.client.channel.stream_stream(f"/{service}/{method}")(iter([b"1", b"2"]), timeout=20)
    assert failure(list, stream).code() == code


def test_a_route_timeout_is_deadline_exceeded(routed):
    e = failure(routed.timed.unary, "Wait", b"20000")
    assert e.code() == Code.DEADLINE_EXCEEDED and "weir" in e.details()
    assert routed.a.cancelled.acquire(timeout=10)
    assert routed.timed.unary("Unary", b"quick") == b"quick"


def test_a_route_timeout_behind_the_first_message(routed):
    """The head has left with status 200: the call fails all the same, it does not look complete."""
    call = routed.timed.stream("Watch")
    assert next(call) == b"watching"
    assert failure(list, call).code() in (Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNAVAILABLE, Code.INTERNAL)
    assert routed.a.cancelled.acquire(timeout=10)


def test_a_server_that_goes_is_unavailable(plain):
    call = plain.client.stream("Watch")
    assert next(call) == b"watching"
    plain.site.server.stop(None)
    assert failure(list, call).code() in (Code.UNAVAILABLE, Code.CANCELLED)
    e = failure(plain.client.unary, "Unary", b"x")
    assert e.code() == Code.UNAVAILABLE and "weir" in e.details()


# ---- connections ----

@pytest.mark.parametrize("kind", ["h2c", "mesh"])
def test_goaway_under_load(proxy, tmp_path, certs, kind):
    """Calls go on while the server asks for new connections all the time."""
    site = GrpcSite("127.0.0.2" if kind == "mesh" else "127.0.0.1",
                    options=[("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 5000)])
    target, _, _ = dial(proxy, tmp_path, certs, kind, site)
    client, results, end = Client(target), [], time.monotonic() + 3

    def calls():
        while time.monotonic() < end:
            try:
                results.append(client.unary("Unary", body_of(20_000)) == body_of(20_000))
            except grpc.RpcError as e:
                results.append(f"{e.code()} {e.details()}")
    threads = [threading.Thread(target=calls) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    client.close()
    site.close()
    assert len(results) > 100 and set(results) == {True}


def test_a_drain_lets_every_call_finish(proxy, tmp_path, certs):
    """SIGTERM while calls are under way: every one of them is answered, and the process ends well."""
    site = GrpcSite()
    target, _, (p,) = dial(proxy, tmp_path, certs, "h2c", site)
    client = Client(target)
    calls = [client.future("Wait", b"800") for _ in range(20)]
    p.wait_metric("weir_requests_active", 20)
    p.signal(15)
    assert [c.result() for c in calls] == [b"waited"] * 20
    client.close()
    assert p.wait() == 0
    site.close()


def test_more_calls_than_the_server_takes_at_once(proxy, tmp_path, certs):
    """MAX_CONCURRENT_STREAMS of 2 at the server, 50 calls: more connections or patience, no failure."""
    site = GrpcSite(options=[("grpc.max_concurrent_streams", 2)])
    target, _, _ = dial(proxy, tmp_path, certs, "h2c", site)
    client = Client(target)
    calls = [client.future("Wait", b"50") for _ in range(50)]
    assert [c.result() for c in calls] == [b"waited"] * 50
    client.close()
    site.close()


def test_more_calls_than_weir_takes_on_a_connection(way):
    """limits.streams is 100: the client's library holds the rest back."""
    calls = [way.client.future("Wait", b"100") for _ in range(250)]
    assert [c.result() for c in calls] == [b"waited"] * 250


def test_keepalive_pings_are_answered_and_not_punished(plain):
    """gRPC's clients ping a connection without calls, too: this one as often as its library lets it, once a second."""
    client = plain.another(("grpc.keepalive_time_ms", 50), ("grpc.keepalive_permit_without_calls", 1),
                           ("grpc.http2.max_pings_without_data", 0), ("grpc.http2.min_time_between_pings_ms", 50))
    assert client.unary("Unary", b"1") == b"1"
    p = plain.proxies[0]
    opened = p.metric("weir_downstream_connections_total")

    def wait_pings(n):
        """17 bytes each, and there is nothing else."""
        began = p.metric("weir_downstream_received_bytes_total")
        pods.wait_for(lambda: p.metric("weir_downstream_received_bytes_total") >= began + n * 17, what="pings")
    call = client.stream("Watch")
    assert next(call) == b"watching"
    wait_pings(2)
    call.cancel()
    p.wait_metric("weir_requests_active", 0)
    wait_pings(2)
    assert client.unary("Unary", b"2") == b"2"
    assert p.metric("weir_downstream_connections_total") == opened
    client.close()


def test_an_idle_connection_is_ended_by_goaway_and_no_call_is_lost(proxy, tmp_path):
    """limits.idleTimeout is about calls, not about pings; a client that pings simply connects again."""
    site = GrpcSite()
    (tmp_path / "idle.yaml").write_text(
        "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec:\n  listen: '127.0.0.1:0'\n  admin: '127.0.0.1:0'\n"
        f"  to: ['h2c://127.0.0.1:{site.port}']\n  limits: {{idleTimeout: 300ms}}\n")
    p = proxy("--config", tmp_path / "idle.yaml")
    client = Client(f"127.0.0.1:{p.port}", None, [("grpc.keepalive_time_ms", 50), ("grpc.http2.max_pings_without_data", 0),
                                                 ("grpc.keepalive_permit_without_calls", 1)])
    for pause in (0.25, 0.3, 0.31, 0.35, 0.4, 0.6, 1):
        assert client.unary("Unary", b"x") == b"x"
        time.sleep(pause)
    p.wait_metric("weir_downstream_connections_active", 0)
    assert p.metric("weir_downstream_connections_total") > 1
    client.close()
    site.close()
