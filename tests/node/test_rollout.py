# SPDX-License-Identifier: Apache-2.0
"""A DaemonSet's rollout: a new agent and helper beside the old ones take over while calls go on, and the old ones end after that."""
import os
import signal
import subprocess
import time

import pytest

import nodemode
import pods
from agent import WEIR, eventually
from test_agent import refusal
from test_kubernetes import cluster, running_cluster  # noqa: F401


def wait(what, timeout=60):
    return pods.wait_for(what, timeout=timeout, what="it")


@pytest.fixture
def m():
    """web and api in node mode; plain may call api, and denied may not."""
    with pods.Pods("rollout") as the_pods:
        mesh = nodemode.NodeMesh(the_pods)
        for name, mode in (("web", "node"), ("api", "node"), ("plain", "kernel"), ("denied", "kernel")):
            mesh.pod(name, mode)
        mesh.policies = [{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "api", "namespace": "default"},
                          "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"],
                                   "ingress": [{"from": [{"podSelector": {"matchExpressions": [
                                       {"key": "app", "operator": "In", "values": ["web", "plain"]}]}}]}]}}]
        mesh.helper_start()
        mesh.up()
        yield mesh


def roll(m, number):
    """What a new Pod of the DaemonSet does: a helper and an agent of its own. Returns the old ones, which still run."""
    old = m.agent, m.helper
    path = os.path.join(m.pods.run_dir, f"helper-{number}.sock")
    m.helper = m.pods.spawn([m.weir, "helper", "--listen", path, "--cgroup", m.pods.pods_cgroup], name=f"helper-{number}")
    wait(lambda: os.path.exists(path))
    m.agent = m.pods.spawn([m.weir, "agent", "--config", m.config, "--flow-format", "json", "--take-over", "--helper", path],
                           name=f"agent-{number}")
    wait(lambda: "event=agent_ready" in m.agent_log() or m.agent.poll() is not None)
    assert m.agent.poll() is None, m.agent_log()
    wait(m._agent_ready)
    return old


def test_agent_and_helper_are_replaced_under_load_and_no_call_fails_or_escapes(m):
    m.curl("web", "api")
    workers = {n: (t["pid"], t["uid"]) for n, t in m.tenants().items()}
    assert all(pid for pid, _ in workers.values())
    with m.load("web", "api") as meshed, m.load("plain", "api") as plain, m.load("denied", "api", "new", 0.02) as denied:
        agent, helper = roll(m, 2)
        assert agent.poll() is None and helper.poll() is None
        assert m.agent_status()["helper"]["pid"] == m.helper.pid
        time.sleep(0.5)  # both are there
        for process in (agent, helper):
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        time.sleep(0.5)
        assert {n: (t["pid"], t["uid"]) for n, t in m.tenants().items()} == workers
    assert meshed.calls > 100 and meshed.failures == [] and plain.calls > 100 and plain.failures == []
    assert denied.calls > 20 and len(denied.failures) == denied.calls
    # What was taken over is looked after: a worker that dies is seen, one that is replaced drains, and what is left is removed.
    os.kill(workers["api"][0], signal.SIGKILL)
    assert m.curl("plain", "api")["server"] == "api"
    with m.load("plain", "web") as load:
        assert '"found":true' in m.agent_ask("replace default/web")
        wait(lambda: m.tenants()["web"]["pid"] not in (0, workers["web"][0]))
        wait(lambda: not os.path.exists(f"/proc/{workers['web'][0]}"))
    assert load.failures == []
    for name in ("web", "api"):
        m.modes[name] = "kernel"
    m.publish()
    wait(lambda: not m.tenants())
    assert not os.path.exists(os.path.join(m.pods.cgroup, "pods", "weir-tenants"))
    # A successor that is gone before the old one was ended: that one ends, and kubelet starts it again.
    old, _ = roll(m, 3)
    m.agent_kill()
    assert old.wait(60) == 1
    assert "event=successor_gone" in m.tail(old.name + ".err", 1000)


def test_one_that_does_not_know_the_cluster_takes_nothing_over(running_cluster):  # noqa: F811
    c = running_cluster
    first, log = c.agent.p, os.path.join(c.agent.dir, "second")
    c.api.stop()
    with open(log, "w") as f:
        second = subprocess.Popen([WEIR, *c.agent.command("--take-over")[1:]], stderr=f, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: "event=succession_begun" in c.agent.text(log))
        time.sleep(0.5)
        assert second.poll() is None and c.agent.status()["pods_enrolled"] == 3
        assert "event=handed_over" not in c.agent.text(c.agent.log)
        c.api.start()
        eventually(lambda: "event=agent_ready" in c.agent.text(log))
        assert "event=handed_over" in c.agent.text(c.agent.log) and first.poll() is None
        # Never for a moment a configuration without the cluster: it would empty the maps.
        assert "pods=0" not in c.agent.text(log) and "event=pod_released" not in c.agent.text(log)
        assert refusal(c.web) is None and refusal(c.intruder) is not None
        c.api.put(c.agent.policy("store-allow-web", "store", "intruder"))
        eventually(lambda: refusal(c.intruder) is None)
        # A third one that was not asked to take over is told that there is one.
        code, text = c.agent.once()
        assert code == 1 and "another agent owns this pin directory" in text
    finally:
        c.agent.end(signal.SIGTERM)
        c.agent.p = second
