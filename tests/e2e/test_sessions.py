# SPDX-License-Identifier: Apache-2.0
"""sessionPersistence with a client that keeps cookies: curl and its jar, over two gateways that share a key."""

import re

import ports
import pytest

from backends import Site
from proxies import curl, pods

NAMES = "abcd"
GATEWAY = """\
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
spec: {{admin: "127.0.0.1:0", workers: 2{key}}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  ports: [{{name: http, port: 80}}]
{slices}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: main}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
    - matches: [{{path: {{value: /headers}}}}]
      sessionPersistence: {{sessionName: stay}}
      backendRefs: [{{name: shop, port: 80}}]
    - matches: [{{path: {{value: /}}}}]
      sessionPersistence: {{sessionName: stay, cookieConfig: {{lifetimeType: Permanent}}, absoluteTimeout: 1h}}
      backendRefs: [{{name: shop, port: 80}}]
"""
SLICE = """\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: shop}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
"""


class World:
    def __init__(self, directory):
        self.dir = directory
        self.sites = {name: Site(name) for name in NAMES}
        self.key = directory / "session.key"
        self.key.write_text("0123456789abcdef0123456789abcdef\n")

    def config(self, port, names=NAMES, key=True):
        slices = "".join(SLICE.format(name=n, port=self.sites[n].port) for n in names)
        return GATEWAY.format(port=port, slices=slices, key=f', sessionKey: "{self.key}"' if key else "")

    def ask(self, port, *args, path="/headers"):
        done = curl("-f", *args, f"http://127.0.0.1:{port}{path}")
        assert done.returncode == 0, done.stderr
        return re.search(rb'"name": "(\w)"', done.stdout).group(1).decode()

    def jar(self, name="jar"):
        return ["-b", self.dir / name, "-c", self.dir / name]


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    for s in w.sites.values():
        s.close()


def test_a_cookie_jar_stays_with_one_server_through_every_replica_and_restart(world, proxy, tmp_path):
    gateways = []
    for i in range(2):
        port = ports.free_port()
        config = tmp_path / f"gateway-{i}.yaml"
        config.write_text(world.config(port))
        gateways.append((port, config, proxy("--config", config)))
    first = world.ask(gateways[0][0], *world.jar())
    jar = (tmp_path / "jar").read_text()
    assert re.search(r"^#HttpOnly_127\.0\.0\.1\tFALSE\t/headers\tFALSE\t0\tstay\t[\w-]{72}$", jar, re.M), jar
    for port, _, _ in gateways * 10:
        assert world.ask(port, *world.jar()) == first
    # The other rule keeps a session of its own under the same name: both are in the jar, one is sent with /headers first.
    assert curl("-f", *world.jar(), f"http://127.0.0.1:{gateways[0][0]}/").returncode == 0
    jar = (tmp_path / "jar").read_text()
    assert re.search(r"\t/\tFALSE\t[1-9]\d{9}\tstay\t", jar), jar
    for port, _, _ in gateways * 5:
        assert world.ask(port, *world.jar()) == first
    # Clients without a cookie go everywhere.
    assert {world.ask(gateways[0][0]) for _ in range(60)} == set(NAMES)
    # The server leaves: somebody else serves, and is stayed with from then on.
    port, config, p = gateways[1]
    config.write_text(world.config(port, [n for n in NAMES if n != first]))
    p.wait_err("event=reload result=live")
    second = world.ask(port, *world.jar())
    assert second != first
    for _ in range(10):
        assert world.ask(port, *world.jar()) == second
    # A restarted gateway knows the sessions by the key.
    assert p.stop() == 0
    proxy("--config", config)
    for _ in range(10):
        assert world.ask(port, *world.jar()) == second


def test_without_a_key_sessions_are_this_process_s_and_it_says_so(world, proxy, tmp_path):
    port = ports.free_port()
    config = tmp_path / "gateway.yaml"
    config.write_text(world.config(port, key=False))
    p = proxy("--config", config)
    assert "no sessionKey is given" in p.err()
    first = world.ask(port, *world.jar())
    jar = (tmp_path / "jar").read_text()
    p.signal(1)  # a reload is no restart
    pods.wait_for(lambda: "event=reload result=live" in p.err(), what="a reload")
    for _ in range(10):
        assert world.ask(port, *world.jar()) == first
    assert (tmp_path / "jar").read_text() == jar
    assert p.stop() == 0
    proxy("--config", config)
    world.ask(port, *world.jar())
    assert (tmp_path / "jar").read_text() != jar


def test_a_bad_key_file_is_refused_with_what_to_do(world, proxy, tmp_path):
    config = tmp_path / "gateway.yaml"
    config.write_text(world.config(ports.free_port()))
    world.key.write_text("short\n")
    p = proxy("--config", config, wait=False)
    p.wait_err(r"a secret is shorter than 32 characters; make one with: openssl rand -base64 32")
    assert p.wait() == 1
    assert "short\n" not in p.err()
