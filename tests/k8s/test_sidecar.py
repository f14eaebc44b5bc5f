# SPDX-License-Identifier: Apache-2.0
"""Pods with the sidecar that the webhook puts in."""

import re

import weir
from conftest import Load, call, echo
from test_node_mode import ROUTE


def proxies(c, namespace):
    """/proc/PID/status of each sidecar of the namespace, and of each container's first process of its own."""
    ids = [s["containerID"].rpartition("/")[2] for p in c.get("pods", "-n", namespace)["items"] for s in p["status"]["initContainerStatuses"]
           if s["name"] == "weir-proxy"]
    for i in ids:
        pid = c.machine.run(["sh", "-c", f"cat /sys/fs/cgroup/pids/kubepods/*/pod*/{i}/cgroup.procs /sys/fs/cgroup/kubepods/*/pod*/{i}/cgroup.procs 2>/dev/null"],
                            check=False).stdout.split()[0]
        yield c.machine.run(["cat", f"/proc/{pid}/status"]).stdout


def test_the_sidecar_is_put_in_and_has_no_privilege(cluster, namespace):
    ns = namespace("sidecar")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store")
    said = call(cluster, ns, "web", "http://store/")
    assert "StatusCode=200" in said and "X-Request-Id" in said, said
    statuses = list(proxies(cluster, ns))
    assert len(statuses) == 2
    for text in statuses:
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert re.search(rf"^{field}:\s+0+$", text, re.M), text
        assert not re.search(r"^[UG]id:.*\b0\b", text, re.M), text
        assert re.search(r"^NoNewPrivs:\s+1$", text, re.M) and re.search(r"^Seccomp:\s+2$", text, re.M), text


def test_the_door_is_the_sidecar_s_alone(cluster, namespace):
    ns = namespace("sidecar")
    echo(cluster, ns, "web")
    said = call(cluster, ns, "web", "tcp://127.0.0.1:15012", "--timeout=3s", check=False)
    assert "StatusCode=200" not in said, said


def test_routes_and_a_rollout_act_on_live_traffic(cluster, namespace):
    ns = namespace("sidecar")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store", replicas=2)
    load = Load(cluster, ns, "web", "http://store/", count=500, qps=20)
    cluster.apply(ROUTE.format(namespace=ns, value="one"))
    cluster.until("the route", lambda: "X-Route:one" in call(cluster, ns, "web", "http://store/"))
    cluster.kubectl("rollout", "restart", "deployment/store", "-n", ns)
    cluster.kubectl("rollout", "status", "deployment/store", "-n", ns, "--timeout=120s", timeout=150)
    assert load.done() == (500, "")


def test_each_mode_speaks_to_each_other(cluster, namespace):
    modes = {mode or "none": namespace(mode) for mode in ("sidecar", "node", "kernel", "")}
    for ns in modes.values():
        echo(cluster, ns, "store")
    for a, here in modes.items():
        for b, there in modes.items():
            said = call(cluster, here, "store", f"http://store.{there}/", "--timeout=5s", check=False)
            assert "StatusCode=200" in said, (a, b, said)


def test_put_in_again_it_injects_at_once(cluster, namespace):
    """Each `weir install` has a new certificate, which the webhook must not learn of only when the kubelet brings it."""
    ns = namespace("sidecar")
    cluster.until("the service account", lambda: "default" in cluster.kubectl("get", "serviceaccounts", "-n", ns, "-o", "name"))
    weir.install(cluster, "sidecar")
    cluster.until("an injected Pod", lambda: "weir-proxy" in cluster.kubectl("run", "pod", "-n", ns, "--image=x", "--dry-run=server", "-o", "json"),
                  timeout=10)
