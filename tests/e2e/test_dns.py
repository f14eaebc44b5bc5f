# SPDX-License-Identifier: Apache-2.0
"""Endpoints known by name: asked of a real name server on loopback, again when the TTL is over, and what becomes of them when it says nothing,
no, or nonsense. What a test waits for it waits for as long as it takes; nothing is decided by how long it took."""

import contextlib
import json
import socket

import backends
import dnsserver
import ports
import pytest

from proxies import curl, pods

SPEC = """apiVersion: weir.dev/v1alpha1
kind: Proxy
spec:
  listen: 127.0.0.1:0
  to: ["{to}"]
  admin: 127.0.0.1:0
  accessLog: json
  workers: 1
  dns: {{servers: ["{server}"], timeout: 300ms, minTTL: 1s, maxTTL: 1h, negativeTTL: 1s}}
"""


@pytest.fixture
def dns():
    server = dnsserver.DnsServer()
    yield server
    server.close()


@pytest.fixture
def sites():
    """sites(name, address) on one port of several loopback addresses."""
    port = ports.free_port()
    made = []

    def make(name, address="127.0.0.1"):
        made.append(backends.Site(name, address=(address, port)))
        return made[-1]

    make.port = port
    yield make
    for s in made:
        s.close()


def start(proxy, tmp_path, dns, to):
    conf = tmp_path / "proxy.yaml"
    conf.write_text(SPEC.format(to=to, server=dns.address))
    return proxy("--config", conf)


def who(p):
    """Which site answers; None when none does."""
    done = curl("-o", "-", "-w", "\n%{http_code}", p.url("/headers"))
    body, _, code = done.stdout.decode().rpartition("\n")
    return json.loads(body)["name"] if code == "200" else int(code)


def wait_who(p, wanted):
    pods.wait_for(lambda: who(p) == wanted, timeout=30, what=f"an answer of {wanted}")


def test_a_change_of_address_is_followed_when_the_ttl_is_over(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1"), sites("two", "127.0.0.2")
    dns.set("api.test", "127.0.0.1", ttl=1)
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "one"
    dns.set("api.test", "127.0.0.2", ttl=1)
    wait_who(p, "two")
    assert [who(p) for _ in range(10)] == ["two"] * 10
    p.wait_metric("weir_upstream_connections_active", 1)  # those to the address that is gone are closed
    assert p.metric("weir_config_generation") == 1
    assert p.metric('weir_dns_answers_total{result="ok"}') >= 2


def test_an_answer_is_held_for_its_ttl(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    dns.set("api.test", "127.0.0.1", ttl=3600)
    dns.set("other.test", "127.0.0.1", ttl=1)
    conf = tmp_path / "proxy.yaml"
    conf.write_text(SPEC.format(to=f"http://api.test:{sites.port}\", \"http://other.test:{sites.port}", server=dns.address))
    p = proxy("--config", conf)
    assert who(p) == "one"
    pods.wait_for(lambda: dns.count("other.test") >= 4, timeout=30, what="other.test asked four times")
    assert dns.count("api.test") == 1


def test_all_addresses_of_a_name_are_used(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1"), sites("two", "127.0.0.2"), sites("three", "127.0.0.3")
    dns.set("api.test", "127.0.0.1", "127.0.0.2", "127.0.0.3")
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert {who(p) for _ in range(60)} == {"one", "two", "three"}


def test_a_name_that_is_not_there_is_503_until_it_is(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    done = curl("-i", p.url())
    assert b" 503 " in done.stdout and b"x-weir-reason: no_endpoint" in done.stdout
    assert "event=dns name=api.test error=" in p.err()
    asked = dns.count("api.test")
    assert [who(p) for _ in range(20)] == [503] * 20
    assert dns.count("api.test") <= asked + 3  # requests ask nobody: the answer is held
    dns.set("api.test", "127.0.0.1")
    wait_who(p, "one")
    assert p.metric('weir_dns_answers_total{result="none"}') >= 1


def test_an_authoritative_no_takes_the_addresses_away(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    dns.set("api.test", "127.0.0.1")
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "one"
    del dns.names["api.test"]
    wait_who(p, 503)


@pytest.mark.parametrize("how", [dict(mode="silent"), dict(mode="garbage"), dict(rcode=dnsserver.SERVFAIL), dict(rcode=dnsserver.REFUSED)],
                         ids=["silent", "garbage", "servfail", "refused"])
def test_when_nobody_can_say_the_last_answer_is_kept(proxy, dns, sites, tmp_path, how):
    sites("one", "127.0.0.1"), sites("two", "127.0.0.2")
    dns.set("api.test", "127.0.0.1")
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "one"
    dns.set("api.test", **how)
    p.wait_metric("weir_dns_names_stale", 1, timeout=30)
    assert [who(p) for _ in range(5)] == ["one"] * 5
    assert "result=stale_kept" in p.err()
    assert p.metric('weir_dns_answers_total{result="failed"}') >= 1
    dns.set("api.test", "127.0.0.2")
    wait_who(p, "two")
    p.wait_metric("weir_dns_names_stale", 0)


def test_a_truncated_answer_is_asked_for_by_tcp(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    dns.set("api.test", "127.0.0.1", mode="truncate", ttl=60)
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "one"
    assert dns.count("api.test", transport="tcp") >= 1


def test_an_alias_is_followed(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    dns.set("api.test", "127.0.0.1", alias="real.test", ttl=60)
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "one"


def test_what_etc_hosts_knows_is_not_asked(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    p = start(proxy, tmp_path, dns, f"http://localhost:{sites.port}")
    assert who(p) == "one"
    assert dns.asked == []


def test_a_server_that_says_nothing_holds_up_neither_start_nor_reload(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1")
    dns.set("slow.test", mode="silent")
    dns.set("api.test", "127.0.0.1")
    p = start(proxy, tmp_path, dns, f"http://slow.test:{sites.port}")
    assert who(p) == 503
    (tmp_path / "proxy.yaml").write_text(SPEC.format(to=f"http://api.test:{sites.port}", server=dns.address))
    wait_who(p, "one")
    (tmp_path / "proxy.yaml").write_text(
        SPEC.format(to=f"http://api.test:{sites.port}\", \"http://slow2.test:{sites.port}", server=dns.address))
    dns.set("slow2.test", mode="silent")
    with contextlib.suppress(pods.PodsError):
        p.wait_metric("weir_config_generation", 3, timeout=30)
    assert p.metric("weir_config_generation") == 3
    assert [who(p) for _ in range(10)] == ["one"] * 10


SERVICES = """apiVersion: weir.dev/v1alpha1
kind: Proxy
spec:
  workers: 1
  dns: {{servers: ["{server}"], minTTL: 1s, timeout: 300ms}}
---
apiVersion: v1
kind: Service
metadata: {{name: external}}
spec: {{type: ExternalName, externalName: api.test, ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: sliced}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: sliced-1, labels: {{kubernetes.io/service-name: sliced}}}}
addressType: FQDN
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: [b.test]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front}}
spec: {{gatewayClassName: weir, listeners: [{{name: http, protocol: HTTP, port: {front}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{name: front}}]
  rules:
  - matches: [{{path: {{value: /headers/sliced}}}}]
    backendRefs: [{{name: sliced, port: 80}}]
  - backendRefs: [{{name: external, port: 80}}]
"""


def test_external_names_and_slices_of_names_are_backends(proxy, dns, sites, tmp_path):
    sites("one", "127.0.0.1"), sites("two", "127.0.0.2"), sites("three", "127.0.0.3")
    dns.set("api.test", "127.0.0.1")
    dns.set("b.test", "127.0.0.2", ttl=60)
    front = ports.free_port()
    conf = tmp_path / "services.yaml"
    conf.write_text(SERVICES.format(server=dns.address, port=sites.port, front=front))
    proxy("--config", conf)

    def name(path):
        return json.loads(curl(f"http://127.0.0.1:{front}{path}").stdout)["name"]
    assert name("/headers") == "one"
    assert name("/headers/sliced") == "two"
    dns.set("api.test", "127.0.0.3")
    pods.wait_for(lambda: name("/headers") == "three", timeout=30, what="the new address of api.test")
    assert name("/headers/sliced") == "two"


def has_v6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_v6 = pytest.mark.skipif(not has_v6(), reason="this machine has no ::1")


@needs_v6
def test_of_both_families_ipv6_is_preferred_and_ipv4_is_there_when_it_refuses(proxy, dns, sites, tmp_path):
    sites("four", "127.0.0.1")
    dns.set("api.test", "127.0.0.1", "::1", ttl=60)
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(p) == "four"
    assert p.metric("weir_upstream_connect_failures_total") == 0
    sites("six", "::1")
    pods.wait_for(lambda: who(p) in ("four", "six"), timeout=5, what="an answer")
    q = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    assert who(q) == "six"


@needs_v6
def test_an_ipv6_address_that_drops_delays_nobody_for_long(proxy, dns, sites, tmp_path):
    """::1 has a listener whose backlog is full: SYNs to it are dropped. With the connect time-out as the only way on this would be 504."""
    sites("four", "127.0.0.1")
    with socket.socket(socket.AF_INET6) as full:
        full.bind(("::1", sites.port))
        full.listen(0)
        fillers = [socket.socket(socket.AF_INET6) for _ in range(4)]
        for s in fillers:
            s.setblocking(False)
            s.connect_ex(("::1", sites.port))
        dns.set("api.test", "127.0.0.1", "::1", ttl=60)
        p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
        assert who(p) == "four"
        for s in fillers:
            s.close()


@needs_v6
def test_a_family_that_nobody_answers_for_does_not_take_the_other_away(proxy, dns, sites, tmp_path):
    sites("four", "127.0.0.1")
    dns.set("api.test", "127.0.0.1", mode="silent6")
    p = start(proxy, tmp_path, dns, f"http://api.test:{sites.port}")
    wait_who(p, "four")
