# SPDX-License-Identifier: Apache-2.0
"""What a cluster's objects ask beyond routes and NetworkPolicies, from the API server to the connection: names and telemetry."""
import errno

import pytest

import dnsmsg
from agent import eventually
from test_http import exchange_at, records
from test_kubernetes import cluster, namespace, running_cluster, service, slice_of  # noqa: F401
from test_names import MIRROR, SERVER, SITE, Outside, policy, refusal

DNS = "10.96.0.10"


def egress(*names, **spec):
    document = policy(*names, **spec)
    document["spec"].pop("dnsServers", None)
    return document


@pytest.fixture
def named(running_cluster):  # noqa: F811
    """web may call what is named, and the one server whose answers count is the cluster's DNS, which no namespace here has."""
    c = running_cluster
    c.outside = Outside(c.world)
    dns = service("kube-dns", DNS, 53, ns="kube-system")
    dns["spec"]["ports"][0]["protocol"] = "UDP"
    addresses = slice_of("kube-dns", 53, SERVER, ns="kube-system")
    addresses["ports"][0]["protocol"] = "UDP"
    c.api.put(namespace("kube-system"), dns, addresses, egress("api.example.com", "*.example.org"))
    eventually(lambda: refusal(c.web, MIRROR) == errno.EPERM and c.agent.status()["services"] == 2)
    c.settled()
    yield c
    c.outside.actor.close()


def test_names_of_the_cluster_are_bound_by_its_own_dns_and_lead_to_no_pod(named):
    c = named
    assert refusal(c.web, SITE) == errno.EPERM
    c.outside.ask(c.web, dnsmsg.answer("api.example.com", SITE), at=DNS)
    assert refusal(c.web, SITE) is None and refusal(c.web, MIRROR) == errno.EPERM
    # A pod of another node and namespace, which nothing here calls: whoever owns the zone names its address in vain.
    far = c.document(c.world.pods[1], node="node-b")
    far["metadata"].update(name="far", namespace="elsewhere", uid="")
    far["status"].update(podIP=MIRROR, podIPs=[{"ip": MIRROR}])
    before = c.state()["objects_in_scope"]
    c.api.put(namespace("elsewhere"), far)
    eventually(lambda: c.state()["objects_in_scope"] >= before + 2)
    c.settled()
    c.outside.ask(c.web, dnsmsg.answer("www.example.org", MIRROR), at=DNS)
    assert refusal(c.web, MIRROR) == errno.EPERM
    c.api.delete("EgressPolicy", "default", "out")
    eventually(lambda: refusal(c.web, MIRROR) is None)


def test_an_egress_policy_that_is_refused_allows_nothing_and_cuts_off_whom_it_selects(named):
    c = named
    c.outside.ask(c.web, dnsmsg.answer("api.example.com", SITE), at=DNS)
    assert refusal(c.web, SITE) is None
    c.api.put(egress("Not A Name"))
    eventually(lambda: refusal(c.web, SITE) == errno.EPERM)
    assert "object=EgressPolicy/default/out" in c.agent.text(c.agent.log)
    assert refusal(c.intruder, SITE) is None
    c.api.put(egress("api.example.com"))
    eventually(lambda: c.state()["objects_refused"] == 0)
    c.settled()
    c.outside.ask(c.web, dnsmsg.answer("api.example.com", SITE), at=DNS)
    assert refusal(c.web, SITE) is None


def test_a_service_that_asks_for_telemetry_is_told(running_cluster):  # noqa: F811
    c = running_cluster
    store = c.world.pods[2]
    shop = service("shop", "10.96.0.20", 80)
    shop["metadata"]["annotations"] = {"weir.dev/http-telemetry": "true", "example.com/other": "x"}
    c.api.put(shop, slice_of("shop", 8080, store.v4))
    eventually(lambda: c.agent.status()["services"] == 2)
    c.settled()
    exchange_at(c.web, c.app(2), b"/cart", store.v4, "10.96.0.20")
    told = eventually(lambda: len(r := records(c.agent)) == 2 and r)
    assert {(r["path"], r["service"]) for r in told} == {("/cart", "default/shop")}
