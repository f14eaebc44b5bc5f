# SPDX-License-Identifier: Apache-2.0
"""The agent's figures over HTTP, as a scraper and a probe ask for them."""
import os
import re
import signal
import sys
import urllib.error
import urllib.request

import pytest

import actor
from agent import PATIENCE, SERVICE_IP, eventually
from test_agent import refusal

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import ports  # noqa: E402

LINE = re.compile(r'^([a-z_]+)(?:\{([a-z]+)="([^"]*)"\})? (\S+)$')


@pytest.fixture
def at(agent):
    """Where it serves; the agent is started by the test."""
    port = ports.free_port()
    agent.more = ["--metrics", f"127.0.0.1:{port}"]
    return f"http://127.0.0.1:{port}"


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def figures(at):
    """{name or (name, label value): number}; every family has help and type, every sample a family."""
    status, text = get(at + "/metrics")
    assert status == 200
    families, found = set(), {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.add(line.split()[2])
        elif not line.startswith("# HELP "):
            name, _, value, n = LINE.match(line).groups()
            assert name in families, line
            key = (name, value) if value else name
            assert key not in found, line
            found[key] = float(n)
    return found


def test_metrics_tell_what_status_tells(at, running):
    web, intruder, store = running.world.pods
    assert not refusal(web.app()) and refusal(intruder.app())
    eventually(lambda: running.ask("flows"))
    f, s = figures(at), running.status()
    for name in ("pods_named", "pods_enrolled", "pods_verified", "generation", "services", "policies", "rules"):
        assert f["weir_agent_" + name] == s[name], name
    assert f["weir_agent_pods_verified"] == 3 and f["weir_agent_ready"] == 1
    assert f["weir_agent_helper_up"] == 1 and f["weir_agent_helper_requests_total"] > 0
    assert f["weir_kernel_reasons_total", "deny_ingress"] == running.ask("counters")[0]["deny_ingress"] >= 1
    assert f["weir_kernel_events_lost_total", "denials"] == f["weir_kernel_events_lost_total", "events"] == 0
    assert 0 < f["weir_map_entries", "weir_pod"] == 3 < f["weir_map_capacity", "weir_pod"]
    assert f["weir_agent_flows_total"] >= 1 and f["process_resident_memory_bytes"] > 0
    assert {n if isinstance(n, str) else n[0] for n in f} >= {"weir_join_sockets", "process_cpu_seconds_total"}


def test_a_revocation_leaves_its_receipt(at, running):
    web, _, store = running.world.pods
    client = web.app()
    client.call(actor.connect, SERVICE_IP, 70)
    running.write("mesh.yaml", running.service("store", 70, 7000, store), running.policy("store-nobody", "store", "nobody"))
    running.wait_generation(2)
    eventually(lambda: figures(at)["weir_agent_connections_revoked_total"] >= 1)
    f = figures(at)
    assert f["weir_agent_revocation_last", "killed"] >= 1 and f["weir_agent_revocation_last", "failed"] == 0
    assert f["weir_agent_revocation_last_seconds"] > 0


def test_probes(at, running):
    assert get(at + "/live") == (200, "live\n")
    assert get(at + "/ready") == (200, "ready\n")
    assert get(at + "/status")[0] == 404, "names of pods are for the admin socket"
    os.kill(running.status()["helper"]["pid"], signal.SIGKILL)
    assert eventually(lambda: (r := get(at + "/ready"))[0] == 503 and r) == (503, "the helper is away\n")
    assert figures(at)["weir_agent_helper_up"] == figures(at)["weir_agent_ready"] == 0
    assert get(at + "/live")[0] == 200


def test_an_address_that_is_taken_is_said_at_the_start(at, running):
    code, log = running.once("--pin-dir", running.pins + "-2", "--admin", "")
    assert code == 1 and "another process listens there" in log
