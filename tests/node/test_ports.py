# SPDX-License-Identifier: Apache-2.0
"""weir.dev/skip-inbound-ports, skip-outbound-ports and opaque-ports, in sidecar and in node mode."""
import json

import pytest

import nodemode
import pods


class PortMesh(nodemode.NodeMesh):
    notes = {}

    def documents(self):
        for d in super().documents():
            if d["kind"] == "Pod":
                d["metadata"]["annotations"].update(self.notes.get(d["metadata"]["name"], {}))
            yield d

    def annotate(self, **notes):
        """Of these pods alone; in force when it returns."""
        self.notes = notes
        before = self.agent_status()["generation"]
        self.publish()
        pods.wait_for(lambda: self.agent_status()["generation"] > before, timeout=60, what="the change")


@pytest.fixture(scope="module")
def m():
    """side: sidecar; far: node mode; both call web (sidecar) and api (node mode)."""
    with pods.Pods("ports") as the_pods:
        mesh = PortMesh(the_pods)
        for name, mode in (("side", "sidecar"), ("far", "node"), ("web", "sidecar"), ("api", "node")):
            mesh.pod(name, mode)
        mesh.helper_start()
        mesh.up()
        for name in ("side", "web"):
            mesh.sidecar_start(the_pods.pods[name], name)
        yield mesh


def certified(m, client, server):
    """Did the server's proxy see who calls, by mTLS?"""
    answer = m.curl(client, server)
    return isinstance(answer, dict) and "x-forwarded-client-cert" in answer["headers"]


def through(m, client, server):
    """Did any proxy touch the request?"""
    answer = m.curl(client, server)
    assert isinstance(answer, dict), answer
    return "x-request-id" in answer["headers"] or "x-forwarded-for" in answer["headers"]


def wait(what):
    return pods.wait_for(what, timeout=60, what="it")


@pytest.mark.parametrize("client, server", [("side", "api"), ("far", "web")])
def test_ports_as_annotated(m, client, server):
    m.annotate()
    wait(lambda: certified(m, client, server))
    # The caller passes its own proxy by: the server's sees a plain call, which is none of the mesh.
    m.annotate(**{client: {"weir.dev/skip-outbound-ports": "79-81"}})
    wait(lambda: isinstance(m.curl(client, server), dict) and not certified(m, client, server))
    # The server's proxy is passed by: the caller's must not speak mTLS to an application.
    m.annotate(**{server: {"weir.dev/skip-inbound-ports": "22,8080"}})
    wait(lambda: isinstance(m.curl(client, server), dict) and not certified(m, client, server))
    # Both: nobody touches it.
    m.annotate(**{client: {"weir.dev/skip-outbound-ports": "80"}, server: {"weir.dev/skip-inbound-ports": "8080"}})
    wait(lambda: isinstance(m.curl(client, server), dict) and not through(m, client, server))
    # Bytes, between both proxies and by mTLS: no request is seen, and none is changed.
    m.annotate(**{server: {"weir.dev/opaque-ports": "8080"}})
    wait(lambda: isinstance(m.curl(client, server), dict) and not through(m, client, server))
    m.annotate()
    wait(lambda: certified(m, client, server))


def test_policy_is_not_skipped(m):
    """Where a proof is asked for, a port cannot be kept out of the sidecar."""
    m.policies.append({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                       "metadata": {"name": "strict", "namespace": "default"},
                       "spec": {"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "STRICT"}}})
    try:
        m.annotate(web={"weir.dev/skip-inbound-ports": "8080"})
        wait(lambda: certified(m, "side", "web"))
        assert m.pods.pods["side"].run(["curl", "-s", "--max-time", "3", f"http://{m.pods.pods['web'].ip}:8080/"]).returncode != 0
        m.annotate(side={"weir.dev/skip-outbound-ports": "80"})
        wait(lambda: not isinstance(m.curl("side", "web"), dict))
    finally:
        m.policies.pop()
        m.annotate()


def test_a_list_that_is_none_is_refused_with_its_place(m):
    refused = m.agent_status()["reloads_refused"]
    m.notes = {"web": {"weir.dev/opaque-ports": "80-70"}}
    m.publish()
    wait(lambda: m.agent_status()["reloads_refused"] == refused + 1)
    assert "is not a list of ports" in m.agent_status()["last_refusal"]
    m.notes = {}
    m.publish()
    assert json.dumps(m.curl("side", "web"))
