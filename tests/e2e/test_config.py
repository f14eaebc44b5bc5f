# SPDX-License-Identifier: Apache-2.0
"""Configuration of a running proxy: read from files, directories and standard input, watched, swapped whole, refused with
its place."""

import os
import signal
import socket
import subprocess

import ports
import pytest

from backends import Site
from proxies import curl, pods, weir

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
metadata: {{name: edge}}
spec: {{admin: "127.0.0.1:0", workers: 2}}
"""
SERVICE = """\
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
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: main}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
    - backendRefs: [{{name: {to}, port: 80}}]
"""


class World:
    """A Gateway that leads to service a or b."""

    def __init__(self, directory):
        self.port = ports.free_port()
        self.dir = directory
        self.sites = {name: Site(name) for name in "ab"}
        self.gateway = GATEWAY.format(port=self.port)
        self.services = "---\n".join(SERVICE.format(name=n, port=s.port) for n, s in self.sites.items())

    def put(self, name, text):
        new = self.dir / f".{name}"
        new.write_text(text)
        os.rename(new, self.dir / name)

    def all(self, to):
        return self.gateway + "---\n" + self.services + "---\n" + ROUTE.format(to=to)

    def answered_by(self):
        done = curl("-f", f"http://127.0.0.1:{self.port}/headers")
        assert done.returncode == 0, done.stderr
        return "a" if b'"name": "a"' in done.stdout else "b"

    def wait_answered_by(self, name):
        pods.wait_for(lambda: self.answered_by() == name, what=f"answers of {name}")


@pytest.fixture
def world(tmp_path):
    directory = tmp_path / "config"
    directory.mkdir()
    w = World(directory)
    yield w
    for s in w.sites.values():
        s.close()


def test_a_file_is_watched(world, proxy):
    world.put("all.yaml", world.all("a"))
    p = proxy("--config", world.dir / "all.yaml")
    assert world.answered_by() == "a"
    world.put("all.yaml", world.all("b"))
    world.wait_answered_by("b")
    assert p.metric("weir_config_generation") == 2


def test_a_file_written_in_place_is_watched(world, proxy):
    (world.dir / "all.yaml").write_text(world.all("a"))
    proxy("--config", world.dir / "all.yaml")
    (world.dir / "all.yaml").write_text(world.all("b"))
    world.wait_answered_by("b")


def test_files_of_a_directory_come_change_and_go(world, proxy):
    world.put("1.yaml", world.gateway)
    world.put("2.yaml", world.services)
    world.put("3.yaml", ROUTE.format(to="a"))
    proxy("--config", world.dir)
    assert world.answered_by() == "a"
    world.put("3.yaml", ROUTE.format(to="b"))
    world.wait_answered_by("b")
    os.unlink(world.dir / "3.yaml")
    pods.wait_for(lambda: curl("-o", "/dev/null", "-w", "%{http_code}",
                               f"http://127.0.0.1:{world.port}/").stdout == b"404", what="404")


def test_a_swap_of_kubernetes_data_link_is_noticed(world, proxy):
    def version(name, to):
        (world.dir / name).mkdir()
        (world.dir / name / "all.yaml").write_text(world.all(to))
        os.symlink(name, world.dir / "..data_tmp")
        os.rename(world.dir / "..data_tmp", world.dir / "..data")
    version("..2026_1", "a")
    os.symlink("..data/all.yaml", world.dir / "all.yaml")
    proxy("--config", world.dir)
    assert world.answered_by() == "a"
    version("..2026_2", "b")
    world.wait_answered_by("b")


def test_sighup_reads_again(world, proxy):
    p = proxy("--config", world.dir / "all.yaml", wait=False)
    assert p.wait() == 1 and "all.yaml" in p.err()
    world.put("all.yaml", world.all("a"))
    p = proxy("--config", world.dir / "all.yaml")
    p.signal(signal.SIGHUP)
    p.wait_err(r"event=reload result=live generation=2")
    assert world.answered_by() == "a"


def test_standard_input(world, proxy, tmp_path):
    (tmp_path / "in").write_text(world.all("a"))
    with open(tmp_path / "in", "rb") as f:
        proxy("--config", "-", stdin=f)
    assert world.answered_by() == "a"


def test_a_broken_edit_is_refused_with_its_place_and_changes_nothing(world, proxy):
    world.put("1.yaml", world.gateway + "---\n" + world.services)
    world.put("2.yaml", ROUTE.format(to="a"))
    p = proxy("--config", world.dir)
    world.put("2.yaml", ROUTE.format(to="b").replace("parentRefs", "parentRef"))
    p.wait_err(rf"{world.dir}/2\.yaml:5:3: .*\"parentRef\".*\"parentRefs\"")
    p.wait_err(r"result=refused generation=1")
    assert world.answered_by() == "a"
    assert p.metric('weir_config_reloads_total{result="failure"}') >= 1
    assert weir("validate", world.dir).returncode == 1
    world.put("2.yaml", ROUTE.format(to="b"))
    world.wait_answered_by("b")


@pytest.mark.parametrize("name,text,place", [
    ("misspelt", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspecc: {}\n", "4:1"),
    ("not-yaml", "a: [1\n", "2:1"),
    ("unknown-kind", "apiVersion: v1\nkind: Sarvice\nmetadata: {name: a}\n", "2:1"),
    ("duplicate-key", "apiVersion: v1\nkind: Service\nkind: Service\n", "3:1"),
    ("bad-address", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus:\n  podIP: 300.1.2.3\n", "5:10"),
])
def test_a_proxy_does_not_start_on_a_broken_configuration(proxy, tmp_path, name, text, place):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    p = proxy("--config", file, wait=False)
    assert p.wait() == 1
    assert f"{file}:{place}: " in p.err(), p.err()


def test_reloads_under_load_fail_no_request(world, proxy):
    world.put("all.yaml", world.all("a"))
    p = proxy("--config", world.dir / "all.yaml")
    load = subprocess.Popen(["h2load", "-p", "http/1.1", "-n", "12000", "-c", "8",
                             f"http://127.0.0.1:{world.port}/"], stdout=subprocess.PIPE, text=True)
    generation, to = 1, "a"
    while load.poll() is None and generation < 30:
        to = "b" if to == "a" else "a"
        world.put("all.yaml", world.all(to))
        generation += 1
        pods.wait_for(lambda: p.metric("weir_config_generation") == generation,
                      what=f"generation {generation}")
    assert "12000 succeeded, 0 failed" in load.communicate(timeout=60)[0]
    assert generation > 2
    assert world.sites["a"].requests and world.sites["b"].requests


def test_port_0_is_any_free_port_and_a_taken_one_says_so(proxy, site):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}")
    assert curl(p.url()).stdout == b"ok\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        q = proxy("--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--to", "127.0.0.1:1", wait=False)
        assert q.wait() == 1 and "another process listens there" in q.err()


def test_a_port_alone_is_both_families(proxy, site):
    p = proxy("--listen", ":0", "--to", f"127.0.0.1:{site.port}", "--admin", ":0")
    for host in ("127.0.0.1", "[::1]"):
        assert curl("-g", f"http://{host}:{p.port}/").stdout == b"ok\n"
