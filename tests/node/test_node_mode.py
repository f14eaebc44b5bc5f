# SPDX-License-Identifier: Apache-2.0
"""Node mode: a worker for each identity, started by the first connection; modes that change on running pods; what a
worker's death costs its neighbours; nothing left when pods go."""
import os
import signal
import subprocess
import time

import pytest

import nodemode
import pods

SPIFFE = "spiffe://cluster.local/ns/default/sa/"


@pytest.fixture(scope="module")
def m():
    """web, api: node mode; plain: the kernel alone; side: a sidecar. The helper is a process of its own."""
    with pods.Pods("nodemode") as the_pods:
        mesh = nodemode.NodeMesh(the_pods)
        mesh.agent_spec = {"tenantIdleTime": "4s"}
        for name, mode in (("web", "node"), ("api", "node"), ("plain", "kernel"), ("side", "sidecar")):
            mesh.pod(name, mode)
        mesh.helper_start()
        mesh.up()
        mesh.sidecar_start(the_pods.pods["side"], "side")
        yield mesh


def wait(what, timeout=30):
    return pods.wait_for(what, timeout=timeout, what="it")


def pods_of(m):
    return {p["name"].removeprefix("default/") for p in m.agent_status()["pods"]}


def gone(m, name):
    m.remove(name)
    m.publish()
    wait(lambda: name not in pods_of(m))
    m.pods.remove(name)


def threads(pid, uid, limit):
    """A worker may have so many, "SOFT:"; as its own user, since other users' limits take a capability. Before: "SOFT:"."""
    me = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "prlimit", f"--pid={pid}"]
    was = subprocess.run([*me, "--nproc", "--noheadings", "--raw", "--output=SOFT"], capture_output=True, text=True, check=True)
    subprocess.run([*me, f"--nproc={limit}"], check=True)
    return was.stdout.strip() + ":"


def process(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def client_of(answer):
    fields = answer["headers"].get("x-forwarded-client-cert", "")
    return dict(f.split("=", 1) for f in fields.split(";") if "=" in f).get("URI")


def test_the_first_connection_starts_a_worker_and_is_not_lost(m):
    before = m.tenants()
    assert {n: (t["state"], t["pid"]) for n, t in before.items()} == {"web": ("idle", 0), "api": ("idle", 0)}
    answer = m.curl("web", "api")
    assert (answer["server"], client_of(answer)) == ("api", SPIFFE + "web")
    after = m.tenants()
    assert {n: (t["state"], t["starts"], t["restarts"]) for n, t in after.items()} == {
        "web": ("running", 1, 0), "api": ("running", 1, 0)}


def test_a_worker_has_a_user_of_its_own_and_no_privilege(m):
    m.curl("web", "api")
    workers = m.tenants()
    assert len({t["uid"] for t in workers.values()}) == 2
    for t in workers.values():
        s = process(t["pid"])
        assert s["Uid"].split() == s["Gid"].split() == [str(t["uid"])] * 4 and t["uid"] >= 2000000000
        assert int(s["CapEff"], 16) == int(s["CapPrm"], 16) == 0 and s["Groups"].strip() == ""
        assert (s["NoNewPrivs"], s["Seccomp"]) == ("1", "2")
        # Its key was made in it and is in no file: none is open, not even one that was handed over.
        files = [os.readlink(f"/proc/{t['pid']}/fd/{fd}") for fd in os.listdir(f"/proc/{t['pid']}/fd")]
        assert [f for f in files if f.startswith("/") and not f.startswith("/dev/") and "/log/helper." not in f] == [
            "/memfd:weir-documents (deleted)"]


@pytest.mark.parametrize("client, server", [("web", "side"), ("side", "api"), ("web", "api"), ("web", "plain"), ("plain", "api")])
def test_every_pair_of_modes_speaks_and_proves_what_it_can(m, client, server):
    answer = m.curl(client, server)
    assert answer["server"] == server
    meshed = "plain" not in (client, server)
    assert client_of(answer) == (SPIFFE + client if meshed else None)


def test_servers_see_the_pods_own_address(m):
    assert m.curl("web", "plain")["from"].endswith(m.pods.pods["web"].ip)
    assert m.curl("web", "side")["headers"].get("x-forwarded-for", "") in ("", m.pods.pods["web"].ip)


def test_a_pod_that_calls_its_own_service_passes_its_own_inbound_side(m):
    answer = m.curl("api", "api")
    assert (answer["server"], client_of(answer)) == ("api", SPIFFE + "api")


def test_modes_change_on_running_pods_and_no_request_fails(m):
    with m.load("plain", "api") as plain, m.load("web", "plain") as meshed:
        for name, mode, seen in (("api", "kernel", None), ("plain", "node", "served"), ("api", "node", "served"),
                                 ("plain", "kernel", None), ("api", "off", None), ("api", "node", "served")):
            m.modes[name] = mode
            m.publish()
            wait(lambda: m.state(name)["mode"] == mode and m.state(name).get("node_mode") == seen)
            wait(lambda: m.state(name)["state"] == ("outside" if mode == "off" else "enrolled"))
            time.sleep(0.2)
    assert plain.calls > 100 and plain.failures == []
    assert meshed.calls > 100 and meshed.failures == []
    assert client_of(m.curl("web", "api")) == SPIFFE + "web"


def test_off_takes_even_policy_away_and_kernel_brings_it_back(m):
    m.policies = [{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                   "metadata": {"name": "closed", "namespace": "default"},
                   "spec": {"podSelector": {"matchLabels": {"app": "plain"}}, "policyTypes": ["Ingress"]}}]
    m.publish()

    def reaches():
        return m.pods.pods["side"].run(["curl", "-s", "--max-time", "2", f"http://{m.pods.pods['plain'].ip}:8080/"]).returncode == 0
    try:
        wait(lambda: not reaches())
        m.modes["plain"] = "off"
        m.publish()
        # Who calls is still asked: the caller's side knows the receiver's policy. From outside the mesh nobody is.
        wait(lambda: m.state("plain")["state"] == "outside")
        wait(lambda: m.outside("plain"))
    finally:
        m.policies, m.modes["plain"] = [], "kernel"
        m.publish()
        wait(lambda: m.state("plain")["state"] == "enrolled")


def test_a_killed_worker_disturbs_no_neighbour_and_is_there_again(m):
    m.curl("web", "api")
    with m.load("plain", "api") as neighbour:
        for _ in range(3):
            m.curl("web", "plain")
            pid = m.tenants()["web"]["pid"]
            os.kill(pid, signal.SIGKILL)
            wait(lambda: m.tenants()["web"]["pid"] != pid)
            # The pause after repeated deaths: what calls meanwhile waits in the listener.
            assert m.curl("web", "plain")["server"] == "plain"
    assert neighbour.calls > 50 and neighbour.failures == []
    assert m.tenants()["web"]["restarts"] == 3 and m.tenants()["api"]["restarts"] == 0


def test_replacing_the_program_refuses_no_connection(m):
    m.curl("plain", "api")
    with m.load("plain", "api") as load:
        before = wait(lambda: m.tenants()["api"]["pid"])
        time.sleep(0.3)
        assert '"found":true' in m.agent_ask("replace default/api")
        wait(lambda: m.tenants()["api"]["pid"] not in (0, before))
        wait(lambda: not os.path.exists(f"/proc/{before}"))
        time.sleep(0.3)
    assert load.calls > 20 and load.failures == []
    assert '"found":false' in m.agent_ask("replace default/nobody")


def test_a_worker_that_finishes_is_shown_until_it_has(m):
    m.curl("plain", "api")
    before = wait(lambda: m.tenants()["api"]["pid"])
    assert m.tenants()["api"]["draining"] == []
    os.kill(before, signal.SIGSTOP)  # so that it is seen
    try:
        m.agent_ask("replace default/api")
        wait(lambda: [d["pid"] for d in m.tenants()["api"]["draining"]] == [before])
        assert m.tenants()["api"]["pid"] not in (0, before)
    finally:
        os.kill(before, signal.SIGCONT)
    wait(lambda: m.tenants()["api"]["draining"] == [])
    assert not os.path.exists(f"/proc/{before}")


def test_a_new_pod_of_an_identity_that_runs_is_served_at_once(m):
    m.curl("plain", "api")
    starts = m.tenants()["api"]["starts"]
    m.pod("another", "node", account="api")
    try:
        m.publish()
        wait(lambda: isinstance(m.curl("plain", "another"), dict))
        assert "tenant_failed" not in m.agent_log() and m.tenants()["api"]["starts"] == starts
    finally:
        gone(m, "another")


def test_a_pod_that_its_worker_cannot_serve_is_said_and_tried_again(m):
    m.curl("plain", "api")
    pid, uid = (m.tenants()["api"][k] for k in ("pid", "uid"))
    before = threads(pid, uid, "1:")  # a pod needs one
    m.pod("late", "node", account="api")
    try:
        m.publish()
        wait(lambda: "late" in pods_of(m) and "could not serve" in m.state("late")["node_mode"])
        assert m.agent_log().count("what=default/late") == 1
        threads(pid, uid, before)
        wait(lambda: m.state("late")["node_mode"] == "served")
        assert m.curl("plain", "late")["server"] == "late" and m.tenants()["api"]["pid"] == pid
    finally:
        gone(m, "late")


def test_an_idle_worker_ends_and_the_next_connection_starts_one(m):
    m.curl("plain", "api")
    starts = m.tenants()["api"]["starts"]
    wait(lambda: m.tenants()["api"]["state"] == "idle")
    assert m.tenants()["api"]["pid"] == 0
    assert m.curl("plain", "api")["server"] == "api"
    assert m.tenants()["api"]["starts"] == starts + 1


def test_a_new_agent_goes_on_with_the_same_workers_and_nothing_fails(m):
    m.curl("plain", "api")
    with m.load("plain", "api") as load:
        pid = m.tenants()["api"]["pid"]
        m.agent_kill()
        time.sleep(0.3)
        m.agent_again()
        assert m.tenants()["api"]["pid"] == pid
        time.sleep(0.3)
    assert load.calls > 50 and load.failures == []


def test_pods_come_and_go_under_load_and_leave_nothing(m):
    m.curl("plain", "api")
    before = m.leftovers()
    with m.load("plain", "api") as load:
        m.churn(rounds=1, at_once=3)
    assert load.failures == []
    wait(lambda: m.leftovers() == before, timeout=60)
