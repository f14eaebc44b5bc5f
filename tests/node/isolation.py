#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one tenant's trouble costs another, as figures: three tenants (one attacked, one killed again and again, one idle)
beside a neighbour whose calls are timed; then pods that come and go. Not a test of speed: it fails when a neighbour's call
fails or something is left behind.

usage: isolation.py [SECONDS-PER-PHASE [PODS-TO-CHURN]]      as root; make test-node
"""
import os
import signal
import subprocess
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bpf")]

import nodemode  # noqa: E402
import pods  # noqa: E402

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10
CHURN = int(sys.argv[2]) if len(sys.argv) > 2 else 200
ATTACK = r"""
import os, select, socket, sys
kept = []
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        s = socket.create_connection((sys.argv[1], 80), 2)
        s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a" * 60000 if len(kept) % 2 else os.urandom(16384))
        kept.append(s)
    except OSError:
        pass
    if len(kept) > 400:
        kept.pop(0).close()
"""


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        kb = {line.split(":")[0]: int(line.split()[1]) for line in f if line.rstrip().endswith("kB")}
    return f"PSS {kb['Pss'] / 1024:.1f} MB, private {(kb['Private_Clean'] + kb['Private_Dirty']) / 1024:.1f} MB"


def phase(m, name, during):
    with m.load("web", "api", "both", 0.001) as load:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            during()
    print(f"| {name} | {load.calls} | {len(load.failures)} | {load.p50_ms:.1f} | {load.p99_ms:.1f} |", flush=True)
    return load.failures


def main():
    with pods.Pods("isolation") as the_pods:
        m = nodemode.NodeMesh(the_pods)
        for name in ("web", "api", "attacked", "killed", "idle"):
            m.pod(name, "node")
        m.pod("plain", "kernel")
        m.helper_start()
        m.up()
        for name in ("api", "attacked", "killed", "idle"):
            m.curl("web", name)
        took = {n: t["start_took_us"] / 1000 for n, t in m.tenants().items() if t["starts"]}
        print("from the first connection to a worker that serves, ms:", took)
        print("a worker that has served one request:", memory(m.tenants()["idle"]["pid"]))
        print("\n| the other tenant | calls | failed | p50 ms | p99 ms |\n|---|---|---|---|---|")
        bad = phase(m, "quiet", lambda: time.sleep(0.1))
        attack = the_pods.pods["plain"].spawn([nodemode.PYTHON, "-c", ATTACK, m.services["attacked"]], stdin=subprocess.PIPE)
        bad += phase(m, "flooded with broken requests", lambda: time.sleep(0.1))
        attack.stdin.close()
        attack.wait(20)

        def kill():
            m.curl("plain", "killed")
            pid = m.tenants()["killed"]["pid"]
            if pid:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
        bad += phase(m, "killed again and again", kill)
        stopped = m.tenants()["attacked"]["pid"]
        if stopped:
            os.kill(stopped, signal.SIGSTOP)
        bad += phase(m, "hangs (SIGSTOP)", lambda: time.sleep(0.1))
        t = m.tenants()
        print("\nrestarts:", {n: x["restarts"] for n, x in t.items()}, "ended because stuck:", t["attacked"]["stuck"])
        if CHURN:
            pods.wait_for(lambda: isinstance(m.curl("plain", "killed"), dict), timeout=60, what="the killed one")
            before = m.leftovers()
            with m.load("web", "api", "both", 0.001) as load:
                m.churn(rounds=-(-CHURN // 10), at_once=10)
            print(f"{CHURN} pods came and went: {load.calls} calls beside them, {len(load.failures)} failed, p99 {load.p99_ms} ms")
            bad += load.failures
            pods.wait_for(lambda: {k: v for k, v in m.leftovers().items() if k != "tenants"} ==
                          {k: v for k, v in before.items() if k != "tenants"}, timeout=90, what="nothing to be left")
            print("nothing is left: processes, cgroups, descriptors, pins, map entries as before")
        for line in bad[:10]:
            print("failed:", line)
        return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
