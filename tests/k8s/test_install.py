# SPDX-License-Identifier: Apache-2.0
"""weir put into a cluster as a user would, and what its programs then are."""

import re

import weir

# linux/capability.h
NET_ADMIN, KILL, SETGID, SETUID, SYS_PTRACE, SYS_ADMIN, PERFMON, BPF = 12, 5, 6, 7, 19, 21, 38, 39


def capabilities(cluster, pid):
    text = cluster.machine.run(["cat", f"/proc/{pid}/status"]).stdout
    mask = int(re.search(r"^CapBnd:\s+(\w+)", text, re.M).group(1), 16) | int(re.search(r"^CapEff:\s+(\w+)", text, re.M).group(1), 16)
    return {bit for bit in range(64) if mask >> bit & 1}


def test_the_agent_has_read_the_cluster(cluster):
    said = weir.status(cluster)["kubernetes"]
    assert said["state"] == "current" and said["objects_refused"] == 0 and said["objects_unreadable"] == 0, said


def test_agent_and_helper_have_the_capabilities_that_are_written_and_no_more(cluster):
    helper = int(cluster.machine.run(["pgrep", "-xf", "/weir helper .*"]).stdout.split()[0])
    assert capabilities(cluster, weir.agent_pid(cluster)) == {BPF, NET_ADMIN, PERFMON}
    assert capabilities(cluster, helper) == {SYS_ADMIN, SYS_PTRACE, SETUID, SETGID, KILL}


def test_the_agent_may_not_read_secrets(cluster):
    for verb, kind in (("list", "secrets"), ("list", "configmaps"), ("create", "pods"), ("patch", "httproutes.gateway.networking.k8s.io")):
        asked = cluster.kubectl("auth", "can-i", verb, kind, "-A", "--as=system:serviceaccount:weir-system:weir-agent", check=False)
        assert asked.strip() == "no", (verb, kind, asked)
