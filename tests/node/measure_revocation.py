#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a policy change takes to reset N connections of a pod (not a test: it only prints). As root, with WEIR_BIN:
    WEIR_BIN=build/weir tests/node/measure_revocation.py [N]"""
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bpf"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import actor  # noqa: E402
from agent import Agent, SERVICE_IP  # noqa: E402
from world import World  # noqa: E402


def hold(ip, port, n):
    for _ in range(n):
        s = socket.create_connection((ip, port), timeout=actor.WAIT)
        actor.SOCKS[s.fileno()] = s


def take(lid, n):
    for _ in range(n):
        actor.accept(lid)


def main(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 1000, n + 1000))
    world = World()
    agent = Agent(world)
    try:
        web, other, store = (world.pod(name) for name in ("web", "other", "store"))
        agent.write("pods.yaml", *[agent.pod_document(p) for p in world.pods])
        agent.write("mesh.yaml", agent.service("store", 70, 7000, store), agent.policy("p", "store", "web"))
        agent.start()
        client, server = web.app(), store.app()
        lid = server.call(actor.listen, store.v4, 7000)
        for _ in range(n // 250):
            client.call(hold, SERVICE_IP, 70, 250)
            server.call(take, lid, 250)
        for generation, allowed in ((2, ("web", "other")), (3, ("other",))):
            begin = time.monotonic()
            agent.write("mesh.yaml", agent.service("store", 70, 7000, store), agent.policy("p", "store", *allowed))
            agent.wait_generation(generation)
            took = time.monotonic() - begin
            print(f"{allowed}: {agent.ask('generation')[0]['revocation']}, from edit to receipt {took * 1000:.0f} ms")
        time.sleep(1.5)
        print("flows lost:", agent.status()["flows_lost"], {k: v for k, v in agent.ask("counters")[0].items() if k.startswith("lost") or k == "connections_revoked"})
    finally:
        agent.close()
        world.stop()


main(int(sys.argv[1]) if len(sys.argv) > 1 else 10000)
