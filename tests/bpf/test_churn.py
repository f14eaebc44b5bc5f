# SPDX-License-Identifier: Apache-2.0
"""Policies that change all the time: no connection ever meets half of one. Two whole arrangements are exchanged as the agent does it
(new blocks and sets under new ids, the pod's entry, settle, the old ones away) while callers that both of them allow, and callers that both deny, go on."""
import errno
import itertools
import select
import socket
import struct

import pytest

import abi
import actor

FLIPS = 150


def hammer(targets, stop_at):
    """Connects in turn until told to stop by a byte on a datagram socket bound there; how often it worked, and with what it failed."""
    told = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    told.bind(("127.0.0.1", stop_at))
    told.setblocking(False)
    good, bad = 0, {}
    for target in itertools.cycle(targets):
        try:
            told.recv(1)
            return good, bad
        except BlockingIOError:
            pass
        s = socket.socket()
        s.settimeout(5)
        try:
            s.connect(target)
            good += 1
        except OSError as e:
            bad[e.errno] = bad.get(e.errno, 0) + 1
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def take_all(lid, stop_at):
    """Accepts and closes, so that the backlog never fills."""
    told = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    told.bind(("127.0.0.1", stop_at))
    while True:
        ready, _, _ = select.select([actor.SOCKS[lid], told], [], [])
        if told in ready:
            return
        actor.SOCKS[lid].accept()[0].close()


def stop(port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))


def arrangement(world, number, web, api):
    """Web's identity is let in on 8080 and nobody else, said in two blocks and two kinds of policies; ids are of this arrangement alone."""
    base = 5000 + 10 * number
    world.driver.put("weir_idset", struct.pack("=II", base, web.identity), abi.member(base))
    world.driver.put("weir_idset", struct.pack("=II", base + 1, api.identity), abi.member())
    never = abi.rule(base, ports=(1, 1), proto=abi.TCP)
    last = [abi.rule(base, abi.IDENTITY, base, ports=(8080, 8080), proto=abi.TCP)]
    world.driver.put("weir_rule", struct.pack("=I", base + 1), abi.block(base + 1, [never] * (number % 31) + last))
    world.driver.put("weir_rule", struct.pack("=I", base), abi.block(base, [never] * 32, next=base + 1))
    world.driver.put("weir_rule", struct.pack("=I", base + 2),
                     abi.block(base + 2, [abi.rule(base, abi.IDENTITY, base + 1, flags=abi.DENY), abi.rule(base, proto=abi.TCP)]))
    return base


def forget(world, base, web, api):
    for block in (base, base + 1, base + 2):
        world.driver.delete("weir_rule", struct.pack("=I", block))
    world.driver.delete("weir_idset", struct.pack("=II", base, web.identity))
    world.driver.delete("weir_idset", struct.pack("=II", base + 1, api.identity))


def test_no_connection_meets_half_a_policy(world, web, api, store, counted):
    server = store.app()
    lid = server.call(actor.listen, store.v4, 8080)
    server.begin(take_all, lid, 20001)

    def force(number):
        base = arrangement(world, number, web, api)
        world.set_pod(store, 0, abi.slot(base, base, abi.ISOLATED), authz=abi.slot(base + 2, base))
        world.driver.ask("settle")
        return base

    base = force(0)
    allowed, denied = web.app(), api.app()
    allowed.begin(hammer, [(store.v4, 8080)], 20001)
    denied.begin(hammer, [(store.v4, 8080)], 20001)
    for number in range(1, FLIPS):
        before, base = base, force(number)
        forget(world, before, web, api)
    for pod in (web, api, store):
        teller = actor.Actor(pod.netns)
        teller.call(stop, 20001)
        teller.close()
    server.end()
    good, bad = allowed.end()
    assert not bad and good > 20
    good, bad = denied.end()
    assert good == 0 and set(bad) == {errno.EPERM}
    assert counted("deny_undecided") == 0
    # Every denial names the policy of one arrangement or of the next, never of none.
    assert all(e.policy >= 5000 for e in world.driver.events() if e.kind == abi.DENIED)


REWRITES = 6000


@pytest.mark.parametrize("name", ["weir_ip", "weir_pod", "weir_cgroup", "weir_svc", "weir_port"])
def test_an_entry_written_again_is_neither_missed_nor_taken_for_another(world, web, api, store, name):
    """Each put frees the element before, and the next put has its memory while a program may still read it: here that of other pods,
    services and ports, for which all would be decided otherwise."""
    server = store.app()
    server.begin(take_all, server.call(actor.listen, store.v4, 8080), 20001)
    base = arrangement(world, 0, web, api)
    world.set_pod(store, abi.MESHED, abi.slot(base, base, abi.ISOLATED))
    world.set_pod(api, 0, abi.slot(0, 1, abi.ISOLATED))
    world.service("10.96.0.1", 80, [(store, 8080, 1)], number=7, set=7)
    world.service("10.96.0.2", 80, [(api, 8080, 1)], number=8, set=8)
    ports = {struct.pack("=IHBB", store.id, port, abi.TCP, 0): flags for port, flags in ((8080, abi.PLAIN), (0, abi.STEER))}
    for key, flags in ports.items():
        world.driver.put("weir_port", key, struct.pack("=I", flags))
    callers = [pod.app() for pod in (web, api)]
    for caller in callers:
        caller.begin(hammer, [(store.v4, 8080), ("10.96.0.1", 80)], 20001)
    try:
        world.driver.ask("churn", name, REWRITES)
    finally:
        for pod in (web, api, store):
            teller = actor.Actor(pod.netns)
            teller.call(stop, 20001)
            teller.close()
        for key in ports:
            world.driver.delete("weir_port", key)
    server.end()
    (good, bad), (escaped, refused) = (caller.end() for caller in callers)
    assert good > 20 and not bad
    assert not escaped and set(refused) == {errno.EPERM}
