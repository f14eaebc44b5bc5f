# SPDX-License-Identifier: Apache-2.0
"""Which endpoint of a plain service connect() takes: the less busy, the quicker, the near, the one this pod has, and not one that fails."""
import os
import subprocess
import time

import abi
import actor

VIP = "10.96.0.2"


def put_pinned(world, name, key, value):
    """A map that only the kernel writes."""
    bpftool = "/usr/sbin/bpftool" if os.path.exists("/usr/sbin/bpftool") else "bpftool"
    subprocess.run([bpftool, "map", "update", "pinned", os.path.join(world.pins, "maps", name), "key", *map(str, key), "value",
                    *map(str, value)], check=True)


def service(world, endpoints, set, proto=abi.TCP, number=11, port=80, **how):
    """endpoints: (address, port)."""
    for i, (address, eport) in enumerate(endpoints):
        world.driver.put("weir_ep", set.to_bytes(4, "little") + i.to_bytes(4, "little"), abi.ep(address, eport))
    world.driver.put("weir_svc", abi.svc_key(VIP, port, proto), abi.svc(number, set, len(endpoints), **how))


def udp_ports(pod, n, port=80):
    """The endpoints' ports that so many UDP sockets of the pod were connected to."""
    peers = pod.app().call(actor.udp_connect_many, VIP, port, n)
    return [int(p.split(":")[1], 16) for p in peers if not p.startswith("00000000")]


def held(world, web, store, n, **how):
    """How many of n connections that stay open each of three endpoints got."""
    server, client = store.app(), web.app()
    ports = (8181, 8182, 8183)
    listeners = [server.call(actor.listen, store.v4, p) for p in ports]
    service(world, [(store.v4, p) for p in ports], set=20, **how)
    for _ in range(n):
        client.call(actor.connect, VIP, 80)
    return [server.call(actor.accept_all, lid) for lid in listeners]


def test_least_connections_levels_what_stays_open(world, web, store):
    got = held(world, web, store, 60, balance=abi.LEAST)
    assert sum(got) == 60 and max(got) - min(got) <= 3


def test_least_connections_counts_what_is_open_not_what_was(world, web, store):
    server, client = store.app(), web.app()
    for port in (8184, 8185):
        server.call(actor.listen, store.v4, port)
    service(world, [(store.v4, 8184), (store.v4, 8185)], set=21, balance=abi.LEAST)
    assert client.call(actor.connect_many, VIP, 80, 50) == 0
    fds = [client.call(actor.connect, VIP, 80) for _ in range(10)]
    ports = sorted(e.remote_port for e in world.driver.events() if e.kind == abi.OPEN and e.direction == abi.EGRESS)[-60:]
    assert len(fds) == 10 and ports.count(8184) >= 5 and ports.count(8185) >= 5


def test_the_quicker_endpoint_is_taken(world, web, store):
    """Twenty connections at 20 times what one really takes here still weigh less than the nine seconds, on a slow machine too."""
    key = [abi.svc_key(store.v4, port) for port in (8186, 8187)]
    put_pinned(world, "weir_ep_load", key[0], (0).to_bytes(4, "little") + (9000000).to_bytes(4, "little"))
    put_pinned(world, "weir_ep_load", key[1], (0).to_bytes(4, "little") + (300).to_bytes(4, "little"))
    server, client = store.app(), web.app()
    slow, quick = (server.call(actor.listen, store.v4, p) for p in (8186, 8187))
    service(world, [(store.v4, 8186), (store.v4, 8187)], set=22, balance=abi.LATENCY)
    for _ in range(20):
        client.call(actor.connect, VIP, 80)
    assert server.call(actor.accept_all, quick) == 20 and server.call(actor.accept_all, slow) == 0


def test_an_endpoint_that_fails_is_left_out_by_the_pod_that_saw_it(world, web, api, store, counted):
    store.app().call(actor.listen, store.v4, 8188)
    service(world, [(store.v4, 8188), (store.v4, 8189)], set=23)  # nobody listens on 8189
    failed = web.app().call(actor.connect_many, VIP, 80, 60)
    # Three in a row eject it for a second; a slow machine may live to see the end of one.
    assert 3 <= failed <= 6
    assert counted("seen_ejected") > 0
    # Another pod makes its own experience.
    assert api.app().call(actor.connect_many, VIP, 80, 60) >= 3


def test_when_all_have_failed_one_is_tried_nevertheless(world, web, store):
    service(world, [(store.v4, 8190)], set=24)
    client = web.app()
    assert client.call(actor.connect_many, VIP, 80, 10) == 10
    server = store.app()
    server.call(actor.listen, store.v4, 8190)
    assert client.call(actor.connect_many, VIP, 80, 10) == 0


def test_near_endpoints_first_and_others_when_they_fail(world, web, store):
    service(world, [(store.v4, 1), (store.v4, 2), (store.v4, 3)], set=25, proto=abi.UDP, near=2)
    assert set(udp_ports(web, 60)) == {1, 2}
    server = store.app()
    far = server.call(actor.listen, store.v4, 8192)
    service(world, [(store.v4, 8191), (store.v4, 8192)], set=26, near=1)  # nobody listens on the near one
    assert web.app().call(actor.connect_many, VIP, 80, 40) <= 6
    assert server.call(actor.accept_all, far) >= 34


def test_a_pod_keeps_its_endpoint(world, web, api):
    where = [("10.77.0.201", p) for p in range(1, 6)]
    world.driver.put("weir_maglev", (30).to_bytes(4, "little") + bytes(4), abi.maglev([0, 1, 2, 3, 4]))
    service(world, where, set=30, proto=abi.UDP, number=12, affinity=3600)
    mine = set(udp_ports(web, 30))
    assert len(mine) == 1 and set(udp_ports(web, 5)) == mine
    # Also in another set that has it, whatever the table says now.
    others = [e for e in where if e[1] not in mine]
    index = len(others)
    world.driver.put("weir_maglev", (31).to_bytes(4, "little") + bytes(4), abi.maglev([0]))
    service(world, others + [("10.77.0.201", mine.copy().pop())], set=31, proto=abi.UDP, number=12, affinity=3600)
    assert set(udp_ports(web, 10)) == mine
    # A pod that has none goes by the table; so does this one when its endpoint is gone.
    assert set(udp_ports(api, 10)) == {others[0][1]}
    world.driver.put("weir_maglev", (32).to_bytes(4, "little") + bytes(4), abi.maglev([index - 1]))
    service(world, others, set=32, proto=abi.UDP, number=12, affinity=3600)
    assert set(udp_ports(web, 10)) == {others[-1][1]}


def test_affinity_ends_when_it_is_not_used(world, web):
    world.driver.put("weir_maglev", (33).to_bytes(4, "little") + bytes(4), abi.maglev([0]))
    world.driver.put("weir_maglev", (34).to_bytes(4, "little") + bytes(4), abi.maglev([1]))
    where = [("10.77.0.201", 1), ("10.77.0.201", 2)]
    service(world, where, set=33, proto=abi.UDP, number=13, affinity=1)
    assert set(udp_ports(web, 5)) == {1}
    service(world, where, set=34, proto=abi.UDP, number=13, affinity=1)
    for i, (address, port) in enumerate(where):
        world.driver.put("weir_ep", (34).to_bytes(4, "little") + i.to_bytes(4, "little"), abi.ep(address, port))
    time.sleep(1.1)  # the kernel's clock, which nobody can move
    assert set(udp_ports(web, 5)) == {2}
