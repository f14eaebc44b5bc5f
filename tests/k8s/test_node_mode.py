# SPDX-License-Identifier: Apache-2.0
"""Pods meshed with nothing added to them: traffic, routes and policies changed by kubectl while it flows."""

import weir
from conftest import Load, call, echo

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: store, namespace: {namespace}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: store}}]
  rules:
  - filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-route, value: {value}}}]}}
    backendRefs: [{{name: store, port: 80}}]
"""

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: store, namespace: {namespace}}}
spec:
  podSelector: {{matchLabels: {{app: store}}}}
  policyTypes: [Ingress]
  ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {caller}}}}}}}]}}]
"""


def works(c, ns, who, url="http://store/", timeout="3s"):
    return "StatusCode=200" in call(c, ns, who, url, f"--timeout={timeout}", check=False)


def test_a_pod_is_served_without_any_change_to_it(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store", replicas=2)
    pods = cluster.get("pods", "-n", ns)["items"]
    assert all(len(p["spec"]["containers"]) == 1 and not p["spec"].get("initContainers") for p in pods)
    said = call(cluster, ns, "web", "http://store/")
    assert "StatusCode=200" in said and "Hostname=store-" in said, said
    # The worker's count comes with its next answer to the agent's PING.
    cluster.until("the worker's count of it",
                  lambda: any(t["state"] == "running" and t["requests"] > 0 for t in weir.status(cluster)["tenants"]), timeout=20)


def test_a_route_takes_effect_on_live_traffic(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store")
    load = Load(cluster, ns, "web", "http://store/", count=200, qps=10)
    for value in ("one", "two"):
        cluster.apply(ROUTE.format(namespace=ns, value=value))
        cluster.until("the route", lambda: f"X-Route:{value}" in call(cluster, ns, "web", "http://store/"))
    cluster.kubectl("delete", "httproute", "store", "-n", ns)
    cluster.until("no route", lambda: "X-Route" not in call(cluster, ns, "web", "http://store/"))
    assert load.done() == (200, "")


def test_a_policy_takes_effect_on_live_traffic(cluster, namespace):
    ns = namespace("node")
    for name in ("web", "other", "store"):
        echo(cluster, ns, name)
    cluster.until("a call of anybody's", lambda: works(cluster, ns, "other"))
    cluster.apply(POLICY.format(namespace=ns, caller="web"))
    cluster.until("the refusal", lambda: not works(cluster, ns, "other"))
    assert works(cluster, ns, "web")
    cluster.apply(POLICY.format(namespace=ns, caller="other"))
    cluster.until("the other's call", lambda: works(cluster, ns, "other"))
    assert not works(cluster, ns, "web")


def test_plain_pods_call_and_are_called(cluster, namespace):
    meshed, plain = namespace("node"), namespace()
    echo(cluster, meshed, "store")
    echo(cluster, plain, "store")
    assert works(cluster, plain, "store", f"http://store.{meshed}/")
    assert works(cluster, meshed, "store", f"http://store.{plain}/")


def test_a_rollout_under_load_fails_no_request(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store", replicas=2)
    load = Load(cluster, ns, "web", "http://store/", count=400, qps=20)
    cluster.kubectl("rollout", "restart", "deployment/store", "-n", ns)
    cluster.kubectl("rollout", "status", "deployment/store", "-n", ns, "--timeout=120s", timeout=150)
    assert load.done() == (400, "")


def test_the_api_server_may_go_and_come_back(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store")
    load = Load(cluster, ns, "web", "http://store/", count=100, qps=20)
    assert load.done() == (100, "")
    cluster.restart_api()
    cluster.apply(ROUTE.format(namespace=ns, value="after"))
    cluster.until("a change after it", lambda: "X-Route:after" in call(cluster, ns, "web", "http://store/", check=False))
    cluster.until("the agent", lambda: weir.status(cluster)["kubernetes"]["state"] == "current")


def test_an_upgrade_of_the_agent_under_load_fails_no_request(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store")
    before = weir.agent_pid(cluster)
    load = Load(cluster, ns, "web", "http://store/", count=500, qps=20)
    cluster.kubectl("rollout", "restart", "daemonset/weir-agent", "-n", weir.NAMESPACE)
    weir.ready(cluster)
    assert load.done() == (500, "")
    cluster.until("the old agent's end", lambda: weir.agent_pid(cluster) != before)
    cluster.apply(ROUTE.format(namespace=ns, value="upgraded"))
    cluster.until("a change after it", lambda: "X-Route:upgraded" in call(cluster, ns, "web", "http://store/", check=False))
