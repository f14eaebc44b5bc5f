# SPDX-License-Identifier: Apache-2.0
"""weir check: what this machine offers, and who else has programs where weir's are."""
import json
import os
import signal
import subprocess


import rawbpf
from agent import WEIR
from test_upgrade import bpftool


def check(agent, *more):
    r = subprocess.run([WEIR, "check", "-o", "json", "--pin-dir", agent.pins, "--cgroup", agent.parent, *more],
                       capture_output=True, text=True)
    answer = json.loads(r.stdout)
    assert (r.returncode == 0) == answer["ok"], r.stderr
    return {c["what"]: c for c in answer["checks"]}


def test_what_agent_and_helper_need_is_asked_for_and_each_lack_has_its_fallback(running):
    found = check(running)
    for what in ("capability BPF", "capability SYS_ADMIN (helper)", "capability KILL (helper)", "system call seccomp",
                 "program sk_lookup", "ring buffer"):
        assert found[what]["state"] == "ok", found[what]
    assert "of 1000000 instructions" in found["every program accepted by this kernel"]["found"]
    for what in ("reset from an iterator (bpf_sock_destroy)", "count of joined unread bytes", "IPv6",
                 "membarrier (readers of replaced entries)"):
        assert found[what]["found"] == "yes" or found[what]["found"].startswith("no: "), found[what]


def test_telemetry_of_openssl_is_tried_on_this_machines_library(running):
    found = check(running)
    line = found["telemetry of applications' own TLS"]
    assert line["state"] == "ok" and line["found"].startswith("a probe was made on SSL_read of /"), line
    assert "linked into a program" in found["of these, not seen"]["found"]
    r = subprocess.run(["setpriv", "--bounding-set", "-sys_admin,-perfmon", "--inh-caps", "-sys_admin,-perfmon", WEIR, "check",
                        "-o", "json"], capture_output=True, text=True)
    line = {c["what"]: c for c in json.loads(r.stdout)["checks"]}["telemetry of applications' own TLS"]
    assert line["state"] == "warn" and "CAP_SYS_ADMIN" in line["fix"], line


def test_without_a_capability_it_fails_and_says_which(running):
    r = subprocess.run(["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace", WEIR, "check", "-o", "json"],
                       capture_output=True, text=True)
    found = {c["what"]: c for c in json.loads(r.stdout)["checks"]}
    assert r.returncode == 1 and found["capability SYS_PTRACE (helper)"]["state"] == "FAIL"
    assert "give the helper CAP_SYS_PTRACE" in found["capability SYS_PTRACE (helper)"]["fix"]


def test_programs_of_others_are_listed_in_their_order(running):
    before = check(running)["order of programs at connect4"]
    assert before["state"] == "ok" and before["found"].startswith("weir_connect4(")
    link = rawbpf.link(rawbpf.program("somebody"), running.world.cgroup)
    try:
        after = check(running)["order of programs at connect4"]
        assert after["state"] == "warn" and [p.split("(")[0] for p in after["found"].split()] == ["weir_connect4", "somebody"]
        assert check(running)["order of programs at connect6"]["state"] == "ok"
    finally:
        os.close(link)


def test_sockmaps_of_others_are_listed(running):
    pin = os.path.join(running.world.tmp, "theirs")
    subprocess.run(["/usr/sbin/bpftool", "map", "create", pin, "type", "sockhash", "key", "4", "value", "4", "entries", "1",
                    "name", "theirs"], check=True, capture_output=True)
    try:
        line = check(running)["sockmaps of others"]
        assert line["state"] == "warn" and "theirs(" in line["found"] and "weir_join" not in line["found"]
    finally:
        os.unlink(pin)


def test_a_cgroup_is_named_as_the_agents(running):
    r = subprocess.run([WEIR, "check", "--cgroup", "/"], capture_output=True, text=True)
    assert r.returncode == 1 and r.stderr.startswith("weir check: --cgroup /: ")


def test_a_program_that_this_weir_has_not_is_dropped_when_it_adopts(running):
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    prog = rawbpf.program("weir_of_old")
    link = rawbpf.link(prog, running.world.cgroup)
    path = os.path.join(running.pins, "links", "weir_of_old")
    rawbpf.pin(link, path)
    os.close(link)
    os.close(prog)
    number = bpftool("link", "show", "pinned", path)["id"]
    running.start()
    assert "event=old_program_dropped" in running.text(running.log) and not os.path.exists(path)
    assert number not in {o["id"] for o in bpftool("link", "show")}
    assert running.status()["pins"] == []
