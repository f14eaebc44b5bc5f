# SPDX-License-Identifier: Apache-2.0
"""The agent under an API server, a fake one that misbehaves as told, over real pods in cgroups named as kubelet names them."""
import errno
import json
import os
import signal
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))

import actor  # noqa: E402
from agent import PATIENCE, SERVICE_IP, WEIR, eventually  # noqa: E402
from fakekube import Answer, FakeKube  # noqa: E402
from test_agent import refusal  # noqa: E402

NODE = "node-a"
WATCH_S = 3


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def slice_of(service, number, *addresses, ns="default"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{service}-x", "namespace": ns, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "tcp", "port": number, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses]}


def service(name, ip, port, ns="default"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": name}, "type": "ClusterIP",
                     "ports": [{"name": "tcp", "port": port, "targetPort": port, "protocol": "TCP"}]},
            "status": {"loadBalancer": {}}}


class Cluster:
    """Pods whose cgroups bear UIDs, and an API server that knows of them."""

    def __init__(self, world, agent):
        self.world, self.agent = world, agent
        self.api = FakeKube(agent.dir, absent=["TLSRoute", "BackendTLSPolicy", "AuthorizationPolicy"])
        agent.write("agent.yaml", {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "agent"},
                                   "spec": {"cgroup": agent.parent, "holdTime": "300ms"}})
        agent.more = ["--kubeconfig", self.api.kubeconfig(), "--node", NODE, "--kubernetes-watch", str(WATCH_S)]
        self.uids = {}
        self.api.put(namespace("default", **{"weir.dev/mode": "sidecar"}))

    def adopt(self, pod, style="cgroupfs", **extra):
        """Moves the pod's processes to where a kubelet would have made them, and tells the API server."""
        uid = str(uuid.uuid4())
        if style == "cgroupfs":
            below = f"burstable/pod{uid}"
            container = "0123456789abcdef" * 4
        else:
            below = f"kubepods-burstable.slice/kubepods-burstable-pod{uid.replace('-', '_')}.slice"
            container = f"cri-containerd-{'fedcba9876543210' * 4}.scope"
        self.uids[pod.name] = uid
        pod.cgroup = os.path.join(self.world.cgroup, below)
        os.makedirs(os.path.join(pod.cgroup, container))
        pod.app_sub = container
        with open(os.path.join(pod.cgroup, container, "cgroup.procs"), "w") as f:
            f.write(str(pod.holder.pid))
        self.api.put(self.document(pod, **extra))

    def document(self, pod, node=NODE, **extra):
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod.name, "namespace": "default", "uid": self.uids[pod.name],
                             "labels": {"app": pod.name, **extra.pop("labels", {})},
                             # A Pod's author does not say where it is.
                             "annotations": {"weir.dev/cgroup": "/", "weir.dev/netns": "/proc/1/ns/net", **extra.pop("annotations", {})}},
                "spec": {"nodeName": node, "serviceAccountName": pod.name, "containers": [{"name": "c", "image": "i"}], **extra},
                "status": {"phase": "Running", "podIP": pod.v4, "podIPs": [{"ip": pod.v4}, {"ip": pod.v6}],
                           "conditions": [{"type": "Ready", "status": "True"}]}}

    def state(self):
        return self.agent.status()["kubernetes"]

    def settled(self):
        """Nothing is left to build."""
        eventually(lambda: not self.state()["pending"] and self.agent.ask("ready")[0]["ready"])

    def app(self, i):
        return self.world.pods[i].app(self.world.pods[i].app_sub)


@pytest.fixture
def cluster(world, agent):
    for pod in world.pods:
        pod.stop_actors()
    c = Cluster(world, agent)
    for pod, style in zip(world.pods, ("cgroupfs", "systemd", "cgroupfs")):
        c.adopt(pod, style)
    try:
        yield c
    finally:
        c.api.stop()


@pytest.fixture
def running_cluster(cluster):
    c, pods = cluster, cluster.world.pods
    c.api.put(service("store", SERVICE_IP, 70), slice_of("store", 7000, pods[2].v4), c.agent.policy("store-allow-web", "store", "web"))
    c.agent.start()
    eventually(lambda: c.agent.status()["pods_enrolled"] == 3)
    store = c.app(2)
    store.call(actor.listen, pods[2].v4, 7000)
    c.web, c.intruder = c.app(0), c.app(1)
    return c


def test_a_cluster_is_in_force_and_its_changes_are(running_cluster):
    c = running_cluster
    assert refusal(c.web) is None
    assert refusal(c.intruder) == errno.EPERM
    c.api.put(c.agent.policy("store-allow-web", "store", "intruder"))
    eventually(lambda: refusal(c.intruder) is None)
    assert refusal(c.web) == errno.EPERM
    c.api.delete("NetworkPolicy", "default", "store-allow-web")
    eventually(lambda: refusal(c.web) is None)
    c.api.delete("Service", "default", "store")
    eventually(lambda: c.agent.status()["services"] == 0)
    pods = {p["name"]: p for p in c.agent.status()["pods"]}
    assert pods["default/web"]["cgroup"] == c.world.pods[0].cgroup and pods["default/web"]["verified"]
    assert pods["default/intruder"]["cgroup"] == c.world.pods[1].cgroup


def test_what_no_pod_here_uses_costs_no_map_write(running_cluster):
    c = running_cluster
    c.settled()
    c.api.put(namespace("elsewhere"), service("far", "10.96.9.9", 80, ns="elsewhere"), slice_of("far", 8080, "10.88.0.1", ns="elsewhere"))
    eventually(lambda: c.api.count("Service", "watch") and c.state()["objects"] >= 10)
    c.settled()
    before, events = c.agent.status(), c.state()["events"]
    for i in range(2, 30):
        c.api.put(slice_of("far", 8080, f"10.88.0.{i}", ns="elsewhere"))
    eventually(lambda: c.state()["events"] >= events + 28)
    after = c.agent.status()
    assert (after["map_puts"], after["map_deletes"]) == (before["map_puts"], before["map_deletes"])
    assert after["kubernetes"]["builds"] == before["kubernetes"]["builds"]
    # Called, it is used: from now on its endpoints are known here.
    pods = c.world.pods
    c.api.put(slice_of("far", 7000, pods[2].v4, ns="elsewhere"))
    c.app(2).call(actor.listen, pods[2].v4, 7001)
    c.api.put(slice_of("far", 7001, pods[2].v4, ns="elsewhere"))
    c.api.delete("NetworkPolicy", "default", "store-allow-web")
    c.app(0).call(actor.start, "10.96.9.9", 80)
    c.web.call(actor.close, c.web.call(actor.start, "10.96.9.9", 80))
    eventually(lambda: c.state()["services_called"] == 1)
    eventually(lambda: refusal(c.web, "10.96.9.9", 80) is None)


def test_the_server_away_changes_nothing_and_is_said_and_made_up_for(running_cluster):
    c = running_cluster
    c.api.stop()
    eventually(lambda: "event=kubernetes_away" in c.agent.text(c.agent.log))
    assert "effect=\"what is known stays in force\"" in c.agent.text(c.agent.log)
    assert refusal(c.web) is None and refusal(c.intruder) == errno.EPERM
    assert c.state()["why"]
    c.api.put(c.agent.policy("store-allow-web", "store", "intruder"))
    c.api.compact()  # and it does not remember where we were
    c.api.start()
    eventually(lambda: refusal(c.intruder) is None)
    assert refusal(c.web) == errno.EPERM
    eventually(lambda: "event=kubernetes_current" in c.agent.text(c.agent.log))
    eventually(lambda: c.state()["state"] == "current")


def test_an_agent_that_starts_while_the_server_is_away_keeps_what_is_pinned(running_cluster):
    c = running_cluster
    c.agent.end(signal.SIGKILL)
    c.api.stop()
    c.agent.start()
    assert c.agent.ask("ready")[0]["why"] == "the API server has not been read whole yet"
    assert refusal(c.web) is None and refusal(c.intruder) == errno.EPERM
    c.api.start()
    eventually(lambda: c.agent.status()["pods_enrolled"] == 3 and c.agent.ask("ready")[0]["ready"])
    assert refusal(c.web) is None and refusal(c.intruder) == errno.EPERM


def test_a_watch_that_expired_is_listed_anew_and_what_vanished_meanwhile_goes(running_cluster):
    c = running_cluster
    expired = c.state()["expired"]
    with c.api.lock:  # gone without an event
        c.api.objects["NetworkPolicy"].clear()
        c.api.version += 1
    c.api.compact()
    eventually(lambda: refusal(c.intruder) is None)
    assert c.state()["expired"] > expired


def test_a_half_dead_stream_is_given_up(running_cluster):
    c = running_cluster
    c.api.frozen = True
    c.api.put(c.agent.policy("store-allow-web", "store", "intruder"))
    # A watch lasts WATCH_S; ten seconds later it is dead.
    eventually(lambda: "no answer in time" in str(c.state()) or c.state()["failures"] > 0)
    c.api.frozen = False
    c.api.break_watches()
    eventually(lambda: refusal(c.intruder) is None)


def test_a_token_that_is_renewed_is_read_again(cluster):
    c = cluster
    token = os.path.join(c.agent.dir, "token")
    with open(token, "w") as f:
        f.write("first\n")
    c.api.kubeconfig(tokenFile="token")
    c.agent.start()
    eventually(lambda: c.agent.status()["pods_enrolled"] == 3)
    c.api.tokens = {"renewed"}
    with open(token, "w") as f:
        f.write("renewed\n")
    c.api.break_watches()
    c.api.put(service("store", SERVICE_IP, 70))
    eventually(lambda: c.agent.status()["services"] == 1)
    assert ("?", "401") in {(k, v) for k, v, _ in c.api.requests}
    assert "renewed" not in c.agent.text(c.agent.log) + str(c.agent.status())


def once(times, verb, word):
    """A fault that happens so often and then no more."""
    left = [times]

    def fault(kind, asked, query):
        if kind == "Service" and asked == verb and left[0] > 0:
            left[0] -= 1
            if isinstance(word, Answer):
                raise word
            return word
    return fault


FAULTS = [
    [("list", "truncate")], [("list", "cut")], [("list", "metadata last")], [("watch", "pieces")], [("watch", "break")], [("watch", "expire")],
    [("list", Answer(500, "Internal"))], [("list", Answer(429, "Slow", {"Retry-After": "1"}))], [("watch", Answer(503, "Busy"))],
    [("list", Answer(410, "Expired")), ("watch", "expire"), ("list", "cut"), ("watch", "break")],
]


def test_whatever_goes_wrong_the_cluster_is_known_in_the_end(running_cluster):
    c = running_cluster
    for i, faults in enumerate(FAULTS):
        print(faults)
        c.api.faults = [once(1, verb, word) for verb, word in faults]
        c.api.compact()  # all is listed anew
        c.api.put(service("b", f"10.96.1.{i}", 70))
        eventually(lambda: c.agent.status()["services"] == 2)
        c.api.delete("Service", "default", "b")
        eventually(lambda: c.agent.status()["services"] == 1)


def test_an_object_that_is_refused_is_left_out_alone_and_a_policy_denies(running_cluster):
    c = running_cluster
    bad = service("bad", "not an address", 70)
    c.api.put(bad)
    eventually(lambda: c.state()["objects_refused"] == 1)
    assert refusal(c.web) is None
    broken = c.agent.policy("store-allow-web", "store", "web")
    broken["spec"]["ingress"][0]["from"] = [{"ipBlock": {"cidr": "nonsense"}}]
    c.api.put(broken)
    eventually(lambda: refusal(c.web) == errno.EPERM)
    assert "object=NetworkPolicy/default/store-allow-web" in c.agent.text(c.agent.log)
    c.api.put(c.agent.policy("store-allow-web", "store", "web"))
    eventually(lambda: refusal(c.web) is None)


def test_pods_that_did_not_ask_are_left_alone(cluster):
    c = cluster
    pods = c.world.pods
    c.api.put(namespace("default"))
    c.api.put(c.document(pods[0], annotations={"weir.dev/mode": "sidecar"}))
    c.api.put(c.agent.policy("nobody", "intruder"), service("store", SERVICE_IP, 70), slice_of("store", 7000, pods[2].v4))
    c.agent.start()
    eventually(lambda: c.agent.status()["pods_enrolled"] == 1)
    assert {p["name"]: p["state"] for p in c.agent.status()["pods"]} == {
        "default/web": "enrolled", "default/intruder": "outside", "default/store": "outside"}
    c.app(1).call(actor.listen, pods[1].v4, 7000)
    assert refusal(c.app(2), pods[1].v4, 7000) is None  # no policy of weir's, and not held


@pytest.mark.parametrize("user, says", [
    ({"exec": {"command": "aws"}}, "users[].user.exec is not supported"),
    ({"username": "x", "password": "y"}, "users[].user.username is not supported"),
    ({"tokenFile": "nowhere"}, "nowhere: No such file"),
], ids=["exec", "password", "token-file"])
def test_credentials_that_cannot_be_used_are_refused_with_the_reason(cluster, user, says):
    cluster.api.kubeconfig(**user)
    code, log = cluster.agent.once()
    assert code == 1 and says in log


def route(parents, backends, **meta):
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "default", **meta},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": n, **more} for n, more in parents],
                     "rules": [{"backendRefs": [{"name": n, "port": 70, **more} for n, more in backends]}]}}


def told(c, parent=0, kind="HTTPRoute"):
    """What weir's entry for that parent says: type -> (status, reason, observedGeneration)."""
    status = (c.api.get(kind, "default", "r") or {}).get("status", {})
    ours = [p for p in status.get("parents", []) if p["controllerName"] == "weir.dev/mesh"]
    return {x["type"]: (x["status"], x["reason"], x["observedGeneration"]) for x in ours[parent]["conditions"]} if len(ours) > parent else {}


def test_the_holder_of_the_lease_tells_what_became_of_a_route(running_cluster):
    c = running_cluster
    ns = "weir-system"
    other = {"controllerName": "example.com/gw", "parentRef": {"name": "gw"}, "conditions": []}
    r = route([("store", {}), ("gone", {})], [("store", {})])
    r["status"] = {"parents": [other]}
    c.api.put(r)
    eventually(lambda: told(c) == {"Accepted": ("True", "Accepted", 1), "ResolvedRefs": ("True", "ResolvedRefs", 1)})
    assert told(c, 1)["Accepted"] == ("False", "NoMatchingParent", 1)
    assert other in c.api.get("HTTPRoute", "default", "r")["status"]["parents"]
    assert c.state()["writes_status"] and c.api.get("Lease", ns, "weir-status")["spec"]["holderIdentity"].startswith(NODE + "_")
    for backends, reason in (([("nobody", {})], "BackendNotFound"), ([("store", {"port": 99})], "BackendNotFound"),
                             ([("x", {"namespace": "elsewhere"})], "BackendNotFound"), ([("x", {"group": "g", "kind": "Other"})], "InvalidKind")):
        r["spec"] = route([("store", {})], backends)["spec"]
        r["status"] = c.api.get("HTTPRoute", "default", "r")["status"]
        generation = c.api.put(r)["metadata"]["generation"]
        eventually(lambda: told(c).get("ResolvedRefs") == ("False", reason, generation))
    # The decoder takes no route with such a backend: that is told as well, and then nothing more is written.
    eventually(lambda: told(c).get("Accepted", ("", "", 0))[1] == "UnsupportedValue")
    written = c.api.count("HTTPRoute", "patch/status")
    c.api.put(service("store", SERVICE_IP, 70, ns="default"))
    # Another one takes the Lease: it is let be.
    lease = c.api.get("Lease", ns, "weir-status")
    lease["spec"].update(holderIdentity="somebody", renewTime="2026-01-01T00:00:00.000000Z")
    c.api.put(lease)
    eventually(lambda: not c.state()["writes_status"])
    assert c.api.count("HTTPRoute", "patch/status") == written
    assert c.api.get("Lease", ns, "weir-status")["spec"]["holderIdentity"] == "somebody"


def test_a_grpc_routes_status_is_told_as_well(running_cluster):
    c = running_cluster
    r = {**route([("store", {}), ("gone", {})], [("store", {})]), "kind": "GRPCRoute"}
    c.api.put(r)
    eventually(lambda: told(c, 0, "GRPCRoute") == {"Accepted": ("True", "Accepted", 1), "ResolvedRefs": ("True", "ResolvedRefs", 1)})
    assert told(c, 1, "GRPCRoute")["Accepted"] == ("False", "NoMatchingParent", 1)
    r["spec"] = route([("store", {})], [("nobody", {})])["spec"]
    c.api.put({**r, "status": c.api.get("GRPCRoute", "default", "r")["status"]})
    eventually(lambda: told(c, 0, "GRPCRoute").get("ResolvedRefs") == ("False", "BackendNotFound", 2))
    assert c.api.count("HTTPRoute", "patch/status") == 0


def test_check_tells_what_the_cluster_lets_it_do(tmp_path):
    api = FakeKube(str(tmp_path), absent=["TLSRoute"])
    try:
        api.reviews = lambda a: (a["resource"], a["verb"]) != ("networkpolicies", "watch")
        def check():
            done = subprocess.run([WEIR, "check", "-o", "json", "--kubeconfig", api.kubeconfig()], capture_output=True, text=True, timeout=PATIENCE)
            return done.returncode, {x["what"]: x for x in json.loads(done.stdout)["checks"]}
        code, found = check()
        assert code == 1 and found["API server"]["found"].startswith("v1.36.3 at https://127.0.0.1:")
        assert found["kind Service"]["state"] == "ok"
        assert found["kind NetworkPolicy"]["state"] == "FAIL" and found["kind NetworkPolicy"]["found"] == "may not watch"
        assert found["kind TLSRoute"]["state"] == "warn" and "CRDs" in found["kind TLSRoute"]["fix"]
        api.tokens = set()
        assert "the credentials are refused" in check()[1]["API server"]["found"]
    finally:
        api.stop()


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: int(v.split()[0]) for k, _, v in (line.partition(":") for line in f) if k in ("VmRSS", "VmHWM")}


def test_ten_thousand_services_cost_little(cluster):
    c = cluster
    def many():
        for i in range(10000):
            ns = f"team-{i // 20}"
            if i % 20 == 0:
                yield namespace(ns)
            yield service(f"svc-{i}", f"10.{100 + i // 60000}.{i // 250}.{i % 250 + 1}", 80, ns=ns)
            yield slice_of(f"svc-{i}", 8080, *(f"10.{120 + k}.{i // 250}.{i % 250 + 1}" for k in range(3)), ns=ns)
    c.api.preload(many())
    c.agent.start()
    eventually(lambda: c.state()["state"] == "current" and c.agent.status()["pods_enrolled"] == 3)
    used = rss(c.agent.p.pid)
    print(f"10,000 services: {used}, {c.state()['bytes']} bytes of documents, built in {c.state()['build_us']} us")
    assert c.state()["objects"] > 20000
    assert used["VmRSS"] <= 40 * 1024
