# SPDX-License-Identifier: Apache-2.0
"""The agent's promises, over real pods: what it puts in force, what stays when it is gone, what a bad edit changes."""
import errno
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

import actor
import streams
from agent import PATIENCE, SERVICE_IP, WEIR, eventually


def refusal(client, ip=SERVICE_IP, port=70):
    """None when the connection is made, else the errno."""
    try:
        client.call(actor.close, client.call(actor.connect, ip, port))
    except OSError as e:
        return e.errno
    return None


@pytest.fixture
def web(running):
    return running.world.pods[0].app()


@pytest.fixture
def intruder(running):
    return running.world.pods[1].app()


def test_a_service_is_translated_and_policy_enforced_and_named_in_the_flow_log(running, web, intruder):
    assert refusal(web) is None
    assert refusal(intruder) == errno.EPERM
    denied = eventually(lambda: [f for f in running.ask("flows") if f["verdict"] == "deny"])[0]
    assert denied["policy"] == "default/store-allow-web"
    assert denied["source"] == "default/intruder"
    assert denied["destination"] == "default/store"
    assert denied["destination_port"] == 7000
    assert denied["service"] == "default/store"
    assert "policy=default/store-allow-web" in running.text(running.flow_log)
    assert running.ask("counters")[0]["deny_ingress"] >= 1


def test_status_tells_what_is_in_force(running):
    s = running.status()
    assert s["state"] == "in_force" and s["generation"] == 1 and not s["adopted"]
    assert {p["name"]: p["state"] for p in s["pods"]} == {
        "default/web": "enrolled", "default/intruder": "enrolled", "default/store": "enrolled"}
    assert s["pods_enrolled"] == 3 and s["services"] == 1 and s["policies"] == 1
    assert "error" in running.ask("nonsense")[0]


def test_a_follower_gets_flows_as_they_come(running, web):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(running.socket)
        s.sendall(b"flows -f\n")
        assert refusal(web) is None
        data = b""
        while b'"event":"close"' not in data:
            data += s.recv(65536)
    assert b'"source":"default/web"' in data


def sleeps(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches:"))


def test_connections_do_not_wake_the_agent_one_by_one(running, web):
    """It would run in the middle of each connect(), where the kernel tells it."""
    before, told = sleeps(running.p.pid), running.ask("counters")[0]["seen_open"]
    took = web.call(streams.connect_many, SERVICE_IP, 70, 400)
    woken = sleeps(running.p.pid) - before
    # The rings are read 50 times a second at most; its clock, our questions and what it writes add a few.
    assert woken <= took * 60 + 60, (woken, took)
    assert running.ask("counters")[0]["seen_open"] >= told + 400


def test_without_the_agent_everything_stays_in_force(running, web, intruder):
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    assert refusal(web) is None
    assert refusal(intruder) == errno.EPERM
    running.start()
    assert running.status()["adopted"]
    assert running.status()["map_puts"] == 0, "nothing had changed"
    assert running.end(signal.SIGTERM) == 0
    assert "stay in force" in running.text(running.log)
    assert refusal(web) is None
    assert refusal(intruder) == errno.EPERM


def test_no_connection_slips_through_or_fails_while_the_agent_restarts(running, web, intruder):
    seen, stop = [], threading.Event()

    store, fd = running.store

    def keep_calling():
        try:
            while not stop.is_set():
                seen.append((web.call(actor.connect_many, SERVICE_IP, 70, 20),
                             intruder.call(actor.connect_many, SERVICE_IP, 70, 20)))
                store.call(actor.accept_all, fd)
        except Exception as e:  # to the thread that asserts
            seen.append(e)

    thread = threading.Thread(target=keep_calling)
    thread.start()
    try:
        for sig in (signal.SIGKILL, signal.SIGTERM):
            running.end(sig)
            running.start()
    finally:
        stop.set()
        thread.join()
    assert len(seen) >= 2
    assert set(seen) == {(0, 20)}


def test_a_broken_edit_is_refused_with_its_place_and_changes_nothing(running, web, intruder):
    good = running.text(os.path.join(running.config, "mesh.yaml"))
    running.write("mesh.yaml", good, "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspek: {}\n")
    s = eventually(lambda: (s := running.status())["reloads_refused"] and s)
    assert "mesh.yaml:" in s["last_refusal"] and "spec" in s["last_refusal"]
    assert s["generation"] == 1
    assert refusal(web) is None and refusal(intruder) == errno.EPERM
    running.write("mesh.yaml", good)
    running.wait_generation(2)
    assert "last_refusal" not in running.status()


def test_a_policy_edit_and_sighup_are_live(running, web, intruder):
    running.write("mesh.yaml", running.service("store", 70, 7000, running.world.pods[2]),
                  running.policy("store-allow-intruder", "store", "intruder"))
    running.wait_generation(2)
    assert refusal(web) == errno.EPERM and refusal(intruder) is None
    running.p.send_signal(signal.SIGHUP)
    running.wait_generation(3)
    assert refusal(web) == errno.EPERM and refusal(intruder) is None


def test_a_second_agent_is_refused_and_harms_nothing(running, web):
    code, log = running.once("--admin", "")
    assert code == 1 and "another agent" in log
    assert running.status()["state"] == "in_force"
    assert refusal(web) is None


def test_a_pod_is_enrolled_when_its_cgroup_comes_and_released_when_its_document_goes(running, web):
    late = os.path.join(running.world.cgroup, "late")
    pods = running.world.pods
    document = running.pod_document(pods[0])
    running.write("pods.yaml", *[running.pod_document(p) for p in pods[1:]],
                  dict(document, metadata=dict(document["metadata"], annotations=dict(
                      document["metadata"]["annotations"], **{"weir.dev/cgroup": f"{running.parent}/late"}))))
    running.wait_generation(2)
    assert running.pod_state("web") == "pending"
    assert "event=pod_pending" in running.text(running.log)
    os.mkdir(late)
    eventually(lambda: running.pod_state("web") == "enrolled")
    running.write("pods.yaml", *[running.pod_document(p) for p in pods[1:]])
    running.wait_generation(3)
    assert running.pod_state("web") is None
    assert "event=pod_released" in running.text(running.log)
    os.rmdir(late)


def test_a_cgroup_that_no_pod_names_is_held_and_then_refused(running):
    os.mkdir(os.path.join(running.world.cgroup, "stranger"))
    eventually(lambda: [c for c in running.status()["unclassified"]
                        if c["cgroup"].endswith("/stranger") and c["state"] == "refused"])
    lost = actor.Actor(running.world.pods[0].netns, os.path.join(running.world.cgroup, "stranger"))
    try:
        assert refusal(lost, running.world.pods[2].v4, 7000) == errno.EPERM
        assert running.ask("counters")[0]["deny_refused_cgroup"] >= 1
    finally:
        lost.close()


def test_uninstall_leaves_nothing_and_refuses_while_an_agent_runs(running, web, intruder):
    code, log = running.once("--uninstall")
    assert code == 1 and "another agent" in log
    assert refusal(intruder) == errno.EPERM
    running.end(signal.SIGKILL)
    code, log = running.once("--uninstall")
    assert code == 0 and "left=nothing" in log
    assert not os.path.exists(running.pins) and not os.path.exists(running.socket)
    assert refusal(intruder, running.world.pods[2].v4, 7000) is None
    code, log = running.once("--uninstall")
    assert code == 0


def test_a_bad_configuration_at_the_start_touches_nothing(agent):
    agent.write("bad.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: x, lables: {}}\n")
    code, log = agent.once()
    assert code == 1 and "bad.yaml:3:" in log and "labels" in log
    assert not os.path.exists(agent.pins)


def joined_pair(pod):
    a = pod.app()
    fds = a.call(streams.keep_pair)
    return a, fds


def test_sockets_are_joined_where_declared_and_turned_off_at_once(agent):
    web, intruder, _ = agent.world.pods
    declared, silent = agent.pod_document(web), agent.pod_document(intruder)
    declared["metadata"]["annotations"]["weir.dev/join"] = "on"
    agent.write("pods.yaml", declared, silent)
    agent.start()
    join = agent.ask("join")[0]
    assert join == agent.status()["join"] and join["mode"] == "auto"
    assert join["state"] == "on" and "passed" in (join["declared_both_ways"], join["any_to_sidecar"])
    if join["declared_both_ways"] != "passed":
        pytest.skip(join["declared_both_ways"])
    app, (c, s) = joined_pair(web)
    other, (oc, os_) = joined_pair(intruder)
    assert app.call(streams.echo, c, s, b"hello") and other.call(streams.echo, oc, os_, b"hello")
    join = agent.ask("join")[0]
    assert (join["sockets"], join["joined"]) == (2, 1)
    done = subprocess.run([WEIR, "join", "off", "--agent", agent.socket], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["state"] == "off by hand"
    began = agent.ask("counters")[0]["join_began"]
    for _ in range(3):
        assert app.call(streams.echo, c, s, b"plain") and app.call(streams.echo, s, c, b"plain")
    counters = agent.ask("counters")[0]
    assert counters["join_began"] == began and counters["join_off"] >= 1
    assert agent.ask("join")[0]["joined"] == 0
    assert agent.ask("join on")[0]["state"] == "on"
    assert app.call(streams.echo, c, s, b"again") and agent.ask("counters")[0]["join_began"] == began + 1
    # The configuration, without a restart; and adopted by the next agent.
    agent.write("agent.yaml", {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "agent"},
                               "spec": {"cgroup": agent.parent, "join": "off"}})
    eventually(lambda: agent.ask("join")[0]["state"] == "off by configuration")
    assert app.call(streams.echo, c, s, b"off") and agent.ask("counters")[0]["join_began"] == began + 1
    agent.write("agent.yaml", {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "agent"},
                               "spec": {"cgroup": agent.parent}})
    agent.end(signal.SIGKILL)
    agent.start()
    assert agent.ask("join")[0]["state"] == "on"
    assert app.call(streams.echo, c, s, b"adopted") and app.call(streams.echo, s, c, b"adopted")
