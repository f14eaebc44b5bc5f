# SPDX-License-Identifier: Apache-2.0
"""The Debian package in the life it will lead: installed, used, upgraded under load, removed, purged. `make test-deb`."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import machine as machines
from machine import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "deb"
# What the machine itself writes, and what Debian leaves of every package with a user of its own.
ITS_OWN = re.compile(r"/var/(lib/dpkg|lib/systemd|log|cache|tmp|lib/dbus)(/|$)|/etc/(\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-)$"
                     r"|/etc/(machine-id|resolv\.conf)$|/root/|/etc/systemd/system/web\.service$")


def built(revision, to):
    run("tools/deb.sh", revision, cwd=ROOT)
    (made,) = OUT.glob(f"weir_*-{revision}_*.deb")
    return pathlib.Path(shutil.copy(made, to))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    to = tmp_path_factory.mktemp("packages")
    return [built("1", to), built("2", to)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory, packages):
    if os.getuid() != 0:
        pytest.skip("root makes namespaces and cgroups")
    m = machines.Machine(tmp_path_factory.mktemp("machine") / "root", machines.root_archive(OUT / "root.tar", packages[0]))
    for p in packages:
        shutil.copy(p, m.root / "root" / p.name)
    m.before = m.files()
    m.packages = [f"/root/{p.name}" for p in packages]
    yield m
    m.end()


def test_lintian_has_nothing_to_say(packages):
    run("lintian", "--allow-root", "--fail-on", "error,warning", packages[0])


def test_built_elsewhere_it_is_the_same_file(packages, tmp_path):
    if run("git", "-C", ROOT, "status", "--porcelain"):
        pytest.skip("the tree has changes that are in no commit: another checkout would not have them")
    clone = tmp_path / "another-place"
    run("git", "clone", "-q", ROOT, clone)
    run("make", "deb", cwd=clone, timeout=3600)
    (other,) = (clone / "build" / "deb").glob("weir_*.deb")
    assert other.read_bytes() == packages[0].read_bytes()
    shutil.rmtree(clone)


def test_installing_starts_nothing(machine):
    machine.run("dpkg", "-i", machine.packages[0])
    assert machine.run("dpkg", "-s", "weir").count("Status: install ok installed") == 1
    assert re.match(r"weir:x:\d+:\d+:.*:/nonexistent:/usr/sbin/nologin", machine.run("getent", "passwd", "weir"))
    assert machine.sh("systemctl list-units --plain --no-legend --all 'weir*'") == ""
    machine.sh("! systemctl is-enabled -q weir-agent")
    for path in ("/etc/weir/agent/agent.yaml", "/etc/weir/proxy/example.yaml"):
        assert path in machine.run("dpkg-query", "-W", "-f", "${Conffiles}", "weir")
        machine.run("weir", "validate", path)
    for page in ("weir", "weir-proxy", "weir-agent"):
        assert machine.sh(f"gzip -dc /usr/share/man/man8/{page}.8.gz").startswith(".TH ")
    assert "weir" in machine.sh("cat /usr/share/bash-completion/completions/weir")


def test_the_agent_serves_a_service_of_systemd_as_a_pod(machine):
    """With all that its unit takes away, node mode included, which needs most."""
    (machine.root / "etc/weir/agent/pods.yaml").write_text("""apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {weir.dev/mode: node, weir.dev/cgroup: /mesh.slice/web.service, weir.dev/netns: /run/netns/web}
spec: {serviceAccountName: web}
""", encoding="utf-8")
    (machine.root / "etc/systemd/system/web.service").write_text(
        "[Service]\nSlice=mesh.slice\nNetworkNamespacePath=/run/netns/web\nExecStart=/bin/sleep infinity\n", encoding="utf-8")
    machine.sh("ip netns add web; ip -n web link set lo up; systemctl daemon-reload; systemctl start web weir-agent")
    status = wait_for(lambda: (s := agent(machine))["pods"] and s["pods"][0].get("verified") is True and s, "the pod")
    assert status["pods"][0]["node_mode"] == "served"
    assert os.listdir(f"/proc/{machine.leader}/root/sys/fs/bpf/weir")


def agent(machine):
    return json.loads(machine.run("weir", "status", "--agent", "/run/weir/agent.sock", "-o", "json"))["agent"]


def wait_for(condition, what, timeout=60):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.3)
    raise AssertionError(f"timed out: {what}")


def main_pid(machine, unit):
    return int(machine.run("systemctl", "show", "--property=MainPID", "--value", unit))


def test_an_upgrade_under_load_fails_no_request(machine):
    """Keep-alive clients that send nothing twice, and clients that connect for each request."""
    conf = machine.root / "etc/weir/proxy/example.yaml"
    conf.write_text(conf.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    machine.run("systemctl", "start", "weir-proxy@example")
    before = main_pid(machine, "weir-proxy@example"), main_pid(machine, "weir-agent")
    load = subprocess.Popen(machine.network("/usr/bin/python3", ROOT / "tests/deb/load.py", 9000, 8080), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)

    def more(n):
        at = int(load.stdout.readline())
        while int(load.stdout.readline()) < at + n:
            pass
    try:
        more(100)
        machine.run("dpkg", "-i", machine.packages[1])
        more(100)
    finally:
        told = load.communicate("\n", timeout=60)[0].splitlines()[-1]
    result = json.loads(told)
    print(result["done"])
    assert not result["failed"], (result["done"], result["failed"][:5])
    after = main_pid(machine, "weir-proxy@example"), main_pid(machine, "weir-agent")
    assert before[0] != after[0] and before[1] != after[1]
    assert machine.run("readlink", f"/proc/{after[0]}/exe").strip() == "/usr/bin/weir"
    assert machine.run("dpkg-query", "-W", "-f", "${Version}", "weir").endswith("-2")
    assert conf.read_text(encoding="utf-8").endswith("# mine\n")
    journal = machine.run("journalctl", "--no-pager", "-u", "weir-agent")
    assert "event=agent_ready generation=1 adopted=yes" in journal
    wait_for(lambda: agent(machine)["pods"][0].get("verified") is True, "the pod, after the upgrade")


def test_a_program_that_does_not_start_leaves_the_old_one_serving(machine):
    machine.run("systemctl", "start", "weir-proxy@example")
    pid = main_pid(machine, "weir-proxy@example")
    machine.sh("mv /usr/bin/weir /usr/bin/weir.kept; printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/weir; chmod 755 /usr/bin/weir; "
               "systemctl kill --kill-who=main --signal=USR2 weir-proxy@example; sleep 1; mv /usr/bin/weir.kept /usr/bin/weir")
    assert main_pid(machine, "weir-proxy@example") == pid
    assert "this process goes on serving" in machine.run("journalctl", "--no-pager", "-u", "weir-proxy@example")


def test_the_proxy_has_nothing(machine):
    pid = main_pid(machine, "weir-proxy@example")
    status = machine.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapBnd:\s0+$", status, re.M) and re.search(r"^CapEff:\s0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s1$", status, re.M) and re.search(r"^Seccomp:\s2$", status, re.M)
    assert re.search(r"^Uid:\s[1-9]", status, re.M)


def test_removed_it_keeps_the_configuration_and_nothing_in_the_kernel(machine):
    machine.sh("systemctl enable -q weir-proxy@example weir-agent")
    said = subprocess.run(machine.within("dpkg", "-r", "weir"), capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0 and "left=nothing" in said.stderr, said
    assert machine.sh("pidof weir || :") == ""
    assert "weir" not in os.listdir(f"/proc/{machine.leader}/root/sys/fs/bpf")
    kept = {p for p in machine.files() - machine.before if not ITS_OWN.search(p)}
    assert {"/etc/weir/agent/agent.yaml", "/etc/weir/agent/pods.yaml", "/etc/weir/proxy/example.yaml"} <= kept
    assert all(p.startswith("/etc/weir") or ".wants" in p for p in kept), kept


def test_purged_it_leaves_no_file(machine):
    machine.run("dpkg", "-P", "weir")
    assert {p for p in machine.files() - machine.before if not ITS_OWN.search(p)} == set()
    assert machine.sh("find /var/lib/dpkg /var/lib/systemd /var/log /var/cache /run -name '*weir*' -not -path '/run/netns*'") == ""
    machine.sh("! dpkg -s weir 2>/dev/null")


def test_installed_again_and_removed_without_systemd(machine, tmp_path):
    """In a chroot, as an image is made: nothing to start, nothing to stop."""
    root = machine.root
    run("chroot", root, "dpkg", "-i", machine.packages[0])
    run("chroot", root, "dpkg", "-P", "weir")
    assert {p for p in machine.files() - machine.before if not ITS_OWN.search(p)} == set()
