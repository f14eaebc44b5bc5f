# SPDX-License-Identifier: Apache-2.0
"""EgressPolicy from the document to the connection: a DNS server, a pod that asks it, and an agent that keeps what was answered."""
import errno
import json
import os
import signal
import socket
import subprocess

import pytest

import actor
import dnsmsg
from actor import Actor
from agent import WEIR, eventually

UDP = socket.SOCK_DGRAM
SERVER, SITE, MIRROR = "10.77.0.254", "198.51.100.7", "198.51.100.8"


def policy(*names, port=443, **spec):
    return {"apiVersion": "weir.dev/v1alpha1", "kind": "EgressPolicy", "metadata": {"name": "out", "namespace": "default"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "dnsServers": [SERVER],
                     "egress": [{"names": list(names), "ports": [{"port": port}]}], **spec}}


class Outside:
    def __init__(self, world):
        world._ip(world.switch.pid, f"addr add {SITE}/32 dev br0", f"addr add {MIRROR}/32 dev br0")
        self.actor = Actor(f"/proc/{world.switch.pid}/ns/net")
        self.dns = self.actor.call(actor.listen, SERVER, 53, kind=UDP)
        for ip in (SITE, MIRROR):
            self.actor.call(actor.listen, ip, 443)

    def ask(self, client, message, at=SERVER):
        """The client has read that answer when this returns."""
        self.actor.begin(actor.recvfrom, self.dns)
        fd = client.call(actor.connect, at, 53, UDP)
        client.call(actor.send, fd, dnsmsg.question("x"))
        _, peer = self.actor.end()
        self.actor.call(actor.sendto, self.dns, message, *peer)
        client.call(actor.recv, fd)
        client.call(actor.close, fd)


@pytest.fixture
def named(running):
    """web may call what is named; the agent has put it in force."""
    running.outside = Outside(running.world)
    put(running, policy("api.example.com", "*.example.org"))
    yield running
    running.outside.actor.close()


def put(running, *documents):
    before = running.ask("generation")[0]["generation"]
    running.write("egress.yaml", *documents)
    eventually(lambda: running.ask("generation")[0]["generation"] > before and running.ask("generation")[0]["in_force"])


def refusal(client, ip, port=443):
    try:
        client.call(actor.close, client.call(actor.connect, ip, port))
        return None
    except OSError as e:
        return e.errno


def names(running, *words):
    code, out, err = running.cli("names", *words)
    assert code == 0, err
    return json.loads(out)["addresses"]


def explain(running, *words):
    code, out, err = running.cli("explain", "-o", "json", *words)
    assert code == 0, out + err
    return json.loads(out)


def test_from_document_to_connection_and_what_is_told_of_it(named):
    client = named.world.pods[0].app()
    assert refusal(client, SITE) == errno.EPERM and refusal(client, MIRROR) == errno.EPERM
    assert names(named) == []
    code, out, _ = named.cli("explain", "default/web", "api.example.com:443")
    assert code != 0 and "weir names" in out + _
    named.outside.ask(client, dnsmsg.answer("api.example.com", SITE))
    named.outside.ask(client, dnsmsg.answer("a.b.example.org", MIRROR))
    assert refusal(client, SITE) is None and refusal(client, MIRROR) is None

    (api,) = [n for n in names(named, "default/web") if n["ip"] == SITE]
    assert api["pod"] == "default/web" and api["asked"] == "api.example.com" and api["state"] == "in_time"
    assert api["names"][0]["name"] == "api.example.com" and 300 < api["names"][0]["seconds"] <= 330
    assert named.cli("names", "default/nobody")[0] != 0
    for to in ("api.example.com:443", f"{SITE}:443"):
        x = explain(named, "default/web", to)
        assert x["verdict"] == "allow" and x["connect"]["ip"] == SITE
        egress = x["hops"][0]["egress"]
        assert egress["policy"] == "default/out" and x["hops"][0]["answered"]["asked"] == "api.example.com"
        (rule,) = [r for r in egress["rules"] if r["decides"]]
        assert rule["ports"] == "443-443" and set(rule["peer"].split(", ")) == {"api.example.com", "*.example.org"}
    assert explain(named, "default/web", f"{SITE}:80")["verdict"] == "deny"
    assert named.ask("counters")[0]["dns"]["bound"] == 2


def test_a_policy_that_goes_takes_its_connections_with_it(named):
    client = named.world.pods[0].app()
    named.outside.ask(client, dnsmsg.answer("api.example.com", SITE))
    named.outside.ask(client, dnsmsg.answer("www.example.org", MIRROR))
    gone = client.call(actor.connect, SITE, 443)
    kept = client.call(actor.connect, MIRROR, 443)
    put(named, policy("*.example.org"))
    with pytest.raises(OSError) as reset:
        client.call(actor.recv, gone)
    assert reset.value.errno in (errno.ECONNRESET, errno.ECONNABORTED)
    assert not client.call(actor.waiting, kept)
    assert refusal(client, SITE) == errno.EPERM and refusal(client, MIRROR) is None
    eventually(lambda: any("event=revoke" in line and "policy=default/out" in line for line in open(named.flow_log)))


def test_a_name_that_is_said_otherwise_keeps_its_addresses_and_connections(named):
    client = named.world.pods[0].app()
    for i, (before, after, asked) in enumerate([("*.a.test", "www.a.test", "www.a.test"), ("www.b.test", "*.b.test", "www.b.test"),
                                                ("*.c.test", "*.www.c.test", "x.www.c.test")]):
        site, mirror = f"198.51.100.{20 + 2 * i}", f"198.51.100.{21 + 2 * i}"
        named.world._ip(named.world.switch.pid, f"addr add {site}/32 dev br0", f"addr add {mirror}/32 dev br0")
        for ip in (site, mirror):
            named.outside.actor.call(actor.listen, ip, 443)
        put(named, policy(before))
        named.outside.ask(client, dnsmsg.answer(asked, site))
        named.outside.ask(client, dnsmsg.answer("other" + asked[asked.index("."):], mirror))
        live = client.call(actor.connect, site, 443)
        put(named, policy(after))
        assert not client.call(actor.waiting, live), f"{before} to {after}: it was reset"
        assert refusal(client, site) is None
        if not after.startswith("*.www"):
            assert refusal(client, mirror) == errno.EPERM, "another name of the old pattern, or never bound"


def test_a_name_that_comes_anew_has_nothing_of_one_that_went(named):
    """Its number in the kernel is that of the one that went; what was bound to that one is not its own."""
    client = named.world.pods[0].app()
    named.outside.ask(client, dnsmsg.answer("www.example.org", MIRROR))
    assert refusal(client, MIRROR) is None
    put(named, policy("api.example.com"))
    assert refusal(client, MIRROR) == errno.EPERM
    put(named, policy("api.example.com", "other.example.net"))
    assert refusal(client, MIRROR) == errno.EPERM
    put(named, policy("api.example.com", "*.example.org"))
    assert refusal(client, MIRROR) == errno.EPERM
    named.outside.ask(client, dnsmsg.answer("www.example.org", MIRROR))
    assert refusal(client, MIRROR) is None


def test_an_agent_that_is_killed_and_started_again_loses_nothing(named):
    client = named.world.pods[0].app()
    named.outside.ask(client, dnsmsg.answer("api.example.com", SITE))
    fd = client.call(actor.connect, SITE, 443)
    named.end(signal.SIGKILL)
    named.outside.ask(client, dnsmsg.answer("www.example.org", MIRROR))  # with no agent there
    assert refusal(client, SITE) is None and refusal(client, MIRROR) is None
    named.start()
    assert refusal(client, SITE) is None and refusal(client, MIRROR) is None
    assert not client.call(actor.waiting, fd) and len(names(named)) == 2


def test_what_ran_out_goes_but_not_under_a_live_socket(named):
    document = {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "agent"},
                "spec": {"cgroup": named.parent, "holdTime": "300ms",
                         "dns": {"minTTL": "0s", "maxTTL": "0s", "grace": "5s"}}}
    named.write("agent.yaml", document)
    put(named, policy("api.example.com", "*.example.org"))
    client = named.world.pods[0].app()
    named.outside.ask(client, dnsmsg.answer("api.example.com", SITE))
    client.call(actor.connect, SITE, 443)
    named.outside.ask(client, dnsmsg.answer("www.example.org", MIRROR))
    assert {n["ip"] for n in names(named)} == {SITE, MIRROR}
    eventually(lambda: [n["ip"] for n in names(named)] == [SITE])
    assert refusal(client, MIRROR) == errno.EPERM and refusal(client, SITE) is None
    eventually(lambda: names(named)[0]["state"] == "kept_by_sockets")


BAD = [
    ({"egress": [{"names": ["Example.com"]}]}, "spec.egress[0].names[0]"),
    ({"egress": [{"names": ["example.com."]}]}, "without a dot at the end"),
    ({"egress": [{"names": ["10.1.2.3"]}]}, "ipBlock"),
    ({"egress": [{"names": ["*"]}]}, "is not a name"),
    ({"egress": [{"names": ["a.*.com"]}]}, "is not a name"),
    ({"egress": [{"names": []}]}, "at least one name"),
    ({"egress": [{"ports": [{"port": 443}]}]}, "at least one name"),
    ({"egress": [{"names": ["example.com"], "ports": [{"port": "https"}]}]}, "must be a number"),
    ({"egress": [{"names": ["example.com"], "ports": [{"protocol": "SCTP", "port": 1}]}]}, "SCTP"),
    ({"dnsServers": ["127.0.0.53"]}, "is the pod itself"),
    ({"dnsServers": ["dns.example.com"]}, "is not a server"),
    ({"egres": []}, "egress"),
]


def test_bad_documents_are_refused_with_their_place(agent):
    path = os.path.join(agent.dir, "bad.json")
    for spec, words in BAD:
        with open(path, "w") as f:
            json.dump({**policy("example.com"), "spec": spec}, f)
        r = subprocess.run([WEIR, "validate", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert r.returncode != 0 and "bad.json:1:" in r.stdout and words in r.stdout, (spec, r.stdout)
