# SPDX-License-Identifier: Apache-2.0
"""The pods of the tests themselves: nothing is left, whatever ends a run. And the demo, which is the first thing anybody runs."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys

import pytest

import pods

pytestmark = pytest.mark.pods
DEMO = os.path.join(pods.ROOT, "demo", "demo.py")
NODE_DEMO = os.path.join(pods.ROOT, "demo", "node_demo.py")


@pytest.fixture
def state(tmp_path):
    """Records of its own, so that runs beside this one are not its business."""
    return {**os.environ, "WEIR_PODS_STATE": str(tmp_path / "state"), "NO_COLOR": "1"}


def things_of(name):
    """Everything on this machine that bears the name of a run."""
    found = [os.path.join("/tmp", x) for x in os.listdir("/tmp") if x.startswith(name)]
    mount = pods.cgroup2_mount()
    found += [os.path.join(mount, x) for x in os.listdir(mount) if x.startswith(name)]
    found += [p for _, p, _ in pods.mountinfo() if name in p]
    return found


def demo(state, *args, program=DEMO, **kwargs):
    return subprocess.run([sys.executable, program, *args], env=state, capture_output=True, text=True,
                          timeout=150, **kwargs)


def start_demo(state, *args):
    # A shell starts what runs in its background with SIGINT ignored, which children inherit.
    return subprocess.Popen([sys.executable, DEMO, *args], env=state, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def read_until(process, pattern):
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(said)


def test_the_demo_holds_twice_and_leaves_nothing(state):
    for _ in range(2):
        done = demo(state)
        assert done.returncode == 0, done.stdout + done.stderr
        checks = [x for x in done.stdout.splitlines() if x.startswith("ok ")]
        assert len(checks) >= 25 and "FAIL" not in done.stdout
        assert all("| expected: " in x and "| seen: " in x for x in checks)
        assert "\033" not in done.stdout and "\r" not in done.stdout
        name = re.search(r"as (weir-demo-\S+)", done.stdout).group(1)
        assert things_of(name) == []
    assert os.listdir(state["WEIR_PODS_STATE"]) == []


def test_the_demo_of_node_mode_holds_and_leaves_nothing(state):
    done = demo(state, program=NODE_DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert things_of(re.search(r"as (weir-demo-\S+)", done.stdout).group(1)) == []


@pytest.mark.parametrize("how,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_demo_leaves_nothing(state, how, code):
    process = start_demo(state)
    name = read_until(process, r"as (weir-demo-\S+)").group(1)
    read_until(process, r"^ok ")
    assert things_of(name)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert things_of(name) == []


def test_a_crashed_demo_is_swept_by_the_next_one(state):
    process = start_demo(state)
    name = read_until(process, r"as (weir-demo-\S+)").group(1)
    read_until(process, r"^5\.")
    process.kill()
    process.communicate(timeout=60)
    assert things_of(name)
    done = demo(state)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"took down what an earlier run left: {name}" in done.stdout
    assert things_of(name) == []


def test_a_kept_demo_can_be_tried_and_taken_down(state):
    done = demo(state, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    name = re.search(r"as (weir-demo-\S+)", done.stdout).group(1)
    try:
        assert "To take it down" in done.stdout
        tried = demo(state, "--in", "web", "curl", "-s", "-H", "x-version: v2", "http://10.96.0.10/")
        assert '"server": "api-v2"' in tried.stdout, tried
        assert demo(state, "--in", "intruder", "curl", "-s", "http://10.96.0.10/").returncode == 7
        assert demo(state, "--in", "nobody", "true").returncode == 1
    finally:
        down = demo(state, "--down")
    assert down.stdout == f"took down {name}\n"
    assert things_of(name) == []


@pytest.mark.parametrize("env,colour,moves", [
    ({"TERM": "xterm"}, True, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
    ({"TERM": "dumb"}, False, False)])
def test_on_a_terminal_it_is_coloured_and_moves_and_no_color_is_respected(env, colour, moves):
    ours, theirs = pty.openpty()
    program = ("import sys; sys.path.insert(0, %r); import show, time; s = show.Show();"
               "s.wait('thinking'); time.sleep(0.35); s.check(True, 'a', 'b', 'c');"
               "s.check(False, 'd', 'e', 'f')" % os.path.dirname(DEMO))
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run([sys.executable, "-B", "-c", program], env={**clean, **env, "LANG": "C.UTF-8"},
                          stdout=theirs, stderr=subprocess.PIPE, timeout=30)
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0, done.stderr
    assert ("\033[32m" in said, "\033[31m" in said) == (colour, colour)
    assert ("thinking" in said) == moves


def test_the_demo_can_fail(state, tmp_path):
    """With a policy that admits the intruder, the demo must say so and end with 1."""
    copy = tmp_path / "copy"
    for d in ("demo", "tests/support"):
        shutil.copytree(os.path.join(pods.ROOT, d), copy / d)
    policies = copy / "demo" / "config" / "policies.yaml"
    policies.write_text(policies.read_text().replace("{app: web}", "{}"))
    done = subprocess.run([sys.executable, copy / "demo" / "demo.py"], env={**state, "WEIR": pods.WEIR},
                          capture_output=True, text=True, timeout=150)
    assert done.returncode == 1, done.stdout
    assert "FAIL intruder connects to store" in done.stdout
    assert things_of(re.search(r"as (weir-demo-\S+)", done.stdout).group(1)) == []


def test_sweep_touches_neither_living_nor_foreign_runs(state, tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "STATE_DIR", str(tmp_path / "state"))
    with pods.Pods("e2e") as living:
        living.add("a")
        assert pods.sweep() == []
        assert os.path.isdir(living.cgroup) and os.path.isdir(living.run_dir)
    assert things_of(living.id) == []


def test_a_process_in_a_sidecars_place_has_no_privilege(state, tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "STATE_DIR", str(tmp_path / "state"))
    with pods.Pods("e2e") as p:
        pod = p.add("a")
        process = pod.spawn(["cat", "/proc/self/status", "/proc/self/cgroup"], sidecar=True,
                            uid=pods.NOBODY)
        assert process.wait(timeout=10) == 0
        with open(p.log("a-weir.out"), encoding="ascii") as f:
            said = f.read()
    assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", said, re.MULTILINE)
    for which in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert f"Cap{which}:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert f"0::{'/' + p.id}/pods/a/weir" in said
