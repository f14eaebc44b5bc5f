# SPDX-License-Identifier: Apache-2.0
"""Proof of interception: the agent says of each enrolled pod whether its calls are really seen, and mends what is not."""
import json
import os
import subprocess

from agent import WEIR, eventually


def detach(path):
    subprocess.run(["/usr/sbin/bpftool", "link", "detach", "pinned", path], check=True, capture_output=True)


def pods(running):
    return {p["name"]: p for p in running.status()["pods"]}


def test_every_enrolled_pod_is_verified_before_the_agent_is_ready(running):
    s = running.status()
    assert s["pods_verified"] == s["pods_enrolled"] == 3 and s["state"] == "in_force"
    assert all(p["verified"] for p in s["pods"])
    assert running.ask("ready")[0] == {"ready": True, "pods_enrolled": 3, "pods_verified": 3}
    assert running.cli("status", "--ready")[0] == 0
    assert running.text(running.log).count("event=pod_verified") == 3
    assert not [f for f in running.ask("flows") if f.get("destination_port") == 9], "the proof is in nobody's flow log"


def test_a_hook_that_was_taken_away_is_noticed_told_and_put_back(running):
    detach(os.path.join(running.pins, "links", "weir_connect4"))
    answer = running.ask("verify")[0]
    assert answer["ready"] is False and answer["pods_verified"] == 0
    s = running.status()
    assert s["state"] == "degraded" and not pods(running)["default/web"]["verified"]
    assert "not refused" in pods(running)["default/web"]["unverified"]
    code, out, err = running.cli("status", "--ready")
    assert code == 1 and err.startswith("weir status: not ready: ")
    assert "event=pod_not_verified pod=default/web" in running.text(running.log)
    eventually(lambda: running.ask("ready")[0]["ready"])
    assert running.ask("verify")[0]["pods_verified"] == 3


def test_a_namespace_whose_program_was_taken_away_is_its_own_pods_problem(running):
    number = pods(running)["default/store"]["id"]
    detach(os.path.join(running.pins, "pods", str(number)))
    assert running.ask("verify")[0]["pods_verified"] == 2
    assert "sk_lookup" in pods(running)["default/store"]["unverified"]
    eventually(lambda: running.ask("ready")[0]["ready"])


def check(running):
    r = subprocess.run([WEIR, "check", "-o", "json", "--pin-dir", running.pins], capture_output=True, text=True)
    return [c for c in json.loads(r.stdout)["checks"] if c["what"] == "pinned by weir"]


def test_stale_and_foreign_pins_are_reported(running):
    assert running.status()["pins"] == []
    assert [c["state"] for c in check(running)] == ["ok"]
    subprocess.run(["/usr/sbin/bpftool", "map", "create", os.path.join(running.pins, "maps", "other"), "type", "array",
                    "key", "4", "value", "4", "entries", "1", "name", "other"], check=True, capture_output=True)
    detach(os.path.join(running.pins, "links", "weir_sendmsg6"))
    problems = {p["pin"]: p["problem"] for p in running.status()["pins"]}
    assert set(problems) == {"maps/other", "links/weir_sendmsg6"}
    assert problems["maps/other"].startswith("foreign") and problems["links/weir_sendmsg6"].startswith("stale")
    assert {c["state"] for c in check(running)} == {"warn"} and len(check(running)) == 2
    running.end(9)
    running.start()
    assert [p["pin"] for p in running.status()["pins"]] == ["maps/other"], "the agent mended its own"
    assert 'event=pin_doubtful pin="maps/other"' in running.text(running.log)
    os.unlink(os.path.join(running.pins, "maps", "other"))
    assert running.status()["pins"] == []


def test_pins_of_another_layout_are_reported_and_refused(running):
    running.end(9)
    path = os.path.join(running.pins, "maps", "weir_meta")
    value = (0x72696577).to_bytes(4, "little") + (999).to_bytes(4, "little") + bytes(16)
    subprocess.run(["/usr/sbin/bpftool", "map", "update", "pinned", path, "key", "0", "0", "0", "0", "value",
                    *[str(b) for b in value]], check=True, capture_output=True)
    assert any("layout 999" in c["found"] for c in check(running))
    code, log = running.once("--admin", "")
    assert code == 1 and "another layout version" in log


def test_a_pod_that_is_only_awaited_does_not_make_the_agent_unready(running):
    document = running.pod_document(running.world.pods[0], cgroup=f"{running.parent}/not-yet")
    running.write("pods.yaml", document, *[running.pod_document(p) for p in running.world.pods[1:]])
    running.wait_generation(2)
    s = running.status()
    assert s["pods_named"] == 3 and s["pods_enrolled"] == s["pods_verified"] == 2
    assert running.ask("ready")[0]["ready"]
