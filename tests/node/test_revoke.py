# SPDX-License-Identifier: Apache-2.0
"""A change of policy or endpoints reaches connections that exist, and the agent gives a receipt."""
import errno
import json

import pytest

import actor
from agent import SERVICE_IP, eventually

RESET = (errno.ECONNABORTED, errno.ECONNRESET, errno.EPIPE)


class Connection:
    def __init__(self, running, client):
        self.client, (self.server, lid) = client, running.store
        self.fd = client.call(actor.connect, SERVICE_IP, 70)
        self.sid, _ = self.server.call(actor.accept, lid)

    def works(self):
        self.client.call(actor.send, self.fd, b"x")
        return self.server.call(actor.recv, self.sid) == b"x"

    def is_reset(self):
        try:
            self.client.call(actor.recv, self.fd)
        except OSError as e:
            return e.errno in RESET
        return False


@pytest.fixture
def web(running):
    return Connection(running, running.world.pods[0].app())


def service(running, *pods, **conditions):
    documents = [json.loads(d) for d in running.service("store", 70, 7000, *pods).split("\n---\n")]
    for e in documents[1]["endpoints"]:
        e["conditions"] = conditions
    return "\n---\n".join(json.dumps(d) for d in documents)


def test_a_policy_change_resets_what_it_forbids_and_says_so(running, web):
    store = running.world.pods[2]
    running.write("mesh.yaml", running.service("store", 70, 7000, store),
                  running.policy("store-allow-both", "store", "web", "intruder"))
    running.wait_generation(2)
    intruder = Connection(running, running.world.pods[1].app())
    receipt = running.ask("generation")[0]["revocation"]
    assert receipt["generation"] == 2 and receipt["killed"] == receipt["failed"] == 0 and receipt["checked"] == 2
    running.write("mesh.yaml", running.service("store", 70, 7000, store), running.policy("store-allow-web", "store", "web"))
    running.wait_generation(3)
    receipt = running.ask("generation")[0]["revocation"]
    # Each connection is two sockets here; the client's own end is asked first, and the reset it sends takes the other one.
    assert receipt["generation"] == 3 and receipt["kept"] == 2 and receipt["killed"] in (1, 2)
    assert receipt["checked"] == receipt["killed"] + receipt["kept"] and receipt["failed"] == 0
    assert web.works() and intruder.is_reset()
    s = running.status()
    assert s["connections_revoked"] == receipt["killed"] == running.ask("counters")[0]["connections_revoked"]
    (flow, *_) = [f for f in running.ask("flows") if f["event"] == "revoke"]
    assert flow["verdict"] == "deny" and flow["policy"] == "default/store-allow-web" and flow["reason"] == "deny_ingress"
    assert (flow["source"], flow["destination"], flow["destination_port"]) == ("default/intruder", "default/store", 7000)
    log = running.text(running.log)
    assert "event=revocation generation=3 look=first" in log
    assert "event=revoke verdict=deny" in running.text(running.flow_log)
    assert running.cli("flows", "--event", "revoke")[1].count("policy=default/store-allow-web") == receipt["killed"]


def test_an_endpoint_that_ends_keeps_its_connections_and_one_that_is_gone_does_not(running, web):
    store, other = running.world.pods[2], running.world.pods[1]
    policy = running.policy("store-allow-web", "store", "web")
    running.write("mesh.yaml", service(running, store, ready=False, serving=True, terminating=True), policy)
    running.wait_generation(2)
    assert web.works()
    running.write("mesh.yaml", service(running, store, ready=False), policy)
    running.wait_generation(3)
    assert web.works()
    running.write("mesh.yaml", running.service("store", 70, 7000, other), policy)
    running.wait_generation(4)
    assert web.is_reset()
    (flow,) = [f for f in running.ask("flows") if f["event"] == "revoke"]
    assert flow["reason"] == "deny_endpoint_gone" and flow["service"] == "default/store" and flow["source"] == "default/web"
    assert flow["original_ip"] == SERVICE_IP


def test_a_change_while_the_agent_is_gone_reaches_connections_when_it_is_back(running, web):
    running.end(9)
    running.write("mesh.yaml", running.service("store", 70, 7000, running.world.pods[2]),
                  running.policy("store-allow-intruder", "store", "intruder"))
    assert web.works()
    running.start()
    assert web.is_reset()


def test_a_relabelled_pod_loses_what_its_labels_gave_it(running, web):
    pods = running.world.pods
    running.write("pods.yaml", running.pod_document(pods[0], app="stranger"), *[running.pod_document(p) for p in pods[1:]])
    running.wait_generation(2)
    assert web.is_reset()


def test_a_reload_without_a_change_resets_nothing(running, web):
    running.p.send_signal(1)
    running.wait_generation(2)
    eventually(lambda: "look=first" in running.text(running.log))
    assert web.works() and running.status()["connections_revoked"] == 0
