# SPDX-License-Identifier: Apache-2.0
"""weir explain and weir flows: what they say is what happens."""
import errno
import json
import subprocess

import pytest

import actor
from agent import PATIENCE, SERVICE_IP, WEIR, eventually


def explain(running, *words):
    code, out, err = running.cli("explain", "-o", "json", *words)
    assert code == 0, err
    return json.loads(out)


def test_explain_names_the_rule_that_lets_a_caller_in(running):
    x = explain(running, "default/web", "default/store:70")
    assert x["verdict"] == "allow"
    assert x["destination"]["service"] == "default/store" and x["destination"]["ip"] == SERVICE_IP
    assert x["connect"]["ip"] == running.world.pods[2].v4 and x["connect"]["port"] == 7000
    assert not x["connect"]["steered"]
    (hop,) = x["hops"]
    assert hop["pod"] == "default/store" and hop["port"] == 7000
    assert hop["egress"]["isolated"] is False and hop["ingress"]["isolated"] is True
    assert hop["ingress"]["policy"] == "default/store-allow-web"
    (rule,) = hop["ingress"]["rules"]
    assert rule["decides"] and rule["peer"] == "default/web" and rule["action"] == "allow"


def test_explain_names_the_policy_that_refuses_and_the_rules_passed(running):
    x = explain(running, "default/intruder", f"{SERVICE_IP}:70")
    assert x["verdict"] == "deny"
    assert x["connect"]["reason"] == "deny_ingress" and x["connect"]["policy"] == "default/store-allow-web"
    ingress = x["hops"][0]["ingress"]
    assert ingress["verdict"] == "deny" and ingress["rule"] == 0
    assert [r["decides"] for r in ingress["rules"]] == [False]


def test_every_way_to_name_a_side_is_the_same_flow(running):
    web, store = running.world.pods[0], running.world.pods[2]
    for source in ("default/web", web.v4):
        for to in ("default/store:70", "store:70", "store.default:70", "store.default.svc.cluster.local:70",
                   f"{SERVICE_IP}:70"):
            assert explain(running, source, to)["hops"][0]["ingress"]["rule"] == 1, (source, to)
    x = explain(running, web.v6, f"[{store.v6}]:7000")
    assert x["source"]["pod"] == "default/web" and x["hops"][0]["pod"] == "default/store" and x["verdict"] == "allow"
    # A pod by name, at a port of its own; the service of that name has no such port.
    assert explain(running, "default/intruder", "default/store:7000")["verdict"] == "deny"
    # An address nobody knows is not in any identity set.
    x = explain(running, "10.200.0.1", f"{store.v4}:7000")
    assert x["verdict"] == "deny" and not x["source"]["on_this_node"] and "egress" not in x["hops"][0]
    assert explain(running, "default/web", f"{store.v4}:53", "--proto", "udp")["verdict"] == "allow"


def test_explain_agrees_with_what_connect_does(running):
    clients = {p.name: p.app() for p in running.world.pods[:2]}
    for name, client in clients.items():
        try:
            client.call(actor.connect, SERVICE_IP, 70)
            happened = "allow"
        except OSError as e:
            assert e.errno == errno.EPERM
            happened = "deny"
        assert explain(running, f"default/{name}", f"{SERVICE_IP}:70")["verdict"] == happened


@pytest.mark.parametrize("source, to", [("default/nobody", "store:70"), ("web", "store:70"), ("default/web", "store"),
                                        ("default/web", "nothing:70"), ("default/web", "store:71"),
                                        ("default/web", "store:70000")])
def test_a_question_without_an_answer_says_why(running, source, to):
    code, out, err = running.cli("explain", source, to)
    assert code == 1 and out == "" and err.startswith("weir explain: ")


def test_the_text_reads_top_down(running):
    code, out, _ = running.cli("explain", "default/intruder", "store:70")
    assert code == 0
    assert "connect  refused: Operation not permitted (deny_ingress) default/store-allow-web" in out
    assert "no rule allows it: default/store-allow-web isolates the pod" in out
    assert out.splitlines()[-1] == "verdict  deny"


def call(client):
    try:
        client.call(actor.close, client.call(actor.connect, SERVICE_IP, 70))
    except OSError:
        pass


def test_flows_filters_by_pod_verdict_event_time_and_number(running):
    web, intruder = running.world.pods[0].app(), running.world.pods[1].app()
    for _ in range(3):
        call(web)
        call(intruder)

    def flows(*words):
        code, out, err = running.cli("flows", "-o", "json", *words)
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    eventually(lambda: len(flows("--verdict", "deny")) == 3 and len(flows("--event", "close")) >= 3)
    denied = flows("--verdict", "deny")
    assert {f["source"] for f in denied} == {"default/intruder"}
    assert all("default/web" in (f.get("source"), f.get("destination")) for f in flows("--pod", "default/web"))
    assert flows("--pod", "default/web") and not flows("--pod", "default/web", "--verdict", "deny")
    assert flows("--verdict", "deny", "--last", "2") == denied[1:]
    assert len(flows("--since", "1h")) == len(flows())
    assert not flows("--since", "2100-01-01T00:00:00Z")
    assert denied[0]["time"] in running.cli("flows", "--verdict", "deny")[1]
    store = running.world.pods[2].v4
    for words, of in ((["--policy", "default/store-allow-web", "--verdict", "deny"], denied), (["--reason", "deny_ingress"], denied),
                      (["--ip", running.world.pods[1].v4, "--port", "7000"], flows("--pod", "default/intruder")),
                      (["--port", "7001"], []), (["--policy", "default/none"], []), (["--service", "default/other"], [])):
        assert flows(*words) == of, words
    assert {f["direction"] for f in flows("--direction", "egress")} == {"egress"}
    assert flows("--service", "default/store") == flows("--ip", SERVICE_IP) == flows("--port", "70") != []
    assert all(f["destination_ip"] == store for f in flows("--port", "70"))
    both = flows("--direction", "egress", "--event", "close", "--pod", "default/web")[0]
    assert both["source_identity"].startswith("default/web#") and both["destination_identity"].startswith("default/store#")
    for bad in (["--since", "yesterday"], ["--last", "0"], ["--last", "x"]):
        assert running.cli("flows", *bad)[0] == 2


def test_flows_follow_prints_the_last_and_then_each_as_it_comes(running):
    intruder = running.world.pods[1].app()
    for _ in range(3):
        call(intruder)
    eventually(lambda: len(running.cli("flows", "--verdict", "deny")[1].splitlines()) == 3)
    p = subprocess.Popen([WEIR, "flows", "--agent", running.socket, "-f", "--verdict", "deny", "--last", "1"],
                         stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    try:
        assert "default/intruder" in p.stdout.readline()
        call(intruder)
        assert "verdict=deny" in p.stdout.readline()
        running.end(9)
        assert p.stdout.read() == ""
        assert p.wait(PATIENCE) in (0, 1)
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


L7 = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "default"},
     "spec": {"clusterIP": "10.96.0.77", "ports": [{"name": "http", "port": 80}]}},
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "api", "namespace": "default"},
     "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "api"}], "rules": [
         {"name": "two", "matches": [{"headers": [{"name": "x-version", "value": "2"}]}],
          "backendRefs": [{"name": "api", "port": 80}]},
         {"name": "rest", "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}]}},
]


def test_a_request_is_explained_down_to_its_rule(running):
    running.write("l7.yaml", *L7)
    ask = ["default/web", "api:80", "GET", "http://api/x"]
    eventually(lambda: running.cli("explain", *ask)[0] == 0)
    x = explain(running, *ask)
    assert x["destination"]["l7"] is True
    assert x["request"]["decision"]["rule"] == "rest" and x["request"]["answer"] == "a redirect"
    assert [p["why"] for p in x["request"]["passed"]] == ["there is no header x-version"]
    x = explain(running, *ask, "-H", "X-Version: 2", "-H", "a: b")
    assert x["request"]["decision"]["rule"] == "two" and x["request"]["client"] == "default"
    code, out, _ = running.cli("explain", *ask)
    assert code == 0 and "to       10.96.0.77 port 80 tcp" in out
    assert "decision  HTTPRoute default/api rule rest" in out and out.index("verdict") < out.index("decision")
    assert "request" not in explain(running, "default/web", "api:80")
    for words, why in ((["default/web", "store:70", "GET", "http://store/"], "not HTTP to weir"),
                       (["default/web", running.world.pods[2].v4 + ":7000", "GET", "http://store/"], "no Service"),
                       ([*ask[:3], "api/x"], "http://")):
        code, out, err = running.cli("explain", *words)
        assert code == 1 and why in err, (words, out, err)
    for usage in (ask[:3], [*ask, "more"], [*ask[:2], "-H", "a: b"]):
        assert running.cli("explain", *usage)[0] == 2
