# SPDX-License-Identifier: Apache-2.0
"""HTTP telemetry through the agent: the annotation turns it on and off, its records are in `weir flows`, its figures in /metrics."""
import json
import os
import re

import pytest

import actor
from agent import SERVICE_IP, eventually
from test_metrics import at, get  # noqa: F401

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def asking(agent, store, word='"true"'):
    text = agent.service("shop", 80, 8080, store)
    return text.replace('"name": "shop", ', '"name": "shop", "annotations": {"weir.dev/http-telemetry": %s}, ' % word, 1)


@pytest.fixture
def shop(agent, at):  # noqa: F811
    web, _, store = agent.world.pods
    agent.write("pods.yaml", agent.pod_document(web), agent.pod_document(store))
    agent.write("shop.yaml", asking(agent, store))
    agent.start()
    eventually(lambda: agent.status()["pods_verified"] == 2)
    return agent


def exchange(web, store, path):
    exchange_at(web.app(), store.app(), path, store.v4)


def exchange_at(client, server, path, listens, ip=SERVICE_IP):
    lid = server.call(actor.listen, listens, 8080)
    fd = client.call(actor.connect, ip, 80)
    sid, _ = server.call(actor.accept, lid)
    client.call(actor.send, fd, b"GET %s HTTP/1.1\r\nHost: shop\r\nCookie: secret\r\n\r\n" % path)
    server.call(actor.recv, sid)
    server.call(actor.send, sid, OK)
    client.call(actor.recv, fd)
    server.call(actor.close, sid, lid)
    client.call(actor.close, fd)


def records(agent):
    code, out, _ = agent.cli("flows", "-o", "json", "--event", "http")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def programs(agent):
    return sorted(name for name in os.listdir(os.path.join(agent.pins, "links")) if name.startswith("weir_http"))


def test_a_service_that_asks_for_it_is_told_and_one_that_asks_no_more_is_not(shop, at):  # noqa: F811
    web, _, store = shop.world.pods
    assert programs(shop) == ["weir_http_egress", "weir_http_ingress"]
    exchange(web, store, b"/cart?user=me")
    client, server = eventually(lambda: len(r := records(shop)) == 2 and sorted(r, key=lambda e: e["direction"]))
    assert (client["direction"], server["direction"]) == ("egress", "ingress")
    for r in (client, server):
        assert (r["method"], r["path"], r["status"], r["service"]) == ("GET", "/cart", 200, "default/shop")
        assert (r["source"], r["destination"], r["destination_port"]) == ("default/web", "default/store", 8080)
        assert r["source_identity"].startswith("default/web#") and r["latency_us"] >= 0
    assert (client["original_ip"], client["original_port"]) == (SERVICE_IP, 80)
    text = get(at + "/metrics")[1]
    for side in ("client", "server"):
        assert (f'weir_http_telemetry_requests_total{{service="default/shop",side="{side}",source="packets",method="GET",status="2xx"}} 1\n'
                in text)
    assert 'weir_http_telemetry_incomplete_total{reason="not_http1"} 0\n' in text
    everything = text + json.dumps(shop.ask("flows")) + shop.text(shop.flow_log) + shop.text(shop.log)
    assert not re.search("user=me|secret|/cart.*requests_total", everything)
    shop.write("shop.yaml", shop.service("shop", 80, 8080, store))
    eventually(lambda: programs(shop) == [])
    exchange(web, store, b"/unseen")
    assert len(records(shop)) == 2


def test_a_value_that_is_neither_true_nor_false_is_refused_and_what_was_stays(shop):
    web, _, store = shop.world.pods
    shop.write("shop.yaml", asking(shop, store, '"yes"'))
    refusal = eventually(lambda: shop.status().get("last_refusal"))
    assert 'metadata.annotations["weir.dev/http-telemetry"]: unknown value "yes"; expected false or true' in refusal
    exchange(web, store, b"/still")
    eventually(lambda: len(records(shop)) == 2)


def test_programs_outlive_the_agent_and_the_next_one_takes_them_over(shop):
    web, _, store = shop.world.pods
    shop.end(9)
    exchange(web, store, b"/between")
    shop.start()
    found = eventually(lambda: len(r := records(shop)) == 2 and r)
    assert [r["path"] for r in found] == ["/between"] * 2
    shop.write("shop.yaml", shop.service("shop", 80, 8080, store))
    shop.end(9)
    shop.start()
    assert programs(shop) == []
