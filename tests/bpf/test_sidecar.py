# SPDX-License-Identifier: Apache-2.0
"""L7 services enter the pod's sidecar, which learns where they were going; nobody else does."""
import errno
import socket
import struct

import pytest

import abi
import actor

VIP, VIP6 = "10.96.1.1", "fd96::1:1"


@pytest.fixture
def l7(world, api):
    world.service(VIP, 80, [(api, 8080, 1)], flags=abi.L7, number=21, set=21)
    world.service(VIP6, 80, [(api, 8080, 1)], flags=abi.L7, number=22, set=22)


def capture(world, pod, *ips):
    """An unprivileged sidecar that listens on the capture port."""
    world.set_pod(pod, flags=abi.MESHED)
    side = pod.sidecar()
    return side, [side.call(actor.listen, ip, 15001) for ip in ips or ("127.0.0.1", "::1")]


@pytest.mark.guest("weir_getsockopt")
def test_an_l7_service_enters_the_sidecar_which_learns_the_address_without_privilege(world, web, l7, counted):
    side, (lid, _) = capture(world, web)
    assert side.call(actor.who) == (65534, 0)
    client = web.app()
    fd = client.call(actor.connect, VIP, 80)
    sid, _ = side.call(actor.accept, lid)
    assert side.call(actor.original4, sid) == (VIP, 80)
    assert side.call(actor.original6, sid) == ("::ffff:" + VIP, 80)
    assert client.call(actor.peername, fd) == (VIP, 80)
    assert counted("allow_steered") == 1


def test_the_private_option_tells_all_the_facts(world, web, l7):
    side, (lid, _) = capture(world, web)
    client = web.app()
    fd = client.call(actor.connect, VIP, 80)
    sid, peer = side.call(actor.accept, lid)
    raw = side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 256)
    f = abi.facts(raw)
    assert (f.size, len(raw)) == (96, 96)
    assert (f.original, f.original_port) == (VIP, 80)
    assert (f.peer, f.peer_port) == ("127.0.0.1", peer[1]) == client.call(actor.sockname, fd)
    assert (f.pod, f.identity, f.service) == (web.id, web.identity, 21)
    assert f.direction == abi.EGRESS and f.cookie != 0 and f.epoch >= 1 and f.join == 0
    with pytest.raises(OSError) as e:
        side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 95)
    assert e.value.errno == errno.EINVAL


def test_v4_mapped_and_ipv6_enter_it_as_well(world, web, l7):
    side, (lid4, lid6) = capture(world, web)
    client = web.app()
    fd = client.call(actor.connect, "::ffff:" + VIP, 80)
    sid, _ = side.call(actor.accept, lid4)
    assert side.call(actor.original4, sid) == (VIP, 80)
    assert client.call(actor.peername, fd) == ("::ffff:" + VIP, 80)
    fd = client.call(actor.connect, VIP6, 80)
    sid, _ = side.call(actor.accept, lid6)
    assert side.call(actor.original6, sid) == (VIP6, 80)
    assert client.call(actor.peername, fd) == (VIP6, 80)
    with pytest.raises(OSError):
        side.call(actor.original4, sid)


def test_a_pod_without_a_sidecar_gets_an_endpoint_instead(world, web, api, l7):
    server = api.app()
    lid = server.call(actor.listen, api.v4, 8080)
    web.app().call(actor.connect, VIP, 80)
    assert server.call(actor.accept, lid)[1][0] == web.v4


def test_without_a_listening_sidecar_the_call_is_refused(world, web, l7, counted):
    world.set_pod(web, flags=abi.MESHED)
    with pytest.raises(OSError) as e:
        web.app().call(actor.connect, VIP, 80)
    assert e.value.errno == errno.ECONNREFUSED
    assert counted("deny_no_listener") == 1


def test_a_listener_of_the_application_is_not_a_sidecar(world, web, l7, counted):
    world.set_pod(web, flags=abi.MESHED)
    a = web.app()
    a.call(actor.listen, "127.0.0.1", 15001)
    with pytest.raises(OSError):
        a.call(actor.connect, VIP, 80)
    assert counted("deny_no_listener") == 1


def test_fail_open_is_a_choice(world, web, api, l7, counted):
    world.set_pod(web, flags=abi.MESHED | abi.FAIL_OPEN)
    server = api.app()
    lid = server.call(actor.listen, api.v4, 8080)
    web.app().call(actor.connect, VIP, 80)
    server.call(actor.accept, lid)
    assert counted("allow_fail_open") == 1


def test_dialling_the_capture_port_directly_has_no_original_destination(world, web, l7, counted):
    side, (lid, _) = capture(world, web)
    web.app().call(actor.connect, "127.0.0.1", 15001)
    sid, _ = side.call(actor.accept, lid)
    for ask in (actor.original4, actor.original6):
        with pytest.raises(OSError) as e:
            side.call(ask, sid)
        assert e.value.errno == errno.ENOENT
    assert counted("deny_no_origin") == 2


def test_a_note_is_taken_once(world, web, l7):
    """The same local port again, this time straight to the capture port: nothing is left over to be told."""
    side, (lid, _) = capture(world, web)
    client = web.app()
    fd = client.call(actor.connect, VIP, 80)
    port = client.call(actor.sockname, fd)[1]
    sid, _ = side.call(actor.accept, lid)
    client.call(abort, fd)
    side.call(actor.close, sid)
    fd = client.call(bound, port)
    client.call(actor.connect, "127.0.0.1", 15001, fd=fd)
    sid, _ = side.call(actor.accept, lid)
    with pytest.raises(OSError) as e:
        side.call(actor.original4, sid)
    assert e.value.errno == errno.ENOENT


def abort(fd):
    actor.SOCKS[fd].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    actor.close(fd)


def bound(port):
    fd = actor.new()
    actor.SOCKS[fd].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    actor.SOCKS[fd].bind(("127.0.0.1", port))
    return fd


def test_a_process_outside_the_sidecars_cgroup_is_told_nothing(world, web, l7):
    """Neither on its own sockets nor on one of its own that the sidecar was handed; the sidecar's stays the sidecar's."""
    side, (lid, _) = capture(world, web)
    client = web.app()
    client.call(actor.connect, VIP, 80)
    sid, _ = side.call(actor.accept, lid)
    lid2 = client.call(actor.listen, "127.0.0.1", 7001)
    fd2 = client.call(actor.connect, "127.0.0.1", 7001)
    own, _ = client.call(actor.accept, lid2)
    for fd in (own, fd2):
        with pytest.raises(OSError):
            client.call(actor.original4, fd)
        with pytest.raises(OSError):
            client.call(actor.option, fd, abi.SOL, abi.SO_FACTS, 96)
    passed = client.call(actor.hand_over, own)
    with pytest.raises(OSError):
        side.give(passed, actor.original4)
    # The hook follows the socket, not whoever holds it (decisions.md 2).
    passed = side.call(actor.hand_over, sid)
    assert client.give(passed, actor.original4) == (VIP, 80)


def test_two_pods_with_the_same_loopback_tuple_do_not_meet(world, web, api, store, l7):
    world.service("10.96.1.2", 81, [(store, 8080, 1)], flags=abi.L7, number=23, set=23)
    got = {}
    for pod, vip, vport in ((web, VIP, 80), (api, "10.96.1.2", 81)):
        side, (lid, _) = capture(world, pod)
        client = pod.app()
        fd = client.call(bound, 33333)
        client.call(actor.connect, vip, vport, fd=fd)
        got[pod.name] = side.call(actor.accept, lid)[0], side
    assert got["web"][1].call(actor.original4, got["web"][0]) == (VIP, 80)
    assert got["api"][1].call(actor.original4, got["api"][0]) == ("10.96.1.2", 81)


def test_the_sidecars_own_calls_are_not_rewritten(world, web, store, l7, counted):
    side, _ = capture(world, web)
    server = store.app()
    lid = server.call(actor.listen, store.v4, 8080)
    side.call(actor.connect, store.v4, 8080)
    server.call(actor.accept, lid)
    assert counted("allow_proxy") == 1 and counted("allow_steered") == 0


# Inbound

def mesh_inbound(world, pod, ports=(8080,)):
    world.set_pod(pod, flags=abi.MESHED)
    for port in ports:
        world.driver.put("weir_port", struct.pack("=IHBB", pod.id, port, abi.TCP, 0), struct.pack("=I", abi.STEER))


@pytest.fixture
def inbound(world, api):
    mesh_inbound(world, api)
    yield api
    world.driver.delete("weir_port", struct.pack("=IHBB", api.id, 8080, abi.TCP, 0))


@pytest.mark.guest("weir_sk_lookup")
def test_an_l7_port_is_steered_to_the_sidecars_listener_and_others_are_not(world, web, inbound, counted):
    side, server, client = inbound.sidecar(), inbound.app(), web.app()
    lids = [side.call(actor.listen, ip, 15006) for ip in ("0.0.0.0", "::")]
    direct = server.call(actor.listen, "0.0.0.0", 8080)
    other = server.call(actor.listen, "0.0.0.0", 9090)
    client.call(actor.connect, inbound.v4, 8080)
    sid, peer = side.call(actor.accept, lids[0])
    assert peer[0] == web.v4
    assert side.call(actor.sockname, sid) == (inbound.v4, 8080)
    assert side.call(actor.original4, sid) == (inbound.v4, 8080)
    f = abi.facts(side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 96))
    assert (f.direction, f.pod, f.peer_identity, f.peer) == (abi.INGRESS, inbound.id, web.identity, web.v4)
    client.call(actor.connect, inbound.v6, 8080)
    sid, _ = side.call(actor.accept, lids[1])
    assert side.call(actor.original6, sid) == (inbound.v6, 8080)
    client.call(actor.connect, inbound.v4, 9090)
    assert server.call(actor.accept, other)[1][0] == web.v4
    assert not server.call(actor.waiting, direct)
    assert counted("allow_ingress_proxy") == 2


def test_one_dual_stack_listener_serves_both_families(world, web, inbound):
    side, client = inbound.sidecar(), web.app()
    lid = side.call(actor.listen, "::", 15006, v6only=False)
    for ip in (inbound.v4, inbound.v6):
        client.call(actor.connect, ip, 8080)
        side.call(actor.accept, lid)


def test_two_workers_share_and_one_may_go(world, web, inbound):
    workers, client = [inbound.sidecar(), inbound.sidecar()], web.app()
    lids = [w.call(actor.listen, "0.0.0.0", 15006, reuse=True) for w in workers]
    assert client.call(actor.connect_many, inbound.v4, 8080, 64) == 0
    taken = [w.call(actor.accept_all, lid) for w, lid in zip(workers, lids)]
    assert sum(taken) == 64 and min(taken) > 0
    workers[0].call(actor.close, lids[0])
    assert client.call(actor.connect_many, inbound.v4, 8080, 16) == 0
    assert workers[1].call(actor.accept_all, lids[1]) == 16
    # The other way round: the first one comes back and the second goes.
    lids[0] = workers[0].call(actor.listen, "0.0.0.0", 15006, reuse=True)
    workers[1].call(actor.close, lids[1])
    assert client.call(actor.connect_many, inbound.v4, 8080, 16) == 0
    assert workers[0].call(actor.accept_all, lids[0]) == 16


def test_more_workers_than_slots_then_only_the_newest_stay(world, web, inbound):
    side, client = inbound.sidecar(), web.app()
    old = [side.call(actor.listen, "0.0.0.0", 15006, reuse=True) for _ in range(16)]
    new = [side.call(actor.listen, "0.0.0.0", 15006, reuse=True) for _ in range(4)]
    side.call(actor.close, *old)
    assert client.call(actor.connect_many, inbound.v4, 8080, 8) == 0
    assert sum(side.call(actor.accept_all, lid) for lid in new) == 8


def test_without_a_listener_an_l7_port_is_closed(world, web, inbound, counted):
    inbound.app().call(actor.listen, "0.0.0.0", 8080)
    with pytest.raises(OSError) as e:
        web.app().call(actor.connect, inbound.v4, 8080)
    assert e.value.errno == errno.ECONNREFUSED
    assert counted("deny_no_listener") == 1


def test_a_listener_outside_the_sidecars_cgroup_is_not_registered(world, web, inbound, counted):
    a = inbound.app()
    a.call(actor.listen, "0.0.0.0", 15006)
    with pytest.raises(OSError):
        web.app().call(actor.connect, inbound.v4, 8080)
    assert counted("seen_listener") == 0


def test_the_sidecars_own_connection_reaches_the_application(world, inbound, counted):
    side, server = inbound.sidecar(), inbound.app()
    lid = side.call(actor.listen, "0.0.0.0", 15006)
    direct = server.call(actor.listen, "0.0.0.0", 8080)
    direct6 = server.call(actor.listen, "::", 8080)
    side.call(actor.connect, inbound.v4, 8080)
    server.call(actor.accept, direct)
    side.call(actor.connect, inbound.v6, 8080)
    server.call(actor.accept, direct6)
    assert not side.call(actor.waiting, lid)
    assert counted("allow_app_bound") == 2


def test_the_application_calling_its_own_address_passes_its_inbound_side(world, inbound):
    side, server, client = inbound.sidecar(), inbound.app(), inbound.app()
    lid = side.call(actor.listen, "0.0.0.0", 15006)
    direct = server.call(actor.listen, "0.0.0.0", 8080)
    client.call(actor.connect, inbound.v4, 8080)
    side.call(actor.accept, lid)
    assert not server.call(actor.waiting, direct)


def test_nobody_dials_the_inbound_port_directly(world, web, inbound, counted):
    side = inbound.sidecar()
    side.call(actor.listen, "0.0.0.0", 15006)
    for client in (web.app(), inbound.app()):
        with pytest.raises(OSError) as e:
            client.call(actor.connect, inbound.v4, 15006)
        assert e.value.errno == errno.ECONNREFUSED
    assert counted("deny_proxy_port") == 2


def test_strict_steers_every_port(world, web, api):
    mesh_inbound(world, api, ports=(0,))
    try:
        side, client = api.sidecar(), web.app()
        lid = side.call(actor.listen, "0.0.0.0", 15006)
        client.call(actor.connect, api.v4, 4321)
        sid, _ = side.call(actor.accept, lid)
        assert side.call(actor.sockname, sid) == (api.v4, 4321)
    finally:
        world.driver.delete("weir_port", struct.pack("=IHBB", api.id, 0, abi.TCP, 0))
