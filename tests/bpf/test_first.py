# SPDX-License-Identifier: Apache-2.0
"""Who speaks first on a service port: reported by sidecars, told to all of the node's, and what a hostile one cannot do with it."""
import errno
import struct
import time

import pytest

import abi
import actor

VIP, VIP6, OTHER = "10.96.8.1", "fd96::8:1", "10.96.8.2"


@pytest.fixture
def mail(world, api):
    world.service(VIP, 25, [(api, 8025, 1)], flags=abi.L7, number=81, set=81)
    world.service(VIP6, 25, [(api, 8025, 1)], flags=abi.L7, number=82, set=82)
    yield world
    for ip in (VIP, VIP6):
        world.driver.delete("weir_first", abi.first_key(25, ip))


def steer(pod, port):
    """An entry of weir_port: what arrives there is the sidecar's."""
    return struct.pack("=IHBB", pod.id, port, abi.TCP, 0), struct.pack("=I", abi.STEER)


class Caller:
    """A pod that calls services through its sidecar."""

    def __init__(self, world, pod):
        world.set_pod(pod, flags=abi.MESHED)
        self.pod, self.app, self.side = pod, pod.app(), pod.sidecar()
        self.listeners = {4: self.side.call(actor.listen, "127.0.0.1", 15001), 6: self.side.call(actor.listen, "::1", 15001)}

    def call(self, ip=VIP, port=25):
        """A connection, as its sidecar has accepted it."""
        self.app.call(actor.connect, ip, port)
        return self.side.call(actor.accept, self.listeners[6 if ":" in ip else 4])[0]

    def known(self, sid):
        return abi.facts(self.side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 96)).first

    def report(self, sid, spoke):
        return abi.facts(self.side.call(actor.option, sid, abi.SOL, abi.SO_SPOKE + spoke, 96)).first


def refused(caller, sid, spoke):
    with pytest.raises(OSError) as e:
        caller.report(sid, spoke)
    return e.value.errno


@pytest.mark.parametrize("ip", [VIP, VIP6])
def test_what_one_sidecar_has_seen_all_are_told(world, web, store, mail, counted, ip):
    a, b = Caller(world, web), Caller(world, store)
    sid = a.call(ip)
    assert a.known(sid) == 0 and counted("first_told") == 0
    assert a.report(sid, abi.SERVER) == abi.SERVER_FIRST
    assert b.known(b.call(ip)) == abi.SERVER_FIRST
    assert counted("first_noted") == 1 and counted("first_contrary") == 0


def test_it_outlives_the_sidecar(world, web, mail):
    a = Caller(world, web)
    a.report(a.call(), abi.SERVER)
    web.stop_actors()
    again = Caller(world, web)
    assert again.known(again.call()) == abi.SERVER_FIRST


def test_the_contrary_is_both_until_one_has_not_been_seen_for_an_hour(world, web, store, mail, counted):
    a = Caller(world, web)
    a.report(a.call(), abi.SERVER)
    assert a.report(a.call(), abi.HTTP1) == abi.SERVER_FIRST | abi.CLIENT_FIRST
    assert counted("first_contrary") == 1
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    age = min(now - 1, abi.FIRST_SECONDS * 10**9)
    for server, client, told in [(now - age, now, abi.CLIENT_FIRST), (now, now - age, abi.SERVER_FIRST), (now - age, now - age, 0)]:
        world.driver.put("weir_first", abi.first_key(25, VIP), abi.first(server, client))
        if age == abi.FIRST_SECONDS * 10**9:  # a machine that has been up for less has nothing so old
            assert a.known(a.call()) == told


def test_a_connection_reports_once_and_nothing_that_does_not_exist(world, web, mail, counted):
    a = Caller(world, web)
    sid = a.call()
    for spoke in (abi.NOBODY, abi.BEYOND, 1 << 20):
        assert refused(a, sid, spoke) == errno.EINVAL
    a.report(sid, abi.SERVER)
    for spoke in (abi.SERVER, abi.TLS):
        assert refused(a, sid, spoke) == errno.EALREADY
    assert a.known(sid) == abi.SERVER_FIRST and counted("first_noted") == 1


def test_only_a_sidecar_reports_and_only_of_what_was_steered_to_it(world, web, mail, counted):
    """Not the application, on either end; not the sidecar of a connection that came some other way."""
    a = Caller(world, web)
    fd = a.app.call(actor.connect, VIP, 25)
    with pytest.raises(OSError) as e:
        a.app.call(actor.option, fd, abi.SOL, abi.SO_SPOKE + abi.SERVER, 96)
    assert e.value.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP)
    a.side.call(actor.accept, a.listeners[4])
    web.app().call(actor.connect, "127.0.0.1", 15001)
    sid, _ = a.side.call(actor.accept, a.listeners[4])
    assert refused(a, sid, abi.SERVER) == errno.ENOENT
    assert counted("first_noted") == 0


def test_arrivals_are_kept_by_the_servers_identity_and_apart_from_calls(world, web, api, store, mail):
    """A pod that says of its own port what is not so deceives pods of its own identity alone."""
    for pod in (api, store):
        world.set_pod(pod, flags=abi.MESHED)
    lids = {}
    for pod in (api, store):
        world.driver.put("weir_port", *steer(pod, 25))
        lids[pod.name] = (side := pod.sidecar()), side.call(actor.listen, pod.v4, 15006)

    def arrival(pod):
        web.app().call(actor.connect, pod.v4, 25)
        side, lid = lids[pod.name]
        return side, side.call(actor.accept, lid)[0]

    side, sid = arrival(api)
    assert abi.facts(side.call(actor.option, sid, abi.SOL, abi.SO_SPOKE + abi.SERVER, 96)).first == abi.SERVER_FIRST
    side, sid = arrival(store)
    assert abi.facts(side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 96)).first == 0
    side, sid = arrival(api)
    assert abi.facts(side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 96)).first == abi.SERVER_FIRST
    caller = Caller(world, web)
    assert caller.known(caller.call()) == 0
    for pod in (api, store):
        world.driver.delete("weir_port", steer(pod, 25)[0])
        world.driver.delete("weir_first", abi.first_key(25, identity=pod.identity))
