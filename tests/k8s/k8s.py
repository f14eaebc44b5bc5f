#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster to work with by hand.

k8s.py up [MODE]          starts one and weir in it (node, the default; sidecar, kernel; none: without weir), and keeps it until ^C
k8s.py enter [CMD...]     a shell, or CMD, inside that machine, with kubectl set up
"""

import json
import os
import signal
import sys

import cluster
import machine
import weir


def up(mode):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with cluster.Cluster() as c:
        if mode != "none":
            weir.install(c, mode)
        print(f"up: {c.machine.id}, logs in {c.machine.logs}; tests/k8s/k8s.py enter kubectl get pods -A", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


def enter(argv):
    for path in sorted(machine.STATE.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "pid" in record and os.path.isdir(f"/proc/{record['pid']}"):
            break
    else:
        sys.exit("no cluster is up: k8s.py up")
    for d in record["cgroups"]:
        with open(f"{d}/init/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(os.getpid()))
    os.environ.update(KUBECONFIG=f"{record['directory']}/pki/admin.kubeconfig", PATH=f"{cluster.BIN}:{os.environ['PATH']}")
    os.execvp("nsenter", ["nsenter", f"--target={record['pid']}", "--net", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--",
                          *(argv or [os.environ.get("SHELL", "/bin/sh")])])


def main():
    if sys.argv[1:2] == ["up"] and len(sys.argv) <= 3:
        reason = weir.why_not()
        if reason:
            sys.exit(f"no cluster here: {reason}")
        up((sys.argv + ["node"])[2])
    elif sys.argv[1:2] == ["enter"]:
        enter(sys.argv[2:])
    else:
        sys.exit(__doc__)


main()
