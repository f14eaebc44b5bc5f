# SPDX-License-Identifier: Apache-2.0
"""A call that needs a sidecar that does not listen waits for it, on either side, for a bounded time; and never goes around it."""
import errno

import pytest

import abi
import actor

VIP, VIP6 = "10.96.5.1", "fd96::5:1"
LONG, SHORT = 60000, 1  # ms; a SYN is repeated after one second


@pytest.fixture
def waits(world, api):
    """How long SYNs are held back, as a function."""
    world.service(VIP, 80, [(api, 8080, 1)], flags=abi.L7, number=51, set=51)
    world.service(VIP6, 80, [(api, 8080, 1)], flags=abi.L7, number=52, set=52)
    yield lambda ms: world.driver.ask("flags", abi.HOLD, ms)
    world.driver.ask("flags", abi.HOLD)
    for pod in world.pods:  # a listener ends what is remembered of its pod
        pod.stop_actors()
        world.set_pod(pod, flags=abi.MESHED)
        pod.sidecar().call(actor.listen, "127.0.0.1", 15001)


def held_events(world):
    return [e for e in world.driver.events() if e.kind == abi.HELD]


@pytest.mark.parametrize("ip,local", [(VIP, "127.0.0.1"), (VIP6, "::1"), ("::ffff:" + VIP, "127.0.0.1")])
def test_a_call_waits_for_its_sidecar_and_is_then_steered(world, web, waits, counted, ip, local):
    waits(LONG)
    world.set_pod(web, flags=abi.MESHED)
    client, side = web.app(), web.sidecar()
    fd = client.call(actor.start, ip, 80)
    assert client.call(actor.settle, fd, 0) is None and counted("held_sidecar") == 1
    lid = side.call(actor.listen, local, 15001)
    assert client.call(actor.settle, fd) == 0
    sid, _ = side.call(actor.accept, lid)
    ask = actor.original6 if ":" in local else actor.original4
    assert side.call(ask, sid) == (ip.removeprefix("::ffff:"), 80)
    assert counted("allow_steered") == 1 and counted("deny_no_listener") == 0
    [e] = held_events(world)
    assert (e.direction, e.pod, e.original_port, e.service) == (abi.EGRESS, web.id, 80, 52 if ip == VIP6 else 51)


def test_a_call_is_refused_when_its_sidecar_does_not_come(world, web, waits, counted):
    waits(SHORT)
    world.set_pod(web, flags=abi.MESHED)
    client = web.app()
    fd = client.call(actor.start, VIP, 80)
    assert client.call(actor.settle, fd) == errno.ECONNREFUSED
    assert counted("held_sidecar") == 1 and counted("deny_no_listener") == 1
    # The time counts for the pod: who calls later does not wait again, until a sidecar has listened.
    with pytest.raises(ConnectionRefusedError):
        client.call(actor.connect, VIP, 80)
    assert counted("held_sidecar") == 1 and counted("deny_no_listener") == 2
    side = web.sidecar()
    lid = side.call(actor.listen, "127.0.0.1", 15001)
    side.call(actor.close, lid)
    waits(LONG)
    fd = client.call(actor.start, VIP, 80)
    assert client.call(actor.settle, fd, 0) is None and counted("held_sidecar") == 2


def test_an_application_on_the_capture_port_does_not_get_what_waited(world, web, waits, counted):
    waits(SHORT)
    world.set_pod(web, flags=abi.MESHED)
    client, thief = web.app(), web.app()
    lid = thief.call(actor.listen, "127.0.0.1", 15001)
    fd = client.call(actor.start, VIP, 80)
    assert client.call(actor.settle, fd) == errno.ECONNREFUSED
    assert not thief.call(actor.waiting, lid) and counted("deny_no_listener") == 1 and counted("deny_proxy_port") == 1


def test_fail_open_and_no_time_are_as_they_were(world, web, api, waits, counted):
    server, client = api.app(), web.app()
    lid = server.call(actor.listen, api.v4, 8080)
    waits(LONG)
    world.set_pod(web, flags=abi.MESHED | abi.FAIL_OPEN)
    client.call(actor.connect, VIP, 80)
    server.call(actor.accept, lid)
    waits(0)
    world.set_pod(web, flags=abi.MESHED)
    with pytest.raises(ConnectionRefusedError):
        client.call(actor.connect, VIP, 80)
    assert counted("held_sidecar") == 0


# --- calls to a pod

def steered(world, pod, port, flags=abi.MESHED):
    world.driver.put("weir_port", pod.id.to_bytes(4, "little") + port.to_bytes(2, "little") + bytes([abi.TCP, 0]),
                     abi.STEER.to_bytes(4, "little"))
    world.set_pod(pod, flags=flags)


@pytest.fixture
def served(world, waits, api):
    """`api` listens on a port that is its sidecar's to answer, on both families."""
    steered(world, api, 8080)
    app = api.app()
    yield app, [app.call(actor.listen, ip, 8080) for ip in (api.v4, api.v6)]
    world.driver.delete("weir_port", api.id.to_bytes(4, "little") + (8080).to_bytes(2, "little") + bytes([abi.TCP, 0]))


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_call_to_a_pod_waits_for_that_pods_sidecar(world, web, api, waits, served, counted, family):
    waits(LONG)
    app, lids = served
    client, side = web.app(), api.sidecar()
    fd = client.call(actor.start, getattr(api, family), 8080)
    assert client.call(actor.settle, fd, 0.1) is None and counted("held_sidecar") >= 1
    lid = side.call(actor.listen, "0.0.0.0" if family == "v4" else "::", 15006)
    assert client.call(actor.settle, fd) == 0
    sid, _ = side.call(actor.accept, lid)
    assert side.call(actor.sockname, sid)[1] == 8080
    assert not any(app.call(actor.waiting, lid) for lid in lids), "it went around the sidecar"
    assert held_events(world)[0].direction == abi.INGRESS


def test_a_call_to_a_pod_is_refused_when_its_sidecar_does_not_come(world, web, api, waits, served, counted):
    waits(SHORT)
    app, lids = served
    client = web.app()
    fd = client.call(actor.start, api.v4, 8080)
    assert client.call(actor.settle, fd) == errno.ECONNREFUSED
    assert counted("held_sidecar") == 1 and counted("deny_no_listener") == 1
    with pytest.raises(ConnectionRefusedError):
        client.call(actor.connect, api.v4, 8080)
    assert not app.call(actor.waiting, lids[0])


def test_nobody_reaches_the_application_while_its_sidecar_is_away(world, web, api, waits, served, counted):
    """Not the pod itself by its own address, nor by another address of its own; not a process of a cgroup that nobody knows yet."""
    waits(LONG)
    app, lids = served
    world._ip(api.holder.pid, "addr add 10.77.0.77/32 dev lo")
    app.call(actor.listen, "10.77.0.77", 8080)
    fds = [app.call(actor.start, to, 8080) for to in (api.v4, api.v6, "10.77.0.77")]
    world.driver.delete("weir_cgroup", world.cgroup_key(api.cgroup))
    try:
        stranger = api.app()
        lid = stranger.call(actor.listen, api.v4, 9090)
        steered(world, api, 9090)
        client = web.app()
        fd = client.call(actor.start, api.v4, 9090)
        assert client.call(actor.settle, fd, 0.3) is None
        assert not stranger.call(actor.waiting, lid)
    finally:
        world.classify(api)
        world.driver.delete("weir_port", api.id.to_bytes(4, "little") + (9090).to_bytes(2, "little") + bytes([abi.TCP, 0]))
        world._ip(api.holder.pid, "addr del 10.77.0.77/32 dev lo")
    assert all(app.call(actor.settle, fd, 0) is None for fd in fds)
    assert not any(app.call(actor.waiting, lid) for lid in lids)
    assert counted("held_sidecar") >= 4


def test_what_the_sidecar_and_probes_say_to_the_application_does_not_wait(world, web, api, waits, served):
    waits(LONG)
    app, (lid, _) = served
    side = api.sidecar()
    fd = side.call(actor.connect, api.v4, 8080)
    assert app.call(actor.accept, lid)[1] == side.call(actor.sockname, fd)
    client = web.app()
    client.call(actor.start, api.v4, 8080)
    assert not app.call(actor.waiting, lid)
    plain = app.call(actor.listen, api.v4, 8081)
    client.call(actor.connect, api.v4, 8081)
    app.call(actor.accept, plain)
