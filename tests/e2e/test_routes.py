# SPDX-License-Identifier: Apache-2.0
"""weir routes: what it says of a request, from files and of a running proxy, is what the proxy does with it."""

import json

import ports
import pytest

from backends import Site
from proxies import curl, weir

CONFIG = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: weir
  listeners:
    - {{name: http, port: {port}, protocol: HTTP}}
---
apiVersion: weir.dev/v1alpha1
kind: Proxy
spec: {{admin: "127.0.0.1:0", workers: 1}}
{services}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: main}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
    - name: version
      matches: [{{path: {{value: /headers}}, headers: [{{name: x-version, value: b}}]}}]
      backendRefs: [{{name: b, port: 80}}]
    - name: query
      matches: [{{path: {{value: /headers}}, queryParams: [{{name: to, type: RegularExpression, value: "[bc]"}}], method: GET}}]
      backendRefs: [{{name: b, port: 80}}]
    - name: plain
      matches: [{{path: {{value: /headers}}}}]
      backendRefs: [{{name: a, port: 80}}]
    - name: moved
      matches: [{{path: {{type: Exact, value: /old}}}}]
      filters: [{{type: RequestRedirect, requestRedirect: {{hostname: new.example}}}}]
    - name: nowhere
      matches: [{{path: {{value: /nowhere}}}}]
      backendRefs: [{{name: gone, port: 80}}]
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  ports: [{{name: http, port: 80}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
"""
ASKED = [  # path, headers, rule, what the client gets
    ("/headers", [], "plain", "a"), ("/headers/x", ["x-version: a"], "plain", "a"),
    ("/headers", ["X-Version: b"], "version", "b"), ("/headers?to=c", [], "query", "b"),
    ("/headers?to=d", [], "plain", "a"), ("/./headers", [], "plain", "a"), ("/old", [], "moved", 302),
    ("/old/x", [], None, 404), ("/nowhere", [], "nowhere", 500), ("/", [], None, 404),
]


@pytest.fixture
def world(tmp_path, proxy):
    class World:
        port = ports.free_port()
        sites = {name: Site(name) for name in "ab"}
        config = tmp_path / "gateway.yaml"
    World.config.write_text(CONFIG.format(port=World.port, services="".join(
        SERVICE.format(name=n, port=s.port) for n, s in World.sites.items())))
    World.proxy = proxy("--config", World.config)
    World.admin = f"127.0.0.1:{World.proxy.admin}"
    yield World
    for s in World.sites.values():
        s.close()


def test_what_is_said_is_what_is_done(world):
    for path, headers, rule, got in ASKED:
        url = f"http://127.0.0.1:{world.port}{path}"
        flags = [x for h in headers for x in ("-H", h)]
        answers = [weir("routes", *where, "--try", f"GET {url}", *flags, "-o", "json")
                   for where in (["--config", world.config], ["--admin", world.admin])]
        assert [a.returncode for a in answers] == [0, 0], answers
        said, live = (json.loads(a.stdout) for a in answers)
        assert said == live
        assert (said["decision"] or {}).get("rule") == rule, (path, said)
        done = curl("-o", "-", "-w", "%{stderr}%{http_code}", "--path-as-is", *flags, url)
        if isinstance(got, int):
            assert done.stderr == str(got).encode(), (path, done)
        else:
            assert json.loads(done.stdout)["name"] == got, path


def test_the_text_is_for_people(world):
    url = f"http://127.0.0.1:{world.port}/headers?to=x"
    done = weir("routes", "-c", world.config, "-t", f"POST {url}")
    assert done.returncode == 0 and done.stdout.splitlines() == [
        f"request   POST 127.0.0.1:{world.port} /headers?to=x",
        "comes to  Gateway default/edge/http",
        "passed    HTTPRoute default/main rule moved (* Exact /old): path is not Exact /old",
        "passed    HTTPRoute default/main rule query (* GET PathPrefix /headers query to~\"[bc]\"): method is not GET",
        "passed    HTTPRoute default/main rule version (* PathPrefix /headers header x-version=\"b\"): "
        "there is no header x-version",
        "decision  HTTPRoute default/main rule plain (* PathPrefix /headers) at "
        f"{world.config}:51:7",
        "          -> default/a:80",
        "answer    of a backend",
        "read      path, method, headers x-version",
    ], done.stdout
    listed = weir("routes", "--admin", world.admin)
    assert listed.returncode == 0 and listed.stdout == weir("routes", "--config", world.config).stdout
    lines = listed.stdout.splitlines()
    assert lines[0] == "Gateway default/edge/http" and len(lines) == 6
    assert lines[1] == "  * Exact /old; RequestRedirect  [HTTPRoute default/main rule moved]"
    assert lines[-2:] == ["  * PathPrefix /headers -> default/a:80  [HTTPRoute default/main rule plain]",
                          "  * PathPrefix /nowhere -> default/gone:80 (not there)  [HTTPRoute default/main rule nowhere]"]
    assert len(json.loads(weir("routes", "--admin", world.admin, "-o", "json").stdout)["routes"]) == 5


@pytest.mark.parametrize("args, code, said", [
    (["--try", "GET"], 2, "METHOD URL"), (["--try", "GET http://a/ x"], 2, "METHOD URL"),
    (["-H", "a: b"], 2, "-H goes with --try"), (["--try", "GET http://a/", "-H", "nonsense"], 2, "NAME: VALUE"),
    (["--admin", "127.0.0.1:1"], 2, "not both"), (["stray"], 2, "unexpected"), (["-o", "xml"], 2, "text or json"),
    (["--try", "GET http://nobody.example:81/"], 1, "no Gateway listener"),
    (["--try", "GET gopher://x/"], 1, "http://"), (["--try", "GET http://a/", "--from", "x/y"], 1, "the pod that asks"),
])
def test_what_cannot_be_asked_ends_with_its_exit_code(tmp_path, args, code, said):
    config = tmp_path / "a.yaml"
    config.write_text(CONFIG.format(port=80, services=""))
    done = weir("routes", "--config", config, *args)
    assert done.returncode == code and said in done.stderr and done.stdout == "", done


def test_a_refused_configuration_and_an_absent_proxy_are_failures(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: Service\napiVersion: v1\n")
    done = weir("routes", "--config", bad)
    assert done.returncode == 1 and "bad.yaml:1:1: error" in done.stderr
    assert weir("routes", "--config", tmp_path / "none").returncode == 1
    done = weir("routes", "--admin", f"127.0.0.1:{ports.free_port()}")
    assert done.returncode == 1 and "Connection refused" in done.stderr
