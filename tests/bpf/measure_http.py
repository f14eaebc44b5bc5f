#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What HTTP telemetry costs: exchanges a second over one kept-alive connection between two pods, with the programs off, on for another service, and on
for this one, in turns. measure_http.py [BUILD] [EXCHANGES]. Asserts nothing: its figures are in docs/configuration.md."""
import os
import statistics
import sys
import time

os.environ.setdefault("WEIR_KERN_DRIVER", os.path.abspath(os.path.join(sys.argv[1] if len(sys.argv) > 1 else "build", "tests/bpf/weir-kern-driver")))
import abi  # noqa: E402
import actor  # noqa: E402
import test_http as t  # noqa: E402
from world import World  # noqa: E402

ROUNDS = 41


def measure(world, n):
    web, store = world.pods
    p = t.Pair(web, store)
    p.server.begin(t.serve, p.sid, n)
    began = time.monotonic()
    p.client.call(t.chat, p.fd, n)
    took = time.monotonic() - began
    p.server.end()
    p.close()
    world.driver.ask("events")
    return took / n * 1e6


def main(n):
    world = World()
    try:
        for name in ("web", "store"):
            world.pod(name)
        world.start()
        world.driver.events()
        figures = {"off": [], "on, another service": [], "on, this service": []}
        for _ in range(ROUNDS):
            for what in figures:
                flags = abi.SVC_HTTP if what.endswith("this service") else 0
                world.service(t.VIP, t.PORT, [(world.pods[1], 8080, 1)], flags=flags, number=t.SERVICE, set=71)
                if flags:
                    world.driver.put("weir_http", t.at(world.pods[1], 8080), t.SERVICE.to_bytes(4, "little"))
                else:
                    world.driver.delete("weir_http", t.at(world.pods[1], 8080))
                world.driver.ask("epoch")
                world.driver.ask("http", int(what != "off"))
                figures[what].append(measure(world, n))
        for what, us in figures.items():
            print(f"{what:22} {min(us):7.2f} us best, {statistics.median(us):7.2f} us median, per exchange")
    finally:
        world.stop()


if __name__ == "__main__":
    main(int(sys.argv[2]) if len(sys.argv) > 2 else 500)
